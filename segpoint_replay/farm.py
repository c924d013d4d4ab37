"""Many bags: one task each, spread over processes of this machine or over a Ray cluster.

A worker loads the model once and takes one bag after the other. Where a worker is lost (killed, out of memory, its
machine gone), its bag is begun anew, by the same rule here and on a cluster; all other errors are answers about that
bag, and are not tried again.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol

from segpoint.errors import DeviceLost, SegPointError
from segpoint_replay.job import Job
from segpoint_replay.record import RUN, Run, read_run
from segpoint_training.parallel import available_cores, start_worker

RETRIES = 3  # of a bag whose worker was lost
PATIENCE = 30.0  # seconds in which an interrupted worker may write down what it has
_POLL = 1.0  # seconds between looks at what the bags are at


@dataclass(frozen=True)
class Failed:
    """A bag without a run, and why.   lost: its worker went, which another one may not."""

    why: str
    lost: bool = False


class Unfinished(SegPointError):
    """Some of many bags could not be replayed. failed: why, by bag.   runs: the others', in their order; they are on
    the disk, too."""

    def __init__(self, failed: Sequence[tuple[Job, Failed]], runs: list[Run]) -> None:
        told = "; ".join(f"{job.bag}: {outcome.why.removeprefix(f'{job.bag}: ')}" for job, outcome in failed)
        super().__init__(f"{len(failed)} of {len(failed) + len(runs)} bags were not replayed: {told}")
        self.failed = {job.bag: outcome.why for job, outcome in failed}
        self.runs = runs


class Crew(Protocol):
    """Workers. They know jobs by their number."""

    def submit(self, number: int, job: Job) -> None:
        """Have a bag replayed when a worker is free."""

    def wait(self, seconds: float) -> list[tuple[int, Run | Failed]]:
        """What has ended, after at most so long."""


def replay_all(jobs: Sequence[Job], workers: int = 1, ray: str = "", cpus: int = 1) -> list[Run]:
    """The runs of the jobs, in their order; one that is finished is taken from its record.

    workers: processes on this machine; its cores are divided between them (OMP_NUM_THREADS, where it is set, stands for
    each of them).   ray: the address of a Ray cluster, "auto" for the one of this machine, "" for none; it decides how
    many bags it does at a time, each on ``cpus`` processors (`segpoint_replay.cluster`).

    Raises SegPointError where the only bag cannot be replayed, and `Unfinished` for some of many, after all others are.
    Ctrl-C ends all workers; what they had answered is in incomplete records.
    """
    if ray:
        from segpoint_replay.cluster import Cluster

        with Cluster(ray, replay_one, jobs, cpus) as cluster:
            outcomes = spread(jobs, cluster)
    elif min(workers, len(jobs)) > 1:
        with Processes(min(workers, len(jobs)), replay_one) as processes:
            outcomes = spread(jobs, processes)
    else:
        return in_turn(jobs, partial(replay_one, progress=True))
    return _runs(jobs, outcomes)


def in_turn(jobs: Sequence[Job], task: Callable[[Job], Run]) -> list[Run]:
    """The task for one job after the other, in this process, where a lost device or a defect ends those that follow,
    too. Raises as `replay_all` does."""
    return [task(jobs[0])] if len(jobs) == 1 else _runs(jobs, [_here(task, job) for job in jobs])


def replay_one(job: Job, progress: bool = False) -> Run:
    """A bag's run: the one that is there, if it is of the same job and made of the same things."""
    from segpoint_replay.offline import replay  # torch: not before a worker has set its threads
    from segpoint_replay.recorder import finished
    from segpoint_replay.versions import versions

    return finished(job, versions(job)) or replay(job, progress)


def attempt(task: Callable[[Job], Run], job: Job) -> Run | Failed:
    """The task in a worker: whatever goes wrong with a bag is told, and the next one may be good."""
    try:
        return task(job)
    except DeviceLost as error:
        return Failed(str(error), lost=True)
    except SegPointError as error:
        return Failed(str(error))
    except Exception as error:  # noqa: BLE001  a defect of ours or of the installation
        traceback.print_exc()
        return Failed(f"{type(error).__name__}: {error}")


def spread(jobs: Sequence[Job], crew: Crew) -> list[Run | Failed]:
    """What came of each job, with a bar over the bags; those of lost workers are begun anew, RETRIES times."""
    from tqdm import tqdm

    outcomes: dict[int, Run | Failed] = {}
    lost: Counter[int] = Counter()
    watch = _Watch(jobs)
    seldom = 0.1 if sys.stderr.isatty() else 30  # seconds between lines of a log file
    for number, job in enumerate(jobs):
        crew.submit(number, job)
    with tqdm(total=len(jobs), desc="replay", unit=" bags", mininterval=seldom, maxinterval=2 * seldom) as bar:
        while len(outcomes) < len(jobs):
            for number, outcome in crew.wait(_POLL):
                if isinstance(outcome, Failed) and outcome.lost:
                    lost[number] += 1
                    again = lost[number] <= RETRIES
                    then = "it is begun anew" if again else "it is given up"
                    bar.write(f"{jobs[number].bag}: {outcome.why}; {then}", file=sys.stderr)
                    if again:
                        crew.submit(number, jobs[number])
                        continue
                    outcome = Failed(f"its worker was lost {lost[number]} times, at last: {outcome.why}")
                outcomes[number] = outcome
                bar.update()
            bar.set_postfix_str(watch.look(outcomes), refresh=False)
            bar.update(0)
    return [outcomes[number] for number in range(len(jobs))]


