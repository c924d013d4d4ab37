"""Crockery and kitchen vessels: mug, cup, glass, bowl, plate, pot, teapot, pitcher, vase."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segpoint_training.scenes.lofts import ROUND, bar, tub
from segpoint_training.scenes.model import Draw, Model, disc, laid_down, rectangle, upside_down
from segpoint_training.scenes.shapes import Mesh, lathe, merged, rotation, tube
from segpoint_training.scenes.surfaces import Skin, Surface, banded, cloth, grain, plain, printed

OUTSIDE, INSIDE, HANDLE, DRINK = 0, 1, 2, 3
Profile = list[tuple[float, float]]


def vessel(outer: Profile, wall: float, segments: int = 28) -> tuple[Mesh, np.ndarray]:
    """An open vessel from its outer side (bottom to rim, first radius > 0): the mesh and its inside profile (n, 2)."""
    bottom = wall * 1.5
    inner = [(max(r - wall, 0.002), max(z, bottom)) for r, z in outer if z > bottom or r > outer[0][0]]
    inner = [(max(outer[0][0] - wall, 0.002), bottom), *inner]
    profile = [(0.0, 0.0), *outer, *inner[::-1], (0.0, bottom)]
    parts = [OUTSIDE] * len(outer) + [INSIDE] * (len(inner) + 1)
    return lathe(profile, parts, segments), np.array([(0.0, bottom), *inner])


def _side(bottom: float, rim: float, height: float, curve: float, steps: int = 6) -> Profile:
    """A side from radius ``bottom`` to ``rim``; ``curve`` < 1 bellies out low as a bowl does, > 1 flares late."""
    t = np.linspace(0, 1, steps)
    return [(bottom + (rim - bottom) * float(s**curve), height * float(s)) for s in t]


def _loop_handle(radius: float, low: float, high: float, reach: float, thick: float, flatten: float,
                 square: bool = False) -> Mesh:  # fmt: skip
    """A handle in the xz plane, from the side at ``low`` out by ``reach`` and back at ``high``."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 9)
    power = 0.5 if square else 1.0
    x = radius + reach * np.abs(np.cos(angle)) ** power
    z = (low + high) / 2 + (high - low) / 2 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    path = np.stack([x, np.zeros(9), z], 1)
    path[[0, -1], 0] = radius - thick * 0.8  # its ends go into the wall
    return tube(path, thick, flatten, segments=8).of_part(HANDLE)


def _glaze(draw: Draw, white: float = 5.0) -> tuple[Skin, Skin, Skin, bool]:
    """Outside, inside and handle of a piece of crockery, and whether it is printed."""
    outside = draw.colour(white=white, black=1.2, brown=0.6)
    style = draw.uniform(0, 1)
    pale = draw.colour(white=6, rest=0.15)
    if style < 0.55:
        return plain(outside), plain(outside), plain(outside), False
    if style < 0.75:  # two-tone
        return plain(outside), plain(pale), plain(outside if draw.chance(0.5) else pale), False
    if style < 0.87:
        ink = draw.colour()
        return banded(draw.rng, outside, ink, int(draw.rng.integers(1, 4))), plain(outside), plain(outside), False
    return printed(draw.rng, outside, busy=0.5), plain(outside), plain(outside), True


# relative height and radius of mugs, foot to rim
_MUGS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0, 1), (0.5, 1), (1, 1)),  # straight
    ((0, 0.98), (0.02, 1), (0.7, 1), (1, 1.02)),
    ((0, 0.85), (0.5, 0.93), (1, 1.02)),  # widening
    ((0, 0.72), (0.12, 0.88), (0.35, 1), (0.7, 1.02), (1, 1.02)),  # round below
    ((0, 0.7), (0.05, 0.7), (0.15, 0.9), (0.4, 1), (1, 1)),  # on a foot
    ((0, 0.85), (0.25, 1.02), (0.5, 1.08), (0.75, 1.02), (1, 0.9)),  # barrel
    ((0, 1.08), (0.4, 1), (1, 0.9)),  # narrowing
    ((0, 0.9), (0.3, 1.06), (0.6, 0.98), (0.85, 0.9), (1, 0.98)),  # bellied
    ((0, 1), (0.3, 0.85), (0.6, 0.85), (1, 1.05)),  # waisted (held out)
)


