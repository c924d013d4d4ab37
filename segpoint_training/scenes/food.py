"""Fruit and food: pear, peach, strawberry, bread, hamburger."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.lofts import bar, loft
from segpoint_training.scenes.model import Draw, Model
from segpoint_training.scenes.shapes import Mesh, lathe, merged, rotation, rounded_rectangle, tube
from segpoint_training.scenes.surfaces import Skin, Surface, grain, plain

FLESH, STEM, THIRD = 0, 1, 2


def _stalk(height: float, length: float, lean: float) -> Mesh:
    path = np.array([[0, 0, height - 0.004], [lean * 0.3, 0, height + length * 0.5], [lean, 0, height + length]])
    return tube(path, 0.0015, 1.0, 6).of_part(STEM)


def _two_tone(draw: Draw, first: np.ndarray, second: np.ndarray, low: float, high: float) -> Skin:
    """One colour passing into another from v = ``low`` to ``high``, mottled."""
    rows = np.linspace(0, 1, 48)[:, None]
    mix = np.clip((rows - low) / (high - low), 0, 1) + draw.rng.normal(0, 0.06, (48, 48))
    texture = first + (second - first) * np.clip(mix, 0, 1)[..., None]
    return Skin(texture.astype(np.float32))


def pear(draw: Draw) -> Model:
    """A pear, standing or on its side."""
    radius = draw.uniform(0.03, 0.039)
    height = radius * draw.uniform(2.5, 3.0)
    neck = draw.pick((0.42, 0.5, 0.36, 0.6))
    profile = [(0.0, 0.02), (0.35, 0.0), (0.8, 0.1), (1.0, 0.3), (0.93, 0.47), (0.7, 0.62), (neck + 0.06, 0.76),
               (neck, 0.88), (neck * 0.72, 0.97), (0.0, 1.0)]  # fmt: skip
    body = lathe([(r * radius, z * height) for r, z in profile], FLESH, 22)
    hue = draw.one_of((draw.uniform(62, 80), draw.uniform(50, 58), draw.uniform(28, 36)))
    skin = colours.from_hsv(hue, draw.uniform(0.5, 0.8), draw.uniform(0.6, 0.85))
    blush = colours.from_hsv(draw.uniform(10, 40), 0.7, 0.7) if draw.chance(0.3) else skin * 0.9
    mesh = merged([body, _stalk(height, draw.uniform(0.012, 0.024), 0.006)])
    surface = Surface((_two_tone(draw, skin, blush, 0.2, 0.9), plain((0.27, 0.19, 0.1))), 0.2)
    if draw.chance(0.5):
        mesh = mesh.turned(rotation(1, draw.uniform(1.65, 1.95))).resting()
        return Model("pear", mesh, surface, "lying")
    return Model("pear", mesh.resting(), surface)


def peach(draw: Draw) -> Model:
    """A round fruit with a seam down one side: peaches, apricots, plums' size and nectarines."""
    radius = draw.uniform(0.028, 0.041)
    squat = draw.pick((0.92, 0.96, 1.0, 0.7))
    lat, lon = np.linspace(-np.pi / 2, np.pi / 2, 13), np.arange(24) * (2 * np.pi / 24)
    seam = 1 - 0.09 * np.exp(-((np.minimum(lon, 2 * np.pi - lon) / 0.25) ** 2))[None] * np.cos(lat)[:, None] ** 0.5
    wide = np.maximum(radius * np.cos(lat), 1e-4)[:, None] * seam
    dent = 0.14 * np.exp(-((np.cos(lat) / 0.3) ** 2)) * (lat > 0)
    z = np.broadcast_to((squat * radius * (np.sin(lat) - dent))[:, None], wide.shape)
    body = loft(np.stack([wide * np.cos(lon), wide * np.sin(lon), z], -1), 60.0)
    base = colours.from_hsv(draw.uniform(24, 44), draw.uniform(0.5, 0.75), draw.uniform(0.88, 1.0))
    blush = colours.from_hsv(draw.uniform(-5, 16), draw.uniform(0.6, 0.8), draw.uniform(0.65, 0.9))
    texture = _two_tone(draw, base, blush, 0.1, draw.uniform(0.6, 1.0)).texture.transpose(1, 0, 2)
    mesh = body.turned(rotation(2, draw.uniform(0, 6.28)))
    if draw.chance(0.6):
        mesh = mesh.turned(rotation(0, draw.uniform(0.3, 2.5)))
    return Model("peach", mesh.resting(), Surface((Skin(np.ascontiguousarray(texture)),), 0.05))


