"""What `ros2 launch` reads agrees with the code: launch file, parameters, RViz's and Fast DDS's configuration."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from segpoint_ros.parameters import Parameters  # noqa: E402


@pytest.fixture(scope="module")
def config(repository) -> Path:
    return repository / "config"


def test_the_parameter_file_holds_every_default(config) -> None:
    values = yaml.safe_load((config / "segpoint.yaml").read_text())["/**"]["ros__parameters"]
    defaults = dataclasses.asdict(Parameters())
    assert values == defaults
    assert {name: type(value) for name, value in values.items()} == {n: type(v) for n, v in defaults.items()}


def test_rviz_shows_what_the_node_publishes(config) -> None:
    displays = yaml.safe_load((config / "segpoint.rviz").read_text())["Visualization Manager"]["Displays"]
    shown = {d["Name"]: (d["Class"].split("/")[1], d["Topic"]) for d in displays if "Topic" in d}
    assert {name: (kind, topic["Value"], topic["Reliability Policy"]) for name, (kind, topic) in shown.items()} == {
        "Input": ("PointCloud2", "/segpoint/input/points", "Best Effort"),
        "Answer": ("PointCloud2", "/segpoint/output/points", "Reliable"),
        "Targets": ("MarkerArray", "/segpoint/output/markers", "Reliable"),
    }


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
        f"{share}/launch/segpoint.launch.py",
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
    imported = set(re.findall(r"^from (rclpy|\w+_msgs|rcl_interfaces|builtin_interfaces)\b", code, re.MULTILINE))
    assert len(imported) > 5 and imported <= needed


def test_the_launch_file_with_the_real_launch(repository) -> None:
    """Where ROS 2 is installed and this package is built: every argument is described and has a default."""
    pytest.importorskip("launch_ros")
    from launch.actions import DeclareLaunchArgument
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    packages = pytest.importorskip("ament_index_python.packages")
    try:
        packages.get_package_share_directory("segpoint_ros")
    except packages.PackageNotFoundError:
        pytest.skip("segpoint_ros is not built in this ROS environment")
    description = get_launch_description_from_python_launch_file(str(repository / "launch" / "segpoint.launch.py"))
    arguments = {a.name: a for a in description.entities if isinstance(a, DeclareLaunchArgument)}
    expected = {"model", "input_topic", "instruction_topic", "build_only", "params_file", "rviz", "use_sim_time"}
    assert expected <= set(arguments)
    for argument in arguments.values():
        assert argument.default_value is not None
        assert len(argument.description) > 10


def test_ros2_launch_lists_the_arguments() -> None:
    """The real command, where it is installed."""
    ros2 = shutil.which("ros2")
    if ros2 is None or importlib.util.find_spec("ros2launch") is None:
        pytest.skip("no ros2 launch here")
    done = subprocess.run(
        [sys.executable, ros2, "launch", "segpoint_ros", "segpoint.launch.py", "--show-args"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if "Package 'segpoint_ros' not found" in done.stderr:
        pytest.skip("segpoint_ros is not built in this ROS environment")
    assert done.returncode == 0, done.stderr
    assert "'input_topic':" in done.stdout
