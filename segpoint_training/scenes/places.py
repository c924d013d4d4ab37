"""Descriptions by place, in the sensor's view: extremes, rows, piles, and relations to other things."""

from __future__ import annotations

from collections.abc import Iterator

from .meaning import Statement, Truth, View, both, extreme
from .naming import Name, Names
from .relations import (
    behind,
    between,
    closer,
    closer_to,
    farther,
    further_left,
    further_right,
    holds,
    in_front_of,
    in_order,
    left_of,
    next_to,
    right_of,
    stacks,
    supports,
)  # fmt: skip
from .scene import SceneObject
from .vocabulary import STACKABLE, Level

# Comparator, phrases for the extreme of a group (before, after), and for a group of two only.
_EXTREMES = (
    (further_left, (("leftmost", ""), ("", "furthest to the left")), (("left", ""), ("", "on the left"))),
    (further_right, (("rightmost", ""), ("", "furthest to the right")), (("right", ""), ("", "on the right"))),
    (closer, (("closest", ""), ("nearest", ""), ("", "closest to the camera"), ("", "nearest to me"), ("", "in front")),
     (("front", ""),)),
    (farther, (("", "farthest from the camera"), ("farthest", ""), ("", "furthest away"), ("", "in the back"),
               ("", "at the back")), (("back", ""),)),
)  # fmt: skip
_RELATIONS = (
    (left_of, ("to the left of", "left of")),
    (right_of, ("to the right of", "right of")),
    (behind, ("behind",)),
    (in_front_of, ("in front of",)),
    (next_to, ("next to", "beside", "near")),
)


def spatial_statements(names: Names) -> Iterator[Statement]:
    """Everything to be said about this scene by where things are."""
    yield from _extremes(names)
    yield from _rows(names)
    yield from _piles(names)
    yield from _supported(names)
    yield from _relations(names)
    yield from _betweens(names)
    yield from _hidden(names)


def _others(names: Names, anchor: int, name: Name) -> dict[int, Truth]:
    """The noun's reading without the anchor itself."""
    return {i: Truth.NO if i == anchor else v for i, v in name.reading.items()}


def _extremes(names: Names) -> Iterator[Statement]:
    for name in names.plain + [n for n in names.nouns if n.level is Level.SUPERORDINATE]:
        count = sum(v >= Truth.MAYBE for v in name.reading.values())
        for beyond, phrases, of_two in _EXTREMES:
            reading = extreme(name.reading, names.view.objects, beyond)
            for before, after in phrases + (of_two if count == 2 else ()):
                yield from names.statement(name, reading, before, after, "extreme")
    for name in names.plain[:-1]:
        for colour in names.colours():
            coloured = names.coloured(name, colour)
            for beyond, phrases, _ in _EXTREMES:
                reading = extreme(coloured, names.view.objects, beyond)
                before, after = phrases[0]
                before = f"{before} {colour}" if before else colour
                yield from names.statement(name, reading, before, after, "extreme of colour")


def _rows(names: Names) -> Iterator[Statement]:
    """ "the middle mug", "the second box from the left"."""
    for name in names.plain:
        if any(v == Truth.MAYBE for v in name.reading.values()):
            continue
        group = [o for o in names.view.objects if name.reading[o.id] == Truth.YES]
        row = in_order(group) if 3 <= len(group) <= 6 else None
        if row is None:
            continue
        places = [(row[1], "second", "from the left"), (row[-2], "second", "from the right")]
        if len(row) == 3:
            places = [(row[1], "middle", ""), (row[1], "", "in the middle")] + places[:1]
        for o, before, after in places:
            if o.id not in names.view.faint:
                phrase = " ".join(part for part in (before, name.word, after) if part)
                yield Statement(phrase, (o.id,), "row", frames="brief")


def _piles(names: Names) -> Iterator[Statement]:
    piles = stacks(names.view)
    if len(piles) != 1 or not _looks_stacked(piles[0]):
        return
    pile = piles[0]
    for name in names.plain:
        inside = [o for o in pile if name.reading[o.id] == Truth.YES]
        if any(name.reading[o.id] in (Truth.MAYBE, Truth.NEAR) for o in pile):
            continue
        yield from _pile_ends(names, name, pile)
        if len(pile) >= 3 and len(inside) == len(pile):
            yield from _placed(names, name, pile[-1], "", "on top of the others", "pile")
            if len(pile) == 3:
                yield from _placed(names, name, pile[1], "", "in the middle of the stack", "pile")
        if len(pile) == 2 and len(inside) == 2 and name.level is Level.MAIN:
            yield from _placed(names, name, pile[1], "upper", "", "pile")
            yield from _placed(names, name, pile[0], "lower", "", "pile")
        if len(inside) == len(pile) and name.level is Level.MAIN and not names.view.faint & {o.id for o in pile}:
            ids = tuple(sorted(o.id for o in pile))
            yield Statement(f"{name.plural} in the stack", ids, "pile", plural=True, frames="brief")
    if not names.view.faint & {o.id for o in pile}:
        yield Statement("stack", tuple(sorted(o.id for o in pile)), "pile", frames="brief")


def _looks_stacked(pile: list[SceneObject]) -> bool:
    return all(o.category in STACKABLE for o in pile) or len({o.category for o in pile}) == 1


