"""Toys: brick, car, airplane, Rubik's cube, teddy bear."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.lofts import FLAT, ROUND, SOFT, bar, loft
from segpoint_training.scenes.model import Draw, Model, rectangle
from segpoint_training.scenes.shapes import Mesh, box, lathe, merged, rotation, tube
from segpoint_training.scenes.surfaces import Skin, Surface, grain, plain


def toy_brick(draw: Draw) -> Model:
    """A building brick with studs, of toddlers' size or larger than life, or a plain wooden one."""
    kind = draw.pick(("studs", "studs", "wood", "slope"))
    across, along = draw.one_of(((2, 2), (2, 4), (2, 3), (1, 4), (2, 4)))
    pitch = draw.one_of((0.016, 0.016, 0.032))
    tall = pitch * draw.one_of((1.2, 1.2, 0.6))
    long, wide = along * pitch, across * pitch
    tone = draw.colour(red=3, yellow=3, blue=3, green=3, white=1, black=0.5, gray=0.3, brown=0.2)
    if kind == "wood":
        size = np.array(draw.one_of(((0.03, 0.03, 0.03), (0.06, 0.03, 0.03), (0.09, 0.03, 0.03),
                                     (0.04, 0.04, 0.04)))) * draw.uniform(0.9, 1.2)  # fmt: skip
        skin = grain(draw.rng, tone if draw.chance(0.6) else np.array([0.8, 0.63, 0.42]), 0.06)
        return Model(
            "toy brick",
            box(size),
            Surface((skin,), 0.1),
            "upright",
            "wood",
            top=(float(size[2]), rectangle(size[0], size[1])),
        )
    stud = lathe([(pitch * 0.3, 0.0), (pitch * 0.3, pitch * 0.21), (0.0, pitch * 0.21)], 0, 14)
    pieces = [box((long, wide, tall)).of_part(0)]
    if kind == "slope":
        rings = np.array([[[-long / 2, y, 0], [-long / 2, y, tall * 2], [-long / 2 + pitch, y, tall * 2],
                           [long / 2, y, tall * 0.3], [long / 2, y, 0]] for y in (-wide / 2, wide / 2)])  # fmt: skip
        pieces = [loft(rings)]
    for x in range(along if kind != "slope" else 1):
        for y in range(across):
            pieces.append(
                stud.moved(
                    (x + 0.5) * pitch - long / 2, (y + 0.5) * pitch - wide / 2, tall * (2 if kind == "slope" else 1)
                )
            )
    if kind == "studs" and draw.chance(0.3):  # two put together
        other = merged(pieces).of_part(1).turned(rotation(2, draw.one_of((0, np.pi / 2)))).moved(z=tall)
        pieces.append(other)
    surface = Surface((plain(tone), plain(draw.colour(red=3, yellow=3, blue=3, green=3, rest=0.3))), 0.5)
    mesh = merged(pieces)
    if draw.chance(0.12):
        return Model("toy brick", mesh.turned(rotation(0, np.pi / 2)).resting(), surface, "lying", "plastic")
    return Model("toy brick", mesh, surface, "upright", "plastic")


def _wheel(radius: float, wide: float) -> Mesh:
    tyre = lathe([(0.0, -wide / 2), (radius * 0.9, -wide / 2), (radius, -wide * 0.3), (radius, wide * 0.3),
                  (radius * 0.9, wide / 2), (radius * 0.55, wide / 2), (0.0, wide * 0.42)], [1, 1, 1, 1, 1, 2],
                 16)  # fmt: skip
    return tyre.turned(rotation(0, -np.pi / 2))


