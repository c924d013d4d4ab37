"""Random numbers of one frame of many: the sensor and the light stay what they are, the noise is new.

A sensor's model draws its settings as single numbers and its noise as arrays, from one generator. `FrameDraws` tells
them apart by that: of few numbers every frame draws the same, of many each its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_SETTINGS = 256  # numbers; an answer of each thing to infrared is a setting, too


class FrameDraws(np.random.Generator):
    """A generator for frame ``number`` of those with the same ``seed``."""

    def __init__(self, seed: tuple[int, ...], number: int) -> None:
        super().__init__(np.random.PCG64((*seed, 1, number)))
        self._seed, self._calls = seed, 0

    def _drawn(self, name: str, *args: Any, **kwargs: Any) -> Any:
        # Each call has a generator of its own, so that one that draws more in this frame does not shift the next.
        self._calls += 1
        settings = np.random.default_rng((*self._seed, 0, self._calls))
        drawn = getattr(settings, name)(*args, **kwargs)
        return drawn if np.size(drawn) <= _SETTINGS else getattr(super(), name)(*args, **kwargs)


def _method(name: str) -> Callable[..., Any]:
    def draw(self: FrameDraws, *args: Any, **kwargs: Any) -> Any:
        return self._drawn(name, *args, **kwargs)

    return draw


for _name in ("uniform", "normal", "random", "standard_normal", "choice", "integers", "triangular", "dirichlet"):
    setattr(FrameDraws, _name, _method(_name))
