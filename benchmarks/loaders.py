"""Loaders: how many clouds a second they make ready for training, and how many of them a GPU needs.

python benchmarks/loaders.py [--config config/training/FILE.yaml] [--stage stage2] [--processes 4] [--workers 1 2]
                             [--batches 8] [--step 1000]

Rooms of 150,000 points in the manner of ScanNet's scans are prepared once and then loaded as in training: augmented,
neighbourhoods found, questions asked. Without --config the sizes are the paper's encoder's on 16,384 voxels, with the
paper's 16 clouds a step on four GPUs. CPU time is less distorted than wall time by what else a busy machine does.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np
from torch.utils.data import DataLoader

from segpoint.cloud import prepare
from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GfpConfig, ReaderConfig
from segpoint.neighbourhoods import find_neighbourhoods
from segpoint_training.batches import Batches, start_loader
from segpoint_training.config import StageConfig, TrainConfig
from segpoint_training.datasets.scan import scan_objects
from segpoint_training.parallel import available_cores
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import LabelledCloud, label_voxels
from segpoint_training.sources import Source

CLASSES = ("bed", "cabinet", "chair", "desk", "door", "sofa", "table", "window")
PAPER = TrainConfig(
    stage1=None,
    stage2=StageConfig(steps=1000, scenes=16, questions=6, semantic=2, every=1, pointing=0),
    model=BundleConfig(
        cloud=CloudConfig(points=16384, min_voxel_m=0.02, find_support=False, unit_m=None),
        encoder=EncoderConfig(tokens=512, patch=64),
        gfp=GfpConfig(levels=(2048, 4096)),
        reader=ReaderConfig(layers=0),
    ),
)


def room(config: CloudConfig, seed: int, points: int = 150_000, objects: int = 60) -> LabelledCloud:
    """A floor, four walls and boxes of the size of furniture, scanned evenly."""
    rng = np.random.default_rng(seed)
    size = rng.uniform((4, 4, 2.4), (7, 7, 2.8))
    share = np.array([0.3, 0.3, *np.full(objects, 0.4 / objects)])
    counts = rng.multinomial(points, share)
    floor = rng.uniform(0, 1, (counts[0], 3)) * size * (1, 1, 0)
    wall = rng.uniform(0, 1, (counts[1], 3))
    axis = rng.integers(0, 2, counts[1])
    wall[np.arange(counts[1]), axis] = rng.integers(0, 2, counts[1])
    surfaces = [floor, wall * size]
    for count in counts[2:]:
        box = rng.uniform(0, 1, (count, 3))
        box[np.arange(count), rng.integers(0, 3, count)] = rng.integers(0, 2, count)
        extent = rng.uniform(0.2, 1.4, 3)
        surfaces.append(box * extent + rng.uniform(0, 1, 3) * (size - extent) * (1, 1, 0))
    xyz = np.concatenate(surfaces).astype(np.float32)
    rgb = rng.integers(0, 256, xyz.shape, np.uint8)
    instance = np.repeat(np.arange(2, objects + 4), counts).astype(np.int32)
    things = scan_objects(xyz, instance, {id: str(rng.choice(CLASSES)) for id in range(2, objects + 4)})
    said = [
        Instruction(f"the {o.category} by the door", "unique", (o.id,), o.category, task="referring") for o in things
    ]
    cloud = prepare(xyz, rgb, "map", config)
    return LabelledCloud(
        xyz=cloud.xyz,
        rgb=np.round(cloud.rgb * 255).astype(np.uint8),
        focus=cloud.focus,
        instance=label_voxels(cloud, instance),
        count=cloud.count,
        voxel_m=cloud.voxel_m,
        objects=things,
        instructions=tuple(said),
        scale="room",
        frame="map",
    )


def cpu_ms(work: Callable[[], object], repeats: int = 3) -> float:
    """The least CPU time of so many goes, in milliseconds."""
    spent = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return 1000 * min(spent)


def measure(batches: Batches, workers: int, count: int) -> tuple[float, float]:
    """Clouds a second that so many loader processes give, and the CPU milliseconds that each cloud costs them."""
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(count + workers),
        num_workers=workers,
        prefetch_factor=1,
        worker_init_fn=start_loader,
    )
    used = getrusage(RUSAGE_CHILDREN)
    made = iter(loader)
    for _ in range(workers):  # their start
        next(made)
    begun = time.perf_counter()
    for _ in range(count):
        next(made)
    seconds = time.perf_counter() - begun
    del made, loader  # the processes end, and are accounted for
    after = getrusage(RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return count * batches.scenes / seconds, 1000 * cpu / ((count + workers) * batches.scenes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="a training config; without one, the paper's sizes")
    parser.add_argument("--stage", choices=("stage1", "stage2"), default="stage2")
    parser.add_argument("--processes", type=int, default=4, help="GPUs that share a step's clouds")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--step", type=float, default=1000, help="milliseconds that a GPU takes for its part of a step")
    args = parser.parse_args()
    config = TrainConfig.load(args.config) if args.config else PAPER
    stage = getattr(config, args.stage)
    rooms = [room(config.model.cloud, seed) for seed in range(4)]
    source = Source("rooms", rooms, 1.0, CLASSES)
    batches = Batches.of_stage(
        [source], config.model, stage, (CLASSES, ()), 0, args.processes, varied=not config.model.reader.layers
    )
    start_loader(0)  # one thread here, too
    clouds = [one.cloud for one in rooms]
    whole = cpu_ms(lambda: batches[0]) / batches.scenes
    tables = sum(cpu_ms(lambda one=one: find_neighbourhoods(one, config.model)) for one in clouds) / len(clouds)  # type: ignore[misc]
    print(f"{config.model.cloud.points} voxels, {batches.scenes} clouds a batch, {available_cores()} cores")
    print(f"a cloud takes {whole:.0f} ms of one core, {tables:.0f} of them for its neighbourhoods")
    print(f"{'loaders':>8}{'clouds/s':>10}{'batches/s':>11}{'CPU ms a cloud':>16}")
    for workers in args.workers:
        rate, cpu = measure(batches, workers, args.batches)
        print(f"{workers:8d}{rate:10.1f}{rate / batches.scenes:11.2f}{cpu:16.0f}")
    needed = math.ceil(stage.accumulate * batches.scenes * whole / args.step)
    print(f"a GPU whose step takes {args.step:g} ms needs {needed} of them")


if __name__ == "__main__":
    main()
