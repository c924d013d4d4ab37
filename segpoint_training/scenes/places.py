"""Descriptions by place: extremes and rows in the sensor's view, piles, supports, and relations to other things.

Each construction is tried on what is in view and on some things that are not; what fits nothing for sure comes out
with no targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .contacts import FAR
from .meaning import Reading, Statement, Truth, View, both, extreme
from .naming import Name, Names, phrased
from .relations import Space, holds, resting_words, stacks, supports
from .scene import GROUND, SceneObject
from .vocabulary import BIG, CARRIERS, SEATS, STACKABLE, Level, kinds

# Comparator, phrases for the extreme of a group (before, after), and for a group of two only.
_EXTREMES = (
    (Space.further_left, (("leftmost", ""), ("", "furthest to the left")), (("left", ""), ("", "on the left"))),
    (Space.further_right, (("rightmost", ""), ("", "furthest to the right")), (("right", ""), ("", "on the right"))),
    (Space.closer, (("closest", ""), ("nearest", ""), ("", "closest to the camera"), ("", "nearest to me"),
                    ("", "closest to you"), ("", "in front")), (("front", ""),)),
    (Space.farther, (("", "farthest from the camera"), ("farthest", ""), ("", "furthest away"), ("", "in the back"),
                     ("most distant", "")), (("back", ""),)),
)  # fmt: skip
_VIEWED = (
    (Space.left_of, ("to the left of", "left of")),
    (Space.right_of, ("to the right of", "right of")),
    (Space.behind, ("behind",)),
    (Space.in_front_of, ("in front of",)),
)
_ANYWHERE = ((Space.next_to, ("next to", "beside", "near")),)
_AT = kinds(SEATS)


def spatial_statements(names: Names) -> Iterator[Statement]:
    """Everything to be said about this scene by where things are."""
    if names.view.viewed:
        yield from _extremes(names)
        yield from _rows(names)
        yield from _hidden(names)
    yield from _piles(names)
    yield from _supported(names)
    yield from _carrying(names)
    yield from _relations(names)
    yield from _missing_anchor(names)
    yield from _betweens(names)
    yield from _at_walls(names)


def _extremes(names: Names) -> Iterator[Statement]:
    has_camera = any(o.category == "camera" for o in names.view.objects)
    general = [n for n in names.nouns if n.is_general]
    for name in names.plain + general + names.absent:
        count = sum(v >= Truth.MAYBE for v in name.reading.values())
        for beyond, phrases, of_two in _EXTREMES:
            reading = extreme(name.reading, names.view.objects, partial(beyond, names.space))
            for before, after in phrases + (of_two if count == 2 or (not count and names.chance(0.4)) else ()):
                if not (has_camera and "camera" in after):
                    yield from names.either(name, reading, before, after, "extreme")
    for name in names.plain[:-1] + names.absent:
        for colour in names.colours():
            if name.word == colour:
                continue
            coloured = names.coloured(name, colour)
            for beyond, phrases, _ in _EXTREMES:
                reading = extreme(coloured, names.view.objects, partial(beyond, names.space))
                before, after = phrases[0]
                before = f"{before} {colour}" if before else colour
                yield from names.either(name, reading, before, after, "extreme of colour")


def _rows(names: Names) -> Iterator[Statement]:
    """ "the middle mug", "the second box from the left"; the third of two is not there."""
    for name in names.plain + names.absent:
        if any(v in (Truth.MAYBE, Truth.NEAR) for v in name.reading.values()):
            continue
        group = [o for o in names.view.objects if name.reading[o.id] == Truth.YES]
        row = names.space.in_order(group) if 3 <= len(group) <= 6 else None
        places: list[tuple[SceneObject | None, str, str]] = []
        if row is not None:
            places = [(row[1], "second", "from the left"), (row[-2], "second", "from the right")]
            if len(row) == 3:
                places = [(row[1], "middle", ""), (row[1], "", "in the middle")] + places[:1]
        elif len(group) < 3:
            places = [(None, "third", "from the left"), (None, "third", "from the right")]
            if not group:
                places = [(None, "second", "from the left"), (None, "middle", ""), (None, "", "in the middle")]
        for o, before, after in places:
            if o is None or o.id not in names.view.faint:
                yield phrased(name, (o.id,) if o else (), before, after, "row")


def _piles(names: Names) -> Iterator[Statement]:
    piles = stacks(names.view)
    if not any(names.view.by_id(o.support) for o in names.view.objects):  # nothing lies on anything
        for name in names.plain[:-1] + names.absent:
            if name.word in STACKABLE:
                yield phrased(name, (), "", "on top of the stack", "pile")
                yield phrased(name, (), "", "at the bottom of the stack", "pile")
        yield Statement("stack", (), "pile", frames="brief")
    if len(piles) != 1 or not _looks_stacked(piles[0]):
        return
    pile = piles[0]
    for name in names.plain:
        inside = [o for o in pile if name.reading[o.id] == Truth.YES]
        if any(name.reading[o.id] in (Truth.MAYBE, Truth.NEAR) for o in pile):
            continue
        yield from _pile_ends(names, name, pile)
        if len(pile) >= 3 and len(inside) == len(pile):
            yield from _placed(names, name, pile[-1], "", "on top of the others")
            if len(pile) == 3:
                yield from _placed(names, name, pile[1], "", "in the middle of the stack")
        if len(pile) == 2 and len(inside) == 2 and name.level is Level.MAIN:
            yield from _placed(names, name, pile[1], "upper", "")
            yield from _placed(names, name, pile[0], "lower", "")
        if len(inside) == len(pile) and name.level is Level.MAIN and not names.view.faint & {o.id for o in pile}:
            yield phrased(name, tuple(sorted(o.id for o in pile)), "", "in the stack", "pile", plural=True)
    if not names.view.faint & {o.id for o in pile}:
        yield Statement("stack", tuple(sorted(o.id for o in pile)), "pile", frames="brief")


def _looks_stacked(pile: list[SceneObject]) -> bool:
    return all(o.category in STACKABLE for o in pile) or len({o.category for o in pile}) == 1


def _pile_ends(names: Names, name: Name, pile: list[SceneObject]) -> Iterator[Statement]:
    ends = ((pile[-1], "top", "on top of the stack"), (pile[0], "bottom", "at the bottom of the stack"))
    for o, word, clause in ends:
        if name.reading[o.id] != Truth.YES:
            continue
        yield from _placed(names, name, o, "", clause)
        if sum(name.reading[p.id] == Truth.YES for p in pile) > 1 and name.level is Level.MAIN:
            yield from _placed(names, name, o, word, "")
            yield from _placed(names, name, o, "", "on the very top" if word == "top" else "at the very bottom")


def _placed(names: Names, name: Name, o: SceneObject, before: str, after: str) -> Iterator[Statement]:
    if o.id not in names.view.faint:
        yield phrased(name, (o.id,), before, after, "pile")


def _supported(names: Names) -> Iterator[Statement]:
    """On, in and under other things."""
    view = names.view
    for phrase, ident in names.anchors:
        anchor = view.by_id(ident)
        if anchor is None:
            continue
        above: Reading = {o.id: supports(anchor, o, view) for o in view.objects}
        below: Reading = {o.id: supports(o, anchor, view) for o in view.objects}
        beneath: Reading = {o.id: names.space.under(o, anchor) for o in view.objects}
        words = resting_words(anchor, view)
        for name in names.besides(phrase):
            others = names.others(ident, name)
            for word in words:
                yield from names.either(name, both(others, above), "", f"{word} the {phrase}", "support", True)
            carrier = view.by_id(anchor.support)
            if carrier is not None and not holds(carrier) and carrier.category not in BIG:
                yield from names.either(name, both(others, below), "", f"under the {phrase}", "support")
            elif anchor.category in ("table", "desk", "coffee table", "bed", "chair", "bench"):
                yield from names.either(name, both(others, beneath), "", f"under the {phrase}", "support")


def _carrying(names: Names) -> Iterator[Statement]:
    """ "the bowl with something in it", "the box on the table" beside one on another box."""
    view = names.view
    loaded = {o.id: Truth.YES if any(p.support == o.id for p in view.objects) else Truth.NO for o in view.objects}
    for name in names.plain:
        candidates = [o for o in view.objects if name.reading[o.id] == Truth.YES]
        if candidates and name.level is Level.MAIN and len({holds(o) for o in candidates}) == 1:
            clause = "with something in it" if holds(candidates[0]) else "with something on it"
            if candidates[0].category in CARRIERS:
                yield from names.either(name, both(name.reading, loaded), "", clause, "carrier")
    low = {o.id: supports_ground(o) for o in view.objects}
    ground = f"on the {view.carrier}"
    if view.is_room and any(o.category in BIG for o in view.objects):
        small = [n for n in names.plain if n.movable] + [n for n in names.absent if n.movable]
    else:
        small = [n for n in names.plain if any(low[i] != Truth.YES and v for i, v in n.reading.items())]
    for name in small:
        yield from names.either(name, both(name.reading, low), "", ground, "on the ground", True)


def supports_ground(o: SceneObject) -> Truth:
    """Whether it stands directly on the table or the floor."""
    return Truth.YES if o.support == GROUND else Truth.NO


def _relations(names: Names) -> Iterator[Statement]:
    view, space = names.view, names.space
    relations = (_VIEWED if view.viewed else ()) + _ANYWHERE
    for phrase, ident in names.anchors:
        anchor = view.by_id(ident)
        if anchor is None:
            continue
        readings = [({o.id: relation(space, o, anchor) for o in view.objects}, words) for relation, words in relations]
        if view.is_room and anchor.category in ("table", "desk", "coffee table", "piano"):
            readings.append(({o.id: space.at(o, anchor) for o in view.objects}, ("at",)))
        for name in names.besides(phrase):
            others = names.others(ident, name)
            for reading, words in readings:
                if words == ("at",) and name.word not in _AT:
                    continue
                # Of several "objects behind the box", people differ on how many count: one, or none.
                after = f"{names.one_of(words)} the {phrase}"
                yield from names.either(name, both(others, reading), "", after, "relation")
            nearest = extreme(others, view.objects, space.closer_to(anchor))
            yield from names.either(name, nearest, "", f"closest to the {phrase}", "nearest to")
    for name in names.plain[:-1]:
        yield from _of_the_two(names, name)


def _missing_anchor(names: Names) -> Iterator[Statement]:
    """The mug is there, the lamp beside which it should be is not."""
    words = ["next to", "beside", "near", "on top of", "closest to"]
    words += ["behind", "in front of", "to the left of", "to the right of"] if names.view.viewed else []
    for anchor in names.absent:
        for name in names.plain:
            for word in words:
                if name.word != anchor.word:
                    yield phrased(name, (), "", f"{word} the {anchor.word}", "relation")


def _of_the_two(names: Names, name: Name) -> Iterator[Statement]:
    """ "the mug behind the other one"."""
    pair = [o for o in names.view.objects if name.reading[o.id] != Truth.NO]
    if len(pair) != 2 or any(name.reading[o.id] != Truth.YES or o.id in names.view.faint for o in pair):
        return
    for o, other in (pair, pair[::-1]):
        for relation, words in _VIEWED if names.view.viewed else ():
            if relation(names.space, o, other) == Truth.YES and relation(names.space, other, o) == Truth.NO:
                tail = "other one" if names.chance(0.5) else f"other {name.word}"
                yield phrased(name, (o.id,), "", f"{words[0]} the {tail}", "other one")


def _betweens(names: Names) -> Iterator[Statement]:
    view = names.view
    anchors = [(phrase, view.by_id(ident)) for phrase, ident in names.anchors[:5]]
    for i, (first, a) in enumerate(anchors):
        for second, b in anchors[i + 1 :]:
            if a is None or b is None or a.id == b.id:
                continue
            place = {o.id: names.space.between(o, a, b) for o in view.objects}
            for name in names.besides(first, second):
                reading = both(names.others(a.id, name), names.others(b.id, name), place)
                yield from names.either(name, reading, "", f"between the {first} and the {second}", "between")


def _at_walls(names: Names) -> Iterator[Statement]:
    """ "the desk against the wall", "the plant in the corner": of things on the floor."""
    view = names.view
    if not view.walls:
        return
    near, corner = {}, {}
    for o in view.objects:
        spans = [span for (ident, _), span in view.walls.items() if ident == o.id]
        values = [Truth.YES if most < 0.12 else Truth.MAYBE if least < FAR else Truth.NO for least, most in spans]
        values.sort(reverse=True)
        near[o.id] = max(values, default=Truth.NO) if o.support == GROUND else Truth.MAYBE
        corner[o.id] = min(near[o.id], values[1] if len(values) > 1 else Truth.NO)
        if max(o.size[:2]) > 1.2:
            corner[o.id] = min(corner[o.id], Truth.MAYBE)
    for name in names.plain[:-1] + names.absent:
        if name.word not in ("door", "fireplace", "rug"):
            for words in ("against the wall", "by the wall"):
                yield from names.either(name, both(name.reading, near), "", words, "wall", True)
            yield from names.either(name, both(name.reading, corner), "", "in the corner", "corner")


def _hidden(names: Names) -> Iterator[Statement]:
    """ "the mug partly hidden behind the box"; what is in or on another is not hidden by it."""
    view = names.view
    if not view.cuts:
        return
    for phrase, ident in names.anchors:
        hider = view.by_id(ident)
        if hider is not None:
            covered = {o.id: _covered(o, hider, view) for o in view.objects}
            for name in names.besides(phrase):
                reading = both(names.others(ident, name), covered)
                for words in ("partly hidden behind", "partly covered by"):
                    yield from names.either(name, reading, "", f"{words} the {phrase}", "hidden")
    worst = {o.id: max((_covered(o, p, view) for p in view.objects), default=Truth.NO) for o in view.objects}
    for name in names.plain + names.absent:
        if sum(v == Truth.YES for v in name.reading.values()) != 1:
            for before, after in (("partly hidden", ""), ("", "that is partly hidden"), ("", "behind another thing")):
                yield from names.either(name, both(name.reading, worst), before, after, "hidden")


def _covered(o: SceneObject, hider: SceneObject, view: View) -> Truth:
    cut = view.cuts.get((o.id, hider.id), 0.0)
    if o is hider or cut < 0.03:
        return Truth.NO
    attached = o.support == hider.id or hider.support == o.id
    return Truth.YES if cut > 0.25 and not attached else Truth.MAYBE
