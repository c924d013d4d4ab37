"""Multi3DRefer's F1 by hand, and against every way in which boxes can be matched."""

from itertools import permutations

import numpy as np
import pytest

from segpoint_training.datasets.scan import scan_objects
from segpoint_training.research.boxes import box_f1, box_ious, boxes_around, boxes_of

NONE = np.empty((0, 2, 3))


def box(x: float, width: float = 1.0) -> list[list[float]]:
    """A box of this width along x, one metre deep and high."""
    return [[x, 0.0, 0.0], [x + width, 1.0, 1.0]]


def test_iou_of_boxes():
    ious = box_ious(np.array([box(0), box(5)]), np.array([box(0.5), box(0), box(1)]))
    assert ious == pytest.approx(np.array([[1 / 3, 1, 0], [0, 0, 0]]))
    flat = np.array([box(0, 0)])
    assert box_ious(flat, flat) == 0.0, "a box without volume is met by nothing"
    assert box_ious(NONE, flat).shape == (0, 1)


@pytest.mark.parametrize(
    ("found", "true", "at_25", "at_50"),
    [
        ([box(0)], [box(0)], 1, 1),
        ([box(0)], [box(0.5)], 1, 0),  # IoU 1/3
        ([box(0)], [box(0, 2)], 1, 1),  # IoU 1/2: a threshold that is reached counts
        ([box(0)], [box(0, 4)], 1, 0),  # IoU 1/4
        ([box(0), box(7)], [box(0)], 2 / 3, 2 / 3),  # one too many
        ([box(0)], [box(0), box(3), box(6)], 1 / 2, 1 / 2),  # two not found
        ([box(0), box(0)], [box(0)], 2 / 3, 2 / 3),  # a true box is met once
        ([box(9)], [box(0)], 0, 0),
        ([], [box(0)], 0, 0),
        ([box(0)], [], 0, 0),  # there is nothing to find
        ([], [], 1, 1),
    ],
)
def test_f1_by_hand(found, true, at_25, at_50):
    found, true = (np.array(boxes).reshape(-1, 2, 3) for boxes in (found, true))
    assert box_f1(found, true) == pytest.approx([at_25, at_50])


def test_the_matching_is_by_the_sum_of_iou_not_by_pairs_above_the_threshold():
    """Crosswise two pairs would reach 0.25, straight there is one at 0.9: the larger sum is taken."""
    found, true = np.array([box(0, 1), box(0.45, 1)]), np.array([box(0.04, 1), box(-0.55, 1)])
    ious = box_ious(found, true)
    assert ious[0, 0] + ious[1, 1] > ious[0, 1] + ious[1, 0]
    assert min(ious[0, 1], ious[1, 0]) > 0.25 > ious[1, 1]
    assert box_f1(found, true) == pytest.approx([0.5, 0.5])


def f1_over_all_matchings(found: np.ndarray, true: np.ndarray, threshold: float) -> float:
    """The definition word for word: a square table of IoU, zeros where there is no box, the best of all its orders."""
    side = max(len(found), len(true))
    table = np.zeros((side, side))
    for i, one in enumerate(found):
        for j, other in enumerate(true):
            edges = [max(0.0, min(one[1][k], other[1][k]) - max(one[0][k], other[0][k])) for k in range(3)]
            volumes = [np.prod([b[1][k] - b[0][k] for k in range(3)]) for b in (one, other)]
            table[i, j] = np.prod(edges) / (sum(volumes) - np.prod(edges))
    best = max(permutations(range(side)), key=lambda order: sum(table[i, j] for i, j in enumerate(order)))
    pairs = sum(table[i, j] >= threshold for i, j in enumerate(best))
    precision, recall = pairs / max(len(found), 1), pairs / max(len(true), 1)
    return 2 * precision * recall / (precision + recall) if pairs else 0.0


def test_f1_is_that_of_the_best_of_all_matchings():
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(300):
        counts = rng.integers(1, 5, 2)
        true = rng.uniform(0, 1.0, (counts[1], 1, 3)) + [[[0, 0, 0], [1, 1, 1]]]
        near = true[rng.integers(len(true), size=counts[0])]
        found = near + rng.normal(0, 0.12, (counts[0], 2, 3))
        expected = [f1_over_all_matchings(found, true, threshold) for threshold in (0.25, 0.5)]
        scores.append(box_f1(found, true))
        assert scores[-1] == pytest.approx(expected)
    assert 0.1 < np.mean(scores, axis=0)[1] < np.mean(scores, axis=0)[0] < 0.9, "cases of every sort"


def test_boxes_stand_around_points():
    xyz = np.array([[0, 0, 0], [1, 2, 3], [0.5, 5, 1], [9, 9, 9]], np.float32)
    expected = np.array([[[0, 0, 0], [1, 5, 3]], [[9, 9, 9], [9, 9, 9]]])
    assert boxes_around(xyz, [np.array([0, 1, 2]), np.array([3])]) == pytest.approx(expected)
    objects = scan_objects(xyz, np.array([4, 4, 4, 7]), {4: "chair"})
    assert boxes_of(objects) == pytest.approx(expected)
    assert boxes_around(xyz, []).shape == boxes_of([]).shape == (0, 2, 3)
