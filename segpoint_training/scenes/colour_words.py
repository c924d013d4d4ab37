"""The words for colours, and which of them may be taken for each other."""

from __future__ import annotations

COLOUR_SYNONYMS = {"gray": ("gray", "grey"), "purple": ("purple", "violet")}
_NEAR_COLOURS = tuple(
    frozenset(pair.split())
    for pair in (
        "red orange", "red pink", "red brown", "red purple", "red black", "orange yellow", "orange brown",
        "orange pink", "yellow green", "yellow brown", "green black", "blue purple", "blue gray", "blue black",
        "purple pink", "purple black", "brown gray", "brown black", "white gray", "gray black",
    )
)  # fmt: skip


def canonical_colour(colour: str) -> str:
    """One spelling of each colour."""
    return "gray" if colour == "grey" else "purple" if colour == "violet" else colour


def colours_near(a: str, b: str) -> bool:
    """Whether two colours may be taken for each other under a lamp and a cheap sensor."""
    return frozenset((canonical_colour(a), canonical_colour(b))) in _NEAR_COLOURS
