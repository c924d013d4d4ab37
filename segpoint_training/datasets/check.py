"""What ``segpoint data check`` finds in a data set's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Check:
    """found: how many of what is there ("scans, train": 1201).   problems: what is missing or wrong, a line each, with
    what to do about it.   notes: what is odd and harmless."""

    found: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def few(names: Sequence[str], most: int = 3) -> str:
    """The first of many names, none of them overlong: "scene0000_00, scene0000_01, scene0000_02, …"."""
    return ", ".join(f"{name:.80}" for name in names[:most]) + (", …" if len(names) > most else "")
