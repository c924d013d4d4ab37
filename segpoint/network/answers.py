"""How answers are written: greedily, many questions about one cloud at once, a guess verified where there is one.

All questions stand in one sequence behind the cloud's prefix and each sees only the prefix and itself, so one pass of
ℱ serves them all, as in training::

    keys      prefix │ q_1  drafts_1 │ q_2  drafts_2 │ … ║ token_1 │ token_2 │ … ║ …
    pass                     the first                          the second         as long as one is unfinished

Drafts are read in the same pass as their question, each behind the question and out of the others' sight: what was
answered last time, or, to a new question, each of its own last words followed by <SEG> ("the red mug" is answered
"mug <SEG>."). They count as far as they are what ℱ would have written, so the answer is the same with any draft or
none, and one that was guessed costs one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from segpoint.errors import SegPointError
from segpoint.network.llama import KeyValues
from segpoint.prompts import parse_answer

if TYPE_CHECKING:
    from segpoint.network.language import PointLanguageModel

TOGETHER = 512  # tokens read in one pass, which bounds its memory; more only make every question look at more others

_GUESSED = 4  # questions; of more, the guesses would be more to read than the passes they save


@dataclass
class Prefix:
    """One cloud as the LLM read it; used again and again, one call at a time."""

    point_hidden: Tensor  # ĥ_point, (1, N1, H) float32
    cache: KeyValues  # the first ``length`` tokens are the prefix's, what follows is scratch
    length: int


@dataclass(frozen=True)
class Question:
    """What is asked about a cloud.

    text: the question part of the prompt.   doubt: log-odds added where the LLM chooses to write "There is no mask.":
    what somebody else, the mask reader, knows about whether there is a target.   places: (P, H), the tokens of clicks
    and boxes, read between the points and the question.   draft: `Answer.read` of an earlier answer; None: none is
    known, its words are tried.
    """

    text: str
    doubt: float = 0.0
    places: Tensor | None = None
    draft: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """What the LLM wrote and the states the mask decoder reads."""

    text: str  # "mug <SEG>."
    categories: list[str]  # ["mug"], one per <SEG>; empty: there is no mask
    question_hidden: Tensor  # (T, H) float32, at the tokens of " {question} ASSISTANT:"
    seg_hidden: Tensor  # ŷ_[seg], (n, H) float32, at the positions whose input is <SEG>
    margin: float  # logit of "There is no mask." over the best other beginning, before any doubt
    read: tuple[int, ...] = ()  # those of the tokens written that were read to write the next: the draft of next time


@dataclass(frozen=True)
class Grammar:
    """The tokens that decide over an answer's course.

    seg, end: <SEG> and the end token.   stops: those that close an answer.   nothing: all of "There is no mask.", at
    whose ``choice``-th the LLM chooses between that and a target.   limit: the most tokens of an answer.
    """

    seg: int
    end: int
    stops: frozenset[int]
    nothing: tuple[int, ...]
    choice: int
    limit: int


class _Writing:
    """One answer on its way: what is written, and what must be read next."""

    def __init__(self, language: PointLanguageModel, question: Question, prefix: Prefix, guess: bool) -> None:
        self.grammar, self.doubt = language.grammar, question.doubt
        ids = language.question_ids(question.text)
        self.drafts: list[tuple[int, ...]] = [] if question.draft is None else [question.draft]
        if question.draft is None and guess:
            self.drafts = language.guesses(question.text)
        self.block = language.embed([*ids, *(token for draft in self.drafts for token in draft)])  # what is read next
        self.places = 0 if question.places is None else len(question.places)
        if question.places is not None:
            self.block = torch.cat([question.places.to(self.block.dtype), self.block])
        self.count = self.places + len(ids)  # tokens known to be right, behind the prefix
        if prefix.length + self.count + self.grammar.limit > language.context:
            raise SegPointError(
                f"a question of {len(ids)} tokens does not fit into the LLM's context of {language.context}: shorten it"
            )
        self.written: list[int] = []
        self.read: list[int] = []
        self.question_hidden: Tensor | None = None
        self.seg_hidden: list[Tensor] = []
        self.margin = 0.0
        self.next: int | None = None  # the token to read, None once finished

    @property
    def guessed(self) -> int:
        """Tokens of all drafts; they stand at the block's end."""
        return sum(len(draft) for draft in self.drafts)

    def layout(self) -> tuple[list[int], list[int]]:
        """For each token of the block its position behind the prefix, and its draft: 1, 2, …, 0 for none."""
        positions = list(range(self.count - len(self.block) + self.guessed, self.count))
        of = [0] * len(positions)
        for number, draft in enumerate(self.drafts, start=1):
            positions += range(self.count, self.count + len(draft))
            of += [number] * len(draft)
        return positions, of

    def follow(self, hidden: Tensor, logits: Tensor) -> range:
        """Go on from the states (1 + guessed, H) and logits (1 + guessed, V + 1) of the last token and of the drafts.

        → the rows of the drafts' tokens that were right.
        """
        if self.next == self.grammar.seg:
            self.seg_hidden.append(hidden[:1])
        self.next = self._write(logits[0])
        firsts = [1 + sum(len(draft) for draft in self.drafts[:i]) for i in range(len(self.drafts))]
        agreeing = list(zip(firsts, self.drafts, strict=True))
        right = range(0)
        while self.next is not None:
            step = len(right)
            agreeing = [(first, draft) for first, draft in agreeing if draft[step : step + 1] == (self.next,)]
            if not agreeing:
                break
            right = range(agreeing[0][0], agreeing[0][0] + step + 1)
            if self.next == self.grammar.seg:
                self.seg_hidden.append(hidden[right[-1] :][:1])
            self.next = self._write(logits[right[-1]])
        self.count += len(right)
        self.drafts = []
        return right

    def _write(self, logits: Tensor) -> int | None:
        """The next token by its logits (V + 1,), None where the answer is complete."""
        grammar, step = self.grammar, len(self.written)
        if step == grammar.limit:
            return None
        if step == grammar.choice and tuple(self.written) == grammar.nothing[:step]:
            nothing = float(logits[grammar.nothing[step]])
            logits = logits.clone()
            logits[grammar.nothing[step]] = -torch.inf
            self.margin = nothing - float(logits.max())
            if self.margin + self.doubt > 0:  # no category begins so: the rest is known
                self.written = list(grammar.nothing)
                return None
        token = int(logits.argmax())
        if token == grammar.end:
            return None
        self.written.append(token)
        if token in grammar.stops:
            return None
        self.read.append(token)
        return token