def toy_car(draw: Draw) -> Model:
    """A toy car, truck or van."""
    kind = draw.pick(("saloon", "truck", "van", "saloon", "racer"))
    long = draw.uniform(0.07, 0.18)
    wide, tall = long * draw.uniform(0.38, 0.48), long * draw.uniform(0.26, 0.34)
    r = tall * 0.3
    low, half = r * 0.7, wide / 2
    body_low = {"saloon": 0.5, "van": 0.55, "truck": 0.45, "racer": 0.45}[kind] * tall
    mid, hh = (low + body_low) / 2 + 0.1 * tall, (body_low - low) / 2 + 0.1 * tall
    hull = bar([(-long / 2, 0, mid * 0.95, half * 0.9, hh * 0.8), (-long * 0.46, 0, mid, half, hh),
                (long * 0.35, 0, mid, half, hh), (long / 2, 0, mid * 0.9, half * 0.85, hh * 0.6)], SOFT,
               40.0)  # fmt: skip
    roof = {"saloon": ((-0.34, -0.2, 0.1, 0.28), 1.0), "van": ((-0.48, -0.46, 0.2, 0.36), 1.35),
            "truck": ((0.05, 0.1, 0.26, 0.33), 1.2), "racer": ((-0.2, -0.12, 0.02, 0.16), 0.8)}[kind]  # fmt: skip
    x0, x1, x2, x3 = (p * long for p in roof[0])
    top = tall * roof[1]
    base = mid + hh * 0.9
    outline = np.array([[x0, base], [x3, base], [x2, top], [x1, top]])
    rings = [
        np.column_stack([outline[:, 0], y * np.where(outline[:, 1] > base, 0.82, 0.95) * half, outline[:, 1]])
        for y in (-1, 1)
    ]
    cabin = loft(np.stack(rings), part=3)
    lid = bar([(x1 - 0.002, 0, top, half * 0.84, tall * 0.02), (x2 + 0.002, 0, top, half * 0.84, tall * 0.02)])
    pieces = [hull, cabin, lid]
    if kind == "truck":
        bed = box((long * 0.5, wide * 1.02, tall * 0.62), (-long * 0.24, 0, base - 0.002)).of_part(4)
        pieces.append(bed)
    if kind == "racer":
        pieces.append(box((long * 0.1, wide, tall * 0.05), (-long * 0.46, 0, tall * 0.85)).of_part(4))
        pieces.append(box((long * 0.04, wide * 0.1, tall * 0.5), (-long * 0.46, 0, tall * 0.4)).of_part(4))
    for x in (-0.3, 0.3):
        for side in (-1, 1):
            wheel = _wheel(r, wide * 0.16).turned(rotation(2, 0.0 if side > 0 else np.pi))
            pieces.append(wheel.moved(x * long, side * half * 0.95, r))
    tone = draw.colour(red=3, blue=2, yellow=2, green=1.5, white=1.5, brown=0.3)
    windows = plain(np.array([0.15, 0.18, 0.22]) * draw.uniform(0.6, 1.6))
    hub = plain(np.full(3, draw.uniform(0.5, 0.8)))
    surface = Surface((plain(tone), plain((0.07, 0.07, 0.07)), hub, windows, plain(draw.colour())), 0.5, 0.03)
    return Model("toy car", merged(pieces).resting(), surface, "upright", "plastic")


