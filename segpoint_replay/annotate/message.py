"""A PointCloud2 with one label a point, written as an .mcap of one message and read again, by `rosbags` alone."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segpoint.files import reading
from segpoint_ros.pointcloud2 import points_of

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

CLOUD = "sensor_msgs/msg/PointCloud2"
LABEL = "label"
_UINT32 = 6  # PointField.UINT32
METADATA = "metadata.yaml"


def with_label(message: Any, label: np.ndarray) -> Any:
    """A message of rosbags' type with all that a PointCloud2 of whatever class holds, and its ``label`` (M,) besides.

    A field of that name is written over where it is a uint32, else kept as ``input_label``. Padding between rows goes.
    """
    types = _store().types
    points, step = points_of(message), message.point_step
    there = next((f for f in message.fields if f.name == LABEL and f.datatype == _UINT32 and f.count <= 1), None)
    offset = there.offset if there else step + -step % 4
    grown = step if there else offset + 4
    content = np.zeros((points.size, grown), np.uint8)
    content[:, :step] = np.ascontiguousarray(points.view(f"V{step}")).view(np.uint8).reshape(-1, step)
    order = ">" if message.is_bigendian else "<"
    content[:, offset : offset + 4] = label.astype(f"{order}u4").reshape(-1, 1).view(np.uint8)
    field = types["sensor_msgs/msg/PointField"]
    fields = [
        field("input_label" if f.name == LABEL and there is None else f.name, f.offset, f.datatype, f.count)
        for f in message.fields
    ]
    if there is None:
        fields.append(field(LABEL, offset, _UINT32, 1))
    header, stamp = message.header, message.header.stamp
    return types[CLOUD](
        types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](stamp.sec, stamp.nanosec), header.frame_id),
        message.height, message.width, fields, bool(message.is_bigendian), grown, grown * message.width,
        content.reshape(-1), bool(message.is_dense),
    )  # fmt: skip


def write_cloud(path: Path, topic: str, received: int, message: Any) -> str:
    """Write a message of `with_label` as an .mcap, whole or not at all, and return its bag's metadata.yaml."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    store = _store()
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        bag = Path(folder) / "cloud"
        with Writer(bag, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP) as writer:
            connection = writer.add_connection(topic, CLOUD, typestore=store)
            writer.write(connection, received, store.serialize_cdr(message, CLOUD))
        (bag / "cloud.mcap").replace(path)
        return (bag / METADATA).read_text(encoding="utf-8")


def read_label(path: Path) -> tuple[int, np.ndarray]:
    """When the cloud of such a file was received, in nanoseconds, and its labels (M,) int32."""
    from rosbags.rosbag2 import Reader

    with reading(path, "delete it and label this cloud again"), Reader(path) as reader:
        [(_, received, content)] = reader.messages()
        message = _store().deserialize_cdr(content, CLOUD)
        return received, points_of(message)[LABEL].ravel().astype(np.int32)


@cache  # it compiles what it reads and writes with
def _store() -> Typestore:
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.LATEST)
