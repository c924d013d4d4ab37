"""A roboticist's own folder: labelled clouds and bags, and what an instructions.json may say about them."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from mini_own import CLOUD, START, STEP, TOPIC, cloud_message, write_bag, write_own_folder
from own_by_hand import BAGS, a_bag, checked, fields, opened, say, write_cloud
from rosbags.typesys import Stores, get_typestore

from segpoint.config import BundleConfig, default_bundle
from segpoint.errors import SegPointError
from segpoint_training.config import TrainConfig
from segpoint_training.datasets.own_bag import open_bag
from segpoint_training.labelled import folder_set
from segpoint_training.scenes.folder import write_folder
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.scenes.request import SceneRequest


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A folder with a.pcd, which `say` speaks about."""
    write_cloud(tmp_path / "a.pcd")
    return tmp_path


# --- what is read is what was written -----------------------------------------------------------------------------


def test_generated_scenes_come_back(tmp_path: Path) -> None:
    data = opened(write_own_folder(tmp_path / "mine", clouds=2, bag=2))
    held_out = opened(tmp_path / "mine", "val")
    assert (data.scans, held_out.scans) == (("scene_0.pcd", "run@0"), ("scene_1.pcd", "run@1"))
    for folder, scan, seed in ((data, "scene_0.pcd", 0), (held_out, "scene_1.pcd", 1), (held_out, "run@1", 2)):
        scene, read = generate_scene(seed, "train", "kinect", width=96, height=72), folder.load(scan)
        np.testing.assert_array_equal(read.xyz, scene.xyz)
        np.testing.assert_array_equal(read.rgb, scene.rgb)
        np.testing.assert_array_equal(read.instance, scene.instance)
        assert (read.frame, read.scale) == (scene.frame, scene.scale)
        category = {thing.id: thing.category for thing in scene.objects}
        assert {thing.id: thing.category for thing in read.objects}.items() <= category.items()
        made = {i.text: i for i in scene.instructions}
        for said in folder.instructions(scan):
            assert (said.kind, said.targets) == (made[said.text].kind, made[said.text].targets)
            assert said.answer == made[said.text].answer
        assert set(category.values()) <= set(folder.classes)
    assert checked(tmp_path / "mine").problems == []


@pytest.mark.parametrize("name", BAGS)
@pytest.mark.parametrize("big_endian", [False, True])
def test_bags_of_every_kind(tmp_path: Path, name: str, big_endian: bool) -> None:
    a_bag(tmp_path / name, size=(30, 20), big_endian=big_endian)
    points, frame = opened(say(tmp_path, {"file": name})).points(f"{name}@3")
    written = fields(seed=3)
    np.testing.assert_array_equal(points.xyz, np.stack([written[axis] for axis in "xyz"], axis=1))
    np.testing.assert_array_equal(points.rgb, written["rgb"].view("4u1").reshape(-1, 4)[:, 2::-1])
    np.testing.assert_array_equal(points.label, written["label"])
    assert (points.width, points.height, frame) == (30, 20, "optical")


def test_rows_of_bytes_between_the_rows_of_points(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    types, height, width = store.types, 4, 5
    described = [types["sensor_msgs/msg/PointField"](n, 4 * i + 2, t, 0)
                 for i, (n, t) in enumerate(zip(("x", "y", "z", "label"), (7, 7, 7, 5), strict=True))]  # fmt: skip
    data = np.full((height, 5 * 20 + 7), 255, np.uint8)
    data[:, :100] = 0
    inner = np.ndarray((height, width), "<f4", data.data, 2 + 8, (107, 20))
    inner[...] = np.arange(20).reshape(4, 5)
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](0, 0), "velodyne")
    message = types[CLOUD](header, height, width, described, False, 20, 107, data.reshape(-1), True)
    write_bag(tmp_path / "odd", [], also=[("/odd", CLOUD, message)])
    points, frame = opened(say(tmp_path, {"file": "odd", "target_labels": []})).points("odd@0")
    np.testing.assert_array_equal(points.xyz[:, 2], np.arange(20))
    assert not points.label.any() and points.rgb is None and frame == "body"


