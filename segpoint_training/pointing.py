"""Questions that come with a click or a box, made from labelled clouds: alone ("this") or with words ("this mug")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from segpoint.config import BundleConfig
from segpoint.network.inputs import PointInputs
from segpoint.network.place import BOX, CLICK, Places
from segpoint.pointing import nearest_tokens
from segpoint.prompts import THIS
from segpoint_training.scenes.scene import Instruction, SceneObject

Drawn = tuple[int, np.ndarray, np.ndarray]  # kind, corners (2, 3), inside (R,): as in `Places`
MOST = 2  # places with one question, in training
SEEN = 12  # an object of fewer voxels is not pointed at
_ALONE = {
    "train": (THIS, THIS, THIS, "pick this up", "what is this?", "this one", "the thing here", "take this one"),
    "test": ("that one there", "lift this", "the object at this spot", "fetch this for me"),
}
_WORDS = {
    "train": ("this {word}", "the {word} here", "pick up this {word}"),
    "test": ("that {word} there", "the {word} at this spot", "fetch this {word} for me"),
}


def pointing_instruction(thing: SceneObject, split: str, place: str, rng: np.random.Generator) -> Instruction:
    """What is said while pointing at ``thing``; ``place`` is "click" or "box", ``split`` "train" or "test"."""
    if rng.random() < 0.6:
        text = str(rng.choice(_ALONE[split]))
    else:
        text = str(rng.choice(_WORDS[split])).format(word=thing.category)
    return Instruction(text, "place", (thing.id,), thing.category, place)


def pointing_texts(split: str, categories: Sequence[str]) -> list[str]:
    """Every sentence that `pointing_instruction` may write."""
    return [*dict.fromkeys(_ALONE[split])] + [text.format(word=word) for text in _WORDS[split] for word in categories]


@dataclass(frozen=True)
class Ground:
    """A cloud as one points at it: network coordinates (N, 3), object ids (N,), and the rows (R,) that f_P is for."""

    points: np.ndarray
    instance: np.ndarray
    rows: np.ndarray


def draw_places(instruction: Instruction, ground: Ground, rng: np.random.Generator) -> list[Drawn]:
    """Where a person might point for an instruction: one `Drawn` a place.

    Clicks fall anywhere on what is seen of the target, half of them near its middle, at times two of them, and miss a
    little; boxes are drawn a little too large or small. Empty where the instruction has no place, or its target no row.
    """
    if not instruction.place:
        return []
    on = np.flatnonzero(ground.instance[ground.rows] == instruction.targets[0])
    if len(on) == 0:
        return []
    points = ground.points[ground.rows]
    if instruction.place == "box":
        whole = ground.points[ground.instance == instruction.targets[0]]
        low, high = whole.min(axis=0), whole.max(axis=0)
        slack = rng.uniform(-0.06, 0.12, (2, 3)) * (high - low) + 0.01
        low, high = low - slack[0], high + slack[1]
        held = ((points >= low) & (points <= high)).all(axis=1)
        if held.any():
            return [(BOX, np.stack([low, high]), held / held.sum())]
    places = []
    for _ in range(1 if rng.random() < 0.8 else MOST):
        row = nearest_to_middle(points, on) if rng.random() < 0.5 else int(rng.choice(on))
        click = points[row] + rng.normal(0, 0.015, 3)
        places.append((CLICK, np.stack([click, click]), np.eye(1, len(points), row)[0]))
    return places


def middle_click(points: np.ndarray, on: np.ndarray) -> list[Drawn]:
    """One click on the middle of the rows ``on`` of points (R, 3)."""
    row = nearest_to_middle(points, on)
    return [(CLICK, points[[row, row]], np.eye(1, len(points), row)[0])]


def nearest_to_middle(points: np.ndarray, on: np.ndarray) -> int:
    """The row among ``on`` (n,) whose point is nearest to their mean."""
    return int(on[np.linalg.norm(points[on] - points[on].mean(axis=0), axis=1).argmin()])


def stack_places(
    drawn: Sequence[Sequence[Sequence[Drawn]]], inputs: PointInputs, config: BundleConfig
) -> Places | None:
    """Places of Q questions about each of B clouds as tensors; None where nobody points at anything."""
    most = max((len(places) for some in drawn for places in some), default=0)
    if most == 0:
        return None
    batch, questions = len(drawn), len(drawn[0])
    points = next(len(places[0][2]) for some in drawn for places in some if places)
    kind = np.full((batch, questions, most), -1, np.int64)
    corners = np.zeros((batch, questions, most, 2, 3), np.float32)
    inside = np.zeros((batch, questions, most, points), np.float32)
    token = np.zeros((batch, questions, most), np.int64)
    for b, some in enumerate(drawn):
        for q, places in enumerate(some):
            for p, place in enumerate(places):
                kind[b, q, p], corners[b, q, p], inside[b, q, p] = place
                token[b, q, p] = nearest_tokens(place[1].mean(axis=0)[None], inputs, b, config)[0]
    return Places(*(torch.from_numpy(array) for array in (kind, corners, inside, token)))
