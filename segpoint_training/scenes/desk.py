"""What lies on a desk: marker, pen, notebook, tissue box, clock, stapler, picture frame."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.lofts import SOFT, bar, loft, pillar
from segpoint_training.scenes.model import Draw, Model, laid_down, rectangle
from segpoint_training.scenes.shapes import Mesh, box, lathe, merged, prism, rotation, tube
from segpoint_training.scenes.surfaces import Skin, Surface, accent_colours, cloth, grain, plain, printed


def marker(draw: Draw) -> Model:
    """A felt-tip pen: thick barrel, cap of the ink's colour."""
    long, radius = draw.uniform(0.115, 0.15), draw.uniform(0.006, 0.0105)
    shape = draw.pick(("straight", "stepped", "tapered", "chunky"))
    if shape == "chunky":
        long, radius = 0.11, 0.0135
    back = {"straight": 0.97, "stepped": 0.8, "tapered": 0.7, "chunky": 1.0}[shape]
    profile = [(0.0, 0.0), (radius * back, 0.0), (radius * back, 0.012), (radius, 0.02), (radius, long * 0.62),
               (radius * 1.1, long * 0.62), (radius * 1.06, long * 0.97), (radius * 0.7, long),
               (0.0, long)]  # fmt: skip
    body = lathe(profile, [1, 1, 0, 0, 2, 2, 2, 2], 18)
    ink = draw.colour(black=3, red=2, blue=2, green=1.5, white=0.1, gray=0.3)
    barrel = draw.one_of(
        (plain(draw.colour(white=5, rest=0.1)), plain(ink), printed(draw.rng, draw.colour(white=4, gray=2), 0.4, 48))
    )
    surface = Surface((barrel, plain(ink), plain(ink)), 0.3)
    if draw.chance(0.15):
        return Model(
            "marker", body.turned(rotation(0, np.pi * draw.one_of((0, 1)))).resting(), surface, "upright", "plastic"
        )
    return Model("marker", laid_down(body, draw.uniform(0, 6.28)), surface, "lying", "plastic")


def pen(draw: Draw) -> Model:
    """A ball pen or a pencil."""
    kind = draw.pick(("click", "capped", "pencil", "click", "fountain"))
    long, radius = draw.uniform(0.13, 0.155), draw.uniform(0.004, 0.0055)
    tone = draw.colour(blue=3, black=3, red=2, white=1.5)
    metal = np.full(3, draw.uniform(0.6, 0.8))
    if kind == "pencil":
        long, radius = draw.uniform(0.11, 0.19), 0.0038
        mesh = lathe([(0.0, 0.0), (radius, 0.0), (radius, 0.012), (radius, long - 0.018), (0.001, long - 0.002),
                      (0.0, long)], [2, 2, 0, 1, 3], 6)  # fmt: skip
        skins = (plain(draw.colour(yellow=4, red=2, green=2, blue=2, black=2)), plain((0.85, 0.66, 0.44)),
                 plain(draw.colour(pink=3, gray=2)), plain(tone * 0.3))  # fmt: skip
        return Model("pen", laid_down(mesh, draw.uniform(0, 6.28)), Surface(skins, 0.2), "lying", "wood")
    wide = radius * (1.35 if kind == "fountain" else 1.0)
    profile = [(0.0, 0.0), (0.002, 0.0), (0.0025, 0.006), (wide * 0.8, 0.022), (wide, 0.04), (wide, long * 0.55),
               (wide * 1.08, long * 0.56), (wide, long * 0.93), (wide * 0.5, long * 0.945), (wide * 0.5, long),
               (0.0, long)]  # fmt: skip
    body = lathe(profile, [1, 1, 1, 2, 0, 1, 0, 1, 1, 1], 16)
    clip = bar([(long * 0.62, 0, wide * 1.5, 0.0018, 0.0006), (long * 0.92, 0, wide * 1.55, 0.0018, 0.0006)], part=1)
    link = bar(
        [(long * 0.9, 0, wide * 1.2, 0.0018, wide * 0.45), (long * 0.93, 0, wide * 1.2, 0.0018, wide * 0.45)], part=1
    )
    upright = rotation(1, -np.pi / 2)
    mesh = merged([body, clip.turned(upright), link.turned(upright)])
    surface = Surface(
        (plain(tone), plain(metal if draw.chance(0.6) else tone * 0.7), plain(tone * draw.uniform(0.4, 1))), 0.5, 0.05
    )
    return Model("pen", laid_down(mesh, draw.uniform(0, 6.28)), surface, "lying", "plastic")