def test_what_the_node_publishes_is_read_without_its_paint(tmp_path: Path) -> None:
    pytest.importorskip("sensor_msgs")
    from std_msgs.msg import Header

    from segpoint_ros import pointcloud2

    xyz = np.random.default_rng(0).uniform(0.5, 1.0, (300, 3)).astype(np.float32)
    cloud = pointcloud2.make_cloud(Header(frame_id="cam_optical_frame"), xyz, np.full((300, 3), 90, np.uint8))
    label = (np.arange(300) < 100).astype(np.uint32)
    held = pointcloud2.points_of(pointcloud2.label_cloud(cloud, label, label.astype(np.float32)))
    write_bag(tmp_path / "run", [{name: held[name].ravel() for name in held.dtype.names}])
    data = opened(say(tmp_path, {"file": "run", "target_labels": [1]}))
    scan = data.load("run@0")
    np.testing.assert_array_equal(scan.instance, label)
    assert scan.rgb is None
    assert any("without colour" in note for note in checked(tmp_path).notes)


def test_a_generated_folder_and_a_bare_list_read_as_evaluation_reads_them(tmp_path: Path) -> None:
    write_folder(tmp_path, [SceneRequest(seed, "test", width=96, height=72) for seed in (3, 4)], workers=1)
    compare(tmp_path)


def test_the_reference_scenes_read_as_evaluation_reads_them(shared: Path, tmp_path: Path) -> None:
    rows = [r for r in json.loads((shared / "real" / "instructions.json").read_text()) if r["file"] == "learn38.pcd"]
    shutil.copy(shared / "real" / "learn38.pcd", tmp_path)
    (tmp_path / "instructions.json").write_text(json.dumps(rows))
    compare(tmp_path)


def compare(root: Path) -> None:
    for cloud in folder_set(root):
        data = next(data for split in ("train", "val") if cloud.name in (data := opened(root, split)).scans)
        scan = data.load(cloud.name)
        said = data.instructions(cloud.name)
        np.testing.assert_array_equal(scan.xyz, cloud.xyz)
        np.testing.assert_array_equal(scan.rgb, cloud.rgb)
        assert (scan.frame, [i.text for i in said]) == (cloud.frame, [q.text for q in cloud.questions])
        for instruction, question in zip(said, cloud.questions, strict=True):
            np.testing.assert_array_equal(np.isin(scan.instance, instruction.targets), question.truth)
            assert instruction.kind == question.kind


def test_the_folder_travels_to_other_processes(one: Path) -> None:
    again = pickle.loads(pickle.dumps(opened(say(one))))
    assert again.instructions("a.pcd") == opened(one).instructions("a.pcd")


# --- which clouds and which split ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4]), ({"every": 2}, [0, 2, 4]), ({"index": 3}, [3]), ({"time": 0.0}, [0]),
        ({"time": 1.3}, [3]), ({"time": START / 1e9 + 2.0}, [4]), ({"time": 2.9}, [4]),
    ],
)  # fmt: skip
def test_clouds_of_a_bag_are_chosen(tmp_path: Path, chosen: dict, numbers: list[int]) -> None:
    a_bag(tmp_path / "run")
    data = opened(say(tmp_path, {"file": "run", "split": "train", **chosen}))
    assert list(data.scans) == [f"run@{number}" for number in numbers]
    assert (START + STEP * numbers[-1]) == open_bag(tmp_path / "run").clouds[TOPIC][numbers[-1]].stamp


def test_rows_about_one_cloud_meet_however_they_choose_it(tmp_path: Path) -> None:
    a_bag(tmp_path / "run")
    rows = ({"index": 2, "instruction": "one"}, {"time": 1.01, "instruction": "two", "topic": TOPIC})
    data = opened(say(tmp_path, *({"file": "run", **row} for row in rows)))
    assert [i.text for i in data.instructions("run@2")] == ["one", "two"]


