"""Generated scenes on one sheet, to look at: colour, labels, and what is said about each.

A depth image is shown as it is; any other cloud in perspective from behind its sensor, and its labels from above.
"""

from __future__ import annotations

import colorsys
import textwrap

import numpy as np
from PIL import Image, ImageDraw

from segpoint.projection import look_from_outside
from segpoint_training.scenes.request import SceneRequest
from segpoint_training.scenes.scene import Scene

CELL = (320, 240)  # pixels of one view
TEXT = 440  # pixels of the words beside the two views
LINE = 13  # pixels a line
CHARACTERS = 74  # a line
HOLE = (30, 30, 36)  # where the sensor saw nothing
NOTHING = (70, 70, 78)  # points of no object
PAPER, INK, FAINT = "#f7f7f5", "#16181c", "#6b7480"


def draw_request(request: SceneRequest) -> Image.Image:
    """Generate a scene and draw it."""
    return draw_scene(request.generate())


def draw_scene(scene: Scene) -> Image.Image:
    """A panel of two views and the instructions."""
    panel = Image.new("RGB", (2 * CELL[0] + TEXT, CELL[1] + 2), PAPER)
    organised = scene.height > 1
    panel.paste(_as_image(scene, _seen_colours(scene)) if organised else _perspective(scene), (0, 0))
    panel.paste((_as_image if organised else _from_above)(scene, _label_colours(scene)), (CELL[0], 0))
    draw = ImageDraw.Draw(panel)
    names = ", ".join(f"{thing.colour} {thing.category}".strip() for thing in scene.objects)
    head = f"{scene.scale} {scene.seed}, {scene.sensor}, {len(scene.xyz):,} points: {names}"
    lines = [(line, FAINT) for line in textwrap.wrap(head, CHARACTERS)[:4]]
    for said in scene.instructions:
        place = f" [{said.place}]" if said.place else ""
        lines.append((f"{said.kind}{place} {list(said.targets)}: {said.text}"[:CHARACTERS], INK))
    for number, (line, ink) in enumerate(lines[: CELL[1] // LINE]):
        draw.text((2 * CELL[0] + 8, 2 + number * LINE), line, fill=ink)
    return panel


def _as_image(scene: Scene, colours: np.ndarray) -> Image.Image:
    """``colours`` (M, 3) uint8 of a depth image's points, the size of a cell."""
    return Image.fromarray(colours.reshape(scene.height, scene.width, 3)).resize(CELL, Image.Resampling.NEAREST)


def _perspective(scene: Scene) -> Image.Image:
    """From behind and above the sensor; of a map, from outside its walls, which are left out where they are near."""
    xyz = scene.xyz
    if scene.frame == "map":
        xyz = np.where(_hides(scene)[:, None], np.nan, xyz)
    shown = look_from_outside(xyz, "optical" if scene.frame == "optical" else "body").shown
    colours = np.concatenate([_seen_colours(scene), [HOLE]])
    return Image.fromarray(colours[shown].astype(np.uint8)).resize(CELL, Image.Resampling.BOX)


def _hides(scene: Scene) -> np.ndarray:
    """(M,) bool: walls before the middle of a map, seen along x."""
    walls = [thing.id for thing in scene.objects if thing.category in ("wall", "door", "curtain", "blinds")]
    return np.isin(scene.instance, walls) & (scene.xyz[:, 0] < np.nanmedian(scene.xyz[:, 0]))


def _from_above(scene: Scene, colours: np.ndarray) -> Image.Image:
    """``colours`` of the highest point of each cell of the ground, x up the picture and y to its left."""
    seen = np.flatnonzero(np.isfinite(scene.xyz).all(axis=1))
    if len(seen) == 0:
        return Image.new("RGB", CELL, HOLE)
    seen = seen[np.argsort(scene.xyz[seen, 2], kind="stable")]  # the highest is drawn last
    ground = -scene.xyz[seen][:, 1::-1].astype(np.float64)  # columns: picture's right and down
    low, high = np.percentile(ground, [1, 99], axis=0)
    scale = 0.94 * np.min(np.array(CELL) / np.maximum(high - low, 1e-3))
    pixel = np.floor((ground - (low + high) / 2) * scale + np.array(CELL) / 2).astype(int)
    picture = np.empty((CELL[1], CELL[0], 3), np.uint8)
    picture[:] = HOLE
    for right, down in ((1, 1), (1, 0), (0, 1), (0, 0)):  # two pixels wide, its own pixel last
        column, row = pixel[:, 0] + right, pixel[:, 1] + down
        inside = (column >= 0) & (column < CELL[0]) & (row >= 0) & (row < CELL[1])
        picture[row[inside], column[inside]] = colours[seen[inside]]
    return Image.fromarray(picture)


def _seen_colours(scene: Scene) -> np.ndarray:
    """(M, 3) uint8: the sensor's colours, or without them light where near (depth image) or high (any other cloud)."""
    there = np.isfinite(scene.xyz).all(axis=1)
    if scene.rgb is not None:
        return np.where(there[:, None], scene.rgb, np.array(HOLE, np.uint8))
    value = -scene.xyz[:, 2] if scene.frame == "optical" else scene.xyz[:, 2]
    low, high = np.percentile(value[there], [2, 98]) if there.any() else (0.0, 1.0)
    with np.errstate(invalid="ignore"):
        grey = 60 + 180 * np.clip((value - low) / max(high - low, 1e-6), 0, 1)
    return np.where(there, grey, HOLE[0])[:, None].repeat(3, axis=1).astype(np.uint8)


def _label_colours(scene: Scene) -> np.ndarray:
    """A colour of its own for each object, by steps of the golden ratio round the colour circle; object 1 is grey."""
    palette = np.zeros((int(scene.instance.max()) + 2, 3), np.uint8)
    for number in range(2, len(palette)):
        palette[number] = [int(255 * v) for v in colorsys.hsv_to_rgb(number * 0.618 % 1.0, 0.75, 0.95)]
    palette[0], palette[1] = NOTHING, (130, 130, 130)
    there = np.isfinite(scene.xyz).all(axis=1, keepdims=True)
    return np.where(there, palette[scene.instance], np.array(HOLE, np.uint8))
