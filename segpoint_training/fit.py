"""The training loop: one stage to its end, by one process or many, exact after any interruption.

Every random number of a step follows from the run's seed, the step and the process: data, augmentation and dropout. So
a run that was killed and goes on from its checkpoint ends with the weights of one that was never stopped.
"""

from __future__ import annotations

import ctypes
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint_training.batches import Batch, Batches, start_loader
from segpoint_training.board import Board
from segpoint_training.checkpoints import (
    STATE,
    Ema,
    Stateful,
    figures_of,
    load_checkpoint,
    moving_state,
    put,
    resume,
    save_checkpoint,
    save_frozen,
)
from segpoint_training.config import StageConfig
from segpoint_training.moments import whole
from segpoint_training.parallel import available_cores
from segpoint_training.processes import local_processes, open_weights, prepare
from segpoint_training.progress import Progress
from segpoint_training.provenance import git_commit

_MOST_LOADERS = 16  # processes that make batches ready; a GPU waits for fewer


@dataclass
class Watch:
    """What a stage reports to and is stopped by, and where it runs.

    minutes: stop after this long in a stage, None for no limit.   start: weights to begin with by name
    (`warm_start.fill` takes them), None for fresh ones.   log_every, validate_every: steps.   save_every: minutes.
    """

    run: Path
    accelerator: Accelerator
    minutes: float | None = None
    validate_every: int = 250
    log_every: int = 50
    save_every: float = 3.0
    start: dict[str, Tensor] | None = None

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    def log(self, **facts: object) -> None:
        if not self.accelerator.is_main_process:
            return
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **facts}
        path = self.run / "log.jsonl"
        torn = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")  # by a kill
        with path.open("a") as file:
            file.write("\n" * bool(torn) + json.dumps(line) + "\n")
        tqdm.write(json.dumps(line))


@dataclass
class Stage:
    """One stage as the loop needs it: what is trained, its loss, and how it is looked at.

    trainer: a batch and the config → loss and its parts, the same ones every time.   modules: saved and averaged by
    name.   groups: AdamW's parameter groups, each with a "name" and its peak "lr".   validate: with the averaged
    weights in place → figures.   draw: draws some answers into a picture.   seed: of what is random in its steps.
    """

    name: str
    config: StageConfig
    trainer: nn.Module
    modules: dict[str, Stateful]
    groups: list[dict]
    validate: Callable[[], dict[str, float]]
    draw: Callable[[Path], None] | None = None
    seed: int = 0


@dataclass
class _Pace:
    """When a stage stops and saves, as the first process sees it. Within it Ctrl-C and SIGTERM ask for a stop."""

    minutes: float | None
    save_every: float
    stopping: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.end = time.monotonic() + 60 * self.minutes if self.minutes else math.inf
        self.saved = time.monotonic()
        self._before = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, frame: self.stopping.append(number)),
            signal.SIGINT: signal.signal(signal.SIGINT, self._interrupted),
        }

    def __enter__(self) -> _Pace:
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupted(self, number: int, frame: object) -> None:
        """The first Ctrl-C stops after a checkpoint, the second one at once."""
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping.append(number)
        tqdm.write("stopping after this step and a checkpoint; Ctrl-C again stops at once")

    @property
    def wants(self) -> list[float]:
        """Whether to stop, whether to save; more than 0 is yes."""
        now = time.monotonic()
        return [float(now > self.end or bool(self.stopping)), float(now - self.saved > 60 * self.save_every)]


def fit(stage: Stage, batches: Batches, watch: Watch) -> bool:
    """Train a stage to its end, to ``watch.minutes``, or to a SIGTERM; then save. Resumes from its checkpoint. Whether
    the end was reached."""
    with _Pace(watch.minutes, watch.save_every) as pace:
        return _fit(stage, batches, watch, pace)


