"""Sets of sentences about the scans of another data set: what ScanRefer, ReferIt3D and their like have in common.

Each of their modules says how a row of its published file becomes what is `Said`; this one puts that together with the
scans. A sentence is left out where its scan is not on disk, or where none of its objects has points there; of several
objects those without points are dropped, as Multi3DRefer's authors do. A sentence that means nothing stays: it is
zero-target. Sentences that occur again stay, too, since the benchmarks count every row.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.check import Check, few
from segpoint_training.datasets.rows import Row, read_rows
from segpoint_training.datasets.scan import DataSet, Scan
from segpoint_training.datasets.scannet import ScanNet
from segpoint_training.scenes.scene import Instruction

SPLITS = ("train", "val")
_MOSTLY = 0.5  # of the sentences; a room has several chairs, so a wrong id may mean one, too
_SHOWN = 5  # errors of a file's rows that a check lists
log = logging.getLogger("segpoint.datasets")


class LabelledScans(DataSet, Protocol):
    """Scans whose annotation can be read without their mesh."""

    def labels(self, scan: str) -> dict[int, str]:
        """What the data set calls each object, by `SceneObject` id."""
        ...


Scans = TypeVar("Scans", bound=LabelledScans)


@dataclass(frozen=True)
class Said:
    """A sentence as its file has it: ``instruction.targets`` are all that it names, whether they have points or not."""

    scan: str
    instruction: Instruction


@dataclass
class Reading:
    """What a file says, an error for each row that cannot be used, and whether the file is UTF-8."""

    path: Path
    said: list[Said]
    errors: list[str]
    utf8: bool

    def checked(self) -> list[Said]:
        """What the file says. Raises SegPointError where a row cannot be used, or nothing is said."""
        if self.errors:
            more = f" (and {len(self.errors) - 1} rows more)" if len(self.errors) > 1 else ""
            raise SegPointError(self.errors[0] + more)
        if not self.said:
            raise SegPointError(f"{self.path} has no sentences for this split; get it again")
        return self.said


# How a module reads its file of a split; None for scans that cannot be opened, which `segpoint data check` survives.
Read = Callable[[DatasetConfig, Scans | None], Reading]


def scannet_of(settings: DatasetConfig) -> ScanNet:
    """The scans of ScanNet that a set of sentences is about."""
    return ScanNet(Path(settings.scans or settings.root), settings.split)


def read_sentences(path: Path, said: Callable[[Row], Said | None]) -> Reading:
    """Read a file. said: makes a row's sentence, or None of one that the split does not have.

    Raises SegPointError where there is no such file, or it is no table.
    """
    rows, utf8 = read_rows(path)
    found = Reading(path, [], [], utf8)
    for row in rows:
        try:
            sentence = said(row)
        except SegPointError as error:
            found.errors.append(str(error))
        else:
            found.said += [sentence] if sentence else []
    return found


def open_sentences(
    settings: DatasetConfig, open_scans: Callable[[DatasetConfig], Scans], read: Read[Scans], hint: str = ""
) -> Sentences:
    """The sentences of a split. hint: what to say to somebody who asks for another than train and val."""
    if settings.split not in SPLITS:
        splits = " and ".join(SPLITS)
        raise SegPointError(f"{settings.name} has the splits {splits}, not {settings.split!r:.40}; choose one{hint}")
    scans = open_scans(settings)
    return Sentences(settings.name, scans, read(settings, scans).checked())


class Sentences:
    """What is said about the scans of another data set (a `DataSet`).

    scans: those that something is said about and that are on disk, in the other set's order.
    """

    classes: Sequence[str] = ()

    def __init__(self, name: str, about: DataSet, said: Iterable[Said]) -> None:
        self.name = name
        self._about = about
        self._said: dict[str, list[Instruction]] = {}
        for sentence in said:
            self._said.setdefault(sentence.scan, []).append(sentence.instruction)
        self.scans: Sequence[str] = [scan for scan in about.scans if scan in self._said]
        absent = sorted(self._said.keys() - set(self.scans))
        if not self.scans:
            raise SegPointError(f"{name}: none of its {len(absent)} scans is on disk ({few(absent)}); get them")
        if absent:
            lost = sum(len(self._said[scan]) for scan in absent)
            log.warning("%s: %d sentences are left out, their scans are not on disk: %s", name, lost, few(absent))
        self._objects: dict[str, frozenset[int]] = {}  # of the scans that were read
        self._warned = False

    def load(self, scan: str) -> Scan:
        """Read a scan, as the data set does that it is of."""
        read = self._about.load(scan)
        self._objects[scan] = frozenset(o.id for o in read.objects)
        return read

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        """What is said of objects that have points in a scan; reads the scan unless `load` has read it before."""
        if scan not in self._objects:
            self.load(scan)
        kept = []
        for instruction in self._said.get(scan, ()):
            targets = tuple(id for id in instruction.targets if id in self._objects[scan])
            if targets or not instruction.targets:
                kept.append(replace(instruction, targets=targets))
            elif not self._warned:
                self._warned = True
                log.warning("%s: sentences about objects without points are left out, first in %s", self.name, scan)
        return tuple(kept)


def check_sentences(settings: DatasetConfig, open_scans: Callable[[DatasetConfig], Scans], read: Read[Scans]) -> Check:
    """Count what the files of all splits say, and what of it the scans do not have. Reads annotations, not meshes."""
    found = Check()
    for split in SPLITS:
        settings = replace(settings, split=split)
        scans = None
        try:
            scans = open_scans(settings)
        except SegPointError as error:
            found.problems.append(str(error))
        try:
            _check_split(split, read(settings, scans), scans, found)
        except SegPointError as error:
            found.problems.append(str(error))
    found.problems = list(dict.fromkeys(found.problems))  # both splits may miss the same
    return found


def _check_split(split: str, read: Reading, scans: LabelledScans | None, found: Check) -> None:
    found.found |= {f"{name}, {split}": count for name, count in _counts(read.said).items()}
    found.problems += read.errors[:_SHOWN]
    if len(read.errors) > _SHOWN:
        found.problems.append(f"{read.path}: {len(read.errors) - _SHOWN} more rows cannot be used; correct them")
    if not read.utf8:
        found.notes.append(f"{read.path} is not UTF-8; it is read as Windows-1252")
    if not read.said and not read.errors:
        found.problems.append(f"{read.path} has no sentences for {split}; get it again")
    different = {(s.scan, s.instruction.text, s.instruction.targets) for s in read.said}
    if len(different) < len(read.said):
        again = len(read.said) - len(different)
        found.notes.append(f"{split}: {again} sentences occur again about the same objects; all are used")
    if scans is not None:
        _check_targets(split, read.said, scans, found)


def _check_targets(split: str, said: Sequence[Said], scans: LabelledScans, found: Check) -> None:
    """Whether the scans, and the objects in them, are there."""
    by_scan: dict[str, list[Instruction]] = {}
    for sentence in said:
        by_scan.setdefault(sentence.scan, []).append(sentence.instruction)
    there = set(scans.scans)
    absent = sorted(by_scan.keys() - there)
    if absent:
        lost = sum(len(by_scan[scan]) for scan in absent)
        found.problems.append(f"{split}: {lost} sentences are about scans that are not there ({few(absent)}); get them")
    unknown, lost = [], 0
    named, otherwise = 0, []
    for scan in sorted(by_scan.keys() & there):
        try:
            labels = scans.labels(scan)
        except SegPointError as error:
            found.problems.append(str(error))
            continue
        ids = labels.keys()
        unknown += [f"{scan} {id - 1}" for id in sorted({id for i in by_scan[scan] for id in i.targets} - ids)]
        lost += sum(bool(i.targets) and ids.isdisjoint(i.targets) for i in by_scan[scan])
        called = [(i, [labels[id] for id in i.targets if id in labels]) for i in by_scan[scan]]
        named += sum(bool(names) for _, names in called)
        otherwise += [
            f"{scan} {i.targets[0] - 1}: {i.answer!r:.40} is labelled {names[0]!r:.40}"
            for i, names in called
            if names and not any(_share_a_word(i.answer, name) for name in names)
        ]
    if unknown:
        found.problems.append(
            f"{split}: {len(unknown)} objects are not in their scans ({few(unknown)}), and {lost} sentences mean no "
            "other; these are left out; get the annotations (or the sentences) again"
        )
    _tell_other_names(split, named, otherwise, found)


def _share_a_word(name: str, label: str) -> bool:
    """Whether two names may be of one thing: "office chair" and "chair" are."""
    return not set(name.lower().split()).isdisjoint(label.lower().replace("_", " ").split())


def _tell_other_names(split: str, named: int, otherwise: Sequence[str], found: Check) -> None:
    """A few sentences have their own word for an object; where most do, their ids are not those of the scans."""
    if not otherwise:
        return
    text = f"{split}: {len(otherwise)} of {named} sentences name another thing than their object's label"
    if len(otherwise) > 1 and len(otherwise) > _MOSTLY * named:
        found.problems.append(
            f"{text} ({few(otherwise)}): their ids are not these scans'; get the sentences and the annotations of one "
            "release, and do not renumber objectIds"
        )
    else:
        found.notes.append(f"{text} ({otherwise[0]}); all are used")


def _counts(said: Sequence[Said]) -> dict[str, int]:
    sizes = [len(s.instruction.targets) for s in said]
    counts = {"sentences": len(said), "scans": len({s.scan for s in said})}
    counts |= {"zero targets": sizes.count(0), "single targets": sizes.count(1)}
    counts["several targets"] = len(said) - counts["zero targets"] - counts["single targets"]
    kinds = Counter(s.instruction.kind for s in said)
    return counts | {f"kind {kind}": kinds[kind] for kind in sorted(kinds) if kind}
