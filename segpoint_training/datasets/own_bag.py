"""Point clouds in ROS bags, read without ROS: rosbag2 (folders, .mcap, .db3) and ROS 1 (.bag), through `rosbags`.

Compressed ones, too, and those that end early, as far as they go (`own_bag_files`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import PointFile, as_points, reading
from segpoint_training.datasets.own_bag_files import find_files, is_part, opened, reason
from segpoint_training.datasets.own_cut_bag import NEVER

CLOUD = "sensor_msgs/msg/PointCloud2"
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}  # of a PointField, by its datatype
_SINCE_1970 = 1e9  # seconds; a smaller time counts from the bag's start


def is_bag(path: Path) -> bool:
    """Whether a path is a bag's by its name, or a folder."""
    return is_part(path.with_name(path.name.lower())) or path.is_dir()


@dataclass(frozen=True)
class Stored:
    """Where one cloud lies: its file, its time in nanoseconds, and its place among those of its topic that have
    that time."""

    file: Path
    stamp: int
    place: int


@dataclass(frozen=True)
class Bag:
    """The clouds of a bag, by topic and in order of time; none of them is in memory.

    start: nanoseconds of its first message.   others: its topics of other types.   cut: why it ends early, "" if whole.
    """

    path: Path
    start: int
    clouds: dict[str, tuple[Stored, ...]]
    others: tuple[str, ...]
    cut: str

    def topic(self, wanted: str, label: str) -> str:
        """The topic ``wanted``, or where that is "" the only one whose clouds have a field ``label``.

        Raises SegPointError that lists the topics where there is none, or more than one.
        """
        if not self.clouds:
            raise SegPointError(
                f"{self.path}: no message of type {CLOUD}; its topics are {', '.join(self.others) or '(none)'}"
                f"{self.cut and f' ({self.cut})'}: record the labelled cloud, too"
            )
        if wanted:
            if wanted not in self.clouds:
                raise SegPointError(f"{self.path}: no clouds on the topic {wanted!r:.80}; there are {self._listed()}")
            return wanted
        labelled = [topic for topic in self.clouds if len(self.clouds) == 1 or label in _fields(self, topic)]
        if len(labelled) != 1:
            found = "several of them have" if labelled else "none of them has"
            raise SegPointError(
                f'{self.path}: clouds on {self._listed()}, and {found} a field {label!r:.80}; name one as "topic"'
            )
        return labelled[0]

    def at_time(self, topic: str, seconds: float) -> int:
        """The number of the cloud recorded nearest to ``seconds`` after the bag's start, or since 1970 if so many."""
        wanted = int(seconds * 1e9) + (0 if seconds >= _SINCE_1970 else self.start)
        stamps = [stored.stamp for stored in self.clouds[topic]]
        if not stamps[0] - 10**9 <= wanted <= stamps[-1] + 10**9:
            first, last = ((stamp - self.start) / 1e9 for stamp in (stamps[0], stamps[-1]))
            raise SegPointError(
                f"{self.path}: no cloud on {topic} at {seconds:g} s: they begin {first:.2f} s and end {last:.2f} s "
                "after the bag's start"
            )
        return int(np.argmin([abs(stamp - wanted) for stamp in stamps]))

    def read(self, topic: str, number: int) -> tuple[PointFile, str]:
        """The cloud ``number`` (from 0) of a topic, and its frame_id. Raises SegPointError where it is no cloud.

        A cloud with a ``score`` is this package's own node's, which paints the targets: its colour is left out.
        """
        stored, name = self.clouds[topic][number], f"{self.path}, cloud {number} on {topic}"
        with reading(name, "name others, or record the bag again"):
            message = _decoded(stored, topic)
            points = as_points(name, _columns(message), message.width, message.height)
        if "score" in points.extra:
            points.rgb = None
        return points, message.header.frame_id

    def _listed(self) -> str:
        return ", ".join(f"{topic} ({len(stored)})" for topic, stored in self.clouds.items())


@cache
def open_bag(path: Path) -> Bag:
    """Find the clouds of a bag, reading through it once. Raises SegPointError where nothing of it can be read."""
    parts = find_files(path)
    found = _Found(troubles=list(parts.troubles))
    for file in parts.files:
        found.add(file)
    if not found.opened:
        remedy = "rosbag reindex" if path.suffix == ".bag" else "ros2 bag reindex"
        raise SegPointError(
            f"{path} cannot be read as a bag ({'; '.join(found.troubles)}): try {remedy}, or record it again"
        )
    clouds = {topic: tuple(sorted(some, key=lambda s: s.stamp)) for topic, some in sorted(found.clouds.items())}
    return Bag(path, found.start, clouds, tuple(sorted(found.others)), "; ".join(found.troubles))


@dataclass
class _Found:
    """What the files of a bag hold, one after the other."""

    clouds: dict[str, list[Stored]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    start: int = NEVER
    troubles: list[str] = field(default_factory=list)
    opened: bool = False

    def add(self, file: Path) -> None:
        """List what can be read of a file, and note what keeps the rest from it."""
        trouble = ""
        seen: Counter[tuple[str, int]] = Counter()
        try:
            with opened(file) as part:
                self.opened = True
                trouble = "it ends early" if part.cut else ""
                self.start = min(self.start, part.start)
                self.others |= {topic for topic, kind in part.topics.items() if kind != CLOUD}
                for message in part.messages((CLOUD,)):
                    at = message.topic, message.received
                    self.clouds.setdefault(message.topic, []).append(Stored(file, message.received, seen[at]))
                    seen[at] += 1
        except Exception as error:  # whatever the libraries raise for a damaged file
            trouble = reason(error)
        if trouble:
            self.troubles.append(f"{file.name}: {trouble}")


def _decoded(stored: Stored, topic: str) -> Any:
    from rosbags.typesys import Stores, get_typestore

    with opened(stored.file) as part:
        found = part.messages((CLOUD,), topic, stored.stamp, stored.stamp + 1)
        content = next(islice(found, stored.place, None)).data
    if part.ros1:
        return get_typestore(Stores.ROS1_NOETIC).deserialize_ros1(content, CLOUD)
    return get_typestore(Stores.LATEST).deserialize_cdr(content, CLOUD)


def _fields(bag: Bag, topic: str) -> Sequence[str]:
    with reading(f"{bag.path}, cloud 0 on {topic}", "record the bag again"):
        return [one.name for one in _decoded(bag.clouds[topic][0], topic).fields]


def _columns(message: Any) -> dict[str, np.ndarray]:
    """A PointCloud2's fields of one number a point, (M,) each, looking into its data. Raises ValueError where its
    layout contradicts itself."""
    fields: dict[str, Any] = {}
    for one in message.fields:
        if one.name and one.count <= 1 and one.datatype in _TYPES:
            fields.setdefault(one.name, one)
    order = ">" if message.is_bigendian else "<"
    dtype = np.dtype(
        {
            "names": list(fields),
            "formats": [order + _TYPES[one.datatype] for one in fields.values()],
            "offsets": [one.offset for one in fields.values()],
            "itemsize": message.point_step,
        }
    )
    height, width, step = message.height, message.width, message.point_step
    row_step = message.row_step if height > 1 and message.row_step else width * step  # drivers leave it wrong
    points = np.ndarray((height, width), dtype, message.data, strides=(row_step, step))
    return {name: points[name].ravel() for name in fields}
