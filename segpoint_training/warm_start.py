"""Weights of an earlier run or bundle to begin a new one with, as far as they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from segpoint.bundle import WEIGHTS, read_weights
from segpoint.errors import SegPointError
from segpoint_training.checkpoints import STATE, Stateful, averaged_state, flat_state, put


@dataclass(frozen=True)
class Start:
    """What `fill` did: how many tensors it loaded, the ones that stay fresh, and those that found no place.

    ``fresh`` and ``unused`` name modules, not every tensor of them; "(shape)" marks those that changed shape.
    """

    loaded: int
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


def initial_state(path: str | Path) -> dict[str, Tensor]:
    """Weights to begin with, from the folder of a run, of one of its stages, or of a bundle, by a bundle's names
    ("network.gem.…", "language.project.…"): averaged ones, float32. Of a run those of its last stage. Raises
    SegPointError elsewhere."""
    folder = start_folder(path)
    if (folder / STATE).is_file():
        return {name: v for name, v in averaged_state(folder).items() if not name.startswith("heads.")}
    return read_weights(folder)


def start_folder(path: str | Path) -> Path:
    """Where the weights of `initial_state` lie: a stage or a bundle. Raises SegPointError where there is none."""
    folder = Path(path)
    for stage in (folder / "stage2", folder / "stage1", folder):
        if (stage / STATE).is_file():
            return stage
    if (folder / WEIGHTS).is_file():
        return folder
    raise SegPointError(f"nothing to start from at {folder}: give the folder of a run with a checkpoint, or a bundle")


def fill(modules: Mapping[str, Stateful], state: Mapping[str, Tensor]) -> Start:
    """Load the tensors of ``state`` whose name and shape fit into ``modules``, in place; the others stay fresh.

    Raises SegPointError where nothing fits.
    """
    own = flat_state(modules)
    fits = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    if not fits:
        raise SegPointError("the weights to start from are of another network: not one tensor fits")
    put(modules, fits)
    fresh = [name for name in own if name not in fits]
    reshaped = {_module(name) for name in fresh if name in state}
    return Start(
        loaded=len(fits),
        fresh=tuple(f"{m} (shape)" if m in reshaped else m for m in dict.fromkeys(map(_module, fresh))),
        unused=tuple(dict.fromkeys(_module(name) for name in state if name not in own)),
    )


def _module(name: str) -> str:
    """The first three steps of a tensor's name, enough to know its module: "network.reader.layers"."""
    return ".".join(name.split(".")[:-1][:3])
