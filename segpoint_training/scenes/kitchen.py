"""What lies about a kitchen: kettle, frying pan, cutlery, boards, trays, baskets, salt shakers."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.dishes import HANDLE, OUTSIDE, vessel
from segpoint_training.scenes.lofts import FLAT, SOFT, bar, pillar, tub
from segpoint_training.scenes.model import Draw, Model, disc, rectangle, upside_down
from segpoint_training.scenes.shapes import Mesh, lathe, merged, rotation, tube
from segpoint_training.scenes.surfaces import Skin, Surface, cloth, grain, plain


def _steel(draw: Draw) -> np.ndarray:
    return np.full(3, draw.uniform(0.5, 0.75)) * (1.0, 1.0, draw.uniform(0.97, 1.03))


def _wood(draw: Draw) -> Skin:
    base = draw.one_of((np.array([0.72, 0.52, 0.32]), np.array([0.55, 0.36, 0.2]), np.array([0.82, 0.66, 0.45])))
    return grain(draw.rng, base * draw.uniform(0.85, 1.1), 0.1)


def kettle(draw: Draw) -> Model:
    """An electric jug kettle with a side handle, or a stove kettle with one over the top."""
    shape = draw.pick(("jug", "round", "stove", "jug", "dome"))
    radius, height = draw.uniform(0.07, 0.085), draw.uniform(0.15, 0.21)
    body_colour = _steel(draw) if draw.chance(0.45) else draw.colour(black=3, white=3, red=1.5, rest=0.7)
    dark = draw.colour(black=5, gray=1, rest=0.1)
    if shape in ("jug", "dome"):
        top = 0.72 if shape == "jug" else 0.8
        side = [(radius, 0.0), (radius, 0.02), (radius * 0.98, 0.1 * height), (radius * top, 0.88 * height)]
        lid = [(radius * top * 0.95, 0.9 * height), (radius * 0.3, 0.96 * height), (0.012, 0.97 * height),
               (0.012, height), (0.0, height)]  # fmt: skip
        body = lathe([(0.0, 0.0), *side, *lid], [2, 2, OUTSIDE, OUTSIDE, 2, 2, 2, 2, 2])
        reach, low, high = radius * 0.62, 0.12 * height, 0.88 * height
        path = np.array([[radius * 0.9, 0, low], [radius + reach * 0.7, 0, low + 0.01],
                         [radius + reach, 0, 0.5 * height], [radius + reach * 0.8, 0, high],
                         [radius * top * 0.8, 0, high]])  # fmt: skip
        grip = tube(path, 0.011, 1.3, 8).of_part(2)
        lip = bar([(-radius * top * 0.85, 0, 0.8 * height, 0.022, 0.025),
                   (-radius * top - 0.022, 0, 0.85 * height, 0.006, 0.012)], FLAT)  # fmt: skip
        mesh = merged([body, grip, lip.of_part(OUTSIDE)])
    else:
        wide = radius * 1.25
        tall = height * 0.68
        side = [(wide * 0.85, 0.0), (wide, 0.15 * tall), (wide * 0.97, 0.4 * tall), (wide * 0.75, 0.75 * tall),
                (wide * 0.42, 0.95 * tall)]  # fmt: skip
        lid = [(wide * 0.38, tall), (0.01, tall * 1.04), (0.014, tall * 1.13), (0.0, tall * 1.16)]
        body = lathe([(0.0, 0.0), *side, *lid], [OUTSIDE] * 6 + [OUTSIDE, 2, 2])
        arc = np.linspace(0.1, np.pi - 0.1, 11)
        path = np.stack([wide * 0.78 * np.cos(arc), np.zeros(11), 0.7 * tall + height * 0.55 * np.sin(arc)], 1)
        grip = tube(path, np.interp(np.abs(arc - np.pi / 2), [0, 0.8, 1.5], [0.011, 0.009, 0.004]), 1.2, 8).of_part(2)
        spout = np.array([[-wide * 0.8, 0, 0.4 * tall], [-wide * 1.2, 0, 0.7 * tall], [-wide * 1.45, 0, 0.98 * tall]])
        mesh = merged([body, grip, tube(spout, np.array([0.024, 0.015, 0.011]), 1.0, 10)])
    surface = Surface((plain(body_colour), plain(body_colour), plain(dark)), draw.uniform(0.3, 0.8), 0.08)
    return Model("kettle", mesh.resting(), surface, "upright", "metal" if shape in ("stove", "round") else "")


def frying_pan(draw: Draw) -> Model:
    """A frying pan, now and then upside down."""
    rim, height = draw.uniform(0.08, 0.145), draw.uniform(0.035, 0.055)
    curve = draw.pick((0.82, 0.88, 0.78, 0.95))
    side = [(rim * curve, 0.0), (rim * (curve + 0.6 * (1 - curve)), height * 0.5), (rim, height)]
    body, _ = vessel(side, 0.003, 36)
    long = draw.uniform(0.14, 0.19)
    x, z, lift = rim - 0.004, height * 0.8, draw.uniform(0.0, 0.03)
    stick = bar([(x, 0, z, 0.009, 0.005), (x + 0.2 * long, 0, z + 0.5 * lift, 0.009, 0.005),
                 (x + 0.3 * long, 0, z + 0.6 * lift, 0.013, 0.008), (x + 0.9 * long, 0, z + lift, 0.014, 0.008),
                 (x + long, 0, z + lift, 0.008, 0.005)], FLAT, 50.0, HANDLE)  # fmt: skip
    black = np.full(3, draw.uniform(0.05, 0.16))
    steel = draw.chance(0.25)
    outside = _steel(draw) if steel else (black if draw.chance(0.6) else draw.colour(red=3, blue=1, green=1, gray=2))
    inside = black if not steel or draw.chance(0.4) else outside * 0.9
    grip = _wood(draw) if draw.chance(0.2) else plain(black if draw.chance(0.7) else outside)
    surface = Surface((plain(outside), plain(inside), grip), 0.45, 0.1)
    mesh = merged([body, stick])
    if draw.chance(0.12):
        return Model("frying pan", upside_down(mesh), surface, "upside down", "metal")
    # the pan's own middle stays the origin, so that what lies in it finds its place
    return Model("frying pan", mesh, surface, "upright", "metal", top=(0.0046, disc(rim * curve * 0.85)), walled=True)


def knife(draw: Draw) -> Model:
    """A kitchen knife or a table knife, on its flat side."""
    kind = draw.pick(("chef", "table", "paring", "table", "bread"))
    blade = {"chef": draw.uniform(0.15, 0.21), "table": draw.uniform(0.09, 0.11), "paring": draw.uniform(0.08, 0.11),
             "bread": draw.uniform(0.18, 0.22)}[kind]  # fmt: skip
    deep = {"chef": 0.022, "table": 0.009, "paring": 0.011, "bread": 0.014}[kind] * draw.uniform(0.9, 1.1)
    grip, thick = draw.uniform(0.085, 0.12), 0.0035 if kind == "table" else draw.uniform(0.007, 0.01)
    blunt = kind in ("table", "bread")
    tip = 0.35 if blunt else 0.08  # its half width there, over the blade's; the spine stays straight
    z = thick
    edge = [(0.0, 0.0, z, deep, 0.0012), (0.55 * blade, 0.0, z, deep, 0.0011),
            (0.85 * blade, deep * (0.1 if blunt else 0.25), z, deep * (0.9 if blunt else 0.75), 0.001),
            (blade, deep * (1 - tip), z, deep * tip, 0.0006)]  # fmt: skip
    handle = [(-grip, -0.002, z, 0.010, thick * 0.8), (-grip * 0.9, -0.001, z, 0.012, thick),
              (-grip * 0.5, 0.002, z, 0.0095, thick), (-0.008, 0.003, z, 0.011, thick * 0.9),
              (0.004, 0.002, z, deep * 0.7, 0.0018)]  # fmt: skip
    if kind == "table":
        handle = [(x, y, z0, w * 0.7, h) for x, y, z0, w, h in handle]
    mesh = merged([bar(edge, FLAT), bar(handle, SOFT, 50.0, HANDLE)])
    steel = plain(_steel(draw))
    material = "metal"
    if kind == "table" and draw.chance(0.7):
        held = steel
    elif draw.chance(0.35):
        held = _wood(draw)
    else:
        held = plain(draw.colour(black=6, red=1, rest=0.4))
    return Model("knife", mesh.resting(), Surface((steel, steel, held), 0.8, 0.15), "lying", material)


def _cutlery_handle(draw: Draw, length: float, wide: float, style: str) -> Mesh:
    """From the neck at x = 0 back to x = −length, bowed as cutlery is."""
    t = np.linspace(0, 1, 8)
    bow = 0.012 * np.sin(np.pi * np.clip(t * 1.1, 0, 1)) * (1 - 0.4 * t) + 0.003
    shape = {"flared": np.interp(t, [0, 0.3, 0.85, 1], [0.35, 0.4, 1.0, 0.7]),
             "straight": np.interp(t, [0, 0.3, 0.95, 1], [0.45, 0.6, 0.75, 0.6]),
             "pointed": np.interp(t, [0, 0.3, 0.7, 1], [0.4, 0.45, 1.0, 0.15])}[style]  # fmt: skip
    thick = 0.0016 if draw.chance(0.6) else 0.0032
    stations = [(-length * s, 0.0, b, wide * w, thick) for s, b, w in zip(t, bow, shape, strict=True)]
    return bar([tuple(map(float, s)) for s in stations], FLAT, 50.0, HANDLE)  # type: ignore[misc]


def _cutlery_look(draw: Draw) -> tuple[Surface, str]:
    kind = draw.uniform(0, 1)
    steel = plain(_steel(draw))
    if kind < 0.6:
        return Surface((steel, steel, steel), 0.9, 0.2), "metal"
    if kind < 0.75:
        return Surface((steel, steel, plain(draw.colour())), 0.8, 0.15), "metal"
    if kind < 0.88:
        skin = plain(draw.colour(white=5, black=2, rest=0.7))
        return Surface((skin, skin, skin), 0.3), "plastic"
    wood = _wood(draw)
    return Surface((wood, wood, wood), 0.05), "wood"


def fork(draw: Draw) -> Model:
    """A fork of two to four prongs."""
    length = draw.uniform(0.11, 0.14)
    prongs = draw.pick((4, 3, 4, 2))
    wide = draw.uniform(0.010, 0.0125)
    palm = bar([(-0.004, 0, 0.003, 0.004, 0.0015), (0.012, 0, 0.0015, wide * 0.85, 0.0013),
                (0.024, 0, 0.0035, wide, 0.0012), (0.03, 0, 0.0042, wide, 0.0012)], FLAT, 50.0)  # fmt: skip
    pieces = [palm]
    thin = wide / (prongs * 1.65)
    for y in np.linspace(-wide + thin, wide - thin, prongs):
        stations = [(0.028, y, 0.004, thin, 0.0012), (0.05, y, 0.0062, thin, 0.0011),
                    (0.066, y, 0.0095, thin * 0.4, 0.0007)]  # fmt: skip
        pieces.append(bar([tuple(map(float, s)) for s in stations], FLAT, 50.0))  # type: ignore[misc]
    mesh = merged([*pieces,
                   _cutlery_handle(draw, length, 0.009,
                                   draw.pick(("flared", "straight", "pointed", "flared")))])  # fmt: skip
    surface, material = _cutlery_look(draw)
    return Model("fork", _either_way_up(draw, mesh), surface, "lying", material)


def _either_way_up(draw: Draw, mesh: Mesh) -> Mesh:
    return upside_down(mesh) if draw.chance(0.25) else mesh.resting()


def spoon(draw: Draw) -> Model:
    """Teaspoons, tablespoons, wooden spoons and ladles' little sisters."""
    kind = draw.pick(("table", "tea", "wooden", "table", "soup"))
    half = {"table": 0.02, "tea": 0.014, "wooden": 0.026, "soup": 0.023}[kind] * draw.uniform(0.92, 1.08)
    stretch = {"table": 1.5, "tea": 1.45, "wooden": 1.35, "soup": 1.05}[kind]
    depth = half * draw.uniform(0.38, 0.5)
    side = [(half * 0.35, 0.0), (half * 0.7, depth * 0.35), (half * 0.92, depth * 0.75), (half, depth)]
    scoop = vessel(side, 0.0014 if kind != "wooden" else 0.003, 20)[0].scaled(stretch)
    if kind == "wooden":
        long = draw.uniform(0.18, 0.25)
        stick = bar([(-long, 0, depth + 0.012, 0.006, 0.006), (-half, 0, depth, 0.006, 0.005),
                     (-half * 0.6, 0, depth * 0.8, 0.008, 0.003)], SOFT, 50.0, HANDLE)  # fmt: skip
        wood = _wood(draw)
        mesh = merged([scoop, stick.moved(x=-half * (stretch - 1))])
        return Model("spoon", _either_way_up(draw, mesh), Surface((wood,), 0.05), "lying", "wood")
    long = draw.uniform(0.1, 0.135) * (0.78 if kind == "tea" else 1.0)
    handle = _cutlery_handle(draw, long, half * 0.42, draw.one_of(("flared", "straight", "pointed")))
    mesh = merged([scoop, handle.moved(x=-half * stretch * 0.94, z=depth * 0.75)])
    surface, material = _cutlery_look(draw)
    return Model("spoon", _either_way_up(draw, mesh), surface, "lying", material)


