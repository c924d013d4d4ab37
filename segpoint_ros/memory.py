"""What the C library's allocator is told, so that a process that runs for weeks stays as large as it is."""

from __future__ import annotations

import ctypes

_ARENA_MAX = -8  # glibc's M_ARENA_MAX


def share_arenas() -> None:
    """Let all threads allocate from two arenas; to be called before any are started.

    Otherwise each new thread, the worker of each activation say, may come to another one of sixteen, each of which
    keeps what was once needed there: some 100 MB in 20 minutes of changing states (benchmarks/soak.py).
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_ARENA_MAX, 2)


def give_back() -> None:
    """Let the operating system have what is free; allocators like to keep it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
