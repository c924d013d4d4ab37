"""How much the reader's presence should weigh when the LLM chooses to write "There is no mask.".

    python -m segpoint_training.calibrate runs/tabletop models/segpoint-tabletop

Answers the run's held-out generated scenes once with a target forced, then tries weights on what was recorded, and
writes the best one (by mIoU over all instructions, zero-target ones counted 0 or 1) into the bundle's config.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from segpoint.config import BundleConfig
from segpoint.network.inputs import collate
from segpoint.segmenter import Segmenter, Stopwatch
from segpoint_training.metrics import iou
from segpoint_training.questions import question_of
from segpoint_training.shards import LabelledCloud, read_shards
from segpoint_training.validation import truths

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("bundle", type=Path, help="the bundle whose config.json is set")
    parser.add_argument("--clouds", type=int, default=25)
    args = parser.parse_args(argv)
    segmenter = Segmenter.from_bundle(args.bundle)
    clouds = read_shards(sorted((args.run / "shards").glob("test-*.npz")))[: args.clouds]
    recorded = np.array([row for cloud in tqdm(clouds) for row in _forced(segmenter, cloud)])
    print(f"{'weight':>8}{'all mIoU':>10}{'with target':>13}{'zero-target':>13}")
    best, best_miou = 0.0, -1.0
    for weight in WEIGHTS:
        scores, wanted = answered(recorded, weight), recorded[:, 3] > 0
        row = [100 * some.mean() for some in (scores, scores[wanted], scores[~wanted])]
        print(f"{weight:8}{row[0]:10.1f}{row[1]:13.1f}{row[2]:13.1f}")
        if scores.mean() > best_miou:
            best, best_miou = weight, float(scores.mean())
    replace(BundleConfig.load(args.bundle), presence_weight=best).save(args.bundle)
    print(f"presence_weight {best} is in {args.bundle / 'config.json'}")
    return 0


def answered(recorded: np.ndarray, weight: float) -> np.ndarray:
    """(n,) IoU of each recorded answer (IoU with a target forced, margin, presence, has target) at this weight."""
    forced, margin, presence, wanted = recorded.T
    nothing = margin - weight * presence > 0
    return np.where(nothing, wanted == 0, forced)


@torch.inference_mode()
def _forced(segmenter: Segmenter, item: LabelledCloud) -> list[tuple[float, float, float, bool]]:
    encoded = segmenter.encode(collate([item.cloud], segmenter.config), Stopwatch())
    rows = []
    for instruction, truth in zip(item.instructions, truths(item), strict=True):
        recorded = segmenter.read(encoded, question_of(instruction), Stopwatch(), forced=True)
        mask = (recorded.logits[: item.cloud.count] > 0).cpu().numpy()
        rows.append((iou(mask, truth), recorded.margin, recorded.presence, bool(instruction.targets)))
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
