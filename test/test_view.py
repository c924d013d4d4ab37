"""`segpoint view` as a process of its own that records over real DDS what a node sends; Rerun's own reader reads it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rerun")

import rclpy  # noqa: E402
import rerun as rr  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, Vector3  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from rerun.chunk import RrdReader  # noqa: E402
from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from std_msgs.msg import ColorRGBA, Header, String  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from segpoint.cli import main  # noqa: E402
from segpoint_ros import view  # noqa: E402
from segpoint_ros.pointcloud2 import label_cloud, make_cloud, read_cloud  # noqa: E402
from segpoint_ros.view_recording import Recording  # noqa: E402

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
TURN = (0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))  # a quarter around z
PATIENCE = 60.0


class Robot:
    """A camera and a node named /arm/segpoint, as far as they can be heard; the input is remapped.

    status: what the node says of itself again and again.
    """

    def __init__(self, domain: int, status: DiagnosticArray) -> None:
        self.status = status
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("segpoint", namespace="/arm", context=self._context)
        self.node.create_subscription(PointCloud2, "/camera/points", print, BEST_EFFORT)
        self.node.create_subscription(String, "instruction", print, 1)
        self._publishers = {
            name: self.node.create_publisher(kind, topic, qos)
            for name, kind, topic, qos in (
                ("input", PointCloud2, "/camera/points", BEST_EFFORT),
                ("instruction", String, "instruction", 1),
                ("points", PointCloud2, "segpoint/output/points", 1),
                ("markers", MarkerArray, "segpoint/output/markers", 1),
                ("targets", PoseArray, "segpoint/output/targets", 1),
                ("answer", String, "segpoint/output/answer", 1),
                ("diagnostics", DiagnosticArray, "/diagnostics", 1),
            )
        }
        wait(lambda: all(each.get_subscription_count() for each in self._publishers.values()), "subscriptions")
        self._left = threading.Event()
        self._heart = threading.Thread(target=self._beat)
        self._heart.start()
        time.sleep(0.5)  # for the other side to find this one, too

    def _beat(self) -> None:
        while not self._left.wait(0.2):
            self._publishers["diagnostics"].publish(self.status)

    def send(self, **messages: Any) -> None:
        for name, message in messages.items():
            self._publishers[name].publish(message)
        time.sleep(0.3)

    def leave(self) -> None:
        self._left.set()
        self._heart.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


class Terminal:
    """The command as a process, which is gone afterwards, and what it has said."""

    def __init__(self, environment: dict[str, str], log: Path, *words: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "segpoint.cli", "view", *words],
                env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def wait_for(self, words: str, times: int = 1) -> None:
        wait(lambda: sum(words in line for line in self.lines) >= times, f"{words!r} in {self.lines}")

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def wait(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """xyz with a NaN row, and rgb, of 500 points."""
    rng = np.random.default_rng(0)
    xyz = rng.uniform((-0.5, -0.3, 0.6), (0.5, 0.3, 1.4), (500, 3)).astype(np.float32)
    xyz[7] = np.nan
    return xyz, rng.integers(0, 256, (500, 3), np.uint8)


def header(seconds: int, frame_id: str = "camera_optical_frame") -> Header:
    result = Header(frame_id=frame_id)
    result.stamp.sec = seconds
    return result


def box(label: int, colour: tuple[float, float, float], x: float) -> list[Marker]:
    """A target's markers, as the node sends them."""
    pose = Pose(position=Point(x=x, y=0.1, z=1.0), orientation=Quaternion(x=TURN[0], y=TURN[1], z=TURN[2], w=TURN[3]))
    red, green, blue = colour
    both: dict[str, Any] = {"header": header(1000), "id": label, "pose": pose}
    colours = ColorRGBA(r=red, g=green, b=blue, a=0.35)
    return [
        Marker(ns="box", type=Marker.CUBE, scale=Vector3(x=0.1, y=0.2, z=0.3), color=colours, **both),
        Marker(ns="text", type=Marker.TEXT_VIEW_FACING, text=f"thing {label}", **both),
    ]


def markers(*targets: list[Marker]) -> MarkerArray:
    clear = Marker(header=header(1000), action=Marker.DELETEALL)
    said = Marker(header=header(1000), ns="instruction", id=0, type=Marker.TEXT_VIEW_FACING, text="mug; bowl")
    return MarkerArray(markers=[clear, *(marker for target in targets for marker in target), said])


def status(instruction: str, *values: tuple[str, str], name: str = "arm/segpoint", level: bytes = b"\0") -> Any:
    pairs = [KeyValue(key=key, value=value) for key, value in (("instruction", instruction), *values)]
    told = DiagnosticStatus(name=name, level=level, message="active", values=pairs)
    return DiagnosticArray(header=header(1001), status=[told])


