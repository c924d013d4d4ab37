"""``segpoint train``: from generated scenes to a bundle, in two stages, resumable at any moment.

    segpoint train config/training/segpoint_default.yaml --run runs/default --bundle runs/default/bundle

The run's folder holds shards, question embeddings, a checkpoint per stage, ``log.jsonl`` and the config used. The same
command again goes on where it stopped. Shards that `segpoint generate --shards` wrote are taken from ``RUN/shards``.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from tqdm import tqdm  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint.files import check_folder  # noqa: E402
from segpoint_training.batches import Batch, Batches  # noqa: E402
from segpoint_training.checkpoints import Ema, Stateful, flat_state, load_checkpoint, load_flat, save_checkpoint  # noqa: E402
from segpoint_training.config import StageConfig, TrainConfig  # noqa: E402
from segpoint_training.parallel import available_cores  # noqa: E402
from segpoint_training.provenance import git_commit  # noqa: E402
from segpoint_training.questions import keep_frequent  # noqa: E402
from segpoint_training.replicas import Replicas, join  # noqa: E402
from segpoint_training.shards import SPLITS, LabelledCloud, read_shards, write_shards  # noqa: E402
from segpoint_training.warm_start import initial_state  # noqa: E402

_MOST_LOADERS = 16  # processes that make batches ready; a GPU waits for fewer


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="segpoint train", description=__doc__.split("\n")[0])
    parser.add_argument("config", help="a YAML file as in config/training/")
    parser.add_argument("--run", required=True, metavar="FOLDER", help="where data, checkpoints and the log go")
    parser.add_argument("--bundle", metavar="FOLDER", help="write the finished bundle here")
    parser.add_argument("--only", choices=("data", "stage1", "stage2"), help="do just this part")
    parser.add_argument("--minutes", type=float, help="stop after this long in a stage; the same command goes on")
    parser.add_argument("--validate-every", type=int, default=250, metavar="STEPS")
    parser.add_argument("--device", default="cpu", help='"cpu" (default) or "cuda", one of them as in "cuda:1"')
    parser.add_argument(
        "--from", dest="start", metavar="FOLDER", help="begin stage 1 with the weights of this run or bundle that fit"
    )
    args = parser.parse_args(argv)
    _check(args)
    config = TrainConfig.load(args.config)
    device = _device(args.device)
    start = initial_state(args.start) if args.start else None
    run = Path(args.run)
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    keep_memory()
    replicas = join()
    with replicas.in_turn():
        train, held_out = _data(config, run)
        config.save(run / "config.yaml")  # now that the shards there are known to be of this config
    if args.only == "data":
        return 0
    watch = Watch(run, args.minutes, args.validate_every, device, start, replicas)
    if args.only in (None, "stage1"):
        from segpoint_training.stage1 import run_stage1

        if not run_stage1(config, run, train, held_out, watch):
            return _stopped()
    if args.only in (None, "stage2"):
        from segpoint_training.stage2 import run_stage2

        if not run_stage2(config, run, train, held_out, watch):
            return _stopped()
    if args.bundle:
        from segpoint_training.release import write_bundle

        write_bundle(config, run, Path(args.bundle))
    return 0


def _stopped() -> int:
    tqdm.write("stopped; the same command goes on from here")
    return 1


def _check(args: argparse.Namespace) -> None:
    """Raise SegPointError for what would only come to light after hours."""
    if args.minutes is not None and not args.minutes > 0:
        raise SegPointError(f"--minutes must be more than 0, got {args.minutes}")
    if args.validate_every < 1:
        raise SegPointError(f"--validate-every must be at least 1, got {args.validate_every}")
    if args.bundle and args.only in ("data", "stage1"):
        raise SegPointError(f"--bundle is written after stage 2: leave it out with --only {args.only}")
    if args.bundle:
        check_folder(args.bundle)
    check_folder(args.run)


def _data(config: TrainConfig, run: Path) -> tuple[list[LabelledCloud], list[LabelledCloud]]:
    train, held_out = (
        read_shards(write_shards(run / "shards", split, config.data, config.model.cloud)) for split in SPLITS
    )
    return keep_frequent(train, config.data.sentences), held_out


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        raise SegPointError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return device


@dataclass
class Watch:
    """What a stage reports to and is stopped by, where it runs, and what it begins with.

    start: stage 1's weights by name (`warm_start.fill` takes them), None for fresh ones.   replicas: the processes that
    train together.
    """

    run: Path
    minutes: float | None
    validate_every: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    start: dict[str, Tensor] | None = None
    replicas: Replicas = field(default_factory=Replicas)

    def log(self, **facts: object) -> None:
        if not self.replicas.first:
            return
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **facts}
        with (self.run / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        tqdm.write(json.dumps(line))


@dataclass
class Stage:
    """One stage as the loop needs it: what is trained, its loss, and how it is looked at.

    modules: saved and averaged by name, on the watch's device.   groups: parameter lists with their learning rates.
    loss: a batch on that device → loss and its parts.   validate: with the averaged weights in place → figures.
    """

    name: str
    config: StageConfig
    modules: dict[str, Stateful]
    groups: list[dict]
    loss: Callable[[Batch], tuple[Tensor, dict[str, float]]]
    validate: Callable[[], dict[str, float]]


def fit(stage: Stage, batches: Batches, watch: Watch) -> bool:
    """Train a stage to its end, to ``watch.minutes``, or to a SIGTERM; then save. Resumes from its checkpoint. Whether
    the end was reached."""
    config, folder, replicas = stage.config, watch.run / stage.name, watch.replicas
    optimizer = torch.optim.AdamW(stage.groups, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True)
    ema = Ema(flat_state(stage.modules), config.ema)
    step = 0
    if (folder / "state.safetensors").exists():
        step = load_checkpoint(folder, stage.modules, ema, optimizer)["step"]
    watch.log(stage=stage.name, commit=git_commit(), begins=step, scenes=config.scenes)
    peaks = [group["lr"] for group in stage.groups]
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    end = time.monotonic() + 60 * watch.minutes if watch.minutes else math.inf
    saved = time.monotonic()
    trained = [p for g in stage.groups for p in g["params"]]
    progress = tqdm(
        initial=step, total=config.steps, desc=stage.name, unit="step", mininterval=5, disable=not replicas.first
    )
    for number, batch in _numbered(batches, step, config.steps, watch):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(number, config)
        loss, parts = stage.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        late = replicas.average(trained, time.monotonic() > end or bool(stopping))
        torch.nn.utils.clip_grad_norm_(trained, config.clip)
        optimizer.step()
        ema.update(flat_state(stage.modules))
        step = number + 1
        progress.update()
        progress.set_postfix({name: f"{value:.3f}" for name, value in parts.items()}, refresh=False)
        if not math.isfinite(float(loss.detach())):
            raise SegPointError(
                f"{stage.name} diverged at step {step}: {parts}; lower the rate or resume from {folder}"
            )
        if step % 50 == 0:
            watch.log(stage=stage.name, step=step, **{name: round(value, 4) for name, value in parts.items()})
        if step % watch.validate_every == 0 and replicas.first:
            watch.log(stage=stage.name, step=step, validation=_averaged(stage, ema))
        if replicas.first and (late or time.monotonic() - saved > 180):
            save_checkpoint(folder, stage.modules, ema, optimizer, {"step": step, "of": config.steps})
            saved = time.monotonic()
        if late:
            break
    progress.close()
    if replicas.first:
        save_checkpoint(folder, stage.modules, ema, optimizer, {"step": step, "of": config.steps})
        watch.log(stage=stage.name, step=step, done=step >= config.steps, validation=_averaged(stage, ema))
    replicas.wait()
    return step >= config.steps


def schedule(step: int, config: StageConfig) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to a hundredth."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    along = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, along)))


def _averaged(stage: Stage, ema: Ema) -> dict[str, float]:
    """The stage's figures with the averaged weights; the weights in training are put back afterwards."""
    own = {name: value.clone() for name, value in flat_state(stage.modules).items()}
    load_flat(stage.modules, ema.state)
    for module in stage.modules.values():
        module.train(False)
    try:
        return stage.validate()
    finally:
        load_flat(stage.modules, own)
        for module in stage.modules.values():
            module.train()


def _numbered(batches: Batches, first: int, last: int, watch: Watch) -> Iterator[tuple[int, Batch]]:
    """This process's share of the batches ``first … last − 1``, with the numbers of their steps, made ready by loader
    processes: one beside a training CPU."""
    device, replicas = watch.device, watch.replicas
    order = range(first * replicas.count + replicas.rank, last * replicas.count, replicas.count)
    loaders, ahead = (1, 4) if device.type == "cpu" else (max(1, min(_MOST_LOADERS, available_cores() - 1)), 2)
    loader = DataLoader(
        batches, batch_size=None, sampler=order, num_workers=loaders, prefetch_factor=ahead, worker_init_fn=_quiet
    )
    for number, batch in zip(range(first, last), loader, strict=True):
        yield number, batch.to(device)


def keep_memory() -> None:
    """glibc gives blocks above 32 MiB back at once and page-faults on the next; keeping them is a third of a step."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def _quiet(worker: int) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    raise SystemExit(main())
