"""Hand tools and hardware: screwdriver, hammer, wrench, tape measure, flashlight, padlock, scissors, power drill."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.lofts import FLAT, ROUND, SOFT, bar, loft, pillar
from segpoint_training.scenes.model import Draw, Model, laid_down
from segpoint_training.scenes.shapes import Mesh, lathe, merged, rotation, tube
from segpoint_training.scenes.surfaces import Skin, Surface, banded, grain, plain, printed

METAL, GRIP, ACCENT = 0, 1, 2


def _chrome(draw: Draw, low: float = 0.45, high: float = 0.75) -> Skin:
    return plain(np.full(3, draw.uniform(low, high)))


def _grip_colour(draw: Draw) -> np.ndarray:
    return draw.colour(red=3, yellow=2.5, blue=2, black=2.5, orange=2, green=1, rest=0.3)


def screwdriver(draw: Draw) -> Model:
    """A screwdriver."""
    shaft, grip = draw.uniform(0.06, 0.14), draw.uniform(0.085, 0.115)
    wide = draw.uniform(0.012, 0.017)
    kind = draw.pick(("bulged", "fluted", "straight", "stubby"))
    if kind == "stubby":
        shaft, grip, wide = 0.035, 0.055, 0.017
    waist = {"bulged": 0.7, "fluted": 0.85, "straight": 1.0, "stubby": 0.75}[kind]
    profile = [(0.0, 0.0), (wide * 0.75, 0.0), (wide, grip * 0.12), (wide, grip * 0.55), (wide * waist, grip * 0.8),
               (wide * 0.9, grip * 0.93), (wide * 0.55, grip), (0.0035, grip)]  # fmt: skip
    parts = [GRIP] * 3 + [GRIP, ACCENT, GRIP, GRIP]
    handle = lathe(profile, parts, 6 if kind == "fluted" else 20)
    rod = lathe([(0.0035, grip), (0.0033, grip + shaft), (0.002, grip + shaft + 0.006), (0.0, grip + shaft + 0.006)],
                METAL, 10)  # fmt: skip
    pieces = [handle, rod]
    if draw.chance(0.5):  # a slotted tip
        tip = bar([(0.0, 0, 0, 0.003, 0.003), (0.014, 0, 0, 0.0045, 0.0006)])
        pieces.append(tip.turned(rotation(1, -np.pi / 2)).moved(z=grip + shaft - 0.004))
    base = _grip_colour(draw)
    second = plain(draw.colour(black=4, rest=0.5)) if draw.chance(0.6) else plain(base)
    surface = Surface((_chrome(draw), plain(base), second), 0.5, 0.05)
    mesh = laid_down(merged(pieces), draw.uniform(0, 6.28))
    return Model("screwdriver", mesh, surface, "lying")


def hammer(draw: Draw) -> Model:
    """Claw hammer, mallet, machinist's or rubber hammer, lying on its side."""
    long = draw.uniform(0.24, 0.33)
    kind = draw.pick(("claw", "claw", "machinist", "mallet", "sledge"))
    thick = {"claw": 0.013, "machinist": 0.011, "mallet": 0.024, "sledge": 0.02}[kind]
    handle = bar([(-long, 0, thick, 0.014, 0.010), (-long * 0.9, 0, thick, 0.017, 0.0115),
                  (-long * 0.6, 0, thick, 0.014, 0.010), (-long * 0.35, 0, thick, 0.010, 0.008),
                  (-0.005, 0, thick, 0.010, 0.008)], SOFT, 50.0, GRIP)  # fmt: skip
    half = draw.uniform(0.045, 0.058)
    if kind == "claw":
        head = [bar([(-0.2 * half, 0, 0, 0.013, 0.011), (0.35 * half, 0, 0, 0.010, 0.010),
                     (0.6 * half, 0, 0, 0.009, 0.009), (0.7 * half, 0, 0, 0.013, 0.013), (half, 0, 0, 0.013, 0.013)],
                    ROUND, 40.0)]  # fmt: skip
        for side in (-1, 1):
            head.append(bar([(-0.1 * half, 0, 0.004 * side, 0.012, 0.006),
                             (-0.6 * half, -0.002, 0.006 * side, 0.009, 0.005),
                             (-half * 1.15, -0.016, 0.008 * side, 0.002, 0.003)]))  # fmt: skip
    elif kind == "machinist":
        head = [bar([(-half, 0, 0, 0.002, 0.010), (-0.3 * half, 0, 0, 0.011, 0.011), (0.9 * half, 0, 0, 0.011, 0.011),
                     (half, 0, 0, 0.009, 0.009)], SOFT, 40.0)]  # fmt: skip
    else:
        section = ROUND if kind == "mallet" and draw.chance(0.6) else SOFT
        head = [bar([(-half, 0, 0, thick * 0.93, thick * 0.93), (-half * 0.9, 0, 0, thick, thick),
                     (half * 0.9, 0, 0, thick, thick), (half, 0, 0, thick * 0.93, thick * 0.93)], section,
                    40.0)]  # fmt: skip
    crown = merged(head).turned(rotation(2, np.pi / 2)).moved(z=thick)
    if kind == "mallet":
        top = draw.one_of((plain(draw.colour(black=4, white=1, rest=0.2)),
                           grain(draw.rng, np.array([0.7, 0.5, 0.3]), 0.1)))  # fmt: skip
    else:
        top = _chrome(draw, 0.2, 0.6)
    wooden = draw.chance(0.5)
    held = grain(draw.rng, np.array([0.74, 0.54, 0.32]) * draw.uniform(0.8, 1.1),
                 0.08) if wooden else plain(_grip_colour(draw))  # fmt: skip
    surface = Surface((top, held), 0.4, 0.05)
    return Model("hammer", merged([handle, crown]).resting(), surface, "lying")


