"""A batch of prepared clouds as tensors: what encoder, GEM and GFP take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segpoint.cloud import Cloud, network_frame
from segpoint.config import BundleConfig
from segpoint.neighbourhoods import Neighbourhoods, find_neighbourhoods

POINT_FEATURES = 7  # what GEM's first layer takes: 1, red, green, blue, height, fine voxel?, voxel edge


@dataclass(frozen=True)
class PointInputs:
    """B clouds of N points.

    points: (B, N, 3) in the network frame.   local: (B, N, 3) in kernel radii, for KPConv.   rgb: (B, N, 3).
    features: (B, N, POINT_FEATURES).   valid: (B, N) bool.   tables: `Neighbourhoods` stacked, int64 / float32.
    """

    points: Tensor
    local: Tensor
    rgb: Tensor
    features: Tensor
    valid: Tensor
    tables: dict[str, Tensor]

    def to(self, device: torch.device | str) -> PointInputs:
        return self._each(lambda tensor: tensor.to(device))

    def scene(self, b: int) -> PointInputs:
        """The b-th cloud alone, as a batch of one."""
        return self._each(lambda tensor: tensor[b : b + 1])

    def _each(self, change: Callable[[Tensor], Tensor]) -> PointInputs:
        tensors = {name: change(getattr(self, name)) for name in ("points", "local", "rgb", "features", "valid")}
        return PointInputs(**tensors, tables={name: change(table) for name, table in self.tables.items()})


def collate(
    clouds: Sequence[Cloud], config: BundleConfig, tables: Sequence[Neighbourhoods] | None = None
) -> PointInputs:
    """Stack prepared clouds; neighbourhoods are found here unless given."""
    tables = tables or [find_neighbourhoods(cloud, config) for cloud in clouds]
    stacked = {name: torch.from_numpy(np.stack([getattr(t, name) for t in tables])) for name in tables[0].as_dict()}
    radius = [config.gem.radius_voxels * cloud.voxel_m for cloud in clouds]
    return PointInputs(
        points=_stack([network_frame(cloud, config.cloud) for cloud in clouds]),
        local=_stack([cloud.xyz / r for cloud, r in zip(clouds, radius, strict=True)]),
        rgb=_stack([cloud.rgb for cloud in clouds]),
        features=_stack([_point_features(cloud) for cloud in clouds]),
        valid=torch.from_numpy(np.stack([cloud.valid for cloud in clouds])),
        tables=stacked,
    )


def _point_features(cloud: Cloud) -> np.ndarray:
    """(N, POINT_FEATURES). Height and voxel edge tell KPConv, which sees shapes in voxels, how large they are."""
    columns = [
        np.ones(len(cloud.xyz)),
        *cloud.rgb.T,
        np.clip(cloud.xyz[:, 2] / 0.2, -2.0, 2.0),
        cloud.focus,
        np.full(len(cloud.xyz), cloud.voxel_m / 0.01),
    ]
    return np.stack(columns, axis=1) * cloud.valid[:, None]


def _stack(arrays: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
