"""Tables and case furniture: what things stand on and in."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.joinery import block, cylinder, legs, rod, slab, wood
from segpoint_training.scenes.model import Draw, Model, disc, rectangle
from segpoint_training.scenes.shapes import Mesh, merged, prism
from segpoint_training.scenes.surfaces import Skin, Surface, plain


def table(draw: Draw) -> Model:
    """A dining or side table."""
    height = draw.uniform(0.7, 0.77)
    if draw.pick((False, False, False, True)):
        return _round_table(draw, "table", draw.uniform(0.4, 0.65), height)
    small = draw.chance(0.3)
    length = draw.uniform(0.6, 0.9) if small else draw.uniform(1.1, 2.0)
    width = min(length, draw.uniform(0.55, 0.75) if small else draw.uniform(0.75, 1.0))
    return _four_legs(draw, "table", length, width, height)


def coffee_table(draw: Draw) -> Model:
    """A low table: four legs, panels or a round top."""
    height = draw.uniform(0.34, 0.5)
    if draw.pick((False, False, True, True)):
        return _round_table(draw, "coffee table", draw.uniform(0.3, 0.48), height)
    return _four_legs(draw, "coffee table", draw.uniform(0.7, 1.25), draw.uniform(0.45, 0.7), height)


def _four_legs(draw: Draw, category: str, length: float, width: float, height: float) -> Model:
    thick, leg = draw.uniform(0.02, 0.045), draw.uniform(0.035, 0.08)
    pieces = [slab(length, width, thick, (0, 0, height - thick), 1, 0.015)]
    style = draw.pick(("corner", "apron", "splayed", "panels"))
    x, y = length - leg - 0.02, width - leg - 0.02
    if style == "panels":
        pieces += [block((0.03, width * 0.9, height - thick), (s * x / 2, 0, 0)) for s in (-1, 1)]
    else:
        inset = 0.12 if style == "splayed" else 0.0
        pieces += legs(x - 2 * inset, y - 2 * inset, height - thick, leg, 0, inset * 0.8)
    if style == "apron":
        low = height - thick - 0.08
        pieces += [block((x, 0.02, 0.08), (0, s * y / 2, low)) for s in (-1, 1)]
        pieces += [block((0.02, y, 0.08), (s * x / 2, 0, low)) for s in (-1, 1)]
    if category == "coffee table" and style in ("corner", "apron") and draw.chance(0.4):
        pieces.append(slab(x, y, 0.02, (0, 0, height * 0.35), 0, 0.01))
    return _topped(draw, category, pieces, height, rectangle(length, width))


def _round_table(draw: Draw, category: str, radius: float, height: float) -> Model:
    thick = draw.uniform(0.02, 0.04)
    pieces = [cylinder(radius, thick, 1, height - thick)]
    if draw.chance(0.5):
        pieces += [cylinder(radius * 0.5, 0.025), cylinder(0.045, height - thick - 0.025, 0, 0.025)]
    else:
        pieces += legs(radius * 1.1, radius * 1.1, height - thick, 0.04, 0, 0.05)
    return _topped(draw, category, pieces, height, disc(radius * 0.97))


def _topped(draw: Draw, category: str, pieces: list[Mesh], height: float, outline: np.ndarray) -> Model:
    frame = wood(draw)
    board = frame if draw.chance(0.6) else wood(draw)
    if draw.chance(0.1):
        frame = plain(np.full(3, draw.one_of((0.1, 0.7))))  # steel
    return Model(category, merged(pieces), Surface((frame, board), draw.uniform(0.0, 0.25)), "upright", "wood",
                 top=(height, outline))  # fmt: skip


def desk(draw: Draw) -> Model:
    """A desk on legs or panels, with drawers or without."""
    length, width, height = draw.uniform(1.0, 1.7), draw.uniform(0.55, 0.8), draw.uniform(0.7, 0.78)
    thick = draw.uniform(0.02, 0.035)
    under = height - thick
    pieces = [slab(length, width, thick, (0, 0, under), 1, 0.01)]
    style = draw.pick(("drawers", "legs", "panels", "two drawers"))
    sides = {"drawers": (1,), "two drawers": (-1, 1)}.get(style, ())
    for s in sides:
        x = s * (length / 2 - 0.22)
        pieces += [block((0.4, width - 0.06, under), (x, 0, 0)), *_fronts(0.4, width - 0.06, 0.05, under, 1, 3, x)]
    if style == "drawers":
        pieces.append(block((0.03, width - 0.06, under), (-length / 2 + 0.03, 0, 0)))
    elif style == "panels":
        pieces += [block((0.03, width - 0.04, under), (s * (length / 2 - 0.03), 0, 0)) for s in (-1, 1)]
    elif style == "legs":
        pieces += legs(length - 0.1, width - 0.1, under, 0.045)
    if style != "legs":
        pieces.append(block((length - 0.1, 0.018, under * 0.5), (0, width / 2 - 0.06, under * 0.5)))
    frame = wood(draw)
    skins = (frame, wood(draw) if draw.chance(0.3) else frame, frame, _handle(draw))
    return Model("desk", merged(pieces), Surface(skins, 0.1), "upright", "wood", top=(height, rectangle(length, width)))


def _handle(draw: Draw) -> Skin:
    return plain(np.full(3, draw.one_of((0.1, 0.3, 0.65, 0.8))))


def _fronts(width: float, depth: float, low: float, high: float, columns: int, rows: int, x: float = 0.0) -> list[Mesh]:
    """Doors or drawers on a case's front with gaps between (part 2) and handles on them (part 3)."""
    pieces = []
    w, h = width / columns, (high - low) / rows
    for i in range(columns):
        for j in range(rows):
            middle = x + (i - (columns - 1) / 2) * w
            bottom = low + j * h
            pieces.append(block((w - 0.012, 0.018, h - 0.012), (middle, -depth / 2 - 0.009, bottom + 0.006), 2))
            if h > w:  # a door: the handle stands upright at its free edge
                at = middle + (0.42 if i % 2 == 0 else -0.42) * w
                pieces.append(block((0.014, 0.025, 0.12), (at, -depth / 2 - 0.03, bottom + 0.5 * h), 3))
            else:
                pieces.append(block((0.12, 0.025, 0.014), (middle, -depth / 2 - 0.03, bottom + 0.6 * h), 3))
    return pieces


