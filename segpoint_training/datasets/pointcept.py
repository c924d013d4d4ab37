"""Scenes as Pointcept's preprocessing writes them: ScanNet, ScanNet200 and S3DIS as arrays (github.com/Pointcept).

    {train,val,test}/SCAN/{coord,color,normal,segment20,segment200,instance}.npy    ScanNet; of test no labels
    Area_1 … Area_6/ROOM/{coord,color,segment,instance}.npy                         S3DIS

``segment`` holds places in the benchmark's list of classes, ``instance`` numbers of objects, -1 in either is none. It
leaves ScanNet's meshes as they are, not turned to their room's axes; what a benchmark states in turned axes (boxes of
ScanRefer) needs `scannet`. Object ids are ``instance`` + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import s3dis
from segpoint_training.datasets.check import Check, few
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.datasets.scannet_classes import SCANNET20, SCANNET200
from segpoint_training.scenes.scene import Instruction

SPLITS = ("train", "val", "test")
_SCENES = {"train": 1201, "val": 312, "test": 100}  # of ScanNet
_AGAIN = "preprocess the scan again"
_MOST_IDS = 1 << 20  # objects of a scan
# The file of the classes, and the classes.
_BENCHMARKS = {
    "pointcept-scannet": ("segment20", tuple(SCANNET20.values())),
    "pointcept-scannet200": ("segment200", tuple(SCANNET200.values())),
    "pointcept-s3dis": ("segment", s3dis.CLASSES),
}


def open_split(settings: DatasetConfig) -> Pointcept:
    """The scans of a split that are on disk. Raises SegPointError where there are none."""
    dataset = Pointcept(Path(settings.scans or settings.root), settings.split, settings.name)
    if not dataset.scans:
        layout = " or ".join(f"{folder}/*/coord.npy" for folder in dataset.folders)
        raise SegPointError(f"{dataset.root} has no {layout}; preprocess it with Pointcept, or correct the folder")
    return dataset


class Pointcept:
    """A split of preprocessed scenes (a `DataSet`).

    folders: those that hold the split's scans.   scans: of ScanNet "scene0000_00", of S3DIS "Area_5/office_19".
    """

    def __init__(self, root: Path, split: str, name: str) -> None:
        if split not in SPLITS:
            raise SegPointError(f"{name} has the splits {', '.join(SPLITS)}, not {split!r:.40}; choose one")
        self.root, self.split, self.name = root, split, name
        self.segment, classes = _BENCHMARKS[name]
        self.classes: Sequence[str] = classes
        self.areas = name == "pointcept-s3dis"
        self.folders: Sequence[str] = s3dis.areas_of(split) if self.areas else (split,)
        paths = [path.parent for folder in self.folders for path in sorted((root / folder).glob("*/coord.npy"))]
        self.scans: Sequence[str] = [str(path.relative_to(root if self.areas else root / split)) for path in paths]

    def path(self, scan: str, array: str) -> Path:
        """Where an array of a scan lies."""
        return (self.root if self.areas else self.root / self.split) / scan / f"{array}.npy"

    def load(self, scan: str) -> Scan:
        """Read a scan; one of ScanNet's test split, whose labels are not published, has no objects."""
        xyz = self._points(self.path(scan, "coord"))
        rgb = self._colour(self.path(scan, "color"), len(xyz))
        if not self.path(scan, "instance").is_file() and not self._is_labelled():
            return Scan(scan, xyz, rgb, np.zeros(len(xyz), np.int32), ())
        instance = self._numbers(scan, "instance", len(xyz)) + 1
        segment = self._numbers(scan, self.segment, len(xyz))
        if segment.max(initial=-1) >= len(self.classes):
            raise SegPointError(
                f"{self.path(scan, self.segment)} names class {segment.max()}, but {self.name} has "
                f"{len(self.classes)} from 0; is it of another data set?"
            )
        categories = _categories(instance, segment, self.classes)
        return Scan(scan, xyz, rgb, instance, scan_objects(xyz, instance, categories))

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        """Nothing: the arrays hold classes alone."""
        return ()

    def arrays(self) -> tuple[str, ...]:
        """What each scan of the split must have."""
        return ("coord", "color", *((self.segment, "instance") if self._is_labelled() else ()))

    def _is_labelled(self) -> bool:
        return self.areas or self.split != "test"

    def _numbers(self, scan: str, array: str, count: int) -> np.ndarray:
        """Whole numbers from -1 up, (M,) int32; stored as (M,) or (M, 1)."""
        path = self.path(scan, array)
        values = _array(path)
        if values.size != count or values.dtype.kind not in "iu":
            raise SegPointError(
                f"{path} has shape {values.shape} and type {values.dtype}; expected whole numbers, one for each of "
                f"coord.npy's {count} points; {_AGAIN}"
            )
        if values.min() < -1 or values.max() >= _MOST_IDS:
            raise SegPointError(
                f"{path} holds numbers from {values.min()} to {values.max()}; expected -1 to {_MOST_IDS - 1}; {_AGAIN}"
            )
        return values.reshape(-1).astype(np.int32)

    def _points(self, path: Path, count: int | None = None) -> np.ndarray:
        """Three numbers a point, (M, 3) float32; of ``count`` points if given."""
        values = _array(path)
        if values.ndim != 2 or values.shape[1] != 3 or len(values) != (count or len(values)) or not len(values):
            raise SegPointError(f"{path} has shape {values.shape}; expected ({count or 'points'}, 3); {_AGAIN}")
        if values.dtype.kind not in "fiu":
            raise SegPointError(f"{path} holds {values.dtype}, expected numbers; {_AGAIN}")
        return values.astype(np.float32)

    def _colour(self, path: Path, count: int) -> np.ndarray:
        """Colours (M, 3) uint8, stored as that or as float from 0 to 255."""
        colour = self._points(path, count)
        if 0 < colour.max() <= 1:
            raise SegPointError(f"{path} has colours from 0 to 1, expected 0 to 255; {_AGAIN}")
        if not ((colour >= 0) & (colour <= 255)).all():
            raise SegPointError(f"{path} has colours outside 0 to 255; {_AGAIN}")
        return np.rint(colour).astype(np.uint8)


