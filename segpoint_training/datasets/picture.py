"""A scan to look at: its colours beside its objects with their names, and what is said about it."""

from __future__ import annotations

import colorsys
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segpoint.projection import View, look
from segpoint.prompts import answer
from segpoint.render import beside
from segpoint_training.datasets.scan import Scan
from segpoint_training.scenes.scene import Instruction

MOST_NAMES = 40  # that are written into a picture, the largest objects first
MOST_LINES = 24  # of what is said
_CHARACTERS = 150  # a line
_LINE = 20  # pixels
_TALL = 60  # pixels, of an object that has room for its name
_EMPTY = np.array([26.0, 29.0, 34.0])  # where no point is seen
_NO_OBJECT = [90.0, 90.0, 96.0]
_PAPER, _INK, _FAINT = "#14161a", "#f4f4f4", "#9aa3ad"
_ABOVE = ("ceiling",)  # is left out of maps, which are seen from above


def draw_scan(scan: Scan, instructions: Sequence[Instruction] = ()) -> Image.Image:
    """The picture, 1280 pixels wide."""
    xyz = np.where(_hidden(scan)[:, None], np.nan, scan.xyz)
    view = look(xyz, scan.frame)
    colours = _grey(view, xyz) if scan.rgb is None else scan.rgb.astype(float)
    left, right = _paint(view, colours), _paint(view, _object_colours(scan, colours))
    _write_names(right, view, scan)
    named = sum(bool(thing.category) for thing in scan.objects)
    seen = "without colour" if scan.rgb is None else "coloured"
    lines = [
        f"{scan.name}   {len(scan.xyz):,} points, {seen}, {scan.frame} axes, {len(scan.objects)} objects, {named} of "
        "them with a category"
    ]
    for said in instructions[:MOST_LINES]:
        targets = ", ".join(map(str, said.targets)) or "nothing"
        reply = answer([said.answer] if said.targets else [])
        lines += textwrap.wrap(f"[{targets}]  {said.text}  |  {reply}", _CHARACTERS)[:2]
    if len(instructions) > MOST_LINES:
        lines.append(f"… and {len(instructions) - MOST_LINES} more")
    both = beside(left, right)
    picture = Image.new("RGB", (both.width, both.height + _LINE * len(lines) + 16), _PAPER)
    picture.paste(both, (0, 0))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for number, line in enumerate(lines):
        draw.text((10, both.height + 8 + _LINE * number), line, fill=_FAINT if number == 0 else _INK, font=font)
    return picture


def _hidden(scan: Scan) -> np.ndarray:
    """(M,) bool: what lies between a map and who looks at it from above."""
    above = [thing.id for thing in scan.objects if thing.category in _ABOVE] if scan.frame == "map" else []
    return np.isin(scan.instance, above)


def _grey(view: View, xyz: np.ndarray) -> np.ndarray:
    """(M, 3): light where near."""
    there = np.isfinite(xyz).all(axis=1)
    depth = view.project(np.where(there[:, None], xyz, 0.0))[1]
    near, far = np.percentile(depth[there], [2, 98]) if there.any() else (0.0, 1.0)
    return np.repeat(230 - 170 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1)[:, None], 3, axis=1)


def _object_colours(scan: Scan, colours: np.ndarray) -> np.ndarray:
    """(M, 3): each object's own colour, shaded by the brightness of its points."""
    hues = {thing.id: _hue(number) for number, thing in enumerate(scan.objects)}
    ids, place = np.unique(scan.instance, return_inverse=True)
    palette = np.array([hues.get(id, _NO_OBJECT) for id in ids.tolist()], float)
    return 0.7 * palette[place] + 0.3 * colours.mean(axis=1, keepdims=True)


def _hue(number: int) -> list[float]:
    """By steps of the golden ratio round the colour circle, so that neighbours differ."""
    return [255 * value for value in colorsys.hsv_to_rgb(number * 0.618 % 1.0, 0.75, 0.95)]


def _paint(view: View, colours: np.ndarray) -> Image.Image:
    pixels = np.where((view.shown >= 0)[..., None], colours[view.shown], _EMPTY)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _write_names(image: Image.Image, view: View, scan: Scan) -> None:
    """Number and category on each object, or above or below a small one, where no larger one's words stand."""
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    ids = np.where(view.shown >= 0, scan.instance[view.shown], 0)
    taken: list[tuple[float, float, float, float]] = []
    for thing in sorted(scan.objects, key=lambda o: -o.points)[:MOST_NAMES]:
        rows, columns = np.nonzero(ids == thing.id)
        if len(rows) == 0:
            continue
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        places = [float(rows.min()) - 11, float(rows.max()) + 11]
        places.insert(0 if np.ptp(rows) > _TALL else 2, float(rows[nearest]))
        words = f"{thing.id} {thing.category}".strip()
        for row in places:
            at = float(columns[nearest]), row
            left, top, right, bottom = draw.textbbox(at, words, font=font, anchor="mm")
            box = left - 3, top - 2, right + 3, bottom + 2
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                taken.append(box)
                draw.rectangle(box, fill="#000000")
                draw.text(at, words, fill="#ffffff", font=font, anchor="mm")
                break
