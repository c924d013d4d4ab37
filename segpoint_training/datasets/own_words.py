"""The word that an answer names its targets with, where nobody has said one: found in the sentence, or "object".

A wrong word would be learnt, so there is one only where a sentence is plainly a request for a thing: the words of a
request as generated scenes make them ("pick up {np}", "where is {np}?"; `scenes.phrasing`), then a noun phrase with its
article. Its noun is the last word before whatever describes where the thing is. "Pick up the red valve on the left" is
a valve; "I am thirsty", "wash the bowl", "the biggest" and "the thing beside the bowl" are objects.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from segpoint.prompts import normalise
from segpoint_training.scenes.categories import CATEGORIES
from segpoint_training.scenes.colour_words import COLOUR_SYNONYMS
from segpoint_training.scenes.colours import NAMES as COLOURS
from segpoint_training.scenes.phrasing import TEST, TRAIN
from segpoint_training.scenes.vocabulary import NOUNS, plural_of

OBJECT = "object"  # what generated scenes call things without a common name, too

_REQUESTS = frozenset(
    f"{verb} {{np}}"
    for verb in "grasp, hold, touch, push, press, pull, open, close, move, turn, approach, follow, find me".split(", ")
)  # beside those of generated scenes
_ARTICLE = r"(?:the|an?|all(?: of)?(?: the)?|every|each|both|my|some|any|another|one of the)"
_ENDS = frozenset(  # with these a description of the thing begins, or the sentence goes on
    "of on in at to from with without near next nearest closest behind under below above over beside between by "
    "before after against around inside outside across along off onto into up down out away for than that which "
    "who whose where when while and or but partly mostly half fully covered hidden lying standing sitting hanging "
    "facing made turned placed put stacked filled upside so if as please left right front back farthest "
    "furthest".split()
)
_VERBS = frozenset("is are was were has have had will would should needs does do makes looks".split())
_NO_NOUNS = frozenset(
    "one ones thing things object objects item items stuff something anything it other others rest same pair "
    "piece set group bunch kind way place spot area surface first second third last middle leftmost rightmost "
    "biggest largest bigger larger smallest smaller tallest taller shortest shorter longest longer highest higher "
    "lowest lower nearer closer two three four five big large small tall short long high low empty full left "
    "right front back".split()
) | frozenset((*COLOURS, *COLOUR_SYNONYMS))  # fmt: skip


def named_word(text: str, several: bool = False, categories: Collection[str] = ()) -> str:
    """The noun of a request, `OBJECT` where none is plain.

    several: whether it means several things; then a plural is put into the singular. categories: names of several words
    that are taken whole, beside those of generated scenes ("coffee machine").
    """
    sentence = normalise(text).lower().rstrip(".!? ").removesuffix("please").rstrip(", ")
    phrase = next((found["np"] for frame in _frames() if (found := frame.fullmatch(sentence))), "")
    words: list[str] = []
    for word in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*|[,;:]", phrase):
        if word in _VERBS:  # "my hair is a mess" asks for something else
            return OBJECT
        if words and word in _ENDS or word in ",;:":
            break
        words.append(word)
    if not words or words[-1] in _NO_NOUNS or words[-1] in _ENDS:
        return OBJECT
    if several:
        words[-1] = _singular(words[-1])
    known = {*categories, *CATEGORIES}
    return next((name for i in range(len(words)) if (name := " ".join(words[i:])) in known), words[-1])


@lru_cache(maxsize=1)
def _frames() -> list[re.Pattern[str]]:
    """Every request, the one with the most words first; ``np`` is what follows its article."""
    said = {frame.lower().rstrip(".?!").removesuffix(", please") for frame in TRAIN.all() | TEST.all() | _REQUESTS}
    frames = sorted((frame for frame in said if "{np}" in frame), key=len, reverse=True)
    np_ = rf"{_ARTICLE} (?P<np>.+?)"
    patterns = (re.escape(f).replace(r"\{np\}", np_).replace(r"\{be\}", "(?:is|are)") for f in frames)
    return [re.compile(rf"(?:please |(?:can|could|would|will) you (?:please )?)?{pattern}") for pattern in patterns]


@lru_cache(maxsize=1)
def _singulars() -> dict[str, str]:
    known = {noun.plural: noun.word for noun in NOUNS if " " not in noun.word}
    return {**known, "shelves": "shelf", "leaves": "leaf", "scarves": "scarf"}


def _singular(word: str) -> str:
    """By the vocabulary, or else by the plural's own rule turned round; a word that is no plural as it is."""
    if word in _singulars():
        return _singulars()[word]
    for ending, other in (("ies", "y"), ("es", ""), ("s", "")):
        one = word.removesuffix(ending) + other
        if word.endswith(ending) and len(one) > 2 and plural_of(one) == word:
            return one
    return word
