"""A quick look at held-out scenes during training: mIoU on voxels, by kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from segpoint.config import BundleConfig
from segpoint.network.inputs import PointInputs, collate
from segpoint_training.batches import target_table
from segpoint_training.metrics import Sample, iou, summary
from segpoint_training.questions import question_of
from segpoint_training.shards import LabelledCloud

Answerer = Callable[[PointInputs, list[str]], tuple[Tensor, Tensor | None]]


@torch.no_grad()
def validate(config: BundleConfig, clouds: Sequence[LabelledCloud], answer: Answerer) -> dict[str, float]:
    """mIoU per kind of ``answer``: a cloud and its questions → mask logits (Q, N) and presence logits (Q,) or None.

    "ungated" is the mIoU with target without the presence gate. On voxels and with both thresholds at 0.5: for
    watching a run; `segpoint evaluate` is what counts.
    """
    samples: list[Sample] = []
    ungated: list[Sample] = []
    for item in clouds:
        logits, presence = answer(collate([item.cloud], config), [question_of(i) for i in item.instructions])
        masks = (logits[:, : item.cloud.count] > 0).numpy()
        truth = truths(item)
        for q, instruction in enumerate(item.instructions):
            there = presence is None or bool(presence[q] > 0)
            has_target = bool(instruction.targets)
            ungated.append(Sample(instruction.kind, has_target, (iou(masks[q], truth[q]),)))
            samples.append(Sample(instruction.kind, has_target, (iou(masks[q] & there, truth[q]),)))
    result = {name: round(100 * m.miou, 1) for name, m in summary(samples).items()}
    result["ungated"] = round(100 * summary(ungated)["with target"].miou, 1)
    return {name: value for name, value in result.items() if not np.isnan(value)}


def truths(item: LabelledCloud) -> np.ndarray:
    """(Q, count) bool: the voxels that each instruction means."""
    ids = 1 + max(thing.id for thing in item.objects)
    instance = np.where(item.instance < ids, item.instance, 0)[: item.cloud.count]
    return target_table(item.instructions, ids)[:, instance]
