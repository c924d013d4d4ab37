"""The index tables that one cloud needs, computed once and used by every part of the network.

FPS levels, encoder patches, KPConv neighbours, the 3-NN tables of PointNet++ propagation and the k-NN tables of
attentive propagation. All indices point into the network's N points or into a level, as said at each field.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import fpsample
import numpy as np
from pykdtree.kdtree import KDTree

from segpoint.cloud import Cloud
from segpoint.config import BundleConfig


@dataclass(frozen=True)
class Neighbourhoods:
    """Index tables of one cloud (int64) and interpolation weights (float32).

    levels: (N3,) into N, the FPS order: its first N1 are the encoder's centres, its first N2 the middle level.
    patches: (N1, S) into N.   kernel: (N, K) into N, -1 where there is none.
    to_n2, to_n2_weights: (N2, 3): the nearest encoder centres of each N2 point and their inverse-distance weights.
    to_n3, to_n3_weights: (N3, 3): the same for each N3 point.
    from_n1: (N2, k) into N1.   from_n2: (N3, k) into N2.   from_n3: (N, k) into N3.  (attentive propagation)
    to_n, to_n_weights: (N, 3) into N1: plain upsampling, what the vanilla baseline uses.
    """

    levels: np.ndarray
    patches: np.ndarray
    kernel: np.ndarray
    to_n2: np.ndarray
    to_n2_weights: np.ndarray
    to_n3: np.ndarray
    to_n3_weights: np.ndarray
    from_n1: np.ndarray
    from_n2: np.ndarray
    from_n3: np.ndarray
    to_n: np.ndarray
    to_n_weights: np.ndarray

    def as_dict(self) -> dict[str, np.ndarray]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def find_neighbourhoods(cloud: Cloud, config: BundleConfig) -> Neighbourhoods:
    """All tables of ``cloud``; padded points take part in none (their rows point at point 0)."""
    n = cloud.count
    points = np.ascontiguousarray(cloud.xyz[:n], dtype=np.float32)
    n1, (n2, n3) = config.encoder.tokens, config.gfp.levels
    levels = farthest_points(points, cloud.focus[:n], n3, config.cloud.coarsening)
    tree = KDTree(points)
    trees = {size: KDTree(points[levels[: min(size, n)]]) for size in (n1, n2, n3)}
    k = config.gfp.neighbours
    to_n, to_n_weights = _three_nearest(trees[n1], points)
    pad = cloud.xyz.shape[0] - n
    return Neighbourhoods(
        levels=levels,
        patches=_nearest(tree, points[levels[:n1]], config.encoder.patch, n)[1],
        kernel=_pad(_kernel_neighbours(tree, points, cloud.voxel_m, config), pad, -1),
        to_n2=to_n[levels[:n2]],
        to_n2_weights=to_n_weights[levels[:n2]],
        to_n3=to_n[levels],
        to_n3_weights=to_n_weights[levels],
        from_n1=_nearest(trees[n1], points[levels[:n2]], k, n)[1],
        from_n2=_nearest(trees[n2], points[levels], k, n)[1],
        from_n3=_pad(_nearest(trees[n3], points, k, n)[1], pad, 0),
        to_n=_pad(to_n, pad, 0),
        to_n_weights=_pad(to_n_weights, pad, 0.0),
    )


def farthest_points(points: np.ndarray, focus: np.ndarray, count: int, coarsening: float) -> np.ndarray:
    """(count,) FPS order of ``points`` (n, 3); a cloud of fewer points is gone through again.

    Farthest means farthest *in voxels*: support and background are shrunk by ``coarsening`` and set apart, so that
    they get as many centres for their voxels as the objects do, not for their area. Plain FPS where all voxels
    have one size.
    """
    stretched = points.copy()
    if not focus.all():
        stretched[~focus] /= coarsening
        stretched[~focus, 2] -= 100.0
    n = len(points)
    taken = min(count, n)
    start = int(np.flatnonzero(focus)[0]) if focus.any() else 0
    order = fpsample.bucket_fps_kdline_sampling(stretched, taken, h=5, start_idx=start).astype(np.int64)
    return np.resize(order, count)


def _kernel_neighbours(tree: KDTree, points: np.ndarray, voxel_m: float, config: BundleConfig) -> np.ndarray:
    gem = config.gem
    distance, index = _nearest(tree, points, gem.neighbours * gem.dilation, len(points))
    distance, index = distance[:, :: gem.dilation], index[:, :: gem.dilation].copy()
    index[distance > gem.radius_voxels * voxel_m] = -1
    return index


def _three_nearest(tree: KDTree, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PointNet++'s inverse-distance interpolation: indices and weights (n, 3)."""
    distance, index = _nearest(tree, points, 3, tree.n)
    weight = 1.0 / np.maximum(distance, 1e-6)
    return index, (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def _nearest(tree: KDTree, queries: np.ndarray, k: int, available: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and indices (q, k) of the nearest points; a tree of fewer than k points repeats its nearest."""
    held = min(k, tree.n, available)
    distance, index = tree.query(np.ascontiguousarray(queries, dtype=np.float32), k=held)
    distance, index = distance.reshape(len(queries), held), index.reshape(len(queries), held).astype(np.int64)
    if held < k:
        columns = np.resize(np.arange(held), k)
        distance, index = distance[:, columns], index[:, columns]
    return distance, index


def _pad(table: np.ndarray, rows: int, value: float) -> np.ndarray:
    return np.pad(table, [(0, rows), (0, 0)], constant_values=value) if rows else table