def spatula(draw: Draw) -> Model:
    """A turner with slots, or a dough scraper of rubber on a stick."""
    kind = draw.pick(("slotted", "solid", "rubber", "solid", "slotted", "fish"))
    long, wide = draw.uniform(0.17, 0.23), draw.uniform(0.03, 0.042)
    blade = draw.uniform(0.08, 0.11)
    lift = draw.uniform(0.015, 0.03) if kind != "rubber" else 0.0
    pieces = []
    if kind in ("slotted", "fish"):
        strips = 4 if kind == "slotted" else 5
        for y in np.linspace(-wide * 0.85, wide * 0.85, strips):
            pieces.append(bar([(0.01, y, 0.002, wide * 0.75 / strips, 0.001),
                               (blade, y, 0.0015, wide * 0.75 / strips, 0.001)]))  # fmt: skip
        for x in (0.0, blade - 0.008):
            pieces.append(bar([(x, 0, 0.002, wide * (0.8 if x == 0 else 1), 0.0012),
                               (x + 0.016, 0, 0.002, wide, 0.0012)]))  # fmt: skip
    elif kind == "solid":
        pieces.append(bar([(0.0, 0, 0.002, wide * 0.6, 0.0013), (blade * 0.4, 0, 0.002, wide, 0.0013),
                           (blade, 0, 0.0015, wide, 0.0008)], FLAT))  # fmt: skip
    else:
        pieces.append(bar([(0.0, 0, 0.006, 0.012, 0.005), (0.015, 0, 0.006, wide * 0.75, 0.005),
                           (blade * 0.85, 0, 0.005, wide * 0.75, 0.003), (blade, 0.004, 0.004, wide * 0.5, 0.002)],
                          SOFT))  # fmt: skip
    pieces.append(bar([(0.005, 0, 0.0035, 0.008, 0.002), (-0.03, 0, 0.004 + lift, 0.004, 0.003),
                       (-0.3 * long, 0, 0.007 + lift, 0.0045, 0.0035)], FLAT, 50.0))  # fmt: skip
    pieces.append(bar([(-0.28 * long, 0, 0.007 + lift, 0.007, 0.005), (-0.9 * long, 0, 0.009 + lift, 0.011, 0.006),
                       (-long, 0, 0.009 + lift, 0.007, 0.004)], SOFT, 50.0, HANDLE))  # fmt: skip
    metal = kind != "rubber" and draw.chance(0.5)
    wooden = kind == "solid" and draw.chance(0.4)
    head = plain(_steel(draw)) if metal else _wood(draw) if wooden else plain(draw.colour(black=4, red=2, rest=0.7))
    grip = head if wooden else plain(draw.colour(black=5, rest=0.5)) if draw.chance(0.7) else head
    surface = Surface((head, head, grip), 0.6 if metal else 0.2, 0.1)
    return Model("spatula", merged(pieces).resting(), surface, "lying", "metal" if metal else "wood" if wooden
                 else "plastic")  # fmt: skip


