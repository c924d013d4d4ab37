"""What shops sell things in, and books: box, carton, book."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segpoint_training.scenes.lofts import pillar
from segpoint_training.scenes.model import Draw, Model, rectangle
from segpoint_training.scenes.prints import front, text_page
from segpoint_training.scenes.shapes import Mesh, lathe, merged, prism, rotation, tube
from segpoint_training.scenes.shapes import box as box_mesh
from segpoint_training.scenes.surfaces import Skin, Surface, accent_colours, grain, plain, printed

# length, width, height in metres, ranges, standing as one would see it in a shop
_BOX_KINDS: dict[str, tuple[tuple[float, float], ...]] = {
    "cereal": ((0.15, 0.24), (0.045, 0.085), (0.22, 0.34)),
    "tea": ((0.10, 0.16), (0.06, 0.09), (0.06, 0.13)),
    "medicine": ((0.06, 0.13), (0.02, 0.05), (0.04, 0.10)),
    "shipping": ((0.16, 0.35), (0.12, 0.26), (0.08, 0.24)),
    "cake mix": ((0.11, 0.15), (0.035, 0.06), (0.16, 0.22)),
    "crackers": ((0.06, 0.09), (0.05, 0.07), (0.19, 0.27)),
    "sugar": ((0.08, 0.11), (0.035, 0.05), (0.15, 0.19)),
    "pudding": ((0.07, 0.10), (0.025, 0.04), (0.07, 0.10)),
    "spaghetti": ((0.06, 0.09), (0.025, 0.04), (0.25, 0.31)),
    "toothpaste": ((0.15, 0.22), (0.03, 0.05), (0.03, 0.05)),
    "foil": ((0.28, 0.36), (0.045, 0.06), (0.045, 0.06)),
    "pizza": ((0.22, 0.33), (0.22, 0.33), (0.03, 0.05)),
    "shoes": ((0.26, 0.34), (0.16, 0.21), (0.09, 0.13)),
    "cube": ((0.05, 0.14), (0.05, 0.14), (0.05, 0.14)),
    "toy": ((0.20, 0.33), (0.16, 0.28), (0.045, 0.10)),
    "gift": ((0.10, 0.24), (0.08, 0.20), (0.05, 0.16)),
    "sweets": ((0.14, 0.22), (0.07, 0.12), (0.018, 0.035)),
    "block": ((0.04, 0.14), (0.04, 0.09), (0.04, 0.22)),
    "open": ((0.14, 0.30), (0.12, 0.24), (0.07, 0.18)),
    "tall": ((0.07, 0.10), (0.06, 0.09), (0.18, 0.30)),
}
_BOX_ORDER = ("cereal", "cereal", "cereal", "tea", "tea", "medicine", "medicine", "shipping", "shipping", "cake mix",
              "cake mix", "crackers", "sugar", "pudding", "spaghetti", "toothpaste", "foil", "pizza", "shoes", "cube",
              "toy", "gift", "sweets", "block", "open", "tall")  # fmt: skip
_BOARD = np.array([0.70, 0.53, 0.36])  # brown cardboard


def faces_of(draw: Draw, base: np.ndarray, busy: float, ends: np.ndarray | None = None) -> tuple[Skin, ...]:
    """Six printed faces that share a base colour and inks; opposite large faces are alike."""
    inks = accent_colours(draw.rng)
    laid_out = draw.chance(0.6)
    large = front(draw.rng, base, inks, 128) if laid_out else printed(draw.rng, base, busy, 128, accents=inks)
    narrow = printed(draw.rng, base, 0.4 * busy, 64, accents=inks)
    if laid_out and draw.chance(0.4):
        narrow = front(draw.rng, base, inks, 64)
    cover = printed(draw.rng, base if ends is None else ends, 0.4 * busy, 64, accents=inks)
    return (narrow, narrow, large, large, cover, cover)


def box(draw: Draw) -> Model:
    """Cereal, tea, medicine, parcels, blocks: printed or plain; standing, lying, on a narrow side, or open."""
    kind = draw.pick(_BOX_ORDER)
    size = np.array([draw.uniform(*span) for span in _BOX_KINDS[kind]])
    if kind == "open":
        return _open_box(draw, size)
    material, is_printed = "cardboard", False
    if kind == "block":
        material = draw.one_of(("wood", "wood", "plastic"))
        skin = grain(draw.rng, draw.colour(brown=2, gray=2), 0.08) if material == "wood" else plain(draw.colour())
        skins: Sequence[Skin] = (skin,)
    elif kind == "shipping" and draw.chance(0.8):
        skins = _parcel(draw)
    elif kind in ("cube", "gift", "medicine", "shoes") and draw.chance(0.45):
        base = draw.colour(white=2.5)
        lid = base if draw.chance(0.7) else draw.colour()
        skins = (*[plain(base)] * 4, plain(lid), plain(base))
    else:
        base = draw.colour(white=2 if kind != "medicine" else 8, black=0.5, gray=0.4, brown=0.6)
        ends = draw.colour() if draw.chance(0.2) else None
        skins, is_printed = faces_of(draw, base, draw.uniform(0.6, 2.2), ends), True
        if size[2] < 0.6 * min(size[:2]) and draw.chance(0.7):  # flat ones are printed on top
            skins = (skins[0], skins[0], skins[4], skins[4], skins[2], skins[2])
    if kind == "shoes" and draw.chance(0.7):  # its lid reaches over it
        lid_mesh = box_mesh((size[0] + 0.006, size[1] + 0.006, size[2] * 0.35), (0, 0, size[2] * 0.65))
        surface = Surface(tuple(skins), draw.uniform(0.02, 0.2))
        return Model("box", merged([box_mesh((*size[:2], size[2] * 0.66)), lid_mesh]), surface, "upright", material,
                     is_printed, (float(size[2]), rectangle(size[0], size[1])))  # fmt: skip
    pose, mesh, size = _turned_onto_a_face(draw, box_mesh(size), size)
    surface = Surface(tuple(skins), draw.uniform(0.02, 0.25))
    return Model("box", mesh, surface, pose, material, is_printed, (float(size[2]), rectangle(size[0], size[1])))


def _parcel(draw: Draw) -> tuple[Skin, ...]:
    """Brown cardboard with tape along its top and a stamp or a label."""
    base = _BOARD * draw.uniform(0.8, 1.1)
    side = grain(draw.rng, base, 0.03)
    tape = base * 0.85 if draw.chance(0.6) else draw.colour(white=3, brown=2, rest=0.3)
    across = np.abs(np.linspace(-1, 1, 32))[:, None, None] < draw.uniform(0.1, 0.2)
    taped = Skin(np.where(across, tape, base).repeat(32, 1).astype(np.float32))
    stamped = printed(draw.rng, base, 0.3, accents=[np.full(3, 0.1)])
    if draw.chance(0.4):  # an address label
        stamped.texture[30:70, 20:75] = 0.95
        stamped.texture[36:66:6, 25:65] = 0.15
    return (side, side, side, stamped, taped, side)


def _open_box(draw: Draw, size: np.ndarray) -> Model:
    """A cardboard box without lid, its four flaps out or folded in."""
    length, width, height = size
    wall = 0.004
    floor = box_mesh((length, width, wall)).of_part(0)
    walls = [box_mesh((length, wall, height), (0, s * (width - wall) / 2, 0)).of_part(0) for s in (-1, 1)]
    walls += [box_mesh((wall, width - 2 * wall, height), (s * (length - wall) / 2, 0, 0)).of_part(0) for s in (-1, 1)]
    flaps: list[Mesh] = []
    if draw.chance(0.6):
        for quarter in range(4):
            span, reach = (length, width) if quarter % 2 == 0 else (width, length)
            deep = min(width, length) * 0.45
            flap = box_mesh((span - 2 * wall, deep, 0.003), (0, deep / 2, 0)).of_part(1)
            swing = rotation(0, draw.uniform(-0.9, 0.9))
            flaps.append(
                flap.turned(swing).moved(y=reach / 2 - wall, z=height - 0.002).turned(rotation(2, quarter * np.pi / 2))
            )
    plain_board = draw.chance(0.75)
    base = _BOARD * draw.uniform(0.8, 1.1) if plain_board else draw.colour()
    outside = grain(draw.rng, base, 0.03, 1.0) if plain_board else printed(draw.rng, base, 0.5)
    surface = Surface((outside, grain(draw.rng, _BOARD * draw.uniform(0.85, 1.1), 0.03, 1.0)), 0.03)
    return Model("box", merged([floor, *walls, *flaps]), surface, "upright", "cardboard", not plain_board)


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
    """A drinks carton: gable top (milk) or brick (juice), with or without a cap or a straw."""
    kind = draw.pick(("gable", "brick", "gable", "small", "prism", "slanted"))
    width = draw.uniform(0.055, 0.098) if kind != "small" else draw.uniform(0.04, 0.055)
    depth = width * draw.uniform(0.62, 1.0)
    height = draw.uniform(1.7, 2.6) * width
    base = draw.colour(white=3.5, blue=1.5, orange=1.5, green=1.5, gray=0.1, black=0.2, brown=0.3)
    skins = faces_of(draw, base, draw.uniform(0.5, 1.2))
    if kind == "prism":  # tall, its corners cut off
        cut = draw.uniform(0.1, 0.25) * depth
        pieces = [pillar([(width, depth, 0.0), (width, depth, height)], cut, part=2, corner=2)]
    else:
        pieces = [box_mesh((width, depth, height))]
    rise = draw.uniform(0.35, 0.55) * depth
    if kind == "gable":
        roof = np.array([[-depth / 2, 0.0], [depth / 2, 0.0], [0.004, rise], [-0.004, rise]])
        pieces.append(_along_x(prism(roof, width), height))
        pieces.append(box_mesh((width, 0.006, 0.02), (0, 0, height + rise - 0.002)).of_part(4))
    elif kind == "slanted":
        roof = np.array([[-depth / 2, 0.0], [depth / 2, 0.0], [depth / 2, 0.4 * depth]])
        pieces.append(_along_x(prism(roof, width), height))
    skins = (*skins, plain(draw.colour(white=2, rest=0.6)))
    if kind == "small":
        reach = draw.uniform(0.03, 0.06)
        straw = np.array([[0, 0, 0], [0, 0, reach], [0.006, 0, reach + 0.008], [0.024, 0, reach + 0.016]])
        pieces.append(tube(straw, 0.0025, 1.0, 8).moved(-width * 0.25, 0, height - 0.002).of_part(6))
    elif draw.chance(0.55):
        cap = lathe(
            [(0.0, 0.0), (0.013, 0.0), (0.013, 0.003), (0.012, 0.003), (0.012, 0.013), (0.0, 0.013)], 0, 14
        ).of_part(6)
        if kind == "gable":
            tilt = rotation(0, -np.arctan2(rise, depth / 2))
            pieces.append(cap.turned(tilt.T, (0, -depth / 4, height + rise / 2)))
        else:
            pieces.append(cap.moved(y=-depth / 5, z=height - 0.001))
    mesh = merged(pieces)
    pose = "upright"
    if draw.chance(0.12):
        mesh, pose = mesh.turned(rotation(0, np.pi / 2)).resting(), "lying"
    return Model("carton", mesh.resting(), Surface(skins, draw.uniform(0.05, 0.25)), pose, "cardboard", True)


def _along_x(mesh: Mesh, height: float) -> Mesh:
    """A prism raised along z laid along x (its outline's second axis up), at ``height``, in the top's part."""
    turn = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    middle = float(mesh.vertices[:, 2].max()) / 2
    return mesh.turned(turn, (-middle, 0.0, height)).of_part(4)


def book(draw: Draw) -> Model:
    """A book lying or standing, closed; or open on its back. Leaning is the layout's business."""
    kind = draw.pick(("hard", "soft", "hard", "soft", "magazine", "open", "slim"))
    length, thick = draw.uniform(0.15, 0.30), draw.uniform(0.01, 0.05)
    if kind == "magazine":
        length, thick = draw.uniform(0.24, 0.3), draw.uniform(0.006, 0.009)
    width = length * draw.uniform(0.62, 0.8)
    base = draw.colour(white=1.2)
    board, inset = (0.0025, 0.004) if kind == "hard" else (0.001, 0.0)
    if kind == "open":
        return _open_book(draw, base, width, length, min(thick, 0.03))
    paper = plain(np.array([0.93, 0.9, 0.82]) * draw.uniform(0.88, 1.05))
    inks = accent_colours(draw.rng)
    cover = (
        front(draw.rng, base, inks)
        if draw.chance(0.5)
        else printed(draw.rng, base, draw.uniform(0.2, 0.9), accents=inks)
    )
    back = plain(base) if draw.chance(0.4) else printed(draw.rng, base, 0.4, 64, accents=inks)
    spine = printed(draw.rng, base, 0.2, 64, accents=inks)
    # parts: 0 pages, 1 back cover and boards, 2 front cover, 3 spine
    pages = box_mesh((width - inset, length - 2 * inset, thick - 2 * board), (-inset / 2, 0, board)).of_part(0)
    low = box_mesh((width, length, board)).of_part(1)
    high = box_mesh((width, length, board), (0, 0, thick - board)).of_part(2)
    edge = box_mesh((board, length, thick), (-width / 2, 0, 0)).of_part(3)
    mesh = merged([pages, low, high, edge]).resting()
    surface = Surface((paper, back, cover, spine), draw.uniform(0.02, 0.25))
    if thick > 0.014 and draw.chance(0.28):  # on its lower edge, or on its long one
        turn = rotation(0, np.pi / 2) if draw.chance(0.7) else rotation(1, np.pi / 2)
        return Model("book", mesh.turned(turn).resting(), surface, "upright", "paper", True)
    if draw.chance(0.15):  # face down
        mesh = mesh.turned(rotation(0, np.pi)).resting()
    return Model("book", mesh, surface, "lying", "paper", True, (thick, rectangle(width, length)))


def _open_book(draw: Draw, base: np.ndarray, width: float, length: float, thick: float) -> Model:
    """Two leaves' blocks sloping to the fold, on the spread cover."""
    paper = np.array([0.95, 0.92, 0.85]) * draw.uniform(0.9, 1.04)
    share = draw.uniform(0.25, 0.75)
    pieces = [box_mesh((2 * width + 0.008, length + 0.008, 0.002)).of_part(1)]
    for side, part in ((-1, 2), (1, 3)):
        tall = max(thick * (share if side < 0 else 1 - share), 0.004)
        block = box_mesh((width, length, tall), (side * width / 2, 0, 0.002))
        x, z = block.vertices[:, 0], block.vertices[:, 2]
        near = np.abs(x) < width * 0.1
        block.vertices[:, 2] = np.where(near & (z > 0.003), 0.002 + tall * 0.6, z)
        block.part[:] = np.where(block.part == 4, part, 0)
        pieces.append(block)
    surface = Surface((plain(paper * 0.95), plain(base), text_page(draw.rng, paper), text_page(draw.rng, paper)), 0.05)
    return Model("book", merged(pieces).resting(), surface, "lying", "paper", True)
