"""segpoint.cloud: what a sensor sends becomes N points, and labels find their way back."""

from __future__ import annotations

import numpy as np
import pytest

from segpoint.cloud import BODY_FROM_OPTICAL, find_support, network_frame, prepare
from segpoint.config import CloudConfig
from segpoint.errors import SegPointError
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.shards import label_voxels

CONFIG = CloudConfig(points=2048)


@pytest.fixture(scope="module")
def scene():
    return generate_scene(3, "test", "kinect", 320, 240)


@pytest.fixture(scope="module")
def cloud(scene):
    return prepare(scene.xyz, scene.rgb, "optical", CONFIG)


def test_shapes_and_padding(scene, cloud):
    assert cloud.xyz.shape == (2048, 3) and cloud.rgb.shape == (2048, 3) and cloud.voxel_of.shape == (len(scene.xyz),)
    assert cloud.xyz.dtype == np.float32 and 0 <= cloud.rgb.min() and cloud.rgb.max() <= 1
    assert 1500 < cloud.count <= 2048, "the voxel edge is the finest that fits"
    assert not cloud.xyz[cloud.count :].any() and cloud.valid.sum() == cloud.count


def test_every_usable_point_has_a_voxel_near_it(scene, cloud):
    held = cloud.voxel_of >= 0
    distance = np.linalg.norm(scene.xyz, axis=1)
    assert np.array_equal(held, (distance >= CONFIG.range_m[0]) & (distance <= CONFIG.range_m[1]))
    level = (scene.xyz[held] @ BODY_FROM_OPTICAL.T - cloud.origin) @ cloud.rotation.T
    voxel = cloud.voxel_of[held]
    farther = np.maximum(distance[held] / np.median(distance[held][cloud.focus[voxel]]), 1)
    edge = np.where(cloud.focus[voxel], 1.0, CONFIG.coarsening * farther * 1.3) * cloud.voxel_m + CONFIG.min_voxel_m
    assert (np.abs(level - cloud.xyz[voxel]).max(axis=1) <= edge * 1.001 + CONFIG.min_voxel_m).all()


