"""What a training run is: data, stages, and the model; read from YAML, unknown keys are errors, saved with the run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from segpoint.config import BundleConfig, build
from segpoint.errors import SegPointError


@dataclass(frozen=True)
class DataConfig:
    """Generated scenes: ``train_scenes`` seeds of the train split from 0, ``validation_scenes`` from the end of the
    seed range. width: pixels of the generated depth image (height is 3/4 of it). sentences: train on this many of the
    most frequent ones only (each costs stage 1 an embedding by the LLM)."""

    train_scenes: int = 5000
    validation_scenes: int = 50
    sentences: int = 8000
    width: int = 320
    workers: int = 2


@dataclass(frozen=True)
class StageConfig:
    """One stage of training.

    steps: optimizer steps; the learning rate warms up over ``warmup`` of them and falls to a hundredth by a cosine.
    scenes, questions, points: of one step: clouds, instructions a cloud, points a cloud that losses are taken on.
    rate, gate_rate: AdamW's learning rate, and that of GEM's gates (PROTOTYPE: at one rate they barely move).
    text, bce, dice: the paper's loss weights (1, 2, 2).   objects, presence, instances, words: of ours.
    slower: stage 2's share of the rate for what stage 1 has trained.   ema: decay of the weight average that is kept.
    """

    steps: int
    scenes: int = 4
    questions: int = 12
    points: int = 1024
    rate: float = 1e-3
    gate_rate: float = 1e-2
    weight_decay: float = 0.02
    slower: float = 0.3
    warmup: int = 100
    clip: float = 1.0
    text: float = 1.0
    bce: float = 2.0
    dice: float = 2.0
    objects: float = 2.0
    presence: float = 0.5
    instances: float = 0.5
    words: float = 0.25
    ema: float = 0.998

    def __post_init__(self) -> None:
        if self.steps < 1 or self.scenes < 1 or self.questions < 1:
            raise SegPointError(f"a stage needs steps, scenes and questions of at least 1, got {self}")


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. seed: of data order, augmentation and initial weights."""

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    stage1: StageConfig = field(default_factory=lambda: StageConfig(steps=4000))
    stage2: StageConfig = field(default_factory=lambda: StageConfig(steps=700, scenes=1, rate=3e-4, warmup=50))
    model: BundleConfig = field(default_factory=BundleConfig)

    @classmethod
    def load(cls, path: str | Path) -> TrainConfig:
        path = Path(path)
        if not path.is_file():
            raise SegPointError(f"no training config at {path}; config/training/ holds examples")
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SegPointError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
        return build(cls, values, path.name)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def save(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(_plain(self.to_dict()), sort_keys=False))


def _plain(value: Any) -> Any:
    """Tuples as lists, which YAML's safe dumper wants."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value
