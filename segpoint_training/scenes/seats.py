"""What one sits and lies on: chairs, armchairs, sofas, stools, benches, beds.

Furniture stands centred on z = 0 with its back towards +y: who uses it comes from −y.
"""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.joinery import block, cylinder, legs, rod, slab, wood
from segpoint_training.scenes.model import Draw, Model, disc, rectangle
from segpoint_training.scenes.shapes import box, merged, prism, rotation, rounded_rectangle
from segpoint_training.scenes.surfaces import Skin, Surface, cloth, grain, plain


def fabric(draw: Draw, base: np.ndarray | None = None) -> Skin:
    """Plain, mottled or patterned cloth."""
    if base is None:
        base = draw.colour(gray=4, white=1.5, black=2, brown=3, blue=1.5, rest=0.5)
        base = base + (float(base.mean()) - base) * draw.uniform(0.0, 0.5)  # upholstery is seldom garish
    if draw.chance(0.15):
        repeat = draw.uniform(4, 12)
        return cloth(draw.rng, base, base + (draw.colour(white=3) - base) * draw.uniform(0.2, 0.7), (repeat, repeat))
    return grain(draw.rng, base, draw.uniform(0.02, 0.1), draw.uniform(0.3, 1.5), 64, (2, 2))


def leather(draw: Draw) -> Skin:
    """Leather of a colour that seats have."""
    base = draw.colour(black=4, brown=5, white=1, red=0.7, gray=1, rest=0.05)
    return grain(draw.rng, base, draw.uniform(0.03, 0.08), 1.0, 64)


def covering(draw: Draw) -> tuple[Skin, str, float]:
    """What a seat is covered with: its look, material and gloss."""
    if draw.chance(0.3):
        return leather(draw), "leather", draw.uniform(0.1, 0.3)
    return fabric(draw), "fabric", 0.0


def chair(draw: Draw) -> Model:
    """A chair: wooden with a board, slats or arms, an office chair or a shell."""
    kind = draw.pick(("board", "slats", "arms", "office", "board", "office", "shell"))
    width, depth, seat = draw.uniform(0.38, 0.48), draw.uniform(0.38, 0.46), draw.uniform(0.42, 0.48)
    top = draw.uniform(0.78, 1.05)
    if kind == "office":
        return _office_chair(draw, width + 0.05, depth + 0.04, seat, top + 0.05)
    if kind == "shell":
        return _shell_chair(draw, width, depth, seat, top - 0.05)
    thick, lean = draw.uniform(0.025, 0.045), draw.uniform(0.0, 0.09)
    x, y = (width - thick) / 2, (depth - thick) / 2
    pieces = [rod((s * x, -y, 0), (s * x, -y, seat), thick) for s in (-1, 1)]
    pieces += [rod((s * x, y, 0), (s * x, y, seat), thick) for s in (-1, 1)]
    pieces += [rod((s * x, y, seat), (s * x, y + lean, top), thick) for s in (-1, 1)]
    pieces += [rod((s * x, -y, seat * 0.4), (s * x, y, seat * 0.4), thick * 0.6) for s in (-1, 1)]
    padded = draw.chance(0.5)
    pieces.append(slab(width, depth, 0.05 if padded else 0.022, (0, 0, seat - 0.02), 1, 0.02))

    def back_at(height: float) -> float:
        return y + lean * (height - seat) / (top - seat)

    if kind == "slats":
        for k in range(int(draw.one_of((3, 4, 5)))):
            at = (k / 4 - 0.5) * 1.6 * x
            pieces.append(rod((at, y, seat), (at, y + lean, top - 0.05), 0.016))
        pieces.append(rod((-x, back_at(top - 0.04), top - 0.04), (x, back_at(top - 0.04), top - 0.04), 0.05))
    else:
        low = seat + draw.uniform(0.08, 0.25)
        turn = rotation(0, -np.arctan2(lean, top - seat))
        pieces.append(box((2 * x, 0.018, top - low)).of_part(1 if padded else 0).turned(turn, (0, back_at(low), low)))
    if kind == "arms":
        for s in (-1, 1):
            pieces.append(rod((s * x, -y * 0.7, seat), (s * x, -y * 0.7, seat + 0.22), thick * 0.8))
            pieces.append(rod((s * x, -y * 0.9, seat + 0.22), (s * x, back_at(seat + 0.22), seat + 0.22), thick * 0.9))
    frame = wood(draw)
    cover = covering(draw)[0] if padded else frame
    return Model("chair", merged(pieces), Surface((frame, cover), 0.1), "upright", "wood",
                 top=(seat + (0.03 if padded else 0.002), rectangle(width * 0.8, depth * 0.8)))  # fmt: skip


