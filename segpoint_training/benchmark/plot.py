"""Latency against sizes, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segpoint.errors import SegPointError
from segpoint_training.benchmark.cases import LANGUAGE
from segpoint_training.benchmark.targets import runs

_PANELS = {"raw": "raw points", "points": "N, the network's points", "questions": "instructions about one cloud"}
_STAGES = {
    "cloud": ("cloud",),
    "neighbourhoods": ("neighbourhoods",),
    "GEM, encoder, GFP": ("encoder", "propagation"),
    "language model": LANGUAGE,
    "reader, mask, targets": ("reader", "mask", "instances"),
}


def panels(record: dict[str, Any]) -> list[str]:
    """The parts that hold something to draw: more than one size."""
    return [part for part in _PANELS if len({run[part] for run in runs(record, part)}) > 1]


def draw(record: dict[str, Any], path: Path) -> None:
    """A panel for each part with sizes, both axes logarithmic: the total, its p95 above it, and where it goes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    shown = panels(record)
    figure = Figure(figsize=(5.2 * len(shown), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    lines: dict[str, Any] = {}
    for axes, part in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
        backends = list(dict.fromkeys(run["backend"] for run in runs(record, part)))
        for number, backend in enumerate(backends):
            found = [run for run in runs(record, part) if run["backend"] == backend]
            _lines(axes, found, part, backend, first=number == 0)
        sizes = sorted({run[part] for run in runs(record, part)})
        axes.set(xscale="log", yscale="log", xlabel=_PANELS[part])
        axes.set_xticks(sizes, [_short(size, 1024 if part == "points" else 1000) for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(True, which="major", color="0.85")
        axes.grid(True, which="minor", axis="y", color="0.94")
        handles, labels = axes.get_legend_handles_labels()
        lines |= dict(zip(labels, handles, strict=True))
    figure.axes[0].set_ylabel("milliseconds, p50")
    figure.legend([*lines.values()], [*lines], loc="outside lower center", ncols=min(5, 2 * len(shown)), fontsize=9)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise SegPointError(f"cannot write {path}: {error}") from error


def _lines(axes: Any, found: list[dict[str, Any]], key: str, backend: str, first: bool) -> None:
    sizes = [run[key] for run in found]
    total = [run["milliseconds"]["total"] for run in found]
    style = {"color": "black", "linestyle": "-" if first else "--", "marker": "o", "markersize": 4}
    axes.plot(sizes, [value["p50"] for value in total], label=f"total, {backend}", **style)
    if first:
        axes.fill_between(sizes, [v["p50"] for v in total], [v["p95"] for v in total], color="0.8", label="… to p95")
    for number, (name, stages) in enumerate(_STAGES.items()):
        own = [sum(run["milliseconds"].get(stage, {"p50": 0.0})["p50"] for stage in stages) for run in found]
        if first or name == "GEM, encoder, GFP":
            label = name if first else f"{name}, {backend}"
            axes.plot(sizes, own, f"C{number}", linestyle="-" if first else "--", linewidth=1.2, label=label)


def _short(size: int, thousand: int) -> str:
    if size >= thousand**2:
        return f"{size / thousand**2:.3g}M"
    return f"{size / thousand:.3g}k" if size >= thousand else str(size)
