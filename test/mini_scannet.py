"""A miniature ScanNet v2 folder in the official layout: rooms of boxes, with the files and fields of the real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement

from segpoint_training.datasets.scannet_classes import SCANNET20, SCANNET200

COLUMNS = (
    "id raw_category category count nyu40id eigen13id nyuClass nyu40class eigen13class ModelNet40 ModelNet10 "
    "ShapeNetCore55 synsetoffset wnsynsetid wnsynsetkey mpcat40 mpcat40index"
).split()
LARGEST_ID = 1357  # of the label table since ScanNet200

# NYU40 of ScanNet200's names where it is neither that of the name among the 20 classes nor 40, "otherprop".
_NYU40 = {"couch": 6, "office chair": 5, "armchair": 5, "coffee table": 7, "dining table": 7, "kitchen cabinet": 3,
          "trash can": 39, "pillow": 18, "lamp": 35, "box": 29, "book": 23, "towel": 27, "mirror": 19,
          "ceiling": 22, "whiteboard": 30, "nightstand": 32, "tv": 25, "bag": 37, "shelf": 15}  # fmt: skip

# A turn by 30 degrees about z and a shift: what takes a mesh as it is stored to the room's axes.
_COS, _SIN = 3**0.5 / 2, 0.5
ALIGNMENT = np.array([[_COS, -_SIN, 0, 1.5], [_SIN, _COS, 0, -2.0], [0, 0, 1, 0.25], [0, 0, 0, 1]])


@dataclass(frozen=True)
class MiniObject:
    """A box of ``side``³ vertices, in metres along the room's axes; its objectId is its place in the scene's list.

    overlaps: places in the list of objects that are marked as parts of this one, too.
    """

    label: str  # in the annotator's words, a raw_category
    centre: tuple[float, float, float] = (0.0, 0.0, 0.5)
    size: tuple[float, float, float] = (0.4, 0.4, 0.4)
    colour: tuple[int, int, int] = (200, 40, 40)
    side: int = 5
    overlaps: tuple[int, ...] = ()


def write_scannet(
    root: Path,
    scenes: Mapping[str, Sequence[MiniObject]],
    splits: Mapping[str, Sequence[str]] | None = None,
    alignment: np.ndarray | None = ALIGNMENT,
    unmarked: int = 27,
    categories: Mapping[str, tuple[int, int]] | None = None,
) -> Path:
    """Write ``root`` and return it.

    splits: names by "train", "val" and "test"; all scenes are in train if not given. Test scans lie in scans_test/,
    have no annotation and no alignment.   alignment: axisAlignment of the others, None leaves it out.   unmarked:
    vertices at the end that belong to nothing.   categories: more lines of the label table, raw_category → (id,
    nyu40id).
    """
    splits = splits or {"train": list(scenes)}
    root.mkdir(parents=True, exist_ok=True)
    nyu40 = write_label_table(root / "scannetv2-labels.combined.tsv", categories or {})
    for split in ("train", "val", "test"):
        (root / f"scannetv2_{split}.txt").write_text("".join(f"{name}\n" for name in splits.get(split, ())))
    for name, objects in scenes.items():
        if name in splits.get("test", ()):
            _write_mesh(root / "scans_test" / name, objects, None, unmarked)
        else:
            _write_mesh(root / "scans" / name, objects, alignment, unmarked)
            _write_annotation(root / "scans" / name, objects, nyu40, unmarked)
    return root


def write_label_table(path: Path, categories: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """Write scannetv2-labels.combined.tsv with the classes of both benchmarks; returns NYU40 by raw_category."""
    by_name = {name: number for number, name in SCANNET20.items()}
    numbers = {name: (number, _NYU40.get(name) or by_name.get(name, 40)) for number, name in SCANNET200.items()}
    others = (name for name in by_name if name not in numbers)  # e.g. sofa, which ScanNet200 calls couch
    numbers |= {name: (1300 + i, by_name[name]) for i, name in enumerate(others)}
    numbers |= {"rubik's cube": (LARGEST_ID, 40), **categories}
    lines = ["\t".join(COLUMNS)]
    for raw, (number, nyu) in numbers.items():
        values = {"id": number, "raw_category": raw, "category": raw, "count": 1, "nyu40id": nyu}
        lines.append("\t".join(str(values.get(column, "")) for column in COLUMNS))
    path.write_text("\n".join(lines) + "\n")
    return {raw: nyu for raw, (_, nyu) in numbers.items()}


def vertices_of(objects: Sequence[MiniObject], unmarked: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (M, 3) along the room's axes, colours (M, 3) uint8, and the place in the list of each one, or -1."""
    xyz, rgb, place = [], [], []
    for i, thing in enumerate(objects):
        grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, thing.side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        xyz.append(grid * thing.size + thing.centre)
        rgb.append(np.tile(np.array(thing.colour, np.uint8), (len(grid), 1)))
        place.append(np.full(len(grid), i))
    corner = np.stack([np.linspace(-3, 3, unmarked), np.full(unmarked, 3.0), np.linspace(0, 2, unmarked)], axis=1)
    xyz.append(corner)
    rgb.append(np.full((unmarked, 3), 128, np.uint8))
    place.append(np.full(unmarked, -1))
    return np.concatenate(xyz), np.concatenate(rgb), np.concatenate(place)


