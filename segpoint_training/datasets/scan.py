"""What every data set is read into: scans with objects, and what is said about them.

Each module beside this one reads the published files of one data set as a `DataSet`; `open_dataset` chooses by name. A
scan's object ids are the data set's own plus one (``objectId + 1`` in ScanNet), since 0 is no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from segpoint_training.scenes.scene import Instruction, SceneObject


@dataclass(frozen=True)
class Scan:
    """One scan as its files have it, at full resolution, in metres, z up.

    xyz: (M, 3) float32.   rgb: (M, 3) uint8 or None.   instance: (M,) int32 object ids, 0 = none.
    objects: those that have points.   frame, scale: as of `segpoint_training.scenes.scene.Scene`.
    """

    name: str
    xyz: np.ndarray
    rgb: np.ndarray | None
    instance: np.ndarray
    objects: tuple[SceneObject, ...]
    frame: str = "map"
    scale: str = "room"


class DataSet(Protocol):
    """A split of a data set on disk; nothing but lists of names is in memory.

    classes: what semantic questions may ask about, in the data set's own order; none in a set of sentences.
    scans: names of the split's scans, those of a language set only where something is said about them.
    """

    name: str
    classes: Sequence[str]
    scans: Sequence[str]

    def load(self, scan: str) -> Scan:
        """Read a scan. Raises SegPointError naming the file and what is wrong with it."""
        ...

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        """What the data set says about a scan; () in a purely semantic set, whose questions are made from `classes`."""
        ...


def scan_objects(xyz: np.ndarray, instance: np.ndarray, categories: dict[int, str]) -> tuple[SceneObject, ...]:
    """The objects of a scan that have points: middle and size of each one's box along the axes.

    xyz: (M, 3).   instance: (M,) ids, 0 = none.   categories: of each id; where one is missing "", no class.
    """
    order = np.argsort(instance, kind="stable")
    ids, first, counts = np.unique(instance[order], return_index=True, return_counts=True)
    objects = []
    for id, begin, count in zip(ids.tolist(), first.tolist(), counts.tolist(), strict=True):
        points = xyz[order[begin : begin + count]]
        points = points[np.isfinite(points).all(axis=1)]
        if id == 0 or len(points) == 0:
            continue
        low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
        centre, size = tuple(((low + high) / 2).tolist()), tuple((high - low).tolist())
        objects.append(SceneObject(id, categories.get(id, ""), "", centre, size, "upright", 1, len(points)))
    return tuple(objects)
