"""Gathers a bag's record while it is replayed, and leaves it on the disk whatever ends the replay."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from segpoint.errors import SegPointError
from segpoint.files import check_folder, reading
from segpoint_replay.bag_files import is_within
from segpoint_replay.gallery import Gallery
from segpoint_replay.job import Job
from segpoint_replay.measures import Said, Scorer
from segpoint_replay.pages import check_page
from segpoint_replay.record import (
    ANSWERS,
    LOG,
    NOT_ASKED,
    PICTURES,
    PREVIOUS,
    REPORT,
    RUN,
    UNREADABLE,
    Answered,
    FrameTime,
    Run,
    read_run,
    write_run,
)
from segpoint_replay.versions import bag_fingerprint

if TYPE_CHECKING:
    from segpoint_replay.questions import Questions
    from segpoint_replay.recording import Frame, Recording
    from segpoint_replay.truth import Truth

LOCK = ".lock"
# Seconds between records of what is done so far, for a process that is killed: at first, and at last.
_SOON, _SELDOM = 5.0, 60.0


class Recorder:
    """The folder of a job while it is replayed, offline or live: enter it when the first cloud's turn comes.

    It then holds an incomplete record and no pictures or report of an earlier replay, and after it, also after an
    exception or Ctrl-C, all that was added, with its pictures and the report. backend: what computes.   questions: say
    whether a cloud that cannot be read would have been asked about.
    """

    def __init__(
        self, job: Job, recording: Recording, questions: Questions, versions: dict[str, str], backend: str
    ) -> None:
        self._job, self._recording, self._versions, self._backend = job, recording, versions, backend
        self._questions = questions
        self._folder = Path(job.out)
        self._scorer = Scorer(recording.tree)
        self._gallery = Gallery(self._folder / PICTURES)
        self._frames: list[FrameTime] = []
        self._answers: list[Answered] = []
        self._frame_id = self._axes = ""
        self._begun = self._saved = 0.0
        self._aside = 0.0  # seconds for pictures and records, which are no part of the replay
        self.wall: float | None = None
        """Seconds that the clouds took together, where that is not all the time within ``with``."""
        self.troubles: list[str] = []
        """What went wrong beside what the bag itself could not give (`Recording.troubles`)."""

    def __enter__(self) -> Recorder:
        self._gallery.clear()
        (self._folder / REPORT).unlink(missing_ok=True)
        self._begun = time.perf_counter()
        self._save()
        return self

    def add(
        self,
        when: FrameTime,
        frame: Frame,
        axes: str,
        answers: Sequence[Said] = (),
        truths: Sequence[Truth] = (),
    ) -> None:
        """Note one cloud, in their order: what it was answered, if it was, and what those answers score.

        axes: of its frame, one of FRAMES.   truths: of the answers to the same words.
        """
        rows = self._scorer.score(frame, answers, truths) if answers else ()
        self._frames.append(when)
        self._answers += rows
        self._frame_id, self._axes = self._frame_id or frame.message.header.frame_id, self._axes or axes
        if rows:
            started = time.perf_counter()
            self._gallery.add(frame, axes, answers, truths, rows)
            self._aside += time.perf_counter() - started
        if time.perf_counter() - self._saved > min(_SELDOM, max(_SOON, self._saved - self._begun)):
            self._save()

    def run(self, complete: bool = False) -> Run:
        """The record so far."""
        return Run(
            job=self._job.to_dict(),
            versions=self._versions,
            topic=self._recording.topic,
            frame_id=self._frame_id,
            axes=self._axes,
            backend=self._backend,
            wall=time.perf_counter() - self._begun - self._aside if self.wall is None else self.wall,
            frames=tuple(sorted((*self._frames, *self._unreadable()), key=lambda frame: frame.number)),
            answers=tuple(self._answers),
            troubles=(*self._recording.troubles, *self.troubles, *self._unplaced()),
            pictures=self._gallery.pictures,
            asked_on=self._questions.asked_on,
            complete=complete,
        )

    def _unreadable(self) -> Iterator[FrameTime]:
        """The clouds that were due and never came."""
        recording = self._recording
        for number in recording.unreadable:
            received = recording.received[number]
            why = UNREADABLE if self._questions.is_asked(number, received) else NOT_ASKED
            yield FrameTime(number, recording.stamps[number], (received - recording.start) / 1e9, 0, False, why)

    def _unplaced(self) -> Iterator[str]:
        if self._scorer.unplaced:
            yield (
                f"where the clouds' frame {self._frame_id} was is not in the bag's transforms at the times of "
                f"{self._scorer.unplaced} of {self._scorer.scored} answered clouds: these are not in the stability"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from segpoint_replay.report import write_report

        self.wall = self.run().wall
        complete = error is None
        self._save(complete)
        run = self.run(complete)
        write_report(run, self._folder / PICTURES, self._folder / REPORT)

    def _save(self, complete: bool = False) -> None:
        started = time.perf_counter()
        write_run(self.run(complete), self._folder / RUN)
        self._saved = time.perf_counter()
        self._aside += self._saved - started


@contextmanager
def claimed(job: Job) -> Iterator[None]:
    """The job's folder for this replay alone; what an earlier one finished is put aside into `PREVIOUS`. Raises
    SegPointError where another one writes there."""
    folder = Path(job.out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            _set_aside(folder)
            yield
    except Timeout as error:
        raise SegPointError(f"another replay writes to {folder}: wait for it, or give another --out") from error


def _set_aside(folder: Path) -> None:
    """Put a finished replay where the one before it was; one that was stopped stays, to be written over."""
    try:
        if not read_run(folder).complete:
            return
    except SegPointError:  # there is none
        return
    before = folder / PREVIOUS
    with reading(before, "move it away, or give another --out"):
        shutil.rmtree(before, ignore_errors=True)
        before.mkdir()
        for part in (REPORT, ANSWERS, PICTURES, RUN):  # the record last: with it they are finished ones
            if (folder / part).exists():
                (folder / part).rename(before / part)


def check_output(job: Job) -> None:
    """Raise SegPointError unless a bag's results can be written into ``job.out``, over nothing but those of an earlier
    replay of it."""
    folder = Path(job.out)
    if is_within(folder, job.bag):
        raise SegPointError(f"{folder} lies in the bag {job.bag}, which stays as it is: give an --out outside of it")
    check_folder(folder)
    if not folder.is_dir() or {path.name for path in folder.iterdir()} <= {LOG, LOCK, PREVIOUS}:
        return
    try:
        run = read_run(folder)
    except SegPointError as error:
        raise SegPointError(
            f"{folder} holds something that is not of `segpoint replay` and stays: give another --out, or move it away"
        ) from error
    if run.job["way"] != job.way:
        raise SegPointError(
            f"{folder} holds the {run.job['way']} replay of this bag, which stays: give --out for the {job.way} one"
        )
    if run.versions.get("bag") != bag_fingerprint(job):
        raise SegPointError(
            f"{folder} holds the replay of another bag, or of this one before it was changed, {run.job['bag']}, and "
            "stays: give another --out, or move it away"
        )
    check_page(folder / REPORT)


def finished(job: Job, versions: dict[str, str]) -> Run | None:
    """The record of the same job, made earlier of the same things, complete and with all beside it; None where there
    is none."""
    try:
        run = read_run(job.out)
    except SegPointError:
        return None
    # Results may have been moved, and the bag and its labels, which fingerprints tell from others, be named otherwise.
    named = {name: run.job.get(name) for name in ("out", "bag", "labels") if run.job.get(name) and vars(job)[name]}
    wanted = json.loads(json.dumps({**job.to_dict(), **named}))
    parts = [REPORT, f"{ANSWERS}/metadata.yaml", f"{ANSWERS}/{ANSWERS}.mcap"]
    parts += [f"{PICTURES}/{picture.file}" for picture in run.pictures]
    whole = run.complete and all((Path(job.out) / part).is_file() for part in parts)
    return run if whole and run.job == wanted and run.versions == versions else None