def _categories(instance: np.ndarray, segment: np.ndarray, classes: Sequence[str]) -> dict[int, str]:
    """The class of each object id: that of most of its points; none is "". Where objects overlap they may differ."""
    ids, place = np.unique(instance, return_inverse=True)
    counts = np.zeros((len(ids), len(classes) + 1), np.int64)
    np.add.at(counts, (place, segment + 1), 1)
    most = counts.argmax(axis=1)
    return {id: classes[kind - 1] if kind else "" for id, kind in zip(ids.tolist(), most.tolist(), strict=True)}


def _array(path: Path, mapped: bool = False) -> np.ndarray:
    with reading(path, _AGAIN):
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.ndim == 0:  # an .npz by its content
        raise SegPointError(f"{path} holds no array with a row for each point; {_AGAIN}")
    return array


def check(settings: DatasetConfig) -> Check:
    """Count what is there, split by split. Reads the headers of the arrays."""
    root, found = Path(settings.scans or settings.root), Check()
    s3dis_too = settings.name == "pointcept-s3dis"
    for split in SPLITS[:2] if s3dis_too else SPLITS:
        dataset = Pointcept(root, split, settings.name)
        found.found[f"scans, {split}"] = len(dataset.scans)
        expected = sum(s3dis.ROOMS[area] for area in dataset.folders) if s3dis_too else _SCENES[split]
        if len(dataset.scans) < expected:
            text = f"{split}: {expected - len(dataset.scans)} of {expected} scans are not in {few(dataset.folders, 9)}"
            (found.notes if split == "test" else found.problems).append(f"{text}; preprocess them")
        for scan in tqdm(dataset.scans, desc=f"{settings.name}, {split}", unit="scan", disable=None):
            try:
                _check_arrays(dataset, scan)
            except SegPointError as error:
                found.problems.append(str(error))
    return found


def _check_arrays(dataset: Pointcept, scan: str) -> None:
    arrays = {name: _array(dataset.path(scan, name), mapped=True) for name in dataset.arrays()}
    points = len(arrays["coord"])
    for name, array in arrays.items():
        if len(array) != points:
            raise SegPointError(
                f"{dataset.path(scan, name)} is of {len(array)} points, coord.npy of {points}; {_AGAIN}"
            )
        if array.dtype.kind not in ("fiu" if name in ("coord", "color") else "iu"):
            raise SegPointError(f"{dataset.path(scan, name)} holds {array.dtype}, expected numbers; {_AGAIN}")
