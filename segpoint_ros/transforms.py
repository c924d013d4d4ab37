"""Where the frames of a robot are, as tf2 hears it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from segpoint.errors import SegPointError
from segpoint_ros.place import rotation_matrix

WAIT = 0.25  # seconds that a cloud waits for its transform, which often comes a little later than the cloud
TOLERANCE = 0.5  # seconds between a cloud and the newest transform with which it may do


class HeardTransforms:
    """The robot's transforms, heard on /tf and /tf_static where ``tf2_ros`` is installed; without it there are none.

    It listens from the first `lookup` on: a busy /tf costs rclpy a tenth of a core, for nothing where everybody points
    in the clouds' own frame. The node's executor serves the subscriptions; `lookup` is for another thread.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None
        # Where a bag begins again, transforms that are older than those before would be ignored. The buffer could see
        # to that by itself only with a service of its own on the node.
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1))
        self._jumps = node.get_clock().create_jump_callback(back, post_callback=self._on_jump)

    @property
    def installed(self) -> bool:
        """Whether `lookup` can find anything at all."""
        return find_spec("tf2_ros") is not None

    def destroy(self) -> None:
        """Listen no more. The object is of no use afterwards; a second call does nothing."""
        if self._listener is not None:
            self._listener.unregister()
        self._jumps.unregister()

    def lookup(self, target: str, source: str, stamp: Stamp) -> tuple[np.ndarray, np.ndarray]:
        """The rotation (3, 3) and the translation (3,) in metres that take points from ``source`` to ``target``.

        stamp: when. Without one (0, or before 1970) it is the newest transform. What is not known yet is waited for,
        WAIT seconds; after that the newest serves, if it is not farther than TOLERANCE from the stamp.
        Raises SegPointError, with the reason in one line, where there is no transform.
        """
        try:
            import tf2_ros  # of the ROS package tf2_ros_py, which pip cannot install
        except ImportError as error:
            raise SegPointError(
                f"tf2_ros is not installed ({error}): give it in {target!r} (in RViz set Fixed Frame to {target!r}) or "
                f"install ros-{os.environ.get('ROS_DISTRO', '<distro>')}-tf2-ros-py"
            ) from None
        if self._buffer is None:
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)
        when = Time.from_msg(stamp) if stamp.sec >= 0 else Time()  # 0 is tf2's newest, too
        try:
            try:
                found = self._buffer.lookup_transform(target, source, when, Duration(seconds=WAIT))
            except tf2_ros.ExtrapolationException:
                found = self._buffer.lookup_transform(target, source, Time())
                if abs(Time.from_msg(found.header.stamp).nanoseconds - when.nanoseconds) > TOLERANCE * 1e9:
                    raise
        except tf2_ros.TransformException as error:
            raise SegPointError(f"tf2 has no transform: {' '.join(str(error).split())}") from None
        turn, shift = found.transform.rotation, found.transform.translation
        return rotation_matrix(np.array([turn.x, turn.y, turn.z, turn.w])), np.array([shift.x, shift.y, shift.z])

    def _on_jump(self, jump: TimeJump) -> None:
        if self._buffer is not None:
            self._buffer.clear()
