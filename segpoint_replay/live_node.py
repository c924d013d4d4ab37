"""The node of a live replay: found in its ROS graph, or started in one of its own, and ended afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segpoint.errors import SegPointError
from segpoint_replay.job import Job
from segpoint_replay.record import LOG
from segpoint_ros.process import graph_of_its_own, last_words, running_node, transport

if TYPE_CHECKING:
    from segpoint_replay.player import Player

NODE = "/segpoint"
LOADS_WITHIN = 1800.0  # seconds; the first start builds engines
FOUND_WITHIN = 60.0  # and it has said something of itself by then


@contextmanager
def connected(job: Job) -> Iterator[tuple[Player, Callable[[], None]]]:
    """A player that the job's node hears, and what raises SegPointError once a node that was started has ended.

    Raises SegPointError as `Player.connect` and `Player.check_absent` do.
    """
    from segpoint_replay.player import Player

    graph = transport(os.environ, "fastdds.xml") if job.node else graph_of_its_own(os.environ)
    with _surrounded_by(graph), Player(job.node or NODE, job.out) as player, _node(job, player) as check:
        player.connect(check, FOUND_WITHIN, LOADS_WITHIN)
        yield player, check


@contextmanager
def _node(job: Job, player: Player) -> Iterator[Callable[[], None]]:
    """The node, while it is needed; gives what raises SegPointError once it has ended."""
    if job.node:
        yield lambda: None
        return
    player.check_absent()
    log = Path(job.out) / LOG
    with running_node(log, os.environ, *_arguments(job)) as process:

        def check() -> None:
            if process.poll() is not None:
                raise SegPointError(f"the node has ended with {process.returncode}; {log} ends: {last_words(log)}")

        yield check


@contextmanager
def _surrounded_by(environment: dict[str, str]) -> Iterator[None]:
    """This process's environment, for a while: rclpy and DDS read it when a participant is made."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in environment.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _arguments(job: Job) -> list[str]:
    """The job's parameters as ROS arguments. A value is YAML, of which JSON is a part."""
    given = dict(job.parameters)
    if job.bundle:
        given["model.bundle"] = os.path.abspath(job.bundle)
    return [
        word for name, value in given.items() for word in ("-p", f"{name}:={json.dumps(value, ensure_ascii=False)}")
    ]
