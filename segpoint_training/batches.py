"""Batches for training: clouds augmented, neighbourhoods found, targets laid out. Runs in loader processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segpoint.config import BundleConfig
from segpoint.network.inputs import PointInputs, collate
from segpoint.network.place import Places
from segpoint_training.augment import augment, drop_points
from segpoint_training.config import StageConfig
from segpoint_training.pointing import SEEN, Ground, draw_places, pointing_instruction, stack_places
from segpoint_training.questions import answer_of, choose, names_colour, question_of, semantic_instruction
from segpoint_training.replicas import Replicas
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import LabelledCloud


@dataclass(frozen=True)
class Batch:
    """B clouds with Q questions each and the truth at R sampled points.

    rows: (B, R) int64 into N.   instance: (B, R) int64, 0 = none.   at_token: (B, N1) int64, the object under each
    point token.   is_target: (B, Q, I) bool by object id.   category, colour: (B, I) int64 of the objects, −1 = none.
    centre: (B, I, 3) float32, the middle of what is seen of each object, network frame.
    places: what is pointed at, None where nothing is.
    """

    inputs: PointInputs
    questions: list[list[str]]
    answers: list[list[str]]
    rows: Tensor
    instance: Tensor
    at_token: Tensor
    is_target: Tensor
    category: Tensor
    colour: Tensor
    centre: Tensor
    places: Places | None

    @property
    def targets(self) -> Tensor:
        """(B, Q, R) float32: the true masks at the sampled points."""
        index = self.instance.unsqueeze(1).expand(-1, self.is_target.shape[1], -1)
        return self.is_target.gather(2, index).float()

    @property
    def has_target(self) -> Tensor:
        """(B, Q) bool."""
        return self.is_target.any(dim=2)

    def scene(self, b: int) -> Batch:
        """The batch of its b-th cloud alone."""
        names = ("rows", "instance", "at_token", "is_target", "category", "colour", "centre")
        tensors = {name: getattr(self, name)[b : b + 1] for name in names}
        places = None if self.places is None else self.places.scene(b)
        questions, answers = [self.questions[b]], [self.answers[b]]
        return Batch(self.inputs.scene(b), questions, answers, **tensors, places=places)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        return Batch(**{name: v.to(device) if hasattr(v, "to") else v for name, v in vars(self).items()})


class Batches(Dataset[Batch]):
    """Item i is the i-th batch of an endless, seeded shuffle of the clouds: same on every run, also after a resume.

    Beside its own instructions, each cloud is asked ``semantic`` questions for whole categories, and ``pointing`` ones
    that come with a click or a box. ``colourless``: how often a cloud loses its colour, and all that is said of it.
    """

    def __init__(
        self,
        clouds: Sequence[LabelledCloud],
        config: BundleConfig,
        *,
        scenes: int,
        questions: int,
        points: int,
        words: tuple[Sequence[str], Sequence[str]],
        seed: int,
        count: int,
        semantic: int = 0,
        pointing: int = 0,
        colourless: float = 0.1,
    ) -> None:
        self.clouds, self.config = clouds, config
        self.scenes, self.questions, self.points, self.seed, self.count = scenes, questions, points, seed, count
        self.semantic, self.pointing, self.colourless = semantic, pointing, colourless
        self.categories = words[0]
        self.category_of = {word: i for i, word in enumerate(words[0])}
        self.colour_of = {word: i for i, word in enumerate(words[1])}
        self.ids = 1 + max(thing.id for cloud in clouds for thing in cloud.objects)

    @classmethod
    def of_stage(
        cls,
        clouds: Sequence[LabelledCloud],
        config: BundleConfig,
        stage: StageConfig,
        words: tuple[Sequence[str], Sequence[str]],
        seed: int,
        replicas: Replicas,
    ) -> Batches:
        """What a stage's config asks for, shared out among ``replicas``; nothing is pointed at without a reader."""
        return cls(
            clouds,
            config,
            scenes=replicas.share(stage.scenes),
            questions=stage.questions,
            points=stage.points,
            words=words,
            seed=seed,
            count=stage.steps * replicas.count,
            semantic=stage.semantic,
            pointing=stage.pointing if config.reader.layers else 0,
            colourless=stage.colourless,
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng((self.seed, number))
        first = number * self.scenes
        chosen = []
        for i in range(first, first + self.scenes):
            epoch, place = divmod(i, len(self.clouds))
            chosen.append(int(np.random.default_rng((self.seed, 77, epoch)).permutation(len(self.clouds))[place]))
        return self._batch([self.clouds[i] for i in chosen], rng)

    def _batch(self, items: list[LabelledCloud], rng: np.random.Generator) -> Batch:
        clouds, instances, asked = [], [], []
        for item in items:
            bleached = rng.random() < self.colourless
            cloud, instance = drop_points(augment(item.cloud, rng, bleached), item.instance, rng)
            clouds.append(cloud)
            instances.append(instance.astype(np.int64))
            asked.append(self._ask(item, instances[-1], bleached, rng))
        inputs = collate(clouds, self.config)
        rows = np.stack([sample_rows(c.count, c.focus, self.points, rng) for c in clouds])
        centres = inputs.tables["levels"][:, : self.config.encoder.tokens].numpy()
        located = inputs.points.numpy()
        grounds = [Ground(*three) for three in zip(located, instances, rows, strict=True)]
        drawn = [[draw_places(i, g, rng) for i in some] for some, g in zip(asked, grounds, strict=True)]
        is_target = np.stack([target_table(some, self.ids) for some in asked])
        return Batch(
            inputs=inputs,
            questions=[[question_of(i) for i in some] for some in asked],
            answers=[[answer_of(i) for i in some] for some in asked],
            rows=torch.from_numpy(rows),
            instance=torch.from_numpy(np.stack([i[r] for i, r in zip(instances, rows, strict=True)])),
            at_token=torch.from_numpy(np.stack([i[c] for i, c in zip(instances, centres, strict=True)])),
            is_target=torch.from_numpy(is_target),
            category=self._words(items, self.category_of, "category"),
            colour=self._words(items, self.colour_of, "colour"),
            centre=torch.from_numpy(np.stack([self._centres(g) for g in grounds])),
            places=stack_places(drawn, inputs, self.config),
        )

    def _ask(
        self, item: LabelledCloud, instance: np.ndarray, bleached: bool, rng: np.random.Generator
    ) -> list[Instruction]:
        """The questions about one cloud: its own instructions, categories, and things pointed at."""
        own = [i for i in item.instructions if not (bleached and names_colour(i.text))]
        seen = np.bincount(instance, minlength=self.ids) >= SEEN
        pointable = [thing for thing in item.objects if seen[thing.id]]
        extra = []
        for _ in range(self.semantic):
            there = rng.random() < 0.6
            word = rng.choice([o.category for o in item.objects] if there else self.categories)
            extra.append(semantic_instruction(str(word), item.objects, int(rng.integers(4))))
        for _ in range(self.pointing if pointable else 0):
            thing = pointable[int(rng.integers(len(pointable)))]
            extra.append(pointing_instruction(thing, "train", str(rng.choice(("click", "click", "box"))), rng))
        count = self.questions - len(extra)
        return [*choose(own or [semantic_instruction("floor", item.objects, 0)], count, rng), *extra]

    def _words(self, items: list[LabelledCloud], known: dict[str, int], name: str) -> Tensor:
        table = np.full((len(items), self.ids), -1, np.int64)
        for row, item in zip(table, items, strict=True):
            for thing in item.objects:
                row[thing.id] = known.get(getattr(thing, name), -1)
        return torch.from_numpy(table)

    def _centres(self, ground: Ground) -> np.ndarray:
        counts = np.maximum(np.bincount(ground.instance, minlength=self.ids), 1)
        sums = [np.bincount(ground.instance, weights=axis, minlength=self.ids) for axis in ground.points.T]
        return (np.stack(sums, axis=1) / counts[:, None]).astype(np.float32)


def sample_rows(count: int, focus: np.ndarray, points: int, rng: np.random.Generator) -> np.ndarray:
    """(points,) rows of a cloud to take losses on: three quarters of them on what stands on the support."""
    on, off = np.flatnonzero(focus[:count]), np.flatnonzero(~focus[:count])
    if len(on) == 0 or len(off) == 0:
        return rng.choice(count, points, replace=count < points)
    some = points * 3 // 4
    return np.concatenate(
        [
            rng.choice(on, some, replace=len(on) < some),
            rng.choice(off, points - some, replace=len(off) < points - some),
        ]
    )


def target_table(instructions: Sequence[Instruction], ids: int) -> np.ndarray:
    """(Q, ids) bool: which object ids each instruction means."""
    table = np.zeros((len(instructions), ids), bool)
    for row, instruction in zip(table, instructions, strict=True):
        row[list(instruction.targets)] = True
    return table
