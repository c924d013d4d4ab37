"""Results in Markdown: what one evaluation measured, and the sections of a page that commands write again."""

from __future__ import annotations

import re
from typing import Any

from segpoint.errors import SegPointError
from segpoint_training.records import percent

MOST = 120  # characters of a cell that are shown


def clipped(text: str, most: int = MOST) -> str:
    """On one line, its end left out where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def cell(text: str) -> str:
    """``text`` as the cell of a table: `clipped`, and nothing in it ends the cell or is HTML ("<SEG>")."""
    return re.sub(r"[\\|<]", r"\\\g<0>", clipped(text))


def with_section(text: str, begin: str, end: str, body: str) -> str:
    """``text`` with what stands between the markers replaced by ``body``; both are added where they are missing.

    Raises SegPointError where one of the markers is there without the other.
    """
    if (begin in text) != (end in text):
        raise SegPointError(f"the report has only one of its markers {begin} and {end}; put both back or take both out")
    if begin not in text:
        text = f"{text.rstrip()}\n\n{begin}\n{end}\n"
    before, rest = text.split(begin, 1)
    return f"{before}{begin}\n{body.strip()}\n{end}{rest.split(end, 1)[1]}"


def record_markdown(record: dict[str, Any]) -> str:
    """What an evaluation's JSON says: IoU by class, or a table by kind and sensor and what became of the answers."""
    if "semantic" in record:
        classes = sorted(record["semantic"]["classes"].items(), key=lambda entry: -(entry[1]["iou"] or 0.0))
        return "IoU by class: " + ", ".join(f"{name} {percent(row['iou'])}" for name, row in classes) + "."
    names = list(record["references"])
    heads = ["kind", "n", "mIoU", "Acc@0.25", "Acc@0.5", *(f"{name}: mIoU" for name in names)]
    rows = [" | ".join(heads), "---" + "|---:" * (len(heads) - 1)]
    for kind, ours in record["measures"].items():
        others = [record["references"][name][kind]["miou"] for name in names]
        figures = [percent(value) for value in (ours["miou"], ours["acc25"], ours["acc50"], *others)]
        rows.append(" | ".join([cell(kind), str(ours["count"]), *figures]))
    for sensor, ours in record["sensors"].items():
        figures = [percent(ours[name]) for name in ("miou", "acc25", "acc50")] + [""] * len(names)
        rows.append(" | ".join([f"{sensor}, with target", str(ours["count"]), *figures]))
    outcomes = ", ".join(f"{name} {count}" for name, count in record["outcomes"].items())
    return "\n".join(f"| {row} |" for row in rows) + f"\n\nAnswers: {outcomes}."


def worst_markdown(record: dict[str, Any], count: int = 20) -> str:
    """The answers of an evaluation's JSON with the lowest IoU, worst first: what about what, and what is wrong."""
    worst = sorted(record["items"], key=lambda item: item["iou"])[:count]
    rows = ["cloud | kind | IoU | points meant | points marked | what is wrong", "---|---|---:|---:|---:|---"]
    for item in worst:
        numbers = f"{item['iou']:.2f} | {item['true_points']:,} | {item['points']:,}"
        rows.append(f"{cell(item['cloud'])} | {cell(item['kind'])} | {numbers} | {item['outcome']}")
    return "\n".join(f"| {row} |" for row in rows)
