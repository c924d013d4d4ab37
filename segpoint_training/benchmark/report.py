"""A benchmark's figures as a page of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from segpoint_training.benchmark.machine import in_words
from segpoint_training.benchmark.targets import Target, ratios, runs, targets

Record = dict[str, Any]
Row = Sequence[object]

_KINDS = {
    "new": "a new instruction, the next cloud",
    "standing": "the instruction of before, the next cloud",
    "second": "a new instruction, the cloud of before",
}


def page(record: Record, plot: str | None) -> str:
    """The whole page. plot: the picture's file name beside it."""
    settings = record["settings"]
    blocks = [
        "# Speed",
        f"Printed by `{settings['command']}`. {in_words(record['machine'])}; threads: {settings['threads']}, seed "
        f"{settings['seed']}, {settings['repeats']} repeats; {settings['cloud']}.",
        "Milliseconds. Each configuration of the method runs in a process of its own, after a warm-up; the peak is all "
        "that the process has held, Python and PyTorch included. Parts that are compared take turns in one process.",
        overview(record),
        *_section("Targets", [_table(("target", "measured", ""), [_judged(each) for each in targets(record)])]),
        *_stages(record),
        *_ladders(record, plot),
        *_peers(record),
        *_bounds(record),
        *_section("Not measured", [f"- {told}" for told in record["failed"]]),
    ]
    return "\n\n".join(blocks) + "\n"


def overview(record: Record) -> str:
    """The table that the README shows, each row with the command that measures it."""
    rows: list[Row] = []
    for kind, name in _KINDS.items():
        for run in runs(record, "stages", kind)[:1]:
            rows.append((f"{run['raw']:,} points: {name}", *_times(run, "total"), _memory(run), run["command"]))
            if kind == "new":
                rows.append(("of that all but the language model", *_times(run, "rest"), "", run["command"]))
    best = record["settings"]["backends"][0]
    for part, told in (
        ("questions", "{questions} new instructions about one cloud"),
        ("raw", "{raw:,} points: a new instruction"),
        ("points", "N = {points:,}: a new instruction"),
    ):
        for run in [run for run in runs(record, part) if run["backend"] == best][-1:]:
            rows.append((told.format(**run), *_times(run, "total"), _memory(run), run["command"]))
    for found in record["groups"]:
        if found["seconds"]:
            own, *others = found["seconds"]
            beside = "".join(f"; {name} takes {ratios(found, name)[0]:.1f} ×" for name in others)
            spread = np.percentile(found["seconds"][own], (50, 95)) * 1000
            rows.append((f"{found['what']}: {own}{beside}", *map(_ms, spread), "", found["command"]))
    rows = [(*row[:-1], f"`{row[-1]}`") for row in rows]
    return _table(("", "p50 ms", "p95 ms", "peak MB", "command"), rows)


def _stages(record: Record) -> list[str]:
    """Each stage, a table for each backend."""
    blocks = []
    for backend in record["settings"]["backends"]:
        found = [run for run in record["runs"] if (run["part"], run["backend"]) == ("stages", backend)]
        if not found:
            continue
        rows: list[Row] = []
        for stage in found[0]["milliseconds"]:
            if stage not in ("call", "rest"):
                cells = [_times(run, stage) if stage in run["milliseconds"] else ("", "") for run in found]
                rows.append((stage, *(cell for pair in cells for cell in pair)))
        head = ("stage", *(cell for run in found for cell in (f"{_KINDS[run['kind']]}: p50", "p95")))
        blocks += [f"### {backend}", _circumstances(found[0]), _table(head, rows)]
    if blocks:
        blocks.append("“The cloud of before”: a `Segmenter` knows the cloud that it was asked about last.")
    return _section("Stages (`segpoint benchmark --part stages`)", blocks)


