"""`segpoint_training.train` on processes that share weights out though they run on a CPU, as no run of ours may.

    accelerate launch --config_file config/training/accelerate/fsdp.yaml --num_processes 2 \\
        test/share_out.py CONFIG --run RUN

Accelerate itself takes plain DDP there, whatever the launcher says; all else is real. A look has one figure more: the
mean of the masks' logits, "logit". Started without the launcher it is one process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from statistics import fmean

from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor

from segpoint.config import BundleConfig
from segpoint_training import stage2, train
from segpoint_training.shards import LabelledCloud
from segpoint_training.validation import Answerer, validate


def start_processes(device: str) -> Accelerator:
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        PartialState(cpu=True)  # DeepSpeed then finds gloo's processes and leaves them
        return Accelerator()
    accelerator = Accelerator(cpu=True)
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        for state in (AcceleratorState, PartialState):
            state._shared_state["distributed_type"] = DistributedType.FSDP
        AcceleratorState._shared_state["fsdp_plugin"] = FullyShardedDataParallelPlugin()  # as the launcher's config is
    return accelerator


def look(config: BundleConfig, clouds: Sequence[LabelledCloud], answer: Answerer, device: object) -> dict[str, float]:
    logits: list[float] = []

    def noted(*asked: object) -> tuple[Tensor, Tensor | None]:
        found = answer(*asked)
        logits.append(float(found[0].mean()))
        return found

    return {**validate(config, clouds, noted, device), "logit": fmean(logits)}


if __name__ == "__main__":
    train.start_processes, stage2.validate = start_processes, look
    raise SystemExit(train.main(sys.argv[1:]))
