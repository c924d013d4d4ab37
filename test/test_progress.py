"""What a stage in training prints of its pace, by a clock of the test's own."""

from __future__ import annotations

import io
import sys

import pytest

from segpoint_training import progress
from segpoint_training.progress import FIGURES, Progress


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    return clock


def run(told: Progress, clock: Clock, first: int, last: int, seconds: float, **losses: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    for step in range(first + 1, last + 1):
        clock.now += seconds
        figures = told.update(step, losses or {"bce": 0.5}, 1e-3)
    return figures


def test_a_log_file_gets_a_line_every_half_minute(clock: Clock, capsys: pytest.CaptureFixture[str]):
    told = Progress(1000, 0, 4, True, "stage1")
    run(told, clock, 0, 100, 1.0)
    told.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"stage1 {step}/1000" for step in (1, 31, 61, 91, 100)]
    assert lines[-1] == "stage1 100/1000, 4 samples/s, 15:00 left, rate 0.001, bce 0.500"


def test_pace_is_of_the_last_minute_and_what_is_left_of_this_process_alone(clock: Clock, capsys):
    told = Progress(1000, 400, 4, True)
    assert run(told, clock, 400, 500, 2.0) == {"rate": 1e-3, "samples_per_s": 2.0}
    assert run(told, clock, 500, 650, 0.5)["samples_per_s"] == 8.0
    told.close()
    # 250 steps took 275 s; 350 are left.
    assert "06:25 left" in capsys.readouterr().err.splitlines()[-1]


def test_steps_longer_than_the_window(clock: Clock):
    assert run(Progress(10, 0, 6, False), clock, 0, 3, 120.0)["samples_per_s"] == 0.05


def test_losses_are_smoothed_each_by_itself(clock: Clock, capsys):
    told = Progress(1000, 0, 1, True)
    run(told, clock, 0, 1, 0.1, bce=0.25, dice=0.5)
    run(told, clock, 1, 2, 0.1, bce=0.75)
    told.close()
    first, last = capsys.readouterr().err.splitlines()
    assert first.endswith("bce 0.250, dice 0.500")
    assert last.endswith("bce 0.503, dice 0.500")  # (0.98 · 0.25 + 0.75) / 1.98
    told = Progress(1000, 0, 1, True)
    run(told, clock, 0, 500, 0.1, bce=8.0)
    run(told, clock, 500, 800, 0.1, bce=2.0)
    told.close()
    assert capsys.readouterr().err.splitlines()[-1].endswith("bce 2.014")


def test_other_processes_are_silent_but_have_their_figures(clock: Clock, capsys):
    told = Progress(10, 0, 4, False)
    assert run(told, clock, 0, 10, 1.0)["samples_per_s"] == 4.0
    told.close()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    told = Progress(40, 10, 4, True, "stage2")
    run(told, clock, 10, 40, 1.0)
    told.close()
    last = screen.getvalue().split("\r")[-1]
    assert last.startswith("stage2 100%|") and "40/40, 4 samples/s, 00:00 left" in last
    assert "bce 0.500" in last and last.count("\n") == 1


def test_memory_of_a_gpu_is_told_where_there_is_one(clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(progress, "_gpu_memory", lambda: 3 * 2**30)
    told = Progress(10, 0, 4, True)
    assert tuple(run(told, clock, 0, 1, 1.0)) == FIGURES
    told.close()
    assert "GPU 3.0 GiB" in capsys.readouterr().err
