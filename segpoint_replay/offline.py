"""A bag replayed offline: every cloud due is answered by the node's own code, as fast as the machine goes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segpoint.errors import DeviceLost, SegPointError
from segpoint_replay.answers_bag import AnswersBag
from segpoint_replay.job import Job
from segpoint_replay.measures import said
from segpoint_replay.questions import Questions
from segpoint_replay.record import ANSWERS, NOT_ASKED, FrameTime, Run
from segpoint_replay.recorder import Recorder, check_output, claimed
from segpoint_replay.recording import Choice, Frame, Recording
from segpoint_replay.truth import Labels
from segpoint_replay.versions import versions
from segpoint_ros.answering import Answerer, frame_of
from segpoint_ros.changes import from_pairs
from segpoint_ros.request import MOST_INSTRUCTIONS, Request
from segpoint_ros.result import make_result
from segpoint_ros.settings import Model, Parameters
from segpoint_ros.tracking import Tracker

if TYPE_CHECKING:
    from segpoint_ros.result import Result

_DECIDED = {
    "model.bundle": "name the bundle with --bundle",
    "autostart": "it starts at once",
    "build_only": "it answers",
}


class _NoTransforms:
    """What is asked is words; a click or a box of the bag's is not replayed."""

    def lookup(self, target: str, source: str, stamp: object) -> tuple[np.ndarray, np.ndarray]:
        raise SegPointError("a replay has no transforms")


def replay(job: Job, progress: bool = True) -> Run:
    """Answer a bag's clouds and write the record, the answers' bag, the pictures and the report into ``job.out``.

    What was computed is there, too, after Ctrl-C and after any error. Raises SegPointError where the job cannot be
    done: no bag, no clouds, nothing asked, a bundle that cannot be loaded, an output that is not ours. A cloud that
    cannot be answered is no error: its `FrameTime.why` says it. progress: show a bar on a terminal.
    """
    from tqdm import tqdm

    check_output(job)
    settings = settings_of(job)
    recording = Recording.open(Path(job.bag), job.topic, job.instruction_topic)
    labels = Labels.open(Path(job.labels), recording) if job.labels else None
    questions = Questions(job, recording, labels, settings.instruction)
    choice = Choice(job.start, job.duration, job.every)
    due = recording.chosen(choice)
    if labels is not None and not job.instructions:
        labels.check_due(due)
    answerer = _answerer(settings.model)
    answerer.forget()  # the bag before
    recorder = Recorder(job, recording, questions, versions(job), answerer.backend)
    bar = {"total": len(due), "desc": Path(job.bag).name, "unit": " clouds", "disable": None if progress else True}
    with claimed(job), AnswersBag(Path(job.out) / ANSWERS, recording) as bag, recorder:
        for frame in tqdm(recording.frames(choice), **bar):
            asked, truths = questions.of(frame)
            when, results = _answer(answerer, frame, asked, settings)
            for result in joined(results, settings):
                bag.write(frame, result)
            axes = frame_of(frame.message.header.frame_id, settings.input.frame)
            answers = [one for result in results for one in said(result)]
            recorder.add(when, frame, axes, answers, truths)
        recorder.troubles += questions.check()
    return recorder.run(complete=True)


def _answer(
    answerer: Answerer, frame: Frame, asked: Sequence[tuple[str, ...]], settings: Parameters
) -> tuple[FrameTime, list[Result]]:
    """Ask all requests about a cloud, one after the other: a second one costs only itself, the cloud is known."""
    results: list[Result] = []
    seconds: Counter[str] = Counter()
    why = "" if asked else NOT_ASKED
    started = time.perf_counter()
    for instructions in asked:
        try:
            answer = answerer.answer(frame.message, Request(instructions), settings, _NoTransforms())
        except DeviceLost:  # no other cloud would fare better
            raise
        except SegPointError as error:
            why = why or str(error)
        except Exception as error:  # noqa: BLE001  as in the node: the next cloud may be good
            why = why or f"{type(error).__name__}: {error}"
        else:
            results.append(answer.result)
            seconds.update(answer.timings)
    latency = time.perf_counter() - started if results else None
    message = frame.message
    points = message.width * message.height
    questions, answered = sum(map(len, asked)), sum(len(result.instructions) for result in results)
    when = FrameTime(
        frame.number, frame.stamp, frame.at, points, bool(results), why, latency, dict(seconds), questions, answered
    )
    return when, results


def joined(results: Sequence[Result], settings: Parameters) -> list[Result]:
    """Answers to single instructions about a cloud as the node would show them had they been asked at once, each point
    with the label of the surest: a bag of answers need not hold the cloud for each. Those that were asked at once stay
    as they are."""
    if len(results) < 2 or any(len(result.instructions) != 1 for result in results):
        return list(results)
    parts = [results[start : start + MOST_INSTRUCTIONS] for start in range(0, len(results), MOST_INSTRUCTIONS)]
    return [
        make_result(
            part[0].message,
            part[0].frame,
            [result.instructions[0] for result in part],
            [result.found[0] for result in part],
            Tracker(),
            settings,
        )
        for part in parts
    ]


@lru_cache(maxsize=1)
def _answerer(model: Model) -> Answerer:
    """A process loads a model once for all the bags that it is asked to do with it."""
    return Answerer(Parameters(model=model))


def settings_of(job: Job) -> Parameters:
    """The node's parameters of a job. Raises SegPointError for one that there is not, that cannot have its value, or
    that a replay decides itself."""
    for name, _ in job.parameters:
        if name in _DECIDED:
            raise SegPointError(f"the parameter {name} cannot be given to a replay: {_DECIDED[name]}")
    return from_pairs([*job.parameters, ("model.bundle", job.bundle)])
