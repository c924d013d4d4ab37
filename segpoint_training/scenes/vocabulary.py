"""The words people use for things on a table and in a room, and which categories each word covers.

A noun sorts the categories into four classes, so that a sentence is written only where it can be right:

* ``denotes``: plainly called so ("can" for a can or a tin);
* ``arguable``: one person would, the next would not ("can" for a tall tube of chips). A sentence whose answer
  depends on it is not written;
* ``near``: not called so beside the real thing, but might be where the real thing is missing ("bowl" for a pot):
  such a word is never used to say that something is *absent*;
* all others: plainly not called so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from .categories import HELD_OUT
from .room_words import ROOM_ROWS
from .scene import SceneObject
from .table_words import TABLE_ROWS


class Level(Enum):
    """How a noun names its categories."""

    MAIN = "the everyday name"
    SYNONYM = "another everyday name"
    SUPERORDINATE = "a name for a whole family"


class Number(Enum):
    """How a noun counts."""

    COUNT = "a mug, two mugs"
    PAIR = "the scissors are, a pair of scissors"
    MASS = "the bread is, some bread"


@dataclass(frozen=True)
class Noun:
    """One word and the kinds (:func:`kind_of`) that it covers."""

    word: str
    plural: str
    denotes: frozenset[str]
    arguable: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()
    level: Level = Level.MAIN
    number: Number = Number.COUNT


_FINER = {"box": ("plain_box", "block"), "can": ("chips_can",)}


def kind_of(o: SceneObject) -> str:
    """The category, made finer where a word or a wish goes by what one sees of the object.

    A "block" is a box of wood or plastic, a "plain_box" one of cardboard without print; a "chips_can" is tall and
    wider than a spray can; a green lemon is a lime.
    """
    if o.category == "box" and not o.printed:
        return "block" if o.material in ("wood", "plastic") else "plain_box"
    if o.category == "can" and max(o.size) > 0.175 and min(o.size) > 0.066:
        return "chips_can"
    return "lime" if (o.category, o.colour) == ("lemon", "green") else o.category


def kinds(words: str) -> frozenset[str]:
    """Kinds from a list with commas; a category stands for all its finer kinds, with "!" for itself alone."""
    found: set[str] = set()
    for word in (" ".join(part.split()) for part in words.split(",")):
        if word:
            found.update((word.rstrip("!"), *_FINER.get(word, ())))
    return frozenset(found)


_IRREGULAR = {
    "knife": "knives", "loaf": "loaves", "mouse": "mice", "loaf of bread": "loaves of bread",
    "piece of fruit": "pieces of fruit", "pair of glasses": "pairs of glasses", "box of tissues": "boxes of tissues",
    "pair of eyeglasses": "pairs of eyeglasses", "pair of spectacles": "pairs of spectacles",
    "piece of tableware": "dishes", "piece of furniture": "pieces of furniture",
    "piece of cutlery": "pieces of cutlery", "piece of cookware": "pieces of cookware",
}  # fmt: skip
_PAIRS = ("scissors", "headphones")
_MASSES = ("bread", "fruit", "food", "cutlery", "furniture", "stationery")


def plural_of(word: str) -> str:
    """English plural, by rule where the word is no exception."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _PAIRS + _MASSES:
        return word
    head, _, last = word.rpartition(" ")
    if last in _IRREGULAR:
        return f"{head} {_IRREGULAR[last]}"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def with_article(phrase: str) -> str:
    """'a mug', 'an apple', 'a pair of scissors', 'some bread'."""
    last = phrase.rpartition(" ")[2]
    if last in _MASSES and not phrase.startswith(("loaf", "piece")):
        return "some " + phrase
    if last in _PAIRS:
        phrase = "pair of " + phrase
    return ("an " if phrase[0] in "aeio" else "a ") + phrase


def _noun(word: str, denotes: str, arguable: str = "", near: str = "", level: Level = Level.MAIN) -> Noun:
    number = Number.PAIR if word in _PAIRS else Number.MASS if word in _MASSES else Number.COUNT
    return Noun(word, plural_of(word), kinds(denotes), kinds(arguable), kinds(near), level, number)


