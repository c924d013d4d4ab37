"""The node for a LiDAR whose driver publishes clouds in a body frame, a Velodyne's, say.

The driver is started beside it, with the same transport (README, "Transport"):

    ros2 launch velodyne velodyne-all-nodes-VLP16-launch.py

The model that ships looks 8 m far and is weak on LiDAR clouds, which have no colour: see README, "Results".
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
                default_value="/velodyne_points",
                description="The LiDAR's clouds (sensor_msgs/PointCloud2): /points, /ouster/points, …",
            ),
            DeclareLaunchArgument(
                "fixed_frame",
                default_value="velodyne",
                description="RViz's fixed frame: the clouds' frame_id, or one that the robot has transforms from.",
            ),
            DeclareLaunchArgument(
                "preset_file",
                default_value=str(HERE.parent / "config" / "presets" / "lidar.yaml"),
                description="The preset's parameters, read before params_file.",
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / "segpoint.launch.py"))),
        ]
    )
