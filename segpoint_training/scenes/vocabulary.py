"""The words people use for things on a table, and which categories each word covers.

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

from .scene import SceneObject


class Level(Enum):
    """How a noun names its categories."""

    MAIN = "the everyday name"
    SYNONYM = "another everyday name"
    SUPERORDINATE = "a name for a whole family"


@dataclass(frozen=True)
class Noun:
    """One word and the kinds (:func:`kind_of`) that it covers."""

    word: str
    plural: str
    denotes: frozenset[str]
    arguable: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()
    level: Level = Level.MAIN


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
    """Kinds from a list of words; a category stands for all its finer kinds, with "!" for itself alone."""
    found: set[str] = set()
    for word in words.split():
        found.update((word.rstrip("!"), *_FINER.get(word, ())))
    return frozenset(found)


def plural_of(word: str) -> str:
    """English plural by rule, for words that the table below does not hold."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def with_article(phrase: str) -> str:
    """'a mug', 'an apple'."""
    return ("an " if phrase[0] in "aeio" else "a ") + phrase


def _noun(word: str, denotes: str, arguable: str = "", near: str = "", level: Level = Level.MAIN) -> Noun:
    return Noun(word, plural_of(word), kinds(denotes), kinds(arguable), kinds(near), level)


FRUIT = "banana apple orange lemon lime pear peach plum mango strawberry grapes"
_DRINKWARE = "mug cup glass"
_OPEN = "mug cup glass bowl pot vase pitcher teapot"
_DEVICES = "laptop phone remote keyboard tablet mouse"

_MAIN = (
    _noun("mug", "mug", near="cup glass pitcher"),
    _noun("cup", "cup", "mug", near="glass bowl"),
    _noun("glass", "glass", near="cup jar vase mug"),
    _noun("bowl", "bowl", near="plate pot cup vase"),
    _noun("plate", "plate", near="bowl tray"),
    _noun("can", "can", near="tin jar tube"),
    _noun("tin", "tin", "can", near="jar box"),
    _noun("tube", "tube", near="bottle can"),
    _noun("bottle", "bottle", near="vase jar pitcher tube"),
    _noun("jar", "jar", near="can tin glass vase bottle pot cup mug"),
    _noun("box", "box", "carton", near="book tin"),
    _noun("carton", "carton", near="box bottle"),
    _noun("book", "book", near="notebook magazine"),
    _noun("ball", "ball", near="apple orange peach plum lemon"),
    _noun("banana", "banana"),
    _noun("apple", "apple", near="ball peach plum pear orange"),
    _noun("orange", "orange", near="ball peach lemon apple"),
    _noun("lemon", "lemon", "lime", near="orange ball apple"),
    _noun("pot", "pot", "teapot", near="bowl vase pitcher jar pan"),
    _noun("vase", "vase", near="bottle jar pitcher glass pot cup bowl"),
    _noun("pitcher", "pitcher", near="teapot vase bottle jar mug"),
    _noun("teapot", "teapot", near="pitcher pot mug"),
    _noun("laptop", "laptop", near="keyboard tablet"),
    _noun("phone", "phone", near="remote tablet"),
    _noun("remote", "remote", near="phone"),
    _noun("keyboard", "keyboard", near="laptop"),
    _noun("mouse", "mouse", near="phone remote"),
    _noun("lamp", "lamp"),
)
_SYNONYMS = tuple(
    _noun(*row, level=Level.SYNONYM)
    for row in (
        ("coffee mug", "mug", "", "cup glass pitcher"),
        ("cup", "mug", "cup", "glass bowl"),  # a mug is a cup where no cup stands beside it
        ("drinking glass", "glass", "", "cup jar vase mug"),
        ("dish", "bowl plate", "pot", "cup mug glass teapot pitcher jar vase pan tray"),
        ("tin can", "can", "tin", "tube jar"),
        ("package", "box carton", "block", "book can tin tube bag"),
        ("block", "block", "plain_box", "box carton book"),
        ("milk carton", "carton", "", "box bottle"),
        ("cooking pot", "pot", "", "bowl teapot pan vase pitcher"),
        ("flower vase", "vase", "", "bottle jar pitcher glass pot cup bowl"),
        ("jug", "pitcher", "", "teapot vase bottle jar mug"),
        ("laptop computer", "laptop", "", "keyboard tablet"),
        ("cell phone", "phone", "", "remote tablet"),
        ("remote control", "remote", "", "phone"),
        ("computer mouse", "mouse", "", "phone remote"),
    )
)
_FAMILIES = tuple(
    _noun(*row, level=Level.SUPERORDINATE)
    for row in (
        ("container", _OPEN + " can tin jar bottle", "box carton plate tube", "book lamp"),
        ("vessel", _OPEN + " jar bottle", "can tin tube plate", "box carton"),
        ("piece of fruit", FRUIT, "", "ball"),
        ("electronic device", _DEVICES, "lamp", ""),
    )
) + (
    _noun("piece of tableware", "mug cup glass bowl plate teapot", "pot pitcher jar vase", level=Level.SUPERORDINATE),
    _noun("fruit", FRUIT, "", "ball", level=Level.SUPERORDINATE),
)
EVERYTHING = ("object", "thing", "item")  # any of these is anything but the table

