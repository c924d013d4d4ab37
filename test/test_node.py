"""The real node in its own process, asked over real DDS as a robot asks it: big clouds, best effort."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import Transition  # noqa: E402
from rcl_interfaces.msg import Parameter as ParameterMessage  # noqa: E402
from rcl_interfaces.msg import ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from robot import PATIENCE  # noqa: E402
from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from segpoint.engines.runner import BACKENDS  # noqa: E402
from segpoint.files import write_points  # noqa: E402
from segpoint_ros import ask, settings  # noqa: E402
from segpoint_ros.answering import frame_of  # noqa: E402
from segpoint_ros.pointcloud2 import make_cloud, points_of, read_cloud  # noqa: E402
from segpoint_training.demo import INSTRUCTION, TARGET  # noqa: E402
from segpoint_training.scenes.scene import Scene  # noqa: E402

FRAME = "camera_depth_optical_frame"


@pytest.fixture(scope="module", autouse=True)
def active(robot) -> None:
    robot.wait_for_active()


def test_the_answer_to_a_camera_cloud(robot, scene, cloud) -> None:
    assert np.isnan(scene.xyz).any() and len(scene.xyz) == 640 * 480
    robot.say(INSTRUCTION)
    points, markers, answer = robot.ask(cloud)

    assert points.header == cloud.header  # stamp and frame
    assert (points.width, points.height) == (640, 480)
    before, after = points_of(cloud), points_of(points)
    assert after.dtype.names == ("x", "y", "z", "rgb", "label", "score")
    for axis in "xyz":
        assert after[axis].tobytes() == before[axis].tobytes()
    label, score = after["label"].ravel(), after["score"].ravel()
    target = label > 0
    assert np.isfinite(scene.xyz[target]).all()
    assert score.min() >= 0 and score.max() <= 1 and score[target].min() > score[~target].mean()
    changed = (read_cloud(points).rgb != scene.rgb).any(axis=1)
    assert not changed[~target].any() and changed[target].mean() > 0.9

    assert answer
    check_markers(markers.markers, points, label, scene.xyz)


def test_what_it_finds_is_the_mug(robot, scene, cloud) -> None:
    robot.say(INSTRUCTION)
    points, markers, answer = robot.ask(cloud)
    target = points_of(points)["label"].ravel() > 0
    mugs = np.isin(scene.instance, [thing.id for thing in scene.objects if thing.category == TARGET])
    assert mugs.any()
    assert (target & mugs).sum() / (target | mugs).sum() > 0.3
    assert TARGET in answer
    assert any(marker.text.startswith(TARGET) for marker in markers.markers)


def check_markers(markers: list[Marker], points: PointCloud2, label: np.ndarray, xyz: np.ndarray) -> None:
    """One box and one text for each label, in the cloud's frame and time, the box around its points."""
    assert markers[0].action == Marker.DELETEALL
    boxes = {m.id: m for m in markers if m.ns == "box"}
    texts = {m.id: m for m in markers if m.ns == "text"}
    assert set(boxes) == set(texts) == set(np.unique(label[label > 0]))
    for number, box in boxes.items():
        assert box.header == texts[number].header == points.header
        centre = np.array([box.pose.position.x, box.pose.position.y, box.pose.position.z])
        reach = np.linalg.norm([box.scale.x, box.scale.y, box.scale.z]) / 2
        assert (np.linalg.norm(xyz[label == number] - centre, axis=1) <= reach + 0.01).mean() > 0.95


def test_a_new_instruction_is_answered_about_the_last_cloud(robot, cloud) -> None:
    robot.say(INSTRUCTION)
    first, _, _ = robot.ask(cloud)
    robot.listen(0.5)
    robot.points.clear()
    robot.say("find the table")
    robot.wait(lambda: robot.points, "answer to the new instruction")
    assert robot.points[-1].header.frame_id == first.header.frame_id
    assert robot.points[-1].header.stamp == cloud.header.stamp


