"""The HTML pages of replays: one run's report, two runs side by side, and many bags' index.

Every page is one file that needs no network and opens from a disk. Its figures are `segpoint_replay.summary`'s; this
file only chooses what is shown of them.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segpoint.stopwatch import STAGES
from segpoint_replay import charts, pages
from segpoint_replay.job import Job
from segpoint_replay.record import NOT_ASKED, REPORT, Answered, FrameTime, Picture, Run
from segpoint_replay.summary import Summary, Timing, compare, difference, summary
from segpoint_replay.tiles import comparing_tiles, tiles

_MOST_LINES = 5  # more instructions than this are told apart by place, not by colour
_MOST_TROUBLES = 100
_OF_TRUTH = ("iou", "true_stability")  # measures that only labelled clouds have
_STAGES = {
    "read": "The node's code takes the points out of the message.",
    **STAGES,
    "publish": "The node makes the messages of the results and hands them to DDS.",
}


@dataclass(frozen=True)
class Shown:
    """A picture in the report. address: a data: URL, None where the file cannot be read.   at: seconds after the bag's
    start.   row: the answer that it shows, None where the record has none such.   first: what its left, or upper, half
    shows."""

    picture: Picture
    address: str | None
    at: float | None
    row: Answered | None

    @property
    def first(self) -> str:
        if self.row is None or self.row.true_points is None:
            return "the cloud"
        return "what is meant" if self.row.true_points else "nothing is meant"


@dataclass(frozen=True)
class Stage:
    """A stage of answering. what: is done in it.   p50, p95: seconds a cloud.   share: of all stages' time."""

    name: str
    what: str
    p50: float
    p95: float
    share: float


@dataclass(frozen=True)
class Plot:
    """A chart with its title and what it shows. drawn: None where there is nothing to draw, and ``why`` not."""

    title: str
    text: str
    drawn: charts.Chart | charts.Strips | None
    why: str = ""
    marks: str = ""

    @property
    def stripes(self) -> bool:
        return isinstance(self.drawn, charts.Strips)


def write_report(run: Run, pictures: Path, path: Path) -> None:
    """One run's report. ``pictures``: the folder with the files of ``run.pictures``; a missing one is told.

    Raises SegPointError where jinja2 is missing or the file cannot be written.
    """
    figured = summary(run)
    pages.write_page(
        path,
        "report.html",
        run=run,
        summary=figured,
        tiles=tiles(figured.overall, figured.timing, run.complete),
        plots=(_iou_plot(run), _stability_plot(run), _latency_plot(run, figured.timing)),
        stages=_stages(run),
        pictures=[_shown(run, one, pictures / one.file) for one in run.pictures],
        truth=figured.overall.with_target + figured.overall.zero_target > 0,
        span=_span(run),
        command=command_line(run.job),
        job=[(name, value, name in _DEFAULTS and value == _DEFAULTS[name]) for name, value in _plain(run.job).items()],
        most_troubles=_MOST_TROUBLES,
    )


def write_comparison(a: Run, b: Run, path: Path) -> None:
    """Two runs of the same clouds side by side. Raises SegPointError where they share none, where jinja2 is missing or
    the file cannot be written."""
    both = compare(a, b)
    texts = list(dict.fromkeys([*both.first.instructions, *both.second.instructions]))
    rows = []
    for text in texts:
        first, second = both.first.instructions.get(text), both.second.instructions.get(text)
        rows.append((text, first, second, difference(first, second) if first and second else None))
    pages.write_page(
        path,
        "comparison.html",
        runs=(a, b),
        both=both,
        tiles=comparing_tiles(both),
        plots=_comparing_plots(*both.runs),
        rows=rows,
        job_differs=_differing(_plain(a.job), _plain(b.job)),
        versions_differ=_differing(a.versions, b.versions),
        commands=(command_line(a.job), command_line(b.job)),
    )


def write_index(runs: Sequence[Run], path: Path, failed: Mapping[str, str] | None = None) -> None:
    """Many bags: each run's figures and a link to its report, and the figures over all of their answers.

    ``failed``: bags without a run, and why. Raises SegPointError as `write_report`.
    """
    whole = _together(runs) if runs else None
    pages.write_page(
        path,
        "index.html",
        rows=[(run, summary(run), _link(run, path)) for run in runs],
        tiles=tiles(whole.overall, whole.timing, all(run.complete for run in runs)) if whole else (),
        failed=failed or {},
        clouds=sum(len(run.frames) for run in runs),
        answers=sum(len(run.answers) for run in runs),
    )