def notebook(draw: Draw) -> Model:
    """A pad on a spiral, a stitched book with an elastic, or an open pad with lines."""
    kind = draw.pick(("spiral", "elastic", "open", "spiral", "pad"))
    length, thick = draw.uniform(0.13, 0.28), draw.uniform(0.007, 0.02)
    width = length * draw.uniform(0.65, 0.78)
    paper = np.array([0.96, 0.95, 0.9]) * draw.uniform(0.92, 1.03)
    lined = np.tile(paper, (60, 40, 1)).astype(np.float32)
    lined[4::4] = np.array([0.65, 0.75, 0.88])
    if draw.chance(0.6):  # written upon
        rows = draw.rng.random((60, 40)) < 0.5
        rows[:, int(draw.uniform(20, 40)) :] = False
        lined[2::4][rows[2::4]] = (0.15, 0.17, 0.3)
    page = Skin(np.clip(lined.transpose(1, 0, 2) if draw.chance(0.5) else lined, 0, 1))
    base = draw.colour(black=2.5, blue=1.5)
    cover = plain(base) if draw.chance(0.55) else printed(draw.rng, base, 0.4, 96)
    metal = plain(np.full(3, draw.uniform(0.15, 0.7)))
    block = box((width, length, thick * 0.9), (0, 0, 0.0008)).of_part(0)
    board = box((width + 0.004, length + 0.004, 0.0008)).of_part(1)
    top = box((width + 0.004, length + 0.004, 0.001), (0, 0, thick * 0.9 + 0.0008)).of_part(2)
    pieces: list[Mesh] = [block, board, top]
    shown = cover
    if kind in ("spiral", "pad"):
        along = int(length / 0.009) if kind == "spiral" else int(width / 0.009)
        coil = lathe([(0.0036, -0.001), (0.005, -0.001), (0.005, 0.001), (0.0036, 0.001), (0.0036, -0.001)], 3, 10)
        ring = coil.turned(rotation(0, np.pi / 2)).scaled(1, 1, max(thick / 0.0085, 1.0))
        for place in np.linspace(-0.47, 0.47, along):
            spot = (-width / 2, place * length) if kind == "spiral" else (place * width, length / 2)
            turned = ring if kind == "spiral" else ring.turned(rotation(2, np.pi / 2))
            pieces.append(turned.moved(spot[0], spot[1], thick / 2))
        if draw.chance(0.35):
            shown = page
    elif kind == "elastic":
        pieces.append(box((0.006, length + 0.006, thick + 0.003), (width * 0.38, 0, 0)).of_part(3))
    else:
        pieces = [pieces[0].moved(x=-width / 2), pieces[0].scaled(1, 1, 0.8).moved(x=width / 2),
                  box((2 * width + 0.006, length + 0.006, 0.0012)).of_part(1)]  # fmt: skip
        pieces = [
            p if i == 2 else Mesh(p.vertices, p.normals, p.uv, p.faces, _top_only(p, 2)) for i, p in enumerate(pieces)
        ]
        shown = page
    surface = Surface((plain(paper), plain(base), shown, metal), 0.1)
    full = width if kind != "open" else 2 * width
    return Model("notebook", merged(pieces).resting(), surface, "lying", "paper", shown is not cover
                 or cover.texture.size > 3, (thick, rectangle(full * 0.9, length * 0.9)) if kind != "open"
                 else None)  # fmt: skip