def _case(draw: Draw, category: str, size: tuple[float, float, float], columns: int, rows: int) -> Model:
    """A closed case with fronts, on a plinth or short legs."""
    width, depth, height = size
    foot = draw.uniform(0.03, 0.12)
    if draw.chance(0.4):
        pieces = legs(width - 0.1, depth - 0.1, foot, 0.04)
    else:
        pieces = [block((width - 0.04, depth - 0.08, foot), (0, 0.02, 0))]
    board = draw.uniform(0.015, 0.035)
    pieces.append(block((width, depth, height - foot - board), (0, 0, foot)))
    pieces.append(block((width + 0.02, depth + 0.02, board), (0, 0, height - board), 1))
    pieces += _fronts(width, depth, foot + 0.01, height - board, columns, rows)
    body = wood(draw)
    front = body if draw.chance(0.7) else wood(draw)
    skins = (body, body if draw.chance(0.6) else wood(draw), front, _handle(draw))
    return Model(category, merged(pieces), Surface(skins, draw.uniform(0.0, 0.2)), "upright", "wood",
                 top=(height, rectangle(width, depth)))  # fmt: skip


def wardrobe(draw: Draw) -> Model:
    """A tall case with two to four doors."""
    width = draw.uniform(0.75, 2.0)
    columns = draw.pick((2, 2, 3, 4)) if width > 1.1 else 2
    return _case(draw, "wardrobe", (width, draw.uniform(0.5, 0.65), draw.uniform(1.7, 2.2)), columns, 1)


def cabinet(draw: Draw) -> Model:
    """A sideboard, a chest of drawers, a low television stand or a tall cupboard."""
    style = draw.pick(("doors", "drawers", "low", "tall"))
    if style == "drawers":
        return _case(draw, "cabinet", (draw.uniform(0.6, 1.2), draw.uniform(0.4, 0.5), draw.uniform(0.75, 1.1)), 1, 4)
    if style == "low":  # carries the television
        width = draw.uniform(1.1, 1.8)
        return _case(draw, "cabinet", (width, draw.uniform(0.36, 0.48), draw.uniform(0.4, 0.6)), 3, 1)
    high = draw.uniform(1.2, 1.6) if style == "tall" else draw.uniform(0.75, 0.95)
    width = draw.uniform(0.6, 1.5)
    return _case(draw, "cabinet", (width, draw.uniform(0.38, 0.6), high), 2 if width < 1.1 else 3, 1)


