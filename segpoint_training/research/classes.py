"""Sets of classes: the IoU of each class over a whole split.

Points are counted over the split before they are divided: of a class, the points that are of it and called so, over
those that are of it or called so. Points without a class of the benchmark do not count, whatever they are called; a
point that is called nothing is wrong. The mean is over the classes that are there or were found, as ScanNet's and
ScanNet++'s evaluators take it: one that is found and nowhere there has IoU 0, one that is neither is left out.

The truth is the class of the object that a point is of; of ScanNet's 20 classes it is the file that its benchmark is
measured with. ScanNet++'s evaluator counts a vertex of several objects once for each of them; here it is of its
smallest object alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segpoint.errors import SegPointError
from segpoint_training.datasets.scan import DataSet, Scan
from segpoint_training.datasets.scannet import official_labels
from segpoint_training.datasets.scannet_classes import SCANNET20
from segpoint_training.metrics import SemanticMeasure
from segpoint_training.records import percent
from segpoint_training.research.published import HEADS
from segpoint_training.research.tables import Table, comparison

if TYPE_CHECKING:
    from segpoint.segmenter import Segmenter
    from segpoint_training.open_vocabulary import ClassMatcher


class Labeller(Protocol):
    """What says of which class each point is."""

    def __call__(self, scan: Scan) -> np.ndarray:
        """(M,) the index of each point's class, -1 for none."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """How it was asked, for the record."""
        ...


@dataclass
class ClassMeasurement:
    """Labels a data set's scans and counts what is right.

    groups: means that are taken, over which classes: "miou", and ScanNet200's "head", "common" and "tail".   truth:
    (M,) the index of each point's class, -1 for none; None for the objects' classes.   points: true points of each
    class.   asked: how many scans that have any.   refused: those that could not be labelled, and why; all their points
    are wrong.
    """

    label: Labeller
    data: DataSet
    groups: dict[str, Sequence[str]]
    truth: Callable[[Scan], np.ndarray] | None = None
    measure: SemanticMeasure = field(default_factory=SemanticMeasure)
    points: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    refused: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Label a scan and count its points."""
        scan, classes = self.data.load(name), self.data.classes
        truth = self.truth(scan) if self.truth else true_classes(scan, classes)
        counted = (truth >= 0) & np.isfinite(scan.xyz).all(axis=1)
        if not counted.any():
            return
        self.asked += 1
        try:
            found = self.label(scan)
        except SegPointError as error:
            self.refused.append(f"{name}: {error}")
            found = np.full(len(scan.xyz), -1)
        self.measure.add(found[counted], truth[counted], classes)
        present, counts = np.unique(truth[counted], return_counts=True)
        self.points.update({classes[i]: n for i, n in zip(present.tolist(), counts.tolist(), strict=True)})

    def means(self) -> dict[str, float]:
        """The mean IoU of each of ``groups``; NaN where none of its classes came up."""
        ious = self.measure.per_class()
        return {name: _mean([ious[each] for each in classes if each in ious]) for name, classes in self.groups.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        classes = {row["class"]: {"points": row["points"], "iou": row["iou"]} for row in self.rows()}
        return {**self.label.to_dict(), "measures": self.means(), "classes": classes, "refused": self.refused}

    def rows(self) -> list[dict[str, Any]]:
        """Of the CSV: one for each class that came up."""
        ious = self.measure.per_class()
        return [{"class": name, "points": self.points[name], "iou": iou} for name, iou in ious.items()]

    def tables(self, name: str, ours: str) -> list[Table]:
        """``ours`` below what was published on the data set called ``name``, then by class."""
        means = self.means()
        rows = [[row["class"], f"{row['points']:,}", percent(row["iou"])] for row in self.rows()]
        last = [[HEADS[each], "", percent(mean)] for each, mean in means.items()]
        classes = Table(f"ours, of {len(rows)} classes", ["class", "points", "IoU"], [rows, last])
        return [comparison(name, ours, means), classes]


def true_classes(scan: Scan, classes: Sequence[str]) -> np.ndarray:
    """(M,) the index of each point's class, -1 for what is of none."""
    index = {name: place for place, name in enumerate(classes)}
    of_object = np.full(1 + int(scan.instance.max(initial=0)), -1)
    for thing in scan.objects:
        of_object[thing.id] = index.get(thing.category, -1)
    return of_object[scan.instance]


def official_scannet(root: Path, classes: Sequence[str], scan: Scan) -> np.ndarray:
    """`true_classes` as ScanNet's own benchmark has them. Raises SegPointError where there is no fitting file of it."""
    numbers = official_labels(root, scan.name)
    if numbers is None or len(numbers) != len(scan.xyz):
        found = "not there" if numbers is None else f"of {len(numbers)} vertices, not {len(scan.xyz)}"
        raise SegPointError(
            f"{scan.name}_vh_clean_2.labels.ply, the truth of ScanNet's benchmark, is {found}: download it again"
        )
    truth = np.full(len(numbers), -1)
    for number, name in SCANNET20.items():
        truth[numbers == number] = classes.index(name)
    return truth


@dataclass
class AskedClasses:
    """Each class asked for by name (a `Labeller`); a point is of the class whose mask has it with the highest score."""

    segmenter: Segmenter
    classes: Sequence[str]

    def __call__(self, scan: Scan) -> np.ndarray:
        return self.segmenter.semantic(scan.xyz, list(self.classes), rgb=scan.rgb, frame=scan.frame)

    def to_dict(self) -> dict[str, Any]:
        return {"asked": "each class by name"}


@dataclass
class FreeNames:
    """Open vocabulary (a `Labeller`): the model names what it finds, and each name is matched to a class.

    A point is of the class whose mask has it with the highest score. A name that is no class is left out: its mask
    takes nothing from the others. The paper has GPT-4 match the names; `ClassMatcher` says how we do.
    said: how often each name was written.   meant: the class of each, "" for none.
    """

    segmenter: Segmenter
    matcher: ClassMatcher
    classes: Sequence[str]
    said: Counter[str] = field(default_factory=Counter)
    meant: dict[str, str] = field(default_factory=dict)

    def __call__(self, scan: Scan) -> np.ndarray:
        parts = self.segmenter.name_all(scan.xyz, rgb=scan.rgb, frame=scan.frame)
        matched = self.matcher.match([name for name, _ in parts])
        best = np.full(len(scan.xyz), self.segmenter.config.mask_threshold, np.float32)
        label = np.full(len(scan.xyz), -1, np.int64)
        for (name, score), index in zip(parts, matched, strict=True):
            self.said[name] += 1
            self.meant[name] = self.classes[index] if index >= 0 else ""
            if index >= 0:
                better = score > best
                best[better], label[better] = score[better], index
        return label

    def to_dict(self) -> dict[str, Any]:
        """What was said how often and taken for what, the most frequent name first."""
        names = {name: {"count": count, "class": self.meant[name]} for name, count in self.said.most_common()}
        return {"asked": "everything, in its own words", "names": names}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