def cutting_board(draw: Draw) -> Model:
    """A board of wood or plastic, with a handle or without; seldom on its edge."""
    length, width, thick = draw.uniform(0.22, 0.42), draw.uniform(0.14, 0.28), draw.uniform(0.008, 0.024)
    width = min(width, length * 0.8)
    kind = draw.pick(("plain", "handle", "plain", "round"))
    if kind == "round":
        length = width
        body = lathe([(0.0, 0.0), (width / 2, 0.0), (width / 2, thick), (0.0, thick)], [0, 0, 1], 40)
        top = (thick, disc(width / 2))
    else:
        body = pillar([(length, width, 0.0), (length, width, thick)], draw.uniform(0.004, 0.03))
        top = (thick, rectangle(length * 0.95, width * 0.95))
    pieces = [body]
    if kind != "plain":
        x = length / 2 - 0.01
        pieces.append(bar([(x, 0, thick / 2, 0.024, thick / 2 * 0.98),
                           (x + 0.11, 0, thick / 2, 0.02, thick / 2 * 0.98)], FLAT))  # fmt: skip
    wooden = draw.chance(0.75)
    skin = _wood(draw) if wooden else plain(draw.colour(white=5, green=2, red=1, blue=1, rest=0.3))
    material = "wood" if wooden else "plastic"
    mesh = merged(pieces)
    if draw.chance(0.06):
        return Model("cutting board", mesh.turned(rotation(0, np.pi / 2)).resting(), Surface((skin,), 0.08), "upright",
                     material)  # fmt: skip
    return Model("cutting board", mesh, Surface((skin,), 0.08), "lying", material, top=top)


