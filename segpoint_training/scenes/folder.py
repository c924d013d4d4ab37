"""Generated scenes as a folder that ``segpoint evaluate`` reads: labelled PCDs and one ``instructions.json``.

A point's ``label`` is 1 on the table, ten times the object's id on an object (room for its parts, as in scans that
people labelled part by part) and 0 where there is no object; ``target_labels`` name ids.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import check_folder, check_target, write_points
from segpoint_training.scenes.scene import Scene

TABLE = 1
PARTS = 10  # labels an object spans
SHOWN = 24  # scenes on a preview


def main(argv: list[str] | None = None) -> int:
    """``segpoint generate``: the seeds are consecutive, so two folders with other first seeds share no scene."""
    parser = argparse.ArgumentParser(prog="segpoint generate", description="Write labelled scenes with instructions.")
    parser.add_argument("--scenes", type=int, default=10, metavar="N", help="how many (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the first scene (default: 0)")
    parser.add_argument("--split", choices=("train", "test"), default="test", help="default: test")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where to write; made if it is not there")
    parser.add_argument("--preview", metavar="FILE", help=f"also draw the first {SHOWN} on one sheet (.png)")
    args = parser.parse_args(argv)
    if args.scenes < 1 or args.seed < 0:
        raise SegPointError(f"--scenes {args.scenes} --seed {args.seed}: expected at least one scene and a seed from 0")
    check_folder(args.out)
    if args.preview:
        check_target(args.preview, (".png",), makes_folder=True)

    from tqdm import tqdm

    from segpoint_training.scenes.generate import generate_scene

    seeds = range(args.seed, args.seed + args.scenes)
    said = write_folder(args.out, (generate_scene(seed, args.split) for seed in tqdm(seeds, disable=None)), args.split)
    if args.preview:
        from segpoint_training.scenes.sheet import draw_sheet

        Path(args.preview).parent.mkdir(parents=True, exist_ok=True)
        draw_sheet(args.preview, [generate_scene(seed, args.split) for seed in seeds[:SHOWN]])
    print(f"{args.scenes} scenes with {said} instructions in {args.out}")
    return 0


def write_folder(folder: str | Path, scenes: Iterable[Scene], split: str) -> int:
    """Write ``scenes`` one by one, named by split and seed, and their instructions; returns how many of these."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for scene in scenes:
        name = f"{split}_{scene.seed:06d}.pcd"
        write_scene(folder / name, scene)
        for said in scene.instructions:
            rows.append(
                {
                    "file": name,
                    "instruction": said.text,
                    "kind": said.kind,
                    "target_labels": list(said.targets),
                    "target_points": int(np.isin(scene.instance, said.targets).sum()),
                }
            )
    (folder / "instructions.json").write_text(json.dumps(rows, indent=1) + "\n")
    return len(rows)


def write_scene(path: str | Path, scene: Scene) -> None:
    """One scene as an organised, labelled point file."""
    label = np.where(scene.instance > TABLE, scene.instance * PARTS, scene.instance).astype(np.uint32)
    write_points(path, scene.xyz, scene.rgb, {"label": label}, scene.width, scene.height)