def strawberry(draw: Draw) -> Model:
    """A strawberry on its side."""
    length = draw.uniform(0.03, 0.048)
    radius = length * draw.pick((0.4, 0.45, 0.36, 0.52))
    profile = [(0.0, 0.0), (0.3, 0.04), (0.62, 0.25), (0.9, 0.55), (1.0, 0.75), (0.85, 0.92), (0.4, 1.0), (0.0, 0.97)]
    body = lathe([(r * radius, z * length) for r, z in profile], FLESH, 18)
    texture = np.tile(colours.from_hsv(draw.uniform(-4, 6), draw.uniform(0.8, 0.95), draw.uniform(0.65, 0.88)),
                      (40, 48, 1))  # fmt: skip
    texture[2::6, 1::6] = texture[5::6, 4::6] = (0.93, 0.8, 0.4)  # its seeds
    leaves = []
    for index in range(6):
        leaf = bar([(0.0, 0, 0, 0.002, 0.0008), (radius * 0.5, 0, 0.001, 0.0035, 0.0008),
                    (radius * 1.15, 0, -0.004, 0.0008, 0.0008)])  # fmt: skip
        leaves.append(leaf.turned(rotation(2, index * 1.05)).moved(z=length + 0.0005))
    green = merged([*leaves, _stalk(length, 0.008, 0.003)]).of_part(STEM)
    mesh = merged([body, green]).turned(rotation(1, draw.uniform(1.3, 1.75))).resting()
    green_skin = plain(colours.from_hsv(draw.uniform(95, 120), 0.65, draw.uniform(0.4, 0.6)))
    return Model("strawberry", mesh, Surface((Skin(texture.astype(np.float32)), green_skin), 0.3), "lying")


def bread(draw: Draw) -> Model:
    """A tin loaf, a baguette, a bun, a round loaf or a slice of toast."""
    kind = draw.pick(("loaf", "baguette", "bun", "loaf", "slice", "boule"))
    crust = colours.from_hsv(draw.uniform(24, 34), draw.uniform(0.5, 0.72), draw.uniform(0.5, 0.8))
    top = grain(draw.rng, crust, draw.uniform(0.06, 0.16), 1.5, 48)
    crumb = grain(draw.rng, np.array([0.93, 0.84, 0.66]) * draw.uniform(0.85, 1.05), 0.04, 1.0, 32)
    if kind in ("loaf", "slice"):
        wide, tall = draw.uniform(0.085, 0.11), draw.uniform(0.09, 0.12)
        outline = rounded_rectangle(wide, tall * 0.7, 0.012)
        crown = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0.15, np.pi - 0.15, 9)])
        crown = crown * (wide * 0.58, tall * 0.3) + (0.0, tall * 0.28)
        below = outline[outline[:, 1] < 0]
        section = np.concatenate([crown, below])
        long = draw.uniform(0.012, 0.02) if kind == "slice" else draw.uniform(0.16, 0.28)
        rings = [np.column_stack([np.full(len(section), x), section * s])
                 for x, s in ((0, 0.93), (0.004, 1.0), (long - 0.004, 1.0), (long, 0.93))]  # fmt: skip
        mesh = loft(np.stack(rings), 50.0)
        flat = np.abs(mesh.normals[mesh.faces].mean(1)[:, 0]) > 0.9
        cut = flat & ((kind == "slice") | draw.chance(0.5))
        mesh = Mesh(mesh.vertices, mesh.normals, mesh.uv, mesh.faces, cut.astype(np.int32))
        if kind == "slice":
            mesh = mesh.turned(rotation(1, np.pi / 2))
        return Model("bread", mesh.resting(), Surface((top, crumb), 0.03), "lying" if kind == "slice" else "upright")
    if kind == "baguette":
        long, wide = draw.uniform(0.22, 0.42), draw.uniform(0.026, 0.036)
        t = np.linspace(-1, 1, 13)
        swell = wide * np.clip(1 - np.abs(t) ** 5, 0.12, 1)
        path = np.stack([t * long / 2, np.zeros(13), 0.01 * t**2], 1)
        body = tube(path, swell, 1.25, 14)
        ends = [bar([(s * long / 2 - 0.001, 0, 0.01, wide * 0.13, wide * 0.1),
                     (s * long / 2 + 0.001, 0, 0.01, wide * 0.13, wide * 0.1)]) for s in (-1, 1)]  # fmt: skip
        texture = np.tile(crust, (60, 20, 1)) * draw.rng.uniform(0.9, 1.1, (60, 20, 1))
        for start in range(6, 54, 10):  # the baker's cuts
            for step in range(5):
                texture[start + step, (2 + step) % 20 : (2 + step) % 20 + 3] = (0.92, 0.82, 0.6)
        skin = Skin(np.clip(np.roll(texture, -4, 1), 0, 1).astype(np.float32))
        return Model("bread", merged([body, *ends]).resting(), Surface((skin, top), 0.05), "lying")
    radius = draw.uniform(0.035, 0.055) if kind == "bun" else draw.uniform(0.07, 0.1)
    height = radius * draw.uniform(0.85, 1.15)
    profile = [(0.0, 0.0), (0.75, 0.0), (0.95, 0.12), (1.0, 0.3), (0.9, 0.6), (0.6, 0.88), (0.3, 0.98), (0.0, 1.0)]
    mesh = lathe([(r * radius, z * height) for r, z in profile], 0, 24)
    long = draw.uniform(1.3, 1.7) if kind == "bun" and draw.chance(0.4) else 1.0
    texture = _two_tone(draw, crust * 1.1, crust * 0.8, 0.3, 0.9).texture
    if draw.chance(0.5):
        texture[30:46][draw.rng.random((16, 48)) < 0.12] = (0.95, 0.88, 0.7)  # sesame or flour
    return Model("bread", mesh.scaled(long).resting(), Surface((Skin(np.clip(texture, 0, 1)),), 0.1))


