"""The things on a table by geometry alone: the table's plane out, what stands on it in groups. See `baselines`.

The plane search is its own, not `segpoint.cloud`'s: a change of the model's preparation must not move the rows that
the model is compared with.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, Delaunay, QhullError

from segpoint.instances import clusters

_HYPOTHESES = 300  # RANSAC planes; with half of the points on the table, one is good with probability 1 - 1e-17
_GAP = 0.02  # metres between two objects that stand apart
_CLUSTER_SHARE = 1.5e-3  # of the cloud's valid points: smaller clusters are noise


def depth_tolerance(distance: np.ndarray) -> np.ndarray:
    """Three standard deviations of a structured-light camera's depth, in metres, at ``distance`` metres.

    Kinect v1's σ grows with the square of the distance, about 1.2 mm + 1.9 mm/m² (z - 0.4 m)² (Nguyen et al. 2012).
    """
    return 3.0 * (0.0012 + 0.0019 * np.square(distance - 0.4))


def dominant_plane(xyz: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float] | None:
    """RANSAC plane of (n, 3) points seen from the origin: unit normal towards the sensor and offset, n·p + d = 0.

    The tolerance follows `depth_tolerance`. Deterministic for a seed. None where all points are on a line.
    """
    rng = np.random.default_rng(seed)
    sample = xyz[rng.choice(len(xyz), min(len(xyz), 4000), replace=False)].astype(np.float64)
    tolerance = depth_tolerance(np.linalg.norm(sample, axis=1))
    a, b, c = sample[rng.integers(len(sample), size=(3, _HYPOTHESES))]
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    usable = lengths > 1e-9
    if not usable.any():
        return None
    normals, a = normals[usable] / lengths[usable, None], a[usable]
    residuals = np.abs(sample @ normals.T - (normals * a).sum(axis=1))  # (sample, hypotheses)
    best = int(np.argmax((residuals < tolerance[:, None]).sum(axis=0)))
    inliers = sample[residuals[:, best] < tolerance]
    for _ in range(2):  # least squares on the inliers, weighted by their accuracy, then once more on the new ones
        weight = 1.0 / np.square(depth_tolerance(np.linalg.norm(inliers, axis=1)))
        middle = np.average(inliers, axis=0, weights=weight)
        normal = np.linalg.svd((inliers - middle) * np.sqrt(weight)[:, None], full_matrices=False)[2][2]
        inliers = sample[np.abs((sample - middle) @ normal) < tolerance]
    offset = -float(normal @ middle)
    return (normal, offset) if offset >= 0 else (-normal, -offset)


def tabletop_clusters(xyz: np.ndarray) -> list[np.ndarray]:
    """Indices (n,) into ``xyz`` (M, 3) of each thing that stands on the dominant plane, largest first.

    The sensor is at the origin; rows that are not finite are in no cluster. A point stands on the plane where it is
    on the sensor's side of it and above its convex outline. Empty where there is no plane.
    """
    valid = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    if len(valid) < 100:
        return []
    points = xyz[valid].astype(np.float64)
    plane = dominant_plane(points)
    if plane is None:
        return []
    normal, offset = plane
    height = points @ normal + offset
    tolerance = depth_tolerance(np.linalg.norm(points, axis=1))
    table = points[np.abs(height) < tolerance]
    if len(table) < 3:
        return []
    table = table[clusters(table, 0.05)[0]]  # without a floor or shelf that happens to lie in the same plane
    above = np.flatnonzero(height > tolerance)
    above = above[_over(points[above], table, normal)]
    if len(above) == 0:
        return []
    return [valid[above[group]] for group in large_clusters(points[above], _GAP, len(valid))]


def large_clusters(points: np.ndarray, gap: float, valid: int) -> list[np.ndarray]:
    """`segpoint.instances.clusters` of points (n, 3) without noise: specks beside the cloud's ``valid`` points."""
    smallest = max(30, int(_CLUSTER_SHARE * valid))
    return [group for group in clusters(points, gap) if len(group) >= smallest]


def _over(points: np.ndarray, table: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(n,) bool: whether each point, dropped along the normal, lands inside the table's convex outline."""
    basis = np.linalg.svd(normal[None])[2][1:]  # (2, 3), spans the plane
    outline = table @ basis.T
    try:
        outline = outline[ConvexHull(outline).vertices]
        return Delaunay(outline).find_simplex(points @ basis.T) >= 0
    except QhullError:
        return np.zeros(len(points), dtype=bool)
