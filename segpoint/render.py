"""Pictures of an answer, drawn with numpy and Pillow: no display, no GPU.

Each picture is that of one `segpoint.projection.View`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from segpoint.errors import SegPointError
from segpoint.instances import Instance
from segpoint.projection import PANEL, View, look

_TARGET = np.array([255.0, 0.0, 150.0])  # magenta: hardly any household object has it
_BOXES = ("#ffe600", "#00e5ff", "#7dff3a", "#ff9d2e", "#d9a7ff")
_PAPER, _INK, _FAINT = "#14161a", "#f4f4f4", "#9aa3ad"
_KEPT = 0.35  # of the colour of what is no target
_FILL = np.array([26.0, 29.0, 34.0])  # where no point is seen
_EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))


def render_answer(
    path: str | Path,
    xyz: np.ndarray,
    rgb: np.ndarray | None,
    mask: np.ndarray,
    instances: Sequence[Instance],
    instruction: str,
    answer: str,
    frame: str,
    width: int | None = None,
    height: int | None = None,
) -> None:
    """Write a PNG, 1280 pixels wide: the cloud, and beside it, or below a panorama, the same with its targets marked
    and boxed.

    ``xyz`` (M, 3) metres, NaN rows allowed; ``rgb`` (M, 3) uint8 or None (grey by depth then); ``mask`` (M,) bool;
    ``instances`` in xyz's ``frame``, one of `FRAMES`. With ``width * height == M`` the cloud is organised.
    Raises SegPointError where the file cannot be written.
    """
    picture = draw_answer(xyz, rgb, mask, instances, instruction, answer, frame, width, height)
    save(picture, path)


def render_sheet(path: str | Path, panels: Sequence[Image.Image], columns: int = 1) -> None:
    """Write several pictures (of `draw_answer`) as one PNG, row by row."""
    if not panels:
        raise SegPointError(f"{path}: a sheet needs one picture or more, and none was given")
    cell = (max(p.width for p in panels), max(p.height for p in panels))
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (cell[0] * columns, cell[1] * rows), _PAPER)
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index % columns * cell[0], index // columns * cell[1]))
    save(sheet, path)


def draw_answer(
    xyz: np.ndarray,
    rgb: np.ndarray | None,
    mask: np.ndarray,
    instances: Sequence[Instance],
    instruction: str,
    answer: str,
    frame: str,
    width: int | None = None,
    height: int | None = None,
    truth: np.ndarray | None = None,
) -> Image.Image:
    """The picture that `render_answer` writes. With ``truth`` (M,) bool, the left half shows what should be marked."""
    before, after = draw_halves(xyz, rgb, mask, instances, frame, width, height, truth, keep=_KEPT, tags=True)
    found = f"{len(instances)} target{'' if len(instances) == 1 else 's'}, {np.count_nonzero(mask):,} points"
    meant = "the cloud" if truth is None else "what is meant" if np.any(truth) else "nothing is meant"
    return beside(_captioned(before, instruction, meant), _captioned(after, answer, found))


def draw_halves(
    xyz: np.ndarray,
    rgb: np.ndarray | None,
    mask: np.ndarray,
    instances: Sequence[Instance],
    frame: str,
    width: int | None = None,
    height: int | None = None,
    truth: np.ndarray | None = None,
    keep: float = 1.0,
    tags: bool = False,
) -> tuple[Image.Image, Image.Image]:
    """The two halves of `draw_answer` without their captions. keep: as `highlight`.   tags: number each box."""
    xyz = np.asarray(xyz, dtype=np.float64)
    mask = np.asarray(mask, dtype=bool)
    view = look(xyz, frame, width, height)
    colours = grey_by_depth(view, xyz) if rgb is None else np.asarray(rgb, dtype=np.float64)
    before = paint(view, colours if truth is None else highlight(colours, np.asarray(truth, dtype=bool), keep))
    after = paint(view, highlight(colours, mask, keep))
    _draw_boxes(after, view, instances, tags)
    return before, after


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures as one; panoramas, which are wide and low, the latter below."""
    if left.width > PANEL:
        picture = Image.new("RGB", (max(left.width, right.width), left.height + right.height), _PAPER)
        picture.paste(right, (0, left.height))
    else:
        picture = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), _PAPER)
        picture.paste(right, (left.width, 0))
    picture.paste(left, (0, 0))
    return picture