def toy_airplane(draw: Draw) -> Model:
    """A toy airplane with one pair of wings or two."""
    kind = draw.pick(("airliner", "propeller", "fighter", "propeller", "biplane"))
    long = draw.uniform(0.12, 0.24)
    r = long * draw.uniform(0.06, 0.085)
    z = r * 2.0
    nose = 0.35 if kind != "fighter" else 0.08
    hull = bar([(-long / 2, 0, z + r * 0.5, r * 0.15, r * 0.2), (-long * 0.3, 0, z + r * 0.15, r * 0.65, r * 0.75),
                (-long * 0.05, 0, z, r, r), (long * 0.35, 0, z, r, r), (long * 0.47, 0, z - r * 0.1, r * 0.6, r * 0.6),
                (long / 2, 0, z - r * 0.1, r * nose, r * nose)], ROUND, 50.0)  # fmt: skip
    sweep = {"airliner": 0.22, "fighter": 0.3, "propeller": 0.0, "biplane": 0.0}[kind] * long
    span, chord = long * draw.uniform(0.42, 0.52), long * 0.11
    pieces = [hull]

    def wing(x: float, height: float, reach: float, deep: float, back: float, part: int) -> list[Mesh]:
        """Both wings: lofts along y, mirrored."""
        made = []
        for side in (-1, 1):
            rings = [np.array([[x - b + d, side * y, height], [x - b, side * y, height + 0.0018],
                               [x - b - d, side * y, height], [x - b, side * y, height - 0.0018]]) for y, d,
                     b in ((0.0, deep, 0.0), (reach, deep * 0.6, back))]  # fmt: skip
            made.append(loft(np.stack(rings), part=part))
        return made

    pieces += wing(long * 0.06, z - r * 0.3, span, chord, sweep, 1)
    if kind == "biplane":
        pieces += wing(long * 0.1, z + r * 1.9, span, chord, 0.0, 1)
        for side in (-1, 1):
            pieces.append(box((0.004, 0.004, r * 2.2), (long * 0.08, side * span * 0.6, z - r * 0.3)).of_part(2))
    pieces += wing(-long * 0.43, z + r * 0.5, span * 0.38, chord * 0.55, sweep * 0.3, 1)
    fin = np.array([[[-long * 0.5, y, z + r * 2.6], [-long * 0.52, y, z + r * 0.4], [-long * 0.3, y, z + r * 0.4],
                     [-long * 0.44, y, z + r * 2.6]] for y in (-0.002, 0.002)])  # fmt: skip
    pieces.append(loft(fin, part=1))
    if kind in ("propeller", "biplane"):
        blade = bar([(-r * 1.8, 0, 0, r * 0.22, 0.0012), (r * 1.8, 0, 0, r * 0.22, 0.0012)], FLAT)
        spin = rotation(1, np.pi / 2)
        pieces.append(
            blade.turned(rotation(0, draw.uniform(0, 3)) @ spin).moved(long / 2 + 0.003, 0, z - r * 0.1).of_part(2)
        )
    elif kind == "airliner":
        for side in (-1, 1):
            pieces.append(bar([(-0.02, 0, 0, r * 0.4, r * 0.4), (0.012, 0, 0, r * 0.45, r * 0.45)], ROUND)
                          .moved(long * 0.08, side * span * 0.42, z - r * 0.75).of_part(2))  # fmt: skip
    pieces.append(bar([(long * 0.16, 0, z + r * 0.75, r * 0.55, r * 0.3),
                       (long * 0.3, 0, z + r * 0.7, r * 0.55, r * 0.4),
                       (long * 0.36, 0, z + r * 0.6, r * 0.4, r * 0.2)], ROUND, 60.0, 3))  # fmt: skip
    for x, y in ((0.3, 0.0), (-0.02, 0.9), (-0.02, -0.9)):
        wheel = _wheel(r * 0.42, r * 0.35)
        pieces += [
            wheel.moved(x * long, y * r, r * 0.42),
            box((0.004, 0.004, z - r), (x * long, y * r, r * 0.4)).of_part(2),
        ]
    tone = draw.colour(white=3, red=2, blue=1.5, yellow=1.5, gray=1.5)
    wings = tone if draw.chance(0.5) else draw.colour()
    surface = Surface((plain(tone), plain(wings), plain((0.12, 0.12, 0.12)), plain((0.15, 0.22, 0.3))), 0.4)
    return Model("toy airplane", merged(pieces).resting(), surface, "upright", "plastic")


_FACE_COLOURS = (
    (0.92, 0.92, 0.92),
    (0.95, 0.85, 0.1),
    (0.78, 0.08, 0.1),
    (0.95, 0.45, 0.05),
    (0.05, 0.3, 0.75),
    (0.05, 0.58, 0.25),
)


