"""How many numbers each part of a stage's network has, and which of them it trains, without making any of them.

The stage's own trainer is built on PyTorch's meta device, where a tensor is a shape: LLaMA2-7B costs a second and no
memory, and what counts as trained is what the stage would train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from segpoint.config import BundleConfig
from segpoint.network.language import PointLanguageModel, point_projection, with_lora
from segpoint_training.backbones import backbone_shape
from segpoint_training.config import TrainConfig
from segpoint_training.questions import QuestionStates

if TYPE_CHECKING:
    from transformers import LlamaConfig

LLM, LORA = "LLM base", "LoRA"
_PARTS = {  # in the order of the data; a parameter is of the first that its name begins with
    "network.encoder.": "encoder",
    "network.gem.": "GEM",
    "network.injections.": "injections",
    "language.project.": "projection",
    "project.": "projection",
    "language.seg_": "<SEG>",
    "language.": LLM,
    "network.propagation.": "GFP",
    "network.gamma.": "γ",
    "network.reader.": "reader",
    "network.place.": "reader",
    "heads.": "auxiliary heads",
}
_BLOCK = 64  # weights that share one of nf4's constants, a float32


@dataclass(frozen=True)
class Part:
    """A part of the network: its trained and its frozen parameters, and the bytes that hold them."""

    name: str
    trained: int
    frozen: int
    bytes: int


def count_parts(config: TrainConfig, stage: str) -> list[Part]:
    """The parts of "stage1" or "stage2" that have parameters. Raises SegPointError for an unknown backbone.

    Trained parameters and the encoder are held in float32; the LLM's in the stage's precision, or where it is quantized
    its layers' matrices in 8 bits and a float32 for each row, or in 4 bits and a float32 for every 64 of them.
    """
    settings = config.stage1 if stage == "stage1" else config.stage2
    assert settings is not None
    with torch.device("meta"):
        trainer = _stage1(config.model) if stage == "stage1" else _stage2(config.model, settings.geometry)
    matrices = _matrices(trainer)
    plain = 2 if settings.precision == "bf16" else 4
    parts: dict[str, list[int]] = {}
    for name, parameter in trainer.named_parameters():
        part, count = _part(name), parameter.numel()
        if part != LLM:
            held = 4 * count
        elif name in matrices:
            held = _held(parameter.shape, config.model.language.quantization, plain)
        else:
            held = plain * count
        row = parts.setdefault(part, [0, 0, 0])
        row[not parameter.requires_grad] += count
        row[2] += held
    order = list(dict.fromkeys([*_PARTS.values(), LORA]))
    return [Part(name, *parts[name]) for name in sorted(parts, key=order.index)]


def _part(name: str) -> str:
    part = next(part for prefix, part in _PARTS.items() if name.startswith(prefix))
    return LORA if part == LLM and ".lora_" in name else part


def _held(shape: torch.Size, quantization: str, plain: int) -> int:
    """Bytes of a matrix (rows, columns) of the LLM's layers."""
    count = shape.numel()
    if quantization == "nf4":
        return count // 2 + 4 * -(-count // _BLOCK)
    return count + 4 * shape[0] if quantization == "int8" else plain * count


def _matrices(trainer: nn.Module) -> set[str]:
    """The names of what quantization narrows: the matrices of the LLM's layers, not its head."""
    modules = trainer.named_modules()
    return {f"{name}.weight" for name, module in modules if isinstance(module, nn.Linear) and ".layers." in name}


class _Language(nn.Module):
    """The parameters of a `PointLanguageModel`, whose tokenizer is not needed to count them."""

    def __init__(self, config: BundleConfig, shape: LlamaConfig) -> None:
        from transformers import LlamaForCausalLM

        super().__init__()
        settings, self.hidden_size = config.language, shape.hidden_size
        llm = LlamaForCausalLM(shape).requires_grad_(False)
        rank, alpha, dropout = settings.lora_rank, settings.lora_alpha, settings.lora_dropout
        self.llm = with_lora(llm, rank, alpha, dropout, settings.lora_targets) if rank else llm
        self.seg_embedding = nn.Parameter(torch.zeros(1, self.hidden_size))
        self.seg_head = nn.Parameter(torch.zeros(1, self.hidden_size))
        self.seg_bias = nn.Parameter(torch.zeros(1))
        self.project = point_projection(config.encoder.width, self.hidden_size, _words(self.hidden_size))


def _stage2(config: BundleConfig, geometry: bool) -> nn.Module:
    from segpoint_training.stage2 import AnswerTrainer

    language = _Language(config, backbone_shape(config.language.backbone))
    trainer = AnswerTrainer(config, cast(PointLanguageModel, language), None, geometry)
    trainer.freeze()
    return trainer


def _stage1(config: BundleConfig) -> nn.Module:
    from segpoint_training.stage1 import MaskTrainer, Words

    width = backbone_shape(config.language.backbone).hidden_size
    states = QuestionStates(torch.zeros(0, width), torch.zeros(1), {})
    return MaskTrainer(config, states, Words((), (), _words(width), _words(width)))


def _words(width: int) -> torch.Tensor:
    """A table of embeddings, off the meta device: a projection reads their size."""
    return torch.ones(1, width, device="cpu")
