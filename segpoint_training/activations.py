"""What a training stage's forward pass keeps in memory for the backward pass, by calculation.

Every formula counts, for one cloud, the tensors that PyTorch's autograd keeps of one part of the network. A test
measures them on small models.

Symbols: N points, R of them in the losses, N1 < N2 < N3 tokens and levels, W the encoder's width, G that of g_f, D of
f_P, H of the LLM, L its tokens in one packed sequence; h bytes a number: 2 under bfloat16, 4 without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from segpoint.config import BundleConfig
from segpoint.network.inputs import POINT_FEATURES
from segpoint_training.config import StageConfig
from segpoint_training.parameters import LLM, LORA, Part

if TYPE_CHECKING:
    from transformers import LlamaConfig


@dataclass(frozen=True)
class Numerics:
    """How a device computes, as far as it decides what is kept.

    half: bytes of what autocast computes.   softmax: bytes that a softmax leaves for each of its numbers: the answer
    in float32 and, where it is multiplied, again in bfloat16.   norm: bytes of what enters a LayerNorm.
    fused: whether attention keeps its scores (a CPU's, written out) or computes them again (a GPU's).
    mask: bytes of dropout's mask.
    """

    half: int
    softmax: int
    norm: int
    fused: bool
    mask: int

    @classmethod
    def of(cls, device: str, precision: str) -> Numerics:
        """device: "cuda" or "cpu".   precision: "bf16" or "fp32"."""
        if device == "cpu":  # whose autocast leaves softmax and LayerNorm in bfloat16
            half = 2 if precision == "bf16" else 4
            return cls(half, half, half, fused=False, mask=4)
        return cls(2, 6, 4, True, 1) if precision == "bf16" else cls(4, 4, 4, True, 1)


@dataclass(frozen=True)
class Packed:
    """The LLM's packed sequence about one cloud.

    tokens: all of it.   answers: tokens of answers, which logits are taken of.   segs: <SEG>s.   question: tokens of
    the longest question.
    """

    tokens: int
    answers: int
    segs: int
    question: int


def activations(
    config: BundleConfig, stage: StageConfig, parts: Sequence[Part], shape: LlamaConfig, packed: Packed, device: str
) -> dict[str, int]:
    """Bytes that a step keeps of each cloud that a process takes at once, by part.

    parts: of the stage, which say what gradients reach; an encoder of which anything is trained counts as trained
    whole.   shape: the LLM's.   device: "cuda" or "cpu".
    """
    n, width, rows = Numerics.of(device, stage.precision), shape.hidden_size, stage.points
    trained = {part.name for part in parts if part.trained}
    answers = LLM in {part.name for part in parts}  # stage 2
    kept: dict[str, int] = {}
    if trained & {"encoder", "injections"}:
        kept["encoder"] = encoder_bytes(config, "encoder" in trained, n)
    if "GEM" in trained:
        kept["GEM"] = gem_bytes(config, n)
    if "injections" in trained:
        kept["injections"] = injection_bytes(config, n)
    if answers:
        kept["LLM"] = language_bytes(config, shape, packed.tokens, n, stage.checkpointing)
        kept["words"] = words_bytes(config, shape, packed)
    else:
        kept["words"] = heads_bytes(config, rows, width, n)
    kept["GFP"] = propagation_bytes(config, rows, width if answers else 0, n)
    # In stage 2 the reader looks twice: whether there is a target, and for each <SEG> where.
    for asked in (stage.questions, packed.segs) if answers else (stage.questions,):
        kept["reader"] = kept.get("reader", 0) + reader_bytes(config, rows, asked, packed.question, width, n)
    kept["masks"] = mask_bytes(config, rows, packed.segs if answers else stage.questions, width, n)
    return {name: count for name, count in kept.items() if count}


def rounded_weights(stage: StageConfig, parts: Sequence[Part], kept: Mapping[str, int]) -> int:
    """Bytes of the weights' copies that autocast makes for a step: 2 for each weight of what gradients pass through.

    The LLM and its projection compute without autocast.
    """
    if stage.precision != "bf16":
        return 0
    alone = {LLM, LORA, "projection", "<SEG>"} if LLM in {part.name for part in parts} else set()
    reached = {"γ", "GFP", "auxiliary heads", "projection", *kept} - alone
    return sum(2 * (part.trained + part.frozen) for part in parts if part.name in reached)


def encoder_bytes(config: BundleConfig, trained: bool, n: Numerics) -> int:
    """ℰ, gradients passing through its layers on their way to GEM; T = N1 + 1 tokens, M = hidden, h bytes a number.

    A layer keeps 8 T W (what enters its two norms, float32) + 3 h T W (q, k, v; 5 where they are cut from one matrix) +
    heads T² scores on a CPU, h T W answers on a GPU + what the MLP multiplies: 3 h T M (fused_swiglu), 3 h T M and what
    enters its norm (split_swiglu_norm), h T M (gelu).
    Trained, also what enters each matrix: of width W three times (split under bfloat16: six), of width M once; and the
    rows of the mini-PointNet: h N1 S (6 + 3 W_stem + C).
    """
    e, h = config.encoder, n.half
    tokens, split = e.tokens + 1, e.block == "split_swiglu_norm"
    attention = (3 if split else 5) * h * e.width + (h * e.width if n.fused else e.heads * tokens * n.softmax)
    inner = {"fused_swiglu": 3 * h, "split_swiglu_norm": 3 * h + n.norm, "gelu": h}[e.block]
    layer = 8 * e.width + attention + inner * e.hidden
    if not trained:
        return e.depth * tokens * layer
    layer += h * ((6 if split and h == 2 else 3) * e.width + e.hidden)
    stem = e.tokens * e.patch * h * (6 + 3 * e.stem_width + e.group_channels)
    return e.depth * tokens * layer + stem + e.tokens * h * (e.group_channels + 256)


def gem_bytes(config: BundleConfig, n: Numerics) -> int:
    """𝒢, K neighbours, P kernel points, channels C → C' of each KPConv:

    h N P K influences, once; a layer keeps h N P C (what enters its matrix) + 12 N C' (BatchNorm's input, that less its
    mean, ReLU's answer, all float32), from the second on 8 N K indices, too.
    """
    gem, points = config.gem, config.cloud.points
    channels = (POINT_FEATURES, *gem.widths)
    table = n.half * gem.kernel_points * gem.neighbours + 2 * 8 * gem.neighbours
    layers = sum(n.half * gem.kernel_points * c + 12 * c_out for c, c_out in pairwise(channels))
    return points * (table + layers)


def injection_bytes(config: BundleConfig, n: Numerics) -> int:
    """The four injections, each: N1 N softmax + h N1 (2 W + 2 G), and under bfloat16 h N G (g_f, rounded)."""
    tokens, points = config.encoder.tokens, config.cloud.points
    width, geometric = config.encoder.width, config.gem.widths[-1]
    rounded = n.half * points * geometric if n.half == 2 else 0
    return 4 * (tokens * points * n.softmax + rounded + 2 * n.half * tokens * (width + geometric))


def propagation_bytes(config: BundleConfig, rows: int, width: int, n: Numerics) -> int:
    """𝒫 onto R points; H = ``width``.

    h N1 (W + H) (f_5, ĥ_point) + h (N2 + N3) (W + G + D) (concatenated, ReLU's answer) + h R G.
    An attentive step of M targets and S sources keeps h S D + M (h (3 D + D / 4) (target, query, what the FFN's two
    matrices take) + D norm + k (5/4 h D (keys, values) + softmax + 16 (indices))).
    """
    tokens, (n2, n3), k = config.encoder.tokens, config.gfp.levels, config.gfp.neighbours
    token, geometric, d, h = config.encoder.width, config.gem.widths[-1], config.gfp.width, n.half
    if not config.gfp.enabled:
        return h * (tokens * (token + width) + 2 * rows * d) + 24 * (n2 + rows)
    target = h * (3 * d + d // 4) + d * n.norm + k * (h * (d + d // 4) + n.softmax + 16)
    steps = target * (n2 + n3 + rows) + h * d * (tokens + n2 + n3)
    return steps + h * (tokens * (token + width) + (n2 + n3) * (token + geometric + d) + rows * geometric)


def language_bytes(config: BundleConfig, shape: LlamaConfig, length: int, n: Numerics, checkpointing: bool) -> int:
    """ℱ over L tokens; A = heads · head width, I = the MLP's width.

    A layer keeps 8 L H (what enters its two norms, float32) + h L (4 A (q, k, v, answer) + L (mask) + 3 I) + 4 L heads,
    and of each matrix with LoRA what enters that, float32, and dropout's mask, and 4 L r. Frozen matrices keep nothing.
    With checkpointing it keeps h L H, what enters it, alone.
    """
    if checkpointing:
        return shape.num_hidden_layers * n.half * length * shape.hidden_size
    return shape.num_hidden_layers * layer_bytes(config, shape, length, n)


def layer_bytes(config: BundleConfig, shape: LlamaConfig, length: int, n: Numerics) -> int:
    """What one layer of ℱ keeps without checkpointing; see `language_bytes`."""
    settings, h = config.language, n.half
    heads = shape.num_attention_heads
    answer = heads * (getattr(shape, "head_dim", None) or shape.hidden_size // heads)
    lora = 0
    for target in settings.lora_targets if settings.lora_rank else ():
        inputs = {"o_proj": answer, "down_proj": shape.intermediate_size}.get(target, shape.hidden_size)
        lora += inputs * (4 + (n.mask if settings.lora_dropout else 0)) + 4 * settings.lora_rank
    attention = h * (4 * answer + length) + 4 * heads
    return length * (8 * shape.hidden_size + attention + 3 * h * shape.intermediate_size + lora)


def words_bytes(config: BundleConfig, shape: LlamaConfig, packed: Packed) -> int:
    """Before and after ℱ's layers, float32: 4 N1 (W + 3 H) (the projection), 4 L H (the last norm), and of T answer
    tokens 4 T (V + H) (the softmax over the vocabulary, <SEG>'s logit)."""
    width, tokens = shape.hidden_size, config.encoder.tokens
    projection = tokens * (config.encoder.width + 3 * width)
    return 4 * (projection + packed.tokens * width + packed.answers * (shape.vocab_size + width))


def heads_bytes(config: BundleConfig, rows: int, width: int, n: Numerics) -> int:
    """Stage 1's auxiliary losses: h N1 (W + 3 H) (the projection), and 24 H of each of N1 projected tokens and R named
    points (normed in float32, for categories and for colours)."""
    tokens = config.encoder.tokens
    return n.half * tokens * (config.encoder.width + 3 * width) + 24 * (tokens + rows) * width


def mask_bytes(config: BundleConfig, rows: int, segs: int, width: int, n: Numerics) -> int:
    """γ and the dot product: h segs (2 H + D) + h R D + 24 segs R (logits, targets and shares in the losses)."""
    d = config.gfp.width
    return n.half * (segs * (2 * width + d) + rows * d) + 24 * segs * rows


def reader_bytes(config: BundleConfig, rows: int, asked: int, words: int, width: int, n: Numerics) -> int:
    """The mask reader, for ``asked`` questions of T = ``words`` tokens, against the N2 points of the middle level.

    A layer keeps 3 h N2 D (scene, keys, values) + 17 h D (what enters its matrices, q, k, v) and what enters its norms
    for each of Q (T + 1) tokens, and on a CPU the scores: heads Q (T + 1) (T + 1 + N2). Around them Q T H (4 + h)
    (words) + 2 h N2 (D + 51) + h R (2 D + 51) (positions) + 12 Q R (presence).
    """
    reader, d, h = config.reader, config.gfp.width, n.half
    if not reader.layers:
        return 0
    level, tokens = config.gfp.levels[0], words + 1
    scores = 0 if n.fused else reader.heads * (tokens + level) * n.softmax
    layer = 3 * h * level * d + asked * tokens * ((3 * n.norm + 17 * h) * d + scores)
    around = asked * words * width * (4 + h) + 2 * h * level * (d + 51) + h * rows * (2 * d + 51) + 12 * asked * rows
    return reader.layers * layer + around