def mug(draw: Draw) -> Model:
    """A mug of any potter, enamel or steel, empty or full; upright, upside down or on its side."""
    radius, height = draw.uniform(0.034, 0.05), draw.uniform(0.075, 0.115)
    if draw.chance(0.12):  # a wide one, for soup or cappuccino
        radius, height = draw.uniform(0.048, 0.058), draw.uniform(0.055, 0.075)
    shape = np.array(draw.pick(_MUGS))
    side = [(radius * float(r), height * float(z)) for z, r in shape]
    wall = draw.uniform(0.003, 0.005)
    body, inner = vessel(side, wall)
    pieces = [body, _mug_handle(draw, side, height)]
    outside, inside, grip, is_printed = _glaze(draw)
    material, gloss = "ceramic", draw.uniform(0.1, 0.5)
    if draw.chance(0.08):
        steel = plain(np.full(3, draw.uniform(0.5, 0.7)))
        outside, inside, grip, is_printed, material, gloss = steel, steel, steel, False, "metal", 0.8
    drink = plain((0.16, 0.09, 0.05))
    style = draw.uniform(0, 1)
    if style < 0.22:  # coffee, tea, milk
        drink = plain(draw.one_of(((0.14, 0.08, 0.04), (0.45, 0.28, 0.16), (0.5, 0.22, 0.06), (0.9, 0.87, 0.8))))
        pieces.append(_level(inner, height * draw.uniform(0.6, 0.9)))
    surface = Surface((outside, inside, grip, drink), gloss)
    mesh, pose = merged(pieces), "upright"
    if 0.22 < style < 0.35:
        mesh, pose = upside_down(mesh), "upside down"
    elif 0.35 < style < 0.42:  # on its side, the handle pointing up or sideways
        mesh, pose = laid_down(mesh, np.pi + draw.uniform(-0.9, 0.9), _taper(side)), "lying"
    return Model("mug", mesh, surface, pose, material, is_printed)


def _level(inner: np.ndarray, height: float) -> Mesh:
    """What a vessel with this inside profile holds, up to ``height``."""
    radius = float(np.interp(height, inner[1:, 1], inner[1:, 0]))
    return lathe([(radius, height), (0.0, height)], DRINK, 24)


def _mug_handle(draw: Draw, side: Profile, height: float) -> Mesh:
    """An ear, a ring, a squared loop, or a strap that hangs from the rim."""
    low, high = draw.uniform(0.12, 0.3) * height, draw.uniform(0.72, 0.9) * height
    if draw.chance(0.2):  # a small ring
        low = high - draw.uniform(0.4, 0.5) * height
    z, r = [p[1] for p in side], [p[0] for p in side]
    at = min(float(np.interp(level, z, r)) for level in (low, high))
    reach = draw.uniform(0.02, 0.038)
    handle = _loop_handle(at, low, high, reach, draw.uniform(0.0035, 0.007), draw.uniform(1.0, 2.2), draw.chance(0.3))
    if draw.chance(0.25):  # its belly hangs low or sits high
        handle.vertices[:, 0] += draw.uniform(-0.25, 0.25) * (handle.vertices[:, 2] - (low + high) / 2)
    return handle


def _taper(side: Profile) -> float:
    (r0, z0), (r1, z1) = side[0], side[-1]
    return -float(np.arctan2(r1 - r0, z1 - z0))


