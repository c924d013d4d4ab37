"""S3DIS: rooms of six areas of three buildings, as points with objects (Armeni et al., CVPR 2016).

Either version of its release v1.2 as unpacked, aligned to the rooms' axes or not:

    Area_1 … Area_6/ROOM/Annotations/CLASS_NUMBER.txt    one object: rows "x y z r g b", metres and 0 to 255, z up

ROOM/ROOM.txt, the same points once more, is not read. Area 5, of a building of its own, is what is usually measured on:
here the splits "val" and "test"; "train" are the other areas. A scan is called "Area_5/office_19". An object's id is
its place among its room's files by class and number, from 1. Known damage:

- Single bytes have lost a bit (0x20): a digit of Area_5/office_19's ceiling_1 (line 323474 reads ``103.0\\x100000``),
  the space in Area_5/hallway_6's ceiling_1 (line 180389: ``185\\x00187``). It is put back as the file is read.
- Area_5/office_36 holds ``wall_3 (1).txt`` beside wall_3.txt. What is not called CLASS_NUMBER.txt is left out.
- Some rooms have ``stairs``, which are no class of the benchmark: they, and whatever else is none, count as clutter.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.check import Check, few
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.scenes.scene import Instruction

CLASSES = (
    "ceiling", "floor", "wall", "beam", "column", "window", "door", "table", "chair", "sofa", "bookcase", "board",
    "clutter",
)  # fmt: skip
ROOMS = {"Area_1": 44, "Area_2": 40, "Area_3": 23, "Area_4": 49, "Area_5": 68, "Area_6": 48}  # in the release
_TEST_AREA = "Area_5"
_RELEASES = (".", "Stanford3dDataset_v1.2_Aligned_Version", "Stanford3dDataset_v1.2")
_OBJECT = re.compile(r"([A-Za-z]+)_(\d+)\.txt")
_WRITTEN = b"0123456789+-.eE \t\r\n"  # what rows of numbers are written in
_CONTROL = bytes(set(range(0x20)) - set(b"\t\r\n"))
_REPAIR = bytes.maketrans(_CONTROL, bytes(byte | 0x20 for byte in _CONTROL))
_REMEDY = "unpack it again, or repair that row"


def open_split(settings: DatasetConfig) -> S3DIS:
    """The rooms of a split that are on disk. Raises SegPointError where there are none."""
    dataset = S3DIS(Path(settings.scans or settings.root), settings.split)
    if not dataset.scans:
        areas = ", ".join(areas_of(settings.split))
        raise SegPointError(
            f"{dataset.root} has no room with Annotations/ in {areas}; unpack Stanford3dDataset_v1.2 or its aligned "
            "version there, or correct the folder"
        )
    return dataset


def areas_of(split: str) -> tuple[str, ...]:
    """The areas of a split: Area 5 of "val" and "test", the others of "train"."""
    if split not in ("train", "val", "test"):
        raise SegPointError(f"S3DIS has the splits train, val and test, not {split!r:.40}; choose one")
    return tuple(area for area in ROOMS if (area == _TEST_AREA) == (split != "train"))


def release_root(root: Path) -> Path:
    """Where the areas lie: in ``root`` or in the folder of that name that the archive unpacks to."""
    for place in (root / release for release in _RELEASES):
        if any((place / area).is_dir() for area in ROOMS):
            return place
    return root


class S3DIS:
    """A split of S3DIS (a `DataSet`)."""

    name = "s3dis"
    classes: Sequence[str] = CLASSES

    def __init__(self, root: Path, split: str) -> None:
        self.root = release_root(root)
        self.scans: Sequence[str] = [room for area in areas_of(split) for room in rooms(self.root, area)]

    def objects(self, scan: str) -> list[tuple[str, Path]]:
        """Class and file of each object of a room; its id is its place here, from 1."""
        folder = self.root / scan / "Annotations"
        with reading(folder, "unpack the room again"):
            named = [(match, path) for path in folder.iterdir() if (match := _OBJECT.fullmatch(path.name))]
        if not named:
            raise SegPointError(f"{folder} holds no object, CLASS_NUMBER.txt; unpack the room again")
        objects: dict[tuple[str, int], Path] = {}
        for match, path in sorted(named, key=lambda entry: entry[1].name):
            first = objects.setdefault((match[1].lower(), int(match[2])), path)
            if first is not path:
                raise SegPointError(f"{folder} holds one object twice, {first.name} and {path.name}; delete one")
        return [(kind if kind in CLASSES else "clutter", path) for (kind, _), path in sorted(objects.items())]

    def load(self, scan: str) -> Scan:
        """Read a room: the points of its objects, one after the other."""
        objects = self.objects(scan)
        points = [read_points(path) for _, path in objects]
        instance = np.repeat(np.arange(1, len(points) + 1, dtype=np.int32), [len(rows) for rows in points])
        rows = np.concatenate(points)
        xyz, rgb = np.ascontiguousarray(rows[:, :3]), np.rint(rows[:, 3:]).astype(np.uint8)
        categories = {id: category for id, (category, _) in enumerate(objects, start=1)}
        return Scan(scan, xyz, rgb, instance, scan_objects(xyz, instance, categories))

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        """Nothing: S3DIS has classes alone."""
        return ()


def rooms(root: Path, area: str) -> list[str]:
    """The rooms of an area that have annotations, by name: "Area_5/office_19"."""
    return sorted(f"{area}/{folder.parent.name}" for folder in (root / area).glob("*/Annotations") if folder.is_dir())


def read_points(path: Path) -> np.ndarray:
    """An object's rows, (N, 6) float32: x, y, z in metres and r, g, b from 0 to 255, damaged bytes put right."""
    with reading(path, _REMEDY):
        content = path.read_bytes()
        if content.translate(None, delete=_WRITTEN):
            content = repair(content)
        if not content.strip():
            raise SegPointError(f"{path} is empty; unpack it again")
        rows = np.loadtxt(io.BytesIO(content), dtype=np.float32, comments=None, ndmin=2)
    if rows.shape[1] != 6:
        raise SegPointError(f"{path} has {rows.shape[1]} numbers a row, not x y z r g b; {_REMEDY}")
    fine = np.isfinite(rows).all(axis=1) & (rows[:, 3:] >= 0).all(axis=1) & (rows[:, 3:] <= 255).all(axis=1)
    if not fine.all():
        raise SegPointError(f"{path}: row {np.argmin(fine) + 1} is no point with a colour from 0 to 255; {_REMEDY}")
    return rows


