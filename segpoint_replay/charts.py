"""What a report draws over a bag's time: the geometry alone, which templates/charts.html writes as inline SVG.

Widths are per cent of the plot, so that one drawing fits a laptop and a phone with its text at full size; heights are
pixels. A path lies in a box of WIDE by HIGH that is stretched over the plot. With more clouds than a chart has steps it
shows each step's mean, with the range behind it, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

WIDE, HIGH = 1000.0, 160.0
STEPS = 240  # across a chart: about one in 3 pixels of a laptop's
CELLS = 2400  # in all strips of a chart together; they are most of a report's size
STRIPS = 64
_FEWEST_STEPS = 40
_DOTS = 60  # with no more points than this a line shows each
_GAP = 5.0  # a line is open where the next point is this many times further than usual
_TALL = 3.0  # times the 95th percentile: what is higher is cut off, or one slow start would flatten all else
_NAME = 100  # characters of an instruction in a hint
_SHADES = 10
_LETTERS = 14.0  # pixels that a name is high

Show = Callable[[float], str]


@dataclass(frozen=True)
class Series:
    """A named value over time: seconds after the bag's start, and the value; any order.

    missing: the times of the clouds that should have a value and have none; no line is drawn across them.
    """

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    missing: Sequence[float] = ()


@dataclass(frozen=True)
class Event:
    """A cloud that has no value, and why not."""

    at: float
    why: str


@dataclass(frozen=True)
class Drawn:
    """A series as paths. band: between the lowest and the highest of each step, "" where none holds several clouds.
    dots: the points that are shown, those that no line comes to and, of few, all. colour: from 0."""

    name: str
    path: str
    band: str
    dots: str
    dashed: bool
    colour: int


@dataclass(frozen=True)
class Slab:
    """A step's column, with the hint that it shows. x, width: per cent."""

    x: float
    width: float
    hint: str


@dataclass(frozen=True)
class Mark:
    """Clouds without a value. x: per cent."""

    x: float
    hint: str


@dataclass(frozen=True)
class Level:
    """A line across the chart. y: pixels from the top.   label: how much lower its name's base is, to the right."""

    y: float
    name: str
    label: float


@dataclass(frozen=True)
class Tick:
    """A scale's number. at: pixels from the top, or per cent from the left."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Lines over time. notes: what the drawing leaves out."""

    lines: tuple[Drawn, ...]
    slabs: tuple[Slab, ...]
    marks: tuple[Mark, ...]
    levels: tuple[Level, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A stretch of a strip. shade: 0 for the lowest to 9.   x, width: per cent."""

    x: float
    width: float
    shade: int
    hint: str


@dataclass(frozen=True)
class Strips:
    """Many series over time, a coloured strip each."""

    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    across: tuple[Tick, ...]
    low: str
    high: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Steps:
    """Time cut into steps: (n + 1,) edges in seconds after the bag's start."""

    edges: np.ndarray
    single: bool  # one cloud a step

    @classmethod
    def of(cls, times: Sequence[float], most: int) -> _Steps:
        """Steps for clouds at these times: one a cloud, or ``most`` of equal length where there are more clouds."""
        at = np.unique(np.asarray(times, dtype=np.float64))
        if len(at) <= 1:
            middle = float(at[0]) if len(at) else 0.0
            return cls(np.array([middle - 0.5, middle + 0.5]), True)
        margin = (at[-1] - at[0]) / (2 * min(len(at), most))
        if len(at) > most:
            return cls(np.linspace(at[0] - margin, at[-1] + margin, most + 1), False)
        return cls(np.concatenate([[at[0] - margin], (at[1:] + at[:-1]) / 2, [at[-1] + margin]]), True)

    def index(self, at: np.ndarray) -> np.ndarray:
        return np.clip(np.searchsorted(self.edges, at, side="right") - 1, 0, len(self.edges) - 2)

    def per_cent(self, at: float | np.ndarray) -> np.ndarray:
        return (np.asarray(at) - self.edges[0]) / (self.edges[-1] - self.edges[0]) * 100


@dataclass(frozen=True)
class _Binned:
    """A series in steps: the steps that have values, their mean time, and their mean, lowest and highest value."""

    steps: np.ndarray
    at: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        return self.steps, self.at, self.mean, self.low, self.high, self.count

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]], steps: _Steps) -> _Binned:
        values = np.array(sorted(points), dtype=np.float64).reshape(-1, 2)
        at, value = values.T
        used, start, count = np.unique(steps.index(at), return_index=True, return_counts=True)
        if not len(used):
            return cls(*(np.empty(0, dtype=int if name == 0 else float) for name in range(6)))
        sums = np.add.reduceat(value, start), np.minimum.reduceat(value, start), np.maximum.reduceat(value, start)
        return cls(used, np.add.reduceat(at, start) / count, sums[0] / count, sums[1], sums[2], count)


