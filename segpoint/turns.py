"""Functions timed against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def take_turns(
    functions: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Name → seconds of each of ``repeats`` calls, after one call each to warm up.

    They take turns, and each begins a round as often as the others: what else the machine does is the same to all.
    """
    names = list(functions)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, repeats):
        first = max(turn, 0) % max(len(names), 1)
        for name in names[first:] + names[:first]:
            since = clock()
            functions[name]()
            if turn >= 0:
                found[name].append(clock() - since)
    return found
