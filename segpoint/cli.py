"""The ``segpoint`` command. It answers ``--help`` at once: what costs time to import is imported by what needs it.

Exit codes: 0 done (also where nothing was found: that is an answer), 1 the demo found no mug, 2 bad input or set-up,
told in one line on standard error.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from segpoint import __version__
from segpoint.errors import SegPointError, printable

if TYPE_CHECKING:
    from segpoint.files import PointFile
    from segpoint.segmenter import Segmentation

# Subcommands of the other packages: their modules parse their own arguments with ``main(argv) -> int | None``.
# They are named here, not imported: the method does not depend on its training code or on ROS.
ELSEWHERE = {
    "assets": ("segpoint_training.scenes.assets", "fetch models of household things and furniture for `generate`"),
    "data": ("segpoint_training.data_command", "check a data set, a published one or your own, and draw its scans"),
    "demo": ("segpoint_training.demo", "start the real ROS 2 node, show it a generated scene, check what it answers"),
    "generate": ("segpoint_training.generate", "write generated scenes: labelled scans, shards, a sheet, a ROS bag"),
    "train": (
        "segpoint_training.train",
        "train or fine-tune: on generated scenes, research data sets, your own data",
    ),
    "bundle": ("segpoint_training.release", "make the bundle that a robot loads from a training run"),
    "ablate": ("segpoint_training.ablate", "measure what GEM, GFP and each way to adapt the encoder are worth"),
    "benchmark": ("segpoint_training.benchmark.command", "measure how fast it is here, and beside others"),
    "evaluate": ("segpoint_training.evaluate", "measure a bundle on generated scenes, your data or research data sets"),
    "replay": ("segpoint_replay.command", "answer what a robot recorded, measure the answers and show them"),
    "annotate": ("segpoint_replay.annotate.command", "label clouds of a bag, by clicks or by accepting proposals"),
    "view": ("segpoint_ros.view", "show live what the ROS 2 node sees and says"),
}

_MOST_WORDS = 10_000  # no bundle allows as many tokens; its own limit is checked where its tokenizer is


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):  # an ASCII terminal shows "?" for "×"
        sys.stdout.reconfigure(errors="replace")
    try:
        if argv and argv[0] in ELSEWHERE:
            return import_module(ELSEWHERE[argv[0]][0]).main(argv[1:]) or 0
        args = _parsed(argv)
        return args.run(args)
    except SegPointError as error:
        print(f"segpoint: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `segpoint … | head`: the reader has gone, nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segpoint", description="Say in words what you mean, get back the points of a 3D cloud that mean it."
    )
    parser.add_argument("--version", action="version", version=f"segpoint {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    segment = commands.add_parser("segment", help="find what an instruction means in a point file")
    segment.add_argument("file", metavar="FILE", help="a .pcd, .ply or .npz file (an array xyz, optionally rgb)")
    segment.add_argument("instruction", metavar="INSTRUCTION", nargs="?", default="",
                         help='for example "pick up the mug"; may be left out with --click or --box')  # fmt: skip
    segment.add_argument("--click", metavar="X,Y,Z", type=_coordinates, action="append",
                         help="a point on the thing meant, metres in the file's axes; may be repeated")  # fmt: skip
    segment.add_argument("--box", metavar="X,Y,Z,X,Y,Z", type=_coordinates, action=_Once,
                         help="lowest and highest corner of a box around the thing meant")  # fmt: skip
    segment.add_argument("--bundle", metavar="FOLDER", help="a trained model's folder (default: the one that ships)")
    segment.add_argument(
        "--frame",
        choices=("optical", "body", "map"),
        default="optical",
        help="the file's axes: optical = x right, y down, z forward (default); body = x forward, y left, z up; "
        "map = z up, put together from many views",
    )
    segment.add_argument("--threshold", type=_probability, help="least score of a target point (default: the bundle's)")
    segment.add_argument("--out", metavar="FILE", help="write the points with label and score (.pcd, .ply or .npz)")
    segment.add_argument("--png", metavar="FILE", help="write a picture, before and after")
    segment.add_argument("--json", action="store_true", help="print the result as JSON")
    segment.set_defaults(run=_segment)

    setup = commands.add_parser("setup", help="put the language model in place and make the bundle's engines, once")
    setup.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="default: bfloat16")
    setup.add_argument("--force", action="store_true", help="make both again even if they are there")
    setup.set_defaults(run=_setup)

    export = commands.add_parser("export", help="write a bundle's network as ONNX graphs, checked against PyTorch")
    export.add_argument(
        "bundle", metavar="BUNDLE", nargs="?", type=Path, help="its folder (default: the one that ships)"
    )
    export.add_argument("--out", metavar="FOLDER", type=Path,
                        help="default: the cache, where they are made at first use anyway")  # fmt: skip
    export.add_argument("--tensorrt", action="store_true", help="build TensorRT engines for this GPU as well, now")
    export.set_defaults(run=_export)

    for name, (_, summary) in ELSEWHERE.items():  # listed for --help; main() has handed them on before parsing
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def _parsed(argv: list[str]) -> argparse.Namespace:
    parser = _parser()
    args, rest = parser.parse_known_args(_joined(argv))
    # Before Python 3.13 argparse looks for an argument that may be left out only before the first option.
    if len(rest) == 1 and not rest[0].startswith("-") and getattr(args, "instruction", None) == "":
        args.instruction, rest = rest[0], []
    if rest and any(word.startswith("-") for word in rest):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        parser.error(f"one instruction at a time, in quotes if it has several words; left over: {' '.join(rest)}")
    return args


def _joined(argv: list[str]) -> list[str]:
    """``--click -0.1,0,0.8`` as ``--click=-0.1,0,0.8``: argparse would take the coordinates for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in ("--click", "--box"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


class _Once(argparse.Action):
    """An option whose second value would silently replace the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} may be given only once")
        setattr(namespace, self.dest, values)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1") from None
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _coordinates(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers with commas such as 0.1,-0.05,0.8")
    return numbers


def _segment(args: argparse.Namespace) -> int:
    from segpoint.files import SUFFIXES, check_apart, check_target, read_points, storable_fields
    from segpoint.prompts import THIS, Place, check_instruction

    # All of this before the model is loaded: a mistyped path should not cost seconds.
    if args.click or args.box:
        Place(args.click, args.box)
        args.instruction = args.instruction or THIS
    check_instruction(args.instruction, _MOST_WORDS)
    if args.png is not None:
        check_target(args.png, (".png",))
    if args.out is not None:
        check_target(args.out, SUFFIXES)
    for target in (args.png, args.out):
        check_apart(target, args.file)
    points = read_points(args.file)
    if args.out:
        storable_fields(args.out, points.extra, points.rgb is not None)
    from segpoint.segmenter import Segmenter

    segmenter = Segmenter.from_bundle(args.bundle, threshold=args.threshold)
    result = segmenter.segment(
        points.xyz, args.instruction, rgb=points.rgb, frame=args.frame, clicks=args.click, box=args.box
    )
    if args.out:
        _write_labelled(args.out, points, result)
    if args.png:
        from segpoint.render import render_answer

        render_answer(
            args.png, points.xyz, points.rgb, result.mask, result.instances, args.instruction, result.answer,
            args.frame, points.width, points.height,
        )  # fmt: skip
    print(json.dumps(_as_json(args, points, result)) if args.json else _as_text(args, points, result))
    return 0


def _setup(args: argparse.Namespace) -> int:
    from segpoint.backbone import setup
    from segpoint.config import default_bundle
    from segpoint.engines.exported import find_exported

    _log_progress()
    print(f"language model: {setup(dtype=args.dtype, force=args.force)}", flush=True)
    bundle = default_bundle()
    engines = None if args.force else find_exported(bundle)
    if engines is None:
        print("engines: being made, which takes about half a minute", file=sys.stderr)
        from segpoint.engines.export import set_up
        from segpoint.engines.runner import Unavailable

        try:
            engines = set_up(bundle, anew=args.force).folder
        except Unavailable as error:
            print(f"engines: none, PyTorch will compute instead, which is slower ({error})", file=sys.stderr)
            return 0
    print(f"engines: {engines}")
    return 0


def _export(args: argparse.Namespace) -> int:
    _log_progress()
    from segpoint.engines.export import run

    print(run(args.bundle, args.out, args.tensorrt))
    return 0


def _log_progress() -> None:
    """An export takes a while, and says what it is at on standard error."""
    import logging

    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("segpoint").setLevel(logging.INFO)


def _write_labelled(path: str, points: PointFile, result: Segmentation) -> None:
    """The input's points and fields, with ``label`` (0 none, 1… one per target) and ``score`` as the node adds them."""
    import numpy as np

    label = np.zeros(len(points.xyz), np.uint32)
    for number, instance in enumerate(result.instances, start=1):
        label[instance.indices] = number
    fields = {**points.extra, "label": label, "score": result.score.astype(np.float32)}
    from segpoint.files import write_points

    write_points(path, points.xyz, points.rgb, fields, points.width, points.height)


def _as_json(args: argparse.Namespace, points: PointFile, result: Segmentation) -> dict:
    return {
        "file": args.file,
        "instruction": args.instruction,
        "frame": args.frame,
        "clicks": args.click,
        "box": args.box,
        "answer": result.answer,
        "points": len(points.xyz),
        "target_points": int(result.mask.sum()),
        "targets": [
            {
                "centre": [round(float(v), 4) for v in instance.centre],
                "size": [round(float(v), 4) for v in instance.size],
                "orientation": [round(float(v), 5) for v in instance.orientation],
                "score": round(float(instance.score), 4),
                "points": len(instance.indices),
            }
            for instance in result.instances
        ],
        "seconds": {stage: round(seconds, 4) for stage, seconds in result.timings.items()},
        "out": args.out,
        "png": args.png,
    }


def _as_text(args: argparse.Namespace, points: PointFile, result: Segmentation) -> str:
    lines = [f"answer    {result.answer}"]
    if not result.instances:
        lines.append(f"targets   none in {Path(args.file).name}. There is no mask.")
    for number, instance in enumerate(result.instances, start=1):
        centre = ", ".join(f"{v:+.3f}" for v in instance.centre)
        size = " × ".join(f"{v:.3f}" for v in instance.size)
        lines.append(
            f"target {number:<2} centre ({centre}) m, size {size} m, "
            f"{len(instance.indices):,} points, score {instance.score:.2f}"
        )
    lines.append(f"points    {int(result.mask.sum()):,} of {len(points.xyz):,} in {args.frame} axes")
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.timings.items())
    lines.append(f"seconds   {stages}")
    lines += [f"wrote     {path}" for path in (args.out, args.png) if path]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
