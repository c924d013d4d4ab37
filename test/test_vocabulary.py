"""Every category has words; words and their families agree."""

from __future__ import annotations

from collections import Counter

import pytest

from segpoint_training.scenes.categories import CATEGORIES, HELD_OUT, TRAINED
from segpoint_training.scenes.intents import INTENTS
from segpoint_training.scenes.vocabulary import (
    FIXED,
    NOUNS,
    STANDING,
    Level,
    Number,
    answer_word,
    is_known,
    lexicon,
    main_noun,
    plural_of,
    with_article,
)

KINDS = frozenset(CATEGORIES) | {"plain_box", "block", "chips_can", "lime"}


def test_every_category_has_its_own_everyday_noun() -> None:
    for category in CATEGORIES:
        noun = main_noun(category)
        assert noun.level is Level.MAIN and category in noun.denotes and is_known(category), category
    words = Counter(n.word for n in NOUNS)
    assert {word for word, count in words.items() if count > 1} == {"cup"}  # a cup, and what a mug is called, too


def test_words_speak_of_categories_that_exist() -> None:
    for noun in NOUNS:
        assert noun.denotes <= KINDS and noun.arguable <= KINDS and noun.near <= KINDS, noun.word
        assert not noun.denotes & noun.arguable, noun.word
    for intent in INTENTS:
        assert intent.fulfils | intent.arguable | intent.near <= KINDS, intent.train[0]
        assert not intent.fulfils & intent.arguable, intent.train[0]
    assert FIXED <= KINDS and STANDING <= KINDS


def test_held_out_words_are_said_in_open_alone() -> None:
    spoken = {n.word for n in lexicon("train")}
    for category in HELD_OUT:
        assert main_noun(category).word not in spoken
    assert all(main_noun(category).word in spoken for category in TRAINED)
    assert {n.word for n in lexicon("open")} > spoken == {n.word for n in lexicon("test")}


@pytest.mark.parametrize(
    ("word", "plural", "one"),
    [
        ("mug", "mugs", "a mug"),
        ("knife", "knives", "a knife"),
        ("toy brick", "toy bricks", "a toy brick"),
        ("computer mouse", "computer mice", "a computer mouse"),
        ("pair of glasses", "pairs of glasses", "a pair of glasses"),
        ("scissors", "scissors", "a pair of scissors"),
        ("bread", "bread", "some bread"),
        ("loaf of bread", "loaves of bread", "a loaf of bread"),
        ("apple", "apples", "an apple"),
        ("strawberry", "strawberries", "a strawberry"),
        ("wristwatch", "wristwatches", "a wristwatch"),
        ("furniture", "furniture", "some furniture"),
        ("piece of furniture", "pieces of furniture", "a piece of furniture"),
    ],
)
def test_grammar(word: str, plural: str, one: str) -> None:
    assert plural_of(word) == plural and with_article(word) == one


def test_number() -> None:
    number = {n.word: n.number for n in NOUNS}
    assert number["scissors"] is Number.PAIR and number["food"] is Number.MASS and number["mug"] is Number.COUNT


@pytest.mark.parametrize(
    ("categories", "word"),
    [
        ({"mug"}, "mug"),
        ({"knife", "fork"}, "cutlery"),
        ({"hammer", "wrench"}, "tool"),
        ({"toy car", "rubik's cube"}, "toy"),
        ({"apple", "pear"}, "fruit"),
        ({"apple", "bread"}, "food"),
        ({"chair", "sofa"}, "seat"),
        ({"chair", "bookcase"}, "furniture"),
        ({"oven", "refrigerator"}, "appliance"),
        ({"phone", "radio"}, "device"),
        ({"mug", "hammer"}, "object"),
    ],
)
def test_answers(categories: set[str], word: str) -> None:
    assert answer_word(categories) == word
