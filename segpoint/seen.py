"""The cloud that was asked about last, and all that is known of it before anything is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from segpoint.cloud import Cloud
from segpoint.network.answers import Prefix
from segpoint.network.inputs import PointInputs
from segpoint.network.segpoint import SceneFeatures


@dataclass(frozen=True)
class EncodedCloud:
    """All that is known of a cloud before anything is asked: the LLM's cache of its points, f_P, and the point tokens
    as the LLM got them (1, N1, H)."""

    prefix: Prefix
    features: SceneFeatures
    projected: Tensor


@dataclass(frozen=True)
class Seen:
    """The cloud that was asked about last: copies of what the caller gave, and what was made of it."""

    xyz: np.ndarray
    rgb: np.ndarray | None
    frame: str
    cloud: Cloud
    inputs: PointInputs
    encoded: EncodedCloud

    def shows(self, xyz: np.ndarray, rgb: np.ndarray | None, frame: str) -> bool:
        """Is it this cloud?"""
        if frame != self.frame or (rgb is None) != (self.rgb is None):
            return False
        return _same(xyz, self.xyz) and (rgb is None or self.rgb is None or _same(np.asarray(rgb), self.rgb))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """The same bits; NaN equals NaN."""
    if one.shape != other.shape or one.dtype != other.dtype or one.dtype.itemsize > 8:
        return False
    bits = f"u{one.dtype.itemsize}"
    return bool((one.view(bits) == other.view(bits)).all())
