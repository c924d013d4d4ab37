"""Furniture by name: families that draw a new piece, or a modelled asset where assets are installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from segpoint_training.scenes import cases, fittings, seats
from segpoint_training.scenes.assets import asset_categories, load_asset
from segpoint_training.scenes.model import Draw, Model, rectangle

FURNITURE: dict[str, Callable[[Draw], Model]] = {
    "chair": seats.chair,
    "armchair": seats.armchair,
    "sofa": seats.sofa,
    "stool": seats.stool,
    "bench": seats.bench,
    "bed": seats.bed,
    "table": cases.table,
    "coffee table": cases.coffee_table,
    "desk": cases.desk,
    "wardrobe": cases.wardrobe,
    "cabinet": cases.cabinet,
    "nightstand": cases.nightstand,
    "bookcase": cases.bookcase,
    "piano": cases.piano,
    "refrigerator": fittings.refrigerator,
    "oven": fittings.oven,
    "washing machine": fittings.washing_machine,
    "sink": fittings.sink,
    "toilet": fittings.toilet,
    "trash can": fittings.trash_can,
    "tv": fittings.tv,
    "rug": fittings.rug,
    "fireplace": fittings.fireplace,
    "door": fittings.door,
    "plant": fittings.floor_plant,
    "lamp": fittings.floor_lamp,
    "box": fittings.cardboard_box,
    "vase": fittings.floor_vase,
    "book": fittings.shelf_book,
}
_OWN = ("book", "rug")  # assets of these are not what we mean
_ASSETS, _EACH = 0.5, 0.15  # share of pieces that are assets, at most and for each model of the category


def build_furniture(category: str, instance: int, split: str) -> Model:
    """Piece number ``instance`` (≥ 0) of a family in FURNITURE; the same numbers give the same piece.

    As in `objects.build` the splits share no piece.
    """
    stream = 2 * instance + (split != "train")
    rng = np.random.default_rng((stream, list(FURNITURE).index(category), 1))
    count = 0 if category in _OWN else asset_categories(split, "room").get(category, 0)
    if rng.random() < min(_EACH * count, _ASSETS):
        return with_top(load_asset(category, int(rng.integers(count)), split, rng, "room"))
    return _grounded(FURNITURE[category](Draw(rng, split)))


def _grounded(model: Model) -> Model:
    """Raised where slanting legs reach a little under the floor."""
    low = -float(model.mesh.vertices[:, 2].min())
    top = None if model.top is None else (model.top[0] + low, model.top[1])
    shelves = tuple((height + low, clearance, outline) for height, clearance, outline in model.shelves)
    return replace(model, mesh=model.mesh.moved(z=low), top=top, shelves=shelves)


def with_top(model: Model) -> Model:
    """The model with the surface that things can stand on, where its mesh has one: large, level and uncovered."""
    if model.top is not None:
        return model
    mesh = model.mesh
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) / 2
    level = np.abs(cross[:, 2]) > 0.98 * 2 * area
    height = corners[..., 2].mean(1)
    highest = float(mesh.vertices[:, 2].max())
    upper = level & (height > highest - 0.01)
    span = np.ptp(mesh.vertices[:, :2], axis=0)
    if area[upper].sum() < 0.6 * span[0] * span[1]:
        return model
    points = corners[upper].reshape(-1, 3)
    low, size = points[:, :2].min(0), np.ptp(points[:, :2], axis=0)
    return replace(model, top=(highest, rectangle(*(size * 0.8)) + low + size / 2))
