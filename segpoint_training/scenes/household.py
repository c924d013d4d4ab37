"""About the house: candle, sponge, brush, comb, soap dispenser, plant, spray bottle, toaster."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.dishes import vessel
from segpoint_training.scenes.lofts import FLAT, ROUND, SOFT, bar, loft, pillar
from segpoint_training.scenes.model import Draw, Model, laid_down
from segpoint_training.scenes.shapes import Mesh, box, lathe, merged, rotation, tube
from segpoint_training.scenes.surfaces import Skin, Surface, banded, grain, plain, printed


def candle(draw: Draw) -> Model:
    """A pillar candle, one in a glass, a tea light or a taper on a holder."""
    kind = draw.pick(("pillar", "glass", "taper", "pillar", "tea light"))
    wax = draw.colour(white=4, red=2, yellow=1, green=1, black=0.1, gray=0.1, brown=0.3)
    metal = plain(np.full(3, draw.uniform(0.55, 0.8)))
    if kind == "pillar":
        radius, tall = draw.uniform(0.025, 0.042), draw.uniform(0.05, 0.16)
        body = lathe([(0.0, 0.0), (radius, 0.0), (radius, tall - 0.004), (radius - 0.004, tall),
                      (radius * 0.7, tall - 0.004), (0.0, tall - 0.006)], 0, 26)  # fmt: skip
        skins = (plain(wax) if draw.chance(0.7) else banded(draw.rng, wax, draw.colour(), 2), plain(wax),
                 plain((0.1, 0.1, 0.1)))  # fmt: skip
        top = tall - 0.006
    elif kind == "taper":
        radius, tall = 0.011, draw.uniform(0.12, 0.24)
        foot = draw.uniform(0.035, 0.05)
        holder = lathe(
            [
                (0.0, 0.0),
                (foot, 0.0),
                (foot, 0.006),
                (0.012, 0.012),
                (0.012, 0.03),
                (0.018, 0.035),
                (0.018, 0.05),
                (0.0, 0.05),
            ],
            1,
            22,
        )
        stick = lathe(
            [(radius, 0.05), (radius * 0.85, 0.05 + tall), (radius * 0.3, 0.056 + tall), (0.0, 0.056 + tall)], 0, 14
        )
        body, top = merged([holder, stick]), 0.056 + tall
        skins = (
            plain(wax),
            metal if draw.chance(0.5) else plain(draw.colour(black=3, brown=2)),
            plain((0.1, 0.1, 0.1)),
        )
    else:
        low = kind == "tea light"
        radius, tall = (0.019, 0.016) if low else (draw.uniform(0.032, 0.045), draw.uniform(0.06, 0.1))
        jar, _ = vessel([(radius * 0.95, 0.0), (radius, tall)], 0.002 if not low else 0.0006, 24)
        top = tall * (0.8 if low else draw.uniform(0.5, 0.8))
        fill = lathe([(radius * 0.94, top - 0.002), (radius * 0.93, top), (0.0, top)], 1, 24)
        body = merged([jar.of_part(0), fill])
        shell = (
            metal
            if low
            else plain(np.clip(wax * 0.6 + 0.3, 0, 1))
            if draw.chance(0.5)
            else printed(draw.rng, wax, 0.6, 64)
        )
        skins = (shell, plain(wax), plain((0.1, 0.1, 0.1)))
    wick = tube(
        np.array([[0, 0, top - 0.002], [0.001, 0, top + 0.004], [0.003, 0, top + 0.009]]), 0.0012, 1.0, 5
    ).of_part(2)
    return Model("candle", merged([body, wick]), Surface(skins, 0.25), "upright")


def sponge(draw: Draw) -> Model:
    """A kitchen sponge with a scouring side, or a bath sponge."""
    kind = draw.pick(("scouring", "scouring", "plain", "waved"))
    long, wide, tall = draw.uniform(0.085, 0.125), draw.uniform(0.055, 0.08), draw.uniform(0.02, 0.038)
    soft = draw.colour(yellow=5, blue=1.5, pink=1.5, orange=1.5, green=1, black=0.05, white=0.5, brown=0.2, gray=0.2)
    pores = np.tile(soft, (64, 64, 1)).astype(np.float32)
    pores[draw.rng.random((64, 64)) < 0.12] *= 0.6
    scour = draw.colour(green=5, blue=1, black=1.5, rest=0.2) * 0.8
    waist = 0.82 if kind == "waved" else 1.0
    x = np.linspace(-long / 2, long / 2, 7)
    hw = wide / 2 * (waist + (1 - waist) * np.abs(np.linspace(-1, 1, 7)))
    split = tall * 0.72 if kind != "plain" else tall
    body = bar([(float(a), 0, split / 2, float(b), split / 2) for a, b in zip(x, hw, strict=True)], SOFT)
    pieces = [body]
    if kind != "plain":
        thick = tall - split
        pieces.append(
            bar([(float(a), 0, split + thick / 2, float(b), thick / 2) for a, b in zip(x, hw, strict=True)], part=1)
        )
    mesh = merged(pieces)
    if draw.chance(0.35):
        mesh = mesh.turned(rotation(0, np.pi)).resting()
    elif draw.chance(0.15):
        return Model(
            "sponge",
            mesh.turned(rotation(0, np.pi / 2)).resting(),
            Surface((Skin(pores, (2, 2)), plain(scour)), 0.0),
            "upright",
        )
    return Model(
        "sponge", mesh.resting(), Surface((Skin(pores, (2, 2)), grain(draw.rng, scour, 0.2, 1, 48)), 0.0), "lying"
    )


def brush(draw: Draw) -> Model:
    """A hair brush, dish brush, paint brush, scrubbing brush or toothbrush."""
    kind = draw.pick(("paint", "hair", "scrub", "dish", "tooth"))
    tone = draw.colour(black=2, red=1.5, blue=1.5, white=1.5)
    hairs = draw.one_of((np.array([0.2, 0.15, 0.1]), np.array([0.8, 0.7, 0.5]), np.full(3, 0.9), np.full(3, 0.1)))
    streaks = Skin((hairs * draw.rng.uniform(0.75, 1.1, (4, 48, 1))).clip(0, 1).astype(np.float32), (2, 1))
    wood = grain(draw.rng, np.array([0.72, 0.52, 0.32]) * draw.uniform(0.7, 1.1), 0.1)
    held = wood if draw.chance(0.45) else plain(tone)
    metal = plain(np.full(3, draw.uniform(0.5, 0.7)))
    if kind == "paint":
        wide, long = draw.uniform(0.012, 0.04), draw.uniform(0.12, 0.17)
        pieces = [bar([(-long, 0, 0, 0.006, 0.005), (-long * 0.8, 0, 0, 0.011, 0.007),
                       (-long * 0.35, 0, 0, 0.006, 0.006), (0, 0, 0, wide * 0.9, 0.007)], SOFT, 50.0),
                  bar([(-0.004, 0, 0, wide, 0.0085), (0.028, 0, 0, wide, 0.0085)], SOFT, part=2),
                  bar([(0.026, 0, 0, wide * 0.95, 0.007), (0.05, 0, 0, wide, 0.007), (0.078, 0, 0, wide * 0.8, 0.0025)],
                      FLAT, part=1)]  # fmt: skip
    elif kind in ("hair", "dish"):
        head = draw.uniform(0.09, 0.12) if kind == "hair" else 0.06
        wide = draw.uniform(0.028, 0.036) if kind == "hair" else 0.024
        long = draw.uniform(0.1, 0.12) if kind == "hair" else 0.17
        t = np.linspace(0, 1, 8)
        swell = np.sqrt(np.clip(1 - (2 * t - 1) ** 2, 0.04, 1))
        pad = bar(
            [(float(s * head), 0, 0.008, float(wide * w), 0.007) for s, w in zip(t, swell, strict=True)], FLAT, 50.0
        )
        fur = bar([(float((0.05 + 0.9 * s) * head), 0, -0.008, float(wide * 0.85 * w), 0.011) for s,
                   w in zip(t, swell, strict=True)], FLAT, 50.0, 1)  # fmt: skip
        stick = bar([(-long, 0, 0.008, 0.008, 0.007), (-long * 0.7, 0, 0.008, 0.011, 0.009),
                     (-0.02, 0, 0.008, 0.007, 0.007), (0.02, 0, 0.008, wide * 0.6, 0.006)], SOFT, 50.0)  # fmt: skip
        pieces = [pad, fur, stick]
    elif kind == "scrub":
        long, wide = draw.uniform(0.1, 0.15), draw.uniform(0.025, 0.032)
        pieces = [bar([(-long / 2, 0, 0.02, wide * 0.6, 0.008), (-long * 0.4, 0, 0.02, wide, 0.009),
                       (long * 0.4, 0, 0.02, wide, 0.009), (long / 2, 0, 0.02, wide * 0.6, 0.008)], SOFT, 50.0),
                  bar([(-long * 0.45, 0, 0.0, wide * 0.92, 0.014), (long * 0.45, 0, 0.0, wide * 0.92, 0.014)],
                      part=1)]  # fmt: skip
    else:
        pieces = [bar([(-0.12, 0, 0, 0.006, 0.0045), (-0.05, 0, 0, 0.0068, 0.005), (0.02, 0, 0, 0.0035, 0.003),
                       (0.06, 0, 0, 0.006, 0.003)], SOFT, 50.0), bar([(0.034, 0, 0.008, 0.0055, 0.006),
                                                                      (0.06, 0, 0.008, 0.0055, 0.006)],
                                                                     part=1)]  # fmt: skip
    mesh = merged(pieces)
    if kind != "paint":
        mesh = mesh.turned(rotation(0, draw.one_of((0.0, np.pi / 2, np.pi))))
    return Model("brush", mesh.resting(), Surface((held, streaks, metal), 0.15), "lying")


def comb(draw: Draw) -> Model:
    """A comb, with a handle or without."""
    long, wide = draw.uniform(0.12, 0.2), draw.uniform(0.025, 0.038)
    kind = draw.pick(("pocket", "pocket", "handled", "afro"))
    thick = 0.003
    back = wide * 0.3
    reach = long * (0.55 if kind == "handled" else 1.0)
    start = -long / 2 + (long - reach)
    spine = [(-long / 2, 0, thick, back * 0.5, thick * 0.8), (-long * 0.46, 0, thick, back * 0.62, thick),
             (long * 0.46, 0, thick, back * 0.55, thick), (long / 2, 0, thick, back * 0.35, thick * 0.8)]  # fmt: skip
    pieces = [bar([tuple(map(float, s)) for s in spine], FLAT, 50.0)]  # type: ignore[misc]
    count = 12 if kind == "afro" else int(reach / draw.uniform(0.0035, 0.005))
    tooth = wide * 1.6 if kind == "afro" else wide * 0.72
    for x in np.linspace(start + 0.006, long / 2 - 0.006, count):
        prong = bar(
            [(0, 0, thick, reach / count * 0.3, thick * 0.6), (tooth, 0, thick, reach / count * 0.16, thick * 0.3)]
        )
        pieces.append(prong.turned(rotation(2, -np.pi / 2)).moved(x=float(x), y=-back * 0.3))
    for x in (start + 0.002, long / 2 - 0.003):
        pieces.append(
            bar([(0, 0, thick, 0.003, thick * 0.9), (tooth, 0, thick, 0.002, thick * 0.5)])
            .turned(rotation(2, -np.pi / 2))
            .moved(x=x)
        )
    skin = plain(draw.colour(black=4, brown=2, pink=1, blue=1))
    if draw.chance(0.2):
        skin = grain(draw.rng, np.array([0.5, 0.28, 0.12]), 0.35, 2, 48)
    return Model("comb", merged(pieces).resting(), Surface((skin,), 0.35), "lying", "plastic")


def soap_dispenser(draw: Draw) -> Model:
    """A pump bottle: soap, lotion, sanitiser."""
    kind = draw.pick(("round", "square", "tapered", "oval", "bell"))
    radius, tall = draw.uniform(0.028, 0.038), draw.uniform(0.09, 0.15)
    neck = 0.012
    if kind == "square":
        body = pillar(
            [(radius * 1.8, radius * 1.8, 0.0), (radius * 1.8, radius * 1.8, tall * 0.88), (neck * 2, neck * 2, tall)],
            0.008,
        )
    else:
        shape = {
            "round": (1.0, 1.0, 0.9),
            "tapered": (1.05, 0.85, 0.6),
            "oval": (1.0, 1.05, 0.8),
            "bell": (1.2, 0.75, 0.5),
        }[kind]
        side = [
            (radius * 0.94, 0.0),
            (radius * shape[0], 0.006),
            (radius * shape[1], tall * 0.6),
            (radius * shape[2], tall * 0.88),
            (neck, tall),
        ]
        body = lathe([(0.0, 0.0), *side], 0, 26)
        if kind == "oval":
            body = body.scaled(1.25, 0.75)
    collar = lathe(
        [
            (neck * 1.15, tall - 0.001),
            (neck * 1.15, tall + 0.014),
            (0.005, tall + 0.015),
            (0.004, tall + 0.04),
            (0.0, tall + 0.04),
        ],
        1,
        16,
    )
    spout = bar([(-0.013, 0, tall + 0.042, 0.009, 0.005), (0.013, 0, tall + 0.042, 0.008, 0.005),
                 (0.04, 0, tall + 0.041, 0.004, 0.0035), (0.046, 0, tall + 0.035, 0.0035, 0.0035)], SOFT, 50.0,
                1)  # fmt: skip
    pieces = [body, collar, spout]
    printed_ = draw.chance(0.55)
    shell = draw.colour(white=4, blue=1.5, green=1.5, pink=1.5, black=1)
    if printed_ and kind in ("round", "tapered"):
        low, high = 0.18 * tall, 0.58 * tall
        r = [float(np.interp(z, [p[1] for p in side], [p[0] for p in side])) + 0.0006 for z in (low, high)]
        pieces.append(lathe([(r[0], low), (r[1], high)], 2, 26))
    label = printed(draw.rng, draw.colour(white=3), 0.7, 64)
    pump = plain(draw.colour(white=4, black=2, rest=0.2)) if draw.chance(0.7) else plain(np.full(3, 0.7))
    skin = printed(draw.rng, shell, 0.5, 64) if printed_ and kind not in ("round", "tapered") else plain(shell)
    surface = Surface((skin, pump, label), draw.uniform(0.2, 0.6), 0.03)
    return Model("soap dispenser", merged(pieces).resting(), surface, "upright", "plastic", printed_)


def _leaf(long: float, wide: float, bend: float) -> Mesh:
    """A leaf from the origin outwards along x, bending down."""
    t = np.linspace(0, 1, 6)
    width = wide * np.array([0.12, 0.7, 1.0, 0.9, 0.55, 0.05])
    lift = long * (0.35 * t - bend * t**2)
    return bar(
        [(float(long * s), 0.0, float(z), float(w), 0.0006) for s, z, w in zip(t, lift, width, strict=True)],
        FLAT,
        60.0,
        2,
    )


def _cactus(draw: Draw, radius: float) -> list[Mesh]:
    high, fat = radius * draw.uniform(1.5, 3.0), radius * draw.uniform(0.5, 0.75)
    profile = [(0.0, 0.0), (0.8, 0.0), (1.0, 0.3), (0.95, 0.7), (0.6, 0.93), (0.0, 1.0)]
    pieces = [lathe([(fat * r, high * z) for r, z in profile], 2, 20)]
    if draw.chance(0.4):  # an arm
        path = np.array([[0.8 * fat, 0, 0.4 * high], [1.5 * fat, 0, 0.45 * high], [1.6 * fat, 0, 0.6 * high],
                         [1.6 * fat, 0, 0.8 * high]])  # fmt: skip
        pieces.append(tube(path, np.array([0.3, 0.3, 0.3, 0.2]) * fat, 1.0, 10).of_part(2))
    return pieces


def _bush(draw: Draw, radius: float) -> list[Mesh]:
    pieces = []
    for _ in range(int(draw.rng.integers(30, 45))):
        out = draw.rng.standard_normal(3)
        out *= radius * draw.uniform(0.9, 1.5) / np.linalg.norm(out)
        out[2] = abs(out[2]) * 1.2 + 0.2 * radius
        tilt = rotation(0, draw.uniform(-0.8, 0.8)) @ rotation(1, draw.uniform(-0.6, 0.6))
        turn = rotation(2, draw.uniform(0, 6.28)) @ tilt
        pieces.append(_leaf(radius * 0.7, radius * 0.28, 0.4).turned(turn, out))
    return pieces


def _leaves(draw: Draw, radius: float, kind: str) -> list[Mesh]:
    """Leaves all round: a low rosette, upright spikes, or each on a stem."""
    pieces = []
    count = int(draw.rng.integers(10, 18)) if kind != "stems" else int(draw.rng.integers(5, 9))
    for index in range(count):
        turn = rotation(2, index * 2.4 + draw.uniform(-0.2, 0.2))
        long = radius * (draw.uniform(1.6, 2.8) if kind != "spiky" else draw.uniform(2.0, 4.0))
        wide = {"rosette": long * 0.2, "spiky": 0.007, "stems": long * 0.28}[kind]
        steep = {"rosette": 0.3, "spiky": 0.95, "stems": 0.2}[kind] + 0.5 * index / count
        bend = {"rosette": 0.5, "spiky": 0.25, "stems": 0.6}[kind]
        root, lift = 0.2 * radius, 0.0
        if kind == "stems":
            lift, lean = draw.uniform(0.5, 2.2) * radius, draw.uniform(0.1, 0.6) * radius
            path = np.array([[root, 0, 0], [root + lean * 0.4, 0, lift * 0.6], [root + lean, 0, lift]])
            pieces.append(tube(path, 0.002, 1.0, 5).turned(turn).of_part(2))
            root += lean
        leaf = _leaf(long, wide, bend).turned(rotation(1, -steep)).moved(x=root, z=lift)
        pieces.append(leaf.turned(turn))
    return pieces


def plant(draw: Draw) -> Model:
    """A house plant in a pot: leafy rosette, spiky leaves, a cactus, a bush of round leaves or stems."""
    kind = draw.pick(("rosette", "spiky", "cactus", "bush", "stems"))
    radius, tall = draw.uniform(0.035, 0.075), draw.uniform(0.06, 0.12)
    rim = radius * 1.06
    foot = radius / draw.one_of((1.0, 1.2, 1.3))
    pot, _ = vessel([(foot, 0.0), (radius, tall * 0.8), (rim, tall * 0.8), (rim, tall)], 0.004, 24)
    soil = lathe([(radius * 1.02, tall * 0.87), (0.0, tall * 0.9)], 3, 20)
    green = colours.from_hsv(draw.uniform(85, 140), draw.uniform(0.4, 0.75), draw.uniform(0.28, 0.6))
    leaves = grain(draw.rng, green, 0.2, 3, 48)
    if kind == "cactus":
        grown = _cactus(draw, radius)
        spines = np.tile(green, (24, 32, 1)).astype(np.float32)
        spines[:, ::2] *= 0.75
        spines[::4, 1::4] = 0.85
        leaves = Skin(spines)
    else:
        grown = _bush(draw, radius) if kind == "bush" else _leaves(draw, radius, kind)
    shell = draw.colour(white=3, brown=3, orange=1.5, gray=1.5, black=1.5)
    pattern = grain(draw.rng, shell, 0.08, 1, 48) if draw.chance(0.5) else plain(shell)
    surface = Surface((pattern, plain(shell * 0.8), leaves, plain((0.2, 0.14, 0.1))), 0.12)
    mesh = merged([pot, soil, merged(grown).moved(z=tall * 0.88)])
    return Model("plant", mesh.resting(), surface, "upright")


def spray_bottle(draw: Draw) -> Model:
    """A trigger spray: cleaner, plant mister."""
    radius, tall = draw.uniform(0.03, 0.042), draw.uniform(0.15, 0.19)
    shape = draw.pick((0.95, 0.75, 1.0, 0.6))
    side = [
        (radius * 0.95, 0.0),
        (radius, 0.01),
        (radius * shape, tall * 0.55),
        (radius * 0.9, tall * 0.7),
        (0.014, tall * 0.93),
        (0.013, tall),
    ]
    body = lathe([(0.0, 0.0), *side], 0, 26).scaled(1.0, draw.uniform(0.65, 1.0))
    collar = lathe([(0.016, tall - 0.002), (0.016, tall + 0.016), (0.0, tall + 0.016)], 1, 16)
    head = bar([(-0.028, 0, tall + 0.034, 0.008, 0.008), (-0.005, 0, tall + 0.032, 0.011, 0.015),
                (0.03, 0, tall + 0.038, 0.010, 0.010), (0.048, 0, tall + 0.038, 0.008, 0.008)], SOFT, 50.0,
               1)  # fmt: skip
    nozzle = bar([(0.048, 0, tall + 0.038, 0.0085, 0.0085), (0.058, 0, tall + 0.038, 0.0085, 0.0085)], ROUND, part=3)
    trigger = np.array(
        [[0.026, 0, tall + 0.03], [0.034, 0, tall + 0.01], [0.03, 0, tall - 0.012], [0.036, 0, tall - 0.024]]
    )
    pieces = [body, collar, head, nozzle, tube(trigger, 0.0045, 1.6, 8).of_part(3)]
    low, high = 0.12 * tall, 0.5 * tall
    shell = draw.colour(white=3, blue=2, green=1.5)
    skin = printed(draw.rng, shell, 0.8, 96) if draw.chance(0.7) and high > low else plain(shell)
    top = draw.colour(white=3, red=2, blue=2, black=1)
    surface = Surface((skin, plain(top), plain(top), plain(draw.colour(white=2, red=2))), 0.3)
    mesh = merged(pieces)
    if draw.chance(0.1):
        return Model("spray bottle", laid_down(mesh, np.pi / 2), surface, "lying", "plastic", skin.texture.size > 3)
    return Model("spray bottle", mesh.resting(), surface, "upright", "plastic", skin.texture.size > 3)


def toaster(draw: Draw) -> Model:
    """A toaster for two slices."""
    long, wide, tall = draw.uniform(0.24, 0.3), draw.uniform(0.15, 0.19), draw.uniform(0.16, 0.2)
    radius = draw.pick((0.03, 0.05, 0.015, 0.07))
    section = np.array([[np.sign(x) * (wide / 2 - radius) + radius * np.cos(a), tall / 2 - radius + radius * np.sin(a)]
                        for x, angles in ((1, np.linspace(0, np.pi / 2, 5)), (-1, np.linspace(np.pi / 2, np.pi, 5)))
                        for a in angles])  # fmt: skip
    section = np.concatenate([section, [[-wide / 2, -tall / 2], [wide / 2, -tall / 2]]])
    body = loft(np.stack([np.column_stack([np.full(len(section), x), section * s]) for x, s in ((-long / 2, 0.93),
                          (-long / 2 + 0.008, 1.0), (long / 2 - 0.008, 1.0), (long / 2, 0.93))]), 50.0)  # fmt: skip
    slots = [box((long * 0.65, 0.026, 0.001), (0, y * wide * 0.17, tall / 2)).of_part(1) for y in (-1, 1)]
    lever = box((0.03, 0.035, 0.014), (long / 2 + 0.01, 0, tall * 0.15)).of_part(2)
    knob = (
        lathe([(0.014, 0.0), (0.013, 0.012), (0.0, 0.012)], 2, 16)
        .turned(rotation(1, np.pi / 2))
        .moved(long / 2, wide * 0.25, -tall * 0.2)
    )
    pieces: list[Mesh] = [body, *slots, lever, knob]
    if draw.chance(0.3):
        toast = box((0.1, 0.014, 0.05), (0, wide * 0.17, tall / 2 - 0.01)).of_part(3)
        pieces.append(toast)
    shell = np.full(3, draw.uniform(0.55, 0.75)) if draw.chance(0.5) else draw.colour(red=2, black=2, white=3)
    surface = Surface(
        (plain(shell), plain((0.07, 0.06, 0.06)), plain((0.1, 0.1, 0.1)), plain((0.75, 0.55, 0.3))), 0.6, 0.1
    )
    return Model("toaster", merged(pieces).resting(), surface, "upright", "metal")
