"""``segpoint generate``: generated scenes as labelled scans, as training shards, as a sheet to look at, or as a bag.

    segpoint generate --out scans --scenes 100 --split test --scale room
    segpoint generate --shards shards --config config/training/segpoint_tabletop.yaml --part 3/8
    segpoint generate --preview sheet.png --scale mix
    segpoint generate --bag recording --seed 7 --sensor kinect        # one scene from a moving camera, with the truth
    segpoint generate --bag recording --of my_clouds --rate 1         # a folder of one's own as such a bag

The same arguments give the same bytes (with the same assets installed), whatever the number of workers, and the same
command again goes on where it was stopped. Seeds are consecutive: sets with other seeds share no scene.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

from segpoint.config import CloudConfig
from segpoint.errors import SegPointError
from segpoint.files import check_folder, check_target
from segpoint_training.config import SENSORS, DataConfig, TrainConfig
from segpoint_training.scenes.request import SceneRequest, draw_scale, draw_sensor

SHOWN = 24  # scenes on a preview
_LEAST_RATE, _MOST_RATE = 0.01, 1000.0  # clouds a second
_STRIDES = (1, 2, 4, 5, 8)  # that leave a picture of 4:3
_OF_BAGS = {"frames": 60, "rate": 10.0, "stride": 1, "of": None}
_DEFAULTS = {"scenes": 10, "seed": 0, "split": "test", "scale": "table", "sensor": None}


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    _check(args)
    if args.bag:
        return _write_bag(args)
    config = TrainConfig.load(args.config) if args.config else None
    data = config.data if config else None
    if config and data is None:
        raise SegPointError(f"{args.config} trains on no generated scenes (data: null): there is nothing to generate")
    requests = data.requests("train") if data else _requests(args)
    if args.out:
        from segpoint_training.scenes.folder import write_folder

        said = write_folder(args.out, requests, args.workers)
        print(f"{len(requests)} scenes with {said} instructions in {args.out}")
    if args.shards and config and data:
        _write_parts(Path(args.shards), data, config.model.cloud, _part(args.part), args.workers)
    if args.preview:
        _write_preview(Path(args.preview), requests[:SHOWN], args.workers)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segpoint generate", description="Write generated scenes.")
    outputs = parser.add_argument_group("what to write, one of these or more")
    outputs.add_argument("--out", metavar="FOLDER", help="labelled scans and their instructions, for evaluation")
    outputs.add_argument("--shards", metavar="FOLDER", help="training shards; the scenes are those of --config")
    outputs.add_argument("--preview", metavar="FILE", help=f"a sheet of the first {SHOWN} scenes (.png)")
    outputs.add_argument("--bag", metavar="FOLDER", help="one scene as a ROS bag from a moving sensor, with its truth")
    bags = parser.add_argument_group("with --bag")
    bags.add_argument("--frames", type=int, metavar="N", help="clouds (default: 60)")
    bags.add_argument("--rate", type=float, metavar="HZ", help="clouds a second (default: 10)")
    bags.add_argument("--stride", type=int, metavar="N", help="every N-th pixel of the sensor (default: 1, 640×480)")
    bags.add_argument(
        "--of", metavar="CLOUDS", help="not of a scene, but of the labelled clouds in a folder of one's own"
    )
    scenes = parser.add_argument_group("which scenes")
    scenes.add_argument("--scenes", type=int, metavar="N", help="how many (default: 10)")
    scenes.add_argument("--seed", type=int, metavar="S", help="seed of the first scene (default: 0)")
    scenes.add_argument(
        "--split",
        choices=("train", "test", "open"),
        help="test: instances and sentences never trained on; open: held-out categories, too (default: test)",
    )
    scenes.add_argument("--scale", choices=("table", "room", "mix"), help="mix: a room in four (default: table)")
    scenes.add_argument("--sensor", choices=SENSORS, help="default: drawn from each seed; map: rooms only")
    scenes.add_argument("--config", metavar="YAML", help="a training config: its data instead of the five above")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="with --shards: write the K-th of N parts only")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Everything that can be told before the first scene; fills in the defaults."""
    if not (args.out or args.shards or args.preview or args.bag):
        raise SegPointError("nothing to write: give --out FOLDER, --shards FOLDER, --preview FILE or --bag FOLDER")
    _check_bag(args)
    if args.shards and not args.config:
        raise SegPointError("--shards needs --config YAML, which says what to train on")
    given = [f"--{name}" for name in _DEFAULTS if getattr(args, name) is not None]
    if args.config and (given or args.out):
        raise SegPointError(f"--config decides the scenes: leave out {', '.join(given or ['--out'])}")
    for name, value in _DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.scenes < 1 or args.seed < 0:
        raise SegPointError(f"--scenes {args.scenes} --seed {args.seed}: expected at least one scene and a seed from 0")
    if args.workers is not None and args.workers < 1:
        raise SegPointError(f"--workers {args.workers}: expected at least 1")
    if args.sensor == "map" and args.scale != "room":
        raise SegPointError("--sensor map is of a whole room: add --scale room")
    if _part(args.part) != (1, 1) and not args.shards:
        raise SegPointError("--part goes with --shards; for --out take other seeds on each machine")
    for folder in filter(None, (args.out, args.shards)):
        check_folder(folder)
    if args.preview:
        check_target(args.preview, (".png",), makes_folder=True)


