"""Generated scenes as the network will see them, written once: voxelised, levelled, labelled.

A shard is one ``.npz`` of 50 prepared clouds with all that is in them and said about them, whole or not at all, so
that an interrupted run goes on where it stopped. Which scenes a shard holds follows from the config alone: machines
that each write a part need not talk to one another.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from segpoint.cloud import Cloud, prepare
from segpoint.config import CloudConfig
from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.config import DataConfig
from segpoint_training.parallel import in_order
from segpoint_training.scenes.request import SceneRequest
from segpoint_training.scenes.scene import Instruction, Scene, SceneObject
from segpoint_training.stamp import check_manifest, difference, make_stamp, write_whole

SPLITS = ("train", "test")
PER_SHARD = 50
_ARRAYS = ("xyz", "rgb", "focus", "instance", "count", "voxel_m")

Fact = TypeVar("Fact", SceneObject, Instruction)


@dataclass(frozen=True)
class LabelledCloud:
    """A prepared cloud of N rows, the object of each of them, and what is said about it; 18 bytes a row.

    xyz: (N, 3) float32, level frame.   rgb: (N, 3) uint8.   focus: (N,) bool.   instance: (N,) int16, 0 = none.
    count, voxel_m: as of `segpoint.cloud.Cloud`.   scale, frame, sensor: of the scene.   coloured: whether the sensor
    saw colour; otherwise rgb is the grey that `prepare` fills in.
    """

    xyz: np.ndarray
    rgb: np.ndarray
    focus: np.ndarray
    instance: np.ndarray
    count: int
    voxel_m: float
    objects: tuple[SceneObject, ...]
    instructions: tuple[Instruction, ...]
    scale: str = "table"
    frame: str = "optical"
    sensor: str = ""
    coloured: bool = True

    @property
    def cloud(self) -> Cloud:
        """The cloud with colours as the network takes them; without its raw points and how it was levelled."""
        return Cloud(
            xyz=self.xyz,
            rgb=self.rgb.astype(np.float32) / 255,
            focus=self.focus,
            count=self.count,
            voxel_m=self.voxel_m,
            voxel_of=np.empty(0, np.int32),
            rotation=np.eye(3, dtype=np.float32),
            origin=np.zeros(3, np.float32),
            up=np.array([0, 0, 1], np.float32),
            frame="map" if self.frame == "map" else "body",  # level already: no optical axes any more
        )


def label_voxels(cloud: Cloud, labels: np.ndarray) -> np.ndarray:
    """(N,) the most frequent label of each voxel's raw points. labels: (M,) ints ≥ 0."""
    held = cloud.voxel_of >= 0
    size = int(labels.max(initial=0)) + 1
    votes = np.bincount(cloud.voxel_of[held].astype(np.int64) * size + labels[held], minlength=len(cloud.xyz) * size)
    return votes.reshape(len(cloud.xyz), size).argmax(axis=1).astype(np.int16)


def label_scene(scene: Scene, config: CloudConfig) -> LabelledCloud:
    """The scene as training sees it."""
    cloud = prepare(scene.xyz, scene.rgb, scene.frame, config)
    return LabelledCloud(
        xyz=cloud.xyz,
        rgb=np.round(cloud.rgb * 255).astype(np.uint8),
        focus=cloud.focus,
        instance=label_voxels(cloud, scene.instance),
        count=cloud.count,
        voxel_m=cloud.voxel_m,
        objects=scene.objects,
        instructions=scene.instructions,
        scale=scene.scale,
        frame=scene.frame,
        sensor=scene.sensor,
        coloured=scene.rgb is not None,
    )


def write_shards(
    folder: Path,
    split: str,
    data: DataConfig,
    cloud: CloudConfig,
    *,
    part: tuple[int, int] = (1, 1),
    per_shard: int = PER_SHARD,
    workers: int | None = None,
) -> list[Path]:
    """Generate and prepare the scenes of ``split`` into ``folder``; shards that exist are kept.

    part: (k, n), every n-th shard from the k-th one on; the shards of all n parts together are those of (1, 1), to the
    byte. workers: processes, None for ``data.workers``. Returns the part's shards, in seed order. A scene whose
    generation fails is told and left out, since one degenerate geometry in thousands should not cost a night; more
    than a tenth of a shard's raises SegPointError, as does a folder with shards of another config or generator.
    """
    k, n = part
    if not 1 <= k <= n:
        raise SegPointError(f"part {k}/{n}: expected K from 1 to N")
    requests = data.requests(split)
    shards = [requests[i : i + per_shard] for i in range(0, len(requests), per_shard)][k - 1 :: n]
    paths = [folder / f"{split}-{shard[0].seed:07d}-{len(shard)}.npz" for shard in shards]
    todo = {path: shard for path, shard in zip(paths, shards, strict=True) if not path.exists()}
    stamp = make_stamp(data, cloud)
    folder.mkdir(parents=True, exist_ok=True)
    check_manifest(folder, stamp, writes=bool(todo))
    if not todo:
        return paths
    wanted = [request for shard in todo.values() for request in shard]
    made = in_order(partial(_label, cloud), wanted, workers=workers or data.workers, describe=f"{split} scenes")
    with closing(made):
        for path, shard in todo.items():
            _write_shard(path, shard, list(islice(made, len(shard))), stamp)
    return paths


