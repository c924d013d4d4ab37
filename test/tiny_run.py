"""A training run of seconds: a tiny LLaMA on disk, a tiny network, a few generated scenes, the paper's one stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from tiny_language import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GemConfig, GfpConfig, LanguageConfig, ReaderConfig
from segpoint_training.config import DataConfig, StageConfig, TrainConfig

BACKBONE, WIDTH = "tiny-llama", 32
MODEL = BundleConfig(
    cloud=CloudConfig(points=512),
    encoder=EncoderConfig(tokens=16, patch=8, width=24, depth=4, heads=2, hidden=32, stem_width=16, group_channels=16),
    gem=GemConfig(neighbours=8, widths=(8, 8, 12)),
    gfp=GfpConfig(levels=(32, 64), neighbours=4, width=16),
    language=LanguageConfig(backbone=BACKBONE, lora_dropout=0.0),
    reader=ReaderConfig(layers=0),
    presence_weight=0.0,
)


def write_backbone(cache: Path, layers: int = 2) -> Path:
    """A random LlamaForCausalLM with a LLaMA2-like tokenizer, as `segpoint setup`'s neighbours in the cache."""
    tokenizer = tiny_tokenizer("llama2")
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=layers,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=False,
        )
    )  # fmt: skip
    folder = cache / "backbones" / BACKBONE
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def paper_run(steps: int = 4, **stage: object) -> TrainConfig:
    """As the paper trains: no stage 1, GEM with the language model in the loop, a straight line for the rate."""
    settings = dict(
        scenes=2, questions=4, semantic=1, pointing=0, every=1, points=128, rate=1e-3, gate_rate=1e-3, warmup=2,
        schedule="linear", weight_decay=0.0, geometry=True, ema=0.0, precision="fp32", objects=0.0,
    )  # fmt: skip
    return TrainConfig(
        data=DataConfig(train_scenes=4, validation_scenes=1, rooms=0, validation_rooms=0, width=96, workers=2),
        stage1=None,
        stage2=replace(StageConfig(steps=steps), **{**settings, **stage}),
        model=MODEL,
    )
