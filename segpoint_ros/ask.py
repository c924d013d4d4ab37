"""``segpoint-ask``: ask a running node about a recorded cloud, over DDS, as a robot's own nodes would.

    ros2 run segpoint_ros segpoint-ask scene.pcd "pick up the mug" --out labelled.pcd

Publishes the instruction and the cloud, stamped with the present, waits for the labelled cloud, the markers and the
answer that belong to it, and stops.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_full_topic_name import validate_full_topic_name
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header, String
from visualization_msgs.msg import Marker, MarkerArray

from segpoint.errors import SegPointError
from segpoint.files import SUFFIXES, PointFile, check_apart, check_target, read_points, write_points
from segpoint_ros.inputs import reliable_qos, sensor_qos
from segpoint_ros.pointcloud2 import make_cloud, points_of, read_cloud

SETTLE_S = 0.5  # for the node to find this process, too, once this one has found the node
AGAIN_S = 15.0  # a best-effort cloud may be lost; sent again sooner, it would only be worked on twice


class Asker(Node):
    """Publishes one cloud and one instruction to the node named ``target`` and collects what comes back.

    ``reply`` holds the messages of the cloud that was answered, by "points", "markers" and "answer".
    """

    def __init__(self, target: str, cloud: PointCloud2, instruction: str) -> None:
        super().__init__("segpoint_ask")
        self._cloud, self._instruction = cloud, String(data=instruction)
        self._points = self.create_publisher(PointCloud2, f"{target}/input/points", sensor_qos())
        self._words = self.create_publisher(String, "instruction", reliable_qos())
        self._listeners = [
            self.create_subscription(PointCloud2, f"{target}/output/points", self._on_points, reliable_qos()),
            self.create_subscription(MarkerArray, f"{target}/output/markers", self._on_markers, reliable_qos()),
            self.create_subscription(String, f"{target}/output/answer", self._on_answer, reliable_qos()),
        ]
        self.reply: dict[str, Any] = {}
        self.asked_at = 0.0  # time.monotonic() when the cloud was sent first
        self.answered_at = 0.0

    @property
    def connected(self) -> bool:
        """Whether the node is there and both sides have found each other on all five topics."""
        heard = self._points.get_subscription_count() and self._words.get_subscription_count()
        return bool(heard) and all(self.count_publishers(listener.topic_name) for listener in self._listeners)

    @property
    def answered(self) -> bool:
        return len(self.reply) == len(self._listeners)

    def ask(self) -> None:
        """Send the instruction and the cloud. The first time stamps it: an answer to any copy is an answer."""
        if not self.asked_at:
            self._cloud.header.stamp = self.get_clock().now().to_msg()
            self.asked_at = time.monotonic()
        self._words.publish(self._instruction)
        self._points.publish(self._cloud)

    def _on_points(self, message: PointCloud2) -> None:
        self._keep("points", message, message.header)

    def _on_markers(self, message: MarkerArray) -> None:
        if message.markers:  # the node's own begin with a DELETEALL
            self._keep("markers", message, message.markers[0].header)

    def _on_answer(self, message: String) -> None:
        self._keep("answer", message, None)

    def _keep(self, name: str, message: Any, header: Header | None) -> None:
        if header is None or header.stamp == self._cloud.header.stamp:
            self.reply.pop(name, None)
            self.reply[name] = message  # in the order of arrival
            self.answered_at = time.monotonic()


def ask(node: Asker, patience: float) -> None:
    """Ask until an answer is complete. Raises SegPointError after ``patience`` seconds, saying how far it came."""
    give_up, told = time.monotonic() + patience, time.monotonic() + 2.0
    while not node.connected:
        rclpy.spin_once(node, timeout_sec=0.1)
        if time.monotonic() > told:
            print("segpoint-ask: waiting for the node", file=sys.stderr)
            told = math.inf
        if time.monotonic() > give_up:
            raise SegPointError(
                f"no active node was found in {patience:.0f} s: is it still loading, or could it not (its log says), "
                "or has it another name or ROS_DOMAIN_ID?"
            )
    settled = time.monotonic() + SETTLE_S
    while time.monotonic() < settled:
        rclpy.spin_once(node, timeout_sec=0.1)
    node.ask()
    again = node.asked_at + AGAIN_S
    while not node.answered:
        rclpy.spin_once(node, timeout_sec=0.1)
        if time.monotonic() > give_up:
            came = ", ".join(sorted(node.reply)) or "nothing"
            raise SegPointError(
                f"{came} came back in {patience:.0f} s: see the node's log, or where it got no cloud, README, Transport"
            )
        if time.monotonic() > again and not node.reply:
            node.ask()
            again += AGAIN_S
    # An answer bears no stamp: this may be one about the cloud before, for a new instruction is answered about that at
    # once. The node sends the answer after cloud and markers, so the right one is the last.
    settled = time.monotonic() + SETTLE_S
    while next(reversed(node.reply)) != "answer" and time.monotonic() < settled:
        rclpy.spin_once(node, timeout_sec=0.1)


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns 0, 2 where the input is bad or no answer came, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="segpoint-ask", description="Ask a running segpoint node about a point file.")
    parser.add_argument("file", metavar="FILE", help="a .pcd, .ply or .npz file")
    parser.add_argument("instruction", metavar="INSTRUCTION", help='for example "pick up the mug"')
    parser.add_argument("--node", default="/segpoint", help="the node's full name (default: /segpoint)")
    parser.add_argument("--frame-id", default="camera_optical_frame",
                        help="the cloud's frame_id, whose name tells the node the axes: optical where it ends so, map, "
                             "or else body (default: camera_optical_frame)")  # fmt: skip
    parser.add_argument("--out", metavar="FILE", help="write the labelled cloud (.pcd, .ply or .npz)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds (default: 60)")
    parser.add_argument("--json", action="store_true", help="print the reply as JSON")
    args = parser.parse_args(argv)
    try:
        _check(args)
        points = read_points(args.file)
        reply = _ask_node(points, args)
    except SegPointError as error:
        print(f"segpoint-ask: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(reply) if args.json else _as_text(reply))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Everything that can be known to be wrong before the node is asked. Raises SegPointError."""
    for name in ("instruction", "node", "frame_id"):  # a shell may pass bytes that are no text, and DDS takes only text
        setattr(args, name, getattr(args, name).encode("utf-8", "replace").decode())
    if not args.instruction.strip():
        raise SegPointError("the instruction is empty")
    if not (math.isfinite(args.timeout) and args.timeout > 0):
        raise SegPointError(f"--timeout is {args.timeout}; expected a number of seconds above 0")
    args.node = "/" + args.node.strip("/")
    try:
        validate_full_topic_name(args.node)
    except InvalidTopicNameException as error:
        raise SegPointError(f"--node {args.node!r} is no name that a node can have") from error
    if args.out:
        check_target(args.out, SUFFIXES)
        check_apart(args.out, args.file)