def command_line(job: Mapping[str, Any]) -> str:
    """The `segpoint replay` of a job, for a POSIX shell."""
    words = ["segpoint", "replay", str(job["bag"])]
    for text in job["instructions"]:
        words += ["--instruction", text]
    for name, value in job["parameters"]:
        words += ["--parameter", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    if job["way"] == "live":
        words.append("--live")
    for name in ("labels", "topic", "instruction_topic", "bundle", "node", "rate", "start", "duration", "every"):
        if job[name] != _DEFAULTS[name]:
            words += ["--" + name.replace("_", "-"), str(job[name])]
    bag, out = Path(job["bag"]), Path(job["out"])
    if out.name in (bag.name, bag.stem):
        target = str(out.parent)  # the bag's own folder is made in it
    else:  # that of another bag of this name
        target = f"{out}-again"
    return shlex.join([*words, "--out", target])


def _plain(values: Any) -> Any:
    """Values as JSON gives them back: a record that was read is to look like one that was not written yet."""
    return json.loads(json.dumps(values))


_DEFAULTS = {field.name: _plain(field.default) for field in fields(Job) if field.default is not MISSING}


# --- plots ----------------------------------------------------------------------------------------------------------


def _by_instruction(run: Run, measure: str) -> list[charts.Series]:
    """A measure of each answer over time, a series for each instruction in the order asked."""
    rows: dict[str, list[Answered]] = {}
    for row in run.answers:
        rows.setdefault(row.instruction, []).append(row)
    series = [_over_time(run, some, measure, text) for text, some in rows.items()]
    return [one for one in series if one.points]


def _mean_over_time(run: Run, measure: str, name: str, dashed: bool = False) -> list[charts.Series]:
    """A measure's mean over each cloud's answers; no series where no answer has it."""
    series = _over_time(run, run.answers, measure, name, dashed)
    return [series] if series.points else []


def _over_time(run: Run, rows: Sequence[Answered], measure: str, name: str, dashed: bool = False) -> charts.Series:
    """The mean of each cloud's answers among ``rows``. Missing are the clouds with questions that nothing answered, or
    that are left out of the run's answers, and those whose answers lack the value, except where it needs a truth that
    they have not: a few labelled clouds of many still make a line."""
    values: dict[int, list[float]] = {}
    answered = {row.frame for row in run.answers}
    asked = [frame for frame in run.frames if frame.why != NOT_ASKED]
    lacking = {frame.number for frame in asked if _lost(frame) or frame.number not in answered}
    lacking -= {row.frame for row in rows}
    for row in rows:
        value = getattr(row, measure)
        if value is not None:
            values.setdefault(row.frame, []).append(float(value))
        elif row.true_points is not None or measure not in _OF_TRUTH:
            lacking.add(row.frame)
    at = _times(run)
    return charts.Series(
        name,
        [(at[number], sum(some) / len(some)) for number, some in values.items() if number in at],
        dashed,
        [at[number] for number in lacking - set(values) if number in at],
    )


def _lost(frame: FrameTime) -> bool:
    return not frame.answered or frame.answers < frame.questions


def _iou_plot(run: Run) -> Plot:
    """IoU of each instruction, or the marked points where there is no truth."""
    top: float | None = 1.0
    show: charts.Show = pages.share
    series = _by_instruction(run, "iou")
    if series:
        title, text = "IoU of each instruction", "How well the marked and the true points agree; 100 % is all."
    else:
        series, show, top = _by_instruction(run, "points"), pages.size, None
        title = "Marked points of each instruction"
        text = "How many points were marked. Without labels nothing says which of them are right."
    times = list(_times(run).values())
    if not series:
        return Plot(title, text, None, "No cloud was answered.")
    drawn: charts.Chart | charts.Strips
    if len(series) <= _MOST_LINES:
        drawn = charts.chart(series, times, show, top)
    else:
        drawn = charts.strips(series, times, show, top)
    return Plot(title, text, drawn)


def _stability_plot(run: Run) -> Plot:
    series = _mean_over_time(run, "stability", "answers") + _mean_over_time(
        run, "true_stability", "truth: how much really stayed the same", dashed=True
    )
    text = "IoU of a mask and that of the cloud before, the mean over the instructions; 100 % is a still target."
    drawn = charts.chart(series, list(_times(run).values()), pages.share, 1.0) if series else None
    return Plot("Stability from cloud to cloud", text, drawn, "No two consecutive clouds were answered.")


def _latency_plot(run: Run, timing: Timing) -> Plot:
    series, events = _latencies(run, "latency"), _unanswered(run)
    given = {"p50": timing.latency_p50, "p95": timing.latency_p95}
    levels = [(name, value) for name, value in given.items() if value is not None]
    text = "From handing a cloud over to its answer."
    drawn = None
    if series or events:
        drawn = charts.chart(series, list(_times(run).values()), pages.seconds, None, events, levels)
    return Plot("Latency", text, drawn, "No cloud was answered.", "no answer")


def _latencies(run: Run, name: str) -> list[charts.Series]:
    points = [(frame.at, frame.latency) for frame in run.frames if frame.latency is not None]
    missing = [frame.at for frame in run.frames if frame.latency is None and frame.why != NOT_ASKED]
    return [charts.Series(name, points, missing=missing)] if points else []


def _unanswered(run: Run) -> list[charts.Event]:
    return [charts.Event(frame.at, frame.why) for frame in run.frames if not frame.answered and frame.why != NOT_ASKED]


def _comparing_plots(a: Run, b: Run) -> tuple[Plot, ...]:
    """Of runs without what only one of them has (`segpoint_replay.summary.comparable`)."""
    times = sorted({*_times(a).values(), *_times(b).values()})
    shares = (
        (
            "IoU",
            "iou",
            "The mean over each cloud's instructions. Where only A is seen, B is the same.",
            "No truth is known in both runs.",
        ),
        (
            "Stability from cloud to cloud",
            "stability",
            "IoU of a mask and that of the cloud before. Where only A is seen, B is the same.",
            "No two consecutive clouds were answered in both runs.",
        ),
    )
    plots = []
    for title, measure, text, why in shares:
        series = _mean_over_time(a, measure, "A") + _mean_over_time(b, measure, "B")
        drawn = charts.chart(series, times, pages.share, 1.0) if len(series) == 2 else None
        plots.append(Plot(title, text, drawn, why))
    series = _latencies(a, "A") + _latencies(b, "B")
    drawn = charts.chart(series, times, pages.seconds) if len(series) == 2 else None
    text, why = "From handing a cloud over to its answer.", "No cloud was answered the same questions in both runs."
    return (*plots, Plot("Latency", text, drawn, why))


# --- the rest -------------------------------------------------------------------------------------------------------


def _times(run: Run) -> dict[int, float]:
    return {frame.number: frame.at for frame in run.frames}


def _span(run: Run) -> float:
    times = _times(run).values()
    return max(times) - min(times) if times else 0.0


def _stages(run: Run) -> list[Stage]:
    """The answering's stages, the longest first."""
    import numpy as np

    spent: dict[str, list[float]] = {}
    for frame in run.frames:
        for name, value in frame.seconds.items():
            if name != "total":
                spent.setdefault(name, []).append(value)
    whole = sum(map(sum, spent.values())) or 1.0
    rows = [
        Stage(
            name,
            _STAGES.get(name, ""),
            float(np.percentile(some, 50)),
            float(np.percentile(some, 95)),
            sum(some) / whole,
        )
        for name, some in spent.items()
    ]
    return sorted(rows, key=lambda stage: -stage.share)


def _shown(run: Run, picture: Picture, path: Path) -> Shown:
    rows = (row for row in run.answers if (row.frame, row.instruction) == (picture.frame, picture.instruction))
    return Shown(picture, pages.picture(path), _times(run).get(picture.frame), next(rows, None))


def _together(runs: Sequence[Run]) -> Summary:
    """The figures of several runs' clouds as if they were one bag's."""
    return summary(
        replace(
            runs[0],
            frames=tuple(frame for run in runs for frame in run.frames),
            answers=tuple(row for run in runs for row in run.answers),
            wall=sum(run.wall for run in runs),
        )
    )


def _link(run: Run, path: Path) -> str:
    """A relative address of a run's report, from the index at ``path``."""
    relative = os.path.relpath(Path(run.job["out"], REPORT), path.parent)
    return quote(Path(relative).as_posix())


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]