def _check_bag(args: argparse.Namespace) -> None:
    given = [f"--{name}" for name in _OF_BAGS if getattr(args, name) is not None]
    if not args.bag:
        if given:
            raise SegPointError(f"{given[0]} goes with --bag FOLDER")
        return
    others = ["out", "shards", "preview", "config", "scenes"]
    if args.of:
        others += ["seed", "split", "scale", "sensor", "frames", "stride", "workers"]
    wrong = [f"--{name}" for name in others if getattr(args, name) is not None]
    if wrong:
        what = (
            "--bag --of takes the clouds as they are" if args.of else "--bag is one scene, of --seed, and nothing else"
        )
        raise SegPointError(f"{what}: leave out {', '.join(wrong)}")
    for name, value in _OF_BAGS.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.frames < 2 or not _LEAST_RATE <= args.rate <= _MOST_RATE or args.stride not in _STRIDES:
        raise SegPointError(
            f"--frames {args.frames} --rate {args.rate:g} --stride {args.stride}: expected at least 2 clouds, "
            f"{_LEAST_RATE:g} to {_MOST_RATE:g} a second, and a stride of {', '.join(map(str, _STRIDES))}"
        )
    if args.sensor == "map":
        raise SegPointError("--sensor map sees from nowhere, and a bag's sensor moves: take another")


def _part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    k, n = map(int, found.groups()) if found else (0, 0)
    if not 1 <= k <= n:
        raise SegPointError(f"--part {text}: expected K/N with K from 1 to N, as in 3/8")
    return k, n


def _requests(args: argparse.Namespace) -> list[SceneRequest]:
    seeds = range(args.seed, args.seed + args.scenes)
    rooms = {"table": 0.0, "room": 1.0, "mix": DataConfig.rooms}[args.scale]
    return [SceneRequest(seed, args.split, draw_scale(seed, rooms), args.sensor) for seed in seeds]


def _write_bag(args: argparse.Namespace) -> int:
    """The bag, and how large it is."""
    from segpoint_training.datasets.own_to_bag import write_bag_of
    from segpoint_training.scenes.bag import BagRequest, write_scene_bag

    began = time.monotonic()
    if args.of:
        clouds, rows, path = write_bag_of(args.bag, args.of, args.rate)
        said = f"{rows} rows"
    else:
        clouds, scale = args.frames, _requests(args)[0].scale
        sensor = args.sensor or draw_sensor(args.seed, scale)
        scene = SceneRequest(args.seed, args.split, scale, sensor, 640 // args.stride, 480 // args.stride)
        instructions, rows, path = write_scene_bag(args.bag, BagRequest(scene, clouds, args.rate), args.workers)
        said = f"{scale} {args.seed} by {sensor}, {instructions} instructions in {rows} rows"
    size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
    print(f"{clouds} clouds in {path}, {size:.0f} MB: {said}; {time.monotonic() - began:.0f} s")
    return 0


def _write_parts(
    folder: Path, data: DataConfig, cloud: CloudConfig, part: tuple[int, int], workers: int | None
) -> None:
    from segpoint_training.shards import SPLITS, write_shards

    paths = [path for split in SPLITS for path in write_shards(folder, split, data, cloud, part=part, workers=workers)]
    print(f"part {part[0]}/{part[1]}: {len(paths)} shards in {folder}")


def _write_preview(path: Path, requests: list[SceneRequest], workers: int | None) -> None:
    from segpoint.render import render_sheet
    from segpoint_training.parallel import in_order
    from segpoint_training.scenes.sheet import draw_request

    path.parent.mkdir(parents=True, exist_ok=True)
    panels = list(in_order(draw_request, requests, workers=workers, describe=str(path)))
    render_sheet(path, panels, columns=2 if len(panels) > 1 else 1)
    print(f"{len(panels)} scenes drawn on {path}")


if __name__ == "__main__":
    raise SystemExit(main())
