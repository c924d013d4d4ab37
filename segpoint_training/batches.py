"""Batches for training: clouds augmented, neighbourhoods found, targets laid out. Runs in loader processes."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.data import Dataset

from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.network.inputs import PointInputs, collate
from segpoint.network.place import Places
from segpoint.prompts import semantic_question
from segpoint_training.augment import augment, drop_points
from segpoint_training.config import StageConfig
from segpoint_training.pointing import SEEN, Ground, draw_places, pointing_instruction, stack_places
from segpoint_training.questions import (
    all_instruction,
    answer_of,
    choose,
    names_colour,
    question_of,
    segs_of,
    semantic_instruction,
)
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import LabelledCloud
from segpoint_training.sources import Source

_TEMPLATES = 4  # of which a question's is drawn, modulo how many its task has

Asked = tuple[Instruction, str]  # and the question that it becomes


@dataclass(frozen=True)
class Batch:
    """B clouds with Q questions each and the truth at R sampled points; I − 1 objects, those of the richest cloud.

    rows: (B, R) int64 into N.   instance: (B, R) int64 object ids below I, 0 = none.   at_token: (B, N1) int64, the
    object under each point token.   is_target: (B, Q, I) bool by object id.   seg_targets: (S, I) bool, those of each
    <SEG> that the answers write, in their order; seg_counts: (B, Q) int64, how many there are in each answer.
    category, colour: (B, I) int64 of the objects, −1 = none.   centre: (B, I, 3) float32, the middle of what is seen of
    each object, network frame.   places: what is pointed at, None where nothing is.
    """

    inputs: PointInputs
    questions: list[list[str]]
    answers: list[list[str]]
    rows: Tensor
    instance: Tensor
    at_token: Tensor
    is_target: Tensor
    seg_targets: Tensor
    seg_counts: Tensor
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

    @property
    def parts(self) -> list[list[Tensor]]:
        """Of each question about each cloud the targets of its <SEG>s, one row (I,) bool a <SEG>: (s, I), s may be 0.

        One row for a question with a target, none for one without, one for each category that is there where all are
        asked for. Their union is `is_target`.
        """
        rows = iter(self.seg_targets.split(self.seg_counts.flatten().tolist()))
        return [[next(rows) for _ in some] for some in self.questions]

    def scene(self, b: int) -> Batch:
        """The batch of its b-th cloud alone."""
        names = ("rows", "instance", "at_token", "is_target", "seg_counts", "category", "colour", "centre")
        tensors = {name: getattr(self, name)[b : b + 1] for name in names}
        first, here = int(self.seg_counts[:b].sum()), int(self.seg_counts[b].sum())
        return Batch(
            inputs=self.inputs.scene(b),
            questions=[self.questions[b]],
            answers=[self.answers[b]],
            seg_targets=self.seg_targets[first : first + here],
            places=None if self.places is None else self.places.scene(b),
            **tensors,
        )

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        return Batch(**{name: v.to(device) if hasattr(v, "to") else v for name, v in vars(self).items()})


class Batches(Dataset[Batch]):
    """Item i is the i-th batch of an endless, seeded sequence: the same on every run, also after a resume.

    Each cloud's source is drawn by the sources' weights; within a source the clouds are shuffled anew every epoch.
    Beside its own instructions, each cloud is asked ``semantic`` questions for categories of its source, ``every`` ones
    for all of them at once, and ``pointing`` ones that come with a click or a box. Where a source has no sentences,
    more categories are asked for, and where it has no categories, more of its sentences. ``colourless``: how often a
    cloud loses its colour, and all that is said of it. ``varied``: each question gets a template anew; otherwise all
    texts are among `segpoint_training.questions.question_texts`, and nobody asks for everything at once.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        config: BundleConfig,
        *,
        scenes: int,
        questions: int,
        points: int,
        words: tuple[Sequence[str], Sequence[str]],
        seed: int,
        count: int,
        semantic: int = 0,
        every: int = 0,
        pointing: int = 0,
        colourless: float = 0.1,
        varied: bool = False,
    ) -> None:
        self.sources, self.config = sources, config
        self.scenes, self.questions, self.points, self.seed, self.count = scenes, questions, points, seed, count
        self.semantic, self.every, self.pointing = semantic, every if varied else 0, pointing
        self.colourless, self.varied = colourless, varied
        weights = np.array([source.weight for source in sources])
        self.shares = weights / weights.sum()
        self.category_of = {word: i for i, word in enumerate(words[0])}
        self.colour_of = {word: i for i, word in enumerate(words[1])}

    @classmethod
    def of_stage(
        cls,
        sources: Sequence[Source],
        config: BundleConfig,
        stage: StageConfig,
        words: tuple[Sequence[str], Sequence[str]],
        seed: int,
        processes: int,
        *,
        varied: bool = False,
    ) -> Batches:
        """What a stage's config asks for, in the parts that each of the ``processes`` takes one after the other.

        Step s, part a, process r is item ``(s · accumulate + a) · processes + r``. Nothing is pointed at without a
        reader. Raises SegPointError where the clouds of a step cannot be shared out.
        """
        parts = processes * stage.accumulate
        if stage.scenes % parts:
            fits = " or ".join(str(n) for n in (stage.scenes // parts * parts, -(-stage.scenes // parts) * parts) if n)
            raise SegPointError(
                f"scenes is {stage.scenes} a step, which {processes} processes cannot share, each taking its own in "
                f"{stage.accumulate} parts (accumulate): set it to {fits}, or start another number of processes"
            )
        return cls(
            sources,
            config,
            scenes=stage.scenes // parts,
            questions=stage.questions,
            points=stage.points,
            words=words,
            seed=seed,
            count=stage.steps * parts,
            semantic=stage.semantic,
            every=stage.every,
            pointing=stage.pointing if config.reader.layers else 0,
            colourless=stage.colourless,
            varied=varied,
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        # Each cloud brings its own random numbers: what is made of it is the same however many processes share a step.
        clouds = range(number * self.scenes, (number + 1) * self.scenes)
        return self._batch([self._draw(i) for i in clouds], [np.random.default_rng((self.seed, i)) for i in clouds])

    def _draw(self, number: int) -> tuple[Source, LabelledCloud]:
        """The ``number``-th cloud of the sequence, and where it comes from."""
        source = self.sources[0]
        if len(self.sources) > 1:
            source = self.sources[
                np.random.default_rng((self.seed, 78, number)).choice(len(self.shares), p=self.shares)
            ]
        epoch, place = divmod(number, len(source.clouds))
        order = np.random.default_rng((self.seed, 77, epoch)).permutation(len(source.clouds))
        return source, source.clouds[int(order[place])]

    def _batch(self, drawn: list[tuple[Source, LabelledCloud]], rngs: list[np.random.Generator]) -> Batch:
        items = [item for _, item in drawn]
        clouds, instances, asked = [], [], []
        for (source, item), rng in zip(drawn, rngs, strict=True):
            bleached = rng.random() < self.colourless
            cloud, instance = drop_points(augment(item.cloud, rng, bleached), item.instance, rng)
            clouds.append(cloud)
            instances.append(instance.astype(np.int64))
            asked.append(self._ask(source, item, instances[-1], bleached, rng))
        inputs = collate(clouds, self.config)
        rows = np.stack([sample_rows(c.count, c.focus, self.points, g) for c, g in zip(clouds, rngs, strict=True)])
        centres = inputs.tables["levels"][:, : self.config.encoder.tokens].numpy()
        located = inputs.points.numpy()
        grounds = [Ground(*three) for three in zip(located, instances, rows, strict=True)]
        places = [
            [draw_places(i, ground, rng) for i, _ in some]
            for some, ground, rng in zip(asked, grounds, rngs, strict=True)
        ]
        segs = [[segs_of(i) for i, _ in some] for some in asked]
        ids = 1 + max(max(thing.id for item in items for thing in item.objects), *(int(i.max()) for i in instances))
        return Batch(
            inputs=inputs,
            questions=[[question for _, question in some] for some in asked],
            answers=[[answer_of(i) for i, _ in some] for some in asked],
            rows=torch.from_numpy(rows),
            instance=torch.from_numpy(np.stack([i[r] for i, r in zip(instances, rows, strict=True)])),
            at_token=torch.from_numpy(np.stack([i[c] for i, c in zip(instances, centres, strict=True)])),
            is_target=torch.from_numpy(np.stack([target_table([i for i, _ in some], ids) for some in asked])),
            seg_targets=torch.from_numpy(_table([seg for some in segs for each in some for seg in each], ids)),
            seg_counts=torch.tensor([[len(each) for each in some] for some in segs]),
            category=_words(items, self.category_of, "category", ids),
            colour=_words(items, self.colour_of, "colour", ids),
            centre=torch.from_numpy(np.stack([_centres(g, ids) for g in grounds])),
            places=stack_places(places, inputs, self.config),
        )

    def _ask(
        self, source: Source, item: LabelledCloud, instance: np.ndarray, bleached: bool, rng: np.random.Generator
    ) -> list[Asked]:
        """The questions about one cloud: its own instructions, categories, and things pointed at."""
        seen = np.bincount(instance, minlength=1 + max(thing.id for thing in item.objects))
        pointable = [thing for thing in item.objects if seen[thing.id] >= SEEN and thing.category]
        extra = [_semantic(source, item, rng) for _ in range(self.semantic if source.classes else 0)]
        for _ in range(self.every if source.classes else 0):
            extra.append(self._worded(all_instruction(source.classes, item.objects, rng), rng))
        for _ in range(self.pointing if pointable else 0):
            thing = pointable[int(rng.integers(len(pointable)))]
            place = str(rng.choice(("click", "click", "box")))
            extra.append(self._worded(pointing_instruction(thing, "train", place, rng), rng))
        count = self.questions - len(extra)
        own = [i for i in item.instructions if not (bleached and names_colour(i.text))]
        if not own and source.classes:
            return [*(_semantic(source, item, rng) for _ in range(count)), *extra]
        return [*(self._worded(i, rng) for i in choose(own or item.instructions, count, rng)), *extra]

    def _worded(self, instruction: Instruction, rng: np.random.Generator) -> Asked:
        drawn = self.varied and instruction.task != "instruction"
        return instruction, question_of(instruction, int(rng.integers(_TEMPLATES)) if drawn else None)


def _semantic(source: Source, item: LabelledCloud, rng: np.random.Generator) -> Asked:
    """A question for a category: mostly one that is there."""
    known = set(source.classes)
    there = [o.category for o in item.objects if o.category in known]
    word = str(rng.choice(there if rng.random() < 0.6 and there else source.classes))
    return semantic_instruction(word, item.objects), semantic_question(word, int(rng.integers(_TEMPLATES)))


def _words(items: Sequence[LabelledCloud], known: dict[str, int], name: str, ids: int) -> Tensor:
    """(B, I) int64: the number of each object's word, −1 where it is not known."""
    table = np.full((len(items), ids), -1, np.int64)
    for row, item in zip(table, items, strict=True):
        for thing in item.objects:
            row[thing.id] = known.get(getattr(thing, name), -1)
    return torch.from_numpy(table)


def _centres(ground: Ground, ids: int) -> np.ndarray:
    """(I, 3) float32: the mean of each object's points."""
    counts = np.maximum(np.bincount(ground.instance, minlength=ids), 1)
    sums = [np.bincount(ground.instance, weights=axis, minlength=ids) for axis in ground.points.T]
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
    return _table([instruction.targets for instruction in instructions], ids)


def _table(sets: Sequence[Sequence[int]], ids: int) -> np.ndarray:
    table = np.zeros((len(sets), ids), bool)
    for row, some in zip(table, sets, strict=True):
        row[list(some)] = True
    return table


def start_loader(worker: int) -> None:
    """For `DataLoader`'s ``worker_init_fn``: one thread a process, also for pykdtree, whose OpenMP is not torch's, and
    would start one a core in each of them; it ends at a SIGTERM."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends it
