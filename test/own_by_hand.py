"""A folder of one's own for a test: clouds and bags whose objects are thirds of their points, and rows about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from mini_own import write_bag
from rosbags.rosbag2 import StoragePlugin

from segpoint.files import write_points
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import open_dataset
from segpoint_training.datasets.own import OwnFolder, check

BAGS = ("run", "sqlite", "old.bag")  # rosbag2 with both storages, and ROS 1


def opened(root: Path, split: str = "train") -> OwnFolder:
    data = open_dataset(DatasetConfig("own", str(root), split=split))
    assert isinstance(data, OwnFolder)
    return data


def checked(root: Path, split: str = "train"):
    return check(DatasetConfig("own", str(root), split=split))


def say(root: Path, *rows: dict[str, Any], **settings: Any) -> Path:
    """Write an instructions.json; a row's "file" is a.pcd and it means object 2 if it does not say otherwise."""
    whole = [{"file": "a.pcd", "instruction": "the mug", "target_labels": [2], **row} for row in rows or ({},)]
    root.mkdir(exist_ok=True)
    (root / "instructions.json").write_text(json.dumps({**settings, "instructions": whole}))
    return root


def fields(count: int = 600, seed: int = 0, labels: int = 3) -> dict[str, np.ndarray]:
    """A table and two boxes before a camera, in thirds; row 0 is NaN."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform([-0.3, -0.3, 0.6], [0.3, 0.3, 1.2], (count, 3)).astype(np.float32)
    xyz[0] = np.nan
    label = (np.arange(count) * labels // count + 1).astype(np.uint32)
    packed = rng.integers(0, 1 << 24, count).astype(np.uint32)
    return {**dict(zip("xyz", xyz.T, strict=True)), "rgb": packed.view(np.float32), "label": label}


def a_bag(path: Path, count: int = 5, **named: Any) -> Path:
    plugin = StoragePlugin.SQLITE3 if path.name == "sqlite" else StoragePlugin.MCAP
    return write_bag(path, [fields(seed=i) for i in range(count)], storage=plugin, **named)


def write_cloud(path: Path, **other: np.ndarray | None) -> Path:
    held = {**fields(), **other}
    xyz = np.stack([held.pop(axis) for axis in "xyz"], axis=1)
    held.pop("rgb")
    write_points(path, xyz, None, {name: values for name, values in held.items() if values is not None})
    return path
