"""Measures of a segmentation, as PAPER's evaluation defines them; the zero-target rules are ours.

A *sample* is one instruction about one cloud. mIoU is the mean over samples of the IoU of the predicted and the true
mask; Acc@t the share of samples with IoU > t. The paper does not say what an empty truth counts: we chose IoU 1 for
an empty prediction, 0 for any other, and report those samples in a row of their own as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

FEWEST_CLOUDS = 8  # for an interval
TOTALS = ("with target", "zero-target", "all", "overall")  # rows beside those of the kinds
OUTCOMES = ("right", "nothing found", "wrong object", "part of it", "too much", "found where there is none")


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two (M,) bool masks; 1 where both are empty."""
    prediction, truth = np.asarray(prediction, dtype=bool), np.asarray(truth, dtype=bool)
    union = np.count_nonzero(prediction | truth)
    return np.count_nonzero(prediction & truth) / union if union else 1.0


def outcome(prediction: np.ndarray, truth: np.ndarray) -> str:
    """What became of an answer, one of OUTCOMES, from two (M,) bool masks. "right" is IoU > 0.5 or rightly nothing."""
    prediction, truth = np.asarray(prediction, dtype=bool), np.asarray(truth, dtype=bool)
    if iou(prediction, truth) > 0.5:
        return "right"
    if not truth.any():
        return "found where there is none"
    if not prediction.any():
        return "nothing found"
    both = np.count_nonzero(prediction & truth)
    precision, recall = both / np.count_nonzero(prediction), both / np.count_nonzero(truth)
    if max(precision, recall) < 0.5:
        return "wrong object"
    return "part of it" if precision >= recall else "too much"


@dataclass(frozen=True)
class Sample:
    """What one answer scored.

    ``ious`` holds one value for an answer that was given, and several equally likely ones for a reference that
    chooses at random: its measures are then exact expectations, not one draw.
    """

    kind: str
    has_target: bool
    ious: tuple[float, ...]


@dataclass(frozen=True)
class Measure:
    """Means over ``count`` samples, each in [0, 1]; NaN where there are none."""

    count: int
    miou: float
    acc25: float  # share with IoU > 0.25
    acc50: float  # share with IoU > 0.5


def measure(samples: Iterable[Sample]) -> Measure:
    """mIoU, Acc@0.25 and Acc@0.5 over samples."""
    ious = [np.asarray(sample.ious) for sample in samples]
    if not ious:
        return Measure(0, float("nan"), float("nan"), float("nan"))

    def mean(values: list) -> float:
        return float(np.mean([value.mean() for value in values]))

    return Measure(len(ious), mean(ious), mean([v > 0.25 for v in ious]), mean([v > 0.5 for v in ious]))


def row_of(kind: str) -> str:
    """What the row of a kind is called: the same, unless one of TOTALS has that name."""
    return f"{kind} (kind)" if kind in TOTALS else kind


def summary(samples: Sequence[Sample]) -> dict[str, Measure]:
    """One `Measure` per kind (`row_of`) over its samples with a target, then "with target", "zero-target" and "all".

    The mIoU of "zero-target" is the zero-target accuracy: the share of those samples whose prediction was empty.
    """
    with_target = [sample for sample in samples if sample.has_target]
    kinds = dict.fromkeys(sample.kind for sample in with_target)  # in order of appearance
    rows = {row_of(kind): [sample for sample in with_target if sample.kind == kind] for kind in kinds}
    rows["with target"] = with_target
    rows["zero-target"] = [sample for sample in samples if not sample.has_target]
    rows["all"] = list(samples)
    return {name: measure(members) for name, members in rows.items()}


def advantage(ours: Sequence[Sample], reference: Sequence[Sample], clouds: Sequence[str]) -> tuple[float, float, float]:
    """mIoU of ours minus the reference's on the same samples: (difference, lower, upper end of its 95 % interval).

    The interval is a bootstrap over clouds, because answers about one cloud fail together; ``clouds`` names each
    sample's. NaN ends with fewer than FEWEST_CLOUDS of them: drawn again and again, a few clouds look far too much
    alike. Deterministic.
    """
    gaps = np.array([np.mean(a.ious) - np.mean(b.ious) for a, b in zip(ours, reference, strict=True)])
    names, of_cloud = np.unique(np.asarray(clouds), return_inverse=True)
    if len(names) < FEWEST_CLOUDS:
        return float(gaps.mean()) if len(gaps) else float("nan"), float("nan"), float("nan")
    sums = np.bincount(of_cloud, weights=gaps, minlength=len(names))
    counts = np.bincount(of_cloud, minlength=len(names))
    draws = np.random.default_rng(0).integers(len(names), size=(4000, len(names)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(gaps.mean()), float(low), float(high)


@dataclass
class SemanticMeasure:
    """Per-class IoU over a whole split: intersections and unions are summed over clouds before they are divided."""

    intersection: dict[str, int] = field(default_factory=dict)
    union: dict[str, int] = field(default_factory=dict)

    def add(self, prediction: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> None:
        """Count one cloud. ``prediction`` and ``truth`` (M,) index ``classes``; negative values are no class."""
        labels = (truth[prediction == truth], prediction, truth)
        counts = np.stack([np.bincount(each[each >= 0], minlength=len(classes)) for each in labels], axis=1)
        for name, (both, predicted, true) in zip(classes, counts.tolist(), strict=True):
            self.intersection[name] = self.intersection.get(name, 0) + both
            self.union[name] = self.union.get(name, 0) + predicted + true - both

    def per_class(self) -> dict[str, float]:
        """IoU of every class that was seen or predicted at all."""
        return {name: self.intersection[name] / union for name, union in self.union.items() if union}

    def miou(self) -> float:
        """Mean of `per_class`; NaN before any point was counted."""
        values = list(self.per_class().values())
        return float(np.mean(values)) if values else float("nan")
