"""Balls, fruit and what lies on a desk."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.model import Draw, Model, rectangle
from segpoint_training.scenes.shapes import Mesh, box, lathe, merged, prism, rotation, rounded_rectangle, tube
from segpoint_training.scenes.surfaces import Skin, Surface, cloth, grain, plain, printed


def _spheroid(radius: float, height: float, dimple: float = 0.0, shoulder: float = 0.0, steps: int = 13) -> Mesh:
    """A round body; ``dimple`` sinks its poles (apple), ``shoulder`` moves its widest part up."""
    t = np.linspace(-np.pi / 2, np.pi / 2, steps)
    r = radius * np.cos(t) * (1 + shoulder * np.sin(t))
    z = height / 2 * (1 + np.sin(t)) - dimple * height * np.sign(t) * np.exp(-((np.cos(t) / 0.35) ** 2))
    r[[0, -1]] = 0.0
    return lathe(list(zip(r.tolist(), z.tolist(), strict=True)), 0, 24)


def _tumbled(draw: Draw, mesh: Mesh) -> Mesh:
    turn = rotation(2, draw.uniform(0, 6.28)) @ rotation(0, draw.uniform(0, 6.28)) @ rotation(1, draw.uniform(0, 6.28))
    return mesh.turned(turn).resting()


def ball(draw: Draw) -> Model:
    """A ball for play or sports, turned anyhow."""
    kind = draw.pick(("plain", "tennis", "panels", "stripes", "plain", "basket", "football", "baseball", "dots"))
    radius = {"tennis": draw.uniform(0.03, 0.035), "baseball": 0.037, "basket": draw.uniform(0.05, 0.12),
              "football": draw.uniform(0.05, 0.11)}.get(kind, draw.uniform(0.02, 0.09))  # fmt: skip
    mesh = _tumbled(draw, _spheroid(radius, 2 * radius, steps=15))
    base = draw.colour(brown=0.3, gray=0.3)
    if kind == "tennis":
        skin = grain(draw.rng, colours.from_hsv(draw.uniform(62, 72), 0.7, 0.85), 0.06, 1)
    elif kind == "plain":
        skin = plain(base)
    elif kind in ("basket", "football", "baseball"):
        skin = _sports_skin(draw, kind)
    elif kind == "panels":
        y, x = np.mgrid[:48, :48]
        odd = ((x // 8 + y // 12) % 2).astype(bool) if draw.chance(0.5) else (x // 8) % 2 == 0
        skin = Skin(np.where(odd[..., None], base, draw.colour(white=4, black=3)).astype(np.float32))
    else:
        skin = cloth(draw.rng, base, draw.colour(white=3), (4, 2))
    return Model("ball", mesh, Surface((skin,), draw.uniform(0.05, 0.4)), "upright", draw.one_of(("rubber", "plastic")))


def _sports_skin(draw: Draw, kind: str) -> Skin:
    """u round the ball, v from pole to pole."""
    v, u = (np.mgrid[:64, :128].T / (64, 128)).T
    if kind == "basket":
        texture = np.tile(colours.from_hsv(draw.uniform(16, 26), 0.8, draw.uniform(0.6, 0.85)), (64, 128, 1))
        bow = 0.5 + 0.22 * np.cos(4 * np.pi * u)
        lines = (np.abs(v - 0.5) < 0.015) | (np.abs((u * 4) % 1 - 0.5) > 0.47) | (np.abs(v - bow) < 0.015)
        texture[lines] = 0.08
    elif kind == "baseball":
        texture = np.full((64, 128, 3), 0.92)
        seam = np.abs(v - 0.5 - 0.27 * np.sin(4 * np.pi * u))
        texture[(seam < 0.05) & ((u * 60) % 1 < 0.5)] = (0.75, 0.1, 0.1)
    else:
        texture = np.full((64, 128, 3), 0.93)
        for row, column in [(0.5 + 0.26 * (k % 3 - 1), k // 3 / 5 + 0.1 * (k % 3 != 1)) for k in range(15)]:
            aside = np.abs((u - column + 0.5) % 1 - 0.5) * 2 * np.sin(np.pi * row)
            texture[np.hypot(v - row, aside) < 0.095] = draw.rng.uniform(0.04, 0.1)
        texture[(v < 0.06) | (v > 0.94)] = 0.06
    return Skin(texture.astype(np.float32))


def banana(draw: Draw) -> Model:
    """A banana on its side."""
    length, thick = draw.uniform(0.15, 0.21), draw.uniform(0.016, 0.02)
    bend = draw.pick((0.9, 1.2, 1.5, 0.7))
    t = np.linspace(-0.5, 0.5, 13)
    radius = length / bend
    path = np.stack([radius * np.sin(bend * t), np.zeros(13), radius * (1 - np.cos(bend * t))], 1)
    swell = np.array([0.0, 0.28, 0.34, 0.7, 0.9, 0.98, 1.0, 1.0, 0.98, 0.9, 0.7, 0.4, 0.0]) * thick
    body = tube(path, swell, 0.92, 8).turned(rotation(0, np.pi / 2)).resting()
    ripe = colours.from_hsv(draw.uniform(48, 58), draw.uniform(0.65, 0.9), draw.uniform(0.8, 0.97))
    texture = np.tile(ripe, (48, 32, 1))
    texture[:4] *= 0.35
    texture[4:9] *= (0.85, 0.95, 0.6)
    texture[-2:] *= 0.3
    spots = draw.rng.random((48, 32)) < draw.uniform(0, 0.05)
    texture[spots] *= 0.5
    return Model("banana", body, Surface((Skin(texture.astype(np.float32)),), 0.15), "lying", "")


def apple(draw: Draw) -> Model:
    """An apple, upright or tilted."""
    radius = draw.uniform(0.033, 0.044)
    shoulder = draw.pick((0.1, 0.16, 0.06, 0.22))
    height = 2 * radius * draw.uniform(0.85, 0.98)
    body = _spheroid(radius, height, 0.1, shoulder)
    stem = tube(np.array([[0, 0, height * 0.82], [0.001, 0, height], [0.004, 0, height * 1.1]]), 0.0016, 1.0, 5)
    mesh = merged([body, stem.of_part(1)])
    name = draw.one_of(("red", "red", "green", "yellow"))
    flesh = colours.draw(draw.rng, name)
    if name == "green":
        flesh = colours.from_hsv(draw.uniform(72, 95), draw.uniform(0.5, 0.75), draw.uniform(0.6, 0.82))
    mesh = mesh.resting() if draw.chance(0.7) else mesh.turned(rotation(0, draw.uniform(0.3, 1.5))).resting()
    skin = grain(draw.rng, flesh, draw.uniform(0.03, 0.12), 0.3, 64)
    return Model("apple", mesh, Surface((skin, plain((0.25, 0.18, 0.1))), 0.35), "upright")


def orange(draw: Draw) -> Model:
    """An orange."""
    radius = draw.uniform(0.032, 0.045)
    mesh = _spheroid(radius, 2 * radius * draw.pick((0.95, 0.98, 1.0, 0.85)), 0.03)
    peel = colours.from_hsv(draw.uniform(22, 32), draw.uniform(0.82, 1.0), draw.uniform(0.85, 1.0))
    return Model("orange", _tumbled(draw, mesh), Surface((grain(draw.rng, peel, 0.04, 1),), 0.25))


def lemon(draw: Draw) -> Model:
    """A lemon, now and then a lime."""
    radius, length = draw.uniform(0.024, 0.03), draw.uniform(0.065, 0.085)
    tip = draw.pick((0.2, 0.25, 0.3, 0.15))
    profile = [(0.0, 0.0), (tip * radius, 0.03), (0.32 * radius, 0.1), (0.75 * radius, 0.25), (radius, 0.5),
               (0.75 * radius, 0.75), (0.32 * radius, 0.9), (tip * radius, 0.97), (0.0, 1.0)]  # fmt: skip
    mesh = lathe([(r, z * length) for r, z in profile], 0, 20)
    lime = draw.chance(0.2)
    hue = draw.uniform(85, 100) if lime else draw.uniform(51, 57)
    peel = colours.from_hsv(hue, draw.uniform(0.7, 0.9), 0.5 if lime else draw.uniform(0.88, 0.98))
    mesh = mesh.turned(rotation(1, np.pi / 2)).resting()
    return Model("lemon", mesh, Surface((grain(draw.rng, peel, 0.04, 1),), 0.25), "lying")


def _keys(draw: Draw, board: np.ndarray, key: np.ndarray, columns: int, rows: int) -> Skin:
    """A field of keys: caps on a board, a texel of gap between them."""
    texture = np.tile(np.asarray(board, np.float32), (rows * 6, columns * 6, 1))
    y, x = np.mgrid[: rows * 6, : columns * 6]
    caps = (y % 6 > 0) & (x % 6 > 0)
    texture[caps] = key
    texture[caps & (y % 6 == 3) & (draw.rng.random(y.shape) < 0.35)] = 1.0 - np.round(key.mean())
    texture[1:5, columns * 2 : columns * 4] = key  # the space bar
    return Skin(texture)


def laptop(draw: Draw) -> Model:
    """A laptop, open with its screen to −y; held out: closed."""
    length, width, base = draw.uniform(0.28, 0.36), draw.uniform(0.2, 0.25), draw.uniform(0.014, 0.024)
    case = draw.one_of((draw.colour(gray=4, black=4, white=1, rest=0.1), np.full(3, draw.uniform(0.6, 0.75))))
    dark = np.full(3, draw.uniform(0.06, 0.14))
    outline = rounded_rectangle(length, width, 0.012)
    body = prism(outline, base, smooth=True)
    if draw.pick((False, False, False, True)):  # closed
        mesh = merged([body.of_part(0), prism(outline, 0.007, smooth=True).turned(np.eye(3), (0, 0, base)).of_part(0)])
        surface = Surface((plain(case),), 0.3, 0.05)
        return Model("laptop", mesh, surface, "lying", "metal", top=(base + 0.007, rectangle(length, width)))
    keys = box((length * 0.9, width * 0.5, 0.001), (0, width * 0.14, base)).of_part(1)
    pad = box((length * 0.3, width * 0.25, 0.0006), (0, -width * 0.3, base)).of_part(3)
    lid = prism(rounded_rectangle(length, width * 0.95, 0.01), 0.006).of_part(0)
    screen = box((length * 0.95, width * 0.86, 0.0005), (0, 0, 0.006)).of_part(2)
    # lid's frame: lying open flat behind the hinge, screen up; then swung up about the hinge
    panel = merged([lid, screen]).turned(np.eye(3), (0, width * 0.475, 0))
    swing = rotation(0, np.pi - np.radians(draw.uniform(85, 125)))
    mesh = merged([body.of_part(0), keys, pad, panel.turned(swing, (0, width / 2 - 0.004, base))])
    light = printed(draw.rng, draw.colour(blue=3, white=3, black=3), 0.8) if draw.chance(0.5) else plain(dark)
    skins = (plain(case), _keys(draw, case * 0.8, dark, 14, 5), light, plain(case * 0.85))
    return Model("laptop", mesh.resting(), Surface(skins, 0.3, 0.06), "upright", "metal")


def phone(draw: Draw) -> Model:
    """A phone, flat: dark, lit or face down."""
    length, width, thick = draw.uniform(0.13, 0.165), draw.uniform(0.065, 0.08), draw.uniform(0.008, 0.014)
    case = draw.colour(black=5, white=2, gray=1.5)
    body = prism(rounded_rectangle(length, width, 0.011), thick, smooth=True)
    black = np.full(3, draw.uniform(0.03, 0.1))
    face = draw.pick(("off", "on", "off", "back"))
    top = plain(case if face == "back" else black)
    if face == "on":
        top = printed(draw.rng, draw.colour(blue=3, black=3, white=3), 1.0, 64)
    surface = Surface((plain(case), top, plain(case)), 0.7, 0.15)
    return Model("phone", body, surface, "lying", "glass", top=(thick, rectangle(length, width)))


def remote(draw: Draw) -> Model:
    """A remote control, flat."""
    length, width, thick = draw.uniform(0.14, 0.23), draw.uniform(0.036, 0.055), draw.uniform(0.016, 0.026)
    case = draw.colour(black=8, gray=3, white=2, rest=0.0)
    body = prism(rounded_rectangle(length, width, draw.pick((0.005, 0.01, 0.016, 0.024))), thick, smooth=True)
    texture = np.tile(case, (16, 64, 1))
    for column in range(5, 56, 5):
        ink = draw.colour() if draw.chance(0.2) else np.full(3, 0.8 if case.mean() < 0.5 else 0.25)
        for row in (3, 7, 11):
            texture[row : row + 2, column : column + 3] = ink
    surface = Surface((plain(case), Skin(texture.astype(np.float32)), plain(case)), 0.15, 0.1)
    return Model("remote", body, surface, "lying", "plastic")


def keyboard(draw: Draw) -> Model:
    """A keyboard whose user sits at −y."""
    columns = draw.pick((20, 15, 20, 13))
    length, width, thick = columns * 0.0215, draw.uniform(0.12, 0.16), draw.uniform(0.015, 0.026)
    board = draw.colour(black=6, white=3, gray=2, rest=0.0)
    key = board if draw.chance(0.5) else draw.colour(black=3, white=3, gray=1, rest=0.0)
    body = prism(rounded_rectangle(length, width, 0.008), thick, smooth=True).of_part(0)
    field = box((length * 0.96, width * 0.85, 0.005), (0, 0, thick)).of_part(1)
    surface = Surface((plain(board), _keys(draw, board * 0.8, key, columns, 6)), 0.1, 0.1)
    return Model("keyboard", merged([body, field]), surface, "lying", "plastic")


def mouse(draw: Draw) -> Model:
    """A computer mouse, with a cable or without."""
    length, width, height = draw.uniform(0.095, 0.125), draw.uniform(0.055, 0.068), draw.uniform(0.03, 0.042)
    hump = draw.pick((0.25, 0.0, 0.4, -0.2))
    half = [(0.0, 0.0), (0.97, 0.0), (1.0, 0.25), (0.93, 0.55), (0.72, 0.82), (0.4, 0.97), (0.0, 1.0)]
    dome = lathe(half, 0, 24)
    x, y, z = dome.vertices.T
    lift = z * (1 - 0.35 * (x + 1) * (0.5 + hump) / 2)
    vertices = np.stack([x * length / 2, y * width / 2, lift * height], 1).astype(np.float32)
    normals = dome.normals / np.array([length, width, 2 * height], np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    case = draw.colour(black=6, white=3, gray=3)
    mesh = Mesh(vertices, normals.astype(np.float32), dome.uv, dome.faces, dome.part)
    # u runs round from the nose, v from below to the top: the gap between the buttons, and darker flanks
    texture = np.tile(case, (40, 64, 1)).astype(np.float32)
    texture[20:, :1] = texture[20:, -1:] = case * 0.3 + 0.02
    texture[30:32, :16] = texture[30:32, -16:] = case * 0.3 + 0.02
    if draw.chance(0.4):
        texture[:20] = draw.colour(black=5, gray=2, rest=0.3)
    front = np.abs(vertices[:, 1]) < width * 0.15
    high = float(vertices[front & (np.abs(vertices[:, 0] - length * 0.28) < length * 0.12),
                          2].max(initial=height * 0.7))  # fmt: skip
    wheel = lathe([(0.0, -0.003), (0.008, -0.003), (0.008, 0.003), (0.0, 0.003)], 1, 14).turned(rotation(0, np.pi / 2))
    pieces = [mesh, wheel.moved(length * 0.28, 0, high - 0.006)]
    if draw.chance(0.4):  # its cable
        end = draw.uniform(0.04, 0.1)
        cable = np.array([[0, 0, 0.006], [end * 0.4, 0, 0.004], [end, 0, 0.002]])
        pieces.append(tube(cable, 0.002, 1.0, 6).moved(x=length * 0.48).of_part(1))
    surface = Surface((Skin(texture), plain((0.12, 0.12, 0.12))), 0.3)
    return Model("mouse", merged(pieces).resting(), surface, "upright", "plastic")


def lamp(draw: Draw) -> Model:
    """A small table lamp: foot, stem and shade; or a desk lamp on a jointed arm."""
    kind = draw.pick(("shade", "shade", "shade", "arm", "ball"))
    if kind == "arm":
        return _desk_lamp(draw)
    foot, height = draw.uniform(0.05, 0.08), draw.uniform(0.24, 0.38)
    low, high = draw.uniform(0.08, 0.12), draw.uniform(0.05, 0.085)
    if draw.pick((False, False, True, True)):
        low = high
    tall = height * draw.uniform(0.4, 0.55)
    stand = [(0.0, 0.0), (foot, 0.0), (foot, 0.015), (0.012, 0.025), (0.01, height - tall * 0.5), (0.0, height)]
    shade = lathe([(low, height - tall), (high, height), (high - 0.003, height), (low - 0.003, height - tall)], 1)
    if kind == "ball":
        shade = _spheroid(low * 0.9, 1.8 * low).of_part(1).moved(z=height - tall)
    mesh = merged([lathe(stand, 0), shade])
    skins = (plain(draw.colour(black=2, brown=2, white=2)), plain(draw.colour(white=5, red=1.5, rest=0.4)))
    return Model("lamp", mesh, Surface(skins, 0.2), "upright")


def _desk_lamp(draw: Draw) -> Model:
    foot, first, second = draw.uniform(0.06, 0.085), draw.uniform(0.16, 0.22), draw.uniform(0.14, 0.2)
    base = lathe([(0.0, 0.0), (foot, 0.0), (foot, 0.014), (0.02, 0.02), (0.0, 0.02)], 0, 26)
    lean, fold = np.radians(draw.uniform(-35, -5)), np.radians(draw.uniform(20, 70))
    knee = np.array([np.sin(lean), 0, np.cos(lean)]) * first + (0, 0, 0.015)
    head = knee + np.array([np.sin(fold), 0, np.cos(fold)]) * second
    arms = [tube(np.linspace(a, b, 3), 0.006, 1.0, 8) for a, b in (((0, 0, 0.015), knee), (knee, head))]
    joint = _spheroid(0.011, 0.022).moved(*(knee - (0, 0, 0.011)))
    radius = draw.uniform(0.045, 0.065)
    cone = lathe([(0.012, 0.0), (0.022, -0.02), (radius, -0.085), (radius - 0.003, -0.085), (0.018, -0.02),
                  (0.0, -0.012)][::-1], 1, 24)  # fmt: skip
    shade = cone.turned(rotation(1, draw.uniform(-0.7, -0.1)), head)
    tone = draw.colour(black=3, white=3, gray=2, red=1.5)
    skins = (plain(tone if draw.chance(0.6) else np.full(3, 0.6)), plain(tone))
    return Model("lamp", merged([base, *arms, joint, shade]).resting(), Surface(skins, 0.4), "upright", "metal")
