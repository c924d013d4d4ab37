"""Clicks and boxes as RViz and programs publish them: what is refused, and where in a cloud the others are."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time as Stamp  # noqa: E402
from geometry_msgs.msg import Point, PointStamped, Pose, Quaternion, TransformStamped, Vector3  # noqa: E402
from rclpy.clock import ClockType  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.time import Time  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint_ros.place import Pointing, take_box, take_click  # noqa: E402
from segpoint_ros.transforms import TOLERANCE, HeardTransforms  # noqa: E402

NAN, INF = float("nan"), float("inf")
NOW = Stamp(sec=100)
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def context(ros_environment) -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(ros_environment["ROS_DOMAIN_ID"]))
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def node(context) -> Iterator[Node]:
    node = rclpy.create_node("camera", context=context)
    yield node
    node.destroy_node()


def click(frame: str, x: float = 0.1, y: float = 0.2, z: float = 0.8, before: Pointing | None = None) -> Pointing:
    return take_click(PointStamped(header=Header(frame_id=frame), point=Point(x=x, y=y, z=z)), before)


def cube(frame="camera", position=(0.0, 0.0, 1.0), orientation=UPRIGHT, scale=(0.2, 0.4, 0.6), **more) -> Marker:
    return Marker(
        header=Header(frame_id=frame),
        pose=Pose(
            position=Point(**dict(zip("xyz", position, strict=True))),
            orientation=Quaternion(**dict(zip("xyzw", orientation, strict=True))),
        ),
        scale=Vector3(**dict(zip("xyz", scale, strict=True))),
        **{"type": Marker.CUBE, **more},
    )


class NoTransforms:
    """For what must not ask for a transform."""

    def lookup(self, *arguments: object) -> None:
        raise AssertionError(f"asked for the transform {arguments}")


# What the messages say


@pytest.mark.parametrize(
    ("clicked", "cloud"), [("camera", "camera"), ("/camera", "camera"), ("camera", "/camera"), ("", "camera"), ("", "")]
)
def test_a_click_in_the_clouds_own_frame_needs_no_transform(clicked, cloud) -> None:
    place = click(clicked).in_frame(cloud, NOW, NoTransforms())
    assert place.clicks.tolist() == [[0.1, 0.2, 0.8]] and place.box is None


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_click_that_is_nowhere_is_refused(bad) -> None:
    with pytest.raises(SegPointError, match=r"finite coordinates in metres, got \[0.1, 0.2, -?(nan|inf)\]"):
        click("camera", z=bad)


def test_a_click_takes_the_place_of_the_one_before_and_stands_beside_a_box() -> None:
    pointing = take_box(cube(), click("camera", x=0.0))
    pointing = click("camera", x=0.05, y=0.0, z=1.0, before=pointing)
    place = pointing.in_frame("camera", NOW, NoTransforms())
    assert place.clicks.tolist() == [[0.05, 0.0, 1.0]]
    np.testing.assert_allclose(place.box, [-0.1, -0.2, 0.7, 0.1, 0.2, 1.3], atol=1e-12)
    assert str(pointing) == "click [0.05, 0, 1] in 'camera' and box [-0.1, -0.2, 0.7] to [0.1, 0.2, 1.3] in 'camera'"


def test_a_pointing_may_hold_several_clicks() -> None:
    (first,), (second,) = click("camera").clicks, click("", x=0.3).clicks
    place = Pointing((first, second)).in_frame("camera", NOW, NoTransforms())
    assert place.clicks.tolist() == [[0.1, 0.2, 0.8], [0.3, 0.2, 0.8]]
    with pytest.raises(SegPointError, match="1 to 8 clicks"):
        Pointing((first,) * 9).in_frame("camera", NOW, NoTransforms())


def test_a_click_outside_the_box_beside_it_is_refused() -> None:
    pointing = take_box(cube(), click("camera", x=0.5))
    with pytest.raises(SegPointError, match="lies outside the box"):
        pointing.in_frame("camera", NOW, NoTransforms())


@pytest.mark.parametrize("length", [1.0, 0.01, 1e-200, 1e200])
def test_a_turned_box_becomes_the_one_along_the_axes_around_it(length) -> None:
    turn = Rotation.from_euler("xyz", [20, -35, 50], degrees=True)
    pointing = take_box(cube(position=(1.0, 2.0, 3.0), orientation=tuple(turn.as_quat() * length)), None)
    surface = np.random.default_rng(0).uniform(-0.5, 0.5, (20000, 3)) * [0.2, 0.4, 0.6]
    surface = turn.apply(surface) + [1.0, 2.0, 3.0]
    box = pointing.in_frame("camera", NOW, NoTransforms()).box
    assert (surface >= box[:3]).all() and (surface <= box[3:]).all()
    reach = np.abs(turn.as_matrix()) @ [0.1, 0.2, 0.3]  # of a box along each axis
    np.testing.assert_allclose(box, [*([1, 2, 3] - reach), *([1, 2, 3] + reach)], atol=1e-9)


@pytest.mark.parametrize(
    ("marker", "complaint"),
    [
        (cube(type=Marker.SPHERE), r"expected a marker of type 1 \(CUBE\).*got type 2 with action 0"),
        (cube(action=1), "got type 1 with action 1"),
        (cube(scale=(0.2, 0.0, 0.6)), r"scale is above 0 in all three axes, in metres, got \[0.2, 0, 0.6\]"),
        (cube(scale=(0.2, -0.4, 0.6)), "scale is above 0"),
        (cube(scale=(NAN, 0.4, 0.6)), "scale is above 0"),
        (cube(position=(0.0, NAN, 1.0)), r"finite pose, got position \[0, nan, 1\]"),
        (cube(orientation=(0.0, INF, 0.0, 1.0)), "finite pose.*orientation"),
        (cube(orientation=(0.0, 0.0, 0.0, 0.0)), "quaternion of length 0.*set w to 1"),
        (cube(frame=""), "frame_id that its pose is in, got none"),
        (cube(frame="/"), "frame_id that its pose is in, got none"),
    ],
)
def test_a_box_that_is_none_is_refused(marker, complaint) -> None:
    with pytest.raises(SegPointError, match=complaint) as refusal:
        take_box(marker, click("camera"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("action", [Marker.DELETE, Marker.DELETEALL])
def test_a_box_is_taken_away_whatever_else_the_message_says(action) -> None:
    both = take_box(cube(), click("camera"))
    away = Marker(action=action)
    assert take_box(away, take_box(cube(), None)) is None
    assert take_box(away, None) is None
    left = take_box(away, both)
    assert left.box is None and left.clicks == both.clicks


# Without tf2


def test_without_tf2_another_frame_is_refused_with_what_to_do(node, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    before = len(list(node.subscriptions))
    transforms = HeardTransforms(node)
    with pytest.raises(SegPointError) as refusal:
        click("map").in_frame("/camera", NOW, transforms)
    message = str(refusal.value)
    assert "the click is in frame 'map' and the cloud in 'camera', and tf2_ros is not installed" in message
    assert "in RViz set Fixed Frame to 'camera'" in message and "install ros-jazzy-tf2-ros-py" in message
    assert click("camera").in_frame("camera", NOW, transforms).clicks is not None
    assert len(list(node.subscriptions)) == before
    transforms.destroy()


# A stand-in for tf2, which has a transform or fails as it is told


TransformException = type("TransformException", (Exception,), {})
LookupException = type("LookupException", (TransformException,), {})
ExtrapolationException = type("ExtrapolationException", (TransformException,), {})


class StandInBuffer:
    """A camera 1 m along x from the map's origin, looking along y, whose newest transform is of ``newest`` seconds."""

    newest = 100.0

    def lookup_transform(self, target: str, source: str, when: Time, timeout: object = None) -> TransformStamped:
        if "unknown" in (target, source):
            raise LookupException(f'"{source}" passed to lookupTransform argument source_frame\ndoes not exist. ')
        if when.nanoseconds not in (0, int(self.newest * 1e9)):
            raise ExtrapolationException(f"requested {when.nanoseconds}, but the latest data is of {self.newest}")
        assert (target, source) == ("camera", "map")  # without slashes, which tf2 refuses
        found = TransformStamped()
        found.header.stamp = Time(nanoseconds=int(self.newest * 1e9)).to_msg()
        found.transform.translation.y = 1.0
        found.transform.rotation.z, found.transform.rotation.w = -(0.5**0.5), 0.5**0.5
        return found

    def clear(self) -> None:
        pass