def test_what_is_out_of_view_is_left_out_of_many_clouds_but_not_of_one(tmp_path: Path) -> None:
    write_bag(tmp_path / "run", [fields(), fields(labels=2)])
    row = {"file": "run", "target_labels": [3], "split": "train"}
    data = opened(say(tmp_path, row))
    assert [len(data.instructions(scan)) for scan in data.scans] == [1, 0]
    with pytest.raises(SegPointError, match="row 1: “the mug” means object 3, of which run@1 has no point.* 1, 2"):
        opened(say(tmp_path, {**row, "index": 1})).instructions("run@1")
    assert checked(say(tmp_path, row)).problems == []
    assert "in view in no cloud of run" in checked(say(tmp_path, {**row, "target_labels": [9]})).problems[0]


def test_held_out_are_every_fifth_file_and_the_end_of_a_bag(tmp_path: Path) -> None:
    for number in range(11):
        write_cloud(tmp_path / f"{number}.pcd")
    a_bag(tmp_path / "run", count=10)
    say(tmp_path, *({"file": f"{number}.pcd"} for number in range(11)), {"file": "run"})
    assert opened(tmp_path, "val").scans == ("4.pcd", "9.pcd", "run@8", "run@9")
    assert len(opened(tmp_path).scans) == 17 and opened(tmp_path, "test").scans == ()
    say(tmp_path, {"file": "0.pcd", "split": "test"}, {"file": "1.pcd"}, {"file": "1.pcd", "split": "val"})
    with pytest.raises(SegPointError, match='no cloud is left to train on; give some "train"'):
        opened(tmp_path)
    assert opened(tmp_path, "val").scans == ("1.pcd",) and opened(tmp_path, "test").scans == ("0.pcd",)
    say(tmp_path, {"file": "0.pcd"})
    assert opened(tmp_path).scans == ("0.pcd",) and opened(tmp_path, "val").scans == ()


def test_the_topic_with_labels_is_found(tmp_path: Path) -> None:
    bare = {name: values for name, values in fields().items() if name != "label"}
    two = tmp_path / "two"
    with_raw(two, bare)
    assert opened(say(tmp_path, {"file": "two"})).load("two@0").instance.max() == 3
    raw = {"topic": "/camera/points", "target_labels": []}
    say(tmp_path, *({"file": "two", "split": "train", **row} for row in ({}, raw)))
    with pytest.raises(SegPointError, match="no field 'label'.*only coordinates and colour"):
        opened(tmp_path).load("two/camera/points@0")
    with_raw(two, fields())
    with pytest.raises(
        SegPointError, match=r'/camera/points \(1\), /labelled \(1\), and several .*name one as "topic"'
    ):
        opened(say(tmp_path, {"file": "two"}))


def with_raw(path: Path, raw: dict[str, np.ndarray]) -> None:
    """A bag with a labelled topic, and ``raw`` on another."""
    message = cloud_message(get_typestore(Stores.ROS2_HUMBLE), raw)
    shutil.rmtree(path, ignore_errors=True)
    open_bag.cache_clear()
    write_bag(path, [fields()], also=[("/camera/points", CLOUD, message)])


# --- what each row and cloud means --------------------------------------------------------------------------------


def test_labels_are_ids_or_parts(one: Path) -> None:
    parts = np.repeat([0, 7, 20, 21, 39], 120).astype(np.uint32)
    write_cloud(one / "a.pcd", label=parts)
    ids = opened(say(one, {"target_labels": [21]})).load("a.pcd")
    np.testing.assert_array_equal(ids.instance, parts)
    merged = opened(say(one, labels="parts"))
    np.testing.assert_array_equal(np.unique(merged.load("a.pcd").instance), [0, 1, 2, 3])
    with pytest.raises(SegPointError, match="object 21, .* objects are 1, 2, 3 .parts 40 to 49 are object 4"):
        opened(say(one, {"target_labels": [21]}, labels="parts")).instructions("a.pcd")


