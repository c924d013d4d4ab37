"""The robot's side of a live replay: publishes clouds and words to a node, and keeps all that it says, and when."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Sequence
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, String
from visualization_msgs.msg import MarkerArray

from segpoint.errors import SegPointError
from segpoint_replay.replies import Heard, Reply, replies
from segpoint_ros.debug import STAGES
from segpoint_ros.inputs import reliable_qos

SETTLE_S = 0.5  # for the node to find this process, too, once this one has found the node
_CLOUDS, _WORDS = "sensor_msgs/msg/PointCloud2", "std_msgs/msg/String"
# Nothing that arrived while another message was being put away is lost.
_ALL = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
_SOME = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)  # large ones


class Player:
    """A participant of the ROS graph that plays to the node with the full name ``target``. Close it, or use ``with``.

    The messages are heard in a thread of its own; the labelled clouds wait in a temporary file in ``folder``, as they
    came. The process's environment must be the one that is to be used, for DDS reads it once.
    """

    def __init__(self, target: str, folder: str | os.PathLike[str]) -> None:
        self._target = target
        self._heard: list[Heard] = []
        self._changed = threading.Condition()
        self._closed = False
        self._kept = TemporaryFile(dir=folder)  # noqa: SIM115  closed by close()
        self._end = 0
        self._status: DiagnosticStatus | None = None
        self.status_at = time.monotonic()
        """When the node told last how it is, once a second while it lives."""
        self._context = rclpy.Context()
        try:
            rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
            self._node = rclpy.create_node("segpoint_replay", context=self._context)
        except RuntimeError as error:  # rclpy's RCLError, for example of a wrong ROS_DOMAIN_ID
            self._kept.close()
            raise SegPointError(str(error)) from error
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._publishers: dict[str, Any] = {}
        self._listeners = self._listen()
        self._thread = threading.Thread(target=self._spin, name="segpoint replay", daemon=True)
        self._thread.start()

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the graph and give the room of the labelled clouds back."""
        self.leave()
        self._kept.close()

    def leave(self) -> None:
        """Leave the graph. What was heard stays."""
        if not self._closed:
            self._closed = True
            self._thread.join()
            self._executor.shutdown()
            self._node.destroy_node()
            rclpy.shutdown(context=self._context)

    # What is said to the node

    def check_absent(self) -> None:
        """Raise SegPointError where the node that is about to be started is there already."""
        time.sleep(SETTLE_S)
        if any(self._node.count_publishers(listener.topic_name) for listener in self._listeners):
            domain = os.environ.get("ROS_DOMAIN_ID") or "0"
            raise SegPointError(
                f"a node {self._target} runs already in ROS domain {domain}: replay through it with --node "
                f"{self._target}, end it, or set another ROS_DOMAIN_ID"
            )

    def check_alone(self) -> None:
        """Raise SegPointError where the node does not hear this player alone, or this player not the node alone: what
        others say could not be told from it."""
        topic = self._publishers["clouds"].topic_name
        if self._node.count_publishers(topic) > 1:
            raise SegPointError(f"somebody else publishes to {topic}: stop it, or start another node for the replay")
        for listener in self._listeners:
            if self._node.count_publishers(listener.topic_name) > 1:
                raise SegPointError(
                    f"somebody else publishes to {listener.topic_name}, too: end the other node {self._target}, or set "
                    "another ROS_DOMAIN_ID"
                )

    def connect(self, check: Callable[[], None], found_within: float, loads_within: float) -> None:
        """Wait until the node is active and both sides have found each other on every topic.

        check: raises where waiting is in vain. Raises SegPointError, too, where the node has not been heard of for
        ``found_within`` seconds, or is not active after ``loads_within``; where it cannot work; and as `check_alone`.
        """
        until = time.monotonic() + loads_within
        while not self._connected():
            check()
            self._check_status()
            if time.monotonic() - self.status_at > found_within:
                raise SegPointError(
                    f"no node {self._target} was heard of for {found_within:.0f} s: has it another name, ROS_DOMAIN_ID "
                    "or transport (README, Transport)?"
                )
            if time.monotonic() > until:
                message = self._status.message if self._status else "nothing"
                raise SegPointError(f"{self._target} is not active after {loads_within:.0f} s; it says: {message}")
            time.sleep(0.05)
        time.sleep(SETTLE_S)
        self.check_alone()

    def show(self, cloud: PointCloud2) -> float:
        """Publish a cloud. Returns when, time.monotonic()."""
        now = time.monotonic()
        self._publishers["clouds"].publish(cloud)
        return now

    def ask(self, instructions: Sequence[str]) -> float:
        """Ask these from now on; none: nothing. Returns when, time.monotonic()."""
        now = time.monotonic()
        self._publishers["words"].publish(String(data="\n".join(instructions)))
        return now

    # What the node says

    @property
    def diagnostics(self) -> dict[str, str]:
        """What the node said last of itself, by name."""
        status = self._status
        return {pair.key: pair.value for pair in status.values} if status is not None else {}

    def replies(self, newest: int = 0) -> list[Reply]:
        """The results so far; or only those among so many newest messages."""
        with self._changed:
            heard = self._heard[-newest:]
        return replies(heard)

    def wait(self, condition: Callable[[], bool], until: float) -> bool:
        """Wait for what the node says, at most until ``until``, time.monotonic(). Whether the condition holds."""
        while not condition():
            left = until - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left, 0.2))
        return True

    def labelled(self, reply: Reply) -> bytes:
        """The labelled cloud of a result, CDR."""
        place, length = reply.points
        return os.pread(self._kept.fileno(), length, place)

    # In the thread that hears

    def _spin(self) -> None:
        while not self._closed:
            self._executor.spin_once(timeout_sec=0.1)

    def _listen(self) -> list[Any]:
        node, output = self._node, f"{self._target}/output"
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, _ALL)
        for stage in STAGES:
            node.create_subscription(
                Float64,
                f"{self._target}/debug/processing_time/{stage}_ms",
                lambda message, info, stage=stage: self._keep(Heard(stage, *_when(info), message.data / 1e3)),
                _ALL,
            )
        return [
            node.create_subscription(PointCloud2, f"{output}/points", self._on_points, _SOME, raw=True),
            node.create_subscription(MarkerArray, f"{output}/markers", self._on_markers, _ALL),
            node.create_subscription(
                String,
                f"{output}/answer",
                lambda message, info: self._keep(Heard("answer", *_when(info), message.data)),
                _ALL,
            ),
        ]

    def _on_points(self, cloud: bytes, info: Any) -> None:
        when = _when(info)
        # CDR: two bytes say the order of the others, two are options; a header begins with its stamp.
        seconds, nanoseconds = struct.unpack_from("<iI" if cloud[1] & 1 else ">iI", cloud, 4)
        place, self._end = self._end, self._end + os.pwrite(self._kept.fileno(), cloud, self._end)
        self._keep(Heard("points", *when, (place, len(cloud)), seconds * 10**9 + nanoseconds))

    def _on_markers(self, message: MarkerArray, info: Any) -> None:
        if message.markers:  # the node's own begin with a DELETEALL
            stamp = message.markers[0].header.stamp
            said = next((marker.text for marker in message.markers if marker.ns == "instruction"), "")
            self._keep(Heard("markers", *_when(info), said, stamp.sec * 10**9 + stamp.nanosec, message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._target.lstrip("/"):
                self._status, self.status_at = status, time.monotonic()

    def _keep(self, one: Heard) -> None:
        with self._changed:
            self._heard.append(one)
            self._changed.notify_all()

    # The graph

    def _connected(self) -> bool:
        if self.diagnostics.get("state") != "active":
            return False
        if not self._publishers:
            topics = self._inputs()
            if not {_CLOUDS, _WORDS} <= set(topics):
                return False
            # Reliable: such a publisher reaches subscriptions of both kinds.
            self._publishers = {
                "clouds": self._node.create_publisher(PointCloud2, topics[_CLOUDS], reliable_qos()),
                "words": self._node.create_publisher(String, topics[_WORDS], _ALL),
            }
        heard = all(publisher.get_subscription_count() for publisher in self._publishers.values())
        return heard and all(self._node.count_publishers(listener.topic_name) for listener in self._listeners)

    def _inputs(self) -> dict[str, str]:
        """The topics that the node subscribes to, by type; a launch file may have remapped them."""
        namespace, _, name = self._target.rpartition("/")
        try:
            topics = self._node.get_subscriber_names_and_types_by_node(name, namespace or "/")
        except RuntimeError:  # rclpy's NodeNameNonExistentError
            return {}
        return {kind: topic for topic, kinds in topics for kind in kinds}

    def _check_status(self) -> None:
        status = self._status
        if status is None or status.level != DiagnosticStatus.ERROR:
            return
        if self.diagnostics.get("state") == "unconfigured":
            raise SegPointError(f"the node cannot work: {status.message}")


def _when(info: Any) -> tuple[int, float]:
    """When a message was published, nanoseconds of the node's clock, and when it is here, time.monotonic()."""
    return info["source_timestamp"], time.monotonic()
