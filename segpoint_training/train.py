"""``segpoint train``: from generated scenes and data sets to weights, in two stages, resumable at any moment.

    segpoint train config/training/segpoint_tabletop.yaml --run runs/tabletop --bundle runs/tabletop/bundle
    accelerate launch --config_file config/training/accelerate/ddp.yaml -m segpoint_training.train CONFIG --run RUN

The run's folder holds prepared clouds, question embeddings, a checkpoint for each stage, ``log.jsonl``, TensorBoard's
``board`` and the config used. The same command again goes on where it stopped. Shards that `segpoint generate --shards`
wrote are taken from ``RUN/shards``. Exit codes: 0 the run is done, or was stopped as asked (--minutes, Ctrl-C, SIGTERM)
after a checkpoint; any other: it cannot go on, for a reason that is told.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402
from accelerate import Accelerator  # noqa: E402
from filelock import FileLock, Timeout  # noqa: E402
from torch import Tensor  # noqa: E402
from tqdm import tqdm  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint.files import check_folder  # noqa: E402
from segpoint_training.checkpoints import steps_done  # noqa: E402
from segpoint_training.config import DatasetConfig, TrainConfig  # noqa: E402
from segpoint_training.fit import Watch, keep_memory  # noqa: E402
from segpoint_training.needs import missing  # noqa: E402
from segpoint_training.processes import check_sharing, start_processes  # noqa: E402
from segpoint_training.sources import load_sources  # noqa: E402
from segpoint_training.stamp import difference  # noqa: E402
from segpoint_training.warm_start import initial_state  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    _check(args)
    config = with_folders(with_folders(TrainConfig.load(args.config), "root", args.root), "scans", args.scans)
    lacking = missing(config, args.start)
    if args.dry_run:
        from segpoint_training.plan import plan, print_missing, print_plan

        try:
            print_plan(plan(config, args.processes, args.strategy, args.device))
        finally:  # also of what cannot be planned
            print_missing(lacking)
        return 0
    if lacking:
        raise SegPointError("; ".join(lacking))
    start = initial_state(args.start) if args.start else None
    accelerator = start_processes(args.device)
    check_sharing(config, accelerator, args.only)
    run = Path(args.run)
    run.mkdir(parents=True, exist_ok=True)
    with _claimed(run, accelerator.is_main_process):
        _check_begun(config, run, args.only)
        return _train(config, run, args, start, accelerator)


def _train(
    config: TrainConfig, run: Path, args: argparse.Namespace, start: dict[str, Tensor] | None, accelerator: Accelerator
) -> int:
    """What the command asks for, in the run's folder; the exit code."""
    torch.manual_seed(config.seed)
    keep_memory()
    with accelerator.main_process_first():
        train, held_out = load_sources(config, run)
        if accelerator.is_main_process:
            config.save(run / "config.yaml")  # now that the clouds there are known to be of this config
    if args.only == "data":
        return 0
    watch = Watch(run, accelerator, args.minutes, args.validate_every, args.log_every, args.save_every, start)
    watch.log(command=_command(args, accelerator.num_processes))
    if args.only in (None, "stage1") and config.stage1 is not None:
        from segpoint_training.stage1 import run_stage1

        if not run_stage1(config, run, train, held_out, watch):
            return _stopped(config, run, accelerator)
    if args.only in (None, "stage2"):
        from segpoint_training.stage2 import run_stage2

        if not run_stage2(config, run, train, held_out, watch):
            return _stopped(config, run, accelerator)
    if args.bundle and accelerator.is_main_process:
        from segpoint_training.release import write_bundle

        write_bundle(config, run, Path(args.bundle))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segpoint train", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("config", help="a YAML file as in config/training/")
    add("--run", metavar="FOLDER", help="where data, checkpoints and the log go")
    add("--bundle", metavar="FOLDER", help="write the finished bundle here (or later, with `segpoint bundle`)")
    add("--root", metavar="NAME=FOLDER", action="append", default=[],
        help="where the data set NAME lies, instead of what the config says; may be repeated")  # fmt: skip
    add("--scans", metavar="NAME=FOLDER", action="append", default=[],
        help="where the scans lie that NAME's sentences speak about; may be repeated")  # fmt: skip
    add("--from", dest="start", metavar="FOLDER", help="begin with the weights of this run or bundle that fit")
    add("--only", choices=("data", "stage1", "stage2"), help="do just this part")
    add("--minutes", type=float, help="stop when a stage has been trained this long; the same command goes on")
    add("--validate-every", type=int, default=250, metavar="STEPS", help="default: 250")
    add("--log-every", type=int, default=50, metavar="STEPS", help="default: 50")
    add("--save-every", type=float, default=3.0, metavar="MINUTES",
        help="a checkpoint so often (default: 3; 0: every step)")  # fmt: skip
    add("--device", default="auto", help="auto (default), cpu or cuda")
    planned = parser.add_argument_group("plan")
    planned.add_argument("--dry-run", action="store_true",
        help="print parameters, memory, steps, epochs and what is missing, and do nothing")  # fmt: skip
    planned.add_argument(
        "--processes", type=int, default=1, metavar="N", help="GPUs that it is planned for (default: 1)"
    )
    planned.add_argument(
        "--strategy", choices=("ddp", "fsdp", "zero2"), default="ddp", help="how they share the weights"
    )
    return parser


