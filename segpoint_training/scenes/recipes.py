"""Which objects a scene holds: themes, how many, and how often one category comes several times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segpoint_training.scenes.categories import CATEGORIES, HELD_OUT
from segpoint_training.scenes.objects import available


def _weights(text: str) -> dict[str, float]:
    """``name weight, name weight, …``; a name alone weighs 1."""
    weights = {}
    for entry in text.split(","):
        *name, last = entry.split()
        try:
            weights[" ".join(name)] = float(last)
        except ValueError:
            weights[" ".join((*name, last))] = 1.0
    return weights


# share of the scenes, and what stands about in them
_THEMES: dict[str, tuple[float, dict[str, float]]] = {
    "packages": (0.2, _weights("""
        box 7, carton 1.7, can 2.2, book 1.5, bottle 1.2, tin 0.7, jar 0.7, tube 0.4, ball 0.3, mug 0.5, tissue
        box 0.5, bag 0.6, soap dispenser 0.2""")),
    "kitchen": (0.23, _weights("""
        mug 3, cup 1.6, bowl 2.5, plate 1.7, pot 1.3, can 1.5, bottle 1.4, jar, glass 0.7, teapot 0.5, pitcher
        0.5, tin 0.8, box 1.3, carton 0.8, vase 0.3, kettle 0.6, frying pan 0.7, knife 0.8, fork 0.7, spoon 0.9,
        spatula 0.5, cutting board 0.6, tray 0.4, basket 0.3, sponge 0.5, salt shaker 0.6, soap dispenser 0.4,
        bread 0.4, plant 0.2, candle 0.2, tissue box 0.2""")),
    "breakfast": (0.1, _weights("""
        mug 2.5, cup 1.5, glass 0.7, plate 2, bowl 2, box 1.6, carton 1.5, bread 1.3, banana 0.6, apple 0.6,
        orange 0.6, jar, spoon 1.2, knife 0.8, fork 0.7, teapot 0.6, pitcher 0.5, salt shaker 0.5, tray 0.4,
        basket 0.4, strawberry 0.4, peach 0.2, bottle 0.5, vase 0.2, candle 0.2""")),
    "fruit": (0.08, _weights("""
        bowl 2, banana 2.3, apple 2.3, orange 2.2, lemon 1.4, pear 1.4, peach 1.3, strawberry 1.2, plate, carton
        0.6, mug 0.7, box 0.8, ball 0.4, basket 0.7, cutting board 0.5, knife 0.5, bread 0.5, bottle 0.4""")),
    "desk": (0.14, _weights("""
        book 2.6, laptop 0.9, mug 1.8, cup 0.6, phone 1.1, remote 0.5, keyboard 0.9, mouse, lamp 0.5, bottle
        1.1, can, box 1.5, notebook 1.2, pen 1.2, marker, tablet 0.6, glasses 0.6, watch 0.4, speaker 0.5, clock
        0.5, tissue box 0.6, plant 0.6, camera 0.4, radio 0.2, tape measure 0.2, glass 0.4, vase 0.3, rubik's
        cube 0.3, hat 0.2, bag 0.3, candle 0.2""")),
    "workshop": (0.07, _weights("""
        screwdriver 2, hammer 1.4, wrench 1.7, tape measure 1.3, flashlight 1.2, marker 1, padlock 1, brush 0.7,
        box 1.7, can 1, bottle 0.7, tin 0.6, tube 0.5, mug 0.6, pen 0.5, glasses 0.4, radio 0.3, notebook 0.3,
        sponge 0.3""")),
    "toys": (0.05, _weights("""
        toy brick 2, toy car 1.8, toy airplane 1.2, ball 1.6, rubik's cube 1.2, box 1, book 0.8, marker 0.6, cup
        0.6, hat 0.3, notebook 0.3, remote 0.3, banana 0.3, tablet 0.2""")),
    "bathroom": (0.05, _weights("""
        soap dispenser 1.6, sponge 1.2, brush 1.2, comb 1.2, tube 1.6, bottle 1.6, cup 1, glass 0.5, tissue box
        0.8, candle 0.6, box 0.8, jar 0.6, watch 0.4, glasses 0.5, can 0.7, plant 0.3, tray 0.3, hat 0.2, bag
        0.3""")),
}  # fmt: skip
_MIXED = 0.08  # share of the scenes in which anything stands beside anything
_EVERYDAY = _weights(
    "box 6, can 4, bottle 4, mug 4, bowl 3.5, cup 3, book 3, carton 2.5, plate 2, jar 2, banana 2, apple 1.5"
)
_COUNTS = np.array([0.08, 0.13, 0.16, 0.15, 0.13, 0.11, 0.08, 0.06, 0.04, 0.03, 0.02, 0.01])  # of 1 … 12 objects
_CARRIERS = ("bowl", "pot", "plate", "tray", "box", "frying pan", "cutting board")  # placed first: others go in and on


@dataclass(frozen=True)
class Recipe:
    """What to put on a table, and how."""

    categories: tuple[str, ...]
    tower: bool  # each on top of the one before
    identical: bool  # those of one category are of one set, alike in every way
    spread: float  # how widely they stand, over the camera's distance


def draw_recipe(rng: np.random.Generator, split: str = "train") -> Recipe:
    """We chose the weights by what stands on tables; boxes lead by far.

    In the split "open" the first one to three objects are of held-out categories.
    """
    kinds = tuple(n for n in available(split) if CATEGORIES[n].on_table and n != "table")
    strange = _strange(rng, kinds) if split == "open" else []
    known = [n for n in kinds if n not in HELD_OUT]
    count = int(rng.choice(len(_COUNTS), p=_COUNTS)) + 1
    if not strange and rng.random() < 0.1:  # a stack of boxes and books, perhaps something on top
        pile = [str(c) for c in rng.choice(("box", "box", "box", "book"), size=int(rng.integers(2, 6)))]
        return Recipe((*pile, *_draw(rng, _theme("", known), int(rng.integers(0, 3)))), True, False, 0.1)
    names = [*_THEMES, ""]
    name = str(rng.choice(names, p=[*(share for share, _ in _THEMES.values()), _MIXED]))
    theme = _theme(name, known)
    categories = _draw(rng, theme, max(count - len(strange), 0 if strange else 1))
    if len(categories) >= 2 and rng.random() < 0.75:  # several of one kind, to be told apart by more than the word
        same = categories[0]
        copies = int(rng.integers(2, min(len(categories), 4) + 1))
        categories[:copies] = [same] * copies
        rng.shuffle(categories)
    first = ("laptop",) if name == "desk" else _CARRIERS
    categories.sort(key=lambda c: c not in first)
    return Recipe((*strange, *categories), False, bool(rng.random() < 0.2), float(rng.uniform(0.1, 0.24)))


def _strange(rng: np.random.Generator, kinds: tuple[str, ...]) -> list[str]:
    """One to three objects of held-out categories, now and then two of one."""
    held_out = [n for n in kinds if n in HELD_OUT]
    count = int(rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2)))
    return [str(n) for n in rng.choice(held_out, size=count)]


def _theme(name: str, known: list[str]) -> dict[str, float]:
    """The weights of a theme ("" mixes all) over the categories that can be built."""
    weights: Mapping[str, float] = _THEMES[name][1] if name else {n: _EVERYDAY.get(n, 0.7) for n in known}
    return {n: w for n, w in weights.items() if n in known}


def _draw(rng: np.random.Generator, weights: dict[str, float], count: int) -> list[str]:
    total = np.array(list(weights.values()))
    return [str(name) for name in rng.choice(list(weights), size=count, p=total / total.sum())]
