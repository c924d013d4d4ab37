"""Instructions for a scene: sentences, and exactly the objects that a careful person would mark for each.

Rules we chose:

* a noun without anything that tells its objects apart means all of them ("the box" where three stand: all three);
  we write that seldom, and the plural mostly. A *relation* ("the box behind the mug") must fit exactly one object,
  or be said in the plural;
* left, right, in front and behind are in the sensor's view; "the leftmost object" is never the table;
* whatever depends on a doubtful case is not written (:mod:`.meaning`); objects of very few points are never asked
  for, and sentences that would mean them, too, are left out;
* the answer is the category word, for several categories their narrowest common word, for no target "".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .absences import wish, zero_statements
from .attributes import attribute_statements
from .intents import INTENTS, TABLE_WISHES, intent_reading
from .meaning import TABLE, Statement, View, referents
from .naming import Names
from .phrasing import say
from .places import spatial_statements
from .scene import Instruction, Scene
from .vocabulary import Level, answer_word

MIX = {"category": 0.20, "attribute": 0.22, "spatial": 0.28, "implicit": 0.12, "zero-target": 0.18}
# How often each family is drawn within its kind, 1 where not named; families that a scene lacks drop out.
FAMILY_WEIGHT = {
    "noun": 6.0, "all": 4.0, "several": 1.0, "general": 1.2, "table": 0.6,
    "colour": 4.0, "colour of anything": 1.5, "size": 3.0, "size and colour": 1.5, "print": 0.5, "material": 1.0,
    "extreme": 4.0, "extreme of colour": 0.7, "relation": 3.0, "support": 2.0, "pile": 2.0, "nearest to": 1.0,
    "hidden": 1.5, "between": 0.7, "row": 1.5,
    "wish": 6.0, "table wish": 0.5,
    "absent look-alike": 5.0, "absent category": 4.0, "absent coloured": 1.5, "colour of another": 4.0,
    "absent colour": 1.5, "absent support": 1.0, "absent beside": 1.0, "absent extreme": 0.6, "absent wish": 3.0,
}  # fmt: skip
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


def write_instructions(
    scene: Scene, rng: np.random.Generator, split: str = "train", count: int = 16
) -> list[Instruction]:
    """Up to ``count`` different instructions for the scene, about in the shares of ``MIX``.

    ``split`` is "train" or "test": their sentence frames and wordings of wishes are disjoint. The same scene,
    generator state and split give the same instructions. A scene with little to say gives fewer.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    view = View.of(scene)
    names = Names(view, rng)
    pools = {
        "category": _by_family(_category(names)),
        "attribute": _by_family(attribute_statements(names)),
        "spatial": _by_family(spatial_statements(names)),
        "implicit": _by_family(_implicit(names, split)),
        "zero-target": _by_family(zero_statements(names, split)),
    }
    categories = {o.id: o.category for o in scene.objects}
    written: dict[str, Instruction] = {}
    phrases: set[str] = set()
    while len(written) < count and any(pools.values()):
        kinds = [kind for kind in MIX if pools[kind]]
        weights = np.array([MIX[kind] for kind in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        statement = _draw(pools[kind], rng)
        text = say(statement, split, rng)
        if text in written or statement.phrase in phrases:
            continue
        phrases.add(statement.phrase)
        answer = answer_word({categories[i] for i in statement.targets}) if statement.targets else ""
        written[text] = Instruction(text, kind, statement.targets, answer)
    return list(written.values())


def _by_family(statements: Iterator[Statement]) -> dict[str, list[Statement]]:
    families: dict[str, list[Statement]] = {}
    for statement in statements:
        families.setdefault(statement.family, []).append(statement)
    return families


def _draw(families: dict[str, list[Statement]], rng: np.random.Generator) -> Statement:
    """Take one statement out of the pool: a family by weight, then any of it."""
    words = list(families)
    weights = np.array([FAMILY_WEIGHT.get(word, 1.0) for word in words])
    word = words[int(rng.choice(len(words), p=weights / weights.sum()))]
    statement = families[word].pop(int(rng.integers(len(families[word]))))
    if not families[word]:
        del families[word]
    return statement


def _category(names: Names) -> Iterator[Statement]:
    """Plain nouns: "the mug", "the mugs", "all the boxes on the table"."""
    view = names.view
    if view.table is not None:
        for word in ("table", "table", "tabletop"):
            yield Statement(word, (view.table.id,), "table", movable=False)
    on_table = {o.id for o in view.objects if o.support == TABLE}
    for name in names.any_name():
        meant = referents(name.reading, view)
        if not meant:
            continue
        everyday = name.level is not Level.SUPERORDINATE
        family = ("noun" if len(meant) == 1 else "all") if everyday else "general"
        frames = "rich" if name.level is Level.MAIN else "brief"
        if len(meant) == 1:
            yield Statement(name.word, meant, family, frames=frames)
            yield Statement(name.word, meant, family, form="indefinite", frames="brief")
        else:
            number = _NUMBERS.get(len(meant))
            every = [f"all the {name.plural}", f"all {name.plural}", f"every {name.word}"]
            every += [f"both {name.plural}"] if len(meant) == 2 else [f"all {number} {name.plural}"] if number else []
            yield Statement(name.plural, meant, family, plural=True, frames=frames)
            phrase = every[int(names.rng.integers(len(every)))]
            several = not phrase.startswith("every")
            yield Statement(phrase, meant, family, form="counted", plural=several, frames="brief")
            if everyday:
                yield Statement(name.word, meant, "several", frames=frames)
        if set(meant) <= on_table and name.level is not Level.SYNONYM:
            if len(meant) == 1:
                yield Statement(f"{name.word} on the table", meant, family, frames="brief")
            else:
                yield Statement(f"{name.plural} on the table", meant, family, plural=True, frames="brief")
                phrase = f"all the {name.plural} on the table"
                yield Statement(phrase, meant, family, form="counted", plural=True, frames="brief")


def _implicit(names: Names, split: str) -> Iterator[Statement]:
    """Wishes that something in view fulfils."""
    for intent in INTENTS:
        meant = referents(intent_reading(intent, names.view.objects), names.view)
        if meant:
            for text in intent.train if split == "train" else intent.test:
                yield wish(text, meant, "wish")
    if names.view.table is not None:
        for text in TABLE_WISHES[split]:
            yield wish(text, (names.view.table.id,), "table wish")