def _write_mesh(folder: Path, objects: Sequence[MiniObject], alignment: np.ndarray | None, unmarked: int) -> None:
    """The mesh before alignment, and the scan's .txt."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_ply(folder / f"{folder.name}_vh_clean_2.ply", *_stored(objects, alignment, unmarked))
    lines = ["appVersionId = 2", "colorHeight = 968", "numDepthFrames = 100", "sceneType = Bedroom / Hotel"]
    if alignment is not None:
        lines.insert(1, "axisAlignment = " + " ".join(f"{value:.9f}" for value in alignment.ravel()))
    (folder / f"{folder.name}.txt").write_text("\n".join(lines) + "\n")


def _write_annotation(folder: Path, objects: Sequence[MiniObject], nyu40: Mapping[str, int], unmarked: int) -> None:
    """Segments (two an object, by odd numbers with gaps, and one for the rest), groups, and the labels' mesh."""
    name = folder.name
    xyz, rgb, place = vertices_of(objects, unmarked)
    half = np.arange(len(place)) % 2
    segments = np.where(place < 0, 999, 10 * place + 5 * half + 1)
    groups = []
    for i, thing in enumerate(objects):
        own = [10 * j + 5 * k + 1 for j in (i, *thing.overlaps) for k in (0, 1)]
        groups.append({"id": i, "objectId": i, "segments": own, "label": thing.label})
    parameters = {"kThresh": "0.0001", "segMinVerts": "20"}
    (folder / f"{name}_vh_clean_2.0.010000.segs.json").write_text(
        json.dumps({"params": parameters, "sceneId": name, "segIndices": segments.tolist()})
    )
    (folder / f"{name}.aggregation.json").write_text(
        json.dumps(
            {
                "sceneId": f"scannet.{name}",
                "appId": "Aggregator.v2",
                "segGroups": groups,
                "segmentsFile": f"scannet.{name}_vh_clean_2.0.010000.segs.json",
            }
        )
    )
    label = np.array([nyu40.get(thing.label, 0) for thing in objects] + [0], np.uint16)[place]
    _write_ply(folder / f"{name}_vh_clean_2.labels.ply", xyz, rgb, label)


def _stored(
    objects: Sequence[MiniObject], alignment: np.ndarray | None, unmarked: int
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and colours as the mesh has them, which ``alignment`` takes to the room's axes."""
    xyz, rgb, _ = vertices_of(objects, unmarked)
    if alignment is None:
        return xyz, rgb
    back = np.linalg.inv(alignment)
    return xyz @ back[:3, :3].T + back[:3, 3], rgb


def _write_ply(path: Path, xyz: np.ndarray, rgb: np.ndarray, label: np.ndarray | None = None) -> None:
    """A binary mesh with the properties, and their order, of ScanNet's."""
    kinds = [(axis, "f4") for axis in "xyz"] + [(name, "u1") for name in ("red", "green", "blue", "alpha")]
    vertex = np.empty(len(xyz), dtype=kinds + ([] if label is None else [("label", "u2")]))
    for i, axis in enumerate("xyz"):
        vertex[axis] = xyz[:, i]
    for i, name in enumerate(("red", "green", "blue")):
        vertex[name] = rgb[:, i]
    vertex["alpha"] = 255
    if label is not None:
        vertex["label"] = label
    face = np.empty(len(xyz) - 2, dtype=[("vertex_indices", "i4", (3,))])
    face["vertex_indices"] = np.arange(len(face))[:, None] + np.arange(3)
    PlyData([PlyElement.describe(vertex, "vertex"), PlyElement.describe(face, "face")]).write(str(path))
