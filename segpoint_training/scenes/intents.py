"""What people want instead of naming it: wishes, and the categories that fulfil them.

As for nouns, ``arguable`` categories keep a wish from being used, and ``near`` ones from being called absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .absences import family_prevalence
from .categories import HELD_OUT
from .kitchen_wishes import KITCHEN_WISHES
from .meaning import Reading, Statement, Truth, referents
from .naming import Names
from .room_wishes import GROUND_WISHES, ROOM_WISHES
from .scene import SceneObject
from .table_wishes import TABLE_WISHES
from .vocabulary import kind_of, kinds

ABSENT_WISHES = 5  # wishes that nothing fulfils, for each scene
Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Intent:
    """A wish. ``train`` and ``test`` hold its wordings: those that begin in lower case are noun phrases."""

    fulfils: frozenset[str]
    arguable: frozenset[str]
    near: frozenset[str]
    train: tuple[str, ...]
    test: tuple[str, ...]

    def wordings(self, split: str) -> tuple[str, ...]:
        """Those of a split; "open" takes the test split's."""
        return self.train if split == "train" else self.test


def _intent(row: Row) -> Intent:
    fulfils, arguable, near, train, test = row
    wordings = [tuple(" ".join(part.split()) for part in text.split("|")) for text in (train, test)]
    return Intent(kinds(fulfils), kinds(arguable), kinds(near), wordings[0], wordings[1])


INTENTS: tuple[Intent, ...] = tuple(_intent(row) for row in KITCHEN_WISHES + TABLE_WISHES + ROOM_WISHES)


def implicit_statements(names: Names) -> Iterator[Statement]:
    """Wishes that something in view fulfils, and some that nothing does."""
    view = names.view
    absent: list[tuple[Intent, float]] = []
    for intent in INTENTS:
        only_held_out = intent.fulfils <= frozenset(HELD_OUT)
        if only_held_out and names.split != "open":
            continue
        meant = referents(intent_reading(intent, view.objects), view)
        if meant:
            for text in intent.wordings(names.split):
                yield wish(text, meant, "wish")
        elif meant == ():
            absent.append((intent, family_prevalence(intent.fulfils, view.is_room, names.split)))
    total = sum(weight for _, weight in absent)
    for intent, weight in absent:
        if weight and names.chance(min(1.0, ABSENT_WISHES * weight / total)):
            for text in intent.wordings(names.split):
                yield wish(text, (), "wish")
    if view.ground is not None and not any(o.category == "rug" for o in view.objects):
        ground = "floor" if view.carrier == "floor" else "table"
        for text in GROUND_WISHES[ground, "train" if names.split == "train" else "test"]:
            yield wish(text, (view.ground.id,), "ground wish")


def wish(text: str, targets: tuple[int, ...], family: str) -> Statement:
    """A wording of an intent; noun phrases among them take frames, sentences stand alone."""
    is_phrase = text.split()[0] in ("something", "somewhere", "a", "an", "the", "some") and not text.endswith("?")
    return Statement(text, targets, family, form="wish" if is_phrase else "sentence")


def intent_reading(intent: Intent, objects: Iterable[SceneObject]) -> Reading:
    """Which objects fulfil a wish."""

    def value(kind: str) -> Truth:
        if kind in intent.fulfils:
            return Truth.YES
        return Truth.MAYBE if kind in intent.arguable else Truth.NEAR if kind in intent.near else Truth.NO

    return {o.id: value(kind_of(o)) for o in objects}
