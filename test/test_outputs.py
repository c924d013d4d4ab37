"""What is published arrives over DDS as it should, nothing is computed for nobody, and QoS can be overridden."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time  # noqa: E402
from geometry_msgs.msg import Pose, PoseArray, PoseWithCovariance, Vector3  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint.instances import Instance  # noqa: E402
from segpoint.segmenter import Segmentation  # noqa: E402
from segpoint_ros import outputs as module  # noqa: E402
from segpoint_ros.outputs import Outputs, detection_array  # noqa: E402
from segpoint_ros.pointcloud2 import make_cloud, points_of, read_cloud  # noqa: E402
from segpoint_ros.result import LABELS_EACH, Result, make_result  # noqa: E402
from segpoint_ros.settings import Markers, Parameters  # noqa: E402
from segpoint_ros.tracking import Tracker  # noqa: E402

PATIENCE = 20.0  # seconds; a loaded machine discovers slowly
KINDS = {"points": PointCloud2, "filtered": PointCloud2, "markers": MarkerArray, "targets": PoseArray, "answer": String}
SETTINGS = Parameters(markers=Markers(lifetime=2.0, text_height=0.1))
TURN = np.array([0.0, 0.0, 0.6, 0.8])


class Talker(LifecycleNode):
    """A node that has nothing but outputs, as it is configured, and again after it was cleaned up."""

    def __init__(self, context: rclpy.Context, overrides: dict[str, object]) -> None:
        given = [Parameter(name, value=value) for name, value in overrides.items()]
        super().__init__("segpoint", context=context, parameter_overrides=given)
        self.outputs: Outputs | None = None

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        self.outputs = Outputs(self)
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        assert self.outputs is not None
        self.outputs.destroy()
        return TransitionCallbackReturn.SUCCESS


class Listener:
    """Another participant that keeps the last message of each topic it listens to."""

    def __init__(self, context: rclpy.Context) -> None:
        self.node = Node("listener", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self.heard: dict[str, Any] = {}

    def listen(self, *names: str, qos: QoSProfile | int = 1) -> None:
        for name in names:
            keep = lambda message, name=name: self.heard.update({name: message})  # noqa: E731
            self.node.create_subscription(KINDS[name], f"/segpoint/output/{name}", keep, qos)

    def wait(self, *names: str, after: Callable[[], None]) -> None:
        """Do ``after`` again and again until something came on each of the topics."""
        end = time.monotonic() + PATIENCE
        while not self.heard.keys() >= set(names):
            assert time.monotonic() < end, f"only {sorted(self.heard)} came, expected {names}"
            after()
            again = time.monotonic() + 0.3
            while time.monotonic() < again and not self.heard.keys() >= set(names):
                self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def context(ros_environment) -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(ros_environment["ROS_DOMAIN_ID"]))
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def start(context) -> Iterator[Callable[..., Talker]]:
    """Makes an active node, with parameters if need be."""
    nodes: list[Talker] = []

    def start(**overrides: object) -> Talker:
        nodes.append(Talker(context, overrides))
        assert nodes[-1].trigger_configure() == nodes[-1].trigger_activate() == TransitionCallbackReturn.SUCCESS
        return nodes[-1]

    yield start
    for node in nodes:
        node.destroy_node()


@pytest.fixture
def listener(context) -> Iterator[Listener]:
    listener = Listener(context)
    yield listener
    listener.close()


def a_result(second: int = 7) -> Result:
    """A cloud of 600 points with two mugs and a bowl."""
    rng = np.random.default_rng(second)
    xyz, rgb = rng.normal(size=(600, 3)).astype(np.float32), rng.integers(0, 256, (600, 3)).astype(np.uint8)
    message = make_cloud(Header(frame_id="camera", stamp=Time(sec=second)), xyz, rgb, width=30, height=20)

    def segmentation(text: str, score: float, *parts: range) -> Segmentation:
        instances = [
            Instance(np.array([k, 1.0, 2.0]), np.array([0.1, 0.2, 0.3]), TURN, score, np.array(part))
            for k, part in enumerate(parts)
        ]
        mask = np.isin(np.arange(600), np.concatenate(parts)) if parts else np.zeros(600, bool)
        return Segmentation(mask, np.full(600, score, np.float32), text, instances, {})

    found = [
        segmentation("mug <SEG>.", 0.75, range(0, 50), range(100, 120)),
        segmentation("There is no mask.", 0.0),
        segmentation("bowl <SEG>.", 0.5, range(300, 400)),
    ]
    return make_result(message, "optical", ["mugs", "a cat", "the bowl"], found, Tracker(), Parameters())


def test_every_subscriber_gets_its_message(start, listener) -> None:
    outputs, result = start().outputs, a_result()
    assert not outputs.wanted
    listener.listen(*KINDS)
    listener.wait(*KINDS, after=lambda: outputs.publish(result, SETTINGS))
    assert outputs.wanted
    points, filtered, markers, targets, answer = (listener.heard[name] for name in KINDS)
    for message in (points, filtered, targets, *markers.markers):
        assert message.header == result.message.header

    assert (points.width, points.height) == (30, 20)
    fields = points_of(points).reshape(-1)
    assert fields.dtype.names == ("x", "y", "z", "rgb", "label", "score")
    np.testing.assert_array_equal(fields["label"], result.label)
    np.testing.assert_array_equal(fields["score"], result.score)
    assert sorted(set(fields["label"].tolist())) == [0, 1, 2, 2 * LABELS_EACH + 1]
    before, after = read_cloud(result.message).rgb, read_cloud(points).rgb
    np.testing.assert_array_equal(after[result.label == 0], before[result.label == 0])
    for target in result.targets:
        mixed = 0.7 * np.array(target.colour) + (1 - 0.7) * before[target.instance.indices]
        np.testing.assert_array_equal(after[target.instance.indices], mixed.astype(np.uint8))

    assert (filtered.height, filtered.width, filtered.fields) == (1, 170, points.fields)
    assert points_of(filtered).tobytes() == fields[result.label > 0].tobytes()

    boxes = {marker.id: marker for marker in markers.markers if marker.ns == "box"}
    assert list(boxes) == [1, 2, 2 * LABELS_EACH + 1]
    assert {marker.lifetime.sec for marker in markers.markers[1:]} == {2}
    assert {marker.scale.z for marker in markers.markers if marker.ns in ("text", "instruction")} == {0.1}
    assert [pose.position.x for pose in targets.poses] == [0.0, 1.0, 0.0]
    assert targets.poses == [boxes[target.label].pose for target in result.targets]
    assert answer.data == "mug <SEG>.\nThere is no mask.\nbowl <SEG>."


def test_nothing_is_computed_for_nobody(start, listener, monkeypatch) -> None:
    computed: list[str] = []
    made: list[Any] = []

    def count(name: str, original: Callable[..., Any]) -> None:
        def counted(*args: Any, **options: Any) -> Any:
            computed.append(name)
            made.append(original(*args, **options))
            return made[-1]

        monkeypatch.setattr(module, name, counted)

    for name in ("label_cloud", "target_cloud", "target_markers", "pose_array"):
        count(name, getattr(module, name))
    outputs, result = start().outputs, a_result()
    outputs.publish(result, SETTINGS)
    outputs.clear(result.message, "optical", SETTINGS)
    assert not computed and "label" not in vars(result)

    listener.listen("answer")
    listener.wait("answer", after=lambda: outputs.publish(result, SETTINGS))
    assert outputs.wanted and not computed and "label" not in vars(result)

    listener.listen("targets")
    listener.wait("targets", after=lambda: outputs.publish(result, SETTINGS))
    assert set(computed) == {"pose_array"} and "label" not in vars(result)

    listener.listen("filtered")
    listener.wait("filtered", after=lambda: outputs.publish(result, SETTINGS))
    assert set(computed) == {"pose_array", "label_cloud", "target_cloud"}

    listener.listen("points")
    listener.wait("points", after=lambda: outputs.publish(result, SETTINGS))
    computed.clear()
    made.clear()
    outputs.publish(result, SETTINGS)
    outputs.publish(a_result(8), SETTINGS)
    assert computed == 2 * ["label_cloud", "target_cloud", "pose_array"]  # one labelled cloud for both topics
    assert made[0] is made[3]  # the message before, written over


def test_clear_says_that_nothing_is_there(start, listener) -> None:
    outputs, result = start().outputs, a_result()
    listener.listen(*KINDS)
    listener.wait(*KINDS, after=lambda: outputs.publish(result, SETTINGS))
    listener.heard.clear()
    listener.wait(*KINDS, after=lambda: outputs.clear(result.message, "optical", SETTINGS))
    points, filtered, markers, targets, answer = (listener.heard[name] for name in KINDS)
    assert points.header == filtered.header == targets.header == result.message.header
    cleared = points_of(points)
    assert not cleared["label"].any() and not cleared["score"].any()
    np.testing.assert_array_equal(read_cloud(points).rgb, read_cloud(result.message).rgb)
    assert filtered.width == 0 and targets.poses == [] and answer.data == ""
    assert [marker.action for marker in markers.markers] == [Marker.DELETEALL]


@pytest.mark.parametrize("kind", ["none", "four billion points", "no coordinates"])
def test_clear_without_a_cloud_that_can_be_read(start, listener, kind) -> None:
    message = {
        "none": None,
        "four billion points": PointCloud2(width=2**32 - 1, height=2**32 - 1, point_step=16),
        "no coordinates": PointCloud2(width=1, height=1, point_step=4, row_step=4, data=bytes(4)),
    }[kind]
    outputs = start().outputs
    listener.listen(*KINDS)
    rest = ("markers", "targets", "answer")
    listener.wait(*rest, after=lambda: outputs.clear(message, "body", SETTINGS))
    assert [marker.action for marker in listener.heard["markers"].markers] == [Marker.DELETEALL]
    assert listener.heard["targets"].poses == [] and listener.heard["answer"].data == ""
    assert listener.heard.keys() == set(rest)


def test_qos_overrides_count_each_time_it_is_configured(start, listener) -> None:
    prefix = "qos_overrides./segpoint/output"
    talker = start(
        **{
            f"{prefix}/points.publisher.reliability": "best_effort",
            f"{prefix}/points.publisher.depth": 3,
            f"{prefix}/markers.publisher.history": "keep_all",
        }
    )
    listener.listen("points", qos=QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))  # in vain
    listener.listen("answer", "markers")
    for _ in range(3):
        for name in KINDS:
            (publisher,) = talker.get_publishers_info_by_topic(f"/segpoint/output/{name}")
            expected = ReliabilityPolicy.BEST_EFFORT if name == "points" else ReliabilityPolicy.RELIABLE
            assert publisher.qos_profile.reliability == expected, name
        profiles = {publisher.topic_name.split("/")[-1]: publisher.qos_profile for publisher in talker.publishers}
        assert [profiles[name].depth for name in KINDS] == [3, 1, 1, 1, 1]
        assert [name for name in KINDS if profiles[name].history == HistoryPolicy.KEEP_ALL] == ["markers"]
        listener.wait("answer", "markers", after=lambda: talker.outputs.publish(a_result(), SETTINGS))
        assert "points" not in listener.heard
        listener.heard.clear()
        assert talker.trigger_deactivate() == talker.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert not talker.outputs.wanted
        assert not any(talker.count_publishers(f"/segpoint/output/{name}") for name in KINDS)
        assert talker.trigger_configure() == talker.trigger_activate() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize(
    ("policy", "value"), [("reliability", "realiable"), ("reliability", 1), ("depth", -1), ("depth", 1 << 40)]
)
def test_a_qos_override_that_makes_no_sense_is_refused(context, policy, value) -> None:
    name = f"qos_overrides./segpoint/output/targets.publisher.{policy}"
    talker = Talker(context, {name: value})
    for _ in range(2):
        with pytest.raises(SegPointError) as error:
            Outputs(talker)
        assert name.removesuffix(policy) in str(error.value) and "\n" not in str(error.value)
        assert not any(talker.count_publishers(f"/segpoint/output/{topic}") for topic in KINDS)
    talker.destroy_node()


# Stand-ins for vision_msgs 4, which is not installed everywhere: the same fields, and no others.


@dataclasses.dataclass(slots=True)
class ObjectHypothesis:
    class_id: str = ""
    score: float = 0.0


@dataclasses.dataclass(slots=True)
class ObjectHypothesisWithPose:
    hypothesis: ObjectHypothesis = dataclasses.field(default_factory=ObjectHypothesis)
    pose: PoseWithCovariance = dataclasses.field(default_factory=PoseWithCovariance)


@dataclasses.dataclass(slots=True)
class BoundingBox3D:
    center: Pose = dataclasses.field(default_factory=Pose)
    size: Vector3 = dataclasses.field(default_factory=Vector3)


@dataclasses.dataclass(slots=True)
class Detection3D:
    header: Header = dataclasses.field(default_factory=Header)
    results: list[ObjectHypothesisWithPose] = dataclasses.field(default_factory=list)
    bbox: BoundingBox3D = dataclasses.field(default_factory=BoundingBox3D)
    id: str = ""


@dataclasses.dataclass(slots=True)
class Detection3DArray:
    header: Header = dataclasses.field(default_factory=Header)
    detections: list[Detection3D] = dataclasses.field(default_factory=list)


STAND_IN = SimpleNamespace(
    ObjectHypothesis=ObjectHypothesis,
    ObjectHypothesisWithPose=ObjectHypothesisWithPose,
    BoundingBox3D=BoundingBox3D,
    Detection3D=Detection3D,
    Detection3DArray=Detection3DArray,
)


def check_detections(array: Any, result: Result) -> None:
    assert array.header == result.message.header
    assert [detection.id for detection in array.detections] == ["1", "2", "2001"]
    assert [detection.results[0].hypothesis.class_id for detection in array.detections] == ["mug", "mug", "bowl"]
    assert [detection.results[0].hypothesis.score for detection in array.detections] == [0.75, 0.75, 0.5]
    for detection, target in zip(array.detections, result.targets, strict=True):
        assert detection.header == result.message.header and len(detection.results) == 1
        centre, turn, size = detection.bbox.center.position, detection.bbox.center.orientation, detection.bbox.size
        np.testing.assert_allclose([centre.x, centre.y, centre.z], target.instance.centre)
        np.testing.assert_allclose([turn.x, turn.y, turn.z, turn.w], TURN)
        np.testing.assert_allclose([size.x, size.y, size.z], target.instance.size)
        assert detection.results[0].pose.pose == detection.bbox.center
        assert not np.any(detection.results[0].pose.covariance)


def test_targets_as_detections() -> None:
    result = a_result()
    check_detections(detection_array(result, STAND_IN), result)
    assert detection_array(Result(result.message, "optical"), STAND_IN).detections == []


def test_detections_arrive_where_vision_msgs_is_installed(start, listener, monkeypatch) -> None:
    vision_msgs = pytest.importorskip("vision_msgs.msg")
    outputs, result = start().outputs, a_result()
    monkeypatch.setitem(KINDS, "detections", vision_msgs.Detection3DArray)
    listener.listen("detections")
    listener.wait("detections", after=lambda: outputs.publish(result, SETTINGS))
    check_detections(listener.heard["detections"], result)
