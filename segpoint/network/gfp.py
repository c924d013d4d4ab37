"""Geometric-guided Feature Propagation 𝒫: from N1 tokens to features of all N points (paper, Sect. 3.4).

``f_3``, ``f_4`` ──3-NN──▶ N3, N2 points ──concat g_f there, FC, ReLU──▶ ``f̃_3``, ``f̃_4``
``f_5`` ⊕ ``ĥ_point`` ──FC──▶ ``f̃_5``  ──attend──▶ ``f̃_4`` ──attend──▶ ``f̃_3`` ──attend──▶ ``g_f`` = ``f_P (N, D)``
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from segpoint.network.kpconv import gather


def interpolate(features: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """PointNet++ feature propagation: ``features (B, N1, C)`` at 3-NN ``index, weights (B, M, 3)`` → ``(B, M, C)``."""
    return (gather(features, index) * weights.unsqueeze(-1).to(features.dtype)).sum(dim=2)


class AttentivePropagation(nn.Module):
    """f̂ = f + softmax(f · f_nnᵀ / √D) f_nn over each target's k nearest sources (the paper's attentive step).

    Queries, keys and values go through linear maps (the paper writes none): without them the dot product of two
    differently made features means little at the start. Followed by a norm and a small FFN: our choice.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width // 4)  # narrow: these gathers are what the step costs
        self.key = nn.Linear(width, width // 4)
        self.value = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, target: Tensor, source: Tensor, index: Tensor) -> Tensor:
        """target (B, M, D), source (B, S, D), index (B, M, k) into S → (B, M, D)."""
        keys = gather(self.key(source), index)  # (B, M, k, D/4)
        values = gather(self.value(source), index)  # (B, M, k, D)
        scores = (keys @ self.query(target).unsqueeze(-1)).transpose(2, 3) / math.sqrt(keys.shape[-1])  # (B, M, 1, k)
        attended = target + (scores.softmax(dim=-1).to(values.dtype) @ values).squeeze(2)
        return attended + self.mix(self.norm(attended))


class FeaturePropagation(nn.Module):
    """GFP: mask features f_P of all N points, and the middle level's features for the mask reader.

    token_width: of f_3, f_4, f_5.   point_width: of ĥ_point.   geometric_width: of g_f.   width: of f_P.
    """

    def __init__(self, token_width: int, point_width: int, geometric_width: int, width: int) -> None:
        super().__init__()
        self.fuse3 = nn.Sequential(nn.Linear(token_width + geometric_width, width), nn.ReLU())
        self.fuse4 = nn.Sequential(nn.Linear(token_width + geometric_width, width), nn.ReLU())
        self.fuse5 = FusePoint(token_width, point_width, width)
        self.ground = nn.Linear(geometric_width, width)
        self.attend4 = AttentivePropagation(width)
        self.attend3 = AttentivePropagation(width)
        self.attend_n = AttentivePropagation(width)

    def forward(
        self,
        f3: Tensor,
        f4: Tensor,
        f5: Tensor,
        point_hidden: Tensor | None,
        geometry: Tensor,
        tables: dict[str, Tensor],
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """f_i (B, N1, W), point_hidden ĥ_point (B, N1, H) or None, geometry g_f (B, N, G), tables: Neighbourhoods
        → f_P (B, N, D) and f̃_4 after its attentive step (B, N2, D). With ``rows`` (B, R) into N, f_P of these alone:
        losses are taken on a sample of the points."""
        n2 = tables["to_n2"].shape[1]
        geometry3 = gather(geometry, tables["levels"])  # (B, N3, G): taken directly at the FPS points
        geometry4 = geometry3[:, :n2]
        up3 = interpolate(f3, tables["to_n3"], tables["to_n3_weights"])
        up4 = interpolate(f4, tables["to_n2"], tables["to_n2_weights"])
        level5 = self.fuse5(f5, point_hidden)  # (B, N1, D)
        level4 = self.attend4(self.fuse4(torch.cat([up4, geometry4], dim=-1)), level5, tables["from_n1"])
        level3 = self.attend3(self.fuse3(torch.cat([up3, geometry3], dim=-1)), level4, tables["from_n2"])
        nearest = tables["from_n3"]
        if rows is not None:
            geometry, nearest = (
                gather(geometry, rows),
                nearest.gather(1, rows.unsqueeze(-1).expand(-1, -1, nearest.shape[-1])),
            )
        return self.attend_n(self.ground(geometry), level3, nearest), level4


class PlainUpsampling(nn.Module):
    """The vanilla baseline: f_5 (with ĥ_point) carried to all N points by 3-NN interpolation and an MLP."""

    def __init__(self, token_width: int, point_width: int, width: int) -> None:
        super().__init__()
        self.fuse5 = FusePoint(token_width, point_width, width)
        self.mix = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(
        self, f5: Tensor, point_hidden: Tensor | None, tables: dict[str, Tensor], rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `FeaturePropagation.forward`, from f_5 alone → f_P (B, N, D) and its N2 rows (B, N2, D)."""
        level5 = self.fuse5(f5, point_hidden)
        level4 = interpolate(level5, tables["to_n2"], tables["to_n2_weights"])
        index, weights = tables["to_n"], tables["to_n_weights"]
        if rows is not None:
            three = rows.unsqueeze(-1).expand(-1, -1, 3)
            index, weights = index.gather(1, three), weights.gather(1, three)
        return self.mix(interpolate(level5, index, weights)), level4


class FusePoint(nn.Module):
    """f̃_5 = f_5 concatenated with ĥ_point and projected to D (the projection is our choice).

    Training stage 1 has no LLM in the loop, so no ĥ_point: the linear map of the concatenation is kept as two
    maps added, of which the second, for ĥ_point, starts at zero.
    """

    def __init__(self, token_width: int, point_width: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Linear(token_width, width)
        self.points = nn.Linear(point_width, width, bias=False)
        nn.init.zeros_(self.points.weight)

    def forward(self, tokens: Tensor, point_hidden: Tensor | None) -> Tensor:
        fused = self.tokens(tokens)
        return fused if point_hidden is None else fused + self.points(point_hidden)
