"""``segpoint replay``: what the node would have said about what a robot saw, measured and shown.

    segpoint replay run1 --instruction "pick up the mug"
    segpoint replay run1 run2.mcap --labels data/mine --workers 2
    segpoint replay --compare out/before/run1 out/after/run1

Exit codes: 0 done, 2 bad input or set-up.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segpoint.errors import SegPointError, printable
from segpoint.files import check_target, reading
from segpoint_replay.farm import Unfinished, in_turn, replay_all, written
from segpoint_replay.job import Job
from segpoint_replay.record import PREVIOUS, REPORT, RUN, Run, read_run

OUT = "out/replay"
INDEX = "index.html"
COMPARISON = "comparison.html"
_NEEDED = ("rosbags", "tqdm", "jinja2")
_MOST_WORDS = 10_000  # no bundle allows as many tokens; its own limit is checked where its tokenizer is


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of ``segpoint replay``."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.compare:
        return _compare(args, parser)
    if not args.bags:
        parser.error("give a bag, or two runs with --compare")
    if args.rate != 1.0 and not args.live:
        parser.error("--rate is of --live: offline a bag is replayed as fast as the machine goes")
    if args.node and not args.live:
        parser.error("--node is of --live: offline no node is there")
    if args.live and (args.workers > 1 or args.ray):
        parser.error("--live replays one bag after the other, in real time: leave --workers and --ray out")
    jobs = _jobs(args)
    try:
        runs, unfinished = _run(jobs, args)
    except KeyboardInterrupt:
        _tell(f"stopped: what was answered is in {args.out or OUT}; the same command replays what is not finished anew")
        raise
    if args.json:
        print(json.dumps({"runs": [_as_json(run) for run in runs]}, allow_nan=False))
    else:
        from segpoint_replay.tables import print_run

        for run in runs:
            print_run(run)
        if len(jobs) > 1:
            print(f"all      {Path(args.out or OUT) / INDEX}")
    if unfinished is not None:
        raise unfinished
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segpoint replay",
        description="Answer the clouds of bags as the ROS 2 node would, measure the answers and show them.",
    )
    parser.add_argument("bags", metavar="BAG", nargs="*", help="a rosbag2 folder, an .mcap, .db3 or ROS 1 .bag file")
    add = parser.add_argument
    add("--instruction", metavar="TEXT", action="append", default=[],
        help="asked of every cloud; may be repeated (default: what the labels ask, or what the bag says)")  # fmt: skip
    add("--labels", metavar="FOLDER", default="", help="the truth: a folder with an instructions.json beside clouds")
    add("--topic", default="", help="the clouds' topic (default: the only one)")
    add("--instruction-topic", metavar="TOPIC", default="",
        help="where the bag has its own instructions (default: its only std_msgs/String topic)")  # fmt: skip
    add("--bundle", metavar="FOLDER", default="", help="a trained model's folder (default: the one that ships)")
    add(
        "--parameter", metavar="NAME=VALUE", action="append", default=[], help="of the node, such as mask.threshold=0.4"
    )
    add("--live", action="store_true", help="publish the bag to the real node over DDS, in real time")
    add("--node", metavar="NAME", default="", help="with --live: of a node that runs already (default: one is started)")
    add("--rate", type=_number(above=0), default=1.0, help="of the bag's own speed, with --live (default: 1)")
    add("--start", type=_number(least=0), default=0.0, metavar="S", help="seconds after the bag's start")
    add("--duration", type=_number(least=0), default=0.0, metavar="S", help="seconds to replay (default: all)")
    add("--every", type=_count, default=1, metavar="N", help="only every N-th cloud")
    add("--out", metavar="FOLDER", default="",
        help=f"a folder for each bag is made in it (default: {OUT}); with --compare a page ({COMPARISON})")  # fmt: skip
    add("--workers", type=_count, default=1, metavar="N", help="so many bags at a time")
    add("--ray", metavar="ADDRESS", default="", help='replay on a Ray cluster; "auto" for the one of this machine')
    add(
        "--compare", metavar=("A", "B"), nargs=2, help="show two runs side by side; each a bag's folder or its run.json"
    )
    add("--json", action="store_true", help="print the figures as JSON")
    return parser


def _jobs(args: argparse.Namespace) -> list[Job]:
    """One job a bag; all that can be wrong is told before a model is loaded."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise SegPointError(f"{', '.join(missing)} missing: pip install 'segpoint_ros[replay]'")
    from segpoint.config import BundleConfig
    from segpoint.prompts import check_instruction
    from segpoint_replay.offline import settings_of
    from segpoint_replay.pages import check_page
    from segpoint_replay.recorder import check_output
    from segpoint_ros.changes import parse_pair
    from segpoint_ros.request import split_instructions

    instructions = [text for given in args.instruction for text in split_instructions(given)]
    if args.instruction and not instructions:
        raise SegPointError('--instruction is empty: say what is meant, for example "pick up the mug"')
    for text in instructions:
        check_instruction(text, _MOST_WORDS)
    for bag in args.bags:
        _check_bag(Path(bag))
    if args.labels and not (Path(args.labels) / "instructions.json").is_file():
        raise SegPointError(f"{args.labels}: no instructions.json in it; `segpoint annotate` writes such a folder")
    if args.bundle:
        BundleConfig.load(args.bundle)
    jobs = [
        Job(
            bag=bag,
            out=str(Path(args.out or OUT) / name),
            topic=args.topic,
            instructions=tuple(dict.fromkeys(instructions)),
            instruction_topic=args.instruction_topic,
            labels=args.labels,
            bundle=args.bundle,
            parameters=tuple(map(parse_pair, args.parameter)),
            way="live" if args.live else "offline",
            rate=args.rate,
            node=args.node,
            start=args.start,
            duration=args.duration,
            every=args.every,
        )
        for bag, name in zip(args.bags, _names(args.bags), strict=True)
    ]
    settings_of(jobs[0])
    for job in jobs:
        check_output(job)
    if len(jobs) > 1:
        check_page(Path(args.out or OUT) / INDEX)
    return jobs


