"""Instruct3D, whose data nobody has published, from a miniature file with the fields that loaders for it expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mini_scannetpp import MiniObject, write_scannetpp

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import module_of, open_dataset
from segpoint_training.scenes.scene import Instruction

DESK = [
    MiniObject(1, "table"),
    MiniObject(2, "office chair", (1, 0, 0.5)),
    MiniObject(5, "sticker", (2, 0, 0.5)),
    MiniObject(8, "lamp", side=0),  # annotated, but without a vertex
]
SHELF = [MiniObject(3, "books")]


def row(scene: str, ids: Any, text: str, name: str = "office_chair") -> dict[str, Any]:
    return {"scene_id": scene, "object_id": ids, "object_name": name, "description": text}


ROWS = [
    row("aa11", [2], "Where can I sit down?"),
    row("aa11", [5, 1], "What is flat?"),
    row("aa11", [], "Where can I wash my hands?"),
    row("aa11", 1, "Where do I put my cup?", "table"),
    row("aa11", "5", "What sticks?", "sticker"),
    row("bb22", [3], "What can I read?", "books"),
]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    scenes = {"aa11": DESK, "bb22": SHELF}
    return write_scannetpp(tmp_path / "scannetpp", scenes, {"train": ["bb22"], "val": ["aa11", "zz99"]})


def settings(root: Path, scans: Path, rows: list[dict[str, Any]], split: str = "train") -> DatasetConfig:
    root.mkdir(exist_ok=True)
    (root / "instruct3D_train.json").write_text(json.dumps(rows))
    (root / "instruct3D_val.json").write_text(json.dumps(ROWS[:1]))
    return DatasetConfig("instruct3d", str(root), str(scans), split)


def test_instructions_mean_none_one_or_several(tmp_path: Path, scans: Path):
    dataset = open_dataset(settings(tmp_path, scans, ROWS))
    assert list(dataset.scans) == ["bb22", "aa11"]  # whichever split of ScanNet++ a scene is of
    assert dataset.instructions("aa11") == (
        Instruction("Where can I sit down?", "single", (3,), "office chair"),
        Instruction("What is flat?", "multiple", (2, 6), "office chair"),
        Instruction("Where can I wash my hands?", "zero-target", (), ""),
        Instruction("Where do I put my cup?", "single", (2,), "table"),
        Instruction("What sticks?", "single", (6,), "sticker"),
    )
    assert {i.task for i in dataset.instructions("bb22")} == {"instruction"}
    assert {o.id for o in dataset.load("aa11").objects} == {2, 3, 6}


def test_the_file_and_the_scans_may_lie_in_one_folder(scans: Path):
    (scans / "instruct3D_val.json").write_text(json.dumps(ROWS))
    dataset = open_dataset(DatasetConfig("instruct3d", str(scans), split="val"))
    assert sum(len(dataset.instructions(scan)) for scan in dataset.scans) == len(ROWS)


def test_an_instruction_about_nothing_that_is_there_is_left_out(tmp_path: Path, scans: Path):
    rows = [row("aa11", [8], "What shines?", "lamp"), row("zz99", [1], "Where?"), *ROWS]
    dataset = open_dataset(settings(tmp_path, scans, rows))
    assert sum(len(dataset.instructions(scan)) for scan in dataset.scans) == len(ROWS)


@pytest.mark.parametrize("ids", [None, "a", [None], {"1": 2}, [[1]], 1.5])
def test_what_is_no_object_is_an_error(tmp_path: Path, scans: Path, ids: Any):
    with pytest.raises(SegPointError, match="instruct3D_train.json, entry 7: .*object_id"):
        open_dataset(settings(tmp_path, scans, [*ROWS, row("aa11", ids, "What?")]))


def test_there_is_no_test_split(tmp_path: Path, scans: Path):
    with pytest.raises(SegPointError, match="instruct3d has the splits train and val, not 'test'"):
        open_dataset(settings(tmp_path, scans, ROWS, "test"))


def test_check_counts_as_one_does_by_hand(tmp_path: Path, scans: Path):
    config = settings(tmp_path, scans, [*ROWS, row("aa11", [77], "What?"), row("zz99", [1], "Where?")])
    found = module_of("instruct3d").check(config)
    rows = json.loads((tmp_path / "instruct3D_train.json").read_text())
    sizes = [len(r["object_id"]) if isinstance(r["object_id"], list) else 1 for r in rows]
    assert {name: count for name, count in found.found.items() if name.endswith("train")} == {
        "sentences, train": len(rows), "scans, train": 3, "zero targets, train": sizes.count(0),
        "single targets, train": sizes.count(1), "several targets, train": sizes.count(2),
        "kind multiple, train": 1, "kind single, train": 6, "kind zero-target, train": 1,
    }  # fmt: skip
    assert len(found.problems) == 2
    assert "1 sentences are about scans that are not there (zz99)" in found.problems[0]
    assert "1 objects are not in their scans (aa11 77), and 1 sentences mean no other" in found.problems[1]
    assert "no published home" in found.notes[-1]


def test_check_needs_no_mesh(tmp_path: Path, scans: Path):
    for mesh in scans.glob("data/*/scans/mesh_aligned_0.05.ply"):
        mesh.unlink()
    assert module_of("instruct3d").check(settings(tmp_path, scans, ROWS)).problems == []
