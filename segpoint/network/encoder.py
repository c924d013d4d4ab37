"""ℰ, Uni3D's point encoder (Zhou et al., ICLR 2024), as SegPoint takes it: four blocks with an injection before each.

Modules and parameters carry the names of the published checkpoints (`point_encoder.…`), so these load unchanged; see
`segpoint.network.uni3d_checkpoint`. Uni3D's transformer is a timm EVA-02 / EVA whose blocks are called without rotary
embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segpoint.errors import SegPointError
from segpoint.network.attention import attend

BLOCKS = 4
"""Blocks that SegPoint divides the transformer layers into, and injections (section 3.3)."""

BlockKind = Literal["fused_swiglu", "split_swiglu_norm", "gelu"]
Adaptation = Literal["none", "mlp"]
Inject = Callable[[int, Tensor], Tensor]

_EPS = 1e-6


@dataclass(frozen=True)
class Uni3DShape:
    """Sizes of a point encoder.

    Attributes:
        width: width of a token.
        depth: transformer layers, a multiple of 4.
        heads: attention heads; divides width.
        hidden: width inside a layer's MLP (of each half, where it is a SwiGLU).
        kind: "fused_swiglu" (one qkv matrix, packed SwiGLU: tiny, small), "split_swiglu_norm" (separate q, k, v and a
            norm inside the SwiGLU: base, large) or "gelu" (one qkv matrix, plain MLP: giant).
        group_channels: channels of the mini-PointNet's answer.
        stem_width: widest layer W of the mini-PointNet; its layers are W/4, W/2, W.
        embedding: width of the published CLIP-aligned output; 0 leaves that head out, as SegPoint does not use it.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    kind: BlockKind
    group_channels: int = 512
    stem_width: int = 512
    embedding: int = 1024

    def __post_init__(self) -> None:
        if self.depth % BLOCKS:
            raise SegPointError(f"encoder depth must be a multiple of {BLOCKS}, got {self.depth}")
        if self.width % self.heads:
            raise SegPointError(f"encoder width must be a multiple of heads, got {self.width}, {self.heads}")
        if self.stem_width % 4:
            raise SegPointError(f"encoder stem_width must be a multiple of 4, got {self.stem_width}")
        if self.kind not in _MLPS:
            raise SegPointError(f"encoder kind must be one of {', '.join(_MLPS)}, got {self.kind!r}")


