"""Clouds and records of replays that never were, for the tests of what is made from them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from segpoint_replay.job import Job
from segpoint_replay.record import DROPPED, Answered, FrameTime, Picture, Run
from segpoint_ros.messages import Header
from segpoint_ros.pointcloud2 import make_cloud

_HERTZ = 10


def made(
    clouds: int,
    instructions: Sequence[str],
    *,
    truth: bool = True,
    dropped: int = 0,
    troubles: int = 0,
    pictures: int = 0,
    seed: int = 0,
    way: str = "offline",
    out: str = "out/replay",
    bag: str = "bags/kitchen.mcap",
) -> Run:
    """A run of so many clouds, all instructions asked of each; every fifth instruction's target is not there.

    pictures: so many, "0.png" and on, half of them of the worst.
    """
    draw = random.Random(seed)
    lost = set(draw.sample(range(clouds), dropped))
    frames = tuple(
        FrameTime(
            number, 1_700_000_000_000_000_000 + number * 100_000_000, number / _HERTZ, 20_000, number not in lost,
            DROPPED if number in lost else "", None if number in lost else draw.gauss(0.34, 0.03) + (number == 0),
            {} if number in lost else {"encode": draw.gauss(0.2, 0.02), "language": 0.1, "decode": 0.03, "total": 0.33},
        )
        for number in range(clouds)
    )  # fmt: skip
    answers = [
        _answer(draw, number, place, text, truth)
        for number in range(clouds)
        if number not in lost
        for place, text in enumerate(instructions)
    ]
    shown = tuple(
        Picture(f"{n}.png", "worst" if 2 * n < pictures else "best", answers[n].frame, answers[n].instruction, 0.5)
        for n in range(min(pictures, len(answers)))
    )
    return Run(
        job=Job(bag, out, instructions=tuple(instructions), parameters=(("mask.threshold", 0.4),), way=way).to_dict(),
        versions={"segpoint": "0.7.0", "commit": f"{seed:07d}", "python": "3.11.9", "processor": "a test's"},
        topic="/camera/points",
        frame_id="camera_optical",
        axes="optical",
        backend="onnxruntime",
        wall=0.34 * clouds,
        frames=frames,
        answers=tuple(answers),
        troubles=tuple(f"cloud {n}: cut off after 1024 of 4096 bytes" for n in range(troubles)),
        pictures=shown,
    )


def _answer(draw: random.Random, number: int, place: int, text: str, truth: bool) -> Answered:
    there = place % 5 != 4
    iou = min(1.0, max(0.0, 0.8 - 0.12 * (place % 5) + draw.gauss(0, 0.07))) if there else float(draw.random() < 0.8)
    return Answered(
        number, text, ("name", "place", "use")[place % 3], f"It is <SEG>, the {place + 1}th.", 800,
        true_points=(900 if there else 0) if truth else None,
        iou=iou if truth else None,
        position_error=abs(draw.gauss(0.02, 0.01)) if truth and there else None,
        stability=min(1.0, max(0.0, draw.gauss(0.85, 0.05))) if number else None,
        true_stability=min(1.0, draw.gauss(0.93, 0.02)) if truth and number else None,
    )  # fmt: skip


def frame(xyz: np.ndarray, number: int = 0, frame_id: str = "sensor", rgb: np.ndarray | None = None) -> SimpleNamespace:
    """A cloud of points (M, 3), one a second."""
    cloud = make_cloud(Header(frame_id=frame_id), xyz.astype(np.float32), rgb, len(xyz), 1)
    return SimpleNamespace(number=number, stamp=number * 10**9, received=number * 10**9, at=number / 10, message=cloud)
