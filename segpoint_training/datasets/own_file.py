"""``instructions.json`` of a folder of one's own: read, checked, every mistake told with the row it is in.

The format stands in `segpoint_training.datasets.own`.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segpoint.cloud import FRAMES
from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint.prompts import MOST_CHARACTERS, normalise
from segpoint_training.scenes.scene import PLACES

NAME = "instructions.json"
LABELS = ("ids", "parts")
SCALES = ("table", "room")
SPLITS = ("train", "val", "test")
MOST_LABEL = 2**31 - 1  # int32
_MOST_IN_A_FILE = 20  # mistakes that are told at once
# Characters. A file's name must fit into an error, words into a table.
_LONGEST = {"file": 400, "topic": 200, "kind": 100, "answer": 100, "instruction": MOST_CHARACTERS}
_LATEST = 1e11  # seconds: some thousand years from 1970
_SETTINGS = ("labels", "field", "frame", "scale", "categories", "instructions")
_FREE = ("notes", "target_points")  # for people and other programs
_KEYS = ("file", "topic", "index", "time", "every", "instruction", "target_labels", "answer", "kind", "place", "frame",
         "scale", "split")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One instruction about one cloud, or about several of a bag. ``frame``, ``scale``, ``split``: "" = not said.

    Of ``index``, ``time`` and ``every`` (bags only) at most one is set.
    """

    number: int  # in the file, from 1
    file: str
    instruction: str
    target_labels: tuple[int, ...]
    answer: str = ""
    kind: str = ""
    place: str = ""
    frame: str = ""
    scale: str = ""
    split: str = ""
    topic: str = ""
    index: int | None = None
    time: float | None = None
    every: int | None = None


@dataclass(frozen=True)
class OwnFile:
    """What an ``instructions.json`` says; categories: by file ("" for all of them), then by object id."""

    path: Path
    rows: tuple[Row, ...]
    labels: str
    field: str
    frame: str
    scale: str
    categories: dict[str, dict[int, str]]

    def categories_of(self, file: str) -> dict[int, str]:
        """The category of each object id of a file; {} where none is given."""
        return {**self.categories.get("", {}), **self.categories.get(file, {})}


