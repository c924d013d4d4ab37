"""A segmenter that finds things by their colour, in milliseconds: for tests of what is done with answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.instances import separate
from segpoint.prompts import NO_MASK
from segpoint.segmenter import Segmentation

WORDS = {
    "red": (0,),
    "green": (1,),
    "box": (1, 2),
    "can": (2,),
}  # the channels that are highest; the first word said counts
UP = np.array([0.0, -1.0, 0.0])  # roughly, of an optical frame


class ColourSegmenter:
    """Of the mini bag's things: the red ball, the green box, the blue can; "the box" is taken for box and can.

    calls: the instructions of each call.   fail: raised instead of an answer, where it is set.
    """

    def __init__(self) -> None:
        self.config = BundleConfig()
        self.engines = SimpleNamespace(runner=SimpleNamespace(name="colours"))
        self.calls: list[tuple[str, ...]] = []
        self.fail: dict[int, BaseException] = {}  # by the number of the call

    def segment_many(
        self,
        xyz: np.ndarray,
        instructions: Sequence[str],
        rgb: np.ndarray | None = None,
        frame: str = "optical",
        places: Any = None,
        task: str = "instruction",
    ) -> list[Segmentation]:
        assert rgb is not None
        self.calls.append(tuple(instructions))
        if (error := self.fail.get(len(self.calls) - 1)) is not None:
            raise error
        finite = np.isfinite(xyz).all(axis=1)
        if not finite.any():
            raise SegPointError("there is no point in this cloud")
        vivid = finite & (np.ptp(rgb.astype(int), axis=1) > 100)
        return [self._answer(xyz, text, vivid, rgb.argmax(axis=1)) for text in instructions]

    def _answer(self, xyz: np.ndarray, text: str, vivid: np.ndarray, highest: np.ndarray) -> Segmentation:
        said = [word for word in WORDS if word in text]
        mask = vivid & np.isin(highest, WORDS[said[0]]) if said else np.zeros(len(xyz), bool)
        score = np.where(mask, 0.9, 0.1).astype(np.float32)
        instances = separate(xyz, mask, score, distance=0.03, min_points=1, up=UP)
        return Segmentation(mask, score, f"{said[0]} <SEG>." if said else NO_MASK, instances, {"instances": 0.001})

    def reset(self) -> None:
        pass

    def forget(self) -> None:
        pass


def use(monkeypatch: pytest.MonkeyPatch, segmenter: ColourSegmenter) -> ColourSegmenter:
    """Let the node's code load this one instead of any bundle."""
    from segpoint.segmenter import Segmenter
    from segpoint_replay import offline

    # Its own cache, or this one would answer in the tests that come after, too.
    monkeypatch.setattr(offline, "_answerer", lru_cache(maxsize=1)(offline._answerer.__wrapped__))
    monkeypatch.setattr(Segmenter, "from_bundle", classmethod(lambda cls, *arguments: segmenter))
    return segmenter