# --- colour -------------------------------------------------------------------------------------------------------


def grey_by_depth(view: View, xyz: np.ndarray) -> np.ndarray:
    """Colours (M, 3), 0 to 255, for a cloud (M, 3) that has none: the nearer, the brighter."""
    depth = view.project(np.nan_to_num(xyz, posinf=0.0, neginf=0.0))[1]
    valid = np.isfinite(xyz).all(axis=1)
    near, far = np.percentile(depth[valid], [2, 98]) if valid.any() else (0.0, 1.0)
    grey = 230.0 - 170.0 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1)
    return np.repeat(np.where(valid, grey, _FILL[1])[:, None], 3, axis=1)


def highlight(colours: np.ndarray, mask: np.ndarray, keep: float = _KEPT) -> np.ndarray:
    """Targets in the target colour, still shaded by their own brightness; everything else paler, and greyer but for
    the share ``keep`` of its colour."""
    brightness = colours @ np.array([0.299, 0.587, 0.114])
    greyed = 0.75 * (keep * colours + (1 - keep) * brightness[:, None]) + 20.0
    marked = 0.75 * _TARGET + 0.35 * brightness[:, None]
    return np.where(mask[:, None], marked, greyed).clip(0, 255)


def paint(view: View, colours: np.ndarray) -> Image.Image:
    """What ``view`` shows of M points with ``colours`` (M, 3), 0 to 255."""
    image = np.where((view.shown >= 0)[..., None], colours[view.shown], _FILL)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8), "RGB")


# --- boxes and words ----------------------------------------------------------------------------------------------


def _draw_boxes(image: Image.Image, view: View, instances: Sequence[Instance], tags: bool) -> None:
    draw = ImageDraw.Draw(image)
    unit = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    for number, instance in enumerate(instances, start=1):
        colour = _BOXES[(number - 1) % len(_BOXES)]
        corners = unit * instance.size @ Rotation.from_quat(instance.orientation).as_matrix().T + instance.centre
        strokes = [stroke for start, end in _EDGES for stroke in view.line(corners[start], corners[end])]
        for ink, thickness in (("#000000", 5), (colour, 2)):
            for stroke in strokes:
                draw.line([tuple(place) for place in stroke], fill=ink, width=thickness)
        if strokes and tags:
            left, top = np.concatenate(strokes).min(axis=0)
            place = (float(np.clip(left, 2, image.width - 90)), float(np.clip(top - 24, 2, image.height - 24)))
            _tag(draw, place, f"{number} · {instance.score:.2f}", colour)


def _tag(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: str) -> None:
    font = ImageFont.load_default(16)
    left, top, right, bottom = draw.textbbox(place, text, font=font)
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill="#000000")
    draw.text(place, text, fill=colour, font=font)


def _captioned(image: Image.Image, words: str, detail: str) -> Image.Image:
    """The image with a line or two of text under it."""
    lines = textwrap.wrap(
        " ".join(words.split()) or "…", width=image.width * 58 // PANEL, max_lines=2, placeholder=" …"
    )
    picture = Image.new("RGB", (image.width, image.height + 84), _PAPER)
    picture.paste(image, (0, 0))
    draw = ImageDraw.Draw(picture)
    draw.multiline_text((12, image.height + 8), "\n".join(lines), fill=_INK, font=ImageFont.load_default(20), spacing=4)
    draw.text((12, image.height + 60), detail, fill=_FAINT, font=ImageFont.load_default(15))
    return picture


def save(picture: Image.Image, path: str | Path) -> None:
    """Write a PNG. Raises SegPointError where that is not possible."""
    try:
        picture.save(path, format="PNG")
    except OSError as error:
        raise SegPointError(f"{path}: cannot be written ({error.strerror or error}); is the folder there?") from error
