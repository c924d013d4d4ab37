"""Asking a segmenter everything in a labelled set, and what its answers scored, beside what geometry would score.

IoU is measured on the cloud's own points at full resolution, those with finite coordinates. Each cloud is encoded
once for all that is asked about it. A question that the segmenter refuses counts as answered wrongly, with an IoU of 0,
also where there is nothing to find; the record says which ones these were and why.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint_training.baselines import REFERENCES, geometric_clusters, nearest_cluster, references
from segpoint_training.labelled import TASKS, LabelledScan, LabelledSet, Question
from segpoint_training.markdown import clipped
from segpoint_training.metrics import OUTCOMES, Sample, advantage, iou, measure, outcome, summary

if TYPE_CHECKING:
    from segpoint.segmenter import Segmentation, Segmenter


REFUSED = "refused"  # the outcome of a question without an answer, beside OUTCOMES
TOLD = 10  # of what went wrong, on the terminal; the record has it all


@dataclass(frozen=True)
class Answered:
    """One question: what the record keeps of it, what the answer scored and what each reference scored."""

    item: dict[str, Any]  # cloud, instruction, kind, answer, iou, …
    ours: Sample
    references: dict[str, Sample]


@dataclass
class Evaluation:
    """What one run gave, question by question in the order asked."""

    answered: list[Answered] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # per cloud, all its questions
    refused: list[str] = field(default_factory=list)  # what the segmenter could not answer, and why
    unread: list[str] = field(default_factory=list)  # what could not be read, and why; all figures are without it

    @property
    def ours(self) -> list[Sample]:
        return [row.ours for row in self.answered]

    @property
    def items(self) -> list[dict[str, Any]]:
        return [row.item for row in self.answered]

    @property
    def references(self) -> dict[str, list[Sample]]:
        return {name: [row.references[name] for row in self.answered] for name in REFERENCES}

    @property
    def tasks(self) -> list[str]:
        """Those of TASKS that something was asked of."""
        asked = {row.item["task"] for row in self.answered}
        return [task for task in TASKS if task in asked]

    def only(self, **wanted: str) -> Evaluation:
        """The questions whose items hold these values, e.g. ``task="click"``."""
        rows = [row for row in self.answered if all(row.item[name] == value for name, value in wanted.items())]
        return Evaluation(rows, self.seconds, self.refused, self.unread)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what the first task measured, "also" the other tasks, then every item."""
        first, *others = self.tasks or ["words"]
        return {
            **self.only(task=first).section(),
            "also": {task: self.only(task=task).section() for task in others},
            **({"colour": colour_loss(self)} if "no colour" in others else {}),
            "clouds": len({item["cloud"] for item in self.items}),
            "questions": len(self.items),
            "complete": not self.unread,
            "unread": self.unread,
            "refused": self.refused,
            "seconds_per_cloud": float(np.median(self.seconds)) if self.seconds else None,
            "items": self.items,
        }

    def section(self) -> dict[str, Any]:
        """Measures per kind and per sensor, of ours and of each reference, and what became of the answers."""
        outcomes = Counter(item["outcome"] for item in self.items)
        sensors: dict[str, list[Sample]] = {}
        for row in self.answered:
            if row.ours.has_target and row.item["sensor"]:
                sensors.setdefault(row.item["sensor"], []).append(row.ours)
        return {
            "measures": {name: asdict(row) for name, row in summary(self.ours).items()},
            "references": {
                reference: {name: asdict(row) for name, row in summary(samples).items()}
                for reference, samples in self.references.items()
            },
            "sensors": {name: asdict(measure(samples)) for name, samples in sensors.items()},  # with target
            "outcomes": {name: outcomes[name] for name in (*OUTCOMES, REFUSED) if outcomes[name]},
            "over_every_cluster": dict(zip(("miou", "low", "high"), self.over_every_cluster(), strict=True)),
        }

    def over_every_cluster(self) -> tuple[float, float, float]:
        """How far ours is above marking every cluster, where there is a target: (mIoU difference, 95 % interval)."""
        wanted = [row for row in self.answered if row.ours.has_target]
        if not wanted:
            return (float("nan"),) * 3
        every = [row.references["every cluster"] for row in wanted]
        return advantage([row.ours for row in wanted], every, [row.item["cloud"] for row in wanted])


def colour_loss(evaluation: Evaluation) -> dict[str, float]:
    """The same category questions with and without colour: their number, both mIoUs, and the share that is lost."""
    seen = {(i["cloud"], i["instruction"]): i["iou"] for i in evaluation.only(task="words").items}
    grey = evaluation.only(task="no colour").items
    if not grey:
        return {"count": 0, "with_colour": float("nan"), "without_colour": float("nan"), "lost": float("nan")}
    before = float(np.mean([seen[item["cloud"], item["instruction"]] for item in grey]))
    after = float(np.mean([item["iou"] for item in grey]))
    lost = 1 - after / before if before else float("nan")
    return {"count": len(grey), "with_colour": before, "without_colour": after, "lost": lost}


