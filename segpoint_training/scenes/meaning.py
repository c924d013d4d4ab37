"""Four-valued meaning: for each object of a scene, does a description fit it?

A description *reads* a scene as a value per object. Parts of a description are joined by the smallest value, and
the whole is used only where no object is left in doubt: :func:`referents`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from .colour_words import canonical_colour, colours_near
from .colours import NAMES, name_indices
from .contacts import wall_distances
from .occlusion import occlusions
from .scene import GROUND, Scene, SceneObject
from .vocabulary import STANDING, Level, Noun, is_known, kind_of

MIN_POINTS = 60  # at 640 × 480: an object with fewer visible points is nothing that a sentence should ask for
MIN_SHARE, FEW = 4e-4, 20  # the same for a cloud that is no image: a share of its points, and never fewer than FEW
SECOND_COLOUR, SOME_COLOUR = 0.2, 0.08  # shares of the seen surface
BEHIND = 0.02  # the same of what stands behind a table
NO_COLOUR = ("stereo", "lidar")  # sensors whose colours mean nothing


class Truth(IntEnum):
    """How well a description fits one object."""

    NO = 0
    NEAR = 1  # not beside a better one, but nobody should claim that nothing fits
    MAYBE = 2  # people would differ
    YES = 3


Reading = Mapping[int, Truth]


@dataclass(frozen=True)
class View:
    """The objects of a scene that sentences speak of (all but what carries it), and how well each is seen."""

    objects: tuple[SceneObject, ...]
    ground: SceneObject | None  # the table, in a room the floor; None where hardly seen
    faint: frozenset[int]  # hardly visible
    cuts: Mapping[tuple[int, int], float]  # (hidden, hider) → share of the object, see `occlusions`
    tints: Mapping[int, Mapping[str, float]]  # share of each colour on what is seen of an object
    walls: Mapping[tuple[int, int], tuple[float, float]] = field(default_factory=dict)  # see `wall_distances`
    carrier: str = "table"  # what the ground is called: a table, or the floor
    is_room: bool = False
    viewed: bool = True  # from one place: left, right, in front and behind mean something
    is_coloured: bool = True
    background: Mapping[str, float] = field(default_factory=dict)  # likewise of what stands behind a table, unlabelled

    @classmethod
    def of(cls, scene: Scene) -> View:
        """What sentences need to know of a scene."""
        objects = tuple(o for o in scene.objects if o.id != GROUND)
        limit = MIN_POINTS * scene.width * scene.height / (640 * 480)
        if scene.frame != "optical":
            limit = max(FEW, MIN_SHARE * len(scene.xyz))
        is_coloured = scene.rgb is not None and scene.sensor not in NO_COLOUR
        return cls(
            objects=objects,
            ground=next((o for o in scene.objects if o.id == GROUND and o.points >= 3 * limit), None),
            faint=frozenset(o.id for o in objects if o.points < limit),
            cuts=occlusions(scene),
            tints={o.id: _tints(scene, o.id) if is_coloured else {} for o in objects},
            walls=wall_distances(scene) if scene.scale == "room" else {},
            carrier=next((o.category for o in scene.objects if o.id == GROUND), "table"),
            is_room=scene.scale == "room",
            viewed=scene.frame != "map",
            is_coloured=is_coloured,
            background=_tints(scene, 0) if is_coloured and scene.scale == "table" else {},
        )

    @property
    def covered(self) -> frozenset[int]:
        """Objects of which so much is hidden that nobody can tell their size."""
        lost = {o.id: sum(v for (hidden, _), v in self.cuts.items() if hidden == o.id) for o in self.objects}
        return frozenset(ident for ident, share in lost.items() if share > 0.35)

    def by_id(self, ident: int) -> SceneObject | None:
        """The object of that id, or None for what carries the scene and what is not in view."""
        return next((o for o in self.objects if o.id == ident), None)


@dataclass(frozen=True)
class Statement:
    """Something true about a scene: a phrase, and the ids of what it means (none: there is nothing like that)."""

    phrase: str  # without an article where ``form`` asks for one
    targets: tuple[int, ...]
    family: str  # kind of construction; families are drawn by weight
    form: str = "definite"  # or "indefinite" ("a mug"), "counted" ("all mugs"), "wish" (something to …), "sentence"
    plural: bool = False
    frames: str = "rich"  # "rich", "brief" or "bare": the more possible phrases, the fewer frames
    movable: bool = True  # can be picked up


def both(*readings: Reading) -> dict[int, Truth]:
    """The reading of a description that has all these parts."""
    return {ident: min(r[ident] for r in readings) for ident in readings[0]}


def referents(reading: Reading, view: View) -> tuple[int, ...] | None:
    """Ids that the description means, ascending; () where surely nothing fits; None where in doubt."""
    values = reading.values()
    if any(v == Truth.MAYBE for v in values):
        return None
    chosen = tuple(sorted(i for i, v in reading.items() if v == Truth.YES))
    if any(i in view.faint for i in chosen) or (not chosen and any(values)):
        return None
    return chosen


def noun_reading(noun: Noun, objects: Iterable[SceneObject]) -> dict[int, Truth]:
    """What a noun covers."""

    def value(o: SceneObject) -> Truth:
        kind = kind_of(o)
        if kind in noun.denotes:
            return Truth.YES
        if kind in noun.arguable:
            return Truth.MAYBE
        if kind in noun.near or (noun.word == "book" and _book_like(o)) or _boxy_book(noun, o):
            return Truth.NEAR
        if noun.level is Level.SUPERORDINATE and not is_known(kind):
            return Truth.MAYBE
        return Truth.NO

    return {o.id: value(o) for o in objects}


def anything(objects: Iterable[SceneObject]) -> dict[int, Truth]:
    """The reading of "object": parts of the building are none, and of a rug or a door people think differently."""
    building = {"wall": Truth.NO, "floor": Truth.NO, "door": Truth.MAYBE, "rug": Truth.MAYBE}
    return {o.id: building.get(o.category, Truth.YES) for o in objects}


def _book_like(o: SceneObject) -> bool:
    """A box thin enough to be taken for a book."""
    thin, _, long = sorted(o.size)
    return o.category in ("box", "carton", "laptop", "tablet") and thin < 0.05 and long > 0.12


def _boxy_book(noun: Noun, o: SceneObject) -> bool:
    return o.category == "book" and "box" in noun.denotes


def _tints(scene: Scene, ident: int) -> dict[str, float]:
    """Share of each colour name on the measured points of an object, or (0) on those of none."""
    pixels = np.flatnonzero((scene.instance == ident) & np.isfinite(scene.xyz[:, 2]))
    if not len(pixels) or scene.rgb is None:
        return {}
    shown = name_indices(scene.rgb[pixels[:: max(1, len(pixels) // 400)]].astype(np.float32) / 255)
    share = np.bincount(shown + 1, minlength=len(NAMES) + 1)[1:] / len(shown)
    return dict(zip(NAMES, share.tolist(), strict=True))


def colour_reading(colour: str, view: View) -> dict[int, Truth]:
    """What is of a colour; an object without a single colour name leaves it open, as does a transparent one.

    So does one of two colours (a bowl that is white inside and purple outside): it is surely neither, and no other
    colour that it shows is called absent.
    """
    colour = canonical_colour(colour)

    def value(o: SceneObject) -> Truth:
        own, tints = canonical_colour(o.colour), view.tints[o.id]
        if not own or o.category == "glass":
            return Truth.MAYBE
        if own == colour:
            second = (v for k, v in tints.items() if k not in (own, "gray") and not colours_near(k, own))
            return Truth.MAYBE if not o.printed and max(second, default=0.0) > SECOND_COLOUR else Truth.YES
        return Truth.NEAR if colours_near(own, colour) or tints.get(colour, 0.0) > SOME_COLOUR else Truth.NO

    return {o.id: value(o) for o in view.objects}


def pose_reading(pose: str, objects: Iterable[SceneObject]) -> dict[int, Truth]:
    """What lies, stands or is upside down; open for things that have no upright of their own."""

    def value(o: SceneObject) -> Truth:
        if o.category in STANDING or (pose == "upside down" and o.category == "bowl"):
            return Truth.YES if o.pose == pose else Truth.NO
        return Truth.MAYBE if pose != "upside down" else Truth.NO

    return {o.id: value(o) for o in objects}


def extreme(
    reading: Reading, objects: Sequence[SceneObject], beyond: Callable[[SceneObject, SceneObject], bool]
) -> dict[int, Truth]:
    """The one candidate that is clearly ``beyond`` all other candidates; in doubt where there is none.

    There must be two that fit for sure: nobody says "the leftmost mug" of a single one. Of nothing at all there is
    no extreme.
    """
    real = [o for o in objects if reading[o.id] >= Truth.MAYBE]
    if not real:
        return dict(reading)
    best = next((o for o in real if all(beyond(o, p) for p in real if p is not o)), None)
    sure = sum(reading[o.id] == Truth.YES for o in real)
    if sure < 2 or best is None:
        return {o.id: Truth.MAYBE for o in objects}
    return {o.id: reading[o.id] if o is best else Truth.NO for o in objects}
