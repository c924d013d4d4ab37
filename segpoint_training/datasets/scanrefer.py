"""ScanRefer: descriptions of single objects in ScanNet's rooms (Chen et al., ECCV 2020).

``ROOT/ScanRefer_filtered_{train,val}.json`` is a list of ``{scene_id, object_id, object_name, ann_id, description,
token}``: ``object_id`` is the objectId of the scene's aggregation file, as a text, and ``object_name`` its label with
underscores for spaces.

The kind of an instruction is "unique" or "multiple", by the rule of the authors' evaluation (their ``lib/dataset.py``):
each *described* object of a scene has one of 18 classes, by its name in ScanNet's label table: ScanNet's 20 without
wall, floor and otherfurniture, and "others" for everything else. An object is unique where the scene has exactly one
described object of its class; objects that nobody describes do not count. The authors go by the column nyu40class,
we by nyu40id, which is the same but for a refrigerator that ScanNet's own copy of the table misspells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.check import Check
from segpoint_training.datasets.rows import Row
from segpoint_training.datasets.scannet import ScanNet
from segpoint_training.datasets.sentences import (
    Reading,
    Said,
    Sentences,
    check_sentences,
    open_sentences,
    read_sentences,
    scannet_of,
)
from segpoint_training.scenes.scene import Instruction

_OTHERS = "others"
_NO_CLASSES = ("wall", "floor", "otherfurniture")  # of ScanNet's 20: others


def open_split(settings: DatasetConfig) -> Sentences:
    """The sentences of a split with ScanNet's scans. Raises SegPointError naming what is missing or wrong."""
    return open_sentences(settings, scannet_of, _read, " (the truth of its test split is not published)")


def check(settings: DatasetConfig) -> Check:
    """Count the sentences of both splits, and what of them the scans do not have."""
    return check_sentences(settings, scannet_of, _read)


def _read(settings: DatasetConfig, scans: ScanNet | None) -> Reading:
    read = read_sentences(Path(settings.root) / f"ScanRefer_filtered_{settings.split}.json", _said)
    return read if scans is None else replace(read, said=_with_kinds(read.said, scans.class_of))


def _said(row: Row) -> Said:
    targets, answer = row.id("object_id"), row.words("object_name")
    return Said(row.text("scene_id"), Instruction(row.text("description"), "", targets, answer, task="referring"))


def _with_kinds(said: Sequence[Said], class_of: Mapping[str, str]) -> list[Said]:
    """The sentences of a whole split with their kinds. class_of: which of ScanNet's 20 classes a label has."""
    own = {label: name for label, name in class_of.items() if name not in _NO_CLASSES}
    classes = [own.get(s.instruction.answer, _OTHERS) for s in said]
    objects: dict[tuple[str, tuple[int, ...]], str] = {}  # each described object's class, that of its first row
    for sentence, name in zip(said, classes, strict=True):
        objects.setdefault((sentence.scan, sentence.instruction.targets), name)
    counts = Counter((scan, name) for (scan, _), name in objects.items())
    kinds = ["unique" if counts[s.scan, name] == 1 else "multiple" for s, name in zip(said, classes, strict=True)]
    return [replace(s, instruction=replace(s.instruction, kind=kind)) for s, kind in zip(said, kinds, strict=True)]