def test_level_frame_has_the_table_at_height_zero(scene, cloud):
    table = scene.instance == 1
    held = table & (cloud.voxel_of >= 0)
    height = cloud.xyz[cloud.voxel_of[held], 2]
    assert abs(np.median(height)) < 0.004
    assert np.allclose(cloud.rotation @ cloud.rotation.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(cloud.rotation) == pytest.approx(1, abs=1e-5)
    assert cloud.up @ np.array([0, -1, 0]) > 0.3, "up is against the optical y axis"


def test_labels_survive_the_way_there_and_back(scene, cloud):
    voxels = label_voxels(cloud, scene.instance)
    back = cloud.to_raw(voxels)
    held = cloud.voxel_of >= 0
    assert (back[held] == scene.instance[held]).mean() > 0.97
    assert not back[~held].any()


def test_body_and_optical_frames_give_the_same_cloud(scene, cloud):
    body = prepare(scene.xyz @ BODY_FROM_OPTICAL.T, scene.rgb, "body", CONFIG)
    assert body.count == cloud.count
    assert np.allclose(body.xyz, cloud.xyz, atol=1e-4)
    assert np.allclose(BODY_FROM_OPTICAL.T @ body.up, cloud.up, atol=1e-5)


def test_what_stands_on_the_support_gets_the_fine_voxels(scene, cloud):
    voxels = label_voxels(cloud, scene.instance)[: cloud.count]
    assert cloud.focus[: cloud.count][voxels > 1].mean() > 0.8
    assert cloud.focus[: cloud.count][voxels == 1].mean() < 0.2


def test_find_support_recovers_a_tilted_plane():
    rng = np.random.default_rng(0)
    normal = np.array([-0.5, 0.1, 0.8]) / np.linalg.norm([-0.5, 0.1, 0.8])
    basis = np.linalg.svd(normal[None])[2][1:]
    plane = rng.uniform(-0.5, 0.5, (3000, 2)) @ basis - 0.7 * normal + rng.normal(0, 0.001, (3000, 1)) * normal
    found, offset = find_support(np.concatenate([plane, rng.uniform(-0.5, 0.5, (500, 3))]).astype(np.float32))
    assert found @ normal > 0.9999 and offset == pytest.approx(-0.7, abs=0.002)


def test_a_cloud_without_a_plane_keeps_its_frame():
    points = np.random.default_rng(0).uniform([0.5, -0.5, -0.5], [1.5, 0.5, 0.5], (4000, 3))
    cloud = prepare(points, None, "body", CONFIG)
    assert np.array_equal(cloud.rotation, np.eye(3)) and cloud.focus[: cloud.count].all()
    assert (cloud.rgb[: cloud.count] == np.float32(0.4)).all(), "no colour is Uni3D's grey"


def test_network_frame(cloud):
    metric = network_frame(cloud, CONFIG)
    spread = np.ptp(cloud.xyz[: cloud.count], axis=0)
    assert np.allclose(np.ptp(metric[: cloud.count], axis=0), spread / CONFIG.unit_m, rtol=1e-4)
    sphere = network_frame(cloud, CloudConfig(points=2048, unit_m=None))
    assert np.linalg.norm(sphere, axis=1).max() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("xyz", "message"),
    [
        (np.empty((0, 3)), "empty"),
        (np.full((1000, 3), np.nan), "finite"),
        (np.ones((3, 3)), "at least"),
        (np.ones((1000, 3)) * 50, "50|86"),
        (np.ones((1000, 2)), "shape"),
        (np.array([["a", "b", "c"]]), "numbers"),
    ],
)
def test_bad_points_are_one_clear_error(xyz, message):
    with pytest.raises(SegPointError, match=message):
        prepare(xyz, None, "optical", CONFIG)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frame", ["optical", "body", "map"])
@pytest.mark.parametrize(
    ("scale", "shift", "message"),
    [
        (1, [500_000, 5_400_000, 300], r"at \(50000\d\.?\d*, 540000\d.*subtract an origin"),
        (5000, 0, "millimetres"),
        (1e30, 0, "no coordinates in metres"),
        (1e300, 0, "finite"),
    ],
)
def test_coordinates_of_another_kind_are_told_with_the_remedy(frame, scale, shift, message):
    xyz = np.random.default_rng(0).uniform(0.5, 1, (1000, 3)) * scale + shift
    with pytest.raises(SegPointError, match=message):
        prepare(xyz, None, frame, CONFIG)


def test_bad_colour_and_frame():
    xyz = np.random.default_rng(0).uniform(0.5, 1, (1000, 3))
    with pytest.raises(SegPointError, match="uint8"):
        prepare(xyz, np.zeros((1000, 3), float), "optical", CONFIG)
    with pytest.raises(SegPointError, match="frame"):
        prepare(xyz, None, "camera", CONFIG)


@pytest.mark.filterwarnings("error")
def test_infinite_and_huge_values_are_left_out():
    xyz = np.random.default_rng(0).uniform(0.5, 1, (1000, 3))
    xyz[:10] = np.inf
    xyz[10:15] = 1e30
    xyz[15:20] = 1e300
    cloud = prepare(xyz, None, "optical", CONFIG)
    assert (cloud.voxel_of[:20] == -1).all() and (cloud.voxel_of[20:] >= 0).all()


def sheet(low, high, count: int) -> np.ndarray:
    """Points with a millimetre of noise in a box that is flat along one axis, or in none."""
    rng = np.random.default_rng(count)
    return (rng.uniform(low, high, (count, 3)) + rng.normal(0, 0.001, (count, 3))).astype(np.float32)


