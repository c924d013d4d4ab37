"""ScanRefer from miniature files in the official layout, counted again by hand."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mini_referring import (
    SCENES,
    SPLITS,
    reference,
    said,
    settings,
    write_scanrefer,
)
from mini_scannet import write_scannet

from segpoint.errors import SegPointError
from segpoint_training.datasets import module_of, open_dataset
from segpoint_training.scenes.scene import Instruction


@pytest.fixture(scope="module")
def scannet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scannet(tmp_path_factory.mktemp("data") / "scannet", SCENES, SPLITS)


REFERENCES = [
    reference("scene0000_00", 0, "chair", "the black  chair by the wall. "),
    reference("scene0000_00", 0, "chair", "a chair", ann=1),
    reference("scene0000_00", 2, "coffee_table", "a low table"),
    reference("scene0000_00", 3, "refrigerator", "a white fridge"),
    reference("scene0000_00", 4, "rubik's_cube", "a toy"),
    reference("scene0000_00", 5, "plant", "a plant"),
    reference("scene0001_00", 1, "plant", "the only one of no class"),
    reference("scene0001_00", 0, "table", "this table"),
    reference("scene0001_00", 0, "table", "this table", ann=1),
]


def kinds_by_hand(rows: list[dict[str, Any]], scannet: Path) -> list[str]:
    """The official rule, step by step: 17 classes by the label table, every described object once, 17 for the rest."""
    classes = {3: 0, 4: 1, 5: 2, 6: 3, 7: 4, 8: 5, 9: 6, 10: 7, 11: 8, 12: 9, 14: 10, 16: 11, 24: 12, 28: 13, 33: 14,
               34: 15, 36: 16}  # fmt: skip
    table = (scannet / "scannetv2-labels.combined.tsv").read_text().splitlines()
    raw = {line.split("\t")[1]: classes.get(int(line.split("\t")[4]), 17) for line in table[1:]}
    scenes: dict[str, dict[str, int]] = {}
    for row in rows:
        seen = scenes.setdefault(row["scene_id"], {})
        seen.setdefault(row["object_id"], raw.get(row["object_name"].replace("_", " "), 17))
    kinds = []
    for row in rows:
        own = raw.get(row["object_name"].replace("_", " "), 17)
        kinds.append("unique" if list(scenes[row["scene_id"]].values()).count(own) == 1 else "multiple")
    return kinds


def test_scanrefer_is_read_with_scannets_scans(tmp_path: Path, scannet: Path):
    dataset = open_dataset(settings("scanrefer", write_scanrefer(tmp_path, REFERENCES), scannet))
    assert (dataset.name, list(dataset.scans), list(dataset.classes)) == (
        "scanrefer", ["scene0000_00", "scene0001_00"], [])  # fmt: skip
    assert dataset.load("scene0001_00").objects[0].category == "table"
    first, second, table = dataset.instructions("scene0000_00")[:3]
    assert first == Instruction(
        "the black chair by the wall.", "unique", (1,), "chair", task="referring"
    )  # the office chair, which nobody describes, does not count
    assert (second.text, second.targets) == ("a chair", (1,))
    assert (table.answer, table.targets, table.kind) == ("coffee table", (3,), "unique")


def test_scanrefers_kinds_are_those_of_the_official_rule(tmp_path: Path, scannet: Path):
    rows = [*REFERENCES, reference("scene0001_00", 2, "something_unheard_of")]
    found = said(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet))
    ours = [instruction.kind for scan in ("scene0000_00", "scene0001_00") for instruction in found[scan]]
    assert ours == kinds_by_hand(rows, scannet)
    assert ours == ["unique"] * 4 + ["multiple"] * 3 + ["unique"] * 2 + ["multiple"]


def test_a_second_described_chair_makes_both_multiple(tmp_path: Path, scannet: Path):
    rows = [*REFERENCES, reference("scene0000_00", 1, "office_chair")]
    found = said(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet))["scene0000_00"]
    assert {i.text: i.kind for i in found if "chair" in i.answer} == {
        "the black chair by the wall.": "multiple", "a chair": "multiple", "it is there": "multiple"}  # fmt: skip


def test_objects_without_points_are_left_out_and_told_once(tmp_path: Path, scannet: Path, caplog):
    rows = [*REFERENCES, reference("scene0000_00", 6, "lamp"), reference("scene0001_00", 40, "lamp")]
    with caplog.at_level(logging.WARNING, "segpoint.datasets"):
        found = said(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet))
    assert sum(map(len, found.values())) == len(REFERENCES)
    assert [record.getMessage() for record in caplog.records] == [
        "scanrefer: sentences about objects without points are left out, first in scene0000_00"
    ]


def test_scans_that_are_not_on_disk_are_left_out(tmp_path: Path, scannet: Path, caplog):
    rows = [*REFERENCES, reference("scene0009_00", 1, "lamp"), reference("scene0009_00", 2, "lamp")]
    with caplog.at_level(logging.WARNING, "segpoint.datasets"):
        dataset = open_dataset(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet))
    assert list(dataset.scans) == ["scene0000_00", "scene0001_00"]
    assert "2 sentences are left out, their scans are not on disk: scene0009_00" in caplog.text
    with pytest.raises(SegPointError, match="none of its 1 scans is on disk .scene0009_00."):
        open_dataset(settings("scanrefer", write_scanrefer(tmp_path, rows[-2:]), scannet))


def test_scanrefers_test_split_has_no_truth(tmp_path: Path, scannet: Path):
    with pytest.raises(SegPointError, match="train and val, not 'test'.*truth of its test split is not published"):
        open_dataset(settings("scanrefer", write_scanrefer(tmp_path, REFERENCES), scannet, "test"))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"object_id": None}, "ScanRefer_filtered_train.json, entry 2: no object_id, only scene_id, object_name"),
        ({"object_id": "x3"}, "entry 2: object_id must be objectIds, got 'x3'"),
        ({"object_id": -1}, "entry 2: object_id must be objectIds, got -1"),
        ({"object_id": True}, "entry 2: object_id must be objectIds, got True"),
        ({"object_id": 1.5}, "entry 2: object_id must be objectIds, got 1.5"),
        ({"object_id": ["1", "2"]}, "entry 2: object_id must be one objectId, got 2"),
        ({"description": " "}, "entry 2: description must be a text, got ' '"),
        ({"object_name": 4}, "entry 2: object_name must be a text, got 4"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, scannet: Path, change: dict[str, Any], error: str):
    config = settings("scanrefer", write_scanrefer(tmp_path, [REFERENCES[0], REFERENCES[1] | change]), scannet)
    with pytest.raises(SegPointError, match=re.escape(error)):
        open_dataset(config)
    assert any(error in problem for problem in module_of("scanrefer").check(config).problems)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("[{", "it is no JSON; get it again"),
        ('{"a": 1}', "must be a JSON list, as its authors publish it, not a dict"),
        ("[1]", "entry 1: it must be an object with fields, not 1"),
        ("[]", "has no sentences for this split"),
        (None, "is not there; get it from its authors"),
    ],
)
def test_a_file_of_something_else_is_an_error(tmp_path: Path, scannet: Path, content: str | None, error: str):
    path = write_scanrefer(tmp_path, []) / "ScanRefer_filtered_train.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SegPointError, match=error):
        open_dataset(settings("scanrefer", tmp_path, scannet))


def test_check_of_scanrefer_counts_as_one_does_by_hand(tmp_path: Path, scannet: Path):
    config = settings("scanrefer", write_scanrefer(tmp_path, REFERENCES), scannet)
    found = module_of("scanrefer").check(config)
    rows = json.loads((tmp_path / "ScanRefer_filtered_train.json").read_text())
    kinds = Counter(kinds_by_hand(rows, scannet))
    assert found.found == {
        "sentences, train": len(rows), "scans, train": len({row["scene_id"] for row in rows}),
        "zero targets, train": 0, "single targets, train": len(rows), "several targets, train": 0,
        "kind multiple, train": kinds["multiple"], "kind unique, train": kinds["unique"],
        "sentences, val": 1, "scans, val": 1, "zero targets, val": 0, "single targets, val": 1,
        "several targets, val": 0, "kind unique, val": 1,
    }  # fmt: skip
    assert found.problems == []
    assert found.notes == ["train: 1 sentences occur again about the same objects; all are used"]


def test_check_finds_what_the_scans_do_not_have(tmp_path: Path, scannet: Path):
    rows = [reference("scene0000_00", 40, "lamp"), reference("scene0009_00", 1, "lamp"), *REFERENCES]
    problems = module_of("scanrefer").check(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet)).problems
    assert re.search("train: 1 sentences are about scans that are not there .scene0009_00.", problems[0])
    assert re.search("train: 1 objects are not in their scans .scene0000_00 40., and 1 sentences mean no", problems[1])
    assert len(problems) == 2


def test_check_tells_ids_that_are_off_by_one(tmp_path: Path, scannet: Path):
    names = ["office_chair", "coffee_table", "refrigerator", "rubik's_cube", "plant", "lamp"]  # of the next object
    rows = [reference("scene0000_00", id, name, f"the {name}") for id, name in enumerate(names)]
    (problem,) = module_of("scanrefer").check(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet)).problems
    told = "train: 5 of 6 sentences name another thing than their object's label (scene0000_00 1: 'coffee table' is "
    assert problem.startswith(told + "labelled 'office chair', ") and "their ids are not these scans'" in problem


def test_check_takes_another_word_for_an_object(tmp_path: Path, scannet: Path):
    rows = [*REFERENCES[1:], reference("scene0000_00", 3, "fridge"), reference("scene0000_00", 1, "Chair")]
    found = module_of("scanrefer").check(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet))
    assert found.problems == [] and found.notes[1:] == [
        "train: 1 of 10 sentences name another thing than their object's label (scene0000_00 3: 'fridge' is labelled "
        "'refrigerator'); all are used"
    ]


def test_json_that_is_nested_too_deeply_is_told(tmp_path: Path, scannet: Path):
    config = settings("scanrefer", write_scanrefer(tmp_path, REFERENCES), scannet)
    (tmp_path / "ScanRefer_filtered_train.json").write_text("[" * 100_000)
    with pytest.raises(SegPointError, match="ScanRefer_filtered_train.json cannot be read .*get it again"):
        open_dataset(config)


def test_long_and_odd_names_are_clipped(tmp_path: Path, scannet: Path):
    rows = [*REFERENCES, reference("scene\ud800\n" + "x" * 9000, 1, "lamp" * 9000)]
    (problem,) = module_of("scanrefer").check(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet)).problems
    assert "scene? xxx" in problem and len(problem) < 300 and problem.encode()


def test_check_goes_on_without_scans_and_files(tmp_path: Path):
    config = settings("scanrefer", write_scanrefer(tmp_path, REFERENCES * 2), tmp_path / "nothing")
    (tmp_path / "ScanRefer_filtered_val.json").unlink()
    found = module_of("scanrefer").check(config)
    assert found.found["sentences, train"] == 2 * len(REFERENCES)
    assert len(found.problems) == 2 and "ScanRefer_filtered_val.json is not there" in found.problems[1]


def test_check_lists_few_of_many_wrong_rows(tmp_path: Path, scannet: Path):
    rows = [{"scene_id": "scene0000_00"}] * 40
    found = module_of("scanrefer").check(settings("scanrefer", write_scanrefer(tmp_path, rows), scannet))
    assert len(found.problems) == 6 and "35 more rows cannot be used" in found.problems[-1]