def _rows(text: str) -> tuple[dict[str, Noun], list[Noun]]:
    """Everyday nouns by category, and synonyms that mean exactly the same."""
    main, synonyms = {}, []
    for row in text.strip().splitlines():
        head, _, rest = row.partition(":")
        category, _, word = (part.strip() for part in head.partition("="))
        others, arguable, near = rest.split("|")
        main[category] = _noun(word or category, category + "!" * (category in _FINER), arguable, near)
        main[category] = replace(main[category], denotes=kinds(category))
        for synonym in filter(None, (part.strip() for part in others.split(","))):
            synonyms.append(_noun(synonym, category, arguable, near, Level.SYNONYM))
    return main, synonyms


FRUIT = "banana, apple, orange, lemon, lime, pear, peach, strawberry"
DRINKWARE = "mug, cup, glass"
OPEN = "mug, cup, glass, bowl, pot, vase, pitcher, teapot"
SEATS = "chair, armchair, sofa, stool, bench"
FURNITURE = SEATS + ", bed, table, desk, coffee table, bookcase, wardrobe, cabinet, nightstand"
DEVICES = "laptop, phone, remote, keyboard, tablet, mouse, camera, radio, speaker, tv, game controller, headphones"
TOOLS = "screwdriver, hammer, wrench, tape measure, power drill"
TOYS = "toy brick, toy car, toy airplane, rubik's cube, teddy bear"
CUTLERY = "knife, fork, spoon"
APPLIANCES = "refrigerator, oven, washing machine, coffee machine, toaster"

_MAIN, _SAME = _rows(TABLE_ROWS + ROOM_ROWS.strip())
_SYNONYMS = tuple(
    replace(_noun(*row), level=Level.SYNONYM)
    for row in (
        ("cup", "mug", "cup", "glass, bowl"),  # a mug is a cup where no cup stands beside it
        ("dish", "bowl, plate", "pot", "cup, mug, glass, teapot, pitcher, jar, vase, tray, frying pan"),
        ("tin can", "can", "tin", "tube, jar, trash can"),
        ("package", "box!, plain_box, carton", "block, tissue box", "book, can, tin, tube, bag"),
        ("block", "block", "plain_box, toy brick", "box, carton, book, sponge"),
    )
)
_FAMILIES = tuple(
    replace(_noun(*row), level=Level.SUPERORDINATE)
    for row in (
        ("container", OPEN + ", can, tin, jar, bottle",
         "box, carton, plate, tube, basket, bag, tray, tissue box, salt shaker, soap dispenser, spray bottle, kettle, "
         "frying pan, trash can, suitcase, candle", "book, lamp"),
        ("piece of fruit", FRUIT, "", "ball"),
        ("fruit", FRUIT, "", "ball"),
        ("food", FRUIT + ", bread, hamburger", "can, tin, jar, carton, bottle, box, tube, salt shaker"),
        ("electronic device", DEVICES, "lamp, flashlight, clock, watch, power drill, kettle, " + APPLIANCES),
        ("piece of tableware", "mug, cup, glass, bowl, plate, teapot",
         "pot, pitcher, jar, vase, tray, knife, fork, spoon, salt shaker, cutting board, frying pan"),
        ("piece of cookware", "pot, frying pan", "kettle, teapot, bowl, spatula, cutting board, tray", "pitcher"),
        ("piece of cutlery", CUTLERY, "spatula", "scissors"),
        ("cutlery", CUTLERY, "spatula", "scissors"),
        ("tool", TOOLS, "scissors, flashlight, knife, padlock, marker, pen, brush, stapler, spatula, sponge, comb"),
        ("toy", TOYS, "ball, block, game controller", "box"),
        ("stationery", "pen, marker, notebook, stapler", "scissors, tape measure, book, tissue box, box"),
        ("piece of furniture", FURNITURE, "piano, lamp, rug, tv, fireplace, wheelchair, sink, toilet, bathtub, door, "
         + APPLIANCES),
        ("furniture", FURNITURE, "piano, lamp, rug, tv, fireplace, wheelchair, sink, toilet, bathtub, door, "
         + APPLIANCES),
        ("seat", SEATS, "bed, toilet, wheelchair", "rug, box, nightstand, coffee table, table, piano, bathtub"),
        ("appliance", APPLIANCES, "tv, lamp, radio, kettle, power drill, laptop, clock, speaker"),
    )
)  # fmt: skip
EVERYTHING = ("object", "thing", "item")  # any of these is anything but what carries the scene and the building

NOUNS: tuple[Noun, ...] = (*_MAIN.values(), *_SAME, *_SYNONYMS, *_FAMILIES)
_KNOWN = frozenset().union(*(noun.denotes for noun in NOUNS))
NEVER_ABSENT = kinds("wall, floor, door")  # parts of the building, seen or not