class Recorded:
    """What a file holds: per entity and component the values in the order in which they were logged."""

    def __init__(self, path: Path) -> None:
        self.reader = RrdReader(path)
        self._batches = [(chunk.entity_path, chunk.to_record_batch()) for chunk in self.reader.stream()]
        self.entities = {entity for entity, _ in self._batches}

    def values(self, entity: str, component: str) -> list[Any]:
        rows = []
        for name, batch in self._batches:
            if name == entity and component in batch.schema.names:
                order = batch["arrival"].cast("int64").to_pylist() if "arrival" in batch.schema.names else [0]
                rows += zip(order, batch[component].to_pylist(), strict=True)
        return [value for _, value in sorted(rows, key=lambda row: row[0])]

    def times(self, entity: str, timeline: str) -> list[int]:
        found = [batch for name, batch in self._batches if name == entity and timeline in batch.schema.names]
        return sorted(at for batch in found for at in batch[timeline].cast("int64").to_pylist())

    def colours(self, entity: str, archetype: str) -> list[np.ndarray]:
        """(K, 3) uint8 for each time that the entity was logged."""
        packed = [np.array(row, np.uint32) for row in self.values(entity, f"{archetype}:colors")]
        return [np.stack([row >> 24, row >> 16 & 255, row >> 8 & 255], axis=-1) for row in packed]


@pytest.fixture(scope="module")
def labelled(scene) -> PointCloud2:
    xyz, rgb = scene
    label = np.zeros(500, np.uint32)
    label[:50], label[50:80] = 1, 1001
    message = make_cloud(header(1000), xyz, rgb, 50, 10)
    return label_cloud(message, label, np.full(500, 0.5, np.float32), "optical")


@pytest.fixture(scope="module")
def recorded(ros_environment, scene, labelled, tmp_path_factory) -> tuple[Recorded, list[str]]:
    """A node that comes, is asked, leaves and comes back; then Ctrl-C."""
    folder = tmp_path_factory.mktemp("view")
    domain = int(ros_environment["ROS_DOMAIN_ID"])
    words = ("--node", "arm/segpoint", "--save", str(folder / "view.rrd"), "--rate", "0")
    with Terminal(ros_environment, folder / "log", *words) as viewer:
        viewer.wait_for("/arm/segpoint is not there: waiting for it")
        robot = Robot(domain, status("asked before"))
        viewer.wait_for("/arm/segpoint is there")
        robot.send(diagnostics=status("of another", name="other/segpoint"))
        robot.send(input=PointCloud2(width=1, height=1, point_step=4, data=bytes(4)))
        robot.send(input=make_cloud(header(1000), *scene))
        robot.send(instruction=String(data="mug; bowl"))
        poses = PoseArray(header=header(1000), poses=[box(1, (1.0, 0.0, 0.0), 0.2)[0].pose])
        found = markers(box(1, (1.0, 0.25, 0.125), 0.2), box(1001, (0.0, 0.5, 1.0), -0.2))
        robot.send(points=labelled, markers=found, targets=poses, answer=String(data="mug <SEG>.\nbowl <SEG>."))
        robot.send(answer=String(data="mug <SEG>.\nbowl <SEG>."))
        values = ("cloud (ms)", "71.5"), ("latency (s)", "0.25"), ("rate of clouds (Hz)", "1.5"), ("publish (ms)", "")
        robot.status = status("mug; bowl", *values, level=b"\1")
        time.sleep(1.0)
        robot.leave()
        viewer.wait_for("/arm/segpoint has gone: waiting for it")
        robot = Robot(domain, status("mug; bowl"))
        viewer.wait_for("/arm/segpoint is there", times=2)
        robot.send(input=make_cloud(header(0, "map"), scene[0] + 5), markers=markers(), answer=String(data="Nothing."))
        robot.leave()
        assert viewer.stop(signal.SIGINT) == 0
        lines = viewer.lines
    return Recorded(folder / "view.rrd"), lines


def test_clouds_with_their_colours(recorded, scene, labelled) -> None:
    (file, _), (xyz, rgb) = recorded, scene
    sound = np.isfinite(xyz).all(axis=1)
    for shown, sent in zip(file.values("/scene/input", "Points3D:positions"), (xyz, xyz + 5), strict=True):
        np.testing.assert_array_equal(shown, sent[sound])
    np.testing.assert_array_equal(file.colours("/scene/input", "Points3D")[0], rgb[sound])
    (shown,) = file.values("/scene/labelled", "Points3D:positions")
    np.testing.assert_array_equal(shown, xyz[sound])
    (colours,) = file.colours("/scene/labelled", "Points3D")
    lit = (rgb != read_cloud(labelled).rgb).any(axis=1)
    assert lit[:80].all() and not lit[80:].any()
    np.testing.assert_array_equal(colours, read_cloud(labelled).rgb[sound])


