"""ScanNet v2 with its benchmark's 20 classes (Dai et al., CVPR 2017), and with ScanNet200's (Rozenberszki et al., ECCV
2022), which are of the same scans.

The folder as its download script makes it, with files of the official repository and of the data release:

    scans/SCAN/SCAN_vh_clean_2.ply                   the mesh: vertices in metres, +z up, with colours
               SCAN_vh_clean_2.0.010000.segs.json    segIndices: the segment of each vertex
               SCAN.aggregation.json                 segGroups: objectId, label and segments of each object
               SCAN.txt                              axisAlignment: what turns the mesh to the room's axes
               SCAN_vh_clean_2.labels.ply            the benchmark's truth: the NYU40 number of each vertex
    scans_test/SCAN/...                              test scans: mesh and .txt alone
    scannetv2-labels.combined.tsv                    what the annotators' labels are called elsewhere
    scannetv2_train.txt, …_val.txt, …_test.txt       scans of the splits; also in Tasks/Benchmark/

Scans may lie in the folder itself, too, and the lists and the table beside it. Scans are turned to their room's axes;
one without axisAlignment, as the test scans are, stays as it is. Where objects overlap (in scene0217_00 all are there
twice), a vertex goes to the smallest. An object's class is that of its label in the table: among ScanNet's 20 by the
column nyu40id, among ScanNet200's by the column id, the first line of a label counting.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.check import Check, few
from segpoint_training.datasets.mesh import (
    check_whole,
    count_vertices,
    read_groups,
    read_segments,
    read_vertex_numbers,
    read_vertices,
    smallest_objects,
)
from segpoint_training.datasets.rows import read_list
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.datasets.scannet_classes import SCANNET20, SCANNET200
from segpoint_training.scenes.scene import Instruction

SPLITS = ("train", "val", "test")
_BENCHMARKS = {"scannet": ("nyu40id", SCANNET20), "scannet200": ("id", SCANNET200)}  # the table's column, and classes
_MESH, _TEXT = "_vh_clean_2.ply", ".txt"
_SEGMENTS, _OBJECTS, _LABELS = "_vh_clean_2.0.010000.segs.json", ".aggregation.json", "_vh_clean_2.labels.ply"
_TABLE = "scannetv2-labels.combined.tsv"
_LABEL_MAP = (
    "download it with the option --label_map of ScanNet's download script; only Pointcept's arrays (pointcept-scannet) "
    "are read without it"
)
_LARGEST_ID = 1357  # of the table since ScanNet200
_CROOKED = 1e-3  # of a rotation; six decimals are given


def open_split(settings: DatasetConfig) -> ScanNet:
    """The scans of a split that are on disk. Raises SegPointError where there are none."""
    dataset = ScanNet(_root(settings), settings.split, settings.name)
    if not dataset.scans:
        raise SegPointError(
            f"{dataset.root} has none of the {len(dataset.listed)} scans of ScanNet's {settings.split} split, neither "
            "in scans/ nor in scans_test/; download them, or correct the folder"
        )
    return dataset


class ScanNet:
    """A split of ScanNet or ScanNet200 (a `DataSet`).

    classes: the benchmark's, in its order.   class_of: the class of each annotator's label that has one.
    listed: every scan of the split.   scans: those of them that are on disk; `load` takes any other scan there, too.
    """

    def __init__(self, root: Path, split: str, name: str = "scannet") -> None:
        if split not in SPLITS:
            raise SegPointError(f"ScanNet has the splits {', '.join(SPLITS)}, not {split!r:.40}; choose one")
        column, classes = _BENCHMARKS[name]
        self.root, self.split, self.name = root, split, name
        self.classes: Sequence[str] = tuple(classes.values())
        numbers = label_numbers(root, column)
        self.class_of = {label: classes[number] for label, number in numbers.items() if number in classes}
        self.listed: Sequence[str] = _listed(root, split)
        self.scans: Sequence[str] = [scan for scan in self.listed if scan_path(root, scan, _MESH).parent.is_dir()]

    def labels(self, scan: str) -> dict[int, str]:
        """What the annotators call each object of a scan, by `SceneObject` id; reads no mesh."""
        return {group.id: group.label for group in read_groups(scan_path(self.root, scan, _OBJECTS))}

    def load(self, scan: str) -> Scan:
        """Read a scan, along its room's axes; a test scan, whose annotation is not published, has no objects."""
        xyz, rgb = read_vertices(scan_path(self.root, scan, _MESH))
        turn = read_alignment(scan_path(self.root, scan, _TEXT))
        if turn is not None:
            xyz = (xyz @ turn[:3, :3].T + turn[:3, 3]).astype(np.float32)
        annotation = scan_path(self.root, scan, _OBJECTS)
        if self.split == "test" and not annotation.is_file():
            return Scan(scan, xyz, rgb, np.zeros(len(xyz), np.int32), ())
        groups = read_groups(annotation)
        instance = smallest_objects(read_segments(scan_path(self.root, scan, _SEGMENTS), len(xyz)), groups)
        categories = {group.id: self.class_of.get(group.label, "") for group in groups}
        return Scan(scan, xyz, rgb, instance, scan_objects(xyz, instance, categories))

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        """Nothing: `scanrefer`, `referit3d` and `multi3drefer` have sentences about these scans."""
        return ()


