"""Semantic segmentation of generated scenes: a class for every point, over the classes that a model was trained on.

All classes that occur in the set (with FEWEST_POINTS or more over all its clouds) are asked about in every cloud, also
where a cloud has none of one. Points of no object (what is behind a table) and of other classes do not count. IoU is
summed over clouds per class, then averaged over classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint_training.baselines import geometric_clusters
from segpoint_training.labelled import FEWEST_POINTS, LabelledScan, LabelledSet
from segpoint_training.metrics import SemanticMeasure
from segpoint_training.scenes.scene import GROUND

if TYPE_CHECKING:
    from segpoint.segmenter import Segmenter

SEMANTIC_REFERENCES = ("all one class", "random class a cluster", "best class a cluster")


@dataclass
class SemanticResult:
    """``points``: true points per class over the set. ``references`` by the names in SEMANTIC_REFERENCES.

    Those mark everything as what carries the scene (the table, the floor); then, on top of that, each geometric
    cluster as a class at random (one draw) or as the class that most of its points have.
    """

    points: dict[str, int]
    clouds: int = 0
    ours: SemanticMeasure = field(default_factory=SemanticMeasure)
    references: dict[str, SemanticMeasure] = field(
        default_factory=lambda: {name: SemanticMeasure() for name in SEMANTIC_REFERENCES}
    )
    refused: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        per_class = self.ours.per_class()
        return {
            "clouds": self.clouds,
            "classes": {name: {"points": n, "iou": per_class[name]} for name, n in self.points.items()},
            "miou": self.ours.miou(),
            "references": {name: measure.miou() for name, measure in self.references.items()},
            "refused": self.refused,
        }


def evaluate_semantic(segmenter: Segmenter, data: LabelledSet) -> SemanticResult:
    """Segment every generated cloud of ``data`` into the trained classes that occur in it. Holds all clouds at once."""
    from tqdm import tqdm

    from segpoint_training.scenes.categories import TRAINED

    clouds = [replace(cloud, questions=()) for cloud in data]
    points = _points_per_class(clouds, TRAINED)
    classes = list(points)
    result = SemanticResult(points, len(clouds))
    rng = np.random.default_rng(0)
    for cloud in tqdm(clouds, desc="clouds", disable=None):
        truth = _truth(cloud, classes)
        counted = (truth >= 0) & np.isfinite(cloud.xyz).all(axis=1)
        try:
            predicted = segmenter.semantic(cloud.xyz, classes, rgb=cloud.rgb, frame=cloud.frame)
        except SegPointError as error:
            result.refused.append(f"{cloud.name}: {error}")
            predicted = np.full(len(cloud.xyz), -1)
        result.ours.add(predicted[counted], truth[counted], classes)
        for name, labels in _reference_labels(cloud, truth, classes, rng).items():
            result.references[name].add(labels[counted], truth[counted], classes)
    if len(result.refused) == len(clouds):
        raise SegPointError(f"none of {len(clouds)} clouds could be segmented; the first: {result.refused[0]}")
    return result


def _points_per_class(clouds: list[LabelledScan], known: tuple[str, ...]) -> dict[str, int]:
    """Points of each known class that occurs in the set, most first."""
    points: dict[str, int] = {}
    for cloud in clouds:
        ids, counts = np.unique(cloud.instance[np.isfinite(cloud.xyz).all(axis=1)], return_counts=True)
        for id, count in zip(ids.tolist(), counts.tolist(), strict=True):
            name = cloud.categories.get(id)
            if name in known:
                points[name] = points.get(name, 0) + count
    often = [(name, count) for name, count in points.items() if count >= FEWEST_POINTS]
    return dict(sorted(often, key=lambda entry: -entry[1]))


def _truth(cloud: LabelledScan, classes: list[str]) -> np.ndarray:
    """(M,) the class of each point, -1 where it does not count."""
    of_id = np.full(1 + max(cloud.categories, default=0), -1)
    for id, name in cloud.categories.items():
        of_id[id] = classes.index(name) if name in classes else -1
    of_id[0] = -1
    return of_id[cloud.instance]


def _reference_labels(
    cloud: LabelledScan, truth: np.ndarray, classes: list[str], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """(M,) class per point of each of SEMANTIC_REFERENCES."""
    carrier = cloud.categories.get(GROUND)
    base = np.full(len(truth), classes.index(carrier) if carrier in classes else -1)
    chance, best = base.copy(), base.copy()
    for indices in geometric_clusters(cloud.xyz, cloud.frame, cloud.scale):
        chance[indices] = rng.integers(len(classes))
        seen = truth[indices][truth[indices] >= 0]
        best[indices] = np.bincount(seen).argmax() if len(seen) else -1
    return dict(zip(SEMANTIC_REFERENCES, (base, chance, best), strict=True))
