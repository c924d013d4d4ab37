"""What one process of a training stage holds in memory, by calculation: weights, what trains them, and activations."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segpoint.config import BundleConfig
from segpoint_training.activations import Numerics, Packed, activations, layer_bytes, rounded_weights
from segpoint_training.config import StageConfig
from segpoint_training.parameters import LLM, LORA, Part

if TYPE_CHECKING:
    from transformers import LlamaConfig

STRATEGIES = ("ddp", "fsdp", "zero2")
"""How processes share what they hold: every one has everything, 1/processes of everything (FSDP), or all weights but
1/processes of gradients and optimizer states (DeepSpeed ZeRO-2)."""

_CONTEXT = {"cuda": 1 << 30, "cpu": 3 << 28}  # CUDA's context and libraries, or Python's
_GAPS = 0.1  # of the activations: what an allocator cannot use between them


@dataclass(frozen=True)
class Memory:
    """Bytes of one process at the worst moment of a step.

    weights: its share of them.   gathered: of FSDP, weights that it has fetched for the moment: two of the LLM's layers
    and all that is none.   gradients: float32, and where processes exchange them whole a copy.   optimizer: AdamW's
    two float32 states.   average: the moving average, float32.   activations: of each part, of all clouds at once.
    rounded: autocast's copies of weights.   passing: the largest of what is soon gone (`passing_bytes`).   rest: the
    context, and gaps.
    """

    weights: int
    gathered: int
    gradients: int
    optimizer: int
    average: int
    activations: dict[str, int]
    rounded: int
    passing: int
    rest: int

    @property
    def total(self) -> int:
        return sum(sum(value.values()) if isinstance(value, dict) else value for value in vars(self).values())


def stage_memory(
    config: BundleConfig,
    stage: StageConfig,
    parts: list[Part],
    shape: LlamaConfig,
    packed: Packed,
    clouds: int,
    processes: int,
    strategy: str,
    device: str,
) -> Memory:
    """One of ``processes`` that share a stage by ``strategy``, taking so many ``clouds`` at once on "cuda" or "cpu".

    With t trained parameters: gradients 4 t (twice under DDP, which exchanges them in buckets), AdamW 8 t, average 4 t.
    """
    trained = 4 * sum(part.trained for part in parts)
    weights = sum(part.bytes for part in parts)
    share = processes if strategy == "fsdp" else 1
    stepped = 1 if strategy == "ddp" else processes  # who shares gradients and optimizer states
    one = activations(config, stage, parts, shape, packed, device)
    kept = {name: clouds * count for name, count in one.items()}
    copies = 2 if strategy == "ddp" and processes > 1 else 1
    return Memory(
        weights=weights // share,
        gathered=_gathered(parts, shape, 2 if stage.precision == "bf16" else 4) if share > 1 else 0,
        gradients=copies * trained // stepped,
        optimizer=2 * trained // stepped,
        average=trained // share,
        activations=kept,
        rounded=rounded_weights(stage, parts, kept),
        passing=passing_bytes(config, stage, parts, shape, packed, clouds, device),
        rest=_CONTEXT[device] + int(_GAPS * sum(kept.values())),
    )


def passing_bytes(
    config: BundleConfig,
    stage: StageConfig,
    parts: list[Part],
    shape: LlamaConfig,
    packed: Packed,
    clouds: int,
    device: str,
) -> int:
    """The largest of what a step needs for a moment, on top of what it keeps.

    12 N P K for each cloud (KPConv's influences in float32), 10 T V (the logits of T answer tokens and their
    gradients), or in a layer of the LLM 3 h L I of gradients, with checkpointing all that it then keeps, and where it
    is quantized one matrix as it was, 2 H I.
    """
    gem, n = config.gem, Numerics.of(device, stage.precision)
    influences = 12 * config.cloud.points * gem.kernel_points * gem.neighbours * clouds
    if LLM not in {part.name for part in parts}:
        return influences
    layer = 3 * n.half * packed.tokens * shape.intermediate_size
    if stage.checkpointing:
        layer += layer_bytes(config, shape, packed.tokens, n)
    if config.language.quantization != "none":
        layer += 2 * shape.hidden_size * shape.intermediate_size
    return max(influences, 10 * packed.answers * shape.vocab_size, layer)


def _gathered(parts: list[Part], shape: LlamaConfig, width: int) -> int:
    """The bytes of two of the LLM's layers, and of all that is none, which FSDP takes as one unit."""
    layers = sum(part.bytes for part in parts if part.name in (LLM, LORA))
    words = width * shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    others = sum(part.bytes for part in parts if part.name not in (LLM, LORA))
    return others + words + 2 * max(layers - words, 0) // shape.num_hidden_layers


def machine_memory() -> tuple[str, int]:
    """Where a run would be here, "cuda" or "cpu", and the bytes of one GPU or of the machine."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_properties(0).total_memory
    return "cpu", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
