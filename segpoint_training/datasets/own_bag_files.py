"""The files of a bag, one after the other: their messages in order of time, as far as each file is whole.

Each file is read by itself. So a rosbag2 folder without its metadata.yaml, or with some of its files missing, is read
as any other; the metadata, where there is any, say what should be there. Labelled clouds (`own_bag`) and a replay's
are found by this one rule.
"""

from __future__ import annotations

import heapq
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import yaml

from segpoint.errors import SegPointError
from segpoint_training.datasets.own_cut_bag import NEVER, CutMcap, CutRos1, CutSqlite, is_cut_mcap, is_cut_sqlite

SUFFIXES = (".mcap", ".db3", ".bag")
METADATA = "metadata.yaml"
_ROS1 = (".bag", ".active")  # the last of a bag that was not closed
_PACKED = (".zstd", ".zst")  # whole files, by rosbag2's compression mode "file"
_ZSTD = b"\x28\xb5\x2f\xfd"  # no CDR begins so; compression mode "message"
_BLOCK = 1 << 20
_ROS1_NAMES = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}  # the same under its older name

Raw = tuple[str, str, int, bytes]  # topic, type, nanoseconds and content


@dataclass(frozen=True)
class Message:
    """One message. kind: its type ("std_msgs/msg/String").   received: nanoseconds, when recorded.   data: CDR, or of
    ROS 1 what `opened` was told to make of it."""

    topic: str
    kind: str
    received: int
    data: bytes


@dataclass(frozen=True)
class BagFiles:
    """What a bag consists of.

    expected: how many messages each topic has by the metadata; {} where there are none.   troubles: what is missing.
    """

    files: tuple[Path, ...]
    expected: dict[str, int] = field(default_factory=dict)
    troubles: tuple[str, ...] = ()


def is_part(path: Path) -> bool:
    """Whether a path is that of a bag's file by its name, compressed or not."""
    name = path.with_suffix("") if path.suffix in _PACKED else path
    return name.suffix in (*SUFFIXES, *_ROS1)


