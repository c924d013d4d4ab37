"""NumPy's matrix products on one thread.

Ours are small. OpenBLAS divides them among all cores all the same, and its threads then spin for a while in wait of the
next one, on the cores that the network wants: on a small machine that costs the network a fifth of its speed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")


def one_blas_thread(function: Callable[P, R]) -> Callable[P, R]:
    """The function with BLAS kept to one thread while it runs, in however many threads; the process's own setting
    returns afterwards."""

    @wraps(function)
    def kept(*args: P.args, **kwargs: P.kwargs) -> R:
        with _limit:
            return function(*args, **kwargs)

    return kept


class _Limit:
    """The limit is the process's, not a thread's: the first to come sets it, the last to go takes it back."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._set = _libraries().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._set.restore_original_limits()


_limit = _Limit()


@cache
def _libraries() -> ThreadpoolController:
    """NumPy's and SciPy's, looked for once: that takes milliseconds."""
    import scipy.linalg  # noqa: F401  brings its own

    return ThreadpoolController()
