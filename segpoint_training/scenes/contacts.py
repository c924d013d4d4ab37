"""Which furniture stands against which wall, read off the cloud and the boxes."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from .scene import Scene, SceneObject

_SAMPLE = 3000  # points of one object that are looked at


def wall_distances(scene: Scene) -> dict[tuple[int, int], tuple[float, float]]:
    """``(object, wall) → (least, most)``: bounds of the free distance between them, m.

    What is seen of a wardrobe is its front, so distances between seen points are only an upper bound; a box along the
    level frame's axes is larger than a turned wall, so distances between boxes are only a lower one, and where the
    wall runs along an axis they hold exactly.
    """
    clouds = {o.id: _points(scene, o) for o in scene.objects}
    walls = [o for o in scene.objects if o.category == "wall" and len(clouds[o.id]) >= 30]
    trees = {wall.id: cKDTree(clouds[wall.id]) for wall in walls}
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for o in scene.objects:
        if o.category in ("wall", "floor", "door", "rug") or not len(clouds[o.id]):
            continue
        for wall in walls:
            seen = float(trees[wall.id].query(clouds[o.id])[0].min())
            free = [max(0.0, abs(o.centre[i] - wall.centre[i]) - (o.size[i] + wall.size[i]) / 2) for i in (0, 1)]
            boxes = math.hypot(*free)
            found[o.id, wall.id] = (boxes, min(seen, boxes) if min(wall.size[:2]) < 0.25 else seen)
    return found


def _points(scene: Scene, o: SceneObject) -> np.ndarray:
    own = np.flatnonzero((scene.instance == o.id) & np.isfinite(scene.xyz[:, 2]))
    return scene.xyz[own[:: max(1, len(own) // _SAMPLE)]].astype(np.float64)