def _pile_ends(names: Names, name: Name, pile: list[SceneObject]) -> Iterator[Statement]:
    ends = ((pile[-1], "top", "on top of the stack"), (pile[0], "bottom", "at the bottom of the stack"))
    for o, word, clause in ends:
        if name.reading[o.id] != Truth.YES:
            continue
        yield from _placed(names, name, o, "", clause, "pile")
        if sum(name.reading[p.id] == Truth.YES for p in pile) > 1 and name.level is Level.MAIN:
            yield from _placed(names, name, o, word, "", "pile")
            yield from _placed(names, name, o, "", "on the very top" if word == "top" else "at the very bottom", "pile")


def _placed(names: Names, name: Name, o: SceneObject, before: str, after: str, family: str) -> Iterator[Statement]:
    if o.id not in names.view.faint:
        phrase = " ".join(part for part in (before, name.word, after) if part)
        yield Statement(phrase, (o.id,), family, frames="brief")


def _supported(names: Names) -> Iterator[Statement]:
    """On, in and under other things."""
    view = names.view
    for phrase, ident in names.anchors:
        anchor = view.by_id(ident)
        if anchor is None:
            continue
        above = {o.id: supports(anchor, o, view) for o in view.objects}
        under = {o.id: supports(o, anchor, view) for o in view.objects}
        for name in names.plain:
            others = _others(names, ident, name)
            for word in ("in", "inside") if holds(anchor) else ("on top of", "on"):
                reading = both(others, above)
                yield from names.statement(name, reading, "", f"{word} the {phrase}", "support", plural_too=True)
            carrier = view.by_id(anchor.support)
            if carrier is not None and not holds(carrier):
                reading = both(others, under)
                yield from names.statement(name, reading, "", f"under the {phrase}", "support")
    loaded = {o.id: _loaded(o, names) for o in view.objects}
    for name in names.plain:
        reading = both(name.reading, loaded)
        carrier = next((o for o in view.objects if reading[o.id] == Truth.YES), None)
        if carrier is not None:
            clause = "with something in it" if holds(carrier) else "with something on it"
            yield from names.statement(name, reading, "", clause, "support")


def _loaded(o: SceneObject, names: Names) -> Truth:
    return Truth.YES if any(p.support == o.id for p in names.view.objects) else Truth.NO


def _relations(names: Names) -> Iterator[Statement]:
    view = names.view
    for phrase, ident in names.anchors:
        anchor = view.by_id(ident)
        if anchor is None:
            continue
        for name in names.plain:
            others = _others(names, ident, name)
            for relation, words in _RELATIONS:
                reading = both(others, {o.id: relation(o, anchor) for o in view.objects})
                word = words[int(names.rng.integers(len(words)))]
                # Of several "objects behind the box", people differ on how many count: one, or none.
                yield from names.statement(name, reading, "", f"{word} the {phrase}", "relation")
            reading = extreme(others, view.objects, closer_to(anchor))
            yield from names.statement(name, reading, "", f"closest to the {phrase}", "nearest to")
    for name in names.plain[:-1]:
        yield from _of_the_two(names, name)


def _of_the_two(names: Names, name: Name) -> Iterator[Statement]:
    """ "the mug behind the other one"."""
    pair = [o for o in names.view.objects if name.reading[o.id] != Truth.NO]
    if len(pair) != 2 or any(name.reading[o.id] != Truth.YES or o.id in names.view.faint for o in pair):
        return
    for o, other in (pair, pair[::-1]):
        for relation, words in _RELATIONS[:4]:
            if relation(o, other) == Truth.YES and relation(other, o) == Truth.NO:
                tail = "other one" if names.rng.random() < 0.5 else f"other {name.word}"
                yield Statement(f"{name.word} {words[0]} the {tail}", (o.id,), "other one", frames="brief")


def _betweens(names: Names) -> Iterator[Statement]:
    anchors = [(phrase, names.view.by_id(ident)) for phrase, ident in names.anchors]
    for i, (first, a) in enumerate(anchors):
        for second, b in anchors[i + 1 :]:
            if a is None or b is None or a.id == b.id:
                continue
            place = {o.id: between(o, a, b) for o in names.view.objects}
            for name in names.plain:
                reading = both(_others(names, a.id, name), _others(names, b.id, name), place)
                yield from names.statement(name, reading, "", f"between the {first} and the {second}", "between")


def _hidden(names: Names) -> Iterator[Statement]:
    """ "the mug partly hidden behind the box"; what is in or on another is not hidden by it."""
    view = names.view
    for hider in view.objects:
        covered = {o.id: _covered(o, hider, view) for o in view.objects}
        for phrase, ident in [(p, i) for p, i in names.anchors if i == hider.id]:
            for name in names.plain:
                reading = both(_others(names, ident, name), covered)
                for words in ("partly hidden behind", "partly covered by"):
                    yield from names.statement(name, reading, "", f"{words} the {phrase}", "hidden")
    worst = {o.id: max(_covered(o, p, view) for p in view.objects) for o in view.objects}
    for name in names.plain:
        if sum(v == Truth.YES for v in name.reading.values()) > 1:
            for before, after in (("partly hidden", ""), ("", "that is partly hidden"), ("", "behind another thing")):
                yield from names.statement(name, both(name.reading, worst), before, after, "hidden")


def _covered(o: SceneObject, hider: SceneObject, view: View) -> Truth:
    cut = view.cuts.get((o.id, hider.id), 0.0)
    if o is hider or cut < 0.03:
        return Truth.NO
    attached = o.support == hider.id or hider.support == o.id
    return Truth.YES if cut > 0.25 and not attached else Truth.MAYBE
