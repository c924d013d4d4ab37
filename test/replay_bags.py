"""Small bags of every kind, with clouds of which each is known by its content, instructions and transforms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mini_own import cloud_message
from rosbags.interfaces import Qos
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from segpoint_replay.recording import Choice, Recording

START = 1_700_000_000 * 10**9  # nanoseconds
STEP = 100_000_000  # from a cloud to the next
CLOUD, TEXT, TF = "sensor_msgs/msg/PointCloud2", "std_msgs/msg/String", "tf2_msgs/msg/TFMessage"
FRAME = "camera_depth_optical_frame"
KINDS = ("mcap", "mcap.zstd", "db3", "db3.zstd", "db3.message", "bag", "bag.bz2", "bag.lz4")

Said = tuple[str, str, int, Any]  # topic, type, nanoseconds when recorded, message


class Bags:
    """Makes messages and bags of one kind of KINDS."""

    def __init__(self, kind: str) -> None:
        self.kind, self.ros1 = kind, kind.startswith("bag")
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        if self.ros1:
            self.store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", TF))

    def cloud(self, number: int, points: int = 40, *, stamp: int | None = None, label: np.ndarray | None = None) -> Any:
        """Points of which every coordinate tells the number, in noise that does not compress."""
        fields = dict(zip("xyz", _coordinates(number, points), strict=True))
        if label is not None:
            fields["label"] = label.astype(np.uint32)
        return cloud_message(self.store, fields, None, FRAME, START + number * STEP if stamp is None else stamp)

    def text(self, text: str) -> Any:
        return self.store.types[TEXT](text)

    def transforms(self, *transforms: tuple[str, str, int, Sequence[float]]) -> Any:
        """Each: parent, child, nanoseconds, and x, y, z with a quaternion x, y, z, w."""
        types = self.store.types
        made = []
        for parent, child, stamp, (x, y, z, *turn) in transforms:
            time = types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
            sequence = {"seq": 0} if self.ros1 else {}
            header = types["std_msgs/msg/Header"](stamp=time, frame_id=parent, **sequence)
            move = types["geometry_msgs/msg/Transform"](
                types["geometry_msgs/msg/Vector3"](x, y, z), types["geometry_msgs/msg/Quaternion"](*turn)
            )
            made.append(types["geometry_msgs/msg/TransformStamped"](header, child, move))
        return types[TF](made)

    def clouds(self, count: int, points: int = 40, topic: str = "/points") -> Iterator[Said]:
        for number in range(count):
            yield topic, CLOUD, START + number * STEP, self.cloud(number, points)

    def write(self, path: Path, said: Sequence[Said], qos: Sequence[Qos] = ()) -> Path:
        """The path of the bag: a folder, or with ".bag" a file."""
        writer = self._writer(path)
        serialize = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        with writer:
            connections: dict[str, Any] = {}
            for topic, kind, received, message in said:
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=self.store)
                content = message if isinstance(message, bytes) else serialize(message, kind)
                writer.write(connections[topic], received, content)
        return writer.path

    def _writer(self, path: Path) -> Any:
        storage, _, packed = self.kind.partition(".")
        if self.ros1:
            writer: Any = Writer1(path.with_suffix(".bag"))
            writer.chunk_threshold = 2000  # several chunks in a small bag
            if packed:
                writer.set_compression(Writer1.CompressionFormat[packed.upper()])
            return writer
        plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
        writer = Writer2(path, version=8, storage_plugin=plugin)
        if packed:
            mode = {"mcap.zstd": CompressionMode.STORAGE, "db3.zstd": CompressionMode.FILE}
            writer.set_compression(mode.get(self.kind, CompressionMode.MESSAGE), CompressionFormat.ZSTD)
        return writer


def number_of(message: Any) -> int:
    """Of a cloud that `Bags.cloud` made; fails where a byte of it is not as it was."""
    data = np.frombuffer(bytes(message.data), np.uint8).reshape(-1, message.point_step)
    values = np.ascontiguousarray(data[:, :12]).view(np.float32)
    number = int(values[0, 0] // 10)
    np.testing.assert_array_equal(values.T, _coordinates(number, len(values)))
    return number


def numbers(recording: Recording, choice: Choice | None = None) -> list[int]:
    """Of the clouds read, each checked against what was written."""
    found = []
    for frame in recording.frames(choice):
        assert number_of(frame.message) == frame.number
        assert frame.stamp == frame.received == recording.stamps[frame.number]
        assert frame.at == pytest.approx((frame.received - recording.start) / 1e9)
        found.append(frame.number)
    return found


@cache
def _coordinates(number: int, points: int) -> np.ndarray:
    return np.random.default_rng(number).random((3, points), np.float32) + np.float32(10 * number)
