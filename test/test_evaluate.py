"""Evaluation: what is asked, what is counted, what is written. The segmenter's own quality is not tested here."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint.files import write_points
from segpoint.prompts import Place
from segpoint_training import evaluate as evaluation
from segpoint_training.answers import colour_loss, evaluate
from segpoint_training.evaluate import Request
from segpoint_training.labelled import (
    category_words,
    clicks,
    folder_set,
    generated_set,
    labelled_scene,
    middle_point,
    without_colour,
    words_and_clicks,
)
from segpoint_training.pictures import Worst
from segpoint_training.records import without_nan, write_record
from segpoint_training.scenes.scene import Instruction, Scene, SceneObject
from segpoint_training.tables import print_tables

WIDTH, HEIGHT, FOCAL = 160, 120, 130.0


def write_table(path, offset: float) -> np.ndarray:
    """A table seen from 45° above with two boxes (ids 2 and 3; the second in two parts); returns the ids (M,)."""
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    ray = np.stack([(column - 79.5) / FOCAL, (row - 59.5) / FOCAL, np.ones_like(row)], axis=-1).reshape(-1, 3)
    normal = np.array([0.0, np.sqrt(0.5), np.sqrt(0.5)])  # into the table, one metre away
    depth, label = 1.0 / (ray @ normal), np.ones(len(ray), dtype=np.uint32)
    for part, (low, high) in {20: (50, 70), 30: (100, 112), 31: (112, 125)}.items():
        inside = (column.ravel() >= low + offset) & (column.ravel() < high + offset) & (abs(row.ravel() - 60) < 12)
        depth[inside], label[inside] = 0.9 / (ray[inside] @ normal), part  # a plate that floats ten centimetres above
    xyz = (ray * depth[:, None]).astype(np.float32)
    xyz[:300] = np.nan
    label[:300] = 0
    write_points(path, xyz, np.full((len(xyz), 3), 90, np.uint8), {"label": label}, WIDTH, HEIGHT)
    return np.where(label > 9, label // 10, label)


@pytest.fixture
def folder(tmp_path):
    rows = []
    for name, offset in (("one.pcd", 0), ("two.pcd", -10)):
        write_table(tmp_path / name, offset)
        for text, kind, labels in [
            ("the left box", "spatial", [2]),
            ("the boxes", "category", [2, 3]),
            ("the table", "category", [1]),
            ("the mug", "zero-target", []),
        ]:
            rows.append({"file": name, "instruction": text, "kind": kind, "target_labels": labels, "notes": ""})
    (tmp_path / "instructions.json").write_text(json.dumps(rows))
    return tmp_path


class LeftBoxSegmenter:
    """Deterministic arithmetic for the tests: marks what floats left of the middle, and says nothing about mugs."""

    def __init__(self):
        self.calls = []

    def segment_many(self, xyz, instructions, rgb=None, frame="optical", places=None, task="instruction"):
        self.calls.append((list(instructions), frame, None if rgb is None else rgb.dtype))
        self.places = places
        found = np.nan_to_num(xyz @ np.array([0, np.sqrt(0.5), np.sqrt(0.5)]), nan=9.0) < 0.95
        found &= np.nan_to_num(xyz[:, 0]) < 0
        empty = np.zeros(len(xyz), dtype=bool)
        return [
            SimpleNamespace(mask=empty if "mug" in text else found, answer="box <SEG>.", instances=[], timings={})
            for text in instructions
        ]


def test_each_cloud_is_asked_once_and_counted_by_hand(folder):
    segmenter = LeftBoxSegmenter()
    result = evaluate(segmenter, folder_set(folder))
    assert [len(call[0]) for call in segmenter.calls] == [4, 4]
    assert all(call[1:] == ("optical", np.uint8) for call in segmenter.calls)
    left, right = 20 * 23, 25 * 23  # pixels of the two boxes
    both = left / (left + right)
    assert [item["iou"] for item in result.items[:4]] == pytest.approx([1.0, both, 0.0, 1.0], abs=1e-4)
    measures = result.to_dict()["measures"]
    assert measures["with target"]["count"] == 6 and measures["zero-target"]["miou"] == 1.0
    assert measures["spatial"]["miou"] == 1.0
    assert measures["category"]["miou"] == pytest.approx(both / 2, abs=1e-6)
    every = result.to_dict()["references"]["every cluster"]
    assert every["category"]["miou"] == pytest.approx(0.5, abs=0.05)  # both boxes right, the table missed
    assert every["spatial"]["miou"] == pytest.approx(both, abs=0.05) and every["zero-target"]["miou"] == 0.0
    assert result.to_dict()["references"]["best cluster"]["spatial"]["miou"] > 0.9
    gain, low, _ = result.over_every_cluster()
    assert gain == pytest.approx(0.0, abs=0.05) and np.isnan(low)  # two clouds: no interval


def test_only_points_that_exist_count(folder):
    """Marking pixels without depth is neither rewarded nor punished."""
    segmenter = LeftBoxSegmenter()
    asked = segmenter.segment_many

    def careless(xyz, *args, **kwargs):
        answers = asked(xyz, *args, **kwargs)
        for answer in answers:
            answer.mask = answer.mask | ~np.isfinite(xyz[:, 0])
        return answers

    segmenter.segment_many = careless
    result = evaluate(segmenter, folder_set(folder))
    assert result.items[0]["iou"] == 1.0 and result.items[3]["iou"] == 1.0


def test_clicks_come_with_the_words_and_are_counted_apart(folder):
    segmenter = LeftBoxSegmenter()
    result = evaluate(segmenter, folder_set(folder, 1).asked(words_and_clicks))
    assert [len(call[0]) for call in segmenter.calls] == [6]  # one encoding: four instructions, two boxes
    assert segmenter.places[:4] == [None] * 4 and all(place.clicks.shape == (1, 3) for place in segmenter.places[4:])
    assert result.tasks == ["words", "click"]
    assert [item["iou"] for item in result.only(task="click").items] == [1.0, 0.0]  # it marks the left one always
    record = result.to_dict()
    assert record["measures"]["with target"]["count"] == 3 and record["also"]["click"]["measures"]["all"]["count"] == 2
    clicked = record["also"]["click"]["references"]["random cluster"]["one click"]
    assert clicked["miou"] > 0.9  # not by chance: the cluster that was clicked
    assert record["also"]["click"]["outcomes"] == {"right": 1, "wrong object": 1}


def test_the_middle_is_a_point_of_the_thing():
    ring = np.array([[np.cos(a), np.sin(a), 1.0] for a in np.linspace(0, 6, 50)] + [[0, 0, 1.0], [np.nan] * 3])
    mask = np.ones(len(ring), dtype=bool)
    mask[50] = False  # the hole's middle is not of the ring
    point = middle_point(ring, mask)
    assert np.linalg.norm(point[:2]) == pytest.approx(1.0) and np.isfinite(point).all()


def test_colour_is_compared_on_the_same_questions(folder):
    class ByColour(LeftBoxSegmenter):
        """Finds the left box; without colour it marks nothing."""

        def segment_many(self, xyz, instructions, rgb=None, frame="optical", places=None, task="instruction"):
            answers = super().segment_many(xyz, instructions, rgb, frame, places)
            for answer in answers:
                answer.mask = answer.mask if rgb is not None else np.zeros(len(xyz), dtype=bool)
            return answers

    segmenter = ByColour()
    result = evaluate(segmenter, folder_set(folder).asked(category_words, without_colour))
    asked = ["the boxes", "the table"]
    assert segmenter.calls == [(asked, "optical", np.uint8), (asked, "optical", None)] * 2
    loss = colour_loss(result)
    assert loss["count"] == 4 and loss["without_colour"] == 0.0 and loss["lost"] == 1.0
    assert loss["with_colour"] == pytest.approx(20 / 45 / 2, abs=1e-3)
    assert result.to_dict()["colour"] == loss


class Refusing(LeftBoxSegmenter):
    """Refuses what it is told to."""

    def __init__(self, *refused):
        super().__init__()
        self.refused = set(refused)

    def segment_many(self, xyz, instructions, rgb=None, frame="optical", places=None, task="instruction"):
        if self.refused & set(instructions):
            raise SegPointError("not today")
        return super().segment_many(xyz, instructions, rgb, frame, places)


def test_what_is_refused_is_noted_and_counts_as_wrong(folder):
    result = evaluate(Refusing("the boxes", "the mug"), folder_set(folder, 1), watch := Worst())
    assert [item["outcome"] for item in result.items] == ["right", "refused", "wrong object", "refused"]
    assert [item["iou"] for item in result.items] == [1.0, 0.0, 0.0, 0.0]
    record = result.to_dict()
    assert record["measures"]["zero-target"]["miou"] == 0.0, "what is not answered is not rightly left unmarked"
    assert record["outcomes"] == {"right": 1, "wrong object": 1, "refused": 2}
    assert result.refused == ["one.pcd, the boxes: not today", "one.pcd, the mug: not today"]
    assert len(watch.kept) == 2


def test_nothing_answered_is_no_result(folder):
    said = ["the left box", "the boxes", "the table", "the mug"]
    with pytest.raises(SegPointError, match="none of 4 questions could be answered; the first: one.pcd, .*not today"):
        evaluate(Refusing(*said), folder_set(folder, 1))
    rows = json.loads((folder / "instructions.json").read_text())
    (folder / "instructions.json").write_text(json.dumps([row for row in rows if row["kind"] == "spatial"]))
    with pytest.raises(SegPointError, match="nothing to ask"):
        evaluate(LeftBoxSegmenter(), folder_set(folder).asked(category_words, without_colour))


def test_results_are_written_over_results_only(tmp_path, folder):
    taken = (folder / "instructions.json").read_bytes()
    with pytest.raises(SegPointError, match="instructions.json.*no result"):
        Request(str(folder), json=str(folder / "instructions.json"))
    assert (folder / "instructions.json").read_bytes() == taken
    write_record(folder / "r.json", {"bundle_sha256": "ab", "data": "x"})
    (folder / "empty.json").touch()
    for name in ("r.json", "empty.json", "new/r.json"):
        Request(str(folder), json=str(folder / name))


def test_worst_are_the_worst_from_as_many_clouds_as_possible():
    worst = Worst(3)
    cloud = [SimpleNamespace(name=name) for name in "ab"]
    for index, score in [(0, 0.0), (0, 0.0), (0, 0.0), (1, 0.5), (1, 0.0), (1, 0.9)]:
        worst(cloud[index], None, None, score)
    assert [(entry.cloud.name, entry.score) for entry in worst.kept] == [("a", 0.0), ("b", 0.0), ("a", 0.0)]


def tiny_scene(instructions, categories=("table", "mug", "shoe")) -> Scene:
    """A row of 400 points in the body frame: background, then 100 points of each object."""
    xyz = np.stack([np.linspace(1, 2, 400), np.zeros(400), np.linspace(0, 0.1, 400)], axis=1).astype(np.float32)
    objects = tuple(
        SceneObject(id, category, "", (0, 0, 0), (1, 1, 1), "upright", int(id > 1), 100)
        for id, category in enumerate(categories, start=1)
    )
    return Scene(xyz, None, np.repeat([0, 1, 2, 3], 100).astype(np.int32), 400, 1, objects, 7, "lidar", "table",
                 "body", tuple(instructions))  # fmt: skip


def test_scenes_are_asked_with_their_places_and_open_ones_about_held_out_things_only():
    said = [
        Instruction("the mug", "category", (2,), "mug"),
        Instruction("this", "place", (3,), "shoe", "click"),
        Instruction("the shoe here", "place", (3,), "shoe", "box"),
        Instruction("the shoe and the mug", "category", (2, 3), "shoe"),
        Instruction("the banana", "zero-target", (), ""),
    ]
    cloud = labelled_scene(tiny_scene(said), "test")
    assert [q.text for q in cloud.questions] == [i.text for i in said]
    assert (cloud.frame, cloud.height, cloud.rgb, cloud.things) == ("body", 1, None, (2, 3))
    click, box = cloud.questions[1].place, cloud.questions[2].place
    assert isinstance(click, Place) and click.clicks[0, 0] in cloud.xyz[300:, 0] and click.box is None
    assert box.clicks is None
    assert box.box[[0, 2, 3, 5]] == pytest.approx([*cloud.xyz[300, [0, 2]], *cloud.xyz[399, [0, 2]]])
    assert [q.truth.sum() for q in cloud.questions] == [100, 100, 100, 200, 0]
    assert [q.text for q in labelled_scene(tiny_scene(said), "open").questions] == ["this", "the shoe here"]
    assert [q.place.clicks.shape for q in clicks(cloud).questions] == [(1, 3), (1, 3)]
    assert not category_words(cloud).questions  # it saw no colour to lose


def test_command_writes_tables_json_and_pictures(folder, monkeypatch, capsys):
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text("{}")
    (bundle / "model.safetensors").write_bytes(b"weights")
    segmenter_module = SimpleNamespace(Segmenter=SimpleNamespace(from_bundle=lambda path: LeftBoxSegmenter()))
    monkeypatch.setitem(sys.modules, "segpoint.segmenter", segmenter_module)
    words = [str(folder), "--bundle", str(bundle), "--scenes", "1", "--json", str(folder / "out" / "r.json"),
             "--pictures", str(folder / "pictures")]  # fmt: skip
    assert evaluation.main(words) == 0
    printed = capsys.readouterr().out
    for word in ("spatial", "category", "zero-target", "every cluster", "random cluster", "best cluster", "nothing"):
        assert word in printed
    record = json.loads((folder / "out" / "r.json").read_text())
    assert record["clouds"] == 1 and record["questions"] == 4 and record["files"] == ["one.pcd"]
    assert len(record["bundle_sha256"]) == 64 and record["versions"]["numpy"] == np.__version__
    assert [item["instruction"] for item in record["items"]][-1] == "the mug"
    assert (folder / "pictures" / "worst.png").stat().st_size > 10_000
    words = (folder / "pictures" / "worst.md").read_text()
    assert "| 1 | one.pcd | the table | category | box \\<SEG>. | 0.00 | wrong object |" in words


def test_results_and_pictures_do_not_write_over_each_other_or_anything_else(tmp_path):
    for json_at, pictures_at in (("a/worst.md", "a"), ("a/worst.png", "a"), ("a", "a"), ("a", "a/b"), ("a/b", "a/b/c")):
        with pytest.raises(SegPointError, match="where --pictures writes"):
            Request(json=str(tmp_path / json_at), pictures=str(tmp_path / pictures_at))
    (tmp_path / "worst.md").write_text("my notes")
    with pytest.raises(SegPointError, match="and stays"):
        Request(pictures=str(tmp_path))
    with pytest.raises(SegPointError, match="cannot be written"):
        write_record(tmp_path / "worst.md" / "r.json", {"data": "x"})


def test_nothing_with_a_target_is_no_number(folder, capsys):
    rows = json.loads((folder / "instructions.json").read_text())
    (folder / "instructions.json").write_text(json.dumps([row for row in rows if not row["target_labels"]]))
    result = evaluate(LeftBoxSegmenter(), folder_set(folder))
    print_tables(result, {"data": "x", "clouds": 2, "questions": 2})
    assert "–" in capsys.readouterr().out
    text = json.dumps(without_nan(result.to_dict()), allow_nan=False)
    assert json.loads(text)["measures"]["with target"]["miou"] is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("{", "not valid JSON"),
        ("[]", "'instructions' is empty"),
        ('[{"file": "a.pcd", "instruction": "x", "kind": "spatial"}]', "target_labels"),
        ('[{"file": "a.pcd", "instruction": "x", "kind": "spatial", "target_labels": [1]}]', "a.pcd"),
    ],
)
def test_folders_that_cannot_be_measured(tmp_path, content, told):
    if content is not None:
        (tmp_path / "instructions.json").write_text(content)
    with pytest.raises(SegPointError, match=told):
        list(folder_set(tmp_path))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("file", ["a"]), ("file", 3), ("instruction", ""), ("instruction", " \n"), ("instruction", None), ("kind", {}),
        ("target_labels", 2), ("target_labels", [-1]), ("target_labels", ["2"]), ("target_labels", [True]),
        ("target_labels", [1.5]),
    ],
)  # fmt: skip
def test_rows_are_checked(folder, name, value):
    rows = json.loads((folder / "instructions.json").read_text())
    rows[2][name] = value
    (folder / "instructions.json").write_text(json.dumps(rows))
    with pytest.raises(SegPointError, match=f"instructions.json: row 3: '?{name}"):
        folder_set(folder)


def test_kinds_are_printed_as_they_are(folder, capsys):
    rows = json.loads((folder / "instructions.json").read_text())
    rows[0]["kind"] = "[/odd]"
    (folder / "instructions.json").write_text(json.dumps(rows[:1]))
    print_tables(evaluate(LeftBoxSegmenter(), folder_set(folder)), {"data": "[/x]", "clouds": 1, "questions": 1})
    printed = capsys.readouterr().out
    assert "[/odd]" in printed and "[/x]" in printed


@pytest.mark.parametrize(
    "words",
    [
        ["--seed", "-1"], ["--scenes", "0"], ["--json", "."], ["--json", "setup.cfg/a.json"],
        ["--pictures", "setup.cfg"], ["--semantic", "--pictures", "there"], [".", "--semantic"],
        [".", "--split", "open"], ["--all", "--json-folder", "setup.cfg"], ["--all", "--scenes", "0"],
        ["--sensor", "map"], ["--frame", "body"], ["--all", "--click"], ["--row", "rooms", "--json", "a.json"],
        ["--row", "real", "--real", "nowhere"], [".", "--seed", "5"], ["--json", "x" * 300], ["--pictures", "x" * 300],
        ["--all", "--json-folder", "x" * 300], ["--all", "--json-folder", "/proc/new"],
    ],
)  # fmt: skip
def test_bad_targets_are_told_before_the_work(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.cfg").touch()
    with pytest.raises(SegPointError):
        evaluation.main(["--bundle", "nowhere", *words])
    assert [path.name for path in tmp_path.iterdir()] == ["setup.cfg"]


def test_unlabelled_clouds_are_refused(folder):
    write_points(folder / "one.pcd", np.ones((10, 3)))
    with pytest.raises(SegPointError, match="no field 'label'"):
        list(folder_set(folder))


def test_generated_scenes_are_the_test_split_by_seed():
    data = generated_set(900_000, 2, sensor="kinect")
    first, second = data
    assert [cloud.name for cloud in data] == ["table_test_900000_kinect", "table_test_900001_kinect"]
    assert data.description["seeds"] == [900_000, 900_001] and data.description["split"] == "test"
    assert len(first.xyz) == first.width * first.height and first.questions and first.things
    assert {q.kind for q in first.questions + second.questions} >= {"category", "zero-target"}
    for question in first.questions:
        assert question.truth.shape == (len(first.xyz),)
        assert question.truth.any() == (question.kind != "zero-target")


def test_real_scenes_hold_what_their_instructions_count(shared):
    data = folder_set(shared / "real", 3)
    rows = json.loads((shared / "real" / "instructions.json").read_text())
    counts = [int(question.truth.sum()) for cloud in data for question in cloud.questions]
    assert counts == [row["target_points"] for row in rows[: len(counts)]]


def test_the_bundle_that_ships_end_to_end(tmp_path):
    from segpoint.backbone import backbone_folder
    from segpoint.config import default_bundle

    try:
        default_bundle(), backbone_folder()
    except SegPointError as missing:
        pytest.skip(str(missing))
    request = Request(scenes=1, sensor="kinect", json=str(tmp_path / "r.json"), pictures=str(tmp_path))
    record = evaluation.run_evaluate(request)
    assert record["clouds"] == 1 and record["questions"] == len(record["items"]) >= 5
    assert record["measures"]["all"]["miou"] > 0.0 and record["refused"] == []
    assert all(item["answer"] for item in record["items"])
    assert json.loads((tmp_path / "r.json").read_text())["items"] == record["items"]
    assert (tmp_path / "worst.png").is_file()


def test_rows_say_their_frame_and_place(folder):
    rows = json.loads((folder / "instructions.json").read_text())
    for row in rows:
        row |= {"frame": "body"} if row["file"] == "two.pcd" else {}
    rows[0]["place"] = "click"
    (folder / "instructions.json").write_text(json.dumps(rows))
    one, two = folder_set(folder)
    assert (one.frame, two.frame) == ("optical", "body")
    place = one.questions[0].place
    assert place is not None and one.questions[1].place is None
    nearest = np.nanargmin(np.linalg.norm(one.xyz - place.clicks[0], axis=1))
    assert one.questions[0].truth[nearest], "the click is on what is meant"
    rows[0]["frame"], rows[1]["frame"] = "optical", "map"
    (folder / "instructions.json").write_text(json.dumps(rows))
    with pytest.raises(SegPointError, match="different frames"):
        folder_set(folder).load(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": "moon"}, "'frame' must be"),
        ({"place": "line"}, "'place' must be"),
        ({"place": "click", "target_labels": []}, "'place' must be"),
        ({"target_labels": [20]}, "means object 20"),
        ({"target_labels": [0]}, "0, which is no object"),
    ],
)
def test_rows_that_cannot_be_meant(folder, change, message):
    rows = json.loads((folder / "instructions.json").read_text())
    rows[0] |= change
    (folder / "instructions.json").write_text(json.dumps(rows))
    with pytest.raises(SegPointError, match=message):
        folder_set(folder).load(0)


def test_a_result_is_written_whole_or_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    write_record(path, {"data": "x"})
    before, write = path.read_bytes(), Path.write_text

    def interrupted(self, text, **how):
        write(self, text[: len(text) // 2], **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_record(path, {"data": "a longer one"})
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["r.json"]
