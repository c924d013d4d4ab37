"""``segpoint benchmark``: milliseconds and memory of the method, part by part, and beside what else does its work.

    segpoint benchmark                        every part; some twenty minutes on two cores
    segpoint benchmark --part peers --quick   one part, few repeats

Writes benchmark.json (every figure), benchmark.md (tables, and the project's targets judged by them) and benchmark.png.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.cloud import FRAMES
from segpoint.config import BundleConfig, default_bundle
from segpoint.engines.runner import BACKENDS, Unavailable
from segpoint.errors import SegPointError
from segpoint.files import check_folder, read_points
from segpoint_training.benchmark import machine, plot, report
from segpoint_training.benchmark.cases import (
    FULL,
    PARTS,
    QUICK,
    Workplace,
    cases,
    environment_of,
    prepare_case,
    run_case,
    run_program,
)  # fmt: skip

SCENE = {"seed": 900_029, "split": "test", "sensor": "kinect"}  # the demo's
NAME = "benchmark"
_REPEATS = {"full": 20, "quick": 3}
_SEED = 0


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    argv = [] if argv is None else argv
    args = _parser().parse_args(argv)
    repeats = args.repeats or _REPEATS["quick" if args.quick else "full"]
    parts = [part for part in PARTS if part in args.part]
    cores = len(os.sched_getaffinity(0))
    threads = args.threads or cores
    if threads > cores:
        raise SegPointError(f"--threads {threads} is more than the {cores} cores that this process may use")
    out = Path(args.out)
    check_folder(out)
    folder = Path(args.bundle) if args.bundle else default_bundle()
    BundleConfig.load(folder)
    xyz, rgb, told = _cloud(args.file)
    backends, left_out = _available(args.backend)
    if _draws(parts) and find_spec("matplotlib") is None:
        raise SegPointError("the plot needs matplotlib: pip install matplotlib, or 'segpoint_ros[benchmark]'")
    settings = {
        "command": shlex.join(["segpoint", "benchmark", *argv]),
        "bundle": folder.name,
        "cloud": told,
        "frame": args.frame,
        "parts": parts,
        "backends": backends,
        "quick": args.quick,
        "repeats": repeats,
        "threads": threads,
        "seed": _SEED,
    }
    record: dict[str, Any] = {"machine": machine.describe(), "settings": settings, "runs": [], "groups": []}
    record |= {"bounds": None, "failed": left_out}
    print(machine.in_words(record["machine"]))
    with _cores(threads), tempfile.TemporaryDirectory(prefix="segpoint-benchmark-") as made:
        _measure(record, Workplace(Path(made), folder.resolve(), xyz, rgb, _SEED))
    if not record["runs"] and not record["groups"]:
        raise SegPointError(f"nothing could be measured: {record['failed'][-1]}")
    print(_write(record, out))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segpoint benchmark", description="Measure how fast the method is here, and beside others."
    )
    add = parser.add_argument
    add("--bundle", metavar="FOLDER", help="a trained model's folder (default: the one that ships)")
    add("--backend", type=_choices(BACKENDS[1:]), metavar="A,B", default=list(BACKENDS[1:]),
        help=f"for GEM, encoder and GFP: {', '.join(BACKENDS[1:])} (default: all that work here)")  # fmt: skip
    add("--part", type=_choices(PARTS), metavar="A,B", default=list(PARTS),
        help=f"what to measure: {', '.join(PARTS)} (default: all)")  # fmt: skip
    add("--repeats", type=_positive, metavar="N", help="of everything (default: 20, with --quick 3)")
    add("--quick", action="store_true", help="fewer repeats, fewer sizes: to see that it works, not to quote")
    add("--file", metavar="CLOUD", help="a .pcd, .ply or .npz file (default: a generated 640×480 depth image)")
    add("--frame", choices=FRAMES, default="optical", help="axes of --file (default: optical)")
    add("--threads", type=_positive, metavar="N", help="cores to use (default: all that this process may)")
    add("--out", metavar="FOLDER", default=f"out/{NAME}", help=f"default: out/{NAME}")
    return parser


def _choices(known: Sequence[str]) -> Any:
    def chosen(text: str) -> list[str]:
        words = text.split(",")
        if odd := [word for word in words if word not in known]:
            raise argparse.ArgumentTypeError(f"{odd[0]!r} is none of {', '.join(known)} (several with commas)")
        return words

    return chosen


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return value


def _cloud(file: str | None) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Coordinates, colour, and what they are."""
    if file is not None:
        points = read_points(file)
        return points.xyz, points.rgb, f"{Path(file).name}, {len(points.xyz):,} points"
    try:
        from segpoint_training.scenes.generate import generate_scene
    except ImportError as error:
        raise SegPointError(
            f"the default cloud is generated, which needs {error.name}: pip install 'segpoint_ros[training]', or give "
            "--file"
        ) from error
    scene = generate_scene(**SCENE)  # type: ignore[arg-type]
    kind = ", ".join(f"{name} {value}" for name, value in SCENE.items())
    return scene.xyz, scene.rgb, f"a generated scene ({kind}), {len(scene.xyz):,} points"


