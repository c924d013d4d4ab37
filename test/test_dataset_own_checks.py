"""What of one's own folder cannot be used, or only in part: settings, rows, clouds, and bags that end early."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from mini_bag import write_mini_bag
from mini_own import TOPIC, write_bag
from own_by_hand import a_bag, checked, fields, opened, say, write_cloud
from rosbags.rosbag2 import StoragePlugin
from rosbags.typesys import Stores, get_typestore

from segpoint.errors import SegPointError
from segpoint.files import read_points, write_points
from segpoint_training.datasets.own_bag import open_bag


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A folder with a.pcd, which `say` speaks about."""
    write_cloud(tmp_path / "a.pcd")
    return tmp_path


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"instruction": " \n"}, "'instruction' must be words"), ({"file": 3}, "'file' must be words"),
        ({"instruction": "x" * 20_000}, "20000 characters"),
        ({"target_labels": 2}, "a list of whole numbers"), ({"target_labels": [True]}, "a list of whole numbers"),
        ({"target_labels": [0]}, "no object; for nothing to mark write"), ({"anwser": "mug"}, "unknown key 'anwser'"),
        ({"target_labels": [], "answer": "mug"}, "'answer' names what is meant"), ({"answer": "a, b"}, "one word"),
        ({"frame": "camera"}, "must be one of optical, body, map"), ({"split": "dev"}, "one of train, val, test"),
        ({"place": "click", "target_labels": [1, 2]}, "row with one target"), ({"place": "x"}, "one of click, box"),
        ({"index": 1, "time": 2}, "one of them at a time"), ({"every": 0}, "from 1 up"), ({"index": -1}, "from 0 up"),
        ({"file": "a\n.pcd"}, "without control characters"), ({"topic": "/\ud800"}, "without control characters"),
        ({"file": "x" * 5000}, "'file' has 5000 characters"), ({"kind": "x" * 5000}, "'kind' has 5000 characters"),
        ({"answer": "mug " * 300}, "'answer' has 1200"), ({"x" * 5000: 1}, "unknown key 'x{70,80}; there are"),
        ({"target_labels": [2**31]}, "from 0 to 2147483647"), ({"time": 10**400}, "seconds"),
        ({"time": -1}, "seconds from the bag's start"), ({"time": "1"}, "seconds"), ({"index": True}, "whole number"),
    ],
)  # fmt: skip
def test_rows_are_checked(one: Path, row: dict, told: str) -> None:
    with pytest.raises(SegPointError, match=f"instructions.json: row 2: .*{told}") as raised:
        opened(say(one, {}, row))
    assert len(str(raised.value)) < 600 and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"labels": "id"}, "'labels' must be one of ids, parts"), ({"frame": "x"}, "'frame' must be one of optical"),
        ({"categories": ["mug"]}, "'categories' must be"), ({"categories": {"mug": "2"}}, "whole numbers such as"),
        ({"categories": {"a.pcd": {"2": 3}}}, "category of label 2"), ({"categories": {"2": "a, b"}}, "must be a word"),
        ({"categories": {"2": "mug " * 200}}, "must be a word"), ({"categories": {"9" * 5000: "mug"}}, "whole numbers"),
        ({"categories": {"2": "mug", "02": "cup"}}, "label 2 of 'all files' twice"),
        ({"categories": {"a.pcd": {"2": "mug"}, "./a.pcd": {"2": "cup"}}}, "label 2 of 'a.pcd' twice"),
        ({"scenes": []}, "unknown setting 'scenes'"), ({"field": 3}, "'field' must be the name"),
    ],
)  # fmt: skip
def test_settings_are_checked(one: Path, settings: dict, told: str) -> None:
    with pytest.raises(SegPointError, match=told):
        opened(say(one, **settings))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"), ("{", "not valid JSON"), ("[]", "empty"), ("3", "expected an object"), ("[3]", "row 1"),
        ("[" * 100_000, "not valid JSON; repair it"), ("[" * 400 + "]" * 400, "row 1"),
        ('{"categories": {"2": "mug", "3": "", "2": "cup"}, "instructions": []}', "'2' is there twice in one object"),
    ],
)  # fmt: skip
def test_no_instructions(one: Path, content: str | None, told: str) -> None:
    if content is not None:
        (one / "instructions.json").write_text(content)
    with pytest.raises(SegPointError, match=told):
        opened(one)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"file": "b.pcd"}, "b.pcd: there is no such file"), ({"file": "a.las"}, "unknown kind of file"),
        ({"index": 1}, "is one cloud: 'topic', 'index', 'time' and 'every' choose from a bag"),
        ({"file": "run", "index": 5}, f"no cloud 5 on {TOPIC}, which has 0 to 4"),
        ({"file": "run", "time": 60}, "at 60 s: they begin 0.00 s and end 2.00 s"),
        ({"file": "run", "topic": "/x"}, r"no clouds on the topic '/x'; there are /labelled \(5\)"),
        ({"file": "words"}, "no message of type sensor_msgs/msg/PointCloud2; its topics are /chatter"),
        ({"file": "empty"}, r"no message of type .* its topics are \(none\)"),
        ({"file": "folder"}, "no part of a bag is in this folder"), ({"file": "torn.mcap"}, "try ros2 bag reindex"),
        ({"file": "torn.bag"}, "try rosbag reindex"), ({"file": "short.bag"}, "no message of .* it ends early"),
    ],
)  # fmt: skip
def test_what_rows_name_is_checked(one: Path, row: dict, told: str) -> None:
    (one / "a.las").touch()
    (one / "folder").mkdir()
    (one / "torn.mcap").write_bytes(b"no bag")
    (one / "torn.bag").write_bytes(b"no bag")
    (one / "short.bag").write_bytes(b"#ROSBAG V2.0\n")
    a_bag(one / "run")
    text = get_typestore(Stores.ROS2_HUMBLE).types["std_msgs/msg/String"]("hello")
    write_bag(one / "words", [], also=[("/chatter", "std_msgs/msg/String", text)])
    write_bag(one / "empty", [])
    say(one, row)
    with pytest.raises(SegPointError, match=f"instructions.json, row 1: .*{told}"):
        opened(one)
    assert len(checked(one).problems) == 1


