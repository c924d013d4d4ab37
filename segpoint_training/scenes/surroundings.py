"""What stands around a table and is no object of its scene: walls, cabinets, chairs, odd things at its border.

None of it is named or labelled. So that no label says what a viewer would contradict, what stands on the table here
has a shape without a name of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.shapes import Mesh, box, lathe, merged, prism, rotation, rounded_rectangle, tube
from segpoint_training.scenes.surfaces import Skin, Surface, banded, grain, plain, printed


@dataclass(frozen=True)
class Furniture:
    """A thing without a label."""

    mesh: Mesh  # level frame
    surface: Surface


def floor(rng: np.random.Generator, level: float) -> Furniture:
    """A floor 16 m wide whose upper side is at height ``level``."""
    mesh = box((16, 16, 0.01), (2.0, 0, level - 0.01)).of_part(0)
    return Furniture(mesh, Surface((floor_skin(rng),), float(rng.uniform(0, 0.25))))


def floor_skin(rng: np.random.Generator) -> Skin:
    """Planks, tiles, carpet or linoleum over 16 m."""
    kind = rng.choice(("planks", "tiles", "carpet", "plain"), p=(0.35, 0.2, 0.25, 0.2))
    if kind == "planks":
        base = colours.from_hsv(rng.uniform(20, 40), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.85))
        rows = 16
        texture = np.repeat(np.repeat(base * rng.normal(1, 0.08, (rows, 4, 1)), 8, 0), 32, 1)
        texture *= 1 + 0.05 * rng.standard_normal((8 * rows, 1, 1))
        texture[::8] *= 0.75
        return Skin(np.clip(texture, 0, 1).astype(np.float32), (5.0, 9.0))
    hue, value = rng.uniform(0, 360), rng.uniform(0.25, 0.85)
    base = colours.from_hsv(hue, rng.triangular(0, 0.03, 0.1 if kind == "tiles" else 0.3), value)
    if kind == "tiles":
        texture = np.tile(base, (32, 32, 1))
        texture[0], texture[:, 0] = base * 0.75, base * 0.75
        repeat = rng.uniform(25, 55)
        return Skin(texture.astype(np.float32), (repeat, repeat))
    contrast = rng.uniform(0.03, 0.12) if kind == "carpet" else rng.uniform(0.005, 0.03)
    return grain(rng, base, contrast, 1, 128, (40, 40))


def walls(rng: np.random.Generator, level: float, behind: float) -> list[Furniture]:
    """A wall ``behind`` metres away with what hangs on it, and often a second at the side."""
    paint = colours.from_hsv(rng.uniform(0, 360), rng.triangular(0.0, 0.02, 0.25), rng.uniform(0.55, 0.98))
    turn = rotation(2, rng.normal(0, 0.15) if rng.random() < 0.7 else rng.uniform(-0.7, 0.7))
    sides = [turn]
    if rng.random() < 0.45:
        sides.append(turn @ rotation(2, float(rng.choice((-1, 1))) * np.pi / 2))
    pieces = []
    for number, side in enumerate(sides):
        away = behind if number == 0 else rng.uniform(0.8, 2.5)
        parts = [box((0.1, 14, 4.0), (away + 0.05, 0, level)).of_part(0)]
        skins = [plain(paint * (1 - 0.04 * number))]
        if rng.random() < 0.5:  # skirting
            parts.append(box((0.02, 14, 0.08), (away - 0.01, 0, level)).of_part(1))
        if rng.random() < 0.4:  # a cable duct, a rail, a window sill
            height, depth = level + rng.uniform(0.75, 1.3), rng.uniform(0.03, 0.2)
            parts.append(box((depth, 14, rng.uniform(0.04, 0.2)), (away - depth / 2, 0, height)).of_part(1))
        skins.append(plain(paint * rng.uniform(0.6, 1.0) if rng.random() < 0.7 else colours.draw(rng, "white")))
        mesh = merged(parts).turned(side)
        pieces.append(Furniture(mesh, Surface(tuple(skins), 0.0)))
        pieces += [_hanging(rng, level, away, side) for _ in range(int(rng.integers(0, 4)))]
    return pieces


def _hanging(rng: np.random.Generator, level: float, away: float, side: np.ndarray) -> Furniture:
    """A poster, a window, a board or a door in a wall."""
    kind = rng.choice(("poster", "window", "board", "door"))
    width, height, low = rng.uniform(0.4, 1.2), rng.uniform(0.4, 0.9), level + rng.uniform(0.9, 1.5)
    if kind == "poster":
        surface = Surface((printed(rng, colours.draw(rng, str(rng.choice(colours.NAMES))), 2.0),))
    elif kind == "window":
        width, height = rng.uniform(0.8, 2.0), rng.uniform(0.9, 1.6)
        surface = Surface((_panelled(rng, np.array([0.85, 0.93, 1.0]) * rng.uniform(0.3, 1.0), 1, 2),), 0.9, 0.9)
    elif kind == "board":
        width, height = rng.uniform(1.0, 2.5), rng.uniform(0.8, 1.3)
        name = str(rng.choice(("white", "green", "brown"), p=(0.7, 0.15, 0.15)))
        surface = Surface((plain(colours.draw(rng, name)),), 0.3)
    else:
        width, height, low = rng.uniform(0.8, 1.0), 2.05, level
        surface = Surface((_panelled(rng, colours.from_hsv(rng.uniform(15, 60), rng.uniform(0, 0.5),
                                                           rng.uniform(0.3, 0.95)), 1, 1),), 0.1)  # fmt: skip
    mesh = box((0.03, width, height), (away - 0.016, rng.uniform(-2.2, 2.2), low)).of_part(0)
    return Furniture(mesh.turned(side), surface)


def cabinet(rng: np.random.Generator, level: float, behind: float) -> Furniture:
    """A cabinet, shelf unit, bag or heap in front of the wall."""
    size = np.array([rng.uniform(0.25, 0.6), rng.uniform(0.3, 1.6), rng.choice((0.45, 0.75, 1.2, 1.9))])
    size[2] *= rng.uniform(0.85, 1.15)
    if rng.random() < 0.65:
        base = colours.from_hsv(rng.uniform(10, 50), rng.uniform(0, 0.6), rng.uniform(0.15, 0.95))
    else:
        base = colours.draw(rng, str(rng.choice(colours.NAMES, p=_QUIET))) * rng.uniform(0.5, 1.0)
    skin = _shelved(rng, base) if rng.random() < 0.3 else _panelled(rng, base, *rng.integers(1, 4, 2))
    mesh = box(size).of_part(0)
    turn = rotation(2, rng.normal(0, 0.05) + (np.pi / 2 if rng.random() < 0.2 else 0))
    place = (behind - size[0] / 2 - rng.uniform(0.02, 0.3), rng.uniform(-2.0, 2.0), level)
    return Furniture(mesh.turned(turn, place), Surface((skin,), float(rng.uniform(0, 0.3))))


_QUIET = np.array([1, 0.6, 0.6, 1, 1.5, 0.3, 0.3, 2, 3, 3, 3]) / 16.3  # of colours.NAMES: furniture is rarely loud


def _panelled(rng: np.random.Generator, base: np.ndarray, rows: int, columns: int) -> Skin:
    """Doors or drawers: panels with dark gaps and a handle each."""
    texture = np.empty((24 * rows, 24 * columns, 3), np.float32)
    texture[:] = base
    texture[::24], texture[:, ::24] = base * 0.5, base * 0.5
    handle = colours.draw(rng, str(rng.choice(("gray", "black", "white"))))
    row, column = rng.integers(4, 20, 2)
    for i in range(rows):
        for j in range(columns):
            texture[24 * i + row : 24 * i + row + 2, 24 * j + column : 24 * j + column + 4] = handle
    return Skin(texture)


def _shelved(rng: np.random.Generator, base: np.ndarray) -> Skin:
    """Open shelves seen from afar: boards, and between them backs of all colours in the dark."""
    texture = np.empty((64, 64, 3), np.float32)
    for row in range(0, 64, 16):
        column = 0
        while column < 64:
            wide, tall = int(rng.integers(1, 5)), int(rng.integers(6, 15))
            ink = colours.draw(rng, str(rng.choice(colours.NAMES))) * rng.uniform(0.3, 0.9)
            texture[row : row + 16, column : column + wide] = base * 0.3
            texture[row + 16 - tall : row + 16, column : column + wide] = ink
            column += wide
        texture[row : row + 2] = base
    return Skin(texture[::-1].copy())


def chair(rng: np.random.Generator, place: np.ndarray, facing: float, level: float) -> Furniture:
    """A chair whose seat's middle stands at ``place`` (2,), its back away from where it faces (radians)."""
    seat, back = rng.uniform(0.43, 0.48), rng.uniform(0.36, 0.55)
    wide, deep = rng.uniform(0.38, 0.5), rng.uniform(0.38, 0.46)
    parts = [box((deep, wide, 0.04), (0, 0, seat)).of_part(0)]
    if rng.random() < 0.5:  # an upholstered or moulded back
        outline = rounded_rectangle(wide, back * 0.75, 0.08)
        leaf = prism(outline, 0.03, smooth=True).turned(rotation(1, np.pi / 2) @ rotation(2, np.pi / 2))
        parts.append(leaf.of_part(0).turned(rotation(1, -0.12), (-deep / 2, 0, seat + 0.05 + back * 0.6)))
    else:  # slats
        for height in np.linspace(0.35, 1, int(rng.integers(1, 4))) * back:
            parts.append(box((0.02, wide, 0.07), (-deep / 2, 0, seat + height - 0.07)).of_part(0))
    parts += [box((0.03, 0.03, seat + back * (x < 0)), (x * deep / 2, y * (wide / 2 - 0.02), 0)).of_part(1)
              for x in (-1, 1) for y in (-1, 1)]  # fmt: skip
    skins = [plain(colours.draw(rng, str(rng.choice(colours.NAMES, p=_QUIET))) * rng.uniform(0.5, 1)) for _ in range(2)]
    mesh = merged(parts).turned(rotation(2, facing), (*place, level))
    return Furniture(mesh, Surface((skins[0], skins[1]), 0.2))