def _ask_node(points: PointFile, args: argparse.Namespace) -> dict[str, Any]:
    cloud = make_cloud(Header(frame_id=args.frame_id), points.xyz, points.rgb, points.width, points.height)
    try:
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C is Python's KeyboardInterrupt
        node = Asker(args.node, cloud, args.instruction)
        ask(node, args.timeout)
        node.destroy_node()
    except RuntimeError as error:  # rclpy's RCLError, for example of a wrong ROS_DOMAIN_ID
        raise SegPointError(str(error)) from error
    finally:
        rclpy.try_shutdown()
    if args.out:
        _write(Path(args.out), node.reply["points"])
    return {
        "answer": node.reply["answer"].data,
        "targets": _targets(node.reply["markers"], points_of(node.reply["points"])),
        "latency_s": node.answered_at - node.asked_at,
    }


def _write(path: Path, message: PointCloud2) -> None:
    """The labelled cloud as a file: its points in their order, highlighted, with label and score."""
    cloud, fields = read_cloud(message), points_of(message)
    added = {name: fields[name].reshape(-1) for name in ("label", "score")}
    write_points(path, cloud.xyz.astype(np.float32), cloud.rgb, added, message.width, message.height)


def _targets(markers: MarkerArray, points: np.ndarray) -> list[dict[str, Any]]:
    """Each target's label and box, and how many points carry the label, with their mean score."""
    targets = []
    for marker in (m for m in markers.markers if m.ns == "box"):
        score = points["score"][points["label"] == marker.id]
        said = {"points": len(score), "score": round(float(score.mean()), 4) if len(score) else 0.0}
        targets.append({"label": marker.id, **_box(marker), **said})
    return targets


def _box(marker: Marker) -> dict[str, list[float]]:
    centre, size, turn = marker.pose.position, marker.scale, marker.pose.orientation
    return {
        "centre": [centre.x, centre.y, centre.z],
        "size": [size.x, size.y, size.z],
        "orientation": [turn.x, turn.y, turn.z, turn.w],
    }


def _as_text(reply: dict[str, Any]) -> str:
    lines = [f"answer   {reply['answer']}"]
    for target in reply["targets"]:
        centre = ", ".join(f"{value:+.3f}" for value in target["centre"])
        size = " × ".join(f"{v:.3f}" for v in target["size"])
        sure = f"{target['points']:,} points, score {target['score']:.2f}"
        lines.append(f"target {target['label']} centre ({centre}) m, size {size} m, {sure}")
    return "\n".join([*lines, f"latency  {reply['latency_s']:.2f} s"])


if __name__ == "__main__":
    sys.exit(main())
