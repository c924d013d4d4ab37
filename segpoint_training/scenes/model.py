"""One object before it is placed, and the draws that make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.shapes import Mesh, rotation
from segpoint_training.scenes.surfaces import Surface

Option = TypeVar("Option")


@dataclass(frozen=True)
class Model:
    """An object standing centred on z = 0 in its own frame (metres, z up)."""

    category: str
    mesh: Mesh
    surface: Surface
    pose: str = "upright"  # "upright", "lying" or "upside down"
    material: str = ""
    printed: bool = False
    top: tuple[float, np.ndarray] | None = None  # height and convex outline (k, 2) of what can be stood upon
    clear: bool = False  # see-through: no colour name fits
    walled: bool = False  # its top has a rim: what stands there must lie wholly inside
    cavity: np.ndarray | None = None  # (n, 2) inside profile, radius and height, radius ascending; things lie in it
    shelves: tuple[tuple[float, float, np.ndarray], ...] = ()  # height, clearance above, convex outline (k, 2)


@dataclass(frozen=True)
class Draw:
    """The random choices of one object instance. Only ``split`` "train" goes without the variants kept from it."""

    rng: np.random.Generator
    split: str

    def uniform(self, low: float, high: float) -> float:
        """A number between two."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Option]) -> Option:
        """One of the options; the last never occurs in the split "train"."""
        held_out = self.split != "train" and self.chance(0.5)
        return options[-1] if held_out else options[int(self.rng.integers(len(options) - 1))]

    def one_of(self, options: Sequence[Option]) -> Option:
        """One of the options, in every split."""
        return options[int(self.rng.integers(len(options)))]

    def colour(self, **weights: float) -> np.ndarray:
        """A display colour (3,); every name weighs 1 unless said otherwise (``rest`` sets the others' weight)."""
        rest = weights.pop("rest", 1.0)
        weight = np.array([weights.get(name, rest) for name in colours.NAMES])
        return colours.draw(self.rng, str(self.rng.choice(colours.NAMES, p=weight / weight.sum())))


def disc(radius: float) -> np.ndarray:
    """(12, 2) outline, counter-clockwise, of a round top."""
    angle = np.arange(12) * (2 * np.pi / 12)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def rectangle(length: float, width: float) -> np.ndarray:
    """(4, 2) outline, counter-clockwise, of a rectangular top."""
    return np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (length / 2, width / 2)


def laid_down(mesh: Mesh, roll: float = 0.0, taper: float = 0.0) -> Mesh:
    """A turned object on its side, rolled about its axis; ``taper`` radians lets a cone rest along its side."""
    return mesh.turned(rotation(1, np.pi / 2 + taper) @ rotation(2, roll)).resting()


def upside_down(mesh: Mesh) -> Mesh:
    """Turned over."""
    return mesh.turned(rotation(0, np.pi)).resting()
