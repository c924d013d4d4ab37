"""A data set's scans as the network will see them, written once: voxelised, levelled, labelled.

Below a folder named after the scans', ``SCAN.npz`` holds the arrays of one scan, and a JSON file for each data set its
objects and sentences. So data sets that speak about the same scans (ScanNet's classes, ScanRefer's and ReferIt3D's
sentences) share the arrays, on disk and in memory. Every file is written whole or not at all, and an interrupted run
goes on where it stopped.

The names carry a digest of the sizes and times of the files that lie directly in the folder of the scans or of the
sentences: where somebody corrects a label table, sentences, or a labelled cloud of their own, what was made from it is
made anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import numpy as np
from tqdm import tqdm

from segpoint.cloud import prepare
from segpoint.config import CloudConfig
from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import open_dataset
from segpoint_training.datasets.scan import DataSet, Scan
from segpoint_training.parallel import in_order
from segpoint_training.scenes.scene import GROUND, Instruction, SceneObject
from segpoint_training.shards import LabelledCloud, label_voxels, read_facts
from segpoint_training.stamp import MANIFEST, difference, write_whole

FORMAT = 1  # of the files
_ARRAYS = ("xyz", "rgb", "focus", "instance")
_AGAIN = "delete it, the same command writes it anew"
_FIRST = GROUND + 1  # number of a scan's first object: none of them is known to carry the scene

Item = TypeVar("Item")


class PreparedScans:
    """The prepared scans below a folder, each in memory once.

    Their objects are numbered from 2 in the order of the data set's ids, however large those are. workers: processes
    that prepare, None for one per core.
    """

    def __init__(self, folder: Path, cloud: CloudConfig, workers: int | None = None) -> None:
        self.folder, self.cloud, self.workers = folder, cloud, workers
        self._held: dict[Path, tuple[LabelledCloud, dict[int, int]]] = {}

    def clouds(self, settings: DatasetConfig, most: int | None = None) -> tuple[tuple[str, ...], list[LabelledCloud]]:
        """A data set's classes, and its scans with what it says about them, prepared where they are not yet.

        most: only so many scans, spread evenly over the split. An object without a voxel is left out, and with it the
        instructions that mean nothing else. A scan that cannot be read is told and left out, too; more than a tenth of
        them raises SegPointError, as does a folder prepared with another config.
        """
        place = Place.of(self.folder, settings)
        self._claim(place, settings)
        data = _opened(settings, place)
        scans = spread(data.scans, len(data.scans) if most is None else most)
        missing = self._prepare(settings, place, scans)
        clouds, said = [], 0
        for scan in scans:
            if scan not in missing:
                cloud, sentences = self._cloud(place, scan)
                clouds.append(cloud)
                said += sentences
        if lost := said - sum(len(cloud.instructions) for cloud in clouds):
            tqdm.write(
                f"{settings.name}: left out {lost} of {said} sentences, which mean objects too small for a voxel"
            )
        return tuple(data.classes), clouds

    def _claim(self, place: Place, settings: DatasetConfig) -> None:
        """Raise SegPointError where the folder holds scans of another config; leave a manifest where it holds none."""
        facts = {"format": FORMAT, "scans": settings.scans or settings.root, "cloud": dataclasses.asdict(self.cloud)}
        stamp, path = json.loads(json.dumps(facts)), place.folder / MANIFEST
        if not path.exists():
            place.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, (json.dumps(stamp, indent=1) + "\n").encode())
        with reading(path, f"delete {place.folder}, the same command prepares it anew"):
            there = dict(json.loads(path.read_text(encoding="utf-8")))
        if apart := difference({**there, "scans": stamp["scans"]}, stamp):
            raise SegPointError(
                f"{place.folder} holds scans prepared with another config ({apart}): use another run's folder, delete "
                "this one, or go back to what made it"
            )

    def _prepare(self, settings: DatasetConfig, place: Place, scans: Sequence[str]) -> set[str]:
        """Write what is not there yet of ``scans``; those that cannot be, told."""
        todo = [scan for scan in scans if not (place.arrays(scan).exists() and place.facts(scan).exists())]
        if not todo:
            return set()
        one = partial(_prepare, settings, self.cloud, place)
        with closing(in_order(one, todo, workers=self.workers, describe=settings.name, unit="scan")) as made:
            reasons = {scan: reason for scan, reason in zip(todo, made, strict=True) if reason}
        for scan, reason in reasons.items():
            tqdm.write(f"{settings.name}: left out {scan}: {reason}")
        if len(reasons) > len(scans) / 10:
            scan, reason = next(iter(reasons.items()))
            raise SegPointError(f"{len(reasons)} of {len(scans)} scans of {settings.name} fail, first {scan}: {reason}")
        return set(reasons)

    def _cloud(self, place: Place, scan: str) -> tuple[LabelledCloud, int]:
        """A scan with its objects that have voxels and what is said about them; how much is said about it in all."""
        arrays, facts = place.arrays(scan), place.facts(scan)
        if arrays not in self._held:
            self._held[arrays] = _read(arrays)
        bare, number = self._held[arrays]
        with reading(facts, _AGAIN):
            told = json.loads(facts.read_text(encoding="utf-8"))
            objects = read_facts(SceneObject, told["objects"])
            instructions = read_facts(Instruction, told["instructions"])
        kept = [_renumbered(instruction, number) for instruction in instructions]
        cloud = dataclasses.replace(
            bare,
            objects=tuple(dataclasses.replace(o, id=number[o.id]) for o in objects if o.id in number),
            instructions=tuple(instruction for instruction in kept if instruction is not None),
        )
        return cloud, len(instructions)


@dataclass(frozen=True)
class Place:
    """Where the prepared scans of a data set lie. ``said`` marks what is its own and no other set's."""

    folder: Path
    said: str

    @classmethod
    def of(cls, folder: Path, settings: DatasetConfig) -> Place:
        """Below ``folder``, for the data set as it is on disk now."""
        scans = Path(settings.scans or settings.root).resolve()
        # Of one's own folder every file counts: bags are folders in it, and are recorded and labelled anew.
        said = f"{settings.name}-{settings.split}-{_digest(Path(settings.root), deep=settings.name == 'own')}"
        return cls(folder / f"{scans.name}-{_digest(scans, deep=settings.name == 'own')}", said)

    def arrays(self, scan: str) -> Path:
        return self.folder / f"{quote(scan, safe='')}.npz"  # "Area_1/office_3" is one file's name

    def facts(self, scan: str) -> Path:
        return self.folder / f"{quote(scan, safe='')}.{self.said}.json"