def repair(content: bytes) -> bytes:
    """Rows of numbers with the bit 0x20 put back where a byte has lost it: 0x10 was "0", 0x16 "6", 0x00 a space.

    Bytes that are no ASCII (a no-break space from a text editor) become spaces.
    """
    return re.sub(rb"[\x80-\xff]", b" ", content.translate(_REPAIR))


# --- what is missing and wrong ------------------------------------------------------------------------------------


def check(settings: DatasetConfig) -> Check:
    """Count rooms and objects, area by area. Reads the first and the last row of each object."""
    found = Check()
    for split in ("train", "val"):
        dataset = S3DIS(Path(settings.scans or settings.root), split)
        found.found[f"rooms, {split}"] = len(dataset.scans)
        for area in areas_of(split):
            present = sum(room.startswith(f"{area}/") for room in dataset.scans)
            if present < ROOMS[area]:
                found.problems.append(
                    f"{area}: {ROOMS[area] - present} of {ROOMS[area]} rooms are not there; unpack them"
                )
        found.found[f"objects, {split}"] = sum(
            _check_room(dataset, room, found)
            for room in tqdm(dataset.scans, desc=f"s3dis, {split}", unit="room", disable=None)
        )
    return found


def _check_room(dataset: S3DIS, room: str, found: Check) -> int:
    """How many objects a room has."""
    try:
        paths = [path for _, path in dataset.objects(room)]
    except SegPointError as error:
        found.problems.append(str(error))
        return 0
    for path in paths:
        try:
            _check_ends(path)
        except SegPointError as error:
            found.problems.append(str(error))
    others = {path.name for path in (dataset.root / room / "Annotations").glob("*.txt")} - {path.name for path in paths}
    if others:
        found.notes.append(f"{room}: {few(sorted(others))} left out, not called CLASS_NUMBER.txt")
    return len(paths)


def _check_ends(path: Path) -> None:
    """Raise SegPointError unless a file begins and ends with rows of six numbers."""
    with reading(path, "unpack it again"), path.open("rb") as file:
        first = file.readline()
        file.seek(max(0, path.stat().st_size - 256))
        last = (file.read().strip().splitlines() or [b""])[-1]
    for row in (first, last):
        if len(repair(row).split()) != 6:
            raise SegPointError(f"{path} begins or ends with {row[:60]!r}, not with x y z r g b; unpack it again")
