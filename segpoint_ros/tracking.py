"""Objects over clouds: an object that moves a little keeps its number, and so its label and its colour.

Ours: the paper segments one cloud and knows no time. Positions are compared in the clouds' own frame, so a camera that
moves by more than the gate from one cloud to the next gives everything a new number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from segpoint.instances import Instance

MOST_TARGETS = 999  # numbers that an instruction has
_JITTER = 0.25  # of an object's diagonal: by so much its centre may jump where a part of it is seen and then all of it


@dataclass
class _Track:
    """An object: where it was seen last, the diagonal of its box, and for how many clouds it has been out of sight."""

    centre: np.ndarray
    diagonal: float
    missed: int = 0


class Tracker:
    """Numbers of the objects that instructions mean, from 1, the smallest that are free. For use in one thread."""

    def __init__(self) -> None:
        self._tracks: dict[str, dict[int, _Track]] = {}  # by instruction and number

    def reset(self) -> None:
        """Forget all: the clouds that come have nothing to do with those before."""
        self._tracks = {}

    def forget_others(self, instructions: Iterable[str]) -> None:
        """Forget the objects of every instruction but these."""
        self._tracks = {name: self._tracks[name] for name in instructions if name in self._tracks}

    def numbers(self, instruction: str, instances: Sequence[Instance], distance: float, keep: int) -> list[int]:
        """A number from 1 to MOST_TARGETS for each object that an instruction means in the next cloud.

        An object is the one of before that gives the best sum of centre distances over all of them, each relative to
        its gate: ``distance`` metres and a quarter of the diagonal it had. Beyond its gate nothing is the same object.

        instances: the surest first; those after the MOST_TARGETS-th get 0, which is no number.
        distance: metres; 0 numbers them from 1 in their order.   keep: for so many clouds an object out of sight keeps
        its number; where numbers run out, those out of sight longest lose theirs first.
        """
        now = [_Track(i.centre, float(np.linalg.norm(i.size))) for i in instances[:MOST_TARGETS]]
        before = self._tracks.get(instruction, {}) if distance > 0 else {}
        number_of = _same(before, now, distance)
        unseen = sorted(before.keys() - set(number_of.values()), key=lambda number: before[number].missed)
        for number in unseen:
            before[number].missed += 1
        kept = {n: before[n] for n in unseen[: MOST_TARGETS - len(now)] if before[n].missed <= keep}
        free = iter(sorted(set(range(1, MOST_TARGETS + 1)) - kept.keys() - set(number_of.values())))
        numbers = [number_of[index] if index in number_of else next(free) for index in range(len(now))]
        # Those in sight come first: of two objects of before that are as near, it is they.
        self._tracks[instruction] = dict(zip(numbers, now, strict=True)) | kept
        return numbers + [0] * (len(instances) - len(now))


def _same(before: Mapping[int, _Track], now: Sequence[_Track], distance: float) -> dict[int, int]:
    """The number of each object, by its index in ``now``, that is one of those before."""
    if not before or not now:
        return {}
    apart = cdist([track.centre for track in before.values()], [track.centre for track in now])
    gate = distance + _JITTER * np.array([[track.diagonal] for track in before.values()])
    # Beyond its gate a pair costs what a pair at its gate does: finding more pairs is no end in itself, else a row of
    # things would all move on by one where one came at its beginning and one went at its end.
    cost = np.minimum(apart / gate, 1.0)
    numbers, pairs = list(before), zip(*linear_sum_assignment(cost), strict=True)
    return {column: numbers[row] for row, column in pairs if cost[row, column] < 1}