def _circumstances(run: dict[str, Any]) -> str:
    """What the figures about new instructions are figures of."""
    passes = ", ".join(f"{count} ({times} ×)" for count, times in sorted(Counter(run["passes"]).items()))
    told = [
        f"{run['runner']} on {run['device']}, peak {_memory(run)} MB",
        f"{run['raw']:,} points in {run['voxels']:,} voxels of N = {run['points']:,}",
        f"Something was marked in {run['found']} of {run['repeats']} new answers",
        f"Passes of the language model for each, points and words included: {passes}",
    ]
    if run["gpu_peak_mb"]:
        told.append(f"On the GPU, peak {run['gpu_peak_mb']:.0f} MB, stages overlap: only totals count")
    return ". ".join(told) + "."


def _ladders(record: Record, plot: str | None) -> list[str]:
    """Sizes against time."""
    blocks = [f"![Latency against raw points, N and instructions]({plot})"] if plot else []
    for part, head in (("points", "N"), ("raw", "raw points"), ("questions", "instructions")):
        rows = [
            (f"{run[part]:,}", run["backend"], f"{run['voxels']:,}", *_times(run, "cloud"), *_times(run, "encoder"),
             *_times(run, "total"), _memory(run))
            for run in runs(record, part)
        ]  # fmt: skip
        heads = (head, "backend", "voxels", "cloud", "p95", "encoder", "p95", "total", "p95", "peak MB")
        if rows:
            blocks += [f"`segpoint benchmark --part {part}`", _table(heads, rows)]
    return _section("Sizes", blocks)


def _peers(record: Record) -> list[str]:
    """What else does a part's work; × is its time over ours."""
    rows: list[Row] = []
    for found in record["groups"]:
        own = next(iter(found["seconds"]), None)
        notes = found.get("notes", {})
        for name, seconds in found["seconds"].items():
            middle, late = 1000 * np.percentile(seconds, (50, 95))
            beside = ("", "") if name == own else tuple(f"{ratio:.2f}" for ratio in ratios(found, name))
            rows.append((found["what"], name, _ms(middle), _ms(late), *beside, notes.get(name, "")))
        for name, remedy in found.get("missing", {}).items():
            rows.append((found["what"], name, "", "", "", "", f"not measured: {remedy}"))
    head = ("work", "by", "p50", "p95", "× by p50", "× by least", "")
    return _section("Beside others (`segpoint benchmark --part peers`)", [_table(head, rows)] if rows else [])


def _bounds(record: Record) -> list[str]:
    """Operations and bytes of the network's stages, and what this machine would need for them at best."""
    found = record["bounds"]
    if not found:
        return []
    rates = ", ".join(
        f"{rate:.0f} {'GB/s from memory' if name == 'bytes' else f'GFLOP/s in {name}'}"
        for name, rate in found["giga_per_second"].items()
    )
    rows = [
        (row["what"], f"{row['gflop']:.2f}", f"{row['mb']:.1f}", _ms(row["floor_ms"]), _ms(row["least_ms"]))
        for row in found["rows"]
    ]
    told = (
        f"This machine reached {rates}. The floor is what the operations or the bytes (weights, inputs, outputs) would "
        "take at those rates, whichever is more."
    )
    head = ("stage", "GFLOP", "MB", "floor ms", "least ms")
    return _section("What bounds it (`segpoint benchmark --part peers`)", [told, _table(head, rows)])


def _judged(target: Target) -> Row:
    return target.name, target.told, {True: "met", False: "**not met**", None: ""}[target.met]


def _times(run: dict[str, Any], stage: str) -> tuple[str, str]:
    value = run["milliseconds"][stage]
    return _ms(value["p50"]), _ms(value["p95"])


def _memory(run: dict[str, Any]) -> str:
    return f"{run['peak_mb']:.0f}"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _section(title: str, blocks: Iterable[str]) -> list[str]:
    blocks = list(blocks)
    return [f"## {title}", *blocks] if blocks else []


def _table(head: Row, rows: Iterable[Row]) -> str:
    """Columns of one width: it is read in a terminal, too."""
    lines = [[str(cell).replace("|", "/") for cell in row] for row in (head, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )
