"""Turned containers: can, tin, bottle, jar, tube."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.lofts import SOFT, bar, pillar
from segpoint_training.scenes.model import Draw, Model, disc, laid_down, rectangle
from segpoint_training.scenes.prints import front
from segpoint_training.scenes.shapes import Mesh, lathe, merged, prism, rotation, rounded_rectangle, tube
from segpoint_training.scenes.surfaces import Skin, Surface, banded, cloth, grain, plain, printed

SIDE, LID, CAP, EXTRA = 0, 1, 2, 3


def _label(draw: Draw, base: np.ndarray, busy: float = 0.8) -> Skin:
    """What is printed round a container: its front once or twice, bands, or scattered print."""
    style = draw.uniform(0, 1)
    if style < 0.5:
        return front(draw.rng, base, repeat=(float(draw.one_of((1, 2))), 1.0))
    if style < 0.65:
        return banded(draw.rng, base, draw.colour(), int(draw.rng.integers(1, 4)))
    return printed(draw.rng, base, busy)


_CANS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {  # radius and height in metres
    "soda": ((0.031, 0.034), (0.112, 0.125)),
    "beer": ((0.032, 0.034), (0.15, 0.17)),
    "energy": ((0.026, 0.029), (0.13, 0.17)),
    "food": ((0.033, 0.052), (0.07, 0.125)),
    "flat": ((0.035, 0.05), (0.03, 0.05)),
    "chips": ((0.035, 0.041), (0.18, 0.29)),
    "coffee": ((0.048, 0.065), (0.1, 0.16)),
    "aerosol": ((0.024, 0.032), (0.14, 0.21)),
    "spray": ((0.027, 0.032), (0.17, 0.21)),
    "paint": ((0.045, 0.07), (0.09, 0.14)),
}
_CAN_ORDER = ("soda", "soda", "food", "food", "chips", "aerosol", "spray", "flat", "beer", "coffee", "paint", "energy")


def can(draw: Draw) -> Model:
    """Drinks and food cans, crisps' and coffee's tall ones, spray cans, paint pots."""
    kind = draw.pick(_CAN_ORDER)
    radius, height = (draw.uniform(*span) for span in _CANS[kind])
    pieces = [_can_body(draw, kind, radius, height)]
    metal = plain(np.full(3, draw.uniform(0.55, 0.78)))
    lid = plain(draw.colour(white=4, rest=0.4)) if kind in ("chips", "coffee") and draw.chance(0.6) else metal
    base = draw.colour(red=2, white=1.2, gray=0.6, yellow=1.6, brown=0.3)
    bare = kind in ("food", "paint") and draw.chance(0.15)
    cap = plain(draw.colour(white=2, black=1.5))
    if kind == "spray":
        nozzle = lathe([(0.008, 0.0), (0.008, 0.012), (0.0, 0.013)], CAP, 12)
        pieces.append(nozzle.moved(z=height - 0.013))
    elif kind == "paint" and draw.chance(0.6):
        arc = np.linspace(0, np.pi, 11)
        path = np.stack([radius * 1.03 * np.cos(arc), np.zeros(11), radius * 1.2 * np.sin(arc)], 1)
        hang = rotation(0, draw.uniform(1.0, 1.4) * draw.one_of((-1, 1)))
        pieces.append(tube(path, 0.0018, 1.0, 6).turned(hang).moved(z=height * 0.85).of_part(LID))
    elif kind in ("soda", "beer", "energy") and draw.chance(0.7):
        pieces.append(bar([(-0.002, 0, 0, 0.006, 0.0007), (0.016, 0, 0, 0.008, 0.0007)], SOFT,
                          part=LID).moved(z=height - 0.002))  # fmt: skip
    side = metal if bare else _label(draw, base, draw.uniform(0.4, 1.2))
    surface = Surface((side, lid, cap), draw.uniform(0.2, 0.6), 0.15 if bare else 0.03)
    mesh, pose = merged(pieces), "upright"
    tops = kind not in ("spray", "aerosol", "paint")
    top: tuple[float, np.ndarray] | None = (height, disc(radius * 0.85)) if tops else None
    fallen = draw.uniform(0, 1)
    if fallen < (0.18 if kind not in ("flat", "paint") else 0.02):
        mesh, pose, top = laid_down(mesh, draw.uniform(0, 6.28)), "lying", None
    elif fallen < 0.21 and kind == "food":
        mesh, pose, top = mesh.turned(rotation(0, np.pi)).resting(), "upside down", (height, disc(radius * 0.85))
    return Model("can", mesh.resting(), surface, pose, "metal", not bare, top)


def _can_body(draw: Draw, kind: str, radius: float, height: float) -> Mesh:
    if kind in ("soda", "beer", "energy"):
        profile = [(0.0, 0.004), (radius * 0.72, 0.0), (radius, 0.012), (radius, height * 0.9), (radius * 0.84, height),
                   (radius * 0.8, height - 0.003), (0.0, height - 0.003)]  # fmt: skip
        return lathe(profile, [LID, LID, SIDE, SIDE, LID, LID])
    if kind == "aerosol":
        shoulder = draw.uniform(0.7, 0.84)
        profile = [(0.0, 0.0), (radius, 0.0), (radius, height * shoulder), (radius * 0.85, height * (shoulder + 0.02)),
                   (radius * 0.83, height - 0.004), (radius * 0.7, height), (0.0, height)]  # fmt: skip
        return lathe(profile, [LID, SIDE, LID, CAP, CAP, CAP])
    if kind == "spray":
        body = height - 0.012
        profile = [(0.0, 0.0), (radius * 1.02, 0.0), (radius * 1.02, 0.003), (radius, 0.005), (radius, body * 0.86),
                   (radius * 0.8, body * 0.93), (radius * 0.45, body * 0.97), (radius * 0.42, body),
                   (0.0, body)]  # fmt: skip
        return lathe(profile, [LID, LID, LID, SIDE, LID, LID, LID, LID])
    rim, lip = 1.03, 0.012 if kind == "coffee" else 0.005
    profile = [(0.0, 0.002), (radius * 0.96, 0.002), (radius * rim, 0.0), (radius * rim, 0.003), (radius, 0.005),
               (radius, height - lip), (radius * rim, height - lip + 0.002), (radius * rim, height),
               (radius * 0.96, height - 0.002), (0.0, height - 0.002)]  # fmt: skip
    return lathe(profile, [LID, LID, LID, LID, SIDE, LID, LID, LID, LID])


def tin(draw: Draw) -> Model:
    """A biscuit or tea tin: a flat round or rectangular metal box with a lid."""
    round_, patterned = draw.pick((True, True, False, False)), draw.chance(0.6)
    height = draw.uniform(0.045, 0.1)
    base = draw.colour(brown=3, blue=2, red=2, white=0.7, gray=0.7)
    if patterned and draw.chance(0.4):
        lid = side = grain(draw.rng, base, draw.uniform(0.15, 0.35), draw.uniform(1, 4), 96)
    elif patterned:
        lid, side = (
            front(draw.rng, base) if draw.chance(0.5) else printed(draw.rng, base, 1.2),
            printed(draw.rng, base, 0.6),
        )
    else:
        lid = side = plain(base)
    surface = Surface((side, lid), draw.uniform(0.3, 0.6), 0.06)
    if not round_:
        size = (draw.uniform(0.1, 0.22), draw.uniform(0.07, 0.15))
        outline = rounded_rectangle(*size, 0.02)
        wider = rounded_rectangle(size[0] + 0.004, size[1] + 0.004, 0.022)
        cover = prism(wider, height * 0.3, smooth=True).moved(z=height * 0.7)
        mesh = merged([prism(outline, height * 0.7, smooth=True), cover])
        return Model("tin", mesh, surface, "upright", "metal", patterned, (height, rectangle(*size)))
    radius = draw.uniform(0.05, 0.115)
    profile = [(0.0, 0.0), (radius * 0.97, 0.0), (radius, 0.004), (radius, height * 0.7), (radius * 1.02, height * 0.7),
               (radius * 1.02, height * 0.96), (radius * 0.98, height), (0.0, height)]  # fmt: skip
    mesh = lathe(profile, [SIDE] * 6 + [LID], 36)
    if draw.chance(0.15):  # standing on its rim
        return Model("tin", laid_down(mesh, draw.uniform(0, 6.28)), surface, "lying", "metal", patterned)
    return Model("tin", mesh, surface, "upright", "metal", patterned, (height, disc(radius * 0.9)))


# relative radius at relative height, body to neck
_BOTTLES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((1.0, 0.0), (1.0, 0.55), (0.95, 0.62), (0.45, 0.78), (0.36, 0.84), (0.36, 0.93)),  # water
    (
        (0.95, 0),
        (1, 0.04),
        (1, 0.2),
        (0.94, 0.22),
        (1, 0.24),
        (1, 0.5),
        (0.94, 0.52),
        (1, 0.54),
        (0.5, 0.82),
        (0.4, 0.93),
    ),  # ribs
    ((1.0, 0.0), (1.0, 0.58), (0.85, 0.66), (0.36, 0.74), (0.36, 0.95)),  # wine
    ((1.0, 0.0), (1.0, 0.4), (0.9, 0.5), (0.4, 0.72), (0.34, 0.96)),  # sloping shoulders
    ((0.95, 0.0), (1.0, 0.06), (1.0, 0.3), (0.82, 0.42), (0.98, 0.56), (0.8, 0.7), (0.4, 0.86), (0.4, 0.92)),  # cola
    ((1.0, 0.0), (1.0, 0.72), (0.9, 0.78), (0.5, 0.82), (0.45, 0.9)),  # shampoo
    ((0.9, 0.0), (1.0, 0.1), (0.9, 0.6), (0.55, 0.8), (0.5, 0.84)),  # ketchup
    ((1.0, 0.0), (1.0, 0.5), (0.55, 0.72), (0.4, 0.9), (0.42, 0.97)),  # beer
    ((1.0, 0.0), (1.0, 0.68), (0.93, 0.72), (0.8, 0.73), (0.8, 0.76)),  # pills, vitamins
    ((1.0, 0.0), (1.0, 0.8), (0.95, 0.84), (0.85, 0.85)),  # flask
    ((0.85, 0.0), (1.0, 0.05), (1.0, 0.62), (0.75, 0.7), (0.62, 0.72), (0.62, 0.78)),  # sports
    ((1.0, 0.0), (0.8, 0.4), (1.0, 0.6), (0.6, 0.76), (0.42, 0.9)),  # waisted (held out)
)


def bottle(draw: Draw) -> Model:
    """Drinks, oil, sauces, shampoo, pills, flasks: labelled or bare, half full, standing or lying."""
    profile = draw.pick(_BOTTLES)
    squat = profile[-1][0] > 0.7 and profile[-1][1] < 0.8
    radius, height = draw.uniform(0.025, 0.046), draw.uniform(0.14, 0.31)
    if squat:
        height = min(radius * draw.uniform(2.6, 4.0), 0.2)
    side = [(radius * r, height * z) for r, z in profile]
    mesh = merged([lathe([(0.0, 0.0), *side], SIDE), _bottle_cap(draw, side[-1], height)])
    # the label is a sleeve a hair wider than the body's straight part
    low, high = draw.uniform(0.08, 0.2) * height, draw.uniform(0.38, 0.52) * height
    r_low, r_high = (float(np.interp(z, [s[1] for s in side], [s[0] for s in side])) + 0.0006 for z in (low, high))
    labelled = draw.chance(0.75)
    if labelled:
        mesh = merged([mesh, lathe([(r_low, low), (r_high, high)], LID)])
    flat = draw.uniform(0.55, 0.75) if draw.chance(0.25) else 1.0
    if flat < 1:
        mesh = mesh.scaled(1.0, flat, 1.0)
    see_through = draw.chance(0.35)
    shell = draw.colour(white=2.5, green=2, brown=1.5, blue=1.5, gray=0.4)
    skin = plain(shell)
    if see_through:
        glass = 0.4 * shell + 0.6 * np.array([0.75, 0.8, 0.8], np.float32)
        skin = half_full(draw, glass)
    surface = Surface((skin, _label(draw, draw.colour(white=2.5), 0.7), plain(draw.colour(white=2, black=1.5))),
                      draw.uniform(0.2, 0.7), draw.uniform(0.2, 0.5) if see_through else 0.02)  # fmt: skip
    pose = "upright"
    if draw.chance(0.15):
        roll = draw.uniform(0, 6.28) if flat == 1.0 else np.pi / 2
        mesh, pose = laid_down(mesh, roll), "lying"
    return Model("bottle", mesh.resting(), surface, pose, "glass" if see_through else "plastic", labelled,
                 clear=see_through and not labelled)  # fmt: skip


def half_full(draw: Draw, glass: np.ndarray) -> Skin:
    """Clear walls, and through them what they hold up to some height."""
    inside = draw.colour(white=2, orange=2, yellow=2, brown=2, red=2, black=1, rest=0.4)
    texture = np.tile(np.asarray(glass, np.float32), (32, 1, 1))
    if draw.chance(0.7):
        texture[: int(draw.rng.integers(10, 28))] = 0.3 * glass + 0.7 * inside
    return Skin(texture)


def _bottle_cap(draw: Draw, mouth: tuple[float, float], height: float) -> Mesh:
    """A screw cap, a flip top, a pump's nozzle or a sports cap on the mouth (radius, height)."""
    neck, base = mouth[0] * 1.12, mouth[1]
    tall = height - base
    kind = draw.one_of(("screw", "screw", "cone", "stepped"))
    if kind == "screw":
        profile = [(neck, base), (neck, height - 0.001), (neck * 0.92, height), (0.0, height)]
    elif kind == "cone":
        profile = [(neck, base), (neck * 0.9, base + 0.4 * tall), (neck * 0.35, height), (0.0, height)]
    else:
        profile = [
            (neck, base),
            (neck, base + 0.5 * tall),
            (neck * 0.5, base + 0.55 * tall),
            (neck * 0.5, height),
            (0.0, height),
        ]
    return lathe([(mouth[0] * 0.5, base), *profile], CAP)


