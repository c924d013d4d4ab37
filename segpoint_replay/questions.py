"""What is asked of each of a bag's clouds, and what it is measured against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from segpoint.errors import SegPointError
from segpoint_ros.request import MOST_INSTRUCTIONS, split_instructions

if TYPE_CHECKING:
    from segpoint_replay.job import Job
    from segpoint_replay.recording import Frame, Recording
    from segpoint_replay.truth import Labels, Truth

_Texts = TypeVar("_Texts", bound=Sequence[str])


class Questions:
    """The instructions of a job; where it has none, those of the labels' rows about a cloud; where there are none, what
    the bag's instruction topic had said by then (with labels only one that was named), or ``standing`` (the node's
    parameter ``instruction``) before that.

    asked_on: the bag's topic, where what it says is asked.
    Raises SegPointError where nothing at all is asked, or in no text that ROS can say.
    """

    def __init__(self, job: Job, recording: Recording, labels: Labels | None, standing: str = "") -> None:
        self._asked = _encodable(tuple(dict.fromkeys(job.instructions)))
        self._labels = labels
        self._matched = 0
        self._unusable: list[str] = []
        self._repeated: list[str] = []
        self._others: tuple[str, ...] = ()
        # Texts of a topic that nobody named are no instructions where labels say what is asked.
        heard = not self._asked and (labels is None or bool(job.instruction_topic))
        said = recording.said if heard else ()
        self.asked_on = recording.asked_on if heard else ""
        self._spoken = [(received, split_instructions(text)) for received, text in ((-math.inf, standing), *said)]
        if not self._asked and labels is None and not any(words for _, words in self._spoken):
            raise SegPointError(
                f"{recording.path}: nothing is asked: give --instruction or --labels, or the bag's --instruction-topic"
            )

    def is_asked(self, number: int, received: int) -> bool:
        """Whether anything is asked about a cloud, also one that cannot be read, recorded at so many nanoseconds."""
        return (self._labels is not None and number in self._labels.numbers) or bool(self._together(received))

    def of(self, frame: Frame) -> tuple[tuple[tuple[str, ...], ...], tuple[Truth, ...]]:
        """The requests about a cloud, one after the other, each with its instructions, and the truth of those that
        the labels know. No request: nothing is asked.

        What a person or the bag says at once is one request, as it is to the node: of several instructions in it a
        point goes to the one that is surest of it. The labels' rows know nothing of each other: each is a request.
        """
        truths = self._truths(frame)
        known: dict[str, Truth] = {}
        for truth in truths:
            if known.setdefault(truth.instruction, truth) is not truth:
                self._repeated.append(truth.instruction)
        if self._asked or not known:
            asked = in_parts(tuple(dict.fromkeys(self._together(frame.received))))
        else:
            asked = tuple((truth.instruction,) for truth in known.values())
        words = {text for request in asked for text in request}
        matching = tuple(truth for truth in known.values() if truth.instruction in words)
        self._matched += len(matching)
        self._others = self._others or tuple(f"“{text}”" for text in known)[:5]
        return asked, matching

    def _together(self, received: int) -> tuple[str, ...]:
        """What is asked of every cloud, or had been said by then."""
        return self._asked or next(words for at, words in reversed(self._spoken) if at <= received)

    def check(self) -> list[str]:
        """What is to be known of the labels, when all clouds have been asked about. Raises SegPointError where nothing
        of them could be used."""
        if self._unusable and not self._matched:
            raise SegPointError(f"no cloud's labels can be used; the first: {self._unusable[0]}")
        told = list(self._unusable)
        if self._repeated:
            told.append(
                f"{len(self._repeated)} times labels have several rows of the same words about a cloud, such as "
                f"“{self._repeated[0]}”, of which only the first counts: `segpoint evaluate` counts all"
            )
        if self._labels is not None and not self._matched:
            told.append(
                f"none of what was asked stands in the labels of these clouds, which ask {', '.join(self._others)}"
            )
        return told

    def _truths(self, frame: Frame) -> tuple[Truth, ...]:
        if self._labels is None:
            return ()
        try:
            truths = self._labels.of(frame)
            _encodable([truth.instruction for truth in truths])
            return truths
        except SegPointError as error:  # the others may be good
            self._unusable.append(str(error))
            return ()


def _encodable(texts: _Texts) -> _Texts:
    """The texts. Raises SegPointError where one is not Unicode (of a terminal, or of JSON, that was not UTF-8)."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SegPointError(f"the instruction {text!r:.80} is not valid Unicode text: write it in UTF-8") from error
    return texts


def in_parts(instructions: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Instructions as requests of MOST_INSTRUCTIONS at most."""
    starts = range(0, len(instructions), MOST_INSTRUCTIONS)
    return tuple(instructions[start : start + MOST_INSTRUCTIONS] for start in starts)
