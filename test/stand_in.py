"""What `ros2 launch` starts in test_ros2_launch.py in place of the node, RViz and `segpoint`; it says how.

Written to the folder $STAND_IN, as JSON: the arguments that are not ROS's, the parameters, what the topics of the node
and of RViz resolve to, the level of the log and the transport's profile. It ends with $STAND_IN_ENDS, the player, with
which all ends, once the node has said so, too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

import rclpy
import yaml
from rclpy.utilities import remove_ros_args

NODE = ("~/input/points", "~/input/box", "instruction", "clicked_point", "~/output/points", "~/output/filtered")
RVIZ = Path(__file__).resolve().parents[1] / "config" / "segpoint.rviz"
PROFILE = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def play(arguments: list[str]) -> NoReturn:
    says = Path(os.environ["STAND_IN"])
    end = time.monotonic() + 60
    while time.monotonic() < end and not any(says.glob("node.*")):
        time.sleep(0.1)
    said = {"arguments": arguments, "transport": [os.environ[name] for name in PROFILE if name in os.environ]}
    (says / "player.json").write_text(json.dumps(said))
    sys.exit(int(os.environ["STAND_IN_ENDS"]))


def main(program: str, arguments: list[str]) -> NoReturn:
    if program == "player":
        play(arguments)
    rclpy.init(args=arguments)
    node = rclpy.create_node(
        "unnamed", allow_undeclared_parameters=True, automatically_declare_parameters_from_overrides=True
    )
    manager = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]
    rviz = [each["Topic"]["Value"] for each in manager["Displays"] + manager["Tools"] if "Topic" in each]
    said = {
        "arguments": remove_ros_args(arguments),
        "parameters": {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()},
        "topics": {topic: node.resolve_topic_name(topic) for topic in (*NODE, *rviz)},
        "level": node.get_logger().get_effective_level().name,
        "transport": [os.environ[name] for name in PROFILE if name in os.environ],
    }
    name = node.get_fully_qualified_name().replace("/", ".")
    (Path(os.environ["STAND_IN"]) / f"{program}{name}.json").write_text(json.dumps(said, default=list))
    sys.exit(int(os.environ["STAND_IN_ENDS"]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
