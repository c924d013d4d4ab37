"""From instructions to the questions and answers that the LLM is trained on, and their frozen embeddings."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from segpoint.files import reading
from segpoint.prompts import SEMANTIC_TEMPLATES, answer, instruction_question, semantic_question
from segpoint_training.scenes.colours import NAMES as COLOURS
from segpoint_training.scenes.scene import Instruction, SceneObject

if TYPE_CHECKING:
    from segpoint.network.language import PointLanguageModel
    from segpoint_training.shards import LabelledCloud


SEMANTIC = "semantic"  # the kind of a question for a whole category, which `Segmenter.semantic` asks; its text is whole


def question_of(instruction: Instruction) -> str:
    """What the LLM is asked: the user's words and the request for a mask."""
    return instruction.text if instruction.kind == SEMANTIC else instruction_question(instruction.text)


def semantic_instruction(category: str, objects: Sequence[SceneObject], variant: int) -> Instruction:
    """Every object of ``category``, there or not, asked for by the paper's template (variant 0) or one of ours."""
    targets = tuple(sorted(o.id for o in objects if o.category == category))
    return Instruction(semantic_question(category, variant), SEMANTIC, targets, category if targets else "")


def semantic_texts(categories: Sequence[str]) -> list[str]:
    """Every question that `semantic_instruction` may ask."""
    return [semantic_question(word, variant) for word in categories for variant in range(len(SEMANTIC_TEMPLATES))]


def answer_of(instruction: Instruction) -> str:
    """What the LLM should write: the category and <SEG>, or that there is no mask."""
    return answer([instruction.answer] if instruction.targets else [])


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