def _fit(stage: Stage, batches: Batches, watch: Watch, pace: _Pace) -> bool:
    config, folder, accelerator = stage.config, watch.run / stage.name, watch.accelerator
    held = load_checkpoint(folder, stage.modules) if (folder / STATE).exists() else None
    if held is None and accelerator.is_main_process:
        save_frozen(folder, stage.modules)
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(
        stage.groups, betas=(0.9, 0.95), weight_decay=config.weight_decay
    )
    trainer, optimizer = prepare(accelerator, config, stage.trainer, optimizer)
    ema = Ema(moving_state(stage.modules), config.ema)
    step = 0 if held is None else resume(folder, held, ema, optimizer)
    if step >= config.steps and figures_of(folder):  # it was at its end already
        accelerator.free_memory()
        return True
    facts = {"stage": stage.name, "commit": git_commit(), "scenes": config.scenes}
    watch.log(**facts, begins=step, processes=accelerator.num_processes, by=accelerator.distributed_type.value)
    mend = f"lower the rate, or resume from {folder}"
    peaks = [group["lr"] for group in stage.groups]
    board = Board(watch.run / "board" / stage.name, accelerator.is_main_process, step)
    progress = Progress(config.steps, step, config.scenes, accelerator.is_main_process, stage.name)
    figures: dict[str, float] = {}

    def look() -> None:
        picture = folder / "answers.png" if accelerator.is_main_process else None
        figures.update(_look(stage, ema, trainer, picture))
        watch.log(stage=stage.name, step=step, done=step >= config.steps, validation=figures)
        board.scalars(step, figures, "validation")
        if picture is not None and picture.exists():
            board.picture(step, "answers", picture)

    def save() -> None:
        done = {**facts, "step": step, "of": config.steps, "figures": figures}
        save_checkpoint(folder, stage.modules, ema, optimizer, done, accelerator.is_main_process)
        pace.saved = time.monotonic()

    for number, parts in _micro_batches(batches, step, config, watch):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(number, config)
        losses = []
        for part, batch in enumerate(parts):
            torch.manual_seed(_seed(stage.seed, number, part, accelerator.process_index))
            with accelerator.accumulate(trainer):
                loss, terms = trainer(batch, config)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    trained = [p for group in optimizer.param_groups for p in group["params"]]
                    norm = accelerator.clip_grad_norm_(trained, config.clip)
                    # FSDP tells it in parts, DeepSpeed as a plain number, or not at all.
                    if norm is not None and not whole(torch.as_tensor(norm)).isfinite():
                        raise SegPointError(
                            f"{stage.name} diverged at step {number + 1}: gradients are not finite; {mend}"
                        )
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            losses.append([float(loss.detach()), *terms.values()])
        ema.update(moving_state(stage.modules))
        step = number + 1
        mean = np.mean(losses, axis=0).tolist()
        told = accelerator.reduce(torch.tensor([*mean, *pace.wants], device=watch.device), "mean").tolist()
        (total, *values), (late, saves) = told[:-2], told[-2:]
        terms = dict(zip(terms, values, strict=True))
        if not math.isfinite(total):
            raise SegPointError(f"{stage.name} diverged at step {step}: {terms}; {mend}")
        pace_told = progress.update(step, {"loss": total, **terms}, optimizer.param_groups[0]["lr"])
        if step % watch.log_every == 0:
            rounded = {name: round(value, 4) for name, value in terms.items()}
            watch.log(stage=stage.name, step=step, loss=round(total, 5), **rounded, **pace_told)
            board.scalars(step, {"loss": total, **terms, **pace_told}, "training")
        if step % watch.validate_every == 0 and step < config.steps and not late:
            look()
        if saves and not late:
            save()
        if late:
            break
    progress.close()
    save()
    if step >= config.steps:
        look()
        save()  # now with the last figures
    board.close()
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    return step >= config.steps


def schedule(step: int, config: StageConfig) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to a hundredth or a straight line to nothing.

    The line is DeepSpeed's WarmupDecayLR but for the first step, whose rate is there 0 (its warm-up counts from 0).
    """
    if step < config.warmup:
        return (step + 1) / config.warmup
    along = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    if config.schedule == "linear":
        return 1.0 - along
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))


def _look(stage: Stage, ema: Ema, trainer: nn.Module, picture: Path | None) -> dict[str, float]:
    """The stage's figures with the averaged weights, and a picture; the weights in training are put back afterwards.
    Every process does it: the first could not alone where weights are sharded, and the others would only wait."""
    own = {name: value.detach().clone() for name, value in moving_state(stage.modules).items()}
    put(stage.modules, ema.state)
    stage.trainer.eval()
    try:
        with open_weights(trainer):
            figures = stage.validate()
            if stage.draw is not None and picture is not None:
                try:
                    picture.parent.mkdir(parents=True, exist_ok=True)
                    stage.draw(picture)
                except (OSError, SegPointError) as error:  # a picture is not worth a run
                    tqdm.write(f"no picture: {error}")
            return figures
    finally:
        put(stage.modules, own)
        stage.trainer.train()


def _micro_batches(
    batches: Batches, first: int, config: StageConfig, watch: Watch
) -> Iterator[tuple[int, list[Batch]]]:
    """Steps ``first`` … with this process's share of each one's clouds, in ``config.accumulate`` parts, made ready by
    loader processes: one beside a training CPU."""
    count, rank = watch.accelerator.num_processes, watch.accelerator.process_index
    parts = config.accumulate
    order = range(first * parts * count + rank, config.steps * parts * count, count)
    if watch.device.type == "cpu":
        loaders, ahead = 1, 4
    else:
        loaders, ahead = max(1, min(_MOST_LOADERS, available_cores() // local_processes() - 1)), 2
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=order,
        num_workers=loaders,
        prefetch_factor=ahead,
        worker_init_fn=start_loader,
    )
    ready = iter(loader)
    for number in range(first, config.steps):
        yield number, [next(ready).to(watch.device) for _ in range(parts)]


def _seed(*of: int) -> int:
    """A seed for torch that follows from the run's, the step, the part and the process."""
    return int(np.random.SeedSequence(of).generate_state(1, np.uint64)[0])


def keep_memory() -> None:
    """glibc gives blocks above 32 MiB back at once and page-faults on the next; keeping them is a third of a step."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