def odd_cloud(scene: Scene) -> PointCloud2:
    """float64 coordinates, big-endian, no colour, foreign fields, padding everywhere: unusual but right."""
    layout = np.dtype(
        {
            "names": ["ring", "y", "x", "z", "label"],
            "formats": [">u2", ">f8", ">f8", ">f8", ">f4"],
            "offsets": [0, 8, 16, 24, 40],
            "itemsize": 48,
        }
    )
    rows = np.zeros((scene.height, scene.width * 48 + 32), np.uint8)
    points = np.ndarray((scene.height, scene.width), layout, rows, strides=(rows.shape[1], 48))
    for i, axis in enumerate("xyz"):
        points[axis] = scene.xyz[:, i].reshape(points.shape)
    points["ring"], points["label"] = 7, 0.5
    kinds = {"ring": PointField.UINT16, "label": PointField.FLOAT32}
    fields = [
        PointField(name=n, offset=layout.fields[n][1], datatype=kinds.get(n, PointField.FLOAT64), count=1)
        for n in layout.names
    ]
    return PointCloud2(
        header=Header(frame_id=FRAME), height=scene.height, width=scene.width, fields=fields, is_bigendian=True,
        point_step=48, row_step=rows.shape[1], data=rows.tobytes(), is_dense=False,
    )  # fmt: skip


def test_an_odd_but_right_cloud_is_answered(robot, scene) -> None:
    robot.say(INSTRUCTION)
    points, _, _ = robot.ask(odd_cloud(scene))
    after = points_of(points)
    assert points.is_bigendian
    assert {"ring", "input_label", "label", "score", "rgb"} <= set(after.dtype.names)
    assert (after["ring"] == 7).all() and (after["input_label"] == 0.5).all()
    np.testing.assert_array_equal(after["x"].ravel(), scene.xyz[:, 0])


def bad_clouds(scene: Scene) -> dict[str, PointCloud2]:
    header = Header(frame_id=FRAME)
    short = make_cloud(header, scene.xyz, scene.rgb, scene.width, scene.height)
    short.data = short.data[:1000]
    nameless = make_cloud(header, scene.xyz[:1000])
    for field, name in zip(nameless.fields, ("range", "azimuth", "ring"), strict=True):
        field.name = name
    return {
        "empty": make_cloud(header, np.empty((0, 3), np.float32)),
        "all NaN": make_cloud(header, np.full((1000, 3), np.nan, np.float32)),
        "no x y z": nameless,
        "data shorter than claimed": short,
        "three points": make_cloud(header, scene.xyz[np.isfinite(scene.xyz[:, 0])][:3]),
        "message of nothing": PointCloud2(),
    }


def test_bad_clouds_cost_a_warning_each_and_never_the_node(robot, process, scene, cloud, log) -> None:
    robot.say(INSTRUCTION)
    robot.ask(cloud)
    robot.listen(1.2)
    for name, bad in bad_clouds(scene).items():
        refused = robot.count("refused")
        robot.show_until(bad, lambda before=refused: robot.count("refused") > before, f"refusal of {name}")
        assert process.poll() is None, name
    robot.ask(cloud)
    text = log.read_text()
    warnings = [line for line in text.splitlines() if "[WARN]" in line]
    messages = [line.split("]: ", 1)[1] for line in warnings]
    assert messages and len(set(messages)) == len(messages), "one warning a kind"
    assert "Traceback" not in text, text


HOSTILE = {"empty": "", "blank": "  \n", "words": "mug " * 2500, "letters": "m" * 10_000}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_instructions_that_cannot_be_asked(robot, process, cloud, hostile) -> None:
    robot.say(hostile)
    robot.show(cloud)
    robot.listen(0.5)
    assert process.poll() is None
    robot.say(INSTRUCTION)
    robot.ask(cloud)


