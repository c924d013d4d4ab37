"""Which models of other people's collections we use: ``assets.json``, one row a model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from segpoint_training.scenes.categories import CATEGORIES

FILE = Path(__file__).with_name("assets.json")
LARGEST_ON_TABLE = 0.5  # metres
SMALLEST_ON_FLOOR = 0.3


@dataclass(frozen=True)
class Asset:
    """One model of a collection.

    ``split``: "train" and "test" instances never mix; "both" is the only model (or one of two) of its category, which
    the test split sees in other sizes and colours; "open" belongs to a category that is never trained.
    """

    id: str  # the collection's own name
    category: str  # ours
    source: str  # Debian package or Python wheel, a key of asset_fetch.SOURCES
    archive: str  # zip file in it
    member: str  # OBJ or STL file in that
    size: tuple[float, float, float]  # metres along x, y, z; its front faces -y
    licence: str  # SPDX identifier
    creator: str
    split: str
    turn: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1)  # rotation by rows, in the file's axes
    top: float | None = None  # metres over its lowest point at which things can be stood on it
    paint: str = ""  # for shapes that come without a colour: "#rrggbb", "any" or "printed"

    @property
    def file(self) -> str:
        """Name of the converted model in the cache."""
        return re.sub(r"\W+", "_", self.id).strip("_") + ".npz"

    def in_split(self, split: str) -> bool:
        """Whether scenes of that split, "train", "test" or "open", may show it."""
        if split == "train":
            return self.split in ("train", "both")
        return self.split in ("test", "both") or (split == "open" and self.split == "open")

    def in_scale(self, scale: str) -> bool:
        """Whether it suits scenes of that scale, "table" or "room", by its category and its size."""
        category = CATEGORIES[self.category]
        if scale == "table":
            return category.on_table and (max(self.size) <= LARGEST_ON_TABLE or self.category == "table")
        return category.in_room and (not category.on_table or max(self.size) >= SMALLEST_ON_FLOOR)


@lru_cache(maxsize=1)
def assets() -> tuple[Asset, ...]:
    """Every row of the catalogue, ordered by category and id."""
    rows: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    for row in rows:
        row |= {key: tuple(row[key]) for key in ("size", "turn") if key in row}
    return tuple(Asset(**row) for row in rows)
