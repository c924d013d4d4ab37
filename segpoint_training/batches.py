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
from segpoint_training.augment import augment, drop_points
from segpoint_training.questions import answer_of, choose, question_of
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import LabelledCloud


@dataclass(frozen=True)
class Batch:
    """B clouds with Q questions each and the truth at R sampled points.

    rows: (B, R) int64 into N.   instance: (B, R) int64, 0 = none.   is_target: (B, Q, I) bool by object id.
    category, colour: (B, N1) int64 of the object under each token, −1 = none.
    """

    inputs: PointInputs
    questions: list[list[str]]
    answers: list[list[str]]
    rows: Tensor
    instance: Tensor
    is_target: Tensor
    category: Tensor
    colour: Tensor

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
        tensors = {n: getattr(self, n)[b : b + 1] for n in ("rows", "instance", "is_target", "category", "colour")}
        return Batch(inputs=self.inputs.scene(b), questions=[self.questions[b]], answers=[self.answers[b]], **tensors)


class Batches(Dataset[Batch]):
    """Item i is the i-th batch of an endless, seeded shuffle of the clouds: same on every run, also after a resume."""

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
    ) -> None:
        self.clouds, self.config = clouds, config
        self.scenes, self.questions, self.points, self.seed, self.count = scenes, questions, points, seed, count
        self.category_of = {word: i for i, word in enumerate(words[0])}
        self.colour_of = {word: i for i, word in enumerate(words[1])}
        self.ids = 1 + max(int(cloud.instance.max()) for cloud in clouds)

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
        clouds, instances = [], []
        for item in items:
            cloud, instance = drop_points(augment(item.cloud, rng), item.instance, rng)
            clouds.append(cloud)
            instances.append(instance.astype(np.int64))
        inputs = collate(clouds, self.config)
        asked = [choose(item.instructions, self.questions, rng) for item in items]
        rows = np.stack([sample_rows(c.count, c.focus, self.points, rng) for c in clouds])
        centres = inputs.tables["levels"][:, : self.config.encoder.tokens].numpy()
        at_centre = np.stack([i[c] for i, c in zip(instances, centres, strict=True)])
        return Batch(
            inputs=inputs,
            questions=[[question_of(i) for i in some] for some in asked],
            answers=[[answer_of(i) for i in some] for some in asked],
            rows=torch.from_numpy(rows),
            instance=torch.from_numpy(np.stack([i[r] for i, r in zip(instances, rows, strict=True)])),
            is_target=torch.from_numpy(np.stack([target_table(some, self.ids) for some in asked])),
            category=self._words(items, at_centre, self.category_of, "category"),
            colour=self._words(items, at_centre, self.colour_of, "colour"),
        )

    def _words(self, items: list[LabelledCloud], at: np.ndarray, known: dict[str, int], name: str) -> Tensor:
        table = np.full((len(items), self.ids), -1, np.int64)
        for row, item in zip(table, items, strict=True):
            for thing in item.objects:
                row[thing.id] = known.get(getattr(thing, name), -1)
        return torch.from_numpy(np.take_along_axis(table, at, axis=1))


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
