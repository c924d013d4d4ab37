"""Start the node, with RViz where wanted: ``ros2 launch segpoint_ros segpoint.launch.py --show-args``."""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition, InvalidConditionExpressionError
from launch.events.process import ProcessExited
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.utilities import prefix_namespace

CONFIG = Path(__file__).resolve().parents[1] / "config"

# Where Fast DDS looks for its settings; up to Jazzy by an older name, which a newer one complains of.
OLD_NAME = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE" if OLD_NAME else "FASTDDS_DEFAULT_PROFILES_FILE"

ARGUMENTS = {
    "model": ("", "Bundle folder (config.json, model.safetensors); empty leaves it to the parameters."),
    "instruction": ("", "What is asked first, in words; empty leaves it to the parameters."),
    "input_topic": ("/camera/camera/depth/color/points", "The clouds (sensor_msgs/PointCloud2)."),
    "instruction_topic": ("/instruction", "What to find, in words (std_msgs/String)."),
    "clicked_point_topic": (
        "/clicked_point",
        "A point on what is meant (geometry_msgs/PointStamped), as RViz sends it.",
    ),
    "box_topic": ("~/input/box", "A box around what is meant (visualization_msgs/Marker, CUBE)."),
    "params_file": ("", "Parameters of yours, read last; empty: none."),
    "preset_file": ("", "Parameters of a preset, read before params_file; empty: none."),
    "build_only": ("false", "Only build the model's engines into the cache, and stop: no topics, no RViz."),
    "use_sim_time": (
        "",
        "Take the time from /clock (a simulation, a bag with --clock); empty leaves it to the parameters.",
    ),
    "namespace": ("", "Namespace of the node and of what it publishes."),
    "node_name": ("segpoint", "Name of the node, which its topics and services begin with."),
    "log_level": ("info", "The node logs what is at least this: debug, info, warn, error or fatal."),
    "respawn": ("false", "Start the node again, 2 s later, whenever it ends by itself."),
    "enclave": ("", "The node's enclave, where SROS 2 is used (docs/security.md); empty: ROS's default."),
    "rviz": ("true", "Also start RViz with the clouds, the markers and the tool to click."),
    "fixed_frame": ("camera_link", "RViz's fixed frame; the clouds' own frame_id where nobody publishes transforms."),
}


def generate_launch_description() -> LaunchDescription:
    """The transport that clouds need, the node, and RViz."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    profile = str(CONFIG / "fastdds.xml")
    transport = SetEnvironmentVariable(PROFILE, EnvironmentVariable(PROFILE, default_value=profile))  # the user's stays
    return LaunchDescription([*arguments, transport, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    on = {name: _is_on(context, name, given[name]) for name in ("use_sim_time", "build_only", "respawn", "rviz")}
    # What is passed on only where it is given does not hide the params_file's.
    time = {"use_sim_time": on["use_sim_time"]} if given["use_sim_time"] else {}
    own = {**time, **_own(given)}
    if on["build_only"]:
        return [_node(context, given, {**own, "build_only": True}, on_exit=_not_built)]
    # RViz first: launch leaves a node behind that it has started before it finds that there is no RViz.
    rviz = [_rviz(given, time)] if on["rviz"] else []
    return [*rviz, _node(context, given, own, respawn=on["respawn"], respawn_delay=2.0)]


def _own(given: dict[str, str]) -> dict[str, ParameterValue]:
    """The parameters that are arguments of this launch, as the strings that they are."""
    model = os.path.abspath(os.path.expanduser(given["model"])) if given["model"] else ""
    own = {"model.bundle": model, "instruction": given["instruction"]}
    return {name: ParameterValue(value, value_type=str) for name, value in own.items() if value}


def _node(context: LaunchContext, given: dict[str, str], own: dict[str, object], **ending: object) -> Node:
    """The node with the parameters of the files and, over them, its own ones; and what is done when it ends."""
    namespace = prefix_namespace(context.launch_configurations.get("ros_namespace"), given["namespace"] or None)
    logger = ".".join(filter(None, [*(namespace or "").split("/"), given["node_name"]]))
    enclave = ["--enclave", given["enclave"]] if given["enclave"] else []
    return Node(
        package="segpoint_ros",
        executable="segpoint-node",
        name=given["node_name"],
        namespace=given["namespace"],
        parameters=[*_files(given), *([own] if own else [])],
        remappings=[
            ("~/input/points", given["input_topic"]),
            ("~/input/box", given["box_topic"]),
            ("instruction", given["instruction_topic"]),
            ("clicked_point", given["clicked_point_topic"]),
        ],
        ros_arguments=["--log-level", f"{logger}:={given['log_level']}", *enclave],
        output="screen",
        emulate_tty=True,
        **ending,
    )


def _not_built(event: ProcessExited, context: LaunchContext) -> None:
    """Let `ros2 launch` fail where its node has: by itself it ends with 0."""
    if event.returncode:
        raise RuntimeError(f"build_only: the node has ended with {event.returncode}")


def _files(given: dict[str, str]) -> list[str]:
    """The parameter files, the later over the earlier. ROS would go on without one that is not there."""
    files = [str(CONFIG / "segpoint.yaml")]
    for name in ("preset_file", "params_file"):
        if given[name]:
            file = os.path.abspath(os.path.expanduser(given[name]))
            if not os.path.isfile(file):
                raise FileNotFoundError(f"{name}:={given[name]}: there is no file {file}")
            files.append(file)
    return files


def _rviz(given: dict[str, str], time: dict[str, object]) -> Node:
    """RViz with topic names of its own in segpoint.rviz, pointed here at those of this launch."""
    outputs = ("points", "filtered", "markers", "targets")
    return Node(
        package="rviz2",
        executable="rviz2",
        name=f"{given['node_name']}_rviz",
        namespace=given["namespace"],
        parameters=[time] if time else [],
        arguments=["-d", str(CONFIG / "segpoint.rviz"), "-f", given["fixed_frame"]],
        remappings=[
            ("/segpoint/input/points", given["input_topic"]),
            ("/clicked_point", given["clicked_point_topic"]),
            # Relative: in this launch's namespace.
            *((f"/segpoint/output/{name}", f"{given['node_name']}/output/{name}") for name in outputs),
        ],
    )


def _is_on(context: LaunchContext, name: str, value: str) -> bool:
    try:
        return bool(value) and IfCondition(value).evaluate(context)
    except InvalidConditionExpressionError:
        raise ValueError(f"{name}:={value}: expected true or false") from None
