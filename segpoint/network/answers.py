"""How answers are written: greedily, many questions about one cloud at once, a guess verified where there is one.

All questions stand in one sequence behind the cloud's prefix and each sees only the prefix and itself, so one pass of
ℱ serves them all, as in training::

    keys      prefix │ q_1  draft_1 │ q_2  draft_2 │ … ║ token_1 │ token_2 │ … ║ …
    pass                    the first                         the second         as long as one is unfinished

A draft (what was answered last time) is read in the same pass as its question. It counts as far as it is what ℱ would
have written, so the answer is the same with any draft or none, and one that has not changed costs one pass.
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
    and boxes, read between the points and the question.   draft: `Answer.read` of an earlier answer.
    """

    text: str
    doubt: float = 0.0
    places: Tensor | None = None
    draft: tuple[int, ...] = ()


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

    def __init__(self, language: PointLanguageModel, question: Question, prefix: Prefix) -> None:
        self.grammar, self.doubt = language.grammar, question.doubt
        ids, self.draft = language.question_ids(question.text), list(question.draft)
        self.asked = language.embed([*ids, *self.draft])  # (T + draft, H)
        self.places = 0 if question.places is None else len(question.places)
        if question.places is not None:
            self.asked = torch.cat([question.places.to(self.asked.dtype), self.asked])
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

    def follow(self, hidden: Tensor, logits: Tensor) -> int:
        """Go on from the states (1 + draft, H) and logits (1 + draft, V + 1) of the last token and of the draft.

        → how many of the draft's tokens were right.
        """
        if self.next == self.grammar.seg:
            self.seg_hidden.append(hidden[:1])
        accepted = 0
        self.next = self._write(logits[0])
        while self.next is not None and self.next in self.draft[accepted : accepted + 1]:
            accepted += 1
            if self.next == self.grammar.seg:
                self.seg_hidden.append(hidden[accepted : accepted + 1])
            self.next = self._write(logits[accepted])
        self.count += accepted
        self.draft = []
        return accepted

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
    writings = [_Writing(language, question, prefix) for question in questions]
    for some in chunks([len(writing.asked) for writing in writings]):
        _write_together(language, prefix, writings[some])
    return [_answer(language, writing) for writing in writings]


def _write_together(language: PointLanguageModel, prefix: Prefix, writings: list[_Writing]) -> None:
    device = prefix.point_hidden.device
    owner = torch.zeros(prefix.length, dtype=torch.int64, device=device)  # of each key: 0 all, −1 nobody
    unfinished = list(enumerate(writings, start=1))
    blocks = [writing.asked for writing in writings]
    firsts = [0] * len(writings)  # the position of each block's first token, behind the prefix
    while unfinished:
        start, lengths = len(owner), [len(block) for block in blocks]
        own = torch.tensor([who for who, _ in unfinished]).repeat_interleave(torch.tensor(lengths)).to(device)
        owner = torch.cat([owner, own])
        mask = (owner == 0) | (owner == own[:, None])
        mask[:, start:].tril_()
        positions = torch.cat([torch.arange(first, first + n) for first, n in zip(firsts, lengths, strict=True)])
        hidden = language.reader.read(
            torch.cat(blocks), (prefix.length + positions).to(device), prefix.cache, start, mask
        )
        states = hidden.split(lengths)
        rows = [1 + len(writing.draft) for _, writing in unfinished]
        deciding = [state[-n:] for state, n in zip(states, rows, strict=True)]
        logits = language.logits(torch.cat(deciding)).split(rows)
        for (_, writing), state, last, scores in zip(unfinished, states, deciding, logits, strict=True):
            if writing.question_hidden is None:
                writing.question_hidden = state[writing.places : len(state) - len(writing.draft)]
            accepted, n = writing.follow(last, scores), len(state)
            owner[start + n - (len(last) - 1 - accepted) : start + n] = -1  # what of the draft was wrong: nobody's
            start += n
        unfinished = [(who, writing) for who, writing in unfinished if writing.next is not None]
        firsts = [writing.count for _, writing in unfinished]
        blocks = list(language.embed([w.next for _, w in unfinished if w.next is not None])[:, None])
        for _, writing in unfinished:
            writing.count += 1


def _answer(language: PointLanguageModel, writing: _Writing) -> Answer:
    assert writing.question_hidden is not None
    text = language.decode(writing.written)
    none = writing.question_hidden[:0]
    seg = torch.cat([none, *writing.seg_hidden])
    return Answer(text, parse_answer(text), writing.question_hidden, seg, writing.margin, tuple(writing.read))
