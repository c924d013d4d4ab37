"""What is measured: configurations of the method, each in a process of its own, so that none sees another's memory."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.bundle import WEIGHTS
from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.files import write_points

PARTS = ("stages", "points", "raw", "questions", "peers")
LANGUAGE = ("llm_points", "words", "llm_answer")  # stages of the LLM

_PIPELINE = "segpoint_training.benchmark.pipeline"


@dataclass(frozen=True)
class Sizes:
    """How far each part goes. points: N.   raw: points of a cloud.   questions: on one cloud."""

    points: tuple[int, ...]
    raw: tuple[int, ...]
    questions: tuple[int, ...]


FULL = Sizes((2048, 4096, 8192, 16_384, 32_768), (30_000, 100_000, 307_200, 1_000_000), (1, 2, 5, 10, 20))
QUICK = Sizes((2048, 4096), (30_000, 307_200), (1, 20))


@dataclass(frozen=True)
class Case:
    """One configuration.

    kinds: "new": instructions never asked before, about the next cloud; "standing": one asked before, about the next
    cloud; "second": a new one about the cloud of the last. cloud: a file.
    """

    part: str
    bundle: str
    backend: str
    cloud: str
    frame: str
    kinds: tuple[str, ...]
    questions: int
    repeats: int
    seed: int

    @property
    def title(self) -> str:
        cloud, bundle = Path(self.cloud).stem.removeprefix("cloud-"), Path(self.bundle).name
        return f"{self.part}: {self.backend}, {bundle}, {cloud} points, {self.questions} instruction(s)"


class Workplace:
    """A folder for the bundles and clouds of one benchmark."""

    def __init__(self, folder: Path, bundle: Path, xyz: np.ndarray, rgb: np.ndarray | None, seed: int) -> None:
        self.folder, self.bundle, self.seed = folder, bundle, seed
        self.config = BundleConfig.load(bundle)
        self._xyz, self._rgb = xyz, rgb

    def cloud(self, count: int | None = None) -> str:
        """A file of the cloud, as it is or resampled."""
        count = count or len(self._xyz)
        path = self.folder / f"cloud-{count}.npz"
        if not path.exists():
            whole = self._xyz, self._rgb
            write_points(path, *(whole if count == len(self._xyz) else resampled(*whole, count, self.seed)))
        return str(path)

    def bundle_of(self, points: int) -> str:
        """The bundle with another N: no weight's shape depends on it, so they are the same."""
        folder = self.folder / f"N-{points}"
        if not folder.exists():
            folder.mkdir()
            replace(self.config, cloud=replace(self.config.cloud, points=points)).save(folder)
            (folder / WEIGHTS).symlink_to((self.bundle / WEIGHTS).resolve())
        return str(folder)


def resampled(xyz: np.ndarray, rgb: np.ndarray | None, count: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """A cloud (M, 3) of another number of points, in the order in which the sensor gave them: some left out, or further
    ones beside those that are there, a millimetre away."""
    rng = np.random.default_rng(seed)
    rounds, rest = divmod(count, len(xyz))
    chosen = [np.arange(len(xyz))] * rounds + [rng.choice(len(xyz), rest, replace=False)]
    index = np.sort(np.concatenate(chosen))
    return jittered(xyz[index], rng, 0.001 if rounds else 0.0), None if rgb is None else rgb[index]


def jittered(xyz: np.ndarray, rng: np.random.Generator, metres: float) -> np.ndarray:
    """(M, 3) float32: the same view again, with a sensor's noise."""
    return xyz + np.float32(metres) * rng.standard_normal(xyz.shape, np.float32)


def cases(
    place: Workplace, parts: Sequence[str], backends: Sequence[str], sizes: Sizes, frame: str, repeats: int
) -> Iterator[Case]:
    """All configurations of the parts asked for; ``backends`` best first. What engines do not matter to is measured
    with the best."""
    whole = Case("", str(place.bundle), backends[0], place.cloud(), frame, ("new",), 1, repeats, place.seed)
    if "stages" in parts:
        for backend in backends:
            yield replace(whole, part="stages", backend=backend, kinds=("new", "standing", "second"))
    if "points" in parts:
        own, least = place.config.cloud.points, place.config.gfp.levels[1]
        for points in sorted({own, *(n for n in sizes.points if n > least)}):
            for backend in backends:
                bundle = str(place.bundle) if points == own else place.bundle_of(points)
                yield replace(whole, part="points", backend=backend, bundle=bundle)
    if "raw" in parts:
        for count in sizes.raw:
            yield replace(whole, part="raw", cloud=place.cloud(count))
    if "questions" in parts:
        for questions in sizes.questions:
            yield replace(whole, part="questions", questions=questions)


def prepare_case(case: Case, environment: dict[str, str]) -> None:
    """Build engines that are missing, in a process of its own: the memory measured later is that of everyday use."""
    if case.backend != "torch":
        run_program(_PIPELINE, dataclasses.asdict(replace(case, repeats=0)), environment)


def run_case(case: Case, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Measure one configuration: a row for each kind, times in milliseconds. "rest": all stages but the LLM's."""
    found = run_program(_PIPELINE, dataclasses.asdict(case), environment)
    rows = []
    for kind, measured in found.pop("kinds").items():
        seconds = measured.pop("seconds")
        others = [times for stage, times in seconds.items() if stage not in (*LANGUAGE, "total", "call")]
        seconds["rest"] = [sum(each) for each in zip(*others, strict=True)]
        milliseconds = {stage: summary(times) for stage, times in seconds.items()}
        command = f"segpoint benchmark --part {case.part}"
        row = {"part": case.part, "kind": kind, "backend": case.backend, "questions": case.questions}
        rows.append({**row, **found, **measured, "milliseconds": milliseconds, "command": command})
    return rows


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Seconds of repeated calls as milliseconds p50, p95 and least."""
    p50, p95 = 1000 * np.percentile(seconds, (50, 95))
    return {"p50": float(p50), "p95": float(p95), "least": 1000 * min(seconds)}


def run_program(module: str, spec: dict[str, Any], environment: dict[str, str]) -> Any:
    """What a Python program makes of a JSON specification: ``python -m module SPEC RESULT``.

    Raises `SegPointError` with the last line that it said where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="segpoint-benchmark-") as folder:
        asked, told = Path(folder, "spec.json"), Path(folder, "result.json")
        asked.write_text(json.dumps(spec))
        ended = subprocess.run(
            [sys.executable, "-m", module, str(asked), str(told)],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        if ended.returncode or not told.is_file():
            lines = [line for line in ended.stderr.splitlines() if line.strip()]
            raise SegPointError(lines[-1] if lines else f"{module} ended with exit code {ended.returncode}")
        return json.loads(told.read_text())


def answer_program(argv: list[str], measure: Any) -> int:
    """The other side of `run_program`: ``measure`` makes a result of the specification."""
    try:
        result = measure(json.loads(Path(argv[0]).read_text()))
    except SegPointError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    Path(argv[1]).write_text(json.dumps(result))
    return 0


def environment_of(threads: int) -> dict[str, str]:
    """The environment of a process that computes with so many threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
