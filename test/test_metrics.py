"""Measures, against values worked out by hand."""

import math

import numpy as np
import pytest

from segpoint_training.metrics import (
    FEWEST_CLOUDS,
    OUTCOMES,
    Sample,
    SemanticMeasure,
    advantage,
    iou,
    measure,
    outcome,
    summary,
)


def mask(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (mask(1, 1, 0, 0), mask(1, 0, 1, 0), 1 / 3),  # one shared of three marked
        (mask(1, 1, 1, 1), mask(0, 1, 0, 0), 1 / 4),
        (mask(0, 1, 1, 0), mask(0, 1, 1, 0), 1.0),
        (mask(0, 0, 0, 0), mask(0, 1, 1, 0), 0.0),
        (mask(0, 0, 0, 0), mask(0, 0, 0, 0), 1.0),  # nothing said, nothing there
        (mask(0, 0, 1, 0), mask(0, 0, 0, 0), 0.0),  # one point too many is a wrong answer
    ],
)
def test_iou(prediction, truth, expected):
    assert iou(prediction, truth) == pytest.approx(expected)


def test_measure_is_a_mean_over_samples_with_strict_thresholds():
    row = measure([Sample("a", True, (value,)) for value in (0.25, 0.3, 0.5, 0.95)])
    assert row.count == 4
    assert row.miou == pytest.approx(0.5)
    assert row.acc25 == pytest.approx(3 / 4)  # 0.25 itself does not count
    assert row.acc50 == pytest.approx(1 / 4)  # 0.5 itself does not count


def test_equally_likely_outcomes_are_averaged_before_samples():
    row = measure([Sample("a", True, (0.0, 0.0, 0.9)), Sample("a", True, (1.0,))])
    assert row.miou == pytest.approx((0.3 + 1.0) / 2)  # not (0 + 0 + 0.9 + 1) / 4
    assert row.acc50 == pytest.approx((1 / 3 + 1.0) / 2)


def test_summary_keeps_zero_target_apart_from_the_kinds():
    samples = [
        Sample("spatial", True, (0.2,)),
        Sample("category", True, (0.6,)),
        Sample("spatial", True, (0.8,)),
        Sample("zero-target", False, (1.0,)),
        Sample("zero-target", False, (0.0,)),
        Sample("spatial", False, (1.0,)),  # "the leftmost banana", where there is none
    ]
    rows = summary(samples)
    assert list(rows) == ["spatial", "category", "with target", "zero-target", "all"]
    assert rows["spatial"].count == 2 and rows["spatial"].miou == pytest.approx(0.5)
    assert rows["with target"].miou == pytest.approx((0.2 + 0.6 + 0.8) / 3)
    assert rows["zero-target"].count == 3 and rows["zero-target"].miou == pytest.approx(2 / 3)
    assert rows["all"].miou == pytest.approx(3.6 / 6)


def test_no_samples_are_nan_not_zero():
    assert math.isnan(summary([])["with target"].miou)


def test_semantic_sums_over_clouds_before_dividing():
    semantic = SemanticMeasure()
    classes = ("mug", "bowl", "ball")
    semantic.add(np.array([0, 0, 1, -1]), np.array([0, 1, 1, -1]), classes)  # mug 1/2, bowl 1/2
    semantic.add(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), classes)  # mug 3/4, bowl 0/1
    assert semantic.per_class() == pytest.approx({"mug": 4 / 6, "bowl": 1 / 3})  # "ball" never came up
    assert semantic.miou() == pytest.approx(0.5)
    assert math.isnan(SemanticMeasure().miou())


def test_advantage_counts_clouds_not_questions():
    ours = [Sample("a", True, (0.6,))] * 100 + [Sample("a", True, (0.2,))] * FEWEST_CLOUDS
    theirs = [Sample("a", True, (0.4,))] * len(ours)
    clouds = ["one"] * 100 + [f"{n}" for n in range(FEWEST_CLOUDS)]
    gain, low, high = advantage(ours, theirs, clouds)
    assert gain == pytest.approx((100 * 0.2 - FEWEST_CLOUDS * 0.2) / len(ours))
    assert low == pytest.approx(-0.2) and high > 0  # drawn without "one", every cloud is worse
    assert advantage(ours, ours, clouds) == (0.0, 0.0, 0.0)


def test_few_clouds_give_no_interval():
    ours, theirs = [Sample("a", True, (0.6,))] * 100, [Sample("a", True, (0.4,))] * 100
    gain, low, high = advantage(ours, theirs, [f"{n % (FEWEST_CLOUDS - 1)}" for n in range(100)])
    assert gain == pytest.approx(0.2) and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (mask(0, 1, 1, 0), mask(0, 1, 1, 1), "right"),  # 2 / 3
        (mask(0, 0, 0, 0), mask(0, 0, 0, 0), "right"),
        (mask(0, 0, 0, 0), mask(0, 1, 1, 0), "nothing found"),
        (mask(1, 0, 0, 1), mask(0, 1, 1, 0), "wrong object"),
        (mask(1, 1, 1, 0), mask(0, 0, 1, 1), "too much"),  # half of the truth, a third of the mask
        (mask(0, 1, 0, 0), mask(0, 1, 1, 1), "part of it"),
        (mask(1, 0, 0, 0), mask(0, 0, 0, 0), "found where there is none"),
    ],
)  # fmt: skip
def test_outcome(prediction, truth, expected):
    assert outcome(prediction, truth) == expected and expected in OUTCOMES


def test_kinds_that_are_called_like_totals_have_rows_of_their_own():
    rows = summary(
        [Sample("all", True, (1.0,)), Sample("zero-target", True, (0.0,)), Sample("zero-target", False, (1.0,))]
    )
    assert {name: (row.count, row.miou) for name, row in rows.items()} == {
        "all (kind)": (1, 1.0),
        "zero-target (kind)": (1, 0.0),
        "with target": (2, 0.5),
        "zero-target": (1, 1.0),
        "all": (3, pytest.approx(2 / 3)),
    }