@pytest.fixture
def stand_in(node, monkeypatch) -> Iterator[HeardTransforms]:
    tf2_ros = ModuleType("tf2_ros")
    for kind in (TransformException, LookupException, ExtrapolationException):
        setattr(tf2_ros, kind.__name__, kind)
    tf2_ros.Buffer = StandInBuffer
    tf2_ros.TransformListener = lambda buffer, node: SimpleNamespace(unregister=lambda: None)
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2_ros)
    transforms = HeardTransforms(node)
    yield transforms
    transforms.destroy()
    transforms.destroy()  # which does nothing


def test_tf2s_reason_comes_in_one_line(stand_in) -> None:
    with pytest.raises(SegPointError) as refusal:
        take_box(cube("unknown"), None).in_frame("camera", NOW, stand_in)
    assert str(refusal.value) == (
        "the box is in frame 'unknown' and the cloud in 'camera', and tf2 has no transform: "
        '"unknown" passed to lookupTransform argument source_frame does not exist.'
    )


@pytest.mark.parametrize("stamp", [Stamp(), Stamp(sec=-5), Stamp(sec=100), Stamp(sec=100, nanosec=400_000_000)])
def test_the_newest_transform_serves_a_cloud_without_a_stamp_or_little_older(stand_in, stamp) -> None:
    place = click("/map", x=1.1, y=2.0).in_frame("/camera", stamp, stand_in)
    np.testing.assert_allclose(place.clicks, [[2.0, -0.1, 0.8]])


