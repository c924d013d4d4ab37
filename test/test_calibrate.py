"""Calibration: what is recorded, and what is chosen from it."""

import numpy as np
import pytest

from segpoint.cloud import Cloud
from segpoint.errors import SegPointError
from segpoint_training.calibrate import BIASES, THRESHOLDS, best_threshold, best_weight, main, served, threshold_ious


def test_iou_on_voxels_is_that_of_the_raw_points():
    cloud = Cloud(
        xyz=np.zeros((4, 3), np.float32), rgb=np.zeros((4, 3), np.float32), focus=np.zeros(4, bool), count=3,
        voxel_m=0.01, voxel_of=np.array([0, 0, 0, 1, 1, 2, -1], np.int32), rotation=np.eye(3, dtype=np.float32),
        origin=np.zeros(3, np.float32), up=np.array([0, 0, 1], np.float32),
    )  # fmt: skip
    truth = np.array([1, 1, 0, 1, 0, 0, 1], dtype=bool)  # the last one has no voxel: never found
    ious = threshold_ious(cloud, np.array([0.9, 0.52, 0.1, 0.9], np.float32), truth)
    by_hand = {threshold: 3 / 6 if threshold < 0.52 else 2 / 5 for threshold in THRESHOLDS}
    assert ious == pytest.approx(list(by_hand.values()))
    nothing = threshold_ious(cloud, np.zeros(4, np.float32), np.zeros(7, bool))
    assert nothing == [1.0] * len(THRESHOLDS)


def test_no_scenes_are_told_before_the_model_is_loaded():
    with pytest.raises(SegPointError, match="--scenes"):
        main(["nowhere", "--scenes", "0"])


def test_threshold_goes_by_answers_with_a_target():
    rows = np.zeros((3, len(THRESHOLDS) + 3))
    rows[0, 2], rows[1, 2], rows[2, 5] = 0.7, 0.5, 1.0
    rows[:2, -1] = 1  # the third has no target
    assert best_threshold([rows]) == THRESHOLDS[2]


def test_both_kinds_are_served_whatever_their_share():
    #                  forced IoU, the LLM's lean to "no mask", presence, has a target
    wanted, absent = [0.8, -1.0, 1.0, 1], [0.0, -1.0, -3.0, 0]
    rows = np.array([wanted] * 30 + [absent])
    weight, bias = best_weight([rows], (0.0,))
    assert weight > 1 / 3 and bias == 0.0 and served(rows, weight) == (pytest.approx(0.8), 1.0)


def test_a_bias_helps_where_the_reader_is_always_too_hopeful():
    rows = np.array([[0.8, 0.0, 6.0, 1], [0.8, 0.5, 5.0, 1], [0.0, 0.5, 3.0, 0], [0.0, 0.0, 2.0, 0]])
    assert sum(served(rows, *best_weight([rows], (0.0,)))) < 1.7
    assert served(rows, *best_weight([rows], BIASES)) == (pytest.approx(0.8), 1.0)