def cup(draw: Draw) -> Model:
    """A drinking cup without a handle (paper, plastic, to go with its lid) or a small one with (tea, espresso)."""
    kind = draw.pick(("paper", "plastic", "teacup", "to go", "tumbler", "espresso", "to go", "beaker"))
    height = draw.uniform(0.07, 0.13)
    extra: list[Mesh] = []
    if kind in ("teacup", "espresso"):
        small = 0.75 if kind == "espresso" else 1.0
        radius, height = draw.uniform(0.02, 0.028) * small, draw.uniform(0.045, 0.065)
        side = _side(radius, draw.uniform(0.036, 0.046) * small, height, draw.one_of((0.4, 0.5, 0.8)))
        rim = side[-1][0]
        extra.append(_loop_handle(rim * 0.93, 0.35 * height, 0.85 * height, 0.02 * small, 0.0035, 1.2))
    else:
        radius = draw.uniform(0.024, 0.034)
        rim = radius * (draw.uniform(1.02, 1.1) if kind in ("beaker", "tumbler") else draw.uniform(1.2, 1.5))
        side = _side(radius, rim, height, 1.0)
        if kind in ("paper", "to go"):  # the rolled rim
            side += [(rim + 0.0018, height), (rim + 0.0018, height + 0.003)]
    body, inner = vessel(side, 0.003 if extra else 0.002)
    outside, inside, grip, is_printed = _glaze(draw, white=3.0)
    drink = plain(draw.one_of(((0.14, 0.08, 0.04), (0.5, 0.3, 0.16), (0.8, 0.45, 0.1))))
    style, pose = draw.uniform(0, 1), "upright"
    if kind == "to go":
        r, z = rim + 0.0025, height
        lid = [(r, z - 0.004), (r, z + 0.004), (r * 0.94, z + 0.006), (r * 0.92, z + 0.014), (r * 0.84, z + 0.014),
               (r * 0.8, z + 0.01), (0.0, z + 0.01)]  # fmt: skip
        extra.append(lathe(lid, HANDLE))
        grip = plain(draw.colour(white=5, black=3, brown=1, rest=0.1))
        if draw.chance(0.6):  # a sleeve of card
            low, high = 0.3 * height, 0.7 * height
            r0, r1 = (radius + (rim - radius) * h / height + 0.001 for h in (low, high))
            extra.append(lathe([(r0, low), (r1, high)], DRINK))
            drink = plain(np.array([0.62, 0.45, 0.28]) * draw.uniform(0.8, 1.2))
    elif style > 0.75:
        extra.append(_level(inner, height * draw.uniform(0.6, 0.88)))
    if kind == "paper":
        inside = plain(draw.colour(white=5, rest=0.05))
    mesh = merged([body, *extra])
    if kind != "to go" and style < 0.14:
        mesh, pose = upside_down(mesh), "upside down"
    elif kind in ("paper", "plastic", "beaker", "to go") and style < 0.23:
        mesh, pose = laid_down(mesh, draw.uniform(0, 6.28), _taper(side[:6])), "lying"
    material = {"paper": "paper", "to go": "paper", "teacup": "ceramic", "espresso": "ceramic"}.get(kind, "plastic")
    return Model(
        "cup",
        mesh.resting(),
        Surface((outside, inside, grip, drink), draw.uniform(0.05, 0.4)),
        pose,
        material,
        is_printed,
    )


def glass(draw: Draw) -> Model:
    """A tumbler, a tall or a stemmed glass, empty or with a drink that shows through its wall."""
    height = draw.uniform(0.08, 0.16)
    kind = draw.pick(("tumbler", "tall", "wine", "pint", "flute", "tulip"))
    level = draw.uniform(0.35, 0.85)
    if kind in ("tumbler", "tall", "pint"):
        radius = draw.uniform(0.028, 0.036)
        side = _side(radius, radius * draw.uniform(1.0, 1.3), height, 1.0)
        if kind == "pint":
            height = draw.uniform(0.14, 0.17)
            side = [(radius * r, height * z) for r, z in ((0.95, 0), (0.98, 0.05), (1.15, 0.6), (1.32, 0.8), (1.3, 1))]
        mesh, inner = vessel(side, 0.0025)
        drink = _level(inner, height * level)
    else:
        height += 0.06
        foot, rim = draw.uniform(0.03, 0.036), draw.uniform(0.028, 0.038)
        belly = rim * {"wine": 1.25, "tulip": 1.05, "flute": 0.95}[kind]
        if kind == "flute":
            belly, rim = belly * 0.72, rim * 0.72
        neck = (0.45 if kind != "flute" else 0.36) * height
        side = [(foot, 0.0), (foot, 0.003), (0.006, 0.012), (0.005, neck), (belly * 0.7, neck * 1.25),
                (belly, neck * 1.55), (rim, height)]  # fmt: skip
        inner_side = [(rim - 0.002, height), (belly - 0.002, neck * 1.55), (belly * 0.66, neck * 1.27),
                      (0.0, neck * 1.05)]  # fmt: skip
        mesh = lathe([(0.0, 0.0), *side, *inner_side], [OUTSIDE] * 7 + [INSIDE] * 4)
        level = max(level, 0.75)
        drink = _level(np.array([(0.0, 0.0), *inner_side[::-1]]), height * level)
    tint = np.clip(np.array([0.72, 0.78, 0.78]) * draw.uniform(0.75, 1.15), 0, 1)
    skin = outside = plain(tint)
    filled = draw.chance(0.35)
    drinks = ((0.75, 0.4, 0.08), (0.4, 0.05, 0.1), (0.2, 0.1, 0.05), (0.9, 0.8, 0.4), tint)
    poured = np.array(draw.one_of(drinks))
    if filled:
        mesh = merged([mesh, drink])
        seen = np.tile(tint, (40, 1, 1)).astype(np.float32)
        seen[6 : int(40 * level)] = 0.35 * tint + 0.65 * poured
        outside = Skin(seen)
    surface = Surface((outside, skin, skin, plain(poured)), gloss=0.9, dropout=draw.uniform(0.3, 0.75))
    return Model("glass", mesh, surface, "upright", "glass", clear=not filled)


