"""Self-contained HTML pages: rendered so that nothing of the data can become markup, and that nothing is fetched.

Jinja escapes every value, and a page's Content-Security-Policy lets run only the very script and style that it was
written with, by their digests: no network, no handlers, no style attributes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path
from typing import Any

from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_replay.charts import shortened
from segpoint_training import records

PICTURE_BYTES = 150_000
_TEMPLATES = Path(__file__).parent / "templates"
_PICTURE_WIDTH = 1280  # pixels, what segpoint.render draws
_QUALITIES = (88, 75, 60, 40, 20)
_MARK, _HEAD = b'<meta name="generator" content="segpoint replay">', 2000  # in every page, in its first bytes
_NOTHING = "–"
_THIN = "\u202f"


def write_page(path: Path, template: str, **values: Any) -> None:
    """Render one of templates/ to a file, at once or not at all.

    Raises SegPointError where jinja2 is missing, the file cannot be written, or there is one that is not ours.
    """
    from segpoint_training.stamp import write_whole

    check_page(path)
    text = render(template, **values)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode("utf-8", errors="replace"))  # half a surrogate pair can come out of JSON
    except OSError as error:
        raise SegPointError(
            f"{path} cannot be written ({error.strerror or error}): make room or write elsewhere"
        ) from error


def check_page(path: Path) -> None:
    """Raise SegPointError where there is a file that is no page of ours."""
    with reading(path, "give another --out"):
        if path.exists() and _MARK not in path.read_bytes()[:_HEAD]:
            raise SegPointError(
                f"{path} is no page of `segpoint replay`, or one of a version that did not mark its pages yet, and "
                "stays: delete it or move it away if you do not need it, or give another --out"
            )


def render(template: str, **values: Any) -> str:
    """A template's text. Raises SegPointError where jinja2 is missing."""
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError as error:
        raise SegPointError("a report needs jinja2: pip install 'segpoint_ros[replay]'") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (share, bare, count, metres, seconds, rate, percent, signed, size)
    environment.filters.update({one.__name__: one for one in filters}, short=_short, code=_code)
    style, script = ((_TEMPLATES / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template(template)
    return page.render(**values, style=Markup(style), script=Markup(script), policy=policy)


def picture(path: Path) -> str | None:
    """An image file as a data: address of at most PICTURE_BYTES; None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            kind, content = image.format, path.read_bytes()
            if kind not in ("PNG", "JPEG") or len(content) > PICTURE_BYTES:
                kind, content = "JPEG", _smaller(image)
            else:
                image.load()  # raises where it is cut off
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # SyntaxError: a broken PNG
        return None
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"


def _smaller(image: Any) -> bytes:
    """A JPEG of at most PICTURE_BYTES."""
    image = image.convert("RGB")
    image.thumbnail((_PICTURE_WIDTH, _PICTURE_WIDTH))
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, subsampling=0)  # edges of boxes are thin
            if buffer.tell() <= PICTURE_BYTES:
                return buffer.getvalue()
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# --- numbers as people read them; None is a dash ------------------------------------------------------------------


def share(value: float | None) -> str:
    """An IoU or an accuracy, in percent as `segpoint evaluate` and the paper's tables have it."""
    return _NOTHING if value is None else f"{bare(value)}{_THIN}%"


def bare(value: float | None) -> str:
    """The same without its unit, under a heading that has it."""
    return records.percent(value)


def points(value: float | None) -> str:
    """A difference of two shares."""
    return _NOTHING if value is None else f"{bare(value)} points"


def percent(value: float | None) -> str:
    """A share of clouds. Some is never shown as none, and not all never as all."""
    if value is None:
        return _NOTHING
    if 0 < value < 0.001:
        return f"<{_THIN}0.1{_THIN}%"
    return share(value if value == 1 else min(value, 0.999))


def count(value: int) -> str:
    return f"{value:,}".replace(",", _THIN)


def metres(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{100 * value:.1f}{_THIN}cm" if abs(value) < 0.9995 else f"{value:.2f}{_THIN}m"


def seconds(value: float | None) -> str:
    if value is None:
        return _NOTHING
    if value == 0:
        return f"0{_THIN}s"
    if abs(value) < 0.9995:
        return f"{1000 * value:.{1 if 0 < abs(value) < 0.00995 else 0}f}{_THIN}ms"
    return f"{value:.2f}{_THIN}s"


def rate(value: float | None) -> str:
    """Clouds per second."""
    return _NOTHING if value is None else f"{value:.{2 if value < 1 else 1 if value < 100 else 0}f}"


def signed(text: str) -> str:
    """A difference that one of the above wrote: with its sign, and none where it is shown as 0."""
    if text == _NOTHING or not re.search("[1-9]", text):
        return text.lstrip("-")
    return "\u2212" + text[1:] if text.startswith("-") else "+" + text


def size(value: float) -> str:
    """Points on a chart's scale."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}".removesuffix(".0") + f"{_THIN}{letter}"
    return f"{value:.0f}"


def _code(text: str) -> Any:
    """Markup of a plain text in which `...` are what one types."""
    from markupsafe import Markup, escape

    parts = re.split("`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def _short(text: str, length: int) -> str:
    line = shortened(text, length)
    return line if not line.endswith("…") or len(text) < 2 * length else f"{line} ({count(len(text))} characters)"