def _digest(folder: Path, deep: bool) -> str:
    """8 hex digits of a folder's path and the names, sizes and times of its files, those further below where deep."""
    found = [str(folder.resolve())]
    if folder.is_dir():
        files = sorted(path for path in (folder.rglob("*") if deep else folder.iterdir()) if path.is_file())
        found += [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:8]


def spread(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    """``count`` of the items, evenly spaced and in their order; all where there are fewer."""
    if len(items) <= count:
        return tuple(items)
    return tuple(items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int).tolist())


@lru_cache(maxsize=1)
def _opened(settings: DatasetConfig, place: Place) -> DataSet:
    """The data set as it was at ``place``, opened once in each process that reads many of its scans."""
    return open_dataset(settings)


def _prepare(settings: DatasetConfig, config: CloudConfig, place: Place, name: str) -> str:
    """Write a scan's files. Returns "", or why that cannot be done."""
    try:
        data = _opened(settings, place)
        scan = data.load(name)
        said = [dataclasses.asdict(instruction) for instruction in data.instructions(name)]
        facts = {"objects": [dataclasses.asdict(o) for o in scan.objects], "instructions": said}
        if not place.arrays(name).exists():
            write_whole(place.arrays(name), _arrays(scan, config))
        write_whole(place.facts(name), json.dumps(facts).encode())
    except SegPointError as error:
        return str(error)
    except Exception as error:  # one odd file of thousands should not cost a night
        return f"{type(error).__name__}: {error}"
    return ""


def _arrays(scan: Scan, config: CloudConfig) -> bytes:
    """A scan's ``.npz``: `LabelledCloud`'s arrays and scalars, and the data set's ids of the objects from _FIRST on."""
    ids = np.unique(scan.instance[scan.instance > 0])
    if len(ids) > np.iinfo(np.int16).max - _FIRST:
        raise SegPointError(f"{scan.name} has {len(ids)} objects, more than a scan can have; split it")
    cloud = prepare(scan.xyz, scan.rgb, scan.frame, config)
    labels = np.where(scan.instance > 0, np.searchsorted(ids, scan.instance) + _FIRST, 0)
    content = io.BytesIO()
    np.savez(
        content,
        xyz=cloud.xyz,
        rgb=np.round(cloud.rgb * 255).astype(np.uint8),
        focus=cloud.focus,
        instance=label_voxels(cloud, labels),
        count=cloud.count,
        voxel_m=cloud.voxel_m,
        ids=ids,
        coloured=scan.rgb is not None,
        scale=scan.scale,
        frame=scan.frame,
    )
    return content.getvalue()


def _read(path: Path) -> tuple[LabelledCloud, dict[int, int]]:
    """What `_arrays` wrote, of which nothing is said yet, and the number of each object that has a voxel by its id."""
    with reading(path, _AGAIN), np.load(path, allow_pickle=False) as file:
        cloud = LabelledCloud(
            **{name: file[name] for name in _ARRAYS},
            count=int(file["count"]),
            voxel_m=float(file["voxel_m"]),
            objects=(),
            instructions=(),
            scale=str(file["scale"]),
            frame=str(file["frame"]),
            coloured=bool(file["coloured"]),
        )
        seen = set(np.unique(cloud.instance).tolist())
        return cloud, {id: n for n, id in enumerate(file["ids"].tolist(), start=_FIRST) if n in seen}


def _renumbered(instruction: Instruction, number: dict[int, int]) -> Instruction | None:
    """An instruction with the objects' numbers for the data set's ids; None where none of its targets has one."""
    targets = tuple(sorted(number[id] for id in instruction.targets if id in number))
    if instruction.targets and not targets:
        return None
    return dataclasses.replace(instruction, targets=targets)
