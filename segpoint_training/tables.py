"""What ``segpoint evaluate`` prints: figures in percent, the reference rows beside them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segpoint_training.answers import Evaluation, colour_loss
from segpoint_training.baselines import REFERENCES
from segpoint_training.markdown import clipped
from segpoint_training.metrics import FEWEST_CLOUDS, summary
from segpoint_training.records import describe, percent
from segpoint_training.semantic import SemanticResult

_TITLES = {"words": "instructions", "click": "one click each, no words", "no colour": "the same, colour removed"}


def print_tables(evaluation: Evaluation, record: dict[str, Any]) -> None:
    """For each task: ours per kind beside the references' mIoU, everyone's overall figures, what became of them."""
    console = Console(width=110)
    incomplete = f", INCOMPLETE: {len(evaluation.unread)} could not be read" if evaluation.unread else ""
    console.print(f"{escape(describe(record))}: {record['clouds']} clouds{incomplete}, in percent", highlight=False)
    for task in evaluation.tasks:
        _print_task(console, task, evaluation.only(task=task))
    if "no colour" in evaluation.tasks:
        loss = colour_loss(evaluation)
        console.print(
            f"Category with colour {percent(loss['with_colour'])} mIoU, without {percent(loss['without_colour'])}: "
            f"{percent(loss['lost'])} % of it lost.",
            highlight=False,
        )
    for told in evaluation.refused:
        console.print(f"Refused, counted as wrong: {escape(told)}", highlight=False, soft_wrap=True)


def _print_task(console: Console, task: str, evaluation: Evaluation) -> None:
    ours = summary(evaluation.ours)
    others = {name: summary(samples) for name, samples in evaluation.references.items()}
    heads = {name: name for name in REFERENCES} | ({"random cluster": "cluster clicked"} if task == "click" else {})
    by_kind = Table(title=f"{len(evaluation.answered)} {_TITLES[task]}")
    for column in ("kind", "n", "mIoU", "Acc@0.25", "Acc@0.5", *(f"{heads[name]}\nmIoU" for name in REFERENCES)):
        by_kind.add_column(column, justify="left" if column == "kind" else "right")
    for kind, row in ours.items():
        if kind == "with target":
            by_kind.add_section()
        figures = [row.miou, row.acc25, row.acc50, *(others[name][kind].miou for name in REFERENCES)]
        by_kind.add_row(escape(clipped(kind)), str(row.count), *map(percent, figures))
    sensors = dict.fromkeys(item["sensor"] for item in evaluation.items)
    if len(sensors) > 1:
        by_kind.add_section()
        for sensor in sensors:
            _add_sensor(by_kind, sensor, evaluation.only(sensor=sensor))
    console.print(by_kind)

    overall = Table()
    for column in ("", "mIoU, with target", "Acc@0.25", "Acc@0.5", "zero-target accuracy"):
        overall.add_column(column, justify="left" if not column else "right")
    for name, rows in {"SegPoint": ours, **{heads[name]: others[name] for name in REFERENCES}}.items():
        row = rows["with target"]
        overall.add_row(name, *map(percent, (row.miou, row.acc25, row.acc50, rows["zero-target"].miou)))
    console.print(overall)
    console.print(_verdict(evaluation), highlight=False, soft_wrap=True)
    outcomes = ", ".join(f"{name} {count}" for name, count in evaluation.section()["outcomes"].items())
    console.print(f"Answers: {outcomes}.", highlight=False, soft_wrap=True)


def _add_sensor(table: Table, sensor: str, evaluation: Evaluation) -> None:
    row = summary(evaluation.ours)["with target"]
    others = [summary(evaluation.references[name])["with target"].miou for name in REFERENCES]
    table.add_row(f"{sensor}, with target", str(row.count), *map(percent, [row.miou, row.acc25, row.acc50, *others]))


def _verdict(evaluation: Evaluation) -> str:
    gain, low, high = (100 * value for value in evaluation.over_every_cluster())
    told = f"SegPoint minus every cluster: {gain:+.1f} mIoU"
    if gain != gain:
        return "No target, so nothing to compare with every cluster."
    if low != low:
        return f"{told}; fewer than {FEWEST_CLOUDS} clouds with a target, so no interval."
    return f"{told}, 95 % interval {low:+.1f} … {high:+.1f}. " + (
        "It chooses." if low > 0 else "That does not show that it chooses."
    )


def print_semantic(result: SemanticResult, record: dict[str, Any]) -> None:
    """IoU per class, and the mean over classes beside the references'."""
    console = Console(width=110)
    table = Table(title=f"{escape(describe(record))}: {result.clouds} clouds, every class that occurs was asked")
    for column in ("class", "points", "IoU", *result.references):
        table.add_column(column, justify="left" if column == "class" else "right")
    per_class = result.ours.per_class()
    others = [measure.per_class() for measure in result.references.values()]
    for name, points in result.points.items():
        table.add_row(name, f"{points:,}", percent(per_class[name]), *(percent(each[name]) for each in others))
    table.add_section()
    means = [result.ours.miou(), *(measure.miou() for measure in result.references.values())]
    table.add_row(f"mean of {len(result.points)} classes", f"{sum(result.points.values()):,}", *map(percent, means))
    console.print(table)