def _office_chair(draw: Draw, width: float, depth: float, seat: float, top: float) -> Model:
    spread = draw.uniform(0.26, 0.32)
    angle = draw.uniform(0, 2) + np.arange(5) * (2 * np.pi / 5)
    feet = [(float(spread * np.cos(a)), float(spread * np.sin(a))) for a in angle]
    pieces = [rod((0, 0, 0.11), (x, y, 0.075), 0.035, 1) for x, y in feet]
    pieces += [cylinder(0.028, 0.06, 1).turned(np.eye(3), (x, y, 0)) for x, y in feet]
    pieces.append(cylinder(0.025, seat - 0.1, 1, 0.1))
    pieces.append(slab(width, depth, 0.07, (0, 0, seat - 0.05), 0, 0.08))
    low = seat + draw.uniform(0.08, 0.16)
    turn = rotation(0, -draw.uniform(0.05, 0.2))
    panel = prism(rounded_rectangle(width * draw.uniform(0.8, 1.0), top - low, 0.07, 3), 0.05, smooth=True).of_part(0)
    panel = panel.turned(rotation(0, np.pi / 2)).turned(np.eye(3), (0, 0, (top - low) / 2))
    pieces.append(panel.turned(turn, (0, depth / 2 + 0.03, low)))
    pieces.append(rod((0, depth * 0.3, seat - 0.03), (0, depth / 2 + 0.02, low + 0.12), 0.035, 1))
    if draw.chance(0.6):
        for s in (-1, 1):
            x = s * (width / 2 + 0.02)
            pieces.append(rod((x, 0.02, seat - 0.03), (x, 0.02, seat + 0.2), 0.03, 1))
            pieces.append(slab(0.06, depth * 0.55, 0.03, (x, 0.0, seat + 0.2), 1, 0.02))
    cover, material, gloss = covering(draw)
    if draw.chance(0.5):
        cover, material = plain(draw.colour(black=6, gray=2, blue=1, red=0.5, rest=0.1)), "fabric"
    metal = plain(np.full(3, draw.one_of((0.08, 0.1, 0.65))))
    return Model("chair", merged(pieces), Surface((cover, metal), gloss), "upright", material,
                 top=(seat + 0.02, rectangle(width * 0.75, depth * 0.75)))  # fmt: skip


def _shell_chair(draw: Draw, width: float, depth: float, seat: float, top: float) -> Model:
    pieces = legs(width * 0.6, depth * 0.6, seat - 0.01, 0.025, 1, 0.06)
    pieces.append(slab(width, depth, 0.02, (0, 0, seat - 0.015), 0, 0.09))
    turn = rotation(0, -draw.uniform(0.1, 0.25))
    panel = prism(rounded_rectangle(width * 0.95, top - seat, 0.12, 4), 0.018, smooth=True).of_part(0)
    panel = panel.turned(rotation(0, np.pi / 2)).turned(np.eye(3), (0, 0, (top - seat) / 2))
    pieces.append(panel.turned(turn, (0, depth / 2 - 0.02, seat)))
    skins = (
        plain(draw.colour(white=4, black=3, rest=0.8)),
        plain((0.7, 0.7, 0.72)) if draw.chance(0.5) else wood(draw),
    )
    return Model("chair", merged(pieces), Surface(skins, 0.25), "upright", "plastic",
                 top=(seat + 0.005, rectangle(width * 0.7, depth * 0.7)))  # fmt: skip


def armchair(draw: Draw) -> Model:
    """A padded seat for one."""
    return _upholstered(draw, "armchair", 1, False)


