"""Every transition of the real node, twice; and that it ends soon whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import Transition  # noqa: E402
from robot import Robot  # noqa: E402

from segpoint.backbone import cache_folder  # noqa: E402
from segpoint_ros.process import running_node  # noqa: E402
from segpoint_training.demo import INSTRUCTION  # noqa: E402

NODE_ARGUMENTS = ("-p", "autostart:=false", "-p", f"instruction:={INSTRUCTION}")
SOON = 4.0  # two seconds, and two for a loaded machine
CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
SHUTDOWN = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


def resident(process: subprocess.Popen[bytes]) -> float:
    """Memory of a process in MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_every_transition_again_and_again_and_the_memory_comes_back(robot, process, cloud) -> None:
    unconfigured, configured = [], []
    for _ in range(3):  # what libraries keep for good they have after the first time
        assert robot.state() == "unconfigured"
        assert not robot.change_state(ACTIVATE), "not before it is configured"
        assert robot.change_state(CONFIGURE) and robot.state() == "inactive"
        assert not robot.change_state(CONFIGURE), "it is"
        for _ in range(2):
            assert robot.change_state(ACTIVATE) and robot.state() == "active"
            robot.wait_for_active()
            points, _, answer = robot.ask(cloud)
            assert points.header == cloud.header and answer
            assert robot.change_state(DEACTIVATE) and robot.state() == "inactive"
            robot.points.clear()
            robot.show(cloud)
            robot.listen(1.0)
            assert not robot.points
        configured.append(resident(process))
        assert robot.change_state(CLEANUP) and robot.state() == "unconfigured"
        unconfigured.append(resident(process))
    print(f"MB configured {configured}, cleaned up {unconfigured}")
    assert unconfigured[2] < 1.1 * unconfigured[1]
    assert unconfigured[0] < configured[0] - 200, "the model's memory is given back"


def test_while_the_model_is_loaded_everything_else_answers(robot, process) -> None:
    assert robot.state() == "unconfigured"
    result = robot.start_change(CONFIGURE)
    robot.wait(lambda: robot.state() == "configuring" or result() is not None, "configuring")
    assert result() is None and robot.state() == "configuring"
    assert robot.parameter("input.max_rate").double_value == 0.0 and result() is None
    assert not robot.change_state(CONFIGURE), "one at a time"
    robot.wait(lambda: result() is not None, "the end of configuring")
    assert result() and robot.state() == "inactive"
    assert robot.change_state(CLEANUP)


def test_a_wrong_instruction_at_the_start_can_be_put_right(apart, tmp_path) -> None:
    many = "; ".join(f"mug {number}" for number in range(33))
    log = tmp_path / "log"
    with running_node(log, apart, "-p", f"instruction:={many}") as process:
        assert process.wait(60) == 2
    assert "at most 32 instructions" in log.read_text() and "Traceback" not in log.read_text()


def test_a_wrong_model_is_a_failure_and_the_next_attempt_may_succeed(robot, process, log, tmp_path) -> None:
    assert robot.set_parameter("model.bundle", str(tmp_path)) == ""
    assert not robot.change_state(CONFIGURE)
    assert robot.state() == "unconfigured"
    assert f"no bundle at {tmp_path}" in log.read_text()
    robot.wait(lambda: f"no bundle at {tmp_path}" in robot.diagnostics.get("message", ""), "ERROR in the diagnostics")
    assert robot.set_parameter("model.bundle", "") == ""
    assert robot.change_state(CONFIGURE)
    robot.wait(lambda: robot.diagnostics["message"] == "inactive", "recovery")
    assert robot.change_state(SHUTDOWN["inactive"]) and robot.state() == "finalized"
    assert "Traceback" not in log.read_text()
    assert process.poll() is None


@pytest.mark.parametrize("state", ["unconfigured", "active"])
def test_shutdown_by_transition_also_at_work(apart, cloud, tmp_path, state) -> None:
    start = "false" if state == "unconfigured" else "true"
    arguments = ("-p", f"autostart:={start}", "-p", f"instruction:={INSTRUCTION}")
    with running_node(tmp_path / "log", apart, *arguments) as process:
        robot = Robot(int(apart["ROS_DOMAIN_ID"]))
        try:
            robot.wait(lambda: robot.diagnostics.get("state") == state, state)
            if state == "active":
                robot.wait_for_active()
                for _ in range(3):  # one is being worked on
                    robot.show(cloud)
                    robot.listen(0.1)
            began = time.monotonic()
            assert robot.change_state(SHUTDOWN[state])
            took = time.monotonic() - began
            print(f"shut down from {state} in {took:.2f} s")
            assert took < SOON
            assert robot.state() == "finalized"
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(SOON) == 0
        finally:
            robot.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("doing", ["loading the model", "exporting"])
def test_it_ends_soon_when_told_while_it_loads_or_builds(apart, tmp_path, doing, number) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "backbones").symlink_to(cache_folder() / "backbones")  # and no engines: they are exported
    log = tmp_path / "log"
    with running_node(log, {**apart, "SEGPOINT_CACHE": str(cache)}) as process:
        end = time.monotonic() + 60
        while doing not in log.read_text():
            assert time.monotonic() < end and process.poll() is None, log.read_text()
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(number)
        began = time.monotonic()
        assert process.wait(60) == 0
        took = time.monotonic() - began
        print(f"ended by {number.name} while {doing} in {took:.2f} s")
        assert took < SOON
    assert "Traceback" not in log.read_text(), log.read_text()
