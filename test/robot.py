"""The other side of the node, for tests: a robot that publishes clouds and hears what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, PoseArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import Marker, MarkerArray

PATIENCE = 180.0  # seconds; a loaded machine loads a model slowly, and the first time exports its engines
REPEAT = 10.0  # seconds after which a best-effort cloud is sent again


class Robot:
    """A camera, somebody who gives instructions, and ears for everything that the node says."""

    def __init__(self, domain: int) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("robot", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        sensor = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._camera = self.node.create_publisher(PointCloud2, "/segpoint/input/points", sensor)
        self._voice = self.node.create_publisher(String, "/instruction", 1)
        self._finger = self.node.create_publisher(PointStamped, "/clicked_point", 1)
        self._boxes = self.node.create_publisher(Marker, "/segpoint/input/box", 1)
        self._clock: Publisher | None = None
        self._shown: list[Time] = []
        self.points: list[PointCloud2] = []
        self.markers: list[MarkerArray] = []
        self.answers: list[str] = []
        self.targets: list[PoseArray] = []
        self.diagnostics: dict[str, str] = {}
        self.diagnosed_at = Time()
        self.node.create_subscription(PointCloud2, "/segpoint/output/points", self.points.append, 1)
        self.node.create_subscription(MarkerArray, "/segpoint/output/markers", self.markers.append, 1)
        self.node.create_subscription(String, "/segpoint/output/answer", self._hear, 1)
        self.node.create_subscription(PoseArray, "/segpoint/output/targets", self.targets.append, 1)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, 1)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _hear(self, message: String) -> None:
        self.answers.append(message.data)

    def _diagnose(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        self.diagnosed_at = message.header.stamp
        self.diagnostics = {pair.key: pair.value for pair in status.values} | {"message": status.message}

    def wait(self, condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
        """Let messages come in until ``condition`` holds; fails after ``patience`` seconds."""
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"no {what} in {patience:.0f} s; diagnostics: {self.diagnostics}"
            self._executor.spin_once(timeout_sec=0.05)

    def listen(self, seconds: float) -> None:
        """Let messages come in for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.05)

    def wait_for_active(self) -> None:
        self.wait(lambda: self._camera.get_subscription_count() == 1, "subscription to the camera")
        self.wait(lambda: self._voice.get_subscription_count() == 1, "subscription to the instructions")
        self.wait(lambda: self._finger.get_subscription_count() == 1, "subscription to the clicks")
        self.wait(lambda: self._boxes.get_subscription_count() == 1, "subscription to the boxes")
        self.listen(0.3)  # the node has to find this side, too

    def say(self, instruction: str) -> None:
        self._voice.publish(String(data=instruction))

    def say_until_heard(self, instruction: str) -> None:
        """As `say`; afterwards no answer is one to what was asked before."""
        self.say(instruction)
        self.wait(lambda: self.diagnostics.get("instruction") == instruction, "instruction in the diagnostics")

    def click(self, frame_id: str, x: float, y: float, z: float) -> None:
        message = PointStamped()
        message.header.frame_id = frame_id
        message.point.x, message.point.y, message.point.z = float(x), float(y), float(z)
        self._finger.publish(message)

    def draw(self, box: Marker) -> None:
        self._boxes.publish(box)

    def show(self, cloud: PointCloud2, stamped: bool = True) -> None:
        """Publish once, with the present as its stamp, or with the one it has."""
        if stamped:
            cloud.header.stamp = self.node.get_clock().now().to_msg()
        self._shown.append(cloud.header.stamp)
        self._camera.publish(cloud)

    def show_until(self, cloud: PointCloud2, condition: Callable[[], Any], what: str, stamped: bool = True) -> None:
        """Publish, and again from time to time because best effort may lose one, until ``condition`` holds."""
        again = 0.0
        end = time.monotonic() + PATIENCE

        def shown() -> bool:
            nonlocal again
            if time.monotonic() > again:
                self.show(cloud, stamped)
                again = time.monotonic() + REPEAT
            return condition()

        self.wait(shown, what, end - time.monotonic())

    def ask(self, cloud: PointCloud2) -> tuple[PointCloud2, MarkerArray, str]:
        """Publish the cloud and return the labelled one, its markers and the answer: of this cloud, by the stamp."""
        self._shown.clear()
        self.points.clear()
        self.answers.clear()
        self.show_until(cloud, lambda: self._answered() and self.answers, "answer")
        points, markers = self._answered()[-1]
        return points, markers, self.answers[-1]

    def clock(self) -> Publisher:
        """The publisher of the simulation's time."""
        if self._clock is None:
            self._clock = self.node.create_publisher(Clock, "/clock", 1)
        return self._clock

    def ask_nothing(self, cloud: PointCloud2) -> None:
        """Let the node have the cloud while nothing is asked."""
        self.wait(lambda: self.diagnostics.get("instruction") == "", "nothing asked")
        before = self.count("received")
        self.show_until(cloud, lambda: self.count("received") > before, "cloud received")
        self.points.clear()
        self.answers.clear()

    def _answered(self) -> list[tuple[PointCloud2, MarkerArray]]:
        markers = {(m.markers[0].header.stamp.sec, m.markers[0].header.stamp.nanosec): m for m in self.markers}
        pairs = [(p, markers.get((p.header.stamp.sec, p.header.stamp.nanosec))) for p in self.points]
        return [(p, m) for p, m in pairs if m is not None and p.header.stamp in self._shown]

    def count(self, what: str) -> int:
        """A counter of the node's diagnostics, as last heard."""
        return int(self.diagnostics.get(f"clouds {what}", 0))

    def change_state(self, transition: int) -> bool:
        """Ask the lifecycle node for a transition; whether it succeeded."""
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self._call(ChangeState, "/segpoint/change_state", request).success)

    def start_change(self, transition: int) -> Callable[[], Any]:
        """As `change_state`, not waited for: what is returned gives the result, or None as long as there is none."""
        client = self.node.create_client(ChangeState, "/segpoint/change_state")
        self.wait(client.service_is_ready, "change_state")
        request = ChangeState.Request()
        request.transition.id = transition
        future = client.call_async(request)
        return lambda: future.result().success if future.done() else None

    def state(self) -> str:
        return str(self._call(GetState, "/segpoint/get_state", GetState.Request()).current_state.label)

    def set_parameter(self, name: str, value: object) -> str:
        """ "" where it was taken, else the reason why not."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        (result,) = self._call(SetParameters, "/segpoint/set_parameters", request).results
        return "" if result.successful else str(result.reason)

    def parameter(self, name: str) -> Any:
        """The value of a parameter, as the service's message has it."""
        (value,) = self._call(GetParameters, "/segpoint/get_parameters", GetParameters.Request(names=[name])).values
        return value

    def _call(self, kind: type, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, name)
        try:
            self.wait(client.service_is_ready, name)
            future = client.call_async(request)
            self.wait(future.done, f"reply of {name}")
            return future.result()
        finally:
            self.node.destroy_client(client)
