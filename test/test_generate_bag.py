"""`segpoint generate --bag`: a moving sensor's bag, whose truth is that of the scene."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mini_bag import BOXES, CATEGORIES, FRAME_ID, ROWS, mini_cloud, mini_pose, mini_stamp, write_mini_bag
from rosbags.highlevel import AnyReader
from scipy.spatial.transform import Rotation

from segpoint.cli import main
from segpoint_training.datasets.own_bag import open_bag
from segpoint_training.datasets.own_file import read_own_file
from segpoint_training.scenes.bag import CLOUDS, BagRequest, shoot
from segpoint_training.scenes.frame_draws import FrameDraws
from segpoint_training.scenes.generate import stage_table
from segpoint_training.scenes.meaning import View
from segpoint_training.scenes.relations import Space
from segpoint_training.scenes.request import SceneRequest
from segpoint_training.scenes.scene import SceneObject
from segpoint_training.scenes.stage import Standpoint
from segpoint_training.scenes.viewpoints import Frame, instructions_of_frames

SEED, FRAMES = 5, 4
WORDS = ["generate", "--seed", str(SEED), "--sensor", "kinect", "--frames", str(FRAMES), "--stride", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "recording"
    assert main([*WORDS, "--bag", str(folder), "--workers", "1"]) == 0
    return folder


def messages(bag: Path) -> Iterator[tuple[str, int, Any]]:
    with AnyReader([bag]) as reader:
        for connection, stamp, content in reader.messages():
            yield connection.topic, stamp, reader.deserialize(content, connection.msgtype)


def poses(bag: Path) -> list[np.ndarray]:
    """(4, 4) optical → map, one a cloud, as a listener of /tf would put them together."""

    def matrix(transform: Any) -> np.ndarray:
        r, t = transform.rotation, transform.translation
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_quat([r.x, r.y, r.z, r.w]).as_matrix()
        pose[:3, 3] = t.x, t.y, t.z
        return pose

    heard = [(topic, m.transforms[0]) for topic, _, m in messages(bag) if topic in ("/tf", "/tf_static")]
    (fixed,) = [matrix(t.transform) for topic, t in heard if topic == "/tf_static"]
    return [matrix(t.transform) @ fixed for topic, t in heard if topic == "/tf"]


def test_is_a_data_set_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "own", str(folder)]) == 0
    assert "all is well" in capsys.readouterr().out
    rows = read_own_file(folder).rows
    assert any(not row.target_labels for row in rows) and any(row.target_labels for row in rows)


def test_of_a_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--seed", "3", "--scale", "room", "--sensor", "realsense", "--frames", "8", "--stride", "8"]
    assert main(["generate", "--bag", str(tmp_path / "room"), *words, "--workers", "1"]) == 0
    assert main(["data", "check", "own", str(tmp_path / "room")]) == 0
    assert "all is well" in capsys.readouterr().out
    rows = read_own_file(tmp_path / "room").rows  # on a walk, things go out of view
    assert any(row.every for row in rows) and any(row.index is not None for row in rows)


def test_clouds_in_the_map_lie_in_the_objects_boxes(folder: Path) -> None:
    stage = stage_table(np.random.default_rng((SEED, 1, 0)), "test", "kinect", 160, 120)
    boxes = {o.id: (np.array(o.centre) - np.array(o.size) / 2, np.array(o.centre) + np.array(o.size) / 2)
             for o in stage.objects[1:]}  # fmt: skip
    bag = open_bag(folder / "scene")
    found = poses(folder / "scene")
    assert len(bag.clouds[CLOUDS]) == len(found) == FRAMES
    seen = set()
    for number, pose in enumerate(found):
        cloud, frame_id = bag.read(CLOUDS, number)
        assert (frame_id, cloud.width, cloud.height) == ("camera_depth_optical_frame", 160, 120)
        assert cloud.rgb is not None and cloud.label is not None
        for ident, (low, high) in boxes.items():
            own = cloud.xyz[(cloud.label == ident) & np.isfinite(cloud.xyz).all(axis=1)] @ pose[:3, :3].T + pose[:3, 3]
            if len(own) > 20:
                seen.add(ident)
                inside = ((own > low - 0.015) & (own < high + 0.015)).all(axis=1)
                assert inside.mean() > 0.9, (number, ident)  # edges fly between surfaces
    assert len(seen) > 3
    turn = found[0][:3, :3].T @ found[-1][:3, :3]
    assert 20 < np.degrees(Rotation.from_matrix(turn).magnitude()) < 45


def test_stamps_and_instructions(folder: Path) -> None:
    heard = list(messages(folder / "scene"))
    stamps = [m.header.stamp for topic, _, m in heard if topic == CLOUDS]
    times = np.array([s.sec * 10**9 + s.nanosec for s in stamps])
    assert np.unique(np.diff(times)).tolist() == [10**8]
    said = [(stamp, m.data) for topic, stamp, m in heard if topic == "/instruction"]
    assert said[0][0] < times[0]
    assert {text for _, text in said} <= {row.instruction for row in read_own_file(folder).rows}


def test_same_arguments_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert main([*WORDS, "--bag", str(tmp_path / "again"), "--workers", "2"]) == 0
    for name in ("scene/scene.mcap", "instructions.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_refuses_what_is_there_and_what_does_not_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        ([*WORDS, "--bag", str(folder)], "is there already"),
        (["generate", "--bag", "x", "--sensor", "map", "--scale", "room"], "moves"),
        (["generate", "--bag", "x", "--of", "y", "--seed", "3"], "leave out --seed"),
        (["generate", "--bag", "x", "--frames", "1"], "at least 2 clouds"),
        (["generate", "--bag", "x", "--rate", "1e-9"], "0.01 to 1000 a second"),
        (["generate", "--bag", "x", "--of", "y", "--rate", "0.009"], "0.01 to 1000 a second"),
        (["generate", "--out", "x", "--rate", "2"], "--rate goes with --bag"),
    ):
        assert main(words) != 0
        assert told in capsys.readouterr().err and not Path("x").exists()
    for seed in (10**6, 10**12):  # a ROS stamp's seconds have 31 bits
        request = BagRequest(SceneRequest(seed, "test", "table", "kinect", 160, 120), 1000, 0.01)
        assert request.stamp(999) < 2**31 * 10**9


def test_frames_share_light_and_sensor_but_not_noise() -> None:
    one, other = FrameDraws((7,), 0), FrameDraws((7,), 1)
    assert one.uniform(0, 1) == other.uniform(0, 1)
    assert not np.array_equal(one.standard_normal((40, 40)), other.standard_normal((40, 40)))
    assert one.normal(0, 1, 3).tolist() == other.normal(0, 1, 3).tolist()  # however many the noise drew before
    request = BagRequest(SceneRequest(SEED, "test", "table", "kinect", 160, 120), frames=30)
    first, second = (shoot(request, number).points for number in (14, 15))
    shown = [np.nanmean(np.ascontiguousarray(p["rgb"]).view(np.uint8).astype(float)) for p in (first, second)]
    assert abs(shown[0] - shown[1]) < 4  # of 255: the exposure stays
    assert not np.array_equal(first["z"], second["z"], equal_nan=True)


def test_what_depends_on_the_viewpoint_is_asked_from_where_it_is_true() -> None:
    """Around a mug and a bowl: each is left of the other from one half of the circle, and both are a mug and a bowl."""
    middle = (
        SceneObject(1, "table", "brown", (0.0, 0.0, -0.01), (1.0, 1.0, 0.02), "upright", 0, 9000),
        SceneObject(2, "mug", "red", (0.0, 0.15, 0.05), (0.1, 0.1, 0.1), "upright", 1, 900),
        SceneObject(3, "bowl", "blue", (0.0, -0.15, 0.03), (0.12, 0.12, 0.06), "upright", 1, 900),
    )
    angles = np.radians(np.arange(0, 360, 15))
    frames = [_frame_from(middle, angle) for angle in angles]
    hidden = 3  # in which the mug is hardly seen
    frames[hidden] = replace(frames[hidden], view=replace(frames[hidden].view, faint=frozenset({2})))
    space = Space()
    asked = 0
    for seed in range(6):
        for held in instructions_of_frames(frames, middle, np.random.default_rng(seed), "test"):
            text, targets = held.instruction.text, held.instruction.targets
            assert not (2 in targets and hidden in held.frames), text
            if held.instruction.kind == "category" and targets == (2,):
                assert len(held.frames) == len(frames) - 1, text
            if "left" in text and targets:
                asked += 1
                assert 0 < len(held.frames) < len(frames), text
                for number in held.frames:
                    left, right = sorted(frames[number].objects[1:], key=lambda o: o.id != targets[0])
                    assert space.further_left(left, right), (text, number)
    assert asked > 2


def _frame_from(middle: tuple[SceneObject, ...], angle: float) -> Frame:
    place = Standpoint(np.array([-0.8 * np.cos(angle), -0.8 * np.sin(angle), 0.5]), float(angle))
    turn, shift = place.level
    objects = tuple(replace(o, centre=(*(turn @ o.centre + shift).tolist(),)) for o in middle)
    tints = {2: {"red": 1.0}, 3: {"blue": 1.0}}
    return Frame(objects, View(objects[1:], objects[0], frozenset(), {}, tints))


def test_own_clouds_as_a_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mini_bag(tmp_path / "clouds", frames=3)
    source = tmp_path / "clouds" / "instructions.json"
    content = json.loads(source.read_text())
    content["categories"] = {"scene": content["categories"]}
    source.write_text(json.dumps(content))
    words = ["generate", "--bag", str(tmp_path / "bag"), "--of", str(tmp_path / "clouds"), "--rate", "2"]
    assert main(words) == 0
    assert main(["data", "check", "own", str(tmp_path / "bag")]) == 0
    assert "all is well" in capsys.readouterr().out
    own, bag = read_own_file(tmp_path / "bag"), open_bag(tmp_path / "bag" / "scene")
    assert [(row.index, row.instruction) for row in own.rows] == [(i, text) for i in range(3) for text, _, _ in ROWS]
    assert own.categories_of("scene") == CATEGORIES
    cloud, frame_id = bag.read(CLOUDS, 2)
    np.testing.assert_array_equal(cloud.xyz, open_bag(tmp_path / "clouds" / "scene").read(CLOUDS, 2)[0].xyz)
    assert frame_id == FRAME_ID
    assert bag.clouds[CLOUDS][1].stamp - bag.clouds[CLOUDS][0].stamp == 500_000_000


def test_ids_that_mean_different_things_are_numbered_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_mini_bag(tmp_path / "clouds" / name, frames=2)
        (tmp_path / "clouds" / name / "scene").rename(tmp_path / "clouds" / f"{name}_bag")
    rows = [{"file": f"{name}_bag", "index": 0, "instruction": "the ball", "target_labels": [2]} for name in "ab"]
    words = {str(i): word for i, word in CATEGORIES.items()}
    tables = {"a_bag": words, "b_bag": {**words, "2": "orange"}}
    text = json.dumps({"categories": tables, "instructions": rows})
    (tmp_path / "clouds" / "instructions.json").write_text(text)
    assert main(["generate", "--bag", str(tmp_path / "bag"), "--of", str(tmp_path / "clouds")]) == 0
    own = read_own_file(tmp_path / "bag")
    assert [row.target_labels for row in own.rows] == [(2,), (6,)]
    assert own.categories_of("scene")[6] == "orange"
    label = open_bag(tmp_path / "bag" / "scene").read(CLOUDS, 1)[0].label
    assert label is not None and set(np.unique(label)) == {0, 5, 6, 7, 8}


@pytest.mark.parametrize(
    "options", [{}, {"storage": "sqlite3"}, {"compression": "message"}, {"compression": "storage"}, {"ros1": True}]
)
def test_mini_bag(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write_mini_bag(tmp_path, frames=3, **options)
    clouds = [(stamp, m) for topic, stamp, m in messages(path) if topic == CLOUDS]
    assert [stamp for stamp, _ in clouds] == [mini_stamp(i) for i in range(3)]
    assert [topic for topic, _, _ in messages(path)].count("/instruction") == 3
    for number, (pose, told) in enumerate(zip(poses(path), [mini_pose(i, 3) for i in range(3)], strict=True)):
        np.testing.assert_allclose(pose, told, atol=1e-9)
        cloud = mini_cloud(pose)
        xyz = np.stack([cloud[name].ravel() for name in "xyz"], 1) @ pose[:3, :3].T + pose[:3, 3]
        for ident, (low, high) in BOXES.items():
            own = xyz[cloud["label"].ravel() == ident]
            assert len(own) > 20, (number, ident)
            assert ((own > low - 1e-4) & (own < high + 1e-4)).all()
