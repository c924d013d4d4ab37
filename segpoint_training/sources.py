"""What a run is trained and watched on: generated scenes and data sets, as prepared clouds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path

from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint_training.backbones import token_counter
from segpoint_training.config import DatasetConfig, TrainConfig
from segpoint_training.prepared import PreparedScans, spread
from segpoint_training.questions import keep_frequent, semantic_instruction, within_limit
from segpoint_training.scenes.categories import TRAINED
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import SPLITS, LabelledCloud, read_shards, write_shards

Within = Callable[[Sequence[Instruction]], tuple[Instruction, ...]]  # those that are not too long

WATCHED = 16  # scans of each data set that a run is watched on,
WATCHED_QUESTIONS = 24  # with so many of what is said about each: a look should cost seconds


@dataclass(frozen=True)
class Source:
    """Clouds of one origin, and how often they are drawn.

    weight: against the other sources': only ratios count.   classes: what semantic questions ask about; () for none.
    """

    name: str
    clouds: Sequence[LabelledCloud]
    weight: float
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.clouds:
            raise SegPointError(f"{self.name} has no cloud to train on: check its folder and split, or leave it out")


def load_sources(config: TrainConfig, run: Path) -> tuple[list[Source], list[LabelledCloud]]:
    """A run's training sources and held-out clouds, made ready in ``run`` where they are not yet.

    Generated scenes (``run/shards``) have weight 1 and the generator's trained categories. Data sets are prepared into
    ``run/prepared``. Held-out clouds take turns: a few of each origin come first. Raises SegPointError where a data set
    cannot be read, or ``run`` holds data of another config. A data set's sentences that the bundle would refuse, with
    more tokens than it allows, are left out and told.
    """
    sources: list[Source] = []
    held_out: list[Sequence[LabelledCloud]] = []
    prepared = PreparedScans(run / "prepared", config.model.cloud, config.data.workers if config.data else None)
    if config.datasets or config.validation:
        language = config.model.language
        count = token_counter(language.backbone)
        within = partial(within_limit, limit=language.max_instruction_tokens, count_tokens=count)
    for settings in config.datasets:
        sources.append(Source(_name(settings), *_usable(settings, prepared, within)))
    for settings in config.validation:
        clouds, _, _ = _usable(settings, prepared, within, WATCHED)
        held_out.append([_watched(cloud) for cloud in clouds])
    if config.data is not None:  # last, as it takes long: what is wrong with a data set is told before
        train, test = (
            read_shards(write_shards(run / "shards", split, config.data, config.model.cloud)) for split in SPLITS
        )
        sources.insert(0, Source("generated", keep_frequent(train, config.data.sentences), 1.0, TRAINED))
        held_out.insert(0, test)
    return sources, [cloud for cloud in chain.from_iterable(zip_longest(*held_out)) if cloud is not None]


def _name(settings: DatasetConfig) -> str:
    return f"{settings.name}-{settings.split}"


def _usable(
    settings: DatasetConfig, prepared: PreparedScans, within: Within, most: int | None = None
) -> tuple[list[LabelledCloud], float, tuple[str, ...]]:
    """Clouds of a data set with what can be asked about them, its weight and its classes; of ``most`` scans, spread
    evenly over its split."""
    classes, clouds = prepared.clouds(settings, most)
    kept = [replace(cloud, instructions=within(cloud.instructions)) for cloud in clouds]
    usable = [cloud for cloud in kept if cloud.objects and (cloud.instructions or classes)]
    said, short, sentences = (sum(len(cloud.instructions) for cloud in some) for some in (clouds, kept, usable))
    told = f", {said - short} left out that have more tokens than max_instruction_tokens" if said > short else ""
    tqdm.write(f"{_name(settings)}: {len(usable)} clouds of {len(clouds)}, {sentences} sentences{told}")
    return usable, settings.weight, classes


def _watched(cloud: LabelledCloud) -> LabelledCloud:
    """With not too many questions, spread evenly; those for the categories that are there where nothing is said."""
    asked = cloud.instructions
    if not asked:
        there = sorted({o.category for o in cloud.objects} - {""})
        asked = tuple(semantic_instruction(category, cloud.objects) for category in there)
    return replace(cloud, instructions=spread(asked, WATCHED_QUESTIONS))
