"""A miniature ScanNet++ folder in the official layout: scenes of boxes, with the files and fields of the real ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement

# class, semantic_map_to: an empty one keeps the label, "None" drops it.
LABELS = {"table": "", "chair": "", "office chair": "chair", "laptop": "", "sticker": "", "books": "book"}
LABELS |= {"REMOVE": "None"}
CLASSES = ["table", "chair", "laptop", "book"]  # "sticker" is in the table of labels, but no class


@dataclass(frozen=True)
class MiniObject:
    """A box of ``side``³ vertices. parts: places in the scene's list of objects that belong to this one, too."""

    id: int  # its objectId
    label: str
    centre: tuple[float, float, float] = (0.0, 0.0, 0.5)
    side: int = 4
    parts: tuple[int, ...] = ()


def write_scannetpp(
    root: Path,
    scenes: Mapping[str, Sequence[MiniObject]],
    splits: Mapping[str, Sequence[str]],
    anonymous: Mapping[str, Sequence[int]] | None = None,
    unmarked: int = 10,
) -> Path:
    """Write ``root`` and return it. anonymous: numbers of the vertices that were made anonymous, by scene."""
    benchmark = root / "metadata" / "semantic_benchmark"
    benchmark.mkdir(parents=True)
    (benchmark / "top100.txt").write_text("\n".join(CLASSES))
    with (benchmark / "map_benchmark.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["class", "count", "semantic_map_to", "instance_map_to"])
        table.writerows([label, 7, became, became] for label, became in LABELS.items())
    (root / "splits").mkdir()
    for split in ("train", "val"):
        (root / "splits" / f"nvs_sem_{split}.txt").write_text("\n".join(splits.get(split, ())) + "\n")
    for scene, objects in scenes.items():
        write_scene(root / "data" / scene / "scans", objects, (anonymous or {}).get(scene, ()), unmarked)
    return root


def write_scene(folder: Path, objects: Sequence[MiniObject], anonymous: Sequence[int], unmarked: int) -> None:
    """The files of one scene; an object has two segments, what is unmarked a third kind."""
    folder.mkdir(parents=True)
    grids, owners = [], []
    for place, thing in enumerate(objects):
        grid = np.stack(np.meshgrid(*[np.linspace(-0.2, 0.2, thing.side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        grids.append(grid + thing.centre)
        owners += [place] * len(grid)
    xyz = np.concatenate([*grids, np.linspace((-2, -2, 0), (2, 2, 2), unmarked)])
    owner = np.array(owners + [-1] * unmarked)
    segments = np.where(owner < 0, 77, 100 + 10 * owner + np.arange(len(owner)) % 2)
    groups = []
    for i, thing in enumerate(objects):
        own = [100 + 10 * place + half for place in (i, *thing.parts) for half in (0, 1)]
        groups.append({"id": thing.id, "objectId": thing.id, "label": thing.label, "partId": thing.id, "segments": own})
    _write_ply(folder / "mesh_aligned_0.05.ply", xyz)
    (folder / "segments.json").write_text(json.dumps({"sceneId": "mini", "segIndices": segments.tolist()}))
    (folder / "segments_anno.json").write_text(json.dumps({"sceneId": "mini", "segGroups": groups}))
    (folder / "mesh_aligned_0.05_mask.txt").write_text("".join(f"{number}\n" for number in anonymous))


def _write_ply(path: Path, xyz: np.ndarray) -> None:
    names = ["x", "y", "z", "red", "green", "blue"]
    vertex = np.empty(len(xyz), dtype=list(zip(names, ["f4"] * 3 + ["u1"] * 3, strict=True)))
    for i, axis in enumerate("xyz"):
        vertex[axis] = xyz[:, i]
    for i, name in enumerate(names[3:]):
        vertex[name] = (np.arange(len(xyz)) + i) % 256
    face = np.empty(len(xyz) - 2, dtype=[("vertex_indices", "i4", (3,))])
    face["vertex_indices"] = np.arange(len(face))[:, None] + np.arange(3)
    PlyData([PlyElement.describe(vertex, "vertex"), PlyElement.describe(face, "face")]).write(str(path))