def rubiks_cube(draw: Draw) -> Model:
    """The puzzle cube, solved or scrambled, 2 × 2 to 5 × 5, one layer perhaps half turned."""
    order = draw.pick((3, 3, 2, 4, 5))
    edge = draw.uniform(0.05, 0.06)
    body = np.full(3, draw.one_of((0.06, 0.06, 0.92)))
    scrambled = draw.chance(0.75)
    skins = []
    for face in range(6):
        texture = np.tile(body, (order * 8, order * 8, 1)).astype(np.float32)
        for row in range(order):
            for column in range(order):
                tone = _FACE_COLOURS[int(draw.rng.integers(6)) if scrambled else face]
                texture[row * 8 + 1 : row * 8 + 7, column * 8 + 1 : column * 8 + 7] = tone
        skins.append(Skin(texture))
    if scrambled and draw.chance(0.3):
        layer = edge / order
        lower = box((edge, edge, edge - layer))
        upper = box((edge, edge, layer)).turned(rotation(2, draw.uniform(0.2, 0.8)), (0, 0, edge - layer))
        for mesh, (start, stop) in ((lower, (0.0, 1 - 1 / order)), (upper, (1 - 1 / order, 1.0))):
            sides = np.repeat(np.abs(mesh.normals[:, 2:]) < 0.5, 2, 1) * np.array([False, True])
            mesh.uv[sides] = start + (stop - start) * mesh.uv[sides]
        mesh = merged([lower, upper])
    else:
        mesh = box((edge, edge, edge))
    return Model(
        "rubik's cube", mesh, Surface(tuple(skins), 0.3), "upright", "plastic", top=(edge, rectangle(edge, edge))
    )


def teddy_bear(draw: Draw) -> Model:
    """A sitting bear of round parts."""
    size = draw.uniform(0.05, 0.09)
    seated = draw.pick((0.6, 0.9, 0.4, 1.3))

    def ball(
        radius: float, x: float, y: float, z: float, part: int, stretch: tuple[float, float, float] = (1, 1, 1)
    ) -> Mesh:
        t = np.linspace(-np.pi / 2, np.pi / 2, 9)
        profile = [(max(float(radius * np.cos(a)), 0.0), float(radius * np.sin(a))) for a in t]
        profile[0], profile[-1] = (0.0, -radius), (0.0, radius)
        return lathe(profile, part, 16).scaled(*stretch).moved(x * size, y * size, z * size)

    pieces = [ball(size, 0, 0, 1, 0, (0.85, 0.9, 1.1)), ball(size * 0.8, 0.05, 0, 2.6, 0),
              ball(size * 0.33, 0.68, 0, 2.4, 1), ball(size * 0.1, 0.98, 0, 2.47, 2),
              ball(size * 0.6, 0.45, 0, 1.05, 1, (0.9, 0.9, 1.2))]  # fmt: skip
    for side in (-1, 1):
        pieces += [
            ball(size * 0.3, -0.05, side * 0.62, 3.2, 0, (0.6, 1, 1)),
            ball(size * 0.09, 0.68, side * 0.3, 2.85, 2),
        ]
        leg = tube(
            np.array([[0, 0, 0], [0.6, 0, 0], [1.25, 0, 0], [1.4, 0, 0]]) * size,
            np.array([0.42, 0.42, 0.38, 0.0]) * size,
            1.0,
            12,
        )
        pieces.append(leg.turned(rotation(2, side * seated * 0.6)).moved(0.1 * size, side * 0.5 * size, 0.42 * size))
        arm = tube(
            np.array([[0, 0, 0], [0.5, 0, -0.4], [0.9, 0, -0.75], [1.0, 0, -0.85]]) * size,
            np.array([0.3, 0.3, 0.28, 0.0]) * size,
            1.0,
            10,
        )
        pieces.append(arm.turned(rotation(2, side * 0.7)).moved(0.1 * size, side * 0.7 * size, 1.7 * size))
    base = draw.colour(brown=6, white=1.5, gray=1, pink=0.7, rest=0.05)
    fur = grain(draw.rng, base, 0.12, 1.0, 64)
    surface = Surface(
        (fur, grain(draw.rng, np.clip(base * 1.25 + 0.08, 0, 1), 0.08, 1.0, 32), plain((0.05, 0.04, 0.04))), 0.0
    )
    return Model("teddy bear", merged(pieces).resting(), surface, "upright")
