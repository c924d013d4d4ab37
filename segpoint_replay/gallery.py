"""The answers that went worst and best, as small pictures beside the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segpoint_replay.record import Answered, Picture

if TYPE_CHECKING:
    from segpoint_replay.measures import Said
    from segpoint_replay.recording import Frame
    from segpoint_replay.truth import Truth

EACH = 4  # pictures of the worst, and of the best
_SIGNS = {"worst": 1.0, "best": -1.0}  # of a score, so that the first to be shown is the lowest
_STABILITY, _NO_TARGET, _TARGET = range(3)  # what answers are judged by
_WIDTH, _COLOURS = 880, 160  # small enough for a report of one file, large enough to read


class Gallery:
    """Keeps pictures of the EACH worst and EACH best answers so far in a folder, and none of them in memory.

    Of every instruction the worst, or best, comes before a second of any. An answer's score is its IoU; in a bag
    without any truth it is its stability. What has none is not drawn. The best are answers with something to mark, if
    there are any: nothing for what is not there is no picture to learn from.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._measure = dict.fromkeys(
            _SIGNS, _STABILITY
        )  # the best there is so far; scores by others are no longer kept
        self._kept: dict[str, list[Picture]] = {rank: [] for rank in _SIGNS}  # each from its extreme on

    def clear(self) -> None:
        """Delete all that the folder holds, also an earlier replay's."""
        for rank in _SIGNS:
            self._clear(rank)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The worst and then the best; in a bag of few clouds one may be both."""
        return tuple(picture for kept in self._kept.values() for picture in kept)

    def add(
        self, frame: Frame, axes: str, answers: Sequence[Said], truths: Sequence[Truth], rows: Sequence[Answered]
    ) -> None:
        """Consider a cloud, of which rows[i] says what answers[i] scored.   axes: of its frame, one of FRAMES."""
        for rank, sign in _SIGNS.items():
            measures = [_measure(row, rank) for row in rows]
            if max(measures, default=_STABILITY) > self._measure[rank]:
                self._clear(rank)
                self._measure[rank] = max(measures)
            new: dict[str, tuple[int, float]] = {}  # by file: which answer
            pictures = list(self._kept[rank])
            for place, row in enumerate(rows):
                score = row.stability if measures[place] == _STABILITY else row.iou
                if measures[place] == self._measure[rank] and score is not None:
                    file = f"{rank}_{frame.number:06d}_{place:03d}.png"
                    new[file] = place, score
                    pictures.append(Picture(file, rank, frame.number, answers[place].instruction, score))
            kept = _chosen(pictures, sign)
            for picture in kept:
                if picture.file in new:
                    place, score = new[picture.file]
                    _draw(self._folder / picture.file, frame, axes, answers[place], truths, score)
            for dropped in set(self._kept[rank]) - set(kept):
                (self._folder / dropped.file).unlink(missing_ok=True)
            self._kept[rank] = kept

    def _clear(self, rank: str) -> None:
        self._kept[rank] = []
        for path in self._folder.glob(f"{rank}_*.png"):
            path.unlink()


def _measure(row: Answered, rank: str) -> int:
    """What an answer can be judged by for a rank; the higher, the better."""
    if row.iou is None:
        return _STABILITY
    return _TARGET if row.true_points or rank == "worst" else _NO_TARGET


def _chosen(pictures: Sequence[Picture], sign: float) -> list[Picture]:
    """EACH of them, one of each instruction first, from their extreme on.

    What is left out of some is left out of more, too: none has to be kept for later.
    """
    in_order = sorted(pictures, key=lambda picture: sign * picture.score)  # stable: of equals the first stay
    first: dict[str, Picture] = {}
    for picture in in_order:
        first.setdefault(picture.instruction, picture)
    others = [picture for picture in in_order if first[picture.instruction] is not picture]
    kept = [*first.values(), *others][:EACH]
    return sorted(kept, key=lambda picture: sign * picture.score)


def _draw(path: Path, frame: Frame, axes: str, answer: Said, truths: Sequence[Truth], score: float) -> None:
    """Its answer beside its truth, or beside the cloud where that is not known."""
    from PIL import Image

    from segpoint.instances import Instance
    from segpoint.render import draw_answer, save
    from segpoint_ros.pointcloud2 import read_cloud

    cloud, message = read_cloud(frame.message, copy=False), frame.message
    boxes = [
        Instance(np.array(one.centre), np.array(one.size), np.array(one.orientation), one.score, np.empty(0, np.int64))
        for one in answer.found
    ]
    truth = next((truth.mask for truth in truths if truth.instruction == answer.instruction), None)
    measured = "stability" if truth is None else "IoU"
    picture = draw_answer(
        cloud.xyz, cloud.rgb, answer.mask, boxes, f"cloud {frame.number}, {frame.at:.1f} s: {answer.instruction}",
        f"{answer.answer} {measured} {score:.2f}", axes, message.width, message.height, truth,
    )  # fmt: skip
    small = picture.resize((_WIDTH, round(picture.height * _WIDTH / picture.width)))
    path.parent.mkdir(parents=True, exist_ok=True)
    save(small.quantize(_COLOURS, dither=Image.Dither.NONE), path)
