"""SegPoint: the whole network of the paper's Fig. 3, put together.

    cloud ─▶ 𝒢 GEM ─────────────────────── g_f ──────────────┐
      │            inject before each block │                │
      └─▶ ℰ Uni3D: f_1 … f_4, f_5 ──────────┘─▶ f_3, f_4, f_5 ─▶ 𝒫 GFP ─▶ f_P (N, D) ──┐
                               │                     ▲ ĥ_point                          ⊗ ─▶ mask (N)
             instruction ─▶ ℱ LLM + LoRA ────────────┴──▶ ŷ_seg ─▶ γ (─▶ reader) ─▶ ĥ_seg ┘

Everything left of the LLM's question depends on the cloud alone: it is computed once for many instructions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, nn

from segpoint.config import BundleConfig
from segpoint.network.encoder import BlockKind, PointEncoder, Uni3DShape
from segpoint.network.gem import GeometricEnhancer, GeometricInjection
from segpoint.network.gfp import FeaturePropagation, PlainUpsampling
from segpoint.network.inputs import POINT_FEATURES, PointInputs
from segpoint.network.kpconv import gather
from segpoint.network.place import PlaceEncoder, Places
from segpoint.network.reader import KeysValues, MaskReader


@dataclass(frozen=True)
class PointTokens:
    """What ℰ and 𝒢 make of a batch of clouds: f_3, f_4, f_5 (B, N1, W) and g_f (B, N, G) or None."""

    f3: Tensor
    f4: Tensor
    f5: Tensor
    geometry: Tensor | None

    def scene(self, b: int) -> PointTokens:
        """The b-th cloud alone, as a batch of one."""
        geometry = None if self.geometry is None else self.geometry[b : b + 1]
        return PointTokens(self.f3[b : b + 1], self.f4[b : b + 1], self.f5[b : b + 1], geometry)


@dataclass(frozen=True)
class SceneFeatures:
    """What a question is read against: f_P (B, N, D) and the middle level (B, N2, D), each with its points (…, 3) and
    which of them are no padding (…,) bool.

    seen, located: what the reader makes of them before any question; None: made for each (`SegPoint.look`).
    """

    dense: Tensor
    points: Tensor
    valid: Tensor
    scene: Tensor
    positions: Tensor
    scene_valid: Tensor
    seen: list[KeysValues] | None = None
    located: Tensor | None = None


class SegPoint(nn.Module):
    """Encoder, GEM, GFP, γ and reader. The LLM is `segpoint.network.language.PointLanguageModel`, kept beside it.

    language_width: H, the LLM's hidden size.
    """

    def __init__(self, config: BundleConfig, language_width: int) -> None:
        super().__init__()
        self.config, self.language_width = config, language_width
        encoder, gem, gfp = config.encoder, config.gem, config.gfp
        shape = Uni3DShape(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            hidden=encoder.hidden,
            kind=cast(BlockKind, encoder.block),
            group_channels=encoder.group_channels,
            stem_width=encoder.stem_width,
            embedding=0,
        )
        self.encoder = PointEncoder(shape, adaptation="mlp" if encoder.adaptation == "mlp" else "none")
        self.gem = (
            GeometricEnhancer(POINT_FEATURES, gem.widths, gem.kernel_points, radius=1.0)
            if config.uses_geometry
            else None
        )
        self.injections = (
            nn.ModuleList(GeometricInjection(encoder.width, gem.widths[-1]) for _ in range(4)) if gem.inject else None
        )
        self.propagation: nn.Module = (
            FeaturePropagation(encoder.width, language_width, gem.widths[-1], gfp.width)
            if gfp.enabled
            else PlainUpsampling(encoder.width, language_width, gfp.width)
        )
        # γ as in LISA: Linear H→H, ReLU, Linear H→D.
        self.gamma = nn.Sequential(
            nn.Linear(language_width, language_width), nn.ReLU(), nn.Linear(language_width, gfp.width)
        )
        reader = config.reader
        self.reader = MaskReader(language_width, gfp.width, reader.layers, reader.heads) if reader.layers else None
        self.place = PlaceEncoder(gfp.width, language_width) if reader.layers else None

    def adapt(self) -> None:
        """Choose what of the encoder is trained (the paper's Tab. 6): nothing, all, LoRA in its attention, or adapters.

        LoRA is laid in by peft, in place. Call it after the encoder's weights are loaded.
        """
        adaptation = self.config.encoder.adaptation
        self.encoder.requires_grad_(adaptation == "full")
        if adaptation == "mlp":
            self.encoder.adapters.requires_grad_(True)
        if adaptation == "lora":
            from peft import LoraConfig, inject_adapter_in_model

            names = ["qkv"] if self.config.encoder.block != "split_swiglu_norm" else ["q_proj", "v_proj"]
            inject_adapter_in_model(LoraConfig(r=8, lora_alpha=16, target_modules=names), self.encoder)

    def encode(self, inputs: PointInputs) -> PointTokens:
        """𝒢 and ℰ: the tokens of a batch of clouds, geometry injected before each of the four blocks."""
        geometry = None
        if self.gem is not None:
            geometry = self.gem(inputs.features, inputs.local, inputs.tables["kernel"], inputs.valid)  # (B, N, G)
        patches, levels = inputs.tables["patches"], inputs.tables["levels"]
        return PointTokens(*self.tokenise(inputs.points, inputs.rgb, patches, levels, geometry, inputs.valid), geometry)

    def tokenise(
        self,
        points: Tensor,
        rgb: Tensor,
        patches: Tensor,
        levels: Tensor,
        geometry: Tensor | None,
        valid: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """ℰ: f_3, f_4, f_5 (B, N1, W) of the fields of `PointInputs`; geometry g_f and valid where g_f is injected."""
        centres = gather(points, levels[:, : patches.shape[1]])  # (B, N1, 3)
        patch_points = gather(points, patches) - centres.unsqueeze(2)  # (B, N1, S, 3)
        inject = None
        if self.injections is not None:
            injections = self.injections

            def inject(block: int, tokens: Tensor) -> Tensor:
                return injections[block - 1](tokens, geometry, valid)

        _, _, f3, f4, f5 = self.encoder(patch_points, gather(rgb, patches), centres, inject)
        return f3, f4, f5

    def propagate(
        self, tokens: PointTokens, point_hidden: Tensor | None, inputs: PointInputs, rows: Tensor | None = None
    ) -> SceneFeatures:
        """𝒫: features of all N points, or of ``rows`` (B, R) alone.

        point_hidden: ĥ_point (B, N1, H), None in training stage 1 (no LLM).
        """
        if isinstance(self.propagation, FeaturePropagation):
            dense, scene = self.propagation(
                tokens.f3, tokens.f4, tokens.f5, point_hidden, tokens.geometry, inputs.tables, rows
            )
        else:
            dense, scene = self.propagation(tokens.f5, point_hidden, inputs.tables, rows)
        return scene_features(dense, scene, inputs, rows)

    def look(self, features: SceneFeatures) -> SceneFeatures:
        """The features with what every question about them has in common."""
        if self.reader is None:
            return features
        located = features.dense + self.reader.locate(features.points)
        return replace(features, seen=self.reader.look(features.scene, features.positions), located=located)

    def read(
        self,
        features: SceneFeatures,
        seg_hidden: Tensor | None,
        words: Tensor | None,
        word_mask: Tensor | None,
        places: Places | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """m̂ = ĥ_seg ⊗ f_P for Q questions a cloud.

        seg_hidden: ŷ_seg (B, Q, H); None where the reader is to go by the question alone (training stage 1, presence).
        words: the frozen LLM's states of the question (B, Q, T, H), word_mask (B, Q, T) bool; the reader needs them.
        places: what the user points at with each question, used by the reader (and by the LLM, before this).
        → mask logits (B, Q, N) and presence logits (B, Q), None without a reader.
        """
        seg = None if seg_hidden is None else self.gamma(seg_hidden)
        dense = features.dense
        if self.reader is None or self.place is None:
            if seg is None:
                raise ValueError("without a reader there is no mask before the LLM has answered: seg_hidden is needed")
            return _masks(seg, dense), None
        if words is None or word_mask is None:
            raise ValueError("the reader goes by the question's words: words and word_mask are needed")
        at = (None, None) if places is None else (self.place(places, dense), places.mask)
        if features.seen is None:
            features = self.look(features)
        assert features.seen is not None and features.located is not None
        seg, read = self.reader(seg, words, word_mask, features.seen, features.scene_valid, *at)
        logits = _masks(seg, features.located)
        return logits, self.reader.presence(read, logits, dense, features.valid)


def _masks(seg: Tensor, dense: Tensor) -> Tensor:
    """ĥ_seg ⊗ f_P: (B, Q, D), (B, N, D) → (B, Q, N), scaled by 1/√D (our choice: logits of order one at the start)."""
    return seg @ dense.transpose(1, 2) / math.sqrt(seg.shape[-1])


def scene_features(dense: Tensor, scene: Tensor, inputs: PointInputs, rows: Tensor | None = None) -> SceneFeatures:
    """f_P of all points, or of ``rows``, and the middle level (B, N2, D), put to their points."""
    level = inputs.tables["levels"][:, : scene.shape[1]]
    points, valid = inputs.points, inputs.valid
    if rows is not None:
        points, valid = gather(points, rows), valid.gather(1, rows)
    return SceneFeatures(dense, points, valid, scene, gather(inputs.points, level), inputs.valid.gather(1, level))
