"""What runs (ONNX Runtime, the language model in bfloat16) against the reference (PyTorch in float32), to the mask."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from segpoint import backbone
from segpoint.files import read_points
from segpoint.prompts import instruction_question, semantic_question
from segpoint.segmenter import _SURE, Segmenter
from segpoint.stopwatch import Stopwatch
from segpoint_training.scenes.generate import generate_scene

IOU, SAME_ANSWERS = 0.98, 0.95  # at least
SENSORS = ("kinect", "realsense", "stereo")


class Pair(NamedTuple):
    """The same question to both."""

    instruction: str
    same_answer: bool
    iou: float | None  # None where neither marks a point


@pytest.fixture(scope="module")
def segmenters() -> tuple[Segmenter, Segmenter]:
    """The bundle that ships: as it runs, with bfloat16 also where the CPU does not multiply it, and the reference."""
    backbone.setup()

    def load(backend: str, dtype: str) -> Segmenter:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("segpoint.segmenter.language_dtype", lambda device: dtype)
            segmenter = Segmenter.from_bundle(backend=backend, device="cpu")
        assert segmenter.engines.runner.name.startswith(backend)
        assert str(segmenter.language.reader.dtype) == f"torch.{dtype}"
        return segmenter

    return load("onnxruntime", "bfloat16"), load("torch", "float32")


def asked(
    segmenters: tuple[Segmenter, Segmenter], xyz: np.ndarray, rgb: np.ndarray | None, instructions: Sequence[str]
) -> Iterable[Pair]:
    found = (segmenter.segment_many(xyz, instructions, rgb=rgb) for segmenter in segmenters)
    for instruction, ours, theirs in zip(instructions, *found, strict=True):
        either, both = (ours.mask | theirs.mask).sum(), (ours.mask & theirs.mask).sum()
        yield Pair(instruction, ours.answer == theirs.answer, float(both / either) if either else None)


def check(pairs: Sequence[Pair]) -> None:
    """Pairs without a mask on either side are left out of the mean: they would only make it better."""
    ious = [pair.iou for pair in pairs if pair.iou is not None]
    same = float(np.mean([pair.same_answer for pair in pairs]))
    figures = f"mean IoU {np.mean(ious):.4f} of {len(ious)} masks, {same:.1%} of {len(pairs)} answers the same"
    print(figures)
    assert len(ious) > len(pairs) / 2, figures
    assert np.mean(ious) >= IOU and same >= SAME_ANSWERS, (figures, [p for p in pairs if p.iou not in (None, 1.0)])


def test_on_generated_scenes(segmenters: tuple[Segmenter, Segmenter]) -> None:
    pairs = []
    for number, sensor in enumerate(SENSORS):
        scene = generate_scene(910_000 + number, "test", sensor, 320, 240)
        pairs += asked(segmenters, scene.xyz, scene.rgb, [instruction.text for instruction in scene.instructions])
    assert len(pairs) >= 40
    check(pairs)


def test_questions_the_reader_rules_out_get_the_same_answer_from_the_llm(
    segmenters: tuple[Segmenter, Segmenter], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = segmenters[0]
    asked, farthest = 0, 0.0
    for number, sensor in enumerate(SENSORS):
        scene = generate_scene(910_000 + number, "test", sensor, 320, 240)
        questions = [instruction_question(instruction.text) for instruction in scene.instructions]
        questions += [semantic_question(name) for name in ("zebra", "mug", "chair", "bottle", "keyboard", "shoe")]
        encoded = segmenter._look(scene.xyz, scene.rgb, "optical", Stopwatch()).encoded
        short = segmenter.read_many(encoded, questions, Stopwatch())
        with monkeypatch.context() as patch:
            patch.setattr("segpoint.segmenter._SURE", float("inf"))
            whole = segmenter.read_many(encoded, questions, Stopwatch())
        assert [reading.text for reading in short] == [reading.text for reading in whole]
        assert [reading.presence for reading in short] == [reading.presence for reading in whole]
        asked += sum(not math.isnan(reading.margin) for reading in short)
        farthest = min(farthest, *(reading.margin for reading in whole))
    assert 0 < asked < len(SENSORS) * len(questions), "some were asked, some were not"
    print(f"the farthest that the LLM leans to a target: {-farthest:.1f}")
    assert -farthest < _SURE - 2


def test_on_real_scenes(segmenters: tuple[Segmenter, Segmenter], shared: Path) -> None:
    rows = json.loads((shared / "real" / "instructions.json").read_text())
    instructions = defaultdict(list)
    for row in rows:
        instructions[row["file"]].append(row["instruction"])
    pairs = []
    for file, texts in instructions.items():
        points = read_points(shared / "real" / file)
        pairs += asked(segmenters, points.xyz, points.rgb, texts)
    assert len(pairs) == len(rows)
    check(pairs)
