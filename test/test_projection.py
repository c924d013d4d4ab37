"""Panoramas: which clouds are seen as one, and that each pixel shows the point that is there."""

from __future__ import annotations

import numpy as np
import pytest
from mini_bag import mini_cloud, mini_pose
from PIL import Image
from scipy.spatial.transform import Rotation

from segpoint.cloud import BODY_FROM_OPTICAL, FRAMES
from segpoint.instances import Instance
from segpoint.projection import Panorama, look, look_from_outside
from segpoint.render import draw_answer, render_sheet
from segpoint_training.scenes.generate import generate_scene

HALF = np.array([3.0, 2.0, 1.2])  # metres: the room, the sensor in its middle
POST = slice(np.radians(28), np.radians(34))  # azimuths, to the left, of something 1 m away


def beams(rings: int, steps: int, low: float = -25, high: float = 15) -> np.ndarray:
    """Unit directions (rings · steps, 3), ring by ring, x forward and z up."""
    elevation, azimuth = np.meshgrid(
        np.radians(np.linspace(high, low, rings)), np.pi - np.arange(steps) * (2 * np.pi / steps), indexing="ij"
    )
    level = np.cos(elevation)
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], -1).reshape(-1, 3)


def room(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where beams from its middle end (M, 3), and which of them at the post (M,) bool."""
    away = (HALF / np.maximum(np.abs(directions), 1e-9)).min(axis=1)
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    post = (azimuth > POST.start) & (azimuth < POST.stop)
    return directions * np.where(post, 1.0, away)[:, None], post


@pytest.mark.parametrize("nothing", [np.nan, 0.0])
@pytest.mark.parametrize("rings", [16, 64, 128])
def test_rings_all_around_are_a_panorama(rings: int, nothing: float) -> None:
    """Organised ring by ring, and with beams that do not come back, by whichever way their sensor says so."""
    xyz, post = room(beams(rings, 1024))
    lost = np.random.default_rng(0).random(len(xyz)) < 0.05
    xyz[lost] = nothing
    view = look(xyz, "body", 1024, rings)
    assert isinstance(view, Panorama)
    height, width = view.shown.shape
    assert width == 1280 and height == pytest.approx(40 / 360 * 1280, abs=2)
    assert (view.shown >= 0).mean() > 0.97  # no holes between rings
    assert not lost[view.shown[view.shown >= 0]].any()
    assert (np.sort(view.shown.ravel()) == np.sort(look(xyz, "body").shown.ravel())).all()  # rows or none
    # Every pixel shows a point that is seen there, or next to it: no farther than rings are apart.
    row, column = np.nonzero(view.shown >= 0)
    pixel, distance = view.project(xyz[view.shown[row, column]])
    assert np.abs(pixel[:, 0] - column - 0.5).max() <= 6
    assert np.abs(pixel[:, 1] - row - 0.5).max() <= 0.75 * max(40 / (rings - 1) * 1280 / 360, 2) + 1
    assert (distance > 0.9).all()
    # The post is to the left of the middle, and all over the height.
    columns = np.nonzero(post[view.shown].mean(axis=0) > 0.9)[0]
    assert columns.min() == pytest.approx(640 - 34 / 360 * 1280, abs=3)
    assert columns.max() == pytest.approx(640 - 28 / 360 * 1280, abs=3)


def test_axes_give_the_same_panorama() -> None:
    xyz, _ = room(beams(32, 900))
    body, optical = look(xyz, "body"), look(xyz @ BODY_FROM_OPTICAL, "optical")
    assert isinstance(optical, Panorama)
    assert np.mean(body.shown != optical.shown) < 0.01  # but for rounding


def window(half: float) -> np.ndarray:
    """What a sensor sees that looks so many degrees to each side."""
    directions = beams(64, 1000)
    return room(directions[np.abs(np.degrees(np.arctan2(directions[:, 1], directions[:, 0]))) < half])[0]


def test_only_what_was_measured_all_around_is_a_panorama() -> None:
    rng = np.random.default_rng(0)
    around = room(beams(32, 900))[0]
    assert isinstance(look(window(130), "body"), Panorama)
    ball = rng.normal(size=(20_000, 3)) * 0.1
    rooms = np.concatenate([around, 1.8 * around, 3.5 * around])  # one behind the other
    stray = np.concatenate([window(60), around[::3000]])
    for xyz in (window(60), window(85), ball, rooms, stray, around[:0], np.full((40, 3), np.nan)):
        assert not isinstance(look(xyz, "body"), Panorama)
    assert look_from_outside(around, "body").shown.shape == (480, 640)  # whoever wants it that way has it
    assert not isinstance(look(around, "map"), Panorama)  # no sensor is at a map's origin


@pytest.mark.parametrize("height", [-0.75, -0.3, -0.1, -0.05, -0.02, 0.0, 0.05, 0.2, 0.45, 0.75])
@pytest.mark.parametrize("frame", FRAMES)
def test_a_table_about_the_origin_is_seen_from_outside(frame: str, height: float) -> None:
    """In a robot's base or a world frame, say: seen all over and with things around, and by a camera."""
    axes = BODY_FROM_OPTICAL if frame == "optical" else np.eye(3)
    rng = np.random.default_rng(0)
    top = np.column_stack([rng.uniform(-0.6, 0.6, (30_000, 2)), rng.normal(0, 0.002, 30_000)])
    things = [
        rng.random((1500, 3)) * [0.06, 0.06, 0.12] - [0.03, 0.03, 0] + [0.4 * np.cos(turn), 0.4 * np.sin(turn), 0]
        for turn in np.linspace(0, 5.5, 7)
    ]
    pose = mini_pose(0, 4)
    seen = mini_cloud(pose, (320, 240)).ravel()
    seen = np.column_stack([seen[axis] for axis in "xyz"]) @ pose[:3, :3].T + pose[:3, 3]
    for table in (top, np.concatenate([top, *things]), seen):
        assert not isinstance(look((table + [0, 0, height]) @ axes, frame), Panorama)


def on_ground(directions: np.ndarray, height: float, wall: float = np.inf, far: float = 70.0) -> np.ndarray:
    """What returns (M, 3) of level ground, of a square of walls and of six posts 3 m high."""
    with np.errstate(divide="ignore"):
        away = np.where(directions[:, 2] < 0, -height / directions[:, 2], np.inf)
    away = np.minimum(away, wall / np.abs(directions[:, :2]).max(axis=1))
    level = np.hypot(directions[:, 0], directions[:, 1])
    for azimuth, at in zip(np.linspace(-2.5, 2.5, 6), (3, 5, 8, 4, 6, 10), strict=True):
        angle = (np.arctan2(directions[:, 1], directions[:, 0]) - azimuth + np.pi) % (2 * np.pi) - np.pi
        rise = at * directions[:, 2] / level
        hit = (np.abs(angle) < 0.25 / at) & (np.abs(rise + height - 1.5) < 1.5)
        away[hit] = np.minimum(away, at / level)[hit]
    return directions[away < far] * away[away < far, None]


def rosette(count: int, low: float = -7, high: float = 52) -> np.ndarray:
    """A pattern without rings that never repeats: unit directions (count, 3)."""
    rng = np.random.default_rng(0)
    lowest, highest = np.sin(np.radians([low, high]))
    rise, azimuth = rng.uniform(lowest, highest, count), rng.uniform(-np.pi, np.pi, count)
    return np.stack([*(np.sqrt(1 - rise**2) * np.stack([np.cos(azimuth), np.sin(azimuth)])), rise], -1)


@pytest.mark.parametrize("height", [0.4, 0.8, 1.7])
@pytest.mark.parametrize("wall", [np.inf, 25.0, 10.0, 3.0])
@pytest.mark.parametrize(
    "directions",
    [rosette(20_000), beams(16, 1800, -15, 15), beams(32, 1800, -16, 15), beams(64, 1024, -24.8, 2), beams(128, 1024)],
    ids=["rosette", "16", "32", "64", "128"],
)
def test_scans_outdoors_and_in_halls_are_panoramas(directions: np.ndarray, wall: float, height: float) -> None:
    """However far away walls are: ground towards the horizon is no surface behind another."""
    assert isinstance(look(on_ground(directions, height, wall), "body"), Panorama)


@pytest.mark.parametrize("rings", [1, 2, 4])
def test_a_few_rings_are_a_floor_plan(rings: int) -> None:
    xyz = room(beams(rings, 1024, -rings + 1, rings - 1))[0]
    view = look(xyz, "body", 1024, rings)
    assert view.shown.shape == (480, 640)
    rows, columns = np.nonzero(view.shown >= 0)
    assert np.ptp(rows) > 100 and np.ptp(columns) > 400


def box(half: tuple[float, float], low: float, high: float, count: int = 60_000) -> np.ndarray:
    """Points (count, 3) evenly on the inside of a room, as a map of it has them."""
    rng = np.random.default_rng(0)
    corner, size = np.array([-half[0], -half[1], low]), np.array([2 * half[0], 2 * half[1], high - low])
    area = np.tile([size[1] * size[2], size[0] * size[2], size[0] * size[1]], 2)
    side = rng.choice(6, count, p=area / area.sum())
    unit = rng.random((count, 3))
    unit[np.arange(count), side % 3] = side // 3
    return corner + unit * size


def test_maps_about_the_origin() -> None:
    """In axes that may be a sensor's: within one room at a sensor's height it is one, elsewhere it is not."""
    inside = box((2.5, 2.5), -1.2, 1.3)
    rooms = [inside + [5.1 * x, 5.1 * y, 0] for x in (-1, 0, 1) for y in (-1, 0, 1)]
    for within in (inside, inside[::12], inside[inside[:, 2] < 1.2], box((10, 1), -1.2, 1.3)):
        assert isinstance(look(within, "body"), Panorama)
    for other in (inside + [4, 0, 0], inside + [0, 0, 1.2], np.concatenate(rooms), np.concatenate(rooms)[::20]):
        assert not isinstance(look(other, "body"), Panorama)
    for within in (inside, inside + [0, 0, 1.2], box((1.5, 1.5), 0, 2.5)):
        assert not isinstance(look(within, "map"), Panorama)


def test_a_scan_that_was_thinned_out_is_still_one() -> None:
    xyz = room(beams(64, 1024))[0]
    assert isinstance(look(np.unique(np.floor(xyz / 0.05), axis=0) * 0.05, "body"), Panorama)
    for few in (0, 1, 2, 20, 199):
        assert look(xyz[:: len(xyz) // 199][:few], "body").shown.shape == (480, 640)


@pytest.mark.parametrize("seed, around", [(1, True), (2, True), (4, False), (5, True), (9, True)])
def test_generated_scans_of_rooms(seed: int, around: bool) -> None:
    scene = generate_scene(seed, sensor="lidar", scale="room")
    assert isinstance(look(scene.xyz.astype(float), scene.frame), Panorama) == around


def test_boxes_are_drawn_across_the_edge_behind() -> None:
    """A box behind the sensor is at both edges of the picture, and no line runs across its middle."""
    xyz, post = room(beams(64, 1000))
    box = Instance(np.array([-1.5, 0.0, -0.2]), np.full(3, 0.6), Rotation.identity().as_quat(), 0.5, np.arange(3))
    plain, boxed = (
        np.asarray(draw_answer(xyz, None, post, boxes, "the post", "post <SEG>.", "body")) for boxes in ([], [box])
    )
    height = look(xyz, "body").shown.shape[0]
    assert plain.shape == boxed.shape == (2 * (height + 84), 1280, 3)  # one below the other
    below = slice(height + 84, 2 * height + 84)
    columns = np.nonzero((plain[below] != boxed[below]).any(axis=(0, 2)))[0]
    assert columns.min() < 5 and columns.max() > 1275
    assert not ((columns > 200) & (columns < 1080)).any()


def test_a_sheet_of_panoramas_and_images(tmp_path) -> None:
    xyz, post = room(beams(16, 300))
    wide = draw_answer(xyz, None, post, [], "the post", "post <SEG>.", "body", truth=post)
    narrow = draw_answer(window(40), None, np.zeros(len(window(40)), bool), [], "x", "y", "body")
    render_sheet(tmp_path / "sheet.png", [wide, narrow])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (1280, 2 * max(wide.height, narrow.height))
