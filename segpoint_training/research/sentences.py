"""Sets of sentences: how well a bundle finds what each sentence of a data set means.

IoU is of masks, on the scan's raw points, every sentence for itself; mIoU and Acc@t are as in
`segpoint_training.metrics`, which also says what we chose for sentences that mean nothing. F1@t is Multi3DRefer's, of
boxes (`segpoint_training.research.boxes`); ours stand around the answer's separate targets. A sentence that the
segmenter refuses (it may be too long) counts as answered wrongly.

This is how SegPoint and the works on segmentation beside it measure all of these sets. Two of the benchmarks' own
evaluators measure something else, so their leaderboards do not compare: ScanRefer's Acc@t is of one box a sentence and
counts an IoU of exactly t, Nr3D's and Sr3D's accuracy is of choosing among the true objects.

Beside ours stands what geometry alone scores (`segpoint_training.baselines`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segpoint_training.answers import REFUSED, Watcher, ask, cluster_at
from segpoint_training.baselines import REFERENCES, geometric_clusters, references
from segpoint_training.datasets.scan import DataSet, Scan
from segpoint_training.labelled import LabelledScan, Question, question_about
from segpoint_training.metrics import Measure, Sample, iou, measure, outcome, row_of
from segpoint_training.records import percent
from segpoint_training.research.boxes import box_f1, boxes_around, boxes_of
from segpoint_training.research.published import HEADS
from segpoint_training.research.tables import Table, comparison
from segpoint_training.scenes.scene import Instruction

if TYPE_CHECKING:
    from segpoint.segmenter import Segmentation, Segmenter

# Groups in the benchmarks' order: ScanRefer's, ReferIt3D's, Multi3DRefer's. Others follow as they come.
GROUPS = (
    "unique", "multiple",
    "easy", "hard", "view-dependent", "view-independent",
    "zt", "zt_wo_d", "zt_w_d", "st_wo_d", "st_w_d", "mt",
)  # fmt: skip
_REFERIT3D = {  # whose kinds are of two groups each
    f"{easy} {view}": (easy, view) for easy in GROUPS[2:4] for view in GROUPS[4:6]
}


@dataclass(frozen=True)
class GroupMeasure(Measure):
    """`Measure` and F1 of boxes, means over ``count`` sentences."""

    f1_25: float
    f1_50: float


@dataclass
class SentenceMeasurement:
    """Asks a segmenter what a data set's scans are asked; ``watch`` is told of each answer.

    items: one for each sentence, as the record holds them.   refused: what could not be asked, and why.   references:
    what each of REFERENCES scored with each sentence.
    """

    segmenter: Segmenter
    data: DataSet
    watch: Watcher | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    references: dict[str, list[Sample]] = field(default_factory=lambda: {name: [] for name in REFERENCES})

    def add(self, name: str) -> None:
        """Ask everything that is said about a scan, which is encoded once."""
        scan = self.data.load(name)
        said = self.data.instructions(name)
        cloud = LabelledScan(scan.name, scan.xyz, scan.rgb, len(scan.xyz), 1, (), scan.frame, scan.scale)
        things = geometric_clusters(scan.xyz, scan.frame, scan.scale)
        valid = np.isfinite(scan.xyz).all(axis=1)
        for task in dict.fromkeys(instruction.task for instruction in said):
            asked = [instruction for instruction in said if instruction.task == task]
            questions = [question_about(instruction, scan.xyz, scan.instance) for instruction in asked]
            answers = ask(self.segmenter, cloud, questions, self.refused, task)
            for instruction, question, answer in zip(asked, questions, answers, strict=True):
                score = self._count(scan, valid, instruction, question, answer)
                at = cluster_at(cloud, things, question)
                for reference, sample in references(things, question.truth, valid, question.kind, at).items():
                    self.references[reference].append(sample)
                if self.watch and answer:
                    self.watch(cloud, question, answer, score)

    def measures(self) -> dict[str, GroupMeasure]:
        """Of each group that the data set's benchmark tells apart, of sentences with and without a target where there
        are both, and "overall"."""
        return {name: _measure(items) for name, items in _groups(self.items).items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        measures = {name: asdict(row) for name, row in self.measures().items()}
        return {
            "measures": measures,
            "references": self._reference_measures(),  # of all sentences
            "sentences": len(self.items),
            "refused": self.refused,
            "items": self.items,
        }

    @property
    def asked(self) -> int:
        return len(self.items)

    def rows(self) -> list[dict[str, Any]]:
        """Of the CSV: one for each sentence."""
        return self.items

    def tables(self, name: str, ours: str) -> list[Table]:
        """``ours`` below what was published on the data set called ``name``, then by group."""
        measures = self.measures()
        names = ("miou", "acc25", "acc50", "f1_25", "f1_50")
        rows = [
            [group, str(row.count), *(percent(asdict(row)[each]) for each in names)] for group, row in measures.items()
        ]
        groups = Table(
            "ours; F1 is of boxes", ["sentences", "n", *(HEADS[each] for each in names)], [rows[:-1], rows[-1:]]
        )
        return [comparison(name, ours, asdict(measures["overall"]), self._reference_measures()), groups]

    def _reference_measures(self) -> dict[str, dict[str, float]]:
        return {name: asdict(measure(samples)) for name, samples in self.references.items()}

    def _count(
        self,
        scan: Scan,
        valid: np.ndarray,
        instruction: Instruction,
        question: Question,
        answer: Segmentation | None,
    ) -> float:
        """Keep what an answer scored, and return its IoU."""
        truth = question.truth[valid]
        mask = answer.mask[valid] if answer else np.zeros_like(truth)
        score = iou(mask, truth) if answer else 0.0
        found = boxes_around(scan.xyz, [part.indices for part in answer.instances] if answer else [])
        true = boxes_of(thing for thing in scan.objects if thing.id in instruction.targets)
        f1_25, f1_50 = box_f1(found, true) if answer else (0.0, 0.0)
        self.items.append(
            {
                "scan": scan.name,
                "sentence": instruction.text,
                "kind": instruction.kind,
                "answer": answer.answer if answer else "",
                "iou": score,
                "f1_25": f1_25,
                "f1_50": f1_50,
                "outcome": outcome(mask, truth) if answer else REFUSED,
                "points": int(mask.sum()),
                "true_points": int(truth.sum()),
                "boxes": len(found),
                "true_boxes": len(true),
            }
        )
        return score


def _groups(items: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        if item["kind"] == "zero-target" and not item["true_points"]:
            continue  # Instruct3D's kind is the row below
        for name in _REFERIT3D.get(item["kind"], (row_of(item["kind"]),)):
            groups.setdefault(name, []).append(item)
    order = {name: place for place, name in enumerate(GROUPS)}
    groups = dict(sorted(groups.items(), key=lambda group: order.get(group[0], len(order))))
    empty = [item for item in items if not item["true_points"]]
    if empty:
        groups["with target"] = [item for item in items if item["true_points"]]
        groups["zero-target"] = empty
    groups["overall"] = items
    return groups


def _measure(items: list[dict[str, Any]]) -> GroupMeasure:
    measured = measure(Sample(item["kind"], bool(item["true_points"]), (item["iou"],)) for item in items)
    f1 = np.array([(item["f1_25"], item["f1_50"]) for item in items]).reshape(-1, 2)
    means = f1.mean(axis=0).tolist() if len(f1) else [float("nan")] * 2
    return GroupMeasure(**asdict(measured), f1_25=means[0], f1_50=means[1])
