"""Rooms from a seed: five themes, what each holds, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from segpoint_training.scenes.categories import CATEGORIES, HELD_OUT
from segpoint_training.scenes.furniture import build_furniture
from segpoint_training.scenes.layout import FRONTED, Placed
from segpoint_training.scenes.model import Model
from segpoint_training.scenes.objects import available, build
from segpoint_training.scenes.room_layout import RoomLayout
from segpoint_training.scenes.shell import Shell, draw_shell

THEMES = {"living room": 0.3, "bedroom": 0.2, "kitchen": 0.17, "office": 0.2, "bathroom": 0.13}
_INSTANCES = 1_000_000  # pieces a family may draw from
_SMALL = {  # what lies about, by theme, with weights
    "living room": {"book": 3, "remote": 2, "mug": 2, "vase": 1.5, "plant": 1.5, "lamp": 1, "candle": 1, "glass": 1,
                    "bowl": 1, "laptop": 1, "tissue box": 1, "toy car": 0.6, "ball": 0.7, "clock": 0.7, "speaker": 1,
                    "bottle": 1, "tablet": 0.6, "glasses": 0.5, "radio": 0.6, "basket": 0.6, "phone": 0.6, "hat": 0.5},
    "bedroom": {"book": 3, "lamp": 3, "clock": 1.5, "glass": 1, "phone": 1.5, "glasses": 1, "watch": 0.7, "bag": 1.2,
                "hat": 1, "candle": 0.7, "tissue box": 1, "plant": 1, "vase": 0.7, "comb": 0.6, "ball": 0.6,
                "laptop": 0.7, "box": 1, "brush": 0.6, "toy airplane": 0.6},
    "kitchen": {"mug": 2, "bowl": 2, "plate": 2, "pot": 2, "kettle": 1.5, "bottle": 2, "glass": 1, "frying pan": 1.5,
                "cutting board": 1.2, "jar": 1.5, "carton": 1.5, "bread": 1, "apple": 1, "banana": 1, "basket": 1,
                "salt shaker": 0.8, "can": 1, "tray": 1, "pitcher": 1, "teapot": 1, "box": 1, "knife": 0.5,
                "sponge": 0.6, "soap dispenser": 0.8, "plant": 0.7},
    "office": {"laptop": 3, "book": 2.5, "mug": 2, "lamp": 2, "keyboard": 2, "mouse": 2, "phone": 1, "notebook": 2,
               "bottle": 1, "plant": 1, "pen": 0.8, "marker": 0.6, "tablet": 0.8, "box": 1, "speaker": 0.8,
               "clock": 0.6, "bag": 1, "glasses": 0.6, "radio": 0.4, "camera": 0.6, "tape measure": 0.4},
    "bathroom": {"soap dispenser": 2, "cup": 1.5, "bottle": 2, "brush": 1.5, "comb": 1, "tissue box": 1.5,
                 "candle": 0.7, "sponge": 1, "jar": 0.8, "tube": 1.5, "plant": 0.7, "box": 0.8, "basket": 1,
                 "glass": 0.7},
}  # fmt: skip
_SURFACES = ("table", "desk", "coffee table", "cabinet", "nightstand", "bookcase", "oven", "washing machine",
             "refrigerator", "fireplace", "piano", "sofa", "bed", "bench", "chair", "stool", "armchair")  # fmt: skip
_SEATS = ("sofa", "bed", "bench", "chair", "stool", "armchair", "refrigerator")  # seldom anything lies there
_ON_FLOOR = ("box", "basket", "bag", "ball", "toy car", "vase", "book")


@dataclass(frozen=True)
class Room:
    """A furnished room in its shell's frame."""

    theme: str
    shell: Shell
    placed: tuple[Placed, ...]  # ids count on from floor and walls


def furnish(rng: np.random.Generator, split: str) -> Room:
    """A room of a random theme. In the split "open" it holds at least one thing of a held-out category."""
    while True:
        theme = str(rng.choice(list(THEMES), p=list(THEMES.values())))
        leaf = _piece(rng, "door", split) if rng.random() < 0.75 else None
        size = np.ptp(leaf.mesh.vertices, axis=0) if leaf is not None else np.zeros(3)
        is_sane = leaf is not None and 0.5 < size[0] < 1.3 and 1.7 < size[2] < 2.25 and size[1] < 0.4
        shell = draw_shell(rng, theme, (float(size[0]) + 0.02, float(size[2]) + 0.01) if is_sane else None)
        layout = RoomLayout(rng, shell)
        if leaf is not None and is_sane:
            way = next(hole for hole in shell.openings if hole.low == 0)
            if rng.random() < 0.85:
                layout.hang(leaf, way.side, (way.start + way.end) / 2, float(size[0]))
        decorator = _Decorator(rng, split, layout)
        _FURNISH[theme](decorator)
        if split == "open" and not decorator.unknown():
            continue
        decorator.finish(theme)
        if len(layout.placed) >= 3:
            return Room(theme, shell, tuple(layout.placed))