def sofa(draw: Draw) -> Model:
    """A padded seat for two or three."""
    seats = int(draw.one_of((2, 2, 3, 3)))
    return _upholstered(draw, "sofa", seats, draw.pick((False, False, False, True)))


def _upholstered(draw: Draw, category: str, seats: int, corner: bool) -> Model:
    """Arms, back and cushions; ``corner`` lengthens the seat at one end to an L."""
    each, deep = draw.uniform(0.55, 0.72), draw.uniform(0.8, 0.95)
    arm = draw.pick((0.1, 0.16, 0.22, 0.0))
    seat, top = draw.uniform(0.38, 0.46), draw.uniform(0.72, 0.95)
    back, foot = draw.uniform(0.16, 0.26), draw.uniform(0.04, 0.14)
    inner = seats * each
    width = inner + 2 * arm
    front, rear = -deep / 2, deep / 2
    pad = draw.uniform(0.1, 0.16)
    pieces = legs(width - 0.12, deep - 0.12, foot + 0.01, 0.045, 2)
    pieces.append(block((width, deep - 0.02, seat - pad - foot), (0, 0, foot)))
    tilt = rotation(0, -draw.uniform(0.0, 0.15))
    rest = slab(inner + (0 if arm else 0), back, top - seat + pad, (0, 0, 0), 0, 0.05)
    pieces.append(rest.turned(tilt, (0, rear - back / 2 - 0.03, seat - pad)))
    if arm:
        tall = seat + draw.uniform(0.1, 0.22)
        for s in (-1, 1):
            pieces.append(slab(arm, deep, tall - foot, (s * (inner + arm) / 2, 0, foot), 0, 0.04))
    long = deep - back - 0.04
    for k in range(seats):
        x = (k - (seats - 1) / 2) * each
        pieces.append(slab(each - 0.012, long, pad, (x, front + long / 2 + 0.01, seat - pad), 1, 0.05))
        if draw.chance(0.8):
            pillow = slab(each - 0.04, 0.14, min(top - seat - 0.04, 0.4), (0, 0, 0), 1, 0.05)
            pieces.append(pillow.turned(rotation(0, -0.2), (x, rear - back - 0.09, seat)))
    if corner:  # the chaise: one seat reaches forward
        far, x = draw.uniform(0.5, 0.75), draw.one_of((-1, 1)) * (seats - 1) / 2 * each
        pieces.append(block((each, far, seat - pad - foot), (x, front - far / 2 + 0.01, foot)))
        pieces.append(slab(each - 0.01, far, pad, (x, front - far / 2, seat - pad), 1, 0.05))
    cover, material, gloss = covering(draw)
    second = cover if draw.chance(0.75) else fabric(draw)
    mesh = merged(pieces)
    shift = -(mesh.vertices.max(0) + mesh.vertices.min(0)) / 2 * (1, 1, 0)
    spot = rectangle(inner * 0.85, long * 0.5) + (0, front + long * 0.35) + shift[:2]
    return Model(category, mesh.turned(np.eye(3), shift), Surface((cover, second, wood(draw)), gloss), "upright",
                 material, top=(seat + 0.002, spot))  # fmt: skip


def stool(draw: Draw) -> Model:
    """A seat without a back."""
    radius, height = draw.uniform(0.15, 0.2), draw.one_of((draw.uniform(0.42, 0.5), draw.uniform(0.6, 0.78)))
    kind = draw.pick(("legs", "legs", "pedestal", "square"))
    thick = draw.uniform(0.025, 0.06)
    if kind == "pedestal":
        pieces = [cylinder(radius * 0.95, 0.02), cylinder(0.025, height - 0.02, 0, 0.02)]
    else:
        pieces = legs(radius * 1.2, radius * 1.2, height - 0.01, 0.03, 0, 0.04)
        rung = radius * 0.6 + 0.025
        pieces += [rod((-rung, s * rung, height * 0.35), (rung, s * rung, height * 0.35), 0.018) for s in (-1, 1)]
    side = 2 * radius
    seat = cylinder(radius, thick, 1, height - thick)
    pieces.append(slab(side, side, thick, (0, 0, height - thick), 1) if kind == "square" else seat)
    frame = wood(draw)
    skins = (frame, covering(draw)[0] if draw.chance(0.5) else frame)
    return Model("stool", merged(pieces), Surface(skins, 0.1), "upright", "wood", top=(height, disc(radius * 0.85)))


