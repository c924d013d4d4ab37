"""Generated scenes as the network will see them, written once: voxelised, levelled, labelled.

A shard is one ``.npz`` of prepared clouds and one ``.json`` of what is in them and what is said about them. Written by
several processes, each shard whole or not at all, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segpoint.cloud import Cloud, prepare
from segpoint.config import CloudConfig
from segpoint_training.scenes.scene import Instruction, Scene, SceneObject


@dataclass(frozen=True)
class LabelledCloud:
    """A prepared cloud with the object of each of its N voxels ((N,) int16, 0 = none) and what is said about it."""

    cloud: Cloud
    instance: np.ndarray
    objects: tuple[SceneObject, ...]
    instructions: tuple[Instruction, ...]


def label_voxels(cloud: Cloud, labels: np.ndarray) -> np.ndarray:
    """(N,) the most frequent label of each voxel's raw points. labels: (M,) ints ≥ 0."""
    held = cloud.voxel_of >= 0
    size = int(labels.max(initial=0)) + 1
    votes = np.bincount(cloud.voxel_of[held].astype(np.int64) * size + labels[held], minlength=len(cloud.xyz) * size)
    return votes.reshape(len(cloud.xyz), size).argmax(axis=1).astype(np.int16)


def label_scene(scene: Scene, config: CloudConfig) -> LabelledCloud:
    """The scene as training sees it."""
    cloud = prepare(scene.xyz, scene.rgb, "optical", config)
    return LabelledCloud(cloud, label_voxels(cloud, scene.instance), scene.objects, scene.instructions)


def write_shards(
    folder: Path, split: str, seeds: range, width: int, config: CloudConfig, *, per_shard: int = 50, workers: int = 2
) -> list[Path]:
    """Generate and prepare ``seeds`` into ``folder``; shards that exist are kept. Returns the shards, in seed order.

    One scene in eight is prepared without looking for its support plane, so that the model also knows clouds in
    which none is found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [seeds[i : i + per_shard] for i in range(0, len(seeds), per_shard)]
    paths = [folder / f"{split}-{part[0]:07d}-{len(part)}.npz" for part in parts]
    todo = [(path, part) for path, part in zip(paths, parts, strict=True) if not path.exists()]
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_write_shard, path, split, part, width, config) for path, part in todo]
        for job in tqdm(as_completed(jobs), total=len(jobs), desc=f"{split} shards of {per_shard} scenes"):
            job.result()
    return paths


def read_shards(paths: Sequence[Path]) -> list[LabelledCloud]:
    """All clouds of the shards, in order."""
    return [cloud for path in paths for cloud in _read_shard(path)]


def _write_shard(path: Path, split: str, seeds: range, width: int, config: CloudConfig) -> None:
    from segpoint_training.scenes.generate import generate_scene

    clouds = []
    for seed in seeds:
        sensor = ("kinect", "realsense")[seed % 3 == 0]
        scene = generate_scene(seed, split=split, sensor=sensor, width=width, height=width * 3 // 4)
        level = dataclasses.replace(config, find_support=config.find_support and seed % 8 != 7)
        clouds.append(label_scene(scene, level))
    said = [
        {
            "objects": [dataclasses.asdict(o) for o in item.objects],
            "instructions": [dataclasses.asdict(i) for i in item.instructions],
        }
        for item in clouds
    ]
    path.with_suffix(".json").write_text(json.dumps(said))
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.savez(
            file,
            xyz=np.stack([c.cloud.xyz for c in clouds]),
            rgb=np.stack([np.round(c.cloud.rgb * 255) for c in clouds]).astype(np.uint8),
            focus=np.stack([c.cloud.focus for c in clouds]),
            instance=np.stack([c.instance for c in clouds]),
            count=np.array([c.cloud.count for c in clouds]),
            voxel_m=np.array([c.cloud.voxel_m for c in clouds]),
        )
    os.replace(partial, path)


def _read_shard(path: Path) -> Iterator[LabelledCloud]:
    with np.load(path, allow_pickle=False) as arrays:
        xyz, rgb, focus, instance, count, voxel_m = (
            arrays[name] for name in ("xyz", "rgb", "focus", "instance", "count", "voxel_m")
        )
    for i, said in enumerate(json.loads(path.with_suffix(".json").read_text())):
        cloud = Cloud(
            xyz=xyz[i],
            rgb=rgb[i].astype(np.float32) / 255,
            focus=focus[i],
            count=int(count[i]),
            voxel_m=float(voxel_m[i]),
            voxel_of=np.empty(0, np.int32),
            rotation=np.eye(3, dtype=np.float32),
            origin=np.zeros(3, np.float32),
            up=np.array([0, 0, 1], np.float32),
        )
        objects = tuple(SceneObject(**values) for values in said["objects"])
        instructions = tuple(
            Instruction(**{**values, "targets": tuple(values["targets"])}) for values in said["instructions"]
        )
        yield LabelledCloud(cloud, instance[i], objects, instructions)
