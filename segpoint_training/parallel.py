"""Work spread over the machine's cores: results in order, one progress bar, no process left behind."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import TypeVar

from tqdm import tqdm

from segpoint.errors import SegPointError

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def available_cores() -> int:
    """Cores that this process may run on, which a batch system sets below what the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    describe: str = "",
    unit: str = "scene",
) -> Generator[Result, None, None]:
    """``function(item)`` of every item, in their order, computed by ``workers`` processes (None: one per core).

    Function and items have to pickle; one worker means this process. The first exception of a call is raised here and
    ends the rest, as does an interruption. Raises SegPointError where a worker is killed.
    """
    workers = min(workers or available_cores(), len(items))
    seldom = 0.1 if sys.stderr.isatty() else 30  # seconds between lines of a log file
    with tqdm(total=len(items), desc=describe, unit=unit, mininterval=seldom, maxinterval=2 * seldom) as progress:
        if workers <= 1:
            for item in items:
                yield function(item)
                progress.update()
            return
        with closing(_spread(function, items, workers)) as results:  # left to the garbage collector, it hears no Ctrl-C
            for result in results:
                progress.update()
                yield result


def _spread(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Generator[Result, None, None]:
    others = set(multiprocessing.active_children())
    # Spawned, not forked: torch and OpenMP may run in this process already, and neither survives a fork.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start_worker)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * workers + 16:  # results wait in memory for a slow one before them: not too many
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise SegPointError("a worker process was killed (out of memory?): try again with fewer --workers") from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()  # nobody waits for the scenes in hand
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker(threads: int = 1) -> None:
    """Threads of a worker, set before torch is loaded; the parent alone hears Ctrl-C, and does not go without it."""
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, str(threads)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a parent that is killed takes its workers with it
