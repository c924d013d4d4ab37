"""What the objects of one scene may be called: nouns, and phrases that pick out exactly one as an anchor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .meaning import Reading, Statement, View, anything, both, colour_reading, noun_reading, referents
from .vocabulary import COLOUR_SYNONYMS, COLOURS, EVERYTHING, NOUNS, Level, Noun, kind_of, main_noun

# Constructions that combine two things, and so have very many phrases.
COLOURED_ANCHORS = 0.4  # how often kinds with several objects serve as anchors, told apart by colour
PAIRS = frozenset({"relation", "nearest to", "between", "hidden", "extreme of colour", "size and colour", "support"})


@dataclass(frozen=True)
class Name:
    """A noun as it reads one scene."""

    word: str
    plural: str
    reading: Reading
    level: Level


class Names:
    """The nouns that fit something in view, with how they read it."""

    def __init__(self, view: View, rng: np.random.Generator) -> None:
        self.view, self.rng = view, rng
        known = [n for n in NOUNS if any(kind_of(o) in n.denotes for o in view.objects)]
        spoken = {c for n in known if n.level is Level.MAIN for c in n.denotes}
        known += [main_noun(c) for c in sorted({o.category for o in view.objects} - spoken)]
        self.nouns = [self._name(n) for n in known]
        everything = anything(view.objects)
        self.everything = [Name(word, word + "s", everything, Level.SUPERORDINATE) for word in EVERYTHING]
        # One everyday name a category, and "object": for constructions with very many combinations.
        self.plain = [n for n in self.nouns if n.level is Level.MAIN] + self.everything[:1]

    def _name(self, noun: Noun) -> Name:
        return Name(noun.word, noun.plural, noun_reading(noun, self.view.objects), noun.level)

    def any_name(self) -> list[Name]:
        """All names, general ones included."""
        return self.nouns + self.everything

    def colours(self) -> list[str]:
        """The colours in view, each in one of its spellings."""
        present = {o.colour for o in self.view.objects if o.colour in COLOURS or o.colour in COLOUR_SYNONYMS}
        return [self.spelled(colour) for colour in sorted(present)]

    def spelled(self, colour: str) -> str:
        """A colour in one of its spellings, the first most often."""
        words = COLOUR_SYNONYMS.get(colour, (colour,))
        return words[0] if self.rng.random() < 0.7 else words[-1]

    def coloured(self, name: Name, colour: str) -> dict:
        """The reading of the noun with the colour."""
        return both(name.reading, colour_reading(colour, self.view))

    @cached_property
    def anchors(self) -> list[tuple[str, int]]:
        """Phrases (without "the") that mean exactly one object, and its id; with a colour only where needed."""
        return list(self._anchors())

    def _anchors(self) -> Iterator[tuple[str, int]]:
        for name in self.plain[:-1]:
            meant = referents(name.reading, self.view)
            if meant and len(meant) == 1:
                yield name.word, meant[0]
            elif meant and self.rng.random() < COLOURED_ANCHORS:
                for colour in self.colours():
                    one = referents(self.coloured(name, colour), self.view)
                    if one and len(one) == 1:
                        yield f"{colour} {name.word}", one[0]

    def statement(
        self, name: Name, reading: Reading, before: str, after: str, family: str, plural_too: bool = False
    ) -> Iterator[Statement]:
        """``before noun after`` where it means one object (or several, in the plural, with ``plural_too``)."""
        meant = referents(reading, self.view)
        if not meant or (len(meant) > 1 and not plural_too):
            return
        word = name.word if len(meant) == 1 else name.plural
        phrase = " ".join(part for part in (before, word, after) if part)
        frames = "bare" if family in PAIRS else "brief"
        yield Statement(phrase, meant, family, plural=len(meant) > 1, frames=frames)
