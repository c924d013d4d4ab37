"""Placed things as a scene's objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segpoint_training.scenes.layout import Placed
from segpoint_training.scenes.recording import Recording
from segpoint_training.scenes.scene import SceneObject
from segpoint_training.scenes.shapes import Mesh

Box = tuple[np.ndarray, np.ndarray]  # lowest and highest corner
# A recording, the objects that its first things are (what carries the scene first; colours and points not yet known),
# and the ids of those whose colour has no name.
Recorded = tuple[Recording, list[SceneObject], frozenset[int]]


def box_of(mesh: Mesh) -> Box:
    """Lowest and highest corner (3,) each of a mesh's box."""
    return mesh.vertices.min(0), mesh.vertices.max(0)


def scene_object(id: int, category: str, box: Box, support: int, pose: str, material: str = "",
                 printed: bool = False) -> SceneObject:  # fmt: skip
    """An object as yet without colour and points."""
    centre, size = (box[0] + box[1]) / 2, box[1] - box[0]
    return SceneObject(
        id=id,
        category=category,
        colour="",
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        size=(float(size[0]), float(size[1]), float(size[2])),
        pose=pose,
        support=support,
        points=0,
        material=material,
        printed=printed,
    )


def describe(placed: Placed, box: Box | None = None) -> SceneObject:
    """``box``: in the scene's frame, where that is not the frame it was placed in."""
    model = placed.model
    return scene_object(placed.id, model.category, box or placed.box, placed.support, placed.pose, model.material,
                        model.printed)  # fmt: skip


def see_through(placed: Sequence[Placed]) -> frozenset[int]:
    """Ids of what is clear, which no colour name fits."""
    return frozenset(thing.id for thing in placed if thing.model.clear)
