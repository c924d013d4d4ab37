"""The figures of a record: overall, per instruction and per kind, and how fast they came. None where there are none.

mIoU, Acc@t and the accuracy of answers without a target are `segpoint_training.metrics`', so that a replay says what
`segpoint evaluate` says of the same clouds. A cloud without an answer has no IoU: it is in the dropped share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint_replay.record import NOT_ASKED, Answered, Run
from segpoint_training.metrics import Sample, advantage, measure


@dataclass(frozen=True)
class Figures:
    """What some answers scored; each count is of the answers that the figures after it are taken over.

    answers: how many there are.   with_target: those whose truth has a point: miou, acc25, acc50.   zero_target: those
    whose truth is known to have none: the share of them that was answered so.   followed: those about two consecutive
    answered clouds, and where the truth of any is known only these, so that the two figures are of the same answers:
    the mean IoU of the two masks; and of the two true masks.   located: those with found and true targets: the median
    and 95th percentile of their mean distance in metres.
    """

    answers: int
    with_target: int
    miou: float | None
    acc25: float | None
    acc50: float | None
    zero_target: int
    zero_target_accuracy: float | None
    followed: int
    stability: float | None
    true_stability: float | None
    located: int
    position_error_p50: float | None
    position_error_p95: float | None


@dataclass(frozen=True)
class Timing:
    """How the clouds fared.

    clouds: those due.   asked: those about which something was asked.   answered: those with an answer.
    questions, answers: the single instructions about them.   dropped_share: of the clouds asked about, the ones without
    an answer.   timed: answered clouds whose latency counts: latency_p50, latency_p95: seconds from handing a cloud
    over to its answer.   clouds_per_second: answered ones over the seconds that all took together.
    """

    clouds: int
    asked: int
    answered: int
    questions: int
    answers: int
    dropped_share: float | None
    timed: int
    latency_p50: float | None
    latency_p95: float | None
    clouds_per_second: float | None


@dataclass(frozen=True)
class Summary:
    """All figures of a run. instructions: in the order asked.   kinds: of the labels' rows that name one."""

    overall: Figures
    instructions: dict[str, Figures]
    kinds: dict[str, Figures]
    timing: Timing

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def summary(run: Run) -> Summary:
    """The figures of a run."""
    instructions: dict[str, list[Answered]] = {}
    kinds: dict[str, list[Answered]] = {}
    for row in run.answers:
        instructions.setdefault(row.instruction, []).append(row)
        if row.kind:
            kinds.setdefault(row.kind, []).append(row)
    return Summary(
        overall=figures(run.answers),
        instructions={text: figures(rows) for text, rows in instructions.items()},
        kinds={kind: figures(rows) for kind, rows in kinds.items()},
        timing=timing(run),
    )


def figures(rows: Sequence[Answered]) -> Figures:
    """The figures of some answers."""
    scored = samples(rows)
    of_targets = measure(sample for sample in scored if sample.has_target)
    of_none = measure(sample for sample in scored if not sample.has_target)
    followed = [row for row in rows if row.stability is not None]
    followed = [row for row in followed if row.true_stability is not None] or followed
    errors = _known(row.position_error for row in rows)
    return Figures(
        answers=len(rows),
        with_target=of_targets.count,
        miou=_number(of_targets.miou),
        acc25=_number(of_targets.acc25),
        acc50=_number(of_targets.acc50),
        zero_target=of_none.count,
        zero_target_accuracy=_number(of_none.miou),
        followed=len(followed),
        stability=_mean(_known(row.stability for row in followed)),
        true_stability=_mean(_known(row.true_stability for row in followed)),
        located=len(errors),
        position_error_p50=_percentile(errors, 50),
        position_error_p95=_percentile(errors, 95),
    )


def timing(run: Run) -> Timing:
    """How a run's clouds fared."""
    return pooled([run])


def pooled(runs: Sequence[Run]) -> Timing:
    """How the clouds of several runs fared, taken as one. Their seconds are added, also where they ran side by side."""
    frames = [frame for run in runs for frame in run.frames]
    wall = sum(run.wall for run in runs)
    asked = [frame for frame in frames if frame.answered or frame.why != NOT_ASKED]
    answered = [frame for frame in asked if frame.answered]
    latencies = _known(frame.latency for frame in answered)
    return Timing(
        clouds=len(frames),
        asked=len(asked),
        answered=len(answered),
        questions=sum(frame.questions for frame in asked),
        answers=sum(frame.answers for frame in asked),
        dropped_share=1 - len(answered) / len(asked) if asked else None,
        timed=len(latencies),
        latency_p50=_percentile(latencies, 50),
        latency_p95=_percentile(latencies, 95),
        clouds_per_second=len(answered) / wall if answered and wall > 0 else None,
    )


def samples(rows: Iterable[Answered]) -> list[Sample]:
    """Those of the answers whose truth is known, as the metrics take them."""
    return [Sample(row.kind, bool(row.true_points), (row.iou,)) for row in rows if row.iou is not None]


