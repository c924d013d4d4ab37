"""AdamW's state, whole and by parameter, however the run's processes share it out.

Each has all of it (DDP), a slice of every tensor (FSDP), or a stretch of each group's tensors laid end to end (ZeRO-2).
A checkpoint holds it as one process alone has it, so a run goes on with any number of them, shared out or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor, distribute_tensor


def whole_moments(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """``("GROUP.NUMBER.exp_avg", tensor)`` of each parameter, in its shape; a group has a "name". Processes that share
    the state out make each tensor together: all have to take all of them."""
    for name, parameter, stretch in _parameters(optimizer):
        held = optimizer.state.get(parameter if stretch is None else stretch, {})
        for key, value in held.items():
            value = torch.as_tensor(value)
            yield f"{name}.{key}", whole(value) if stretch is None or not value.ndim else _gathered(value, parameter)


def put_moments(optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """The inverse: what `whole_moments` gave, exactly, in an optimizer that has not stepped. A parameter that ``state``
    does not know begins without."""
    known: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        parameter_name, _, key = name.rpartition(".")
        known.setdefault(parameter_name, {})[key] = value
    for name, parameter, stretch in _parameters(optimizer):
        for key, value in known.get(name, {}).items():
            held = optimizer.state[parameter if stretch is None else stretch]
            if key == "step":
                held[key] = value
            elif stretch is None:
                held[key] = shared_as(value, parameter)
            else:
                _scatter(value, parameter, held.setdefault(key, torch.zeros_like(stretch)))


def whole(value: Tensor) -> Tensor:
    """A tensor as one process alone has it; of a slice all processes ask together."""
    value = value.detach()
    return value.full_tensor() if isinstance(value, DTensor) else value


def shared_as(value: Tensor, other: Tensor) -> Tensor:
    """A whole tensor on the device of ``other``, and sliced as that is."""
    value = value.to(other.device)
    return distribute_tensor(value, other.device_mesh, other.placements) if isinstance(other, DTensor) else value


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any, Tensor | None]]:
    """``"GROUP.NUMBER"``, the model's parameter, and of ZeRO-2 what the optimizer has instead: this process's stretch
    of the group. DeepSpeed's optimizer, which is within Accelerate's, keeps the model's parameters aside."""
    aside = getattr(getattr(optimizer, "optimizer", None), "bit16_groups", None)
    for index, group in enumerate(optimizer.param_groups):
        stretch = None if aside is None else group["params"][0]
        for number, parameter in enumerate(group["params"] if aside is None else aside[index]):
            yield f"{group['name']}.{number}", parameter, stretch


def _gathered(stretch: Tensor, parameter: Any) -> Tensor:
    """(numbers of this process's stretch,) → a parameter's, in its shape, from the processes that have some of them."""
    found = torch.zeros(parameter.numel(), dtype=stretch.dtype, device=parameter.device)
    if (mapping := parameter._hp_mapping) is not None:
        own, there = mapping.lp_fragment_address, mapping.hp_fragment_address
        found[own.start : own.start + own.numel] = stretch[there.start : there.start + there.numel]
    distributed.all_reduce(found)
    return found.view(parameter.shape)


def _scatter(value: Tensor, parameter: Any, stretch: Tensor) -> None:
    """The inverse of `_gathered`: of a parameter's numbers those that lie in this process's stretch, in place."""
    if (mapping := parameter._hp_mapping) is not None:
        own, there = mapping.lp_fragment_address, mapping.hp_fragment_address
        stretch[there.start : there.start + there.numel] = value.flatten()[own.start : own.start + own.numel]
