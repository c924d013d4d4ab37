"""The node's subscriptions: clouds, words, clicks and boxes; and why no cloud comes, where none does."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from geometry_msgs.msg import PointStamped
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import Marker

from segpoint.errors import SegPointError

CLOUD_TYPE = "sensor_msgs/msg/PointCloud2"


def sensor_qos() -> QoSProfile:
    """What camera drivers publish to: best effort, the newest only."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def reliable_qos(durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    """The newest only, and that for certain."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=durability
    )


def overrides_refused(error: Exception, end: str) -> SegPointError:
    """What rclpy says of the QoS that a topic's end ("/instruction.subscription") was given, with what it may be."""
    return SegPointError(
        f"{str(error).splitlines()[0]}; where qos_overrides.{end}.* are set, reliability is to be reliable or "
        "best_effort, history keep_last or keep_all, depth a whole number from 1"
    )


class Said:
    """Sentences that were heard already, by when and what.

    A latched sentence may arrive through both subscriptions of `Inputs`, and again whenever the node is activated.
    """

    def __init__(self) -> None:
        self._heard: deque[tuple[int, str]] = deque(maxlen=64)
        self._newest = 0

    def is_new(self, sent_at: int, text: str, latched: bool = False) -> bool:
        """Whether a sentence, sent at that time in nanoseconds, is to be taken; from now on it has been heard.

        latched: it came through the subscription for those, and so may be older than what has been said since.
        """
        if (sent_at, text) in self._heard or (latched and sent_at < self._newest):
            return False
        self._heard.append((sent_at, text))
        self._newest = max(self._newest, sent_at)
        return True


class Inputs:
    """Subscriptions of a node, as long as it is active.

    on_points, on_words, on_click, on_box: called with each message, sentences once each.   warn: told of each publisher
    that cannot reach the node, (kind, sentence).   said: sentences heard before.
    QoS can be changed with ``qos_overrides.<topic>.subscription.*``; raises `SegPointError` where such a value makes no
    sense.
    """

    def __init__(
        self,
        node: Node,
        on_points: Callable[[PointCloud2], None],
        on_words: Callable[[String], None],
        on_click: Callable[[PointStamped], None],
        on_box: Callable[[Marker], None],
        warn: Callable[[str, str], None],
        said: Said,
    ) -> None:
        self._node, self._on_points, self._on_words, self._warn, self._said = node, on_points, on_words, warn, said
        self._last_cloud = time.monotonic()
        self._heard_any = False
        self._subscriptions: list = []
        self._changing = threading.Lock()  # it ends in another thread than it looks around in
        try:
            self._subscribe(PointCloud2, "~/input/points", self._hear_points, sensor_qos())
            self._subscribe(String, "instruction", self._hear_words, reliable_qos())
            self._subscribe(PointStamped, "clicked_point", on_click, reliable_qos())
            self._subscribe(Marker, "~/input/box", on_box, reliable_qos())
        except Exception:
            self.destroy()
            raise
        self.topic: str = self._subscriptions[0].topic_name
        self.words_topic: str = self._subscriptions[1].topic_name
        self._latched = False
        self.look_around()

    def destroy(self) -> None:
        """Listen to nothing more."""
        with self._changing:
            for subscription in self._subscriptions:
                self._node.destroy_subscription(subscription)
            self._subscriptions = []

    def look_around(self) -> None:
        """Hear what was said before, if somebody latches it; to be called now and then.

        No single QoS hears a latching publisher's past and those that do not latch at all, and a second subscription
        from the start would make each of the latter complain.
        """
        latched = DurabilityPolicy.TRANSIENT_LOCAL
        publishers = self._node.get_publishers_info_by_topic(self.words_topic)
        if self._latched or not any(publisher.qos_profile.durability == latched for publisher in publishers):
            return
        with self._changing:
            if self._subscriptions:  # else it has been destroyed
                self._latched = True
                quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
                self._subscriptions.append(
                    self._node.create_subscription(
                        String, "instruction", self._hear_latched, reliable_qos(latched), event_callbacks=quiet
                    )
                )

    @property
    def silence(self) -> float:
        """Seconds since the last cloud, or since the node began to listen."""
        return time.monotonic() - self._last_cloud

    def why_silent(self) -> str:
        """Why no cloud comes, as far as the graph tells, and what to do."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            others = [
                name
                for name, types in self._node.get_topic_names_and_types()
                if CLOUD_TYPE in types and self._node.count_publishers(name) and not self._is_own(name)
            ]
            instead = f"clouds are published on {', '.join(sorted(others))}" if others else "no topic has clouds"
            return f"nobody publishes {self.topic}: remap ~/input/points (input_topic of the launch file); {instead}"
        types = {publisher.topic_type for publisher in publishers}
        if CLOUD_TYPE not in types:
            return f"{self.topic} has {', '.join(sorted(types))}, expected {CLOUD_TYPE}"
        count = f"{len(publishers)} publishers" if len(publishers) > 1 else "1 publisher"
        if self._heard_any:
            return f"{self.topic} has {count}, whose clouds came until then: paused, or not connected any more"
        return (
            f"{self.topic} has {count}, but no cloud has come. If the camera runs: clouds of more than some 100 kB "
            f"need a transport with room for them on both sides ({_transport()})"
        )

    def _is_own(self, topic: str) -> bool:
        return topic.startswith(self._node.get_fully_qualified_name() + "/output/")

    def _subscribe(self, kind: Any, topic: str, callback: Callable[..., None], qos: QoSProfile) -> None:
        name = self._node.resolve_topic_name(topic)

        def on_incompatible_qos(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            remedy = f"qos_overrides.{name}.subscription.{policy.lower()}"
            self._warn(
                f"qos of {name}",
                f"a publisher of {name} is not heard: its {policy} does not go with the node's; set {remedy}",
            )

        def on_incompatible_type(event: Any) -> None:
            wanted = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
            self._warn(f"type of {name}", f"a publisher of {name} is not heard: it sends another type than {wanted}")

        events = SubscriptionEventCallbacks(
            incompatible_qos=on_incompatible_qos, incompatible_type=on_incompatible_type
        )
        overrides = QoSOverridingOptions.with_default_policies()
        try:
            self._subscriptions.append(
                self._node.create_subscription(
                    kind, topic, callback, qos, event_callbacks=events, qos_overriding_options=overrides
                )
            )
        except (RuntimeError, TypeError, ParameterException) as error:
            raise overrides_refused(error, f"{name}.subscription") from error

    def _hear_points(self, message: PointCloud2) -> None:
        self._last_cloud, self._heard_any = time.monotonic(), True
        self._on_points(message)

    def _hear_words(self, message: String, info: Mapping[str, Any]) -> None:
        if self._said.is_new(info["source_timestamp"], message.data):
            self._on_words(message)

    def _hear_latched(self, message: String, info: Mapping[str, Any]) -> None:
        if self._said.is_new(info["source_timestamp"], message.data, latched=True):
            self._on_words(message)


def _transport() -> str:
    """What to set for large clouds, or that it is set here."""
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
    there = [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]
    if there:
        return f"here {there[0]}: set it where the camera's driver starts, too"
    return f"set {names[0]} to the package's config/fastdds.xml here and where the camera's driver starts"
