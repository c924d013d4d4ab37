"""Seconds per stage."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds per stage, each lap from the end of the one before; laps of one name add up."""

    def __init__(self, laps: dict[str, float] | None = None) -> None:
        self.laps = dict(laps or {})
        self.since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.since
        self.since = now

    def total(self) -> dict[str, float]:
        return {**self.laps, "total": sum(self.laps.values())}
