"""Start the node, with RViz where wanted: ``ros2 launch segpoint_ros segpoint.launch.py --show-args``."""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = os.path.join(get_package_share_directory("segpoint_ros"), "config")

# Where Fast DDS looks for its settings; up to Jazzy by an older name, which a newer one complains of.
OLD_NAME = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE" if OLD_NAME else "FASTDDS_DEFAULT_PROFILES_FILE"

ARGUMENTS = {
    "model": ("", "Bundle folder (config.json, model.safetensors); empty leaves it to the params_file."),
    "input_topic": ("/camera/camera/depth/color/points", "The clouds (sensor_msgs/PointCloud2)."),
    "instruction_topic": ("/instruction", "What to find, in words (std_msgs/String)."),
    "params_file": (os.path.join(CONFIG, "segpoint.yaml"), "The node's parameters."),
    "build_only": ("false", "Only build the model's engines into the cache, and stop: no topics, no RViz."),
    "use_sim_time": ("false", "Take the time from /clock (a simulation, or a bag played with --clock)."),
    "namespace": ("", "Namespace of the node and of what it publishes."),
    "rviz": ("true", "Also start RViz with the input, the labelled cloud and the markers."),
    "fixed_frame": ("camera_link", "RViz's fixed frame; the clouds' own frame_id where nobody publishes transforms."),
}


def generate_launch_description() -> LaunchDescription:
    """The node, the transport that its clouds need, and RViz."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    profile = os.path.join(CONFIG, "fastdds.xml")
    transport = SetEnvironmentVariable(PROFILE, EnvironmentVariable(PROFILE, default_value=profile))  # the user's stays
    rviz = GroupAction([_rviz()], condition=UnlessCondition(LaunchConfiguration("build_only")))
    return LaunchDescription([*arguments, transport, OpaqueFunction(function=_node), rviz])


def _node(context: LaunchContext) -> list[Node]:
    """The node. What is passed on only where it is given does not hide the params_file's."""
    parameters = [
        LaunchConfiguration("params_file"),
        {"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)},
    ]
    model = LaunchConfiguration("model").perform(context)
    if model:
        parameters.append({"model": ParameterValue(os.path.abspath(os.path.expanduser(model)), value_type=str)})
    if IfCondition(LaunchConfiguration("build_only")).evaluate(context):
        parameters.append({"build_only": True})
    return [
        Node(
            package="segpoint_ros",
            executable="segpoint-node",
            name="segpoint",
            namespace=LaunchConfiguration("namespace"),
            parameters=parameters,
            remappings=[
                ("~/input/points", LaunchConfiguration("input_topic")),
                ("instruction", LaunchConfiguration("instruction_topic")),
            ],
            output="screen",
            emulate_tty=True,
        )
    ]


def _rviz() -> Node:
    """RViz with topic names of its own in segpoint.rviz, pointed here at those of this launch."""
    outputs = [f"segpoint/output/{name}" for name in ("points", "markers")]
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        namespace=LaunchConfiguration("namespace"),
        parameters=[{"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)}],
        arguments=["-d", os.path.join(CONFIG, "segpoint.rviz"), "-f", LaunchConfiguration("fixed_frame")],
        remappings=[
            ("/segpoint/input/points", LaunchConfiguration("input_topic")),
            *((f"/{output}", output) for output in outputs),  # relative: in this launch's namespace
        ],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
