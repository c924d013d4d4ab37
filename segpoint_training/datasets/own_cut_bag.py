"""Bags that end early, because a battery did or a copy broke off: what is whole in them can still be read.

An .mcap lacks its index and its end then: it is shown to the reader as if it ended after its last whole record. SQLite
refuses a .db3 that is shorter than its header says, unless it is told to look all the same; then its table is read row
by row, as far as it goes. The last rows may be in its write-ahead log, a file beside it that SQLite takes into the .db3
when it is closed; they are read where they are, and nothing is written. A .bag of ROS 1 lacks its index, too; its
chunks are read in turn.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO

NEVER = 2**63 - 1  # nanoseconds
_MAGIC = b"\x89MCAP0\r\n"
_SQLITE = b"SQLite format 3\0"
_HEADER = struct.Struct("<BQ")  # of a record: what it is, and its length
_END_OF_DATA = 0x0F
# A footer that says there is no index: opcode 2, 20 bytes, all zero.
_FOOTER = _HEADER.pack(0x02, 20) + bytes(20) + _MAGIC


def is_cut_mcap(path: Path) -> bool:
    """Whether a file begins as an MCAP and does not end as one."""
    with path.open("rb") as file:
        begins = file.read(len(_MAGIC)) == _MAGIC
        file.seek(max(0, path.stat().st_size - len(_MAGIC)))
        return begins and file.read() != _MAGIC


class CutMcap:
    """The path of a cut .mcap, as `rosbags` takes paths; opened, it is whole but for what is lost."""

    suffix = ".mcap"

    def __init__(self, path: Path) -> None:
        self.path, self.stem = path, path.stem

    def exists(self) -> bool:
        return self.path.exists()

    def is_dir(self) -> bool:
        return False

    def open(self, *_: Any, **__: Any) -> BinaryIO:
        return io.BufferedReader(_Closed(self.path))

    def read_text(self, encoding: str | None = None) -> str:
        return self.path.read_text(encoding)

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        return self.path.stat()

    def __truediv__(self, key: Any) -> CutMcap:
        return CutMcap(self.path / str(key))


class _Closed(io.RawIOBase):
    """A file's bytes up to the end of its last whole record, and then an end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._kept = _whole_records(self._file, path.stat().st_size)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._kept + len(_FOOTER)}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if self._at < self._kept:
            self._file.seek(self._at)
            count = self._file.readinto(view[: self._kept - self._at])
        else:
            rest = _FOOTER[self._at - self._kept :][: len(view)]
            view[: len(rest)] = rest
            count = len(rest)
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _whole_records(file: BinaryIO, size: int) -> int:
    """Bytes up to the end of the last whole record that holds data."""
    end = len(_MAGIC)
    while True:
        file.seek(end)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return end
        code, length = _HEADER.unpack(header)
        if code in (0, _END_OF_DATA) or end + _HEADER.size + length > size:
            return end
        end += _HEADER.size + length


def is_cut_sqlite(path: Path) -> bool:
    """Whether a file begins as SQLite's and was not closed: it has a log, or is shorter than its header says."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(_SQLITE):
        return False
    if (log := sqlite_log(path)).is_file() and log.stat().st_size:
        return True
    size, page = path.stat().st_size, _page_size(header)
    return size % page != 0 or size < page * int.from_bytes(header[28:32], "big")


def sqlite_log(path: Path) -> Path:
    """Where the write-ahead log of a .db3 is, if it has one."""
    return path.with_name(path.name + "-wal")


def _page_size(header: bytes) -> int:
    return {1: 65536}.get(said := int.from_bytes(header[16:18], "big"), max(said, 512))


class CutSqlite:
    """The messages in a cut .db3 and its log, from the first row on.

    topics, types: the topics' names and types by their number.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._open()) as database:
            topics = database.execute("SELECT id, name, type FROM topics").fetchall()
        self.topics: dict[int, str] = {number: name for number, name, _ in topics}
        self.types: dict[int, str] = {number: kind for number, _, kind in topics}

    def messages(self, since: int = 0, until: int = NEVER) -> Iterator[tuple[str, str, int, bytes]]:
        """Topic, type, nanoseconds and bytes of each message that can be read whole, in the order written.

        Those before ``since`` and from ``until`` on are passed over without reading their bytes."""
        import apsw

        with closing(self._open()) as database, suppress(apsw.Error):  # where the file ends
            # The + keeps SQLite from the index of times, which lies where the file is cut.
            rows = "SELECT topic_id, timestamp, data FROM messages WHERE +timestamp >= ? AND +timestamp < ?"
            for topic, stamp, data in database.execute(rows, (since, until)):
                if topic in self.topics:
                    yield self.topics[topic], self.types[topic], stamp, data

    def _open(self) -> Any:
        import apsw

        database = apsw.Connection(str(self._path.resolve()), apsw.SQLITE_OPEN_READONLY, _look_only().name)
        database.execute("PRAGMA locking_mode = EXCLUSIVE")  # or the log would need a third file, which is written
        database.execute("PRAGMA writable_schema = ON")  # reads on although the file is too short
        return database


