"""Point clouds in ROS bags, read without ROS: rosbag2 (folders, .mcap, .db3) and ROS 1 (.bag), through `rosbags`.

A bag that ends early is read as far as it goes (`own_cut_bag`); one of ROS 1 needs its index, which `rosbag reindex`
writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import PointFile, as_points, reading
from segpoint_training.datasets.own_cut_bag import CutMcap, CutSqlite, is_cut_mcap

CLOUD = "sensor_msgs/msg/PointCloud2"
SUFFIXES = (".bag", ".mcap", ".db3")
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}  # of a PointField, by its datatype
_SINCE_1970 = 1e9  # seconds; a smaller time counts from the bag's start


def is_bag(path: Path) -> bool:
    """Whether a path is a bag's by its name, or a folder."""
    return path.suffix.lower() in SUFFIXES or path.is_dir()


@dataclass(frozen=True)
class Stored:
    """Where one cloud lies: its file, its time in nanoseconds, and its place among those of that time (in a cut .db3
    its row)."""

    file: Path
    stamp: int
    place: int
    is_row: bool = False


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
    if not path.exists():
        raise SegPointError(f"{path}: there is no such bag; correct its name or copy it there")
    found, files, trouble = _Found(), [path], ""
    if path.is_dir():
        trouble = _trouble(path) if (path / "metadata.yaml").is_file() else "no metadata.yaml, it was not closed"
        if trouble:
            files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
        if not files:
            raise SegPointError(f"{path}: neither a cloud nor a bag: a folder without {' or '.join(SUFFIXES)} files")
    for file in files:
        found.add(file)
    if trouble and not found.troubles:
        found.troubles.append(trouble)
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
    start: int = 2**63 - 1
    troubles: list[str] = field(default_factory=list)
    opened: bool = False

    def add(self, file: Path) -> None:
        """List what can be read of a file, or of a whole rosbag2 folder, and note what keeps the rest from it."""
        trouble = "it ends early" if file.suffix == ".mcap" and is_cut_mcap(file) else _trouble(file)
        try:
            if trouble and file.suffix == ".db3":
                self._add_rows(file)
                trouble = "it ends early"
            else:
                self._add_messages(file)
            self.opened = True
        except Exception as error:  # whatever the libraries raise for a damaged file
            trouble = trouble or _reason(error)
        if trouble:
            self.troubles.append(f"{file.name}: {trouble}")

    def _add_messages(self, file: Path) -> None:
        seen: Counter[tuple[str, int]] = Counter()
        with _reader(file) as reader:
            self.start = min(self.start, reader.start_time)
            self.others |= {c.topic for c in reader.connections if c.msgtype != CLOUD}
            for connection, stamp, _ in _messages(reader):
                self.opened = True
                at = connection.topic, stamp
                self.clouds.setdefault(connection.topic, []).append(Stored(file, stamp, seen[at]))
                seen[at] += 1

    def _add_rows(self, file: Path) -> None:
        for topic, stamp, row in CutSqlite(file, CLOUD).rows():
            self.start = min(self.start, stamp)
            self.clouds.setdefault(topic, []).append(Stored(file, stamp, row, is_row=True))


def _trouble(path: Path) -> str:
    """Why a bag or one file of it cannot be opened; "" where it can."""
    try:
        with _reader(path):
            return ""
    except Exception as error:  # whatever the libraries raise for a damaged file
        return _reason(error)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _reader(path: Path) -> Any:
    """A reader of rosbags, to be entered; it raises where the file is damaged."""
    if path.suffix == ".bag":
        from rosbags.rosbag1 import Reader as Reader1

        return Reader1(path)
    from rosbags.rosbag2 import Reader as Reader2

    return Reader2(CutMcap(path) if path.suffix == ".mcap" and is_cut_mcap(path) else path)


def _messages(reader: Any, topic: str = "", **between: int) -> Iterator[tuple[Any, int, bytes]]:
    """The clouds' connections, times and bytes, of all topics or one."""
    wanted = [c for c in reader.connections if c.msgtype == CLOUD and topic in ("", c.topic)]
    return reader.messages(wanted, **between) if wanted else iter(())


def _decoded(stored: Stored, topic: str) -> Any:
    from rosbags.typesys import Stores, get_typestore

    if stored.is_row:
        content = CutSqlite(stored.file, CLOUD).message(stored.place)
    else:
        with _reader(stored.file) as reader:
            found = _messages(reader, topic, start=stored.stamp, stop=stored.stamp + 1)
            content = next(data for place, (_, _, data) in enumerate(found) if place == stored.place)
    if stored.file.suffix == ".bag":
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
