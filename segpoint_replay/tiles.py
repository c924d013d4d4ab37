"""The headline figures of a page: each with what it was taken over, and in plain words what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from segpoint_replay import pages
from segpoint_replay.summary import Comparison, Figures, Summary, Timing

_NO_TRUTH = "no labels"
_NOTABLE = 0.02  # of a figure: a smaller change is not called a gain or a loss; our choice
_NONE_WITH = "nothing that was asked for is there"
_NONE = "no cloud was answered"

Show = Callable[[float | None], str]


@dataclass(frozen=True)
class Tile:
    """One figure. what: it is, in plain words.   over: what it is taken over.   value: as shown; "" where there is
    none, and ``over`` says why.   beside: another figure and its name.   meter: the share of 1 that a bar shows.   aim:
    the share where it should be."""

    name: str
    what: str
    over: str
    value: str = ""
    beside: str = ""
    meter: float | None = None
    aim: float | None = None


@dataclass(frozen=True)
class ComparingTile:
    """One figure of two runs. change: the second minus the first, "" where one has none.   better: whether that is a
    gain, None where it is too small to say.   over: what the figure or its interval is taken over."""

    name: str
    what: str
    first: str
    second: str
    change: str
    better: bool | None
    over: str = ""


@dataclass(frozen=True)
class _Measure:
    """Where a comparison finds a figure, how it and a difference are written, and whether more is better."""

    name: str
    field: str
    show: Show
    change: Show
    more_is_better: bool = True


_WHAT = {
    "mIoU": "How well marks and truth agree where the target is in the cloud: the points in both, as a share of the "
    "points in either, the mean over the answers. 100 % is perfect.",
    "Acc@0.5": "The share of answers about a target in the cloud whose IoU with the truth is above 0.5: the right "
    "thing, and most of it.",
    "Zero-target accuracy": "Asked for something that is not there: the share of answers that rightly marked nothing.",
    "Stability": "How much of the mask stays from one cloud to the next, as an IoU. Motion and new views change the "
    "true mask as well, so compare with the truth's own stability.",
    "Position error": "How far the centre of a found target is from the true one; the median, and what 95 % of the "
    "answers stay below. Only answers where there is one and one was found.",
    "Latency": "From handing a cloud over to its answer: the median, and what 95 % of the clouds stay below.",
    "Dropped": "The share of the clouds about which something was asked that got no answer; those that cannot be read "
    "are among them. A live node drops clouds that come while it is busy. What was lost with the cut end of a bag is "
    "not known and not counted.",
    "Clouds per second": "Answered clouds over the seconds that the replay took for them. Offline that is the "
    "machine's speed, live never more than the bag's.",
}

_COMPARED = (
    _Measure("mIoU", "miou", pages.share, pages.points),
    _Measure("Acc@0.5", "acc50", pages.share, pages.points),
    _Measure("Zero-target accuracy", "zero_target_accuracy", pages.share, pages.points),
    _Measure("Stability", "stability", pages.share, pages.points),
    _Measure("Position error", "position_error_p50", pages.metres, pages.metres, more_is_better=False),
    _Measure("Latency", "latency_p50", pages.seconds, pages.seconds, more_is_better=False),
    _Measure("Dropped", "dropped_share", pages.percent, pages.points, more_is_better=False),
    _Measure("Clouds per second", "clouds_per_second", pages.rate, pages.rate),
)


# Of a figure that two runs are compared by: the count that it is taken over, of what, and why there may be none.
_TAKEN_OVER = {
    **dict.fromkeys(
        ("miou", "acc25", "acc50"), ("with_target", "answer", " with a target", "no answer has a known target")
    ),
    "zero_target_accuracy": ("zero_target", "answer", " without a target", "no answer is known to have no target"),
    **dict.fromkeys(
        ("stability", "true_stability"),
        ("followed", "pair", " of answers", "no two consecutive clouds were answered in both"),
    ),
    **dict.fromkeys(
        ("position_error_p50", "position_error_p95"), ("located", "answer", "", "no target is known and found in both")
    ),
    **dict.fromkeys(
        ("latency_p50", "latency_p95"),
        ("timed", "cloud", " with the same questions", "no cloud was answered the same questions in both"),
    ),
    "clouds_per_second": ("answered", "cloud", "", _NONE),
}


def tiles(of: Figures, timing: Timing, complete: bool = True) -> tuple[Tile, ...]:
    """A run's headline figures.   complete: it was not stopped before its end."""
    known = of.with_target + of.zero_target > 0
    unknown = _NONE_WITH if known else _NO_TRUTH
    of_targets = _over(of.with_target, "answer", " with a target")
    truth = "truth unknown" if of.true_stability is None else f"truth {pages.share(of.true_stability)}"
    clouds, questions = _unanswered(timing)
    return (
        _tile("mIoU", of.miou, pages.share, of_targets, unknown, meter=of.miou),
        _tile("Acc@0.5", of.acc50, pages.share, of_targets, unknown, f"{pages.share(of.acc25)} at 0.25", of.acc50),
        _tile(
            "Zero-target accuracy",
            of.zero_target_accuracy,
            pages.share,
            _over(of.zero_target, "answer", " without a target"),
            "all that was asked for is there" if known else _NO_TRUTH,
            meter=of.zero_target_accuracy,
        ),
        _tile(
            "Stability",
            of.stability,
            pages.share,
            _over(of.followed, "pair", " of answers"),
            "no two consecutive clouds were answered",
            truth,
            of.stability,
            of.true_stability,
        ),
        _tile(
            "Position error",
            of.position_error_p50,
            pages.metres,
            _over(of.located, "answer"),
            "nothing was found where there is a target" if of.with_target else unknown,
            f"p95 {pages.metres(of.position_error_p95)}",
        ),
        _tile(
            "Latency",
            timing.latency_p50,
            pages.seconds,
            _over(timing.timed, "cloud"),
            _NONE,
            f"p95 {pages.seconds(timing.latency_p95)}",
        ),
        _tile(
            "Dropped",
            timing.dropped_share,
            pages.percent,
            clouds if complete else f"{clouds} until it was stopped",
            "nothing was asked",
            f"{questions} unanswered" if questions else "",
        ),
        _tile("Clouds per second", timing.clouds_per_second, pages.rate, _over(timing.answered, "cloud"), _NONE),
    )