@pytest.mark.parametrize("strange", ["pick up the ☕ 🤖 mug", "the mug <SEG></s> <POINT> ASSISTANT: mug <SEG>."])
def test_strange_instructions_are_answered(robot, cloud, strange) -> None:
    robot.say(strange)
    robot.ask(cloud)


def test_a_stamp_before_1970_counts_as_none(robot, cloud) -> None:
    robot.say(INSTRUCTION)
    robot.points.clear()
    cloud.header.stamp.sec = -5
    robot.show_until(cloud, lambda: any(p.header.stamp.sec == -5 for p in robot.points), "answer", stamped=False)


def test_a_flood_leaves_the_log_readable_and_its_last_instruction_is_answered(robot, process, cloud, log) -> None:
    before = log.read_text().count("asked for")
    for number in range(100):
        robot.say(f"find thing {number}")
        if number % 4 == 0:
            robot.show(cloud)
        robot.listen(0.02)
    robot.answers.clear()
    robot.say(INSTRUCTION)
    robot.wait(lambda: any(TARGET in answer for answer in robot.answers), "answer to the last instruction")
    assert process.poll() is None
    assert log.read_text().count("asked for") - before < 30


def test_parameters_are_checked(robot) -> None:
    assert "one of auto, optical, body, map" in robot.set_parameter("input.frame", "sideways")
    assert robot.set_parameter("input.max_age", -1.0)
    assert "clean it up first" in robot.set_parameter("model.bundle", "elsewhere")
    assert robot.set_parameter("markers.lifetime", 2.0) == ""
    assert "one of auto, tensorrt, onnxruntime, torch" in robot.set_parameter("model.backend", "tpu")
    assert robot.set_parameter("build_only", True)


def test_a_parameter_of_no_type_costs_a_line(robot, process, cloud, log) -> None:
    """rclpy raises in its own callback."""
    request = SetParameters.Request(parameters=[ParameterMessage(name="frame", value=ParameterValue(type=99))])
    client = robot.node.create_client(SetParameters, "/segpoint/set_parameters")
    robot.wait(client.service_is_ready, "the service")
    client.call_async(request)
    robot.wait(lambda: "a message was dropped: ValueError: 99" in log.read_text(), "word of it")
    robot.node.destroy_client(client)
    robot.say(INSTRUCTION)
    robot.ask(cloud)
    assert process.poll() is None


def test_backends_are_those_that_there_are() -> None:
    assert settings.BACKENDS == BACKENDS


def test_the_backend_is_in_the_log_and_in_the_diagnostics(robot, log) -> None:
    robot.wait(lambda: "backend" in robot.diagnostics, "backend in the diagnostics")
    backend = robot.diagnostics["backend"]
    assert backend.startswith(("onnxruntime", "tensorrt"))
    (line,) = [line for line in log.read_text().splitlines() if "GEM, encoder and GFP run" in line]
    assert line.startswith("[INFO]") and f"run on {backend}" in line


def test_a_camera_that_falls_silent_is_noticed(robot, cloud, log) -> None:
    assert robot.set_parameter("diagnostics.silence.warn", 1.0) == ""
    robot.wait(lambda: "no cloud for" in robot.diagnostics["message"], "WARN in the diagnostics")
    assert "more than diagnostics.silence.warn (1 s)" in robot.diagnostics["message"]
    assert "/segpoint/input/points has 1 publisher, whose clouds came until then" in robot.diagnostics["silence"]
    robot.wait(lambda: "whose clouds came until then: paused" in log.read_text(), "the reason, in the log")
    assert robot.set_parameter("diagnostics.silence.warn", 5.0) == ""
    robot.show_until(cloud, lambda: robot.diagnostics["message"] == "active", "recovery")
    assert robot.diagnostics["silence"] == ""


