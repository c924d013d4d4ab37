"""A run's curves as one picture, from its log: ``python -m segpoint_training.curves RUN --png curves.png``.

A column for each stage: the loss and its parts, the figures of validation, and how fast it went.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import check_target
from segpoint_training.progress import FIGURES
from segpoint_training.run_log import LOG, log_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = dict[int, float]  # value by step
_WINDOW = 15  # points that a drawn loss is the mean of, at most


@dataclass
class StageCurves:
    """What a stage logged, by name: parts of the loss, validation in per cent, and FIGURES."""

    losses: dict[str, Curve] = field(default_factory=dict)
    validation: dict[str, Curve] = field(default_factory=dict)
    figures: dict[str, Curve] = field(default_factory=dict)

    def forget_after(self, step: int) -> None:
        """Drop what came after ``step``: the run was stopped and went on from there."""
        for curve in (c for some in (self.losses, self.validation, self.figures) for c in some.values()):
            for late in [s for s in curve if s > step]:
                del curve[late]


def read_log(run: Path) -> dict[str, StageCurves]:
    """The stages of a run's ``log.jsonl``. Raises SegPointError where there is none or no step of one in it."""
    stages: dict[str, StageCurves] = {}
    for line in log_lines(run):
        _add(stages, line)
    if not any(stage.losses or stage.validation for stage in stages.values()):
        raise SegPointError(
            f"{run / LOG} has no step of a stage: give the folder of a run, and wait for the first that it logs "
            "(every 50th, or as --log-every says)"
        )
    return stages


def _add(stages: dict[str, StageCurves], facts: dict[str, Any]) -> None:
    if "stage" not in facts:
        return
    stage = stages.setdefault(facts.pop("stage"), StageCurves())
    if "begins" in facts:
        stage.forget_after(facts["begins"])
    step = facts.pop("step", None)
    if step is None:
        return
    for name, value in facts.pop("validation", {}).items():
        stage.validation.setdefault(name, {})[step] = value
    for name, value in facts.items():
        if isinstance(value, float):  # whether it is done, too, stands in the line
            curves = stage.figures if name in FIGURES else stage.losses
            curves.setdefault(name, {})[step] = value


def draw(stages: dict[str, StageCurves], path: Path) -> None:
    """Write the picture. Raises SegPointError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SegPointError(f"curves are drawn with matplotlib ({error}): pip install matplotlib") from error
    rows = [
        ("loss", lambda stage: {n: _smooth(c) for n, c in stage.losses.items()}),
        ("validation, mIoU in %", lambda stage: stage.validation),
        ("samples/s", lambda stage: {n: c for n, c in stage.figures.items() if n == "samples_per_s"}),
    ]
    rows = [row for row in rows if any(row[1](stage) for stage in stages.values())]
    figure = Figure((8 * len(stages), 3.6 * len(rows)), dpi=110, layout="constrained")
    grid = figure.subplots(len(rows), len(stages), squeeze=False, sharex="col")
    for column, (name, stage) in enumerate(stages.items()):
        for row, (label, curves) in enumerate(rows):
            _plot(grid[row, column], curves(stage), label)
        grid[0, column].set_title(name)
        grid[0, column].set_yscale("log")
        grid[-1, column].set_xlabel("step")
    figure.savefig(path)


def _plot(axes: Axes, curves: dict[str, Curve], label: str) -> None:
    for number, (name, curve) in enumerate(curves.items()):
        style = {"color": "black", "linewidth": 2.2} if name in ("loss", "all") else {"color": f"C{number % 10}"}
        axes.plot(list(curve), list(curve.values()), marker="." if len(curve) < 40 else None, label=name, **style)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def _smooth(curve: Curve) -> Curve:
    """Running means: one step's loss says more about its clouds than about the model."""
    width = min(_WINDOW, max(1, len(curve) // 4))
    values = np.convolve(list(curve.values()), np.full(width, 1 / width), mode="valid")
    return dict(zip(list(curve)[width // 2 :], values.tolist(), strict=False))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m segpoint_training.curves", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("--png", type=Path, required=True, metavar="FILE", help="the picture")
    args = parser.parse_args(argv)
    check_target(args.png)
    draw(read_log(args.run), args.png)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except SegPointError as error:
        raise SystemExit(f"curves: {error}") from error