def find_files(path: Path) -> BagFiles:
    """The files of a rosbag2 folder, or the one that ``path`` is. Raises SegPointError where it is no bag.

    Of a folder they are those that its metadata name. All that lie there are taken where there are no metadata, and
    where none of the named ones is there, as when what was repaired has another name (our choice).
    """
    if not path.exists():
        raise SegPointError(f"{path}: there is no such bag; correct its name or copy it there")
    known = f"a rosbag2 folder or a file that ends in {', '.join(SUFFIXES)}"
    if not path.is_dir():
        if not is_part(path):
            raise SegPointError(f"{path}: not a bag by its name; give {known}")
        return BagFiles((path,))
    files = tuple(sorted((file for file in path.iterdir() if is_part(file)), key=as_counted))
    try:
        said = yaml.safe_load((path / METADATA).read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
        named = [path / PurePath(name).name for name in said["relative_file_paths"]]
        topics = [(one["topic_metadata"]["name"], one["message_count"]) for one in said["topics_with_message_count"]]
    except FileNotFoundError:
        found = BagFiles(files, troubles=("there is no metadata.yaml: the bag was not closed",))
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        found = BagFiles(files, troubles=(f"metadata.yaml cannot be read ({reason(error)})",))
    else:
        there = tuple(file for file in named if file.is_file())
        missing = tuple(f"{file.name} is missing" for file in named if file not in there)
        others = [file.name for file in files if file not in there] if missing or not there else []
        fate = "is not read" if there else "is read"
        aside = tuple(f"{name}, which metadata.yaml does not name, {fate}" for name in others)
        found = BagFiles(there or files, {str(name): int(count) for name, count in topics}, missing + aside)
    if not found.files:
        raise SegPointError(f"{path}: no part of a bag is in this folder ({'; '.join(found.troubles)}); give {known}")
    return found


def as_counted(path: Path) -> list[str | int]:
    """The key that sorts files by the numbers in their names: run_2 comes before run_10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


class Part:
    """One file of a bag, opened. Made by `opened`.

    start: nanoseconds of its first message, NEVER where there is none.   topics: their types by name.
    cut: whether it ends early.   ros1: whether it is of ROS 1.
    """

    def __init__(
        self,
        start: int,
        topics: dict[str, str],
        cut: bool,
        read: Callable[..., Iterator[Raw]],
        of_ros1: Callable[[bytes, str], bytes] | None,
    ) -> None:
        self.start, self.topics, self.cut, self.ros1 = start, topics, cut, of_ros1 is not None
        self._read, self._of_ros1 = read, of_ros1

    def messages(
        self, kinds: Collection[str], topic: str = "", since: int = 0, until: int = NEVER
    ) -> Iterator[Message]:
        """The messages of these types, of one topic or all, since ≤ received < until, in nanoseconds.

        In order of time, except where the file is cut: then as they were written. Raises whatever the libraries raise
        for a damaged file, after the messages before the damage.
        """
        wanted = {name for name, kind in self.topics.items() if topic in ("", name) and _named(kind) in kinds}
        if not wanted:
            return
        for name, kind, received, content in self._read(wanted, since, until):
            if name in wanted and since <= received < until and _named(kind) in kinds:
                data = self._of_ros1(content, _named(kind)) if self._of_ros1 else _unpacked_message(content)
                yield Message(name, _named(kind), received, data)

    def in_order(
        self, kinds: Collection[str], topic: str = "", since: int = 0, until: int = NEVER
    ) -> Iterator[Message]:
        """The same in order of time also where the file is cut: messages wait in memory for earlier ones that were
        written after them. Such a file is read twice."""
        if not self.cut:
            yield from self.messages(kinds, topic, since, until)
            return
        times: list[int] = []
        with suppress(Exception):  # raised below, after the messages before the damage
            for message in self.messages(kinds, topic, since, until):
                times.append(message.received)
        due = iter(sorted(times))
        waiting: list[tuple[int, int, Message]] = []
        following = next(due, NEVER)
        for place, message in enumerate(self.messages(kinds, topic, since, until)):
            heapq.heappush(waiting, (message.received, place, message))
            while waiting and waiting[0][0] == following:
                yield heapq.heappop(waiting)[2]
                following = next(due, NEVER)


@contextmanager
def opened(file: Path, of_ros1: Callable[[bytes, str], bytes] = lambda content, _: content) -> Iterator[Part]:
    """Open one file of a bag, whole or cut. Raises whatever the libraries raise where nothing can be read of it.

    of_ros1: makes a message's data of what is in a bag of ROS 1, given that and its type; by default nothing else.
    """
    with ExitStack() as stack:
        cut = False
        if file.suffix in _PACKED:
            file, cut = stack.enter_context(_unpacked_file(file))
        ros1 = file.suffix in _ROS1
        if file.suffix == ".db3" and is_cut_sqlite(file):
            yield _cut_sqlite(file)
            return
        cut_mcap = file.suffix == ".mcap" and is_cut_mcap(file)
        try:
            reader = stack.enter_context(_reader(CutMcap(file) if cut_mcap else file, ros1))
        except Exception:  # whatever rosbags raises for a damaged file
            if ros1:
                yield _cut_ros1(file, of_ros1)
            elif file.suffix == ".db3":
                yield _cut_sqlite(file)
            else:
                raise
            return
        topics = {connection.topic: connection.msgtype for connection in reader.connections}
        # In a cut file rosbags wants all messages in order of time, and gives up where two topics' are not.
        source = reader.storage.messages_scan if cut_mcap else reader.messages

        def read(wanted: Collection[str], since: int, until: int) -> Iterator[Raw]:
            connections = [connection for connection in reader.connections if connection.topic in wanted]
            for connection, received, content in source(connections, start=since, stop=until):
                yield connection.topic, connection.msgtype, received, content

        yield Part(reader.start_time, topics, cut or cut_mcap, read, of_ros1 if ros1 else None)


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def _reader(path: Any, ros1: bool) -> Any:
    if ros1:
        from rosbags.rosbag1 import Reader as Reader1

        return Reader1(path)
    from rosbags.rosbag2 import Reader as Reader2

    return Reader2(path)


def _cut_sqlite(file: Path) -> Part:
    database = CutSqlite(file)
    topics = {name: database.types[number] for number, name in database.topics.items()}
    start = next((received for _, _, received, _ in database.messages()), NEVER)
    return Part(start, topics, True, lambda _, *between: database.messages(*between), None)


def _cut_ros1(file: Path, of_ros1: Callable[[bytes, str], bytes]) -> Part:
    bag = CutRos1(file)
    return Part(bag.start, bag.topics, True, lambda *_: bag.messages(), of_ros1)


def _named(kind: str) -> str:
    return _ROS1_NAMES.get(kind, kind)


# --- compressed ---------------------------------------------------------------------------------------------------


@contextmanager
def _unpacked_file(path: Path) -> Iterator[tuple[Path, bool]]:
    """A compressed file's content as a file that passes, and whether it ends early: then as far as it goes."""
    cut = False
    with tempfile.TemporaryDirectory(prefix="segpoint-") as folder:
        whole = Path(folder) / path.stem
        with _zstd().open(path, "rb") as packed, whole.open("wb") as file:
            try:
                while block := packed.read1(_BLOCK):  # unlike read, what came before the end is not lost
                    file.write(block)
            except (EOFError, _zstd().ZstdError):
                cut = True
        yield whole, cut


def _unpacked_message(content: bytes) -> bytes:
    return _zstd().decompress(content) if content.startswith(_ZSTD) else content


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:  # comes with rosbags
        from backports import zstd
    return zstd