def _check(args: argparse.Namespace) -> None:
    """Raise SegPointError for what would only come to light after hours."""
    if not args.run and not args.dry_run:
        raise SegPointError("--run FOLDER is needed: where data, checkpoints and the log go")
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise SegPointError(f"--minutes must be a number above 0, got {args.minutes}")
    if not 0 <= args.save_every < math.inf:
        raise SegPointError(f"--save-every must be a number from 0 (every step) up, got {args.save_every}")
    for name in ("validate_every", "log_every", "processes"):
        if getattr(args, name) < 1:
            raise SegPointError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    if args.bundle and args.only in ("data", "stage1"):
        raise SegPointError(f"--bundle is written after stage 2: leave it out with --only {args.only}")
    if args.run:
        check_folder(args.run)
    if args.bundle:
        from segpoint_training.release import check_bundle_folder

        check_bundle_folder(Path(args.bundle))


@contextmanager
def _claimed(run: Path, first: bool) -> Iterator[None]:
    """The run's folder for this training alone; its ``first`` process holds it."""
    try:
        with FileLock(run / ".lock", timeout=0) if first else nullcontext():
            yield
    except Timeout as error:
        raise SegPointError(f"another training writes to {run}: wait for it, or take another --run") from error


def _check_begun(config: TrainConfig, run: Path, only: str | None) -> None:
    """Raise SegPointError where ``run`` was begun with another config, whose weights would go on under this one."""
    done = {stage: steps_done(run / stage) for stage in ("stage1", "stage2")}
    if (run / "config.yaml").is_file() and any(done.values()):
        apart = difference(_decisive(TrainConfig.load(run / "config.yaml")), _decisive(config))
        if apart:
            raise SegPointError(
                f"{run} was begun with another config ({apart}): go back to that, or take another --run"
            )
    for stage in done:
        if (run / stage).exists() and not (run / stage).is_dir():
            raise SegPointError(f"{run / stage} is a file, and a folder is to be there: move it away")
    stage1 = config.stage1
    if only == "stage1" and stage1 is None:
        raise SegPointError("the config has no stage 1: leave out --only stage1")
    if stage1 is not None and done["stage1"] < stage1.steps:
        if done["stage2"]:
            raise SegPointError(
                f"stage 2 was begun from stage 1 at step {done['stage1']}: delete {run / 'stage2'} first"
            )
        if only == "stage2":
            raise SegPointError(
                f"stage 1 has done {done['stage1']} of {stage1.steps} steps: let it get to its end first"
            )


def _decisive(config: TrainConfig) -> dict[str, Any]:
    """What of a config may not change while its run goes on: all but how long it is, and where its data lie."""
    values = json.loads(json.dumps(config.to_dict()))
    for name in ("stage1", "stage2"):
        (values[name] or {}).pop("steps", None)
    for name in ("train_scenes", "validation_scenes", "sentences", "workers"):
        (values["data"] or {}).pop(name, None)
    values.pop("validation")
    values["datasets"] = {f"{one['name']}-{one['split']}": one["weight"] for one in values["datasets"]}
    return values


def with_folders(config: TrainConfig, kind: str, given: Sequence[str]) -> TrainConfig:
    """The config with other folders for its data sets. kind: "root" or "scans".   given: ``NAME=FOLDER``."""
    known = {one.name for one in (*config.datasets, *config.validation)}
    folders: dict[str, dict[str, Any]] = {}
    for word in given:
        name, equals, folder = word.partition("=")
        if not equals or not folder:
            raise SegPointError(f"--{kind} takes NAME=FOLDER, got {word!r:.80}")
        if name not in known:
            raise SegPointError(f"--{kind} {word}: the config has no data set {name!r}, but {sorted(known) or 'none'}")
        folders[name] = {kind: folder}

    def placed(sets: tuple[DatasetConfig, ...]) -> tuple[DatasetConfig, ...]:
        return tuple(dataclasses.replace(one, **folders.get(one.name, {})) for one in sets)

    return dataclasses.replace(config, datasets=placed(config.datasets), validation=placed(config.validation))


def _command(args: argparse.Namespace, processes: int) -> str:
    """What goes on with this run, to its end."""
    words = [args.config, "--run", args.run]
    for option, given in (
        ("--root", args.root),
        ("--scans", args.scans),
        ("--from", [args.start] if args.start else []),
    ):
        words += [word for one in given for word in (option, one)]
    if args.device != "auto":
        words += ["--device", args.device]
    program = "segpoint train" if processes == 1 else "accelerate launch … -m segpoint_training.train"
    return f"{program} {shlex.join(words)}"


def _stopped(config: TrainConfig, run: Path, accelerator: Accelerator) -> int:
    """Tell how far a run has come that was stopped as asked; the exit code."""
    if accelerator.is_main_process:
        stages = {"stage 1": ("stage1", config.stage1), "stage 2": ("stage2", config.stage2)}
        done = [
            f"{told} has done {steps_done(run / name):,} of {stage.steps:,} steps"
            for told, (name, stage) in stages.items()
            if stage is not None
        ]
        tqdm.write(f"stopped: {', '.join(done)}; the same command goes on from there")
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except SegPointError as error:
        raise SystemExit(f"segpoint train: {error}") from error
