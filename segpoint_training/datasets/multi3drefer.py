"""Multi3DRefer: descriptions of no object, one or several in ScanNet's rooms (Zhang et al., ICCV 2023).

``ROOT/multi3drefer_{train,val}.json`` is a list of ``{scene_id, object_name, ann_id, description, object_ids,
eval_type, spatial, color, texture, shape}``; ``object_ids`` are objectIds of the scene's aggregation file, none where
nothing is meant. The kind of an instruction is ``eval_type``, by which the benchmark groups F1: zt_w_d and zt_wo_d
(zero targets, with and without distractors of the class that is named), st_w_d and st_wo_d (a single one), mt
(several).
"""

from __future__ import annotations

from pathlib import Path

from segpoint.errors import SegPointError
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

EVAL_TYPES = ("zt", "zt_w_d", "zt_wo_d", "st_w_d", "st_wo_d", "mt")  # the data set's page speaks of zt, too


def open_split(settings: DatasetConfig) -> Sentences:
    """The sentences of a split with ScanNet's scans. Raises SegPointError naming what is missing or wrong."""
    return open_sentences(settings, scannet_of, _read)


def check(settings: DatasetConfig) -> Check:
    """Count the sentences of both splits, and what of them the scans do not have."""
    return check_sentences(settings, scannet_of, _read)


def _read(settings: DatasetConfig, scans: ScanNet | None) -> Reading:
    return read_sentences(Path(settings.root) / f"multi3drefer_{settings.split}.json", _said)


def _said(row: Row) -> Said:
    targets = row.ids("object_ids")
    kind = row.text("eval_type")
    if kind not in EVAL_TYPES:
        raise SegPointError(f"{row.where}: eval_type must be {', '.join(EVAL_TYPES)}, got {kind!r:.40}; correct it")
    answer = row.words("object_name") if targets else ""
    return Said(row.text("scene_id"), Instruction(row.text("description"), kind, targets, answer, task="referring"))
