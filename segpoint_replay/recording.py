"""A bag as a replay sees it: its clouds in order, what was asked meanwhile, and where its frames were."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segpoint.errors import SegPointError
from segpoint_replay.bag_files import opened
from segpoint_replay.contents import CLOUD, TEXT, Clouds, Contents, read_through
from segpoint_replay.transforms import TransformTree
from segpoint_ros.messages import deserialize
from segpoint_ros.request import split_instructions
from segpoint_training.datasets.own_bag_files import Message, find_files, reason

if TYPE_CHECKING:
    from segpoint_ros.messages import PointCloud2

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


class Recording:
    """A bag that is open for replay. Its clouds are not in memory; what else counts, is.

    path: the bag.   topic: its clouds'.   start: nanoseconds of its first message, or of the first cloud where that
    comes LONGEST_WAIT later.   stamps, received: nanoseconds of all clouds, in order, of their headers and as recorded.
    transforms: the messages on /tf and /tf_static.   troubles: what cannot be read, and what is odd, a line each, and
    unreadable: the clouds' numbers that could not be read; reading the clouds may add to both.
    """

    def __init__(self, path: Path, topic: str, instruction_topic: str, contents: Contents) -> None:
        """Use `open`."""
        self.path, self.topic, self._named = path, topic, instruction_topic
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
        contents = read_through(files)
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
    def asked_on(self) -> str:
        """The topic of `said`, "" where there is none."""
        return self._named or _instruction_topic(self.path, self._contents)

    @cached_property
    def said(self) -> tuple[tuple[int, str], ...]:
        """What the bag's own topic asked for: nanoseconds as recorded, and the text; () without such a topic.

        It is the one that was named, else the only std_msgs/String topic, of several the only one whose name ends in
        "instruction". One that the node itself would not take anything of does not count (robot_description, say).
        As for the node an empty text means that nothing is asked any more, and one that it refuses, being too long, is
        left out and told in ``troubles``. Raises SegPointError that lists the topics where there are several.
        """
        taken = []
        for received, text in self._contents.texts.get(self.asked_on, ()):
            if refusal := _refusal(text):
                at = f"{self.asked_on} at {self._at(received):.2f} s"
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
            waiting = numbers.get(message.received)
            if not waiting or (number := waiting.pop()) not in left:  # none: it was not there before
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
        in_order = [file for _, _, file in self._contents.spans if file in files]  # of clouds of the same time, too
        parts = [_clouds_of(file, self.topic, since, until) for file in in_order]
        return heapq.merge(*parts, key=lambda message: message.received)


def _clouds_of(file: Path, topic: str, since: int, until: int) -> Iterator[Message]:
    with suppress(Exception), opened(file) as part:  # that it is damaged was told when it was read first
        yield from part.in_order((CLOUD,), topic, since, until)


def _odd_times(topic: str, clouds: Clouds) -> Iterator[str]:
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


def _cloud_topic(path: Path, contents: Contents, wanted: str) -> str:
    clouds = contents.clouds
    if not clouds:
        others = sorted([*contents.others, *contents.texts, *{message.topic for message in contents.transforms}])
        troubles = f" ({'; '.join(contents.troubles)})" if contents.troubles else ""
        raise SegPointError(
            f"{path}: no message of type {CLOUD}; its topics are {', '.join(others) or '(none)'}{troubles}: record the "
            "cloud, too"
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


def _listed(clouds: dict[str, Clouds]) -> str:
    """Topics with their counts and rates."""
    texts = []
    for topic, its in sorted(clouds.items()):
        seconds = (its.times[-1][0] - its.times[0][0]) / 1e9
        rate = f" at {(len(its.times) - 1) / seconds:.1f} Hz" if seconds > 0 else ""
        texts.append(f"{topic} ({len(its.times)}{rate})")
    return ", ".join(texts)


def _instruction_topic(path: Path, contents: Contents) -> str:
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


def _listed_texts(contents: Contents) -> str:
    return ", ".join(f"{topic} ({len(texts)})" for topic, texts in sorted(contents.texts.items())) or "none"


def _refusal(text: str) -> str:
    """Why the node does not take instructions, "" where it does."""
    try:
        split_instructions(text)
    except SegPointError as error:
        return str(error)
    return ""
