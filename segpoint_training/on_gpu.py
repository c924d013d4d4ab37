"""Everything that makes a bundle, in one command, on a machine with a GPU and many cores.

    python -m segpoint_training.on_gpu config/training/segpoint_gpu.yaml --run runs/gpu --tar segpoint-gpu.tar.gz

Generates with all cores, trains both stages on the GPU, calibrates, evaluates, and packs bundle, config, log and
results into one tar to bring back. Every step goes on where it stopped, so the same command again does, too. It takes
the assets that are installed: run ``segpoint assets`` before. Where the machine has no network, bring the cache folder
that it and ``segpoint setup`` fill.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from segpoint.errors import SegPointError
from segpoint.files import check_target
from segpoint_training.targets import PARTS

_PACKED = ("bundle", "results", "results.md", "config.yaml", "log.jsonl")  # of the run's folder
_SEGPOINT = ("-m", "segpoint.cli")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m segpoint_training.on_gpu", description=__doc__.split("\n")[0])
    parser.add_argument("config", help="a YAML file, for example config/training/segpoint_gpu.yaml")
    parser.add_argument("--run", type=Path, required=True, metavar="FOLDER", help="where everything goes")
    parser.add_argument("--tar", type=Path, required=True, metavar="FILE", help="what to bring back (.gz)")
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--from", dest="start", metavar="FOLDER", help="as of segpoint train")
    parser.add_argument("--real", metavar="FOLDER", help="labelled recordings to measure on as well")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and do nothing")
    args = parser.parse_args(argv)
    check_target(args.tar, (".gz",), makes_folder=True)
    commands = plan(args.config, args.run, args.device, args.start, args.real)
    for command in commands:
        print(f"$ {shlex.join(('python', *command))}", flush=True)
        if not args.dry_run and subprocess.run((sys.executable, *command)).returncode:
            raise SegPointError(f"{shlex.join(command)} failed; mend what it says and run the same command again")
    if not args.dry_run:
        pack(args.run, args.tar)
    print(f"bring back {args.tar}")
    return 0


def plan(config: str, run: Path, device: str, start: str | None, real: str | None) -> list[tuple[str, ...]]:
    """The arguments of Python, step by step."""
    bundle = str(run / "bundle")
    train = (*_SEGPOINT, "train", config, "--run", str(run), "--bundle", bundle, "--device", device)
    rows = [word for part in PARTS if part != "real" or real for word in ("--row", part)]
    evaluate = (*_SEGPOINT, "evaluate", "--bundle", bundle, *rows, "--json-folder", str(run / "results"))
    return [
        (*_SEGPOINT, "setup"),
        (*_SEGPOINT, "generate", "--shards", str(run / "shards"), "--config", config),
        (*train, "--from", start) if start else train,
        ("-m", "segpoint_training.calibrate", bundle),
        (*evaluate, "--real", real) if real else evaluate,
    ]


def pack(run: Path, tar: Path) -> None:
    """The parts of ``run`` that are worth bringing back, as one archive; shards and checkpoints stay."""
    tar.parent.mkdir(parents=True, exist_ok=True)
    partial = tar.with_name(tar.name + ".part")
    with tarfile.open(partial, "w:gz") as archive:
        for name in _PACKED:
            archive.add(run / name, f"{run.name}/{name}")
    partial.replace(tar)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except SegPointError as error:
        raise SystemExit(f"on_gpu: {error}") from error
