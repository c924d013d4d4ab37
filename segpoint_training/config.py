"""What a training run is: data, stages, and the model; read from YAML, unknown keys are errors, saved with the run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from segpoint.config import BundleConfig, build
from segpoint.errors import SegPointError
from segpoint_training.scenes.request import SceneRequest, draw_scale, draw_share

VALIDATION_SEEDS = 900_000_000  # test-split seeds for watching a run; `segpoint evaluate` takes others


@dataclass(frozen=True)
class SensorShares:
    """How often each sensor occurs, in any unit: only the ratios count. One that is left out does not occur."""

    kinect: float = 0.0
    realsense: float = 0.0
    stereo: float = 0.0
    lidar: float = 0.0
    map: float = 0.0

    def __post_init__(self) -> None:
        shares = dataclasses.astuple(self)
        if min(shares) < 0 or sum(shares) <= 0:
            raise SegPointError(f"shares of sensors must be at least 0 and one of them more, got {self}")


SENSORS = tuple(field.name for field in dataclasses.fields(SensorShares))


@dataclass(frozen=True)
class DataConfig:
    """Generated scenes: ``train_scenes`` seeds of the train split from 0, ``validation_scenes`` of the test split from
    VALIDATION_SEEDS; seeds carry on where there are more of either, so a folder of shards can grow.

    rooms, validation_rooms: share of rooms among each; the others are tables.   table_sensors, room_sensors: which
    sensors see them.   width: pixels of a generated depth image (height is 3/4 of it).   sentences: train on this many
    of the most frequent ones only (each costs stage 1 an embedding by the LLM).   workers: processes that generate;
    None is one per core.
    """

    train_scenes: int = 8000
    validation_scenes: int = 60
    rooms: float = 0.25
    validation_rooms: float = 1 / 3
    table_sensors: SensorShares = field(
        default_factory=lambda: SensorShares(kinect=0.4, realsense=0.3, stereo=0.15, lidar=0.15)
    )
    room_sensors: SensorShares = field(
        default_factory=lambda: SensorShares(kinect=0.25, realsense=0.2, stereo=0.1, lidar=0.2, map=0.25)
    )
    sentences: int = 8000
    width: int = 320
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.width < 32:
            raise SegPointError(f"data.width={self.width} is no depth image; at least 32 pixels are needed")
        for name in ("train_scenes", "validation_scenes", "sentences"):
            if getattr(self, name) < 1:
                raise SegPointError(f"data.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("rooms", "validation_rooms"):
            if not 0 <= getattr(self, name) <= 1:
                raise SegPointError(f"data.{name} must be a share between 0 and 1, got {getattr(self, name)}")
        if self.table_sensors.map:
            raise SegPointError("data.table_sensors.map must be 0: a map is of a whole room")

    def requests(self, split: str) -> list[SceneRequest]:
        """The scenes of ``split`` "train" or "test" (validation), in seed order: scale and sensor of each by shares."""
        first, count, rooms = {
            "train": (0, self.train_scenes, self.rooms),
            "test": (VALIDATION_SEEDS, self.validation_scenes, self.validation_rooms),
        }[split]
        sensors = {
            scale: list(dataclasses.asdict(shares).items())
            for scale, shares in (("table", self.table_sensors), ("room", self.room_sensors))
        }
        scales = {seed: draw_scale(seed, rooms) for seed in range(first, first + count)}
        return [
            SceneRequest(seed, split, scale, draw_share(seed, sensors[scale]), self.width, self.width * 3 // 4)
            for seed, scale in scales.items()
        ]


@dataclass(frozen=True)
class StageConfig:
    """One stage of training.

    steps: optimizer steps; the learning rate warms up over ``warmup`` of them and falls to a hundredth by a cosine.
    scenes, questions, points: of one step: clouds, instructions a cloud, points a cloud that losses are taken on.
    rate, gate_rate: AdamW's learning rate, and that of GEM's gates (PROTOTYPE: at one rate they barely move).
    semantic, pointing: how many of the questions ask for a category, and come with a click or a box.
    colourless: share of the clouds that lose their colour.
    text, bce, dice: the paper's loss weights (1, 2, 2).   objects, presence, instances, words, names, centres: of ours.
    slower: stage 2's share of the rate for what stage 1 has trained.   ema: decay of the weight average that is kept.
    """

    steps: int
    scenes: int = 4
    questions: int = 12
    points: int = 1024
    semantic: int = 2
    pointing: int = 2
    colourless: float = 0.1
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
    presence: float = 1.0
    instances: float = 0.5
    words: float = 0.25
    names: float = 0.25
    centres: float = 0.5
    ema: float = 0.998

    def __post_init__(self) -> None:
        if self.steps < 1 or self.scenes < 1 or self.questions <= self.semantic + self.pointing:
            raise SegPointError(
                "a stage needs steps and scenes of at least 1, and more questions than its semantic and pointing ones, "
                f"got {self}"
            )


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
        return read_settings(cls, Path(path))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def save(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(_plain(self.to_dict()), sort_keys=False))


def read_settings(kind: type, path: Path) -> Any:
    """A dataclass of settings from its YAML file. Raises SegPointError for anything else."""
    if not path.is_file():
        raise SegPointError(f"no training config at {path}; config/training/ holds examples")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SegPointError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    return build(kind, values, path.name)


def _plain(value: Any) -> Any:
    """Tuples as lists, which YAML's safe dumper wants."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value
