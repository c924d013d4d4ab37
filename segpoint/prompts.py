"""The words around the points: task templates, the answer grammar, and what a user may type and point at (PAPER.md,
"Prompts").

A prompt reads ``USER: <POINT> {question} ASSISTANT:`` and the model writes ``mug <SEG>.``, ``bowl <SEG>, mug <SEG>.``
or ``There is no mask.`` Only this module knows those words. ``<POINT>`` and ``<SEG>`` never pass through a tokenizer:
the network puts point tokens and its own ``<SEG>`` vector in their places, so the same letters typed by a user are
plain text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segpoint.errors import SegPointError

POINT = "<POINT>"
SEG = "<SEG>"
NO_MASK = "There is no mask."

# The first template of each task is the paper's; the others are ours, mixed in while training for diversity.
SEMANTIC_TEMPLATES = (
    "Can you segment the {category} category in this point cloud?",
    "Please segment the {category} in this point cloud.",
    "Where is the {category}? Please output segmentation mask.",
    "Mark every {category} in this point cloud.",
)
_ALL_TEMPLATE = "Can you segment all categories in this point cloud in the alphabetical order of the categories?"
SEMANTIC_ALL_TEMPLATES = (
    f"{_ALL_TEMPLATE} The categories are {{categories}}.",
    "Please output the segmentation masks of {categories} in the alphabetical order of the categories.",
)
REFERRING_TEMPLATES = (
    "Can you segment the object {description} in this point cloud?",
    "Please segment {description}.",
    "Which points belong to {description}? Please output segmentation mask.",
    "Find {description} in this point cloud and output its mask.",
)
_REQUEST = "Please output segmentation mask."
_TEMPLATE_WORDS = frozenset(
    re.findall(r"\w+", " ".join((*SEMANTIC_TEMPLATES, *SEMANTIC_ALL_TEMPLATES, *REFERRING_TEMPLATES, _REQUEST)))
)
THIS = "this"  # what a click or a box says that comes without words
MOST_CLICKS = 8


@dataclass(frozen=True)
class Place:
    """What the user points at, in metres in the cloud's own axes: clicks (n, 3) on the surface of the thing, and / or
    a box (6,) around it, its lowest corner and its highest, which holds the clicks. Raises `SegPointError` for anything
    else."""

    clicks: np.ndarray | None = None
    box: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.clicks is None and self.box is None:
            raise SegPointError("a place needs clicks (n, 3) or a box (6,), got neither")
        if self.clicks is not None:
            clicks = _numbers(self.clicks, "clicks as (n, 3) finite coordinates in metres")
            clicks = clicks[None] if clicks.shape == (3,) else clicks
            if clicks.ndim != 2 or clicks.shape[1] != 3 or not 1 <= len(clicks) <= MOST_CLICKS:
                raise SegPointError(f"expected 1 to {MOST_CLICKS} clicks as (n, 3), got shape {clicks.shape}")
            object.__setattr__(self, "clicks", clicks)
        if self.box is not None:
            box = _numbers(self.box, "a box as six finite coordinates in metres")
            if box.shape != (6,) or not (box[:3] < box[3:]).all():
                raise SegPointError(
                    f"expected a box as x, y, z of its lowest corner and x, y, z of its highest, got {box.tolist()}"
                )
            object.__setattr__(self, "box", box)
        if self.clicks is not None and self.box is not None:
            inside = ((self.clicks >= self.box[:3]) & (self.clicks <= self.box[3:])).all(axis=1)
            if not inside.all():
                raise SegPointError(
                    f"the click {self.clicks[~inside][0].tolist()} lies outside the box {self.box.tolist()} given with "
                    "it: both are to be on one thing; move one of them or leave it out"
                )


def _numbers(values: object, what: str) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        array = np.array([np.nan])
    if not np.isfinite(array).all():
        raise SegPointError(f"expected {what}, got {' '.join(str(values).split())[:80]}")
    return array


def semantic_question(category: str, variant: int = 0) -> str:
    """Ask for every point of one category; ``variant`` picks a template (modulo their number)."""
    return _pick(SEMANTIC_TEMPLATES, variant).format(category=category)


def semantic_all_question(categories: Sequence[str] = (), variant: int = 0) -> str:
    """Ask for all masks at once; the categories are written into the prompt in alphabetical order.

    Without categories the model is to find the names itself (open vocabulary), and there is one template.
    """
    if not categories:
        return _ALL_TEMPLATE
    return _pick(SEMANTIC_ALL_TEMPLATES, variant).format(categories=", ".join(sorted(categories)))


def referring_question(description: str, variant: int = 0) -> str:
    """Ask for the object that a noun phrase ("the red mug on the left") describes."""
    return _pick(REFERRING_TEMPLATES, variant).format(description=description)


def instruction_question(text: str) -> str:
    """Ask in the user's own words: the text as it is (closed with a full stop if it lacks one) and the request."""
    text = text.strip()
    stop = "" if text and unicodedata.category(text[-1]) == "Po" else "."
    return f"{text}{stop} {_REQUEST}"


