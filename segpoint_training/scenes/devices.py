"""Electric things, their fronts to −y: tablet, speaker, radio, camera."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes.lofts import FLAT, SOFT, bar, pillar
from segpoint_training.scenes.model import Draw, Model, laid_down, rectangle
from segpoint_training.scenes.shapes import Mesh, box, lathe, merged, prism, rotation, rounded_rectangle, tube
from segpoint_training.scenes.surfaces import Skin, Surface, grain, plain, printed


def _screen(draw: Draw) -> Skin:
    """A dark screen, or a lit one with a page or icons."""
    if draw.chance(0.5):
        return plain(np.full(3, draw.uniform(0.03, 0.1)))
    base = draw.colour(blue=3, white=3, black=2, purple=1.5)
    if draw.chance(0.5):
        return printed(draw.rng, base, 1.0, 96)
    texture = np.tile(base, (60, 60, 1)).astype(np.float32)
    for row in range(6, 56, 12):
        for column in range(6, 56, 12):
            texture[row : row + 7, column : column + 7] = draw.colour()
    return Skin(texture)


def tablet(draw: Draw) -> Model:
    """A tablet computer, flat, face down, or leaning in its case."""
    length = draw.uniform(0.19, 0.29)
    width, thick = length * draw.uniform(0.62, 0.76), draw.uniform(0.007, 0.011)
    case = draw.colour(black=4, gray=3, white=2, rest=0.3)
    body = prism(rounded_rectangle(length, width, 0.012), thick, smooth=True).of_part(0)
    frame = box((length * 0.985, width * 0.975, 0.0004), (0, 0, thick)).of_part(1)
    glass = box((length * draw.uniform(0.88, 0.95), width * 0.9, 0.0006), (0, 0, thick)).of_part(2)
    bezel = plain(np.full(3, draw.uniform(0.03, 0.08))) if draw.chance(0.75) else plain(np.full(3, 0.9))
    surface = Surface((plain(case), bezel, _screen(draw)), 0.8, 0.12)
    kind = draw.pick(("flat", "flat", "stand", "back"))
    mesh = merged([body, frame, glass])
    if kind == "back":
        mesh = mesh.turned(rotation(0, np.pi)).resting()
    if kind == "stand":
        slope = np.radians(draw.uniform(50, 75))
        mesh = mesh.turned(rotation(0, slope))
        prop = bar([(0.0, 0, 0, length * 0.2, 0.0015), (width * 0.62, 0, 0, length * 0.2, 0.0015)]).turned(
            rotation(2, np.pi / 2)
        )
        top = mesh.vertices.min(0)
        high = float(mesh.vertices[:, 2].max() - top[2]) * 0.55
        back = prop.turned(rotation(0, -np.arcsin(min(high / (width * 0.62), 0.95)))).of_part(0)
        at = float(np.interp(high, (0, np.sin(slope) * width), (0, np.cos(slope) * width))) + thick * np.sin(slope)
        leaning = mesh.moved(y=-float(mesh.vertices[:, 1].min()), z=-float(top[2]))
        stay = back.turned(rotation(2, np.pi)).resting().moved(y=at + float(np.ptp(back.vertices[:, 1])) / 2)
        mesh = merged([leaning, stay])
        return Model("tablet", mesh.resting(), surface, "upright", "glass")
    return Model("tablet", mesh, surface, "lying", "glass", top=(thick + 0.0006, rectangle(length, width)))


def _grille(base: np.ndarray, repeat: tuple[float, float]) -> Skin:
    """Cloth or metal with holes."""
    texture = np.tile(base, (8, 8, 1)).astype(np.float32)
    y, x = np.mgrid[:8, :8]
    texture[np.hypot(x - 3.5, y - 3.5) < 2.4] *= 0.35
    return Skin(texture, repeat)


def speaker(draw: Draw) -> Model:
    """A bookshelf box with cones, or a little cloth-covered cylinder."""
    kind = draw.pick(("box", "cylinder", "lying cylinder", "box", "puck"))
    shell = draw.colour(black=5, gray=2, white=2, blue=1, red=1, rest=0.3)
    if kind == "box":
        wide, tall = draw.uniform(0.09, 0.16), draw.uniform(0.15, 0.27)
        deep = wide * draw.uniform(0.8, 1.2)
        case = box((wide, deep, tall)).of_part(0)
        pieces = [case]
        for z, radius in ((0.36, 0.38), (0.76, 0.2)):
            r = radius * min(wide, tall * 0.55)
            cone = lathe([(0.0, 0.002), (r * 0.3, 0.004), (r * 0.32, 0.001), (r * 0.85, 0.005), (r, 0.006),
                          (r * 1.1, 0.0)][::-1], [2, 1, 1, 2, 2], 24)  # fmt: skip
            pieces.append(cone.turned(rotation(0, np.pi / 2)).moved(0, -deep / 2, z * tall))
        wooden = draw.chance(0.3)
        outside = grain(draw.rng, draw.colour(brown=1, rest=0), 0.1) if wooden else plain(shell)
        surface = Surface(
            (outside, plain(np.full(3, draw.uniform(0.1, 0.25))), plain(np.full(3, draw.uniform(0.25, 0.6)))), 0.2
        )
        return Model(
            "speaker",
            merged(pieces),
            surface,
            "upright",
            "wood" if wooden else "plastic",
            top=(tall, rectangle(wide, deep)),
        )
    radius = draw.uniform(0.03, 0.048)
    tall = {"cylinder": draw.uniform(0.1, 0.2), "lying cylinder": draw.uniform(0.15, 0.21), "puck": radius * 1.0}[kind]
    if kind == "puck":
        radius *= 1.3
    profile = [(0.0, 0.0), (radius * 0.9, 0.0), (radius, 0.008), (radius, tall - 0.01), (radius * 0.92, tall),
               (radius * 0.6, tall), (0.0, tall - 0.002)]  # fmt: skip
    body = lathe(profile, [2, 2, 1, 2, 2, 0], 28)
    dark = plain(shell * draw.uniform(0.5, 0.9))
    surface = Surface(
        (plain(np.clip(shell * 1.3 + 0.05, 0, 1)), _grille(np.clip(shell + 0.06, 0, 1), (14, 8)), dark), 0.1
    )
    if kind == "lying cylinder":
        return Model("speaker", laid_down(body, draw.uniform(0, 6.28)), surface, "lying", "plastic")
    return Model("speaker", body, surface, "upright", "plastic")


def radio(draw: Draw) -> Model:
    """A radio: portable with a handle and a mast, or one for the shelf."""
    wide, deep, tall = draw.uniform(0.15, 0.3), draw.uniform(0.05, 0.1), draw.uniform(0.09, 0.17)
    shell = draw.colour(black=2, red=2, gray=2, brown=1.5, white=1.5)
    kind = draw.pick(("portable", "retro", "portable", "table"))
    case = pillar([(wide, deep, 0.0), (wide, deep, tall)], 0.012 if kind != "retro" else 0.03).of_part(0)
    round_dial = kind == "retro"
    face: list[Mesh] = []
    front = rotation(0, np.pi / 2)  # z forward along −y
    grille = prism(rounded_rectangle(wide * 0.45, tall * 0.62, 0.01 if not round_dial else tall * 0.3), 0.002)
    face.append(grille.turned(front).moved(-wide * 0.22, -deep / 2, tall * 0.45).of_part(1))
    scale = prism(rounded_rectangle(wide * 0.38, tall * 0.2, 0.004), 0.002)
    face.append(scale.turned(front).moved(wide * 0.24, -deep / 2, tall * 0.68).of_part(2))
    for x in (0.13, 0.34):
        knob = lathe([(tall * 0.11, 0.0), (tall * 0.1, 0.012), (0.0, 0.012)], 3, 16)
        face.append(knob.turned(front).moved(wide * x, -deep / 2, tall * 0.3))
    if kind == "portable":
        arc = np.array([[-0.46, 0], [-0.44, 0.2], [-0.36, 0.26], [0.36, 0.26], [0.44, 0.2], [0.46, 0]])
        path = np.stack([arc[:, 0] * wide, np.zeros(6), tall - 0.004 + arc[:, 1] * tall], 1)
        face.append(tube(path, 0.006, 1.3, 8).of_part(4))
    if kind != "retro" or draw.chance(0.3):
        reach, angle = draw.uniform(0.08, 0.2), draw.uniform(0.2, 1.2)
        mast = tube(np.array([[0, 0, 0], [0, 0, reach / 2], [0, 0, reach]]) @ rotation(1, angle).T, 0.0022, 1.0, 6)
        face.append(mast.moved(-wide * 0.44, deep * 0.3, tall - 0.002).of_part(5))
    dial = np.full((20, 60, 3), 0.88, np.float32)
    dial[8:14, 4:56:5] = 0.15
    dial[:, 33] = (0.8, 0.1, 0.1)
    wooden = kind != "portable" and draw.chance(0.5)
    outside = grain(draw.rng, draw.colour(brown=1, rest=0), 0.1) if wooden else plain(shell)
    metal = plain(np.full(3, draw.uniform(0.55, 0.75)))
    surface = Surface((outside, _grille(np.full(3, draw.uniform(0.2, 0.7)), (12, 8)), Skin(dial), metal,
                       plain(shell * 0.6), metal), 0.25)  # fmt: skip
    return Model("radio", merged([case, *face]).resting(), surface, "upright", "wood" if wooden else "plastic")


def camera(draw: Draw) -> Model:
    """A photo camera: body, hump or not, lens to the front."""
    wide, deep, tall = draw.uniform(0.1, 0.14), draw.uniform(0.03, 0.05), draw.uniform(0.06, 0.085)
    kind = draw.pick(("reflex", "compact", "reflex", "instant", "retro"))
    if kind == "instant":
        tall, deep = tall * 1.2, deep * 1.4
    body = pillar([(wide, deep, 0.0), (wide, deep, tall)], 0.01).of_part(0)
    pieces = [body]
    long = {"reflex": draw.uniform(0.05, 0.1), "compact": 0.018, "instant": 0.03, "retro": 0.03}[kind]
    r = tall * (0.38 if kind != "compact" else 0.3)
    lens = lathe([(r, 0.0), (r, long * 0.4), (r * 0.94, long * 0.42), (r * 0.94, long), (r * 0.8, long),
                  (r * 0.75, long - 0.006), (0.0, long - 0.009)], [1, 1, 1, 1, 1, 2], 24)  # fmt: skip
    pieces.append(lens.turned(rotation(0, np.pi / 2)).moved(0.06 * wide, -deep / 2, tall * 0.46))
    if kind == "reflex":
        hump = bar([(-0.2 * wide, 0, tall, deep * 0.4, 0.002), (-0.1 * wide, 0, tall + 0.006, deep * 0.48, 0.012),
                    (0.16 * wide, 0, tall + 0.006, deep * 0.48, 0.012), (0.26 * wide, 0, tall, deep * 0.4, 0.002)],
                   FLAT)  # fmt: skip
        pieces.append(hump.of_part(0))
        pieces.append(bar([(-wide * 0.5, -deep * 0.5, tall * 0.48, 0.012, tall * 0.45),
                           (-wide * 0.33, -deep * 0.5, tall * 0.48, 0.012, tall * 0.45)], SOFT, 50.0, 1))  # fmt: skip
    else:
        window = box((0.018, 0.002, 0.012)).of_part(2)
        pieces.append(window.moved(-wide * 0.3, -deep / 2 - 0.0005, tall * 0.76))
    button = lathe([(0.007, 0.0), (0.007, 0.005), (0.0, 0.005)], 3, 12)
    pieces += [button.moved(-wide * 0.36, 0, tall), button.scaled(1.3, 1.3, 1.2).moved(wide * 0.36, 0, tall)]
    shell = draw.colour(black=6, gray=1.5, white=0.7, red=0.7, rest=0.2)
    silver = plain(np.full(3, 0.65))
    leather = grain(draw.rng, np.full(3, 0.1), 0.2, 1, 32)
    skins = (leather if kind == "retro" else plain(shell), plain(np.full(3, 0.08)) if kind != "retro" else silver,
             plain((0.12, 0.14, 0.22)), silver)  # fmt: skip
    return Model("camera", merged(pieces).resting(), Surface(skins, 0.35, 0.05), "upright")
