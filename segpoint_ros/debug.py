"""Where the time goes, as numbers to plot: one topic for each stage, and one for how old a result is."""

from __future__ import annotations

from collections.abc import Mapping

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from std_msgs.msg import Float64

from segpoint import stopwatch

STAGES = ("read", *stopwatch.STAGES, "publish", "total")
"""The node's own stages around those of `Segmentation.timings`."""


class Debug:
    """Publishers of a configured node under ``~/debug``, reliable, keep last 1, all in milliseconds.

    ``processing_time/<stage>_ms``: how long each of STAGES took.   ``pipeline_latency_ms``: from the cloud's stamp to
    its result.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._stages = {stage: self._create(f"processing_time/{stage}_ms") for stage in STAGES}
        self._latency = self._create("pipeline_latency_ms")

    def _create(self, topic: str) -> LifecyclePublisher:
        return self._node.create_lifecycle_publisher(Float64, f"~/debug/{topic}", 1)  # a depth alone is reliable

    def publish(self, timings: Mapping[str, float], latency: float | None) -> None:
        """What somebody listens to, of one result.

        timings: seconds by stage; stages that are none of STAGES are left out.   latency: seconds, None where the cloud
        has no stamp.
        """
        for stage, seconds in timings.items():
            if stage in self._stages:
                _publish(self._stages[stage], seconds)
        if latency is not None:
            _publish(self._latency, latency)

    def destroy(self) -> None:
        """Take the topics away. A second call does nothing."""
        for publisher in (*self._stages.values(), self._latency):
            self._node.destroy_lifecycle_publisher(publisher)


def _publish(publisher: LifecyclePublisher, seconds: float) -> None:
    if publisher.get_subscription_count():
        publisher.publish(Float64(data=1000.0 * seconds))