def _available(backends: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that work here, best first, and why the others do not. Raises `SegPointError` where none does."""
    found, left_out = [], []
    for backend in BACKENDS[1:]:
        if backend not in backends:
            continue
        try:
            if backend != "torch":
                import_module(f"segpoint.engines.{backend}").check("cuda" if backend == "tensorrt" else "cpu")
            found.append(backend)
        except Unavailable as error:
            left_out.append(f"backend {backend}: {error}")
    if not found:
        raise SegPointError("; ".join(left_out))
    return found, left_out


def _draws(parts: Sequence[str]) -> bool:
    return bool({"points", "raw", "questions"} & set(parts))


@contextmanager
def _cores(count: int) -> Iterator[None]:
    """Only so many cores for this process and those it starts: not every library asks for a number of threads."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _measure(record: dict[str, Any], place: Workplace) -> None:
    """Fill the record. What fails is noted there, and the rest goes on."""
    from tqdm import tqdm

    settings = record["settings"]
    environment, repeats = environment_of(settings["threads"]), settings["repeats"]
    parts, backends = settings["parts"], settings["backends"]
    sizes = QUICK if settings["quick"] else FULL
    todo = list(cases(place, parts, backends, sizes, settings["frame"], repeats))
    peers = ["peers", "messages"] if "peers" in parts else []
    prepared = set()
    with tqdm(total=len(todo) + len(peers), unit="configuration", disable=None) as progress:
        for case in todo:
            progress.set_description(case.title)
            try:
                if (case.bundle, case.backend) not in prepared:
                    prepare_case(case, environment)
                    prepared.add((case.bundle, case.backend))
                record["runs"] += run_case(case, environment)
            except SegPointError as error:
                record["failed"].append(f"{case.title}: {error}")
            progress.update()
        for name in peers:
            progress.set_description(name)
            try:
                _compare(record, name, place, environment)
            except SegPointError as error:
                record["failed"].append(f"{name}: {error}")
            progress.update()


def _compare(record: dict[str, Any], name: str, place: Workplace, environment: dict[str, str]) -> None:
    """One program of comparisons. ROS's is started, not imported: this package knows no ROS."""
    settings = record["settings"]
    spec = {"cloud": place.cloud(), "repeats": settings["repeats"]}
    if name == "peers":
        spec |= {"bundle": str(place.bundle), "frame": settings["frame"], "threads": settings["threads"]}
        found = run_program("segpoint_training.benchmark.peers", spec, environment)
        groups, record["bounds"] = found["groups"], found["bounds"]
    elif find_spec("sensor_msgs") is None:
        raise SegPointError("ROS 2's messages are not installed: pip install 'segpoint_ros[ros]', or source ROS 2")
    else:
        groups = [run_program("segpoint_ros.message_benchmark", spec, environment)]
    record["groups"] += [{**group, "command": "segpoint benchmark --part peers"} for group in groups]


def _write(record: dict[str, Any], out: Path) -> str:
    """All files. Returns the page."""
    out.mkdir(parents=True, exist_ok=True)
    picture = out / f"{NAME}.png"
    drawn = plot.panels(record)
    picture.unlink(missing_ok=True)  # an earlier run's, which may have measured more
    if drawn:
        plot.draw(record, picture)
    text = report.page(record, picture.name if drawn else None)
    (out / f"{NAME}.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    (out / f"{NAME}.md").write_text(text, "utf-8")
    written = [f"{NAME}.json", f"{NAME}.md", *([picture.name] if drawn else [])]
    return f"\n{text}\nwrote     {out}/: {', '.join(written)}"
