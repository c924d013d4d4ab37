"""What the real `ros2 launch`, where it is installed, passes on. stand_in.py is started for every program."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("launch_ros")
pytest.importorskip("ros2launch")

from launch.launch_description_sources import get_launch_description_from_python_launch_file  # noqa: E402

ROS2 = shutil.which("ros2")
if ROS2 is None:
    pytest.skip("no ros2 on the PATH", allow_module_level=True)

LAUNCH_FILES = ("segpoint", "realsense", "lidar", "simulation", "two", "replay")
REQUIRED = {"bag"}
PROFILE = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
MINE = """\
/**:
  ros__parameters:
    input: {max_age: 7.5}
    model: {bundle: /of/the/file}
    instruction: of the file
"""

Said = dict[str, dict[str, Any]]  # by program and full name: "node.left.segpoint"


@pytest.fixture
def launch(repository: Path, tmp_path: Path, ros_environment: dict[str, str]) -> Callable[..., Said]:
    """Launches a file of this repository with arguments, and returns what the programs said, by name."""
    programs = (
        ("segpoint_ros", "segpoint-node", "node"),
        ("segpoint_ros", "segpoint", "player"),
        ("rviz2", "rviz2", "rviz"),
    )
    for package, program, short in programs:
        marker = tmp_path / "share" / "ament_index" / "resource_index" / "packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        executable = tmp_path / "lib" / package / program
        executable.parent.mkdir(parents=True, exist_ok=True)
        stand_in = Path(__file__).with_name("stand_in.py")
        executable.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} {short} "$@"\n')
        executable.chmod(0o755)
    prefixes = os.pathsep.join([str(tmp_path), ros_environment.get("AMENT_PREFIX_PATH", "")])
    says = tmp_path / "says"
    says.mkdir()
    environment = {
        **ros_environment,
        "AMENT_PREFIX_PATH": prefixes,
        "STAND_IN": str(says),
        "ROS_LOG_DIR": str(tmp_path),
    }

    def run(name: str, *arguments: str, without: tuple[str, ...] = (), ends: int = 0) -> Said:
        command = [sys.executable, str(ROS2), "launch", str(repository / "launch" / f"{name}.launch.py"), *arguments]
        given = {name: value for name, value in environment.items() if name not in without}
        given["STAND_IN_ENDS"] = str(ends)
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return {file.stem: json.loads(file.read_text()) for file in says.iterdir()}

    return run


@pytest.mark.parametrize("name", LAUNCH_FILES)
def test_every_argument_is_described_and_has_a_default(repository: Path, name: str) -> None:
    file = repository / "launch" / f"{name}.launch.py"
    arguments = get_launch_description_from_python_launch_file(str(file)).get_launch_arguments()
    assert {"model", "instruction", "instruction_topic", "params_file", "rviz"} <= {each.name for each in arguments}
    for argument in arguments:
        assert (argument.default_value is None) == (argument.name in REQUIRED), argument.name
        assert len(argument.description) > 10, argument.name


def test_the_readme_lists_the_arguments(repository: Path) -> None:
    file = repository / "launch" / "segpoint.launch.py"
    arguments = get_launch_description_from_python_launch_file(str(file)).get_launch_arguments()
    defaults = {each.name: "".join(part.perform(None) for part in each.default_value) for each in arguments}
    table = (repository / "README.md").read_text().partition("launch file's arguments")[2].partition("\n\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? *\|", table, re.MULTILINE)
    assert dict(rows) == defaults and len(rows) == len(defaults)


def test_as_it_comes(launch: Callable[..., Said], repository: Path) -> None:
    said = launch("segpoint", without=PROFILE)
    assert set(said) == {"node.segpoint", "rviz.segpoint_rviz"}
    node, rviz = said["node.segpoint"], said["rviz.segpoint_rviz"]
    camera = "/camera/camera/depth/color/points"
    assert node["topics"]["~/input/points"] == rviz["topics"]["/segpoint/input/points"] == camera
    assert node["topics"]["~/input/box"] == "/segpoint/input/box"
    assert node["topics"]["instruction"] == "/instruction"
    assert node["topics"]["clicked_point"] == rviz["topics"]["/clicked_point"] == "/clicked_point"
    assert node["topics"]["~/output/points"] == rviz["topics"]["/segpoint/output/points"] == "/segpoint/output/points"
    assert node["parameters"]["model.bundle"] == node["parameters"]["instruction"] == ""
    assert not node["parameters"]["build_only"] and not node["parameters"]["use_sim_time"]
    assert node["level"] == "INFO"
    assert node["transport"] == rviz["transport"] == [str(repository / "config" / "fastdds.xml")]
    assert rviz["arguments"] == ["-d", str(repository / "config" / "segpoint.rviz"), "-f", "camera_link"]


def test_everything_follows_the_name_and_the_namespace(launch: Callable[..., Said]) -> None:
    said = launch("segpoint", "namespace:=left", "node_name:=finder", "clicked_point_topic:=clicked", "log_level:=warn")
    node, rviz = said["node.left.finder"], said["rviz.left.finder_rviz"]
    assert node["topics"]["~/input/box"] == "/left/finder/input/box"
    assert node["topics"]["clicked_point"] == rviz["topics"]["/clicked_point"] == "/left/clicked"
    assert node["level"] == "WARN"
    assert node["transport"] == [os.environ[name] for name in PROFILE if name in os.environ]  # the user's stays
    for output in ("points", "filtered"):
        assert node["topics"][f"~/output/{output}"] == rviz["topics"][f"/segpoint/output/{output}"]
    shown = [topic for name, topic in rviz["topics"].items() if name.startswith("/segpoint/output/")]
    assert len(shown) == 4 and all(topic.startswith("/left/finder/output/") for topic in shown)


def test_what_is_not_given_does_not_hide_the_parameter_file(launch: Callable[..., Said], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE)
    parameters = launch("realsense", f"params_file:={mine}", "rviz:=false")["node.segpoint"]["parameters"]
    assert parameters["input.max_age"] == 7.5  # mine over the preset's 1.0
    assert parameters["input.frame"] == "optical"  # the preset's over the default
    assert parameters["markers.text_height"] == 0.03  # the default
    assert (parameters["model.bundle"], parameters["instruction"]) == ("/of/the/file", "of the file")
    given = ["model:=models/other", "instruction:=yes; 3", "rviz:=false"]
    parameters = launch("realsense", f"params_file:={mine}", *given)["node.segpoint"]["parameters"]
    assert parameters["model.bundle"] == str(Path("models/other").resolve())
    assert parameters["instruction"] == "yes; 3"


def test_a_parameter_file_that_is_not_there_starts_nothing(launch: Callable[..., Said], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"params_file:=gone\.yaml: there is no file .*gone\.yaml"):
        launch("segpoint", "params_file:=gone.yaml")
    assert not list((tmp_path / "says").iterdir())


def test_without_rviz_there_is_no_node_that_nobody_ends(launch: Callable[..., Said], tmp_path: Path) -> None:
    """launch leaves behind what it has just started when it finds out."""
    (tmp_path / "share" / "ament_index" / "resource_index" / "packages" / "rviz2").unlink()
    with pytest.raises(AssertionError, match="'rviz2' not found"):
        launch("segpoint")
    time.sleep(2)
    assert not list((tmp_path / "says").iterdir())
    assert set(launch("segpoint", "rviz:=false")) == {"node.segpoint"}


def test_build_only_starts_the_node_alone(launch: Callable[..., Said]) -> None:
    said = launch("segpoint", "build_only:=true", "use_sim_time:=true")
    assert set(said) == {"node.segpoint"}
    assert said["node.segpoint"]["parameters"]["build_only"] is True
    assert said["node.segpoint"]["parameters"]["use_sim_time"] is True
    with pytest.raises(AssertionError, match="build_only: the node has ended with 1"):
        launch("segpoint", "build_only:=true", ends=1)


def test_the_lidar_preset(launch: Callable[..., Said]) -> None:
    said = launch("lidar", "input_topic:=/points")
    node, rviz = said["node.segpoint"], said["rviz.segpoint_rviz"]
    assert node["topics"]["~/input/points"] == rviz["topics"]["/segpoint/input/points"] == "/points"
    assert node["parameters"]["input.frame"] == "body" and node["parameters"]["clusters.distance"] == 0.3
    assert rviz["arguments"][-2:] == ["-f", "velodyne"]


def test_the_simulation_preset(launch: Callable[..., Said]) -> None:
    said = launch("simulation")
    assert [each["parameters"]["use_sim_time"] for each in said.values()] == [True, True]
    assert said["node.segpoint"]["topics"]["~/input/points"] == "/rgbd_camera/points"
    assert said["node.segpoint"]["parameters"]["input.frame"] == "body"


def test_two_nodes_share_nothing_but_their_settings(launch: Callable[..., Said]) -> None:
    said = launch("two", "rviz:=true", "instruction:=the mug", "namespace2:=right")
    assert len(said) == 4
    first, second, rviz = (
        said[name] for name in ("node.camera1.segpoint", "node.right.segpoint", "rviz.right.segpoint_rviz")
    )
    own = [name for name in first["topics"] if not name.startswith("/")]
    assert not {first["topics"][name] for name in own} & {second["topics"][name] for name in own}
    assert first["topics"]["~/input/points"] == "/camera1/camera1/depth/color/points"
    assert second["topics"]["instruction"] == "/right/instruction"
    assert second["topics"]["clicked_point"] == rviz["topics"]["/clicked_point"] == "/right/clicked_point"
    assert first["parameters"]["instruction"] == second["parameters"]["instruction"] == "the mug"
    assert rviz["arguments"][-1] == "camera2_link"


def test_replay_plays_to_the_node_and_ends_with_it(launch: Callable[..., Said], repository: Path) -> None:
    said = launch("replay", "bag:=run 1", "instruction:=the mug; the box", "namespace:=left", "rate:=2", "rviz:=false")
    assert set(said) == {"node.left.segpoint", "player"}
    node, player = said["node.left.segpoint"], said["player"]
    assert player["arguments"] == [
        "replay", "run 1", "--live", "--node=/left/segpoint",
        "--instruction=the mug; the box", "--rate=2", "--out=out/replay",
    ]  # fmt: skip
    assert node["topics"]["~/input/points"] == "/segpoint/input/points"
    assert node["transport"] == player["transport"] and not node["parameters"]["use_sim_time"]
    with pytest.raises(AssertionError, match="the replay has ended with 1"):
        launch("replay", "bag:=run1", "rviz:=false", ends=1)
    with pytest.raises(AssertionError, match="missing required argument 'bag'"):
        launch("replay")