_IRREGULAR = {"piece of fruit": "pieces of fruit", "piece of tableware": "dishes", "computer mouse": "computer mice",
              "mouse": "mice"}  # fmt: skip
NOUNS: tuple[Noun, ...] = tuple(
    replace(n, plural=_IRREGULAR.get(n.word, n.plural)) for n in _MAIN + _SYNONYMS + _FAMILIES
)
CATEGORIES: tuple[str, ...] = tuple(noun.word for noun in _MAIN)
_KNOWN = frozenset().union(*(noun.denotes for noun in NOUNS))
_MAIN_BY_CATEGORY = {noun.word: noun for noun in NOUNS if noun.level is Level.MAIN}


def main_noun(category: str) -> Noun:
    """The everyday noun of a category; one that the vocabulary does not know is called by its own name."""
    known = _MAIN_BY_CATEGORY.get(category)
    return known or Noun(category, plural_of(category), frozenset({category}))


def is_known(category: str) -> bool:
    """Whether some noun of the vocabulary covers the category."""
    return category in _KNOWN


COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
COLOUR_SYNONYMS = {"gray": ("gray", "grey"), "grey": ("gray", "grey"), "purple": ("purple", "violet")}
_NEAR_COLOURS = tuple(
    kinds(pair)
    for pair in (
        "red orange", "red pink", "red brown", "orange yellow", "orange brown", "yellow beige", "white beige",
        "red black", "brown gray", "white gray",
        "white silver", "white clear", "gray silver", "gray black", "gray clear", "blue purple",
        "blue cyan", "blue turquoise", "blue black", "blue gray", "green cyan", "green turquoise", "green olive",
        "pink purple", "brown beige", "brown black", "brown yellow", "yellow gold", "yellow green", "brown gold",
        "orange pink", "red purple", "purple black", "green black", "beige gray", "beige pink",
    )
)  # fmt: skip


def canonical_colour(colour: str) -> str:
    """One spelling of each colour."""
    return "gray" if colour == "grey" else "purple" if colour == "violet" else colour


def colours_near(a: str, b: str) -> bool:
    """Whether two colours may be taken for each other under a lamp and a cheap sensor."""
    return frozenset((canonical_colour(a), canonical_colour(b))) in _NEAR_COLOURS


MATERIAL_WORDS = {"metal": "metal", "wood": "wooden"}  # the materials that show
# Things that have an upright of their own, so that "lying" and "upside down" say something about them.
STANDING = kinds("mug cup glass can bottle jar vase pitcher teapot pot carton lamp")
FLAT_LYING = kinds("book phone remote keyboard laptop plate mouse banana")  # nobody calls them tall or short
OPEN_ABOVE = kinds("bowl pot mug cup glass vase")  # "in the …"
ANGULAR = kinds("box carton book tin laptop phone remote keyboard tablet banana")  # their sides differ, or may
STACKABLE = kinds("box carton book tin")  # or all of one category: a stack, not just one thing on another

# The word for targets of several categories: the narrowest of these that covers them all.
_ANSWERS = (
    ("box", kinds("box carton")),
    ("can", kinds("can tin tube")),
    ("cup", kinds("mug cup")),
    ("fruit", kinds(FRUIT)),
    ("device", kinds(_DEVICES)),
    ("dish", kinds(_DRINKWARE + " bowl plate teapot pot pitcher")),
    ("container", kinds(_OPEN + " can tin jar bottle tube")),
)


def answer_word(categories: set[str]) -> str:
    """What the model should write for targets of these categories: the category, or the narrowest common word."""
    if len(categories) == 1:
        return next(iter(categories))
    return next((word for word, family in _ANSWERS if categories <= family), "object")
