"""The words for colours, and which of them may be taken for each other."""

from __future__ import annotations

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
COLOUR_SYNONYMS = {"gray": ("gray", "grey"), "grey": ("gray", "grey"), "purple": ("purple", "violet")}
_NEAR_COLOURS = tuple(
    frozenset(pair.split())
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
