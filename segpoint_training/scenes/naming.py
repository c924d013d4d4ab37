"""What the objects of one scene may be called: nouns, and phrases that pick out exactly one as an anchor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .absences import draw_absent
from .colour_words import COLOUR_SYNONYMS
from .meaning import Reading, Statement, Truth, View, anything, both, colour_reading, noun_reading, referents
from .relations import Space
from .vocabulary import EVERYTHING, FIXED, Level, Noun, Number, is_known, kind_of, lexicon, main_noun

# Constructions that combine two things, and so have very many phrases.
COLOURED_ANCHORS = 0.4  # how often kinds with several objects serve as anchors, told apart by colour
MOST_ANCHORS = 8
ABSENT, ABSENT_DESCRIBED = 5, 2  # categories that are not there, for each scene: named, and described, too
PAIRS = frozenset({"relation", "nearest to", "between", "hidden", "extreme of colour", "size and colour", "support",
                   "other one"})  # fmt: skip


@dataclass(frozen=True)
class Name:
    """A noun as it reads one scene."""

    word: str
    plural: str
    reading: Reading
    level: Level
    number: Number = Number.COUNT
    movable: bool = True  # whether what it names is picked up

    @property
    def is_general(self) -> bool:
        """Whether it names a whole family of things."""
        return self.level is Level.SUPERORDINATE


class Names:
    """The nouns of a split that fit something in view, with how they read it."""

    def __init__(self, view: View, rng: np.random.Generator, split: str = "train") -> None:
        self.view, self.rng, self.split, self.space = view, rng, split, Space.of(view)
        self._colour_readings: dict[str, Reading] = {}
        known = [n for n in lexicon(split) if any(kind_of(o) in n.denotes for o in view.objects)]
        known += [main_noun(c) for c in sorted({o.category for o in view.objects if not is_known(kind_of(o))})]
        self.nouns = [self.name(n) for n in known]
        everything = anything(view.objects)
        self.everything = [
            Name(word, word + "s", everything, Level.SUPERORDINATE, movable=not view.is_room) for word in EVERYTHING
        ]
        # One everyday name a category, and "object": for constructions with very many combinations.
        self.plain = [n for n in self.nouns if n.level is Level.MAIN and n.word != "wall"] + self.everything[:1]

        categories, words = draw_absent(view, split, rng, ABSENT)
        # Few, or "the green mug" beside a red one and a green bowl would be drowned by things that are not there.
        self.absent = [self.name(main_noun(c)) for c in categories[:ABSENT_DESCRIBED]]
        self.absent_nouns = [self.name(n) for n in words]

    def name(self, noun: Noun) -> Name:
        """How a noun reads this scene."""
        reading = noun_reading(noun, self.view.objects)
        is_fixed = bool(noun.denotes & FIXED) and (noun.level is not Level.SUPERORDINATE or self.view.is_room)
        return Name(noun.word, noun.plural, reading, noun.level, noun.number, not is_fixed)

    def any_name(self) -> list[Name]:
        """All names, general ones included."""
        return self.nouns + self.everything

    def one_of(self, options: Iterable[str]) -> str:
        """Any of the options."""
        options = list(options)
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < probability)

    def colours(self) -> list[str]:
        """The colours in view, each in one of its spellings; none where the sensor's colours mean nothing."""
        if not self.view.is_coloured:
            return []
        present = {o.colour for o in self.view.objects if o.colour}
        return [self.spelled(colour) for colour in sorted(present)]

    def spelled(self, colour: str) -> str:
        """A colour in one of its spellings, the first most often."""
        words = COLOUR_SYNONYMS.get(colour, (colour,))
        return words[0] if self.chance(0.7) else words[-1]

    def coloured(self, name: Name, colour: str) -> dict[int, Truth]:
        """The reading of the noun with the colour."""
        if colour not in self._colour_readings:
            self._colour_readings[colour] = colour_reading(colour, self.view)
        return both(name.reading, self._colour_readings[colour])

    def others(self, anchor: int, name: Name) -> dict[int, Truth]:
        """The noun's reading without the anchor itself."""
        return {i: Truth.NO if i == anchor else v for i, v in name.reading.items()}

    def besides(self, *anchors: str) -> list[Name]:
        """Names for what may be said to be somewhere about the anchors: nobody says "the box beside the box"."""
        return [name for name in self.plain + self.absent if name.word not in anchors]

    @cached_property
    def anchors(self) -> list[tuple[str, int]]:
        """Phrases (without "the") that mean exactly one object, and its id; with a colour only where needed."""
        found = list(self._anchors())
        chosen = sorted(self.rng.permutation(len(found))[:MOST_ANCHORS].tolist())
        return [found[i] for i in chosen]

    def _anchors(self) -> Iterator[tuple[str, int]]:
        for name in self.plain[:-1]:
            meant = referents(name.reading, self.view)
            if meant and len(meant) == 1:
                yield name.word, meant[0]
            elif meant and self.chance(COLOURED_ANCHORS):
                for colour in self.colours():
                    one = referents(self.coloured(name, colour), self.view)
                    if one and len(one) == 1:
                        yield f"{colour} {name.word}", one[0]

    def statement(
        self, name: Name, reading: Reading, before: str, after: str, family: str, plural_too: bool = False
    ) -> Iterator[Statement]:
        """``before noun after`` where it means one object (or several, in the plural, with ``plural_too``)."""
        meant = referents(reading, self.view)
        if meant and (len(meant) == 1 or plural_too):
            yield phrased(name, meant, before, after, family, plural=len(meant) > 1)

    def either(
        self, name: Name, reading: Reading, before: str, after: str, family: str, plural_too: bool = False
    ) -> Iterator[Statement]:
        """As :meth:`statement`; where it surely means nothing, a statement without targets.

        Synonyms are not denied: one of them may stand for several kinds ("cup" for a mug).
        """
        if name.level is not Level.SYNONYM and referents(reading, self.view) == ():
            yield phrased(name, (), before, after, family, plural_too and self.chance(0.2))
        else:
            yield from self.statement(name, reading, before, after, family, plural_too)


def phrased(
    name: Name, targets: tuple[int, ...], before: str, after: str, family: str, plural: bool = False
) -> Statement:
    """The statement ``before noun after`` of one family; families of two things take few frames."""
    word = name.plural if plural else name.word
    phrase = " ".join(part for part in (before, word, after) if part)
    frames = "bare" if family in PAIRS else "brief"
    are = name.number is Number.PAIR or (plural and name.number is Number.COUNT)
    return Statement(phrase, targets, family, plural=are, frames=frames, movable=name.movable)
