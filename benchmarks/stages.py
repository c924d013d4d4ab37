"""Seconds per stage of one 640×480 cloud, median over repeats: a new instruction each time, then a standing one.

python benchmarks/stages.py [--bundle FOLDER] [--repeats 10] [--file scene.pcd]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402

from segpoint.files import read_points  # noqa: E402
from segpoint.segmenter import Segmenter  # noqa: E402
from segpoint_training.scenes.generate import generate_scene  # noqa: E402

SENTENCES = ("the mug", "pick up the box", "the leftmost object", "something to drink from", "the red can")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bundle", help="default: the one that ships")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--file", help="a cloud in the optical frame (default: a generated scene)")
    args = parser.parse_args()
    cloud = read_points(args.file) if args.file else generate_scene(900_029, "test", "kinect")
    segmenter = Segmenter.from_bundle(args.bundle)
    segmenter.segment(cloud.xyz, "warm up", rgb=cloud.rgb)

    fresh, standing = [], []
    for i in range(args.repeats):
        fresh.append(segmenter.segment(cloud.xyz, f"{SENTENCES[i % 5]} {i}", rgb=cloud.rgb).timings)
        standing.append(segmenter.segment(cloud.xyz, SENTENCES[i % 5], rgb=cloud.rgb).timings)
    standing = standing[5:] or standing  # each sentence is new once
    threads = torch.get_num_threads()
    print(f"{len(cloud.xyz)} points, {threads} threads, torch {torch.__version__}, {platform.machine()}")
    print(f"{'milliseconds, median':24}{'new':>8}{'standing':>10}")
    for stage in max(fresh, key=len):
        columns = [1000 * statistics.median(t.get(stage, 0.0) for t in timings) for timings in (fresh, standing)]
        print(f"{stage:24}{columns[0]:8.0f}{columns[1]:10.0f}")


if __name__ == "__main__":
    main()
