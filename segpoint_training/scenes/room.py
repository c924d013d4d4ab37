"""What the objects stand on, and the room around: a table as a rule, now and then the floor or a shelf's board."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segpoint_training.scenes import colours, surroundings
from segpoint_training.scenes.camera import Camera
from segpoint_training.scenes.covers import draw_covers
from segpoint_training.scenes.shapes import Mesh, box, merged, prism, rotation, rounded_rectangle
from segpoint_training.scenes.surfaces import Skin, Surface, cloth, grain, plain
from segpoint_training.scenes.surroundings import Furniture

__all__ = ["Furniture", "Table", "draw_room", "draw_table"]


@dataclass(frozen=True)
class Table(Furniture):
    """What carries the objects of a table scene."""

    outline: np.ndarray  # (k, 2) of where objects may stand, convex, counter-clockwise, level frame, at z = 0
    thick: float  # metres, of the board
    material: str
    top: np.ndarray  # (k, 2) of the whole top; where it exceeds ``outline``, what is ``around`` stands
    category: str = "table"  # or "floor", "bookcase"
    around: tuple[Furniture, ...] = ()  # on it and at it, but no object of the scene

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of its board's box; the legs do not count."""
        return np.append(self.top.min(0), -self.thick), np.append(self.top.max(0), 0.0)


def draw_table(rng: np.random.Generator, camera: Camera) -> Table:
    """A table whose top is z = 0 under the point the camera looks at; what the camera's height says it must be."""
    if camera.floor == 0:
        return _floor(rng, camera)
    if camera.above < 0.8 * camera.reach and rng.random() < 0.09:
        return _shelf(rng, camera)
    yaw = rng.normal(0, 0.25) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    half, is_round, outline = _draw_top(rng)
    # the looked-at point lies somewhere on it; the border is often in the picture, but rarely in its middle
    spot = rng.uniform(-1, 1, 2) * np.maximum(half * (0.6 if is_round else 1) - 0.22, 0.02)
    turn = rotation(2, yaw)
    shift = np.array([camera.reach, 0.0]) - (turn[:2, :2] @ spot)
    thick = rng.uniform(0.018, 0.045)
    surface, material = _table_surface(rng)
    parts = [_board(outline, thick), *_legs(rng, half * (0.6 if is_round else 0.85), thick, camera.floor)]
    skins = list(surface.skins)
    for mesh, skin in draw_covers(rng, half, is_round, spot):
        parts.append(mesh.of_part(len(skins)))
        skins.append(skin)
    mesh = merged(parts).turned(turn, (*shift, 0.0))
    top = outline @ turn[:2, :2].T + shift
    free, around = _cluttered(rng, top, camera)
    around += _chairs(rng, top, camera)
    if rng.random() < 0.06:
        around.append(surroundings.arm(rng, np.array([camera.reach, 0.0]), camera.above))
    return Table(mesh, Surface(tuple(skins), surface.gloss), free, thick, material, top, around=tuple(around))


def _draw_top(rng: np.random.Generator) -> tuple[np.ndarray, bool, np.ndarray]:
    """Half extents (2,), whether it is round or oval, and outline (k, 2) of a table top centred on the origin."""
    if rng.random() < 0.2:
        angle = np.linspace(0, 2 * np.pi, 41)[:-1]
        half = np.full(2, rng.uniform(0.3, 0.75)) * (1.0, rng.choice((1.0, 1.0, 1.4)))
        return half, True, half * np.stack([np.cos(angle), np.sin(angle)], 1)
    length, width = (rng.uniform(0.9, 2.8), rng.uniform(0.65, 1.6)) if rng.random() < 0.85 else rng.uniform(0.5, 0.9, 2)
    size = (length, width) if rng.random() < 0.5 else (width, length)
    return np.array(size) / 2, False, rounded_rectangle(*size, float(rng.choice((0.004, 0.03, 0.1))), 4)


def _board(outline: np.ndarray, thick: float) -> Mesh:
    """The top, its upper side at z = 0; parts 0 side, 1 top with texture coordinates in metres, 2 bottom."""
    board = prism(outline, thick).turned(np.eye(3), (0, 0, -thick))
    uv = board.uv.copy()
    uv[4 * len(outline) : 5 * len(outline)] = outline
    return Mesh(board.vertices, board.normals, uv, board.faces, board.part)


