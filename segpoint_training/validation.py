"""A quick look at held-out scenes during training: mIoU on voxels, by kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from segpoint.config import BundleConfig
from segpoint.network.inputs import PointInputs, collate
from segpoint.network.place import Places
from segpoint.prompts import THIS
from segpoint_training.metrics import Sample, iou, summary
from segpoint_training.pointing import SEEN, middle_click, stack_places
from segpoint_training.questions import question_of
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import LabelledCloud

Answerer = Callable[[PointInputs, list[str], Places | None], tuple[Tensor, Tensor | None]]
POINTED = 4  # objects of a cloud that are clicked on


def validate(
    config: BundleConfig, clouds: Sequence[LabelledCloud], answer: Answerer, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """mIoU per kind of ``answer``: a cloud, questions and places → mask logits (Q, N), presence logits (Q,) or None.

    Kind "place" is one click on the middle of an object, without words. "ungated" is the mIoU with target without the
    presence gate. On voxels and with both thresholds at 0.5: for watching a run; `segpoint evaluate` is what counts.
    """
    samples: list[Sample] = []
    ungated: list[Sample] = []
    for item in clouds:
        if not (asked := questions_of(item)):
            continue
        masks, there = ask(config, item, asked, answer, device)
        truth = truths(item, asked)
        for q, instruction in enumerate(asked):
            has_target = bool(instruction.targets)
            ungated.append(Sample(instruction.kind, has_target, (iou(masks[q], truth[q]),)))
            samples.append(Sample(instruction.kind, has_target, (iou(masks[q] & there[q], truth[q]),)))
    result = {name: round(100 * m.miou, 1) for name, m in summary(samples).items()}
    result["ungated"] = round(100 * summary(ungated)["with target"].miou, 1)
    return {name: value for name, value in result.items() if not np.isnan(value)}


def questions_of(item: LabelledCloud) -> list[Instruction]:
    """What a cloud is asked: its own instructions but those for several masks at once, and clicks on its objects."""
    return [*(i for i in item.instructions if i.task != "all"), *_clicks(item)]


@torch.no_grad()
def ask(
    config: BundleConfig,
    item: LabelledCloud,
    asked: Sequence[Instruction],
    answer: Answerer,
    device: torch.device | str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """(Q, count) bool, the voxels whose score is above 0.5, and (Q,) bool, whether the presence gate lets them pass."""
    inputs = collate([item.cloud], config)
    places = _places(item, asked, inputs, config)
    questions = [question_of(instruction) for instruction in asked]
    logits, presence = answer(inputs.to(device), questions, places.to(device) if places else None)
    masks = (logits[:, : item.cloud.count] > 0).cpu().numpy()
    there = np.ones(len(asked), bool) if presence is None else (presence > 0).cpu().numpy()
    return masks, there


def _clicks(item: LabelledCloud) -> list[Instruction]:
    seen = np.bincount(item.instance, minlength=1 + max((o.id for o in item.objects), default=0))
    things = [o for o in item.objects if o.id > 1 and seen[o.id] >= SEEN][:POINTED]
    return [Instruction(THIS, "place", (o.id,), o.category, "click") for o in things]


def _places(
    item: LabelledCloud, asked: Sequence[Instruction], inputs: PointInputs, config: BundleConfig
) -> Places | None:
    points, instance = inputs.points[0].numpy(), item.instance
    drawn = [middle_click(points, np.flatnonzero(instance == i.targets[0])) if i.place else [] for i in asked]
    return stack_places([drawn], inputs, config)


def truths(item: LabelledCloud, asked: Sequence[Instruction]) -> np.ndarray:
    """(Q, count) bool: the voxels that each instruction means."""
    instance = item.instance[: item.count]
    return np.array([np.isin(instance, i.targets) for i in asked], bool).reshape(len(asked), item.count)
