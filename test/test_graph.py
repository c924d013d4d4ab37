"""The running node's topics and services, as other programs see them, against what is written of them: the policy of
SROS 2 and RViz's configuration."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

rclpy = pytest.importorskip("rclpy")

from rclpy.node import Node  # noqa: E402
from robot import PATIENCE  # noqa: E402

CLOUDS = "/camera/camera/depth/color/points"
NODE_ARGUMENTS = ("-r", f"~/input/points:={CLOUDS}")  # as segpoint.launch.py
# With use_sim_time, with tf2_ros, with vision_msgs: not everywhere.
SOMETIMES = {
    ("subscribe", "/clock"),
    ("subscribe", "/tf"),
    ("subscribe", "/tf_static"),
    ("publish", "/segpoint/output/detections"),
}
RVIZ_TYPES = {
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "PoseArray": "geometry_msgs/msg/PoseArray",
    "PublishPoint": "geometry_msgs/msg/PointStamped",
}

Graph = dict[tuple[str, str], list[str]]  # (what the node does with it, its name): types


@pytest.fixture(scope="module")
def graph(ros_environment: dict[str, str], process: object) -> Iterator[Graph]:
    """What the active node publishes, hears, serves and calls, by its discovery."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(ros_environment["ROS_DOMAIN_ID"]))
    node = Node("onlooker", context=context, enable_rosout=False)
    questions: dict[str, Callable] = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
        "request": node.get_client_names_and_types_by_node,
    }

    def look() -> Graph:
        return {(what, name): types for what, ask in questions.items() for name, types in ask("segpoint", "/")}

    end = time.monotonic() + PATIENCE
    # Its name is known first, its subscriptions come last.
    while ("segpoint", "/") not in node.get_node_names_and_namespaces() or ("subscribe", CLOUDS) not in look():
        assert time.monotonic() < end, "the node does not become active"
        time.sleep(0.2)
    time.sleep(0.5)  # until all of them are discovered
    yield look()
    node.destroy_node()
    rclpy.shutdown(context=context)


def allowed(policy: Path) -> list[tuple[str, str]]:
    """What a policy of SROS 2 for one node allows, by (attribute of the rule, full name)."""
    (profile,) = ElementTree.parse(policy).getroot().iterfind("enclaves/enclave/profiles/profile")
    namespace, node = profile.attrib["ns"], profile.attrib["node"]
    found = []
    for rule in profile:
        assert set(rule.attrib.values()) == {"ALLOW"}
        for what in rule.attrib:
            names = [(element.text or "").replace("~", f"{namespace}{node}") for element in rule]
            found += [(what, name if name.startswith("/") else namespace + name) for name in names]
    return found


def test_the_policy_allows_what_the_node_does_and_no_more(repository: Path, graph: Graph) -> None:
    rules = allowed(repository / "config" / "sros2" / "segpoint.policy.xml")
    assert len(rules) == len(set(rules))
    assert set(rules) == set(graph) | SOMETIMES


def test_rviz_shows_what_the_node_publishes_and_clicks_where_it_listens(repository: Path, graph: Graph) -> None:
    manager = yaml.safe_load((repository / "config" / "segpoint.rviz").read_text())["Visualization Manager"]
    shown = {d["Topic"]["Value"]: d["Class"].split("/")[1] for d in manager["Displays"] if "Topic" in d}
    assert shown.pop("/segpoint/input/points") == "PointCloud2"  # what the launch file points at the camera's
    assert {topic: [RVIZ_TYPES[kind]] for topic, kind in shown.items()} == {
        topic: types for (what, topic), types in graph.items() if what == "publish" and topic in shown
    }
    (tool,) = (tool for tool in manager["Tools"] if "Topic" in tool)
    kind = tool["Class"].split("/")[1]
    assert graph["subscribe", tool["Topic"]["Value"]] == [RVIZ_TYPES[kind]]


def test_the_camera_is_heard_where_the_launch_file_says(graph: Graph) -> None:
    assert graph["subscribe", CLOUDS] == [RVIZ_TYPES["PointCloud2"]]