def chart(
    series: Sequence[Series],
    times: Sequence[float],
    show: Show,
    top: float | None = None,
    events: Sequence[Event] = (),
    levels: Sequence[tuple[str, float]] = (),
) -> Chart:
    """Lines over the clouds' ``times`` (seconds after the bag's start), from 0 to ``top`` (None: as high as they go).

    ``show`` writes a value in hints. ``events`` become marks below the lines, ``levels`` lines across.
    """
    steps = _Steps.of(times, STEPS)
    binned = [_Binned.of(one.points, steps) for one in series]
    notes = _thinned(times, steps)
    if top is None:
        highest = np.concatenate([np.empty(0), *(one.high for one in binned)])
        top, cut = _top(highest, [value for _, value in levels])
        if cut:
            notes.append(f"{cut} {'value is' if cut == 1 else 'values are'} higher than the chart; its hint has it.")
    heights = [float(_height(value, top)) for _, value in levels]
    return Chart(
        lines=tuple(_drawn(one, bins, steps, top, i) for i, (one, bins) in enumerate(zip(series, binned, strict=True))),
        slabs=_slabs(series, binned, steps, show),
        marks=_marks(events, steps),
        levels=tuple(
            Level(height, f"{name} {show(value)}", lower)
            for (name, value), height, lower in zip(levels, heights, _beside(heights), strict=True)
        ),
        across=_seconds(steps),
        up=tuple(Tick(float(_height(value, top)), show(value)) for value in _round_numbers(0.0, top, 4)),
        notes=tuple(notes),
    )


