"""What a generated scene is: a cloud as one sensor saw it, the objects in it, and what may be said about them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

KINDS = ("category", "attribute", "spatial", "implicit", "zero-target")


@dataclass(frozen=True)
class SceneObject:
    """One object, as the generator placed it.

    ``centre`` is the middle of its box and ``size`` the box's extents (length, width, height) in metres, in the
    scene's *level* frame: origin below the sensor on the table top, x away from the sensor along the table,
    y to the sensor's left, z up.
    """

    id: int  # its value in Scene.instance; 1 is the table
    category: str  # "mug"
    colour: str  # the colour a person would name ("red"), or "" where no single name fits
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    pose: str  # "upright", "lying" or "upside down"
    support: int  # id of the object it rests on or in; the table's is 0
    points: int  # visible points that carry its id
    material: str = ""  # "metal", "wood", "cardboard", "glass", … where it has a look of its own
    printed: bool = False  # carries a label or printed faces


@dataclass(frozen=True)
class Instruction:
    """A sentence and the objects that it means (empty: there is nothing to mark)."""

    text: str
    kind: str  # one of KINDS
    targets: tuple[int, ...]  # SceneObject ids, ascending
    answer: str  # the category word the model should write, e.g. "mug"; "" for zero-target


@dataclass(frozen=True)
class Scene:
    """An organised cloud as a depth camera sees it, in the optical frame (x right, y down, z forward; metres).

    Points the sensor missed are NaN with instance 0; ``instance`` 0 also marks background that is no object
    (floor, wall). Row-major, ``height × width`` points.
    """

    xyz: np.ndarray  # (height * width, 3) float32
    rgb: np.ndarray  # (height * width, 3) uint8, filled where xyz is NaN, too
    instance: np.ndarray  # (height * width,) int32
    width: int
    height: int
    objects: tuple[SceneObject, ...]  # those with points > 0, and the table
    seed: int
    sensor: str
    instructions: tuple[Instruction, ...] = field(default=())
