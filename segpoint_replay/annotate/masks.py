"""Masks without a model: the thing at a click by geometry, grown or shrunk, carried over from the cloud before.

All lengths follow the cloud: ``spacing`` is how far its points lie apart where the mask is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pykdtree.kdtree import KDTree  # five times as fast as SciPy's, and without its other queries
from scipy.spatial import cKDTree

from segpoint.instances import clusters
from segpoint_training.table_clusters import depth_tolerance

_NEAR = 25  # spacings around a click that are one thing where no cluster is
_WIDE = 3  # as far apart again may points on a surface be, which is seen at a low angle
_LINK = 3  # spacings between neighbours in one thing
_STEP = 1.5  # spacings that one step grows or shrinks a mask by
_CARRIED = 6  # spacings, at most, from a point to the one of the cloud before that it takes its label from
_SPECK = 0.1  # of an object's largest part: what is carried over in smaller ones is left out
_SAME = 0.6  # IoU from which what is carried over is taken to be a whole cluster
_LEAST_SPACING, _SAMPLE = 1e-4, 200


def spacing_at(xyz: np.ndarray, points: np.ndarray) -> float:
    """Metres from points, indices (n,) ascending, to their nearest neighbours, in the median; of many the first tell.

    xyz: (M, 3), NaN rows allowed; what is asked for is finite.
    """
    if len(points) > 1:
        around = points[: _SAMPLE * 25]  # of an organised cloud these lie together, too
    else:
        around = _box(xyz, xyz[points], 0.05)
        around = around if len(around) > 1 else np.flatnonzero(finite(xyz))
    chosen = points[: len(around)][:: max(1, min(len(points), len(around)) // _SAMPLE)]
    gaps = cKDTree(xyz[around]).query(xyz[chosen], k=2)[0][:, 1]
    return max(float(np.median(gaps)), _LEAST_SPACING)


def cluster_at(xyz: np.ndarray, things: Sequence[np.ndarray], clicks: Sequence[int]) -> np.ndarray | None:
    """(M,) bool: the geometric clusters that the clicked points belong to or lie next to; None where there is none.

    things: as `segpoint_training.baselines.geometric_clusters` gives them.   clicks: indices of points.
    """
    mask = np.zeros(len(xyz), bool)
    for click in clicks:
        reach = _LINK * spacing_at(xyz, np.array([click]))
        for indices in things:
            if np.linalg.norm(xyz[indices] - xyz[click], axis=1).min() <= reach:
                mask[indices] = True
                break
    return mask if mask.any() else None


def around(xyz: np.ndarray, things: Sequence[np.ndarray], clicks: Sequence[int]) -> np.ndarray:
    """(M,) bool: what hangs together with the clicked points within a hand's breadth; of things where they are on one,
    without the surface beneath them."""
    allowed = finite(xyz)
    whole = cluster_at(xyz, things, clicks)
    if whole is not None:
        allowed &= whole
    mask = np.zeros(len(xyz), bool)
    for click in clicks:
        spacing = spacing_at(xyz, np.array([click]))
        near = np.flatnonzero(allowed & (np.linalg.norm(xyz - xyz[click], axis=1) <= _NEAR * spacing))
        mask[click] = True
        if not len(near):
            continue
        groups = clusters(xyz[near], _LINK * spacing)
        closest = np.argmin([np.linalg.norm(xyz[near[group]] - xyz[click], axis=1).min() for group in groups])
        mask[near[groups[closest]]] = True
    return mask


def surface_at(xyz: np.ndarray, click: int) -> np.ndarray:
    """(M,) bool: the flat surface that a clicked point lies on (a table's top, a wall), as far as it hangs together.

    The plane is that of the points around the click; a point is on it within its depth's noise.
    """
    mask = np.zeros(len(xyz), bool)
    near = _box(xyz, xyz[[click]], _NEAR * spacing_at(xyz, np.array([click])))
    middle = xyz[near].mean(axis=0)
    normal = np.linalg.svd((xyz[near] - middle).astype(np.float64), full_matrices=False)[2][-1]
    away = np.abs((xyz - middle) @ normal.astype(xyz.dtype))
    with np.errstate(invalid="ignore"):
        flat = np.flatnonzero(away <= depth_tolerance(np.linalg.norm(xyz, axis=1)))
    for group in clusters(xyz[flat], _LINK * _WIDE * spacing_at(xyz, near)) if len(flat) else ():
        if click in flat[group]:
            mask[flat[group]] = True
    return mask


def resized(xyz: np.ndarray, mask: np.ndarray, steps: int, within: np.ndarray | None = None) -> np.ndarray:
    """A mask (M,) bool with ``steps`` rings of points more, or, below zero, fewer.

    within: (M,) bool, what may be added; None for anything. A mask never shrinks to nothing.
    """
    inside = np.flatnonzero(mask & finite(xyz))
    if not steps or not len(inside):
        return mask
    spacing = spacing_at(xyz, inside)
    width = abs(steps) * _STEP * spacing
    near = _box(xyz, xyz[inside], width + spacing)
    outside = near[~mask[near]]
    if steps > 0:
        outside = outside if within is None else outside[within[outside]]
        reached = outside[cKDTree(xyz[inside]).query(xyz[outside], distance_upper_bound=width)[0] <= width]
        grown = mask.copy()
        grown[reached] = True
        return grown
    if not len(outside):
        return mask
    kept = inside[cKDTree(xyz[outside]).query(xyz[inside], distance_upper_bound=width)[0] > width]
    if not len(kept):
        return mask
    shrunk = np.zeros_like(mask)
    shrunk[kept] = True
    return shrunk


def carried_over(
    before: np.ndarray, label: np.ndarray, xyz: np.ndarray, things: Sequence[np.ndarray], motion: np.ndarray | None
) -> np.ndarray:
    """The labels (M,) int32 of a cloud by those of another, (K,), taken before.

    before: (K, 3), xyz: (M, 3), each in its own sensor's frame.   motion: (4, 4) from the frame of the former to that
    of the latter; None: as if the sensor had not moved.   things: the geometric clusters of ``xyz``. Each point takes
    the label of its nearest neighbour in the other cloud; of an object's parts specks are left out; and where nearly a
    whole cluster is of one object it is taken whole.
    """
    carried = np.zeros(len(xyz), np.int32)
    objects = [np.flatnonzero(label == number) for number in _numbers(label)]
    if not objects:
        return carried
    reach = _CARRIED * spacing_at(before, np.concatenate(objects))
    # What is beside an object keeps its mask from spreading.
    known = _together(before, (_box(before, before[targets], 2 * reach) for targets in objects))
    moved = before if motion is None else np.full(before.shape, np.nan, before.dtype)
    if motion is not None:
        moved[known] = before[known] @ motion[:3, :3].T + motion[:3, 3]
    near = _together(xyz, (_box(xyz, moved[targets], reach) for targets in objects))
    if not len(near):
        return carried
    away, nearest = KDTree(moved[known]).query(xyz[near], distance_upper_bound=reach)
    hit = np.isfinite(away)
    carried[near[hit]] = label[known[nearest[hit]]]
    for number in _numbers(carried):
        _whole(xyz, carried, number, things)
    return carried


def _whole(xyz: np.ndarray, carried: np.ndarray, number: int, things: Sequence[np.ndarray]) -> None:
    """Mend one object of what was carried over, in place."""
    mine = np.flatnonzero(carried == number)
    groups = clusters(xyz[mine], _LINK * spacing_at(xyz, mine))
    for group in groups[1:]:
        if len(group) < _SPECK * len(groups[0]):
            carried[mine[group]] = 0
    mine = np.flatnonzero(carried == number)
    for indices in things:
        common = int((carried[indices] == number).sum())
        if common > _SAME * (len(indices) + len(mine) - common):
            carried[mine] = 0
            carried[indices[carried[indices] == 0]] = number
            return


def _numbers(label: np.ndarray) -> list[int]:
    """Those of the objects in labels (M,), without sorting them, as `numpy.unique` does."""
    numbers: list[int] = np.flatnonzero(np.bincount(label)).tolist()
    return [number for number in numbers if number]


def _together(xyz: np.ndarray, some: Iterable[np.ndarray]) -> np.ndarray:
    """Indices that are in any of several, ascending."""
    chosen = np.zeros(len(xyz), bool)
    for indices in some:
        chosen[indices] = True
    return np.flatnonzero(chosen)


def finite(xyz: np.ndarray) -> np.ndarray:
    """(M,) bool: which points of (M, 3) have coordinates. Axis by axis, which is three times as fast."""
    there: np.ndarray = np.isfinite(xyz[:, 0]) & np.isfinite(xyz[:, 1]) & np.isfinite(xyz[:, 2])
    return there


def _box(xyz: np.ndarray, points: np.ndarray, margin: float) -> np.ndarray:
    """Indices of the finite points within ``margin`` of the points' bounding box."""
    inside = np.arange(len(xyz))
    for axis, low, high in zip(xyz.T, points.min(axis=0) - margin, points.max(axis=0) + margin, strict=True):
        with np.errstate(invalid="ignore"):
            values = axis[inside] if len(inside) < len(xyz) else axis
            inside = inside[(values >= low) & (values <= high)]
    return inside