def bowl(draw: Draw) -> Model:
    """A bowl of china, wood or steel: empty, upside down or filled."""
    rim = draw.uniform(0.055, 0.14)
    height = rim * draw.uniform(0.5, 0.95)
    foot = rim * draw.uniform(0.35, 0.6)
    shape = draw.pick(("round", "round", "round", "steep", "footed", "rimmed", "lipped", "cone"))
    curve = {"round": draw.uniform(0.4, 0.8), "steep": 0.25, "cone": 1.1}.get(shape, draw.uniform(0.42, 0.6))
    side = _side(foot, rim * (0.8 if shape == "rimmed" else 1.0), height, curve, 8)
    if shape == "footed":
        side = [(foot * 0.9, 0.0), (foot * 0.85, 0.06 * height), *[(r, 0.08 * height + 0.92 * z) for r, z in side[1:]]]
    elif shape == "rimmed":
        side = [*side[:-1], (rim * 0.8, height * 0.94), (rim, height)]
    elif shape == "lipped":
        side = [*side, (rim * 1.04, height), (rim * 1.04, height + 0.004)]
    rim, height = side[-1]
    mesh, inside_profile = vessel(side, draw.uniform(0.003, 0.006), 32)
    outside, inside, _, is_printed = _glaze(draw, white=5.0)
    material = "ceramic"
    surface = Surface((outside, inside), draw.uniform(0.1, 0.5))
    if draw.chance(0.15):
        wood = grain(draw.rng, draw.colour(brown=1, rest=0), repeat=(2, 1))
        surface, material = Surface((wood, wood), 0.1), "wood"
    elif draw.chance(0.1):
        steel = plain(np.full(3, draw.uniform(0.45, 0.7)))
        surface, material = Surface((steel, steel), 0.9, draw.uniform(0.02, 0.2)), "metal"
    if draw.chance(0.15):
        mesh = upside_down(mesh)
        return Model("bowl", mesh, surface, "upside down", material, is_printed, (height, disc(foot * 0.9)))
    if draw.chance(0.1):  # soup, cereal, rice
        food = np.array(draw.one_of(((0.85, 0.75, 0.5), (0.7, 0.25, 0.08), (0.92, 0.9, 0.84), (0.45, 0.5, 0.15))))
        surface = replace(surface, skins=(*surface.skins, surface.skins[0], grain(draw.rng, food, 0.12, 1.0, 48))[:4])
        mesh = merged([mesh, _level(inside_profile, height * draw.uniform(0.55, 0.8))])
        return Model("bowl", mesh, surface, "upright", material, is_printed)
    return Model("bowl", mesh, surface, "upright", material, is_printed, cavity=inside_profile)


def plate(draw: Draw) -> Model:
    """Flat and deep plates, saucers, square ones; plain, two-tone, ringed, of paper or wood."""
    rim = draw.uniform(0.07, 0.145)
    height = draw.uniform(0.012, 0.028)
    well = rim * draw.uniform(0.6, 0.78)
    kind = draw.pick(("curved", "stepped", "curved", "coupe", "square", "deep"))
    outside, inside, _, _ = _glaze(draw, white=6.0)
    material, gloss = "ceramic", draw.uniform(0.1, 0.5)
    if draw.chance(0.35):  # rings round the rim: v runs from the rim to the middle
        texture = np.tile(draw.colour(white=5, rest=0.4), (48, 1, 1)).astype(np.float32)
        start = int(draw.rng.integers(1, 10))
        texture[start : start + int(draw.rng.integers(1, 8))] = draw.colour(blue=2)
        inside = outside = Skin(texture)
    elif draw.chance(0.08):
        inside = outside = grain(draw.rng, np.array([0.62, 0.44, 0.26]), 0.1)
        material, gloss = "wood", 0.05
    if kind == "square":
        mesh = tub(1.5 * rim, 1.5 * rim, height, 0.004, 1.15, 0.02, INSIDE)
        reach = 0.72 * rim
        return Model("plate", mesh, Surface((outside, inside), gloss), "upright", material,
                     top=(0.0042, rectangle(2 * reach, 2 * reach)), walled=True)  # fmt: skip
    side: Profile = [(well * 0.9, 0.0), (well, 0.25 * height), (rim, height)]
    if kind == "stepped":
        side = [(well, 0.0), (well + 0.004, 0.55 * height), (rim, height)]
    elif kind == "coupe":
        side = [(well, 0.0), (rim * 0.93, 0.35 * height), (rim, height)]
    elif kind == "deep":
        height *= 1.6
        side = [(well * 0.8, 0.0), (well, 0.7 * height), (rim, height)]
        well *= 0.85
    mesh, _ = vessel(side, 0.004, 36)
    return Model("plate", mesh, Surface((outside, inside), gloss), "upright", material,
                 top=(0.0065, disc(well * 0.88)), walled=True)  # fmt: skip


