"""Semantic segmentation: which points count, and the figures by hand."""

import numpy as np
import pytest

from segpoint_training.labelled import LabelledScan, LabelledSet
from segpoint_training.semantic import evaluate_semantic


def cloud(name: str, instance: list[int], categories: dict[int, str]) -> LabelledScan:
    xyz = np.random.default_rng(0).uniform(0.5, 1.0, (len(instance), 3)).astype(np.float32)
    xyz[-1] = np.nan
    return LabelledScan(name, xyz, None, len(xyz), 1, (), "body", "table", "lidar", np.array(instance), categories)


class OneAfterTheOther:
    """Predicts given labels, whatever the cloud."""

    def __init__(self, *labels):
        self.labels, self.asked = list(labels), []

    def semantic(self, xyz, classes, rgb=None, frame="optical"):
        self.asked.append((list(classes), frame))
        return np.array(self.labels.pop(0))


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    monkeypatch.setattr("segpoint_training.semantic.FEWEST_POINTS", 1)


def test_background_held_out_classes_and_missing_points_do_not_count():
    first = cloud("a", [1, 1, 1, 2, 2, 0, 3, 1], {1: "table", 2: "mug", 3: "shoe"})  # a shoe is never trained
    second = cloud("b", [1, 1, 2, 2], {1: "table", 2: "bowl"})
    segmenter = OneAfterTheOther([0, 0, 1, 1, -1, 1, 1, 1], [0, 2, 2, 0])
    result = evaluate_semantic(segmenter, LabelledSet(2, {"data": "x"}, [first, second].__getitem__))
    assert result.points == {"table": 5, "mug": 2, "bowl": 1}  # the NaN rows are not among them
    assert segmenter.asked == [(["table", "mug", "bowl"], "body")] * 2  # in both clouds all classes of the set
    # table: of 3 + 2 points 2 + 1 found, none marked wrongly; mug: 1 of 2 found, 1 wrong; bowl: found, 1 wrong
    assert result.ours.per_class() == pytest.approx({"table": 3 / 5, "mug": 1 / 3, "bowl": 1 / 2})
    assert result.to_dict()["miou"] == pytest.approx((3 / 5 + 1 / 3 + 1 / 2) / 3)
    one = result.references["all one class"].per_class()
    assert one == pytest.approx({"table": 5 / 8, "mug": 0.0, "bowl": 0.0})


def test_a_speck_is_no_class(monkeypatch):
    monkeypatch.setattr("segpoint_training.semantic.FEWEST_POINTS", 2)
    only = cloud("a", [1, 1, 1, 2, 1], {1: "table", 2: "pen"})
    segmenter = OneAfterTheOther([0, 0, 0, 0, 0])
    assert evaluate_semantic(segmenter, LabelledSet(1, {"data": "x"}, [only].__getitem__)).points == {"table": 3}
