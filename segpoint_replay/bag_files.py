"""The files of a bag, one after the other: their messages in order of time, as CDR, as far as each file is whole.

Each file is read by itself. So a rosbag2 folder without its metadata.yaml, or with some of its files missing, is read
as any other; the metadata, where there is any, say what should be there.
"""

from __future__ import annotations

import heapq
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import yaml

from segpoint.errors import SegPointError
from segpoint_ros.messages import serialize
from segpoint_training.datasets.own_cut_bag import CutMcap, CutRos1, CutSqlite, is_cut_mcap, is_cut_sqlite

_PACKED = (".zstd", ".zst")  # whole files, by rosbag2's compression mode "file"
_SUFFIXES = (".mcap", ".db3", ".bag", ".active")  # the last of a ROS 1 bag that was not closed
NEVER = 2**63 - 1  # nanoseconds
_ZSTD = b"\x28\xb5\x2f\xfd"  # no CDR begins so; compression mode "message"
_BLOCK = 1 << 20
_TRANSFORMS = "tf2_msgs/msg/TFMessage"
_ROS1_NAMES = {"tf/msg/tfMessage": _TRANSFORMS}  # the same under its older name

Raw = tuple[str, str, int, bytes]  # topic, type, nanoseconds and content


@dataclass(frozen=True)
class Message:
    """One message. kind: its type ("std_msgs/msg/String").   received: nanoseconds, when recorded.   data: CDR."""

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


def find_files(path: Path) -> BagFiles:
    """The files of a rosbag2 folder, or the one that ``path`` is. Raises SegPointError where it is no bag."""
    if not path.exists():
        raise SegPointError(f"{path}: there is no such bag; correct its name or copy it there")
    known = f"a rosbag2 folder or a file that ends in {', '.join(_SUFFIXES[:3])}"
    if not path.is_dir():
        if not _is_part(path):
            raise SegPointError(f"{path}: not a bag by its name; give {known}")
        return BagFiles((path,))
    files = tuple(sorted(file for file in path.iterdir() if _is_part(file)))
    try:
        said = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
        named = [PurePath(name).name for name in said["relative_file_paths"]]
        topics = [(one["topic_metadata"]["name"], one["message_count"]) for one in said["topics_with_message_count"]]
    except FileNotFoundError:
        found = BagFiles(files, troubles=("there is no metadata.yaml: the bag was not closed",))
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        found = BagFiles(files, troubles=(f"metadata.yaml cannot be read ({reason(error)})",))
    else:
        missing = tuple(f"{name} is missing" for name in named if not (path / name).is_file())
        there = tuple(path / name for name in named if (path / name).is_file())
        found = BagFiles(there, {str(name): int(count) for name, count in topics}, missing)
    if not found.files:
        raise SegPointError(f"{path}: no part of a bag is in this folder ({'; '.join(found.troubles)}); give {known}")
    return found


class Part:
    """One file of a bag, opened. Made by `opened`.

    start: nanoseconds of its first message, NEVER where there is none.   topics: their types by name.
    cut: whether it ends early.
    """

    def __init__(
        self, start: int, topics: dict[str, str], cut: bool, read: Callable[..., Iterator[Raw]], ros1: bool
    ) -> None:
        self.start, self.topics, self.cut = start, topics, cut
        self._read, self._ros1 = read, ros1

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
                data = _ros1_to_cdr(content, _named(kind)) if self._ros1 else _unpacked_message(content)
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
def opened(file: Path) -> Iterator[Part]:
    """Open one file of a bag, whole or cut. Raises whatever the libraries raise where nothing can be read of it."""
    with ExitStack() as stack:
        cut = False
        if file.suffix in _PACKED:
            file, cut = stack.enter_context(_unpacked_file(file))
        ros1 = file.suffix in (".bag", ".active")
        if file.suffix == ".db3" and is_cut_sqlite(file):
            yield _cut_sqlite(file)
            return
        cut_mcap = file.suffix == ".mcap" and is_cut_mcap(file)
        try:
            reader = stack.enter_context(_reader(CutMcap(file) if cut_mcap else file, ros1))
        except Exception:  # whatever rosbags raises for a damaged file
            if ros1:
                yield _cut_ros1(file)
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

        yield Part(reader.start_time, topics, cut or cut_mcap, read, ros1)


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
    return Part(start, topics, True, lambda *_: database.messages(), ros1=False)


def _cut_ros1(file: Path) -> Part:
    bag = CutRos1(file)
    return Part(bag.start, bag.topics, True, lambda *_: bag.messages(), ros1=True)


def _is_part(path: Path) -> bool:
    name = path.with_suffix("") if path.suffix in _PACKED else path
    return name.suffix in _SUFFIXES


def _named(kind: str) -> str:
    return _ROS1_NAMES.get(kind, kind)


# --- compressed, and of ROS 1 -------------------------------------------------------------------------------------


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


def _ros1_to_cdr(content: bytes, kind: str) -> bytes:
    return serialize(_ros1_types().deserialize_ros1(content, kind))  # in ROS 2 a header has no seq


@cache
def _ros1_types() -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", _TRANSFORMS))
    return store