def oddment(rng: np.random.Generator, place: np.ndarray, radius: float) -> Furniture:
    """Something within ``radius`` of ``place`` (2,) on the table: a lump, a cable, a wedge or a stand."""
    name = str(rng.choice(colours.NAMES, p=_QUIET))
    skin: Skin = plain(colours.draw(rng, name))
    if rng.random() < 0.4:
        skin = banded(rng, colours.draw(rng, name), colours.draw(rng, str(rng.choice(colours.NAMES))), 2)
    kind = rng.choice(("lump", "turned", "wedge", "cable", "stand"), p=(0.3, 0.25, 0.2, 0.15, 0.1))
    tall = rng.uniform(0.03, 0.25)
    if kind == "lump":  # a heap of cloth, a stone, a tangle
        phase, strength = rng.uniform(0, 6, 3), rng.uniform(0, 0.15, 3)
        mesh = lathe([(0.8, 0.0), (0.95, 0.15), (0.9, 0.5), (0.6, 0.85), (0.0, 1.0)], 0, 20)
        angle = np.arctan2(mesh.vertices[:, 1], mesh.vertices[:, 0])
        stretch = 0.8 + np.cos(angle[:, None] * (2, 3, 5) + phase) @ strength
        size = np.column_stack([radius * stretch, radius * stretch, np.full(len(stretch), 0.5 * tall)])
        mesh = Mesh((mesh.vertices * size).astype(np.float32), mesh.normals, mesh.uv, mesh.faces, mesh.part)
    elif kind == "turned":
        heights = np.sort(np.append(rng.uniform(0, tall, 4), (0, tall)))
        radii = np.append(rng.uniform(0.3, 1.0, 5), 0) * min(radius, 0.08)
        mesh = lathe([(0.0, 0.0), *zip(radii.tolist(), heights.tolist(), strict=True)], 0, 20)
    elif kind == "wedge":
        outline = np.array([(-1, 0), (1, 0), (rng.uniform(-1, 1), 1)]) * (0.8 * radius, tall)
        deep = rng.uniform(0.4, 1.0) * radius
        mesh = prism(outline, deep).turned(rotation(0, np.pi / 2), (0, deep / 2, 0)).of_part(0)
    elif kind == "cable":
        t = np.linspace(-1, 1, 24)
        path = np.column_stack([radius * t, 0 * t, radius * rng.uniform(0.2, 0.7) * np.sin(t * rng.uniform(2, 7))])
        mesh = tube(path, 0.003).turned(rotation(0, np.pi / 2), (0, 0, 0.003))
    else:
        pole = lathe([(0.0, 0.0), (0.06, 0.0), (0.06, 0.015), (0.008, 0.02), (0.008, 2 * tall), (0.0, 2 * tall)])
        mesh = merged([pole, box((0.02, 0.12, 0.015), (0, 0, 1.8 * tall)).of_part(0)])
    turn = rotation(2, rng.uniform(0, 2 * np.pi))
    return Furniture(mesh.turned(turn, (*place, 0.0)), Surface((skin,), float(rng.uniform(0, 0.4))))