def read_own_file(folder: Path) -> OwnFile:
    """Read a folder's ``instructions.json``. Raises SegPointError that tells every mistake in it."""
    path = folder / NAME
    if not path.is_file():
        raise SegPointError(f"{path}: there is no such file; give a folder with an {NAME} beside its clouds or bags")
    with reading(path, "save it as UTF-8"):
        text = path.read_text(encoding="utf-8-sig")
    with reading(path, "it is not valid JSON; repair it"):  # a RecursionError, too, where it is nested too deeply
        content = json.loads(text, object_pairs_hook=_object)
        if isinstance(content, list):  # as `segpoint generate --out` writes it
            content = {"labels": "parts", "instructions": content}
        wrong = list(_mistakes(content))
    if wrong:
        more = f"; and {len(wrong) - _MOST_IN_A_FILE} more" if len(wrong) > _MOST_IN_A_FILE else ""
        raise SegPointError(f"{path}: {'; '.join(wrong[:_MOST_IN_A_FILE])}{more}: correct it")
    return OwnFile(
        path=path,
        rows=tuple(_row(number, row) for number, row in enumerate(content["instructions"], start=1)),
        labels=content.get("labels", "ids"),
        field=content.get("field", "label"),
        frame=content.get("frame", ""),
        scale=content.get("scale", ""),
        categories=_categories(content.get("categories", {})),
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key that is there twice json itself keeps the last value, and says nothing."""
    values = dict(pairs)
    if len(values) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{key!r:.80} is there twice in one object")
    return values


def _row(number: int, row: dict[str, Any]) -> Row:
    values = {name: row[name] for name in _KEYS if name in row}
    targets = tuple(sorted(set(values.pop("target_labels"))))
    values["file"] = _file(values["file"])
    values["instruction"] = normalise(values["instruction"])
    values["answer"] = normalise(values.get("answer", "")).lower()
    values["kind"] = normalise(values.get("kind", "")) or ("instruction" if targets else "zero-target")
    return Row(number=number, target_labels=targets, **values)


def _categories(given: dict[str, Any]) -> dict[str, dict[int, str]]:
    """One table for all files, and one for each file that is named."""
    tables: dict[str, dict[int, str]] = {"": {}}
    for key, value in given.items():
        if isinstance(value, dict):
            tables[_file(key)] = {int(label): _category(word) for label, word in value.items()}
        else:
            tables[""][int(key)] = _category(value)
    return tables


def _category(word: str) -> str:
    return normalise(word).lower()


def _file(name: str) -> str:
    """One name for one file: "./a.pcd" is "a.pcd"."""
    return os.path.normpath(name)


# --- what is wrong ------------------------------------------------------------------------------------------------


def _mistakes(content: Any) -> Iterator[str]:
    if not isinstance(content, dict) or not isinstance(content.get("instructions"), list):
        yield 'expected an object with "instructions", a list of rows, or the list alone'
        return
    unknown = sorted(set(content) - set(_SETTINGS))
    if unknown:
        yield f"unknown setting {unknown[0]!r:.80}; there are {', '.join(_SETTINGS)}"
    for name, known in (("labels", LABELS), ("frame", FRAMES), ("scale", SCALES)):
        if name in content and content[name] not in known:
            yield f"{name!r} must be one of {', '.join(known)}, not {content[name]!r:.80}"
    if not _words(content.get("field", "label")):
        yield f"'field' must be the name of the field with the labels, not {content['field']!r:.80}"
    yield from _wrong_categories(content.get("categories", {}))
    if not content["instructions"]:
        yield "'instructions' is empty: write a row for each thing that can be said about a cloud"
    for number, row in enumerate(content["instructions"], start=1):
        wrong = _wrong_row(row)
        if wrong:
            yield f"row {number}: {wrong}"


def _wrong_categories(given: Any) -> Iterator[str]:
    if not isinstance(given, dict):
        yield '\'categories\' must be {"LABEL": "WORD"}, for single files {"FILE": {"LABEL": "WORD"}}'
        return
    seen: set[tuple[str, int]] = set()
    for key, value in given.items():
        file = _file(key) if isinstance(value, dict) else ""
        for label, word in value.items() if isinstance(value, dict) else ((key, value),):
            if not re.fullmatch(r"[0-9]{1,10}", label):
                yield f"'categories' name labels, whole numbers such as \"3\", not {label!r:.80}"
            elif not isinstance(word, str) or len(word) > _LONGEST["answer"] or any(sign in word for sign in ",;.<>"):
                yield f'the category of label {label} must be a word, or "" for none, not {word!r:.80}'
            elif (file, int(label)) in seen:
                yield f"'categories' name label {int(label)} of {file or 'all files'!r:.80} twice"
            else:
                seen.add((file, int(label)))


def _wrong_row(row: Any) -> str | None:
    """What a row holds that it must not, or lacks, in words."""
    if not isinstance(row, dict):
        return f'expected {{"file": …, "instruction": …, "target_labels": […]}}, not {row!r:.80}'
    missing = [name for name in ("file", "instruction", "target_labels") if name not in row]
    if missing:
        return f"{missing[0]!r} is missing"
    unknown = sorted(set(row) - {*_KEYS, *_FREE})
    if unknown:
        return f"unknown key {unknown[0]!r:.80}; there are {', '.join((*_KEYS, *_FREE))}"
    for name in _LONGEST:
        if name in row and not _words(row[name]):
            return f"{name!r} must be words, not {row[name]!r:.80}"
        if len(row.get(name, "")) > _LONGEST[name]:
            return f"{name!r} has {len(row[name])} characters, at most {_LONGEST[name]} are read: {row[name]!r:.40}…"
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in row["file"] + row.get("topic", "")):
        return f"'file' and 'topic' must be names without control characters, not {row['file']!r:.80}"
    return _wrong_targets(row) or _wrong_choice(row)


def _wrong_targets(row: dict[str, Any]) -> str | None:
    labels = row["target_labels"]
    if not isinstance(labels, list) or not all(type(n) is int and 0 <= n <= MOST_LABEL for n in labels):
        return f"'target_labels' must be a list of whole numbers from 0 to {MOST_LABEL}, not {labels!r:.80}"
    if 0 in labels:
        return "'target_labels' holds 0, which is no object; for nothing to mark write []"
    if not labels and row.get("answer"):
        return "'answer' names what is meant, and nothing is: leave it out or give target_labels"
    if any(sign in row.get("answer", "") for sign in ",;.<>"):
        return f"'answer' must be one word or name, not {row['answer']!r:.80}"
    return None


def _wrong_choice(row: dict[str, Any]) -> str | None:
    for name, known in (("frame", FRAMES), ("scale", SCALES), ("split", SPLITS)):
        if name in row and row[name] not in known:
            return f"{name!r} must be one of {', '.join(known)}, not {row[name]!r:.80}"
    if row.get("place", "") not in PLACES or (row.get("place") and len(row["target_labels"]) != 1):
        return f"'place' must be one of {', '.join(PLACES[1:])}, of a row with one target, not {row['place']!r:.80}"
    if sum(name in row for name in ("index", "time", "every")) > 1:
        return "'index', 'time' and 'every' choose clouds of a bag, one of them at a time"
    for name, least in (("index", 0), ("every", 1)):
        if name in row and (type(row[name]) is not int or row[name] < least):
            return f"{name!r} must be a whole number from {least} up, not {row[name]!r:.80}"
    time = row.get("time", 0)
    if type(time) not in (int, float) or not 0 <= time < _LATEST:
        return f"'time' must be seconds from the bag's start, or since 1970, not {time!r:.80}"
    return None


def _words(value: Any) -> bool:
    return isinstance(value, str) and bool(normalise(value))