def nightstand(draw: Draw) -> Model:
    """A small case for beside a bed, with drawers or a door."""
    size = (draw.uniform(0.36, 0.52), draw.uniform(0.34, 0.45), draw.uniform(0.42, 0.62))
    return _case(draw, "nightstand", size, 1, draw.pick((1, 2, 2, 3)))


def bookcase(draw: Draw) -> Model:
    """Open shelves; ``Model.shelves`` says where things stand in it."""
    width, depth, height = draw.uniform(0.6, 1.2), draw.uniform(0.26, 0.38), draw.pick((1.1, 1.5, 1.9, 0.8))
    height *= draw.uniform(0.95, 1.1)
    board, rows = draw.uniform(0.018, 0.03), max(2, round(height / draw.uniform(0.3, 0.38)))
    foot = draw.uniform(0.0, 0.08)
    pieces = [block((board, depth, height), (s * (width - board) / 2, 0, 0)) for s in (-1, 1)]
    step = (height - board - foot) / rows
    clear = (rectangle(width - 2 * board - 0.01, depth - 0.03), step - board - 0.005)
    shelves = []
    for k in range(rows + 1):
        pieces.append(block((width - 2 * board, depth, board), (0, 0, foot + k * step), 1))
        if k < rows:
            shelves.append((foot + k * step + board, clear[1], clear[0]))
    if draw.chance(0.75):
        pieces.append(block((width - 2 * board, 0.008, height - foot), (0, depth / 2 - 0.004, foot)))
    frame = wood(draw)
    return Model("bookcase", merged(pieces), Surface((frame, frame), 0.05), "upright", "wood",
                 top=(height, rectangle(width * 0.95, depth * 0.95)), shelves=tuple(shelves))  # fmt: skip


def piano(draw: Draw) -> Model:
    """An upright piano, or a grand."""
    skin = plain(draw.colour(black=6, brown=3, white=1, rest=0.0))
    keys = np.full((8, 104, 3), 0.92, np.float32)
    keys[:, ::2] = 0.72
    keys[4:, 1::4] = 0.05
    skins = (skin, Skin(keys), plain((0.75, 0.6, 0.25)))
    width = draw.uniform(1.42, 1.52)
    if draw.pick((False, False, False, True)):
        t = np.linspace(0, np.pi, 9)
        tail = np.stack([0.75 * np.cos(t), 0.2 + 0.75 * np.sin(t)], 1)
        outline = np.concatenate([[[-0.75, -0.55], [0.75, -0.55]], tail])
        pieces = [prism(outline, 0.28).of_part(0).turned(np.eye(3), (0, -0.2, 0.68))]
        pieces += [rod((x, y, 0), (x, y, 0.68), 0.1) for x, y in ((-0.6, -0.55), (0.6, -0.55), (0.0, 0.55))]
        pieces.append(block((1.24, 0.14, 0.012), (0, -0.82, 0.7), 1))
        pieces.append(block((1.5, 0.16, 0.06), (0, -0.82, 0.64)))
        return Model("piano", merged(pieces), Surface(skins, 0.5), "upright", "wood",
                     top=(0.96, disc(0.6) + (0, 0.0)))  # fmt: skip
    depth, height, shelf = draw.uniform(0.35, 0.42), draw.uniform(1.05, 1.28), draw.uniform(0.66, 0.72)
    back = 0.13
    pieces = [block((width, depth, height), (0, back, 0))]
    pieces.append(block((width, 0.26, 0.09), (0, back - depth / 2 - 0.13, shelf - 0.09)))
    pieces.append(block((1.22, 0.14, 0.015), (0, back - depth / 2 - 0.15, shelf), 1))
    pieces += [block((0.06, 0.06, shelf - 0.09), (s * (width / 2 - 0.05), back - depth / 2 - 0.2, 0)) for s in (-1, 1)]
    pieces += [block((0.03, 0.1, 0.02), (0.08 * k, back - depth / 2 - 0.05, 0.06), 2) for k in (-1, 0, 1)]
    return Model("piano", merged(pieces), Surface(skins, 0.45), "upright", "wood",
                 top=(height, rectangle(width * 0.9, depth * 0.8) + (0, back)))  # fmt: skip
