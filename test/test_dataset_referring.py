"""ScanRefer, Nr3D, Sr3D and Multi3DRefer from miniature files in the official layout, counted again by hand."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mini_scannet import MiniObject, write_scannet

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import module_of, open_dataset
from segpoint_training.scenes.scene import Instruction

OFFICE = [
    MiniObject("chair", (0, 0, 0.5)),
    MiniObject("office chair", (1, 0, 0.5)),
    MiniObject("coffee table", (2, 0, 0.5)),
    MiniObject("refrigerator", (3, 0, 0.5)),
    MiniObject("rubik's cube", (4, 0, 0.5)),
    MiniObject("plant", (5, 0, 0.5)),
    MiniObject("lamp", side=0),  # annotated, but without a vertex
]
KITCHEN = [MiniObject("table"), MiniObject("plant", (1, 0, 0.5)), MiniObject("wall", (2, 0, 0.5))]
SCENES = {"scene0000_00": OFFICE, "scene0001_00": KITCHEN, "scene0002_00": KITCHEN}
SPLITS = {"train": ["scene0000_00", "scene0001_00", "scene0009_00"], "val": ["scene0002_00"]}


@pytest.fixture(scope="module")
def scannet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scannet(tmp_path_factory.mktemp("data") / "scannet", SCENES, SPLITS)


def settings(name: str, root: Path, scannet: Path, split: str = "train") -> DatasetConfig:
    return DatasetConfig(name, str(root), str(scannet), split)


def said(config: DatasetConfig) -> dict[str, tuple[Instruction, ...]]:
    dataset = open_dataset(config)
    return {scan: dataset.instructions(scan) for scan in dataset.scans}


# --- ScanRefer ----------------------------------------------------------------------------------------------------


def reference(scene: str, id: int, name: str, text: str = "it is there", ann: int = 0) -> dict[str, Any]:
    return {"scene_id": scene, "object_id": str(id), "object_name": name, "ann_id": str(ann), "description": text,
            "token": text.split()}  # fmt: skip


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


def write_scanrefer(root: Path, train: list[dict[str, Any]], val: list[dict[str, Any]] | None = None) -> Path:
    root.mkdir(exist_ok=True)
    (root / "ScanRefer_filtered_train.json").write_text(json.dumps(train))
    (root / "ScanRefer_filtered_val.json").write_text(json.dumps(val or [reference("scene0002_00", 0, "table")]))
    return root


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


# --- ReferIt3D ----------------------------------------------------------------------------------------------------

COLUMNS = ["assignmentid", "stimulus_id", "utterance", "correct_guess", "speaker_id", "listener_id", "scan_id",
           "instance_type", "target_id", "tokens", "dataset", "mentions_target_class", "uses_spatial_lang"]  # fmt: skip


def utterance(stimulus: str, text: str, mentions: bool = True, guess: bool = True) -> dict[str, str]:
    scan, label, _, target = stimulus.split("-")[:4]
    return {
        "assignmentid": "1", "stimulus_id": stimulus, "utterance": text, "correct_guess": str(guess), "speaker_id": "4",
        "listener_id": "5", "scan_id": scan, "instance_type": label.replace("_", " "), "target_id": target,
        "tokens": str(text.lower().strip(".").split()), "dataset": "nr3d", "mentions_target_class": str(mentions),
        "uses_spatial_lang": "True",
    }  # fmt: skip


UTTERANCES = [
    utterance("scene0000_00-chair-2-0-1", "the chair left of the table."),
    utterance("scene0000_00-chair-2-0-1", "the chair, not the other"),
    utterance("scene0000_00-coffee_table-3-2-8-9", "Facing the door, the first table"),
    utterance("scene0000_00-coffee_table-3-2-8-9", "the lowest table", guess=False),
    utterance("scene0000_00-coffee_table-3-2-8-9", "the lowest of them", mentions=False),
    utterance("scene0001_00-plant-1-1", "a plant, “green”"),
    utterance("scene0002_00-plant-2-1-3", "the plant across the room"),
]


def write_referit3d(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return path.parent


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


def multi(scene: str, ids: list[int], kind: str, name: str = "office_chair", text: str = "those") -> dict[str, Any]:
    return {"scene_id": scene, "object_name": name, "ann_id": 3, "description": text, "object_ids": ids,
            "eval_type": kind, "spatial": True, "color": False, "texture": False, "shape": False}  # fmt: skip


MULTI = [
    multi("scene0000_00", [], "zt_wo_d", text="the bathtub"),
    multi("scene0000_00", [], "zt_w_d", text="the pink chair"),
    multi("scene0000_00", [1], "st_wo_d"),
    multi("scene0000_00", [3], "st_w_d", "refrigerator"),
    multi("scene0000_00", [5, 0, 1], "mt"),
    multi("scene0001_00", [], "zt"),
]


def write_multi3drefer(root: Path, train: list[dict[str, Any]]) -> Path:
    (root / "multi3drefer_train.json").write_text(json.dumps(train))
    (root / "multi3drefer_val.json").write_text(json.dumps([multi("scene0002_00", [], "zt_w_d")]))
    return root


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
