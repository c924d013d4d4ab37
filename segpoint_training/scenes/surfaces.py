"""What an object's parts look like: plain colours and small painted textures, looked up at the points a ray hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from segpoint_training.scenes import colours


@dataclass(frozen=True)
class Skin:
    """A texture (h, w, 3) float32 of display colours in [0, 1]; v = 0 is its first row. It repeats beyond [0, 1]."""

    texture: np.ndarray
    repeat: tuple[float, float] = (1.0, 1.0)

    def colour(self, uv: np.ndarray) -> np.ndarray:
        """(n, 3) display colours at texture coordinates (n, 2)."""
        height, width = self.texture.shape[:2]
        if height * width == 1:
            return np.broadcast_to(self.texture[0, 0], (len(uv), 3))
        column = np.floor(uv[:, 0] * np.float32(self.repeat[0] * width)).astype(np.int32) % width
        row = np.floor(uv[:, 1] * np.float32(self.repeat[1] * height)).astype(np.int32) % height
        return self.texture.reshape(-1, 3)[row * width + column]


@dataclass(frozen=True)
class Surface:
    """The skins of an object's parts (part numbers beyond the last take the last) and how light leaves it."""

    skins: tuple[Skin, ...]
    gloss: float = 0.1  # strength of the highlight, 0 … 1
    dropout: float = 0.0  # chance that an infrared pattern sensor gets no answer from it (glass, metal, black)


def plain(rgb: Sequence[float] | np.ndarray) -> Skin:
    """One display colour all over."""
    return Skin(np.asarray(rgb, np.float32).reshape(1, 1, 3))


def grain(rng: np.random.Generator, rgb: np.ndarray, contrast: float = 0.12, stretch: float = 12.0, size: int = 96,
          repeat: tuple[float, float] = (1.0, 1.0)) -> Skin:  # fmt: skip
    """Wood-like: streaks along u; ``stretch`` 1 gives marble or brushed plaster."""
    noise = _smooth(rng.standard_normal((size, size), np.float32), 1.5, 1.5 * stretch)
    broad = _smooth(rng.standard_normal((size, size), np.float32), 5, 5 * stretch)
    noise = noise / max(float(noise.std()), 1e-9) + 0.6 * broad / max(float(broad.std()), 1e-9)
    noise *= contrast / 1.17
    tint = np.array([0.8, 1.0, 1.3], np.float32)  # darker streaks are warmer
    texture = np.asarray(rgb, np.float32) * (1 + noise[..., None] * tint)
    return Skin(np.clip(texture, 0, 1), repeat)


def _smooth(noise: np.ndarray, down: float, across: float) -> np.ndarray:
    """Blurred by about a Gaussian of these sigmas in pixels, wrapping round: two running means cost nothing."""
    for axis, sigma in ((0, down), (1, across)):
        window = min(max(int(round(sigma * 2.45)), 1), noise.shape[axis])
        for _ in range(2):
            noise = uniform_filter1d(noise, window, axis, mode="wrap")
    return noise


def cloth(rng: np.random.Generator, rgb: np.ndarray, second: np.ndarray, repeat: tuple[float, float]) -> Skin:
    """Woven checks, stripes or dots that repeat."""
    size = 32
    y, x = np.mgrid[:size, :size] / size
    kind = rng.integers(3)
    if kind == 0:
        mix = ((x < 0.5).astype(float) + (y < 0.5)) / 2
    elif kind == 1:
        mix = ((x % 0.5) < rng.uniform(0.1, 0.25)).astype(float)
    else:
        mix = (np.hypot(x - 0.5, y - 0.5) < rng.uniform(0.15, 0.3)).astype(float)
    texture = rgb + (second - rgb) * mix[..., None]
    return Skin(texture.astype(np.float32), repeat)


def banded(rng: np.random.Generator, rgb: np.ndarray, second: np.ndarray, count: int) -> Skin:
    """One colour with ``count`` bands of a second round the object."""
    texture = np.tile(np.asarray(rgb, np.float32), (64, 1, 1))
    for _ in range(count):
        start, height = rng.integers(2, 56), rng.integers(2, 12)
        texture[start : start + height] = second
    return Skin(texture)


