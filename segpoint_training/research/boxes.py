"""F1 of found boxes, as Multi3DRefer defines it (Zhang et al., ICCV 2023).

Boxes stand along the axes of the aligned scan. Found and true boxes are matched one to one so that the sum of the
pairs' IoU is largest (Hungarian matching), whatever the threshold; a pair counts where its IoU reaches the threshold. A
sentence scores F1 = 2 · pairs / (found + true boxes); one that means nothing scores 1 where nothing was found, else 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from segpoint_training.scenes.scene import SceneObject


def boxes_around(xyz: np.ndarray, parts: Iterable[np.ndarray]) -> np.ndarray:
    """(n, 2, 3) lowest and highest corner around each of n parts, given as indices into the points xyz (M, 3)."""
    corners = [(xyz[part].min(axis=0), xyz[part].max(axis=0)) for part in parts]
    return np.array(corners, np.float64).reshape(-1, 2, 3)


def boxes_of(objects: Iterable[SceneObject]) -> np.ndarray:
    """(n, 2, 3) lowest and highest corner of each object's box along the axes."""
    centres_sizes = np.array([(thing.centre, thing.size) for thing in objects], np.float64).reshape(-1, 2, 3)
    centre, half = centres_sizes[:, 0], centres_sizes[:, 1] / 2
    return np.stack([centre - half, centre + half], axis=1)


def box_ious(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, m) IoU of boxes (n, 2, 3) and (m, 2, 3); 0 where both have no volume."""
    low = np.maximum(one[:, None, 0], other[None, :, 0])
    high = np.minimum(one[:, None, 1], other[None, :, 1])
    both = np.prod(np.maximum(high - low, 0), axis=2)
    volumes = [np.prod(boxes[:, 1] - boxes[:, 0], axis=1) for boxes in (one, other)]
    either = volumes[0][:, None] + volumes[1][None] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def box_f1(found: np.ndarray, true: np.ndarray, thresholds: Sequence[float] = (0.25, 0.5)) -> list[float]:
    """F1 of found boxes (n, 2, 3) against true ones (m, 2, 3) at each threshold."""
    if len(found) + len(true) == 0:
        return [1.0] * len(thresholds)
    ious = box_ious(found, true)
    matched = ious[linear_sum_assignment(ious, maximize=True)]
    return [2 * int((matched >= threshold).sum()) / (len(found) + len(true)) for threshold in thresholds]
