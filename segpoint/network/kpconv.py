"""Kernel point convolution (KPConv, Thomas et al., ICCV 2019): rigid kernel, linear influence, sum aggregation.

For a point x_n, its neighbours x_k with features f_k, and kernel points κ_p with one matrix W_p each:

    h_kp = max(0, 1 − ‖x_k − x_n − κ_p‖ / σ)          influences()
    g_n  = Σ_p (Σ_k h_kp f_k) W_p                      KPConv

The influences h depend on geometry alone: layers over the same neighbourhoods share one table.
"""

from __future__ import annotations

import contextlib
import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

PLACEMENT = 0.66
"""Mean distance of the outer kernel points from the centre, as a share of the radius (published)."""

_FAR = 1e6  # squared distance, in extents, given to an absent neighbour: its influence is then exactly zero
_TINY = 1e-20  # keeps the gradient of sqrt finite where a neighbour lies on a kernel point; below fp32 resolution


def kernel_points(count: int = 15, radius: float = 1.0) -> Tensor:
    """The published disposition: one point at the centre, the others spread by mutual repulsion.

    The outer points minimise Σ 1/‖κ_i − κ_j‖ + 5 Σ ‖κ_i‖², the centre included as a fixed charge, and are then
    scaled to a mean distance of 0.66 radius. Where the published code keeps the best of 100 random starts, we descend
    from a Fibonacci sphere, so that the result is the same everywhere without a seed.

    Args:
        count: number of kernel points P, the centre included; at least 1.
        radius: radius of the convolution's neighbourhood, in the unit of the cloud.

    Returns:
        (P, 3) float32, the centre first.
    """
    return torch.from_numpy(_unit_disposition(count) * radius).float()


@lru_cache(maxsize=8)
def _unit_disposition(count: int) -> np.ndarray:
    outer = count - 1
    if outer == 0:
        return np.zeros((1, 3))
    index = np.arange(outer) + 0.5
    height, angle = 1.0 - 2.0 * index / outer, index * math.pi * (3.0 - math.sqrt(5.0))
    ring = np.sqrt(1.0 - height**2)
    points = 0.5 * np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    for _ in range(3000):  # more than enough: below 30 points the forces end under 1e-4
        difference = points[:, None] - np.concatenate([np.zeros((1, 3)), points])
        distance = np.linalg.norm(difference, axis=-1, keepdims=True)
        push = np.divide(difference, distance**3, out=np.zeros_like(difference), where=distance > 0)
        move = push.sum(axis=1) - 10.0 * points
        length = np.linalg.norm(move, axis=1, keepdims=True)
        points += move * np.minimum(0.01, 0.05 / np.maximum(length, 1e-12))  # steps are clipped at 0.05
    points *= PLACEMENT / np.linalg.norm(points, axis=1).mean()
    return np.concatenate([np.zeros((1, 3)), points])


def influences(points: Tensor, neighbours: Tensor, kernel_points: Tensor, extent: float) -> Tensor:
    """Linear influence of every kernel point on every neighbour, always in fp32, also under autocast.

    Args:
        points: (B, N, 3) float, the unit of the cloud.
        neighbours: (B, N, K) int64 indices into the same cloud, −1 where there is none.
        kernel_points: (P, 3) float, relative to the point.
        extent: σ, the distance at which a kernel point's influence reaches zero.

    Returns:
        (B, N, P, K) float32 in [0, 1], exactly zero for an absent neighbour.
    """
    # Coordinates come first and points last: the fewer numbers a row has, the longer its elementwise work takes.
    with _full_precision(points):
        scaled, kernel = points.float() / extent, kernel_points.float() / extent
        relative = gather(scaled, neighbours).movedim(-1, 1) - scaled.transpose(1, 2).unsqueeze(-1)  # (B, 3, N, K)
        absent = (neighbours < 0).to(relative.dtype)  # they stand wherever row 0 does, and farther by _FAR
        squared = relative.square().sum(1) + _FAR * absent  # (B, N, K)
        # ‖r − κ‖² = |r|² − 2 r·κ + |κ|², as one product [−2κ, 1] · [r; |r|²]: nothing of size (…, P, 3) exists.
        left = torch.cat([-2.0 * kernel, torch.ones_like(kernel[:, :1])], dim=1)  # (P, 4)
        right = torch.cat([relative, squared.unsqueeze(1)], dim=1).flatten(2)  # (B, 4, N·K)
        distance = (left @ right + kernel.square().sum(1, keepdim=True)).clamp_min(_TINY).sqrt()
        table = (1.0 - distance).clamp_min(0.0)  # (B, P, N·K)
        return table.unflatten(-1, neighbours.shape[1:]).transpose(1, 2).contiguous()


def gather(table: Tensor, index: Tensor) -> Tensor:
    """Rows of every cloud's own table: (B, N, C), (B, …) int64 → (B, …, C). Index −1 gives an arbitrary row."""
    batch, count, channels = table.shape
    first = torch.arange(batch, device=index.device).view(-1, *[1] * (index.ndim - 1)) * count
    flat = (index.clamp_min(0) + first).reshape(-1)
    return table.reshape(batch * count, channels).index_select(0, flat).view(*index.shape, channels)


class KPConv(nn.Module):
    """Rigid kernel point convolution without bias; `weights` is (P, C, C_out), named as published."""

    def __init__(self, in_channels: int, out_channels: int, kernel_count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.empty(kernel_count, in_channels, out_channels))
        bound = 1.0 / math.sqrt(kernel_count * in_channels)
        nn.init.uniform_(self.weights, -bound, bound)

    def forward(self, features: Tensor, neighbours: Tensor, influences: Tensor, scale: Tensor | None = None) -> Tensor:
        """(B, N, C), (B, N, K) int64 with −1 for none, (B, N, P, K) of `influences` → (B, N, C_out), times ``scale``
        (C_out,), which costs less put into the weights."""
        batch, count, _ = neighbours.shape
        # The products run in the influences' type (bf16 under autocast): converting before the gather moves K× less.
        gathered = gather(features.to(influences.dtype), neighbours)  # (B, N, K, C)
        aggregated = influences @ gathered  # (B, N, P, C)
        weights = self.weights if scale is None else self.weights * scale
        return aggregated.reshape(batch, count, -1) @ weights.flatten(0, 1)


def _full_precision(like: Tensor) -> contextlib.AbstractContextManager[object]:
    """Switches autocast off where it is on; entering it always would leave its mark in an exported graph."""
    device = like.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()
