"""Weights of an earlier run or bundle to begin a new one with, as far as they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint.segmenter import WEIGHTS
from segpoint_training.checkpoints import Stateful, averaged_state, flat_state, load_flat

_RUN_NAMES = {  # a bundle's names → ours; the first that fits
    "network.": "trainer.network.",
    "language.project.": "trainer.project.",
    "language.": "language.",
}


@dataclass(frozen=True)
class Start:
    """What `fill` did: how many tensors it loaded, the ones that stay fresh, and those that found no place.

    ``fresh`` and ``unused`` name modules, not every tensor of them; "(shape)" marks those that changed shape.
    """

    loaded: int
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


def initial_state(path: str | Path) -> dict[str, Tensor]:
    """Weights to begin with, from the folder of a run, of its stage 1, or of a bundle: stage 1's by their names in its
    checkpoint ("trainer.network.gem.…"), and where the language model was trained, too, "language.…" without its
    projection, which stage 1 trains. Averaged ones, float32 or as the bundle narrows them. Raises SegPointError
    elsewhere."""
    folder = Path(path)
    for stage1 in (folder / "stage1", folder):
        if (stage1 / "state.safetensors").is_file():
            state = averaged_state(stage1)
            if (stage1.parent / "stage2" / "state.safetensors").is_file():
                said = averaged_state(stage1.parent / "stage2")
                state |= {n: v for n, v in said.items() if n.startswith("language.") and ".project." not in n}
            return state
    if not (folder / WEIGHTS).is_file():
        raise SegPointError(f"nothing to start from at {folder}: give the folder of a run with a stage 1, or a bundle")
    with reading(folder / WEIGHTS, "get or train the bundle again"):
        weights = load_file(folder / WEIGHTS)
    state = {}
    for name, value in weights.items():
        ours = next(prefix for prefix in _RUN_NAMES if name.startswith(prefix))
        state[_RUN_NAMES[ours] + name.removeprefix(ours)] = value
    return state


def fill(modules: Mapping[str, Stateful], state: Mapping[str, Tensor]) -> Start:
    """Load the tensors of ``state`` whose name and shape fit into ``modules``, in place; the others stay fresh.

    Raises SegPointError where nothing fits.
    """
    own = flat_state(modules)
    fits = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    if not fits:
        raise SegPointError("the weights to start from are of another network: not one tensor fits")
    load_flat(modules, {**own, **{name: value.to(own[name].dtype) for name, value in fits.items()}})
    fresh = [name for name in own if name not in fits]
    reshaped = {_module(name) for name in fresh if name in state}
    return Start(
        loaded=len(fits),
        fresh=tuple(f"{m} (shape)" if m in reshaped else m for m in dict.fromkeys(map(_module, fresh))),
        unused=tuple(dict.fromkeys(_module(name) for name in state if name not in own)),
    )


def _module(name: str) -> str:
    """The first four steps of a tensor's name, enough to know its module: "trainer.network.reader.layers"."""
    return ".".join(name.split(".")[:-1][:4])
