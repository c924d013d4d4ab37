"""The object families by name: one function each, which draws a new instance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from segpoint_training.scenes import dishes, packages, things
from segpoint_training.scenes.model import Draw, Model

FAMILIES: dict[str, Callable[[Draw], Model]] = {
    "mug": dishes.mug,
    "cup": dishes.cup,
    "glass": dishes.glass,
    "bowl": dishes.bowl,
    "plate": dishes.plate,
    "pot": dishes.pot,
    "teapot": dishes.teapot,
    "pitcher": dishes.pitcher,
    "vase": dishes.vase,
    "jar": dishes.jar,
    "box": packages.box,
    "carton": packages.carton,
    "book": packages.book,
    "can": packages.can,
    "tin": packages.tin,
    "bottle": packages.bottle,
    "tube": packages.tube,
    "ball": things.ball,
    "banana": things.banana,
    "apple": things.apple,
    "orange": things.orange,
    "lemon": things.lemon,
    "laptop": things.laptop,
    "phone": things.phone,
    "remote": things.remote,
    "keyboard": things.keyboard,
    "mouse": things.mouse,
    "lamp": things.lamp,
}
CATEGORIES = (*FAMILIES, "table")


def build(category: str, instance: int, split: str) -> Model:
    """Instance number ``instance`` (≥ 0) of a family in FAMILIES; the same numbers give the same object.

    The splits share no instance: "train" takes even streams, "test" odd ones, and each family keeps a profile
    variant from "train".
    """
    stream = 2 * instance + (split == "test")
    rng = np.random.default_rng((stream, list(FAMILIES).index(category)))
    return FAMILIES[category](Draw(rng, split))
