"""The answers that went worst and best, as small pictures beside the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
_GOOD = 0.5  # IoU, as of Acc@0.5; our choice
_WIDTH = 1080  # pixels: as wide as a report shows one at most


class Gallery:
    """Keeps pictures of the EACH worst and EACH best answers so far in a folder, and none of them in memory.

    Of every instruction the worst, or best, comes before a second of any. An answer's score is its IoU; what has none
    is not drawn. In a bag without any truth it is its stability, and there are only the worst, the least steady: to be
    steady is no merit. The best are answers with something to mark, if there are any: nothing for what is not there is
    no picture to learn from.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The best there is so far; scores by others are no longer kept.
        self._measure = dict.fromkeys(_SIGNS, _STABILITY)
        self._kept: dict[str, list[Picture]] = {rank: [] for rank in _SIGNS}  # each from its extreme on

    def clear(self) -> None:
        """Delete all that the folder holds, also an earlier replay's."""
        for rank in _SIGNS:
            self._clear(rank)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The worst and then the best. In a bag of few clouds an answer may be both: a good one is shown as best."""
        places = [{(one.frame, one.instruction) for one in kept} for kept in self._kept.values()]
        twice = places[0] & places[1]
        return tuple(
            picture
            for kept in self._kept.values()
            for picture in kept
            if (picture.frame, picture.instruction) not in twice or (picture.score > _GOOD) == (picture.rank == "best")
        )

    def add(
        self, frame: Frame, axes: str, answers: Sequence[Said], truths: Sequence[Truth], rows: Sequence[Answered]
    ) -> None:
        """Consider a cloud, of which rows[i] says what answers[i] scored.   axes: of its frame, one of FRAMES."""
        for rank, sign in _SIGNS.items():
            measures = [_measure(row, rank) for row in rows]
            if max(measures, default=_STABILITY) > self._measure[rank]:
                self._clear(rank)
                self._measure[rank] = max(measures)
            new: dict[str, int] = {}  # by file: which answer
            pictures = list(self._kept[rank])
            for place, row in enumerate(rows):
                score = _score(row, rank)
                if measures[place] == self._measure[rank] and score is not None:
                    file = f"{rank}_{frame.number:06d}_{place:03d}.png"
                    new[file] = place
                    pictures.append(Picture(file, rank, frame.number, answers[place].instruction, score))
            kept = _chosen(pictures, sign)
            for number, picture in enumerate(kept):
                if picture.file in new:
                    answer = answers[new[picture.file]]
                    above = _draw(self._folder / picture.file, frame, axes, answer, truths)
                    kept[number] = replace(picture, above=above)
            for dropped in {one.file for one in self._kept[rank]} - {one.file for one in kept}:
                (self._folder / dropped).unlink(missing_ok=True)
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


def _score(row: Answered, rank: str) -> float | None:
    if row.iou is not None:
        return row.iou
    if rank == "best" or (row.stability == 1 and not row.points):  # nothing was marked, before neither
        return None
    return row.stability


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


def _draw(path: Path, frame: Frame, axes: str, answer: Said, truths: Sequence[Truth]) -> bool:
    """Its answer beside its truth, or beside the cloud where that is not known: no words, they stand in the report.

    → whether it is below, as of a panorama.
    """
    from segpoint.instances import Instance
    from segpoint.render import beside, draw_halves, save
    from segpoint_ros.pointcloud2 import read_cloud

    cloud, message = read_cloud(frame.message, copy=False), frame.message
    boxes = [
        Instance(np.array(one.centre), np.array(one.size), np.array(one.orientation), one.score, np.empty(0, np.int64))
        for one in answer.found
    ]
    truth = next((truth.mask for truth in truths if truth.instruction == answer.instruction), None)
    halves = draw_halves(cloud.xyz, cloud.rgb, answer.mask, boxes, axes, message.width, message.height, truth)
    picture = beside(*halves)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(picture.resize((_WIDTH, round(picture.height * _WIDTH / picture.width))), path)
    return picture.width == halves[0].width