def hamburger(draw: Draw) -> Model:
    """A bun with what is between its halves."""
    radius = draw.uniform(0.045, 0.06)
    bun = colours.from_hsv(draw.uniform(26, 34), draw.uniform(0.55, 0.7), draw.uniform(0.65, 0.85))

    z = radius * 0.35
    pieces = [lathe([(0.0, 0.0), (radius * 0.9, 0.0), (radius, z * 0.5), (radius * 0.97, z), (0.0, z)], FLESH, 24)]
    fills = {"meat": (0.28, 0.16, 0.1), "lettuce": (0.35, 0.6, 0.18), "cheese": (0.97, 0.75, 0.2),
             "tomato": (0.75, 0.15, 0.1)}  # fmt: skip
    order = draw.pick((("meat", "cheese", "lettuce"), ("lettuce", "meat", "tomato"), ("meat", "lettuce", "tomato"),
                       ("meat", "cheese", "meat")))  # fmt: skip
    skins = [plain(bun)]
    for number, name in enumerate(order):
        thick = radius * (0.28 if name == "meat" else 0.09)
        reach = radius * (1.1 if name == "lettuce" else 1.03)
        profile = [(0.0, z), (reach, z), (reach * 1.01, z + thick / 2), (reach, z + thick), (0.0, z + thick)]
        pieces.append(lathe(profile, number + 1, 24))
        skins.append(grain(draw.rng, np.array(fills[name]), 0.15, 1, 32))
        z += thick
    crown = [(0.0, z), (radius, z), (radius * 1.02, z + radius * 0.2), (radius * 0.8, z + radius * 0.5),
             (radius * 0.4, z + radius * 0.65), (0.0, z + radius * 0.7)]  # fmt: skip
    pieces.append(lathe(crown, len(order) + 1, 24))
    seeded = np.tile(bun, (40, 40, 1))
    seeded[18:][draw.rng.random((22, 40)) < 0.12] = (0.97, 0.92, 0.78)
    surface = Surface((*skins, Skin(seeded.astype(np.float32))), 0.15)
    return Model("hamburger", merged(pieces), surface)
