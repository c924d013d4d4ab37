"""What ``segpoint replay`` prints of its runs, and of two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segpoint.errors import printable
from segpoint_replay.record import ANSWERS, NOT_ASKED, REPORT, Run
from segpoint_replay.summary import Comparison, Figures, Timing, difference, summary
from segpoint_replay.tiles import compared_over
from segpoint_training.metrics import FEWEST_CLOUDS
from segpoint_training.records import percent

_MOST = 40  # instructions of a table; the report and the record have all
_FIGURES = (  # heading, unit, fields of Figures
    ("mIoU", "%", ("miou",)),
    ("Acc@0.25", "%", ("acc25",)),
    ("Acc@0.5", "%", ("acc50",)),
    ("zero-target\naccuracy", "%", ("zero_target_accuracy",)),
    ("stability\nfound, true", "%", ("stability", "true_stability")),
    ("position error\np50, p95 [cm]", "cm", ("position_error_p50", "position_error_p95")),
)
_TIMING = (
    ("dropped", "%", "dropped_share"),
    ("latency p50", "s", "latency_p50"),
    ("latency p95", "s", "latency_p95"),
    ("clouds per second", "1/s", "clouds_per_second"),
)

_NEEDS_NO_TRUTH = ("stability", "latency_p50")  # where there is none of these either, it is said why


def print_run(run: Run, console: Console | None = None) -> None:
    """A bag's figures, overall, per kind and per instruction, what was wrong with it, and where the rest lies."""
    console = console or Console(width=120)
    whole = summary(run)
    console.print(f"[bold]{_shown(run.job['bag'])}[/bold] {_shown(_speed(run, whole.timing))}", highlight=False)
    if run.asked_on:
        console.print(f"asked    what the bag says on {_shown(run.asked_on)}", highlight=False, soft_wrap=True)
    shown = [figure for figure in _FIGURES if any(getattr(whole.overall, name) is not None for name in figure[2])]
    table = Table("answers, in percent" if any(figure[1] == "%" for figure in shown) else "answers")
    for heading in ("n", *(escape(heading) for heading, _, _ in shown)):
        table.add_column(heading, justify="right")
    rows = [("all", whole.overall)]
    sections = [rows, list(whole.kinds.items()), list(whole.instructions.items())[:_MOST]]
    for section in filter(None, sections):
        table.add_section()
        for name, figures in section:
            table.add_row(_shown(name), str(figures.answers), *(_cell(figures, *figure[1:]) for figure in shown))
    console.print(table)
    if (left := len(whole.instructions) - _MOST) > 0:
        console.print(f"… and {left} more instructions", highlight=False)
    for trouble in run.troubles:
        console.print(f"[yellow]trouble[/yellow]  {_shown(trouble)}", highlight=False, soft_wrap=True)
    refused = [frame for frame in run.frames if frame.why and not frame.answered]
    for why in list(dict.fromkeys(frame.why for frame in refused))[:3]:
        count = sum(frame.why == why for frame in refused)
        if why == NOT_ASKED:
            reason = "they have no labels" if run.job["labels"] else "nothing was said yet"
            console.print(f"not asked  {count} clouds: {reason}", highlight=False)
            continue
        console.print(f"[yellow]no answer[/yellow]  {count} ×  {_shown(why)}", highlight=False, soft_wrap=True)
    out = Path(run.job["out"])
    console.print(
        f"report   {_shown(str(out / REPORT))}\nanswers  {_shown(str(out / ANSWERS))}", highlight=False, soft_wrap=True
    )


def print_comparison(runs: Sequence[str], comparison: Comparison, console: Console | None = None) -> None:
    """Two runs' overall figures, the second's minus the first's and what they are taken over, then what is sure of
    it."""
    console = console or Console(width=120)
    table = Table("")
    for heading in (*map(_shown, runs), "second − first"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("over")
    first, second = comparison.first, comparison.second
    rows = [
        (heading.replace("\n", " ") if len(names) == 1 else name.replace("_", " "), unit, name)
        for heading, unit, names in _FIGURES
        for name in names
    ]
    for section, one, other in ((rows, first.overall, second.overall), (_TIMING, first.timing, second.timing)):
        gaps = difference(one, other)
        for heading, unit, name in section:
            values = getattr(one, name), getattr(other, name)
            if values != (None, None) or name in _NEEDS_NO_TRUTH:
                cells = (_number(value, unit) for value in values)
                over = compared_over(comparison, name, ("first", "second"))
                table.add_row(escape(f"{heading}, {unit}"), *cells, _number(gaps[name], unit, "+"), over)
        table.add_section()
    console.print(table)
    console.print(verdict(comparison), highlight=False, soft_wrap=True)


def verdict(comparison: Comparison) -> str:
    """What the pairs say, in a sentence."""
    paired = f"Both answered {comparison.paired} questions about {comparison.frames} clouds"
    if comparison.gain is None:
        return f"{paired}; none of them has a known target, so there is no mIoU to compare."
    said = (
        f"{paired}, {comparison.gain_answers} of them with a target: the second's mIoU is {100 * comparison.gain:+.1f}"
    )
    if comparison.alike:
        return f"{paired}, {comparison.gain_answers} of them with a target: each of these scores the same in both."
    if comparison.low is None or comparison.high is None:
        return f"{said} points; with fewer than {FEWEST_CLOUDS} clouds there is no interval."
    sure = comparison.low > 0 or comparison.high < 0
    interval = f"95 % interval {100 * comparison.low:+.1f} to {100 * comparison.high:+.1f}"
    return f"{said} points, {interval}: {'a difference' if sure else 'no sure difference'}."


def _speed(run: Run, timing: Timing) -> str:
    parts = [f"{timing.answered} of {timing.asked} clouds of {run.topic} answered"]
    if timing.dropped_share:
        parts.append(f"{percent(timing.dropped_share)} % dropped")
    if lost := timing.questions - timing.answers:
        parts.append(f"{lost} of {timing.questions} questions without an answer")
    if timing.clouds_per_second is not None:
        parts.append(f"{timing.clouds_per_second:.2f} clouds/s")
    if timing.latency_p50 is not None:
        parts.append(f"latency {timing.latency_p50:.2f} s (p95 {timing.latency_p95:.2f} s)")
    if not run.complete:
        parts.append("stopped before its end")
    return ", ".join([*parts, run.backend])


def _shown(text: str) -> str:
    """Others' words, that may hold anything, as the console prints them."""
    return escape(printable(text))


def _cell(figures: Figures, unit: str, names: Sequence[str]) -> str:
    values = [getattr(figures, name) for name in names]
    return "–" if all(value is None for value in values) else ", ".join(_number(value, unit) for value in values)


def _number(value: float | None, unit: str, sign: str = "") -> str:
    if value is None:
        return "–"
    scale, digits = {"%": (100, 1), "cm": (100, 1)}.get(unit, (1, 2))
    return f"{scale * value:{sign}.{digits}f}"
