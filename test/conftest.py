"""What every test may need: the repository, the folder of reference data, and a ROS graph of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from segpoint_ros.process import PROFILE, free_domain

if TYPE_CHECKING:
    from robot import Robot
    from sensor_msgs.msg import PointCloud2

    from segpoint_training.scenes.scene import Scene

pytest.register_assert_rewrite(
    "annotating", "farm_workers", "hostile", "own_by_hand", "replay_bags", "robot", "toy_scenes"
)  # helpers that assert say what was compared, too
REPOSITORY = Path(__file__).resolve().parents[1]

# Before anything imports torch or creates a DDS participant: both read their settings once.
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as segpoint sets it: spinning starves the other processes
os.environ[PROFILE] = str(REPOSITORY / "config" / "fastdds_loopback.xml")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data: $SEGPOINT_SHARED or ``shared`` beside the repository. Without it the test skips."""
    folder = Path(os.environ.get("SEGPOINT_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder} (set SEGPOINT_SHARED)")
    return folder


@pytest.fixture(scope="module")
def ros_environment() -> dict[str, str]:
    """The environment for a test's processes: a ROS domain that nobody else on this machine uses, loopback only."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "ROS_DOMAIN_ID": str(free_domain()), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def apart(ros_environment: dict[str, str]) -> dict[str, str]:
    """As ``ros_environment``, in another domain: for a node beside the module's."""
    return {**ros_environment, "ROS_DOMAIN_ID": str(free_domain())}


@pytest.fixture(scope="session")
def scene() -> Scene:
    """The demo's, 640 × 480, which the bundle that ships must find the mug in."""
    from segpoint_training.demo import SEED
    from segpoint_training.scenes.generate import generate_scene

    return generate_scene(SEED, "test", "kinect")


@pytest.fixture
def cloud(scene: Scene) -> PointCloud2:
    """The scene as a camera's message."""
    from std_msgs.msg import Header

    from segpoint_ros.pointcloud2 import make_cloud

    header = Header(frame_id="camera_depth_optical_frame")
    return make_cloud(header, scene.xyz, scene.rgb, scene.width, scene.height)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the module's node says."""
    return tmp_path_factory.mktemp("node") / "node.log"


@pytest.fixture(scope="module")
def process(
    ros_environment: dict[str, str], log: Path, request: pytest.FixtureRequest
) -> Iterator[subprocess.Popen[bytes]]:
    """The module's node, a process of its own, with the module's NODE_ARGUMENTS."""
    from segpoint_ros.process import running_node

    with running_node(log, ros_environment, *getattr(request.module, "NODE_ARGUMENTS", ())) as process:
        yield process


@pytest.fixture(scope="module")
def robot(ros_environment: dict[str, str], process: subprocess.Popen[bytes]) -> Iterator[Robot]:
    """Everything around the module's node."""
    from robot import Robot

    robot = Robot(int(ros_environment["ROS_DOMAIN_ID"]))
    yield robot
    robot.close()