def tray(draw: Draw) -> Model:
    """A serving tray."""
    length, width, height = draw.uniform(0.26, 0.44), draw.uniform(0.18, 0.3), draw.uniform(0.018, 0.05)
    shape = draw.pick(("rectangle", "rectangle", "handles", "oval"))
    wall = draw.uniform(0.003, 0.007)
    if shape == "oval":
        side = [(width * 0.46, 0.0), (width * 0.5, height)]
        mesh = vessel(side, wall, 36)[0].scaled(min(length / width, 1.5))
        inner = (wall * 1.5, rectangle(width * 0.6, width * 0.6))
    else:
        mesh = tub(length, width, height, wall, draw.uniform(1.0, 1.08), draw.uniform(0.005, 0.03))
        inner = (wall, rectangle(length - 3 * wall - 0.01, width - 3 * wall - 0.01))
        if shape == "handles":
            arc = np.linspace(0, np.pi, 9)
            path = np.stack([0.05 * np.cos(arc), np.zeros(9), 0.028 * np.sin(arc)], 1)
            loop = tube(path, 0.005, 1.0, 8).turned(rotation(2, np.pi / 2)).of_part(2)
            mesh = merged([mesh, *[loop.moved(x=s * (length / 2 - wall), z=height - 0.004) for s in (-1, 1)]])
    look = draw.uniform(0, 1)
    if look < 0.4:
        skin, inside, material = _wood(draw), _wood(draw), "wood"
    elif look < 0.55:
        skin = inside = plain(_steel(draw))
        material = "metal"
    else:
        base = draw.colour(white=2, black=2)
        skin, material = plain(base), "plastic"
        inside = skin if draw.chance(0.5) else cloth(draw.rng, base, draw.colour(white=3), (6, 4))
    surface = Surface((skin, inside, skin), 0.7 if material == "metal" else 0.15, 0.1 if material == "metal" else 0.0)
    return Model("tray", mesh, surface, "upright", material, top=inner, walled=True)


