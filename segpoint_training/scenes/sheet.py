"""Generated scenes on one sheet, to look at: colour beside labels, and what is said about each."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from segpoint_training.scenes.scene import Scene

CELL = (320, 240)  # pixels of one view
LINES = 6  # instructions printed under a scene
LINE = 14  # pixels a line
HOLE = (30, 30, 36)  # where the sensor saw nothing


def draw_sheet(path: str | Path, scenes: Sequence[Scene], columns: int = 2) -> None:
    """Draw each scene as a pair of views, ``columns`` pairs a row."""
    width, height = 2 * CELL[0] + 8, CELL[1] + (LINES + 1) * LINE
    rows = -(-len(scenes) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for index, scene in enumerate(scenes):
        sheet.paste(_draw_scene(scene, (width, height)), (index % columns * width, index // columns * height))
    sheet.save(path)


def _draw_scene(scene: Scene, size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    picture.paste(_view(scene, _seen_colours(scene)), (0, 0))
    picture.paste(_view(scene, _label_colours(scene)), (CELL[0], 0))
    draw = ImageDraw.Draw(picture)
    names = ", ".join(f"{thing.colour} {thing.category}".strip() for thing in scene.objects)
    texts = [f"seed {scene.seed}: {names}"]
    texts += [f"{said.kind} {list(said.targets)}: {said.text}" for said in scene.instructions]
    for number, text in enumerate(texts[: LINES + 1]):
        draw.text((4, CELL[1] + number * LINE), text[:104], fill="black")
    return picture


def _view(scene: Scene, colours: np.ndarray) -> Image.Image:
    """``colours`` (M, 3) uint8 as a picture the size of a cell."""
    return Image.fromarray(colours.reshape(scene.height, scene.width, 3)).resize(CELL, Image.Resampling.NEAREST)


def _seen_colours(scene: Scene) -> np.ndarray:
    return np.where(np.isfinite(scene.xyz).all(axis=1, keepdims=True), scene.rgb, np.array(HOLE, np.uint8))


def _label_colours(scene: Scene) -> np.ndarray:
    """A colour of its own for each object, by steps of the golden ratio round the colour circle; the table is grey."""
    palette = np.zeros((int(scene.instance.max()) + 2, 3), np.uint8)
    for number in range(2, len(palette)):
        palette[number] = [int(255 * v) for v in colorsys.hsv_to_rgb(number * 0.618 % 1.0, 0.75, 0.95)]
    palette[0], palette[1] = HOLE, (120, 120, 120)
    return palette[scene.instance]