Watcher = Callable[[LabelledScan, Question, "Segmentation", float], None]


def evaluate(segmenter: Segmenter, data: LabelledSet, watch: Watcher | None = None) -> Evaluation:
    """Ask a segmenter everything in ``data``. ``watch`` is told of each answer: cloud, question, answer, IoU.

    A cloud that cannot be read is left out, see `check_complete`. Raises SegPointError where there was nothing to ask,
    or every question was refused.
    """
    from tqdm import tqdm

    result = Evaluation()
    for index in tqdm(range(len(data)), desc="clouds", disable=None):
        try:
            cloud = data.load(index)
        except SegPointError as error:
            if str(error) not in result.unread:  # it may be asked for in several views
                result.unread.append(str(error))
            continue
        if not cloud.questions:
            continue
        valid = np.isfinite(cloud.xyz).all(axis=1)
        start = time.perf_counter()
        answers = ask(segmenter, cloud, cloud.questions, result.refused)
        result.seconds.append(time.perf_counter() - start)
        things = geometric_clusters(cloud.xyz, cloud.frame, cloud.scale)
        for question, answer in zip(cloud.questions, answers, strict=True):
            truth = question.truth[valid]
            mask = answer.mask[valid] if answer else np.zeros_like(truth)
            score = iou(mask, truth) if answer else 0.0
            item = {
                "cloud": cloud.name,
                "instruction": question.text,
                "kind": question.kind,
                "task": question.task,
                "sensor": cloud.sensor,
                "answer": answer.answer if answer else "",
                "iou": round(score, 4),
                "outcome": outcome(mask, truth) if answer else REFUSED,
                "points": int(mask.sum()),
                "true_points": int(truth.sum()),
                "targets": len(answer.instances) if answer else 0,
            }
            at = cluster_at(cloud, things, question)
            rows = references(things, question.truth, valid, question.kind, at)
            result.answered.append(Answered(item, Sample(question.kind, bool(truth.any()), (score,)), rows))
            if watch and answer:
                watch(cloud, question, answer, score)
    if not result.answered:
        check_any_read(result.unread)
        raise SegPointError("there is nothing to ask about these clouds: take others, more of them, or another task")
    if len(result.refused) == len(result.answered):
        raise SegPointError(
            f"none of {len(result.refused)} questions could be answered; the first: {result.refused[0]}"
        )
    return result


def check_any_read(unread: Sequence[str]) -> None:
    """Raise SegPointError where nothing was measured because of these, which could not be read."""
    if unread:
        raise SegPointError(f"nothing could be measured, {len(unread)} could not be read; the first: {unread[0]}")


def check_complete(unread: Sequence[str], count: int) -> None:
    """Raise SegPointError where of ``count`` clouds these could not be read. For the end, after all is written."""
    if unread:
        more = [f"and {len(unread) - TOLD} more"] if len(unread) > TOLD else []
        told = "; ".join([*unread[:TOLD], *more])
        raise SegPointError(f"{len(unread)} of {count} could not be read, so these figures are incomplete: {told}")


def ask(
    segmenter: Segmenter,
    cloud: LabelledScan,
    questions: Sequence[Question],
    refused: list[str],
    task: str = "instruction",
) -> Sequence[Segmentation | None]:
    """All questions about one cloud at once; one by one where some are refused, which is noted and gives None."""
    try:
        return _segment(segmenter, cloud, questions, task)
    except SegPointError:
        return [_segment_or_note(segmenter, cloud, question, refused, task) for question in questions]


def _segment(segmenter: Segmenter, cloud: LabelledScan, questions: Sequence[Question], task: str) -> list[Segmentation]:
    texts, places = [question.text for question in questions], [question.place for question in questions]
    return segmenter.segment_many(cloud.xyz, texts, rgb=cloud.rgb, frame=cloud.frame, places=places, task=task)


def _segment_or_note(
    segmenter: Segmenter, cloud: LabelledScan, question: Question, refused: list[str], task: str
) -> Segmentation | None:
    try:
        return _segment(segmenter, cloud, [question], task)[0]
    except SegPointError as error:
        refused.append(f"{cloud.name}, {clipped(question.text)}: {error}")
        return None


def cluster_at(cloud: LabelledScan, things: list[np.ndarray], question: Question) -> int | None:
    """The cluster that a question's click is on or its box around; None without a place."""
    place = question.place
    if place is None:
        return None
    point = place.clicks[0] if place.clicks is not None else np.asarray(place.box).reshape(2, 3).mean(axis=0)
    return nearest_cluster(cloud.xyz, things, point)
