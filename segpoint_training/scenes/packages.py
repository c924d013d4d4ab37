"""What shops sell things in: box, carton, book, can, tin, bottle, tube."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segpoint_training.scenes.model import Draw, Model, disc, laid_down, rectangle
from segpoint_training.scenes.shapes import Mesh, lathe, merged, prism, rotation, rounded_rectangle
from segpoint_training.scenes.shapes import box as box_mesh
from segpoint_training.scenes.surfaces import Skin, Surface, accent_colours, banded, grain, plain, printed

SIDE, LID, CAP = 0, 1, 2
# length, width, height in metres, ranges, standing as one would see it in a shop
_BOX_KINDS: dict[str, tuple[tuple[float, float], ...]] = {
    "cereal": ((0.15, 0.24), (0.045, 0.085), (0.22, 0.34)),
    "tea": ((0.10, 0.16), (0.06, 0.09), (0.06, 0.13)),
    "medicine": ((0.06, 0.13), (0.02, 0.05), (0.04, 0.10)),
    "shipping": ((0.16, 0.35), (0.12, 0.26), (0.08, 0.24)),
    "cake mix": ((0.11, 0.15), (0.035, 0.06), (0.16, 0.22)),
    "cube": ((0.05, 0.14), (0.05, 0.14), (0.05, 0.14)),
    "toy": ((0.20, 0.33), (0.16, 0.28), (0.045, 0.10)),
    "gift": ((0.10, 0.24), (0.08, 0.20), (0.05, 0.16)),
    "sweets": ((0.14, 0.22), (0.07, 0.12), (0.018, 0.035)),
    "block": ((0.04, 0.14), (0.04, 0.09), (0.04, 0.22)),
    "tall": ((0.07, 0.10), (0.06, 0.09), (0.18, 0.30)),
}
_BOX_ORDER = ("cereal", "tea", "cereal", "medicine", "shipping", "cake mix", "cube", "toy", "gift", "sweets", "block",
              "cake mix", "cube", "tall")  # fmt: skip


def faces_of(draw: Draw, base: np.ndarray, busy: float, ends: np.ndarray | None = None) -> tuple[Skin, ...]:
    """Six printed faces that share a base colour and inks; opposite large faces are alike."""
    inks = accent_colours(draw.rng)
    front = printed(draw.rng, base, busy, 128, accents=inks)
    narrow = printed(draw.rng, base, 0.4 * busy, 64, accents=inks)
    cover = printed(draw.rng, base if ends is None else ends, 0.4 * busy, 64, accents=inks)
    return (narrow, narrow, front, front, cover, cover)


def box(draw: Draw) -> Model:
    kind = draw.pick(_BOX_ORDER)
    size = np.array([draw.uniform(*span) for span in _BOX_KINDS[kind]])
    material, is_printed = "cardboard", False
    if kind == "block":
        material = draw.one_of(("wood", "wood", "plastic"))
        skin = grain(draw.rng, draw.colour(brown=2, gray=2), 0.08) if material == "wood" else plain(draw.colour())
        skins: Sequence[Skin] = (skin,)
    elif kind == "shipping" and draw.chance(0.8):
        base = np.array([0.70, 0.53, 0.36]) * draw.uniform(0.8, 1.1)
        side = grain(draw.rng, base, 0.03)
        taped = Skin(np.where(np.abs(np.linspace(-1, 1, 32))[:, None, None] < 0.16, base * 0.85, base)
                     .repeat(32, 1).astype(np.float32))  # fmt: skip
        skins = (side, side, side, printed(draw.rng, base, 0.3, accents=[np.full(3, 0.1)]), taped, side)
    elif kind in ("cube", "gift", "medicine") and draw.chance(0.45):
        base = draw.colour(white=2.5)
        lid = base if draw.chance(0.7) else draw.colour()
        skins = (*[plain(base)] * 4, plain(lid), plain(base))
    else:
        base = draw.colour(white=2 if kind != "medicine" else 8, black=0.5, gray=0.4, brown=0.6)
        ends = draw.colour() if draw.chance(0.2) else None
        skins, is_printed = faces_of(draw, base, draw.uniform(0.6, 2.2), ends), True
    mesh = box_mesh(size)
    pose, mesh, size = _turned_onto_a_face(draw, mesh, size)
    surface = Surface(tuple(skins), draw.uniform(0.02, 0.25))
    return Model("box", mesh, surface, pose, material, is_printed, (float(size[2]), rectangle(size[0], size[1])))


def _turned_onto_a_face(draw: Draw, mesh: Mesh, size: np.ndarray) -> tuple[str, Mesh, np.ndarray]:
    """Standing, on its large face, or on its narrow side."""
    style = draw.uniform(0, 1)
    if style < 0.58 and size[2] < 6 * size[1]:
        return "upright", mesh, size
    if style < 0.86:
        turned, size = mesh.turned(rotation(0, np.pi / 2)), size[[0, 2, 1]]
    else:
        turned, size = mesh.turned(rotation(1, np.pi / 2)), size[[2, 1, 0]]
    return ("lying" if size[2] <= min(size[0], size[1]) * 1.01 else "upright"), turned.resting(), size


def carton(draw: Draw) -> Model:
    """A drinks carton: gable top (milk) or brick (juice), with or without a cap."""
    width = draw.uniform(0.055, 0.098)
    depth = width * draw.uniform(0.62, 1.0)
    height = draw.uniform(1.7, 2.6) * width
    base = draw.colour(white=3.5, blue=1.5, orange=1.5, green=1.5, gray=0.1, black=0.2, brown=0.3)
    skins = faces_of(draw, base, draw.uniform(0.5, 1.2))
    kind = draw.pick(("gable", "brick", "gable", "slanted"))
    pieces = [box_mesh((width, depth, height))]
    if kind == "gable":
        rise = draw.uniform(0.35, 0.55) * depth
        roof = np.array([[-depth / 2, 0.0], [depth / 2, 0.0], [0.004, rise], [-0.004, rise]])
        pieces.append(_along_x(prism(roof, width), height))
        pieces.append(box_mesh((width, 0.006, 0.02), (0, 0, height + rise - 0.002)).of_part(4))
    elif kind == "slanted":
        roof = np.array([[-depth / 2, 0.0], [depth / 2, 0.0], [depth / 2, 0.4 * depth]])
        pieces.append(_along_x(prism(roof, width), height))
    if draw.chance(0.5):
        skins = (*skins, plain(draw.colour(white=2, rest=0.6)))
        cap = lathe([(0.012, 0.0), (0.012, 0.012), (0.0, 0.012)], 0, 14).of_part(6)
        if kind == "gable":
            tilt = rotation(0, -np.arctan2(rise, depth / 2))
            pieces.append(cap.turned(tilt, (0, -depth / 4, height + rise / 2)))
        else:
            pieces.append(cap.turned(np.eye(3), (0, -depth / 5, height - 0.001)))
    mesh = merged(pieces)
    pose = "upright"
    if draw.chance(0.12):
        mesh, pose = mesh.turned(rotation(0, np.pi / 2)).resting(), "lying"
    return Model("carton", mesh, Surface(skins, draw.uniform(0.05, 0.25)), pose, "cardboard", True)


def _along_x(mesh: Mesh, height: float) -> Mesh:
    """A prism raised along z laid along x (its outline's second axis up), at ``height``, in the top's part."""
    turn = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    middle = float(mesh.vertices[:, 2].max()) / 2
    return mesh.turned(turn, (-middle, 0.0, height)).of_part(4)


def book(draw: Draw) -> Model:
    """A closed book lying or standing; leaning is the layout's business."""
    length, width, thick = draw.uniform(0.15, 0.30), 0.0, draw.uniform(0.01, 0.05)
    width = length * draw.uniform(0.62, 0.8)
    base = draw.colour(white=1.2)
    hard = draw.pick((True, False, True, False, True))
    board, inset = (0.0025, 0.004) if hard else (0.001, 0.0)
    paper = plain(np.array([0.93, 0.9, 0.82]) * draw.uniform(0.88, 1.05))
    cover = printed(draw.rng, base, draw.uniform(0.2, 0.9))
    back = plain(base) if draw.chance(0.4) else printed(draw.rng, base, 0.4, 64)
    spine = printed(draw.rng, base, 0.2, 64)
    # parts: 0 pages, 1 back cover and boards, 2 front cover, 3 spine
    pages = box_mesh((width - inset, length - 2 * inset, thick - 2 * board), (-inset / 2, 0, board)).of_part(0)
    low = box_mesh((width, length, board)).of_part(1)
    high = box_mesh((width, length, board), (0, 0, thick - board))
    high = merged([high.of_part(2)])
    edge = box_mesh((board, length, thick), (-width / 2, 0, 0)).of_part(3)
    mesh = merged([pages, low, high, edge]).resting()
    surface = Surface((paper, back, cover, spine), draw.uniform(0.02, 0.25))
    if draw.chance(0.28) and thick > 0.014:  # on its lower edge, or on its long one
        turn = rotation(0, np.pi / 2) if draw.chance(0.7) else rotation(1, np.pi / 2)
        return Model("book", mesh.turned(turn).resting(), surface, "upright", "paper", True)
    return Model("book", mesh, surface, "lying", "paper", True, (thick, rectangle(width, length)))


def can(draw: Draw) -> Model:
    kind = draw.pick(("soda", "food", "chips", "food", "soda", "flat", "aerosol", "energy"))
    radius, height = {
        "soda": (draw.uniform(0.031, 0.034), draw.uniform(0.112, 0.125)),
        "food": (draw.uniform(0.033, 0.052), draw.uniform(0.07, 0.125)),
        "chips": (draw.uniform(0.035, 0.041), draw.uniform(0.18, 0.29)),
        "flat": (draw.uniform(0.035, 0.05), draw.uniform(0.03, 0.05)),
        "aerosol": (draw.uniform(0.024, 0.032), draw.uniform(0.14, 0.2)),
        "energy": (draw.uniform(0.026, 0.029), draw.uniform(0.13, 0.17)),
    }[kind]
    if kind in ("soda", "energy"):
        profile = [(0.0, 0.004), (radius * 0.72, 0.0), (radius, 0.012), (radius, height * 0.9), (radius * 0.84, height),
                   (radius * 0.8, height - 0.003), (0.0, height - 0.003)]  # fmt: skip
        parts = [LID, LID, SIDE, SIDE, LID, LID]
    elif kind == "aerosol":
        profile = [(0.0, 0.0), (radius, 0.0), (radius, height * 0.78), (radius * 0.8, height * 0.8),
                   (radius * 0.8, height), (0.0, height)]  # fmt: skip
        parts = [LID, SIDE, LID, CAP, CAP]
    else:
        rim = 1.03
        profile = [(0.0, 0.002), (radius * 0.96, 0.002), (radius * rim, 0.0), (radius * rim, 0.003), (radius, 0.005),
                   (radius, height - 0.005), (radius * rim, height - 0.003), (radius * rim, height),
                   (radius * 0.96, height - 0.002), (0.0, height - 0.002)]  # fmt: skip
        parts = [LID, LID, LID, LID, SIDE, LID, LID, LID, LID]
    mesh = lathe(profile, parts)
    metal = plain(np.full(3, draw.uniform(0.55, 0.78)))
    lid = metal if kind != "chips" or draw.chance(0.4) else plain(draw.colour(white=4, rest=0.4))
    base = draw.colour(red=2, white=1.2, gray=0.6, yellow=1.6, brown=0.3)
    bare = kind == "food" and draw.chance(0.12)
    side = metal if bare else printed(draw.rng, base, draw.uniform(0.4, 1.2))
    if not bare and draw.chance(0.2):
        side = banded(draw.rng, base, draw.colour(), int(draw.rng.integers(1, 3)))
    surface = Surface((side, lid, plain(draw.colour())), draw.uniform(0.2, 0.6), 0.15 if bare else 0.03)
    pose = "upright"
    top: tuple[float, np.ndarray] | None = (height, disc(radius * 0.85))
    if draw.chance(0.2 if kind != "flat" else 0.02):
        mesh, pose, top = laid_down(mesh, draw.uniform(0, 6.28)), "lying", None
    return Model("can", mesh, surface, pose, "metal", not bare, top)


def tin(draw: Draw) -> Model:
    """A biscuit or tea tin: a flat round or rectangular metal box with a lid."""
    round_, patterned = draw.pick((True, True, False, False)), draw.chance(0.6)
    height = draw.uniform(0.045, 0.1)
    base = draw.colour(brown=3, blue=2, red=2, white=0.7, gray=0.7)
    if patterned and draw.chance(0.5):
        lid = side = grain(draw.rng, base, draw.uniform(0.15, 0.35), draw.uniform(1, 4), 96)
    elif patterned:
        lid, side = printed(draw.rng, base, 1.2), printed(draw.rng, base, 0.6)
    else:
        lid = side = plain(base)
    surface = Surface((side, lid), draw.uniform(0.3, 0.6), 0.06)
    if not round_:
        size = (draw.uniform(0.1, 0.22), draw.uniform(0.07, 0.15))
        outline = rounded_rectangle(*size, 0.02)
        wider = rounded_rectangle(size[0] + 0.004, size[1] + 0.004, 0.022)
        cover = prism(wider, height * 0.3, smooth=True).turned(np.eye(3), (0, 0, height * 0.7))
        mesh = merged([prism(outline, height * 0.7, smooth=True), cover])
        return Model("tin", mesh, surface, "upright", "metal", patterned, (height, rectangle(*size)))
    radius = draw.uniform(0.05, 0.115)
    profile = [(0.0, 0.0), (radius * 0.97, 0.0), (radius, 0.004), (radius, height * 0.7), (radius * 1.02, height * 0.7),
               (radius * 1.02, height * 0.96), (radius * 0.98, height), (0.0, height)]  # fmt: skip
    mesh = lathe(profile, [SIDE] * 6 + [LID], 36)
    if draw.chance(0.15):  # standing on its rim
        return Model("tin", laid_down(mesh, draw.uniform(0, 6.28)), surface, "lying", "metal", patterned)
    return Model("tin", mesh, surface, "upright", "metal", patterned, (height, disc(radius * 0.9)))


# relative radius at relative height, body to neck, of one litre or less
_BOTTLES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((1.0, 0.0), (1.0, 0.55), (0.95, 0.62), (0.45, 0.78), (0.36, 0.84), (0.36, 0.93)),  # water
    ((1.0, 0.0), (1.0, 0.58), (0.85, 0.66), (0.36, 0.74), (0.36, 0.95)),  # wine
    ((0.95, 0.0), (1.0, 0.06), (1.0, 0.3), (0.82, 0.42), (0.98, 0.56), (0.8, 0.7), (0.4, 0.86), (0.4, 0.92)),  # cola
    ((1.0, 0.0), (1.0, 0.72), (0.9, 0.78), (0.5, 0.82), (0.45, 0.9)),  # shampoo
    ((0.9, 0.0), (1.0, 0.1), (0.9, 0.6), (0.55, 0.8), (0.5, 0.84)),  # ketchup
    ((1.0, 0.0), (1.0, 0.5), (0.55, 0.72), (0.4, 0.9), (0.42, 0.97)),  # beer
    ((1.0, 0.0), (0.8, 0.4), (1.0, 0.6), (0.6, 0.76), (0.42, 0.9)),  # detergent (held out)
)