# What is made of a user's sentence, by what it is.
QUESTIONS: dict[str, Callable[[str], str]] = {"instruction": instruction_question, "referring": referring_question}


def answer(categories: Sequence[str]) -> str:
    """What the model should write: ``"mug <SEG>."``, ``"bowl <SEG>, mug <SEG>."``, or :data:`NO_MASK` for none."""
    return ", ".join(f"{category} {SEG}" for category in categories) + "." if categories else NO_MASK


def parse_answer(text: str) -> list[str]:
    """The category in front of every ``<SEG>``, in order; empty for :data:`NO_MASK` and for words without ``<SEG>``."""
    return [words.strip(" ,.;:\n\t") for words in text.split(SEG)[:-1]]


def split_prompt(question: str) -> tuple[str, str]:
    """The text before and after the ``<POINT>`` tokens: ``("USER: ", " {question} ASSISTANT:")``."""
    return "USER: ", f" {question} ASSISTANT:"


def last_words(question: str, count: int = 4) -> list[str]:
    """The last different words of a question that are not the templates', the latest first: "pick up the red mug" →
    ["mug", "red", "pick"]. One of them most often names the target."""
    words = (word for word in re.findall(r"[^\W\d_]{3,}", question) if word not in _TEMPLATE_WORDS)
    return list(dict.fromkeys(reversed(list(words))))[:count]


def normalise(text: str) -> str:
    """One line of NFC text: control characters (NUL, newlines, tabs) and runs of white space become one space.

    Characters that only steer the layout of text (zero-width joiners inside emoji, say) are kept; lone surrogates,
    which no encoder accepts, become question marks.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in unicodedata.normalize("NFC", text))
    return re.sub(r"\s+", " ", text).strip()


def fewest_tokens(text: str) -> int:
    """No tokenizer makes fewer tokens of a text: one a word, and hardly one for 32 bytes."""
    return max(len(text.split()), len(text.encode()) // 32)


MOST_CHARACTERS = 12_000  # of an instruction, whatever its tokens


def check_instruction(text: str, limit: int, count_tokens: Callable[[str], int] = fewest_tokens) -> str:
    """The user's instruction, normalised, or an error that says what is wrong with it.

    Args:
        text: what the user typed.
        limit: the most tokens allowed (the bundle's limit).
        count_tokens: the tokenizer's count, not asked (it complains, and takes its time) where the lower bound
            already refuses. Without a tokenizer that bound is all: what it lets through is checked again where the
            tokenizer is.

    Raises:
        SegPointError: not a string, nothing but white space, or more than ``limit`` tokens.
    """
    if not isinstance(text, str):
        raise SegPointError(f"an instruction is a string such as 'pick up the mug', got {type(text).__name__}")
    if len(text) > MOST_CHARACTERS:  # to normalise marks without end takes the square of their number
        raise SegPointError(
            f"the instruction has {len(text)} characters, far more than the {limit} tokens allowed: shorten it"
        )
    clean = normalise(text)
    if not clean:
        raise SegPointError("the instruction is empty: say what to find, for example 'pick up the mug'")
    count = fewest_tokens(clean)
    if count <= limit:
        count = count_tokens(clean)
    if count > limit:
        raise SegPointError(
            f"the instruction has {count} tokens ({len(clean)} characters) and at most {limit} tokens are allowed: "
            "shorten it"
        )
    return clean


def _pick(templates: tuple[str, ...], variant: int) -> str:
    return templates[variant % len(templates)]