def focus_by_part(parts: list[np.ndarray], frame: str) -> list[float]:
    """Share of each part's points that get the fine voxels."""
    cloud = prepare(np.concatenate(parts), None, frame, CloudConfig(points=4096))
    focus = cloud.to_raw(cloud.focus, False)
    return [float(some.mean()) for some in np.split(focus, np.cumsum([len(part) for part in parts])[:-1])]


def test_a_wall_through_the_tables_plane_does_not_widen_the_table():
    table, thing = sheet((0.6, -0.4, -0.5), (1.2, 0.4, -0.5), 9000), sheet((0.8, 0, -0.5), (0.9, 0.1, -0.3), 1500)
    wall = sheet((1.22, -0.9, -1.1), (1.22, 0.9, 0.5), 6000)
    fine = focus_by_part([table, thing, wall], "body")
    assert fine[0] < 0.1 and fine[1] > 0.9 and fine[2] < 0.05


@pytest.mark.parametrize("frame", ["body", "map"])
def test_the_walls_of_a_room_are_coarse_and_its_furniture_is_fine(frame):
    up = 0.0 if frame == "map" else -1.2  # the floor; a sensor stands 1.2 m above it
    floor = sheet((0, -2.5, up), (5, 2.5, up), 9000)
    walls = [  # inside the floor's outline, which goes on a little through doors
        sheet((4.9, -2.4, up), (4.9, 2.4, up + 2.5), 5000),
        sheet((0, -2.4, up), (4.9, -2.4, up + 2.5), 5000),
        sheet((0, 2.4, up), (4.9, 2.4, up + 2.5), 5000),
    ]
    sofa, wardrobe = sheet((2, -1, up), (3, 1, up + 0.8), 4000), sheet((3.2, 1.2, up), (3.8, 2.0, up + 2.0), 3000)
    fine = focus_by_part([floor, sofa, wardrobe, *walls], frame)
    assert fine[0] < 0.15 and fine[1] > 0.8 and fine[2] > 0.8 and max(fine[3:]) < 0.2, fine


def test_a_map_with_a_ceiling_stands_on_its_floor():
    floor, ceiling = sheet((0, 0, 0.3), (4, 5, 0.3), 5000), sheet((0, 0, 2.8), (4, 5, 2.8), 9000)
    bed = sheet((1, 1, 0.3), (3, 2.5, 0.8), 2000)
    normal, offset = find_support(np.concatenate([floor, ceiling, bed]), viewed=False)
    assert normal[2] > 0.999 and offset == pytest.approx(0.3, abs=0.02)
    fine = focus_by_part([floor, ceiling, bed], "map")
    assert fine[2] > 0.9 and fine[0] < 0.1


def test_one_plane_alone_is_a_scene():
    grid = np.stack(np.meshgrid(np.linspace(0.4, 1, 100), np.linspace(-0.4, 0.4, 100)), -1).reshape(-1, 2)
    cloud = prepare(np.column_stack([grid, np.full(len(grid), -0.5)]), None, "body", CONFIG)
    assert cloud.count > 100 and not cloud.focus.any()
    assert np.isfinite(network_frame(cloud, CONFIG)).all()


def test_a_few_strays_do_not_change_a_map():
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(-2, 2, (8000, 2)), rng.normal(0, 0.003, 8000)])
    thing = rng.uniform([0, 0, 0.05], [0.5, 0.5, 0.6], (2000, 3))
    room = np.concatenate([floor, thing]).astype(np.float32)
    strays = np.array([[300, 300, -500], [0, 0, -30], [60, 6, 0.2]], np.float32)
    alone, disturbed = prepare(room, None, "map", CONFIG), prepare(np.concatenate([room, strays]), None, "map", CONFIG)
    assert (disturbed.voxel_of[-3:] == -1).all() and (disturbed.voxel_of[:-3] >= 0).all()
    assert disturbed.voxel_m == alone.voxel_m
    assert np.abs(network_frame(alone, CONFIG).mean(0) - network_frame(disturbed, CONFIG).mean(0)).max() < 0.05
