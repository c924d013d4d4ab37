"""What the node publishes about a cloud, each topic only where somebody listens."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from geometry_msgs.msg import PoseArray, PoseWithCovariance
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from segpoint.errors import SegPointError
from segpoint_ros.inputs import overrides_refused, reliable_qos
from segpoint_ros.markers import pose, pose_array, size_of, target_markers
from segpoint_ros.pointcloud2 import label_cloud, read_cloud, target_cloud
from segpoint_ros.result import Result
from segpoint_ros.settings import Parameters

try:
    from vision_msgs import msg as vision_msgs
except ImportError:  # many robots do without
    vision_msgs = None


class Outputs:
    """Publishers of a node that is being configured; they publish while it is active.

    | topic | type | |
    |---|---|---|
    | ``~/output/points`` | sensor_msgs/PointCloud2 | the cloud with ``label``, ``score`` and highlighted colour |
    | ``~/output/filtered`` | sensor_msgs/PointCloud2 | of that the targets' points only, in one row |
    | ``~/output/markers`` | visualization_msgs/MarkerArray | boxes and texts, see `target_markers` |
    | ``~/output/targets`` | geometry_msgs/PoseArray | the boxes' poses, in the order of the labels |
    | ``~/output/detections`` | vision_msgs/Detection3DArray | the same as detections, where vision_msgs is installed |
    | ``~/output/answer`` | std_msgs/String | what the language model wrote, a line for each instruction |

    All are reliable and keep the last message. ``qos_overrides.<topic>.publisher.*`` (history, depth, reliability),
    given when the node starts, change that. Raises `SegPointError` where such a value makes no sense.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._labelled = PointCloud2()
        self._publishers: dict[str, LifecyclePublisher] = {}
        kinds = {"points": PointCloud2, "filtered": PointCloud2, "markers": MarkerArray, "targets": PoseArray}
        if vision_msgs is not None:
            kinds["detections"] = vision_msgs.Detection3DArray
        try:
            for name, kind in {**kinds, "answer": String}.items():
                self._publishers[name] = self._create(f"~/output/{name}", kind)
        except Exception:
            self.destroy()
            raise

    @property
    def wanted(self) -> bool:
        """Whether anybody listens to anything."""
        return any(self._heard(name) for name in self._publishers)

    def publish(self, result: Result, settings: Parameters) -> None:
        """Publish a result, the answer last: who hears it has the rest. For use in one thread."""
        self._publish_clouds(result)
        self._publish_targets(result, settings)

    def clear(self, message: PointCloud2 | None, frame: str, settings: Parameters) -> None:
        """Publish that nothing is asked any more: the last cloud without labels, no markers, no targets and an empty
        answer. Without a cloud, or with one that cannot be read, the rest."""
        result = Result(PointCloud2() if message is None else message, frame)
        if message is not None and _can_be_read(message):
            self._publish_clouds(result)
        self._publish_targets(result, settings)

    def destroy(self) -> None:
        """Publish nothing more, and give the topics and the memory back."""
        publishers, self._publishers = self._publishers, {}
        for publisher in publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._labelled = PointCloud2()

    def _create(self, topic: str, kind: Any) -> LifecyclePublisher:
        try:
            # A profile of its own: the overrides are written into it.
            return self._node.create_lifecycle_publisher(
                kind, topic, reliable_qos(), qos_overriding_options=QoSOverridingOptions.with_default_policies()
            )
        except (RuntimeError, TypeError, ParameterException) as error:
            raise overrides_refused(error, f"{self._node.resolve_topic_name(topic)}.publisher") from error

    def _heard(self, name: str) -> bool:
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def _publish_clouds(self, result: Result) -> None:
        points, filtered = self._heard("points"), self._heard("filtered")
        if not (points or filtered):
            return
        colours = {target.label: target.colour for target in result.targets}
        # What is published is copied: the message may be written over next time.
        self._labelled = label_cloud(
            result.message, result.label, result.score, result.frame, colours, into=self._labelled
        )
        if points:
            self._publishers["points"].publish(self._labelled)
        if filtered:
            self._publishers["filtered"].publish(target_cloud(self._labelled))

    def _publish_targets(self, result: Result, settings: Parameters) -> None:
        if self._heard("markers"):
            look = settings.markers
            self._publishers["markers"].publish(target_markers(result, look.text_height, look.lifetime))
        if self._heard("targets"):
            self._publishers["targets"].publish(pose_array(result))
        if self._heard("detections"):
            self._publishers["detections"].publish(detection_array(result, vision_msgs))
        if self._heard("answer"):
            self._publishers["answer"].publish(String(data=result.answer))


def _can_be_read(message: PointCloud2) -> bool:
    try:
        read_cloud(message, copy=False)
    except SegPointError:
        return False
    return True


def detection_array(result: Result, messages: ModuleType) -> Any:
    """The targets as a Detection3DArray, in the order of their labels.

    A detection's id is the target's label, which tracking keeps; its one hypothesis has the name that the language
    model gave as class_id, the target's score, and the box's pose without a covariance.

    messages: the module vision_msgs.msg (version 4).
    """
    detections = []
    for target in result.targets:
        centre = pose(target.instance.centre, target.instance.orientation)
        hypothesis = messages.ObjectHypothesisWithPose(
            hypothesis=messages.ObjectHypothesis(class_id=target.name, score=target.instance.score),
            pose=PoseWithCovariance(pose=centre),
        )
        detections.append(
            messages.Detection3D(
                header=result.message.header,
                results=[hypothesis],
                bbox=messages.BoundingBox3D(center=centre, size=size_of(target.instance)),
                id=str(target.label),
            )
        )
    return messages.Detection3DArray(header=result.message.header, detections=detections)