def scan_path(root: Path, scan: str, suffix: str) -> Path:
    """Where a scan's file lies, e.g. with the suffix ".aggregation.json"."""
    for folder in ("scans", "scans_test", "."):
        if (root / folder / scan).is_dir():
            return root / folder / scan / (scan + suffix)
    return root / "scans" / scan / (scan + suffix)


def official_labels(root: Path, scan: str) -> np.ndarray | None:
    """The truth of ScanNet's own benchmark: the NYU40 number of each vertex, (M,) int32; None where it is not on disk.

    Its evaluation ignores every number but SCANNET20's: 0 is not annotated, and a few scans have numbers above 40.
    """
    path = scan_path(root, scan, _LABELS)
    return read_vertex_numbers(path, "label") if path.is_file() else None


def label_numbers(root: Path, column: str) -> dict[str, int]:
    """The number of each annotator's label in a column of the table ("id", "nyu40id"), 0 where it has none."""
    path = _beside(root, _TABLE, _LABEL_MAP)
    with reading(path, "download it again"), path.open(encoding="utf-8-sig", newline="") as file:
        numbers: dict[str, int] = {}
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            numbers.setdefault(row["raw_category"], int(row[column] or 0))
    if not numbers:
        raise SegPointError(f"{path} has no line with a label; download it again")
    return numbers


def read_alignment(path: Path) -> np.ndarray | None:
    """A scan's axisAlignment, (4, 4) float64, rigid: from its mesh to its room's axes; None where the file has none."""
    with reading(path, "download it again"):
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            key, _, value = line.partition("=")
            if key.strip() != "axisAlignment":
                continue
            numbers = np.array(value.split(), dtype=np.float64)
            if numbers.shape != (16,) or not _is_rigid(numbers.reshape(4, 4)):
                raise SegPointError(
                    f"{path}: axisAlignment must be 16 numbers, a matrix that turns and shifts alone, got "
                    f"{value.strip()!r:.60}; download it again"
                )
            return numbers.reshape(4, 4)
    return None


def _is_rigid(turn: np.ndarray) -> bool:
    rotation = turn[:3, :3]
    return (
        bool(np.isfinite(turn).all())
        and np.allclose(rotation @ rotation.T, np.eye(3), atol=_CROOKED)
        and np.linalg.det(rotation) > 0
        and np.array_equal(turn[3], (0, 0, 0, 1))
    )


def _root(settings: DatasetConfig) -> Path:
    return Path(settings.scans or settings.root)


def _listed(root: Path, split: str) -> list[str]:
    """The scans of a split, as the official list has them, whether they are on disk or not."""
    path = _beside(root, f"scannetv2_{split}.txt", "copy it from Tasks/Benchmark of the repository ScanNet/ScanNet")
    return read_list(path, "copy it again")


def _beside(root: Path, name: str, remedy: str) -> Path:
    """A file of the data set as a whole, wherever it is usual."""
    places = [root, root / "Tasks" / "Benchmark", root / "tasks", root / "scans"]
    if not (root / "scans").is_dir():  # the scans lie in root itself
        places += [root.parent, root.parent / "Tasks" / "Benchmark", root.parent / "tasks"]
    for place in places:
        if (place / name).is_file():
            return place / name
    raise SegPointError(f"no {name} in {root}, in its Tasks/Benchmark/, or beside the scans; {remedy}")


