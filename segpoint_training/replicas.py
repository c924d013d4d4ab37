"""Several processes that train one model, each on its share of every batch.

    torchrun --nproc-per-node 2 -m -- segpoint_training.train CONFIG --run RUN

On a CPU this nearly doubles the speed of training on two cores: most of the network's operations are too small to be
worth two threads. Each process computes the gradients of its own scenes; their mean is what all of them step with, so
that their weights stay equal. `torchrun` says in the environment how many there are; without it there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from segpoint.errors import SegPointError


@dataclass(frozen=True)
class Replicas:
    """This process's number and how many there are."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes: data, log, checkpoints, validation."""
        return self.rank == 0

    def share(self, scenes: int) -> int:
        """How many of a step's scenes each process takes; SegPointError where they cannot be shared out."""
        if scenes % self.count:
            raise SegPointError(f"{scenes} scenes a step cannot be shared by {self.count} processes; start fewer")
        return scenes // self.count

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """For work whose result stays on disk: the first process does it, then the others, who find it done."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def average(self, parameters: Sequence[nn.Parameter], stop: bool) -> bool:
        """Replace each gradient by its mean over the processes; whether any of them wants to ``stop``."""
        if self.count == 1:
            return stop
        for parameter in parameters:
            if parameter.grad is None:  # nobody pointed at anything in this process's share
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([*(p.grad.reshape(-1) for p in parameters if p.grad is not None), torch.tensor([float(stop)])])
        dist.all_reduce(flat)
        flat /= self.count
        begin = 0
        for parameter in parameters:
            parameter.grad = flat[begin : begin + parameter.numel()].view_as(parameter)
            begin += parameter.numel()
        return bool(flat[-1] > 0)


def join() -> Replicas:
    """The processes that `torchrun` started, connected; one alone otherwise."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Replicas()
    dist.init_process_group("gloo")
    return Replicas(dist.get_rank(), count)
