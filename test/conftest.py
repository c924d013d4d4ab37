"""What every test may need: the repository, the folder of reference data, and a ROS graph of its own."""

from __future__ import annotations

import os
import random
import signal
import socket
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Before anything imports torch or creates a DDS participant: both read their settings once.
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as segpoint sets it: spinning starves the other processes
_OLD_NAME = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
_PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE" if _OLD_NAME else "FASTDDS_DEFAULT_PROFILES_FILE"
os.environ[_PROFILE] = str(REPOSITORY / "config" / "fastdds_loopback.xml")


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
    return {**os.environ, "ROS_DOMAIN_ID": str(_free_domain()), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _free_domain() -> int:
    """A domain whose first port is free: every participant of a domain takes ports from 7400 + 250 · domain on."""
    for domain in random.sample(range(1, 100), 99):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise RuntimeError("every ROS domain of this machine is in use")