def _legs(rng: np.random.Generator, spread: np.ndarray, thick: float, floor: float) -> list[Mesh]:
    if rng.random() < 0.5:  # a pedestal out of sight
        return []
    wide = rng.uniform(0.03, 0.07)
    return [box((wide, wide, -floor - thick), (*(spread * (x, y)), floor)).of_part(0)
            for x in (-1, 1) for y in (-1, 1)]  # fmt: skip


def _table_surface(rng: np.random.Generator) -> tuple[Surface, str]:
    names, shares = ("wood", "plain", "cloth", "marble", "metal"), (0.6, 0.24, 0.06, 0.07, 0.03)
    kind = str(rng.choice(names, p=shares))
    gloss = rng.uniform(0.0, 0.35)
    if kind == "wood":
        base = colours.from_hsv(rng.uniform(14, 40), rng.uniform(0.08, 0.6), 1 - rng.triangular(0.02, 0.12, 0.75))
        top = grain(rng, base, rng.triangular(0.002, 0.006, 0.055), rng.uniform(4, 14), 128, (0.9, 2.0))
    elif kind == "cloth":
        pair = [0.35 * rng.uniform(0.3, 1) + 0.65 * colours.draw(rng, str(name))
                for name in rng.choice(colours.NAMES, 2, replace=False)]  # washed out  # fmt: skip
        repeat = 1 / rng.uniform(0.03, 0.12)
        top = cloth(rng, pair[0], pair[1], (repeat, repeat))
        gloss = 0.0
    elif kind == "marble":
        name, size = str(rng.choice(("white", "gray", "black"))), rng.uniform(1.5, 8)
        top = grain(rng, colours.draw(rng, name), rng.uniform(0.01, 0.09), 2, 96, (size, size))
    elif kind == "metal":
        top, gloss = grain(rng, colours.draw(rng, "gray"), 0.02, 14, 96), rng.uniform(0.4, 0.7)
    else:
        name = str(rng.choice(("white", "gray", "black", "brown", "green", "blue", "red"),
                              p=(0.45, 0.29, 0.09, 0.07, 0.04, 0.04, 0.02)))  # fmt: skip
        top = plain(colours.draw(rng, name))
    side = plain(top.texture.reshape(-1, 3).mean(0) * rng.uniform(0.5, 1.0))
    material = {"wood": "wood", "cloth": "cloth", "marble": "stone", "metal": "metal"}.get(kind, "")
    return Surface((side, top, side), gloss), material


def _floor(rng: np.random.Generator, camera: Camera) -> Table:
    """A stretch of floor that objects stand on."""
    outline = rounded_rectangle(16.0, 16.0, 0.1) + (2.0, 0.0)
    mesh = box((16, 16, 0.02), (2.0, 0, -0.02)).of_part(0)
    surface = Surface((surroundings.floor_skin(rng),), float(rng.uniform(0, 0.25)))
    near = rounded_rectangle(2.4, 2.4, 0.4) + (camera.reach, 0.0)
    return Table(mesh, surface, near, 0.02, "", outline, "floor")


def _shelf(rng: np.random.Generator, camera: Camera) -> Table:
    """A board of a shelf with its back and sides, open towards the camera."""
    deep, wide, high = rng.uniform(0.3, 0.45), rng.uniform(0.7, 1.4), rng.uniform(0.35, 0.6)
    thick = rng.uniform(0.016, 0.03)
    outline = rounded_rectangle(deep, wide, 0.002, 2)
    parts = [_board(outline, thick).of_part(0), box((0.01, wide, high + 0.6), (deep / 2 + 0.006, 0, -0.5)).of_part(1)]
    if rng.random() < 0.7:
        parts += [box((deep, thick, high + 0.6), (0, side * (wide + thick) / 2, -0.5)).of_part(0) for side in (-1, 1)]
    if high / (deep / 2) > 2.2 * camera.above / camera.reach:  # a board above that does not hide this one
        parts.append(box((deep, wide, thick), (0, 0, high)).of_part(0))
    skin: Skin = plain(colours.from_hsv(rng.uniform(0, 360), rng.uniform(0, 0.12), rng.uniform(0.5, 0.97)))
    material = ""
    if rng.random() < 0.5:
        base = colours.from_hsv(rng.uniform(16, 38), rng.uniform(0.1, 0.55), rng.uniform(0.35, 0.95))
        skin, material = grain(rng, base, 0.01, 10), "wood"
    turn, shift = rotation(2, rng.normal(0, 0.2)), np.array([camera.reach, rng.uniform(-0.2, 0.2)])
    mesh = merged(parts).turned(turn, (*shift, 0.0))
    top = outline @ turn[:2, :2].T + shift
    back = plain(skin.texture.reshape(-1, 3).mean(0) * rng.uniform(0.8, 1.0))
    return Table(mesh, Surface((skin, back), 0.1), top, thick, material, top, "bookcase")