def _top_only(mesh: Mesh, part: int) -> np.ndarray:
    up = mesh.normals[mesh.faces].mean(1)[:, 2] > 0.9
    return np.where(up, part, 0).astype(np.int32)


def tissue_box(draw: Draw) -> Model:
    """A box of paper tissues, flat or a cube, one standing out of its slot."""
    cube = draw.pick((False, True, False, False, True))
    length, width, height = (0.115, 0.115, 0.125) if cube else (0.225, 0.115, 0.075)
    size = np.array([length, width, height]) * draw.uniform(0.88, 1.08)
    base = draw.colour(white=2, blue=2, pink=1.5, black=0.4, gray=0.4)
    inks = accent_colours(draw.rng)
    side = printed(draw.rng, base, 0.9, 96, accents=inks)
    if draw.chance(0.4):
        side = cloth(draw.rng, base, draw.colour(white=4), (draw.uniform(2, 6), draw.uniform(2, 4)))
    box_ = box(size).of_part(0)
    arc = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    slot = np.stack([np.cos(arc) * size[0] * (0.3 if not cube else 0.25), np.sin(arc) * size[1] * 0.22], 1)
    hole = prism(slot, 0.0008).moved(z=size[2]).of_part(1)
    pieces = [box_, hole]
    if draw.chance(0.85):
        rings, tall = [], draw.uniform(0.03, 0.07)
        wave = draw.rng.uniform(-1, 1, 4)
        for z, spread in ((-0.001, 0.5), (0.3, 0.7), (0.65, 1.0), (1.0, 1.1)):
            x = np.linspace(-1, 1, 9) * size[0] * 0.2 * spread
            y = 0.012 * spread * (np.sin(3 * np.linspace(-1, 1, 9) + wave[0] * 3) + wave[1] * z)
            peak = tall * z * (1 - 0.35 * np.abs(np.linspace(-1, 1, 9) - 0.4 * wave[2]))
            front = np.stack([x, y, size[2] + peak], 1)
            rings.append(np.concatenate([front, front[::-1] + (0, 0.002, 0)]))
        pieces.append(loft(np.stack(rings), 70.0, 2))
    white = plain(np.full(3, draw.uniform(0.9, 1.0)))
    surface = Surface((side, plain(np.full(3, 0.3)) if len(pieces) == 2 else white, white), 0.1)
    return Model("tissue box", merged(pieces), surface, "upright", "cardboard", True)


def _dial(draw: Draw, base: np.ndarray, ink: np.ndarray) -> Skin:
    """A clock face for a disc whose u runs round and v from the rim to the middle."""
    texture = np.tile(base, (24, 120, 1)).astype(np.float32)
    for hour in range(12):
        texture[2 : 6 if hour % 3 == 0 else 4, hour * 10 - 1 : hour * 10 + 2] = ink
    for length, width in ((8, 3), (3, 2)):
        at = int(draw.rng.integers(4, 112))
        texture[length:, at : at + width] = ink
    return Skin(texture)


_SEGMENTS = ((2, 3, 0, 5), (7, 8, 0, 5), (12, 13, 0, 5), (2, 8, 0, 1), (2, 8, 4, 5), (7, 13, 0, 1), (7, 13, 4, 5))


