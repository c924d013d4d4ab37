"""Two nodes side by side, each with its camera, its instructions and its outputs in a namespace of its own.

By the names that two RealSense cameras have, whose driver is started beside it:

    ros2 launch realsense2_camera rs_multi_camera_launch.py pointcloud.enable1:=true pointcloud.enable2:=true

Each node loads the model for itself. More cameras, or other arguments: segpoint.launch.py once for each.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    PopLaunchConfigurations,
    PushLaunchConfigurations,
    ResetLaunchConfigurations,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

HERE = Path(__file__).resolve().parent

EACH = {
    "namespace": ("camera{}", "Namespace of node {} and of what it publishes."),
    "input_topic": ("/camera{0}/camera{0}/depth/color/points", "The clouds of node {} (sensor_msgs/PointCloud2)."),
    "fixed_frame": ("camera{}_link", "Fixed frame of node {}'s RViz."),
}
BOTH = {
    "instruction": ("", "What both are asked first, in words; empty leaves it to the parameters."),
    "instruction_topic": ("instruction", "What to find. Relative: in each namespace its own; /instruction asks both."),
    "clicked_point_topic": ("clicked_point", "A point on what is meant, relative or absolute as well."),
    "model": ("", "Bundle folder; empty leaves it to the parameters."),
    "preset_file": (str(HERE.parent / "config" / "presets" / "realsense.yaml"), "Parameters read before params_file."),
    "params_file": ("", "Parameters of yours for both; /camera1/segpoint: in it is for one of them."),
    "use_sim_time": ("", "Take the time from /clock; empty leaves it to the parameters."),
    "log_level": ("info", "The nodes log what is at least this: debug, info, warn, error or fatal."),
    "respawn": ("false", "Start a node again, 2 s later, whenever it ends by itself."),
    "rviz": ("false", "Also start RViz, once for each node."),
}


def generate_launch_description() -> LaunchDescription:
    """segpoint.launch.py twice; only what is declared here is passed on."""
    arguments = [_argument(name, default, description) for name, (default, description) in BOTH.items()]
    for number in (1, 2):
        arguments += [_argument(f"{name}{number}", *(text.format(number) for text in EACH[name])) for name in EACH]
    return LaunchDescription([*arguments, *_node(1), *_node(2)])


def _argument(name: str, default: str, description: str) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(name, default_value=default, description=description)


def _node(number: int) -> list[Action]:
    """Node 1 or 2, with the arguments that have its number, in the namespace and environment of who includes this."""
    given = {name: LaunchConfiguration(name) for name in BOTH}
    given |= {name: LaunchConfiguration(f"{name}{number}") for name in EACH}
    given["ros_namespace"] = LaunchConfiguration("ros_namespace", default="")
    include = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / "segpoint.launch.py")))
    return [PushLaunchConfigurations(), ResetLaunchConfigurations(given), include, PopLaunchConfigurations()]
