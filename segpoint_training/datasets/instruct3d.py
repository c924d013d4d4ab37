"""Instruct3D: instructions that need reasoning, about ScanNet++'s rooms (He et al., SegPoint, ECCV 2024).

The authors have not published the data: we know of no home of it. Read is what loaders written for it expect:
``ROOT/instruct3D_{train,val}.json``, a list of ``{scene_id, object_id, object_name, description}`` about ScanNet++'s
scenes, where ``object_id`` is a list of objectIds of ``segments_anno.json``, empty where nothing is meant; a single one
is taken, too, as a number or a text. A scene may be of either split of ScanNet++. The kinds of an instruction,
"zero-target", "single" and "multiple", are ours.
"""

from __future__ import annotations

from pathlib import Path

from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.check import Check
from segpoint_training.datasets.rows import Row
from segpoint_training.datasets.scannetpp import ScanNetPP
from segpoint_training.datasets.sentences import (
    Reading,
    Said,
    Sentences,
    check_sentences,
    open_sentences,
    read_sentences,
)
from segpoint_training.scenes.scene import Instruction

_KINDS = ("zero-target", "single", "multiple")


def open_split(settings: DatasetConfig) -> Sentences:
    """The sentences of a split with ScanNet++'s scans. Raises SegPointError naming what is missing or wrong."""
    return open_sentences(settings, _scans, _read)


def check(settings: DatasetConfig) -> Check:
    """Count the sentences of both splits, and what of them the scans do not have."""
    found = check_sentences(settings, _scans, _read)
    found.notes.append("Instruct3D has no published home: its fields are checked against what loaders for it expect")
    return found


def _scans(settings: DatasetConfig) -> ScanNetPP:
    return ScanNetPP(Path(settings.scans or settings.root), "all")


def _read(settings: DatasetConfig, scans: ScanNetPP | None) -> Reading:
    return read_sentences(Path(settings.root) / f"instruct3D_{settings.split}.json", _said)


def _said(row: Row) -> Said:
    targets = row.ids("object_id")
    kind = _KINDS[min(len(targets), 2)]
    answer = row.words("object_name") if targets else ""
    return Said(row.text("scene_id"), Instruction(row.text("description"), kind, targets, answer))