def _cluttered(rng: np.random.Generator, top: np.ndarray, camera: Camera) -> tuple[np.ndarray, list[Furniture]]:
    """The outline left for objects, and things along one side of the table, mostly a far or outer one."""
    whole = np.linalg.norm(np.ptp(top, axis=0))
    if whole < 1.1 or rng.random() < 0.6:
        return top, []
    angle = rng.choice((0.0, 0.5, -0.5)) * np.pi + rng.normal(0, 0.2)
    normal = np.array([np.cos(angle), np.sin(angle)])
    along = np.array([-normal[1], normal[0]])
    strip = rng.uniform(0.12, 0.3)
    limit = float((top @ normal).max()) - strip
    if limit < normal @ (camera.reach, 0.0) + 0.15:  # what is looked at must stay free
        return top, []
    free = _cut(top, normal, limit)
    pieces: list[Furniture] = []
    taken: list[tuple[np.ndarray, float]] = []
    for _ in range(int(rng.integers(1, 7))):
        radius = rng.uniform(0.04, strip / 2)
        spot = normal * (limit + rng.uniform(radius, strip - radius)) + along * (
            along @ (camera.reach, 0.0) + rng.normal(0, 0.4)
        )
        outside = _cut(top, -normal, -limit)
        if all(np.linalg.norm(spot - other) > radius + size for other, size in taken) and _within(spot, outside):
            taken.append((spot, radius))
            pieces.append(surroundings.oddment(rng, spot, radius))
    return free, pieces


def _cut(outline: np.ndarray, normal: np.ndarray, limit: float) -> np.ndarray:
    """The part of a convex outline (k, 2) where normal · p ≤ limit."""
    level = outline @ normal - limit
    kept: list[np.ndarray] = []
    for a, b, p, q in zip(outline, np.roll(outline, -1, 0), level, np.roll(level, -1), strict=True):
        if p <= 0:
            kept.append(a)
        if (p < 0) != (q < 0) and p != q:
            kept.append(a + (b - a) * (p / (p - q)))
    return np.array(kept)


def _within(point: np.ndarray, outline: np.ndarray) -> bool:
    edge, offset = np.roll(outline, -1, 0) - outline, point - outline
    return bool((edge[:, 0] * offset[:, 1] - edge[:, 1] * offset[:, 0] >= 0).all())


def _chairs(rng: np.random.Generator, top: np.ndarray, camera: Camera) -> list[Furniture]:
    """Chairs at the table, none between it and the camera."""
    pieces = []
    middle = top.mean(0)
    for _ in range(int(rng.choice((0, 1, 2, 3), p=(0.5, 0.25, 0.15, 0.1)))):
        angle = rng.uniform(-1.9, 1.9)
        outward = np.array([np.cos(angle), np.sin(angle)])
        border = float(((top - middle) @ outward).max())
        place = middle + outward * (border + rng.uniform(0.05, 0.4))
        if np.linalg.norm(place) > 0.9 and place[0] > 0.3 * camera.reach:
            pieces.append(surroundings.chair(rng, place, angle + np.pi + rng.normal(0, 0.3), camera.floor))
    return pieces


def draw_room(rng: np.random.Generator, camera: Camera) -> list[Furniture]:
    """Floor, one or two walls, and furniture before them; nothing of it reaches over the table."""
    behind = camera.reach + rng.uniform(0.8, 3.5)
    pieces = [] if camera.floor == 0 else [surroundings.floor(rng, camera.floor)]
    pieces += surroundings.walls(rng, camera.floor, behind)
    pieces += [surroundings.cabinet(rng, camera.floor, behind) for _ in range(int(rng.integers(0, 5)))]
    return pieces
