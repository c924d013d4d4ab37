"""What furniture is put together from: blocks, rods, boards, legs, cylinders, wood."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.model import Draw
from segpoint_training.scenes.shapes import Mesh, box, lathe, prism, rounded_rectangle
from segpoint_training.scenes.surfaces import Skin, grain, plain


def block(size: tuple[float, float, float], shift: tuple[float, float, float], part: int = 0) -> Mesh:
    """A box of one part whose bottom's middle is ``shift``."""
    return box(size, shift).of_part(part)


def rod(start: tuple[float, float, float], end: tuple[float, float, float], thick: float, part: int = 0) -> Mesh:
    """A square rod between two points."""
    along = np.subtract(end, start)
    length = float(np.linalg.norm(along))
    z = along / length
    x = np.cross((0.0, 1.0, 0.0) if abs(z[1]) < 0.9 else (1.0, 0.0, 0.0), z)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z], 1)
    return box((thick, thick, length)).of_part(part).turned(turn, start)


def slab(length: float, width: float, thick: float, shift: tuple[float, float, float], part: int = 0,
         radius: float = 0.03) -> Mesh:  # fmt: skip
    """A board or cushion with rounded corners whose bottom's middle is ``shift``."""
    return prism(rounded_rectangle(length, width, radius, 3), thick, smooth=True).of_part(part).turned(np.eye(3), shift)


def legs(length: float, width: float, height: float, thick: float, part: int = 0, splay: float = 0.0) -> list[Mesh]:
    """Four legs under the corners of a rectangle; ``splay`` metres further out at the floor."""
    return [
        rod((sx * (length / 2 + splay), sy * (width / 2 + splay), 0), (sx * length / 2, sy * width / 2, height), thick,
            part)
        for sx in (-1, 1) for sy in (-1, 1)
    ]  # fmt: skip


def cylinder(radius: float, height: float, part: int = 0, base: float = 0.0) -> Mesh:
    """An upright cylinder from z = ``base`` up."""
    profile = [(0.0, base), (radius, base), (radius, base + height), (0.0, base + height)]
    return lathe(profile, part, 14)


def wood(draw: Draw) -> Skin:
    """Bare, stained or painted wood."""
    if draw.chance(0.25):
        return plain(draw.colour(white=6, black=2.5, gray=2, rest=0.3))
    base = colours.from_hsv(draw.uniform(16, 38), draw.uniform(0.2, 0.65), draw.uniform(0.3, 0.92))
    return grain(draw.rng, base, draw.uniform(0.02, 0.1), draw.uniform(6, 14), 64)
