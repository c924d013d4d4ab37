"""The node for a simulated depth camera: Gazebo's rgbd_camera, by the names of ros_gz_sim_demos.

Gazebo is started beside it, and the bridge that brings its clouds and its clock to ROS:

    ros2 run ros_gz_bridge parameter_bridge \\
        "/rgbd_camera/points@sensor_msgs/msg/PointCloud2[gz.msgs.PointCloudPacked" \\
        "/clock@rosgraph_msgs/msg/Clock[gz.msgs.Clock"
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
                "use_sim_time",
                default_value="true",
                description="Take the time from /clock.",
            ),
            DeclareLaunchArgument(
                "input_topic",
                default_value="/rgbd_camera/points",
                description="The simulated clouds (sensor_msgs/PointCloud2).",
            ),
            DeclareLaunchArgument(
                "fixed_frame",
                default_value="rgbd_camera/link/rgbd_camera",
                description="RViz's fixed frame: the clouds' frame_id (model/link/sensor, or gz_frame_id).",
            ),
            DeclareLaunchArgument(
                "preset_file",
                default_value=str(HERE.parent / "config" / "presets" / "simulation.yaml"),
                description="The preset's parameters, read before params_file.",
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / "segpoint.launch.py"))),
        ]
    )
