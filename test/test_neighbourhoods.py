"""segpoint.neighbourhoods: every table against a brute-force search."""

from __future__ import annotations

import numpy as np
import pytest

from segpoint.cloud import prepare
from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GfpConfig
from segpoint.neighbourhoods import farthest_points, find_neighbourhoods

CONFIG = BundleConfig(
    cloud=CloudConfig(points=1024), encoder=EncoderConfig(tokens=32, patch=16), gfp=GfpConfig(levels=(64, 128))
)


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(1)
    table = np.column_stack([rng.uniform(0.5, 1.2, 6000), rng.uniform(-0.4, 0.4, 6000), np.full(6000, -0.4)])
    box = rng.uniform([0.8, -0.1, -0.4], [0.95, 0.1, -0.2], (3000, 3))
    return prepare(np.concatenate([table, box]), None, "body", CONFIG.cloud)


@pytest.fixture(scope="module")
def tables(cloud):
    return find_neighbourhoods(cloud, CONFIG)


def distances(cloud, queries, sources):
    return np.linalg.norm(cloud.xyz[queries][:, None] - cloud.xyz[sources][None], axis=-1)


def test_shapes(cloud, tables):
    shapes = {name: table.shape for name, table in tables.as_dict().items()}
    assert shapes["levels"] == (128,) and shapes["patches"] == (32, 16) and shapes["kernel"] == (1024, 16)
    assert shapes["to_n2"] == (64, 3) and shapes["to_n3"] == (128, 3) and shapes["to_n"] == (1024, 3)
    assert shapes["from_n1"] == (64, 8) and shapes["from_n2"] == (128, 8) and shapes["from_n3"] == (1024, 8)
    for name, table in tables.as_dict().items():
        assert table.dtype == (np.float32 if "weights" in name else np.int64), name


def test_levels_are_farthest_point_sampling(cloud):
    points = cloud.xyz[: cloud.count]
    order = farthest_points(points, np.ones(len(points), bool), 50, 1.0)
    nearest = np.linalg.norm(points - points[order[0]], axis=1)
    for index in order[1:]:
        assert nearest[index] == pytest.approx(nearest.max(), abs=1e-6)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[index], axis=1))


def test_objects_and_support_share_the_centres_by_voxels_not_by_area(cloud, tables):
    share = cloud.focus[tables.levels].mean()
    assert abs(share - cloud.focus[: cloud.count].mean()) < 0.2


def test_patches_are_the_nearest_points(cloud, tables):
    truth = np.sort(distances(cloud, tables.levels[:32], np.arange(cloud.count)), axis=1)[:, :16]
    ours = np.linalg.norm(cloud.xyz[tables.patches] - cloud.xyz[tables.levels[:32], None], axis=-1)
    assert np.allclose(np.sort(ours, axis=1), truth, atol=1e-6)


def test_kernel_neighbours_lie_within_the_radius(cloud, tables):
    radius = CONFIG.gem.radius_voxels * cloud.voxel_m
    index = tables.kernel[: cloud.count]
    distance = np.linalg.norm(cloud.xyz[index] - cloud.xyz[: cloud.count, None], axis=-1)
    assert (distance[index >= 0] <= radius + 1e-6).all()
    assert np.array_equal(index[:, 0], np.arange(cloud.count)), "a point is its own first neighbour"
    assert (tables.kernel[cloud.count :] == -1).all()


def test_interpolation_is_inverse_distance_over_three(cloud, tables):
    centres = tables.levels[:32]
    truth = np.sort(distances(cloud, tables.levels, centres), axis=1)[:, :3]
    ours = np.linalg.norm(cloud.xyz[tables.levels][:, None] - cloud.xyz[centres[tables.to_n3]], axis=-1)
    assert np.allclose(np.sort(ours, axis=1), truth, atol=1e-6)
    assert np.allclose(tables.to_n3_weights.sum(axis=1), 1, atol=1e-5)
    far = ours[:, 0] > 1e-3
    assert np.allclose(
        (tables.to_n3_weights * ours)[far], ((tables.to_n3_weights * ours)[far])[:, :1].repeat(3, 1), rtol=1e-3
    )


def test_attentive_tables_point_into_the_coarser_level(cloud, tables):
    for index, size in ((tables.from_n1, 32), (tables.from_n2, 64), (tables.from_n3, 128)):
        assert 0 <= index.min() and index.max() < size
    truth = np.sort(distances(cloud, np.arange(cloud.count), tables.levels), axis=1)[:, :8]
    ours = np.linalg.norm(
        cloud.xyz[: cloud.count, None] - cloud.xyz[tables.levels[tables.from_n3[: cloud.count]]], axis=-1
    )
    assert np.allclose(np.sort(ours, axis=1), truth, atol=1e-6)


def test_a_cloud_smaller_than_a_level_repeats_points():
    points = np.random.default_rng(0).uniform(0.5, 0.7, (40, 3))
    cloud = prepare(points, None, "body", CONFIG.cloud)
    tables = find_neighbourhoods(cloud, CONFIG)
    assert cloud.count <= 40 and set(tables.levels) == set(range(cloud.count))
    assert all(table.max() < 1024 for table in tables.as_dict().values())