def test_lifecycle(robot, cloud, log, tmp_path) -> None:
    """Off, unloaded, a model that is not there, and back to work."""
    assert robot.state() == "active"
    assert robot.change_state(Transition.TRANSITION_DEACTIVATE)
    robot.points.clear()
    robot.show(cloud)
    robot.listen(1.5)
    assert not robot.points and robot.diagnostics["state"] == "inactive"
    assert robot.change_state(Transition.TRANSITION_CLEANUP)

    assert robot.set_parameter("model.bundle", str(tmp_path)) == ""
    assert not robot.change_state(Transition.TRANSITION_CONFIGURE)
    assert robot.state() == "unconfigured"
    assert f"no bundle at {tmp_path}" in log.read_text()

    assert robot.set_parameter("model.bundle", "") == ""
    assert robot.change_state(Transition.TRANSITION_CONFIGURE)
    assert robot.change_state(Transition.TRANSITION_ACTIVATE)
    robot.wait_for_active()
    robot.say(INSTRUCTION)
    robot.ask(cloud)


def test_it_stops_soon_when_told_also_at_work(robot, process, cloud, log) -> None:
    """Last: the module's node is gone after this."""
    robot.show(cloud)
    robot.listen(0.3)
    for _ in range(2):  # as Ctrl-C under ros2 launch: once from the terminal, once from launch
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    started = time.monotonic()
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - started < 4  # two seconds, and two for a loaded machine
    assert "Traceback" not in log.read_text()


WRONG = [
    (["-p", "input.frame:=sideways"], "one of auto, optical, body, map"),
    (["-p", "input.max_age:=soon"], "input.max_age"),
    (["-p", "model.backend:=tpu"], "one of auto, tensorrt, onnxruntime, torch"),
    (["--params-file", "/nowhere.yaml"], "/nowhere.yaml"),
    (["-r", "__node:=bad name!"], "bad name!"),
    (["--nonsense"], "--nonsense"),
]


@pytest.mark.parametrize(("arguments", "complaint"), WRONG, ids=lambda value: str(value))
def test_wrong_arguments_end_in_one_line(ros_environment, arguments, complaint) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "segpoint_ros", "--ros-args", *arguments],
        env=ros_environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 2
    ours = [line for line in done.stderr.strip().splitlines() if "[rcl]" not in line]  # rcl logs on its own
    assert len(ours) == 1 and complaint in ours[0]


ASKED_WRONG = [
    [""], [" "], ["mug", "--timeout=nan"], ["mug", "--timeout=-1"], ["mug", "--timeout=inf"],
    ["mug", "--node=bad name!"], ["mug", "--node=/"], ["mug", "--out=labelled.txt"], ["mug", "--out=/nowhere/a.pcd"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", ASKED_WRONG, ids=" ".join)
def test_ask_refuses_in_one_line_before_it_asks(capsys, scene, tmp_path, arguments) -> None:
    write_points(tmp_path / "cloud.pcd", scene.xyz)
    assert ask.main([str(tmp_path / "cloud.pcd"), *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_ask_stops_cleanly_on_ctrl_c(capsys, monkeypatch, ros_environment, scene, tmp_path) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", ros_environment["ROS_DOMAIN_ID"])
    write_points(tmp_path / "cloud.pcd", scene.xyz)
    interrupt = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))  # nobody is there: it waits
    interrupt.start()
    assert ask.main([str(tmp_path / "cloud.pcd"), "mug \udc80", "--node=/nobody"]) == 130
    assert capsys.readouterr().err == ""


def test_frame_of() -> None:
    assert frame_of("camera_color_optical_frame", "auto") == "optical"
    assert frame_of("cam/optical", "auto") == "optical"
    assert frame_of("base_link", "auto") == "body"
    assert frame_of("camera_color_optical_frame", "body") == "body"
    assert frame_of("camera_color_optical_frame", "map") == "map"
    # whatever stands in the map's axes has lost the sensor's
    assert [frame_of(name, "auto") for name in ("map", "robot1/map", "map_base")] == ["map", "map", "body"]
