"""What an action of `Session` has changed, so that it can be undone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from segpoint_replay.annotate.asked import Asked


@dataclass
class Before:
    """The folder as it was. labels: by place, None where a cloud was not annotated, else `runs`."""

    objects: dict[int, str]
    asked: list[Asked]
    proposed: dict[int, dict[int, float]]
    labels: dict[int, tuple[np.ndarray, np.ndarray] | None] = field(default_factory=dict)


def runs(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and lengths of the runs of equal ones, as `numpy.repeat` takes them."""
    starts = np.flatnonzero(np.diff(label, prepend=label[:1] - 1)) if len(label) else np.zeros(0, np.int64)
    return label[starts], np.diff(starts, append=len(label))
