"""ScanNet++: rooms from laser scans, as meshes with the authors' annotation (Yeshwanth et al., ICCV 2023).

The folder as its download script makes it; versions 1 and 2 have the same files, of more scenes in the second:

    data/SCENE/scans/mesh_aligned_0.05.ply               vertices in metres, z up, with colours
                     segments.json                       segIndices: the segment of each vertex
                     segments_anno.json                  segGroups: objectId, label and segments of each object
                     mesh_aligned_0.05_mask.txt          numbers of the vertices that were made anonymous
    metadata/semantic_benchmark/top100.txt               the benchmark's classes
                                map_benchmark.csv        what the annotators' labels are called there
    splits/nvs_sem_train.txt, nvs_sem_val.txt            scenes, one a line; the split "all" is both

The labels of the test scenes (sem_test.txt) are not published. A vertex may belong to several objects (a sticker, the
laptop that it is on): it goes to the one with the fewest vertices, as in the authors' toolkit where it makes single
labels. The toolkit chooses among objects of the benchmark's classes; we choose among all, since sentences speak of all.
What the annotators marked REMOVE is no object. Anonymous vertices, which the authors' evaluation ignores, are left out.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.check import Check, few
from segpoint_training.datasets.mesh import (
    Group,
    check_whole,
    count_vertices,
    read_groups,
    read_segments,
    read_vertices,
    smallest_objects,
)
from segpoint_training.datasets.rows import read_list
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.scenes.scene import Instruction

_TRAIN, _VAL = "nvs_sem_train.txt", "nvs_sem_val.txt"
_LISTS = {"train": [_TRAIN], "val": [_VAL], "all": [_TRAIN, _VAL]}
_MESH, _SEGMENTS, _OBJECTS = "mesh_aligned_0.05.ply", "segments.json", "segments_anno.json"
_ANONYMOUS = "mesh_aligned_0.05_mask.txt"
_AGAIN = "download it again"


def open_split(settings: DatasetConfig) -> ScanNetPP:
    """The scenes of a split that are on disk. Raises SegPointError where there are none."""
    dataset = ScanNetPP(_root(settings), settings.split)
    if not dataset.scans:
        raise SegPointError(
            f"{dataset.root}/data has none of the {len(dataset.listed)} scenes of ScanNet++'s split {settings.split}; "
            "download them, or correct the folder"
        )
    return dataset


def check(settings: DatasetConfig) -> Check:
    """Count what is there, split by split. Reads lists, headers and annotations, neither meshes nor segments."""
    found = Check()
    for split in ("train", "val"):
        try:
            _check_split(ScanNetPP(_root(settings), split), split, found)
        except SegPointError as error:
            found.problems.append(str(error))
    found.problems = list(dict.fromkeys(found.problems))  # both splits may miss the same
    return found


class ScanNetPP:
    """A split of ScanNet++ (a `DataSet`).

    classes: the benchmark's 100, in its order.   class_of: the class of each annotator's label that has one.
    listed: every scene of the split.   scans: those of them that are on disk.
    """

    name = "scannetpp"

    def __init__(self, root: Path, split: str) -> None:
        if split not in _LISTS:
            raise SegPointError(f"ScanNet++ has labels for {', '.join(_LISTS)}, not for {split!r:.40}; choose one")
        if not (root / "data").is_dir():
            raise SegPointError(f"{root} is not ScanNet++'s folder: it has no data/ beside metadata/ and splits/")
        self.root = root
        lists = [read_list(root / "splits" / name, _AGAIN) for name in _LISTS[split]]
        self.listed: Sequence[str] = list(chain.from_iterable(lists))
        self.scans: Sequence[str] = [scan for scan in self.listed if self.path(scan, "").is_dir()]
        benchmark = root / "metadata" / "semantic_benchmark"
        self.classes: Sequence[str] = read_list(benchmark / "top100.txt", _AGAIN)
        self.class_of = _class_of(benchmark / "map_benchmark.csv", self.classes)

    def path(self, scan: str, name: str) -> Path:
        """Where a file of a scene lies."""
        return self.root / "data" / scan / "scans" / name

    def labels(self, scan: str) -> dict[int, str]:
        """What the annotators call each object of a scene, by `SceneObject` id; reads no mesh."""
        return {group.id: group.label for group in self._groups(scan)}

    def load(self, scan: str) -> Scan:
        """Read a scene without its anonymous vertices. Raises SegPointError naming the file and what is wrong."""
        xyz, rgb = read_vertices(self.path(scan, _MESH))
        groups = self._groups(scan)
        instance = smallest_objects(read_segments(self.path(scan, _SEGMENTS), len(xyz)), groups)
        seen = ~np.isin(np.arange(len(xyz)), self._anonymous(scan))
        xyz, instance = xyz[seen], instance[seen]
        categories = {group.id: self.class_of.get(group.label, "") for group in groups}
        objects = scan_objects(xyz, instance, categories)
        return Scan(scan, xyz, None if rgb is None else rgb[seen], instance, objects)

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        """Nothing: `instruct3d` has sentences about these scenes."""
        return ()

    def _groups(self, scan: str) -> list[Group]:
        return [group for group in read_groups(self.path(scan, _OBJECTS)) if group.label.upper() != "REMOVE"]

    def _anonymous(self, scan: str) -> np.ndarray:
        """Numbers of the vertices that were made anonymous; the file is mostly empty."""
        path = self.path(scan, _ANONYMOUS)
        if not path.is_file():
            return np.zeros(0, dtype=np.int64)
        with reading(path, _AGAIN):
            return np.array(path.read_text(encoding="utf-8").split(), dtype=np.int64)


def _root(settings: DatasetConfig) -> Path:
    return Path(settings.scans or settings.root)


def _class_of(path: Path, classes: Sequence[str]) -> dict[str, str]:
    """The benchmark's class of each label, by the toolkit's rule.

    A label becomes what ``semantic_map_to`` says, or stays where that is empty; "None" drops it. A label that the file
    does not have, or that does not become one of the classes, has no class.
    """
    with reading(path, _AGAIN), path.open(encoding="utf-8-sig", newline="") as file:
        became = {row["class"]: row["semantic_map_to"] or row["class"] for row in csv.DictReader(file)}
    if not became:
        raise SegPointError(f"{path} has no line with a label; {_AGAIN}")
    return {label: name for label, name in became.items() if name in set(classes)}


def _check_split(dataset: ScanNetPP, split: str, found: Check) -> None:
    found.found |= {"classes": len(dataset.classes), f"scenes, {split}": len(dataset.scans)}
    absent = sorted(set(dataset.listed) - set(dataset.scans))
    if absent:
        found.problems.append(
            f"{split}: {len(absent)} of {len(dataset.listed)} scenes are not there ({few(absent)}); download them"
        )
    for name in (_MESH, _SEGMENTS, _OBJECTS, _ANONYMOUS):
        without = [scan for scan in dataset.scans if not dataset.path(scan, name).is_file()]
        if without and name == _ANONYMOUS:
            found.notes.append(f"{split}: {len(without)} scenes have no {name} ({few(without)}); all of them is used")
        elif without:
            found.problems.append(f"{split}: {len(without)} scenes have no {name} ({few(without)}); download it")
    objects, labels = 0, set()
    for scan in tqdm(dataset.scans, desc=f"{dataset.name}, {split}", unit="scene", disable=None):
        mesh, segments, annotation = (dataset.path(scan, name) for name in (_MESH, _SEGMENTS, _OBJECTS))
        try:
            if mesh.is_file():
                count_vertices(mesh)
            if segments.is_file():
                check_whole(segments)
            if annotation.is_file():
                here = dataset.labels(scan)
                objects += len(here)
                labels |= set(here.values())
        except SegPointError as error:
            found.problems.append(str(error))
    found.found |= {
        f"objects, {split}": objects,
        f"labels without a class, {split}": len(labels - set(dataset.class_of)),
    }
