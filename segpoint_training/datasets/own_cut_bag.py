"""Bags that end early, because a battery did or a copy broke off: what is whole in them can still be read.

An .mcap lacks its index and its end then: it is shown to the reader as if it ended after its last whole record. SQLite
refuses a .db3 that is shorter than its header says, unless it is told to look all the same; then its table is read row
by row, as far as it goes.
"""

from __future__ import annotations

import io
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
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


class CutSqlite:
    """The messages of one type in a cut .db3, from the first row on."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        with closing(self._open()) as database:
            self.topics = dict(database.execute("SELECT id, name FROM topics WHERE type = ?", (kind,)).fetchall())

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Topic, nanoseconds and row number of each message that can be read whole."""
        with closing(self._open()) as database, suppress(sqlite3.DatabaseError):  # where the file ends
            # length() alone would not look at the pages of a row.
            for row, topic, stamp, _ in database.execute("SELECT id, topic_id, timestamp, data FROM messages"):
                if topic in self.topics:
                    yield self.topics[topic], stamp, row

    def message(self, row: int) -> bytes:
        with closing(self._open()) as database:
            return database.execute("SELECT data FROM messages WHERE id = ?", (row,)).fetchone()[0]

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(f"{self._path.resolve().as_uri()}?immutable=1", uri=True)
        database.execute("PRAGMA writable_schema = ON")  # reads on although the file is too short
        return database
