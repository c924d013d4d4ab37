"""Sets of sentences: what is asked in which words, and the benchmarks' figures, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.research.sentences import SentenceMeasurement
from segpoint_training.scenes.scene import Instruction

LENGTHS = (40, 20, 20, 10)  # points of the objects 1, 2, 3 and of what is no object (0)


def room(name: str = "scene0000_00") -> Scan:
    """Objects one metre apart along x, each a wall of points of its own width; the last point is not finite."""
    instance = np.repeat([1, 2, 3, 0], LENGTHS).astype(np.int32)
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0, 0.5, (len(instance), 3)).astype(np.float32) + instance[:, None] * [1, 0, 0]
    xyz = xyz.astype(np.float32)
    xyz[-1] = np.nan
    return Scan(name, xyz, np.zeros((len(xyz), 3), np.uint8), instance, scan_objects(xyz, instance, {1: "sofa"}))


class Said:
    """A data set of one room."""

    name, classes, scans = "multi3drefer", (), ("scene0000_00",)

    def __init__(self, *said: Instruction) -> None:
        self.said = said

    def load(self, scan: str) -> Scan:
        return room(scan)

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        return self.said


class ByNumber:
    """Finds the objects whose numbers stand in a sentence, and half of an object whose number stands there negative."""

    def __init__(self) -> None:
        self.calls = []

    def segment_many(self, xyz, instructions, rgb=None, frame="optical", places=None, task="instruction"):
        self.calls.append((list(instructions), frame, task))
        if any("too long" in text for text in instructions):
            raise SegPointError("it is too long")
        return [self._answer(text) for text in instructions]

    def _answer(self, text):
        instance = room().instance
        numbers = [int(word) for word in text.split() if word.lstrip("-").isdigit()]
        parts = [np.flatnonzero(instance == abs(n))[:: 1 if n >= 0 else 2] for n in numbers]
        mask = np.zeros(len(instance), bool)
        for part in parts:
            mask[part] = True
        return SimpleNamespace(mask=mask, answer="", instances=[SimpleNamespace(indices=part) for part in parts])


def said(text: str, kind: str, *targets: int, task: str = "referring") -> Instruction:
    return Instruction(text, kind, targets, "thing" if targets else "", task=task)


def test_figures_by_hand():
    measurement = SentenceMeasurement(
        ByNumber(),
        Said(
            said("1", "st_wo_d", 1),  # right
            said("-1", "st_w_d", 1),  # half of its points: IoU 20 / 40, which is not above 0.5
            said("2 3", "st_w_d", 2),  # one too many: IoU 20 / 40, F1 2 / 3
            said("2 3", "mt", 2, 3),  # right
            said("1", "mt", 2, 3),  # wrong
            said("nothing", "zt_w_d"),  # right
            said("3", "zt_w_d"),  # there is none
            said("nothing", "st_w_d", 3),  # not found
        ),
    )
    measurement.add("scene0000_00")
    rows = measurement.measures()
    assert list(rows) == ["zt_w_d", "st_wo_d", "st_w_d", "mt", "with target", "zero-target", "overall"]
    assert (rows["st_w_d"].count, rows["overall"].count) == (3, 8)
    assert rows["st_wo_d"].miou == rows["st_wo_d"].acc50 == rows["st_wo_d"].f1_50 == 1
    assert rows["st_w_d"].miou == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert rows["st_w_d"].acc50 == 0 and rows["st_w_d"].acc25 == pytest.approx(2 / 3)
    half = measurement.items[1]
    assert half["f1_25"] == 1 and half["outcome"] == "part of it"
    assert rows["st_w_d"].f1_25 == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert rows["mt"].miou == rows["mt"].f1_25 == pytest.approx((1 + 0) / 2)
    assert rows["zt_w_d"].miou == rows["zt_w_d"].f1_25 == rows["zero-target"].miou == 0.5
    assert rows["overall"].miou == pytest.approx((1 + 0.5 + 0.5 + 1 + 0 + 1 + 0 + 0) / 8)
    assert rows["overall"].f1_25 == pytest.approx(np.mean([item["f1_25"] for item in measurement.items]))
    assert rows["with target"].miou == pytest.approx(3 / 6)


def test_referring_expressions_and_instructions_are_asked_apart():
    segmenter = ByNumber()
    data = Said(said("1", "a", 1), said("sit 2", "my own", 2, task="instruction"), said("3", "a", 3))
    measurement = SentenceMeasurement(segmenter, data)
    measurement.add("scene0000_00")
    assert segmenter.calls == [(["1", "3"], "map", "referring"), (["sit 2"], "map", "instruction")]
    assert [(item["sentence"], item["iou"]) for item in measurement.items] == [("1", 1), ("3", 1), ("sit 2", 1)]
    assert list(measurement.measures()) == ["a", "my own", "overall"]


def test_groups_of_referit3d_overlap():
    data = Said(
        said("1", "hard view-dependent", 1),
        said("1", "easy view-independent", 1),
        said("3", "easy view-dependent", 1),
    )
    measurement = SentenceMeasurement(ByNumber(), data)
    measurement.add("scene0000_00")
    rows = {name: (row.count, row.miou) for name, row in measurement.measures().items()}
    assert rows == {
        "easy": (2, 0.5),
        "hard": (1, 1.0),
        "view-dependent": (2, 0.5),
        "view-independent": (1, 1.0),
        "overall": (3, pytest.approx(2 / 3)),
    }
    assert list(rows)[0] == "easy", "in the benchmark's order"


def test_kinds_that_are_called_like_totals_have_rows_of_their_own():
    data = Said(
        said("1", "overall", 1), said("-1", "zero-target", 1), said("nothing", "zero-target"), said("3", "easy hard", 1)
    )
    measurement = SentenceMeasurement(ByNumber(), data)
    measurement.add("scene0000_00")
    rows = {name: (row.count, row.miou) for name, row in measurement.measures().items()}
    assert rows == {
        "overall (kind)": (1, 1.0),
        "zero-target (kind)": (1, 0.5),
        "easy hard": (1, 0.0),
        "with target": (3, 0.5),
        "zero-target": (1, 1.0),
        "overall": (4, 0.625),
    }


def test_what_is_refused_counts_as_wrong():
    data = Said(said("1", "unique", 1), said("a too long nothing", "multiple"), said("2", "multiple", 2))
    segmenter = ByNumber()
    measurement = SentenceMeasurement(segmenter, data)
    measurement.add("scene0000_00")
    assert len(segmenter.calls) == 4
    assert [item["outcome"] for item in measurement.items] == ["right", "refused", "right"]
    assert [item["f1_50"] for item in measurement.items] == [1, 0, 1]
    assert measurement.refused == ["scene0000_00, a too long nothing: it is too long"]
    assert measurement.measures()["multiple"].miou == 0.5


def test_points_without_coordinates_do_not_count():
    class All(ByNumber):
        def _answer(self, text):
            found = super()._answer(text)
            found.mask = found.mask | ~np.isfinite(room().xyz[:, 0])
            return found

    measurement = SentenceMeasurement(All(), Said(said("1", "unique", 1)))
    measurement.add("scene0000_00")
    assert measurement.items[0]["iou"] == 1 and measurement.items[0]["points"] == LENGTHS[0]


def test_answers_can_be_watched():
    seen = []
    measurement = SentenceMeasurement(ByNumber(), Said(said("-1", "unique", 1)), lambda *told: seen.append(told))
    measurement.add("scene0000_00")
    [(cloud, question, answer, score)] = seen
    assert cloud.name == "scene0000_00" and cloud.frame == "map" and cloud.height == 1
    assert question.truth.sum() == 40 and answer.mask.sum() == 20 and score == 0.5
