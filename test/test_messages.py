"""ROS's messages without ROS: the same fields, defaults and bytes, and the same answers to the same cloud."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint_ros import messages, plain_messages  # noqa: E402
from segpoint_ros.messages import deserialize, message_class, serialize  # noqa: E402
from segpoint_ros.plain_messages import plain_class  # noqa: E402

if TYPE_CHECKING:
    from segpoint_training.scenes.scene import Scene

CLOUD = "sensor_msgs/msg/PointCloud2"
TF = "tf2_msgs/msg/TFMessage"
NAMES = sorted(messages._NAMES.values())
OF_ROS = [name for name in NAMES if not hasattr(message_class(name), "__msgtype__")]  # pip has no tf2_msgs
# What a machine without ROS has: nothing of these can be imported.
BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in ("rclpy", "rcl_interfaces", "builtin_interfaces") or package.endswith("_msgs"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Block())
"""
ANSWER = """
import sys
from pathlib import Path
import numpy as np
from segpoint_ros.answering import Answerer
from segpoint_ros.changes import from_pairs
from segpoint_ros.markers import pose_array, target_markers
from segpoint_ros.messages import Header, Time, deserialize, serialize
from segpoint_ros.place import FramedPoints, Pointing
from segpoint_ros.pointcloud2 import label_cloud, make_cloud, target_cloud
from segpoint_ros.request import Request

scene, out = sys.argv[1:]
settings = from_pairs([("model.backend", "torch")])
points = np.load(scene)
header = Header(frame_id="camera_optical_frame", stamp=Time(sec=12, nanosec=34))
cloud = make_cloud(header, points["xyz"], points["rgb"], 640, 480)
cloud = deserialize(serialize(cloud), "sensor_msgs/msg/PointCloud2")
answerer = Answerer(settings)
pointing = Pointing((FramedPoints("click", "", points["click"][None]),))
request = Request(("pick up the mug", "the bowl"), pointing)
result = answerer.answer(cloud, request, settings, transforms=None).result
assert result.targets
colours = {target.label: target.colour for target in result.targets}
labelled = label_cloud(result.message, result.label, result.score, result.frame, colours)
written = {"points": labelled, "filtered": target_cloud(labelled), "markers": target_markers(result, 0.1, 2.5),
           "targets": pose_array(result)}
for name, message in written.items():
    (Path(out) / name).write_bytes(serialize(message))
print(type(cloud).__module__, "rclpy" in sys.modules)
"""


def filled(kind: type[Any]) -> Any:
    """A message with something else than the default in many a field."""
    message = kind()
    stamp = messages.Time(sec=-3, nanosec=999_999_999)
    point = messages.Point(x=1.5, y=-2.25, z=1e300)
    values = {
        "header": messages.Header(stamp=stamp, frame_id="kamera_ä"),
        "stamp": stamp, "sec": 7, "nanosec": 8, "frame_id": "map", "name": "x", "offset": 4, "datatype": 7, "count": 1,
        "height": 1, "width": 2, "point_step": 3, "row_step": 6, "is_dense": True, "data": array("B", range(6)),
        "ns": "box", "id": -5, "type": 1, "action": 2, "text": "mug: #1", "frame_locked": True,
        "child_frame_id": "base",
        "fields": [messages.PointField(name=name, offset=1, datatype=2, count=3) for name in ("a", "long")],
        "points": [point, point], "colors": [messages.ColorRGBA(r=0.5, a=1.0)], "position": point, "point": point,
        "x": 0.25, "w": 0.5, "r": 0.75, "pose": messages.Pose(position=point), "poses": [messages.Pose()] * 2,
        "markers": [messages.Marker(ns="a", id=1, text="b"), messages.Marker(lifetime=messages.Duration(sec=1))],
        "translation": messages.Vector3(y=3.0),
        "transform": messages.Transform(translation=messages.Vector3(z=2.0)),
        "transforms": [messages.TransformStamped(child_frame_id="cam"), messages.TransformStamped()],
    }  # fmt: skip
    if kind.__name__ == "String":
        values["data"] = "pick up the mug"
    for field, value in values.items():
        if hasattr(message, field):
            setattr(message, field, value)
    return message


def as_plain(message: Any, name: str) -> Any:
    return plain_messages.read_cdr(serialize(message), name)


def held(value: Any) -> Any:
    """A message, of whatever class, as lists and numbers."""
    names = getattr(value, "__dataclass_fields__", None) or getattr(value, "_fields_and_field_types", None)
    if names is not None:
        return {name: held(getattr(value, name)) for name in names if not name.isupper() and not name.startswith("_")}
    if isinstance(value, (list, tuple, array, np.ndarray)):
        return [held(each) for each in value]
    return value


@pytest.mark.parametrize("name", OF_ROS)
def test_a_plain_class_is_as_ros_has_it(name: str) -> None:
    ros, plain = message_class(name), plain_class(name)
    assert held(plain()) == held(ros())
    constants = [
        key for key in dir(type(ros)) if key.isupper() and not key.startswith(("_", "SLOT")) and "DEFAULT" not in key
    ]
    assert [getattr(ros, key) for key in constants] == [getattr(plain, key) for key in constants]
    first = next(iter(ros.get_fields_and_field_types()))
    assert held(plain(**{first: getattr(filled(ros), first)})) == held(ros(**{first: getattr(filled(ros), first)}))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read(name: str) -> None:
    for message in (message_class(name)(), filled(message_class(name))):
        cdr = serialize(message)
        assert held(deserialize(cdr, name)) == held(message)
        plain = as_plain(message, name)
        assert type(plain) is plain_class(name) and held(plain) == held(message)
        assert serialize(plain) == cdr
    assert held(filled(message_class(name))) != held(message_class(name)()), "the filled one tells nothing"


