"""An instruction as `segpoint annotate` knows it, and the row of ``instructions.json`` that it is.

What only `segpoint annotate` needs stands in the row's free "notes": ``cloud``, the number of the only cloud that the
row is about, and ``proposed``, {number: score}: clouds in which the model marked the row's targets and no person has
looked yet. What else a row holds is a person's own, and stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_OURS = ("cloud", "proposed")
_WORDS = "words"  # a person's own notes, where ours stand beside them


@dataclass(frozen=True)
class Asked:
    """One instruction. targets: object numbers, none for "there is nothing to mark".   cloud: the number of the only
    one that it is about; None: it holds wherever its targets are in view.   more: what else its row holds."""

    text: str
    targets: tuple[int, ...]
    kind: str = ""
    cloud: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict, compare=False)


def asked_of(row: Mapping[str, Any], in_order: Sequence[int]) -> tuple[Asked, dict[int, float]]:
    """The instruction that a row is, and its scores in clouds that nobody has seen.

    in_order: the numbers of the labelled clouds, as "index" counts them. A row without a key that it needs raises
    whatever that raises.
    """
    notes, index = row.get("notes"), row.get("index")
    ours = {key: notes[key] for key in _OURS if key in notes} if isinstance(notes, dict) else {}
    cloud = ours.get("cloud")
    if cloud is None and type(index) is int and 0 <= index < len(in_order):
        cloud = in_order[index]
    known = {"file", "instruction", "target_labels", "kind", *(() if cloud is None else ("index",))}
    more = {key: value for key, value in row.items() if key not in known}
    if isinstance(notes, dict):
        words = {key: value for key, value in notes.items() if key not in ours}
        more["notes"] = words[_WORDS] if list(words) == [_WORDS] else words
        if ours and not words:
            del more["notes"]
    proposed = {int(number): float(score) for number, score in ours.get("proposed", {}).items()}
    return Asked(row["instruction"], tuple(row["target_labels"]), row.get("kind", ""), cloud, more), proposed


def row_of(
    asked: Asked, file: str, in_order: Sequence[int], proposed: Mapping[int, Mapping[int, float]]
) -> dict[str, Any]:
    """The row about a file that `asked_of` reads again. proposed: by a cloud's number, objects' scores."""
    row: dict[str, Any] = {"file": file, "instruction": asked.text, "target_labels": list(asked.targets)}
    if asked.kind:
        row["kind"] = asked.kind
    ours: dict[str, Any] = {}
    if asked.cloud is not None:
        row["index"], ours["cloud"] = in_order.index(asked.cloud), asked.cloud
    scores = {
        str(number): round(min(of[target] for target in asked.targets if target in of), 4)
        for number, of in sorted(proposed.items())
        if any(target in of for target in asked.targets)
    }
    if scores:
        ours["proposed"] = scores
    words = asked.more.get("notes")
    if ours and words is not None:
        ours = {**(words if isinstance(words, dict) else {_WORDS: words}), **ours}
    return {**row, **asked.more, **({"notes": ours} if ours else {})}