def _jar_body(kind: str, radius: float, neck: float, shoulder: float, mouth: float) -> Mesh:
    """Up to the mouth; ``radius`` and ``neck`` are half widths, ``shoulder`` and ``mouth`` heights."""
    if kind == "hexagon":
        return lathe([(0.0, 0.0), (radius, 0.0), (radius, shoulder), (neck, mouth)], [0, 1, 0], 6)
    if kind == "square":
        wide = radius * 1.8
        return pillar([(wide, wide, 0.0), (wide, wide, shoulder), (neck * 1.5, neck * 1.5, mouth)], 0.006, part=1)
    belly = radius * (1.15 if kind == "bellied" else 1.0)
    side = [(radius * 0.95, 0.0), (radius, 0.004), (belly, 0.5 * shoulder), (radius, shoulder), (neck, mouth)]
    return lathe([(0.0, 0.0), *side], [0, 0, 1, 1, 0])


def jar(draw: Draw) -> Model:
    """Jam, honey, spices, pickles: round, square or six-sided, its lid of metal, plastic or under a cloth."""
    radius, height = draw.uniform(0.028, 0.05), draw.uniform(0.07, 0.16)
    kind = draw.pick(("round", "round", "hexagon", "spice", "square", "bellied", "preserve"))
    if kind == "spice":
        radius, height = draw.uniform(0.02, 0.025), draw.uniform(0.085, 0.115)
    neck = radius * draw.one_of((0.8, 0.9, 0.98, 0.7))
    lid = draw.uniform(0.012, 0.02) * (1.6 if kind == "spice" else 1.0)
    shoulder, mouth = 0.78 * height, 0.86 * height
    body = _jar_body(kind, radius, neck, shoulder, mouth)
    rim = neck * 1.06
    cover = [(rim, mouth - 0.001), (rim, mouth + lid - 0.001), (rim * 0.96, mouth + lid), (0.0, mouth + lid)]
    if kind == "preserve":  # a cloth tied over it
        cover = [
            (rim * 1.45, mouth - 0.012),
            (rim * 1.06, mouth),
            (rim * 1.08, mouth + lid),
            (0.0, mouth + lid + 0.002),
        ]
    mesh = merged([body, lathe(cover, 2)])
    content = draw.colour(brown=3, red=2, orange=2, yellow=2, white=1.5, green=1.5, rest=0.2)
    label = draw.chance(0.7)
    side = _label(draw, draw.colour(white=4)) if label else half_full(draw, 0.5 * content + 0.4)
    cap = plain(draw.colour(red=2, white=2, gray=2, black=2))
    if kind == "preserve" or draw.chance(0.12):
        cap = cloth(draw.rng, draw.colour(red=2, blue=2, white=1), draw.colour(white=4), (8, 2))
    pose, total = "upright", mouth + lid
    top: tuple[float, np.ndarray] | None = (total, disc(neck)) if kind != "preserve" else None
    if draw.chance(0.08):
        roll = {"hexagon": np.pi / 6, "square": 0.0}.get(kind, draw.uniform(0, 6.28))  # onto a flat side
        mesh, pose, top = laid_down(mesh, roll), "lying", None
    surface = Surface((plain(content), side, cap), 0.5, draw.uniform(0, 0.2))
    return Model("jar", mesh.resting(), surface, pose, "glass", label, top)


