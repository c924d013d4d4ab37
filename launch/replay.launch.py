"""Replay a bag through the node, and stop: what it answered, how late, and what it dropped.

    ros2 launch segpoint_ros replay.launch.py bag:=run1 instruction:="pick up the mug"

The clouds' own stamps are kept and nothing publishes /clock: leave use_sim_time as it is.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.substitutions import ExecutableInPackage
from launch_ros.utilities import prefix_namespace

HERE = Path(__file__).resolve().parent

ARGUMENTS = {
    "instruction": ("", "Asked of every cloud; several are separated by semicolons. Empty: what labels or bag say."),
    "labels": ("", "The truth: a folder with an instructions.json beside labelled clouds; empty: none."),
    "topic": ("", "The bag's clouds; empty takes the only ones."),
    "rate": ("1.0", "Of the bag's own speed."),
    "out": ("out/replay", "A folder for the bag's record, answers and report is made in it."),
    "input_topic": ("/segpoint/input/points", "What the clouds are published on, so that no camera is in the way."),
    "fixed_frame": ("camera_depth_optical_frame", "RViz's fixed frame: the bag's clouds' frame_id."),
}


def generate_launch_description() -> LaunchDescription:
    """segpoint.launch.py with other defaults, and what plays to its node; all ends with the bag."""
    bag = DeclareLaunchArgument("bag", description="A rosbag2 folder, an .mcap, .db3 or ROS 1 .bag file.")
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    node = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / "segpoint.launch.py")))
    return LaunchDescription([bag, *arguments, node, OpaqueFunction(function=_play)])


def _play(context: LaunchContext) -> list[Action]:
    given = {name: LaunchConfiguration(name).perform(context) for name in (*ARGUMENTS, "bag", "namespace", "node_name")}
    namespace = prefix_namespace(context.launch_configurations.get("ros_namespace"), given["namespace"] or None)
    node = "/".join(["", *filter(None, [*(namespace or "").split("/"), given["node_name"]])])
    options = {name: given[name] for name in ("instruction", "labels", "topic", "rate", "out") if given[name]}
    return [
        ExecuteProcess(
            cmd=[
                ExecutableInPackage("segpoint", "segpoint_ros"),
                "replay",
                given["bag"],
                "--live",
                f"--node={node}",
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            output="screen",
            emulate_tty=True,
            on_exit=_ended,
        )
    ]


def _ended(event: ProcessExited, context: LaunchContext) -> list[Action]:
    """Everything ends with the bag; `ros2 launch` fails where the replay has."""
    if event.returncode:
        raise RuntimeError(f"the replay has ended with {event.returncode}")
    return [Shutdown(reason="the bag has been replayed")]
