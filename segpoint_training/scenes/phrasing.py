"""The sentences around a noun phrase: what people say to a robot when they mean a thing.

A frozen language model embeds every different text once, so phrases that exist in great number take one of the
few ``brief`` frames, or, where they combine two things, a ``bare`` one. Frames of the test split never occur in
training. What is there and what is not is said in the same frames, or a frame would tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .meaning import Statement
from .vocabulary import with_article

Weighted = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Frames:
    """Frames of one split, with weights. ``{np}``: the whole noun phrase ("the mug", "a mug", "all mugs"); ``{bare}``:
    without article; ``{be}``: is or are. ``look`` frames fit anything, ``fetch`` frames what can be picked up.
    """

    bare: Weighted  # for phrases of two things
    bare_fetch: Weighted
    brief: Weighted  # for phrases that exist in great number
    brief_fetch: Weighted
    look: Weighted  # for any phrase
    fetch: Weighted
    some: Weighted  # for "a mug", besides ``fetch``
    wish: Weighted  # around "something to …"

    def all(self) -> set[str]:
        """Every frame, without weights."""
        groups = (self.bare, self.bare_fetch, self.brief, self.brief_fetch, self.look, self.fetch, self.some, self.wish)
        return {frame for group in groups for frame, _ in group}


TRAIN = Frames(
    bare=(("{np}", 8), ("find {np}", 1)),
    bare_fetch=(("pick up {np}", 1.5),),
    brief=(("{np}", 10), ("{bare}", 1), ("{np}.", 1), ("find {np}", 1), ("where {be} {np}?", 1.5), ("show me {np}", 1)),
    brief_fetch=(("pick up {np}", 2.5), ("grab {np}", 1), ("give me {np}", 1)),
    look=(("{np}", 9), ("{bare}", 3), ("{np}.", 1), ("find {np}", 1.5), ("Find {np}.", 0.5), ("Where {be} {np}?", 1),
          ("where {be} {np}", 1), ("segment {np}", 1), ("show me {np}", 1), ("point to {np}", 1),
          ("point at {np}", 0.5),
          ("Please find {np}.", 0.5), ("can you see {np}?", 0.7), ("Locate {np}.", 0.5), ("which one is {np}?", 0.3),
          ("can you find {np} for me?", 0.5), ("tell me where {np} {be}", 0.5), ("I am searching for {np}", 0.5),
          ("identify {np}", 0.3), ("detect {np}", 0.3), ("I want {np}", 0.5), ("look for {np}", 0.5),
          ("move to {np}", 0.4), ("drive to {np}", 0.4), ("please point out {np}", 0.3)),
    fetch=(("pick up {np}", 4), ("Pick up {np}.", 1), ("grab {np}", 2), ("hand me {np}", 1.5), ("Hand me {np}.", 0.5),
           ("give me {np}, please", 1), ("give me {np}", 1), ("can you get {np}?", 1), ("I need {np}", 1),
           ("bring me {np}", 1), ("Could you bring me {np}?", 0.5), ("please pick up {np}", 1), ("take {np}", 1),
           ("pass me {np}, please", 0.7), ("Please hand me {np}.", 0.5), ("reach for {np}", 0.5),
           ("bring {np} here", 0.3),
           ("may I have {np}?", 0.4), ("put {np} in my hand", 0.2)),
    some=(("{np}", 5), ("find {np}", 2), ("is there {np}?", 2), ("do you see {np} anywhere?", 1), ("show me {np}", 1),
          ("I want {np}", 1), ("I need {np}", 1), ("where can I find {np}?", 1), ("look for {np}", 1)),
    wish=(("{np}", 5), ("{np}, please", 1), ("find {np}", 1.5), ("I need {np}", 1.5), ("give me {np}", 1)),
)  # fmt: skip
TEST = Frames(
    bare=(("get {np}", 2), ("mark {np}", 1)),
    bare_fetch=(("could you pass me {np}?", 1),),
    brief=(("Mark {np}.", 2), ("look at {np}", 2), ("mark {np}", 2), ("highlight {np}", 1)),
    brief_fetch=(("get {np}", 4), ("could you pass me {np}?", 2), ("fetch {np}", 1)),
    look=(("Mark {np}.", 2), ("mark {np}", 2), ("look at {np}", 2), ("highlight {np}", 2), ("select {np}", 2),
          ("I am looking for {np}", 1), ("go to {np}", 1), ("Do you see {np}?", 1), ("where do you see {np}?", 1),
          ("have you seen {np}?", 0.7), ("outline {np}", 0.5), ("Please show {np} to me.", 0.5),
          ("search for {np}", 0.7)),
    fetch=(("get {np}", 4), ("could you pass me {np}?", 2), ("I would like to have {np}.", 1), ("lift {np}", 1),
           ("fetch {np} for me", 2), ("fetch {np}", 1), ("Get me {np}, please.", 1), ("would you hand {np} over?", 0.7),
           ("go and get {np}", 0.7), ("let me have {np}", 0.7)),
    some=(("Do you see {np}?", 2), ("mark {np}", 1), ("I am looking for {np}", 1), ("can you spot {np}?", 1),
          ("search for {np}", 1)),
    wish=(("get me {np}", 2), ("Do you see {np}?", 1), ("I am looking for {np}", 1), ("mark {np}", 1)),
)  # fmt: skip
FRAMES = {"train": TRAIN, "test": TEST, "open": TEST}


def say(statement: Statement, split: str, rng: np.random.Generator) -> str:
    """The statement as a person would put it."""
    frames, phrase, form = FRAMES[split], statement.phrase, statement.form
    if form == "sentence":
        return phrase
    if form == "wish":
        choice, np_ = frames.wish, phrase
    elif form == "indefinite":
        choice, np_ = frames.some + (frames.fetch if statement.movable else ()), with_article(phrase)
    else:
        looks = {"bare": frames.bare, "brief": frames.brief, "rich": frames.look}[statement.frames]
        grasps = {"bare": frames.bare_fetch, "brief": frames.brief_fetch, "rich": frames.fetch}[statement.frames]
        choice = looks + (grasps if statement.movable else ())
        np_ = phrase if form == "counted" else f"the {phrase}"
    weights = np.array([weight for _, weight in choice])
    frame = choice[int(rng.choice(len(choice), p=weights / weights.sum()))][0]
    text = frame.format(np=np_, bare=phrase, be="are" if statement.plural else "is")
    return text[0].upper() + text[1:] if text.endswith(".") else text