def _ring(outer: float, inner: float, thick: float, part: int = METAL) -> Mesh:
    """A flat ring about z, from z = 0 to ``thick``."""
    return lathe([(inner, thick), (inner, 0.0), (outer, 0.0), (outer, thick), (inner, thick)], part, 20)


def wrench(draw: Draw) -> Model:
    """Open-ended, ring or combination spanner, or an adjustable one."""
    kind = draw.pick(("combination", "open", "adjustable", "combination", "ring"))
    long, size = draw.uniform(0.13, 0.23), draw.uniform(0.012, 0.018)
    thick = 0.0035
    shaft = bar([(-long / 2, 0, thick, size * 0.6, thick), (-long * 0.4, 0, thick, size * 0.42, thick * 0.8),
                 (long * 0.4, 0, thick, size * 0.42, thick * 0.8), (long / 2, 0, thick, size * 0.6, thick)], FLAT,
                50.0)  # fmt: skip

    def jaw(gap: float) -> Mesh:
        root = bar([(-0.2 * size, 0, thick, size * 0.6, thick * 1.1), (0.35 * size, 0, thick, size * 1.15, thick * 1.2),
                    (0.7 * size, 0, thick, size * 1.25, thick * 1.2)], FLAT)  # fmt: skip
        arms = [bar([(0.65 * size, s * size * (0.62 + gap), thick, size * 0.45, thick * 1.2), (1.3 * size,
                     s * size * (0.72 + gap), thick, size * 0.42, thick * 1.2), (2.0 * size, s * size * (0.6 + gap),
                     thick, size * 0.2, thick * 1.1)], FLAT) for s in (-1, 1)]  # fmt: skip
        return merged([root, *arms])

    turned = draw.uniform(0.15, 0.35)
    ends = {
        "combination": ("jaw", "ring"),
        "open": ("jaw", "jaw"),
        "ring": ("ring", "ring"),
        "adjustable": ("jaw", ""),
    }[kind]
    pieces = [shaft]
    for side, end in zip((0.0, np.pi), ends, strict=True):
        if end == "jaw":
            head = jaw(0.0 if kind != "adjustable" else 0.15).turned(rotation(2, turned)).moved(x=long / 2 - 0.2 * size)
        elif end == "ring":
            head = _ring(size * 1.05, size * 0.66, thick * 2.4).moved(x=long / 2 + size * 0.7, z=-thick * 0.2)
        else:
            continue
        pieces.append(head.turned(rotation(2, side)))
    if kind == "adjustable":
        pieces.append(bar([(-long / 2, 0, thick, size * 0.75, thick * 1.3),
                           (-long * 0.1, 0, thick, size * 0.6, thick * 1.2)], SOFT, 50.0, GRIP))  # fmt: skip
    black = draw.chance(0.2)
    steel = _chrome(draw, 0.1, 0.2) if black else _chrome(draw)
    surface = Surface((steel, plain(_grip_colour(draw))), 0.8, 0.15)
    return Model("wrench", merged(pieces).resting(), surface, "lying", "metal")


