"""Labelled clouds to measure on: a folder of scans with instructions, or generated scenes of the test split."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import read_points
from segpoint.prompts import normalise


@dataclass(frozen=True)
class Question:
    """An instruction about a cloud; ``truth`` (M,) bool marks the points it means, none of them for zero-target."""

    text: str
    kind: str
    truth: np.ndarray


@dataclass(frozen=True)
class LabelledCloud:
    """A cloud in the optical frame, metres, and what is asked about it. ``width * height == M``."""

    name: str
    xyz: np.ndarray  # (M, 3) float32, NaN rows kept
    rgb: np.ndarray | None  # (M, 3) uint8
    width: int
    height: int
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class LabelledSet:
    """``count`` clouds, made or read one at a time; ``description`` says exactly which, for the record."""

    count: int
    description: dict[str, Any]
    load: Callable[[int], LabelledCloud]

    def __iter__(self) -> Iterator[LabelledCloud]:
        return map(self.load, range(self.count))

    def __len__(self) -> int:
        return self.count


def generated_set(first_seed: int, scenes: int) -> LabelledSet:
    """Scenes ``first_seed`` … ``first_seed + scenes - 1`` of the generator's test split, with their instructions."""
    from segpoint_training.scenes.generate import generate_scene

    def load(index: int) -> LabelledCloud:
        scene = generate_scene(first_seed + index, "test")
        questions = tuple(Question(q.text, q.kind, np.isin(scene.instance, q.targets)) for q in scene.instructions)
        return LabelledCloud(f"test_{scene.seed:06d}", scene.xyz, scene.rgb, scene.width, scene.height, questions)

    description = {"data": "generated", "split": "test", "seeds": [first_seed, first_seed + scenes - 1]}
    return LabelledSet(scenes, description, load)


def folder_set(folder: str | Path, scenes: int | None = None) -> LabelledSet:
    """The first ``scenes`` clouds (all by default) that a folder's ``instructions.json`` names.

    That file is a list of objects with file, instruction, kind and target_labels. The clouds carry a ``label`` per
    point; its parts are merged: 1–9 → 1 (the table), otherwise label // 10; 0 is no object.
    """
    folder = Path(folder)
    rows_of: dict[str, list[dict[str, Any]]] = {}
    for row in _read_rows(folder / "instructions.json"):
        rows_of.setdefault(row["file"], []).append(row)
    names = list(rows_of)[:scenes]

    def load(index: int) -> LabelledCloud:
        name = names[index]
        points = read_points(folder / name)
        if points.label is None:
            raise SegPointError(f"{folder / name}: no field 'label', so there is no truth to measure against")
        instance = merge_parts(points.label)
        questions = tuple(
            Question(row["instruction"], row["kind"], np.isin(instance, row["target_labels"])) for row in rows_of[name]
        )
        return LabelledCloud(name, points.xyz, points.rgb, points.width, points.height, questions)

    return LabelledSet(len(names), {"data": folder.resolve().name, "files": names}, load)


def merge_parts(label: np.ndarray) -> np.ndarray:
    """Object ids (M,) of part labels: 1–9 → 1, otherwise label // 10."""
    return np.where((label >= 1) & (label <= 9), 1, label // 10)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise SegPointError(f"{path}: there is no such file; give a folder with an instructions.json and its clouds")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SegPointError(f"{path}: not valid JSON ({error}); repair it") from error
    needed = {"file", "instruction", "kind", "target_labels"}
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and needed <= set(row) for row in rows):
        raise SegPointError(f"{path}: expected a list of objects with {', '.join(sorted(needed))}; complete it")
    for number, row in enumerate(rows, start=1):
        wrong = _wrong_in(row)
        if wrong:
            raise SegPointError(f"{path}, row {number}: {wrong}; correct it")
    return rows


def _wrong_in(row: dict[str, Any]) -> str | None:
    """What a row holds that it must not, in words."""
    for name in ("file", "instruction", "kind"):
        if not isinstance(row[name], str) or not normalise(row[name]):
            return f"{name!r} must be words, not {row[name]!r:.80}"
    labels = row["target_labels"]
    if not isinstance(labels, list) or not all(type(label) is int and label >= 0 for label in labels):
        return f"'target_labels' must be a list of whole numbers from 0 up, not {labels!r:.80}"
    return None