@pytest.mark.parametrize("sec", [99, 101, 5000])
def test_a_transform_of_another_time_is_refused(stand_in, sec) -> None:
    with pytest.raises(SegPointError, match="tf2 has no transform: requested .* latest data is of 100"):
        click("map").in_frame("camera", Stamp(sec=sec), stand_in)


# The real tf2, over DDS


class Robot:
    """A camera that drives along the map's x axis at 1 m/s, looking along it, and tells so on /tf and /tf_static."""

    LOOK = Rotation.from_euler("z", 30, degrees=True)
    OPTICAL = Rotation.from_quat([-0.5, 0.5, -0.5, 0.5])
    MOUNT = np.array([0.0, 0.0, 0.5])

    def __init__(self, context: rclpy.Context) -> None:
        import tf2_ros

        self.node = rclpy.create_node("robot", context=context)
        self._moving = tf2_ros.TransformBroadcaster(self.node)
        self._fixed = tf2_ros.StaticTransformBroadcaster(self.node)

    def tell_mount(self) -> None:
        self._fixed.sendTransform(self._transform("base", "camera", 0.0, self.MOUNT, self.OPTICAL))

    def tell_position(self, seconds: float) -> None:
        self._moving.sendTransform(self._transform("map", "base", seconds, np.array([seconds, 0, 0]), self.LOOK))

    def see(self, point: np.ndarray, seconds: float) -> np.ndarray:
        """Where the camera sees a point of the map."""
        base = self.LOOK.inv().apply(point - [seconds, 0, 0])
        return self.OPTICAL.inv().apply(base - self.MOUNT)

    @staticmethod
    def _transform(parent: str, child: str, seconds: float, shift: np.ndarray, turn: Rotation) -> TransformStamped:
        message = TransformStamped(header=Header(frame_id=parent, stamp=stamp_of(seconds)), child_frame_id=child)
        message.transform.translation = Vector3(**dict(zip("xyz", map(float, shift), strict=True)))
        message.transform.rotation = Quaternion(**dict(zip("xyzw", turn.as_quat().tolist(), strict=True)))
        return message


def stamp_of(seconds: float) -> Stamp:
    return Time(nanoseconds=round(seconds * 1e9)).to_msg()


@pytest.fixture
def spun(context, node) -> Iterator[Node]:
    """The node, with a thread of the test's as the one that spins it."""
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.02)

    thread = threading.Thread(target=spin)
    thread.start()
    yield node
    stop.set()
    thread.join()
    executor.shutdown()


def heard(node: Node) -> set[str]:
    """The topics of transforms that a node listens to."""
    return {"/tf", "/tf_static"} & {subscription.topic_name for subscription in node.subscriptions}


def eventually(attempt: Callable[[], object], patience: float = 20.0) -> None:
    """Until it raises no SegPointError: publishers and subscriptions take their time to find each other."""
    end = time.monotonic() + patience
    while True:
        try:
            attempt()
            return
        except SegPointError:
            if time.monotonic() > end:
                raise


