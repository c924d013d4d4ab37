"""From instructions to the questions and answers that the LLM is trained on, and their frozen embeddings."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from segpoint.files import reading
from segpoint.prompts import (
    SEMANTIC_TEMPLATES,
    answer,
    fewest_tokens,
    instruction_question,
    referring_question,
    semantic_all_question,
    semantic_question,
)
from segpoint_training.pointing import pointing_texts
from segpoint_training.scenes.colours import NAMES as COLOURS
from segpoint_training.scenes.scene import Instruction, SceneObject

if TYPE_CHECKING:
    from segpoint.network.language import PointLanguageModel
    from segpoint_training.shards import LabelledCloud
    from segpoint_training.sources import Source

MOST_ASKED = 30  # categories of one question for all of them: names of ScanNet200's 200 would fill the LLM's context


def question_of(instruction: Instruction, variant: int | None = None) -> str:
    """What the LLM is asked: the instruction in a template of its task, the paper's first.

    variant: which of the task's templates, modulo their number; an instruction in a user's own words has but one. None:
    the one that goes with this sentence for good, so that its embedding can be computed beforehand.
    """
    if variant is None:
        variant = crc32(instruction.text.encode()) if instruction.task == "referring" else 0
    if instruction.task == "referring":
        return referring_question(instruction.text, variant)
    if instruction.task == "semantic":
        return semantic_question(instruction.text, variant)
    if instruction.task == "all":
        # One in four names no category (ours): open vocabulary asks so, and the model has to find the names.
        named = [] if variant % 4 == 3 else [category for category, _ in instruction.parts]
        return semantic_all_question(named, variant)
    return instruction_question(instruction.text)


def semantic_instruction(category: str, objects: Sequence[SceneObject]) -> Instruction:
    """Every object of ``category``, whether there is one or not."""
    targets = _of_category(category, objects)
    return Instruction(category, "semantic", targets, category if targets else "", task="semantic")


def all_instruction(classes: Sequence[str], objects: Sequence[SceneObject], rng: np.random.Generator) -> Instruction:
    """All ``classes`` at once, each with its objects. Of more than MOST_ASKED a random choice is asked for, those that
    are there before others (our choice: the paper writes a data set's class names into the prompt).
    """
    there = {o.category for o in objects}
    order = sorted(rng.permutation(len(classes)).tolist(), key=lambda i: classes[i] not in there)
    asked = sorted(classes[i] for i in order[:MOST_ASKED])
    parts = tuple((category, _of_category(category, objects)) for category in asked)
    return Instruction("", "all", tuple(sorted(id for _, ids in parts for id in ids)), "", task="all", parts=parts)


def _of_category(category: str, objects: Sequence[SceneObject]) -> tuple[int, ...]:
    return tuple(sorted(o.id for o in objects if o.category == category))


def semantic_texts(categories: Iterable[str]) -> list[str]:
    """Every question that may be asked about one of the ``categories``."""
    return [semantic_question(word, variant) for word in categories for variant in range(len(SEMANTIC_TEMPLATES))]


def question_texts(sources: Sequence[Source], held_out: Sequence[LabelledCloud]) -> list[str]:
    """Every question that `Batches` may ask about ``sources`` where texts do not vary, and the held-out clouds' own."""
    clouds = [cloud for source in sources for cloud in source.clouds]
    named = {o.category for cloud in (*clouds, *held_out) for o in cloud.objects}
    categories = sorted(named.union(*(source.classes for source in sources)) - {""})
    own = [question_of(i) for cloud in (*clouds, *held_out) for i in cloud.instructions]
    return [*own, *semantic_texts(categories), *map(instruction_question, pointing_texts("train", categories))]


def answer_of(instruction: Instruction) -> str:
    """What the LLM should write: each category that is there and its <SEG>, or that there is no mask."""
    if instruction.task == "all":
        return answer([category for category, ids in instruction.parts if ids])
    return answer([instruction.answer] if instruction.targets else [])


def segs_of(instruction: Instruction) -> list[tuple[int, ...]]:
    """The objects that each <SEG> of `answer_of` stands for, in its order."""
    if instruction.task == "all":
        return [ids for _, ids in instruction.parts if ids]
    return [instruction.targets] if instruction.targets else []


def within_limit(
    instructions: Iterable[Instruction], limit: int, count_tokens: Callable[[str], int]
) -> tuple[Instruction, ...]:
    """The instructions of at most ``limit`` tokens; the tokenizer is not asked where a lower bound is above that."""
    return tuple(i for i in instructions if fewest_tokens(i.text) <= limit and count_tokens(i.text) <= limit)


_COLOUR = re.compile(
    rf"\b({'|'.join(['colou?r', 'dark', 'light', 'bright', 'grey', 'violet', *COLOURS])})", re.IGNORECASE
)


def names_colour(text: str) -> bool:
    """Whether a sentence may speak of colour ("orange" the fruit, too: no harm in leaving it out)."""
    return _COLOUR.search(text) is not None


class QuestionStates:
    """Last hidden states of the frozen LLM for many questions, computed once and kept in a file.

    Stage 1 of training has no LLM in the loop; this stands in for it. Calling it with questions gives their states
    padded, (Q, T, H) float32, with a mask (Q, T) bool, on ``device``; the table itself (float16) stays where it is.
    """

    def __init__(self, states: Tensor, first: Tensor, index: dict[str, int]) -> None:
        self.states, self.first, self.index = states, first, index
        self.device = torch.device("cpu")

    @property
    def width(self) -> int:
        return self.states.shape[1]

    def __call__(self, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        rows = [self.index[q] for q in questions]
        begin, end = self.first[rows], self.first[[r + 1 for r in rows]]
        longest = int((end - begin).max())
        at = begin[:, None] + torch.arange(longest)
        mask = at < end[:, None]
        states = self.states[at.clamp_max(len(self.states) - 1)].to(self.device).float()
        mask = mask.to(self.device)
        return states * mask[..., None], mask

    def many(self, questions: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Q questions about each of B clouds → (B, Q, T, H) states and (B, Q, T) mask."""
        states, mask = self([q for some in questions for q in some])
        shape = (len(questions), len(questions[0]))
        return states.unflatten(0, shape), mask.unflatten(0, shape)

    @classmethod
    def build(cls, questions: Iterable[str], language: PointLanguageModel, folder: Path) -> QuestionStates:
        """States of the unique ``questions``; reused where ``folder`` holds them already, written in parts."""
        unique = sorted(set(questions))
        parts = []
        for i in tqdm(range(0, len(unique), 1024), desc="question embeddings", unit="k"):
            chunk = unique[i : i + 1024]
            name = hashlib.sha256("\n".join(chunk).encode()).hexdigest()[:16]
            path = folder / f"questions-{name}.safetensors"
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                hidden = language.text_hidden(chunk)
                lengths = torch.tensor([len(h) for h in hidden])
                save_file({"states": torch.cat(hidden), "lengths": lengths}, path.with_suffix(".part"))
                path.with_suffix(".part").replace(path)
            with reading(path, "delete it, the same command writes it anew"):
                parts.append(load_file(path))
        lengths = torch.cat([part["lengths"] for part in parts])
        first = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        return cls(torch.cat([part["states"] for part in parts]), first, {q: i for i, q in enumerate(unique)})


def word_embeddings(words: Sequence[str], language: PointLanguageModel) -> Tensor:
    """(len(words), H) float32: the LLM's mean input embedding of each word as it stands within a sentence."""
    table = language.word_table()
    if not words:
        return torch.zeros(0, table.shape[1])
    rows = [table[language.tokenizer(f" {word}", add_special_tokens=False).input_ids].mean(dim=0) for word in words]
    return torch.stack(rows).float()


def keep_frequent(clouds: Sequence[LabelledCloud], count: int) -> list[LabelledCloud]:
    """The clouds with only the instructions whose sentence is among the ``count`` most frequent; none is left bare."""
    seen = Counter(i.text for cloud in clouds for i in cloud.instructions)
    frequent = {text for text, _ in seen.most_common(count)}
    kept = [replace(c, instructions=tuple(i for i in c.instructions if i.text in frequent)) for c in clouds]
    return [cloud for cloud in kept if cloud.instructions]


def choose(instructions: Sequence[Instruction], count: int, rng: np.random.Generator) -> list[Instruction]:
    """``count`` of a scene's instructions, repeated where there are fewer."""
    order = rng.permutation(len(instructions))
    return [instructions[i] for i in np.resize(order, count).tolist()]
