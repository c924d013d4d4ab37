"""What one wears or carries: watch, glasses, hat, bag."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.lofts import SOFT, bar, loft, pillar
from segpoint_training.scenes.model import Draw, Model
from segpoint_training.scenes.shapes import Mesh, box, lathe, merged, prism, rotation, rounded_rectangle, tube
from segpoint_training.scenes.surfaces import Skin, Surface, cloth, grain, plain, printed


def watch(draw: Draw) -> Model:
    """A wrist watch, its strap closed to a ring on its side, or laid out flat."""
    kind = draw.pick(("ring", "flat", "ring", "square", "flat square"))
    radius, wide = draw.uniform(0.016, 0.022), draw.uniform(0.009, 0.012)
    square = "square" in kind
    outline = rounded_rectangle(2 * radius, 2 * radius * 0.9, 0.005) if square else None
    if outline is None:
        case = lathe([(0.0, 0.0), (radius * 0.9, 0.0), (radius, 0.003), (radius, 0.008), (radius * 0.88, 0.010),
                      (0.0, 0.010)], [1, 1, 1, 1, 2], 24)  # fmt: skip
    else:
        case = merged([prism(outline, 0.009).of_part(1), prism(outline * 0.88, 0.0008).moved(z=0.009).of_part(2)])
    crown = box((0.004, 0.005, 0.004), (radius + 0.001, 0, 0.003)).of_part(1)
    head = merged([case, crown])
    if kind.startswith("flat"):
        reach = draw.uniform(0.085, 0.11)
        pieces = [head]
        for side in (-1, 1):
            strap = bar([(radius * 0.8, 0, 0.004, wide, 0.0015), (radius * 1.3, 0, 0.0025, wide, 0.0015),
                         (reach * (1.0 if side > 0 else 0.8), 0, 0.0016, wide * 0.8, 0.0015)], part=0)  # fmt: skip
            pieces.append(strap.turned(rotation(2, side * np.pi / 2)))
        pose, mesh = "lying", merged(pieces)
    else:
        loop = draw.uniform(0.026, 0.031)
        arc = np.linspace(0.42, 2 * np.pi - 0.42, 22)
        path = np.stack([loop * np.sin(arc), np.zeros(22), loop * 0.85 * np.cos(arc)], 1)
        band = _ribbon(path, wide, 0.0016)
        mesh = merged([band.turned(rotation(2, np.pi / 2)).of_part(0), head.moved(z=loop * 0.85 - 0.006)])
        pose = "upright"
        if draw.chance(0.6):
            mesh, pose = mesh.turned(rotation(1, np.pi / 2)), "lying"
    metal = draw.one_of((np.full(3, draw.uniform(0.55, 0.75)), np.array([0.78, 0.62, 0.3]), np.full(3, 0.1)))
    links = np.tile(metal, (40, 6, 1)).astype(np.float32)
    links[::4] *= 0.5
    strap_skin = Skin(links) if draw.chance(0.4) else plain(draw.colour(black=5, brown=3, blue=1, rest=0.4))
    face = draw.colour(white=4, black=4, blue=1.5, rest=0.1)
    dial = np.tile(face, (12, 48, 1)).astype(np.float32)
    ink = 0.1 if face.mean() > 0.4 else 0.9
    dial[1:3, ::4] = ink
    at = draw.rng.integers(0, 46, 2)
    dial[3:, at[0] : at[0] + 2] = ink
    dial[6:, at[1] : at[1] + 2] = ink
    return Model("watch", mesh.resting(), Surface((strap_skin, plain(metal), Skin(dial)), 0.6, 0.1), pose)


def _ribbon(path: np.ndarray, half_width: float, half_thick: float) -> Mesh:
    """A band along a path (n, 3) in the xz plane, ``half_width`` along y."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.array([0.0, 1.0, 0.0])
    normal = np.cross(across, tangent)
    rings = [np.stack([p + half_thick * n + half_width * across, p - half_thick * n + half_width * across,
                       p - half_thick * n - half_width * across, p + half_thick * n - half_width * across])
             for p, n in zip(path, normal, strict=True)]  # fmt: skip
    return loft(np.stack(rings))