def tape_measure(draw: Draw) -> Model:
    """The case of a tape measure with its tongue a little out."""
    long, thick, tall = draw.uniform(0.06, 0.085), draw.uniform(0.03, 0.042), draw.uniform(0.055, 0.075)
    shape = draw.pick(("angled", "round", "square", "flat"))
    if shape == "round":
        arc = np.linspace(0, 2 * np.pi, 17)[:-1]
        outline = np.stack([long / 2 * np.cos(arc), tall / 2 * np.sin(arc)], 1)
        outline[:, 1] = np.maximum(outline[:, 1], -tall * 0.44)
    else:
        cut = {"angled": 0.35, "square": 0.12, "flat": 0.5}[shape]
        x, y = long / 2, tall / 2
        outline = np.array([[x, -y], [x, y * (1 - 2 * cut)], [x * (1 - 2 * cut), y], [-x * 0.7, y], [-x, y * 0.6],
                            [-x, -y * 0.8], [-x * 0.85, -y]])  # fmt: skip
    rings = np.stack([np.column_stack([outline[:, 0] * s, np.full(len(outline), w), outline[:, 1] * s]) for w,
                      s in ((-thick / 2, 0.9), (-thick * 0.4, 1.0), (thick * 0.4, 1.0), (thick / 2, 0.9))])  # fmt: skip
    case = loft(rings, 50.0, GRIP)
    z = -tall * 0.42
    out = draw.uniform(0.008, 0.02) if draw.chance(0.6) else draw.uniform(0.03, 0.12)
    tongue = bar([(long * 0.4, 0, z, 0.009, 0.0006), (long / 2 + out, 0, z, 0.009, 0.0006)], part=METAL)
    hook = bar(
        [(long / 2 + out, 0, z - 0.004, 0.010, 0.006), (long / 2 + out + 0.0015, 0, z - 0.004, 0.010, 0.006)], part=3
    )
    disc = lathe([(0.0, 0.0), (tall * 0.3, 0.0), (tall * 0.3, 0.0012), (0.0, 0.0012)], [ACCENT] * 3, 24)
    left = disc.turned(rotation(0, np.pi / 2)).moved(y=-thick / 2)
    right = disc.turned(rotation(0, -np.pi / 2)).moved(y=thick / 2)
    marks = np.tile(np.array([0.95, 0.82, 0.2], np.float32), (40, 8, 1))
    marks[::4] = 0.1
    base = _grip_colour(draw)
    label = printed(draw.rng, draw.colour(black=3, white=2, yellow=2), 0.5, 48)
    surface = Surface((Skin(marks), plain(base), label, _chrome(draw)), 0.25)
    mesh = merged([case, tongue, hook, left, right])
    if draw.chance(0.35):
        return Model("tape measure", mesh.turned(rotation(0, np.pi / 2)).resting(), surface, "lying", "plastic")
    return Model("tape measure", mesh.resting(), surface, "upright", "plastic")


