"""The ears of ``segpoint view``: subscribes to what a node hears and says, and hands it to the recording."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from segpoint.errors import SegPointError
from segpoint_ros.answering import frame_of
from segpoint_ros.diagnostics import Complaints, kind_of
from segpoint_ros.request import Request, split_instructions
from segpoint_ros.view_recording import Recording, level_of

# Best effort for both clouds: a reliable publisher would keep what a slow viewer has not taken yet.
CLOUDS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
WORDS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
LOOK_S = 1.0  # between two looks at who is there
LOST_S = 5.0  # without a status, of which a node sends one a second
SILENCE_S = 10.0  # after which clouds that are published and do not come are worth a word


class ViewNode(Node):
    """Hears the node named ``target`` and shows it; where that is away, says so and waits.

    target: the full name.   recording: what shows it.   frame: the clouds' axes, "auto" goes by the frame_id.
    topic: of the clouds that the node hears; "" takes the one that it subscribes to.   rate: the most clouds of a topic
    to show in a second; 0 shows all.
    """

    def __init__(self, target: str, recording: Recording, frame: str, topic: str, rate: float) -> None:
        super().__init__("segpoint_view")
        self._target, self._recording, self._frame, self._given = target, recording, frame, topic
        self._pause = 1.0 / rate if rate else 0.0
        self._shown = {"input": float("-inf"), "labelled": float("-inf")}  # time.monotonic() of the last one
        self._complaints = Complaints()
        self._there: bool | None = None
        self._status_at = float("inf")  # time.monotonic() of the last one, once there was one
        self._inputs: dict[str, Any] = {}  # subscriptions to what the node hears
        self._silent_since = float("inf")
        self._instruction, self._noted, self._condition = "", "", ("", "")
        for kind, name, callback in (
            (MarkerArray, "markers", recording.markers),
            (PoseArray, "targets", recording.targets),
            (String, "answer", lambda message: recording.say("answer", message.data)),
        ):
            self.create_subscription(kind, f"{target}/output/{name}", callback, WORDS)
        self._hear_clouds(f"{target}/output/points", lambda data: self._on_cloud("labelled", data))
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, WORDS)
        self.create_timer(LOOK_S, self._look)
        self._look()

    def _hear_clouds(self, topic: str, callback: Callable[[bytes], None]) -> Any:
        # Raw: what the rate leaves out is not worth unpacking.
        return self.create_subscription(PointCloud2, topic, callback, CLOUDS, raw=True)

    def _look(self) -> None:
        """Whether the node is there, and where it hears its clouds and instructions, which a launch file may remap."""
        namespace, name = self._target.rsplit("/", 1)
        try:
            heard, known = self.get_subscriber_names_and_types_by_node(name, namespace or "/"), True
        except RuntimeError:  # rclpy's NodeNameNonExistentError
            heard, known = [], False
        # One that was killed stays known for some 20 seconds.
        there = known and time.monotonic() - self._status_at < LOST_S
        if there != self._there:
            away = "is not there" if self._there is None else "has gone"
            self._tell(f"{self._target} is there" if there else f"{self._target} {away}: waiting for it", there)
            self._there = there
        types = {kind: topic for topic, kinds in heard for kind in kinds}
        if topic := self._given or types.get("sensor_msgs/msg/PointCloud2"):
            self._follow("input", topic)
        if topic := types.get("std_msgs/msg/String"):
            self._follow("instruction", topic)
        if there and time.monotonic() - self._silent_since > SILENCE_S:
            self._wonder()

    def _follow(self, what: str, topic: str) -> None:
        """Listen to ``topic``, and no longer to another one."""
        listener = self._inputs.get(what)
        if listener is not None and listener.topic_name == topic:
            return
        if listener is not None:
            self.destroy_subscription(listener)
        if what == "input":
            self._inputs[what] = self._hear_clouds(topic, self._on_input)
            self._silent_since = time.monotonic()
        else:
            self._inputs[what] = self.create_subscription(String, topic, self._on_instruction, WORDS)

    def _wonder(self) -> None:
        """Why no cloud comes."""
        topic = self._inputs["input"].topic_name
        published = "its publisher is paused, or its clouds are too large for the transport (README, Transport)"
        why = published if self.count_publishers(topic) else "nobody publishes it"
        self._complain("silence", f"no cloud comes on {topic}: {why}")

    def _on_input(self, data: bytes) -> None:
        self._silent_since = time.monotonic()
        self._on_cloud("input", data)

    def _on_cloud(self, entity: str, data: bytes) -> None:
        if time.monotonic() - self._shown[entity] < self._pause:
            return
        self._shown[entity] = time.monotonic()
        try:
            message = deserialize_message(data, PointCloud2)
            self._recording.cloud(entity, message, frame_of(message.header.frame_id, self._frame))
        except SegPointError as error:
            self._complain(kind_of(error), f"a cloud cannot be shown: {error}")

    def _on_instruction(self, message: String) -> None:
        try:
            self._instruction = str(Request(split_instructions(message.data)))
        except SegPointError:  # the node does not take it, and says so
            return
        self._recording.say("instruction", self._instruction)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._target.lstrip("/"):
                self._on_status(status)

    def _on_status(self, status: DiagnosticStatus) -> None:
        self._status_at = time.monotonic()
        self._recording.diagnostics(status)
        condition = level_of(status), re.sub(r"\d+", "", status.message)  # another number is nothing new
        if condition != self._condition:
            self._condition = condition
            self._recording.say("node", status.message, level_of(status))
        # What was asked before this began, or by pointing, is known from here alone. Only a change counts, for a status
        # may be older than the instruction that was heard meanwhile.
        noted = next((pair.value for pair in status.values if pair.key == "instruction"), self._noted)
        if noted not in (self._noted, self._instruction):
            self._instruction = noted
            self._recording.say("instruction", noted)
        self._noted = noted

    def _complain(self, kind: str, text: str) -> None:
        if (said := self._complaints.let_through(kind, text)) is not None:
            self._tell(said, good=False)

    def _tell(self, text: str, good: bool) -> None:
        """On the terminal and in the log that is shown."""
        print(f"segpoint view: {text}", file=sys.stderr, flush=True)
        self._recording.say("node", text, "INFO" if good else "WARN")
