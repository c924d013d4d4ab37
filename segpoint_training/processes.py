"""The processes that train one model: one, several on a machine, or many nodes, by 🤗 Accelerate.

    accelerate launch --config_file config/training/accelerate/ddp.yaml -m segpoint_training.train CONFIG --run RUN

The launcher says in the environment how many there are and what is sharded; without it there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType
from torch import nn

from segpoint.errors import SegPointError
from segpoint_training.config import StageConfig, TrainConfig

_SHARING = (DistributedType.FSDP, DistributedType.DEEPSPEED)
_DDP = "config/training/accelerate/ddp.yaml"


def start_processes(device: str = "auto") -> Accelerator:
    """This process and the others of the run. device: "auto" takes a GPU where there is one, "cpu", or "cuda"."""
    if device not in ("auto", "cpu", "cuda"):
        raise SegPointError(
            f"--device must be auto, cpu or cuda, got {device!r:.80}; CUDA_VISIBLE_DEVICES chooses one of several GPUs"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise SegPointError("--device cuda: this PyTorch finds no NVIDIA GPU here")
    cpu = device == "cpu" or not torch.cuda.is_available()
    for name in ("FSDP", "DEEPSPEED"):
        if cpu and os.environ.get(f"ACCELERATE_USE_{name}") == "true":
            raise SegPointError(
                f"the launcher's config asks for {name}, which shares weights out over GPUs, and this runs on a CPU: "
                "take config/training/accelerate/cpu.yaml"
            )
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true" and find_spec("deepspeed") is None:
        raise SegPointError(
            "the launcher's config asks for DeepSpeed, which is not here: pip install 'segpoint_ros[deepspeed]'"
        )
    # Nobody points at anything in some steps: the place encoder is then unused.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=cpu, kwargs_handlers=[unused])


def check_sharing(config: TrainConfig, accelerator: Accelerator, only: str | None = None) -> None:
    """SegPointError where the processes are to share out what cannot be, of the stages that ``--only`` leaves."""
    if accelerator.mixed_precision != "no":
        raise SegPointError(
            f"the launcher's config has mixed_precision {accelerator.mixed_precision}: it must be no; "
            "the stage's `precision` decides"
        )
    if accelerator.distributed_type not in _SHARING or only == "data":
        return
    plugin = accelerator.state.deepspeed_plugin
    if plugin is None and not accelerator.is_fsdp2:
        raise SegPointError("the launcher's config has fsdp_version 1: it must be 2, as in fsdp.yaml beside it")
    if plugin is not None and plugin.zero_stage != 2:
        raise SegPointError(
            f"the launcher's config has zero_stage {plugin.zero_stage}: it must be 2; fsdp.yaml shares weights out"
        )
    if config.stage1 is not None and only != "stage2":
        raise SegPointError(
            "stage 1 has no language model to share out: train it with "
            f"{_DDP} and --only stage1, then stage 2 as now and --only stage2"
        )
    if config.model.reader.layers:
        raise SegPointError(
            f"weights are shared out for models without mask reader, and this has one (model.reader.layers is "
            f"{config.model.reader.layers}): take {_DDP}"
        )
    if config.model.language.quantization != "none":
        raise SegPointError(
            f"quantized weights are not shared out (model.language.quantization is "
            f"{config.model.language.quantization}): take {_DDP}, or set it to none"
        )


def prepare(
    accelerator: Accelerator, config: StageConfig, trainer: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A stage's trainer and optimizer on the accelerator's device, shared out as the launcher's config says."""
    accelerator.gradient_accumulation_steps = config.accumulate
    if (plugin := accelerator.state.deepspeed_plugin) is not None:
        # It clips and steps by itself, and wants to know how many clouds it gets.
        plugin.deepspeed_config.update(
            train_micro_batch_size_per_gpu=config.scenes // (accelerator.num_processes * config.accumulate),
            gradient_accumulation_steps=config.accumulate,
            gradient_clipping=config.clip,
        )
    # From within: DeepSpeed turns off the autocast that it is called in.
    trainer.forward = autocast(config, accelerator.device)(trainer.forward)
    return accelerator.prepare(trainer, optimizer)


def local_processes() -> int:
    """How many of the run's processes share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def autocast(config: StageConfig, device: torch.device) -> torch.autocast:
    """bfloat16 where that is enough, if the stage asks for it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")


@contextmanager
def open_weights(trainer: nn.Module) -> Iterator[None]:
    """For work outside the trainer's own forward pass: weights that are sharded over processes (FSDP) are whole."""
    from torch.distributed.fsdp import FSDPModule

    sharded = [module for module in trainer.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.unshard()
    try:
        yield
    finally:
        for module in sharded:
            module.reshard()
