"""The ROS messages that a cloud comes in and an answer goes out in, with a ROS installation and without.

``from segpoint_ros.messages import PointCloud2`` gives ROS's own class where rclpy and sensor_msgs are installed, and
else a dataclass with the same fields, constants and defaults: what fills and reads messages is the same code for both.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from segpoint.errors import SegPointError

if TYPE_CHECKING:
    from builtin_interfaces.msg import Duration, Time
    from geometry_msgs.msg import Point, PointStamped, Pose, PoseArray, Quaternion, Transform, TransformStamped, Vector3
    from sensor_msgs.msg import PointCloud2, PointField
    from std_msgs.msg import ColorRGBA, Header, String
    from tf2_msgs.msg import TFMessage
    from visualization_msgs.msg import Marker, MarkerArray

__all__ = [
    "ColorRGBA",
    "Duration",
    "Header",
    "Marker",
    "MarkerArray",
    "Point",
    "PointCloud2",
    "PointField",
    "PointStamped",
    "Pose",
    "PoseArray",
    "Quaternion",
    "String",
    "TFMessage",
    "Time",
    "Transform",
    "TransformStamped",
    "Vector3",
    "deserialize",
    "message_class",
    "serialize",
]
_PACKAGES = {
    "builtin_interfaces": "Duration Time",
    "geometry_msgs": "Point PointStamped Pose PoseArray Quaternion Transform TransformStamped Vector3",
    "sensor_msgs": "PointCloud2 PointField",
    "std_msgs": "ColorRGBA Header String",
    "tf2_msgs": "TFMessage",
    "visualization_msgs": "Marker MarkerArray",
}
_NAMES = {kind: f"{package}/msg/{kind}" for package, kinds in _PACKAGES.items() for kind in kinds.split()}


def __getattr__(kind: str) -> type[Any]:
    # A class is looked for when it is asked for: ROS from pip is without tf2_msgs, and a node needs no rosbags.
    if kind not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {kind!r}")
    return message_class(_NAMES[kind])


@functools.cache
def message_class(name: str) -> type[Any]:
    """The class of a message type, such as "sensor_msgs/msg/PointCloud2", which is the same all through a process.

    Raises SegPointError where neither ROS nor rosbags has it.
    """
    package, _, kind = name.partition("/msg/")
    try:
        importlib.import_module("rclpy.serialization")  # ROS's classes without rclpy could not be read into
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError):
        return _plain().plain_class(name)


def deserialize(cdr: bytes | memoryview, name: str) -> Any:
    """The message of the type ``name`` in the bytes (CDR) of a ROS 2 topic or bag.

    Without ROS a cloud's data is a view into ``cdr``: not copied, and not to be written. Raises SegPointError for bytes
    that are no such message, and for a type that neither ROS nor rosbags has.
    """
    kind = message_class(name)
    try:
        if _is_plain(kind):
            return _plain().read_cdr(cdr, name)
        from rclpy.serialization import deserialize_message

        return deserialize_message(bytes(cdr), kind)
    except Exception as error:  # rosbags', rclpy's or the middleware's
        reason = " ".join(str(error).split())
        raise SegPointError(f"expected a {name} in CDR, got {len(cdr)} bytes that are none: {reason}") from error


def serialize(message: Any) -> bytes:
    """A message as CDR, little-endian, the same bytes with ROS and without.

    They are rosbags', also with ROS: rclpy leaves what was in memory before in the gaps between fields, and no two bags
    would be the same. Messages of rosbags' own classes are taken, too, those of ROS 1 among them.
    Raises SegPointError without rosbags, and for a type that it does not have.
    """
    kind = type(message)
    name = kind.__msgtype__ if _is_plain(kind) else f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
    return _plain().write_cdr(message, name)


def _is_plain(kind: type[Any]) -> bool:
    """Whether a class is of `segpoint_ros.plain_messages`, or rosbags' own."""
    return hasattr(kind, "__msgtype__")


def _plain() -> ModuleType:
    try:
        return importlib.import_module("segpoint_ros.plain_messages")
    except ImportError as error:
        raise SegPointError(
            f"messages need ROS 2 or rosbags ({error}): source ROS 2 and its message packages, or pip install rosbags"
        ) from error
