"""A mask → separate targets: euclidean clusters of its points, each with an oriented box.

The paper stops at one mask for all targets; a robot that is to grasp needs them one by one. Ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.spatial.transform import Rotation

from segpoint.blas import one_blas_thread
from segpoint.errors import SegPointError
from segpoint.grid import voxelise

_CELLS_PER_DISTANCE = 2  # points are merged in cells of half the linking distance before they are linked
_SMALLEST_SIDE = 1e-3  # metres; a flat or linear target still gets a box that can be drawn


@dataclass(frozen=True)
class Instance:
    """One target.

    ``centre`` (3,) and ``size`` (3,) float64 in metres and ``orientation`` (4,), a quaternion x, y, z, w, are the
    box, in the frame of the caller's cloud: the box's third axis is ``up``, its first the longer horizontal side.
    ``score`` is the mean score of its points, ``indices`` (n,) int64 are their places in the caller's cloud, ascending.
    """

    centre: np.ndarray
    size: np.ndarray
    orientation: np.ndarray
    score: float
    indices: np.ndarray


@one_blas_thread
def separate(
    xyz: np.ndarray,
    mask: np.ndarray,
    score: np.ndarray,
    *,
    distance: float,
    min_points: int,
    up: np.ndarray,
) -> list[Instance]:
    """Split a mask into its targets, the one with the highest score first.

    Args:
        xyz: (M, 3) in metres; rows that are not finite belong to no target.
        mask: (M,) bool. score: (M,) float, per point.
        distance: gap in metres that separates two targets; judged to within half of itself, because points are
            merged in cells of that size first (what makes 50,000 points take milliseconds).
        min_points: clusters of fewer points are dropped; if all are, the largest one is kept, so that a mask that
            marks anything always gives a target.
        up: (3,) the direction against gravity, in xyz's frame; any length.
    """
    up = np.asarray(up, dtype=np.float64)
    length = np.linalg.norm(up)
    if not length > 0:
        raise SegPointError(f"up must be a direction, not {up.tolist()}; use (0, 0, 1) for a frame whose z points up")
    up = up / length
    mask = np.asarray(mask, dtype=bool)
    indices = np.flatnonzero(mask)
    indices = indices[np.isfinite(xyz[indices]).all(axis=1)]
    if len(indices) == 0:
        return []
    groups = [indices[group] for group in clusters(np.asarray(xyz)[indices], distance)]
    kept = [group for group in groups if len(group) >= min_points] or groups[:1]
    instances = [Instance(*oriented_box(xyz[group], up), float(np.mean(score[group])), group) for group in kept]
    return sorted(instances, key=lambda instance: -instance.score)


def strong(clusters: list[Instance], share: float) -> list[Instance]:
    """Those of at least ``share`` of the best score; a speck, under a quarter of the largest, sets no mark."""
    largest = max((len(c.indices) for c in clusters), default=0)
    best = max((c.score for c in clusters if 4 * len(c.indices) >= largest), default=0.0)
    return [c for c in clusters if c.score >= share * best]


def clusters(xyz: np.ndarray, distance: float) -> list[np.ndarray]:
    """Connected groups of points (M, 3), all finite, that lie within ``distance`` of a neighbour; largest first.

    Every point is in one group; each group is an ascending (n,) int64 array. Points are merged in cells of
    distance / 2 and the cells' means are linked, so a gap is judged to within one cell.
    """
    xyz = np.asarray(xyz, dtype=np.float64)
    count, of_cell = voxelise(xyz - xyz.min(axis=0), distance / _CELLS_PER_DISTANCE)
    counts = np.bincount(of_cell, minlength=count)
    means = np.stack([np.bincount(of_cell, weights=axis) for axis in xyz.T], axis=1) / counts[:, None]
    pairs = cKDTree(means).query_pairs(distance, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(len(means),) * 2)
    _, group_of_cell = connected_components(graph, directed=False)
    group_of_point = group_of_cell[of_cell]
    order = np.argsort(group_of_point, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(group_of_point))[:-1])
    return sorted(groups, key=len, reverse=True)


def oriented_box(xyz: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The box around points (n, 3), n ≥ 1, finite: (centre, size, quaternion xyzw), third axis along unit ``up``.

    Its ground plan is the rectangle of least area around the points as seen along ``up``. A few stray points (flying
    pixels at a depth edge) must not stretch it. We chose: points beyond 1.2 times the 99th percentile of the distance
    from the median point do not turn the rectangle, and along each of its axes the box ends at the last point within
    the 1st … 99th percentile widened by a tenth of that span. Both leave a clean object whole.
    """
    xyz = np.asarray(xyz, dtype=np.float64)
    reach = np.linalg.norm(xyz - np.median(xyz, axis=0), axis=1)
    xyz = xyz[reach <= 1.2 * np.percentile(reach, 99)]
    seed = np.eye(3)[np.argmin(np.abs(up))]  # the frame's axis that is most level
    right = seed - (seed @ up) * up
    right /= np.linalg.norm(right)
    plane = np.stack([right, np.cross(up, right)])  # (2, 3), right-handed with up
    angle = _least_area_angle(xyz @ plane.T)
    along = np.array([np.cos(angle), np.sin(angle)]) @ plane
    axes = np.stack([along, np.cross(up, along), up], axis=1)  # columns
    low, high = np.array([_extent(local) for local in axes.T @ xyz.T]).T
    centre = axes @ ((low + high) / 2)
    return centre, np.maximum(high - low, _SMALLEST_SIDE), Rotation.from_matrix(axes).as_quat(canonical=True)


