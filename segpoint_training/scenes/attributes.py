"""Descriptions by colour, size, pose, print and material."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .meaning import (
    Reading,
    Statement,
    Truth,
    View,
    both,
    colour_reading,
    extreme,
    pose_reading,
    referents,
)  # fmt: skip
from .naming import Name, Names
from .relations import bigger, shorter, smaller, taller
from .scene import SceneObject
from .vocabulary import FLAT_LYING, MATERIAL_WORDS, STANDING, Level

# Words for the extreme of a group: among two or more, only among two, and as a plain adjective.
_SIZES = (
    (bigger, ("biggest", "largest"), ("bigger", "larger"), ("big", "large")),
    (smaller, ("smallest",), ("smaller",), ("small", "little")),
    (taller, ("tallest",), ("taller",), ("tall",)),
    (shorter, ("shortest",), ("shorter",), ()),
)
_POSES = {
    "lying": ("lying", ("lying down", "lying on its side", "that has fallen over", "on its side"), "lying"),
    "upside down": ("upside-down", ("that is upside down", "turned upside down"), "upside-down"),
    "upright": ("upright", ("standing upright", "that is standing up"), "upright"),
}
TALL, FLAT = 1.7, 0.3  # height over the wider side: from there on a can is "tall", up to there a box "flat"


def attribute_statements(names: Names) -> Iterator[Statement]:
    """Everything to be said about this scene by what things look like."""
    yield from _colours(names)
    yield from _sizes(names)
    yield from _proportions(names)
    yield from _poses(names)
    yield from _surfaces(names)


def _colours(names: Names) -> Iterator[Statement]:
    for colour in names.colours():
        for name in names.any_name():
            if name.word == colour or (name.level is Level.SYNONYM and names.rng.random() < 0.6):
                continue
            family = "colour of anything" if name.level is Level.SUPERORDINATE else "colour"
            yield from names.statement(name, names.coloured(name, colour), colour, "", family, plural_too=True)


def _sizes(names: Names) -> Iterator[Statement]:
    view = names.view
    for name in names.plain:
        candidates = sum(v >= Truth.MAYBE for v in name.reading.values())
        if any(name.reading[i] >= Truth.MAYBE for i in view.covered):
            continue
        for beyond, superlatives, comparatives, adjectives in _SIZES:
            if beyond is shorter and name.level is Level.SUPERORDINATE:
                continue
            if beyond in (taller, shorter) and name.word in FLAT_LYING:
                continue
            reading = extreme(name.reading, view.objects, beyond)
            words = superlatives + (comparatives if candidates == 2 else ())
            words += adjectives if name.level is Level.MAIN else ()
            for word in words:
                yield from names.statement(name, reading, word, "", "size")
            if name.level is Level.MAIN:
                yield from _sized_and_coloured(names, name, reading, adjectives)
                yield from _extreme_of_colour(names, name, beyond, superlatives + adjectives)


def _sized_and_coloured(names: Names, name: Name, size: Reading, adjectives: tuple[str, ...]) -> Iterator[Statement]:
    """ "the small green box": the smallest box, and it is green; no other green one."""
    for colour in names.colours():
        alone = referents(names.coloured(name, colour), names.view)
        if adjectives and alone and len(alone) == 1 and name.word != colour and size[alone[0]] == Truth.YES:
            reading = both(size, names.coloured(name, colour))
            yield from names.statement(name, reading, f"{adjectives[0]} {colour}", "", "size and colour")


def _extreme_of_colour(names: Names, name: Name, beyond: Callable, words: tuple[str, ...]) -> Iterator[Statement]:
    """ "the smallest green box" among green boxes."""
    for colour in names.colours():
        if name.word != colour:
            reading = extreme(names.coloured(name, colour), names.view.objects, beyond)
            for word in words:
                yield from names.statement(name, reading, f"{word} {colour}", "", "size and colour")


def _proportions(names: Names) -> Iterator[Statement]:
    """ "the tall can", "the flat box": by its own proportions, where no other of its kind is so."""
    for name in names.plain[:-1]:
        for word, kinds in (("tall", ("can", "box", "carton")), ("flat", ("box",))):
            if name.word not in kinds or any(name.reading[i] >= Truth.MAYBE for i in names.view.covered):
                continue
            reading = both(name.reading, _proportion_reading(word, names.view))
            yield from names.statement(name, reading, word, "", "proportion")
            for colour in names.colours():
                coloured = both(reading, colour_reading(colour, names.view))
                yield from names.statement(name, coloured, f"{word} {colour}", "", "size and colour")


def _proportion_reading(word: str, view: View) -> dict[int, Truth]:
    def value(o: SceneObject) -> Truth:
        slender = o.size[2] / max(o.size[0], o.size[1], 1e-6)
        if word == "tall":
            return Truth.YES if slender > TALL else Truth.MAYBE if slender > 1.2 else Truth.NO
        return Truth.YES if slender < FLAT else Truth.MAYBE if slender < 0.65 else Truth.NO

    return {o.id: value(o) for o in view.objects}


def _poses(names: Names) -> Iterator[Statement]:
    view = names.view
    for pose, (adjective, clauses, _) in _POSES.items():
        if not any(o.pose == pose and (o.category in STANDING or o.category == "bowl") for o in view.objects):
            continue
        stance = pose_reading(pose, view.objects)
        for name in names.plain:
            reading = both(name.reading, stance)
            if pose == "upright" and (name.level is Level.SUPERORDINATE or reading == dict(name.reading)):
                continue  # everything stands: nobody says so
            if name.level is Level.MAIN:
                yield from names.statement(name, reading, adjective, "", "pose", plural_too=True)
            for clause in clauses:
                yield from names.statement(name, reading, "", clause, "pose")


def _surfaces(names: Names) -> Iterator[Statement]:
    view = names.view
    for word in sorted({MATERIAL_WORDS[o.material] for o in view.objects if o.material in MATERIAL_WORDS}):
        made = {o.id: _made_of(o, word) for o in view.objects}
        for name in names.plain:
            yield from names.statement(name, both(name.reading, made), word, "", "material", plural_too=True)
    printed = {o.id: Truth.YES if o.printed else Truth.NO for o in view.objects}
    for name in names.plain[:-1]:
        if name.word in ("box", "mug"):
            reading = both(name.reading, printed)
            yield from names.statement(name, reading, "printed", "", "print", plural_too=True)
            yield from names.statement(name, reading, "", "with a print on it", "print")


def _made_of(o: SceneObject, word: str) -> Truth:
    """A material under print is not seen, and may be any where none is told."""
    if MATERIAL_WORDS.get(o.material) == word:
        return Truth.MAYBE if o.printed else Truth.YES
    return Truth.NO if o.material else Truth.MAYBE
