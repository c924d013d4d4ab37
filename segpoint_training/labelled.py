"""Labelled clouds to measure on: generated scenes of a held-out split, or a folder of scans with instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segpoint.prompts import THIS, Place
from segpoint_training.datasets.own import open_folder
from segpoint_training.datasets.own_file import read_own_file
from segpoint_training.scenes.scene import GROUND

if TYPE_CHECKING:
    from segpoint_training.scenes.scene import Instruction, Scene

TASKS = ("words", "click", "no colour")
FEWEST_POINTS = 50  # an object with fewer is not worth a click
_LEAST_SIDE = 1e-3  # metres of a box
_NO_THINGS = ("table", "floor", "wall", "ceiling")  # of a folder: categories that nobody points at
_GREY = ("stereo",)  # sensors whose picture shows a projected pattern, not colours


@dataclass(frozen=True)
class Question:
    """An instruction about a cloud; ``truth`` (M,) bool marks the points it means, none of them for zero-target.

    ``place`` comes with the words, in the cloud's frame. ``task`` is one of TASKS: what the answer is counted as.
    """

    text: str
    kind: str
    truth: np.ndarray
    place: Place | None = None
    task: str = "words"


@dataclass(frozen=True)
class LabelledScan:
    """A cloud in metres, its objects, and what is asked about it. ``width * height == M``; height 1: not organised."""

    name: str
    xyz: np.ndarray  # (M, 3) float32, NaN rows kept
    rgb: np.ndarray | None  # (M, 3) uint8
    width: int
    height: int
    questions: tuple[Question, ...]
    frame: str = "optical"  # or "body", "map"
    scale: str = "table"  # or "room"
    sensor: str = ""  # of a generated scene
    instance: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))  # (M,) object ids, 0 none
    categories: dict[int, str] = field(default_factory=dict)  # of a generated scene: object id → category
    things: tuple[int, ...] = ()  # ids of what can be pointed at: neither the table, nor walls and floor, nor a speck


@dataclass(frozen=True)
class LabelledSet:
    """``count`` clouds, made or read one at a time; ``description`` says exactly which, for the record."""

    count: int
    description: dict[str, Any]
    load: Callable[[int], LabelledScan]

    def __iter__(self) -> Iterator[LabelledScan]:
        return map(self.load, range(self.count))

    def __len__(self) -> int:
        return self.count

    def asked(self, *views: Callable[[LabelledScan], LabelledScan]) -> LabelledSet:
        """Every cloud once for each of ``views``, which change what is asked about it or what is seen of it."""
        load = lru_cache(maxsize=1)(self.load)
        return LabelledSet(
            self.count * len(views), self.description, lambda i: views[i % len(views)](load(i // len(views)))
        )


# --- what is asked about a cloud ----------------------------------------------------------------------------------


def question_about(said: Instruction, xyz: np.ndarray, instance: np.ndarray) -> Question:
    """What is said about a cloud (M, 3) of objects (M,): with its truth, and its click or box."""
    truth = np.isin(instance, said.targets)
    return Question(said.text, said.kind, truth, _pointed(xyz, truth, said.place))


def words(cloud: LabelledScan) -> LabelledScan:
    """The cloud's own instructions."""
    return cloud


def clicks(cloud: LabelledScan) -> LabelledScan:
    """One click in the middle of each thing and no words; nothing else."""
    questions = []
    for thing in cloud.things:
        truth = cloud.instance == thing
        place = Place(clicks=middle_point(cloud.xyz, truth)[None])
        questions.append(Question(THIS, "one click", truth, place, "click"))
    return replace(cloud, questions=tuple(questions))


def words_and_clicks(cloud: LabelledScan) -> LabelledScan:
    """The cloud's own instructions, then `clicks`."""
    return replace(cloud, questions=cloud.questions + clicks(cloud).questions)


def category_words(cloud: LabelledScan) -> LabelledScan:
    """Its instructions of the kind "category", where the sensor sees colours; otherwise nothing."""
    sees = cloud.rgb is not None and cloud.sensor not in _GREY
    return replace(cloud, questions=tuple(q for q in cloud.questions if sees and q.kind == "category"))


def without_colour(cloud: LabelledScan) -> LabelledScan:
    """`category_words` of the same cloud, its colour taken away."""
    questions = tuple(replace(q, task="no colour") for q in category_words(cloud).questions)
    return replace(cloud, rgb=None, questions=questions)


