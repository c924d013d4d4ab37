"""Checkpoints without pickle: safetensors, written whole or not at all, with what they are and how good beside them.

A stage's folder holds ``state.safetensors`` (weights in training and their average, the optimizer's state, the step),
``frozen.safetensors`` (what the stage does not train, written once), ``state.json`` (step, commit, last figures) and
``config.yaml``. Where processes share weights or the optimizer's state out the files hold them whole: a run may go on
with another number of processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.moments import put_moments, shared_as, whole, whole_moments

STATE, FROZEN, FACTS = "state.safetensors", "frozen.safetensors", "state.json"
_REMEDY = "go back to the config it was made with, or delete it to begin this stage anew"


class Stateful(Protocol):
    """What a checkpoint holds a part of: a module, or a chosen part of one."""

    def state_dict(self, *, keep_vars: bool = False) -> dict[str, Tensor]: ...
    def load_state_dict(self, state: dict[str, Tensor], /) -> Any: ...
    def train(self, mode: bool = True, /) -> Any: ...


class Ema:
    """Exponential moving average of floating-point state; buffers (BatchNorm's) are averaged, too.

    state: names and values, copied.   decay: 0 keeps the last state.
    """

    def __init__(self, state: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {name: value.detach().clone() for name, value in state.items()}

    @torch.no_grad()
    def update(self, state: Mapping[str, Tensor]) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, average in self.state.items():
            if average.is_floating_point():
                average.lerp_(state[name].detach(), 1 - decay)
            else:
                average.copy_(state[name])


def save_checkpoint(
    folder: Path,
    modules: Mapping[str, Stateful],
    ema: Ema,
    optimizer: torch.optim.Optimizer,
    facts: dict[str, Any],
    writes: bool = True,
) -> None:
    """Write ``folder``. Every process calls this, as they may share tensors out; the one that ``writes`` writes."""
    shared: Iterator[tuple[str, Tensor]] = chain(
        ((f"model.{name}", value) for name, value in moving_state(modules).items()),
        ((f"ema.{name}", value) for name, value in ema.state.items()),
        ((f"optimizer.{name}", value) for name, value in whole_moments(optimizer)),
    )
    tensors = {}
    for name, value in shared:
        value = whole(value)
        if writes:
            tensors[name] = value.cpu()
    if not writes:
        return
    tensors |= {"step": torch.tensor(facts["step"]), "ema_steps": torch.tensor(ema.steps)}
    folder.mkdir(parents=True, exist_ok=True)
    _save(tensors, folder / STATE)
    partial = folder / f"{FACTS}.part"
    partial.write_text(json.dumps(facts, indent=2))
    os.replace(partial, folder / FACTS)


def save_frozen(folder: Path, modules: Mapping[str, Stateful]) -> None:
    """Write what the stage does not train, before it begins: then each process has all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FROZEN).unlink(missing_ok=True)
    if frozen := {name: value for name, value in flat_state(modules).items() if _is_frozen(value)}:
        _save(frozen, folder / FROZEN)


def load_checkpoint(folder: Path, modules: Mapping[str, Stateful]) -> dict[str, Tensor]:
    """Put the weights that `save_checkpoint` wrote back, before they are sharded; returns what `resume` needs.

    Raises SegPointError where the checkpoint is damaged or of another network.
    """
    with reading(folder, _REMEDY):
        tensors = load_file(folder / STATE)
        frozen = load_file(folder / FROZEN) if (folder / FROZEN).exists() else {}
        load_flat(modules, frozen | part_of(tensors, "model."))
    return tensors


def resume(folder: Path, tensors: Mapping[str, Tensor], ema: Ema, optimizer: torch.optim.Optimizer) -> int:
    """Average and optimizer as they were, exactly, from what `load_checkpoint` returned; the number of steps done."""
    with reading(folder, _REMEDY):
        for name, average in part_of(tensors, "ema.").items():
            ema.state[name].copy_(shared_as(average, ema.state[name]))
        ema.steps = int(tensors["ema_steps"])
        step = int(tensors["step"])
    put_moments(optimizer, part_of(tensors, "optimizer."))
    return step


def flat_state(modules: Mapping[str, Stateful]) -> dict[str, Tensor]:
    """``{"network.gem.…": tensor}`` of several modules; parameters are the modules' own."""
    return {
        f"{part}.{name}": value
        for part, module in modules.items()
        for name, value in module.state_dict(keep_vars=True).items()
    }


def moving_state(modules: Mapping[str, Stateful]) -> dict[str, Tensor]:
    """What training changes: trained parameters, and buffers."""
    return {name: value for name, value in flat_state(modules).items() if not _is_frozen(value)}


def load_flat(modules: Mapping[str, Stateful], state: Mapping[str, Tensor]) -> None:
    """The inverse of `flat_state`, strict."""
    for part, module in modules.items():
        module.load_state_dict(part_of(state, f"{part}."))


@torch.no_grad()
def put(modules: Mapping[str, Stateful], state: Mapping[str, Tensor]) -> None:
    """Some of a `flat_state`'s values in place, sharded ones too."""
    own = flat_state(modules)
    for name, value in state.items():
        own[name].copy_(value)


def steps_done(folder: Path) -> int:
    """How far the stage of this folder has come; 0 where it has no checkpoint."""
    path = folder / STATE
    if not path.is_file():
        return 0
    with reading(path, _REMEDY), safe_open(path, "pt") as file:
        return int(file.get_tensor("step"))


def figures_of(folder: Path) -> dict[str, float]:
    """What the last look at the held-out clouds gave, {} before there was one."""
    path = folder / FACTS
    with reading(path, _REMEDY):
        return json.loads(path.read_text())["figures"] if path.is_file() else {}


def averaged_state(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a stage's checkpoint with its frozen ones, flat: what the next stage and the bundle start
    from."""
    path = folder / STATE
    if not path.is_file():
        raise SegPointError(f"no checkpoint at {path}: run the stage before this one first")
    with reading(path, f"delete {folder} and train that stage again"):
        frozen = load_file(folder / FROZEN) if (folder / FROZEN).exists() else {}
        return frozen | part_of(load_file(path), "ema.")


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _is_frozen(value: Tensor) -> bool:
    return isinstance(value, nn.Parameter) and not value.requires_grad


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    partial = path.with_suffix(".part")
    try:
        save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, partial)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        raise SegPointError(
            f"cannot write the checkpoint {path} ({error}): make room; the same command goes on from the one before"
        ) from error
