"""The empty room: floor, walls with openings for doors and windows, what is seen beyond, a ceiling."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.shapes import Mesh, box, merged, rotation
from segpoint_training.scenes.surfaces import Skin, Surface, cloth, grain, plain

THICK = 0.12  # metres, of walls


@dataclass(frozen=True)
class Opening:
    """A hole in the wall of ``side``: from ``start`` to ``end`` along it, ``low`` to ``high`` up, metres."""

    side: int
    start: float
    end: float
    low: float
    high: float


@dataclass(frozen=True)
class Shell:
    """A room centred on the origin, floor at z = 0, its sides numbered 0 (+x), 1 (+y), 2 (−x), 3 (−y)."""

    length: float  # metres along x
    width: float  # along y
    height: float
    sides: tuple[int, ...]  # those that have a wall
    openings: tuple[Opening, ...]
    floor: tuple[Mesh, Surface]
    walls: tuple[tuple[Mesh, Surface], ...]  # as ``sides``
    beyond: tuple[tuple[Mesh, Surface], ...]  # ceiling and what is seen through windows: no objects

    def distance(self, side: int) -> float:
        """From the middle to the wall of ``side``."""
        return (self.width if side % 2 else self.length) / 2

    def span(self, side: int) -> float:
        """Length of the wall of ``side``."""
        return self.length if side % 2 else self.width


def outward(side: int) -> np.ndarray:
    """(2,) unit vector through the wall of ``side``, out of the room."""
    return np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][side % 4])


def draw_shell(rng: np.random.Generator, theme: str, doors: tuple[float, float] | None) -> Shell:
    """A room of 2.5–6 m, smaller for a bathroom, with 2–4 walls. ``doors``: width and height of the doorway, if any."""
    low, high = {"bathroom": (1.9, 3.2), "kitchen": (2.5, 4.5), "bedroom": (2.9, 4.8)}.get(theme, (3.0, 6.0))
    length, width = rng.uniform(low, high), rng.uniform(low, high)
    height = rng.uniform(2.35, 2.8)
    count = int(rng.choice((2, 3, 4), p=(0.2, 0.25, 0.55)))
    first = int(rng.integers(4))
    sides = tuple(sorted((first + k) % 4 for k in range(count)))
    openings = []
    if doors is not None:
        side = int(rng.choice(sides))
        span = width if side % 2 == 0 else length
        free = span / 2 - doors[0] / 2 - 0.12
        # doors are near corners
        middle = float(rng.choice((-1, 1)) * free * rng.uniform(0.6, 1.0))
        openings.append(Opening(side, middle - doors[0] / 2, middle + doors[0] / 2, 0.0, doors[1]))
    for side in sides:
        if rng.random() < 0.4 and not any(o.side == side for o in openings):
            span = width if side % 2 == 0 else length
            wide = min(rng.uniform(0.7, 2.0), span - 0.6)
            middle = rng.uniform(-1, 1) * (span - wide - 0.4) / 2
            sill = rng.uniform(0.8, 1.0)
            openings.append(Opening(side, middle - wide / 2, middle + wide / 2, sill, sill + rng.uniform(0.9, 1.3)))
    floor = _floor(rng, length, width)
    room = Shell(length, width, height, sides, tuple(openings), floor, (), ())
    surface = _wall_surface(rng)
    walls = tuple((_wall(room, side), surface if rng.random() < 0.85 else _wall_surface(rng)) for side in sides)
    return replace(room, walls=walls, beyond=tuple(_beyond(room, rng)))


def _floor(rng: np.random.Generator, length: float, width: float) -> tuple[Mesh, Surface]:
    mesh = _in_metres(box((length + 2 * THICK, width + 2 * THICK, 0.05), (0, 0, -0.05)).of_part(0))
    kind = rng.choice(("wood", "tiles", "carpet", "plain"), p=(0.5, 0.25, 0.17, 0.08))
    if kind == "wood":
        base = colours.from_hsv(rng.uniform(18, 38), rng.uniform(0.15, 0.6), rng.uniform(0.35, 0.9))
        texture = grain(rng, base, rng.uniform(0.02, 0.06), 14, 128).texture.copy()
        boards = int(rng.integers(5, 10))
        for k in range(boards):  # boards differ a little and have dark joints
            rows = slice(k * 128 // boards, (k + 1) * 128 // boards)
            texture[rows] *= rng.uniform(0.9, 1.08)
            texture[rows.start] *= 0.7
        return mesh, Surface((Skin(np.clip(texture, 0, 1), (0.6, 1.0)),), rng.uniform(0.0, 0.3))
    if kind == "tiles":
        base = colours.from_hsv(rng.uniform(0, 360), rng.uniform(0, 0.2), rng.uniform(0.4, 0.95))
        texture = grain(rng, base, 0.02, 1, 64).texture.copy()
        texture[:2] = texture[:, :2] = base * rng.uniform(0.5, 0.9)
        if rng.random() < 0.3:
            texture[2:32, 2:32] *= rng.uniform(0.4, 0.9)
            texture[32:, 32:] *= rng.uniform(0.4, 0.9)
        per_metre = 1 / rng.uniform(0.25, 0.6)
        return mesh, Surface((Skin(texture, (per_metre, per_metre)),), rng.uniform(0.05, 0.4))
    base = colours.from_hsv(rng.uniform(0, 360), rng.uniform(0, 0.35), rng.uniform(0.25, 0.85))
    skin = grain(rng, base, 0.06, 1, 96) if kind == "carpet" else plain(base)
    return mesh, Surface((skin,), 0.0)


def _wall_surface(rng: np.random.Generator) -> Surface:
    paint = colours.from_hsv(rng.uniform(0, 360), rng.triangular(0.0, 0.03, 0.35), rng.uniform(0.6, 0.98))
    kind = rng.random()
    if kind < 0.15:  # wallpaper
        second = paint * rng.uniform(0.7, 0.95)
        skin = cloth(rng, paint, second, (1 / rng.uniform(0.1, 0.4), 1 / rng.uniform(0.1, 0.4)))
    elif kind < 0.25:  # tiles
        texture = np.tile(paint, (24, 24, 1))
        texture[0] = texture[:, 0] = paint * 0.75
        skin = Skin(texture.astype(np.float32), (1 / rng.uniform(0.1, 0.3), 1 / rng.uniform(0.1, 0.3)))
    else:
        skin = grain(rng, paint, 0.012, 1, 96)
    return Surface((skin, plain(np.full(3, 0.92))), 0.0)


def _in_metres(mesh: Mesh) -> Mesh:
    """Texture coordinates from positions: a floor's across it, a wall's along it and up."""
    x, y, z = mesh.vertices.T
    level = np.abs(mesh.normals[:, 2]) > 0.5
    uv = np.stack([np.where(level, x, y), np.where(level, y, z)], 1)
    return replace(mesh, uv=uv.astype(np.float32))


def _wall(room: Shell, side: int) -> Mesh:
    """The wall of ``side``: what its openings leave of it, and frames (part 1) in its windows."""
    half = room.span(side) / 2 + (THICK if side % 2 == 0 else 0)  # corners are filled once
    at = room.distance(side) + THICK / 2
    pieces = []
    holes = sorted((o for o in room.openings if o.side == side), key=lambda o: o.start)
    edge = -half
    for hole in holes:
        pieces.append((edge, hole.start, 0.0, room.height, 0))
        if hole.low > 0:
            pieces.append((hole.start, hole.end, 0.0, hole.low, 0))
            middle = (hole.start + hole.end) / 2
            for u in (hole.start + 0.025, middle, hole.end - 0.025):
                pieces.append((u - 0.025, u + 0.025, hole.low, hole.high, 1))
            for z in (hole.low, hole.high - 0.05):
                pieces.append((hole.start, hole.end, z, z + 0.05, 1))
        pieces.append((hole.start, hole.end, hole.high, room.height, 0))
        edge = hole.end
    pieces.append((edge, half, 0.0, room.height, 0))
    blocks = []
    for start, end, low, high, part in pieces:
        thick = THICK if part == 0 else 0.06
        blocks.append(box((thick, end - start, high - low), (at, (start + end) / 2, low)).of_part(part))
    return _in_metres(merged(blocks)).turned(rotation(2, side * np.pi / 2))


def _beyond(room: Shell, rng: np.random.Generator) -> list[tuple[Mesh, Surface]]:
    ceiling = box((room.length + 2 * THICK, room.width + 2 * THICK, 0.05), (0, 0, room.height + 0.002)).of_part(0)
    things = [(ceiling, Surface((plain(np.full(3, rng.uniform(0.75, 0.97))),), 0.0))]
    for hole in room.openings:
        far = room.distance(hole.side) + (1.5 if hole.low > 0 else 1.2)
        bright = colours.from_hsv(rng.uniform(180, 220), rng.uniform(0, 0.2), rng.uniform(0.8, 1.0))
        is_window = hole.low > 0
        skin = plain(bright if is_window else np.full(3, rng.uniform(0.3, 0.8)))
        wide = hole.end - hole.start + 3.0
        sheet = box((0.02, wide, 4.0), (far, (hole.start + hole.end) / 2, -0.7)).of_part(0)
        # behind glass there is no answer
        surface = Surface((skin,), 0.0, 0.97 if is_window else 0.0)
        things.append((sheet.turned(rotation(2, hole.side * np.pi / 2)), surface))
    return things
