"""What somebody else has made: JSON and safetensors, read within bounds. Nothing that stands in them is ever run."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from segpoint.errors import SegPointError

_LARGEST_JSON = 64 << 20  # bytes; the largest tokenizers take some 20 MB


def read_json(path: Path, remedy: str) -> Any:
    """What a JSON file holds. Raises `SegPointError` where it is no JSON; ``remedy`` says what to do about it."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_JSON + 1)
        if len(content) > _LARGEST_JSON:
            raise ValueError(f"more than {_LARGEST_JSON >> 20} MB")
        return json.loads(content)
    except (OSError, ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError of its own
        raise SegPointError(f"{path} is not JSON ({error}); {remedy}") from error


def tensor_shapes(path: Path, remedy: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a safetensors file, by name; nothing but its header is read.

    Raises `SegPointError` where it is not whole, or where its tensors as float32 are more than this machine's memory;
    ``remedy`` says what to do about it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, MemoryError, SafetensorError) as error:
        raise SegPointError(f"{path} is not a whole safetensors file ({error}); {remedy}") from error
    needed, memory = 4 * sum(map(math.prod, shapes.values())), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise SegPointError(
            f"{path} asks for {needed / 1e9:,.0f} GB of memory, this machine has {memory / 1e9:,.0f}; {remedy}"
        )
    return shapes


def within(folder: Path, path: str) -> Path:
    """Where ``path`` leads from ``folder``. Raises `ValueError` unless that lies in the folder, links followed."""
    found = (folder / path).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise ValueError(f"{path} leads out of {folder}")
    return found
