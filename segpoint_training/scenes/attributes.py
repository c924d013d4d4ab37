"""Descriptions by colour, size, proportion, shape, number, pose, print and material.

Each construction is tried on what is in view and on some things that are not; what fits nothing for sure comes out
with no targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from .colour_words import canonical_colour, colours_near
from .colours import NAMES
from .meaning import BEHIND, Reading, Statement, Truth, View, anything, both, extreme, pose_reading, referents
from .naming import Name, Names, phrased
from .relations import Space
from .scene import SceneObject
from .vocabulary import EVERYTHING, FLAT_LYING, FRUIT, MATERIAL_WORDS, STANDING, Level, Number, kinds

# Words for the extreme of a group: among two or more, only among two, and as a plain adjective.
_SIZES = (
    (Space.bigger, ("biggest", "largest"), ("bigger", "larger"), ("big", "large")),
    (Space.smaller, ("smallest",), ("smaller",), ("small", "little")),
    (Space.taller, ("tallest",), ("taller",), ("tall",)),
    (Space.shorter, ("shortest",), ("shorter",), ("short",)),
    (Space.wider, ("widest",), ("wider",), ("wide",)),
    (Space.narrower, ("narrowest",), ("narrower",), ("narrow",)),
    (Space.longer, ("longest",), ("longer",), ("long",)),
)
_UPRIGHT_SIZES = (Space.taller, Space.shorter)
_POSES = {
    "lying": ("lying", ("lying down", "lying on its side", "that has fallen over", "on its side")),
    "upside down": ("upside-down", ("that is upside down", "turned upside down")),
    "upright": ("upright", ("standing upright", "that is standing up")),
}
_SHAPES = {  # adjectives: plainly so, arguably so; of all other kinds plainly not
    ("round", "spherical"): (
        kinds("ball, apple, orange, peach"),
        kinds(
            "lemon, pear, strawberry, plate, bowl, clock, mug, cup, glass, can, tin, jar, pot, teapot, vase, "
            "pitcher, kettle, candle, frying pan, watch, hamburger, bottle, tube, bread, tray, basket, tape "
            "measure, hat, plant, lamp, salt shaker, headphones, speaker, padlock, soap dispenser, flashlight, "
            "bag, trash can, stool, table, coffee table, toilet, sink, rug, teddy bear, camera, toy car, marker, "
            "pen"
        ),
    ),
    ("cylindrical",): (
        kinds("can"),
        kinds(
            "tin, mug, cup, glass, jar, bottle, tube, candle, marker, pen, flashlight, pot, vase, salt shaker, "
            "teapot, pitcher, kettle, soap dispenser, spray bottle, speaker, lamp, plant, basket, trash can, "
            "stool, battery, screwdriver, bowl, tape measure, bread, banana, coffee machine, camera, toy brick"
        ),
    ),
    ("box-shaped", "rectangular"): (
        kinds("box, carton, tissue box"),
        kinds(
            "book, tin, toy brick, radio, speaker, notebook, sponge, laptop, tablet, phone, keyboard, remote, "
            "tray, cutting board, picture frame, rubik's cube, clock, camera, toaster, stapler, tape measure, "
            "bread, basket, coffee machine, bag, plate, padlock, mouse, comb, brush, candle, toy car, game "
            "controller, salt shaker, soap dispenser, jar, bottle"
        ),
    ),
}  # fmt: skip
_OWN_MATERIAL = kinds(f"{FRUIT}, bread, hamburger, plant, book, notebook, sponge, candle, glasses, wall, door")
TALL, FLAT = 1.7, 0.3  # height over the wider side: from there on a can is "tall", up to there a box "flat"
_LIKELY_COLOURS = ("red", "blue", "white", "black", "green", "yellow", *NAMES)
_NUMBERS = ("", "one", "two", "three", "four", "five", "six")


def attribute_statements(names: Names) -> Iterator[Statement]:
    """Everything to be said about this scene by what things look like."""
    if names.view.is_coloured:
        yield from _colours(names)
        yield from _two_colours(names)
        yield from _surfaces(names)
    yield from _sizes(names)
    yield from _proportions(names)
    yield from _shapes(names)
    yield from _counts(names)
    yield from _poses(names)


def _colours(names: Names) -> Iterator[Statement]:
    other = [names.spelled(names.one_of(_LIKELY_COLOURS)) for _ in range(2)]
    for colour in dict.fromkeys(names.colours() + other):
        for name in names.any_name() + names.absent:
            if name.word in (colour, "wall") or (name.level is Level.SYNONYM and names.chance(0.8)):
                continue
            family = "colour of anything" if name.is_general else "colour"
            # There is a red object for who counts the chair behind the table.
            is_behind = name.word in EVERYTHING and names.view.background.get(canonical_colour(colour), 0.0) > BEHIND
            said = names.statement if is_behind else names.either
            yield from said(name, names.coloured(name, colour), colour, "", family, True)


def _two_colours(names: Names) -> Iterator[Statement]:
    """ "the red and white mug"."""
    pairs = {o.id: _pair(names.view.tints[o.id]) for o in names.view.objects}
    for pair in sorted({p for p in pairs.values() if p}):
        reading = {ident: _shows_both(pair, own, names.view.tints[ident]) for ident, own in pairs.items()}
        for name in names.plain[:-1] + names.absent:
            yield from names.either(name, both(name.reading, reading), f"{pair[0]} and {pair[1]}", "", "two colours")


def _pair(tints: Mapping[str, float]) -> tuple[str, str] | None:
    """The two colours that share what is seen of an object, or None."""
    ranked = sorted(tints, key=lambda colour: -tints[colour])[:2]
    if len(ranked) < 2 or "gray" in ranked or colours_near(*ranked):
        return None
    sure = tints[ranked[1]] > 0.28 and tints[ranked[0]] + tints[ranked[1]] > 0.85
    return (ranked[0], ranked[1]) if sure else None


def _shows_both(pair: tuple[str, str], own: tuple[str, str] | None, tints: Mapping[str, float]) -> Truth:
    if own is not None and set(own) == set(pair):
        return Truth.YES
    return Truth.MAYBE if any(tints.get(colour, 0.0) > 0.05 for colour in pair) else Truth.NO


def _sizes(names: Names) -> Iterator[Statement]:
    view = names.view
    for name in names.plain + names.absent:
        present = [i for i, v in name.reading.items() if v >= Truth.MAYBE]
        if name.number is not Number.COUNT or any(i in view.covered for i in present):
            continue
        for beyond, superlatives, comparatives, adjectives in _SIZES:
            if name.is_general and beyond not in (Space.bigger, Space.smaller, Space.taller):
                continue
            if beyond in _UPRIGHT_SIZES and (name.word in FLAT_LYING or any(_lies(view, i) for i in present)):
                continue
            reading = extreme(name.reading, view.objects, partial(beyond, names.space))
            words = superlatives + (comparatives if len(present) == 2 or not present else ())
            words += adjectives if name.level is Level.MAIN else ()
            for word in words:
                yield from names.either(name, reading, word, "", "size")
            if name.level is Level.MAIN:
                yield from _sized_and_coloured(names, name, reading, adjectives)
                yield from _extreme_of_colour(names, name, beyond, superlatives + adjectives)


def _lies(view: View, ident: int) -> bool:
    o = view.by_id(ident)
    return o is not None and o.pose == "lying"


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
            coloured = names.coloured(name, colour)
            reading = extreme(coloured, names.view.objects, partial(beyond, names.space))
            for word in words:
                yield from names.either(name, reading, f"{word} {colour}", "", "size and colour")


def _proportions(names: Names) -> Iterator[Statement]:
    """ "the tall can", "the flat box": by its own proportions, where no other of its kind is so."""
    for name in names.plain[:-1] + names.absent:
        for word, words in (("tall", ("can", "box", "carton")), ("flat", ("box",))):
            if name.word not in words or any(name.reading[i] >= Truth.MAYBE for i in names.view.covered):
                continue
            reading = both(name.reading, _proportion_reading(word, names.view))
            yield from names.either(name, reading, word, "", "proportion")
            for colour in names.colours():
                coloured = both(reading, names.coloured(name, colour))
                yield from names.either(name, coloured, f"{word} {colour}", "", "size and colour")


def _proportion_reading(word: str, view: View) -> dict[int, Truth]:
    def value(o: SceneObject) -> Truth:
        slender = o.size[2] / max(o.size[0], o.size[1], 1e-6)
        if word == "tall":
            return Truth.YES if slender > TALL else Truth.MAYBE if slender > 1.2 else Truth.NO
        return Truth.YES if slender < FLAT else Truth.MAYBE if slender < 0.65 else Truth.NO

    return {o.id: value(o) for o in view.objects}


def _shapes(names: Names) -> Iterator[Statement]:
    """ "the round object"."""
    if names.view.is_room:
        return
    for words, (plainly, arguably) in _SHAPES.items():
        shaped = {
            o.id: Truth.YES if o.category in plainly else Truth.MAYBE if o.category in arguably else Truth.NO
            for o in names.view.objects
        }
        reading = both(shaped, anything(names.view.objects))
        for name in names.everything[:2]:
            yield from names.either(name, reading, names.one_of(words), "", "shape", True)


def _counts(names: Names) -> Iterator[Statement]:
    """ "the two mugs"; where three are asked for and two stand, there is no such group."""
    for name in names.nouns + names.absent:
        meant = referents(name.reading, names.view)
        if meant is None or name.number is not Number.COUNT or name.word == "wall" or len(meant) > 5:
            continue
        if any(v == Truth.NEAR for v in name.reading.values()) or names.view.faint & {
            i for i, v in name.reading.items() if v
        }:
            continue
        count = len(meant)
        if count > 1:
            yield phrased(name, meant, _NUMBERS[count], "", "count", plural=True)
        if count > 1 or names.chance(0.3):
            other = count + 1 if count > 1 else int(names.rng.integers(2, 5))
            yield phrased(name, (), _NUMBERS[other], "", "count", plural=True)


def _poses(names: Names) -> Iterator[Statement]:
    view = names.view
    for pose, (adjective, clauses) in _POSES.items():
        stance = pose_reading(pose, view.objects)
        for name in names.plain + names.absent:
            if name.word not in STANDING | {"bowl", "object"}:
                continue
            reading = both(name.reading, stance)
            if pose == "upright" and (name.is_general or reading == dict(name.reading)):
                continue  # everything stands: nobody says so
            if name.level is Level.MAIN:
                yield from names.either(name, reading, adjective, "", "pose", True)
            for clause in clauses:
                yield from names.either(name, reading, "", clause, "pose")


def _surfaces(names: Names) -> Iterator[Statement]:
    view = names.view
    present = {MATERIAL_WORDS[o.material] for o in view.objects if o.material in MATERIAL_WORDS}
    for word in sorted(present | {names.one_of(("wooden", "metal"))}):
        made = {o.id: _made_of(o, word) for o in view.objects}
        for name in names.plain + names.absent:
            if name.word != word and name.word not in _OWN_MATERIAL:
                yield from names.either(name, both(name.reading, made), word, "", "material", True)
    printed = {o.id: Truth.YES if o.printed else Truth.NO for o in view.objects}
    for name in names.plain[:-1] + names.absent:
        reading = both(name.reading, printed)
        if name.word in ("box", "mug"):
            yield from names.either(name, reading, "printed", "", "print", True)
            yield from names.either(name, reading, "", "with a print on it", "print")
        elif name.word in ("bottle", "jar", "can", "tin"):
            yield from names.either(name, reading, "", "with a label", "print", True)


# Materials that a cheap sensor does not tell apart: one is never claimed where the other is asked for.
_ALIKE = {
    "plastic": ("ceramic", "metal", "rubber", "paper", "cardboard", "glass", "fabric", "leather", "porcelain"),
    "glass": ("plastic", "ceramic", "metal"),
    "cardboard": ("paper", "wood", "plastic"),
    "metal": ("plastic", "glass", "ceramic"),
    "wooden": ("cardboard",),
}


def _made_of(o: SceneObject, word: str) -> Truth:
    """A material under print is not seen, and may be any where none is told."""
    if MATERIAL_WORDS.get(o.material) == word:
        return Truth.MAYBE if o.printed and word != "cardboard" else Truth.YES
    if not o.material:
        return Truth.MAYBE
    return Truth.NEAR if o.material in _ALIKE.get(word, ()) else Truth.NO
