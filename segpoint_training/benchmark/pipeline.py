"""One configuration of the whole method, timed: a program that `segpoint_training.benchmark.cases` starts."""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segpoint.cloud import prepare
from segpoint.files import read_points
from segpoint.segmenter import Segmentation, Segmenter
from segpoint_training.benchmark.cases import Case, answer_program, jittered

STANDING = "pick up the mug"
WARM_UP = 2  # rounds
JITTER_M = 0.0005  # between one cloud and the next

_BEFORE = ("", "robot, ", "please ", "now ", "then ", "next ", "so ", "also ")
_VERBS = ("pick up", "give me", "find", "show me", "hand me", "take", "look for", "point at", "touch", "fetch", "get",
          "grasp")  # fmt: skip
_THINGS = ("the mug", "the mug", "the mug", "something to drink from")
_AFTER = ("", " now", " for me", " carefully", " over there", " quickly", " slowly", " with care", " at once", " again",
          " this time", " as well")  # fmt: skip


def sentences(seed: int) -> Iterator[str]:
    """Instructions without end, each again only after more others than a segmenter remembers.

    All mean the same, for what an answer costs depends on whether there is something to mark. Three of four name it: a
    target that is named is answered in fewer passes of the LLM.
    """
    parts = itertools.product(_BEFORE, _VERBS, dict.fromkeys(_THINGS), _AFTER)
    every = [f"{before}{verb} {thing}{after}" for before, verb, thing, after in parts]
    rng = random.Random(seed)
    rng.shuffle(every)
    by_thing = {thing: itertools.cycle([text for text in every if thing in text]) for thing in _THINGS}
    while True:
        yield next(by_thing[rng.choice(_THINGS)])


class _Pipeline:
    """A loaded bundle and a stream of clouds of one view."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.segmenter = Segmenter.from_bundle(case.bundle, case.backend, device_of(case.backend))
        points = read_points(case.cloud)
        self.xyz, self.rgb = points.xyz, points.rgb
        self.rng, self.texts = np.random.default_rng(case.seed), sentences(case.seed)
        self.passes = 0
        self._count_passes()

    def _count_passes(self) -> None:
        reader = self.segmenter.language.reader
        read = reader.read

        def counted(*args: Any, **named: Any) -> torch.Tensor:
            self.passes += 1
            return read(*args, **named)

        vars(reader)["read"] = counted

    def next_cloud(self) -> np.ndarray:
        return jittered(self.xyz, self.rng, JITTER_M)

    def ask(self, texts: list[str]) -> list[Segmentation]:
        return self.segmenter.segment_many(self.next_cloud(), texts, self.rgb, self.case.frame)

    def second(self) -> Segmentation:
        """A new instruction about a cloud that has been asked about before. The timings are the second one's."""
        xyz, rgb, frame = self.next_cloud(), self.rgb, self.case.frame
        self.segmenter.segment(xyz, next(self.texts), rgb, frame)
        return self.segmenter.segment(xyz, next(self.texts), rgb, frame)


def device_of(backend: str) -> str:
    """Where a backend computes."""
    return "cpu" if backend == "onnxruntime" else "auto"


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Time a `Case`; one of no repeats only has its engines built.

    For each kind the seconds of every stage, of their sum ("total") and of the call ("call"); "found": how many answers
    marked something; "passes": of the LLM, in each call, and in those whose answer was that of the call before.
    """
    case = Case(**{**spec, "kinds": tuple(spec["kinds"])})
    if not case.repeats:
        Segmenter.from_bundle(case.bundle, case.backend, device_of(case.backend))
        return {}
    pipeline = _Pipeline(case)
    segmenter = pipeline.segmenter
    kinds: dict[str, dict[str, Any]] = {kind: {"seconds": {}, "found": 0} for kind in case.kinds}
    for turn in range(-WARM_UP, case.repeats):
        for kind in case.kinds:
            measured = _once(pipeline, kind)
            if turn >= 0:
                _add(kinds[kind], measured)
    for found in kinds.values():
        answers, passes = found.pop("answers", []), found.get("passes", [])
        found["passes_unchanged"] = [passes[i] for i in range(1, len(passes)) if answers[i] == answers[i - 1]]
    cloud = prepare(pipeline.xyz, pipeline.rgb, case.frame, segmenter.config.cloud)
    return {
        "runner": segmenter.engines.runner.name,
        "device": segmenter.device,
        "points": segmenter.config.cloud.points,
        "voxels": cloud.count,
        "raw": len(pipeline.xyz),
        "repeats": case.repeats,
        "peak_mb": peak_memory_mb(),
        "gpu_peak_mb": torch.cuda.max_memory_allocated() / 1e6 if segmenter.device != "cpu" else None,
        "kinds": kinds,
    }


def _once(pipeline: _Pipeline, kind: str) -> dict[str, Any]:
    """Seconds of each stage and of the call as a whole, and what came of it."""
    before = pipeline.passes
    if kind == "second":
        answer = pipeline.second()
        return {"seconds": answer.timings, "found": int(answer.mask.any())}
    if kind == "standing":
        texts = [STANDING] * pipeline.case.questions
    else:
        texts = [next(pipeline.texts) for _ in range(pipeline.case.questions)]
    since = time.perf_counter()
    answers = pipeline.ask(texts)
    call = time.perf_counter() - since
    own = sum(answer.timings["instances"] for answer in answers)  # all other stages are shared, and in each
    seconds = {**answers[0].timings, "instances": own}
    seconds["total"] = sum(value for stage, value in seconds.items() if stage != "total")
    measured = {"seconds": {**seconds, "call": call}, "found": sum(answer.mask.any() for answer in answers)}
    return {**measured, "passes": pipeline.passes - before, "answers": [answer.answer for answer in answers]}


def _add(kind: dict[str, Any], measured: dict[str, Any]) -> None:
    for stage, seconds in measured["seconds"].items():
        kind["seconds"].setdefault(stage, []).append(seconds)
    kind["found"] += int(measured["found"])
    for name in ("passes", "answers"):
        if name in measured:
            kind.setdefault(name, []).append(measured[name])


def peak_memory_mb() -> float:
    """The most memory that this process has held. (``getrusage`` would tell the parent's if that was larger.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def main(argv: list[str]) -> int:
    return answer_program(argv, measure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