def arm(rng: np.random.Generator, towards: np.ndarray, above: float) -> Furniture:
    """A robot's or a person's forearm that reaches in from the camera's side and ends short of ``towards`` (2,)."""
    side = float(rng.choice((-1, 1)))
    end = np.append(towards * rng.uniform(0.45, 0.65) + (0, side * rng.uniform(0.15, 0.3)), rng.uniform(0.03, 0.15))
    start = np.array([rng.uniform(-0.1, 0.1), side * rng.uniform(0.3, 0.7), min(above, 0.5) * rng.uniform(0.3, 0.9)])
    length = float(np.linalg.norm(end - start))
    radius = rng.uniform(0.025, 0.045)
    limb = lathe([(0.0, 0.0), (1.2 * radius, 0.0), (0.8 * radius, 0.85 * length), (0.0, 0.85 * length)])
    hand = lathe([(0.0, 0.0), (0.9 * radius, 0.01), (1.1 * radius, 0.05), (0.3 * radius, 0.13), (0.0, 0.14)], 1)
    mesh = merged([limb, hand.turned(np.eye(3), (0, 0, 0.83 * length))])
    axis = (end - start) / length
    across = np.cross(axis, (0.0, 0.0, 1.0))
    across /= max(float(np.linalg.norm(across)), 1e-9)
    turn = np.stack([across, np.cross(axis, across), axis], 1)
    sleeve = colours.draw(rng, str(rng.choice(colours.NAMES, p=_QUIET)))
    skin = colours.from_hsv(rng.uniform(12, 28), rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.95))
    return Furniture(mesh.turned(turn, start), Surface((plain(sleeve), plain(skin)), 0.1))