class MiniPointNet(nn.Module):
    """One vector per patch: shared MLP, maximum over the patch, joined to every point, shared MLP, maximum.

    The published layers are convolutions of width 1; they are applied as matrices on rows. The joined vector
    [patch maximum, point] is never built: its first matrix is split, and the patch's half multiplied once a patch.
    Same numbers, half the time on a CPU.
    """

    def __init__(self, stem_width: int, out_channels: int) -> None:
        super().__init__()
        quarter, half = stem_width // 4, stem_width // 2
        self.first_conv = nn.Sequential(
            nn.Conv1d(6, quarter, 1), nn.BatchNorm1d(quarter), nn.ReLU(), nn.Conv1d(quarter, half, 1)
        )
        self.second_conv = nn.Sequential(
            nn.Conv1d(stem_width, stem_width, 1),
            nn.BatchNorm1d(stem_width),
            nn.ReLU(),
            nn.Conv1d(stem_width, out_channels, 1),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """(B, N1, S, 6) xyz relative to the centre and rgb → (B, N1, out_channels)."""
        batch, groups, size, _ = patches.shape
        lift, lift_norm, relu, widen = self.first_conv
        join: Any  # a Conv1d; Sequential's type does not tell
        join, join_norm, _, narrow = self.second_conv

        rows = relu(lift_norm(_rowwise(lift, patches.reshape(-1, 6))))  # (B·N1·S, W/4)
        points = _rowwise(widen, rows).view(batch * groups, size, -1)  # (B·N1, S, W/2)
        patch_matrix, point_matrix = join.weight.squeeze(-1).chunk(2, dim=1)  # (W, W/2) each
        patch = F.linear(points.amax(1), patch_matrix, join.bias)  # (B·N1, W)
        joined = F.linear(points, point_matrix) + patch.unsqueeze(1)  # (B·N1, S, W)
        rows = relu(join_norm(joined.flatten(0, 1)))
        return _rowwise(narrow, rows).view(batch, groups, size, -1).amax(2)


def _rowwise(convolution: Any, rows: Tensor) -> Tensor:
    return F.linear(rows, convolution.weight.squeeze(-1), convolution.bias)


class FusedAttention(nn.Module):
    """Self-attention with one qkv matrix and, as EVA has it, no bias on the keys."""

    def __init__(self, shape: Uni3DShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(shape.width))
        self.v_bias = nn.Parameter(torch.zeros(shape.width))
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        query = query + self.q_bias.to(query.dtype)
        value = value + self.v_bias.to(value.dtype)
        return self.proj(_attend(query, key, value, self.heads))


class SplitAttention(nn.Module):
    """Self-attention with separate q, k, v matrices and no bias on the keys."""

    def __init__(self, shape: Uni3DShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj = nn.Linear(shape.width, shape.width)
        self.k_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.width)
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        return self.proj(_attend(self.q_proj(tokens), self.k_proj(tokens), self.v_proj(tokens), self.heads))


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    batch, count, width = query.shape
    query, key, value = (x.view(batch, count, heads, -1).transpose(1, 2) for x in (query, key, value))
    return attend(query, key, value).transpose(1, 2).reshape(batch, count, width)


class PackedSwiGLU(nn.Module):
    """fc2(silu(a) · b), where [a, b] = fc1(x)."""

    def __init__(self, shape: Uni3DShape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape.width, 2 * shape.hidden)
        self.fc2 = nn.Linear(shape.hidden, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        gate, value = self.fc1(tokens).chunk(2, dim=-1)
        return self.fc2(F.silu(gate) * value)


class NormedSwiGLU(nn.Module):
    """fc2(norm(silu(fc1_g(x)) · fc1_x(x)))."""

    def __init__(self, shape: Uni3DShape) -> None:
        super().__init__()
        self.fc1_g = nn.Linear(shape.width, shape.hidden)
        self.fc1_x = nn.Linear(shape.width, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=_EPS)
        self.fc2 = nn.Linear(shape.hidden, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        return self.fc2(self.norm(F.silu(self.fc1_g(tokens)) * self.fc1_x(tokens)))


class GeluMLP(nn.Module):
    """fc2(gelu(fc1(x)))."""

    def __init__(self, shape: Uni3DShape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape.width, shape.hidden)
        self.fc2 = nn.Linear(shape.hidden, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        return self.fc2(F.gelu(self.fc1(tokens)))


_ATTENTIONS: dict[str, type[FusedAttention | SplitAttention]] = {
    "fused_swiglu": FusedAttention,
    "split_swiglu_norm": SplitAttention,
    "gelu": FusedAttention,
}
_MLPS: dict[str, type[PackedSwiGLU | NormedSwiGLU | GeluMLP]] = {
    "fused_swiglu": PackedSwiGLU,
    "split_swiglu_norm": NormedSwiGLU,
    "gelu": GeluMLP,
}

PUBLISHED: dict[str, Uni3DShape] = {
    "tiny": Uni3DShape(width=192, depth=12, heads=3, hidden=512, kind="fused_swiglu"),
    "small": Uni3DShape(width=384, depth=12, heads=6, hidden=1024, kind="fused_swiglu"),
    "base": Uni3DShape(width=768, depth=12, heads=12, hidden=2048, kind="split_swiglu_norm"),
    "large": Uni3DShape(width=1024, depth=24, heads=16, hidden=2730, kind="split_swiglu_norm"),
    "giant": Uni3DShape(width=1408, depth=40, heads=16, hidden=6144, kind="gelu"),
}
"""Published sizes: timm's eva02_{tiny,small}_patch14, eva02_{base,large}_patch14 and eva_giant_patch14."""


class Layer(nn.Module):
    """One pre-norm transformer layer, the number-th, with EVA's initialisation: small weights, and where the layer
    writes to the residual stream the smaller the deeper it stands."""

    def __init__(self, shape: Uni3DShape, number: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=_EPS)
        self.attn = _ATTENTIONS[shape.kind](shape)
        self.norm2 = nn.LayerNorm(shape.width, eps=_EPS)
        self.mlp = _MLPS[shape.kind](shape)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                writes = module is self.attn.proj or module is self.mlp.fc2
                nn.init.trunc_normal_(module.weight, std=0.02 / math.sqrt(2.0 * number) if writes else 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Transformer(nn.Module):
    """The part of the EVA model that Uni3D uses: its layers and final norm."""

    def __init__(self, shape: Uni3DShape) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Layer(shape, number) for number in range(1, shape.depth + 1))
        self.norm = nn.Identity()
        self.fc_norm = nn.LayerNorm(shape.width, eps=_EPS) if shape.embedding else nn.Identity()


class Adapter(nn.Module):
    """The paper's "MLP adapter" baseline: a residual bottleneck after a block, zero at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, width // 4)
        self.up = nn.Linear(width // 4, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) → (B, T, width)."""
        return tokens + self.up(F.gelu(self.down(tokens)))


class PointEncoder(nn.Module):
    """Patches of a cloud → the patch tokens f_1 … f_5.

    ```
    patches ─► mini-PointNet ─► encoder2trans ─┐
    centres ─► pos_embed ──────────────────────┴─► f_1 ─► inject 1 ─► block 1 ─► f_2 ─► … ─► inject 4 ─► block 4 ─► f_5
                                        CLS ─────────────────────────► joins every block, is never injected
    ```

    Injections act on the patch tokens only (the paper does not say): geometry belongs to places, CLS has none. CLS
    travels through the layers because the published weights expect it.

    Args:
        shape: sizes; `PUBLISHED` holds those of the checkpoints.
        adaptation: "none", or "mlp" for the paper's baseline: a residual adapter after each of the four blocks.
    """

    def __init__(self, shape: Uni3DShape, adaptation: Adaptation = "none") -> None:
        super().__init__()
        if adaptation not in ("none", "mlp"):
            raise SegPointError(f"encoder adaptation must be none or mlp, got {adaptation!r}")
        self.shape = shape
        self.encoder = MiniPointNet(shape.stem_width, shape.group_channels)
        self.encoder2trans = nn.Linear(shape.group_channels, shape.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.cls_pos = nn.Parameter(torch.randn(1, 1, shape.width))
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, shape.width))
        self.visual = Transformer(shape)
        self.trans2embed = nn.Linear(shape.width, shape.embedding) if shape.embedding else nn.Identity()
        self.adapters = nn.ModuleList(Adapter(shape.width) for _ in range(BLOCKS if adaptation == "mlp" else 0))

    def forward(
        self, patch_points: Tensor, patch_rgb: Tensor, centres: Tensor, inject: Inject | None = None
    ) -> tuple[Tensor, ...]:
        """f_1 … f_5, the patch tokens without CLS.

        Args:
            patch_points: (B, N1, S, 3) float, points of each patch relative to its centre, cloud in a unit sphere.
            patch_rgb: (B, N1, S, 3) float in [0, 1].
            centres: (B, N1, 3) float.
            inject: called as inject(i, f_i) before block i = 1 … 4; returns f̂_i of the same shape.

        Returns:
            Five tensors (B, N1, width): f_1 … f_4, the inputs of the four blocks before injection, and f_5, the
            output of the last.
        """
        tokens = self._input_tokens(patch_points, patch_rgb, centres)
        per_block = self.shape.depth // BLOCKS
        levels = []
        for block in range(BLOCKS):
            levels.append(tokens[:, 1:])
            if inject is not None:
                tokens = torch.cat([tokens[:, :1], inject(block + 1, levels[-1])], dim=1)
            for layer in self.visual.blocks[block * per_block : (block + 1) * per_block]:
                tokens = layer(tokens)
            if self.adapters:
                tokens = self.adapters[block](tokens)
        return (*levels, tokens[:, 1:])

    def layer_tokens(self, patch_points: Tensor, patch_rgb: Tensor, centres: Tensor) -> list[Tensor]:
        """(B, 1 + N1, width) tokens, CLS first, as they enter the first layer and leave each of the layers."""
        tokens = [self._input_tokens(patch_points, patch_rgb, centres)]
        for layer in self.visual.blocks:
            tokens.append(layer(tokens[-1]))
        return tokens

    def embedding(self, patch_points: Tensor, patch_rgb: Tensor, centres: Tensor) -> Tensor:
        """Uni3D's published answer (B, embedding): CLS after the last layer, normed and projected to CLIP's space."""
        cls = self.layer_tokens(patch_points, patch_rgb, centres)[-1][:, 0]
        return self.trans2embed(self.visual.fc_norm(self.visual.norm(cls)))

    def _input_tokens(self, patch_points: Tensor, patch_rgb: Tensor, centres: Tensor) -> Tensor:
        patches = self.encoder2trans(self.encoder(torch.cat([patch_points, patch_rgb], dim=-1)))
        patches = patches + self.pos_embed(centres)
        cls = (self.cls_token + self.cls_pos).expand(patches.shape[0], -1, -1)
        # The residual stream keeps the parameters' type: under autocast it must not be rounded to bf16 layer by layer.
        return torch.cat([cls, patches.to(cls.dtype)], dim=1)