def main_noun(category: str) -> Noun:
    """The everyday noun of a category; one that the vocabulary does not know is called by its own name."""
    return _MAIN.get(category) or Noun(category, plural_of(category), frozenset({category}))


def is_known(category: str) -> bool:
    """Whether some noun of the vocabulary covers the category."""
    return category in _KNOWN


def lexicon(split: str) -> tuple[Noun, ...]:
    """The nouns of a split: words that mean nothing but held-out categories are said in "open" alone."""
    return NOUNS if split == "open" else tuple(n for n in NOUNS if not n.denotes <= frozenset(HELD_OUT))


# Adjectives for what shows: materials of the generator, and the word that people use.
MATERIAL_WORDS = {"metal": "metal", "wood": "wooden", "cardboard": "cardboard", "glass": "glass", "plastic": "plastic"}
# Things that have an upright of their own, so that "lying" and "upside down" say something about them.
STANDING = kinds(
    "mug, cup, glass, can, bottle, jar, vase, pitcher, teapot, pot, carton, lamp, tube, salt shaker, soap dispenser, "
    "spray bottle, kettle, candle, plant, chair, stool"
)
FLAT_LYING = kinds(  # nobody calls them tall or short
    "book, phone, remote, keyboard, laptop, plate, mouse, banana, knife, fork, spoon, spatula, cutting board, tray, "
    "tablet, notebook, pen, marker, screwdriver, hammer, wrench, comb, brush, glasses, watch, scissors, rug, bed, "
    "game controller, headphones, ball, apple, orange, lemon, pear, peach, strawberry, bread, hat, sponge, shoe"
)
OPEN_ABOVE = kinds("bowl, pot, mug, cup, glass, vase, basket, frying pan, sink, bathtub, trash can")  # "in the …"
SHELVED = kinds("bookcase, cabinet, wardrobe")  # what rests on them may stand inside
ANGULAR = kinds(  # their sides differ, or may
    "box, carton, book, tin, laptop, phone, remote, keyboard, tablet, banana, cutting board, tray, knife, fork, spoon, "
    "spatula, screwdriver, hammer, wrench, marker, pen, comb, brush, glasses, notebook, tissue box, toy brick, "
    "toy car, picture frame, scissors, stapler, suitcase, toaster, bread, radio, speaker, camera, basket, "
) | kinds(FURNITURE + ", tv, sink, toilet, refrigerator, oven, washing machine, rug, piano, fireplace, bathtub")
STACKABLE = kinds("box, carton, book, tin, notebook, toy brick")  # or all of one category: a stack
BIG = kinds(FURNITURE + ", piano, refrigerator, oven, washing machine, bathtub, fireplace, wheelchair, toilet")

CARRIERS = kinds(  # things lie in or on them
    FURNITURE + ", box, book, plate, tray, bowl, pot, basket, cutting board, frying pan, tin, laptop, notebook"
)
FIXED = BIG | kinds("wall, floor, door, rug, tv, sink")  # nobody asks to be handed one

# The word for targets of several categories: the narrowest of these that covers them all.
_ANSWERS = (
    ("box", kinds("box, carton")),
    ("can", kinds("can, tin, tube")),
    ("cup", kinds("mug, cup")),
    ("pen", kinds("pen, marker")),
    ("cutlery", kinds(CUTLERY)),
    ("fruit", kinds(FRUIT)),
    ("tool", kinds(TOOLS)),
    ("toy", kinds(TOYS + ", ball")),
    ("food", kinds(FRUIT + ", bread, hamburger")),
    ("stationery", kinds("pen, marker, notebook, stapler")),
    ("seat", kinds(SEATS + ", wheelchair")),
    ("table", kinds("table, desk, coffee table, nightstand")),
    ("appliance", kinds(APPLIANCES + ", kettle")),
    ("device", kinds(DEVICES)),
    ("dish", kinds(DRINKWARE + ", bowl, plate, teapot, pot, pitcher")),
    ("container", kinds(OPEN + ", can, tin, jar, bottle, tube, kettle, basket, salt shaker, soap dispenser")),
    ("furniture", kinds(FURNITURE + ", piano")),
)


def answer_word(categories: set[str]) -> str:
    """What the model should write for targets of these categories: the category, or the narrowest common word."""
    if len(categories) == 1:
        return next(iter(categories))
    return next((word for word, family in _ANSWERS if categories <= family), "object")
