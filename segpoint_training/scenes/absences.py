"""What is *not* there, drawn as often as it is there elsewhere: or a word alone would tell that nothing is meant."""

from __future__ import annotations

import numpy as np

from .categories import CATEGORIES, HELD_OUT
from .meaning import View, noun_reading, referents
from .prevalence import ROOM, TABLE
from .vocabulary import NEVER_ABSENT, Level, Noun, kinds, lexicon, main_noun

# Kinds that look alike: the absent one of a family of which another is present is a near miss, and drawn more often.
_SHAPES = tuple(
    kinds(words)
    for words in (
        "mug, cup, glass, bowl, pot, vase, pitcher, teapot, jar, can, tin, bottle, tube, kettle, candle, salt shaker",
        "box, carton, book, laptop, phone, remote, keyboard, tablet, notebook, tissue box, radio, speaker",
        "ball, apple, orange, banana, lemon, pear, peach, strawberry, bread",
        "bowl, plate, tray, frying pan, cutting board, basket",
        "knife, fork, spoon, spatula, screwdriver, hammer, wrench, pen, marker, comb, brush",
        "chair, armchair, sofa, stool, bench, bed",
        "table, desk, coffee table, nightstand, bench, piano",
        "bookcase, wardrobe, cabinet, refrigerator, oven, washing machine, fireplace",
        "sink, toilet, bathtub, trash can",
    )
)
_ALIKE = 1.5  # weight of a near miss


def prevalence(category: str, is_room: bool) -> float:
    """How often a scene holds the category, in units of the mean over those that such scenes may hold; 0: never."""
    shares = ROOM if is_room else TABLE
    known = CATEGORIES.get(category)
    if known is not None and known.held_out:
        return float(known.in_room if is_room else known.on_table)
    mean = sum(shares.values()) / len(shares)
    return 0.0 if category in NEVER_ABSENT else shares.get(category, 0.0) / mean


def family_prevalence(denotes: frozenset[str], is_room: bool, split: str) -> float:
    """Likewise of a family of kinds: the sum over those of its categories that scenes of ``split`` may hold."""
    shown = denotes if split == "open" else denotes - frozenset(HELD_OUT)
    return sum(prevalence(kind, is_room) for kind in shown)


def draw_absent(view: View, split: str, rng: np.random.Generator, count: int) -> tuple[list[str], list[Noun]]:
    """Up to ``count`` categories that are surely not in view, and the words that surely mean nothing here: all the
    names of those categories, and families of things drawn by how often one of them is in view elsewhere.

    What scenes of this scale never hold as an object is not drawn: behind a table there may be chairs and cupboards
    that nobody labelled.
    """
    present = {o.category for o in view.objects}
    words = lexicon(split)
    spoken = frozenset().union(*(noun.denotes for noun in words if noun.level is Level.MAIN))
    options, weights = [], []
    for category in CATEGORIES:
        noun, weight = main_noun(category), prevalence(category, view.is_room)
        if weight and noun.denotes <= spoken and referents(noun_reading(noun, view.objects), view) == ():
            alike = any(category in shape and shape & present for shape in _SHAPES)
            options.append(category)
            weights.append(weight * (_ALIKE if alike else 1.0))
    if not options:
        return [], []
    share = np.array(weights) / sum(weights)
    chosen = [str(c) for c in rng.choice(options, size=min(count, len(options)), replace=False, p=share)]
    own = {c: kinds(c) for c in chosen}
    absent = []
    for noun in words:
        if noun.level is Level.SUPERORDINATE:
            weight = family_prevalence(noun.denotes, view.is_room, split)
            wanted = weight > 0 and rng.random() < min(1.0, count * weight / sum(weights))
        else:
            wanted = any(noun.denotes & kind for kind in own.values())
        if wanted and referents(noun_reading(noun, view.objects), view) == ():
            absent.append(noun)
    return chosen, absent