def flashlight(draw: Draw) -> Model:
    """An electric torch."""
    long, radius = draw.uniform(0.1, 0.21), draw.uniform(0.011, 0.017)
    head = radius * draw.pick((1.25, 1.6, 1.9, 1.0))
    profile = [(0.0, 0.0), (radius * 0.95, 0.0), (radius, 0.006), (radius, long * 0.25), (radius, long * 0.68),
               (radius * 1.02, long * 0.74), (head, long * 0.84), (head, long * 0.985), (head * 0.88, long),
               (head * 0.8, long - 0.006), (0.0, long - 0.009)]  # fmt: skip
    body = lathe(profile, [METAL, METAL, METAL, ACCENT, METAL, METAL, METAL, 3, 3, 4], 24)
    button = (
        lathe([(0.005, 0.0), (0.005, 0.002), (0.0, 0.002)], 5, 10)
        .turned(rotation(1, np.pi / 2))
        .moved(radius, 0, long * 0.62)
    )
    shell = draw.colour(black=5, yellow=1.5, red=1.5, blue=1, gray=2, rest=0.4)
    knurl = np.tile(shell, (24, 24, 1)).astype(np.float32)
    knurl[::2, ::2] *= 0.6
    lens = np.array([0.85, 0.87, 0.85]) * draw.uniform(0.85, 1.1)
    surface = Surface((plain(shell), plain(shell), Skin(knurl, (2, 2)), plain(shell * 0.7), plain(np.clip(lens, 0, 1)),
                       plain(draw.colour(black=3, red=2, rest=0.3))), 0.5, 0.05)  # fmt: skip
    mesh = merged([body, button])
    if draw.chance(0.25):
        turn = rotation(0, np.pi) if draw.chance(0.5) else np.eye(3)
        return Model("flashlight", mesh.turned(turn).resting(), surface, "upright")
    return Model("flashlight", laid_down(mesh, draw.uniform(0, 6.28)), surface, "lying")


def padlock(draw: Draw) -> Model:
    """A padlock with its shackle."""
    wide, thick = draw.uniform(0.03, 0.055), draw.uniform(0.013, 0.022)
    kind = draw.pick(("square", "tall", "round", "square", "wide"))
    tall = wide * {"square": 0.85, "tall": 1.15, "round": 0.95, "wide": 0.65}[kind]
    radius = wide * (0.48 if kind == "round" else 0.12)
    body = pillar([(wide * 0.96, tall * 0.96, 0.0), (wide, tall, 0.002), (wide, tall, thick - 0.002),
                   (wide * 0.96, tall * 0.96, thick)], radius, 50.0, GRIP)  # fmt: skip
    arc = np.linspace(0, np.pi, 9)
    reach, bow = wide * 0.32, wide * draw.uniform(0.45, 0.8)
    path = np.stack([reach * np.cos(arc), np.zeros(9), tall / 2 + bow - reach + reach * np.sin(arc)], 1)
    path = np.concatenate([[[reach, 0, tall * 0.4]], path, [[-reach, 0, tall * 0.4]]])
    shackle = tube(path, wide * 0.075, 1.0, 8).turned(rotation(0, -np.pi / 2)).moved(z=thick / 2).of_part(METAL)
    keyhole = lathe([(wide * 0.1, 0.0), (wide * 0.1, 0.0006), (0.0, 0.0006)], ACCENT, 12).moved(0, -tall * 0.2, thick)
    case = draw.one_of(
        (plain(np.array([0.75, 0.58, 0.25]) * draw.uniform(0.8, 1.1)), _chrome(draw), plain(draw.colour()))
    )
    surface = Surface((_chrome(draw, 0.6, 0.8), case, plain((0.1, 0.1, 0.1))), 0.6, 0.1)
    mesh = merged([body, shackle, keyhole])
    if draw.chance(0.3):
        return Model("padlock", mesh.turned(rotation(0, np.pi / 2)).resting(), surface, "upright", "metal")
    return Model("padlock", mesh.resting(), surface, "lying", "metal")


