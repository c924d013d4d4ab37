"""What stands around the objects: the table, and at times floor, walls and furniture behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.camera import Camera
from segpoint_training.scenes.shapes import Mesh, box, merged, prism, rotation, rounded_rectangle
from segpoint_training.scenes.surfaces import Skin, Surface, cloth, grain, plain

_FLOOR = -0.73  # under the table top


@dataclass(frozen=True)
class Furniture:
    mesh: Mesh  # level frame
    surface: Surface


@dataclass(frozen=True)
class Table(Furniture):
    outline: np.ndarray  # (k, 2) of its top, counter-clockwise, level frame
    thick: float  # metres, of the board
    material: str

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of its board's box; the legs do not count."""
        return np.append(self.outline.min(0), -self.thick), np.append(self.outline.max(0), 0.0)


def draw_table(rng: np.random.Generator, camera: Camera) -> Table:
    """A table whose top is z = 0 under the point the camera looks at."""
    yaw = rng.normal(0, 0.25) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    if rng.random() < 0.15:
        angle = np.linspace(0, 2 * np.pi, 41)[:-1]
        radius = rng.uniform(0.4, 0.75)
        outline, half = radius * np.stack([np.cos(angle), np.sin(angle)], 1), np.full(2, 0.55 * radius)
    else:
        length, width = rng.uniform(0.9, 2.8), rng.uniform(0.65, 1.6)
        outline, half = rounded_rectangle(length, width, rng.choice((0.004, 0.03)), 3), np.array([length, width]) / 2
        if rng.random() < 0.5:
            outline, half = outline[:, ::-1][::-1], half[::-1]
    # the looked-at point lies somewhere on it, mostly not at the border
    spot = rng.uniform(-1, 1, 2) * np.maximum(half - 0.25, 0.02)
    turn = rotation(2, yaw)
    shift = np.array([camera.reach, 0.0]) - (turn[:2, :2] @ spot)
    thick = rng.uniform(0.018, 0.045)
    mesh = prism(outline, thick)
    has_legs = rng.random() < 0.4  # else a pedestal out of sight
    legs = [box((0.05, 0.05, -_FLOOR - thick), (*(0.8 * half * (sx, sy)), _FLOOR)).of_part(0)
            for sx in (-1, 1) for sy in (-1, 1) if has_legs]  # fmt: skip
    top = mesh.turned(np.eye(3), (0, 0, -thick))
    uv = top.uv.copy()
    on_top = slice(4 * len(outline), 5 * len(outline))
    uv[on_top] = outline  # the top's texture in metres
    top = Mesh(top.vertices, top.normals, uv, top.faces, top.part)
    surface, material = _table_surface(rng)
    mesh = merged([top, *legs]).turned(turn, (*shift, 0.0))
    return Table(mesh, surface, outline @ turn[:2, :2].T + shift, thick, material)


def _table_surface(rng: np.random.Generator) -> tuple[Surface, str]:
    kind = rng.choice(("wood", "plain", "cloth", "marble"), p=(0.66, 0.2, 0.08, 0.06))
    gloss = rng.uniform(0.0, 0.35)
    if kind == "wood":
        base = colours.from_hsv(rng.uniform(16, 38), rng.uniform(0.1, 0.55), 1 - rng.triangular(0.02, 0.12, 0.65))
        top = grain(rng, base, rng.triangular(0.002, 0.006, 0.055), rng.uniform(5, 14), 128, (0.9, 2.0))
    elif kind == "cloth":
        names = rng.choice(colours.NAMES, 2, replace=False)
        repeat = 1 / rng.uniform(0.03, 0.12)
        pair = [0.35 * rng.uniform(0.3, 1) + 0.65 * colours.draw(rng, name) for name in names]  # washed out
        top = cloth(rng, pair[0], pair[1], (repeat, repeat))
        gloss = 0.0
    elif kind == "marble":
        top = grain(rng, colours.draw(rng, str(rng.choice(("white", "gray", "black")))), rng.uniform(0.01, 0.07), 2, 96,
                    (2, 2))  # fmt: skip
    else:
        name = str(rng.choice(("white", "gray", "black", "brown", "green", "blue", "red"),
                              p=(0.4, 0.28, 0.15, 0.07, 0.04, 0.04, 0.02)))  # fmt: skip
        top = plain(colours.draw(rng, name))
    side = plain(top.texture.reshape(-1, 3).mean(0) * rng.uniform(0.5, 1.0))
    return Surface((side, top, side), gloss), {"wood": "wood", "cloth": "cloth", "marble": "stone"}.get(str(kind), "")


def draw_room(rng: np.random.Generator, camera: Camera) -> list[Furniture]:
    """Floor, one or two walls, and boxes that stand for cabinets and chairs; nothing of it reaches over the table."""
    floor = box((14, 14, 0.01), (2.0, 0, _FLOOR - 0.01)).of_part(0)
    wood = grain(rng, colours.from_hsv(rng.uniform(20, 40), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.8)), 0.05, 10, 64,
                 (10, 20))  # fmt: skip
    pieces = [Furniture(floor, Surface((wood,), 0.1))]
    behind = camera.reach + rng.uniform(1.3, 3.0)
    wall = box((0.1, 14, 4.0), (behind + 0.05, 0, _FLOOR)).of_part(0).turned(rotation(2, rng.normal(0, 0.12)))
    paint = plain(colours.from_hsv(rng.uniform(0, 360), rng.uniform(0.0, 0.2), rng.uniform(0.55, 0.98)))
    pieces.append(Furniture(wall, Surface((paint,), 0.0)))
    for _ in range(int(rng.integers(0, 5))):
        size = (rng.uniform(0.2, 0.6), rng.uniform(0.25, 1.0), rng.uniform(0.3, 1.6))
        side = rng.uniform(-1.8, 1.8)
        spot = (behind - 0.4 - rng.uniform(0, 0.1), side, _FLOOR)
        skin: Skin = plain(colours.draw(rng, str(rng.choice(colours.NAMES))) * rng.uniform(0.4, 1.0))
        pieces.append(Furniture(box(size, spot).of_part(0), Surface((skin,), 0.05)))
    return pieces