def _tile(
    name: str,
    value: float | None,
    show: Show,
    over: str,
    absent: str,
    beside: str = "",
    meter: float | None = None,
    aim: float | None = None,
) -> Tile:
    """A figure's tile; without a value it says what is ``absent``."""
    if value is None:
        return Tile(name, _WHAT[name], absent)
    return Tile(name, _WHAT[name], over, show(value), beside, meter, aim)


def comparing_tiles(both: Comparison) -> tuple[ComparingTile, ...]:
    """Two runs' headline figures. That of mIoU is of the paired answers alone, with its interval."""
    return tuple(_gain(both) if one.field == "miou" else _compared(one, both) for one in _COMPARED)


def _compared(measure: _Measure, both: Comparison) -> ComparingTile:
    first, second = (_number(one, measure.field) for one in (both.first, both.second))
    change, better = "", None
    if first is not None and second is not None:
        change = _signed(second - first, measure.change)
        if abs(second - first) >= _NOTABLE * max(abs(first), abs(second)) > 0:
            better = (second > first) == measure.more_is_better
    over = compared_over(both, measure.field)
    if measure.field.endswith("_p50") and change:
        over = f"median, {over}"
    return ComparingTile(
        measure.name, _WHAT[measure.name], measure.show(first), measure.show(second), change, better, over
    )


def compared_over(both: Comparison, field: str, names: tuple[str, str] = ("A", "B")) -> str:
    """What a figure of two runs, a field of `Figures` or `Timing`, is taken over, or why there is none."""
    timings = both.first.timing, both.second.timing
    if field == "dropped_share":
        lost = [", ".join(filter(None, _unanswered(timing))) for timing in timings]
        return "; ".join(f"{name} {said}" for name, said in zip(names, lost, strict=True))
    name, one, rest, none = _TAKEN_OVER[field]
    first, second = (int(_number(summary, name) or 0) for summary in (both.first, both.second))
    if first != second:
        return f"{names[0]} {pages.count(first)}, {names[1]} {_over(second, one, rest)}"
    return _over(first, one, rest) if first else none


def _gain(both: Comparison) -> ComparingTile:
    plain = _compared(_COMPARED[0], both)
    if both.gain is None:
        return plain
    over = f"{_over(both.gain_answers, 'pair')} of answers"
    better = None
    if both.alike:
        over += ", which score the same one by one"
    elif both.low is None or both.high is None:
        over += "; too few clouds for an interval"
    else:
        better = None if both.low <= 0 <= both.high else both.gain > 0
        interval = f"95 % interval {_signed(both.low, pages.bare)} to {_signed(both.high, pages.bare)}"
        over = f"{interval}, {over}" + ("; chance may do that" if better is None else "")
    return replace(plain, change=_signed(both.gain, pages.points), better=better, over=over)


def _unanswered(timing: Timing) -> tuple[str, str]:
    """How many of the clouds got no answer, and of the questions, "" where that says the same."""
    clouds = f"{pages.count(timing.asked - timing.answered)} of {_over(timing.asked, 'cloud')}"
    if timing.questions <= timing.asked:
        return clouds, ""
    return clouds, f"{pages.count(timing.questions - timing.answers)} of {_over(timing.questions, 'question')}"


def _number(of: Summary, field: str) -> float | None:
    return getattr(of.overall if hasattr(of.overall, field) else of.timing, field)


def _signed(value: float, show: Show) -> str:
    return pages.signed(show(value))


def _over(number: int, one: str, rest: str = "") -> str:
    return f"{pages.count(number)} {one}{'' if number == 1 else 's'}{rest}"