def scissors(draw: Draw) -> Model:
    """Scissors, closed or a little open."""
    long, open_ = draw.uniform(0.07, 0.1), np.radians(draw.uniform(2, 22))
    loop_size = draw.uniform(0.02, 0.027)
    shape = draw.pick((1.3, 1.0, 1.6, 2.0))
    arc = np.linspace(0, 2 * np.pi, 17)
    pieces = []
    for side in (-1, 1):
        z = 0.005 + 0.0012 * side
        blade = bar([(-0.012, 0, z, 0.006, 0.001), (0.01, 0.001 * side, z, 0.008, 0.001),
                     (0.6 * long, 0.003 * side, z, 0.006, 0.001), (long, 0.0055 * side, z, 0.0008, 0.001)])  # fmt: skip
        path = np.stack(
            [-long * 0.62 + loop_size * shape * np.cos(arc), np.zeros(17), loop_size * 0.85 * np.sin(arc)], 1
        )
        loop = tube(path, 0.0045, 1.1, 8).turned(rotation(0, np.pi / 2)).moved(y=-side * loop_size * 0.95, z=0.005)
        arm = bar([(0.0, 0, 0.005, 0.006, 0.0035), (-long * 0.62 + loop_size * shape * 0.7, -side * loop_size * 0.5,
                                                    0.005, 0.0065, 0.0045)], SOFT)  # fmt: skip
        half = merged([blade, loop.of_part(GRIP), arm.of_part(GRIP)])
        pieces.append(half.turned(rotation(2, side * open_ / 2)))
    pieces.append(lathe([(0.004, 0.0), (0.004, 0.009), (0.0, 0.009)], ACCENT, 12))
    surface = Surface(
        (_chrome(draw), plain(draw.colour(black=3, red=3, orange=3, blue=2, white=0.5)), _chrome(draw)), 0.6, 0.1
    )
    return Model("scissors", merged(pieces).resting(), surface, "lying")


def power_drill(draw: Draw) -> Model:
    """A cordless drill, standing on its battery or lying on its side."""
    body_radius, long = draw.uniform(0.026, 0.032), draw.uniform(0.12, 0.16)
    tall = draw.uniform(0.15, 0.18)
    barrel = lathe([(0.0, 0.0), (body_radius * 0.85, 0.0), (body_radius, 0.012), (body_radius, long * 0.7),
                    (body_radius * 0.8, long), (0.02, long), (0.02, long + 0.02), (0.012, long + 0.042),
                    (0.0, long + 0.042)], [GRIP, GRIP, GRIP, ACCENT, 3, 3, 3, 3],
                   22).turned(rotation(1, np.pi / 2)).moved(-long * 0.45, 0, tall)  # fmt: skip
    bit = lathe([(0.003, 0.0), (0.003, draw.pick((0.05, 0.03, 0.07, 0.0001))), (0.0, 0.07)], METAL, 8)
    lean = draw.uniform(0.01, 0.03)
    grip = bar([(0.02, -lean, 0, 0.021, 0.017), (tall * 0.45, -lean * 0.6, 0, 0.018, 0.0155),
                (tall * 0.75, 0, 0, 0.021, 0.017), (tall, 0.004, 0, 0.026, 0.018)], SOFT, 50.0, ACCENT)  # fmt: skip
    upright = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    battery = pillar(
        [(0.09, 0.062, 0.0), (0.095, 0.066, 0.005), (0.09, 0.06, 0.045), (0.06, 0.045, 0.052)], 0.008, 40.0, 3
    )
    pieces = [barrel, bit.turned(rotation(1, np.pi / 2)).moved(long * 0.55 + 0.035, 0, tall), grip.turned(upright),
              battery.moved(x=-lean + 0.006)]  # fmt: skip
    colour = draw.colour(yellow=3, blue=2, green=2, red=2, orange=2, rest=0.1)
    dark = np.full(3, draw.uniform(0.06, 0.16))
    surface = Surface((_chrome(draw), plain(colour), banded(draw.rng, dark, colour, 1), plain(dark)), 0.2)
    mesh = merged(pieces)
    if draw.chance(0.5):
        return Model("power drill", mesh.turned(rotation(0, np.pi / 2)).resting(), surface, "lying", "plastic")
    return Model("power drill", mesh.resting(), surface, "upright", "plastic")
