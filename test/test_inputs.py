"""The subscriptions over real DDS: what is heard, what cannot be, and what is said about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy")

import rclpy  # noqa: E402
from geometry_msgs.msg import PointStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint_ros.inputs import Inputs, Said, reliable_qos, sensor_qos  # noqa: E402

LATCHED = DurabilityPolicy.TRANSIENT_LOCAL


class Graph:
    """The node's inputs and whoever publishes, in one context of their own."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self._executor = SingleThreadedExecutor(context=self.context)
        self.nodes: list[Node] = []
        self.heard: list[Any] = []
        self.warnings: list[tuple[str, str]] = []
        self.said = Said()

    def node(self, name: str, **arguments: Any) -> Node:
        node = rclpy.create_node(name, context=self.context, **arguments)
        self.nodes.append(node)
        self._executor.add_node(node)
        return node

    def inputs(self, node: Node) -> Inputs:
        hear = self.heard.append
        return Inputs(node, hear, hear, hear, hear, lambda *warning: self.warnings.append(warning), self.said)

    def until(self, condition: Callable[[], Any], patience: float = 20.0) -> None:
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"did not happen; heard {self.heard}, warned {self.warnings}"
            self._executor.spin_once(timeout_sec=0.05)

    def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.05)

    @property
    def sentences(self) -> list[str]:
        return [message.data for message in self.heard]


@pytest.fixture
def graph(ros_environment) -> Iterator[Graph]:
    graph = Graph(int(ros_environment["ROS_DOMAIN_ID"]))
    yield graph
    for node in graph.nodes:
        node.destroy_node()
    rclpy.shutdown(context=graph.context)


def test_a_latched_sentence_reaches_a_node_that_starts_later_once(graph) -> None:
    person = graph.node("person")
    person.create_publisher(String, "instruction", reliable_qos(LATCHED)).publish(String(data="the mug"))
    inputs = graph.inputs(graph.node("segpoint"))

    def looked_and_heard() -> bool:
        inputs.look_around()
        return graph.sentences == ["the mug"]

    graph.until(looked_and_heard)
    loud = graph.node("another").create_publisher(String, "instruction", 1)
    graph.until(lambda: loud.get_subscription_count() == 1)
    loud.publish(String(data="the bowl"))
    graph.until(lambda: "the bowl" in graph.sentences)
    graph.listen(0.3)
    assert graph.sentences == ["the mug", "the bowl"]

    inputs.destroy()  # deactivated, and active again: what is latched is older than what was said last
    graph.inputs(graph.nodes[1]).look_around()
    graph.listen(1.0)
    assert graph.sentences == ["the mug", "the bowl"]


def test_a_latching_publisher_is_heard_once_a_sentence(graph) -> None:
    inputs = graph.inputs(graph.node("segpoint"))
    latched = graph.node("person").create_publisher(String, "instruction", reliable_qos(LATCHED))
    graph.until(lambda: latched.get_subscription_count() == 1)
    inputs.look_around()
    graph.until(lambda: latched.get_subscription_count() == 2)
    for number in range(5):
        latched.publish(String(data=f"thing {number}"))
        graph.until(lambda number=number: f"thing {number}" in graph.sentences)
    latched.publish(String(data="thing 4"))  # said again on purpose
    graph.listen(0.5)
    assert graph.sentences == [f"thing {number}" for number in (0, 1, 2, 3, 4, 4)]


def test_all_four_topics_are_heard(graph) -> None:
    graph.inputs(graph.node("segpoint"))
    world = graph.node("world")
    publishers = [
        (world.create_publisher(PointCloud2, "/segpoint/input/points", sensor_qos()), PointCloud2(width=1)),
        (world.create_publisher(String, "/instruction", 1), String(data="the mug")),
        (world.create_publisher(PointStamped, "/clicked_point", 1), PointStamped()),
        (world.create_publisher(Marker, "/segpoint/input/box", 1), Marker(id=1)),
    ]
    for publisher, message in publishers:
        graph.until(lambda publisher=publisher: publisher.get_subscription_count() == 1)
        publisher.publish(message)
        graph.until(lambda message=message: message in graph.heard)


def test_a_publisher_that_cannot_be_heard_is_told_with_the_remedy(graph) -> None:
    node = graph.node("segpoint")
    graph.inputs(node)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    graph.node("person").create_publisher(String, "instruction", best_effort)
    graph.until(lambda: graph.warnings)
    kind, warning = graph.warnings[0]
    assert kind == "qos of /instruction"
    assert "its RELIABILITY does not go with" in warning
    remedy = "qos_overrides./instruction.subscription.reliability"
    assert remedy in warning and node.has_parameter(remedy)


def test_qos_can_be_overridden_also_twice(graph) -> None:
    name = "qos_overrides./instruction.subscription.reliability"
    node = graph.node("segpoint", parameter_overrides=[Parameter(name, value="best_effort")])
    shy = graph.node("person").create_publisher(
        String, "instruction", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    for sentence in ("the mug", "the bowl"):  # activated, deactivated, activated
        inputs = graph.inputs(node)
        graph.until(lambda: shy.get_subscription_count() == 1)
        shy.publish(String(data=sentence))
        graph.until(lambda sentence=sentence: graph.sentences[-1:] == [sentence])
        inputs.destroy()
        graph.until(lambda: shy.get_subscription_count() == 0)
    assert graph.warnings == []


def test_a_wrong_override_is_an_error_and_leaves_nothing(graph) -> None:
    name = "qos_overrides./instruction.subscription.reliability"
    node = graph.node("segpoint", parameter_overrides=[Parameter(name, value="somewhat")])
    before = len(list(node.subscriptions))
    with pytest.raises(SegPointError, match="qos_overrides./instruction.subscription"):
        graph.inputs(node)
    assert len(list(node.subscriptions)) == before


def test_why_no_cloud_comes(graph, monkeypatch) -> None:
    inputs = graph.inputs(graph.node("segpoint"))
    assert "nobody publishes /segpoint/input/points" in inputs.why_silent()
    assert "no topic has clouds" in inputs.why_silent()
    camera = graph.node("camera")
    elsewhere = camera.create_publisher(PointCloud2, "/camera/depth/points", sensor_qos())
    graph.until(lambda: "clouds are published on /camera/depth/points" in inputs.why_silent())
    camera.destroy_publisher(elsewhere)
    here = camera.create_publisher(PointCloud2, "/segpoint/input/points", sensor_qos())
    graph.until(lambda: here.get_subscription_count() == 1)
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/opt/fastdds.xml")
    graph.until(lambda: "has 1 publisher, but no cloud has come" in inputs.why_silent())
    assert "here FASTDDS_DEFAULT_PROFILES_FILE=/opt/fastdds.xml: set it where the camera" in inputs.why_silent()
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")
    assert "set FASTDDS_DEFAULT_PROFILES_FILE to the package's config/fastdds.xml" in inputs.why_silent()

    assert inputs.silence > 0
    time.sleep(0.3)
    here.publish(PointCloud2())
    graph.until(lambda: graph.heard)
    assert inputs.silence < 0.3
    assert "whose clouds came until then: paused" in inputs.why_silent()


def test_of_latched_sentences_the_newest_counts() -> None:
    said = Said()
    assert said.is_new(10, "the mug") and not said.is_new(10, "the mug", latched=True)
    assert not said.is_new(5, "the old bowl", latched=True), "older than what has been said since"
    assert said.is_new(5, "the bowl"), "from a machine whose clock is behind"
    assert said.is_new(20, "the can", latched=True)
