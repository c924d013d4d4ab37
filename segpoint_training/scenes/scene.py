"""What a generated scene is: a cloud as one sensor saw it, the objects in it, and what may be said about them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

KINDS = ("category", "attribute", "spatial", "implicit", "place", "zero-target")
PLACES = ("", "click", "box")
TASKS = ("instruction", "referring", "semantic", "all")
GROUND = 1  # id of what carries the scene: the table, in a room the floor


@dataclass(frozen=True)
class SceneObject:
    """One object, as the generator placed it.

    ``centre`` is the middle of its box and ``size`` the box's extents (length, width, height) in metres, in the
    scene's *level* frame: origin below the sensor on the ground (table top, floor), x away from the sensor, y to its
    left, z up; for a map the map's own axes.
    """

    id: int  # its value in Scene.instance; GROUND is what carries the scene
    category: str  # "mug"
    colour: str  # the colour a person would name ("red"), or "" where no single name fits
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    pose: str  # "upright", "lying" or "upside down"
    support: int  # id of the object it rests on or in; 0 for the ground and for what is part of the building
    points: int  # visible points that carry its id
    material: str = ""  # "metal", "wood", "cardboard", "glass", … where it has a look of its own
    printed: bool = False  # carries a label or printed faces


@dataclass(frozen=True)
class Instruction:
    """A sentence and the objects that it means (empty: there is nothing to mark).

    text: an instruction in the user's words; the description of a "referring" one; the category of a "semantic" one; of
    "all" it is "". `segpoint_training.questions.question_of` puts each into a template of its task.
    """

    text: str
    kind: str  # one of KINDS; of a data set's own sentence the words that its benchmark groups by
    targets: tuple[int, ...]  # SceneObject ids, ascending
    answer: str  # the category word the model should write, e.g. "mug"; "" for zero-target
    place: str = ""  # one of PLACES: comes with a click on, or a box around, its one target
    task: str = "instruction"  # one of TASKS
    parts: tuple[tuple[str, tuple[int, ...]], ...] = ()  # of "all": each category asked for, and its objects


@dataclass(frozen=True)
class Scene:
    """A cloud as one sensor gives it, in metres and the sensor's axes.

    frame "optical": a depth image, x right, y down, z forward, row-major, ``height × width`` points; those the sensor
    missed are NaN with instance 0. frame "body": a LiDAR's points, x forward, y left, z up, origin at the sensor,
    height 1. frame "map": a whole room put together, z up, no viewpoint, height 1, its origin anywhere.
    ``instance`` 0 marks background that is no object (behind a table: floor, walls, furniture).
    """

    xyz: np.ndarray  # (height * width, 3) float32
    rgb: np.ndarray | None  # (height * width, 3) uint8, filled where xyz is NaN, too; None: the sensor sees no colour
    instance: np.ndarray  # (height * width,) int32
    width: int
    height: int
    objects: tuple[SceneObject, ...]  # those with points > 0, and the ground
    seed: int
    sensor: str
    scale: str = "table"  # or "room"
    frame: str = "optical"  # or "body", "map"
    instructions: tuple[Instruction, ...] = field(default=())
