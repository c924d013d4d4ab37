"""A quick look at held-out scenes during training: mIoU on voxels, by kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from segpoint.config import BundleConfig
from segpoint.network.inputs import PointInputs, collate
from segpoint.network.place import Places
from segpoint.prompts import THIS
from segpoint_training.batches import target_table
from segpoint_training.metrics import Sample, iou, summary
from segpoint_training.pointing import SEEN, middle_click, stack_places
from segpoint_training.questions import question_of
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import LabelledCloud

Answerer = Callable[[PointInputs, list[str], Places | None], tuple[Tensor, Tensor | None]]
POINTED = 4  # objects of a cloud that are clicked on


@torch.no_grad()
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
        inputs = collate([item.cloud], config)
        asked = [*item.instructions, *_clicks(item)]
        places = _places(item, asked, inputs, config)
        logits, presence = answer(
            inputs.to(device), [question_of(i) for i in asked], places.to(device) if places else None
        )
        masks = (logits[:, : item.cloud.count] > 0).cpu().numpy()
        truth = truths(replace(item, instructions=tuple(asked)))
        for q, instruction in enumerate(asked):
            there = presence is None or bool(presence[q] > 0)
            has_target = bool(instruction.targets)
            ungated.append(Sample(instruction.kind, has_target, (iou(masks[q], truth[q]),)))
            samples.append(Sample(instruction.kind, has_target, (iou(masks[q] & there, truth[q]),)))
    result = {name: round(100 * m.miou, 1) for name, m in summary(samples).items()}
    result["ungated"] = round(100 * summary(ungated)["with target"].miou, 1)
    return {name: value for name, value in result.items() if not np.isnan(value)}


def _clicks(item: LabelledCloud) -> list[Instruction]:
    seen = np.bincount(item.instance, minlength=256)
    things = [o for o in item.objects if o.id > 1 and seen[o.id] >= SEEN][:POINTED]
    return [Instruction(THIS, "place", (o.id,), o.category, "click") for o in things]


def _places(
    item: LabelledCloud, asked: Sequence[Instruction], inputs: PointInputs, config: BundleConfig
) -> Places | None:
    points, instance = inputs.points[0].numpy(), item.instance
    drawn = [middle_click(points, np.flatnonzero(instance == i.targets[0])) if i.place else [] for i in asked]
    return stack_places([drawn], inputs, config)


def truths(item: LabelledCloud) -> np.ndarray:
    """(Q, count) bool: the voxels that each instruction means."""
    ids = 1 + max(thing.id for thing in item.objects)
    instance = np.where(item.instance < ids, item.instance, 0)[: item.cloud.count]
    return target_table(item.instructions, ids)[:, instance]
