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
_SOME, _SHARE, _ABOVE_0 = (1, _LARGEST), (0, 1), (1e-12, _LARGEST)


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
class DatasetConfig:
    """A data set on disk (`segpoint_training.datasets`), as it comes from its authors.

    name: one of `segpoint_training.datasets.NAMES`.   root: folder of its own files.   scans: folder of the scans that
    a set of sentences speaks about (ScanNet's for ScanRefer); "" is ``root``.   split: "train", "val" or "test".
    weight: how often it is drawn, against the others and the generated scenes' 1: only ratios count.
    """

    name: str
    root: str
    scans: str = ""
    split: str = "train"
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self, f"datasets.{self.name}", weight=(1e-6, 1e6))


@dataclass(frozen=True)
class StageConfig:
    """One stage of training.

    steps: optimizer steps.   scenes, questions, points: of one step, over all processes: clouds, instructions a cloud,
    points a cloud that losses are taken on.   accumulate: the parts that a process takes its share of the clouds in,
    one after the other, where they do not fit its memory at once.
    rate, gate_rate: AdamW's learning rate, and that of GEM's gates (PROTOTYPE: at one rate they barely move).
    schedule: the rate warms up over ``warmup`` steps, then falls by a "cosine" to a hundredth, or "linear" to nothing
    (DeepSpeed's WarmupDecayLR, the paper's).
    semantic, pointing: how many of the questions ask for a category, and come with a click or a box.   every: how many
    ask for every category at once, where a scan's data set has categories.
    colourless: share of the clouds that lose their colour.
    text, bce, dice: the paper's loss weights (1, 2, 2).   objects, presence, instances, words, names, centres: of ours.
    slower: stage 2's share of the rate for what stage 1 has trained.   geometry: whether stage 2 trains GEM, too, as
    the paper does that has no stage 1.   ema: decay of the weight average that is kept, 0 for none.
    precision: "bf16" computes in bfloat16 where that is enough (autocast), "fp32" in float32.   checkpointing: compute
    the language model's layers again on the way back and keep little of them: slower, and a fraction of the memory.
    """

    steps: int
    scenes: int = 4
    accumulate: int = 1
    questions: int = 12
    points: int = 1024
    semantic: int = 2
    pointing: int = 2
    every: int = 0
    colourless: float = 0.1
    rate: float = 1e-3
    gate_rate: float = 1e-2
    weight_decay: float = 0.02
    slower: float = 0.3
    schedule: str = "cosine"
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
    geometry: bool = False
    ema: float = 0.998
    precision: str = "bf16"
    checkpointing: bool = False

    def __post_init__(self) -> None:
        check_numbers(self, "stage", steps=(1, 1e9), scenes=(1, 1 << 16), accumulate=(1, 1 << 16),
                      questions=(1, 1 << 10), points=(1, 1 << 20), rate=_ABOVE_0, clip=_ABOVE_0, colourless=_SHARE,
                      ema=_SHARE)  # fmt: skip
        if not any((self.text, self.bce, self.dice, self.objects, self.words, self.names)):
            raise SegPointError("a stage needs a loss: not all of text, bce, dice, objects, words and names can be 0")
        for name, known in {"schedule": ("cosine", "linear"), "precision": ("bf16", "fp32")}.items():
            if getattr(self, name) not in known:
                raise SegPointError(f"stage.{name} must be {' or '.join(known)}, got {getattr(self, name)!r:.80}")
        if self.questions <= self.semantic + self.pointing + self.every:
            raise SegPointError(
                "a stage needs more questions than those for categories and places: "
                f"{self.questions} are not more than {self.semantic} + {self.every} + {self.pointing}"
            )


@dataclass(frozen=True)
class TrainConfig:
    """A whole run.

    seed: of data order, augmentation and initial weights.   data: generated scenes, null for none.   datasets: what
    else is trained on, mixed by their weights.   validation: what a run is watched on beside held-out generated scenes.
    uni3d: a published checkpoint that ℰ begins with, "" for none.   stage1: ours, without the language model; null goes
    straight to the second, as the paper does with a pretrained ℰ.   stage2: with it.   model: the bundle's config.
    """

    seed: int = 0
    data: DataConfig | None = field(default_factory=DataConfig)
    datasets: tuple[DatasetConfig, ...] = ()
    validation: tuple[DatasetConfig, ...] = ()
    uni3d: str = ""
    stage1: StageConfig | None = field(default_factory=lambda: StageConfig(steps=4000))
    stage2: StageConfig = field(default_factory=lambda: StageConfig(steps=700, scenes=1, rate=3e-4, warmup=50))
    model: BundleConfig = field(default_factory=BundleConfig)

    def __post_init__(self) -> None:
        check_numbers(self, "config", seed=(0, 2**63 - 1))
        if self.data is None and not self.datasets:
            raise SegPointError("a run needs something to train on: generated scenes (data) or datasets")
        if self.model.reader.layers and any(stage is not None and stage.every for stage in (self.stage1, self.stage2)):
            raise SegPointError(
                "the mask reader's words are embedded before training, and a question for every category is never the "
                "same twice: set every to 0, or model.reader.layers to 0"
            )

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