def middle_point(xyz: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(3,) float64: of the finite points (M, 3) in ``mask`` (M,) the one nearest to their mean."""
    points = xyz[mask & np.isfinite(xyz).all(axis=1)].astype(np.float64)
    return points[np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1))]


# --- generated scenes ---------------------------------------------------------------------------------------------


def generated_set(
    first_seed: int, scenes: int, split: str = "test", scale: str = "table", sensor: str | None = None
) -> LabelledSet:
    """Scenes ``first_seed`` … ``first_seed + scenes - 1`` of the generator's ``split`` with their instructions.

    Of the split "open" (which puts a never trained category into every scene) only the instructions whose targets are
    all of such categories are asked. ``sensor`` None: each scene draws its own.
    """
    from segpoint_training.scenes.generate import generate_scene

    def load(index: int) -> LabelledScan:
        scene = generate_scene(first_seed + index, split, sensor, scale=scale)
        return labelled_scene(scene, split)

    description = {
        "data": "generated",
        "split": split,
        "scale": scale,
        "sensor": sensor or "drawn from the seed",
        "seeds": [first_seed, first_seed + scenes - 1],
    }
    return LabelledSet(scenes, description, load)


def labelled_scene(scene: Scene, split: str) -> LabelledScan:
    """A generated scene as a labelled cloud; see `generated_set` for what is asked."""
    from segpoint_training.scenes.categories import HELD_OUT

    categories = {thing.id: thing.category for thing in scene.objects}
    asked = [
        question_about(said, scene.xyz, scene.instance)
        for said in scene.instructions
        if split != "open" or (said.targets and all(categories[i] in HELD_OUT for i in said.targets))
    ]
    return LabelledScan(
        name=f"{scene.scale}_{split}_{scene.seed:06d}_{scene.sensor}",
        xyz=scene.xyz,
        rgb=scene.rgb,
        width=scene.width,
        height=scene.height,
        questions=tuple(asked),
        frame=scene.frame,
        scale=scene.scale,
        sensor=scene.sensor,
        instance=scene.instance,
        categories=categories,
        things=tuple(o.id for o in scene.objects if o.support > 0 and o.points >= FEWEST_POINTS),
    )


def _pointed(xyz: np.ndarray, truth: np.ndarray, place: str) -> Place | None:
    """A click in the middle of what is meant, or a box around it, as ``place`` (one of PLACES) says."""
    if not place:
        return None
    if place == "click":
        return Place(clicks=middle_point(xyz, truth)[None])
    seen = xyz[truth & np.isfinite(xyz).all(axis=1)]
    return Place(box=np.concatenate([seen.min(axis=0), np.maximum(seen.max(axis=0), seen.min(axis=0) + _LEAST_SIDE)]))


# --- folders of scans ---------------------------------------------------------------------------------------------


def folder_set(folder: str | Path, scenes: int | None = None, frame: str = "", scale: str = "") -> LabelledSet:
    """The first ``scenes`` clouds (all by default) of a folder of one's own (`segpoint_training.datasets.own`), of
    every split; a list of rows as `segpoint generate --out` writes it, too.

    frame, scale: of the clouds of which nothing there says it.
    """
    own = read_own_file(Path(folder))
    own = replace(own, frame=own.frame or frame, scale=own.scale or scale)
    data = open_folder(Path(folder), own, "all")
    names = data.scans[:scenes]

    def load(index: int) -> LabelledScan:
        name = names[index]
        points, axes, instance = data.labelled(name)
        scan = data.load(name)
        questions = tuple(question_about(said, points.xyz, instance) for said in data.instructions(name))
        ground = GROUND if own.labels == "parts" else 0
        things = tuple(
            o.id for o in scan.objects
            if o.points >= FEWEST_POINTS and o.id != ground and o.category not in _NO_THINGS
        )  # fmt: skip
        return LabelledScan(
            name, points.xyz, points.rgb, points.width, points.height, questions, axes, scan.scale,
            instance=instance, categories={o.id: o.category for o in scan.objects if o.category}, things=things,
        )  # fmt: skip

    return LabelledSet(len(names), {"data": Path(folder).resolve().name, "files": list(names)}, load)