def _digital_clock(draw: Draw, shell: np.ndarray) -> Model:
    wide, deep, tall = draw.uniform(0.1, 0.18), draw.uniform(0.045, 0.07), draw.uniform(0.045, 0.075)
    body = bar([(-wide / 2, 0, tall / 2, deep / 2, tall / 2), (wide / 2, 0, tall / 2, deep / 2, tall / 2)], SOFT)
    screen = np.full((16, 40, 3), 0.04, np.float32)
    lit = draw.colour(red=3, green=2, blue=1, white=1, rest=0)
    for start in (4, 12, 23, 31):  # four digits of segments, lit at random
        for top, bottom, left, right in _SEGMENTS:
            if draw.chance(0.75):
                screen[top:bottom, start + left : start + right] = lit
    screen[5:7, 19:21] = screen[10:12, 19:21] = lit
    panel = box((wide * 0.88, 0.001, tall * 0.7), (0, -deep / 2, tall * 0.15)).of_part(1)
    surface = Surface((plain(shell), Skin(screen)), 0.3)
    return Model("clock", merged([body, panel]).resting(), surface, "upright", "plastic")


def clock(draw: Draw) -> Model:
    """An alarm clock: round on feet, with bells or not; a cube with a dial; a digital one."""
    kind = draw.pick(("round", "bells", "digital", "cube", "mantel"))
    shell = draw.colour(black=2.5, white=2, red=2, blue=1)
    face = draw.colour(white=6, black=1.5, rest=0.1)
    ink = np.full(3, 0.08 if face.mean() > 0.4 else 0.92)
    front = rotation(0, np.pi / 2)
    if kind == "digital":
        return _digital_clock(draw, shell)
    radius, deep = draw.uniform(0.035, 0.065), draw.uniform(0.03, 0.05)
    drum = lathe([(0.0, 0.0), (radius * 0.9, 0.0), (radius, 0.006), (radius, deep), (radius * 0.9, deep),
                  (radius * 0.88, deep - 0.002), (0.0, deep - 0.002)], [0, 0, 0, 0, 0, 1], 32)  # fmt: skip
    if kind == "cube":
        drum = lathe([(radius * 0.88, 0.0), (0.0, 0.0)], 1, 32).moved(z=deep + 0.0006)
        case = pillar([(2.1 * radius, 2.1 * radius, 0.0), (2.1 * radius, 2.1 * radius, deep)], 0.008)
        drum = merged([drum, case])
    pieces = [drum.turned(front).moved(z=radius + 0.012)]
    if kind == "bells":
        bell = lathe(
            [
                (0.0, 0.0),
                (radius * 0.42, 0.0),
                (radius * 0.38, radius * 0.2),
                (radius * 0.2, radius * 0.33),
                (0.0, radius * 0.36),
            ],
            2,
            16,
        )
        for side in (-1, 1):
            pieces.append(
                bell.turned(rotation(1, side * 0.6)).moved(side * radius * 0.62, -deep / 2, 2.0 * radius + 0.002)
            )
        arc = np.linspace(0.35, np.pi - 0.35, 7)
        path = np.stack([radius * 0.6 * np.cos(arc), np.zeros(7), 2 * radius + radius * 0.75 * np.sin(arc)], 1)
        pieces.append(tube(path, 0.0025, 1.0, 6).moved(y=-deep / 2).of_part(2))
    if kind in ("round", "bells"):
        foot = bar([(0, 0, 0, 0.004, 0.004), (radius * 0.5, 0, 0, 0.0035, 0.0035)], SOFT)
        for side in (-1, 1):
            leg = foot.turned(rotation(1, -np.pi / 2 - side * 0.5))
            pieces.append(leg.moved(side * radius * 0.75, -deep / 2, 0.0).of_part(2))
    elif kind == "mantel":
        pieces.append(bar([(-radius * 2, -deep / 2, 0.012, deep * 0.45, 0.012),
                           (-radius, -deep / 2, radius * 0.6, deep * 0.4, radius * 0.6),
                           (radius, -deep / 2, radius * 0.6, deep * 0.4, radius * 0.6),
                           (radius * 2, -deep / 2, 0.012, deep * 0.45, 0.012)]))  # fmt: skip
    metal = plain(np.full(3, draw.uniform(0.5, 0.75))) if draw.chance(0.6) else plain(shell)
    surface = Surface((plain(shell), _dial(draw, face, ink), metal), 0.3)
    return Model("clock", merged(pieces).resting(), surface, "upright")