def squeeze_tube(draw: Draw) -> Model:
    """A toothpaste-like tube: round at the cap, flat at the fold; lying, or standing on its cap."""
    length, radius = draw.uniform(0.11, 0.19), draw.uniform(0.014, 0.024)
    steps, around = np.linspace(0, 1, 7), np.linspace(0, 2 * np.pi, 21)
    wide = radius * (1 + 0.45 * steps)[:, None] * np.cos(around)
    thin = radius * (1 - 0.93 * steps)[:, None] * np.sin(around)
    along = np.broadcast_to(0.02 + steps[:, None] * (length - 0.02), wide.shape)
    vertices = np.stack([wide, thin, along], -1).reshape(-1, 3).astype(np.float32)
    normals = np.stack([np.broadcast_to(np.cos(around), wide.shape) * 0.5, np.broadcast_to(np.sin(around), wide.shape),
                        np.full(wide.shape, 0.2)], -1).reshape(-1, 3)  # fmt: skip
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    uv = np.stack(np.broadcast_arrays(around / (2 * np.pi), steps[:, None]), -1).reshape(-1, 2).astype(np.float32)
    corner = (np.arange(6) * 21)[:, None] + np.arange(20)
    quads = np.stack([corner, corner + 1, corner + 22, corner + 21], -1).reshape(-1, 4)
    faces = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
    body = Mesh(vertices, normals, uv, faces, np.zeros(len(faces), np.int32))
    cap = draw.pick((0.8, 0.65, 1.0, 0.5)) * radius
    base = lathe([(0.0, 0.0), (cap, 0.0), (cap, 0.018), (radius, 0.021)], [CAP, CAP, CAP], 16)
    mesh = merged([body, base])
    surface = Surface((_label(draw, draw.colour(white=3), 0.7), plain(draw.colour(white=3)),
                       plain(draw.colour(white=3))), 0.3)  # fmt: skip
    if cap > 0.75 * radius and draw.chance(0.3):
        return Model("tube", mesh.resting(), surface, "upright", "plastic", True)
    return Model("tube", laid_down(mesh, np.pi / 2), surface, "lying", "plastic", True)