def chunks(lengths: Sequence[int]) -> Iterator[slice]:
    """Blocks of these many tokens in runs of at most TOGETHER; a longer block is a run of its own."""
    first, total = 0, 0
    for i, length in enumerate(lengths):
        if i > first and total + length > TOGETHER:
            yield slice(first, i)
            first, total = i, 0
        total += length
    if lengths:
        yield slice(first, len(lengths))


@torch.no_grad()
def write(language: PointLanguageModel, prefix: Prefix, questions: Sequence[Question]) -> list[Answer]:
    """The answers to questions about one cloud, each up to its full stop, the end token, or the most tokens allowed.

    ŷ_[seg] is the state at the position whose *input* is ``<SEG>``, as PAPER.md says ("at <SEG>"). (LISA's code takes
    the position before, whose output is ``<SEG>``.) Raises SegPointError where a question does not fit into the LLM's
    context.
    """
    guess = len(questions) <= _GUESSED
    writings = [_Writing(language, question, prefix, guess) for question in questions]
    for some in chunks([len(writing.block) for writing in writings]):
        _write_together(language, prefix, writings[some])
    return [_answer(language, writing) for writing in writings]


def _write_together(language: PointLanguageModel, prefix: Prefix, writings: list[_Writing]) -> None:
    device = prefix.point_hidden.device
    owner = torch.zeros(prefix.length, dtype=torch.int64)  # of each key: its question, 0 all of them, −1 nobody
    draft = torch.zeros_like(owner)  # of each key: its draft, 0 for what is known to be right
    unfinished = list(enumerate(writings, start=1))
    while unfinished:
        start, lengths = len(owner), [len(writing.block) for _, writing in unfinished]
        own = torch.tensor([who for who, _ in unfinished]).repeat_interleave(torch.tensor(lengths))
        layouts = [writing.layout() for _, writing in unfinished]
        positions = torch.tensor([prefix.length + position for some, _ in layouts for position in some])
        branch = torch.tensor([number for _, some in layouts for number in some])
        owner, draft = torch.cat([owner, own]), torch.cat([draft, branch])
        mask = (owner == 0) | ((owner == own[:, None]) & ((draft == 0) | (draft == branch[:, None])))
        mask[:, start:].tril_()
        block = torch.cat([writing.block for _, writing in unfinished])
        hidden = language.reader.read(block, positions.to(device), prefix.cache, start, mask.to(device))
        states = hidden.split(lengths)
        rows = [1 + writing.guessed for _, writing in unfinished]
        deciding = [state[-n:] for state, n in zip(states, rows, strict=True)]
        logits = language.logits(torch.cat(deciding)).split(rows)
        for (_, writing), state, last, scores in zip(unfinished, states, deciding, logits, strict=True):
            if writing.question_hidden is None:
                writing.question_hidden = state[writing.places : len(state) - writing.guessed]
            start += len(state)
            first = start - len(last)  # the key of the last token; the drafts follow
            right = writing.follow(last, scores)
            owner[first + 1 : start] *= -1
            owner[first + right.start : first + right.stop] *= -1
            draft[first + right.start : first + right.stop] = 0
        unfinished = [(who, writing) for who, writing in unfinished if writing.next is not None]
        tokens = language.embed([writing.next for _, writing in unfinished if writing.next is not None])
        for (_, writing), token in zip(unfinished, tokens, strict=True):
            writing.block = token[None]
            writing.count += 1


def _answer(language: PointLanguageModel, writing: _Writing) -> Answer:
    assert writing.question_hidden is not None
    text = language.decode(writing.written)
    none = writing.question_hidden[:0]
    seg = torch.cat([none, *writing.seg_hidden])
    return Answer(text, parse_answer(text), writing.question_hidden, seg, writing.margin, tuple(writing.read))
