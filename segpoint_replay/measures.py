"""What one answer scores: against the truth, and against the answer about the cloud before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from segpoint_replay.record import Answered, Found
from segpoint_ros.pointcloud2 import read_cloud
from segpoint_ros.result import LABELS_EACH
from segpoint_training.metrics import iou

if TYPE_CHECKING:
    from segpoint_replay.recording import Frame
    from segpoint_replay.transforms import Place, TransformTree
    from segpoint_replay.truth import Truth
    from segpoint_ros.result import Result

CELL = 0.03  # metres
"""The edge of the cells of space that consecutive masks are compared in. Ours: a depth camera's noise at two metres
would empty finer ones between two clouds, and a mug would be a single coarser one."""
_REACH = 1 << 20  # cells from the origin in each direction: 31 km


@dataclass(frozen=True, eq=False)
class Said:
    """The answer to one instruction about a cloud of M points.   mask: (M,) bool, the points that have its labels."""

    instruction: str
    answer: str
    mask: np.ndarray
    found: tuple[Found, ...] = ()


def said(result: Result) -> tuple[Said, ...]:
    """The answers in what the node's code found, told apart by the labels that it publishes."""
    label = result.label
    present, counts = np.unique(label, return_counts=True)
    points = dict(zip(present.tolist(), counts.tolist(), strict=True))
    found: list[list[Found]] = [[] for _ in result.instructions]
    for target in result.targets:
        box = target.instance
        numbers = (tuple(map(float, each)) for each in (box.centre, box.size, box.orientation))
        found[target.instruction].append(
            Found(target.label, target.name, float(box.score), points.get(target.label, 0), *numbers)  # type: ignore[arg-type]
        )
    return tuple(
        Said(instruction, " ".join(answer.answer.split()), instruction_mask(label, place), tuple(found[place]))
        for place, (instruction, answer) in enumerate(zip(result.instructions, result.found, strict=True))
    )


