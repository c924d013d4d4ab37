"""What will be carried over to the next cloud, computed while a person looks at this one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from segpoint_replay.annotate.clouds import Clouds, View
from segpoint_replay.annotate.masks import carried_over


@dataclass(frozen=True)
class _Made:
    before: View
    label: np.ndarray
    place: int
    carried: Future[np.ndarray]

    def of(self, before: View, label: np.ndarray, place: int) -> bool:
        return self.before is before and self.place == place and np.array_equal(self.label, label)


class Ahead:
    """`carried_over` from one cloud to another, perhaps beforehand.

    One result is kept, and given only for the very clouds and labels that it was made from. Whoever asks for anything
    else has that computed at once, so what comes out is the same with and without `prepare`.
    """

    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds
        self._worker = ThreadPoolExecutor(1, "ahead")
        self._made: _Made | None = None

    def prepare(self, before: View, label: np.ndarray, place: int) -> None:
        """Begin in the background with what `carried` will be asked for. label: (M,) int32, left as it is from now."""
        if self._made is not None:
            if self._made.of(before, label, place):
                return
            self._made.carried.cancel()  # if it has not begun
        self._made = _Made(before, label, place, self._worker.submit(self._carry, before, label, place))

    def carried(self, before: View, label: np.ndarray, place: int) -> np.ndarray:
        """(M,) int32: the labels of a cloud, (K,), on the one at ``place``."""
        if self._made is not None and self._made.of(before, label, place):
            return self._made.carried.result()
        return self._carry(before, label, place)

    def _carry(self, before: View, label: np.ndarray, place: int) -> np.ndarray:
        view = self._clouds.view(place)
        return carried_over(before.xyz, label, view.xyz, view.things, view.motion_from(before))