def test_names_of_one_file_are_one_cloud(one: Path) -> None:
    (one / "sub").mkdir()
    say(one, {}, {"file": "./a.pcd"}, {"file": "sub/../a.pcd"}, categories={"./a.pcd": {"1": "", "2": "mug", "3": ""}})
    data = opened(one)
    assert list(data.scans) == ["a.pcd"] and len(data.instructions("a.pcd")) == 3
    assert {thing.id: thing.category for thing in data.load("a.pcd").objects} == {1: "", 2: "mug", 3: ""}


def test_words_are_one_line_and_a_byte_order_mark_is_none(one: Path) -> None:
    path = say(one, {"instruction": "the\nmug\u0000", "kind": "far\raway", "answer": "big\tmug"}) / "instructions.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (said,) = opened(one).instructions("a.pcd")
    assert (said.text, said.kind, said.answer) == ("the mug", "far away", "big mug")


def test_of_several_problems_one_is_told_and_the_others_are_counted(one: Path) -> None:
    name = "x" * 300 + ".pcd"  # too long for any file
    with pytest.raises(SegPointError, match="row 1: .*no such file.*and 1 more: `segpoint data check own` tells them"):
        opened(say(one, {"file": name}, {"file": "b.pcd"}))
    assert len(checked(one).problems) == 2


def test_rows_of_one_cloud_agree(one: Path) -> None:
    with pytest.raises(SegPointError, match="the rows of a.pcd name different frames, body, optical"):
        opened(say(one, {"frame": "body"}, {}, {"frame": "optical"}))


