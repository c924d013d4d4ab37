"""Results on a research data set as tables: on the terminal, in Markdown, and in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from segpoint_training.markdown import cell, clipped
from segpoint_training.records import percent
from segpoint_training.research.published import HEADS, MEASURES, benchmark_of, published_on

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """Rows in sections under ``heads``; the first column, and one headed "source", is words, the others are figures."""

    title: str
    heads: Sequence[str]
    sections: Sequence[Rows]

    def print(self, console: Console) -> None:
        """Show it on a terminal."""
        table = RichTable(title=escape(self.title))
        for head in self.heads:
            table.add_column(head, justify="left" if self._is_words(head) else "right")
        for section in self.sections:
            table.add_section()
            for row in section:
                table.add_row(*(escape(clipped(text)) for text in row))
        console.print(table)

    def markdown(self) -> str:
        """The same in Markdown; sections become one."""
        rule = ["---" if self._is_words(head) else "---:" for head in self.heads]
        rows = [self.heads, rule, *(row for section in self.sections for row in section)]
        lines = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
        return f"## {self.title}\n\n" + "\n".join(lines) + "\n"

    def _is_words(self, head: str) -> bool:
        return head in (self.heads[0], "source")


def comparison(
    name: str, ours: str, figures: Mapping[str, float], references: Mapping[str, Mapping[str, float]] | None = None
) -> Table:
    """What was published on a data set, below it what geometry alone scores, and ours.

    figures, and those of each of ``references``: shares by the names in HEADS.
    """
    measures = MEASURES[benchmark_of(name)]
    sections: list[Rows] = []
    for rows in published_on(benchmark_of(name)):
        cells = [[f"{row.figures[each]:.1f}" if each in row.figures else "" for each in measures] for row in rows]
        sections.append([[row.method, *each, row.source] for row, each in zip(rows, cells, strict=True)])
    measured = [(who, row, "geometry alone") for who, row in (references or {}).items()]
    measured.append((ours, figures, "measured here"))
    sections.append([[who, *(percent(row.get(each)) for each in measures), source] for who, row, source in measured])
    return Table(f"{name}, percent", ["method", *(HEADS[each] for each in measures), "source"], sections)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """A record a row, the first row's names above. A text that a spreadsheet would compute gets a ' in front."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _no_formula(value) for name, value in row.items()})
    return text.getvalue()


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@")) else value
