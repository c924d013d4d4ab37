"""Every tabletop object by its category: a parametric family, a modelled or scanned asset, or either."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from segpoint.errors import SegPointError
from segpoint_training.scenes import (
    assets,
    containers,
    desk,
    devices,
    dishes,
    food,
    household,
    kitchen,
    packages,
    things,
    tools,
    toys,
    worn,
)
from segpoint_training.scenes.categories import CATEGORIES, HELD_OUT
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
    "jar": containers.jar,
    "box": packages.box,
    "carton": packages.carton,
    "book": packages.book,
    "can": containers.can,
    "tin": containers.tin,
    "bottle": containers.bottle,
    "tube": containers.squeeze_tube,
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
    "pear": food.pear,
    "peach": food.peach,
    "strawberry": food.strawberry,
    "bread": food.bread,
    "hamburger": food.hamburger,
    "kettle": kitchen.kettle,
    "frying pan": kitchen.frying_pan,
    "knife": kitchen.knife,
    "fork": kitchen.fork,
    "spoon": kitchen.spoon,
    "spatula": kitchen.spatula,
    "cutting board": kitchen.cutting_board,
    "tray": kitchen.tray,
    "basket": kitchen.basket,
    "salt shaker": kitchen.salt_shaker,
    "screwdriver": tools.screwdriver,
    "hammer": tools.hammer,
    "wrench": tools.wrench,
    "tape measure": tools.tape_measure,
    "flashlight": tools.flashlight,
    "padlock": tools.padlock,
    "scissors": tools.scissors,
    "power drill": tools.power_drill,
    "marker": desk.marker,
    "pen": desk.pen,
    "notebook": desk.notebook,
    "tissue box": desk.tissue_box,
    "tablet": devices.tablet,
    "speaker": devices.speaker,
    "radio": devices.radio,
    "camera": devices.camera,
    "clock": desk.clock,
    "stapler": desk.stapler,
    "picture frame": desk.picture_frame,
    "candle": household.candle,
    "sponge": household.sponge,
    "brush": household.brush,
    "comb": household.comb,
    "soap dispenser": household.soap_dispenser,
    "plant": household.plant,
    "spray bottle": household.spray_bottle,
    "toaster": household.toaster,
    "watch": worn.watch,
    "glasses": worn.glasses,
    "hat": worn.hat,
    "bag": worn.bag,
    "toy brick": toys.toy_brick,
    "toy car": toys.toy_car,
    "toy airplane": toys.toy_airplane,
    "rubik's cube": toys.rubiks_cube,
    "teddy bear": toys.teddy_bear,
}
# Each model takes this share of a category that has a family, too; all of them at most half.
_ASSET_SHARE = 0.15


def available(split: str) -> tuple[str, ...]:
    """The categories that `build` can make here; "train" goes without the held-out ones."""
    buildable = {*FAMILIES, *assets.asset_categories(split)}
    return tuple(n for n in CATEGORIES if n in buildable and (split != "train" or n not in HELD_OUT))


def build(category: str, instance: int, split: str) -> Model:
    """Instance number ``instance`` (≥ 0) of a category; the same numbers (and assets installed) give the same object.

    "train" shares no instance with "test" and "open": of every five numbered instances they take the fifth, and each
    family keeps a variant from "train". Raises SegPointError where the category cannot be built in this split.
    """
    family = FAMILIES.get(category)
    scale = "table" if family is not None else ""  # a lamp here is one for the table
    models = assets.asset_categories(split, scale).get(category, 0)
    if (family is None and not models) or (split == "train" and category in HELD_OUT):
        raise SegPointError(f"no object of category {category!r} can be built for the split {split!r}")
    stream = instance + instance // 4 if split == "train" else 5 * instance + 4
    rng = np.random.default_rng((stream, zlib.crc32(category.encode())))
    as_model = rng.random() < min(_ASSET_SHARE * models, 0.5)
    if family is not None and not as_model:
        return family(Draw(rng, split))
    return assets.load_asset(category, int(rng.integers(models)), split, rng, scale)
