"""Bags that end early, because a battery did or a copy broke off: what is whole in them can still be read.

An .mcap lacks its index and its end then: it is shown to the reader as if it ended after its last whole record. SQLite
refuses a .db3 that is shorter than its header says, unless it is told to look all the same; then its table is read row
by row, as far as it goes. A .bag of ROS 1 lacks its index, too; its chunks are read in turn.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

_MAGIC = b"\x89MCAP0\r\n"
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
    """Whether a file begins as SQLite's and is shorter than its header says."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        return False
    size, page = path.stat().st_size, _page_size(header)
    return size % page != 0 or size < page * int.from_bytes(header[28:32], "big")


def _page_size(header: bytes) -> int:
    return {1: 65536}.get(said := int.from_bytes(header[16:18], "big"), max(said, 512))


class CutSqlite:
    """The messages in a cut .db3, of one type or (kind "") of all, from the first row on.

    topics, types: the topics' names and types by their number.
    """

    def __init__(self, path: Path, kind: str = "") -> None:
        self._path = path
        with closing(self._open()) as database:
            topics = database.execute("SELECT id, name, type FROM topics").fetchall()
        self.topics: dict[int, str] = {number: name for number, name, its in topics if kind in ("", its)}
        self.types: dict[int, str] = {number: its for number, _, its in topics}

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Topic, nanoseconds and row number of each message that can be read whole."""
        for row, topic, stamp, _ in self._rows():
            yield self.topics[topic], stamp, row

    def messages(self) -> Iterator[tuple[str, str, int, bytes]]:
        """Topic, type, nanoseconds and bytes of each message that can be read whole, in the order written."""
        for _, topic, stamp, data in self._rows():
            yield self.topics[topic], self.types[topic], stamp, data

    def message(self, row: int) -> bytes:
        with closing(self._open()) as database:
            return next(database.execute("SELECT data FROM messages WHERE id = ?", (row,)))[0]

    def _rows(self) -> Iterator[tuple[int, int, int, bytes]]:
        import apsw

        with closing(self._open()) as database, suppress(apsw.Error):  # where the file ends
            # length() alone would not look at the pages of a row.
            for row in database.execute("SELECT id, topic_id, timestamp, data FROM messages"):
                if row[1] in self.topics:
                    yield row

    def _open(self) -> Any:
        import apsw

        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        database = apsw.Connection(f"{self._path.resolve().as_uri()}?immutable=1", flags, _whole_pages().name)
        database.execute("PRAGMA writable_schema = ON")  # reads on although the file is too short
        return database


@cache
def _whole_pages() -> Any:
    """SQLite's way to a file without its last page where that is cut: SQLite would take the rest of it for zeros."""
    import apsw

    class File(apsw.VFSFile):
        def xFileSize(self) -> int:  # noqa: N802
            size = super().xFileSize()
            return size - size % _page_size(super().xRead(100, 0)) if size >= 100 else size

    class WholePages(apsw.VFS):
        name = "segpoint_whole_pages"

        def __init__(self) -> None:
            super().__init__(self.name, "")

        def xOpen(self, name: Any, flags: list[int]) -> File:  # noqa: N802
            return File("", name, flags)

    return WholePages()


class CutRos1:
    """The messages in a ROS 1 bag without its index: its chunks are read one after the other, as far as they go.

    topics: their types by name.   start: nanoseconds of the earliest message.
    Raises rosbags' ReaderError where the file does not begin as such a bag.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.topics: dict[str, str] = {}
        self.start = min((stamp for _, _, stamp, _ in self.messages()), default=2**63 - 1)

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
        from rosbags.rosbag1.reader import (
            Header,
            ReaderError,
            RecordType,
            decompressors,
            normalize,
            normalize_msgtype,
            read_bytes,
            read_uint32,
        )

        try:
            chunk = io.BytesIO(decompressors[header.get_string("compression")](content))
        except (OSError, RuntimeError, ValueError, EOFError) as error:  # of bz2 and lz4, for a chunk that is cut
            raise ReaderError(f"A chunk cannot be unpacked: {error}") from error
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


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data
