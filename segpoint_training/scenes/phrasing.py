"""The sentences around a noun phrase: what people say to a robot when they mean a thing.

A frozen language model embeds every different text once, so phrases that exist in great number take one of the
few ``brief`` frames, or, where they combine two things, a ``bare`` one. Frames of the test split never occur in
training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .meaning import Statement
from .vocabulary import with_article


@dataclass(frozen=True)
class Frames:
    """Frames of one split. ``{np}``: noun phrase with "the"; ``{bare}``: without; ``{be}``: is or are."""

    brief: tuple[tuple[str, float], ...]  # for phrases that exist in great number, with weights
    bare: tuple[tuple[str, float], ...]  # for phrases of two things
    look: tuple[tuple[str, float], ...]  # for any phrase
    fetch: tuple[tuple[str, float], ...]  # for what can be picked up
    wish: tuple[str, ...]  # around "something to …"


TRAIN = Frames(
    brief=(("the {bare}", 0.65), ("pick up the {bare}", 0.15), ("The {bare}.", 0.08), ("grab the {bare}", 0.08),
           ("where {be} the {bare}?", 0.07), ("{bare}", 0.07)),
    bare=(("the {bare}", 0.85), ("pick up the {bare}", 0.15)),
    look=(("the {bare}", 6), ("{bare}", 2), ("The {bare}.", 1), ("find the {bare}", 1), ("Where {be} the {bare}?", 1),
          ("where {be} the {bare}", 0.5), ("segment the {bare}", 1), ("show me the {bare}", 1),
          ("point to the {bare}", 1),
          ("Please find the {bare}.", 0.5), ("can you see the {bare}?", 0.5), ("Locate the {bare}.", 0.5)),
    fetch=(("pick up the {bare}", 3), ("Pick up the {bare}.", 1), ("grab the {bare}", 2), ("hand me the {bare}", 1),
           ("give me the {bare}, please", 1), ("can you get the {bare}?", 1), ("I need the {bare}", 1),
           ("bring me the {bare}", 1), ("please pick up the {bare}", 1), ("take the {bare}", 1)),
    wish=("{wish}", "{wish}, please", "find {wish}", "I need {wish}"),
)  # fmt: skip
TEST = Frames(
    brief=(("get the {bare}", 0.4), ("Mark the {bare}.", 0.2), ("could you pass me the {bare}?", 0.2),
           ("look at the {bare}", 0.2)),
    bare=(("get the {bare}", 1),),
    look=(("Mark the {bare}.", 2), ("look at the {bare}", 2), ("highlight the {bare}", 2), ("select the {bare}", 2),
          ("I am looking for the {bare}", 1), ("go to the {bare}", 1)),
    fetch=(("get the {bare}", 3), ("could you pass me the {bare}?", 2), ("I would like to have the {bare}.", 1),
           ("lift the {bare}", 1), ("fetch the {bare} for me", 2)),
    wish=("get me {wish}", "Do you see {wish}?", "I am looking for {wish}"),
)  # fmt: skip
FRAMES = {"train": TRAIN, "test": TEST}


def say(statement: Statement, split: str, rng: np.random.Generator) -> str:
    """The statement as a person would put it."""
    frames, phrase = FRAMES[split], statement.phrase
    if statement.form == "sentence":
        return phrase
    if statement.form == "wish":
        return frames.wish[int(rng.integers(len(frames.wish)))].format(wish=phrase)
    if statement.frames == "bare":
        choice = frames.bare
    elif statement.frames == "brief":
        choice = frames.brief
    else:
        choice = frames.look + (frames.fetch if statement.movable else ())
    weights = np.array([weight for _, weight in choice])
    frame = choice[int(rng.choice(len(choice), p=weights / weights.sum()))][0]
    be = "are" if statement.plural else "is"
    if statement.form in ("counted", "indefinite"):  # "all the mugs", "a mug": in place of "the"
        phrase = with_article(phrase) if statement.form == "indefinite" else phrase
        text = frame.replace("The {bare}", "{bare}").replace("the {bare}", "{bare}").format(bare=phrase, be=be)
        return text[0].upper() + text[1:] if text.endswith(".") else text
    return frame.format(bare=phrase, be=be)
