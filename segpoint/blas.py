"""NumPy's matrix products on one thread.

Ours are small. OpenBLAS divides them among all cores all the same, and its threads then spin for a while in wait of the
next one, on the cores that the network wants: on a small machine that costs the network a fifth of its speed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")


def one_blas_thread(function: Callable[P, R]) -> Callable[P, R]:
    """The function with BLAS kept to one thread while it runs; the process's own setting returns afterwards."""

    @wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> R:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return kept


@cache
def _libraries() -> ThreadpoolController:
    """Those that the process had loaded when they were first asked for: finding them takes milliseconds."""
    return ThreadpoolController()
