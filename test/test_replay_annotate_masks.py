"""Masks and pictures of `segpoint annotate` without a page or a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotating import FRAMES, iou, record, session
from mini_bag import mini_stamp

from segpoint.projection import Panorama
from segpoint_replay.annotate.clouds import Clouds
from segpoint_replay.annotate.masks import carried_over, resized
from segpoint_replay.annotate.picture import Picture
from segpoint_replay.recording import Recording
from segpoint_training.bag_writer import BagWriter


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    return record(tmp_path_factory.mktemp("recorded"))


def test_carried_over_by_the_bags_transforms(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    """From the first cloud to the last, 30° further: only with the transforms is each object where it belongs."""
    bag, truth = recorded
    clouds = Clouds(Recording.open(bag), 1)
    first, last = clouds.view(0), clouds.view(FRAMES - 1)
    label = np.where(truth[0] > 1, truth[0], 0)
    carried = carried_over(first.xyz, label, last.xyz, last.things, last.motion_from(first))
    for number in (2, 3, 4):
        assert iou(carried == number, truth[-1] == number) > 0.75
    blind = carried_over(first.xyz, label, last.xyz, [], None)
    assert min(iou(blind == number, truth[-1] == number) for number in (2, 3, 4)) < 0.6


def test_grown_and_shrunk() -> None:
    x, y = np.meshgrid(np.arange(60) * 0.01, np.arange(60) * 0.01)
    xyz = np.stack([x.ravel(), y.ravel(), np.ones(3600)], 1).astype(np.float32)
    xyz[0] = np.nan
    mask = (np.abs(xyz[:, 0] - 0.3) < 0.1) & (np.abs(xyz[:, 1] - 0.3) < 0.1)
    grown, shrunk = resized(xyz, mask, 2), resized(xyz, mask, -2)
    assert (grown & mask).sum() == mask.sum() < grown.sum() < 2 * mask.sum()
    assert (shrunk & mask).sum() == shrunk.sum() < mask.sum()
    assert resized(xyz, mask, -50).any()


def test_a_picture_of_a_cloud_without_rows() -> None:
    """Every point that is seen answers to the brush at its pixel, also those that share one."""
    rng = np.random.default_rng(0)
    xyz = np.concatenate([rng.uniform([1, -1, 0], [3, 1, 0], (60_000, 3)), [[np.nan] * 3]]).astype(np.float32)
    picture = Picture(xyz, None, "body", len(xyz), 1)
    width, height = picture.size
    everything = picture.under([(width / 2, height / 2)], width)
    assert everything[:-1].mean() > 0.95
    assert not everything[-1]
    row, column = np.argwhere(picture.shown >= 0)[500]
    assert picture.point_at(column, row) == picture.shown[row, column]
    assert picture.under([(column, row)], 3)[picture.shown[row, column]]


def lidar_bag(path: Path) -> tuple[Path, np.ndarray]:
    """A scan of 32 rings in a room of 6 × 4 m, with a ball at each side but ahead, and what each point is on: 0 for
    the room, 1 left, 2 behind, 3 right."""
    elevation, azimuth = np.meshgrid(
        np.radians(np.linspace(15, -25, 32)), np.linspace(np.pi, -np.pi, 900), indexing="ij"
    )
    level = np.cos(elevation)
    beam = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], -1)
    away, label = (np.array([3, 2, 1.2]) / np.maximum(np.abs(beam), 1e-9)).min(axis=-1), np.zeros(beam.shape[:2], int)
    for number, middle in enumerate(([0.3, 1.2, -0.2], [-1.4, 0.02, -0.3], [0.3, -1.1, -0.1]), start=1):
        ahead = beam @ middle
        half = ahead**2 - np.dot(middle, middle) + 0.25**2
        hit = (ahead > 0) & (half > 0)
        away[hit], label[hit] = (ahead - np.sqrt(np.maximum(half, 0)))[hit], number
    cloud = np.zeros(beam.shape[:2], [(axis, "<f4") for axis in "xyz"])
    for axis, values in zip("xyz", np.moveaxis(beam * away[..., None], -1, 0), strict=True):
        cloud[axis] = values
    with BagWriter(path) as writer:
        for number in range(2):
            writer.cloud("/lidar/points", mini_stamp(number), "lidar", cloud)
    return path, label.ravel()


def test_a_scan_all_around_is_labelled_in_a_panorama(tmp_path: Path) -> None:
    """A click takes the thing at that place in the room, also across the edge behind; a brush and a saved mask, too."""
    bag, truth = lidar_bag(tmp_path / "bag")
    one = session(bag, tmp_path / "out")
    picture = one.view.picture
    assert isinstance(picture.view, Panorama)
    width, height = picture.size
    layer = picture.layer(truth)
    assert [int(np.median(np.nonzero(layer == n)[1]) / width * 4) for n in (1, 3)] == [1, 2]
    assert {int(column / width * 8) for column in np.nonzero(layer == 2)[1]} == {0, 7}  # behind
    for number in (1, 2, 3):
        rows, columns = np.nonzero(layer == number)
        x = np.percentile(columns, 25) + 0.5
        y = np.median(rows[columns == int(x)]) + 0.5
        point = picture.point_at(x, y)
        assert point is not None and truth[point] == number
        assert set(truth[picture.under([(x, y)], 4)]) == {number}
        one.click(x, y)
        assert one.accept() == [number]
        assert iou(one.label == number, truth == number) > 0.9
    assert (one.folder.labels(0) == one.label).all()
    assert (np.unique(picture.shown[picture.shown >= 0]) < len(truth)).all()
    one.finish()
    assert one.proposal is not None and len(one.proposal.parts(one.view.xyz)) == 3


def test_a_brush_goes_around_a_panorama(tmp_path: Path) -> None:
    bag, truth = lidar_bag(tmp_path / "bag")
    picture = session(bag, tmp_path / "out").view.picture
    width, height = picture.size
    for x in (2.0, width - 2.0):
        sides = np.flatnonzero(picture.layer(picture.under([(x, height / 2)], 20)).any(axis=0))
        assert 0 in sides and width - 1 in sides and width // 2 not in sides
    beyond = picture.under([(width - 30, height / 2), (width + 30, height / 2)], 4)
    assert (beyond == picture.under([(-30, height / 2), (30, height / 2)], 4)).all() and beyond.any()
    flat = Picture(
        np.stack(np.meshgrid(np.arange(40.0), np.arange(30.0), [20.0]), -1).reshape(-1, 3), None, "optical", 40, 30
    )
    assert not isinstance(flat.view, Panorama)
    assert not flat.layer(flat.under([(1, 15)], 9))[:, -1].any()