def glasses(draw: Draw) -> Model:
    """Spectacles or sunglasses, open or folded, on their temples' edges."""
    wide, tall = draw.uniform(0.022, 0.027), draw.uniform(0.016, 0.023)
    gap, power = 0.009, draw.pick((1.0, 0.7, 0.55, 0.4))
    arc = np.linspace(0, 2 * np.pi, 25)
    c, s = np.cos(arc), np.sin(arc)
    x, z = wide * np.sign(c) * np.abs(c) ** power, tall * np.sign(s) * np.abs(s) ** power
    thick = draw.uniform(0.0012, 0.0026)
    sun = draw.chance(0.4)
    pieces = []
    for side in (-1, 1):
        path = np.stack([x, np.zeros(25), z], 1)
        rim = tube(path, thick, 1.3, 6).of_part(0)
        pieces.append(rim.moved(x=side * (wide + gap)))
        if sun:
            lens = prism(np.stack([x, z], 1)[:-1], 0.0012).turned(rotation(0, np.pi / 2)).of_part(1)
            pieces.append(lens.moved(x=side * (wide + gap)))
    bridge = np.array([[-gap - 0.002, 0, 0.3 * tall], [0, 0, 0.55 * tall], [gap + 0.002, 0, 0.3 * tall]])
    pieces.append(tube(bridge, thick * 1.1, 1.3, 6))
    outer, folded = 2 * wide + gap, draw.chance(0.4)
    for side in (-1, 1):
        y = np.array([0.0, 0.05, 0.1, 0.125, 0.142])
        drop = np.array([0.4 * tall, 0.4 * tall, 0.4 * tall, 0.1 * tall, -0.7 * tall])
        path = np.stack([y, np.zeros(5), drop], 1)
        temple = tube(path, thick * 1.1, 0.8, 6)
        turn = rotation(2, np.pi / 2) if not folded else rotation(2, np.pi if side > 0 else 0.0)
        back = 0.0 if not folded else 0.006 + 0.004 * (side > 0)
        pieces.append(temple.turned(turn).moved(x=side * outer, y=back).of_part(0))
    frame = plain(draw.colour(black=5, brown=3, red=1, blue=1, gray=2, rest=0.2))
    lenses = plain(draw.colour(black=5, brown=2, green=0.7, blue=0.7, rest=0.0))
    mesh = merged(pieces)
    if draw.chance(0.2):
        mesh = mesh.turned(rotation(0, np.pi))
    return Model("glasses", mesh.resting(), Surface((frame, lenses), 0.6, 0.1), "upright")


def hat(draw: Draw) -> Model:
    """A baseball cap, a brimmed hat, a straw hat or a woolly hat."""
    kind = draw.pick(("cap", "fedora", "woolly", "cap", "straw", "bucket"))
    radius = draw.uniform(0.083, 0.095)
    base = draw.colour(black=2, red=1.5, blue=2, white=1, green=1)
    if kind == "cap":
        dome = [
            (radius, 0.0),
            (radius * 0.99, 0.04),
            (radius * 0.85, 0.085),
            (radius * 0.5, 0.115),
            (0.008, 0.122),
            (0.006, 0.126),
            (0.0, 0.127),
        ]
        crown = lathe([(0.0, 0.0), *dome], [0, 0, 0, 0, 0, 1, 1], 24).scaled(1.12)
        half = np.linspace(-1.15, 1.15, 11)
        inner = np.stack([radius * 1.1 * np.cos(half), radius * np.sin(half), np.full(11, 0.006)], 1)
        reach = inner.copy()
        reach[:, 0] += 0.07 * np.cos(half * 0.95)
        reach[:, 2] -= 0.005 - 0.012 * np.cos(half)
        outline = np.concatenate([inner, reach[::-1]])
        visor = loft(np.stack([outline, outline + (0, 0, 0.003)]), part=1)
        skins: tuple[Skin, ...] = (plain(base), plain(base if draw.chance(0.6) else draw.colour()))
        if draw.chance(0.5):
            front = np.tile(base, (24, 48, 1)).astype(np.float32)
            front[2:14, :5] = front[2:14, 43:] = draw.colour(white=3)
            skins = (Skin(front), skins[1])
        return Model("hat", merged([crown, visor]).resting(), Surface(skins, 0.03), "upright")
    if kind == "woolly":
        ribs = np.tile(base, (32, 64, 1)).astype(np.float32)
        ribs[:, ::2] *= 0.82
        ribs[:9] = draw.colour(white=2) * 0.95
        body = lathe([(0.0, 0.0), (radius, 0.0), (radius * 1.04, 0.025), (radius * 1.02, 0.05), (radius * 0.95, 0.055),
                      (radius * 0.9, 0.1), (radius * 0.6, 0.14), (0.0, 0.155)], [1, 0, 0, 0, 0, 0, 0], 28)  # fmt: skip
        bobble = lathe([(0.0, 0.14), (0.026, 0.15), (0.034, 0.172), (0.024, 0.196), (0.0, 0.204)], 1, 16)
        surface = Surface((Skin(ribs), grain(draw.rng, draw.colour(white=3), 0.2, 1, 48)), 0.0)
        return Model("hat", merged([body, bobble] if draw.chance(0.7) else [body]), surface, "upright")
    brim = radius * {"fedora": 1.55, "straw": 1.9, "bucket": 1.4}[kind]
    droop = 0.035 if kind == "bucket" else 0.0
    tall = draw.uniform(0.09, 0.115)
    profile = [(brim, 0.0), (brim, 0.002), (radius, 0.006 + droop), (radius * 0.97, 0.035 + droop),
               (radius * 0.88, tall + droop), (radius * 0.6, tall + 0.012 + droop),
               (0.0, tall + (0.0 if kind == "fedora" else 0.014) + droop)]  # fmt: skip
    mesh = lathe(profile, [0, 0, 1, 0, 0, 0], 30).scaled(1.1)
    straw = np.array([0.85, 0.7, 0.45]) * draw.uniform(0.85, 1.1)
    weave = np.tile(straw, (16, 16, 1)) * draw.rng.uniform(0.75, 1.05, (16, 16, 1))
    skin = Skin(np.clip(weave, 0, 1).astype(np.float32), (8, 3)) if kind == "straw" else plain(base)
    band = plain(draw.colour(black=3)) if kind != "bucket" else skin
    return Model("hat", mesh.resting(), Surface((skin, band), 0.03), "upright")


