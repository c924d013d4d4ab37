"""What data sets publish beside their scans: tables (CSV with a header, JSON lists of objects) and lists of names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint.prompts import normalise

_LONGEST_NAME = 200  # of a list: a longer line is of another kind of file, and too long for the name of a folder
_TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True)
class Row:
    """A row. Reading a field that is missing or something else raises SegPointError naming file, row and field.

    where: the file and the place in it.   values: by the field's name.
    """

    where: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A text that is not empty, in one line with single spaces and none around it."""
        value = self._value(name)
        text = normalise(value) if isinstance(value, str) else ""
        if not text:
            raise SegPointError(f"{self.where}: {name} must be a text, got {value!r:.40}; correct it")
        return text

    def words(self, name: str) -> str:
        """A text with spaces for its underscores ("coffee_table")."""
        return " ".join(self.text(name).replace("_", " ").split())

    def ids(self, name: str) -> tuple[int, ...]:
        """Objects as `SceneObject` ids, ascending: from a list of objectIds or a single one, numbers or texts."""
        value = self._value(name)
        try:
            return tuple(sorted({_object_id(item) + 1 for item in (value if isinstance(value, list) else [value])}))
        except ValueError:
            raise SegPointError(f"{self.where}: {name} must be objectIds, got {value!r:.40}; correct it") from None

    def id(self, name: str) -> tuple[int, ...]:
        """The one object of a field, as `ids`."""
        ids = self.ids(name)
        if len(ids) != 1:
            raise SegPointError(f"{self.where}: {name} must be one objectId, got {len(ids)}; correct it")
        return ids

    def truth(self, name: str) -> bool:
        """True or False, as a text of any case or as 1 or 0."""
        text = self.text(name).lower()
        if text not in _TRUTHS:
            raise SegPointError(f"{self.where}: {name} must be True or False, got {text!r:.40}; correct it")
        return _TRUTHS[text]

    def _value(self, name: str) -> Any:
        if self.values.get(name) is None:
            there = ", ".join(str(key) for key, value in self.values.items() if value is not None)
            raise SegPointError(f"{self.where}: no {name}, only {there:.200}; correct it")
        return self.values[name]


def read_list(path: Path, remedy: str) -> list[str]:
    """The names in a text file, one a line, each once. Raises SegPointError where there are none."""
    with reading(path, remedy):
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    names = list(dict.fromkeys(filter(None, lines)))
    if not names:
        raise SegPointError(f"{path} is empty, expected names, one a line; {remedy}")
    long = next((name for name in names if len(name) > _LONGEST_NAME), None)
    if long:
        raise SegPointError(f"{path} holds {long!r:.60}…, expected names, one a line; {remedy}")
    return names


def read_rows(path: Path) -> tuple[Iterator[Row], bool]:
    """The rows of a .csv or .json file, and whether it is UTF-8.

    What is not was mostly saved by a spreadsheet, and is read as Windows-1252. Raises SegPointError where the file is
    not there, and when its rows are asked for where it is no such table.
    """
    if not path.is_file():
        raise SegPointError(f"{path} is not there; get it from its authors, or correct the folder")
    with reading(path, "get it again"):
        content = path.read_bytes()
    rows = _csv_rows if path.suffix == ".csv" else _json_rows
    try:
        return rows(path, content.decode("utf-8-sig")), True
    except UnicodeDecodeError:
        return rows(path, content.decode("cp1252", errors="replace")), False


def _csv_rows(path: Path, content: str) -> Iterator[Row]:
    table = csv.DictReader(io.StringIO(content, newline=""))
    with reading(path, "it is no CSV table with a header; get it again"):
        for values in table:
            yield Row(f"{path}, line {table.line_num}", values)


def _json_rows(path: Path, content: str) -> Iterator[Row]:
    with reading(path, "it is no JSON; get it again"):
        entries = json.loads(content)
    if not isinstance(entries, list):
        raise SegPointError(f"{path} must be a JSON list, as its authors publish it, not a {type(entries).__name__}")
    for number, values in enumerate(entries, start=1):
        if not isinstance(values, dict):
            raise SegPointError(f"{path}, entry {number}: it must be an object with fields, not {values!r:.40}")
        yield Row(f"{path}, entry {number}", values)


def _object_id(value: Any) -> int:
    """An objectId, 0 or more. Raises ValueError for anything else."""
    number = int(value) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError
    return number
