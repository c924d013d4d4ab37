"""What is *not* there: descriptions that surely fit nothing in view, most of them by a hair."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .intents import INTENTS, intent_reading
from .meaning import Reading, Statement, Truth, anything, both, colour_reading, noun_reading, referents
from .naming import Names
from .relations import holds, supports
from .vocabulary import CATEGORIES, COLOURS, NOUNS, OPEN_ABOVE, Level, main_noun

# Kinds that look alike: the absent one of a family of which another is present is a near miss.
_SHAPES = tuple(
    frozenset(words.split())
    for words in (
        "mug cup glass bowl pot vase pitcher teapot jar can tin bottle tube",
        "box carton book laptop phone remote keyboard",
        "ball apple orange banana",
        "bowl plate",
    )
)
_COMMON = ("box", "can", "mug", "cup", "bowl", "bottle", "banana", "book", "ball", "apple", "plate")


def zero_statements(names: Names, split: str) -> Iterator[Statement]:
    """Phrases with no target; families are named so that they can be weighted."""
    absent = _absent_categories(names)
    yield from _absent(names, absent)
    yield from _absent_colour(names)
    yield from _absent_place(names, absent)
    for intent in INTENTS:
        if referents(intent_reading(intent, names.view.objects), names.view) == ():
            for text in intent.train if split == "train" else intent.test:
                yield wish(text, (), "absent wish")


def wish(text: str, targets: tuple[int, ...], family: str) -> Statement:
    """A wording of an intent; noun phrases among them take frames, sentences stand alone."""
    is_phrase = text.split()[0] in ("something", "a", "the", "some", "food") and not text.endswith("?")
    return Statement(text, targets, family, form="wish" if is_phrase else "sentence")


def _surely_none(reading: Reading, names: Names) -> bool:
    return referents(reading, names.view) == ()


def _absent_categories(names: Names) -> list[str]:
    return [c for c in CATEGORIES if _surely_none(noun_reading(main_noun(c), names.view.objects), names)]


def _absent(names: Names, absent: list[str]) -> Iterator[Statement]:
    present = {o.category for o in names.view.objects}
    for category in absent:
        alike = any(category in shape and shape & present for shape in _SHAPES)
        family = "absent look-alike" if alike else "absent category"
        for noun in NOUNS:
            if noun.level is Level.SUPERORDINATE or category not in noun.denotes:
                continue
            if _surely_none(_any_sense(noun.word, names), names):
                yield Statement(noun.word, (), family, frames="rich" if noun.level is Level.MAIN else "brief")
                if noun.level is Level.MAIN:
                    yield Statement(noun.word, (), family, form="indefinite", frames="brief")
                    yield Statement(noun.plural, (), family, plural=True, frames="brief")
                    yield from _absent_coloured(names, noun.word)
    for word in ("fruit",):
        if _surely_none(_any_sense(word, names), names):
            yield Statement(word, (), "absent category")


def _any_sense(word: str, names: Names) -> dict[int, Truth]:
    """A word may stand for several kinds ("cup" for a mug): what any of them covers."""
    readings = [noun_reading(n, names.view.objects) for n in NOUNS if n.word == word]
    return {o.id: max(r[o.id] for r in readings) for o in names.view.objects}


def _absent_coloured(names: Names, word: str) -> Iterator[Statement]:
    """ "the red banana" where neither is there, or something else is red."""
    colours = names.colours() or ["red"]
    for colour in dict.fromkeys((_one_of(colours, names.rng), _one_of(list(COLOURS), names.rng))):
        if word != colour:
            yield Statement(f"{colour} {word}", (), "absent coloured", frames="brief")


def _absent_colour(names: Names) -> Iterator[Statement]:
    """The kind is there, the colour is not, or only on something else."""
    elsewhere = {o.colour for o in names.view.objects}
    for name in names.plain + names.everything[1:2]:
        for colour in COLOURS:
            if name.word == colour or not _surely_none(_coloured_sense(name.word, colour, names), names):
                continue
            family = "colour of another" if colour in elsewhere else "absent colour"
            yield Statement(f"{names.spelled(colour)} {name.word}", (), family, frames="brief")
            if names.rng.random() < 0.15:
                yield Statement(f"{names.spelled(colour)} {name.plural}", (), family, plural=True, frames="brief")


def _coloured_sense(word: str, colour: str, names: Names) -> dict[int, Truth]:
    objects = names.view.objects
    known = any(n.word == word for n in NOUNS)
    kind = anything(objects) if word in ("object", "thing") else (
        _any_sense(word, names) if known else noun_reading(main_noun(word), objects))  # fmt: skip
    return both(kind, colour_reading(colour, names.view))


def _absent_place(names: Names, absent: list[str]) -> Iterator[Statement]:
    """Both kinds are there but not so; or the kind asked for is missing beside a thing that is there."""
    view = names.view
    for phrase, ident in names.anchors:
        anchor = view.by_id(ident)
        if anchor is None or ident in view.faint:
            continue
        above = {o.id: supports(anchor, o, view) for o in view.objects}
        word = "in" if holds(anchor) else "on top of"
        if anchor.category in OPEN_ABOVE and word == "on top of":
            continue  # the mug that stands upside down: "in" and "on" would both be odd
        for name in names.plain:
            others = {i: Truth.NO if i == ident else v for i, v in name.reading.items()}
            if _surely_none(both(others, above), names) and name.word != phrase:
                yield Statement(f"{name.word} {word} the {phrase}", (), "absent support", frames="bare")
        for place in ("behind", "next to", "to the left of", "to the right of", word):
            missing = [c for c in _COMMON if c in absent and c != phrase]
            if missing and " " not in phrase:
                text = f"{_one_of(missing, names.rng)} {place} the {phrase}"
                yield Statement(text, (), "absent beside", frames="bare")
    for category in absent:
        if category in _COMMON:
            for place in ("leftmost {}", "rightmost {}", "closest {}", "{} in front", "{} in the back", "biggest {}",
                          "smallest {}", "{} closest to the camera"):  # fmt: skip
                yield Statement(place.format(category), (), "absent extreme", frames="brief")


def _one_of(options: list[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
