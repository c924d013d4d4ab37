"""How fast a stage trains and how far it is: a bar on a terminal, a line every half minute in a log file."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from time import monotonic

from tqdm import tqdm

FIGURES = ("rate", "samples_per_s", "gpu_gib")  # what `Progress.update` returns; the last where there is a GPU
_WINDOW = 60.0  # seconds that samples/s is taken over
_SELDOM = 30.0  # seconds between lines of a log file
_DECAY = 0.98  # a step; what is shown of a loss is its mean over about 50


class Progress:
    """The progress of ``total_steps`` optimizer steps, of which ``first_step`` were done before.

    samples_per_step: clouds of a step, over all processes.   enabled: whether to print; figures are returned anyway.
    name: what the lines begin with.   Prints to stderr.
    """

    def __init__(
        self, total_steps: int, first_step: int, samples_per_step: int, enabled: bool, name: str = "training"
    ) -> None:
        self._total, self._first, self._samples, self._name = total_steps, first_step, samples_per_step, name
        self._begun = monotonic()
        self._told = self._begun - _SELDOM  # the first line is told at once
        self._recent = deque([(self._begun, first_step)])  # when steps were done, over the window and one before it
        self._losses: dict[str, tuple[float, float]] = {}  # weighted sum and weight
        self._line = ""
        self._prints = enabled and not sys.stderr.isatty()
        self._bar = tqdm(
            initial=first_step, total=total_steps, desc=name, dynamic_ncols=True, disable=not enabled or self._prints,
            bar_format="{desc} {percentage:3.0f}%|{bar:12}| {n_fmt}/{total_fmt}{postfix}", mininterval=0.5,
        )  # fmt: skip

    def update(self, step: int, losses: Mapping[str, float], rate: float) -> dict[str, float]:
        """After ``step`` steps in all, with the last one's loss parts and learning rate.

        Returns FIGURES for a log: the rate, clouds a second over the last minute, and the most memory (GiB) that this
        process has held on its GPUs.
        """
        now = monotonic()
        self._recent.append((now, step))
        while self._recent[1][0] < now - _WINDOW:
            self._recent.popleft()
        for name, value in losses.items():
            total, weight = self._losses.get(name, (0.0, 0.0))
            self._losses[name] = (_DECAY * total + value, _DECAY * weight + 1)
        then, before = self._recent[0]
        figures = {"rate": rate, "samples_per_s": round(self._samples * (step - before) / max(now - then, 1e-9), 2)}
        if memory := _gpu_memory():
            figures["gpu_gib"] = round(memory / 2**30, 2)
        self._line = self._describe(step, now, figures)
        self._bar.set_postfix_str(self._line, refresh=False)
        self._bar.update(step - self._bar.n)
        if now - self._told >= _SELDOM:
            self._tell(step, now)
        return figures

    def close(self) -> None:
        """Leave the last state on the terminal or in the log."""
        now, step = self._recent[-1]
        if self._told < now:
            self._tell(step, now)
        self._bar.close()

    def _describe(self, step: int, now: float, figures: Mapping[str, float]) -> str:
        left = (self._total - step) * (now - self._begun) / max(step - self._first, 1)  # validation and all
        parts = [
            f"{figures['samples_per_s']:.3g} samples/s",
            f"{tqdm.format_interval(left)} left",
            f"rate {figures['rate']:.2g}",
            *([f"GPU {figures['gpu_gib']:.1f} GiB"] if "gpu_gib" in figures else []),
            *(f"{name} {total / weight:.3f}" for name, (total, weight) in self._losses.items()),
        ]
        return ", ".join(parts)

    def _tell(self, step: int, now: float) -> None:
        self._told = now
        if self._prints:
            print(f"{self._name} {step}/{self._total}, {self._line}", file=sys.stderr, flush=True)


def _gpu_memory() -> int:
    """Bytes held at most on all GPUs that this process uses; 0 without."""
    import torch

    if not torch.cuda.is_initialized():
        return 0
    return sum(torch.cuda.max_memory_allocated(device) for device in range(torch.cuda.device_count()))