@dataclass(frozen=True)
class Comparison:
    """Two runs. runs: what of them is compared (`comparable`).   first, second: their figures.   paired: answers that
    both have, about the same cloud; frames: their clouds.   gain: the second's mIoU minus the first's over the pairs
    with a target (``gain_answers`` of them), low, high: its 95 % interval, None with too few clouds
    (`segpoint_training.metrics.advantage`)."""

    runs: tuple[Run, Run]
    first: Summary
    second: Summary
    paired: int
    frames: int
    gain_answers: int
    gain: float | None
    low: float | None
    high: float | None

    @property
    def alike(self) -> bool:
        """Whether each of the pairs with a target scores the same in both."""
        return all(one.iou == other.iou for one, other in _with_target(self.runs))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, without the runs; "difference" holds the second's overall figures minus the
        first's."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "runs"}
        gaps = difference(self.first.overall, self.second.overall)
        return {**values, "first": self.first.to_dict(), "second": self.second.to_dict(), "difference": gaps}


def compare(first: Run, second: Run) -> Comparison:
    """Two runs of the same clouds, paired by cloud (its number and stamp) and instruction.

    Raises SegPointError where nothing is paired, for they were asked other things, and where they are of other clouds
    or were measured against other labels.
    """
    runs = comparable(first, second)
    for what, one, other in (
        ("bag", first.versions.get("bag"), second.versions.get("bag")),
        ("topic", first.topic, second.topic),
        ("labels", first.versions.get("labels"), second.versions.get("labels")),
    ):
        if one and other and one != other:
            raise SegPointError(
                f"{first.job['bag']} and {second.job['bag']} have not the same {what}: replay one of them "
                "with what the other was replayed with"
            )
    targets = _with_target(runs)
    gain, low, high = advantage(
        samples(other for _, other in targets),
        samples(one for one, _ in targets),
        [str(one.frame) for one, _ in targets],
    )
    return Comparison(
        runs=runs,
        first=summary(runs[0]),
        second=summary(runs[1]),
        paired=len(runs[0].answers),
        frames=len({row.frame for row in runs[0].answers}),
        gain_answers=len(targets),
        gain=_number(gain),
        low=_number(low),
        high=_number(high),
    )


def comparable(first: Run, second: Run) -> tuple[Run, Run]:
    """Two runs, each without what the other cannot be held against: answers[i] of both are to the same question.

    Only answers that both have are left, and of these a stability where both had answered the same cloud before, a true
    one and a position error where both have one. A cloud's latency is that of all its answers together, and counts
    where both answered the same questions about it. All else of the clouds is as it was. Raises SegPointError where
    nothing is left.
    """
    ours, theirs = _by_question(first), _by_question(second)
    shared = [key for key in ours if key in theirs]
    if not shared:
        raise SegPointError(
            f"nothing to compare: no cloud of {first.job['bag']} ({first.topic}) was asked the same in both runs, as "
            f"{second.job['bag']} ({second.topic}); replay the same bag with the same instructions"
        )
    before, before_theirs = _frames_before(first), _frames_before(second)
    rows = [
        _alike(ours[key], theirs[key], followed=before[key[0]] == before_theirs[key[0]])  # key[0]: the cloud
        for key in shared
    ]
    only_one = {key[:2] for key in ours.keys() ^ theirs.keys()}
    one, other = (
        replace(
            run,
            answers=answers,
            frames=tuple(
                replace(frame, latency=None) if (frame.number, frame.stamp) in only_one else frame
                for frame in run.frames
            ),
        )
        for run, answers in zip((first, second), zip(*rows, strict=True), strict=True)
    )
    return one, other


def difference(first: Figures | Timing, second: Figures | Timing) -> dict[str, float | None]:
    """The second's figures minus the first's, by name; None where one of them has none."""
    pairs = {field.name: (getattr(first, field.name), getattr(second, field.name)) for field in fields(first)}
    return {name: None if None in pair else pair[1] - pair[0] for name, pair in pairs.items()}


def _alike(one: Answered, other: Answered, followed: bool) -> tuple[Answered, Answered]:
    """Two answers to a question without what only one of them could be measured by.   followed: both runs answered the
    same cloud before."""
    followed = followed and None not in (one.stability, other.stability)
    kept = {
        "stability": followed,
        "true_stability": followed and None not in (one.true_stability, other.true_stability),
        "position_error": None not in (one.position_error, other.position_error),
    }
    without: dict[str, Any] = {name: None for name, is_kept in kept.items() if not is_kept}
    return replace(one, **without), replace(other, **without)


def _with_target(runs: tuple[Run, Run]) -> list[tuple[Answered, Answered]]:
    """The pairs of answers of `comparable` runs whose truth has a point in both."""
    pairs = zip(runs[0].answers, runs[1].answers, strict=True)
    return [(one, other) for one, other in pairs if one.true_points and other.true_points]


def _frames_before(run: Run) -> dict[int, int | None]:
    """Of each answered cloud the answered one before it."""
    answered = sorted({row.frame for row in run.answers})
    return dict(zip(answered, [None, *answered], strict=False))


def _by_question(run: Run) -> dict[tuple[int, int, str], Answered]:
    stamps = {frame.number: frame.stamp for frame in run.frames}
    return {(row.frame, stamps[row.frame], row.instruction): row for row in run.answers if row.frame in stamps}


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _percentile(values: Sequence[float], share: float) -> float | None:
    return float(np.percentile(values, share)) if values else None