def instruction_mask(label: np.ndarray, place: int) -> np.ndarray:
    """(M,) bool: the points of a labelled cloud, (M,) uint32, that the instruction asked as the ``place``-th means."""
    return (label > 0) & (label // LABELS_EACH == place)


class Scorer:
    """Turns the answers about one cloud after the other into rows of the record.

    tree: says where the clouds' frames were in one that stands still (`Recording.tree`).
    unplaced: clouds whose frame it knows, but not at their time. They have no stability, for to compare them in the
    sensor's frame would call its movement the answer's.   scored: clouds that came.
    """

    def __init__(self, tree: TransformTree) -> None:
        self._tree = tree
        self.unplaced = self.scored = 0
        self._origins: dict[str, np.ndarray] = {}  # by root
        self._before: Mapping[str, _Seen] = {}  # by instruction, of the last answered cloud
        self._before_true: Mapping[str, _Seen] = {}

    def score(self, frame: Frame, answers: Sequence[Said], truths: Sequence[Truth]) -> tuple[Answered, ...]:
        """The rows of all that was answered about a cloud, which is to come once, in the clouds' order.

        A truth is of the answer to the same words; points count that have finite coordinates.
        """
        header = frame.message.header
        xyz = read_cloud(frame.message, copy=False).xyz
        valid = np.isfinite(xyz).all(axis=1)
        truth_of = {truth.instruction: truth for truth in reversed(truths)}  # of two rows of the same words the first
        space = self._space(xyz[valid], header.frame_id, frame.stamp)
        now = {one.instruction: space.marked(one.mask[valid]) for one in answers} if space else {}
        now_true = {text: space.marked(truth.mask[valid]) for text, truth in truth_of.items()} if space else {}
        rows = tuple(
            _row(
                frame.number,
                one,
                truth_of.get(one.instruction),
                valid,
                _compared(self._before, now, one.instruction),
                _compared(self._before_true, now_true, one.instruction),
            )
            for one in answers
        )
        self._before, self._before_true = now, now_true
        return rows

    def _space(self, xyz: np.ndarray, frame_id: str, stamp: int) -> _Space | None:
        """The cells of points (M, 3), None where the cloud is not to be compared with any."""
        self.scored += 1
        place = self._tree.place(frame_id, stamp)
        if place is None and self._tree.knows(frame_id):
            self.unplaced += 1
            return None
        if place is None:
            return _Space.of(xyz, frame_id)
        origin = self._origins.setdefault(place.root, np.round(place.pose[:3, 3] / CELL) * CELL)
        return _Space.of(xyz, frame_id, place, origin)


def _row(
    number: int, one: Said, truth: Truth | None, valid: np.ndarray, stable: float | None, truly: float | None
) -> Answered:
    mask = one.mask[valid]
    row = Answered(
        number, one.instruction, truth.kind if truth else "", one.answer, int(np.count_nonzero(mask)), one.found,
        stability=stable, true_stability=truly,
    )  # fmt: skip
    if truth is None:
        return row
    meant = truth.mask[valid]
    return Answered(
        **{
            **vars(row),
            "true_points": int(np.count_nonzero(meant)),
            "iou": float(iou(mask, meant)),
            "position_error": position_error([target.centre for target in one.found], truth.centres),
        }
    )


def position_error(found: Sequence[Sequence[float]], true: np.ndarray | Sequence[Sequence[float]]) -> float | None:
    """Metres: the mean distance of the pairs of found centres (n, 3) and true ones (k, 3) that are nearest in all.

    Each is in one pair at most (Hungarian matching); those that are too many or too few cost nothing here, but in the
    IoU. None where there are none of either.
    """
    if not len(found) or not len(true):
        return None
    apart = cdist(np.asarray(found, dtype=np.float64), np.asarray(true, dtype=np.float64))
    return float(apart[linear_sum_assignment(apart)].mean())


# --- the cloud before ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Seen:
    """A mask in space.   space: the cells that any point is in.   marked: (n,) bool of them."""

    space: _Space
    marked: np.ndarray


@dataclass(frozen=True, eq=False)
class _Space:
    """The cells of a cloud's points.   frame: their axes, the sensor's or those of the transforms' root.   cells: (n,)
    int64, ascending.   of_point: (M,) each point's place among them.   points: (n,) how many each has."""

    frame: str
    cells: np.ndarray
    of_point: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, xyz: np.ndarray, frame_id: str, place: Place | None = None, origin: np.ndarray | float = 0.0) -> _Space:
        """xyz: (M, 3), finite, in the sensor's frame ``frame_id``.   origin: (3,) near the poses, which may be in a
        map's far coordinates."""
        xyz = np.asarray(xyz, dtype=np.float64)
        if place is not None:
            xyz = xyz @ place.pose[:3, :3].T + (place.pose[:3, 3] - origin)
        cell = np.clip(np.floor(xyz / CELL), -_REACH, _REACH - 1).astype(np.int64) + _REACH
        number = cell[:, 0] << 42 | cell[:, 1] << 21 | cell[:, 2]
        cells, of_point, points = np.unique(number, return_inverse=True, return_counts=True)
        return cls(place.root if place else frame_id, cells, of_point, points)

    def marked(self, mask: np.ndarray) -> _Seen:
        """A mask (M,) bool of the points: a cell is in it where at least half of its points are."""
        inside = np.bincount(self.of_point[mask], minlength=len(self.cells))
        return _Seen(self, 2 * inside >= self.points)


def _compared(before: Mapping[str, _Seen], now: Mapping[str, _Seen], instruction: str) -> float | None:
    if instruction not in before or instruction not in now:
        return None
    return stability(before[instruction], now[instruction])


def stability(before: _Seen, now: _Seen) -> float | None:
    """IoU of two masks of consecutive clouds, as sets of cells of space with edge CELL.

    Only cells that both clouds have points in count: what a camera sees no more, or not yet, has not flickered. Where
    the bag has the transforms both clouds are put into its frame that stands still; where it knows nothing of the
    sensor's they are compared in that, and a moving sensor counts as change. 1 where both masks are empty; None where
    neither marks a cell that both clouds see, or where the clouds are in different frames.
    """
    if before.space.frame != now.space.frame:
        return None
    if not before.marked.any() and not now.marked.any():
        return 1.0
    _, first, second = np.intersect1d(before.space.cells, now.space.cells, assume_unique=True, return_indices=True)
    one, other = before.marked[first], now.marked[second]
    return float(iou(one, other)) if one.any() or other.any() else None
