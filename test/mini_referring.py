"""ScanRefer, Nr3D, Sr3D and Multi3DRefer in miniature, in the official layout: their sentences, and scans for them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from mini_scannet import MiniObject

from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import open_dataset
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


def settings(name: str, root: Path, scannet: Path, split: str = "train") -> DatasetConfig:
    return DatasetConfig(name, str(root), str(scannet), split)


def said(config: DatasetConfig) -> dict[str, tuple[Instruction, ...]]:
    dataset = open_dataset(config)
    return {scan: dataset.instructions(scan) for scan in dataset.scans}


def reference(scene: str, id: int, name: str, text: str = "it is there", ann: int = 0) -> dict[str, Any]:
    return {"scene_id": scene, "object_id": str(id), "object_name": name, "ann_id": str(ann), "description": text,
            "token": text.split()}  # fmt: skip


def write_scanrefer(root: Path, train: list[dict[str, Any]], val: list[dict[str, Any]] | None = None) -> Path:
    root.mkdir(exist_ok=True)
    (root / "ScanRefer_filtered_train.json").write_text(json.dumps(train))
    (root / "ScanRefer_filtered_val.json").write_text(json.dumps(val or [reference("scene0002_00", 0, "table")]))
    return root


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


def write_referit3d(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return path.parent


def multi(scene: str, ids: list[int], kind: str, name: str = "office_chair", text: str = "those") -> dict[str, Any]:
    return {"scene_id": scene, "object_name": name, "ann_id": 3, "description": text, "object_ids": ids,
            "eval_type": kind, "spatial": True, "color": False, "texture": False, "shape": False}  # fmt: skip


def write_multi3drefer(root: Path, train: list[dict[str, Any]]) -> Path:
    (root / "multi3drefer_train.json").write_text(json.dumps(train))
    (root / "multi3drefer_val.json").write_text(json.dumps([multi("scene0002_00", [], "zt_w_d")]))
    return root
