"""The node for a RealSense, or another depth camera whose driver publishes coloured clouds in an optical frame.

The camera's driver is started beside it, with the same transport (README, "Transport"):

    ros2 launch realsense2_camera rs_launch.py pointcloud.enable:=true
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

HERE = Path(__file__).resolve().parent


def generate_launch_description() -> LaunchDescription:
    """segpoint.launch.py with other defaults: what is declared first counts."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "input_topic",
                default_value="/camera/camera/depth/color/points",
                description="The camera's clouds (sensor_msgs/PointCloud2).",
            ),
            DeclareLaunchArgument(
                "fixed_frame",
                default_value="camera_link",
                description="RViz's fixed frame; the driver publishes the transforms from it to the clouds'.",
            ),
            DeclareLaunchArgument(
                "preset_file",
                default_value=str(HERE.parent / "config" / "presets" / "realsense.yaml"),
                description="The preset's parameters, read before params_file.",
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / "segpoint.launch.py"))),
        ]
    )
