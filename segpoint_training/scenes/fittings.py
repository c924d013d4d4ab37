"""What a room holds beside seats and cases: kitchen and bathroom fittings, television, door, rug, what decorates it."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.joinery import block, cylinder, rod, slab, wood
from segpoint_training.scenes.model import Draw, Model, disc, rectangle
from segpoint_training.scenes.shapes import Mesh, lathe, merged, prism, rotation
from segpoint_training.scenes.surfaces import Skin, Surface, cloth, grain, plain, printed


def _enamel(draw: Draw) -> Skin:
    """The finish of appliances: white, steel, black."""
    return plain(draw.colour(white=7, gray=3, black=1.5, red=0.2, rest=0.0))


def _appliance(category: str, pieces: list[Mesh], skins: tuple[Skin, ...], size: tuple[float, float, float]) -> Model:
    """What all enamelled appliances share; ``size``: width, depth and height of the body, whose top carries things."""
    return Model(category, merged(pieces), Surface(skins, 0.3, 0.04), "upright", "metal",
                 top=(size[2], rectangle(size[0] * 0.95, size[1] * 0.9)))  # fmt: skip


def refrigerator(draw: Draw) -> Model:
    """A refrigerator with one door, two above each other or two side by side."""
    width, depth, height = draw.uniform(0.52, 0.9), draw.uniform(0.55, 0.72), draw.uniform(1.3, 1.95)
    style = draw.pick(("one", "top", "bottom", "side"))
    pieces = [block((width, depth, height), (0, 0, 0))]
    if style == "side":
        doors = [(-width / 4, width / 2, 0.04, height), (width / 4, width / 2, 0.04, height)]
    else:
        at = {"one": height, "top": height * 0.7, "bottom": height * 0.38}[style]
        doors = [(0.0, width, 0.04, at)] + ([(0.0, width, at, height)] if at < height else [])
    for x, wide, low, high in doors:
        pieces.append(block((wide - 0.012, 0.045, high - low - 0.012), (x, -depth / 2 - 0.024, low + 0.006), 1))
        side = wide / 2 - 0.06 if style != "side" else (0.06 - wide / 2 if x > 0 else wide / 2 - 0.06)
        tall = min(0.5, (high - low) * 0.5)
        pieces.append(block((0.025, 0.03, tall), (x + side, -depth / 2 - 0.065, (low + high - tall) / 2), 2))
    body = _enamel(draw)
    skins = (body, body, plain(np.full(3, draw.one_of((0.15, 0.7, 0.8)))))
    return _appliance("refrigerator", pieces, skins, (width, depth, height))


def oven(draw: Draw) -> Model:
    """A cooker: hob on top, glass door below."""
    width, depth, height = draw.one_of((0.5, 0.6, 0.76)), draw.uniform(0.58, 0.65), draw.uniform(0.84, 0.92)
    front = -depth / 2
    pieces = [block((width, depth, height - 0.01), (0, 0, 0))]
    pieces.append(block((width, depth, 0.01), (0, 0, height - 0.01), 1))
    pieces.append(block((width - 0.03, 0.03, 0.46), (0, front - 0.015, 0.22)))
    pieces.append(block((width * 0.7, 0.006, 0.28), (0, front - 0.032, 0.28), 1))
    pieces.append(block((width * 0.75, 0.03, 0.02), (0, front - 0.05, 0.63), 2))
    for k in range(5):
        knob = cylinder(0.02, 0.03, 2).turned(rotation(0, np.pi / 2), ((k - 2) * width * 0.17, front, height - 0.08))
        pieces.append(knob)
    top = height
    if draw.pick((True, True, False)):
        top += 0.012
        for x in (-0.25, 0.25):
            for y in (-0.24, 0.22):
                spot = (x * width, y * depth, height)
                pieces.append(cylinder(draw.uniform(0.065, 0.1), 0.012, 2).turned(np.eye(3), spot))
    skins = (_enamel(draw), plain(np.full(3, draw.uniform(0.05, 0.12))), plain(np.full(3, draw.one_of((0.1, 0.6)))))
    return _appliance("oven", pieces, skins, (width * 0.9, depth * 0.8, top))


def washing_machine(draw: Draw) -> Model:
    """A washing machine that is filled from its front."""
    width, depth, height = draw.uniform(0.58, 0.62), draw.uniform(0.5, 0.62), draw.uniform(0.83, 0.88)
    front, radius = -depth / 2, draw.pick((0.15, 0.18, 0.21, 0.13))
    pieces = [block((width, depth, height), (0, 0, 0))]
    ring = lathe([(radius - 0.04, 0.0), (radius, 0.0), (radius, 0.03), (radius - 0.045, 0.035), (radius - 0.06, 0.01)],
                 1, 24)  # fmt: skip
    glass = lathe([(radius - 0.05, 0.012), (radius * 0.4, 0.035), (0.0, 0.04)], 2, 24)
    pieces += [piece.turned(rotation(0, np.pi / 2), (0, front, height * 0.46)) for piece in (ring, glass)]
    pieces.append(block((width - 0.02, 0.012, 0.1), (0, front - 0.006, height - 0.13), 3))
    knob = cylinder(0.03, 0.03, 1).turned(
        rotation(0, np.pi / 2), (draw.uniform(-0.1, 0.2), front - 0.01, height - 0.08)
    )
    pieces.append(knob)
    body = plain(draw.colour(white=8, gray=2, black=1, rest=0.0))
    grey = plain(np.full(3, draw.one_of((0.25, 0.6, 0.75))))
    panel = body if draw.chance(0.5) else plain(np.full(3, 0.2))
    skins = (body, grey, plain((0.12, 0.13, 0.15)), panel)
    return _appliance("washing machine", pieces, skins, (width, depth, height))


def sink(draw: Draw) -> Model:
    """A basin on a pillar, or let into a vanity or a kitchen unit."""
    style = draw.pick(("pillar", "vanity", "kitchen", "vanity", "bowl"))
    height = draw.uniform(0.8, 0.92)
    basin = [
        (0.0, 0.02),
        (0.13, 0.0),
        (0.2, 0.06),
        (0.24, 0.16),
        (0.225, 0.165),
        (0.19, 0.08),
        (0.11, 0.035),
        (0.0, 0.03),
    ]
    bowl = lathe(basin, 0, 24).scaled(draw.uniform(1.0, 1.2), draw.uniform(0.8, 0.95))
    depth = 0.48
    if style == "pillar":
        pieces = [bowl.turned(np.eye(3), (0, 0, height - 0.165)), cylinder(0.09, height - 0.15)]
        pieces.append(slab(0.5, 0.12, 0.12, (0, 0.2, height - 0.12)))
    else:
        width = draw.uniform(0.6, 1.0)
        body = height - (0.1 if style == "bowl" else 0.0)
        pieces = [block((width, depth, body - 0.2), (0, 0, 0), 1)]
        rim_x, rim_y = (width - 0.4) / 2, (depth - 0.34) / 2
        if style == "bowl":
            pieces.append(block((width + 0.02, depth, 0.2), (0, 0, body - 0.2), 1))
            pieces.append(bowl.turned(np.eye(3), (0, 0, body - 0.02)))
        else:  # four strips round the basin
            pieces += [block((rim_x, depth, 0.2), (s * (width - rim_x) / 2, 0, body - 0.2), 0) for s in (-1, 1)]
            pieces += [block((0.4, rim_y, 0.2), (0, s * (depth - rim_y) / 2, body - 0.2), 0) for s in (-1, 1)]
        for x in (-width / 4, width / 4):
            pieces.append(block((width / 2 - 0.02, 0.016, body - 0.28), (x, -depth / 2 - 0.008, 0.06), 1))
    rear = 0.2
    pieces += [rod((0, rear, height - 0.02), (0, rear, height + 0.16), 0.026, 2)]
    pieces += [rod((0, rear, height + 0.15), (0, rear - 0.14, height + 0.13), 0.022, 2)]
    ceramic = plain(draw.colour(white=9, gray=1, rest=0.05)) if style != "kitchen" else plain((0.66, 0.67, 0.69))
    return Model("sink", merged(pieces), Surface((ceramic, wood(draw), plain((0.72, 0.73, 0.75))), 0.4), "upright",
                 "metal" if style == "kitchen" else "ceramic")  # fmt: skip


def toilet(draw: Draw) -> Model:
    """A toilet with its cistern, lid up or down."""
    seat, length = draw.uniform(0.38, 0.44), draw.uniform(0.46, 0.54)
    profile = [(0.0, 0.0), (0.11, 0.0), (0.1, 0.1), (0.13, seat * 0.6), (0.185, seat * 0.9), (0.185, seat),
               (0.14, seat), (0.1, seat - 0.12), (0.0, seat - 0.15)]  # fmt: skip
    bowl = lathe(profile, 0, 24).scaled(y=length / 0.37)
    pieces = [bowl.turned(np.eye(3), (0, -0.1, 0))]
    ring = lathe([(0.12, 0.0), (0.19, 0.0), (0.19, 0.02), (0.12, 0.02), (0.12, 0.0)], 1, 24)
    pieces.append(ring.scaled(y=length / 0.37).turned(np.eye(3), (0, -0.1, seat)))
    behind = length / 2 - 0.1
    pieces.append(block((0.2, 0.14, seat), (0, behind - 0.02, 0)))
    cistern = draw.uniform(0.3, 0.38)
    lid = slab(0.36, 0.02, length * 0.95, (0, behind - 0.02, seat + 0.02), 1, 0.009)
    if draw.pick((False, True, True)):  # lid down
        lid = cylinder(0.19, 0.02, 1).scaled(y=length / 0.37).turned(np.eye(3), (0, -0.1, seat + 0.02))
    pieces.append(lid)
    pieces.append(slab(0.38, 0.17, cistern, (0, behind + 0.09, seat), 0, 0.02))
    white = plain(draw.colour(white=12, gray=0.5, pink=0.2, rest=0.05))
    skins = (white, white if draw.chance(0.8) else wood(draw))
    return Model("toilet", merged(pieces), Surface(skins, 0.4), "upright", "ceramic")


def trash_can(draw: Draw) -> Model:
    """A bin: open, with a pedal or a dome, or angular."""
    radius, height = draw.uniform(0.11, 0.19), draw.uniform(0.25, 0.65)
    kind = draw.pick(("open", "pedal", "box", "dome"))
    base = draw.uniform(0.75, 1.0) * radius
    if kind == "box":
        wide, deep = 2 * radius, 2 * base
        mesh = merged([slab(wide, deep, height - 0.05, (0, 0, 0), 0), slab(wide + 0.02, deep + 0.02, 0.05,
                       (0, 0, height - 0.05), 1)])  # fmt: skip
    elif kind == "open":
        mesh = lathe([(0.0, 0.0), (base, 0.0), (radius, height), (radius - 0.006, height), (base - 0.006, 0.01),
                      (0.0, 0.01)], [0, 0, 0, 1, 1], 24)  # fmt: skip
    else:
        rise = 0.03 if kind == "pedal" else 0.6 * radius
        mesh = lathe([(0.0, 0.0), (radius, 0.0), (radius, height - rise), (radius * 0.98, height - rise),
                      (radius * 0.7, height - 0.3 * rise), (0.0, height)], [0, 0, 1, 1, 1], 24)  # fmt: skip
    shell = draw.colour(gray=4, black=3, white=3, rest=0.5)
    skins = (plain(shell), plain(shell * draw.uniform(0.3, 0.9) if draw.chance(0.5) else draw.colour(black=3)))
    metal = draw.chance(0.4)
    return Model("trash can", mesh, Surface(skins, 0.4 if metal else 0.1, 0.05), "upright",
                 "metal" if metal else "plastic")  # fmt: skip


def tv(draw: Draw) -> Model:
    """A flat screen on a foot; held out: a tube set."""
    width = draw.uniform(0.75, 1.35)
    height = width * 0.575
    black = np.full(3, draw.uniform(0.03, 0.09))
    if draw.pick((False, False, False, True)):
        width, height = draw.uniform(0.5, 0.75), draw.uniform(0.42, 0.6)
        pieces = [block((width, 0.3, height), (0, -0.05, 0)), block((width * 0.7, 0.2, height * 0.7), (0, 0.19, 0.05))]
        pieces.append(block((width * 0.82, 0.01, height * 0.72), (0, -0.205, height * 0.2), 1))
        case = plain(np.full(3, draw.one_of((0.12, 0.4))))
    else:
        foot, thick = draw.uniform(0.04, 0.1), draw.uniform(0.03, 0.06)
        pieces = [block((width, thick, height), (0, 0, foot)), block((width - 0.03, 0.004, height - 0.04),
                  (0, -thick / 2 - 0.002, foot + 0.02), 1)]  # fmt: skip
        if draw.chance(0.5):
            pieces += [slab(width * 0.4, 0.22, 0.015, (0, 0, 0)), block((0.08, 0.03, foot), (0, 0, 0.01))]
        else:
            pieces += [block((0.03, 0.22, foot + 0.02), (s * width * 0.35, 0, 0)) for s in (-1, 1)]
        case = plain(black if draw.chance(0.8) else np.full(3, 0.6))
    screen = printed(draw.rng, draw.colour(), 1.2, 64) if draw.chance(0.15) else plain(black * 0.8)
    return Model("tv", merged(pieces), Surface((case, screen), 0.5, 0.25), "upright", "plastic")


def rug(draw: Draw) -> Model:
    """A rug, rectangular; held out: round."""
    thick = draw.uniform(0.008, 0.02)
    base, second = (draw.colour(red=2, gray=3, brown=2, white=2, blue=1.5) for _ in range(2))
    if draw.pick((False, False, False, True)):
        radius = draw.uniform(0.5, 0.9)
        outline = disc(radius)
        mesh = lathe([(0.0, 0.0), (radius, 0.0), (radius, thick), (0.0, thick)], 0, 28)
        skin = grain(draw.rng, base, draw.uniform(0.05, 0.12), 1.0, 64)
        return Model("rug", mesh, Surface((skin,), 0.0), "lying", "fabric", top=(thick, outline))
    length, width = draw.uniform(1.0, 2.2), draw.uniform(0.6, 1.5)
    kind = int(draw.rng.integers(3))
    if kind == 0:
        skin = cloth(draw.rng, base, second, (draw.uniform(2, 10), draw.uniform(2, 10)))
    elif kind == 1:
        skin = grain(draw.rng, base, draw.uniform(0.04, 0.15), 1.0, 64)
    else:  # a border round a mottled field
        texture = grain(draw.rng, base, 0.15, 1.0, 64).texture.copy()
        inner = slice(6, -6)
        field = texture[inner, inner] * 0.5 + second * 0.5
        texture[3:5] = texture[-5:-3] = second
        texture[:, 3:5] = texture[:, -5:-3] = second
        texture[inner, inner] = field
        skin = Skin(texture)
    mesh = prism(rectangle(length, width), thick).of_part(0)
    return Model("rug", mesh, Surface((skin,), 0.0), "lying", "fabric", top=(thick, rectangle(length, width)))


def fireplace(draw: Draw) -> Model:
    """A fireplace with its mantelpiece, with or without logs."""
    width, depth, height = draw.uniform(1.1, 1.6), draw.uniform(0.28, 0.42), draw.uniform(0.95, 1.25)
    side, lintel = draw.uniform(0.2, 0.3), height * draw.pick((0.3, 0.4, 0.22))
    opening = height - lintel - 0.05
    pieces = [block((side, depth, height - 0.05), (s * (width - side) / 2, 0, 0)) for s in (-1, 1)]
    pieces.append(block((width - 2 * side, depth, lintel), (0, 0, opening)))
    pieces.append(block((width - 2 * side, 0.04, opening), (0, depth / 2 - 0.02, 0), 2))
    pieces.append(block((width - 2 * side, depth - 0.04, 0.04), (0, -0.02, 0), 2))
    pieces.append(block((width + 0.12, depth + 0.06, 0.05), (0, -0.03, height - 0.05), 1))
    if draw.chance(0.6):
        pieces += [rod((-0.2, 0.02 + y, z), (0.2, y - 0.02, z + 0.02), 0.07, 3) for y, z in
                   ((-0.05, 0.08), (0.06, 0.08), (0.0, 0.15))]  # fmt: skip
    stone = draw.colour(white=4, gray=3, brown=2, red=1, rest=0.0)
    skins = (grain(draw.rng, stone, 0.06, 2), wood(draw), plain(np.full(3, 0.1)), plain((0.35, 0.22, 0.12)))
    return Model("fireplace", merged(pieces), Surface(skins, 0.05), "upright", "stone",
                 top=(height, rectangle(width, depth * 0.9)))  # fmt: skip


def door(draw: Draw) -> Model:
    """A leaf with panels and handles, without its frame."""
    width, height = draw.uniform(0.72, 0.92), draw.uniform(1.92, 2.06)
    pieces = [block((width, 0.04, height), (0, 0, 0.008))]
    rows = draw.pick((0, 2, 3, 4))
    for k in range(rows):
        tall = (height - 0.2) / rows
        for s in (-1, 1):
            pieces.append(block((width - 0.24, 0.008, tall - 0.1), (0, s * 0.024, 0.15 + k * tall), 1))
    for s in (-1, 1):
        pieces.append(rod((width / 2 - 0.07, 0, 1.02), (width / 2 - 0.07, s * 0.065, 1.02), 0.02, 2))
        pieces.append(rod((width / 2 - 0.06, s * 0.065, 1.02), (width / 2 - 0.18, s * 0.065, 1.02), 0.02, 2))
    skin = plain(draw.colour(white=9, gray=1, rest=0.0)) if draw.chance(0.55) else wood(draw)
    skins = (skin, skin if draw.chance(0.7) else wood(draw), plain(np.full(3, draw.one_of((0.2, 0.7)))))
    return Model("door", merged(pieces), Surface(skins, 0.15), "upright", "wood")


def floor_plant(draw: Draw) -> Model:
    """A pot with leaves, knee to head high."""
    rng = draw.rng
    tall, radius = draw.uniform(0.5, 1.6), draw.uniform(0.11, 0.2)
    pot = draw.uniform(0.2, 0.36)
    vessel = lathe([(0.0, 0.0), (radius * 0.75, 0.0), (radius, pot), (radius * 0.9, pot), (radius * 0.85, pot - 0.04),
                    (0.0, pot - 0.04)], [0, 0, 0, 0, 2], 20)  # fmt: skip
    kind = draw.pick(("bush", "palm", "bush", "swords"))
    count = int(rng.integers(18, 46))
    pieces = [vessel]
    if kind != "swords":
        pieces.append(rod((0, 0, pot - 0.05), (0.03, 0.02, tall * 0.75), 0.025, 2))
    spread = min(0.45, 0.28 * tall + 0.08)
    for _ in range(count):
        turn = rng.uniform(0, 2 * np.pi)
        if kind == "bush":
            foot, rise, long, wide = rng.uniform(pot, tall * 0.75), rng.uniform(0.2, 1.2), spread * 0.8, 0.05
        elif kind == "palm":
            foot, rise, long, wide = tall * 0.72, rng.uniform(-0.2, 1.2), spread * 1.2, 0.035
        else:
            foot, rise, long, wide = pot - 0.04, rng.uniform(1.1, 1.5), (tall - pot) * 0.9, 0.03
        pieces.append(_leaf(long * rng.uniform(0.7, 1.0), wide * rng.uniform(0.7, 1.6), rise, turn, foot))
    green = colours.from_hsv(draw.uniform(85, 135), draw.uniform(0.45, 0.85), draw.uniform(0.25, 0.6))
    skins = (plain(draw.colour(brown=3, white=3, gray=2)), grain(rng, green, 0.15, 2, 32), plain((0.25, 0.18, 0.12)))
    return Model("plant", merged(pieces), Surface(skins, 0.1), "upright", "")


def _leaf(long: float, wide: float, rise: float, turn: float, foot: float) -> Mesh:
    """Two quads and a tip that bend down from ``rise`` radians over the level; part 1."""
    s = np.array([0.0, 0.35, 0.7, 1.0])
    slope = rise - 1.1 * s
    x = np.concatenate([[0], np.cumsum(np.diff(s) * long * np.cos(slope[:-1]))])
    z = np.concatenate([[0], np.cumsum(np.diff(s) * long * np.sin(slope[:-1]))])
    half = wide * np.array([0.3, 1.0, 0.8, 0.05])
    vertices = np.stack([np.repeat(x, 2), np.stack([-half, half], 1).reshape(-1), np.repeat(z, 2)], 1)
    normal = np.repeat(np.stack([-np.sin(slope), np.zeros(4), np.cos(slope)], 1), 2, 0)
    first = np.arange(3)[:, None] * 2
    faces = np.concatenate([first + [0, 2, 3], first + [0, 3, 1]]).astype(np.int32)
    uv = np.stack([np.repeat(s, 2), np.tile([0.0, 1.0], 4)], 1)
    leaf = Mesh(vertices.astype(np.float32), normal.astype(np.float32), uv.astype(np.float32), faces,
                np.ones(len(faces), np.int32))  # fmt: skip
    return leaf.turned(rotation(2, turn), (0, 0, foot))


def floor_lamp(draw: Draw) -> Model:
    """A standing lamp with a shade, on a foot or three legs."""
    foot, height = draw.uniform(0.11, 0.16), draw.uniform(1.3, 1.75)
    low, tall = draw.uniform(0.13, 0.24), draw.uniform(0.2, 0.35)
    high = low * draw.pick((0.6, 1.0, 0.8, 1.25))
    stem = merged([cylinder(foot, 0.025), cylinder(0.013, height - 0.1, 0, 0.02)])
    if draw.chance(0.2):  # three legs
        stem = merged([rod((foot * 2 * np.cos(a), foot * 2 * np.sin(a), 0), (0, 0, height - tall), 0.025)
                       for a in (0.5, 2.6, 4.7)])  # fmt: skip
    shade = lathe([(low, height - tall), (high, height), (high - 0.004, height), (low - 0.004, height - tall)], 1, 22)
    skins = (plain(draw.colour(black=4, gray=2, brown=2, white=1, rest=0.1)), plain(draw.colour(white=6, rest=0.3)))
    return Model("lamp", merged([stem, shade]), Surface(skins, 0.1), "upright", "")


def cardboard_box(draw: Draw) -> Model:
    """A moving box, closed or open."""
    size = (draw.uniform(0.28, 0.6), draw.uniform(0.24, 0.45), draw.uniform(0.16, 0.42))
    base = colours.from_hsv(draw.uniform(26, 36), draw.uniform(0.35, 0.5), draw.uniform(0.6, 0.8))
    side = grain(draw.rng, base, 0.03, 6, 48)
    tape = grain(draw.rng, base, 0.03, 6, 48).texture.copy()
    tape[21:27] = colours.from_hsv(35, draw.uniform(0.1, 0.5), 0.8)
    if draw.pick((False, False, True)):  # open: two flaps stand off
        flap = 0.5 * size[1]
        pieces = [block((size[0], 0.006, size[2]), (0, s * (size[1] / 2 - 0.003), 0)) for s in (-1, 1)]
        pieces += [block((0.006, size[1], size[2]), (s * (size[0] / 2 - 0.003), 0, 0)) for s in (-1, 1)]
        pieces.append(block((size[0], size[1], 0.006), (0, 0, 0)))
        for s in (-1, 1):
            lean = rotation(0, -s * draw.uniform(0.5, 1.9))
            sheet = block((size[0], 0.005, flap), (0, 0, 0)).turned(lean, (0, s * size[1] / 2, size[2]))
            pieces.append(sheet)
        return Model("box", merged(pieces), Surface((side,), 0.0), "upright", "cardboard")
    mesh = merged([block(size, (0, 0, 0)), block((size[0], size[1], 0.002), (0, 0, size[2]), 1)])
    return Model("box", mesh, Surface((side, Skin(tape)), 0.0), "upright", "cardboard",
                 top=(size[2] + 0.002, rectangle(size[0], size[1])))  # fmt: skip


def shelf_book(draw: Draw) -> Model:
    """A book on its lower edge, spine to −y, as it stands in a shelf."""
    thick, deep, tall = draw.uniform(0.018, 0.06), draw.uniform(0.14, 0.21), draw.uniform(0.19, 0.27)
    cover = plain(draw.colour())
    pieces = [block((thick, deep, tall), (0, 0, 0)), block((thick * 0.8, 0.003, tall * 0.2), (0, -deep / 2 - 0.001,
              tall * draw.uniform(0.5, 0.7)), 1)]  # fmt: skip
    return Model("book", merged(pieces), Surface((cover, plain(draw.colour(white=3, yellow=2))), 0.1), "upright", "")


def floor_vase(draw: Draw) -> Model:
    """A tall vase."""
    tall, radius = draw.uniform(0.35, 0.8), draw.uniform(0.1, 0.17)
    neck = radius * draw.pick((0.4, 0.6, 0.3, 0.9))
    t = np.linspace(0, 1, 12)
    belly = radius * np.sin(np.pi * (0.2 + 0.62 * t)) + (neck - radius * np.sin(np.pi * 0.82)) * t**3
    outside = list(zip(belly.tolist(), (t * tall).tolist(), strict=True))
    profile = [(0.0, 0.0), *outside, (belly[-1] - 0.01, tall), (belly[-2] * 0.8, tall * 0.6), (0.0, tall * 0.55)]
    return Model("vase", lathe(profile, 0, 24), Surface((grain(draw.rng, draw.colour(), 0.05, 1, 48),), 0.4), "upright",
                 "ceramic")  # fmt: skip