def test_boxes_with_names_and_axes(recorded) -> None:
    file, _ = recorded
    centres, gone = file.values("/scene/boxes", "Boxes3D:centers")
    np.testing.assert_allclose(centres, [(0.2, 0.1, 1.0), (-0.2, 0.1, 1.0)], atol=1e-6)
    assert gone == []
    np.testing.assert_allclose(file.values("/scene/boxes", "Boxes3D:half_sizes")[0], [(0.05, 0.1, 0.15)] * 2, atol=1e-6)
    np.testing.assert_allclose(file.values("/scene/boxes", "Boxes3D:quaternions")[0], [TURN] * 2, atol=1e-6)
    assert file.values("/scene/boxes", "Boxes3D:labels")[0] == ["thing 1", "thing 1001"]
    np.testing.assert_allclose(file.colours("/scene/boxes", "Boxes3D")[0], [(255, 64, 32), (0, 128, 255)], atol=1)
    (vectors,) = file.values("/scene/targets", "Arrows3D:vectors")
    np.testing.assert_allclose(vectors, [(0, 0.1, 0), (-0.1, 0, 0), (0, 0, 0.1)], atol=1e-6)  # x looks along y
    np.testing.assert_allclose(file.values("/scene/targets", "Arrows3D:origins"), [[(0.2, 0.1, 1.0)] * 3], atol=1e-6)


def test_what_was_asked_and_answered(recorded) -> None:
    file, _ = recorded
    asked = [text for (text,) in file.values("/said/instruction", "TextLog:text")]
    assert asked == ["instruction: asked before", "instruction: mug; bowl"]
    answers = [text for (text,) in file.values("/said/answer", "TextLog:text")]
    assert answers == ["answer: mug <SEG>. bowl <SEG>.", "answer: Nothing."]  # each once
    now = [text for (text,) in file.values("/now", "TextDocument:text")]
    parts = "`mug; bowl`", "`mug <SEG>.`", "`thing 1001` at (-0.20, 0.10, 1.00)"
    assert any(all(part in text for part in parts) for text in now)
    assert "`Nothing.`" in now[-1] and "thing 1" not in now[-1]


def test_diagnostics_as_table_and_plots(recorded) -> None:
    file, _ = recorded
    for entity, value in ("times/cloud", 71.5), ("latencies/latency", 0.25), ("rates/rate\\ of\\ clouds", 1.5):
        assert {each for (each,) in file.values(f"/{entity}", "Scalars:scalars")} == {value}
    assert "/times/publish" not in file.entities  # it was empty
    tables = [text for (text,) in file.values("/diagnostics", "TextDocument:text")]
    assert tables[0].startswith("**INFO** `active`") and "of another" not in "".join(tables)
    assert any(text.startswith("**WARN** `active`") and "| `cloud (ms)` | `71.5` |" in text for text in tables)
    said = zip(file.values("/said/node", "TextLog:level"), file.values("/said/node", "TextLog:text"), strict=True)
    words = [(text.split()[1], level) for (level,), (text,) in said]
    assert [level for word, level in words if word == "/arm/segpoint"] == ["WARN", "INFO"] * 2  # there, or not
    assert [level for word, level in words if word == "active"] == ["INFO", "WARN", "INFO"]  # each change once


def test_waits_and_goes_on(recorded) -> None:
    _, lines = recorded
    told = [line.removeprefix("segpoint view: ") for line in lines]
    there, gone = "/arm/segpoint is there", "/arm/segpoint has gone: waiting for it"
    assert [told[0], told[1], told[3], told[4]] == ["/arm/segpoint is not there: waiting for it", there, gone, there]
    assert told[2].startswith("a cloud cannot be shown: the cloud has no field x, y, z") and len(told) == 5


def test_timelines_axes_and_layout(recorded) -> None:
    file, _ = recorded
    assert file.times("/scene/labelled", "stamp") == [1000 * 10**9]
    assert file.times("/scene/input", "stamp") == [1000 * 10**9] * 2  # without a stamp: the last one
    assert all(abs(at / 1e9 - time.time()) < 600 for at in file.times("/scene/input", "arrival"))
    optical, up = file.values("/scene", "ViewCoordinates:xyz")
    assert (optical, up) == ([[3, 2, 5]], [[3, 5, 1]])  # right, down, forward; right, forward, up
    assert len(file.reader.blueprints()) == 3  # at first, and once the axes are known or other ones