def _piece(rng: np.random.Generator, category: str, split: str) -> Model:
    return build_furniture(category, int(rng.integers(_INSTANCES)), split)


class _Decorator:
    """The rules of the themes, on one layout."""

    def __init__(self, rng: np.random.Generator, split: str, layout: RoomLayout):
        self.rng, self.split, self.layout = rng, split, layout
        self._kinds = frozenset(available(split))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def piece(self, category: str) -> Model:
        return _piece(self.rng, category, self.split)

    def wall(self, category: str, probability: float = 1.0, sides: tuple[int, ...] | None = None) -> Placed | None:
        """A piece against a wall, drawn again where it does not fit."""
        if not self.chance(probability):
            return None
        for _ in range(2):
            model = self.piece(category)
            found = self.layout.add(partial(self.layout.against, model, sides), 10)
            if found is not None:
                return found
        return None

    def corner(self, category: str, probability: float) -> None:
        if self.chance(probability):
            model = self.piece(category)
            if self.layout.add(partial(self.layout.corner, model), 6) is None:
                self.layout.add(partial(self.layout.free, model), 4)

    def seats_at(self, base: Placed | None, category: str, most: int, sides: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        """Alike seats at the sides of a table or desk, tucked in or pulled out."""
        if base is None:
            return
        number = int(self.rng.integers(_INSTANCES))
        model = build_furniture(category, number, self.split)
        size = np.ptp(base.model.mesh.vertices, axis=0)
        spots = [(side, aside) for side in sides for aside in _spread(size[1 if side % 2 == 0 else 0])]
        self.rng.shuffle(spots)
        for side, aside in spots[:most]:

            def draw(side: int = int(side), aside: float = float(aside)) -> Placed:
                gap, swivel = self.rng.uniform(-0.25, 0.12), self.rng.normal(0, 0.15)
                return self.layout.at_side(model, base, side, gap, aside, swivel=swivel)

            self.layout.add(draw, 5)

    def living_room(self) -> None:
        layout, rng = self.layout, self.rng
        sofa = self.wall("sofa")
        if sofa is not None:
            self._before_sofa(sofa)
        for _ in range(int(rng.integers(0, 3))):
            armchair = self.piece("armchair")
            layout.add(partial(layout.free, armchair), 6)
        self.wall("bookcase", 0.6)
        self.wall("fireplace", 0.2)
        self.wall("piano", 0.2)
        self.wall("cabinet", 0.3)
        if self.chance(0.35):
            self.dining()

    def _before_sofa(self, sofa: Placed) -> None:
        layout, rng = self.layout, self.rng
        if self.chance(0.6):
            rug = self.piece("rug")
            layout.add(lambda: layout.before(rug, sofa, rng.uniform(0.0, 0.2), 0.0), 4)
        if self.chance(0.85):
            model = self.piece("coffee table")
            layout.add(lambda: layout.before(model, sofa, rng.uniform(0.25, 0.5), rng.normal(0, 0.1)), 10)
        if self.chance(0.75):
            opposite = ((layout.side_of(sofa) + 2) % 4,)
            stand = self.wall("cabinet", 1.0, opposite) or self.wall("coffee table", 1.0, opposite)
            self.on("tv", stand)

    def bedroom(self) -> None:
        bed = self.wall("bed")
        if bed is not None:
            for hand in (-1, 1):
                if self.chance(0.7):
                    model = self.piece("nightstand")
                    self.layout.add(partial(self.layout.beside, model, bed, hand), 3)
        self.wall("wardrobe", 0.85)
        self.wall("cabinet", 0.35)
        if self.chance(0.35):
            self.seats_at(self.wall("desk"), "chair", 1, (3,))
        self.wall("bookcase", 0.3)
        if self.chance(0.45):
            rug = self.piece("rug")
            self.layout.add(partial(self.layout.free, rug), 10)
        self.wall("chair", 0.3)
        self.wall("armchair", 0.25)
        self.wall("bench", 0.2)
        if self.chance(0.25):
            self.on("tv", self.wall("cabinet"))

    def kitchen(self) -> None:
        rng, layout = self.rng, self.layout
        row: Placed | None = None
        hand = int(rng.choice((-1, 1)))
        units = ["sink", "oven", "cabinet", "refrigerator", "cabinet", "washing machine"]
        units = [u for u in units if rng.random() < 0.8]
        rng.shuffle(units)
        for unit in units:  # side by side along one wall, going on along another where it is full
            model = self.piece(unit)
            placed = None
            if row is not None:
                placed = layout.add(partial(layout.beside, model, row, hand), 2)
            row = placed or layout.add(partial(layout.against, model), 10) or row
        self.dining()
        self.corner("trash can", 0.6)
        if self.chance(0.3):
            for _ in range(2):
                stool = self.piece("stool")
                layout.add(partial(layout.free, stool), 5)

    def dining(self) -> None:
        layout = self.layout
        model = self.piece("table")
        if self.chance(0.65):
            turn = int(self.rng.integers(4)) * np.pi / 2
            table = layout.add(partial(layout.free, model, turn), 15)
        else:
            table = layout.add(partial(layout.against, model), 10)
        self.seats_at(table, "stool" if self.chance(0.1) else "chair", int(self.rng.integers(1, 7)))

    def office(self) -> None:
        for _ in range(int(self.rng.choice((1, 1, 2, 3)))):
            self.seats_at(self.wall("desk"), "chair", 1, (3,))
        self.wall("bookcase", 0.8)
        self.wall("cabinet", 0.6)
        self.wall("bookcase", 0.3)
        if self.chance(0.3):
            self.dining()
        self.wall("sofa", 0.2)
        self.corner("trash can", 0.6)
        self.corner("box", 0.4)
        self.wall("chair", 0.3)

    def bathroom(self) -> None:
        self.wall("toilet", 0.9)
        self.wall("sink", 0.95)
        self.wall("washing machine", 0.45)
        self.wall("cabinet", 0.4)
        self.corner("trash can", 0.5)
        if self.chance(0.4):
            rug = self.piece("rug")
            self.layout.add(partial(self.layout.free, rug), 8)
        self.wall("stool", 0.25)

    def on(self, category: str, base: Placed | None) -> None:
        """A piece in the middle of a base's top, drawn again where it does not fit."""
        if base is None:
            return
        for _ in range(3):
            model = self.piece(category)
            if self.layout.add(partial(self.layout.amid, model, base), 2) is not None:
                return

    def unknown(self) -> bool:
        """One to three things of categories that no model is trained on; False where none found its place."""
        kinds = [name for name in HELD_OUT if name in self._kinds]
        large = [name for name in kinds if CATEGORIES[name].in_room]
        shown = 0
        for _ in range(int(self.rng.integers(1, 4))):
            pool = large if large and self.chance(0.5) else kinds
            name = pool[int(self.rng.integers(len(pool)))]
            model = build(name, int(self.rng.integers(_INSTANCES)), self.split)
            if name == "bathtub":
                shown += self.layout.add(partial(self.layout.against, model), 12) is not None
            elif name in large:
                shown += self.layout.add(partial(self.layout.free, model), 12) is not None
            else:
                shown += self.small(model)
        return shown > 0

    def finish(self, theme: str) -> None:
        """Plants, lamps and boxes on the floor, books in shelves, small things on everything."""
        self.corner("plant", 0.4)
        self.corner("lamp", 0.4 if theme in ("living room", "bedroom", "office") else 0.0)
        self.corner("vase", 0.08)
        for _ in range(int(self.rng.choice((0, 0, 0, 1, 2)))):
            self.corner("box", 1.0)
        for case in self.layout.of("bookcase"):
            self._fill(case)
        weights = {name: w for name, w in _SMALL[theme].items() if name in self._kinds}
        share = np.array(list(weights.values())) / sum(weights.values())
        for _ in range(int(self.rng.integers(3, 13))):
            name = str(self.rng.choice(list(weights), p=share))
            self.small(build(name, int(self.rng.integers(_INSTANCES)), self.split))

    def _fill(self, case: Placed) -> None:
        for shelf in range(len(case.model.shelves)):
            if self.chance(0.75):
                count = int(self.rng.integers(2, 9))
                self.layout.fill_shelf(case, shelf, partial(self.piece, "book"), count)

    def small(self, model: Model) -> bool:
        """A small thing on some surface, in a shelf or, of some kinds, on the floor."""
        layout, rng = self.layout, self.rng
        if model.category in _ON_FLOOR and self.chance(0.3) and layout.add(partial(layout.free, model), 4):
            return True
        cases = [case for case in layout.of("bookcase") if case.model.shelves]
        if cases and self.chance(0.2):
            case = cases[int(rng.integers(len(cases)))]
            shelf = int(rng.integers(len(case.model.shelves)))
            if layout.add(partial(layout.in_shelf, model, case, shelf), 3):
                return True
        bases = [p for p in layout.of(*_SURFACES) if p.model.top is not None]
        weight = np.array([0.15 if p.model.category in _SEATS else 1.0 for p in bases])
        facing = model.category in FRONTED
        if not bases or (weight.max() < 1 and self.chance(0.7)):
            return False
        for _ in range(4):
            base = bases[int(rng.choice(len(bases), p=weight / weight.sum()))]
            if layout.add(partial(layout.on, model, base, facing), 3):
                return True
        return False


_FURNISH: dict[str, Callable[[_Decorator], None]] = {
    "living room": _Decorator.living_room,
    "bedroom": _Decorator.bedroom,
    "kitchen": _Decorator.kitchen,
    "office": _Decorator.office,
    "bathroom": _Decorator.bathroom,
}


def _spread(length: float) -> list[float]:
    """Where seats stand along a table's side of ``length`` metres."""
    count = max(1, int(length / 0.62))
    return [(k - (count - 1) / 2) * length / count for k in range(count)]