@cache
def _look_only() -> Any:
    """SQLite's way to a file and its log that changes nothing on the disk, neither file nor lock, and that leaves out
    the file's last page where that is cut: SQLite would take the rest of it for zeros."""
    import apsw

    class File(apsw.VFSFile):
        def xFileSize(self) -> int:  # noqa: N802
            size, header = super().xFileSize(), super().xRead(100, 0)
            return size - size % _page_size(header) if header.startswith(_SQLITE) else size

        def xLock(self, level: int) -> None:  # noqa: N802
            pass

        def xUnlock(self, level: int) -> None:  # noqa: N802
            pass

    class LookOnly(apsw.VFS):
        name = "segpoint_look_only"

        def __init__(self) -> None:
            super().__init__(self.name, "")

        def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
            return pathname.endswith("-wal") and super().xAccess(pathname, flags)  # a rollback would have to write

        def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
            pass

        def xOpen(self, name: Any, flags: list[int]) -> File:  # noqa: N802
            flags[0] &= ~(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            flags[0] |= apsw.SQLITE_OPEN_READONLY
            return File("", name, flags)

    return LookOnly()


class CutRos1:
    """The messages in a ROS 1 bag without its index: its chunks are read one after the other, as far as they go.

    topics: their types by name, of what has been read.   start: nanoseconds of the earliest message; to find it, all is
    read. Reading raises rosbags' ReaderError where the file does not begin as such a bag.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.topics: dict[str, str] = {}

    @cached_property
    def start(self) -> int:
        return min((stamp for _, _, stamp, _ in self.messages()), default=NEVER)

    def messages(self) -> Iterator[tuple[str, str, int, bytes]]:
        """Topic, type, nanoseconds and bytes (not CDR, but ROS 1's) of each whole message, in the order written."""
        from rosbags.rosbag1.reader import Header, ReaderError, RecordType, read_uint32

        with self._path.open("rb") as file:
            if file.readline(32) != b"#ROSBAG V2.0\n":
                raise ReaderError("File magic is invalid.")
            connections: dict[int, tuple[str, str]] = {}
            with suppress(ReaderError):  # where the file ends
                while True:
                    header = Header.read(file)
                    content = file.read(read_uint32(file))
                    if header.get_uint8("op") == RecordType.CHUNK:
                        yield from self._of_chunk(header, content, connections)

    def _of_chunk(
        self, header: Any, content: bytes, connections: dict[int, tuple[str, str]]
    ) -> Iterator[tuple[str, str, int, bytes]]:
        """The messages of a chunk; ``connections``, of this and those before, come to hold its topics and types."""
        from rosbags.rosbag1.reader import Header, RecordType, normalize, normalize_msgtype, read_bytes, read_uint32

        chunk = _unpacked(header, content)
        while chunk.tell() < header.get_uint32("size"):
            record = Header.read(chunk)
            data = read_bytes(chunk, read_uint32(chunk))
            number, what = record.get_uint32("conn"), record.get_uint8("op")
            if what == RecordType.CONNECTION:
                topic, kind = normalize(record.get_string("topic")), Header.read(io.BytesIO(_sized(data)))
                connections[number] = topic, normalize_msgtype(kind.get_string("type"))
                self.topics[topic] = connections[number][1]
            elif what == RecordType.MSGDATA and number in connections:
                yield *connections[number], record.get_time("time"), data


def _unpacked(header: Any, content: bytes) -> BinaryIO:
    """A chunk of ROS 1, as far as it is there. Raises ReaderError where it is compressed and cut."""
    from rosbags.rosbag1.reader import ReaderError, decompressors

    try:
        return io.BytesIO(decompressors[header.get_string("compression")](content))
    except (OSError, RuntimeError, ValueError, EOFError) as error:  # of bz2 and lz4
        raise ReaderError(f"A chunk cannot be unpacked: {error}") from error


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data