def strips(series: Sequence[Series], times: Sequence[float], show: Show, top: float | None = None) -> Strips:
    """A strip for each series, coloured from 0 to ``top`` (None: the highest value). Those beyond STRIPS are left out
    and told."""
    rows = series[:STRIPS]
    steps = _Steps.of(times, max(_FEWEST_STEPS, min(STEPS, CELLS // max(len(rows), 1))))
    binned = [_Binned.of(one.points, steps) for one in rows]
    highest = top or max((float(one.mean.max()) for one in binned if len(one.mean)), default=1.0) or 1.0
    notes = _thinned(times, steps, ranged=False)
    if len(series) > len(rows):
        notes.append(f"The first {len(rows)} of {len(series)} instructions.")
    cells = [(one.name, _cells(bins, steps, highest, show)) for one, bins in zip(rows, binned, strict=True)]
    return Strips(tuple(cells), _seconds(steps), show(0.0), show(highest), tuple(notes))


def _thinned(times: Sequence[float], steps: _Steps, ranged: bool = True) -> list[str]:
    if steps.single:
        return []
    behind = ", with the lowest and the highest behind it" if ranged else ""
    return [f"Thinned: each of {len(steps.edges) - 1} steps shows the mean of its clouds{behind}."]


def _drawn(series: Series, bins: _Binned, steps: _Steps, top: float, colour: int) -> Drawn:
    x = steps.per_cent(bins.at) * WIDE / 100
    middle, low, high = (_height(values, top) for values in (bins.mean, bins.low, bins.high))
    pieces = [piece for piece in np.split(np.arange(len(x)), _gaps(bins, steps, series.missing)) if len(piece)]
    path = "".join(_line(x[piece], middle[piece]) for piece in pieces if len(piece) > 1)
    shown = range(len(x)) if len(x) <= _DOTS else [piece[0] for piece in pieces if len(piece) == 1]
    dots = "".join(f"{_line(x[[i]], middle[[i]])}h.01" for i in shown)  # a round end is as wide as its stroke
    band = ""
    if (bins.count > 1).any():
        band = "".join(
            _line(np.concatenate([x[piece], x[piece][::-1]]), np.concatenate([high[piece], low[piece][::-1]])) + "z"
            for piece in pieces
            if len(piece) > 1
        )
    return Drawn(series.name, path, band, dots, series.dashed, colour)


def _gaps(bins: _Binned, steps: _Steps, missing: Sequence[float]) -> np.ndarray:
    """Where a series' line is left open: the index that each further piece starts with. That is over a step whose
    clouds are all ``missing``, and where the next point is far."""
    if len(bins.at) < 2:
        return np.empty(0, dtype=int)
    apart = np.diff(bins.at)
    lost = np.setdiff1d(steps.index(np.asarray(missing, dtype=np.float64)), bins.steps)
    across = np.diff(np.searchsorted(lost, bins.steps)) > 0
    return np.flatnonzero(across | (apart > _GAP * np.median(apart))) + 1


def _line(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _height(value: float | np.ndarray, top: float) -> np.ndarray:
    """Pixels from the top of a chart that ends at ``top``."""
    return HIGH - np.clip(np.asarray(value, dtype=np.float64) / top, 0.0, 1.0) * HIGH


def _beside(lines: Sequence[float]) -> list[float]:
    """How much lower than its line, pixels from the top, each name's base is: beside it, or of near ones the first's
    below and the others' above."""
    if len(lines) > 1 and max(lines) - min(lines) < _LETTERS:
        return [13.0, *[-4.0] * (len(lines) - 1)]
    return [4.0] * len(lines)


def _top(values: np.ndarray, levels: Sequence[float]) -> tuple[float, int]:
    """A chart's upper end for these values, and how many lie above it."""
    if not len(values):
        return 1.0, 0
    usual = max(float(np.percentile(values, 95)), *levels, 0.0)
    top = float(values.max()) if values.max() <= _TALL * usual else 1.3 * usual
    top = max([top, *levels]) * 1.05
    return (top, int(np.count_nonzero(values > top))) if top > 0 else (1.0, 0)


def _slabs(series: Sequence[Series], binned: Sequence[_Binned], steps: _Steps, show: Show) -> tuple[Slab, ...]:
    hints: dict[int, list[str]] = {}
    for one, bins in zip(series, binned, strict=True):
        for step, at, mean, low, high, count in zip(*bins.columns, strict=True):
            when = f"{at:.2f} s" + (f", the mean of {count:.0f} clouds" if count > 1 else "")
            spread = f" ({show(low)} to {show(high)})" if count > 1 else ""
            hints.setdefault(int(step), [when]).append(f"{shortened(one.name, _NAME)}: {show(mean)}{spread}")
    edges = steps.per_cent(steps.edges)
    return tuple(
        Slab(float(edges[step]), float(edges[step + 1] - edges[step]), "\n".join(lines))
        for step, lines in sorted(hints.items())
    )


def _marks(events: Sequence[Event], steps: _Steps) -> tuple[Mark, ...]:
    """A mark for each step that has events; its hint counts them by reason, the most frequent first."""
    of_step: dict[int, list[Event]] = {}
    for step, event in zip(steps.index(np.array([event.at for event in events])), events, strict=True):
        of_step.setdefault(int(step), []).append(event)
    marks = []
    for members in of_step.values():
        reasons = [event.why for event in members]
        ordered = sorted(set(reasons), key=lambda why: (-reasons.count(why), why))[:4]
        told = [shortened(why, 100) + (f" ({reasons.count(why)})" if len(reasons) > 1 else "") for why in ordered]
        at = float(np.mean([event.at for event in members]))
        marks.append(Mark(float(steps.per_cent(at)), "\n".join([f"{at:.2f} s: no answer", *told])))
    return tuple(marks)


def _cells(bins: _Binned, steps: _Steps, top: float, show: Show) -> tuple[Cell, ...]:
    """The steps as cells; neighbours of one shade are one cell."""
    shades = np.minimum((np.clip(bins.mean / top, 0, 1) * _SHADES).astype(int), _SHADES - 1)
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(bins.steps) != 1) | (np.diff(shades) != 0)]))
    cells = []
    for piece in np.split(np.arange(len(shades)), starts[1:]) if len(shades) else ():
        first, last = int(bins.steps[piece[0]]), int(bins.steps[piece[-1]])
        x, end = (float(value) for value in steps.per_cent(steps.edges[[first, last + 1]]))
        low, high = show(float(bins.low[piece].min())), show(float(bins.high[piece].max()))
        value = low if low == high else f"{low} to {high}"
        when = f"{bins.at[piece[0]]:.2f}" + (f" to {bins.at[piece[-1]]:.2f} s" if len(piece) > 1 else " s")
        cells.append(Cell(x, end - x, int(shades[piece[0]]), f"{when}: {value}"))
    return tuple(cells)


def _seconds(steps: _Steps) -> tuple[Tick, ...]:
    low, high = float(steps.edges[0]), float(steps.edges[-1])
    numbers = _round_numbers(max(low, 0.0), high, 5)
    apart = numbers[1] - numbers[0] if len(numbers) > 1 else 0.1
    digits = next((digits for digits in range(9) if abs(round(apart, digits) - apart) < 1e-9), 9)
    return tuple(Tick(float(steps.per_cent(value)), f"{value:.{digits}f} s") for value in numbers)


def _round_numbers(low: float, high: float, about: int) -> list[float]:
    """Round numbers within low … high, about so many."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def shortened(text: str, length: int) -> str:
    """A text on one line, cut to so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
