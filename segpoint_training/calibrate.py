"""From which score on a point counts, and how much the reader's presence weighs when the LLM chooses to write
"There is no mask.".

    python -m segpoint_training.calibrate models/segpoint-tabletop

Answers instructions about held-out generated scenes, tables and rooms, once with a target forced, tries settings on
what was recorded, and writes the best into the bundle's config.json: first the mask threshold, by the mIoU of the
forced answers that have a target; then the weight (and bias), by the mean over both scales of (share of the questions
with a target that get one + zero-target accuracy) / 2, so that neither is bought with the other, whatever share of the
questions has no target. By the decision, not by the mIoU: where masks are poor, saying no to everything would score
best.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from segpoint.cloud import Cloud, prepare
from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.network.inputs import collate
from segpoint.prompts import instruction_question
from segpoint.segmenter import Segmenter
from segpoint.stopwatch import Stopwatch
from segpoint_training.labelled import LabelledScan, generated_set

FIRST_SEED = 800_000  # of scenes that neither training nor `segpoint evaluate` sees
THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
BIASES = (0.0, -0.5, 0.5, -1.0, 1.0, -2.0, 2.0, -3.0, 3.0, -4.0, 4.0, -6.0, 6.0, -8.0, 8.0)
_LAST = 3  # columns of `recorded` after the IoUs: margin, presence, has target


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    if args.scenes < 1:
        raise SegPointError(f"--scenes must be at least 1, not {args.scenes}")
    segmenter = Segmenter.from_bundle(args.bundle)
    recorded = {}
    for scale in args.scale or ("table", "room"):
        scenes = generated_set(FIRST_SEED, args.scenes, scale=scale)
        recorded[scale] = record(segmenter, tqdm(scenes, desc=f"{scale}s"))
    threshold = best_threshold(list(recorded.values()))
    chosen = {name: np.delete(rows, _others(threshold), axis=1) for name, rows in recorded.items()}
    weight, bias = best_weight(list(chosen.values()), BIASES if args.bias else BIASES[:1])
    _print(recorded, chosen, bias)
    settings: dict[str, Any] = {"mask_threshold": threshold, "presence_weight": weight}
    if args.bias:
        settings["presence_bias"] = bias
    replace(BundleConfig.load(args.bundle), **settings).save(args.bundle)
    print(f"{settings} is in {args.bundle / 'config.json'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m segpoint_training.calibrate", description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path, help="the bundle whose config.json is set")
    parser.add_argument("--scenes", type=int, default=25, metavar="N", help="of each scale (default: 25)")
    parser.add_argument("--scale", choices=("table", "room"), action="append", help="only this one (default: both)")
    parser.add_argument("--bias", action="store_true", help="fit a constant beside the weight, too")
    return parser


def best_threshold(recorded: Sequence[np.ndarray]) -> float:
    """The mask threshold with the best mIoU of forced answers that have a target, mean over ``recorded`` sets."""
    means = np.mean([rows[rows[:, -1] > 0, :-_LAST].mean(axis=0) for rows in recorded], axis=0)
    return THRESHOLDS[int(means.argmax())]


def best_weight(recorded: Sequence[np.ndarray], biases: Sequence[float]) -> tuple[float, float]:
    """(weight, bias) that serve best, mean over ``recorded`` sets; of equal ones the first."""
    return max(
        itertools.product(WEIGHTS, biases), key=lambda pair: np.mean([sum(decided(rows, *pair)) for rows in recorded])
    )


def decided(recorded: np.ndarray, weight: float, bias: float = 0.0) -> tuple[float, float]:
    """(share of the questions with a target that get one, zero-target accuracy) of recorded answers."""
    return served(np.column_stack([recorded[:, 3], recorded[:, 1:]]), weight, bias)


def served(recorded: np.ndarray, weight: float, bias: float = 0.0) -> tuple[float, float]:
    """(mIoU with target, zero-target accuracy) of recorded answers; see `answered`."""
    scores, wanted = answered(recorded, weight, bias), recorded[:, -1] > 0
    return float(scores[wanted].mean()), float(scores[~wanted].mean()) if (~wanted).any() else 1.0


def answered(recorded: np.ndarray, weight: float, bias: float = 0.0) -> np.ndarray:
    """(n,) IoU of each recorded answer (IoU with a target forced, margin, presence, has target) at these settings."""
    forced, margin, presence, wanted = recorded.T
    nothing = margin - weight * presence - bias > 0
    return np.where(nothing, wanted == 0, forced)


@torch.inference_mode()
def record(segmenter: Segmenter, clouds: Iterable[LabelledScan]) -> np.ndarray:
    """(n, thresholds + 3): for each question in words alone, IoU with a target forced at each of THRESHOLDS, the LLM's
    margin, the reader's presence, and 1 where there is a target."""
    rows = []
    for item in clouds:
        cloud = prepare(item.xyz, item.rgb, item.frame, segmenter.config.cloud)
        encoded = segmenter.encode(collate([cloud], segmenter.config).to(segmenter.device), Stopwatch())
        for question in (q for q in item.questions if q.place is None):
            reading = segmenter.read(encoded, instruction_question(question.text), Stopwatch(), forced=True)
            score = reading.logits.sigmoid().cpu().numpy()
            ious = threshold_ious(cloud, score, question.truth)
            rows.append((*ious, reading.margin, reading.presence, bool(question.truth.any())))
    return np.array(rows, dtype=np.float64)


def threshold_ious(cloud: Cloud, score: np.ndarray, truth: np.ndarray) -> list[float]:
    """IoU over the raw points (M,) of ``truth`` and the voxels whose score (N,) is above each of THRESHOLDS."""
    has = cloud.voxel_of >= 0
    points = np.bincount(cloud.voxel_of[has], minlength=len(score))
    true = np.bincount(cloud.voxel_of[has], weights=truth[has], minlength=len(score))
    wanted, ious = np.count_nonzero(truth), []
    for threshold in THRESHOLDS:
        mask = (score > threshold) & cloud.valid
        both = true[mask].sum()
        union = points[mask].sum() + wanted - both
        ious.append(float(both / union) if union else 1.0)
    return ious


def _others(threshold: float) -> list[int]:
    """Columns of the thresholds that were not chosen."""
    return [index for index, value in enumerate(THRESHOLDS) if value != threshold]


def _print(recorded: dict[str, np.ndarray], chosen: dict[str, np.ndarray], bias: float) -> None:
    """Forced mIoU by threshold; then (mIoU with target, zero-target accuracy) by weight, at the bias chosen."""
    names = list(recorded)
    print(f"{'threshold':>9}" + "".join(f"{name:>16}" for name in names))
    for column, threshold in enumerate(THRESHOLDS):
        means = [100 * rows[rows[:, -1] > 0, column].mean() for rows in recorded.values()]
        print(f"{threshold:9}" + "".join(f"{mean:16.1f}" for mean in means))
    print(f"{'weight':>9}" + "".join(f"{name:>16}" for name in names) + f"   (bias {bias:g})")
    for weight in WEIGHTS:
        pairs = [served(rows, weight, bias) for rows in chosen.values()]
        print(f"{weight:9}" + "".join(f"{f'{100 * a:.1f} / {100 * b:.1f}':>16}" for a, b in pairs))


if __name__ == "__main__":
    raise SystemExit(main())
