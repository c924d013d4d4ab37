"""The things in a room by geometry alone: floor and walls out, what remains in groups. See `baselines`.

As for tables, the plane search is its own: a change of the model's preparation must not move the reference rows.
"""

from __future__ import annotations

import numpy as np

from segpoint_training.table_clusters import depth_tolerance, large_clusters

_UP = {"optical": (0.0, -1.0, 0.0), "body": (0.0, 0.0, 1.0), "map": (0.0, 0.0, 1.0)}  # with the sensor held level
_TILT = {"optical": 60.0, "body": 30.0, "map": 10.0}  # degrees that the floor may lean from that
_GAP = {"optical": 0.06, "body": 0.2, "map": 0.06}  # metres between two things; a LiDAR's rings are far apart
_HYPOTHESES = 400
_BELOW = 0.03  # share of points that noise may put under the floor
_CEILING = 2.2  # metres above the floor; what hangs there is no furniture
_WALL_SHARE, _WALL_HEIGHT, _WALL_THICKNESS, _MOST_WALLS = 0.06, 1.2, 0.06, 6


def room_clusters(xyz: np.ndarray, frame: str) -> list[np.ndarray]:
    """Indices (n,) into ``xyz`` (M, 3) of each thing above the floor and apart from the walls, largest first.

    ``frame`` is "optical", "body" or "map"; rows that are not finite are in no cluster. Empty where no floor is found.
    """
    valid = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    if len(valid) < 100:
        return []
    points = xyz[valid].astype(np.float64)
    tolerance = _tolerance(points, frame)
    floor = find_floor(points, tolerance, frame)
    if floor is None:
        return []
    normal, offset = floor
    height = points @ normal - offset
    standing = np.flatnonzero((height > tolerance) & (height < _CEILING))
    basis = np.linalg.svd(normal[None])[2][1:]  # (2, 3), spans the floor
    plan = points[standing] @ basis.T
    standing = standing[~_on_walls(plan, height[standing], _WALL_SHARE * len(valid))]
    if len(standing) == 0:
        return []
    return [valid[standing[group]] for group in large_clusters(points[standing], _GAP[frame], len(valid))]


def find_floor(points: np.ndarray, tolerance: np.ndarray, frame: str) -> tuple[np.ndarray, float] | None:
    """The largest roughly level plane with hardly a point beneath it: (unit normal upwards, normal · p), or None.

    points (n, 3) finite, in ``frame``; tolerance (n,) metres. Deterministic.
    """
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(points), min(len(points), 4000), replace=False)
    some, near = points[chosen], tolerance[chosen]
    a, b, c = some[rng.integers(len(some), size=(3, _HYPOTHESES))]
    up = np.array(_UP[frame])
    normals = np.cross(b - a, c - a)
    normals[::2] = up  # every other hypothesis is level: with furniture all over a floor, three of its points are rare
    lengths = np.linalg.norm(normals, axis=1)
    upright = np.abs(normals @ up) > np.cos(np.deg2rad(_TILT[frame])) * np.maximum(lengths, 1e-9)
    normals = normals[upright] / lengths[upright, None]
    normals *= np.sign(normals @ up)[:, None]
    heights = some @ normals.T - (normals * a[upright]).sum(axis=1)  # (sample, hypotheses)
    inliers = (np.abs(heights) < near[:, None]).mean(axis=0)
    beneath = (heights < -2 * near[:, None]).mean(axis=0)
    best = int(np.argmax(np.where(beneath < _BELOW, inliers, 0.0)))
    if beneath[best] >= _BELOW or inliers[best] < 0.02:
        return None
    on_floor = some[np.abs(heights[:, best]) < near]
    middle = on_floor.mean(axis=0)
    normal = np.linalg.svd(on_floor - middle, full_matrices=False)[2][2]
    normal = normal if normal @ up > 0 else -normal
    return normal, float(normal @ middle)


def _tolerance(points: np.ndarray, frame: str) -> np.ndarray:
    if frame == "map":
        return np.full(len(points), 0.04)
    return depth_tolerance(np.linalg.norm(points, axis=1)).clip(0.02, 0.1)


def _on_walls(plan: np.ndarray, height: np.ndarray, fewest: float) -> np.ndarray:
    """(n,) bool: on a wall, a line of the plan (n, 2) that holds many points up to a good ``height``."""
    rng = np.random.default_rng(0)
    walls = np.zeros(len(plan), dtype=bool)
    for _ in range(_MOST_WALLS):
        left = np.flatnonzero(~walls)
        if len(left) < max(fewest, 2):
            break
        some = left[rng.integers(len(left), size=min(len(left), 3000))]
        a, b = plan[some[rng.integers(len(some), size=(2, _HYPOTHESES))]]
        across = np.stack([a[:, 1] - b[:, 1], b[:, 0] - a[:, 0]], axis=1)
        length = np.linalg.norm(across, axis=1)
        apart = length > 0.1
        if not apart.any():
            break
        across, a = across[apart] / length[apart, None], a[apart]
        gaps = np.abs(plan[some] @ across.T - (across * a).sum(axis=1))
        best = int(np.argmax((gaps < _WALL_THICKNESS).sum(axis=0)))
        line = left[np.abs((plan[left] - a[best]) @ across[best]) < _WALL_THICKNESS]
        if len(line) < fewest or np.subtract(*np.percentile(height[line], [95, 5])) < _WALL_HEIGHT:
            break
        walls[line] = True
    return walls
