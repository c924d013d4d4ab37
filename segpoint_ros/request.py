"""What is asked: one sentence or several, and what a user points at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segpoint.errors import SegPointError
from segpoint.prompts import MOST_CHARACTERS

if TYPE_CHECKING:
    from segpoint_ros.place import Pointing

MOST_INSTRUCTIONS = 32  # at a time; each costs a reading of its own
POINTED = "this"  # the words of somebody who only points


@dataclass(frozen=True)
class Request:
    """What stands until something else is asked. Without instructions and pointing nothing is asked.

    instructions: as they were said.   pointing: a click, a box or both, which every instruction is about.
    """

    instructions: tuple[str, ...] = ()
    pointing: Pointing | None = None

    def __bool__(self) -> bool:
        return bool(self.instructions) or self.pointing is not None

    @property
    def questions(self) -> tuple[str, ...]:
        """What the model is asked, one of each label range."""
        return self.instructions or ((POINTED,) if self.pointing is not None else ())

    def __str__(self) -> str:
        """In one line, for the log and the diagnostics; long sentences are cut short."""
        said = "; ".join(instruction[:200] for instruction in self.instructions)
        return " ".join(filter(None, [said, str(self.pointing or "")]))[:1000]


def split_instructions(text: str) -> tuple[str, ...]:
    """The instructions of a message: separated by ``;`` or line breaks, what says nothing left out.

    Raises SegPointError where there are more than MOST_INSTRUCTIONS, or than MOST_CHARACTERS in all.
    """
    if len(text) > MOST_CHARACTERS:
        raise SegPointError(f"expected at most {MOST_CHARACTERS} characters, got {len(text)}; say it shorter")
    instructions = tuple(filter(None, (part.strip() for part in re.split(r"[;\r\n]+", text))))
    if len(instructions) > MOST_INSTRUCTIONS:
        raise SegPointError(
            f"expected at most {MOST_INSTRUCTIONS} instructions at a time, got {len(instructions)}; say fewer at once"
        )
    return instructions
