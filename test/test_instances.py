"""Masks into targets: clusters, and boxes whose truth is known."""

import time

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from segpoint.errors import SegPointError
from segpoint.instances import _outer, clusters, oriented_box, separate

UP = np.array([0.0, 0.0, 1.0])


def block(size, centre=(0, 0, 0), yaw=0.0, count=4000, seed=0) -> np.ndarray:
    """Points on the faces of a box, corners included."""
    rng = np.random.default_rng(seed)
    unit = rng.uniform(-0.5, 0.5, (count, 3))
    unit[np.arange(count), rng.integers(0, 3, count)] = rng.choice([-0.5, 0.5], count)
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    points = np.concatenate([unit, corners]) * size
    return points @ Rotation.from_euler("z", yaw).as_matrix().T + centre


def split(xyz, mask=None, score=None, *, distance=0.03, min_points=20, up=UP):
    mask = np.ones(len(xyz), dtype=bool) if mask is None else mask
    score = np.ones(len(xyz), dtype=np.float32) if score is None else score
    return separate(xyz, mask, score, distance=distance, min_points=min_points, up=up)


@pytest.mark.parametrize("yaw", [0.0, 0.4, 1.2, -0.7, 3.0])
def test_box_of_a_turned_block(yaw):
    centre, size, quaternion = oriented_box(block((0.3, 0.1, 0.2), (1.0, -2.0, 0.5), yaw), UP)
    assert centre == pytest.approx([1.0, -2.0, 0.5], abs=1e-9)
    assert size == pytest.approx([0.3, 0.1, 0.2], abs=1e-9)
    axes = Rotation.from_quat(quaternion).as_matrix()
    assert np.linalg.det(axes) == pytest.approx(1.0)
    assert axes[:, 2] == pytest.approx(UP)
    assert abs(axes[:2, 0] @ [np.cos(yaw), np.sin(yaw)]) == pytest.approx(1.0)  # the first axis is the long side


@pytest.mark.parametrize("up", [(0, -1, 0), (0, -0.8, -0.6), (1, 2, 3)])
def test_box_stands_along_any_up(up):
    up = np.asarray(up, dtype=float)
    turn = Rotation.align_vectors(up[None] / np.linalg.norm(up), UP[None])[0]
    (instance,) = split(turn.apply(block((0.3, 0.1, 0.2), yaw=0.3) + (0.2, 0.1, 0.9)), up=up)
    axes = Rotation.from_quat(instance.orientation).as_matrix()
    assert axes[:, 2] == pytest.approx(up / np.linalg.norm(up))
    assert instance.size == pytest.approx([0.3, 0.1, 0.2], abs=1e-6)
    assert instance.centre == pytest.approx(turn.apply([0.2, 0.1, 0.9]), abs=1e-6)


def test_stray_points_do_not_stretch_the_box():
    solid = block((0.1, 0.1, 0.1))
    trail = np.linspace([0.06, 0, 0], [0.3, 0, 0], 15)  # flying pixels, close enough together to be one cluster
    (instance,) = split(np.concatenate([solid, trail]))
    assert len(instance.indices) == len(solid) + 15
    assert instance.size.max() < 0.13


def test_targets_apart_are_two_and_touching_is_one():
    left, right = block((0.1, 0.1, 0.1)), block((0.1, 0.1, 0.1), (0.15, 0, 0), seed=1)
    assert len(split(np.concatenate([left, right]), distance=0.02)) == 2
    assert len(split(np.concatenate([left, right - (0.05, 0, 0)]), distance=0.02)) == 1


