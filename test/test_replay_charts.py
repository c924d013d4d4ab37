"""What a report draws over time: where lines go, where they are open, what is left out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from replay_runs import made

from segpoint_replay import charts, pages
from segpoint_replay.record import DROPPED, REPORT, Run
from segpoint_replay.report import write_report

MUG = "pick up the mug"


def test_a_line_is_open_where_clouds_are_missing() -> None:
    times = [n / 10 for n in range(40)]
    seen = [(at, 0.5) for at in times if not 1 < at < 3]
    drawn = charts.chart([charts.Series("x", seen)], times, str, 1.0)
    assert drawn.lines[0].path.count("M") == 2
    assert len(drawn.slabs) == len(seen)


def lines(run: Run, folder: Path) -> list[list[int]]:
    """Of the lines in a run's report, in their order: how many points each piece that is drawn has."""
    write_report(run, folder, folder / REPORT)
    paths = re.findall(r'class="line c\d(?: dashed)?" d="(M[^H"]+)"', (folder / REPORT).read_text())
    return [[piece.count("L") + 1 for piece in path.split("M")[1:]] for path in paths]


def test_no_line_is_drawn_over_a_cloud_without_an_answer(tmp_path: Path) -> None:
    whole = made(30, [MUG])
    lost = {4, 11, 12, 20, 22}  # 21 stands alone
    frames = [
        replace(one, answered=False, why=DROPPED, latency=None) if one.number in lost else one for one in whole.frames
    ]
    run = replace(whole, frames=tuple(frames), answers=tuple(row for row in whole.answers if row.frame not in lost))
    # IoU; the truth's stability and the answers', not of the first cloud; latency.
    assert lines(run, tmp_path) == [[4, 6, 7, 7], [3, 6, 7, 7], [3, 6, 7, 7], [4, 6, 7, 7]]
    assert (tmp_path / REPORT).read_text().count("h.01") == 25 + 24 + 24 + 25
    assert lines(whole, tmp_path) == [[30], [29], [29], [30]]


def test_no_line_is_drawn_over_an_answer_without_a_value(tmp_path: Path) -> None:
    run = made(30, [MUG])
    rows = [replace(row, stability=None, true_stability=None) if row.frame == 9 else row for row in run.answers]
    assert lines(replace(run, answers=tuple(rows)), tmp_path) == [[30], [8, 20], [8, 20], [30]]


def test_a_few_labelled_clouds_make_a_line(tmp_path: Path) -> None:
    run = made(30, [MUG])
    rows = [replace(row, true_points=None, iou=None) if row.frame % 6 else row for row in run.answers]
    assert lines(replace(run, answers=tuple(rows)), tmp_path)[0] == [5]


def test_of_many_points_those_without_a_line_are_dots() -> None:
    times = [float(n) for n in range(200)]
    seen = [(at, 0.5) for at in times if at % 50 != 1]
    drawn = charts.chart([charts.Series("x", seen, missing=[1.0, 51.0, 101.0, 151.0])], times, str, 1.0).lines[0]
    assert drawn.path.count("M") == 4 and drawn.dots.count("M") == 1, "the first stands alone"


def test_one_slow_start_does_not_flatten_the_chart() -> None:
    points = [(float(n), 30.0 if n == 0 else 0.3) for n in range(50)]
    drawn = charts.chart([charts.Series("latency", points)], [at for at, _ in points], pages.seconds)
    assert drawn.up[-1].text == "400\u202fms" and "1 value is higher" in drawn.notes[0]
    assert "30.00\u202fs" in drawn.slabs[0].hint