@pytest.mark.parametrize("name", OF_ROS)
def test_ros_reads_and_writes_the_same(name: str) -> None:
    message = filled(message_class(name))
    assert held(deserialize_message(serialize(message), message_class(name))) == held(message)
    theirs = serialize_message(message)  # with the memory's garbage in the gaps
    assert held(plain_messages.read_cdr(theirs, name)) == held(message)
    assert abs(len(theirs) - len(serialize(message))) < 4  # they fill up to four bytes


def test_a_plain_message_is_of_plain_ones_throughout() -> None:
    cloud = as_plain(filled(messages.PointCloud2), CLOUD)
    assert type(cloud.fields[0]) is plain_class("sensor_msgs/msg/PointField")
    assert cloud.fields == [type(cloud.fields[0])(name=name, offset=1, datatype=2, count=3) for name in ("a", "long")]
    assert plain_class("visualization_msgs/msg/Marker")().pose == plain_class("geometry_msgs/msg/Pose")()


def test_a_clouds_data_is_not_copied_and_any_buffer_is_taken() -> None:
    cdr = serialize(messages.PointCloud2(data=array("B", range(200))))
    data = plain_messages.read_cdr(cdr, CLOUD).data
    assert np.shares_memory(data, np.frombuffer(cdr, np.uint8))
    plain = plain_class(CLOUD)
    for given in (bytes(data), bytearray(data), memoryview(data), data, array("B", data)):
        assert serialize(plain(data=given)) == cdr
    new = plain()
    new.data.frombytes(bytes(data))
    assert serialize(new) == cdr
    assert plain().data == array("B"), "no default is shared"


def test_rosbags_own_messages_are_taken_of_ros_1_too() -> None:
    types = get_typestore(Stores.ROS1_NOETIC).types
    header = types["std_msgs/msg/Header"](7, types["builtin_interfaces/msg/Time"](1, 2), "lidar")
    field = types["sensor_msgs/msg/PointField"]("x", 0, 7, 1)
    cloud = types[CLOUD](header, 1, 1, [field], False, 4, 4, np.arange(4, dtype=np.uint8), True)
    message = deserialize(serialize(cloud), CLOUD)
    assert isinstance(message, messages.PointCloud2)
    assert (message.header.stamp.sec, message.header.frame_id, message.fields[0].name) == (1, "lidar", "x")
    assert bytes(message.data) == bytes(range(4))


@pytest.mark.parametrize("read", [deserialize, None], ids=["ros", "plain"])
def test_bytes_that_are_no_message_are_refused(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if read is None:
        monkeypatch.setattr(messages, "message_class", plain_class)
    cdr = serialize(filled(messages.PointCloud2))
    for bad in (b"", cdr[:3], cdr[:30], cdr[:-8], cdr[:4] + b"\xff" * 60):
        with pytest.raises(SegPointError, match=rf"expected a {CLOUD} in CDR, got {len(bad)} bytes that are none"):
            deserialize(bad, CLOUD)


def test_types_that_nobody_has_are_refused() -> None:
    for name in ("my_msgs/msg/Mine", "sensor_msgs/msg/Nothing", "nonsense"):
        with pytest.raises(SegPointError, match="rosbags has no message type"):
            deserialize(b"\x00\x01\x00\x00", name)
    with pytest.raises(ImportError):
        from segpoint_ros.messages import Nothing  # noqa: F401


def test_without_rosbags_and_ros_it_is_said_what_to_install() -> None:
    code = BLOCKED.replace('("rclpy",', '("rosbags", "rclpy",') + (
        "import segpoint_ros.messages\n"
        "try:\n    from segpoint_ros.messages import Header\n"
        "except ValueError as error:\n    print(error)"
    )
    said = run(code).stdout
    assert said.startswith("messages need ROS 2 or rosbags (") and said.endswith("pip install rosbags\n")


def test_a_node_needs_no_rosbags() -> None:
    run("import sys; sys.modules['rosbags'] = None; import segpoint_ros.node")


def test_the_answers_are_the_same_without_ros(scene: Scene, tmp_path: Path) -> None:
    """Those of the bundle that ships, about a click on the mug that the sentence says."""
    mug = next(each.id for each in scene.objects if each.category == "mug")
    click = scene.xyz[np.flatnonzero(scene.instance == mug)[0]]
    np.savez(tmp_path / "scene.npz", xyz=scene.xyz, rgb=scene.rgb, click=click)
    written = {}
    for way, before in {"ros": "", "plain": BLOCKED}.items():
        (tmp_path / way).mkdir()
        done = run(before + ANSWER, str(tmp_path / "scene.npz"), str(tmp_path / way))
        module, rclpy_is_there = done.stdout.split()
        assert module == ("sensor_msgs.msg._point_cloud2" if way == "ros" else "segpoint_ros.messages")
        assert rclpy_is_there == str(way == "ros")
        written[way] = {path.name: path.read_bytes() for path in (tmp_path / way).iterdir()}
    assert len(written["ros"]) == 4 and all(map(len, written["ros"].values()))
    different = [name for name in written["ros"] if written["ros"][name] != written["plain"][name]]
    assert written["ros"].keys() == written["plain"].keys() and not different


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = str(Path(messages.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done
