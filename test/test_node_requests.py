"""What can be asked of the real node: several things at once, nothing any more, and things pointed at."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.qos import DurabilityPolicy  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from segpoint.prompts import NO_MASK  # noqa: E402
from segpoint_ros.inputs import reliable_qos  # noqa: E402
from segpoint_ros.pointcloud2 import points_of, read_cloud  # noqa: E402
from segpoint_ros.result import LABELS_EACH  # noqa: E402
from segpoint_training.demo import INSTRUCTION, TARGET  # noqa: E402
from segpoint_training.scenes.scene import Scene, SceneObject  # noqa: E402

FRAME = "camera_depth_optical_frame"


@pytest.fixture(scope="module", autouse=True)
def active(robot) -> None:
    robot.wait_for_active()


def labels(cloud: PointCloud2) -> np.ndarray:
    return points_of(cloud)["label"].ravel()


def the(category: str, scene: Scene) -> SceneObject:
    return next(thing for thing in scene.objects if thing.category == category)


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def boxes(robot) -> dict[int, Marker]:
    return {marker.id: marker for marker in robot.markers[-1].markers if marker.ns == "box"}


def test_several_at_a_time_have_a_label_range_and_a_colour_each(robot, scene, cloud) -> None:
    robot.say("pick up the mug; the table\nthe elephant")
    points, markers, answer = robot.ask(cloud)
    assert len(answer.splitlines()) == 3 and TARGET in answer.splitlines()[0] and answer.splitlines()[2] == NO_MASK
    label = labels(points)
    asked = {int(number) // LABELS_EACH for number in np.unique(label[label > 0])}
    assert asked == {0, 1}
    mug = (label > 0) & (label < LABELS_EACH)
    assert iou(mug, scene.instance == the("mug", scene).id) > 0.3
    colours = [
        {(m.color.r, m.color.g, m.color.b) for m in markers.markers if m.ns == "box" and m.id // LABELS_EACH == i}
        for i in (0, 1)
    ]
    assert all(colours) and not colours[0] & colours[1]
    changed = read_cloud(points).rgb[mug].astype(int).mean(axis=0)
    assert changed[0] > changed[1] + 30, "the first one's colour is the red of output.highlight_color"


def test_an_empty_instruction_clears_once(robot, cloud) -> None:
    robot.say(INSTRUCTION)
    robot.ask(cloud)
    robot.listen(0.5)
    robot.points.clear()
    robot.answers.clear()
    robot.targets.clear()
    robot.say("")
    robot.wait(lambda: robot.points and robot.answers and robot.targets, "the empty result")
    assert labels(robot.points[-1]).max() == 0 and robot.points[-1].header.stamp == cloud.header.stamp
    assert robot.answers == [""] and robot.targets[-1].poses == []
    assert [m.action for m in robot.markers[-1].markers][0] == Marker.DELETEALL and not boxes(robot)
    robot.show(cloud)
    robot.listen(1.5)
    assert len(robot.points) == len(robot.answers) == 1, "once"


def test_a_click_alone_and_then_words_again(robot, scene, cloud) -> None:
    mug = the("mug", scene).id
    robot.say("")
    robot.ask_nothing(cloud)
    on_it = scene.xyz[scene.instance == mug]
    robot.click(FRAME, *on_it[np.linalg.norm(on_it - np.median(on_it, axis=0), axis=1).argmin()])
    robot.wait(lambda: robot.points and labels(robot.points[-1]).any(), "answer to the click")
    assert iou(labels(robot.points[-1]) > 0, scene.instance == mug) > 0.5
    points, _, _ = robot.ask(cloud)
    assert iou(labels(points) > 0, scene.instance == mug) > 0.5, "it stands"
    robot.say_until_heard("the table")
    points, _, answer = robot.ask(cloud)
    assert "table" in answer and iou(labels(points) > 0, scene.instance == mug) < 0.2, "until something else is said"


def test_a_box_and_its_end(robot, scene, cloud) -> None:
    mug = the("mug", scene)
    robot.say("")
    robot.ask_nothing(cloud)
    xyz = scene.xyz[scene.instance == mug.id]
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    box = Marker(type=Marker.CUBE, action=Marker.ADD)
    box.header.frame_id = FRAME
    box.pose.position.x, box.pose.position.y, box.pose.position.z = ((low + high) / 2).astype(float)
    box.scale.x, box.scale.y, box.scale.z = (high - low + 0.02).astype(float)
    box.pose.orientation.w = 1.0
    robot.draw(box)
    robot.wait(lambda: robot.points and labels(robot.points[-1]).any(), "answer to the box")
    assert iou(labels(robot.points[-1]) > 0, scene.instance == mug.id) > 0.5
    robot.points.clear()
    robot.draw(Marker(action=Marker.DELETEALL))
    robot.wait(lambda: robot.points and not labels(robot.points[-1]).any(), "the empty result")


def test_a_place_that_cannot_be_used_costs_a_line(robot, process, cloud, log) -> None:
    robot.say(INSTRUCTION)
    robot.ask(cloud)
    robot.click("gripper", 0, 0, 0.1)
    robot.wait(lambda: "the click is in frame 'gripper' and the cloud in" in log.read_text(), "complaint")
    if find_spec("tf2_ros") is None:  # it could never be used: what was asked goes on
        _, _, answer = robot.ask(cloud)
        assert TARGET in answer
    robot.click(FRAME, float("nan"), 0, 0)
    robot.wait(lambda: "finite coordinates" in log.read_text(), "complaint")
    robot.draw(Marker(type=Marker.SPHERE))
    robot.wait(lambda: "expected a marker of type 1 (CUBE)" in log.read_text(), "complaint")
    robot.click(FRAME, 50, 50, 50)
    robot.wait(lambda: "nothing of the cloud is at the click" in log.read_text(), "complaint")
    robot.say(INSTRUCTION)  # which is about the whole cloud again
    _, _, answer = robot.ask(cloud)
    assert TARGET in answer and process.poll() is None and "Traceback" not in log.read_text()


def test_a_click_lasts_as_long_as_it_is_let(robot, scene, cloud) -> None:
    assert robot.set_parameter("place.lifetime", 1.0) == ""
    robot.say("")
    robot.ask_nothing(cloud)
    robot.click(FRAME, *np.median(scene.xyz[scene.instance == the("mug", scene).id], axis=0))
    robot.wait(lambda: robot.points, "answer to the click")
    robot.wait(lambda: not labels(robot.points[-1]).any() and robot.answers[-1] == "", "the empty result")
    assert robot.set_parameter("place.lifetime", 0.0) == ""


def test_parameters_change_the_next_answer(robot, scene, cloud) -> None:
    robot.say(INSTRUCTION)
    points, _, _ = robot.ask(cloud)
    usual = labels(points)
    assert usual.any()
    try:
        assert robot.set_parameter("mask.threshold", 0.9) == ""
        assert (labels(robot.ask(cloud)[0]) > 0).sum() < (usual > 0).sum()
        assert robot.set_parameter("mask.threshold", 0.0) == ""
        assert robot.set_parameter("output.highlight_color", [0, 0, 255]) == ""
        points, _, _ = robot.ask(cloud)
        colour = read_cloud(points).rgb[usual > 0].astype(int).mean(axis=0)
        assert colour[2] > colour[0] + 30
        assert robot.set_parameter("clusters.max_points", 10) == ""
        points, _, answer = robot.ask(cloud)
        assert not labels(points).any() and answer == NO_MASK
        assert "at most clusters.max_points" in robot.set_parameter("clusters.min_points", 20)
    finally:
        for name, value in {"mask.threshold": 0.0, "clusters.max_points": 0}.items():
            assert robot.set_parameter(name, value) == ""
        assert robot.set_parameter("output.highlight_color", [255, 64, 32]) == ""


def test_an_object_that_moves_a_little_keeps_its_label(robot, scene, cloud) -> None:
    robot.say(INSTRUCTION)
    first = set(np.unique(labels(robot.ask(cloud)[0]))) - {0}
    moved = points_of(cloud)
    for _ in range(3):
        moved["x"] += 0.02
        assert set(np.unique(labels(robot.ask(cloud)[0]))) - {0} == first


def test_a_latched_instruction_is_heard(robot, cloud) -> None:
    """Said by somebody whom the node finds only later; here: while the node is there already."""
    latched = robot.node.create_publisher(String, "/instruction", reliable_qos(DurabilityPolicy.TRANSIENT_LOCAL))
    latched.publish(String(data="the table"))
    robot.wait(lambda: robot.diagnostics.get("instruction") == "the table", "the latched instruction")
    _, _, answer = robot.ask(cloud)
    assert "table" in answer
    robot.node.destroy_publisher(latched)
