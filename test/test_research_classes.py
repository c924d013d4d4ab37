"""Sets of classes: which points count, IoU over a split by hand and by the official confusion matrix, free names."""

from types import SimpleNamespace

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.research.classes import AskedClasses, ClassMeasurement, FreeNames, true_classes

CLASSES = ("wall", "floor", "chair", "stool")
ALL = {"miou": CLASSES}


def scan(name: str, instance: list[int], categories: dict[int, str]) -> Scan:
    ids = np.array(instance, np.int32)
    xyz = np.random.default_rng(0).uniform(0, 3, (len(ids), 3)).astype(np.float32)
    return Scan(name, xyz, None, ids, scan_objects(xyz, ids, categories))


class Rooms:
    name, classes = "scannet", CLASSES

    def __init__(self, *rooms: Scan) -> None:
        self.rooms = {room.name: room for room in rooms}
        self.scans = list(self.rooms)

    def load(self, scan: str) -> Scan:
        return self.rooms[scan]

    def instructions(self, scan: str) -> tuple:
        return ()


class Labels:
    """Labels that are known beforehand, one list after the other."""

    def __init__(self, *labels) -> None:
        self.labels = list(labels)

    def __call__(self, scan: Scan) -> np.ndarray:
        return np.array(self.labels.pop(0))

    def to_dict(self) -> dict:
        return {}


def test_figures_by_hand():
    first = scan("a", [1, 1, 1, 2, 2, 0, 3], {1: "wall", 2: "chair", 3: "poster"})  # a poster is no class here
    second = scan("b", [5, 5, 4], {5: "wall", 4: "chair"})
    labels = Labels([0, 0, 2, 2, -1, 1, 1], [0, 1, 2])
    measurement = ClassMeasurement(labels, Rooms(first, second), {**ALL, "head": ["wall"], "tail": ["stool"]})
    for name in ("a", "b"):
        measurement.add(name)
    # wall: 3 + 2 points, 2 + 1 found, none called so wrongly; chair: 2 + 1, 1 + 1 found, 1 wrong; floor: 1 wrong
    expected = {"wall": 3 / 5, "chair": 2 / 4, "floor": 0.0}
    assert measurement.measure.per_class() == pytest.approx(expected), "the floor is found where there is a wall"
    means = measurement.means()
    assert means["miou"] == pytest.approx((3 / 5 + 2 / 4 + 0) / 3), "a class that never came up is left out"
    assert means["head"] == pytest.approx(3 / 5) and np.isnan(means["tail"])
    record = measurement.to_dict()
    assert record["classes"]["wall"] == {"points": 5, "iou": 0.6}
    assert [row["class"] for row in measurement.rows()] == ["wall", "floor", "chair"], "in the data set's order"


def official_ious(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """ScanNet's rule: a confusion matrix over all points with a valid class, tp / (tp + fp + fn)."""
    confusion = np.zeros((len(CLASSES) + 1,) * 2, int)  # the last: none
    for true, called in zip(truth, found, strict=True):
        if true >= 0:
            confusion[true, called] += 1
    ious = {}
    for i, name in enumerate(CLASSES):
        right, missed = confusion[i, i], confusion[i].sum() - confusion[i, i]
        wrong = sum(confusion[j, i] for j in range(len(CLASSES)) if j != i)
        if right + missed + wrong:
            ious[name] = right / (right + missed + wrong)
    return ious


def test_figures_are_those_of_the_official_confusion_matrix():
    rng = np.random.default_rng(1)
    categories = {i + 1: name for i, name in enumerate((*CLASSES, "poster"))}
    rooms = [scan(str(i), rng.integers(0, 6, 500).tolist(), categories) for i in range(3)]
    labels = [rng.integers(-1, 4, 500) for _ in rooms]
    measurement = ClassMeasurement(Labels(*labels), Rooms(*rooms), ALL)
    for room in rooms:
        measurement.add(room.name)
    truth = np.concatenate([true_classes(room, CLASSES) for room in rooms])
    ious = official_ious(truth, np.concatenate(labels))
    assert measurement.measure.per_class() == pytest.approx(ious)
    assert measurement.means()["miou"] == pytest.approx(np.mean(list(ious.values())))
    assert sum(measurement.points.values()) == (truth >= 0).sum() < len(truth)


def test_truth_is_of_objects_with_a_class():
    room = scan("a", [0, 3, 3, 7, 9], {3: "chair", 7: "", 9: "poster"})
    assert true_classes(room, CLASSES).tolist() == [-1, 2, 2, -1, -1]


def test_a_scan_that_is_refused_is_all_wrong():
    class Refusing:
        def semantic(self, xyz, classes, rgb=None, frame="optical"):
            assert (classes, frame) == (list(CLASSES), "map")
            raise SegPointError("not today")

    measurement = ClassMeasurement(AskedClasses(Refusing(), CLASSES), Rooms(scan("a", [1, 1], {1: "wall"})), ALL)
    measurement.add("a")
    assert measurement.refused == ["a: not today"] and measurement.measure.per_class() == {"wall": 0.0}
    assert measurement.asked == 1


class Naming:
    """Says what it is given about any cloud."""

    config = SimpleNamespace(mask_threshold=0.4)

    def __init__(self, *parts) -> None:
        self.parts = [(name, np.array(score, np.float32)) for name, score in parts]

    def name_all(self, xyz, rgb=None, frame="optical"):
        return self.parts


class Synonyms:
    """Stands for the sentence encoder."""

    def match(self, names):
        return [{"armchair": 2, "chair": 2, "ground": 1}.get(name, -1) for name in names]


def test_free_names_are_matched_to_classes():
    segmenter = Naming(
        ("armchair", [0.9, 0.8, 0.5, 0.1]),
        ("ground", [0.1, 0.9, 0.4, 0.2]),  # at the threshold is not above it
        ("thing", [1.0, 1.0, 1.0, 1.0]),  # no class: takes nothing away
        ("chair", [0.1, 0.1, 0.1, 0.6]),
        ("armchair", [0.1, 0.95, 0.1, 0.1]),
    )
    names = FreeNames(segmenter, Synonyms(), CLASSES)
    room = scan("a", [1, 1, 1, 1], {1: "chair"})
    assert names(room).tolist() == [2, 2, 2, 2]
    assert names.to_dict()["names"] == {
        "armchair": {"count": 2, "class": "chair"},
        "ground": {"count": 1, "class": "floor"},
        "thing": {"count": 1, "class": ""},
        "chair": {"count": 1, "class": "chair"},
    }
    segmenter.parts = segmenter.parts[:2]
    assert names(room).tolist() == [2, 1, 2, -1]
    segmenter.parts = []
    assert names(room).tolist() == [-1] * 4
