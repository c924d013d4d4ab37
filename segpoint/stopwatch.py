"""Seconds per stage."""

from __future__ import annotations

import time

STAGES = {
    "cloud": "Points without coordinates or out of range are left out, the others thinned to what the network takes.",
    "neighbourhoods": "Each point's neighbours are found, for the network's layers.",
    "encoder": "The point encoder and the geometric enhancer look at the cloud.",
    "llm_points": "The language model reads the cloud.",
    "propagation": "What both have seen is brought back to each point.",
    "words": "The language model's vectors for the instructions' words are made, unless they are known from before.",
    "reader": "How likely it is that anything is meant at all, from the words and the cloud.",
    "llm_answer": "The language model writes the answers.",
    "mask": "Each point's score to be meant, for every target that an answer names.",
    "instances": "The scores are put on all points of the input, the marked ones parted into targets with their boxes.",
}
"""The stages of `Segmentation.timings` in their order, and what is done in each."""


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
