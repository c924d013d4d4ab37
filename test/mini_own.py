"""A folder of one's own in miniature: generated scenes as labelled PCDs and as a bag, with an instructions.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from segpoint.files import write_points
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.scenes.scene import Scene

CLOUD = "sensor_msgs/msg/PointCloud2"
TOPIC = "/labelled"
START = 1_700_000_000 * 10**9  # nanoseconds, of a bag's first cloud
STEP = 500_000_000  # from one to the next
_DATATYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}


def write_own_folder(folder: Path, clouds: int = 3, bag: int = 2, width: int = 96, first_seed: int = 0) -> Path:
    """``clouds`` scenes as scene_K.pcd and ``bag`` further ones in the bag ``run``, all of them with categories.

    A scene has other ids than the next, so categories are given file by file; in the bag all scenes are the first one,
    as a camera that stands still would see it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    categories: dict[str, dict[str, str]] = {}
    for number in range(clouds + bool(bag)):
        scene = generate_scene(first_seed + number, "train", "kinect", width=width, height=width * 3 // 4)
        file = f"scene_{number}.pcd" if number < clouds else "run"
        categories[file] = {str(thing.id): thing.category for thing in scene.objects}
        there = set(np.unique(scene.instance[np.isfinite(scene.xyz).all(axis=1)]).tolist())
        said = [i for i in scene.instructions if set(i.targets) <= there]
        rows += [{"file": file, "instruction": i.text, "target_labels": list(i.targets), "kind": i.kind} for i in said]
        if number < clouds:
            label = {"label": scene.instance.astype(np.uint32)}
            write_points(folder / file, scene.xyz, scene.rgb, label, scene.width, scene.height)
        else:
            write_bag(folder / file, [scene_fields(scene)] * bag, size=(scene.width, scene.height))
    (folder / "instructions.json").write_text(json.dumps({"categories": categories, "instructions": rows}, indent=1))
    return folder


def scene_fields(scene: Scene) -> dict[str, np.ndarray]:
    """A scene's points as a labelled PointCloud2 has them."""
    fields = dict(zip("xyz", scene.xyz.T.astype(np.float32), strict=True))
    if scene.rgb is not None:
        red, green, blue = scene.rgb.astype(np.uint32).T
        fields["rgb"] = (red << 16 | green << 8 | blue).view(np.float32)
    return {**fields, "label": scene.instance.astype(np.uint32)}


def write_bag(
    path: Path,
    clouds: Sequence[dict[str, np.ndarray]],
    *,
    size: tuple[int, int] | None = None,
    topic: str = TOPIC,
    frame_id: str = "camera_depth_optical_frame",
    storage: StoragePlugin = StoragePlugin.MCAP,
    big_endian: bool = False,
    also: Sequence[tuple[str, str, Any]] = (),
) -> Path:
    """A bag of clouds, ``STEP`` apart: rosbag2 (a folder), or ROS 1 where the path ends in .bag.

    clouds: fields (M,) by name.   size: width and height of organised ones.   also: topic, type and message of others.
    """
    ros1 = path.suffix == ".bag"
    store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    writer = Writer1(path) if ros1 else Writer2(path, version=9, storage_plugin=storage)
    serialize = store.serialize_ros1 if ros1 else store.serialize_cdr
    with writer:
        connections: dict[str, Any] = {}
        messages = [
            (topic, CLOUD, cloud_message(store, fields, size, frame_id, START + i * STEP, big_endian), START + i * STEP)
            for i, fields in enumerate(clouds)
        ] + [(name, kind, message, START) for name, kind, message in also]
        for name, kind, message, stamp in messages:
            if name not in connections:
                connections[name] = writer.add_connection(name, kind, typestore=store)
            writer.write(connections[name], stamp, serialize(message, kind))
    return path


def cloud_message(
    store: Any,
    fields: dict[str, np.ndarray],
    size: tuple[int, int] | None = None,
    frame_id: str = "camera_depth_optical_frame",
    stamp: int = START,
    big_endian: bool = False,
) -> Any:
    """A PointCloud2 of a typestore of rosbags, with the fields (M,) by name in their own types."""
    types, count = store.types, len(next(iter(fields.values())))
    width, height = size or (count, 1)
    dtype = np.dtype([(name, values.dtype.newbyteorder(">" if big_endian else "<")) for name, values in fields.items()])
    points = np.empty(count, dtype)
    for name, values in fields.items():
        points[name] = values
    header = types["std_msgs/msg/Header"]
    sequence = {"seq": 0} if "seq" in header.__dataclass_fields__ else {}
    time = types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    described = [
        types["sensor_msgs/msg/PointField"](name, dtype.fields[name][1], _DATATYPES[values.dtype.str[1:]], 1)
        for name, values in fields.items()
    ]
    return types[CLOUD](
        header(stamp=time, frame_id=frame_id, **sequence), height, width, described, big_endian, dtype.itemsize,
        dtype.itemsize * width, points.view(np.uint8).reshape(-1), is_dense=False,
    )  # fmt: skip
