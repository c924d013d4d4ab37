"""A bag as a replay sees it: its clouds in order, what was asked meanwhile, and where its frames were."""

from __future__ import annotations

import heapq
import math
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segpoint.errors import SegPointError
from segpoint_replay.bag_files import NEVER, BagFiles, Message, find_files, opened, reason
from segpoint_replay.transforms import TRANSFORMS, TransformTree
from segpoint_ros.messages import deserialize
from segpoint_ros.request import split_instructions

if TYPE_CHECKING:
    from segpoint_ros.messages import PointCloud2

CLOUD = "sensor_msgs/msg/PointCloud2"
TEXT = "std_msgs/msg/String"
LONGEST_WAIT = 86_400.0  # seconds from the first message to the first cloud that are believed; our choice
_KINDS = (CLOUD, TEXT, TRANSFORMS)
_INSTRUCTION = "instruction"  # the last part of a topic's name that says what it is for


@dataclass(frozen=True)
class Choice:
    """Which clouds are replayed. start, duration: seconds after the bag's start; duration 0 for all that come.
    every: of those, the ones whose number in the topic is a multiple of it."""

    start: float = 0.0
    duration: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("duration", self.duration)):
            if not 0 <= value < math.inf:
                raise SegPointError(f"{name} must be seconds from 0 up, not {value:g}")
        if self.every < 1:
            raise SegPointError(f"every must be a whole number from 1 up, not {self.every}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One cloud. number: among the topic's, from 0.   stamp: of its header, nanoseconds.   received: when it was
    recorded, nanoseconds.   at: the same in seconds after the bag's start."""

    number: int
    stamp: int
    received: int
    at: float
    message: PointCloud2


@dataclass
class _Clouds:
    """The clouds on a topic. fields: names of the first one's.   times: nanoseconds as recorded, and of the header."""

    fields: tuple[str, ...] = ()
    times: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class _Contents:
    """What a bag holds beside the clouds themselves.

    spans: each file that can be read, with nanoseconds of its first message and of its last.   others: topics of types
    that a replay does not need.   texts: nanoseconds and text of each message, by topic.
    """

    start: int = NEVER
    spans: list[tuple[int, int, Path]] = field(default_factory=list)
    clouds: dict[str, _Clouds] = field(default_factory=dict)
    texts: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    transforms: list[Message] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


class Recording:
    """A bag that is open for replay. Its clouds are not in memory; what else counts, is.

    path: the bag.   topic: its clouds'.   start: nanoseconds of its first message, or of the first cloud where that
    comes LONGEST_WAIT later.   stamps, received: nanoseconds of all clouds, in order, of their headers and as recorded.
    transforms: the messages on /tf and /tf_static.   troubles: what cannot be read, and what is odd, a line each, and
    unreadable: the clouds' numbers that could not be read; reading the clouds may add to both.
    """

    def __init__(self, path: Path, topic: str, instruction_topic: str, contents: _Contents) -> None:
        """Use `open`."""
        self.path, self.topic, self._asked_on = path, topic, instruction_topic
        self.start, self.troubles, self._contents = contents.start, contents.troubles, contents
        times = contents.clouds[topic].times
        self.received, self.stamps = tuple(received for received, _ in times), tuple(stamp for _, stamp in times)
        self.transforms = tuple(contents.transforms)
        self.unreadable: set[int] = set()

    @classmethod
    def open(cls, path: str | Path, topic: str = "", instruction_topic: str = "") -> Recording:
        """Read through a bag once: a rosbag2 folder, an .mcap, .db3 or .bag file.

        topic: of the clouds. "" takes the only one. Of several this node's own output is left aside (it has the fields
        ``label`` and ``score``); then, if just one has a field ``label``, that is taken.
        instruction_topic: see `said`.
        Raises SegPointError where nothing can be read, and where the topic is not there or there are several; it lists
        them with their counts and rates.
        """
        path = Path(path)
        files = find_files(path)
        contents = _read_through(files)
        if not contents.spans:
            remedy = "rosbag reindex" if path.suffix == ".bag" else "ros2 bag reindex"
            raise SegPointError(
                f"{path} cannot be read as a bag ({'; '.join(contents.troubles) or 'it is empty'}): try {remedy}, or "
                "record it again"
            )
        chosen = _cloud_topic(path, contents, topic)
        if instruction_topic and instruction_topic not in contents.texts:
            raise SegPointError(f"{path}: no {TEXT} on {instruction_topic!r:.80}; there are {_listed_texts(contents)}")
        contents.troubles += _odd_times(chosen, contents.clouds[chosen])
        return cls(path, chosen, instruction_topic, contents)

    @property
    def count(self) -> int:
        """Clouds on the topic."""
        return len(self.received)

    @cached_property
    def said(self) -> tuple[tuple[int, str], ...]:
        """What the bag's own topic asked for: nanoseconds as recorded, and the text; () without such a topic.

        It is the one that was named, else the only std_msgs/String topic, of several the only one whose name ends in
        "instruction". One that the node itself would not take anything of does not count (robot_description, say).
        As for the node an empty text means that nothing is asked any more, and one that it refuses, being too long, is
        left out and told in ``troubles``. Raises SegPointError that lists the topics where there are several.
        """
        topic = self._asked_on or _instruction_topic(self.path, self._contents)
        taken = []
        for received, text in self._contents.texts.get(topic, ()):
            refusal = _refusal(text)
            if refusal:
                at = f"{topic} at {self._at(received):.2f} s"
                self.troubles.append(f"{at}: the instructions are not taken: {refusal}")
            else:
                taken.append((received, text))
        return tuple(taken)

    def chosen(self, choice: Choice) -> tuple[int, ...]:
        """The numbers of the clouds that a choice means. Raises SegPointError where there is none."""
        until = choice.start + choice.duration if choice.duration else math.inf
        numbers = tuple(
            number
            for number, received in enumerate(self.received)
            if number % choice.every == 0 and choice.start <= self._at(received) < until
        )
        if not numbers:
            raise SegPointError(
                f"{self.path}: no cloud on {self.topic} with start {choice.start:g} s, duration {choice.duration:g} s "
                f"and every {choice.every}: its {self.count} clouds come from {self._at(self.received[0]):.2f} s to "
                f"{self._at(self.received[-1]):.2f} s"
            )
        return numbers

    def frames(self, choice: Choice | None = None) -> Iterator[Frame]:
        """The clouds in order, one at a time in memory. One that cannot be read is told in ``troubles`` and left out.

        Raises SegPointError where the choice means none.
        """
        wanted = self.chosen(choice or Choice())
        since, until = self.received[wanted[0]], self.received[wanted[-1]] + 1
        numbers: dict[int, list[int]] = {}  # of those recorded at a time, the last one first
        for number in reversed(range(bisect_left(self.received, since), bisect_left(self.received, until))):
            numbers.setdefault(self.received[number], []).append(number)
        left = set(wanted)
        for message in self._messages(since, until):
            number = numbers[message.received].pop()
            if number not in left:
                continue
            left.discard(number)
            at = self._at(message.received)
            try:
                cloud = deserialize(message.data, CLOUD)
            except SegPointError as error:
                self.troubles.append(f"cloud {number} on {self.topic} ({at:.2f} s) cannot be read: {reason(error)}")
                self.unreadable.add(number)
                continue
            yield Frame(number, self.stamps[number], message.received, at, cloud)
            if not left:
                return
        if left:
            self.unreadable |= left
            self.troubles.append(
                f"{len(left)} clouds on {self.topic} that were there could not be read again, the first of them number "
                f"{min(left)}: the bag has changed, or too many files are open; replay it again"
            )

    def pose(self, frame_id: str, stamp: int) -> np.ndarray | None:
        """(4, 4) float64: takes points from a frame into the root frame of the bag's transforms, at a time in
        nanoseconds; None where that is not known. See `TransformTree.place`."""
        place = self.tree.place(frame_id, stamp)
        return place.pose if place else None

    @cached_property
    def tree(self) -> TransformTree:
        return TransformTree(self.transforms)

    def _at(self, received: int) -> float:
        return (received - self.start) / 1e9

    def _messages(self, since: int, until: int) -> Iterator[Message]:
        """The topic's clouds in order of time; files whose times overlap are read side by side, no others."""
        group: list[Path] = []
        latest = -1
        for begins, ends, file in sorted(self._contents.spans):
            if group and begins > latest:
                yield from self._side_by_side(group, since, until)
                group = []
            group.append(file)
            latest = max(latest, ends)
        yield from self._side_by_side(group, since, until)

    def _side_by_side(self, files: list[Path], since: int, until: int) -> Iterator[Message]:
        parts = [_clouds_of(file, self.topic, since, until) for file in files]
        return heapq.merge(*parts, key=lambda message: message.received)


def _clouds_of(file: Path, topic: str, since: int, until: int) -> Iterator[Message]:
    with suppress(Exception), opened(file) as part:  # that it is damaged was told when it was read first
        yield from part.in_order((CLOUD,), topic, since, until)


# --- reading a bag through ----------------------------------------------------------------------------------------


def _read_through(files: BagFiles) -> _Contents:
    """What a bag's files hold, as far as they can be read, and what is lost."""
    contents = _Contents(troubles=list(files.troubles))
    lost: list[tuple[str, int]] = []  # a file and why it ends early, and its last message that can be read
    for file in files.files:
        begins, ends, trouble = NEVER, -1, ""
        try:
            with opened(file) as part:
                begins, trouble = part.start, "ends early" if part.cut else ""
                contents.others |= {name: kind for name, kind in part.topics.items() if kind not in _KINDS}
                for message in part.messages(_KINDS):
                    begins, ends = min(begins, message.received), max(ends, message.received)
                    _take(contents, message)
        except Exception as error:  # whatever the libraries raise for a damaged file
            if begins == NEVER:
                contents.troubles.append(f"{file.name} cannot be read ({reason(error)})")
                continue
            trouble = f"is damaged ({reason(error)})"
        contents.start = min(contents.start, begins)
        contents.spans.append((begins, ends, file))
        if trouble:
            lost.append((f"{file.name} {trouble}", ends))
    for clouds in contents.clouds.values():
        clouds.times.sort(key=lambda times: times[0])
    contents.troubles += _take_start(contents)
    contents.troubles += [_last(text, ends, contents.start) for text, ends in lost]
    contents.troubles += _too_few(contents, files.expected)
    return contents


def _take(contents: _Contents, message: Message) -> None:
    if message.kind == TRANSFORMS:
        contents.transforms.append(message)
    elif message.kind == TEXT:
        with suppress(SegPointError):  # no text, not even an empty one
            text = deserialize(message.data, TEXT).data
            contents.texts.setdefault(message.topic, []).append((message.received, text))
    else:
        clouds = contents.clouds.setdefault(message.topic, _Clouds())
        clouds.times.append((message.received, _stamp(message.data)))
        if not clouds.fields:
            with suppress(SegPointError):  # told when the cloud is wanted
                clouds.fields = tuple(one.name for one in deserialize(message.data, CLOUD).fields)


def _stamp(cloud: bytes) -> int:
    """Nanoseconds in the header with which a cloud's CDR begins; 0 where it ends before."""
    if len(cloud) < 12:
        return 0
    seconds, nanoseconds = struct.unpack_from("<iI" if cloud[1] & 1 else ">iI", cloud, 4)
    return seconds * 10**9 + nanoseconds


def _take_start(contents: _Contents) -> Iterator[str]:
    """Have the bag start with its clouds where something came at quite another time, as at 0 by a clock not yet set."""
    first = min((clouds.times[0][0] for clouds in contents.clouds.values()), default=contents.start)
    if first - contents.start > LONGEST_WAIT * 1e9:
        days = (first - contents.start) / 86_400e9
        yield f"the first message was recorded {days:,.0f} days before the first cloud: time is counted from that cloud"
        contents.start = first


def _last(text: str, ends: int, start: int) -> str:
    if ends < 0:
        return f"{text}: no message that a replay needs can be read of it"
    return f"{text}: what comes later than {(ends - start) / 1e9:.2f} s after the bag's start is lost"


def _too_few(contents: _Contents, expected: dict[str, int]) -> Iterator[str]:
    """Which topics have fewer messages than the metadata say."""
    there = {topic: len(clouds.times) for topic, clouds in contents.clouds.items()}
    there |= {topic: len(texts) for topic, texts in contents.texts.items()}
    there |= Counter(message.topic for message in contents.transforms)
    for topic, count in expected.items():
        if topic not in contents.others and there.get(topic, 0) < count:
            yield f"of {count} messages on {topic} {there.get(topic, 0)} can be read"


def _odd_times(topic: str, clouds: _Clouds) -> Iterator[str]:
    stamps = [stamp for _, stamp in clouds.times]
    unset = [number for number, stamp in enumerate(stamps) if stamp == 0]
    if unset:
        yield f"{len(unset)} clouds on {topic} have the header stamp 0, the first of them number {unset[0]}"
    back = [number for number in range(1, len(stamps)) if 0 < stamps[number] < stamps[number - 1]]
    if back:
        seconds = (stamps[back[0] - 1] - stamps[back[0]]) / 1e9
        yield (
            f"the header stamps on {topic} jump back {len(back)} times, the first time by {seconds:.3f} s at cloud "
            f"{back[0]}"
        )


# --- which topic --------------------------------------------------------------------------------------------------


def _cloud_topic(path: Path, contents: _Contents, wanted: str) -> str:
    clouds = contents.clouds
    if not clouds:
        others = sorted([*contents.others, *contents.texts, *{message.topic for message in contents.transforms}])
        raise SegPointError(
            f"{path}: no message of type {CLOUD}; its topics are {', '.join(others) or '(none)'}"
            f"{_in_brackets(contents.troubles)}: record the cloud, too"
        )
    if wanted:
        if wanted not in clouds:
            raise SegPointError(f"{path}: no clouds on the topic {wanted!r:.80}; there are {_listed(clouds)}")
        return wanted
    inputs = [topic for topic in clouds if not {"label", "score"} <= set(clouds[topic].fields)] or list(clouds)
    labelled = [topic for topic in inputs if "label" in clouds[topic].fields]
    for only in (inputs, labelled):
        if len(only) == 1:
            return only[0]
    raise SegPointError(f"{path}: clouds on {_listed(clouds)}: choose one with --topic")


def _listed(clouds: dict[str, _Clouds]) -> str:
    """Topics with their counts and rates."""
    texts = []
    for topic, its in sorted(clouds.items()):
        seconds = (its.times[-1][0] - its.times[0][0]) / 1e9
        rate = f" at {(len(its.times) - 1) / seconds:.1f} Hz" if seconds > 0 else ""
        texts.append(f"{topic} ({len(its.times)}{rate})")
    return ", ".join(texts)


def _instruction_topic(path: Path, contents: _Contents) -> str:
    """The topic that instructions come on, "" where there is none."""
    texts = contents.texts
    candidates = [topic for topic in texts if not all(_refusal(text) for _, text in texts[topic])]
    named = [topic for topic in candidates if topic.rsplit("/", 1)[-1] == _INSTRUCTION]
    for only in (candidates, named):
        if len(only) == 1:
            return only[0]
    if candidates:
        raise SegPointError(
            f"{path}: {TEXT} on {_listed_texts(contents)}: choose one with --instruction-topic, or say what to look "
            "for with --instruction"
        )
    return ""


def _listed_texts(contents: _Contents) -> str:
    return ", ".join(f"{topic} ({len(texts)})" for topic, texts in sorted(contents.texts.items())) or "none"


def _refusal(text: str) -> str:
    """Why the node does not take instructions, "" where it does."""
    try:
        split_instructions(text)
    except SegPointError as error:
        return str(error)
    return ""


def _in_brackets(troubles: list[str]) -> str:
    return f" ({'; '.join(troubles)})" if troubles else ""