def _weave(draw: Draw, base: np.ndarray, repeat: tuple[float, float]) -> Skin:
    y, x = np.mgrid[:16, :16]
    over = ((x // 8 + y // 8) % 2).astype(float)
    shade = 0.62 + 0.38 * np.where(over > 0, np.sin(np.pi * (y % 8 + 0.5) / 8), np.sin(np.pi * (x % 8 + 0.5) / 8))
    shade *= draw.rng.uniform(0.9, 1.1, (16, 16))
    return Skin(np.clip(base * shade[..., None], 0, 1).astype(np.float32), repeat)


def basket(draw: Draw) -> Model:
    """A woven basket."""
    kind = draw.pick(("round", "rectangular", "handled", "rectangular", "oval"))
    length, width, height = draw.uniform(0.18, 0.34), draw.uniform(0.13, 0.22), draw.uniform(0.07, 0.15)
    cavity = None
    if kind == "rectangular":
        mesh = tub(length, width, height, 0.006, draw.uniform(1.0, 1.2), 0.02)
    else:
        side = [(width * 0.4, 0.0), (width * 0.47, height * 0.5), (width * 0.5, height)]
        mesh, cavity = vessel(side, 0.006, 32)
        hoop = np.linspace(0, np.pi, 13)
        if kind == "oval":
            mesh, cavity = mesh.scaled(1.35), None
        if kind == "handled":
            path = np.stack([width * 0.49 * np.cos(hoop), np.zeros(13), height + width * 0.6 * np.sin(hoop)], 1)
            path = np.concatenate([[[width * 0.49, 0, height * 0.6]], path, [[-width * 0.49, 0, height * 0.6]]])
            mesh = merged([mesh, tube(path, 0.006, 1.6, 8).of_part(2)])
    base = np.array([0.72, 0.53, 0.32]) * draw.uniform(0.6, 1.15) if draw.chance(0.7) else draw.colour(white=3, gray=2)
    weave = _weave(draw, base, (14, 4))
    surface = Surface((weave, _weave(draw, base * 0.8, (14, 4)), _weave(draw, base * 0.9, (1, 10))), 0.05)
    return Model("basket", mesh, surface, "upright", "", cavity=cavity)


def salt_shaker(draw: Draw) -> Model:
    """Salt and pepper: a small glass or ceramic body with a cap, or a wooden mill."""
    kind = draw.pick(("straight", "waisted", "mill", "round", "cone"))
    radius, height = draw.uniform(0.016, 0.023), draw.uniform(0.06, 0.095)
    if kind == "mill":
        height = draw.uniform(0.12, 0.2)
        radius *= 1.15
        profile = [(1.0, 0.0), (1.0, 0.08), (0.62, 0.3), (0.6, 0.4), (0.9, 0.62), (0.75, 0.7), (0.85, 0.8), (0.6, 0.93),
                   (0.25, 0.94), (0.28, 0.99), (0.0, 1.0)]  # fmt: skip
        mesh = lathe([(0.0, 0.0), *[(r * radius, z * height) for r, z in profile]], [0] * 8 + [1] * 3, 24)
        wooden = draw.chance(0.7)
        skin = _wood(draw) if wooden else plain(draw.colour(black=3, white=2, rest=0.3))
        surface = Surface((skin, plain(_steel(draw))), 0.3)
        return Model("salt shaker", mesh, surface, "upright", "wood" if wooden else "plastic")
    body = {"straight": (1.0, 1.0, 0.95), "waisted": (1.0, 0.75, 0.9), "round": (0.7, 1.1, 0.7),
            "cone": (1.1, 0.9, 0.65)}  # fmt: skip
    low, middle, high = body[kind]
    profile = [(low * 0.95, 0.0), (low, 0.03), (middle, 0.42), (high, 0.74), (high * 1.04, 0.75), (high * 1.0, 0.93),
               (high * 0.6, 1.0), (0.0, 1.0)]  # fmt: skip
    mesh = lathe([(0.0, 0.0), *[(r * radius, z * height) for r, z in profile]], [0] * 4 + [1, 1, 1, 2], 20)
    content = draw.one_of((np.full(3, 0.88), np.array([0.3, 0.25, 0.2]), draw.colour(white=3)))
    holes = np.tile(_steel(draw), (12, 12, 1))
    holes[2:8:3, ::3] *= 0.25
    lid = plain(_steel(draw)) if draw.chance(0.7) else plain(draw.colour(black=2))
    surface = Surface((plain(content), lid, Skin(holes.astype(np.float32))), 0.6, draw.uniform(0, 0.2))
    return Model("salt shaker", mesh, surface, "upright")