def pot(draw: Draw) -> Model:
    """A cooking pot or plastic tub with two handles; metal, enamel or plain plastic."""
    rim, ratio = draw.uniform(0.07, 0.125), draw.uniform(0.6, 1.15)
    height = rim * ratio
    flare = draw.pick((1.0, 0.9, 0.82, 1.08))
    wall = draw.uniform(0.003, 0.005)
    side = [(rim * flare * 0.94, 0.0), (rim * flare, height * 0.08), (rim, height)]
    side.insert(2, (rim * (flare + 1) / 2, height * 0.55))
    body, inside_profile = vessel(side, wall, 32)
    low, high = height * draw.uniform(0.72, 0.8), height * draw.uniform(0.88, 0.97)
    path = np.array([[0.0, -0.028, 0], [0.4, -0.028, 0], [1, -0.02, 0], [1, 0.02, 0], [0.4, 0.028, 0], [0, 0.028, 0]])
    path = path * (draw.uniform(0.02, 0.034), draw.uniform(0.8, 1.3), 1.0)
    # swept in its own plane, then turned flat
    loop = tube(path[:, [0, 2, 1]], draw.uniform(0.004, 0.006), 1.0 + draw.uniform(0, 1), 8)
    flat = loop.turned(rotation(0, np.pi / 2), (rim - wall, 0.0, (low + high) / 2)).of_part(HANDLE)
    pieces = [body, flat, flat.turned(rotation(2, np.pi))]
    if draw.chance(0.25):  # a saucepan: one long handle
        long = draw.uniform(0.12, 0.17)
        pieces = [body, bar([(rim - wall, 0, low, 0.008, 0.005), (rim + 0.04, 0, low + 0.006, 0.008, 0.005),
                             (rim + 0.05, 0, low + 0.007, 0.011, 0.008), (rim + long, 0, low + 0.014, 0.009, 0.006)],
                            ROUND, 50.0, HANDLE)]  # fmt: skip
    kind = draw.one_of(("steel", "enamel", "plastic", "plastic"))
    shell = plain(np.full(3, draw.uniform(0.42, 0.65)) if kind == "steel" else draw.colour(yellow=3, white=2, gray=0.5))
    grip = shell if draw.chance(0.7) else plain(draw.colour(black=3, rest=0.2))
    inside = shell if kind != "enamel" or draw.chance(0.5) else plain(draw.colour(white=3, gray=1, rest=0))
    gloss, dropout = (0.8, draw.uniform(0.02, 0.2)) if kind == "steel" else (0.25, 0.0)
    surface = Surface((shell, inside, grip), gloss, dropout)
    material = {"steel": "metal", "enamel": "metal"}.get(kind, "plastic")
    if draw.chance(0.25):
        return Model("pot", upside_down(merged(pieces)), surface, "upside down", material,
                     top=(height, disc(rim * flare * 0.85)))  # fmt: skip
    if draw.chance(0.25):  # lid with a knob
        knob = [(0.0, 0.0), (rim * 1.01, 0.0), (rim * 0.99, 0.005), (rim * 0.25, 0.02), (0.009, 0.024), (0.008, 0.034),
                (0.016, 0.038), (0.014, 0.046), (0.0, 0.048)]  # fmt: skip
        lid = lathe(knob, [OUTSIDE] * 4 + [HANDLE] * 4, 32).turned(np.eye(3), (0, 0, height))
        return Model("pot", merged([*pieces, lid]), surface, "upright", material)
    return Model("pot", merged(pieces), surface, "upright", material, cavity=inside_profile)


