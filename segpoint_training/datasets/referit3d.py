"""ReferIt3D: people's (Nr3D) and made-up (Sr3D) descriptions of objects in ScanNet's rooms (Achlioptas et al., 2020).

``ROOT/nr3d.csv`` and ``ROOT/sr3d.csv`` have a row for each description; used are ``scan_id``, ``target_id`` (the
objectId of the scan's aggregation file), ``instance_type`` (its label), ``utterance``, ``tokens`` (a list of its words,
spelling corrected), ``stimulus_id`` and ``mentions_target_class``.

One file holds both splits: a row is of the split of ScanNet that its scan is of. What the authors call test is "val".
As in the authors' training and evaluation (their ``neural_net_oriented.py``), only rows are used that mention the
target's class; Sr3D's all do. ``correct_guess``, whether a second person found the object, decides nothing there nor
here. Their listener also drops descriptions of more than 24 words; we keep them.

The kind of an instruction is "easy" or "hard", and "view-dependent" or "view-independent", by the rules of the authors'
evaluation: easy where the scan has at most two objects of the target's label, itself among them (the third part of
``stimulus_id``, SCAN-LABEL-COUNT-TARGET-OTHERS), view-dependent where one of the words is among `VIEW_WORDS`.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.check import Check, few
from segpoint_training.datasets.rows import Row, read_rows
from segpoint_training.datasets.scannet import ScanNet
from segpoint_training.datasets.sentences import (
    SPLITS,
    Reading,
    Said,
    Sentences,
    check_sentences,
    open_sentences,
    read_sentences,
    scannet_of,
)
from segpoint_training.scenes.scene import Instruction

_MENTIONS = "mentions_target_class"
VIEW_WORDS = frozenset("front behind back right left facing leftmost rightmost looking across".split())


def open_split(settings: DatasetConfig) -> Sentences:
    """The sentences of a split with ScanNet's scans. Raises SegPointError naming what is missing or wrong."""
    return open_sentences(settings, scannet_of, _read, " (what its authors call test is val)")


def check(settings: DatasetConfig) -> Check:
    """Count the sentences of both splits that are used, and what of them the scans do not have."""
    found = check_sentences(settings, scannet_of, _read)
    try:
        _check_rows(settings, found)
    except SegPointError:
        pass  # what cannot be read is among the problems
    return found


def _read(settings: DatasetConfig, scans: ScanNet | None) -> Reading:
    if scans is None:
        raise SegPointError(f"{_path(settings)} cannot be checked: ScanNet's lists say what is {settings.split}")
    listed = frozenset(scans.listed)
    return read_sentences(_path(settings), lambda row: _said(row, listed))


def _path(settings: DatasetConfig) -> Path:
    return Path(settings.root) / f"{settings.name}.csv"


def _check_rows(settings: DatasetConfig, found: Check) -> None:
    """Rows that neither split has."""
    listed = {scan for split in SPLITS for scan in scannet_of(replace(settings, split=split)).listed}
    rows = [(row.text("scan_id"), row.truth(_MENTIONS)) for row in read_rows(_path(settings))[0]]
    found.found["rows"] = len(rows)
    strange = sorted({scan for scan, _ in rows} - listed)
    if strange:
        found.problems.append(f"rows are about scans of neither split of ScanNet ({few(strange)}); get the file again")
    silent = sum(not mentions for _, mentions in rows)
    if silent:
        found.notes.append(f"{silent} rows do not mention the target's class; as its authors do, they are left out")


def _said(row: Row, listed: frozenset[str]) -> Said | None:
    scan = row.text("scan_id")
    if scan not in listed or not row.truth(_MENTIONS):
        return None
    easy = "easy" if _alike(row) <= 2 else "hard"
    view = "view-independent" if VIEW_WORDS.isdisjoint(_tokens(row)) else "view-dependent"
    targets, answer = row.id("target_id"), row.words("instance_type")
    return Said(scan, Instruction(row.text("utterance"), f"{easy} {view}", targets, answer, task="referring"))


def _alike(row: Row) -> int:
    """How many objects of the target's label the scan has, the target among them."""
    stimulus = row.text("stimulus_id")
    try:
        return int(stimulus.split("-", maxsplit=4)[2])
    except (IndexError, ValueError):
        raise SegPointError(
            f"{row.where}: stimulus_id must be SCAN-LABEL-COUNT-TARGET-OTHERS, got {stimulus!r:.80}; correct it"
        ) from None


def _tokens(row: Row) -> list[str]:
    text = row.text("tokens")
    try:
        return [str(word) for word in ast.literal_eval(text)]
    except (SyntaxError, TypeError, ValueError):
        raise SegPointError(f"{row.where}: tokens must be a list of words, got {text!r:.80}; correct it") from None
