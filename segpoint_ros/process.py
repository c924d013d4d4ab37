"""The node as a process of its own, and the ROS graph that it stands in. This file needs no ROS."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segpoint.config import default_bundle
from segpoint.errors import SegPointError

_OLD_NAME = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE" if _OLD_NAME else "FASTDDS_DEFAULT_PROFILES_FILE"
"""Where Fast DDS looks for its settings: once in a process, when its first participant is made."""
ENDS_WITHIN = 10.0  # seconds after Ctrl-C; a computation under way is not waited for longer


def transport(environment: Mapping[str, str], name: str) -> dict[str, str]:
    """The environment with room for large clouds (README, Transport): a file of config/, unless one is set."""
    path = default_bundle().parents[1] / "config" / name  # beside models/, in a checkout and where it is installed
    if not path.is_file():
        raise SegPointError(f"{path} is not there: install the package again")
    return {PROFILE: str(path), **environment}


def graph_of_its_own(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for processes that are to meet each other only: large clouds on this machine alone, in a ROS
    domain that nobody else uses. What the user has set of these stays."""
    alone = transport(environment, "fastdds_loopback.xml")
    return alone if alone.get("ROS_DOMAIN_ID") else {**alone, "ROS_DOMAIN_ID": str(free_domain())}


def free_domain() -> int:
    """A domain whose first port is free: every participant of a domain takes ports from 7400 + 250 · domain on."""
    for domain in random.SystemRandom().sample(range(1, 100), 99):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise SegPointError("every ROS domain of this machine is in use: set ROS_DOMAIN_ID")


@contextmanager
def running_node(log: Path, environment: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The node, ended afterwards as Ctrl-C ends it.   log: what it says.   arguments: ROS's, "-p", "name:=value"."""
    with log.open("wb") as output:
        node = subprocess.Popen(
            [sys.executable, "-m", "segpoint_ros", "--ros-args", *arguments],
            env={**environment, "PYTHONUNBUFFERED": "1"},  # its last words, too
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield node
        finally:
            if node.poll() is None:
                node.send_signal(signal.SIGINT)
                try:
                    node.wait(ENDS_WITHIN)
                except subprocess.TimeoutExpired:
                    node.kill()
                    node.wait()


def last_words(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next(filter(None, reversed(lines)), "nothing")