def read_shards(paths: Sequence[Path]) -> list[LabelledCloud]:
    """All clouds of the shards, in order. Raises SegPointError where one is damaged or of another kind."""
    clouds: list[LabelledCloud] = []
    first: dict[str, Any] | None = None
    for path in paths:
        with reading(path, "delete it, the same command writes it anew"):
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in _ARRAYS}
                facts = json.loads(file["facts"].tobytes())
            stamp, held = facts["stamp"], list(_clouds(arrays, facts["scenes"]))
        apart = difference(first or stamp, stamp)
        if apart:
            raise SegPointError(f"{path} and {paths[0]} are not of one kind ({apart}): delete one kind and generate it")
        first = stamp
        clouds += held
    return clouds


def _label(config: CloudConfig, request: SceneRequest) -> LabelledCloud | str:
    """The labelled scene, or why there is none.

    One scene in eight is prepared without looking for its support plane, so that the model also knows clouds in
    which none is found.
    """
    level = dataclasses.replace(config, find_support=config.find_support and request.seed % 8 != 7)
    try:
        return label_scene(request.generate(), level)
    except Exception as error:
        cause = error.__cause__ or error
        return f"{type(cause).__name__}: {cause}"


def _write_shard(
    path: Path, requests: Sequence[SceneRequest], made: Sequence[LabelledCloud | str], stamp: dict[str, Any]
) -> None:
    clouds = [one for one in made if isinstance(one, LabelledCloud)]
    left_out = {str(r): one for r, one in zip(requests, made, strict=True) if isinstance(one, str)}
    for request, reason in left_out.items():
        tqdm.write(f"left out {request}: {reason}")
    if len(left_out) > len(requests) // 10:
        request, reason = next(iter(left_out.items()))
        raise SegPointError(f"{len(left_out)} of {len(requests)} scenes of {path.name} fail, first {request}: {reason}")
    facts = {"stamp": stamp, "left_out": left_out, "scenes": [_facts(one) for one in clouds]}
    arrays: dict[str, Any] = {name: np.stack([getattr(one, name) for one in clouds]) for name in _ARRAYS}
    content = io.BytesIO()
    np.savez(content, **arrays, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8))
    write_whole(path, content.getvalue())


def _facts(item: LabelledCloud) -> dict[str, Any]:
    """What a shard holds of a scene beside its arrays."""
    return {
        "scale": item.scale,
        "frame": item.frame,
        "sensor": item.sensor,
        "has_colour": item.coloured,
        "objects": [dataclasses.asdict(o) for o in item.objects],
        "instructions": [dataclasses.asdict(i) for i in item.instructions],
    }


def _clouds(arrays: dict[str, np.ndarray], scenes: Sequence[dict[str, Any]]) -> Iterator[LabelledCloud]:
    for i, said in enumerate(scenes):
        yield LabelledCloud(
            **{name: arrays[name][i] for name in ("xyz", "rgb", "focus", "instance")},
            count=int(arrays["count"][i]),
            voxel_m=float(arrays["voxel_m"][i]),
            objects=read_facts(SceneObject, said["objects"]),
            instructions=read_facts(Instruction, said["instructions"]),
            scale=intern(said["scale"]),
            frame=intern(said["frame"]),
            sensor=intern(said["sensor"]),
            coloured=said["has_colour"],
        )


def read_facts(kind: type[Fact], rows: Sequence[dict[str, Any]]) -> tuple[Fact, ...]:
    """Objects or instructions from JSON: its lists as tuples, and each word once in memory however often it is said."""
    return tuple(kind(**{name: _shared(value) for name, value in row.items()}) for row in rows)


def _shared(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_shared, value))
    return intern(value) if isinstance(value, str) else value
