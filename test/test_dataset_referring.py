"""Nr3D, Sr3D and Multi3DRefer from miniature files in the official layout, counted again by hand."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from mini_referring import (
    SCENES,
    SPLITS,
    multi,
    said,
    settings,
    utterance,
    write_multi3drefer,
    write_referit3d,
)
from mini_scannet import write_scannet

from segpoint.errors import SegPointError
from segpoint_training.datasets import module_of, open_dataset
from segpoint_training.scenes.scene import Instruction


@pytest.fixture(scope="module")
def scannet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scannet(tmp_path_factory.mktemp("data") / "scannet", SCENES, SPLITS)


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("scanrefer", "ScanRefer_filtered_train.json", "[]"),
        ("multi3drefer", "multi3drefer_train.json", "[]"),
        ("nr3d", "nr3d.csv", ""),
        ("sr3d", "sr3d.csv", "scan_id,target_id\n"),
    ],
)
def test_a_file_without_a_sentence_is_a_problem(tmp_path: Path, scannet: Path, name: str, file: str, content: str):
    (tmp_path / file).write_text(content)
    config = settings(name, tmp_path, scannet)
    with pytest.raises(SegPointError, match=f"{file} has no sentences for this split; get it again"):
        open_dataset(config)
    problems = module_of(name).check(config).problems
    assert any(f"{file} has no sentences for train; get it again" in problem for problem in problems)


# --- ReferIt3D ----------------------------------------------------------------------------------------------------


UTTERANCES = [
    utterance("scene0000_00-chair-2-0-1", "the chair left of the table."),
    utterance("scene0000_00-chair-2-0-1", "the chair, not the other"),
    utterance("scene0000_00-coffee_table-3-2-8-9", "Facing the door, the first table"),
    utterance("scene0000_00-coffee_table-3-2-8-9", "the lowest table", guess=False),
    utterance("scene0000_00-coffee_table-3-2-8-9", "the lowest of them", mentions=False),
    utterance("scene0001_00-plant-1-1", "a plant, “green”"),
    utterance("scene0002_00-plant-2-1-3", "the plant across the room"),
]


@pytest.mark.parametrize("name", ["nr3d", "sr3d"])
def test_referit3ds_kinds_and_splits(tmp_path: Path, scannet: Path, name: str):
    root = write_referit3d(tmp_path / f"{name}.csv", UTTERANCES)
    train = said(settings(name, root, scannet))
    assert [i.kind for i in train["scene0000_00"]] == [
        "easy view-dependent", "easy view-independent", "hard view-dependent", "hard view-independent"]  # fmt: skip
    assert train["scene0000_00"][2] == Instruction(
        "Facing the door, the first table", "hard view-dependent", (3,), "coffee table", task="referring"
    )
    assert [(i.text, i.kind) for i in train["scene0001_00"]] == [("a plant, “green”", "easy view-independent")]
    assert [i.kind for i in said(settings(name, root, scannet, "val"))["scene0002_00"]] == ["easy view-dependent"]
    with pytest.raises(SegPointError, match="what its authors call test is val"):
        open_dataset(settings(name, root, scannet, "test"))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"stimulus_id": "scene0000_00"}, "line 3: stimulus_id must be SCAN-LABEL-COUNT-TARGET-OTHERS"),
        ({"stimulus_id": "scene0000_00-chair-x-1"}, "line 3: stimulus_id must be"),
        ({"tokens": "the chair"}, "line 3: tokens must be a list of words, got 'the chair'"),
        ({"tokens": "5"}, "line 3: tokens must be a list of words"),
        ({"target_id": ""}, "line 3: target_id must be objectIds, got ''"),
        ({"mentions_target_class": ""}, "line 3: mentions_target_class must be a text"),
        ({"mentions_target_class": "maybe"}, "line 3: mentions_target_class must be True or False, got 'maybe'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, scannet: Path, change: dict[str, str], error: str):
    root = write_referit3d(tmp_path / "nr3d.csv", [UTTERANCES[0], UTTERANCES[1] | change])
    with pytest.raises(SegPointError, match=re.escape(error)):
        open_dataset(settings("nr3d", root, scannet))


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("TRUE", "false"), ("1", "0"), ("1.0", "0.0")])
def test_whether_a_class_is_mentioned_is_said_in_many_ways(tmp_path: Path, scannet: Path, yes: str, no: str):
    rows = [UTTERANCES[0] | {"mentions_target_class": yes}, UTTERANCES[1] | {"mentions_target_class": no}]
    found = said(settings("nr3d", write_referit3d(tmp_path / "nr3d.csv", rows), scannet))
    assert [i.text for i in found["scene0000_00"]] == [UTTERANCES[0]["utterance"]]


def test_a_line_that_is_too_short_is_named(tmp_path: Path, scannet: Path):
    path = write_referit3d(tmp_path / "nr3d.csv", UTTERANCES[:1]) / "nr3d.csv"
    path.write_text(path.read_text() + "1,scene0000_00-chair-2-0-1,a chair\n")
    with pytest.raises(SegPointError, match="nr3d.csv, line 3: no scan_id, only assignmentid, stimulus_id, utterance"):
        open_dataset(settings("nr3d", tmp_path, scannet))


def test_a_spreadsheets_encoding_is_read(tmp_path: Path, scannet: Path):
    config = settings("nr3d", write_referit3d(tmp_path / "nr3d.csv", UTTERANCES, "cp1252"), scannet)
    assert said(config)["scene0001_00"][0].text == "a plant, “green”"
    assert any("is not UTF-8" in note for note in module_of("nr3d").check(config).notes)
    write_referit3d(tmp_path / "nr3d.csv", UTTERANCES, "utf-8-sig")
    assert said(config)["scene0001_00"][0].text == "a plant, “green”"


def test_check_of_nr3d_counts_as_one_does_by_hand(tmp_path: Path, scannet: Path):
    strange = utterance("scene7777_00-chair-1-0", "the chair")
    root = write_referit3d(tmp_path / "nr3d.csv", [*UTTERANCES, strange])
    found = module_of("nr3d").check(settings("nr3d", root, scannet))
    with (root / "nr3d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for split, scans in SPLITS.items():
        used = [row for row in rows if row["scan_id"] in scans and row["mentions_target_class"] == "True"]
        assert found.found[f"sentences, {split}"] == found.found[f"single targets, {split}"] == len(used) > 0
        assert found.found[f"scans, {split}"] == len({row["scan_id"] for row in used})
    assert found.found["rows"] == len(rows)
    assert found.problems == ["rows are about scans of neither split of ScanNet (scene7777_00); get the file again"]
    assert found.notes == ["1 rows do not mention the target's class; as its authors do, they are left out"]


def test_check_of_nr3d_without_scannet_or_file(tmp_path: Path, scannet: Path):
    missing = module_of("nr3d").check(settings("nr3d", tmp_path, scannet))
    assert len(missing.problems) == 1 and "nr3d.csv is not there" in missing.problems[0]
    root = write_referit3d(tmp_path / "nr3d.csv", UTTERANCES)
    problems = module_of("nr3d").check(settings("nr3d", root, tmp_path)).problems
    assert any("ScanNet's lists say what is train" in problem for problem in problems)


# --- Multi3DRefer -------------------------------------------------------------------------------------------------


MULTI = [
    multi("scene0000_00", [], "zt_wo_d", text="the bathtub"),
    multi("scene0000_00", [], "zt_w_d", text="the pink chair"),
    multi("scene0000_00", [1], "st_wo_d"),
    multi("scene0000_00", [3], "st_w_d", "refrigerator"),
    multi("scene0000_00", [5, 0, 1], "mt"),
    multi("scene0001_00", [], "zt"),
]


def test_multi3drefer_means_none_one_or_several(tmp_path: Path, scannet: Path):
    found = said(settings("multi3drefer", write_multi3drefer(tmp_path, MULTI), scannet))
    assert [(i.kind, i.targets, i.answer) for i in found["scene0000_00"]] == [
        ("zt_wo_d", (), ""),
        ("zt_w_d", (), ""),
        ("st_wo_d", (2,), "office chair"),
        ("st_w_d", (4,), "refrigerator"),
        ("mt", (1, 2, 6), "office chair"),
    ]
    assert {i.task for i in found["scene0000_00"]} == {"referring"}
    val = said(settings("multi3drefer", tmp_path, scannet, "val"))  # a scan of which nothing is meant stays
    assert val["scene0002_00"] == (Instruction("those", "zt_w_d", (), "", task="referring"),)


def test_of_several_objects_those_with_points_stay(tmp_path: Path, scannet: Path):
    rows = [multi("scene0000_00", [6, 0, 40], "mt"), multi("scene0000_00", [6, 40], "mt", text="gone"), *MULTI]
    config = settings("multi3drefer", write_multi3drefer(tmp_path, rows), scannet)
    found = said(config)["scene0000_00"]
    assert found[0].targets == (1,) and found[0].kind == "mt"
    assert "gone" not in {i.text for i in found}, "what is not there must not become a zero target"
    problem = "train: 1 objects are not in their scans (scene0000_00 40), and 0 sentences mean no other"
    assert module_of("multi3drefer").check(config).problems[0].startswith(problem)


def test_an_unknown_eval_type_is_named(tmp_path: Path, scannet: Path):
    config = settings("multi3drefer", write_multi3drefer(tmp_path, [multi("scene0000_00", [1], "single")]), scannet)
    with pytest.raises(SegPointError, match="entry 1: eval_type must be zt, zt_w_d, .*got 'single'"):
        open_dataset(config)


def test_check_of_multi3drefer_counts_as_one_does_by_hand(tmp_path: Path, scannet: Path):
    found = module_of("multi3drefer").check(settings("multi3drefer", write_multi3drefer(tmp_path, MULTI), scannet))
    rows = json.loads((tmp_path / "multi3drefer_train.json").read_text())
    sizes = Counter(min(len(row["object_ids"]), 2) for row in rows)
    names = ("zero targets, train", "single targets, train", "several targets, train")
    assert [found.found[name] for name in names] == [sizes[0], sizes[1], sizes[2]] == [3, 2, 1]
    kinds = Counter(row["eval_type"] for row in rows)
    assert {name: count for name, count in found.found.items() if name.startswith("kind") and "train" in name} == {
        f"kind {kind}, train": count for kind, count in kinds.items()
    }
    assert found.problems == []