def bottle(draw: Draw) -> Model:
    profile = draw.pick(_BOTTLES)
    radius, height = draw.uniform(0.025, 0.046), draw.uniform(0.14, 0.31)
    side = [(radius * r, height * z) for r, z in profile]
    neck = side[-1][0] * 1.12
    cap_base = side[-1][1]
    cap: list[tuple[float, float]] = [(neck, cap_base), (neck, height), (0.0, height)]
    parts = [SIDE] * len(side) + [CAP] * 3
    mesh = lathe([(0.0, 0.0), *side, *cap], parts)
    # the label is a sleeve a hair wider than the body's straight part
    low, high = draw.uniform(0.08, 0.2) * height, draw.uniform(0.38, 0.52) * height
    r_low, r_high = (float(np.interp(z, [s[1] for s in side], [s[0] for s in side])) + 0.0006 for z in (low, high))
    sleeve = lathe([(r_low, low), (r_high, high)], LID)
    flat = draw.uniform(0.55, 0.75) if draw.chance(0.25) else 1.0
    labelled = draw.chance(0.75)
    body = merged([mesh, sleeve]) if labelled else mesh
    if flat < 1:
        body = Mesh(body.vertices * np.array([1, flat, 1], np.float32), body.normals, body.uv, body.faces, body.part)
    see_through = draw.chance(0.3)
    shell = draw.colour(white=2.5, green=2, brown=1.5, blue=1.5, gray=0.4)
    if see_through:
        shell = 0.5 * shell + 0.5 * np.array([0.75, 0.8, 0.8], np.float32)
    label = printed(draw.rng, draw.colour(white=2.5), 0.7, 64)
    surface = Surface((plain(shell), label, plain(draw.colour(white=2, black=1.5))), draw.uniform(0.2, 0.7),
                      draw.uniform(0.2, 0.5) if see_through else 0.02)  # fmt: skip
    pose = "upright"
    if draw.chance(0.15):
        roll = 0.0 if flat == 1.0 else np.pi / 2
        body, pose = laid_down(body, roll + (draw.uniform(0, 6.28) if flat == 1.0 else 0.0)), "lying"
    return Model("bottle", body, surface, pose, "glass" if see_through else "plastic", labelled,
                 clear=see_through and not labelled)  # fmt: skip


def tube(draw: Draw) -> Model:
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
    surface = Surface((printed(draw.rng, draw.colour(white=3), 0.7), plain(draw.colour(white=3)),
                       plain(draw.colour(white=3))), 0.3)  # fmt: skip
    if cap > 0.75 * radius and draw.chance(0.3):
        return Model("tube", mesh.resting(), surface, "upright", "plastic", True)
    return Model("tube", laid_down(mesh, np.pi / 2), surface, "lying", "plastic", True)