def bag(draw: Draw) -> Model:
    """A paper bag, a hand bag, a tote or a small bag of sweets."""
    kind = draw.pick(("paper", "hand", "snack", "paper", "pouch"))
    if kind in ("snack", "pouch"):
        return _snack_bag(draw, standing=kind == "pouch")
    wide, deep, tall = draw.uniform(0.14, 0.28), draw.uniform(0.07, 0.13), draw.uniform(0.18, 0.32)
    if kind == "paper":
        base = draw.one_of((np.array([0.72, 0.55, 0.37]), draw.colour(white=4)))
        body = pillar([(wide, deep, 0.0), (wide, deep * 0.85, tall), (wide - 0.004, deep * 0.85 - 0.004, tall),
                       (wide - 0.004, deep - 0.004, 0.004)], 0.004, part=0)  # fmt: skip
        arc = np.linspace(0, np.pi, 9)
        path = np.stack([wide * 0.2 * np.cos(arc), np.zeros(9), tall - 0.03 + 0.09 * np.sin(arc)], 1)
        strap = tube(path, 0.003, 1.0, 6).of_part(1)
        pieces = [body, *[strap.moved(y=s * deep * 0.4) for s in (-1, 1)]]
        if draw.chance(0.35):
            pieces = pieces[:1]
        skin = printed(draw.rng, base, 0.5, 96) if draw.chance(0.5) else grain(draw.rng, base, 0.04, 1, 64)
        surface = Surface((skin, plain(base * 0.8)), 0.03)
        return Model("bag", merged(pieces).resting(), surface, "upright", "paper")
    tall *= 0.7
    body = pillar([(wide, deep, 0.0), (wide * 1.02, deep, tall * 0.2), (wide * 0.85, deep * 0.5, tall * 0.95),
                   (wide * 0.8, deep * 0.2, tall)], 0.02, 50.0)  # fmt: skip
    arc = np.linspace(0, np.pi, 11)
    path = np.stack([wide * 0.28 * np.cos(arc), np.zeros(11), tall * 0.93 + tall * 0.5 * np.sin(arc)], 1)
    clasp = box((0.02, 0.004, 0.015), (0, -deep * 0.32, tall * 0.78)).of_part(2)
    strap = tube(path, 0.0055, 1.2, 8).of_part(1)
    base = draw.colour(black=2, brown=3, red=1.5)
    leather = grain(draw.rng, base, 0.08, 1, 64) if draw.chance(0.7) else cloth(draw.rng, base, draw.colour(), (6, 4))
    surface = Surface((leather, plain(base * 0.7), plain((0.75, 0.62, 0.35))), 0.2)
    return Model("bag", merged([body, strap, clasp]).resting(), surface, "upright")


def _snack_bag(draw: Draw, standing: bool) -> Model:
    """A pillow of foil: crisps lying, or a coffee pouch standing."""
    wide, tall, fat = draw.uniform(0.06, 0.1), draw.uniform(0.15, 0.24), draw.uniform(0.02, 0.035)
    t = np.linspace(0, 1, 9)
    bulge = fat * (np.clip(1 - t**3, 0.03, 1) if standing else np.clip(4 * t * (1 - t), 0.03, 1) ** 0.6)
    pinch = wide * (1 - 0.12 * np.sin(np.pi * t))
    stations = [(float(s * tall), 0.0, 0.0, float(w), float(b)) for s, w, b in zip(t, pinch, bulge, strict=True)]
    body = bar(stations, SOFT, 60.0)
    skin = printed(draw.rng, draw.colour(red=2, yellow=2, blue=2, green=2), 1.3, 128)
    surface = Surface((skin,), 0.5, 0.08)
    if standing:
        return Model("bag", body.turned(rotation(1, -np.pi / 2)).resting(), surface, "upright", "plastic", True)
    return Model("bag", body.resting(), surface, "lying", "plastic", True)