def _extent(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest of (n,) values, without those far outside the bulk."""
    first, last = np.percentile(values, [1, 99])
    margin = 0.1 * (last - first) + 1e-9  # the second term for rounding, where all values agree
    bulk = values[(values >= first - margin) & (values <= last + margin)]
    return bulk.min(), bulk.max()


def _least_area_angle(points: np.ndarray) -> float:
    """Direction in (-π/2, π/2] of the longer side of the least rectangle around (n, 2) points.

    One side of it lies on an edge of the convex hull, so only those directions are tried.
    """
    points = _outer(points)
    try:
        hull = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):  # fewer than three points, or all on a line: the line is the direction
        offset = points - points.mean(axis=0)
        direction = np.linalg.svd(offset, full_matrices=False)[2][0] if len(points) > 1 else np.array([1.0, 0.0])
        return _half_turn(float(np.arctan2(direction[1], direction[0])))
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.arctan2(edges[:, 1], edges[:, 0])
    cos, sin = np.cos(angles), np.sin(angles)
    length = np.ptp(np.outer(cos, hull[:, 0]) + np.outer(sin, hull[:, 1]), axis=1)  # (edges,)
    breadth = np.ptp(np.outer(cos, hull[:, 1]) - np.outer(sin, hull[:, 0]), axis=1)
    best = int(np.argmin(length * breadth))
    return _half_turn(float(angles[best]) + (0.0 if length[best] >= breadth[best] else np.pi / 2))


def _outer(points: np.ndarray) -> np.ndarray:
    """Of (n, 2) points those outside the octagon between the outermost in eight directions: no other is on the hull."""
    angles = np.arange(8) * np.pi / 4
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = points[np.argmax(ways @ points.T, axis=1)]  # counter-clockwise
    edges = np.roll(corners, -1, axis=0) - corners
    real = edges.any(axis=1)  # one point may be outermost in several directions
    outward = np.stack([edges[real, 1], -edges[real, 0]], axis=1)
    slack = 1e-9 * np.abs(edges).max() * np.abs(points).max()  # for rounding: the corners themselves stay
    inside = (outward @ points.T < np.sum(outward * corners[real], axis=1)[:, None] - slack).all(axis=0)
    return points[~inside] if real.any() else points


def _half_turn(angle: float) -> float:
    """The same line's direction in (-π/2, π/2], so that a box does not flip between frames."""
    return float(np.pi / 2 - (np.pi / 2 - angle) % np.pi)
