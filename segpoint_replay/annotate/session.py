"""What a person does to a bag's clouds, one action after the other; each is on disk when it returns, and can be undone.

The page (`server`) calls these; so does anything else that is to label a bag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from segpoint.errors import SegPointError
from segpoint.prompts import normalise
from segpoint_replay.annotate.ahead import Ahead
from segpoint_replay.annotate.asked import Asked
from segpoint_replay.annotate.clicks import clicked, follow
from segpoint_replay.annotate.clouds import Clouds, View
from segpoint_replay.annotate.folder import Folder
from segpoint_replay.annotate.history import Before, runs
from segpoint_replay.annotate.masks import finite, resized
from segpoint_replay.annotate.proposal import CARRIED, CLICK, REVIEW, SENTENCE, Part, Proposal, parts_of, same_object

MOST_OBJECTS = 254
_UNDOABLE = 100
_MOST_STEPS = 50  # that a mask is grown or shrunk by


class Session:
    """A person at work on a bag. place: the cloud at hand, among ``clouds.numbers``.   label: (M,) int32, its objects.
    proposal: what waits for a yes.   troubles: clouds that could not be begun with, a line each."""

    def __init__(self, clouds: Clouds, folder: Folder) -> None:
        self.clouds, self.folder = clouds, folder
        self._ahead = Ahead(clouds)
        self.proposal: Proposal | None = None
        self._undo: list[Before] = []
        self.place, self.label = 0, np.zeros(0, np.int32)
        if odd := [n for n, at in folder.received.items() if clouds.recording.received[n : n + 1] != (at,)]:
            raise SegPointError(f"{folder.bag}: its cloud {odd[0]} is another recording's; give another --out")
        self.troubles: list[str] = []
        self._begin()

    @property
    def view(self) -> View:
        return self.clouds.view(self.place)

    @property
    def number(self) -> int:
        return self.clouds.numbers[self.place]

    @property
    def undoable(self) -> int:
        return len(self._undo)

    def is_done(self, place: int) -> bool:
        """Whether a cloud is in the data set."""
        return self.clouds.numbers[place] in self.folder.received

    def to_review(self, place: int) -> bool:
        """Whether a cloud has objects that the model has marked and nobody has seen."""
        return bool(self.folder.proposed.get(self.clouds.numbers[place]))

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Around an action: where it fails, on a full disk say, everything is as it was before."""
        kept, undo = (self.place, self.label, self.proposal and self.proposal.copy()), list(self._undo)
        try:
            with self.folder.all_or_nothing():
                yield
        except BaseException:
            (self.place, self.label, self.proposal), self._undo = kept, undo
            raise

    # --- from cloud to cloud ------------------------------------------------------------------------------------------

    def go(self, place: int) -> None:
        """To another cloud. To a new one, the objects of the one that is left are carried over as a proposal."""
        if not 0 <= place < len(self.clouds):
            raise SegPointError(f"there is no cloud {place}: they are 0 to {len(self.clouds) - 1}")
        left = (self.view, self.label) if len(self.label) and self.is_done(self.place) and place != self.place else None
        view, label = self.clouds.view(place), self.folder.labels(self.clouds.numbers[place])
        self.place, self.proposal = place, None
        self.label = np.zeros(len(view.xyz), np.int32) if label is None else label
        if self.to_review(place):
            only = list(self.folder.proposed[self.number])
            self.proposal = Proposal(REVIEW, {"model": parts_of(self.label, self.folder.objects, only)}, "model")
        elif label is None:
            self.carry(left or self._annotated_before())

    def _begin(self) -> None:
        """At the first cloud with something to do that can be read. Raises SegPointError where none can be."""
        for place in sorted(range(len(self.clouds)), key=lambda p: self.is_done(p) and not self.to_review(p)):
            try:
                return self.go(place)
            except SegPointError as error:
                self.troubles.append(str(error))
        raise SegPointError(f"{self.clouds.recording.path}: none of the clouds can be labelled ({self.troubles[0]})")

    def step(self, way: int) -> None:
        """To the next cloud that can be read, or with −1 to the one before; at the end nothing happens."""
        place = self.place + way
        while 0 <= place < len(self.clouds):
            with suppress(SegPointError):
                return self.go(place)
            place += way

    def carry(self, before: tuple[View, np.ndarray] | None = None) -> None:
        """Propose the objects of another cloud for this one, by default those of the last annotated one before it."""
        before = before or self._annotated_before()
        if before is None or not before[1].any():
            return
        carried = np.where(self.label > 0, 0, self._ahead.carried(*before, self.place))
        here = np.unique(self.label)
        missing = [n for n in np.unique(carried[carried > 0]).tolist() if n not in here]
        if missing:
            self.proposal = Proposal(CARRIED, {"carried": parts_of(carried, self.folder.objects, missing)}, "carried")

    def look_ahead(self) -> None:
        """Begin in the background with what `finish` will need: the next cloud, and what is carried over to it if what
        is there and what is proposed stay as they are."""
        place = self.place + 1
        self.clouds.read_ahead(place)
        if place == len(self.clouds) or self.is_done(place):
            return
        parts = self.proposal.taken(self.view.xyz) if self.proposal is not None else []
        if all(part.object for part in parts):  # a new one has no number yet
            label = self._merged((part.object, part.mask) for part in parts) if parts else self.label
            if label.any():
                self._ahead.prepare(self.view, label, place)

    def finish(self) -> None:
        """Take what is proposed, call the cloud annotated, whatever is on it, and go to the next."""
        if self.proposal is not None:
            self.accept()
        if not self.is_done(self.place):
            self._put([])
        self.step(1)

    def drop(self) -> None:
        """Take this cloud out of the data set, with all that is marked on it."""
        if self.is_done(self.place):
            self._remember([self.place])
            self.folder.remove(self.number)
            self.folder.save()
        self.label, self.proposal = np.zeros_like(self.label), None

    # --- proposals ----------------------------------------------------------------------------------------------------

    def click(self, x: float, y: float) -> None:
        """Propose the thing at a pixel; once one is proposed by a click, that and what is at this pixel."""
        point = self.view.picture.point_at(x, y)
        if point is None:
            raise SegPointError("there is no point there: the camera has no depth at that place")
        self.proposal = clicked(self.view, point, self.proposal, self.label)

    def propose(self, text: str, clicks: Sequence[int], parts: Sequence[Part]) -> None:
        """What the model says to a sentence, or to the clicks of the proposal at hand, which stay as they were."""
        found = [part.named(text) for part in parts]
        if not clicks:
            self.proposal = Proposal(SENTENCE, {"model": found}, "model", text)
            return
        proposal = self.proposal
        if proposal is None or proposal.clicks != list(clicks):
            return  # answered or taken back meanwhile
        follow(proposal, found, self.label)

    def toggle(self, x: float, y: float) -> bool:
        """Leave out or take in again the proposed part at a pixel; False where there is none."""
        point, proposal = self.view.picture.point_at(x, y, reach=0), self.proposal
        if point is None or proposal is None or proposal.source == CLICK:
            return False
        part = int(proposal.layer(self.view.xyz)[point])
        if part:
            proposal.out ^= {part - 1}
        return bool(part)

    def show_next(self) -> None:
        """Another of what is proposed for the same."""
        if self.proposal is not None:
            self.proposal.show_next()

    def resize(self, steps: int, number: int = 0) -> None:
        """Grow the proposal's masks, or else an object's, by steps; below zero, shrink them."""
        if self.proposal is not None:
            self.proposal.steps = max(-_MOST_STEPS, min(_MOST_STEPS, self.proposal.steps + steps))
            self.proposal.touched = True
        elif number:
            self._check(number)
            mask, steps = self.label == number, max(-_MOST_STEPS, min(_MOST_STEPS, steps))
            self._replace(number, mask, resized(self.view.xyz, mask, steps, (self.label == 0) | mask))

    def brush(self, stroke: Sequence[Sequence[float]], radius: float, add: bool, number: int = 0) -> None:
        """Add what is under a stroke (x, y) in pixels to the proposal, or else to an object; or take it away."""
        under = self.view.picture.under(stroke, radius)
        if self.proposal is not None:
            self.proposal.paint(self.view.xyz, under, add)
        elif number:
            self._check(number)
            mask = self.label == number
            self._replace(number, mask, mask | under if add else mask & ~under)
        else:
            self.proposal = Proposal(CLICK, {"brush": [Part(under)] if add else []}, "brush", touched=True)

    def accept(self, number: int = 0) -> list[int]:
        """Take the proposal: its parts become objects, the one that there is becomes object ``number`` if given. The
        sentence that asked for them becomes an instruction. → the objects' numbers."""
        if number:
            self._check(number)
        proposal, self.proposal = self.proposal, None
        if proposal is None:
            return []
        parts = [part for part in proposal.taken(self.view.xyz) if part.mask.any()]
        if proposal.source == REVIEW:
            self._reviewed(parts)
            return [part.object for part in parts]
        if number and len(parts) != 1:
            raise SegPointError("one mask is to be that object: leave out the others by clicking on them")
        self._remember([self.place])
        taken: list[tuple[int, np.ndarray]] = []
        numbers: list[int] = []
        for part in parts:
            known = number or part.object or (same_object(part.mask, self.label) if proposal.text else 0)
            if not known:
                known = self.add_object(part, proposal.text)
            elif not self.folder.objects.get(known):
                self.folder.objects[known] = part.name
            numbers.append(known)
            if number or part.object or not (self.label == known).any():
                taken.append((known, part.mask))
        if proposal.text:
            self._ask(Asked(proposal.text, tuple(sorted(set(numbers)))))
        self._put(taken, remember=False)
        return numbers

    def reject(self) -> None:
        """Forget the proposal. Of a review, take its masks away: a cloud without others is as before the model saw it,
        not annotated."""
        proposal, self.proposal = self.proposal, None
        if proposal is None or proposal.source != REVIEW:
            return
        folder, gone = self.folder, list(self.folder.proposed[self.number])
        if not (self.label[~np.isin(self.label, gone)] > 0).any():
            self._remember([self.place])
            self.folder.remove(self.number)
            self.label = np.zeros_like(self.label)
        else:
            self._reviewed([])
        nowhere = set(gone).difference(*folder.points.values())  # nobody has ever said that there are such objects
        folder.forget(nowhere)
        folder.save()

    # --- objects and instructions -------------------------------------------------------------------------------------

    def add_object(self, part: Part, text: str = "") -> int:
        """A new object, named as the part is, or else by the sentence that asked for it; → its number."""
        number = max(self.folder.objects, default=0) + 1
        if number > MOST_OBJECTS:
            raise SegPointError(f"{MOST_OBJECTS} objects are as many as can be told apart here; take some away")
        self.folder.objects[number] = part.named(text).name
        return number

    def name(self, number: int, category: str) -> None:
        """Say what an object is, "" for nothing in particular."""
        category = normalise(category).lower()
        if any(sign in category for sign in ",;.<>"):
            raise SegPointError(f"a category is a word or two, without , ; . < >: not {category!r:.80}")
        self._check(number)
        self._remember([])
        self.folder.objects[number] = category
        self.folder.save()

    def remove(self, number: int, everywhere: bool = False) -> None:
        """Take an object's mask off this cloud, or the object and its instructions out of the data set."""
        self._check(number)
        places = [p for p, n in enumerate(self.clouds.numbers) if number in self.folder.points.get(n, {})]
        if not everywhere:
            places = [p for p in places if p == self.place]
        self._remember(places)
        if everywhere:
            self.folder.forget({number})
        for place in places:
            label = self.folder.labels(self.clouds.numbers[place])
            assert label is not None  # it has points
            self.folder.proposed.get(self.clouds.numbers[place], {}).pop(number, None)
            self._write(place, np.where(label == number, 0, label).astype(np.int32))
        if self.proposal is not None and self.proposal.source == REVIEW:
            self.proposal.without(number)
            if not self.to_review(self.place):
                self.proposal = None
        self.folder.save()

    def instruct(self, text: str, targets: Iterable[int], kind: str = "", only_here: bool = False) -> None:
        """An instruction about objects, or with none of them one that there is nothing to mark for."""
        targets = tuple(sorted(set(targets)))
        text = normalise(text)
        if not text:
            raise SegPointError("an instruction needs words")
        self._check(*targets)
        self._remember([] if self.is_done(self.place) else [self.place])
        self._ask(Asked(text, targets, normalise(kind), self.number if only_here else None))
        if only_here and not self.is_done(self.place):
            self._write(self.place, self.label)
        self.proposal = None
        self.folder.save()

    def forget(self, row: int) -> None:
        """Take an instruction back, by its place in the list."""
        if not 0 <= row < len(self.folder.asked):
            raise SegPointError(f"there is no instruction {row}")
        self._remember([])
        del self.folder.asked[row]
        self.folder.save()

    def undo(self) -> None:
        """As it was before the last action."""
        if not self._undo:
            return
        before, self.proposal = self._undo.pop(), None
        folder = self.folder
        folder.objects, folder.asked, folder.proposed = before.objects, before.asked, before.proposed
        for place, kept in before.labels.items():
            if kept is None:
                folder.remove(self.clouds.numbers[place])
                if place == self.place:
                    self.label = np.zeros_like(self.label)
            else:
                self._write(place, np.repeat(*kept).astype(np.int32))
        folder.save()
        self.go(self.place if self.place in before.labels or not before.labels else next(iter(before.labels)))

    # --- how ----------------------------------------------------------------------------------------------------------

    def _put(self, masks: Iterable[tuple[int, np.ndarray]], remember: bool = True) -> None:
        """Set whole masks of objects in this cloud, which is annotated then, also by none."""
        if remember:
            self._remember([self.place])
        self._write(self.place, self._merged(masks))
        self.folder.save()

    def _replace(self, number: int, mask: np.ndarray, new: np.ndarray) -> None:
        """An object's mask by a new one; of one that is not here, and is not to be, nothing is said."""
        if mask.any() or new.any():
            self._put([(number, new)])

    def _merged(self, masks: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
        """(M,) int32: the labels with whole masks of objects set; of two that want a point the later one has it."""
        label = self.label.copy()
        for number, mask in masks:
            label[label == number] = 0
            label[mask] = number
        label[~finite(self.view.xyz)] = 0
        return label

    def _write(self, place: int, label: np.ndarray) -> None:
        """Put a cloud's labels on disk, without the instructions about it alone whose targets are no longer there."""
        number, folder = self.clouds.numbers[place], self.folder
        folder.write(self.clouds.view(place).frame, self.clouds.recording.topic, label)
        folder.asked = [a for a in folder.asked if a.cloud != number or set(a.targets) <= set(folder.points[number])]
        if place == self.place:
            self.label = label

    def _remember(self, places: Iterable[int]) -> None:
        """Keep what an action is about to change."""
        folder = self.folder
        proposed = {number: dict(scores) for number, scores in folder.proposed.items()}
        before = Before(dict(folder.objects), list(folder.asked), proposed)
        for place in places:
            at_hand = place == self.place and self.is_done(place)
            label = self.label if at_hand else folder.labels(self.clouds.numbers[place])
            before.labels[place] = None if label is None else runs(label)
        self._undo = [*self._undo[1 - _UNDOABLE :], before]

    def _reviewed(self, kept: Sequence[Part]) -> None:
        """Of the masks that the model alone has set, keep these as they are now."""
        self._remember([self.place])
        proposed = self.folder.proposed.pop(self.number)
        gone = set(proposed) - {part.object for part in kept}
        none = np.zeros(len(self.label), bool)
        masks = [(number, none) for number in gone] + [(part.object, part.mask) for part in kept]
        self._put(masks, remember=False)

    def _ask(self, asked: Asked) -> None:
        if asked not in self.folder.asked:
            self.folder.asked = [*self.folder.asked, asked]

    def _check(self, *numbers: int) -> None:
        """Raises SegPointError where one is no object's."""
        if unknown := [number for number in numbers if number not in self.folder.objects]:
            raise SegPointError(f"there is no object {unknown[0]}")

    def _annotated_before(self) -> tuple[View, np.ndarray] | None:
        """The nearest annotated cloud before this one, or else after it."""
        done = [place for place in range(len(self.clouds)) if place != self.place and self.is_done(place)]
        if not done:
            return None
        place = min(done, key=lambda p: (p > self.place, abs(p - self.place)))
        label = self.folder.labels(self.clouds.numbers[place])
        return None if label is None else (self.clouds.view(place), label)
