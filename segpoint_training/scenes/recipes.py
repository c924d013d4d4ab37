"""Which objects a scene holds: themes, how many, and how often one category comes several times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_THEMES: dict[str, tuple[float, dict[str, float]]] = {
    "packages": (0.28, {"box": 7, "carton": 1.5, "can": 2, "book": 1.5, "bottle": 1, "tin": 0.7, "tube": 0.4,
                        "ball": 0.3, "mug": 0.5}),
    "kitchen": (0.33, {"mug": 3, "cup": 1.6, "bowl": 2.5, "plate": 1.5, "pot": 1.5, "can": 1.5, "bottle": 1.3, "jar": 1,
                       "glass": 0.7, "teapot": 0.6, "pitcher": 0.5, "tin": 1, "box": 1.2, "carton": 0.8, "vase": 0.4}),
    "fruit": (0.12, {"bowl": 2, "banana": 2.5, "apple": 2.5, "orange": 2.5, "lemon": 1.2, "plate": 1, "carton": 0.7,
                     "mug": 0.8, "box": 1, "ball": 0.5}),
    "desk": (0.12, {"laptop": 0.9, "book": 3, "mug": 1.7, "phone": 1, "remote": 0.6, "keyboard": 0.9, "mouse": 0.9,
                    "lamp": 0.5, "bottle": 1, "can": 1, "box": 1.5, "vase": 0.5, "ball": 0.3, "glass": 0.4}),
    "mixed": (0.15, {"box": 2, "book": 1.2, "can": 1.5, "bottle": 1.5, "mug": 1.5, "cup": 1, "bowl": 1.2, "plate": 0.8,
                     "ball": 1.5, "banana": 1, "apple": 0.8, "orange": 0.6, "carton": 1, "jar": 0.8, "tin": 0.8,
                     "pot": 0.8, "teapot": 0.6, "pitcher": 0.6, "vase": 0.8, "lamp": 0.4, "tube": 0.6, "remote": 0.6,
                     "phone": 0.5, "mouse": 0.4, "laptop": 0.4, "keyboard": 0.4, "glass": 0.5, "lemon": 0.4}),
}  # fmt: skip
_COUNTS = np.array([0.08, 0.15, 0.19, 0.17, 0.14, 0.1, 0.07, 0.05, 0.03, 0.02])  # of 1 … 10 objects


@dataclass(frozen=True)
class Recipe:
    categories: tuple[str, ...]
    tower: bool  # each on top of the one before
    identical: bool  # those of one category are of one set, alike in every way
    spread: float  # how widely they stand, over the camera's distance


def draw_recipe(rng: np.random.Generator) -> Recipe:
    """We chose the weights by what stands on tables; boxes lead by far."""
    count = int(rng.choice(10, p=_COUNTS)) + 1
    if rng.random() < 0.12:  # a stack of boxes and books, perhaps something on top
        pile = rng.choice(("box", "box", "box", "book"), size=int(rng.integers(2, 6)))
        return Recipe((*(str(c) for c in pile), *_draw(rng, "mixed", int(rng.integers(0, 3)))), True, False, 0.1)
    names = list(_THEMES)
    theme = str(rng.choice(names, p=[_THEMES[name][0] for name in names]))
    categories = _draw(rng, theme, count)
    if count >= 2 and rng.random() < 0.8:  # several of one kind, to be told apart by more than the word
        same = categories[0]
        copies = int(rng.integers(2, min(count, 4) + 1))
        categories[:copies] = [same] * copies
        rng.shuffle(categories)
    categories.sort(key=lambda c: c not in ("bowl", "pot", "plate", "box") if theme != "desk" else c != "laptop")
    return Recipe(tuple(categories), False, bool(rng.random() < 0.2), float(rng.uniform(0.1, 0.24)))


def _draw(rng: np.random.Generator, theme: str, count: int) -> list[str]:
    weights = _THEMES[theme][1]
    total = np.array(list(weights.values()))
    return [str(name) for name in rng.choice(list(weights), size=count, p=total / total.sum())]
