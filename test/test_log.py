"""What the library logs appears in a node's log, at its level, while the node lives."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from rclpy.logging import get_logger  # noqa: E402

from segpoint_ros.log import NodeLog  # noqa: E402

LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERROR", "critical": "FATAL"}
LIBRARY = logging.getLogger("segpoint.engines")


@pytest.fixture
def log() -> Iterator[NodeLog]:
    log = NodeLog(get_logger("node_log"))
    yield log
    log.close()


def printed(capfd: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """Level and text of every line that ROS has printed."""
    lines = [line for line in "".join(capfd.readouterr()).splitlines() if "[node_log]: " in line]
    return [(line.split("]")[0].lstrip("["), line.split("[node_log]: ")[1]) for line in lines]


def test_every_level_is_passed_on_more_than_once(log, capfd) -> None:
    for level in (*LEVELS, *LEVELS):
        getattr(LIBRARY, level)("%s of %d", level, 3)
    shown = [(name, f"{level} of 3") for level, name in LEVELS.items() if level != "debug"]  # ROS's own default
    assert printed(capfd) == [*shown, *shown]


def test_a_message_that_cannot_be_put_together_harms_nobody(log, capfd, monkeypatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    LIBRARY.warning("%d", "no number")
    LIBRARY.warning("goes on")
    assert printed(capfd) == [("WARN", "goes on")]


def test_nothing_is_passed_on_twice_or_after_the_end(capfd) -> None:
    logs = [NodeLog(get_logger("node_log")) for _ in range(2)]
    logs[0].close()
    LIBRARY.info("one node left")
    for log in logs:
        log.close()
    LIBRARY.info("none")
    assert printed(capfd) == [("INFO", "one node left")]
    assert logging.getLogger("segpoint").level == logging.NOTSET
