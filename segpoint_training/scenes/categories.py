"""Every category of the generator: where it is found, and which ones no model of ours is ever trained on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """One kind of thing. ``on_table``, ``in_room``: where scenes put it. ``held_out``: only in the split "open"."""

    name: str
    on_table: bool
    in_room: bool
    held_out: bool = False


_TABLE = """
mug, cup, glass, bowl, plate, pot, teapot, pitcher, vase, jar, box, carton, book, can, tin, bottle, tube, ball, banana,
apple, orange, lemon, laptop, phone, remote, keyboard, mouse, lamp, pear, peach, strawberry, bread, kettle, frying pan,
knife, fork, spoon, spatula, cutting board, tray, basket, candle, clock, camera, screwdriver, hammer, wrench, marker,
pen, tape measure, flashlight, padlock, sponge, brush, comb, watch, glasses, hat, bag, plant, toy brick, toy car,
toy airplane, rubik's cube, tablet, speaker, radio, tissue box, notebook, salt shaker, soap dispenser
"""
_ROOM = """
chair, armchair, sofa, bed, table, desk, coffee table, stool, bench, bookcase, wardrobe, cabinet, nightstand, tv, sink,
toilet, refrigerator, oven, washing machine, trash can, rug, piano, fireplace, wall, floor, door
"""
_BOTH = "box, plant, lamp, vase, book"  # of the first list: they stand in rooms, too
_HELD_OUT_TABLE = """
shoe, coffee machine, picture frame, power drill, scissors, game controller, hamburger, headphones, spray bottle,
stapler, toaster, teddy bear
"""
_HELD_OUT_ROOM = "suitcase, wheelchair, bathtub"


def _names(text: str) -> list[str]:
    return [" ".join(name.split()) for name in text.split(",")]


CATEGORIES: dict[str, Category] = {
    **{name: Category(name, True, name in _names(_BOTH)) for name in _names(_TABLE)},
    **{name: Category(name, name == "table", True) for name in _names(_ROOM)},
    **{name: Category(name, True, False, held_out=True) for name in _names(_HELD_OUT_TABLE)},
    **{name: Category(name, False, True, held_out=True) for name in _names(_HELD_OUT_ROOM)},
}
TRAINED = tuple(c.name for c in CATEGORIES.values() if not c.held_out)
HELD_OUT = tuple(c.name for c in CATEGORIES.values() if c.held_out)
