"""The node: a cloud and a sentence come in, the labelled cloud, markers of the targets and the answer go out.

| topic | type | |
|---|---|---|
| ``~/input/points`` | sensor_msgs/PointCloud2 | best effort, the newest only |
| ``instruction`` | std_msgs/String | stands until the next one; empty asks nothing |
| ``~/output/points`` | sensor_msgs/PointCloud2 | the input with ``label``, ``score`` and highlighted colour |
| ``~/output/markers`` | visualization_msgs/MarkerArray | a box and a text for each target |
| ``~/output/answer`` | std_msgs/String | what the language model wrote |
| ``/diagnostics`` | diagnostic_msgs/DiagnosticArray | once a second, in every state |

Callbacks only store; `Worker` does the work. Whatever a message holds, the node says what is wrong with it and lives.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from segpoint.errors import SegPointError
from segpoint.prompts import parse_answer
from segpoint_ros import parameters
from segpoint_ros.diagnostics import Complaints, Health, diagnostic_array, kind_of
from segpoint_ros.log import NodeLog
from segpoint_ros.markers import target_markers
from segpoint_ros.pointcloud2 import label_cloud, read_cloud
from segpoint_ros.worker import Worker

if TYPE_CHECKING:
    from segpoint import Segmentation, Segmenter

SENSOR = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
STOP_WITHIN = 1.5  # seconds that deactivating waits for a computation under way


@dataclass(frozen=True)
class Answer:
    """What the worker found in one cloud."""

    message: PointCloud2
    frame: str
    found: Segmentation
    started: float  # time.perf_counter()
    read: float  # seconds


class SegPointNode(LifecycleNode):
    """``segpoint``: loads the model when configured; subscribes, computes and publishes while active."""

    def __init__(self) -> None:
        super().__init__("segpoint")
        self._log = NodeLog(self.get_logger())
        self._health = Health()
        self._complaints = Complaints()
        self._asked = Complaints(every=1.0)  # instructions, too, may come in floods
        self._segmenter: Segmenter | None = None
        self._worker: Worker[PointCloud2, Answer] | None = None
        self._computing = threading.Lock()  # a Segmenter does one thing at a time, also after a hasty deactivation
        self._inputs: list = []
        self._outputs: list = []
        self._labelled = PointCloud2()
        self._instruction = ""
        self._settings = parameters.Parameters()
        self.add_on_set_parameters_callback(self._on_parameters)
        self._settings = parameters.declare(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        # By the machine's clock: with use_sim_time a paused simulation must not silence the node.
        self.create_timer(1.0, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def build_only(self) -> bool:
        """Whether the node is there to `build`, and for nothing else."""
        return self._settings.build_only

    def autostart(self) -> None:
        """Configure and activate, where the parameter says so."""
        if self._settings.autostart and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def build(self) -> bool:
        """Load the model, which makes the engines that are not there yet. Whether the next start finds all of them."""
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            return False
        assert self._segmenter is not None  # it is configured
        taken = self._segmenter.engines.runner.name
        if taken == "torch" and self._settings.backend != "torch":
            self.get_logger().error("no engines were built (build_only): the warning above says why")
            return False
        self.get_logger().info(f"all is there for {taken} (build_only): stopping")
        return True

    def close(self) -> None:
        """Stop in whatever state it is. The object is of no use afterwards."""
        self._stop_work()
        self.destroy_node()

    def destroy_node(self) -> None:
        self._log.close()
        super().destroy_node()

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        started = time.perf_counter()
        values = self._settings
        self.get_logger().info("loading the model")
        try:
            from segpoint import Segmenter  # torch and transformers: seconds

            self._segmenter = Segmenter.from_bundle(values.model or None, values.backend, values.device)
        except Exception as error:  # noqa: BLE001  a wrong driver or a damaged file must not take the node down
            self._fail("the model cannot be loaded", error, fatal=True)
            return TransitionCallbackReturn.FAILURE
        self._points_out = self.create_lifecycle_publisher(PointCloud2, "~/output/points", RELIABLE)
        self._markers_out = self.create_lifecycle_publisher(MarkerArray, "~/output/markers", RELIABLE)
        self._answer_out = self.create_lifecycle_publisher(String, "~/output/answer", RELIABLE)
        self._outputs = [self._points_out, self._markers_out, self._answer_out]
        self._instruction = values.instruction.strip()
        self._health.recovered()
        self._health.note(model=values.model or "the one that ships", backend=self._segmenter.engines.runner.name)
        self.get_logger().info(f"model loaded in {time.perf_counter() - started:.1f} s")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._worker = Worker(
            answer=self._answer,
            deliver=self._deliver,
            wanted=lambda: any(output.get_subscription_count() for output in self._outputs),
            failed=self._on_failure,
            skipped=lambda why: self._health.count(f"skipped: {why}"),
        )
        self._worker.instruct(self._instruction)
        self._health.note(instruction=self._instruction)
        self._inputs = [
            self.create_subscription(PointCloud2, "~/input/points", self._on_points, SENSOR),
            self.create_subscription(String, "instruction", self._on_instruction, RELIABLE),
        ]
        self.get_logger().info(
            f"listening to {self._inputs[0].topic_name} and {self._inputs[1].topic_name}"
            + (f", asked for {self._instruction!r}" if self._instruction else "")
        )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_work()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_work()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._complain("transition", f"leaving {state.label} failed; the node is unconfigured now", fatal=True)
        self._stop_work()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _stop_work(self) -> None:
        """No more input, no more output; a computation that outlasts the patience ends out of sight."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(STOP_WITHIN)

    def _release(self) -> None:
        for output in self._outputs:
            self.destroy_lifecycle_publisher(output)
        self._outputs = []
        self._labelled = PointCloud2()
        self._segmenter = None

    # Callbacks: store and return

    def _on_points(self, message: PointCloud2) -> None:
        self._health.count("received")
        if self._worker is not None:
            self._worker.offer(message)

    def _on_instruction(self, message: String) -> None:
        self._instruction = message.data.strip()
        self._health.note(instruction=self._instruction[:200])
        if self._instruction:
            said = self._asked.let_through("instruction", f"asked for {self._instruction[:200]!r}")
            if said is not None:
                self.get_logger().info(said)
        else:
            self._complain("empty instruction", "the instruction is empty: nothing is asked until the next one")
        if self._worker is not None:
            self._worker.instruct(self._instruction)

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        reason = parameters.refusal(changes, configured=self._segmenter is not None)
        if not reason:
            self._settings = parameters.changed(self._settings, changes)
        return SetParametersResult(successful=not reason, reason=reason)

    def _tick(self) -> None:
        if self._worker is not None:
            self._worker.look_again()
        state = "active" if self._worker else "inactive" if self._segmenter else "unconfigured"
        summary = "active, but nothing is asked" if self._worker and not self._instruction else state
        status = self._health.status(self.get_fully_qualified_name().lstrip("/"), state, summary)
        self._diagnostics.publish(diagnostic_array(self.get_clock().now().to_msg(), status))

    # In the worker's thread

    def _answer(self, message: PointCloud2, instruction: str) -> Answer:
        started = time.perf_counter()
        self._check_age(message)
        frame = frame_of(message.header.frame_id, self._settings.frame)
        cloud = read_cloud(message, copy=False)
        read = time.perf_counter() - started
        segmenter = self._segmenter
        assert segmenter is not None  # there is a worker only while there is a model
        with self._computing:
            found = segmenter.segment(cloud.xyz, instruction, rgb=cloud.rgb, frame=frame)
        return Answer(message, frame, found, started, read)

    def _deliver(self, answer: Answer) -> None:
        started = time.perf_counter()
        found, header = answer.found, answer.message.header
        if self._points_out.get_subscription_count():
            label = target_labels(found)
            # Published is copied: the message may be written over next time.
            self._labelled = label_cloud(answer.message, label, found.score, answer.frame, into=self._labelled)
            self._points_out.publish(self._labelled)
        if self._markers_out.get_subscription_count():
            name = ", ".join(dict.fromkeys(parse_answer(found.answer)))
            self._markers_out.publish(
                target_markers(header, found.instances, name, answer.frame, self._settings.marker_lifetime)
            )
        self._answer_out.publish(String(data=found.answer))
        ended = time.perf_counter()
        self._health.count("answered")
        self._health.note(answer=found.answer, targets=len(found.instances), age_s=_seconds(self._age(answer.message)))
        self._health.time(
            {"read": answer.read, **found.timings, "publish": ended - started, "total": ended - answer.started}
        )

    def _age(self, message: PointCloud2) -> float | None:
        """Seconds since the cloud was taken; None where it has no stamp (0, or before 1970, which no clock says)."""
        stamp = message.header.stamp
        if stamp.sec < 0 or not (stamp.sec or stamp.nanosec):
            return None
        return (self.get_clock().now().nanoseconds - Time.from_msg(stamp).nanoseconds) / 1e9

    def _check_age(self, message: PointCloud2) -> None:
        age, limit = self._age(message), self._settings.max_age
        if limit and age is not None and age > limit:
            raise SegPointError(f"the cloud is {age:.1f} s old and max_age is {limit:.1f} s; is the clock the same?")

    def _on_failure(self, error: Exception) -> None:
        self._health.count("refused")
        self._fail("no answer", error)

    def _fail(self, what: str, error: Exception, fatal: bool = False) -> None:
        """Tell of an exception: bad input in one line, anything else with its traceback."""
        if isinstance(error, SegPointError):
            self._complain(kind_of(error), f"{what}: {error}", fatal=fatal)
        else:
            detail = "\n" + "".join(traceback.format_exception(error))
            self._complain(kind_of(error), f"{what}: {type(error).__name__}: {error}", detail, fatal)

    def _complain(self, kind: str, message: str, detail: str = "", fatal: bool = False) -> None:
        self._health.trouble(message, fatal)
        said = self._complaints.let_through(kind, message)
        # Two lines: rclpy raises where one line logs now with this severity, now with that.
        if said is not None and fatal:
            self.get_logger().error(said + detail)
        elif said is not None:
            self.get_logger().warning(said + detail)