def test_labels_may_have_another_name_and_be_floats(one: Path) -> None:
    values = np.where(np.arange(600) < 300, np.nan, 2).astype(np.float32)
    values[:10] = -1
    write_cloud(one / "a.ply", label=None, scalar_label=values)
    data = opened(say(one, {"file": "a.ply"}, field="scalar_label"))
    np.testing.assert_array_equal(data.load("a.ply").instance, np.where(np.arange(600) < 300, 0, 2))
    with pytest.raises(SegPointError, match="no field 'label'.*it has scalar_label; .*name another as \"field\""):
        opened(say(one, {"file": "a.ply"})).load("a.ply")
    values[20] = 2.5
    write_cloud(one / "a.ply", label=None, scalar_label=values)
    with pytest.raises(SegPointError, match="must hold whole numbers"):
        opened(say(one, {"file": "a.ply"}, field="scalar_label")).load("a.ply")


@pytest.mark.parametrize(
    ("frame_id", "said", "frame", "scale"),
    [
        ("camera_color_optical_frame", {}, "optical", "table"), ("base_link", {}, "body", "table"),
        ("map", {}, "map", "room"), ("robot/map", {}, "map", "room"), ("map", {"frame": "body"}, "body", "table"),
        ("base_link", {"scale": "room"}, "body", "room"),
    ],
)  # fmt: skip
def test_axes_come_from_the_row_or_the_frame_id(
    tmp_path: Path, frame_id: str, said: dict, frame: str, scale: str
) -> None:
    write_bag(tmp_path / "run", [fields()], frame_id=frame_id)
    scan = opened(say(tmp_path, {"file": "run", **said})).load("run@0")
    assert (scan.frame, scan.scale) == (frame, scale)


def test_answers(one: Path) -> None:
    rows = (
        {"instruction": "Pick up the red valve on the left"}, {"instruction": "I am thirsty"},
        {"instruction": "wash the bowl", "answer": "Sponge"}, {"target_labels": []},
        {"instruction": "all the boxes", "target_labels": [2, 3]},
    )  # fmt: skip
    assert [i.answer for i in opened(say(one, *rows)).instructions("a.pcd")] == ["valve", "object", "sponge", "", "box"]
    kinds = [i.kind for i in opened(one).instructions("a.pcd")]
    assert kinds == ["instruction", "instruction", "instruction", "zero-target", "instruction"]
    assert "1 of 5 instructions are answered “object <SEG>.”, such as “I am thirsty”" in checked(one).notes[1]
    with_words = opened(say(one, *rows, categories={"1": "table", "2": "Mug", "a.pcd": {"3": "cup"}}))
    assert [i.answer for i in with_words.instructions("a.pcd")] == ["mug", "mug", "sponge", "", "cup"]
    assert with_words.classes == ("cup", "mug", "table")
    assert [thing.category for thing in with_words.load("a.pcd").objects] == ["table", "mug", "cup"]
    partly = opened(say(one, *rows, categories={"1": "", "2": "", "3": "e-stop button"}))
    assert [i.answer for i in partly.instructions("a.pcd")] == ["valve", "object", "sponge", "", "box"]
    assert partly.classes == ("e-stop button",)
    with pytest.raises(SegPointError, match='a.pcd: no category for object 1, 3; .*"" for none'):
        opened(say(one, categories={"2": "mug"})).load("a.pcd")


# --- the config ---------------------------------------------------------------------------------------------------


def test_the_config_is_for_the_bundle_that_ships(repository: Path) -> None:
    config = TrainConfig.load(repository / "config" / "training" / "finetune_own_bag.yaml")
    assert asdict(config.model) == asdict(BundleConfig.load(default_bundle()))
    assert [(one.name, one.split) for one in (*config.datasets, *config.validation)] == [
        ("own", "train"),
        ("own", "val"),
    ]
    assert config.data is not None and config.stage1 is not None and config.stage1.rate < 1e-3