def test_real_transforms(spun, context, monkeypatch) -> None:
    pytest.importorskip("tf2_ros")
    threads = threading.active_count()
    transforms = HeardTransforms(spun)
    robot = Robot(context)
    try:
        click("camera").in_frame("camera", NOW, transforms)
        assert not heard(spun)  # nothing is listened to that nobody needs
        thing = np.array([12.0, 3.0, 0.4])
        pointing = click("map", *map(float, thing))
        robot.tell_mount()
        eventually(lambda: transforms.lookup("camera", "base", NOW))
        assert heard(spun) == {"/tf", "/tf_static"}
        assert threading.active_count() == threads  # the node's executor serves it

        def drive() -> None:
            for tenth in range(41):
                robot.tell_position(6.0 + tenth / 10)
            transforms.lookup("camera", "map", stamp_of(10.0))

        eventually(drive)

        # Driving past a thing: it stays where it is, also between two transforms and a little before the next.
        def seen(seconds: float) -> np.ndarray:
            return pointing.in_frame("camera", stamp_of(seconds), transforms).clicks[0]

        for seconds in (6.0, 7.234, 9.95, 10.0):
            np.testing.assert_allclose(seen(seconds), robot.see(thing, seconds), atol=1e-6)
        np.testing.assert_allclose(seen(0.0), robot.see(thing, 10.0), atol=1e-6)  # no stamp: the newest
        np.testing.assert_allclose(seen(10.0 + 0.9 * TOLERANCE), robot.see(thing, 10.0), atol=1e-6)
        for seconds in (5.0, 10.0 + 1.5 * TOLERANCE, 500.0):
            with pytest.raises(SegPointError, match="tf2 has no transform: Lookup would require extrapolation"):
                seen(seconds)

        # One that comes a little later than its cloud is waited for.
        with monkeypatch.context() as patient:
            patient.setattr("segpoint_ros.transforms.WAIT", 20.0)  # this machine may be busy
            later = threading.Timer(0.1, robot.tell_position, [10.4])
            later.start()
            np.testing.assert_allclose(seen(10.3), robot.see(thing, 10.3), atol=1e-6)
            later.join()
        # A box of the map, turned in the camera's axes; and a click in the camera's frame beside it.
        scale = np.array([0.2, 0.3, 0.4])
        box = take_box(cube("/map", tuple(map(float, thing)), scale=tuple(scale.tolist())), None)
        both = click("camera", *map(float, robot.see(thing, 8.0)), before=box)
        place = both.in_frame("/camera", stamp_of(8.0), transforms)
        np.testing.assert_allclose(place.clicks[0], robot.see(thing, 8.0), atol=1e-6)
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * scale / 2 + thing
        corners = np.array([robot.see(corner, 8.0) for corner in corners])
        np.testing.assert_allclose(place.box, [*corners.min(axis=0), *corners.max(axis=0)], atol=1e-6)
        with pytest.raises(SegPointError, match="the click is in frame 'moon' and the cloud in 'camera', and tf2 has"):
            click("moon").in_frame("camera", NOW, transforms)
    finally:
        transforms.destroy()
        transforms.destroy()
        assert not heard(spun)
        robot.node.destroy_node()


def test_real_transforms_after_a_bag_begins_again(spun, context) -> None:
    pytest.importorskip("tf2_ros")
    from rosgraph_msgs.msg import Clock

    spun.set_parameters([Parameter("use_sim_time", value=True)])
    transforms = HeardTransforms(spun)
    robot = Robot(context)
    clock = robot.node.create_publisher(Clock, "/clock", 1)
    try:
        robot.tell_mount()

        def play(seconds: float) -> None:
            clock.publish(Clock(clock=stamp_of(seconds)))
            assert spun.get_clock().clock_type == ClockType.ROS_TIME
            robot.tell_position(seconds)
            transforms.lookup("camera", "map", stamp_of(seconds))

        eventually(lambda: play(1000.0))
        eventually(lambda: play(10.0))
        rotation, translation = transforms.lookup("camera", "map", stamp_of(10.0))
        np.testing.assert_allclose(
            rotation @ [12, 3, 1] + translation, robot.see(np.array([12, 3, 1]), 10.0), atol=1e-6
        )
    finally:
        transforms.destroy()
        robot.node.destroy_node()
