"""Which furniture stands against which wall, read off the cloud and the boxes."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from .scene import Scene, SceneObject

FAR = 0.5  # metres from which on nothing is at a wall
_SAMPLE, _WALL_SAMPLE = 400, 3000  # points of one object, and of one wall, that are looked at
_FEWEST = 30  # points of a wall that tell where it is


def wall_distances(scene: Scene) -> dict[tuple[int, int], tuple[float, float]]:
    """``(object, wall) → (least, most)``: bounds of the free distance between them, m.

    What is seen of a wardrobe is its front, so distances between seen points are only an upper bound; a box along the
    level frame's axes is larger than a turned wall, so distances between boxes are only a lower one, and where the
    wall runs along an axis they hold exactly. Where the least is FAR already the most is not looked for but infinite.
    """
    walls = [o for o in scene.objects if o.category == "wall" and o.points >= _FEWEST]
    trees = {wall.id: cKDTree(_points(scene, wall, _WALL_SAMPLE)) for wall in walls}
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for o in scene.objects:
        if o.category in ("wall", "floor", "door", "rug") or not walls:
            continue
        points = _points(scene, o, _SAMPLE)
        if not len(points):
            continue
        for wall in walls:
            free = [max(0.0, abs(o.centre[i] - wall.centre[i]) - (o.size[i] + wall.size[i]) / 2) for i in (0, 1)]
            boxes = math.hypot(*free)
            if boxes >= FAR:
                found[o.id, wall.id] = (boxes, math.inf)
                continue
            seen = float(trees[wall.id].query(points)[0].min())
            found[o.id, wall.id] = (boxes, min(seen, boxes) if min(wall.size[:2]) < 0.25 else seen)
    return found


def _points(scene: Scene, o: SceneObject, most: int) -> np.ndarray:
    """(n, 3) about ``most`` of the object's points at most, in the scene's frame, m."""
    own = np.flatnonzero((scene.instance == o.id) & np.isfinite(scene.xyz[:, 2]))
    return scene.xyz[own[:: max(1, len(own) // most)]].astype(np.float64)
