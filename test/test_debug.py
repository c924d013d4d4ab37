"""The debug topics over real DDS: each stage's time for whoever listens, and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, TransitionCallbackReturn  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy  # noqa: E402
from std_msgs.msg import Float64  # noqa: E402

from segpoint_ros.debug import STAGES, Debug  # noqa: E402

PATIENCE = 60.0
TIMINGS = {stage: 0.001 * number for number, stage in enumerate(STAGES, start=1)}


class Worker(LifecycleNode):
    """A lifecycle node with the debug topics and nothing else."""

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        self.debug = Debug(self)
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        self.debug.destroy()
        return TransitionCallbackReturn.SUCCESS


class Plotter:
    """Listens to some of the topics."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.worker = Worker("segpoint", context=self.context)
        self.node = Node("plotter", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.worker)
        self._executor.add_node(self.node)
        self.heard: dict[str, list[float]] = {}

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self.worker.destroy_node()
        rclpy.shutdown(context=self.context)

    def listen_to(self, topic: str) -> None:
        values = self.heard.setdefault(topic, [])
        self.node.create_subscription(
            Float64, f"/segpoint/debug/{topic}", lambda message: values.append(message.data), 10
        )
        self.wait(lambda: self.node.count_publishers(f"/segpoint/debug/{topic}"))
        self.wait(lambda: self.worker.count_subscribers(f"/segpoint/debug/{topic}"))
        time.sleep(0.2)  # the publisher itself has matched a moment after the graph knows

    def wait(self, condition: Callable[[], Any], patience: float = PATIENCE) -> bool:
        end = time.monotonic() + patience
        while not condition() and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.02)
        return bool(condition())


@pytest.fixture
def plotter(ros_environment: dict[str, str]) -> Iterator[Plotter]:
    plotter = Plotter(int(ros_environment["ROS_DOMAIN_ID"]))
    plotter.worker.trigger_configure()
    plotter.worker.trigger_activate()
    yield plotter
    plotter.close()


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics of every message that is made and given to ROS."""
    topics: list[str] = []
    publish = LifecyclePublisher.publish

    def noted(self: LifecyclePublisher, message: Any) -> None:
        topics.append(self.topic_name)
        publish(self, message)

    monkeypatch.setattr(LifecyclePublisher, "publish", noted)
    return topics


def test_every_stage_has_a_topic(plotter: Plotter) -> None:
    names = {f"/segpoint/debug/processing_time/{stage}_ms" for stage in STAGES} | {
        "/segpoint/debug/pipeline_latency_ms"
    }
    publishers = [p for p in plotter.worker.publishers if "/debug/" in p.topic_name]
    assert {publisher.topic_name for publisher in publishers} == names and len(publishers) == len(names)
    for publisher in publishers:
        qos = publisher.qos_profile
        assert publisher.msg_type is Float64
        assert (qos.history, qos.depth) == (HistoryPolicy.KEEP_LAST, 1)
        assert (qos.reliability, qos.durability) == (ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)


def test_whoever_listens_hears_milliseconds(plotter: Plotter, published: list[str]) -> None:
    for topic in ("processing_time/encoder_ms", "processing_time/total_ms", "pipeline_latency_ms"):
        plotter.listen_to(topic)
    plotter.worker.debug.publish({**TIMINGS, "a stage of tomorrow": 1.0}, latency=0.25)
    assert plotter.wait(lambda: all(plotter.heard.values()))
    assert plotter.heard["processing_time/encoder_ms"] == pytest.approx([1000 * TIMINGS["encoder"]])
    assert plotter.heard["processing_time/total_ms"] == pytest.approx([1000 * TIMINGS["total"]])
    assert plotter.heard["pipeline_latency_ms"] == [250.0]
    assert sorted(published) == sorted(f"/segpoint/debug/{topic}" for topic in plotter.heard)


def test_nothing_is_published_that_nobody_hears(plotter: Plotter, published: list[str]) -> None:
    plotter.worker.debug.publish(TIMINGS, latency=0.25)
    assert not published


def test_a_cloud_without_a_stamp_has_no_latency(plotter: Plotter, published: list[str]) -> None:
    plotter.listen_to("pipeline_latency_ms")
    plotter.worker.debug.publish(TIMINGS, latency=None)
    assert not published


def test_twice_over(plotter: Plotter) -> None:
    """Silent while inactive, gone after cleanup, and back."""
    plotter.listen_to("processing_time/total_ms")
    heard = plotter.heard["processing_time/total_ms"]
    plotter.worker.trigger_deactivate()
    plotter.worker.debug.publish(TIMINGS, latency=None)
    plotter.worker.trigger_cleanup()
    plotter.worker.debug.destroy()
    assert not [p for p in plotter.worker.publishers if "/debug/" in p.topic_name]
    assert plotter.wait(lambda: not plotter.node.count_publishers("/segpoint/debug/processing_time/total_ms"))
    assert not heard
    plotter.worker.trigger_configure()
    plotter.worker.trigger_activate()

    def heard_again() -> list[float]:
        plotter.worker.debug.publish(TIMINGS, latency=None)
        return heard

    assert plotter.wait(heard_again)
    assert heard[0] == pytest.approx(1000 * TIMINGS["total"])


def test_the_stages_are_the_segmenters(repository) -> None:
    """Every stage that the method times has its topic."""
    timed = set(re.findall(r'\.lap\("(\w+)"\)', (repository / "segpoint" / "segmenter.py").read_text()))
    assert len(timed) > 5 and timed <= set(STAGES)
