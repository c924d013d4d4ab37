"""``segpoint-node``: the process around the node. It ends soon whenever it is told to, also at work."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import rclpy
from lifecycle_msgs.srv import ChangeState
from rclpy.exceptions import InvalidHandle, NameValidationException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.service import Service
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from segpoint.errors import SegPointError
from segpoint_ros import memory
from segpoint_ros.node import SegPointNode

# What rclpy raises for names, parameters and arguments that it does not take (its RCLError is a RuntimeError), and we.
WRONG_ARGUMENTS = (ParameterException, NameValidationException, RuntimeError, SegPointError)


class Share(SingleThreadedExecutor):
    """Runs a lifecycle node's transitions, or all its other callbacks: two of them share a node between two threads.

    rclpy's MultiThreadedExecutor would do that, too, but turns in circles while a message is taken: clouds of 5 MB at
    30 Hz cost it a core and more (54 ms each, against 3).
    """

    def __init__(self, node: SegPointNode, transitions: bool) -> None:
        super().__init__()
        self._node, self._transitions = node, transitions

    def get_nodes(self) -> list[Node]:
        return [self._node]

    def spin_while(self, going: Callable[[], bool]) -> None:
        """Run callbacks until something interrupts it, or ``going`` says no. What a callback raises ends nothing."""
        while rclpy.ok() and going():
            try:
                self.spin_once(timeout_sec=0.2)  # a signal is seen between two waits
            except InvalidHandle:
                pass  # the other thread has destroyed what this one was about to wait for
            except ExternalShutdownException:
                raise
            except Exception as error:  # noqa: BLE001  rclpy's own callbacks do not expect every message either
                self._node.survived(error)

    def can_execute(self, entity: Any) -> bool:
        is_transition = isinstance(entity, Service) and entity.srv_type is ChangeState
        return is_transition == self._transitions and super().can_execute(entity)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop, or with ``build_only`` until that is done, and end the process.

    args: the command line, the program's name first; None for this process's.   Returns 2 where an argument is wrong.
    Otherwise the process ends with 0, or where ``build_only`` failed with 1, where it was broken off with 130.
    """
    memory.share_arenas()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_once)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        _read(args)
        node = SegPointNode()
    except WRONG_ARGUMENTS as error:
        print(f"segpoint: {' '.join(str(error).split())}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    except KeyboardInterrupt:
        rclpy.try_shutdown(uninstall_handlers=False)
        os._exit(0)  # as below
    code = 130 if node.build_only else 0
    try:
        built = _work(node)
        code = 0 if built else 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.close()
        rclpy.try_shutdown(uninstall_handlers=False)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # unloading torch takes longer than launch waits, and crashes under a computation that still runs


def _read(args: list[str] | None) -> None:
    """The arguments that are not ROS's: there are none but --help."""
    parser = argparse.ArgumentParser(
        "segpoint-node",
        description="The ROS 2 node: clouds and instructions in, the points that are meant out.",
        epilog="Parameters, remappings and names follow --ros-args: --ros-args -p instruction:='pick up the mug' "
        "-r ~/input/points:=/camera/depth/color/points -r __ns:=/arm. The README lists topics and parameters.",
    )
    parser.parse_args(remove_ros_args(args)[1:])


def _work(node: SegPointNode) -> bool:
    """Run the node until something interrupts it, or until it has built what there is to build."""
    executor = Share(node, transitions=False)  # in this thread, which hears signals
    executor.add_node(node)
    transitions = Share(node, transitions=True)
    forever = [lambda: True]
    threading.Thread(target=transitions.spin_while, args=forever, name="segpoint transitions", daemon=True).start()
    doing = transitions.create_task(node.build if node.build_only else node.autostart)
    executor.spin_while(lambda: not (node.build_only and doing.done()))
    return bool(doing.result()) if node.build_only else True


def _stop_once(number: int, frame: object) -> None:
    """Under ros2 launch Ctrl-C comes twice, from the terminal and from launch: the second must not break this off."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
