"""Where each frame was, from a bag's /tf and /tf_static: what tf2 keeps of the last seconds, kept for the whole bag."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from segpoint_ros.messages import deserialize
from segpoint_training.datasets.own_bag_files import Message

TRANSFORMS = "tf2_msgs/msg/TFMessage"
FARTHEST = 0.5  # seconds from the nearest transform where none is on the other side; the node's tolerance
WIDEST = 1.0  # seconds between two transforms between which it is interpolated; our choice
_NUMBERS = 7  # of a transform: x, y, z, and a quaternion x, y, z, w


@dataclass(frozen=True, eq=False)
class Place:
    """Where a frame was. root: the one at the root of its tree at that time.   pose: (4, 4) float64, takes points from
    the frame into the root."""

    root: str
    pose: np.ndarray


class TransformTree:
    """Frames and their parents over time."""

    def __init__(self, messages: Iterable[Message]) -> None:
        """messages: of the type TRANSFORMS; those on a topic that ends in ``tf_static`` hold for all time."""
        self._fixed: dict[str, tuple[str, np.ndarray]] = {}
        self._moving: dict[str, dict[str, _Track]] = defaultdict(dict)  # by child, then by parent
        self._parents: set[str] = set()
        for message in messages:
            for one in deserialize(message.data, TRANSFORMS).transforms:
                self._add(one, message.topic.endswith("tf_static"))

    def knows(self, frame_id: str) -> bool:
        """Whether a transform at any time is of the frame, or to it."""
        frame = _bare(frame_id)
        return frame in self._moving or frame in self._fixed or frame in self._parents

    def place(self, frame_id: str, stamp: int) -> Place | None:
        """Where a frame was at a time in nanoseconds.

        Between two transforms it is interpolated, the translation linearly and the rotation along the shortest turn;
        before the first, after the last, and where two are more than WIDEST seconds apart, the nearest holds for
        FARTHEST seconds. None where the frame, or one between it and its root, is not known, or not at that time.
        """
        frame = _bare(frame_id)
        if not self.knows(frame):
            return None
        pose, passed = np.eye(4), set()
        while frame in self._moving or frame in self._fixed:
            if frame in passed:
                return None  # a ring: two robots' trees in one bag
            passed.add(frame)
            step = self._to_parent(frame, stamp)
            if step is None:
                return None
            frame, pose = step[0], step[1] @ pose
        return Place(frame, pose)

    def _to_parent(self, frame: str, stamp: int) -> tuple[str, np.ndarray] | None:
        if frame not in self._moving:
            return self._fixed[frame]
        # A frame may change its parent, as one that is picked up does.
        parent, track = min(self._moving[frame].items(), key=lambda item: item[1].distance(stamp))
        return (parent, track.at(stamp)) if track.distance(stamp) <= FARTHEST else None

    def _add(self, transform: Any, fixed: bool) -> None:
        header, move = transform.header, transform.transform
        child, parent = _bare(transform.child_frame_id), _bare(header.frame_id)
        shift, turn = move.translation, move.rotation
        values = shift.x, shift.y, shift.z, turn.x, turn.y, turn.z, turn.w
        if not np.isfinite(values).all() or not any(values[3:]) or child == parent:
            return  # tf2 takes no such transform, either
        self._parents.add(parent)
        if fixed:
            self._fixed[child] = parent, _matrix(np.array(values[:3]), Rotation.from_quat(values[3:]))
        else:
            self._moving[child].setdefault(parent, _Track()).add(header.stamp, values)


@dataclass
class _Track:
    """The transforms from one frame to one parent."""

    _stamps: array[int] = field(default_factory=lambda: array("q"))
    _values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, stamp: Any, values: tuple[float, ...]) -> None:
        self._stamps.append(stamp.sec * 10**9 + stamp.nanosec)
        self._values.extend(values)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) int64 and (n, 7) float64."""
        stamps = np.array(self._stamps, np.int64)
        order = np.argsort(stamps, kind="stable")
        return stamps[order], np.array(self._values).reshape(-1, _NUMBERS)[order]

    def distance(self, stamp: int) -> float:
        """Seconds between a time and the transforms'; 0 between two that are near enough to interpolate."""
        stamps, _ = self._sorted
        after = int(np.searchsorted(stamps, stamp))
        apart = [abs(int(one) - stamp) / 1e9 for one in stamps[max(after - 1, 0) : after + 1]]
        return 0.0 if len(apart) == 2 and sum(apart) <= WIDEST else min(apart)

    def at(self, stamp: int) -> np.ndarray:
        stamps, values = self._sorted
        after = int(np.searchsorted(stamps, stamp, side="right"))
        before = after - 1
        if after in (0, len(stamps)) or stamps[after] - stamps[before] > WIDEST * 1e9:
            nearest = values[np.argmin(np.abs(stamps - stamp))]
            return _matrix(nearest[:3], Rotation.from_quat(nearest[3:]))
        share = (stamp - int(stamps[before])) / (int(stamps[after]) - int(stamps[before]))
        shift = (1 - share) * values[before, :3] + share * values[after, :3]
        return _matrix(shift, Slerp([0, 1], Rotation.from_quat(values[before : after + 1, 3:]))(share))


def _matrix(shift: np.ndarray, turn: Rotation) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn.as_matrix(), shift
    return matrix


def _bare(frame_id: str) -> str:
    """A frame's name as tf2 has it; ROS 1 and some drivers put a slash in front."""
    return frame_id.lstrip("/")