# --- what is missing and wrong ------------------------------------------------------------------------------------


def check(settings: DatasetConfig) -> Check:
    """Count what is there, split by split. Reads lists, headers and the objects' names, neither meshes nor segments."""
    root, found = _root(settings), Check()
    try:
        _check_table(root, settings.name, found)
    except SegPointError as error:
        found.problems.append(str(error))
        return found
    splits: dict[str, str] = {}  # of each scan
    for split in SPLITS:
        try:
            dataset = ScanNet(root, split, settings.name)
        except SegPointError as error:
            found.problems.append(str(error))
            continue
        twice = [scan for scan in dataset.listed if splits.setdefault(scan, split) != split]
        if twice:
            found.problems.append(
                f"{len(twice)} scans of {split} are listed for another split, too ({few(twice)}): what is measured "
                "there was trained on; copy the lists again"
            )
        _check_split(dataset, found)
    return found


def _check_table(root: Path, name: str, found: Check) -> None:
    """ScanNet200 needs the label table that came with it: the older one lacks lines, or has them with other numbers."""
    column, classes = _BENCHMARKS[name]
    numbers = label_numbers(root, column)
    found.found["labels"] = len(numbers)
    if name != "scannet200":
        return
    largest = max(numbers.values(), default=0)
    other = [label for number, label in classes.items() if numbers.get(label) != number]
    if other or largest < _LARGEST_ID:
        found.problems.append(
            f"{_TABLE} is older than ScanNet200: its largest id is {largest}, not {_LARGEST_ID}, and {len(other)} of "
            f"200 classes ({few(other)}) have another id or none; download it anew (--label_map)"
        )


def _check_split(dataset: ScanNet, found: Check) -> None:
    split, scans = dataset.split, dataset.scans
    found.found[f"scans, {split}"] = len(scans)
    absent = sorted(set(dataset.listed) - set(scans))
    if absent:
        text = f"{split}: {len(absent)} of {len(dataset.listed)} scans are not there ({few(absent)})"
        if split == "test":
            found.notes.append(f"{text}; they have no labels, and training does not need them")
        else:
            found.problems.append(f"{text}; download them")
    needed = (_MESH, _TEXT) if split == "test" else (_MESH, _TEXT, _SEGMENTS, _OBJECTS)
    for suffix in (*needed, _LABELS):
        without = [scan for scan in scans if not scan_path(dataset.root, scan, suffix).is_file()]
        if without and suffix != _LABELS:
            found.problems.append(
                f"{split}: no SCAN{suffix} in {len(without)} of the scans ({few(without)}); download it"
            )
        elif without and split != "test":
            found.notes.append(f"{split}: no SCAN{suffix}, the official truth, in {len(without)} of the scans")
    _check_scans(dataset, needed, found)


def _check_scans(dataset: ScanNet, needed: Sequence[str], found: Check) -> None:
    """The files of each scan, as far as they tell quickly."""
    objects, crooked, labels = 0, [], set()
    for scan in tqdm(dataset.scans, desc=f"{dataset.name}, {dataset.split}", unit="scan", disable=None):
        paths = {suffix: scan_path(dataset.root, scan, suffix) for suffix in needed}
        try:
            if paths[_MESH].is_file():
                count_vertices(paths[_MESH])
            if paths[_TEXT].is_file() and read_alignment(paths[_TEXT]) is None:
                crooked.append(scan)
            if _SEGMENTS in paths and paths[_SEGMENTS].is_file():
                check_whole(paths[_SEGMENTS])
            if _OBJECTS in paths and paths[_OBJECTS].is_file():
                here = dataset.labels(scan)
                objects += len(here)
                labels |= set(here.values())
        except SegPointError as error:
            found.problems.append(str(error))
    split = dataset.split
    if split != "test":
        found.found |= {
            f"objects, {split}": objects,
            f"labels without a class, {split}": len(labels - set(dataset.class_of)),
        }
    if crooked:
        found.notes.append(f"{split}: {len(crooked)} scans stay as they are, without axisAlignment ({few(crooked)})")
