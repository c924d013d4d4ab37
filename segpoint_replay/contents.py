"""What a bag holds, found by reading through it once, file by file, and what keeps a part of it from being read."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from pathlib import Path

from segpoint.errors import SegPointError
from segpoint_replay.bag_files import opened
from segpoint_replay.transforms import TRANSFORMS
from segpoint_ros.messages import deserialize
from segpoint_training.datasets.own_bag_files import BagFiles, Message, reason
from segpoint_training.datasets.own_cut_bag import NEVER

CLOUD = "sensor_msgs/msg/PointCloud2"
TEXT = "std_msgs/msg/String"
LONGEST_WAIT = 86_400.0  # seconds from the first message to the first cloud that are believed; our choice
_KINDS = (CLOUD, TEXT, TRANSFORMS)


@dataclass
class Clouds:
    """The clouds on a topic. fields: names of the first one's.   times: nanoseconds as recorded, and of the header."""

    fields: tuple[str, ...] = ()
    times: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Contents:
    """What a bag holds beside the clouds themselves.

    spans: each file that can be read, with nanoseconds of its first message and of its last.   clouds, texts (with
    their nanoseconds): by topic; like the transforms in order of time as recorded, whatever the order of writing.
    others: topics of types that a replay does not need.
    """

    start: int = NEVER
    spans: list[tuple[int, int, Path]] = field(default_factory=list)
    clouds: dict[str, Clouds] = field(default_factory=dict)
    texts: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    transforms: list[Message] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


def read_through(files: BagFiles) -> Contents:
    """What a bag's files hold, as far as they can be read, and what is lost."""
    contents = Contents(troubles=list(files.troubles))
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
        clouds.times.sort(key=itemgetter(0))
    for texts in contents.texts.values():
        texts.sort(key=itemgetter(0))
    contents.transforms.sort(key=attrgetter("received"))
    contents.troubles += _take_start(contents)
    contents.troubles += [_last(text, ends, contents.start) for text, ends in lost]
    contents.troubles += _too_few(contents, files.expected)
    return contents


def _take(contents: Contents, message: Message) -> None:
    if message.kind == TRANSFORMS:
        contents.transforms.append(message)
    elif message.kind == TEXT:
        with suppress(SegPointError):  # no text, not even an empty one
            text = deserialize(message.data, TEXT).data
            contents.texts.setdefault(message.topic, []).append((message.received, text))
    else:
        clouds = contents.clouds.setdefault(message.topic, Clouds())
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


def _take_start(contents: Contents) -> Iterator[str]:
    """Have the bag start with its clouds where something came at quite another time, as at 0 by a clock not yet set."""
    first = min((clouds.times[0][0] for clouds in contents.clouds.values()), default=contents.start)
    if first - contents.start > LONGEST_WAIT * 1e9:
        days = (first - contents.start) / 86_400e9
        yield f"the first message was recorded {days:,.0f} days before the first cloud: time is counted from that cloud"
        contents.start = first


def _last(text: str, ends: int, start: int) -> str:
    if ends < 0:
        return f"{text}: no message that a replay needs can be read of it"
    return f"{text}: nothing later than {(ends - start) / 1e9:.2f} s after the bag's start can be read"


def _too_few(contents: Contents, expected: dict[str, int]) -> Iterator[str]:
    """Which topics have fewer messages than the metadata say."""
    there = {topic: len(clouds.times) for topic, clouds in contents.clouds.items()}
    there |= {topic: len(texts) for topic, texts in contents.texts.items()}
    there |= Counter(message.topic for message in contents.transforms)
    for topic, count in expected.items():
        if topic not in contents.others and there.get(topic, 0) < count:
            yield f"of {count} messages on {topic} {there.get(topic, 0)} can be read"
