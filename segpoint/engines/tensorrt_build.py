"""A TensorRT plan from an ONNX graph.

Imports tensorrt: to be imported only once `segpoint.engines.tensorrt.check` held.
The same code serves TensorRT 10 and 11: networks are strongly typed, so the graph's own types decide the precision.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import nullcontext, suppress
from pathlib import Path

import tensorrt as trt
import torch

from segpoint.engines.runner import Unavailable
from segpoint.engines.tensorrt_cache import write_atomically

log = logging.getLogger("segpoint.engines")

REPORT_S = 5.0
"""Seconds between two reports of a build's progress."""


class Logger(trt.ILogger):
    """TensorRT's messages: its errors are ours to judge and to tell, so they are kept; the rest is for debugging."""

    def __init__(self) -> None:
        super().__init__()
        self._errors: deque[str] = deque(maxlen=3)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        error = severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)
        if error:
            self._errors.append(msg)
        if error or severity == trt.ILogger.Severity.WARNING:
            log.debug("TensorRT: %s", msg)

    def reason(self) -> str:
        """The last errors in one line, which are then forgotten."""
        text = "; ".join(" ".join(message.split()) for message in self._errors)
        self._errors.clear()
        return text or "TensorRT gives no reason"


LOGGER = Logger()
"""One for the process: TensorRT keeps the first that it is given, for as long as it lives."""


def build_plan(graph: str, onnx: bytes, timings: Path, device: torch.device | None = None) -> bytes:
    """The serialised engine of an ONNX model with static shapes, for a CUDA device; takes minutes, and says how far.

    timings: file of the timing cache, which makes a second build faster; of no other effect.
    Raises `Unavailable` where TensorRT cannot parse or build the graph.
    """
    monitor = _Monitor()

    def build() -> bytes:
        with torch.cuda.device(device) if device is not None else nullcontext():  # current for this thread alone
            return _build(graph, onnx, timings, monitor)

    return _reported(f"TensorRT engine of {graph}", build, monitor)


def _build(graph: str, onnx: bytes, timings: Path, monitor: _Monitor) -> bytes:
    builder = trt.Builder(LOGGER)
    # TensorRT 10 has to be told; in 11 networks are strongly typed without.
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strongly_typed is None else 1 << int(strongly_typed))
    parser = trt.OnnxParser(network, LOGGER)
    if not parser.parse(onnx):
        problems = "; ".join(_told(parser.get_error(i)) for i in range(parser.num_errors))
        LOGGER.reason()
        raise Unavailable(f"TensorRT {trt.__version__} cannot parse the graph {graph}: {problems}")
    config = builder.create_builder_config()
    # On by default, TF32 rounds the factors of fp32 products to 10 bits: too coarse for distances of coordinates.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.progress_monitor = monitor
    timed = _timing_cache(config, timings)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise Unavailable(f"TensorRT {trt.__version__} cannot build the graph {graph}: {LOGGER.reason()}")
    if timed:
        with suppress(Unavailable):  # whoever files the plan says why
            write_atomically(timings, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _told(error: trt.ParserError) -> str:
    return f"node {error.node()} ({error.node_operator() or '?'}): {' '.join(error.desc().split())}"


def _timing_cache(config: trt.IBuilderConfig, path: Path) -> bool:
    """Give the builder what earlier builds have measured, nothing where the file is missing, damaged or foreign."""
    for content in (path.read_bytes() if path.is_file() else b"", b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return True
    return False


def _reported(what: str, work: Callable[[], bytes], monitor: _Monitor) -> bytes:
    """The result of ``work`` from a thread of its own, while this one logs every few seconds how far it is.

    So there is news even while TensorRT is silent for minutes, and Ctrl-C stops the build at its next step: raised
    inside one of TensorRT's callbacks, it would end the process.
    """
    since = time.monotonic()
    log.info("%s: building", what)
    with ThreadPoolExecutor(1, "TensorRT build") as thread:
        future: Future[bytes] = thread.submit(work)
        try:
            while True:
                try:
                    plan = future.result(REPORT_S)
                    break
                except StillRunning:
                    log.info("%s: %s, %.0f s", what, monitor.where(), time.monotonic() - since)
        except BaseException:
            monitor.stopped = True
            raise
    log.info("%s: built in %.0f s, %.1f MB", what, time.monotonic() - since, len(plan) / 1e6)
    return plan


class _Monitor(trt.IProgressMonitor):
    """The phases that TensorRT is in, one inside the other, each with its steps. Called from several threads."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        self._lock = threading.Lock()
        self._begun = False
        self._phases: dict[str, tuple[int, int]] = {}  # name → steps done, of how many

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        with self._lock:
            self._begun = True
            self._phases[phase_name] = (0, num_steps)

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Whether TensorRT is to go on."""
        with self._lock:
            _, steps = self._phases.get(phase_name, (0, step + 1))
            self._phases[phase_name] = (step + 1, steps)
        return not self.stopped

    def phase_finish(self, phase_name: str) -> None:
        with self._lock:
            self._phases.pop(phase_name, None)

    def where(self) -> str:
        with self._lock:
            phases = [f"{name} {done}/{steps}" for name, (done, steps) in self._phases.items()]
            begun = self._begun
        return " > ".join(phases) or ("finishing" if begun else "starting")