def _run(jobs: Sequence[Job], args: argparse.Namespace) -> tuple[list[Run], Unfinished | None]:
    """The runs, with the index of several; and, where some of many bags have none, the error that says why."""
    previous = [Path(job.out) / PREVIOUS for job in jobs]
    before = [(written(job.out), written(last)) for job, last in zip(jobs, previous, strict=True)]
    unfinished = None
    try:
        runs = _live(jobs) if args.live else replay_all(jobs, args.workers, args.ray)
    except Unfinished as error:
        runs, unfinished = error.runs, error
    failed = unfinished.failed if unfinished else {}
    for job, last, (time, time_of_last) in zip(jobs, previous, before, strict=True):
        if job.bag not in failed and written(job.out) == time:
            _tell(f"{job.bag}: finished before, nothing to do; to replay it again, remove {job.out} or change --out")
        if written(last) != time_of_last:
            _tell(f"{job.bag}: what was replayed into {job.out} before is in {last} now")
    if len(jobs) > 1:
        from segpoint_replay.report import write_index

        write_index(runs, Path(args.out or OUT) / INDEX, failed)
    return runs, unfinished


def _live(jobs: Sequence[Job]) -> list[Run]:
    """As `replay_all`, but by the live node, one bag after the other."""
    from segpoint_replay.live import replay_live
    from segpoint_replay.recorder import finished
    from segpoint_replay.versions import versions

    def replay(job: Job) -> Run:
        return finished(job, versions(job)) or replay_live(job)

    return in_turn(jobs, replay)


def _compare(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    if args.bags:
        parser.error("--compare takes two runs and no bag")
    page = Path(args.out or COMPARISON)
    check_target(page, (".html",))
    from segpoint_replay.pages import check_page
    from segpoint_replay.report import write_comparison
    from segpoint_replay.summary import compare
    from segpoint_replay.tables import print_comparison

    check_page(page)
    first, second = (read_run(_record(Path(path))) for path in args.compare)
    comparison = compare(first, second)
    write_comparison(first, second, page)
    if args.json:
        print(json.dumps(comparison.to_dict(), allow_nan=False))
    else:
        print_comparison(args.compare, comparison)
        print(f"report   {page}")
    return 0


def _check_bag(path: Path) -> None:
    """Raise SegPointError where there is nothing, and where it is a folder with bags in it, as of `segpoint generate
    --bag`. Whatever else is no bag is told in its turn."""
    from segpoint_replay.bag_files import find_files

    def is_bag(folder: Path) -> bool:
        with suppress(SegPointError, OSError):
            return bool(find_files(folder).files)
        return False

    if not path.exists():
        raise SegPointError(f"{path}: there is no such bag; give a rosbag2 folder, an .mcap, .db3 or .bag file")
    if path.is_dir() and not is_bag(path):
        with reading(path, "check that it may be read"):
            inside = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and is_bag(folder)]
        if inside:
            raise SegPointError(f"{path} is no bag, but holds {len(inside)}: give {', '.join(map(str, inside[:3]))}")


def _tell(line: str) -> None:
    """For a person, beside what a program reads."""
    print(printable(line), file=sys.stderr)


def _record(path: Path) -> Path:
    """The record in a run's folder, or in the only run of a folder given with --out."""
    if not path.is_dir() or (path / RUN).is_file():
        return path
    runs = sorted(path.glob(f"*/{RUN}"))
    if len(runs) > 1:
        raise SegPointError(f"{path} holds {len(runs)} runs: name one, for example {runs[0].parent}")
    return runs[0] if runs else path


def _names(bags: Sequence[str]) -> list[str]:
    """A folder's name for each bag: its own, numbered where several have the same."""
    names: list[str] = []
    for bag in bags:
        path = Path(bag).resolve()
        own = path.name if path.is_dir() else path.stem
        again = (f"{own}-{number}" for number in range(2, len(bags) + 2))
        names.append(own if own not in names else next(name for name in again if name not in names))
    return names


def _number(least: float | None = None, above: float = 0.0) -> Callable[[str], float]:
    """A parser of finite numbers that are at least ``least``, or else more than ``above``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        fits = value >= least if least is not None else value > above
        if not (math.isfinite(value) and fits):
            expected = f"from {least:g} up" if least is not None else f"above {above:g}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {expected}")
        return value

    return parse


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _as_json(run: Run) -> dict[str, Any]:
    from segpoint_replay.summary import summary

    out = Path(run.job["out"])
    return {
        "bag": run.job["bag"],
        "topic": run.topic,
        "complete": run.complete,
        "record": str(out / RUN),
        "report": str(out / REPORT),
        "troubles": list(run.troubles),
        "summary": summary(run).to_dict(),
    }
