"""GEM, the Geometric Enhancer Module 𝒢 of SegPoint, and the gated injection of its features into the encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn

from segpoint.network.kpconv import KPConv, influences, kernel_points

EXTENT = 0.48
"""Influence extent σ as a share of the radius: KPConv's published 1.2 / 2.5 grid cells."""

_MASKED = -1e4  # exp(−1e4) is exactly zero, in fp16 too; a finite value keeps a cloud without any point from giving NaN


class GeometricEnhancer(nn.Module):
    """g_f = 𝒢(points): three blocks KPConv → BatchNorm → ReLU over all N points (SegPoint, section 3.3).

    ```
    points, neighbours ──► influences (B, N, P, K), once
    features (B, N, F) ──► KPConv ─► BN ─► ReLU ──► KPConv ─► BN ─► ReLU ──► KPConv ─► BN ─► ReLU ──► g_f (B, N, D)
    ```

    Args:
        in_channels: F, channels of the input features.
        widths: output channels of the three blocks; the last is D.
        kernel_count: P, kernel points of a convolution (15 published).
        radius: radius of a neighbourhood in the unit of `points`: 1 where points come in radii. Kernel points lie at
            0.66 radius and influence ends 0.48 radius from each, so neighbours beyond 1.14 radius count for nothing.
            The paper gives no value; KPConv's own is 2.5 grid cells.
    """

    kernel_points: Tensor  # kept in the state dict: a checkpoint does not depend on how the disposition was computed

    def __init__(
        self, in_channels: int, widths: Sequence[int] = (64, 64, 128), kernel_count: int = 15, radius: float = 1.0
    ) -> None:
        super().__init__()
        self.extent = EXTENT * radius
        self.register_buffer("kernel_points", kernel_points(kernel_count, radius))
        channels = [in_channels, *widths]
        self.convolutions = nn.ModuleList(KPConv(c_in, c_out, kernel_count) for c_in, c_out in pairwise(channels))
        self.norms = nn.ModuleList(MaskedBatchNorm(width) for width in widths)

    def forward(self, features: Tensor, points: Tensor, neighbours: Tensor, valid: Tensor) -> Tensor:
        """g_f of a padded batch of clouds.

        Args:
            features: (B, N, F) float.
            points: (B, N, 3) float.
            neighbours: (B, N, K) int64, −1 where there is none.
            valid: (B, N) bool, False at padding.

        Returns:
            (B, N, D) float, zero at padding.
        """
        table = influences(points, neighbours, self.kernel_points, self.extent)  # (B, N, P, K)
        if torch.is_autocast_enabled(table.device.type):
            table = table.to(torch.get_autocast_dtype(table.device.type))  # once, not in each of the three products
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            if self.training:
                features = norm(convolution(features, neighbours, table), valid).relu()
            else:
                assert isinstance(norm, MaskedBatchNorm)  # a ModuleList does not tell
                scale, shift = norm.affine(norm.running_mean, norm.running_var)
                features = (convolution(features, neighbours, table, scale) + shift).relu()
        return features * valid.unsqueeze(-1).to(features.dtype)  # no neighbour is padding: once, at the end, will do


class MaskedBatchNorm(nn.Module):
    """BatchNorm over the valid rows of (B, N, C), in fp32 also under autocast.

    Parameters, buffers, defaults and running statistics are those of BatchNorm1d. Processes that train one model
    together (`torch.distributed`) take their statistics over all their rows, as one process with all clouds would; each
    has to come here equally often.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """(B, N, C), (B, N) bool → (B, N, C) float32; in training by the statistics of the valid rows."""
        values = values.float()
        if self.training:
            mean, variance = self._batch_statistics(values, valid)
        else:
            mean, variance = self.running_mean, self.running_var
        scale, shift = self.affine(mean, variance)
        return values * scale + shift

    def affine(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """What norm, weight and bias come to, given the statistics: values · scale + shift, (C,) each."""
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return scale, self.bias - mean * scale

    def _batch_statistics(self, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        rows = valid.unsqueeze(-1).to(values.dtype)
        count = _over_processes(rows.sum()).clamp_min(1.0)
        mean = _over_processes((values * rows).sum((0, 1))) / count
        variance = _over_processes(((values - mean).square() * rows).sum((0, 1))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1.0).clamp_min(1.0), self.momentum)
        return mean, variance


def _over_processes(own: Tensor) -> Tensor:
    """The sum of a tensor over the processes that train together, differentiable; the tensor itself in one alone."""
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return own
    return cast(Tensor, _Sum.apply(own))


class _Sum(torch.autograd.Function):
    """Every process's losses depend on every process's summand: gradients are summed as values are."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


class GeometricInjection(nn.Module):
    """f̂ = f + gate · softmax(f W_q g_fᵀ / √D) g_f W_o: tokens attend to the geometry of all points.

    The paper writes the equation without projections. W_q and W_o are ours: Uni3D's width is not D. The gate starts
    at zero, so an encoder with injections is at first exactly the encoder without.

    Args:
        token_width: width of the encoder's tokens f.
        geometric_width: D, width of g_f.
    """

    def __init__(self, token_width: int, geometric_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(token_width, geometric_width, bias=False)
        self.output = nn.Linear(geometric_width, token_width, bias=False)
        self.gate = nn.Parameter(torch.zeros(1))  # one number; FSDP cannot share out one that has no dimension

    def forward(self, tokens: Tensor, geometry: Tensor, valid: Tensor) -> Tensor:
        """(B, N1, width), (B, N, D) g_f, (B, N) bool → (B, N1, width)."""
        query = self.query(tokens)
        geometry = geometry.to(query.dtype)
        masked = torch.where(valid, 0.0, _MASKED).unsqueeze(1)  # (B, 1, N)
        scores = query @ geometry.transpose(1, 2) / math.sqrt(geometry.shape[-1])  # (B, N1, N)
        attended = (scores + masked.to(scores.dtype)).softmax(dim=-1).to(geometry.dtype) @ geometry  # (B, N1, D)
        return tokens + self.gate * self.output(attended)