def teapot(draw: Draw) -> Model:
    """A teapot with its lid."""
    radius, height = draw.uniform(0.055, 0.085), draw.uniform(0.08, 0.13)
    belly = draw.pick((0.35, 0.5, 0.62, 0.2))
    t = np.linspace(0, 1, 9)
    swell = np.interp(t, [0, belly, 1], [0.7, 1.0, 0.5])
    swell = 0.6 * swell + 0.4 * (0.55 + 0.45 * np.sin(np.pi * (0.12 + 0.76 * t)))
    side = [(radius * float(s), height * float(z)) for s, z in zip(swell, t, strict=True)]
    mouth = side[-1][0]
    lid = [(mouth * 0.97, height), (mouth * 0.8, height + 0.008), (0.006, height + 0.014), (0.01, height + 0.022),
           (0.007, height + 0.03), (0.0, height + 0.031)]  # fmt: skip
    body = lathe([(0.0, 0.0), *side, *lid], [OUTSIDE] * 9 + [INSIDE] * 6)
    out = draw.uniform(0.04, 0.06)
    start = -radius * 0.85
    spout = np.array([[start, 0, 0.35 * height], [start - 0.4 * out, 0, 0.45 * height],
                      [start - 0.7 * out, 0, 0.75 * height], [start - out, 0, 1.0 * height]])  # fmt: skip
    nozzle = tube(spout, np.array([0.018, 0.014, 0.01, 0.008]), segments=10).of_part(OUTSIDE)
    handle = _loop_handle(radius * 0.86, 0.2 * height, 0.85 * height, draw.uniform(0.035, 0.05), 0.006, 1.1)
    shell = draw.colour(white=3, blue=1.5, brown=1.5)
    skins = (plain(shell), plain(shell if draw.chance(0.7) else draw.colour()), plain(shell))
    return Model("teapot", merged([body, nozzle, handle]).resting(), Surface(skins, 0.4), "upright", "ceramic")


def pitcher(draw: Draw) -> Model:
    """A jug for water or milk."""
    radius, height = draw.uniform(0.045, 0.065), draw.uniform(0.16, 0.24)
    kind = draw.pick(("straight", "bellied", "cone"))
    if kind == "bellied":
        side = [(radius * 0.75, 0.0), (radius * 1.1, 0.25 * height), (radius * 1.05, 0.5 * height),
                (radius * 0.7, 0.8 * height), (radius * 0.85, height)]  # fmt: skip
    else:
        side = _side(radius, radius * (0.8 if kind == "cone" else 1.1), height, 1.0)
    body, _ = vessel(side, 0.003)
    mesh = merged([body, _loop_handle(radius * 0.92, 0.25 * height, 0.85 * height, 0.045, 0.007, 1.4, True)])
    outside, inside, grip, is_printed = _glaze(draw, white=2.0)
    return Model("pitcher", mesh.resting(), Surface((outside, inside, grip), 0.3), "upright", "", is_printed)


def vase(draw: Draw) -> Model:
    """A vase for the table, without flowers."""
    radius, height = draw.uniform(0.035, 0.07), draw.uniform(0.12, 0.28)
    shape = draw.pick(([0.6, 1.0, 0.9, 0.45, 0.6], [0.45, 0.7, 1.0, 0.7, 0.5], [0.7, 0.8, 0.85, 0.95, 1.1],
                       [1.0, 0.75, 0.5, 0.4, 0.45], [0.6, 0.95, 0.55, 0.8, 0.6]))  # fmt: skip
    t = np.linspace(0, 1, 11)
    radii = radius * np.interp(t, np.linspace(0, 1, 5), shape)
    radii[1:-1] = (radii[:-2] + 2 * radii[1:-1] + radii[2:]) / 4
    mesh, _ = vessel([(float(r), float(z) * height) for r, z in zip(radii, t, strict=True)], 0.004)
    shell = draw.colour(white=2, blue=1.5, black=0.7)
    skin = plain(shell)
    if draw.chance(0.3):
        skin = cloth(draw.rng, shell, draw.colour(), (8, 3)) if draw.chance(0.5) else grain(draw.rng, shell, 0.15, 2)
    return Model("vase", mesh, Surface((skin, plain(shell * 0.8)), draw.uniform(0.1, 0.6)), "upright", "ceramic")