def frame_of(frame_id: str, setting: str) -> str:
    """The clouds' axes: the parameter ``frame``, where "auto" goes by the frame's name (REP 103, REP 105)."""
    if setting != "auto":
        return setting
    if frame_id.endswith(("optical", "optical_frame")):
        return "optical"
    return "map" if frame_id.rsplit("/", 1)[-1] == "map" else "body"


def target_labels(found: Segmentation) -> np.ndarray:
    """(M,) uint32: 0 is no target, k the k-th target."""
    label = np.zeros(len(found.mask), np.uint32)
    for number, instance in enumerate(found.instances, start=1):
        label[instance.indices] = number
    return label


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop, or with ``build_only`` until that is done, and end the process.

    Returns 2 where an argument is wrong. The process ends with 0, or where ``build_only`` failed with 1, where it was
    broken off with 130.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_once)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = SegPointNode()
    except (ParameterException, NameValidationException, RuntimeError) as error:  # rclpy's RCLError is a RuntimeError
        print(f"segpoint: {' '.join(str(error).split())}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    except KeyboardInterrupt:
        rclpy.try_shutdown(uninstall_handlers=False)
        os._exit(0)  # as below
    code = 130 if node.build_only else 0
    try:
        if node.build_only:
            code = 0 if node.build() else 1
        else:
            _work(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.close()
        rclpy.try_shutdown(uninstall_handlers=False)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # unloading torch takes longer than launch waits, and crashes under a computation that still runs


def _work(node: SegPointNode) -> None:
    """Run the node until something interrupts it."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.autostart()
    while rclpy.ok():
        executor.spin_once(timeout_sec=0.2)  # a signal is seen between two waits


def _stop_once(number: int, frame: object) -> None:
    """Under ros2 launch Ctrl-C comes twice, from the terminal and from launch: the second must not break this off."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
