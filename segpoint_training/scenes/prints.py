"""Printed fronts laid out as shops' packages are: a brand, a picture of what is inside, a badge, small print."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.surfaces import Skin, accent_colours, any_ink


def front(rng: np.random.Generator, base: np.ndarray, inks: Sequence[np.ndarray] | None = None, size: int = 96,
          repeat: tuple[float, float] = (1.0, 1.0)) -> Skin:  # fmt: skip
    """A package's front, its brand up (v = 1). ``inks`` are the colours it shares with its other faces."""
    inks = list(inks) if inks is not None else accent_colours(rng)
    picture = np.empty((size, size, 3), np.float32)  # its first row is the top until it is turned round at the end
    picture[:] = base
    y, x = np.mgrid[:size, :size] / size
    if rng.random() < 0.6:  # a field of another colour below a bow, a slope or a straight edge
        edge = rng.uniform(0.3, 0.75) + rng.uniform(-0.3, 0.3) * (x - 0.5) + rng.uniform(-0.5, 0.5) * (x - 0.5) ** 2
        picture[y > edge] = any_ink(rng, inks)
    if rng.random() < 0.25:
        picture[:, : int(size * rng.uniform(0.06, 0.2))] = any_ink(rng, inks)
    if rng.random() < 0.75:
        _contents(rng, picture, rng.uniform(0.55, 0.72))
    brand = rng.uniform(0.12, 0.35)
    ground, letters = any_ink(rng, inks), any_ink(rng, inks)
    half = rng.uniform(0.3, 0.46)
    tall = rng.uniform(0.07, 0.15)
    kind = rng.integers(3)
    if kind == 0:
        picture[np.hypot((x - 0.5) / half, (y - brand) / (1.3 * tall)) < 1] = ground
    elif kind == 1:
        picture[(np.abs(x - 0.5) < half) & (np.abs(y - brand) < tall)] = ground
    if np.abs(letters - ground).max() < 0.2:
        letters = 1.0 - np.round(ground)
    write(rng, picture, (brand - 0.6 * tall, brand + 0.6 * tall), (0.5 - 0.85 * half, 0.5 + 0.85 * half), letters)
    if rng.random() < 0.5:  # the second line
        low = brand + 1.35 * tall
        write(rng, picture, (low, low + 0.06), (0.5 - 0.6 * half, 0.5 + 0.6 * half), any_ink(rng, inks))
    if rng.random() < 0.5:  # a badge in a corner
        spot = rng.choice((0.17, 0.83)), rng.choice((0.45, 0.85))
        picture[np.hypot(x - spot[0], y - spot[1]) < rng.uniform(0.07, 0.12)] = any_ink(rng, inks)
    for line in np.arange(0.88, 0.97, 0.03):
        if rng.random() < 0.6:
            write(rng, picture, (line, line + 0.015), (0.1, rng.uniform(0.4, 0.9)), any_ink(rng, inks))
    return Skin(np.ascontiguousarray(np.clip(picture[::-1], 0, 1)), repeat)


def text_page(rng: np.random.Generator, paper: np.ndarray, size: int = 96) -> Skin:
    """A book's page: a heading, lines of words, now and then a picture."""
    page = np.empty((size, size, 3), np.float32)
    page[:] = paper
    ink = paper * rng.uniform(0.15, 0.4)
    if rng.random() < 0.5:
        write(rng, page, (0.07, 0.13), (0.12, rng.uniform(0.4, 0.8)), ink)
    picture = rng.uniform(0.2, 0.6) if rng.random() < 0.4 else 2.0
    for line in np.arange(0.18, 0.93, 0.035):
        if not picture < line < picture + 0.3:
            write(rng, page, (line, line + 0.012), (0.12, 0.88 if rng.random() < 0.85 else 0.5), ink)
    if picture < 1:
        _contents(rng, page, picture + 0.15)
    return Skin(np.ascontiguousarray(np.clip(page[::-1], 0, 1)))


def write(rng: np.random.Generator, picture: np.ndarray, rows: tuple[float, float], columns: tuple[float, float],
          ink: np.ndarray) -> None:  # fmt: skip
    """Letters that fill a strip, given in fractions of the picture; a letter is some of 3 × 2 blocks."""
    size = len(picture)
    top, bottom = int(rows[0] * size), max(int(rows[1] * size), int(rows[0] * size) + 1)
    left, right = max(int(columns[0] * size), 0), min(int(columns[1] * size), size)
    height = bottom - top
    wide = max(int(height * 0.6), 2)
    if top < 0 or bottom > size:
        return
    for start in range(left, right - wide + 1, wide + max(height // 6, 1)):
        if rng.random() < 0.12:
            continue  # between words
        glyph = np.repeat(np.repeat(rng.random((3, 2)) < 0.75, -(-height // 3), 0), -(-wide // 2), 1)[:height, :wide]
        picture[top:bottom, start : start + wide][glyph] = ink


def _contents(rng: np.random.Generator, picture: np.ndarray, row: float) -> None:
    """What is inside: a heap of round things, or one large one on a plate."""
    size = len(picture)
    y, x = np.ogrid[:size, :size]
    y, x = y / size, x / size
    tone = colours.from_hsv(rng.uniform(-10, 130), rng.uniform(0.4, 0.9), rng.uniform(0.5, 0.95))
    middle = rng.uniform(0.35, 0.65)
    if rng.random() < 0.5:
        picture[((x - middle) / 0.36) ** 2 + ((y - row) / 0.2) ** 2 < 1] = rng.uniform(0.8, 1.0)
    for _ in range(int(rng.integers(1, 14))):
        centre = np.array([middle, row]) + rng.normal(0, 1, 2) * (0.15, 0.06)
        radius = rng.uniform(0.04, 0.13)
        distance = np.sqrt((x - centre[0]) ** 2 + ((y - centre[1]) * rng.uniform(1, 1.5)) ** 2)
        picture[distance < radius] = tone * rng.uniform(0.6, 1.1)
        picture[distance < radius * 0.45] = tone * rng.uniform(0.7, 1.25)
