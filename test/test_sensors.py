"""Sensors: what a camera or a LiDAR measures has the errors of its kind, and the same seed gives the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint_training.scenes import compare
from segpoint_training.scenes.camera import draw_camera
from segpoint_training.scenes.lidar import MOST, LidarScan, scan, spinning
from segpoint_training.scenes.render import Thing, View, World, render
from segpoint_training.scenes.room import draw_room, draw_table
from segpoint_training.scenes.sensor import SENSORS, measure, photograph
from segpoint_training.scenes.shapes import box
from segpoint_training.scenes.surfaces import Surface, plain

WIDTH, HEIGHT, FOCAL = 320, 240, 270.0
WHITE, BLACK = plain((0.8, 0.8, 0.8)), plain((0.01, 0.01, 0.01))


def flat_view(depth: np.ndarray, brightness: float = 0.8, gloss: float = 0.0, dropout: float = 0.0) -> View:
    """A view of one body with the given depth (h, w), facing the camera a little aslant."""
    shape = depth.shape
    colour = np.full((*shape, 3), brightness, np.float32)
    body = np.where(np.isfinite(depth), 0, -1).astype(np.int32)
    gloss_image, dropout_image = np.full(shape, gloss, np.float32), np.full(shape, dropout, np.float32)
    return View(depth.astype(np.float32), body, colour, colour**2, np.full(shape, 0.9, np.float32), gloss_image,
                dropout_image)  # fmt: skip


def wall(distance: float, **look: float) -> View:
    return flat_view(np.full((HEIGHT, WIDTH), distance), **look)


def step() -> View:
    """A board 0.7 m away in the middle of a wall at 1.2 m."""
    depth = np.full((HEIGHT, WIDTH), 1.2)
    depth[80:160, 120:200] = 0.7
    return flat_view(depth)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sensor", SENSORS)
def test_depth_has_the_promised_shape_and_type(sensor: str) -> None:
    measured = measure(step(), FOCAL, sensor, rng())
    assert measured.depth.shape == measured.body.shape == (HEIGHT, WIDTH)
    assert measured.depth.dtype == np.float32 and measured.body.dtype == np.int32
    assert (np.isnan(measured.depth) == (measured.body < 0)).all()
    picture = photograph(step(), rng(), sensor)
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8


@pytest.mark.parametrize("sensor", SENSORS)
def test_the_same_seed_measures_the_same(sensor: str) -> None:
    first, again, other = (measure(step(), FOCAL, sensor, rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.depth, again.depth, equal_nan=True) and np.array_equal(first.body, again.body)
    assert not np.array_equal(first.depth, other.depth, equal_nan=True)
    assert np.array_equal(photograph(step(), rng(5), sensor), photograph(step(), rng(5), sensor))


@pytest.mark.parametrize("sensor", SENSORS)
def test_noise_grows_with_the_square_of_range(sensor: str) -> None:
    def scatter(distance: float) -> float:
        found = []
        for seed in range(6):
            depth = measure(wall(distance), FOCAL, sensor, rng(seed)).depth[20:-20, 40:-40].astype(float)
            depth -= np.nanmean(depth, axis=0)  # what calibration left bends slowly
            found.append(np.nanstd(depth))
        return float(np.mean(found))

    ratio = scatter(2.4) / scatter(0.8)
    assert 4.5 < ratio < 13  # 9, but for steps and millimetres


def test_kinect_depth_comes_in_steps_of_an_eighth_of_disparity() -> None:
    depth = measure(wall(2.0), FOCAL, "kinect", rng()).depth
    values = np.unique(depth[np.isfinite(depth)]).astype(float)
    assert len(values) > 2
    assert np.allclose(values * 1000, np.round(values * 1000), atol=1e-3)  # whole millimetres
    steps = np.diff(1 / values)
    assert np.allclose(steps / np.median(steps), np.round(steps / np.median(steps)), atol=0.15)
    assert -1 / (8 * np.median(steps)) == pytest.approx(43.4, rel=0.06)  # pixel metres of the first Kinect


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("look", [{"brightness": 0.01}, {"gloss": 1.0}, {"dropout": 0.9}])
def test_dark_shiny_and_clear_surfaces_have_holes(sensor: str, look: dict[str, float]) -> None:
    def missing(view: View) -> float:
        return float(np.mean([np.isnan(measure(view, FOCAL, sensor, rng(seed)).depth).mean() for seed in range(4)]))

    shiny = replace(wall(1.0, **look), facing=np.full((HEIGHT, WIDTH), 0.995, np.float32))
    assert missing(shiny) > missing(wall(1.0)) + 0.04


def test_what_the_second_eye_cannot_see_is_missing_on_one_side() -> None:
    left = right = 0
    for seed in range(10):
        missing = np.isnan(measure(step(), FOCAL, "kinect", rng(seed)).depth)
        left += int(missing[90:150, 108:120].sum())
        right += int(missing[90:150, 200:212].sum())
    assert left > 3 * right


def test_stereo_flies_between_surfaces_and_a_kinect_hardly() -> None:
    def between(sensor: str) -> int:
        depth = np.stack([measure(step(), FOCAL, sensor, rng(seed)).depth for seed in range(5)])
        return int(((depth > 0.78) & (depth < 1.1)).sum())

    assert between("stereo") > 4 * between("kinect") and between("realsense") > 3 * between("kinect")


def test_plain_walls_far_away_come_patchy_from_two_cameras() -> None:
    missing = {sensor: np.mean([np.isnan(measure(wall(3.8), FOCAL, sensor, rng(seed)).depth).mean()
                                for seed in range(6)]) for sensor in SENSORS}  # fmt: skip
    assert missing["stereo"] > missing["kinect"] + 0.1


def test_stereo_pictures_are_mostly_grey_and_others_never() -> None:
    coloured = replace(step(), shaded=step().shaded * np.array([1.0, 0.4, 0.1], np.float32))
    grey = {sensor: [bool((np.ptp(photograph(coloured, rng(seed), sensor).astype(int), axis=-1) == 0).all())
                     for seed in range(12)] for sensor in SENSORS}  # fmt: skip
    assert 0.5 < np.mean(grey["stereo"]) < 1
    assert not any(grey["kinect"]) and not any(grey["realsense"])


def closed_room() -> list[Thing]:
    """Six metres square: floor, four walls, and three boxes of which one is black and one a mirror."""
    white = Surface((WHITE,))
    things = [(box((6, 6, 0.1), (0, 0, -0.1)), white)]
    for size, place in (((0.1, 6, 3), (3, 0, 0)), ((0.1, 6, 3), (-3, 0, 0)), ((6, 0.1, 3), (0, 3, 0)),
                        ((6, 0.1, 3), (0, -3, 0))):  # fmt: skip
        things.append((box(size, place), white))
    looks = (white, Surface((BLACK,)), Surface((WHITE,), gloss=1.0))
    return things + [(box((0.5, 0.5, 1.0), (2.0, 1.2 - 1.2 * i, 0)), look) for i, look in enumerate(looks)]


@cache
def scanned(seed: int) -> LidarScan:
    return scan(closed_room(), (0.0, 0.0, 0.9), rng(seed), 10.0)


@pytest.mark.parametrize("seed", range(8))
def test_a_scan_has_the_promised_arrays_inside_its_reach(seed: int) -> None:
    made = scanned(seed)
    assert made.xyz.dtype == np.float32 and made.body.dtype == np.int32
    assert made.xyz.shape == (len(made.body), 3) and 5_000 < len(made.body) <= MOST
    assert made.body.min() >= 0 and made.body.max() < len(closed_room())
    assert np.linalg.norm(made.xyz, axis=1).max() <= 10.0


def test_the_same_seed_scans_the_same() -> None:
    again = scan(closed_room(), (0.0, 0.0, 0.9), rng(1), 10.0)
    assert np.array_equal(scanned(1).xyz, again.xyz) and np.array_equal(scanned(1).body, again.body)


def test_lidar_points_lie_on_the_walls_up_to_its_noise() -> None:
    scatter = []
    for seed in range(8):
        made = scanned(seed)
        ahead = made.xyz[made.body == 1, 0]
        assert abs(np.median(ahead) - 2.95) < 0.02
        scatter.append(np.percentile(np.abs(ahead - np.median(ahead)), 60))
    assert 0.003 < np.mean(scatter) < 0.04 and np.ptp(scatter) > 0.003


def test_lidar_loses_dark_and_shiny_things() -> None:
    counts = np.sum([np.bincount(scanned(seed).body, minlength=8) for seed in range(8)], axis=0)
    assert counts[6] < 0.8 * counts[5] and counts[7] < 0.8 * counts[5]


def test_a_spinning_pattern_has_its_rings() -> None:
    beams = spinning(32, -25, 15)(32 * 900)
    assert len(beams) == 32 * 900 and np.allclose(np.linalg.norm(beams, axis=1), 1)
    elevation = np.degrees(np.arcsin(beams[:, 2]))
    rings = np.unique(np.round(elevation, 4))
    assert len(rings) == 32 and rings[0] == -25 and rings[-1] == 15
    floor = World(closed_room()[:1]).cast(np.array([0, 0, 0.9]), beams)
    radii = np.unique(np.round(np.linalg.norm(floor.points[:, :2], axis=1), 2))
    assert len(radii) == (rings < np.degrees(-np.arctan2(0.9, 3 * np.sqrt(2)))).sum()


def test_mixed_points_hang_between_an_edge_and_what_is_behind() -> None:
    hanging = 0
    for seed in range(8):
        made = scanned(seed)
        mine = made.xyz[np.isin(made.body, (1, 5))]
        hanging += int(((mine[:, 0] > 2.35) & (mine[:, 0] < 2.8)).sum())
    assert hanging > 20


@pytest.mark.parametrize("sensor", SENSORS)
def test_cameras_stand_where_people_and_robots_hold_them(sensor: str) -> None:
    cameras = [draw_camera(rng(seed), sensor, 640, 480) for seed in range(400)]
    distance = np.array([c.distance for c in cameras])
    pitch = np.degrees(np.arcsin([c.above / c.distance for c in cameras]))
    assert 0.4 <= distance.min() < 0.7 and 1.3 < distance.max() <= 1.5
    assert 15 <= pitch.min() < 20 and 75 < pitch.max() <= 85
    over_floor = np.array([c.above - c.floor for c in cameras if c.floor != 0])
    assert over_floor.min() > 0.45 and over_floor.max() < 2.0
    assert 0 < sum(c.floor == 0 for c in cameras) < 60


def test_tables_lie_under_what_is_looked_at() -> None:
    kinds = set()
    for seed in range(90):
        camera = draw_camera(rng(seed), "kinect", WIDTH, HEIGHT)
        table = draw_table(rng(seed), camera)
        kinds.add(table.category)
        looked_at = np.array([camera.reach, 0.0])
        edge, offset = np.roll(table.outline, -1, 0) - table.outline, looked_at - table.outline
        turn = edge[:, 0] * offset[:, 1] - edge[:, 1] * offset[:, 0]
        assert table.category == "bookcase" or (turn >= -1e-9).all(), seed
        assert table.mesh.part.max() < len(table.surface.skins)
        assert table.box[1][2] == 0 and (table.box[0] < table.box[1]).all()
    assert kinds == {"table", "floor", "bookcase"}


def test_a_room_renders_and_nothing_in_it_floats_over_the_view() -> None:
    camera = draw_camera(rng(3), "kinect", WIDTH, HEIGHT)
    table = draw_table(rng(3), camera)
    room = [*draw_room(rng(3), camera), *table.around]
    view = render([(table.mesh, table.surface), *((piece.mesh, piece.surface) for piece in room)], camera, rng(3))
    assert view.body[HEIGHT // 2, WIDTH // 2] == 0  # the table
    assert np.isfinite(view.shaded).all() and (view.shaded >= 0).all()
    assert 0.9 < view.depth[HEIGHT // 2, WIDTH // 2] / camera.distance < 1.1


def test_plane_noise_is_told_from_a_slanted_plane() -> None:
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    plane = 1 / (0.8 + 0.001 * u - 0.0005 * v)
    assert compare.plane_noise(plane) < 1e-6
    noisy = 1 / (1 / plane + rng().normal(0, 0.002, plane.shape))
    assert compare.plane_noise(noisy) == pytest.approx(2.0, rel=0.2)


def test_comparing_needs_real_clouds(tmp_path: Path) -> None:
    with pytest.raises(SegPointError, match="no organized cloud"):
        compare.read_shots(tmp_path)


def test_generated_and_real_kinects_measure_alike(shared: Path) -> None:
    shots = [compare.read_shot(path) for path in sorted((shared / "real").glob("*.pcd"))[:2]]
    real = [compare.measure_shot(shot) for shot in shots if shot is not None]
    made = [compare.measure_shot(shot) for shot in compare.generate_shots("kinect", range(3))]
    for name in ("noise of planes at 1 m, mm", "ragged border pixels, %", "brightness, median"):
        ratio = np.nanmean([row[name] for row in made]) / np.nanmean([row[name] for row in real])
        assert 0.3 < ratio < 3, name
