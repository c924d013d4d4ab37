"""The project's targets: what is measured for each, and the table of all of them in docs/results.md.

``segpoint evaluate --all --json-folder docs/results`` measures every part and writes one JSON a part; the table is
written from those files alone, so that a part measured again (``--row rooms``) changes its own rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segpoint_training.answers import check_complete, evaluate
from segpoint_training.labelled import (
    LabelledSet,
    folder_set,
    generated_set,
    without_colour,
    words,
    words_and_clicks,
)
from segpoint_training.markdown import record_markdown, with_section, worst_markdown
from segpoint_training.pictures import Worst
from segpoint_training.provenance import short_commit
from segpoint_training.records import percent, provenance, read_record, write_record
from segpoint_training.semantic import evaluate_semantic
from segpoint_training.tables import print_semantic, print_tables

if TYPE_CHECKING:
    from segpoint.segmenter import Segmenter

BEGIN, END = "<!-- targets -->", "<!-- /targets -->"
SCENES = 40  # of "tables"; all parts together then take a quarter of an hour on two cores
PARTS = {  # how many scenes for each of "tables"; the folder of real scans is taken whole
    "tables": 1.0,
    "open": 0.6,
    "open-rooms": 0.3,
    "rooms": 0.6,
    "semantic-tables": 0.3,
    "semantic-rooms": 0.3,
    "real": 0.0,
}
_DRAWN = {"tables", "open", "open-rooms", "rooms"}


@dataclass(frozen=True)
class Target:
    """One figure and what it should reach; ``part`` and ``task`` say where it stands (`read_figure`)."""

    what: str
    part: str
    task: str  # one of labelled.TASKS, "semantic" or "colour"
    group: str  # row of the measures
    measure: str  # "miou", "acc50" or, of colour, "lost"
    goal: float


TARGETS = (
    Target("generated tables, held-out instances, all kinds: mIoU", "tables", "words", "with target", "miou", 0.65),
    Target("generated tables, held-out instances, all kinds: Acc@0.5", "tables", "words", "with target", "acc50", 0.75),
    Target("held-out categories, tables: mIoU", "open", "words", "with target", "miou", 0.35),
    Target("held-out categories, rooms: mIoU", "open-rooms", "words", "with target", "miou", 0.35),
    Target("generated rooms: mIoU", "rooms", "words", "with target", "miou", 0.50),
    Target("semantic, generated tables: mIoU over classes", "semantic-tables", "semantic", "", "miou", 0.55),
    Target("semantic, generated rooms: mIoU over classes", "semantic-rooms", "semantic", "", "miou", 0.55),
    Target("one click, generated tables: mIoU", "tables", "click", "with target", "miou", 0.75),
    Target("one click, generated rooms: mIoU", "rooms", "click", "with target", "miou", 0.75),
    Target("one click, real: mIoU", "real", "click", "with target", "miou", 0.65),
    Target("zero-target accuracy, generated tables", "tables", "words", "zero-target", "miou", 0.92),
    Target("zero-target accuracy, generated rooms", "rooms", "words", "zero-target", "miou", 0.92),
    Target("real, with target: mIoU", "real", "words", "with target", "miou", 0.55),
    Target("real, zero-target accuracy", "real", "words", "zero-target", "miou", 0.85),
    Target("colour removed, generated tables: share of category mIoU lost", "tables", "colour", "", "lost", 0.25),
)


@dataclass(frozen=True)
class Figure:
    """What a record says of a target: the figure, over how many samples, and the references' figures."""

    value: float | None
    count: int
    references: dict[str, float | None]


def run_parts(
    segmenter: Segmenter, bundle: Path, parts: Sequence[str], folder: Path, real: Path, scenes: int, seed: int
) -> None:
    """Measure ``parts``, print their tables, write ``folder``/PART.json and the table in ``folder``.md.

    ``real`` is the folder of labelled real scans; of its sentences and pictures nothing is written. The worst answers
    about generated scenes are drawn in ``folder``/generated once all of _DRAWN are among ``parts``.
    """
    worst = Worst()
    made = provenance(bundle)
    for part in parts:
        data = part_data(part, real, scenes, seed)
        print(f"\n=== {part} ===")
        if part.startswith("semantic"):
            result = evaluate_semantic(segmenter, data)
            record = {**made, **data.description, "semantic": result.to_dict()}
            print_semantic(result, record)
        else:
            evaluation = evaluate(segmenter, data, worst if part in _DRAWN else None)
            check_complete(evaluation.unread, len(data))
            record = {**made, **data.description, **evaluation.to_dict()}
            print_tables(evaluation, record)
            if part == "real":
                record["items"] = [_without_words(item) for item in record["items"]]
        write_record(folder / f"{part}.json", record)
        write_targets(folder)
    if _DRAWN <= set(parts):
        worst.draw(folder / "generated")


