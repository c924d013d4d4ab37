"""What `ros2 launch` reads agrees with the code: presets, RViz's and Fast DDS's configuration, what is installed."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip("rclpy")

from segpoint_ros.changes import refusal, unknown  # noqa: E402
from segpoint_ros.settings import DESCRIBED, Parameters  # noqa: E402

LAUNCH_FILES = ("segpoint", "realsense", "lidar", "simulation", "two", "replay")


@pytest.fixture(scope="module")
def config(repository: Path) -> Path:
    return repository / "config"


@pytest.mark.parametrize("name", ["realsense", "lidar", "simulation"])
def test_a_preset_changes_parameters_that_there_are_to_values_that_are_allowed(config: Path, name: str) -> None:
    file = config / "presets" / f"{name}.yaml"
    changes = rclpy.parameter.parameter_dict_from_yaml_file(str(file), use_wildcard=True)
    given = [rclpy.Parameter.from_parameter_msg(change) for change in changes.values()]
    assert given and not unknown(changes)
    assert refusal(Parameters(), given, configured=False) == ""
    for change in given:
        default = DESCRIBED[change.name].default
        assert type(change.value) is type(default) and change.value != default, change.name


def test_rviz_is_told_how_the_node_publishes(config: Path) -> None:
    """What its topics are is test_graph.py's."""
    manager = yaml.safe_load((config / "segpoint.rviz").read_text())["Visualization Manager"]
    shown = {display["Name"]: display["Topic"] for display in manager["Displays"] if "Topic" in display}
    assert set(shown) == {"Input", "Answer", "Filtered", "Markers", "Targets"}
    best_effort = [name for name, topic in shown.items() if topic["Reliability Policy"] == "Best Effort"]
    assert best_effort == ["Input"]  # reliable, it would hear no driver that is not
    assert {topic["Durability Policy"] for topic in shown.values()} == {"Volatile"}


def transports(path: Path) -> tuple[dict[str, dict[str, str]], str]:
    """The transports of a Fast DDS profile by type, and whether its own default ones are used beside them."""
    space = {"dds": "http://www.eprosima.com"}
    root = ElementTree.parse(path).getroot()
    found = {}
    for transport in root.iterfind(".//dds:transport_descriptor", space):
        values = {child.tag.split("}")[1]: "".join(child.itertext()).strip() for child in transport}
        found[values["type"]] = values
    (builtin,) = root.iterfind(".//dds:useBuiltinTransports", space)
    used = {element.text for element in root.iterfind(".//dds:userTransports/dds:transport_id", space)}
    assert used == {values["transport_id"] for values in found.values()}
    return found, builtin.text or ""


@pytest.mark.parametrize("name", ["fastdds.xml", "fastdds_loopback.xml"])
def test_the_transport_has_room_for_a_large_cloud(config, name) -> None:
    found, builtin = transports(config / name)
    assert set(found) == {"SHM", "UDPv4"} and builtin == "false"
    cloud = 640 * 480 * 32
    assert int(found["SHM"]["maxMessageSize"]) > cloud
    assert int(found["SHM"]["segment_size"]) > 4 * cloud
    assert found["UDPv4"].get("interfaceWhiteList") == ("127.0.0.1" if "loopback" in name else None)
    if "loopback" not in name:
        assert int(found["UDPv4"]["receiveBufferSize"]) > cloud


def test_everything_is_installed_to_share(repository, monkeypatch) -> None:
    """setup.py's list of files: launch, configuration and the bundle."""
    setuptools = pytest.importorskip("setuptools")
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    spec = importlib.util.spec_from_file_location("segpoint_setup", repository / "setup.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    files = {f"{place}/{Path(name).name}": name for place, names in given["data_files"] for name in names}
    assert all((repository / name).is_file() for name in files.values())
    share = "share/segpoint_ros"
    assert {
        "share/ament_index/resource_index/packages/segpoint_ros",
        f"{share}/package.xml",
        *(f"{share}/launch/{name}.launch.py" for name in LAUNCH_FILES),
        *(f"{share}/config/presets/{name}.yaml" for name in ("realsense", "lidar", "simulation")),
        f"{share}/config/sros2/segpoint.policy.xml",
        f"{share}/config/segpoint.yaml",
        f"{share}/config/segpoint.rviz",
        f"{share}/config/fastdds.xml",
        f"{share}/models/segpoint-tabletop/config.json",
        f"{share}/models/segpoint-tabletop/model.safetensors",
        f"{share}/models/segpoint-tabletop/MODEL_CARD.md",
    } <= set(files)


def test_package_xml_names_the_version_and_the_messages(repository) -> None:
    import segpoint

    root = ElementTree.parse(repository / "package.xml").getroot()
    assert root.findtext("name") == "segpoint_ros"
    assert root.findtext("version") == segpoint.__version__
    assert root.findtext("export/build_type") == "ament_python"
    needed = {element.text for element in root.iterfind("exec_depend")}
    code = "".join(path.read_text() for path in (repository / "segpoint_ros").glob("*.py"))
    imported = set(re.findall(r"^ *from (rclpy|\w+_msgs|rcl_interfaces|builtin_interfaces)\b", code, re.MULTILINE))
    assert len(imported) > 5 and imported <= needed
    assert "import tf2_ros" in code and "tf2_ros_py" in needed  # whose module has another name
