"""The answers that went worst, as one picture: what was asked, what was meant, what was marked, and what is wrong."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segpoint.errors import SegPointError
from segpoint.files import check_folder, check_target
from segpoint_training.labelled import LabelledScan, Question
from segpoint_training.markdown import cell
from segpoint_training.metrics import outcome

if TYPE_CHECKING:
    from segpoint.segmenter import Segmentation

SHEET, LIST = "worst.png", "worst.md"
_HEAD = "| | cloud | instruction | kind | answer | IoU | what went wrong |"
_COLUMNS, _PANEL_WIDTH, _COLOURS = 2, 880, 160  # small enough to keep in a repository, large enough to read


@dataclass(frozen=True)
class Entry:
    """One answer and its IoU."""

    score: float
    cloud: LabelledScan
    question: Question
    answer: Segmentation


class Worst:
    """Keeps the ``count`` answers with the lowest IoU, from as many clouds as possible where they are equally bad.

    ``kept`` holds them, worst first.
    """

    def __init__(self, count: int = 20) -> None:
        self._count = count
        self.kept: list[Entry] = []

    def __call__(self, cloud: LabelledScan, question: Question, answer: Segmentation, score: float) -> None:
        self.kept.append(Entry(score, cloud, question, answer))
        of_cloud: Counter[str] = Counter()
        ranked = []
        for entry in sorted(self.kept, key=lambda entry: entry.score):
            ranked.append((entry.score, of_cloud[entry.cloud.name], entry))
            of_cloud[entry.cloud.name] += 1
        self.kept = [entry for *_, entry in sorted(ranked, key=lambda row: row[:2])[: self._count]]

    def draw(self, folder: Path) -> None:
        """One sheet, worst.png, the truth beside each answer, and worst.md, the same in words."""
        from segpoint.render import render_sheet

        folder.mkdir(parents=True, exist_ok=True)
        lines = [_HEAD, "|---:|---|---|---|---|---:|---|"]
        panels = []
        for number, entry in enumerate(self.kept, start=1):
            wrong = _what_went_wrong(entry)
            panels.append(_panel(entry, number, wrong))
            cells = [entry.cloud.name, entry.question.text, entry.question.kind, entry.answer.answer]
            lines.append(f"| {number} | {' | '.join(map(cell, cells))} | {entry.score:.2f} | {wrong} |")
        (folder / LIST).write_text("\n".join(lines) + "\n", encoding="utf-8")
        sheet = folder / SHEET
        render_sheet(sheet, panels, _COLUMNS)
        Image.open(sheet).quantize(_COLOURS, dither=Image.Dither.NONE).save(sheet, optimize=True)


def check_sheet(folder: Path, data: Iterable[str] = ()) -> None:
    """Raise SegPointError unless `Worst.draw` can write there, over nothing but an earlier sheet.

    data: the folders of what is measured. Among their files nothing is written; into a folder of its own it may be.
    """
    roots = {Path(root).resolve() for root in data if root}
    place = Path(os.path.realpath(folder))
    files = os.path.isdir(place) and any(place.iterdir()) and not (place / LIST).is_file()
    if place in roots or (files and not roots.isdisjoint(place.parents)):
        raise SegPointError(f"--pictures {folder} is where the data is: give the pictures a folder of their own")
    check_folder(folder)
    for name in (SHEET, LIST):
        check_target(folder / name, makes_folder=True)
    there = folder / LIST
    if there.is_file() and not there.read_bytes().startswith(_HEAD.encode()):
        raise SegPointError(f"{there} is no list of `segpoint evaluate` and stays: give --pictures another folder")


def _what_went_wrong(entry: Entry) -> str:
    valid = np.isfinite(entry.cloud.xyz).all(axis=1)
    return outcome(entry.answer.mask[valid], entry.question.truth[valid])


def _panel(entry: Entry, number: int, wrong: str) -> Image.Image:
    from segpoint.render import draw_answer

    cloud, question, answer = entry.cloud, entry.question, entry.answer
    picture = draw_answer(
        cloud.xyz, cloud.rgb, answer.mask, answer.instances, f"{number}. {question.text} [{question.kind}]",
        f"{answer.answer} IoU {entry.score:.2f}: {wrong}", cloud.frame, cloud.width, cloud.height, question.truth,
    )  # fmt: skip
    return picture.resize((_PANEL_WIDTH, round(picture.height * _PANEL_WIDTH / picture.width)))
