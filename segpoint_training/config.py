"""What a training run is: data, stages, and the model; read from YAML, unknown keys are errors, saved with the run."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from segpoint.config import BundleConfig, build
from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.scenes.request import SceneRequest, draw_scale, draw_share

VALIDATION_SEEDS = 900_000_000  # test-split seeds for watching a run; `segpoint evaluate` takes others
_LARGEST = sys.float_info.max  # neither infinity nor NaN passes as up to this
_SOME, _SHARE = (1, _LARGEST), (0, 1)


def check_numbers(settings: Any, where: str, **ranges: tuple[float, float]) -> None:
    """Raise SegPointError unless every number among a dataclass's values is finite and within its range.

    ranges: lowest and highest value by the field's name; of fields that are not named, 0 and any.
    """
    for name, value in vars(settings).items():
        low, high = ranges.get(name, (0, _LARGEST))
        if isinstance(value, int | float) and not low <= value <= high:
            most = "up" if high == _LARGEST else f"to {high}"
            raise SegPointError(f"{where}.{name} must be a finite number from {low} {most}, got {value!s:.40}")


@dataclass(frozen=True)
class SensorShares:
    """How often each sensor occurs, in any unit: only the ratios count. One that is left out does not occur."""

    kinect: float = 0.0
    realsense: float = 0.0
    stereo: float = 0.0
    lidar: float = 0.0
    map: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self, "shares of sensors")
        if sum(dataclasses.astuple(self)) <= 0:
            raise SegPointError("one of the shares of sensors must be more than 0")


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
        check_numbers(self, "data", train_scenes=_SOME, validation_scenes=_SOME, sentences=_SOME, workers=_SOME,
                      rooms=_SHARE, validation_rooms=_SHARE, width=(32, _LARGEST))  # fmt: skip
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
        check_numbers(self, "stage", steps=_SOME, scenes=_SOME, questions=_SOME, points=_SOME,
                      colourless=_SHARE, ema=_SHARE)  # fmt: skip
        if self.questions <= self.semantic + self.pointing:
            raise SegPointError(
                f"a stage needs more questions than its semantic and pointing ones: {self.questions} are not more than "
                f"{self.semantic} + {self.pointing}"
            )


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. seed: of data order, augmentation and initial weights."""

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    stage1: StageConfig = field(default_factory=lambda: StageConfig(steps=4000))
    stage2: StageConfig = field(default_factory=lambda: StageConfig(steps=700, scenes=1, rate=3e-4, warmup=50))
    model: BundleConfig = field(default_factory=BundleConfig)

    def __post_init__(self) -> None:
        check_numbers(self, "config", seed=(0, 2**63 - 1))

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
    with reading(path, "it is not YAML as in config/training/; correct it"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        _check_plain(values, path.name)
    return build(kind, values, path.name)


def _check_plain(value: Any, where: str) -> None:
    """Raise SegPointError for what is YAML but no setting: keys that are no words, numbers that are not finite."""
    if isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str):
                raise SegPointError(f"{where} has a setting called {name!r}; names are words, correct it")
            _check_plain(member, f"{where}.{name}")
    elif isinstance(value, list):
        for member in value:
            _check_plain(member, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise SegPointError(f"{where} must be a finite number, got {value}")


def _plain(value: Any) -> Any:
    """Tuples as lists, which YAML's safe dumper wants."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value