def test_indices_belong_to_the_callers_cloud_and_nan_to_nobody():
    xyz = np.concatenate([np.full((7, 3), np.nan), block((0.1, 0.1, 0.1)), block((0.1, 0.1, 0.1), (1, 0, 0))])
    xyz[100] = [0.0, np.nan, 0.0]
    xyz[101] = [np.inf, 0.0, 0.0]
    mask = np.ones(len(xyz), dtype=bool)
    mask[200:300] = False
    score = np.where(np.arange(len(xyz)) < 7 + 4008, 0.6, 0.9).astype(np.float32)
    best, second = split(xyz, mask, score)
    assert best.score == pytest.approx(0.9, abs=1e-6) and second.score == pytest.approx(0.6, abs=1e-6)
    assert best.centre == pytest.approx([1, 0, 0], abs=1e-3)
    together = np.concatenate([second.indices, best.indices])
    assert together.dtype == np.int64
    expected = np.flatnonzero(mask & np.isfinite(xyz).all(axis=1))
    assert np.array_equal(together, expected)


def test_small_clusters_go_but_never_all():
    large, small = block((0.1, 0.1, 0.1)), np.random.default_rng(0).normal(size=(8, 3)) * 0.002 + (1, 0, 0)
    assert len(split(np.concatenate([large, small]))) == 1
    (only,) = split(np.concatenate([small, small[:3] + (1, 0, 0)]))
    assert np.array_equal(only.indices, np.arange(8))


def test_empty_mask_gives_nothing():
    xyz = block((0.1, 0.1, 0.1))
    assert split(xyz, np.zeros(len(xyz), dtype=bool)) == []
    assert split(np.full((5, 3), np.nan)) == []


@pytest.mark.parametrize(
    "points",
    [
        [[0.1, 0.2, 0.3]],
        [[0, 0, 0], [0.01, 0, 0]],
        [[0, 0, 0]] * 5,
        [[0, 0, 0], [0, 0, 0.01], [0, 0, 0.02]],  # seen along up, all one point
        [[0, 0, 0], [0.005, 0.005, 0], [0.01, 0.01, 0], [0.02, 0.02, 0]],
    ],
)
def test_degenerate_targets_still_have_a_box(points):
    (instance,) = split(np.asarray(points, dtype=np.float32), min_points=1)
    assert (instance.size >= 1e-3).all() and np.isfinite(instance.centre).all()
    assert np.linalg.norm(instance.orientation) == pytest.approx(1.0)
    assert np.abs(instance.centre - np.mean(points, axis=0)).max() < 0.02


def test_a_line_lies_along_the_box():
    (instance,) = split(np.outer(np.linspace(0, 0.2, 50), [0.6, 0.8, 0.0]), min_points=1)
    assert instance.size[0] == pytest.approx(0.2, abs=1e-6)
    assert abs(Rotation.from_quat(instance.orientation).as_matrix()[:, 0] @ [0.6, 0.8, 0]) == pytest.approx(1.0)


def test_clusters_far_apart_do_not_overflow():
    far = np.concatenate([block((0.1, 0.1, 0.1)), block((0.1, 0.1, 0.1), (2e7, -2e7, 2e7))])
    assert [len(group) for group in clusters(far, 0.01 * 5)] == [4008, 4008]


def test_up_must_be_a_direction():
    with pytest.raises(SegPointError, match="up must be a direction"):
        split(np.zeros((3, 3)), up=(0, 0, 0))


def test_fifty_thousand_points_take_milliseconds():
    xyz = np.concatenate([block((0.3, 0.2, 0.2), (i * 0.5, 0, 0.8), i, 10000, i) for i in range(5)])
    times = []
    for _ in range(5):
        start = time.perf_counter()
        found = split(xyz)
        times.append(time.perf_counter() - start)
    assert len(found) == 5
    assert min(times) < 0.25  # 30 ms on a free core; the limit only catches a wrong algorithm


@pytest.mark.parametrize("seed", range(8))
def test_points_left_out_are_not_on_the_hull(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(2000, 2)) @ rng.normal(size=(2, 2))
    if seed % 2:
        points = np.round(points, 1)  # many on one line, many twice
    outer = _outer(points)
    assert len(outer) < 1000
    hulls = [np.unique(some[ConvexHull(some).vertices], axis=0) for some in (outer, points)]
    assert np.array_equal(*hulls)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.arange(10.0).reshape(5, 2), np.ones((1, 2))])
def test_points_without_a_hull_all_stay(points):
    assert np.array_equal(_outer(points), points)
