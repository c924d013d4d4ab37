"""The folders of engines in the cache: who may write there, and which are thrown away.

Every version of a bundle, and of the network's code, has a folder of its own, some 18 MB. So whoever adds one removes
those that nobody has used for `UNUSED_DAYS`; the `KEPT` used last stay however old they are. A process holds what it
has loaded in memory: it loses nothing, and the next one that needs a removed folder makes it again.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segpoint.engines.runner import Unavailable

UNUSED_DAYS = 30
KEPT = 3

log = logging.getLogger("segpoint.engines")

_NAME = re.compile(r"[0-9a-f]{16}")
_PASSING = ".engines-"  # begins the name of a folder in which an export is being written


def mark_used(folder: Path) -> None:
    """A folder's time of last use is its own modification time. To be called before its files are looked at."""
    with suppress(OSError):  # not there, or a cache that is only read
        os.utime(folder)


@contextmanager
def turn(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock file, one process at a time. The lock of a process that has died is free.

    what: what another process may be at, to be told while this one waits for it. Raises `Unavailable` where the file
    cannot be made.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout:
            log.info("%s by another process: waiting for it", what)
            held.acquire()
    except OSError as error:
        raise unwritable(lock.parent, error) from error
    try:
        yield
    finally:
        held.release()


@contextmanager
def passing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder within ``folder``, gone afterwards. Those of processes that were killed are removed first."""
    from filelock import FileLock, Timeout

    def lock(passing: Path) -> FileLock:
        return FileLock(passing / ".lock")

    for left in folder.glob(f"{_PASSING}*"):
        with suppress(OSError, Timeout), lock(left).acquire(timeout=0):  # the lock of a process that lives is held
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PASSING, dir=folder) as made:
        with lock(Path(made)):
            content = Path(made) / "content"
            content.mkdir()
            yield content


def prune(engines: Path) -> None:
    """Remove what `UNUSED_DAYS` and `KEPT` say. The caller has the `turn` of all exports into ``engines``.

    A folder leaves under another name, in one step, and is then deleted. A process that came for it in that very moment
    marks it before it reads: it finds the whole folder or none, and makes it anew in the second case.
    """
    try:
        for left in engines.glob(".*.removed"):  # by a process that was stopped at it
            shutil.rmtree(left, ignore_errors=True)
        used = {path: path.stat().st_mtime for path in engines.iterdir() if _NAME.fullmatch(path.name)}
        for folder in sorted(used, key=lambda path: used[path], reverse=True)[KEPT:]:
            if folder.stat().st_mtime < time.time() - UNUSED_DAYS * 86_400:
                gone = folder.with_name(f".{folder.name}.removed")
                os.replace(folder, gone)
                shutil.rmtree(gone, ignore_errors=True)
                log.info("removed %s: not used for %d days", folder, UNUSED_DAYS)
    except OSError as error:  # the engines just made are good all the same
        log.warning("old engines in %s cannot be removed: %s", engines, error)


def unwritable(folder: Path, error: OSError) -> Unavailable:
    """What is told where engines cannot be kept."""
    why = error.strerror or error
    return Unavailable(f"cannot write engines to {folder} ({why}): make room, or set SEGPOINT_CACHE to another folder")
