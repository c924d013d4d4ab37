"""Instructions for a scene: sentences, and exactly the objects that a careful person would mark for each.

Rules we chose:

* a noun without anything that tells its objects apart means all of them ("the box" where three stand: all three);
  we write that seldom, and the plural mostly. A *relation* ("the box behind the mug") must fit exactly one object,
  or be said in the plural;
* left, right, in front and behind are in the sensor's view, and never said of a map; "the leftmost object" is never
  the table or a wall;
* whatever depends on a doubtful case is not written (:mod:`.meaning`); objects of very few points are never asked
  for, and sentences that would mean them, too, are left out;
* what is not there is said in the same constructions, words and frames as what is, and as often: neither a noun nor
  a frame tells whether there is a target;
* the answer is the category word, for several categories their narrowest common word, for no target "".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from segpoint.errors import SegPointError

from .attributes import attribute_statements
from .categories import HELD_OUT
from .intents import implicit_statements
from .meaning import Statement, View, referents
from .naming import Name, Names, phrased
from .phrasing import FRAMES, say
from .places import spatial_statements
from .scene import GROUND, Instruction, Scene, SceneObject
from .vocabulary import Level, Number, answer_word

MIX = {"category": 0.18, "attribute": 0.20, "spatial": 0.26, "implicit": 0.12, "zero-target": 0.24}
HELD_OUT_FIRST = 0.8  # in "open": how often what is meant must hold an object of a held-out category
# How often each family is drawn within its kind, 1 where not named; families that a scene lacks drop out.
FAMILY_WEIGHT = {
    "noun": 6.0, "all": 4.0, "several": 1.0, "general": 2.0, "ground": 0.5,
    "colour": 4.0, "colour of anything": 1.2, "size": 3.0, "size and colour": 1.2, "print": 0.4, "shape": 0.5,
    "two colours": 0.5, "count": 1.2,
    "extreme": 4.0, "extreme of colour": 0.7, "relation": 3.0, "support": 1.5, "pile": 1.5, "nearest to": 1.0,
    "hidden": 1.0, "between": 0.7, "row": 1.2, "carrier": 0.4, "on the ground": 0.7, "other one": 0.6,
    "wall": 0.7, "corner": 0.5,
    "wish": 6.0, "ground wish": 0.5,
}  # fmt: skip
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
_GROUND_WORDS = {"table": "tabletop", "floor": "ground"}
MOST_ZERO = 0.4  # share of zero-targets in a scene of which little else is to be said
Families = dict[str, list[Statement]]


def write_instructions(
    scene: Scene, rng: np.random.Generator, split: str = "train", count: int = 16
) -> list[Instruction]:
    """Up to ``count`` different instructions for the scene, about in the shares of ``MIX``.

    ``split`` is "train", "test" or "open": sentence frames and wordings of wishes of the last two never occur in the
    first; held-out categories are named in "open" alone, and come first there. The same scene, generator state and
    split give the same instructions. A scene with little to say gives fewer. Raises SegPointError for another split.
    """
    if split not in FRAMES:
        raise SegPointError(f"split must be one of {tuple(FRAMES)}, got {split!r}")
    statements = statements_of(Names(View.of(scene), rng, split))
    return [instruction for instruction, _ in draw_instructions(statements, scene.objects, rng, split, count)]


def statements_of(names: Names) -> list[tuple[str, Statement]]:
    """All that is to be said about a view, with its kind; without targets, the kind that it denies."""
    kinds = {
        "category": _category(names),
        "attribute": attribute_statements(names),
        "spatial": spatial_statements(names),
        "implicit": implicit_statements(names),
    }
    return [(kind, statement) for kind, statements in kinds.items() for statement in statements]


def draw_instructions(
    statements: Iterable[tuple[str, Statement]],
    objects: Sequence[SceneObject],
    rng: np.random.Generator,
    split: str,
    count: int,
) -> list[tuple[Instruction, Statement]]:
    """Up to ``count`` of the statements about ``objects`` as sentences, about in the shares of ``MIX``."""
    there, missing = _pools(statements)
    held_out = {o.id for o in objects if o.category in HELD_OUT} if split == "open" else set()
    categories = {o.id: o.category for o in objects}
    written: dict[str, tuple[Instruction, Statement]] = {}
    phrases: set[str] = set()
    zeros = 0
    while len(written) < count and (any(there.values()) or any(missing.values())):
        kind = _draw_kind(there, missing if zeros < MOST_ZERO * count else {}, rng)
        if not kind:
            break
        if kind == "zero-target":
            statement = _draw(missing[_draw_kind(missing, {}, rng)], rng, set())
        else:
            statement = _draw(there[kind], rng, held_out if rng.random() < HELD_OUT_FIRST else set())
        text = say(statement, split, rng)
        if text in written or statement.phrase in phrases:
            continue
        phrases.add(statement.phrase)
        zeros += not statement.targets
        answer = answer_word({categories[i] for i in statement.targets}) if statement.targets else ""
        written[text] = Instruction(text, kind, statement.targets, answer), statement
    return list(written.values())


def _pools(statements: Iterable[tuple[str, Statement]]) -> tuple[dict[str, Families], dict[str, Families]]:
    """By kind and family: those with targets, and those without, by the kind that they deny."""
    there: dict[str, Families] = {kind: {} for kind in MIX if kind != "zero-target"}
    missing: dict[str, Families] = {kind: {} for kind in there}
    for kind, statement in statements:
        families = there[kind] if statement.targets else missing[kind]
        families.setdefault(statement.family, []).append(statement)
    return there, missing


def _draw_kind(there: dict[str, Families], missing: dict[str, Families], rng: np.random.Generator) -> str:
    """A kind that still has statements, by its share; "" where none has."""
    kinds = [kind for kind in MIX if there.get(kind) or (kind == "zero-target" and any(missing.values()))]
    if not kinds:
        return ""
    weights = np.array([MIX[kind] for kind in kinds])
    return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]


def _draw(families: Families, rng: np.random.Generator, wanted: set[int]) -> Statement:
    """Take one statement out of the pool: a family by weight, then any of it; one about a wanted object if there is."""
    options = {word: [i for i, s in enumerate(v) if wanted & set(s.targets)] for word, v in families.items()}
    options = {word: v for word, v in options.items() if v} or {w: list(range(len(v))) for w, v in families.items()}
    words = list(options)
    weights = np.array([FAMILY_WEIGHT.get(word, 1.0) for word in words])
    word = words[int(rng.choice(len(words), p=weights / weights.sum()))]
    statement = families[word].pop(options[word][int(rng.integers(len(options[word])))])
    if not families[word]:
        del families[word]
    return statement


def _category(names: Names) -> Iterator[Statement]:
    """Plain nouns: "the mug", "the mugs", "all the boxes on the table"; and of what is not there."""
    view = names.view
    if view.ground is not None:
        for word in (view.carrier, view.carrier, _GROUND_WORDS.get(view.carrier, view.carrier)):
            yield Statement(word, (view.ground.id,), "ground", movable=False)
    on_ground = {o.id for o in view.objects if o.support == GROUND}
    for name in names.any_name():
        if (meant := referents(name.reading, view)) and not (view.is_room and name.word in ("thing", "item")):
            yield from _named(names, name, meant, set(meant) <= on_ground)
    for name in names.absent_nouns:
        yield from _named(names, name, (), True)


def _named(names: Names, name: Name, meant: tuple[int, ...], on_ground: bool) -> Iterator[Statement]:
    """The noun in all its forms; where nothing is meant, in those for one thing or for several."""
    is_general = name.is_general
    count = len(meant) or (1 if names.chance(0.3 if is_general else 0.6) else int(names.rng.integers(2, 4)))
    family = "general" if is_general else "noun" if count == 1 else "all"
    frames = "rich" if name.level is Level.MAIN else "brief"
    ground = f"on the {names.view.carrier}"
    counts = name.number is Number.COUNT
    are = name.number is Number.PAIR or (counts and count > 1)

    def statement(phrase: str, form: str, plural: bool, family: str = family, frames: str = "brief") -> Statement:
        return Statement(phrase, meant, family, form, plural, frames, name.movable)

    if count == 1:
        yield statement(name.word, "definite", are, frames=frames)
        yield statement(name.word, "indefinite", are)
    else:
        every = [f"all the {name.plural}", f"all {name.plural}"]
        if counts:
            every += [f"every {name.word}", f"all of the {name.plural}"]
            if count in _NUMBERS:
                every.append(f"both {name.plural}" if count == 2 else f"all {_NUMBERS[count]} {name.plural}")
        phrase = names.one_of(every)
        yield statement(name.plural, "definite", are, frames=frames)
        yield statement(phrase, "counted", are and not phrase.startswith("every"))
        if counts and not is_general:
            yield statement(name.word, "definite", False, "several", frames)
    if on_ground and name.level is Level.MAIN and name.movable:
        yield phrased(name, meant, "", ground, family, plural=count > 1)
        if count > 1:
            yield statement(f"all the {name.plural} {ground}", "counted", are)
