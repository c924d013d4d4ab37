"""Bags replayed by the machines of a Ray cluster.

Every machine has this package, with its extra "replay" and the bundle, installed: models and PyTorch are too large to
be sent along. Bags, labels and outputs lie on a file system that all of them and this one see under the same path.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from segpoint import __version__
from segpoint.errors import SegPointError
from segpoint.files import check_folder
from segpoint_replay.farm import PATIENCE, Failed, attempt
from segpoint_replay.job import Job
from segpoint_replay.record import Run
from segpoint_training.provenance import git_commit

_ANSWERS_WITHIN = 10.0  # seconds; Ray itself would try for minutes, and then end this process
_START = "start one with `ray start --head`, and `ray start --address=HOST:PORT` on its other machines"


@dataclass(frozen=True)
class Origin:
    """Where the bags were asked for. folder: that relative paths start from.   code: version and commit.   marks: an
    empty file beside the folders of outputs, as long as the work lasts: who sees it can write there for us to read."""

    folder: str
    code: tuple[str, str | None]
    marks: tuple[str, ...]


class Cluster:
    """The workers of a Ray cluster, as a context manager.

    address: "HOST:PORT", or "auto" for the cluster that this machine belongs to.   cpus: processors, and so threads, of
    each bag; a bag takes a GPU, too, unless its ``model.device`` is "cpu", or "auto" in a cluster without one (our
    choice). Raises SegPointError where Ray is not installed, the cluster cannot be used, or no machine has so much.
    """

    def __init__(self, address: str, task: Callable[[Job], Run], jobs: Sequence[Job], cpus: int = 1) -> None:
        self._address, self._task, self._jobs, self._cpus = address, task, jobs, cpus
        self._refs: dict[Any, int] = {}
        self._held = ExitStack()

    def __enter__(self) -> Cluster:
        with ExitStack() as held:
            held.enter_context(redirect_stdout(sys.stderr))  # Ray tells of lost workers there, amid what --json prints
            self._ray = _connect(self._address, held)
            self._machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            marks = tuple(_mark(parent, held) for parent in {Path(job.out).parent for job in self._jobs})
            self._origin = Origin(os.getcwd(), (__version__, git_commit()), marks)
            # A lost worker's bag is begun anew by `farm.spread`, not by Ray: it would not tell, and tries for ever
            # what its own watch over the memory has killed.
            self._remote = self._ray.remote(max_retries=0, retry_exceptions=False)(_on_a_machine)
            self._held = held.pop_all()
        return self

    def submit(self, number: int, job: Job) -> None:
        gpus = self._gpus(job)
        if not any(one.get("CPU", 0) >= self._cpus and one.get("GPU", 0) >= gpus for one in self._machines):
            raise SegPointError(
                f"no machine of the Ray cluster has {self._cpus} processors{' and a GPU' * gpus} for a bag: "
                "ask for less, or add such a machine first"
            )
        remote = self._remote.options(num_cpus=self._cpus, num_gpus=gpus)
        self._refs[remote.remote(self._task, job, self._origin)] = number

    def wait(self, seconds: float) -> list[tuple[int, Run | Failed]]:
        ready, _ = self._ray.wait(list(self._refs), timeout=seconds)
        return [(self._refs.pop(ref), self._outcome(ref)) for ref in ready]

    def _outcome(self, ref: Any) -> Run | Failed:
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError) as error:
            return Failed(f"its worker on the Ray cluster was lost ({_first_line(error)})", lost=True)
        except errors.OutOfMemoryError as error:
            return Failed(f"its worker was killed because its machine's memory ran out ({_first_line(error)})", True)
        except errors.RayError as error:
            if "No module named" in str(error):
                module = str(error).rpartition("No module named")[2].split("\n")[0].strip()
                return Failed(
                    f"a machine of the Ray cluster has no module {module}: install segpoint_ros[replay,ray] on each"
                )
            return Failed(f"Ray: {_first_line(error)}")

    def _gpus(self, job: Job) -> int:
        device = dict(job.parameters).get("model.device", "auto")
        there = any(one.get("GPU", 0) >= 1 for one in self._machines)
        return int(device != "cpu" and (device != "auto" or there))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error the bags in hand are interrupted, as by Ctrl-C, and their records written, unless a cloud
        takes longer than PATIENCE: Ray interrupts between Python's instructions, not a computation."""
        with self._held:
            for ref in self._refs:
                self._ray.cancel(ref)
            if self._refs:
                self._ray.wait(list(self._refs), num_returns=len(self._refs), timeout=PATIENCE)


def _on_a_machine(task: Callable[[Job], Run], job: Job, origin: Origin) -> Run | Failed:
    """A bag's task where Ray runs it."""
    try:
        _check_machine(job, origin)
    except SegPointError as error:
        return Failed(str(error))
    outcome = attempt(task, job)
    if isinstance(outcome, Failed) and outcome.lost:
        os._exit(1)  # Ray would give this process, whose device is lost, the next bag
    return outcome


def _check_machine(job: Job, origin: Origin) -> None:
    """Raise SegPointError unless this machine has the code and sees the files that are meant. It then stands in the
    folder that the paths are relative to."""
    here = socket.gethostname()
    if (code := (__version__, git_commit())) != origin.code:
        raise SegPointError(
            f"the Ray machine {here} has segpoint_ros {_told(code)}, and here it is {_told(origin.code)}: "
            "install the same on both"
        )
    paths = [job.bag, job.out, *filter(None, (job.labels, job.bundle))]
    if not all(map(os.path.isabs, paths)):
        if not os.path.isdir(origin.folder):
            raise _unseen(here, origin.folder)
        os.chdir(origin.folder)
    for path in (*origin.marks, *(path for path in paths if path != job.out)):
        if not os.path.exists(path):
            raise _unseen(here, path)


def _unseen(machine: str, path: str) -> SegPointError:
    return SegPointError(
        f"the Ray machine {machine} does not see {path}: bags, labels, bundles and outputs must lie where all machines "
        "of the cluster see them, under the same path"
    )


def _mark(folder: Path, held: ExitStack) -> str:
    """The path of a file that is there until ``held`` is closed, in a folder that is made for it."""
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = held.enter_context(tempfile.NamedTemporaryFile(prefix=".segpoint-", dir=folder))
    return str(folder / Path(file.name).name)


def _connect(address: str, held: ExitStack) -> Any:
    """The ray module, connected until ``held`` is closed; a connection that the process has already is used."""
    try:
        import ray
    except ImportError as error:
        raise SegPointError(f"Ray cannot be imported ({error}): pip install 'segpoint_ros[ray]'") from error
    if ray.is_initialized():
        return ray
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), _ANSWERS_WITHIN).close()
        except (OSError, OverflowError) as error:
            raise SegPointError(f"no Ray cluster answers at {address} ({error}): {_START}") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # tell nobody
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (Exception, SystemExit) as error:  # RuntimeError for another version of Ray or Python; no type for others
        raise SegPointError(f"the Ray cluster at {address} cannot be used ({_first_line(error)}): {_START}") from error
    held.callback(ray.shutdown)
    return ray


def _told(code: tuple[str, str | None]) -> str:
    return f"{code[0]} ({code[1] or 'no commit'})"


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