def bench(draw: Draw) -> Model:
    """A long seat, with a back or without."""
    length, depth, seat = draw.uniform(0.9, 1.5), draw.uniform(0.3, 0.42), draw.uniform(0.42, 0.48)
    kind = draw.pick(("legs", "panels", "legs", "back"))
    if kind == "panels":
        pieces = [block((0.04, depth * 0.95, seat - 0.03), (s * length * 0.42, 0, 0)) for s in (-1, 1)]
        pieces.append(block((length * 0.84, 0.03, 0.1), (0, 0, seat - 0.2)))
    else:
        pieces = legs(length * 0.88, depth * 0.8, seat - 0.03, 0.05)
    pieces.append(slab(length, depth, 0.04, (0, 0, seat - 0.04), 1, 0.01))
    if kind == "back":
        y = depth / 2 - 0.03
        pieces += [rod((s * length * 0.44, y, seat), (s * length * 0.44, y + 0.08, 0.85), 0.045) for s in (-1, 0, 1)]
        pieces += [block((length * 0.94, 0.025, 0.09), (0, y + 0.03 + 0.04 * k, seat + 0.1 + 0.16 * k)) for k in (0, 1)]
    frame = wood(draw)
    skins = (frame, frame if draw.chance(0.7) else fabric(draw))
    return Model("bench", merged(pieces), Surface(skins, 0.1), "upright", "wood",
                 top=(seat, rectangle(length * 0.9, depth * 0.7)))  # fmt: skip


def bed(draw: Draw) -> Model:
    """A bed with pillows and a blanket."""
    width, long = draw.one_of((0.9, 1.0, 1.2, 1.4, 1.6, 1.8)) + draw.uniform(0, 0.06), draw.uniform(1.95, 2.15)
    frame, sheet = draw.uniform(0.22, 0.36), draw.uniform(0.42, 0.58)
    head = draw.uniform(0.7, 1.15)
    kind = draw.pick(("headboard", "headboard", "divan", "both ends"))
    pieces = legs(width - 0.1, long - 0.1, frame - 0.11, 0.07) if kind != "divan" else []
    low = 0.0 if kind == "divan" else frame - 0.12
    pieces.append(block((width, long, frame - low), (0, 0, low)))
    if kind != "divan":
        pieces.append(block((width + 0.02, 0.05, head - 0.1), (0, long / 2 + 0.025, 0.1)))
    if kind == "both ends":
        pieces.append(block((width + 0.02, 0.04, sheet + 0.1), (0, -long / 2 - 0.02, 0.1)))
    pieces.append(slab(width - 0.03, long - 0.03, sheet - frame, (0, 0, frame), 1, 0.06))
    cover = long * draw.uniform(0.55, 0.72)
    pieces.append(slab(width + 0.03, cover, sheet - frame + 0.03, (0, -long / 2 + cover / 2 + 0.01, frame), 2, 0.05))
    count = 1 if width < 1.3 else 2
    for k in range(count):
        x = (k - (count - 1) / 2) * width / 2
        pillow = slab(min(width / count * 0.85, 0.7), 0.4, 0.13, (0, 0, 0), 3, 0.12)
        pieces.append(pillow.turned(rotation(0, draw.uniform(0.0, 0.25)), (x, long / 2 - 0.26, sheet)))
    white = plain(draw.colour(white=8, gray=1, blue=1, rest=0.3))
    skins = (wood(draw) if draw.chance(0.7) else fabric(draw), white, fabric(draw), white)
    spot = rectangle(width * 0.8, cover * 0.8) + (0, -long / 2 + cover / 2)
    return Model("bed", merged(pieces), Surface(skins, 0.02), "upright", "fabric", top=(sheet + 0.032, spot))
