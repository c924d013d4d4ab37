"""Where things are, in the sensor's view: when a person would plainly say so, plainly not, or hesitate.

Level frame: x away from the sensor, y to its left, z up; metres. Margins are our choice: on a table about a third of
a mug; in a room six times as much, as its things are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .meaning import Truth, View
from .scene import GROUND, SceneObject
from .vocabulary import ANGULAR, BIG, OPEN_ABOVE, SHELVED, kinds

MARGIN = 0.04  # m between centres before one is further left, right, in front or behind, on a table
MARGIN_ANGLE = 0.045  # rad between bearings, likewise
SIZE_RATIO = 1.25
Comparator = Callable[[SceneObject, SceneObject], bool]
_SEATS = kinds("chair, armchair, stool, bench, wheelchair")
_TABLES = kinds("table, desk, coffee table, piano")


def bearing(o: SceneObject) -> float:
    """Angle to the left of straight ahead, rad."""
    return math.atan2(o.centre[1], max(o.centre[0], 0.05))


def gap(a: SceneObject, b: SceneObject) -> float:
    """Horizontal distance between the boxes, m; 0 where they overlap."""
    free = [max(0.0, abs(a.centre[i] - b.centre[i]) - (a.size[i] + b.size[i]) / 2) for i in (0, 1)]
    return math.hypot(*free)


def _half_angle(o: SceneObject) -> float:
    return 0.5 * o.size[1] / max(math.hypot(o.centre[0], o.centre[1]), 0.1)


def _attached(a: SceneObject, b: SceneObject) -> bool:
    return a.support == b.id or b.support == a.id


def _bottom(o: SceneObject) -> float:
    return o.centre[2] - o.size[2] / 2


def _top(o: SceneObject) -> float:
    return o.centre[2] + o.size[2] / 2


def _round(o: SceneObject) -> bool:
    return o.category not in ANGULAR and abs(o.size[0] - o.size[1]) < 0.4 * max(o.size[:2])


@dataclass(frozen=True)
class Space:
    """Comparators and relations at one scale. ``unit`` 1 is a tabletop; ``viewed``: a sensor tells left from right."""

    unit: float = 1.0
    viewed: bool = True

    @classmethod
    def of(cls, view: View) -> Space:
        """The space of a view."""
        return cls(6.0 if view.is_room else 1.0, view.viewed)

    # Comparators: is `a` clearly further that way than `b`? Centre, near edge and direction must agree; of a thing in
    # or on another, neither is.
    def further_left(self, a: SceneObject, b: SceneObject) -> bool:
        """In the view; never said of a map."""
        edge = a.centre[1] + a.size[1] / 2 > b.centre[1] + b.size[1] / 2 and not _attached(a, b)
        turn = bearing(a) - bearing(b)
        return a.centre[1] - b.centre[1] > MARGIN * self.unit and turn > MARGIN_ANGLE and edge

    def further_right(self, a: SceneObject, b: SceneObject) -> bool:
        """As `further_left`, the other way."""
        edge = a.centre[1] - a.size[1] / 2 < b.centre[1] - b.size[1] / 2 and not _attached(a, b)
        turn = bearing(b) - bearing(a)
        return b.centre[1] - a.centre[1] > MARGIN * self.unit and turn > MARGIN_ANGLE and edge

    def closer(self, a: SceneObject, b: SceneObject) -> bool:
        """Nearer to the sensor, whatever its height: what stands higher is nearer to a raised sensor, too."""
        lift = max(abs(a.centre[2] - b.centre[2]), abs(_bottom(a) - _bottom(b)))
        margin = 1.5 * MARGIN * self.unit + 0.6 * lift
        front = a.centre[0] - a.size[0] / 2 < b.centre[0] - b.size[0] / 2 and not _attached(a, b)
        near = math.hypot(*b.centre[:2]) - math.hypot(*a.centre[:2]) > margin
        return near and front and b.centre[0] - a.centre[0] > margin / 2

    def farther(self, a: SceneObject, b: SceneObject) -> bool:
        """As `closer`, the other way."""
        return self.closer(b, a)

    def bigger(self, a: SceneObject, b: SceneObject) -> bool:
        """By diagonal and by volume. ``size`` is the box along the level frame's axes, so a turned object's sides are
        not known: its diagonal lies between two bounds, and the worst case must do. Round things have no such doubt.
        """
        bulk = [float(np.prod(o.size)) ** (1 / 3) for o in (a, b)]
        if _round(a) and _round(b):
            return bulk[0] > SIZE_RATIO * bulk[1]
        least = math.hypot(max(a.size[:2]), a.size[2])
        most = math.hypot(*b.size)
        return least > 1.2 * most and bulk[0] > SIZE_RATIO * bulk[1]

    def smaller(self, a: SceneObject, b: SceneObject) -> bool:
        """As `bigger`, the other way."""
        return self.bigger(b, a)

    def taller(self, a: SceneObject, b: SceneObject) -> bool:
        """In itself, and reaching higher too: of things on things, people differ about which they mean."""
        enough = a.size[2] > SIZE_RATIO * b.size[2] and a.size[2] - b.size[2] > 0.02 * self.unit
        return enough and _top(a) > _top(b)

    def shorter(self, a: SceneObject, b: SceneObject) -> bool:
        """As `taller`, the other way."""
        return self.taller(b, a)

    def wider(self, a: SceneObject, b: SceneObject) -> bool:
        """Of round things only: how wide a turned box is, its extents do not tell."""
        return _round(a) and _round(b) and min(a.size[:2]) > SIZE_RATIO * max(b.size[:2])

    def narrower(self, a: SceneObject, b: SceneObject) -> bool:
        """As `wider`, the other way."""
        return self.wider(b, a)

    def longer(self, a: SceneObject, b: SceneObject) -> bool:
        """Of things that are longer than wide and not of any height."""
        flat = all(o.category in ANGULAR and o.size[2] < 0.5 * max(o.size[:2]) for o in (a, b))
        return flat and max(a.size[:2]) > 1.2 * math.hypot(*b.size[:2])

    def closer_to(self, anchor: SceneObject) -> Comparator:
        """Comparator: clearly nearer to the anchor than another; what is in or on the anchor leaves it open."""

        def compare(a: SceneObject, b: SceneObject) -> bool:
            centres = math.dist(a.centre[:2], anchor.centre[:2]) < math.dist(b.centre[:2], anchor.centre[:2])
            clear = gap(b, anchor) - gap(a, anchor) > 1.5 * MARGIN * self.unit
            return clear and centres and not _attached(a, anchor)

        return compare

    # Relations of an object to an anchor.
    def left_of(self, o: SceneObject, anchor: SceneObject) -> Truth:
        """In the view, at about the same depth."""
        return self._beside(o, anchor, 1.0)

    def right_of(self, o: SceneObject, anchor: SceneObject) -> Truth:
        """As `left_of`, on the other side."""
        return self._beside(o, anchor, -1.0)

    def _beside(self, o: SceneObject, anchor: SceneObject, side: float) -> Truth:
        dx = o.centre[0] - anchor.centre[0]
        dy = side * (o.centre[1] - anchor.centre[1])
        angle = side * (bearing(o) - bearing(anchor))
        clear = max(MARGIN * self.unit, 0.4 * (o.size[1] + anchor.size[1]))
        if dy > clear and angle > 0.6 * (_half_angle(o) + _half_angle(anchor)) and abs(dx) < 0.75 * dy:
            return Truth.YES
        return Truth.NO if dy < -0.02 * self.unit and angle < -0.02 else Truth.MAYBE

    def behind(self, o: SceneObject, anchor: SceneObject) -> Truth:
        """In the view, on about the same line of sight."""
        dx, dy = o.centre[0] - anchor.centre[0], abs(o.centre[1] - anchor.centre[1])
        turn = abs(bearing(o) - bearing(anchor))
        reach = _half_angle(o) + _half_angle(anchor)
        if _attached(o, anchor):
            return Truth.NO if dx < 0 else Truth.MAYBE
        if dx > max(MARGIN * self.unit, 0.4 * (o.size[0] + anchor.size[0])) and turn < 0.7 * reach:
            return Truth.YES
        if dx < -0.02 * self.unit or (turn > 1.5 * reach + 0.06 and dy > 1.2 * dx):
            return Truth.NO
        return Truth.MAYBE

    def in_front_of(self, o: SceneObject, anchor: SceneObject) -> Truth:
        """As `behind`, with the roles exchanged."""
        return self.behind(anchor, o)

    def next_to(self, o: SceneObject, anchor: SceneObject) -> Truth:
        """Within 5 cm on a table (30 cm in a room), on the same ground, and in a view not one behind the other."""
        distance = gap(o, anchor)
        if distance > 0.15 * self.unit:
            return Truth.NO
        level = abs(_bottom(o) - _bottom(anchor)) < 0.02 * self.unit
        aside = abs(o.centre[1] - anchor.centre[1]) > 0.6 * abs(o.centre[0] - anchor.centre[0]) or not self.viewed
        near = distance < 0.05 * self.unit and level and aside and not _attached(o, anchor)
        return Truth.YES if near else Truth.MAYBE

    def at(self, o: SceneObject, anchor: SceneObject) -> Truth:
        """A seat at a table: drawn up to it or under it."""
        if o.category not in _SEATS or anchor.category not in _TABLES:
            return Truth.NO if o.category in BIG else Truth.MAYBE
        distance = gap(o, anchor)
        return Truth.YES if distance < 0.25 else Truth.MAYBE if distance < 0.8 else Truth.NO

    def under(self, o: SceneObject, anchor: SceneObject) -> Truth:
        """On the ground below a table, a chair or a bed."""
        if o.support != GROUND or anchor.support != GROUND or o is anchor:
            return Truth.NO
        inside = all(abs(o.centre[i] - anchor.centre[i]) < 0.4 * anchor.size[i] for i in (0, 1))
        if inside and anchor.category in _TABLES | kinds("chair, bed, bench") and _top(o) < 0.8 * _top(anchor):
            return Truth.YES if o.category not in _SEATS else Truth.MAYBE
        return Truth.NO if gap(o, anchor) > 0.03 * self.unit else Truth.MAYBE

    def between(self, o: SceneObject, a: SceneObject, b: SceneObject) -> Truth:
        """Between two anchors that stand 15 to 80 cm apart on a table, six times as much in a room."""
        pa, pb, p = (np.array(q.centre[:2]) for q in (a, b, o))
        span = float(np.linalg.norm(pb - pa))
        if not 0.15 * self.unit < span < 0.8 * self.unit:
            return Truth.MAYBE
        along = float((p - pa) @ (pb - pa)) / span**2
        off = float(np.linalg.norm(p - pa - along * (pb - pa)))
        if 0.25 < along < 0.75 and off < min(0.06 * self.unit, 0.2 * span):
            return Truth.YES
        return Truth.NO if not -0.05 < along < 1.05 or off > 0.5 * span + 0.05 * self.unit else Truth.MAYBE

    def in_order(self, objects: Sequence[SceneObject]) -> list[SceneObject] | None:
        """The objects from left to right, or None where neighbours are not clearly apart."""
        row = sorted(objects, key=lambda o: -o.centre[1])
        clear = self.viewed and all(self.further_left(a, b) for a, b in zip(row, row[1:], strict=False))
        return row if clear else None


def supports(anchor: SceneObject, o: SceneObject, view: View) -> Truth:
    """Whether ``o`` rests on (or in) ``anchor``; through another object, people differ."""
    if o.support == anchor.id:
        return Truth.YES
    below = view.by_id(o.support)
    while below is not None:
        if below.support == anchor.id:
            return Truth.MAYBE
        below = view.by_id(below.support)
    return Truth.NO


def holds(anchor: SceneObject) -> bool:
    """Whether what rests on the anchor is *in* it."""
    return anchor.category in OPEN_ABOVE and anchor.pose == "upright"


def resting_words(anchor: SceneObject, view: View) -> tuple[str, ...]:
    """How people say that something rests on the anchor; empty where both "in" and "on" would be odd."""
    if holds(anchor):
        return ("in", "inside")
    if anchor.category in SHELVED:
        lower = [_top(o) < _top(anchor) + 0.02 for o in view.objects if o.support == anchor.id]
        if lower and all(lower):
            return ("in", "on the shelf of") if anchor.category == "bookcase" else ("in",)
        return () if any(lower) else ("on top of",)
    if anchor.category in OPEN_ABOVE:
        return ()  # the mug that stands upside down
    return ("on", "on top of") if anchor.category not in ("wall", "rug") else ("on",)


def stacks(view: View) -> list[list[SceneObject]]:
    """Piles of two or more, from the lowest up; each level carries one object. Things *in* others are no pile."""
    piles = []
    for base in view.objects:
        if base.support != GROUND or base.category in BIG:
            continue
        pile = [base]
        while True:
            above = [o for o in view.objects if o.support == pile[-1].id]
            if len(above) != 1 or holds(pile[-1]):
                break
            pile.append(above[0])
        if len(pile) > 1:
            piles.append(pile)
    return piles
