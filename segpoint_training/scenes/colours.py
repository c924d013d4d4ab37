"""The colours people name: drawing one for a surface, and naming what a camera saw."""

from __future__ import annotations

import numpy as np

NAMES = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "gray", "black")

# Hue (degrees), saturation and value ranges of display colours that most people call by the name. They lie well
# inside the regions of `name_indices`, so lighting and camera rarely push a surface over a border.
_RANGES = {
    "red": ((-9, 7), (0.68, 0.95), (0.50, 0.88)),
    "orange": ((17, 30), (0.75, 1.00), (0.85, 1.00)),
    "yellow": ((46, 58), (0.33, 0.95), (0.80, 0.98)),
    "green": ((85, 155), (0.40, 0.90), (0.30, 0.75)),
    "blue": ((202, 236), (0.50, 0.95), (0.38, 0.90)),
    "purple": ((264, 292), (0.40, 0.80), (0.35, 0.72)),
    "pink": ((325, 350), (0.25, 0.50), (0.85, 1.00)),
    "brown": ((14, 32), (0.48, 0.75), (0.28, 0.52)),
    "white": ((30, 60), (0.00, 0.06), (0.88, 1.00)),
    "gray": ((180, 240), (0.00, 0.08), (0.36, 0.62)),
    "black": ((0, 360), (0.00, 0.25), (0.05, 0.16)),
}
# Names that one surface may carry in different lights: a mismatch inside a pair is no mismatch.
_NEIGHBOURS = {
    frozenset(pair)
    for pair in (
        ("red", "orange"), ("red", "pink"), ("red", "brown"), ("orange", "brown"), ("orange", "yellow"),
        ("yellow", "brown"), ("white", "gray"), ("gray", "black"), ("purple", "blue"), ("purple", "pink"),
        ("yellow", "white"), ("brown", "black"),
    )
}  # fmt: skip


def draw(rng: np.random.Generator, name: str) -> np.ndarray:
    """A display colour, (3,) float32 in [0, 1], that people call ``name`` (one of NAMES)."""
    hue, saturation, value = (rng.uniform(low, high) for low, high in _RANGES[name])
    return from_hsv(hue, saturation, value)


def from_hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """(3,) float32 RGB in [0, 1] of a hue in degrees and a saturation and value in [0, 1]."""
    offset = (np.array([5.0, 3.0, 1.0]) + hue / 60.0) % 6.0
    return (value - value * saturation * np.clip(np.minimum(offset, 4.0 - offset), 0.0, 1.0)).astype(np.float32)


def name_indices(rgb: np.ndarray) -> np.ndarray:
    """(n,) index into NAMES of each display colour (n, 3) in [0, 1]; −1 where no single name fits (beige, teal)."""
    rgb = np.asarray(rgb, np.float32)
    red, green, blue = rgb.T
    value = rgb.max(1)
    chroma = value - rgb.min(1)
    saturation = chroma / np.maximum(value, 1e-6)
    span = np.maximum(chroma, 1e-6)
    hue = np.where(value == red, (green - blue) / span % 6.0,
                   np.where(value == green, (blue - red) / span + 2.0, (red - green) / span + 4.0)) * 60.0  # fmt: skip
    warm, strong = (hue >= 11) & (hue < 41), saturation > 0.6
    rules = [  # the first that holds decides
        (value < 0.19, "black"),
        ((saturation < 0.13) & (value > 0.74), "white"),
        (saturation < 0.15, "gray"),
        ((value < 0.3) & (saturation < 0.3), "black"),
        (((hue < 11) | (hue >= 318)) & (saturation < 0.55) & (value > 0.65), "pink"),
        ((hue < 11) | (hue >= 345), "red"),
        (warm & strong & (value > 0.7), "orange"),
        (warm & ((value <= 0.7) & (saturation > 0.25) | (saturation > 0.35) & (value < 0.8)), "brown"),
        (warm, ""),
        ((hue >= 41) & (hue < 68) & (value > 0.5) & (saturation > 0.25), "yellow"),
        ((hue >= 41) & (hue < 55) & (value <= 0.5), "brown"),
        ((hue >= 41) & (hue < 68) & (value > 0.5), ""),
        ((hue >= 41) & (hue < 168), "green"),
        ((hue >= 168) & (hue < 188), ""),
        ((hue >= 188) & (hue < 256), "blue"),
        ((hue >= 256) & (hue < 306), "purple"),
        (value > 0.5, "pink"),
    ]
    indices = [NAMES.index(name) if name else -1 for _, name in rules]
    return np.select([rule for rule, _ in rules], indices, NAMES.index("purple"))


def dominant_name(surface: np.ndarray, seen: np.ndarray) -> str:
    """The one colour a person would name an object by, or "" where none dominates.

    ``surface`` and ``seen`` are its visible points' display colours, (n, 3) in [0, 1], before and after light and
    camera. We chose: the name covers half of the visible surface (white, gray and black count less than colours,
    as people speak of "the red box" although its print is partly white), no other comes near it, and the camera
    shows the same colour or one next to it.
    """
    names = name_indices(surface)
    weight = np.bincount(names + 1, minlength=len(NAMES) + 1)[1:].astype(float)
    weight[-3:] *= 0.7
    first, second = np.argsort(weight)[::-1][:2]
    if weight[first] < 0.42 * len(surface) or weight[second] > 0.6 * weight[first]:
        return ""
    shown = int(name_indices(np.median(seen[names == first], 0)[None])[0])
    same = shown == first or (shown >= 0 and frozenset((NAMES[first], NAMES[shown])) in _NEIGHBOURS)
    return NAMES[first] if same else ""