def printed(rng: np.random.Generator, base: np.ndarray, busy: float = 1.0, size: int = 96,
            accents: Sequence[np.ndarray] | None = None) -> Skin:  # fmt: skip
    """Packaging: a base colour with bands, panels, a logo, a picture and lines of text. ``busy`` scales how many."""
    texture = np.empty((size, size, 3), np.float32)
    texture[:] = base
    texture *= np.linspace(1 + rng.uniform(-0.1, 0.1), 1, size, dtype=np.float32)[:, None, None]
    accents = list(accents) if accents is not None else accent_colours(rng)
    for _ in range(rng.poisson(0.8 * busy)):  # bands across
        row, height = rng.integers(size), rng.integers(size // 24, size // 6)
        texture[row : row + height] = any_ink(rng, accents)
    for _ in range(rng.poisson(0.6 * busy)):
        _picture(rng, texture, accents)
    for _ in range(rng.poisson(1.2 * busy)):  # logos
        _ellipse(rng, texture, any_ink(rng, accents))
    for _ in range(rng.poisson(1.5 * busy)):  # panels with text
        _panel(rng, texture, accents)
    _title(rng, texture, accents)
    return Skin(np.clip(texture, 0, 1))


def accent_colours(rng: np.random.Generator) -> list[np.ndarray]:
    """The ink colours that one package shares over its faces."""
    names = ["white", "black", *rng.choice(colours.NAMES[:8], rng.integers(1, 5), replace=False)]
    return [colours.draw(rng, str(name)) for name in names]


def any_ink(rng: np.random.Generator, inks: Sequence[np.ndarray]) -> np.ndarray:
    """One of the inks, a display colour (3,)."""
    return inks[int(rng.integers(len(inks)))]


def _panel(rng: np.random.Generator, texture: np.ndarray, accents: Sequence[np.ndarray]) -> None:
    size = len(texture)
    height, width = rng.integers(size // 10, size // 3, 2)
    row, column = rng.integers(0, size - height), rng.integers(0, size - width)
    patch = texture[row : row + height, column : column + width]
    if rng.random() < 0.6:
        patch[:] = any_ink(rng, accents)
    ink = any_ink(rng, accents)
    for line in range(2, height - 2, 4):  # lines of text: broken strokes one texel high
        letters = rng.random(width) < 0.6
        letters[int(width * rng.uniform(0.5, 1.0)) :] = False
        patch[line, letters] = ink


def _title(rng: np.random.Generator, texture: np.ndarray, accents: Sequence[np.ndarray]) -> None:
    size = len(texture)
    height, width = rng.integers(size // 10, size // 5), rng.integers(size // 2, int(size * 0.9))
    row, column = rng.integers(0, size - height), rng.integers(0, size - width)
    ink = any_ink(rng, accents)
    letter = max(height // 2, 3)
    for start in range(column, column + width - letter, letter + 2):
        mask = rng.random((3, 2)) < 0.75  # a blocky glyph
        glyph = np.repeat(np.repeat(mask, -(-height // 3), 0), -(-letter // 2), 1)[:height, :letter]
        texture[row : row + height, start : start + letter][glyph] = ink


def _ellipse(rng: np.random.Generator, texture: np.ndarray, ink: np.ndarray) -> None:
    size = len(texture)
    y, x = np.ogrid[:size, :size]
    ry, rx = rng.uniform(0.06, 0.22, 2) * size
    texture[((y - rng.uniform(0.2, 0.8) * size) / ry) ** 2 + ((x - rng.uniform(0.2, 0.8) * size) / rx) ** 2 < 1] = ink


def _picture(rng: np.random.Generator, texture: np.ndarray, accents: Sequence[np.ndarray]) -> None:
    """A photograph's blotches: smooth noise between two inks."""
    size = len(texture)
    height, width = rng.integers(size // 4, size // 2, 2)
    row, column = rng.integers(0, size - height), rng.integers(0, size - width)
    noise = _smooth(rng.standard_normal((height, width), np.float32), size / 24, size / 24)
    mix = np.clip(noise / max(float(noise.std()), 1e-9) * 0.4 + 0.5, 0, 1)[..., None]
    first, second = any_ink(rng, accents), any_ink(rng, accents)
    patch = texture[row : row + height, column : column + width]
    patch[:] = first + (second - first) * mix
    patch[mix[..., 0] > 0.85] = any_ink(rng, accents)
