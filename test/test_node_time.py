"""The real node in a simulation's time: before the clock comes, while it runs, and when it begins again."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time  # noqa: E402
from robot import Robot  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402

from segpoint_training.demo import INSTRUCTION  # noqa: E402

NODE_ARGUMENTS = ("-p", "use_sim_time:=true", "-p", f"instruction:={INSTRUCTION}", "-p", "input.max_age:=2.0")


def tick(robot: Robot, second: int) -> None:
    """The simulation's time, until the node has it."""
    clock = robot.clock()
    robot.wait(lambda: clock.get_subscription_count() == 1, "subscription to the clock")

    def told() -> bool:
        clock.publish(Clock(clock=Time(sec=second)))
        return robot.diagnosed_at.sec == second

    robot.wait(told, f"diagnostics at {second} s")


def answered(robot: Robot, cloud: PointCloud2, second: int) -> bool:
    """Whether a cloud of that time gets an answer."""
    cloud.header.stamp = Time(sec=second)
    robot.points.clear()
    refused = robot.count("refused")

    def settled() -> bool:
        return any(p.header.stamp.sec == second for p in robot.points) or robot.count("refused") > refused

    robot.show_until(cloud, settled, "answer or refusal", stamped=False)
    return bool(robot.points)


def test_a_bag_that_loops(robot, process, cloud, log) -> None:
    robot.wait_for_active()
    assert answered(robot, cloud, 1000), "no clock is published yet: nobody knows how old it is"
    robot.wait(lambda: robot.diagnostics.get("latency (s)") == "" and robot.count("answered"), "unknown latency")
    tick(robot, 1001)
    assert answered(robot, cloud, 1000)
    assert not answered(robot, cloud, 900), "older than input.max_age"
    tick(robot, 2000)
    assert not answered(robot, cloud, 1001)

    tick(robot, 1000)  # the bag begins again
    robot.wait(lambda: "the clock has jumped back" in log.read_text(), "word of the jump")
    assert answered(robot, cloud, 1000) and answered(robot, cloud, 1001)
    assert answered(robot, cloud, 0), "without a stamp nobody knows how old it is"
    assert answered(robot, cloud, 1500), "from the future: answered"
    robot.wait(lambda: "in the future" in log.read_text(), "word of it")
    robot.clock().publish(Clock(clock=Time(sec=-1)))  # rclpy's own callback raises
    robot.wait(lambda: "a message was dropped: ValueError" in log.read_text(), "word of it")
    assert answered(robot, cloud, 1001)
    assert process.poll() is None and "Traceback" not in log.read_text()
