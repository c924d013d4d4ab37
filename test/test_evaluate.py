"""Evaluation: what is asked, what is counted, what is written. The segmenter's own quality is not tested here."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mini_table import write_table_folder

from segpoint.errors import SegPointError
from segpoint_training import evaluate as evaluation
from segpoint_training.answers import colour_loss, evaluate
from segpoint_training.evaluate import Request
from segpoint_training.labelled import (
    category_words,
    folder_set,
    without_colour,
    words_and_clicks,
)
from segpoint_training.pictures import Worst
from segpoint_training.records import without_nan, write_record
from segpoint_training.tables import print_tables

WIDTH, HEIGHT, FOCAL = 160, 120, 130.0


@pytest.fixture
def folder(tmp_path):
    return write_table_folder(tmp_path)


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
