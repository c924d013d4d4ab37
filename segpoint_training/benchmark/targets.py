"""What the method is meant to reach, judged by the figures of one benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

WHOLE_CLOUD = 307_200  # points of a 640×480 depth image: what the targets in milliseconds are about

Record = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """told: what was measured, or why nothing was. met: None where nothing was."""

    name: str
    told: str
    met: bool | None = None


def targets(record: Record) -> list[Target]:
    """All targets, in the order of the parts that measure them."""
    return [Target(name, *judge(record)) for name, judge in _TARGETS.items()]


def runs(record: Record, part: str, kind: str = "new") -> list[dict[str, Any]]:
    """What was measured of a part, in the order in which it was; the best backend first."""
    return [run for run in record["runs"] if run["part"] == part and run["kind"] == kind]


def group(record: Record, name: str) -> dict[str, Any] | None:
    """A comparison, by its id."""
    return next((found for found in record["groups"] if found["id"] == name), None)


def ratios(group: dict[str, Any], name: str) -> tuple[float, float]:
    """How often the first of a group does its work while another does it once: by medians, by least times."""
    own, other = next(iter(group["seconds"].values())), group["seconds"][name]
    return float(np.median(other) / np.median(own)), min(other) / min(own)


_Judgement = tuple[str, bool | None]


def _unmeasured(part: str) -> _Judgement:
    return f"not measured: --part {part}", None


def _engines(record: Record) -> _Judgement:
    found = group(record, "engines cpu")
    if found is None:
        return _unmeasured("peers")
    if "onnxruntime" not in found["seconds"]:
        return f"not measured: {found['missing'].get('onnxruntime', 'left out')}", None
    median, least = ratios(found, "torch")
    return f"{median:.2f} × (least times {least:.2f} ×)", median >= 2


def _whole(record: Record) -> dict[str, Any] | None:
    """The run about a new instruction on a whole cloud with the best backend."""
    return next((run for run in runs(record, "stages") if run["raw"] == WHOLE_CLOUD), None)


def _in_time(part: str, limit_ms: float) -> Callable[[Record], _Judgement]:
    """Whether the total, or the "rest" beside the language model, of `_whole` is in time."""

    def judge(record: Record) -> _Judgement:
        run = _whole(record)
        if run is None:
            return _unmeasured(f"stages, with a cloud of {WHOLE_CLOUD:,} points")
        value = run["milliseconds"][part]["p50"]
        return f"{value:.0f} ms ({run['backend']})", value <= limit_ms

    return judge


def _second(record: Record) -> _Judgement:
    first, second = runs(record, "stages"), runs(record, "stages", "second")
    if not first or not second:
        return _unmeasured("stages")
    share = second[0]["milliseconds"]["total"]["p50"] / first[0]["milliseconds"]["total"]["p50"]
    return f"{100 * share:.0f} %", share <= 0.3


def _one_pass(record: Record) -> _Judgement:
    standing = runs(record, "stages", "standing")
    passes = [count for run in standing for count in run["passes_unchanged"]]
    if not passes:
        return _unmeasured("stages") if not standing else ("the answer changed each time", None)
    beside = max(passes) - 1  # one reads the points
    return f"{beside} beside the one that reads the points, in each of {len(passes)} clouds at most", beside == 1


def _twenty(record: Record) -> _Judgement:
    by_count = {run["questions"]: run["milliseconds"]["total"]["p50"] for run in runs(record, "questions")}
    if not {1, 20} <= set(by_count):
        return _unmeasured("questions")
    return f"{by_count[20] / by_count[1]:.2f} ×", by_count[20] < 3 * by_count[1]


def _message(record: Record) -> _Judgement:
    found = group(record, "messages")
    if found is None or "ours" not in found["seconds"]:
        return _unmeasured("peers, with ROS 2's messages installed")
    value = 1000 * float(np.median(found["seconds"]["ours"]))
    return f"{value:.1f} ms", value <= 10


def _ros2_numpy(record: Record) -> _Judgement:
    found = group(record, "messages")
    if found is None:
        return _unmeasured("peers, with ROS 2's messages installed")
    if "ros2-numpy" not in found["seconds"]:
        return f"not measured: {found['missing'].get('ros2-numpy', 'left out')}", None
    median, least = ratios(found, "ros2-numpy")
    return f"{median:.2f} × (least times {least:.2f} ×); {found['notes']['ros2-numpy']}", median >= 5


def _linear(record: Record) -> _Judgement:
    by_size = sorted((run["raw"], run["milliseconds"]["total"]["p50"]) for run in runs(record, "raw"))
    if len(by_size) < 2:
        return _unmeasured("raw")
    (few, quick), (many, slow) = by_size[0], by_size[-1]
    linear = all(b[1] / a[1] <= b[0] / a[0] for a, b in pairwise(by_size))
    return f"{many / few:.1f} × the points cost {slow / quick:.1f} × the time", linear


def _memory(record: Record) -> _Judgement:
    run = _whole(record)
    if run is None:
        return _unmeasured(f"stages, with a cloud of {WHOLE_CLOUD:,} points")
    return f"{run['peak_mb']:.0f} MB ({run['backend']})", run["peak_mb"] <= 1500


def _gpu(record: Record) -> _Judgement:
    run = _whole(record)
    if run is None or run["device"] == "cpu":
        return "not measured: no NVIDIA GPU here", None
    value = run["milliseconds"]["total"]["p50"]
    return f"{value:.1f} ms on {record['machine']['gpu']} ({run['backend']})", value <= 20


_TARGETS: dict[str, Callable[[Record], _Judgement]] = {
    "GEM + encoder + GFP: ONNX Runtime ≥ 2 × eager PyTorch": _engines,
    f"{WHOLE_CLOUD:,} points, a new instruction: ≤ 400 ms p50": _in_time("total", 400),
    "of that everything but the language model: ≤ 200 ms": _in_time("rest", 200),
    "a second instruction on the same cloud: ≤ 30 % of the first": _second,
    "a standing instruction's next cloud: one pass of the language model while the answer stays": _one_pass,
    "20 instructions on one cloud: < 3 × one": _twenty,
    "a message read and written: ≤ 10 ms": _message,
    "a message read and written: ≥ 5 × faster than ros2-numpy": _ros2_numpy,
    "time grows at most linearly in raw points": _linear,
    "peak memory: ≤ 1,500 MB": _memory,
    "on a data-centre GPU: ≤ 20 ms": _gpu,
}