@pytest.mark.parametrize(
    ("name", "closed"), [("run", True), ("run", False), ("sqlite", True), ("sqlite", False), ("old.bag", True)]
)
def test_a_cut_bag_is_read_as_far_as_it_goes(
    tmp_path: Path, name: str, closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    clouds = [fields(16_000, seed=i) for i in range(20)]
    plugin = StoragePlugin.SQLITE3 if name == "sqlite" else StoragePlugin.MCAP
    write_bag(tmp_path / name, clouds, storage=plugin)
    storage = cut_off(tmp_path / name, 0.6)
    if not closed:
        (tmp_path / name / "metadata.yaml").unlink()
    data = opened(say(tmp_path, {"file": name, "split": "train"}))
    assert 8 <= len(data.scans) <= 12
    assert f"{name} is damaged" in caplog.text
    for number, scan in enumerate(data.scans):
        points, _ = data.points(scan)
        np.testing.assert_array_equal(points.xyz[:, 0], clouds[number]["x"])
    found = checked(tmp_path)
    assert found.problems == [] and f"{storage.name}: it ends early); {len(data.scans)} cl" in found.notes[0]
    assert closed != ("no metadata.yaml" in found.notes[0])


def cut_off(bag: Path, kept: float) -> Path:
    """Leave a share of a bag's only file, which is returned."""
    file = bag if bag.is_file() else next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    open_bag.cache_clear()
    return file


@pytest.mark.parametrize("ros1", [True, False])
def test_seconds_count_from_the_first_message_also_where_the_end_is_lost(tmp_path: Path, ros1: bool) -> None:
    path = write_mini_bag(tmp_path, frames=8, storage="sqlite3", ros1=ros1)
    whole = open_bag(path)
    (topic, clouds), written = next(iter(whole.clouds.items())), whole.read(whole.topic("", "label"), 3)[0]
    cut_off(path, 0.7)
    cut = open_bag(path)
    assert "it ends early" in cut.cut and 3 < len(cut.clouds[topic]) < len(clouds)
    assert whole.start < clouds[0].stamp and (cut.start, cut.others) == (whole.start, whole.others)
    assert cut.at_time(topic, (clouds[3].stamp - whole.start) / 1e9) == 3
    np.testing.assert_array_equal(cut.read(topic, 3)[0].label, written.label)


@pytest.mark.parametrize("name", ["run", "sqlite"])
def test_a_bag_whose_recorder_was_killed_is_whole(tmp_path: Path, name: str) -> None:
    a_bag(tmp_path / name)
    (tmp_path / name / "metadata.yaml").unlink()
    assert len(opened(say(tmp_path, {"file": name, "split": "train"})).scans) == 5
    assert "no metadata.yaml" in checked(tmp_path).notes[0]


def test_check_tells_everything_at_once(one: Path) -> None:
    held = read_points(write_cloud(one / "b.pcd"))
    write_points(one / "mm.pcd", held.xyz * 1000, None, {"label": held.label})
    write_points(one / "lidar.pcd", held.xyz - 0.9, None, {"label": held.label})
    write_points(one / "bare.pcd", held.xyz)
    (one / "torn.pcd").write_bytes((one / "a.pcd").read_bytes()[:300])
    files = ("a.pcd", "mm.pcd", "lidar.pcd", "bare.pcd", "torn.pcd")
    rows = [{"file": file, "split": "train"} for file in files]
    say(one, *rows, {"file": "gone.pcd"}, {"file": "gone.pcd"}, {"target_labels": [8], "file": "b.pcd"})
    problems = checked(one).problems
    for told in ("gone.pcd: there is no such", "divide millimetres", "behind the camera .* so its axes are not optical",
                 "bare.pcd: no field 'label'", "torn.pcd", "b.pcd has no point"):  # fmt: skip
        assert sum(bool(re.search(told, problem)) for problem in problems) == 1, told
    assert len(problems) == 6
    say(one, {"file": "lidar.pcd", "frame": "body"}, {"file": "a.pcd", "target_labels": []})
    found = checked(one)
    assert found.problems == [] and found.found["clouds, train"] == 1
    assert found.found["instructions, train"] == 1 and found.found["without a target, train"] == 0