def stapler(draw: Draw) -> Model:
    """A stapler, half open."""
    long, wide = draw.uniform(0.1, 0.15), draw.uniform(0.014, 0.02)
    hump = draw.pick((1.0, 1.3, 0.8, 1.7))
    base = bar([(0.0, 0, 0.004, wide, 0.004), (long, 0, 0.003, wide * 0.9, 0.003)], SOFT, part=1)
    lift = draw.uniform(0.25, 0.32)
    arm = bar([(0.0, 0, 0.012, wide * 0.85, 0.010), (0.25 * long, 0, 0.014, wide * 0.85, 0.012 * hump),
               (0.7 * long, 0, 0.012, wide * 0.8, 0.010 * hump), (0.97 * long, 0, 0.008, wide * 0.7, 0.007)], SOFT,
              50.0)  # fmt: skip
    rail = bar([(0.02, 0, 0.0, wide * 0.55, 0.005), (0.97 * long, 0, 0.0, wide * 0.55, 0.005)], part=2)
    upper = merged([arm, rail]).turned(rotation(1, -lift / 2)).moved(z=0.012)
    colour = draw.colour(black=4, red=2, blue=2, gray=1)
    surface = Surface((plain(colour), plain(colour * 0.6), plain(np.full(3, 0.65))), 0.35)
    return Model("stapler", merged([base, upper]).resting(), surface, "upright")


def picture_frame(draw: Draw) -> Model:
    """A photo in a frame, leaning back on its stand."""
    wide, tall = draw.uniform(0.11, 0.24), draw.uniform(0.13, 0.26)
    border, deep = draw.uniform(0.01, 0.03), draw.uniform(0.01, 0.02)
    sides = [((wide, border), (0, tall / 2 - border / 2)), ((wide, border), (0, -tall / 2 + border / 2)),
             ((border, tall), (wide / 2 - border / 2, 0)), ((border, tall), (-wide / 2 + border / 2, 0))]  # fmt: skip
    pieces = [box((*size, deep), (*at, 0.0)).of_part(0) for size, at in sides]
    pieces.append(box((wide - border, tall - border, deep * 0.5)).of_part(2))
    glass = box((wide - 2 * border, tall - 2 * border, 0.001), (0, 0, deep * 0.5)).of_part(1)
    pieces.append(glass)
    slope = np.radians(draw.pick((75.0, 80.0, 70.0, 62.0)))
    frame = merged(pieces).turned(rotation(0, slope))
    low = frame.vertices.min(0)
    frame = frame.moved(y=-float(low[1]), z=-float(low[2]))
    reach = tall * 0.62 * np.sin(slope)
    foot = tall * 0.62 * np.cos(slope) + reach * 0.55
    strut = np.array([[-0.02, foot - 0.004, 0], [0.02, foot - 0.004, 0], [0.02, foot, 0], [-0.02, foot, 0]])
    upper = np.array([[-0.02, reach * 0.3, reach], [0.02, reach * 0.3, reach], [0.02, reach * 0.3 + 0.004, reach],
                      [-0.02, reach * 0.3 + 0.004, reach]])  # fmt: skip
    stand = loft(np.stack([strut, upper]), part=2)
    wood = grain(draw.rng, draw.colour(brown=3, black=2, white=1.5, rest=0.2), 0.08)
    photo = (
        printed(draw.rng, draw.colour(), 1.3, 96)
        if draw.chance(0.5)
        else grain(draw.rng, draw.colour(blue=2, green=2), 0.4, 2, 64)
    )
    surface = Surface((wood, photo, plain((0.2, 0.17, 0.14))), 0.3, 0.05)
    return Model("picture frame", merged([frame, stand]).resting(), surface, "upright", "", True)