class Processes:
    """Spawned workers of this machine.

    Each has a pipe of its own, so that one that is killed takes only its bag with it and is known by its exit code; an
    executor of concurrent.futures would give up the bags of all. As a context manager it leaves none behind.
    """

    def __init__(self, count: int, task: Callable[[Job], Run]) -> None:
        self._count, self._task = count, task
        given = os.environ.get("OMP_NUM_THREADS", "")
        self._threads = int(given) if given.isdigit() else max(1, available_cores() // count)
        self._waiting: deque[tuple[int, Job]] = deque()
        self._processes: dict[Connection, SpawnProcess] = {}
        self._busy: dict[Connection, int] = {}
        self._memory_ran_out = _out_of_memory_kills()

    def submit(self, number: int, job: Job) -> None:
        self._waiting.append((number, job))

    def wait(self, seconds: float) -> list[tuple[int, Run | Failed]]:
        while self._waiting and len(self._busy) < self._count:
            number, job = self._waiting.popleft()
            connection = next((one for one in self._processes if one not in self._busy), None) or self._start()
            self._busy[connection] = number
            with suppress(OSError):  # it was killed while idle, which is seen below
                connection.send(job)
        ready = [one for one in wait(list(self._busy), seconds) if isinstance(one, Connection)]
        return [(self._busy.pop(connection), self._outcome(connection)) for connection in ready]

    def _start(self) -> Connection:
        context = get_context("spawn")  # torch and OpenMP may run in this process already, and neither survives a fork
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._threads, self._task), daemon=True)
        process.start()
        theirs.close()  # so that ours ends with the worker
        self._processes[ours] = process
        return ours

    def _outcome(self, connection: Connection) -> Run | Failed:
        try:
            outcome = connection.recv()
        except (EOFError, OSError):
            outcome = None
        if outcome is None or isinstance(outcome, Failed) and outcome.lost:
            process = self._processes.pop(connection)
            connection.close()
            process.join(PATIENCE)
            return outcome or Failed(self._why(process.exitcode), lost=True)
        return outcome

    def _why(self, code: int | None) -> str:
        if code == -signal.SIGKILL and _out_of_memory_kills() > self._memory_ran_out:
            return "its worker was killed because the machine's memory ran out (fewer --workers need less)"
        if code is not None and code < 0:
            return f"its worker was killed by signal {-code} ({signal.strsignal(-code)})"
        return f"its worker ended with exit code {code}"

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        """Idle workers end with their pipe; those with a bag in hand, after an error, write down what they have."""
        end = time.monotonic() + PATIENCE
        try:
            for connection, process in self._processes.items():
                if connection in self._busy:
                    process.terminate()
                connection.close()
            for process in self._processes.values():
                process.join(max(0.0, end - time.monotonic()))
        finally:  # also after a second Ctrl-C
            for process in self._processes.values():
                process.kill()
                process.join()


def _work(connection: Connection, threads: int, task: Callable[[Job], Run]) -> None:
    """A worker's life: until its pipe ends, its device is lost, or it is told to go (as by its parent's death)."""
    start_worker(threads)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the record is written before it goes
    with suppress(EOFError, OSError, KeyboardInterrupt):
        outcome: Run | Failed | None = None
        while not (isinstance(outcome, Failed) and outcome.lost):
            outcome = attempt(task, connection.recv())
            connection.send(outcome)


def _here(task: Callable[[Job], Run], job: Job) -> Run | Failed:
    try:
        return task(job)
    except DeviceLost:
        raise
    except SegPointError as error:
        return Failed(str(error))


def _runs(jobs: Sequence[Job], outcomes: Sequence[Run | Failed]) -> list[Run]:
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    failed = [(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True) if isinstance(outcome, Failed)]
    if failed and len(jobs) == 1:
        raise SegPointError(failed[0][1].why)
    if failed:
        raise Unfinished(failed, runs)
    return runs


class _Watch:
    """What the bags are at, as their records say, which are written now and then: a worker may be on any machine."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._seen = [written(job.out) for job in jobs]
        self._at: dict[int, str] = {}

    def look(self, ended: dict[int, Run | Failed]) -> str:
        for number, job in enumerate(self._jobs):
            if number in ended:
                self._at.pop(number, None)
            elif (time_of := written(job.out)) != self._seen[number]:
                self._seen[number] = time_of
                with suppress(SegPointError):
                    self._at[number] = f"{Path(job.out).name} {len(read_run(job.out).frames)} clouds"
        return ", ".join(self._at.values())


def written(folder: str | Path) -> float:
    """When the record in a folder was, seconds since 1970, 0 for never."""
    try:
        return (Path(folder) / RUN).stat().st_mtime
    except OSError:
        return 0.0


def _out_of_memory_kills() -> int:
    """Processes that Linux has killed for want of memory since it started; 0 where it does not say."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
