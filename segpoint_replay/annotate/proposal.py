"""What is proposed as objects' masks and waits for a person's yes: from a sentence, a click, or the cloud before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from segpoint_replay.annotate.masks import resized
from segpoint_training.datasets.own_words import OBJECT, named_word

SENTENCE, CLICK, CARRIED, REVIEW = "sentence", "click", "carried", "review"  # where a proposal comes from
_SAME = 0.5  # IoU from which a proposed mask is an object that is there already


@dataclass(frozen=True)
class Part:
    """One proposed object. mask: (M,) bool.   object: the number that it has already, 0 for a new one.   name: its
    category, "" if nobody knows.   score: the model's, None where it was not asked."""

    mask: np.ndarray
    object: int = 0
    name: str = ""
    score: float | None = None

    def named(self, text: str) -> Part:
        """With the word of the request, if there was one, where the model has none."""
        word = self.name or (named_word(text) if text else "")
        return replace(self, name="" if word == OBJECT else word)


@dataclass
class Proposal:
    """choices: by who made them ("model", "cluster", "near"), each its parts; one is shown.   out: which of its parts
    the person has left out.   text: the sentence that asked for it.   clicks: points on the one thing meant.
    steps: by how much its masks are grown.   touched: whether the person has changed anything; what comes later does
    not take its place then.   so_far: (M,) bool, what was proposed before the last of several clicks."""

    source: str
    choices: dict[str, list[Part]]
    shown: str = ""
    text: str = ""
    clicks: list[int] = field(default_factory=list)
    out: set[int] = field(default_factory=set)
    steps: int = 0
    touched: bool = False
    so_far: np.ndarray | None = None
    _grown: dict[tuple[str, int], list[Part]] = field(default_factory=dict)

    def copy(self) -> Proposal:
        """As it is now, whatever becomes of this one."""
        return replace(self, choices=dict(self.choices), out=set(self.out), _grown=dict(self._grown))

    def parts(self, xyz: np.ndarray) -> list[Part]:
        """Of what is shown, as it is grown."""
        key = self.shown, self.steps
        if key not in self._grown:
            parts = self.choices.get(self.shown, [])
            self._grown[key] = [
                Part(resized(xyz, part.mask, self.steps), part.object, part.name, part.score) for part in parts
            ]
        return self._grown[key]

    def taken(self, xyz: np.ndarray) -> list[Part]:
        """Those that are not left out."""
        return [part for number, part in enumerate(self.parts(xyz)) if number not in self.out]

    def layer(self, xyz: np.ndarray) -> np.ndarray:
        """(M,) int32: 1 + the number of the part that each point is proposed for, 0 for none."""
        layer = np.zeros(len(xyz), np.int32)
        for number, part in enumerate(self.parts(xyz), start=1):
            layer[part.mask] = number
        return layer

    def show(self, choice: str) -> None:
        self.shown, self.steps, self.out = choice, 0, set()

    def show_next(self) -> None:
        """The next choice after the one that is shown."""
        names = list(self.choices)
        if names:
            self.show(names[(names.index(self.shown) + 1) % len(names)] if self.shown in names else names[0])
        self.touched = True

    def without(self, number: int) -> None:
        """Take the parts that are an object out of all choices."""
        left_out = {part.object for place, part in enumerate(self.choices.get(self.shown, [])) if place in self.out}
        self.choices = {name: [p for p in parts if p.object != number] for name, parts in self.choices.items()}
        self.out = {n for n, part in enumerate(self.choices.get(self.shown, [])) if part.object in left_out}
        self._grown = {}

    def paint(self, xyz: np.ndarray, under: np.ndarray, add: bool) -> None:
        """Add the points ``under`` (M,) bool to the only part, or take them from all."""
        parts = self.parts(xyz)
        if add and len(parts) > 1:
            return
        painted = [Part(p.mask | under if add else p.mask & ~under, p.object, p.name, p.score) for p in parts]
        if add and not parts:
            painted = [Part(under)]
        self.choices["brush"] = [part for part in painted if part.mask.any()]
        self._grown = {key: parts for key, parts in self._grown.items() if key[0] != "brush"}
        out = self.out
        self.show("brush")
        self.out, self.touched = out, True


def same_object(mask: np.ndarray, label: np.ndarray, least: float = _SAME) -> int:
    """The object of labels (M,) that a mask (M,) bool is, 0 if of none."""
    numbers, common = np.unique(label[mask & (label > 0)], return_counts=True)
    size = int(mask.sum())
    shares = [(c / (size + int((label == n).sum()) - c), int(n)) for n, c in zip(numbers, common, strict=True)]
    best = max(shares, default=(0.0, 0))
    return best[1] if best[0] >= least else 0


def parts_of(label: np.ndarray, names: dict[int, str], only: Sequence[int] | None = None) -> list[Part]:
    """The objects of labels (M,), as parts that have their numbers already."""
    numbers = [int(n) for n in np.unique(label[label > 0]) if only is None or n in only]
    return [Part(label == number, number, names.get(number, "")) for number in numbers]
