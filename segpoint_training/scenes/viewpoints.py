"""What may be said about a scene that a moving sensor sees, and from where it is true.

The objects are all that any frame shows. What is said by noun, colour, size or use is true from everywhere, as it is
said of all of them at once ("the mug" is not said where a second mug comes into view later). It is asked of a frame
that shows each of its targets well enough (`View.faint`).

What is said by place ("the leftmost", "behind the box", "partly hidden") is compared anew from each place, with the
generator's own rules: in a frame the sentence holds where these write the same words with the same targets there, the
thing it is told by ("the box") being seen well, too. Margins are kept, so between "left of" and "right of" come frames
in which neither is said.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from segpoint_training.scenes.instructions import draw_instructions, statements_of
from segpoint_training.scenes.meaning import View
from segpoint_training.scenes.naming import Names
from segpoint_training.scenes.places import spatial_statements
from segpoint_training.scenes.scene import GROUND, Instruction, SceneObject

_COUNT = 16  # instructions of a scene, as of a still one
_OFTEN = 0.3  # of the frames an instruction holds in, at least


@dataclass(frozen=True)
class Frame:
    """What sentences need to know of one frame.

    objects: all of the scene, in the frame's level frame, with points and colour as seen here.   view: of those seen.
    """

    objects: tuple[SceneObject, ...]
    view: View


@dataclass(frozen=True)
class Held:
    """An instruction, and the numbers of the frames in which it holds."""

    instruction: Instruction
    frames: tuple[int, ...]


def instructions_of_frames(
    frames: Sequence[Frame], middle: Sequence[SceneObject], rng: np.random.Generator, split: str
) -> list[Held]:
    """Instructions for a scene seen by ``frames``, each with those it holds in; ``middle``: its objects in the map."""
    view = _together(frames, middle)
    names = _SettledNames(view, rng, split)
    views = [_seen_from(frame, view) for frame in frames]
    wide = {thing.id: np.array([thing.id not in v.faint for v in views]) for thing in view.objects}
    wide[GROUND] = np.array([v.ground is not None for v in views])
    said: dict[tuple[str, tuple[int, ...]], np.ndarray] = defaultdict(lambda: np.zeros(len(frames), bool))
    for number, frame_view in enumerate(views):
        for statement in spatial_statements(names.from_view(frame_view)):
            said[statement.phrase, statement.targets][number] = True

    def holds(kind: str, phrase: str, targets: tuple[int, ...]) -> np.ndarray:
        shown = np.logical_and.reduce([wide[i] for i in targets]) if targets else np.ones(len(frames), bool)
        return shown & said[phrase, targets] if kind == "spatial" else shown

    often = {}
    for kind, statement in statements_of(names):
        where = holds(kind, statement.phrase, statement.targets)
        if where.mean() >= _OFTEN:
            often[kind, statement] = where
    places = {statement: where for (_, statement), where in often.items()}
    drawn = draw_instructions(often, (*view.objects, *_grounds(view)), rng, split, _COUNT)
    return [Held(said_, tuple(np.flatnonzero(places[statement]).tolist())) for said_, statement in drawn]


class _SettledNames(Names):
    """Names that leave nothing to chance once they are made, so that the same words come from each place."""

    def one_of(self, options: Iterable[str]) -> str:
        words = list(options)
        return words[crc32("|".join(words).encode()) % len(words)]

    def chance(self, probability: float) -> bool:
        return True

    def from_view(self, view: View) -> _SettledNames:
        """The same names for the same things, seen from elsewhere; told by those only that are seen there."""
        anchors = [(phrase, ident) for phrase, ident in self.anchors if ident not in view.faint]
        other = copy.copy(self)
        other.view = view
        other.__dict__["anchors"] = anchors  # in place of the cached one
        return other


def _together(frames: Sequence[Frame], middle: Sequence[SceneObject]) -> View:
    """One view of all that the frames show: each object as the frame sees it that shows the most of it."""
    best: dict[int, tuple[SceneObject, View]] = {}
    for frame in frames:
        for thing in frame.view.objects:
            if thing.id not in best or thing.points > best[thing.id][0].points:
                best[thing.id] = thing, frame.view
    first = frames[0].view
    views = [frame.view for frame in frames]
    colours = {name for view in views for name in view.background}
    return View(
        objects=tuple(
            replace(thing, points=best[thing.id][0].points, colour=best[thing.id][0].colour)
            for thing in middle
            if thing.id in best
        ),
        ground=next((view.ground for view in views if view.ground), None),
        faint=frozenset(i for i in best if all(i in view.faint or view.by_id(i) is None for view in views)),
        cuts={key: max(view.cuts.get(key, 0.0) for view in views) for key in {k for view in views for k in view.cuts}},
        tints={i: view.tints[i] for i, (_, view) in best.items()},
        walls={key: value for view in reversed(views) for key, value in view.walls.items()},
        carrier=first.carrier,
        is_room=first.is_room,
        viewed=first.viewed,
        is_coloured=first.is_coloured,
        background={name: max(view.background.get(name, 0.0) for view in views) for name in sorted(colours)},
    )


def _seen_from(frame: Frame, together: View) -> View:
    """All objects as they lie before this frame's sensor, with what it hides and hardly shows."""
    here = {thing.id: thing for thing in frame.objects}
    objects = tuple(replace(o, centre=here[o.id].centre, size=here[o.id].size) for o in together.objects)
    unseen = {o.id for o in objects if frame.view.by_id(o.id) is None}
    return replace(
        together,
        objects=objects,
        ground=frame.view.ground,
        faint=frozenset(frame.view.faint | unseen),
        cuts=frame.view.cuts,
    )


def _grounds(view: View) -> tuple[SceneObject, ...]:
    return (view.ground,) if view.ground else ()
