"""Checkpoints without pickle: tensors as safetensors, everything else as JSON, each written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from segpoint.errors import SegPointError
from segpoint.files import reading


class Stateful(Protocol):
    """What a checkpoint holds a part of: a module, or a chosen part of one."""

    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state: dict[str, Tensor], /) -> Any: ...
    def train(self, mode: bool = True, /) -> Any: ...


class Ema:
    """Exponential moving average of a module's floating-point state; buffers (BatchNorm's) are averaged, too."""

    def __init__(self, state: dict[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {name: value.detach().clone() for name, value in state.items()}

    @torch.no_grad()
    def update(self, state: dict[str, Tensor]) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in state.items():
            if value.is_floating_point():
                self.state[name].lerp_(value.detach(), 1 - decay)
            else:
                self.state[name].copy_(value)


def save_checkpoint(
    folder: Path, modules: Mapping[str, Stateful], ema: Ema, optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """``folder/state.safetensors`` and ``folder/state.json``; the step in both tells a torn pair."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{k}": v for k, v in flat_state(modules).items()}
    tensors |= {f"ema.{k}": v for k, v in ema.state.items()}
    for group in optimizer.param_groups:
        for number, parameter in enumerate(group["params"]):
            for name, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{group['name']}.{number}.{name}"] = torch.as_tensor(value)
    tensors["step"] = torch.tensor(facts["step"])
    facts = {**facts, "ema_steps": ema.steps}
    partial = folder / "state.part"
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, partial)
    os.replace(partial, folder / "state.safetensors")
    (folder / "state.json.part").write_text(json.dumps(facts, indent=2))
    os.replace(folder / "state.json.part", folder / "state.json")


def load_checkpoint(
    folder: Path, modules: Mapping[str, Stateful], ema: Ema, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore what `save_checkpoint` wrote, exactly; returns the facts.

    Raises SegPointError where it is damaged or of another network.
    """
    with reading(folder, "go back to the config it was made with, or delete it to begin this stage anew"):
        tensors = load_file(folder / "state.safetensors")
        facts = json.loads((folder / "state.json").read_text())
        facts["step"] = int(tensors["step"])
        load_flat(modules, part_of(tensors, "model."))
        ema.state = {name: value.to(ema.state[name].device) for name, value in part_of(tensors, "ema.").items()}
        ema.steps = facts["ema_steps"]
    for group in optimizer.param_groups:
        for number, parameter in enumerate(group["params"]):
            if state := part_of(tensors, f"optimizer.{group['name']}.{number}."):
                moved = {name: value if name == "step" else value.to(parameter.device) for name, value in state.items()}
                optimizer.state[parameter] = moved
    return facts


def flat_state(modules: Mapping[str, Stateful]) -> dict[str, Tensor]:
    """``{"network.gem.…": tensor}`` of several modules."""
    return {f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()}


def load_flat(modules: Mapping[str, Stateful], state: dict[str, Tensor]) -> None:
    """The inverse of `flat_state`, strict."""
    for part, module in modules.items():
        module.load_state_dict(part_of(state, f"{part}."))


def averaged_state(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a stage's checkpoint, flat; what the next stage and the bundle start from."""
    path = folder / "state.safetensors"
    if not path.is_file():
        raise SegPointError(f"no checkpoint at {path}: run the stage before this one first")
    with reading(path, f"delete {folder} and train that stage again"):
        return part_of(load_file(path), "ema.")


def part_of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
