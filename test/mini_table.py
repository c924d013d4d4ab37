"""A labelled table with two boxes on it, as a camera sees it, in a folder with an instructions.json."""

import json
from pathlib import Path

import numpy as np

from segpoint.files import write_points

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


def write_table_folder(folder: Path) -> Path:
    """Two such clouds and four rows about each."""
    rows = []
    for name, offset in (("one.pcd", 0), ("two.pcd", -10)):
        write_table(folder / name, offset)
        for text, kind, labels in [
            ("the left box", "spatial", [2]),
            ("the boxes", "category", [2, 3]),
            ("the table", "category", [1]),
            ("the mug", "zero-target", []),
        ]:
            rows.append({"file": name, "instruction": text, "kind": kind, "target_labels": labels, "notes": ""})
    (folder / "instructions.json").write_text(json.dumps(rows))
    return folder
