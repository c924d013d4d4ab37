"""Miniature folders of the data sets that training configs name, in their official layouts, to train two steps on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from mini_own import write_own_folder
from mini_referring import multi, reference, utterance, write_multi3drefer, write_referit3d, write_scanrefer
from mini_scannet import MiniObject, write_scannet
from mini_scannetpp import MiniObject as MiniThing
from mini_scannetpp import write_scannetpp
from test_dataset_s3dis import write_object

SCANS_OF = {"scanrefer": "scannet", "nr3d": "scannet", "sr3d": "scannet", "multi3drefer": "scannet",
            "instruct3d": "scannetpp"}  # fmt: skip
"""The data set whose scans a set of sentences speaks about."""

_ROOM = [
    MiniObject("chair", (0.0, 0.0, 0.4), (0.5, 0.5, 0.8), (200, 40, 40), 8),
    MiniObject("office chair", (1.5, 0.0, 0.4), (0.5, 0.5, 0.8), (40, 40, 200), 8),
    MiniObject("table", (0.5, 1.5, 0.4), (1.2, 0.8, 0.7), (140, 90, 30), 8),
    MiniObject("plant", (2.5, 1.5, 0.5), (0.4, 0.4, 1.0), (30, 160, 40), 8),
]
_SPLITS = {"train": ["scene0000_00", "scene0001_00"], "val": ["scene0002_00"]}


def write_sets(folder: Path) -> dict[str, Path]:
    """Every set below ``folder``; its root by its name in `segpoint_training.datasets`."""
    scannet = write_scannet(folder / "scannet", {scan: _ROOM for some in _SPLITS.values() for scan in some}, _SPLITS)
    sets = {"scannet": scannet, "scannet200": scannet, "s3dis": _write_s3dis(folder / "s3dis")}
    sets["scannetpp"] = _write_scannetpp(folder / "scannetpp")
    sets["instruct3d"] = _write_instruct3d(folder / "instruct3d")
    said = [reference(scan, 0, "chair", "the red chair") for scan in _SPLITS["train"]]
    said += [reference(scan, 2, "table", "the brown table behind the chairs") for scan in _SPLITS["train"]]
    sets["scanrefer"] = write_scanrefer(folder / "scanrefer", said, [reference("scene0002_00", 3, "plant", "a plant")])
    for name in ("nr3d", "sr3d"):
        rows = [
            utterance(f"{scan}-chair-2-0-1", "the chair left of the table")
            for some in _SPLITS.values()
            for scan in some
        ]
        sets[name] = write_referit3d(folder / name / f"{name}.csv", rows)
    sets["multi3drefer"] = folder / "multi3drefer"
    sets["multi3drefer"].mkdir()
    several = [multi(scan, ids, kind) for scan in _SPLITS["train"] for ids, kind in (([0, 1], "mt"), ([], "zt_wo_d"))]
    write_multi3drefer(sets["multi3drefer"], several)
    sets["own"] = write_own_folder(folder / "own", clouds=2, bag=2)
    return sets


def _write_s3dis(root: Path) -> Path:
    for room in ("Area_1/office_1", "Area_2/office_1", "Area_5/office_1"):
        rng = np.random.default_rng([*room.encode()])
        for i, name in enumerate(("floor_1", "wall_1", "chair_1", "table_1")):
            low, high = (((0, 0, 0), (4, 4, 0.02)), ((0, 3.9, 0), (4, 4, 2)), ((1, 1, 0), (1.5, 1.5, 0.9)),
                         ((2, 2, 0), (3, 3, 0.7)))[i]  # fmt: skip
            rows = np.column_stack([rng.uniform(low, high, (400, 3)), np.tile([40 * i, 90, 200 - 40 * i], (400, 1))])
            write_object(root / room / "Annotations" / f"{name}.txt", rows)
    return root


def _write_scannetpp(root: Path) -> Path:
    desk = [MiniThing(1, "table", side=9), MiniThing(2, "office chair", (1, 0, 0.5), 9)]
    return write_scannetpp(root, {"aa11": desk, "bb22": desk}, {"train": ["aa11"], "val": ["bb22"]})


def _write_instruct3d(root: Path) -> Path:
    root.mkdir()
    for split, scene in (("train", "aa11"), ("val", "bb22")):
        rows = [{"scene_id": scene, "object_id": ids, "object_name": "chair", "description": text}
                for ids, text in (([2], "Where can I sit down?"), ([], "Where can I wash my hands?"))]  # fmt: skip
        (root / f"instruct3D_{split}.json").write_text(json.dumps(rows))
    return root
