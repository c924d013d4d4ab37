"""Labelled clouds from a moving sensor as a ROS bag, written without ROS through `rosbags`.

Beside the clouds a bag holds where the sensor was (/tf, /tf_static: map → mount → sensor) and what was said
(/instruction). The same calls give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

MAP = "map"
INSTRUCTION_TOPIC = "/instruction"
START = 1_700_000_000 * 10**9  # nanoseconds since 1970, of a bag's first message
LEAD = 500_000_000  # nanoseconds from there to the first cloud
_CLOUD, _STRING, _TF = "sensor_msgs/msg/PointCloud2", "std_msgs/msg/String", "tf2_msgs/msg/TFMessage"
_DATATYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}  # of a PointField
# optical axes (x right, y down, z forward) in those of a mount (x forward, y left, z up), REP 103
OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class BagWriter:
    """A context manager that writes a bag; to be left without an exception for the bag to be whole.

    path: a folder that is not there yet, or for ROS 1 a file that ends in ".bag".   storage: "mcap" or "sqlite3".
    compression: "" for none; "storage" (zstd chunks of an .mcap, which every reader of it knows), "message" or "file"
    (zstd, as ros2 bag does it); of ROS 1 "lz4" or "bz2".
    """

    def __init__(self, path: Path, storage: str = "mcap", compression: str = "") -> None:
        from rosbags.rosbag1 import Writer as Writer1
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
        from rosbags.rosbag2 import Writer as Writer2
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        self.is_ros1 = path.suffix == ".bag"
        self._writer: Any = Writer1(path) if self.is_ros1 else None
        if not self.is_ros1:
            self._writer = Writer2(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
        if compression and self.is_ros1:
            self._writer.set_compression(Writer1.CompressionFormat[compression.upper()])
        elif compression:
            self._writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
        self._store = get_typestore(Stores.ROS1_NOETIC if self.is_ros1 else Stores.ROS2_HUMBLE)
        if _TF not in self._store.types:  # rosbags knows it of ROS 2 alone
            self._store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", _TF))
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def cloud(self, topic: str, stamp: int, frame_id: str, points: np.ndarray) -> None:
        """points: (height, width) with the PointCloud2's fields by name; stamp: nanoseconds since 1970."""
        types = self._store.types
        height, width = points.shape
        step = points.dtype.itemsize
        fields = [
            types["sensor_msgs/msg/PointField"](name, offset, _DATATYPES[kind.str[1:]], 1)
            for name, (kind, offset) in _layout(points.dtype).items()
        ]
        data = np.ascontiguousarray(points).reshape(-1).view(np.uint8)
        header = self._header(stamp, frame_id)
        message = types[_CLOUD](header, height, width, fields, False, step, step * width, data, is_dense=False)
        self._write(topic, _CLOUD, stamp, message)

    def transforms(self, stamp: int, poses: Mapping[tuple[str, str], np.ndarray], static: bool = False) -> None:
        """poses: (4, 4) each by (parent, child): child's axes → parent's, metres; static: on /tf_static, once."""
        geometry = {name.rsplit("/", 1)[1]: kind for name, kind in self._store.types.items() if "geometry_msgs" in name}
        found = []
        for (parent, child), pose in poses.items():
            x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
            moved = geometry["Transform"](
                geometry["Vector3"](*pose[:3, 3].tolist()),
                geometry["Quaternion"](float(x), float(y), float(z), float(w)),
            )
            found.append(geometry["TransformStamped"](self._header(stamp, parent), child, moved))
        self._write("/tf_static" if static else "/tf", _TF, stamp, self._store.types[_TF](found), is_latched=static)

    def say(self, stamp: int, text: str, topic: str = INSTRUCTION_TOPIC) -> None:
        """An instruction."""
        self._write(topic, _STRING, stamp, self._store.types[_STRING](text))

    def _header(self, stamp: int, frame_id: str) -> Any:
        types = self._store.types
        time = types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
        sequence = {"seq": 0} if self.is_ros1 else {}
        return types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id, **sequence)

    def _write(self, topic: str, kind: str, stamp: int, message: Any, is_latched: bool = False) -> None:
        if topic not in self._connections:
            settings: dict[str, Any] = {}
            if is_latched:
                settings = {"latching": 1} if self.is_ros1 else {"offered_qos_profiles": [_latched()]}
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._store, **settings)
        serialize = self._store.serialize_ros1 if self.is_ros1 else self._store.serialize_cdr
        self._writer.write(self._connections[topic], stamp, serialize(message, kind))


def cloud_points(
    xyz: np.ndarray, rgb: np.ndarray | None, label: np.ndarray | None, width: int, height: int
) -> np.ndarray:
    """(height, width) points with fields x y z, and where given rgb (packed, as PCL and ROS have it) and label.

    xyz: (height · width, 3) metres.   rgb: (height · width, 3) uint8.   label: (height · width,) whole numbers.
    """
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    fields += [("rgb", "<f4")] * (rgb is not None) + [("label", "<u4")] * (label is not None)
    points = np.empty(len(xyz), fields)
    for name, values in zip("xyz", xyz.T, strict=True):
        points[name] = values
    if rgb is not None:
        red, green, blue = rgb.astype(np.uint32).T
        points["rgb"] = (red << 16 | green << 8 | blue).view(np.float32)
    if label is not None:
        points["label"] = label
    return points.reshape(height, width)


def pose_of(turn: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(4, 4) float64 of a rotation (3, 3) and a position (3,)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, position
    return pose


def _layout(dtype: np.dtype) -> dict[str, tuple[np.dtype, int]]:
    return {name: (entry[0], entry[1]) for name, entry in (dtype.fields or {}).items()}


def _latched() -> Any:
    """What /tf_static is offered with, so that who subscribes late hears it."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    ever = QosTime(2147483647, 4294967295)
    return Qos(
        QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, ever, ever,
        QosLiveliness.AUTOMATIC, ever, False,
    )  # fmt: skip