def test_max_points_and_far_maps(scene, tmp_path) -> None:
    """Rerun draws in float32: a map in a country's coordinates is shown around the origin."""
    xyz, _ = scene
    far = np.array([500_000.25, 4_649_776.5, 30.0])
    message = PointCloud2(header=header(7, "map"), height=1, width=500, point_step=24, row_step=24 * 500)
    for i, axis in enumerate("xyz"):
        message.fields.append(PointField(name=axis, offset=8 * i, datatype=PointField.FLOAT64, count=1))
    message.data = (xyz + far).tobytes()
    recording = Recording("/segpoint", [rr.FileSink(tmp_path / "far.rrd")], max_points=100)
    for _ in range(2):
        recording.cloud("input", message, "map")
    recording.markers(markers(box(1, (1.0, 0.0, 0.0), far[0])))
    recording.close()
    file = Recorded(tmp_path / "far.rrd")
    first, second = file.values("/scene/input", "Points3D:positions")
    assert first == second and len(np.unique(first, axis=0)) == 100
    (told,) = file.values("/said/node", "TextLog:text")[0]
    origin = np.array(re.findall(r"-?\d+\.\d+", told), float)
    distance = np.abs(np.asarray(first)[:, None] - (xyz + far - origin)).max(axis=2)
    assert np.nanmin(distance, axis=1).max() < 1e-5
    ((centre,),) = file.values("/scene/boxes", "Boxes3D:centers")
    np.testing.assert_allclose(centre, [far[0] - origin[0], 0.1 - origin[1], 1.0 - origin[2]], rtol=1e-6)


def test_web_page(ros_environment, tmp_path) -> None:
    port = free_ports()
    with Terminal(ros_environment, tmp_path / "log", "--web", str(port)) as viewer:
        viewer.wait_for("on another machine")
        (address,) = (line for line in viewer.lines if line.startswith("http"))
        assert address == f"http://localhost:{port}/?url=rerun%2Bhttp://localhost:{port + 1}/proxy"
        with urllib.request.urlopen(address, timeout=30) as page:
            assert page.status == 200 and b"re_viewer" in page.read()
        with socket.create_connection(("localhost", port + 1), timeout=30):  # where the page gets its data
            pass
        with Terminal(ros_environment, tmp_path / "second", "--web", str(port)) as second:
            assert second.process.wait(PATIENCE) == 2
            assert second.lines[-1].startswith(f"segpoint: port {port + 1} cannot be used (Address already in use)")
        assert viewer.stop(signal.SIGTERM) == 0


def free_ports() -> int:
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("", port + 1))
            except OSError:
                continue
            return port


def test_window_that_cannot_open(ros_environment, tmp_path) -> None:
    environment = {**ros_environment, "DISPLAY": ":no-display"}
    with Terminal(environment, tmp_path / "log") as viewer:
        assert viewer.process.wait(PATIENCE) == 2
        assert viewer.lines[-1].startswith("segpoint: the viewer ended with code ")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--rate", "-1"], "--rate is -1.0; expected a number, 0 or more"),
        (["--rate", "nan"], "--rate is nan"),
        (["--max-points", "-5"], "--max-points is -5"),
        (["--memory", "0"], "--memory is 0; expected a number, 1 or more"),
        (["--web", "70000"], "--web is 70000; expected a port"),
        (["--save", "scene.pcd"], "give it the suffix .rrd"),
        (["--save", "/no/such/folder/x.rrd"], "the folder of /no/such/folder/x.rrd does not exist"),
        (["--node", "seg point"], "--node '/seg point' is no name that ROS allows"),
        (["--input", "1st"], "--input '/1st' is no name that ROS allows"),
        (["--native"], "--native needs a display"),
    ],
)
def test_refusals(capfd, monkeypatch, words: list[str], why: str) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["view", *words]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("segpoint: ") and why in line


@pytest.mark.parametrize(("missing", "remedy"), [("rerun", "segpoint_ros[view]"), ("rclpy", "segpoint_ros[ros]")])
def test_what_is_not_installed_is_named(capfd, monkeypatch, missing: str, remedy: str) -> None:
    monkeypatch.setattr(view, "find_spec", lambda name: None if name == missing else object())
    assert main(["view"]) == 2
    assert remedy in capfd.readouterr().err


def test_help_is_fast() -> None:
    code = "import sys; from segpoint.cli import main\ntry: main(['view', '--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'rclpy', 'rerun', 'torch'} & set(sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "while this runs, it computes" in " ".join(told.stdout.split())