def part_data(part: str, real: Path, scenes: int, seed: int) -> LabelledSet:
    """What is asked for one of PARTS, with ``scenes`` clouds in "tables" and others in proportion."""
    if part == "real":
        return folder_set(real).asked(words_and_clicks)
    count = max(1, round(scenes * PARTS[part]))
    scale = "room" if part.endswith("rooms") else "table"
    data = generated_set(seed, count, "open" if part.startswith("open") else "test", scale)
    if part == "tables":
        return data.asked(words_and_clicks, without_colour)
    return data.asked(words_and_clicks if part == "rooms" else words)


def _without_words(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("instruction", "answer")}


# --- the table ----------------------------------------------------------------------------------------------------


def write_targets(folder: Path) -> None:
    """The section between the markers of ``folder``.md (docs/results → docs/results.md), from the folder's JSON."""
    files = {part: folder / f"{part}.json" for part in PARTS}
    records = {part: read_record(path) for part, path in files.items() if path.is_file()}
    page = targets_page(folder)
    text = page.read_text("utf-8") if page.is_file() else "# Results\n"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n## Targets\n"
    page.write_text(with_section(text, BEGIN, END, targets_markdown(records)), encoding="utf-8")


def targets_page(folder: Path) -> Path:
    """The page of the table of targets whose results are in ``folder``."""
    return folder.with_name(folder.name + ".md")


def targets_markdown(records: dict[str, dict[str, Any]]) -> str:
    """The table of targets, what it was measured with, and the parts' own tables, from the records by part."""
    rows = ["| figure, in percent | n | measured | target | reached | references |", "|---|---:|---:|---:|---|---|"]
    for target in TARGETS:
        sign = "≤" if target.measure == "lost" else "≥"
        goal = f"{sign} {100 * target.goal:.0f}"
        if target.part not in records:
            rows.append(f"| {target.what} | – | not measured | {goal} | | |")
            continue
        figure = read_figure(records[target.part], target)
        reached = _reached(figure.value, target)
        references = ", ".join(f"{name} {percent(value)}" for name, value in figure.references.items())
        rows.append(f"| {target.what} | {figure.count} | {percent(figure.value)} | {goal} | {reached} | {references} |")
    parts = [f"**{part}**\n\n{record_markdown(record)}" for part, record in records.items()]
    made = ["| part | data | clouds | bundle | weights and config | commit |", "|---|---|---:|---|---|---|"]
    made += [_made(part, record) for part, record in records.items()]
    if "real" in records:  # not their sentences or pictures, which are not ours to publish
        parts.append(f"The worst answers about real scans, clicks included:\n\n{worst_markdown(records['real'])}")
    note = (
        "n counts samples (one instruction or click about one cloud), for semantic figures classes. References: what "
        "no understanding would score with geometric clusters; for clicks, “random cluster” is the cluster clicked."
    )
    return "\n\n".join(["\n".join(rows), note, "\n".join(made), *parts])


def read_figure(record: dict[str, Any], target: Target) -> Figure:
    """One target's figure in the record of its part."""
    if target.task == "semantic":
        said = record["semantic"]
        return Figure(said["miou"], len(said["classes"]), said["references"])
    if target.task == "colour":
        said = record["colour"]
        return Figure(said["lost"], said["count"], {"with": said["with_colour"], "without": said["without_colour"]})
    section = record if target.task == "words" else record["also"][target.task]
    row = section["measures"][target.group]
    references = {name: rows[target.group][target.measure] for name, rows in section["references"].items()}
    return Figure(row[target.measure], row["count"], references)


def _reached(value: float | None, target: Target) -> str:
    if value is None:
        return "–"
    return "yes" if (value <= target.goal if target.measure == "lost" else value >= target.goal) else "no"


def _made(part: str, record: dict[str, Any]) -> str:
    if "seeds" in record:
        first, last = record["seeds"]
        data = (
            f"{record['scale']} scenes, split “{record['split']}”, seeds {first} to {last}, sensor {record['sensor']}"
        )
        clouds = last - first + 1
    else:
        data, clouds = f"{record['data']}/", len(record["files"])
    commit = short_commit(record["git_commit"])
    return f"| {part} | {data} | {clouds} | {record['bundle']} | `{record['bundle_sha256'][:12]}` | `{commit}` |"
