"""The node: clouds and sentences come in, the labelled cloud, the targets and the answer go out.

The README's table lists the topics; `Inputs` and `Outputs` have them. Callbacks only store; `Worker` does the work in a
thread of its own, and a transition that takes long (the model is loaded, engines are built) leaves the other callbacks
at work. Whatever a message holds, the node says what is wrong with it and lives.
"""

from __future__ import annotations

import functools
import gc
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.time import Time

from segpoint.errors import DeviceLost, SegPointError
from segpoint_ros import memory, parameters, transforms
from segpoint_ros.answering import Answer, Answerer, frame_of
from segpoint_ros.changes import changed, refusal, unknown
from segpoint_ros.debug import Debug
from segpoint_ros.diagnostics import LONGEST, Complaints, Health, diagnostic_array, kind_of
from segpoint_ros.inputs import Inputs, Said, reliable_qos
from segpoint_ros.log import NodeLog
from segpoint_ros.outputs import Outputs
from segpoint_ros.place import Pointing, take_box, take_click
from segpoint_ros.request import Request, split_instructions
from segpoint_ros.worker import Worker

if TYPE_CHECKING:
    from geometry_msgs.msg import PointStamped
    from rclpy.parameter import Parameter
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Header, String
    from visualization_msgs.msg import Marker

STOP_WITHIN = 1.5  # seconds that deactivating waits for a computation under way
AHEAD = 1.0  # seconds that a stamp may lie in the future: clocks of two machines are never quite the same

Transition = Callable[["SegPointNode", LifecycleState], TransitionCallbackReturn]


def _transition(doing: str) -> Callable[[Transition], Transition]:
    """A transition's callback whose exceptions end in FAILURE and in words; rclpy drops them in silence."""

    def decorate(callback: Transition) -> Transition:
        @functools.wraps(callback)
        def safe(node: SegPointNode, state: LifecycleState) -> TransitionCallbackReturn:
            with node._changing:
                node._doing = doing
                try:
                    return callback(node, state)
                except Exception as error:  # noqa: BLE001  a wrong driver or a damaged file must not end the node
                    node._fail(f"{doing} failed", error, fatal=True)
                    return TransitionCallbackReturn.FAILURE
                finally:
                    node._doing = ""

        return safe

    return decorate


class SegPointNode(LifecycleNode):
    """``segpoint``: loads the model when configured; subscribes, computes and publishes while active.

    Transitions (the service ``change_state``, `autostart`, `build`) may take minutes and are for a thread of their own.
    """

    def __init__(self) -> None:
        # LifecycleNode's own __init__ takes no callback group for the transitions. In one of their own they do not keep
        # the parameters, the time and the diagnostics waiting.
        Node.__init__(self, "segpoint")
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self._log = NodeLog(self.get_logger())
        self._health = Health()
        self._complaints = Complaints()
        self._asked = Complaints(every=1.0)  # instructions, too, may come in floods
        self._changing = threading.RLock()  # held during a transition
        self._doing = ""
        self._finalized = False
        self._answerer: Answerer | None = None
        self._outputs: Outputs | None = None
        self._debug: Debug | None = None
        self._inputs: Inputs | None = None
        self._worker: Worker[PointCloud2, Request, Answer] | None = None
        self._request = Request()
        self._pointed_at = 0.0  # time.monotonic()
        self._header: Header | None = None  # of the last cloud
        self._said = Said()
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jumps = self.get_clock().create_jump_callback(back, post_callback=self._on_jump)
        self._transforms = transforms.HeardTransforms(self)
        self._settings = parameters.declare(self)
        for hint in unknown(self._parameter_overrides):  # which ROS does not tell of
            self.get_logger().warning(hint)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", reliable_qos())
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
        assert self._answerer is not None  # it is configured
        taken = self._answerer.backend
        if taken == "torch" and self._settings.model.backend != "torch":
            self.get_logger().error("no engines were built (build_only): the warning above says why")
            return False
        self.get_logger().info(f"all is there for {taken} (build_only): stopping")
        return True

    def survived(self, error: Exception) -> None:
        """Tell of what one of rclpy's own callbacks made of a message."""
        self._complain(kind_of(error), f"a message was dropped: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Stop in whatever state it is. The object is of no use afterwards."""
        if not self._changing.acquire(timeout=0.2):
            return  # a model is being loaded: that cannot be interrupted, and nothing may be taken from under it
        try:
            self._stop_work()
            self.destroy_node()
        finally:
            self._changing.release()

    def destroy_node(self) -> None:
        self._log.close()
        self._jumps.unregister()
        self._transforms.destroy()
        super().destroy_node()

    # Lifecycle

    @_transition("configuring")
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        started = time.perf_counter()
        instructions = split_instructions(self._settings.instruction)
        self.get_logger().info("loading the model")
        answerer = Answerer(self._settings)
        try:
            self._outputs = Outputs(self)
            self._debug = Debug(self)
        except Exception:
            self._release()
            raise
        self._answerer = answerer
        self._request, self._said = Request(instructions), Said()
        self._health.recovered()
        self._health.forget()
        bundle = self._settings.model.bundle or "the one that ships"
        self._health.note(model=bundle, backend=answerer.backend, instruction=self._request)
        self.get_logger().info(f"model loaded in {time.perf_counter() - started:.1f} s")
        return TransitionCallbackReturn.SUCCESS

    @_transition("activating")
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._outputs is not None  # it is configured
        outputs = self._outputs
        self._inputs = Inputs(
            self, self._on_points, self._on_words, self._on_click, self._on_box, self._complain, self._said
        )
        self._worker = Worker(
            answer=self._answer,
            deliver=self._deliver,
            clear=lambda message: outputs.clear(message, self._axes(message), self._settings),
            wanted=lambda: outputs.wanted,
            pause=lambda: 1 / self._settings.input.max_rate if self._settings.input.max_rate else 0.0,
            failed=self._on_failure,
            skipped=lambda why: self._health.count(f"skipped: {why}"),
        )
        if self._request:
            self._worker.ask(self._request)
        asked = f", asked for {str(self._request)!r}" if self._request else ""
        self.get_logger().info(f"listening to {self._inputs.topic} and {self._inputs.words_topic}{asked}")
        return super().on_activate(state)

    @_transition("deactivating")
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_work()
        if self._answerer is not None:
            self._answerer.rest()
        memory.give_back()
        return super().on_deactivate(state)

    @_transition("cleaning up")
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    @_transition("shutting down")
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_work()
        self._release()
        self._finalized = True
        return TransitionCallbackReturn.SUCCESS

    @_transition("recovering")
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._complain("transition", f"leaving {state.label} failed; the node is unconfigured now", fatal=True)
        self._stop_work()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _stop_work(self) -> None:
        """No more input, no more output; a computation that outlasts the patience ends out of sight."""
        inputs, self._inputs = self._inputs, None
        if inputs is not None:
            inputs.destroy()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(STOP_WITHIN)

    def _release(self) -> None:
        for publishers in (self._outputs, self._debug):
            if publishers is not None:
                publishers.destroy()
        self._outputs = self._debug = self._answerer = None
        gc.collect()  # a model has parts that refer to each other; this keeps every thread waiting, so only here
        memory.give_back()

    # Callbacks: store and return

    def _on_points(self, message: PointCloud2) -> None:
        self._health.count("received")
        self._header = message.header
        worker = self._worker
        if worker is not None:
            worker.offer(message)

    def _on_words(self, message: String) -> None:
        try:
            instructions = split_instructions(message.data)
        except SegPointError as error:
            self._fail("the instructions are not taken", error)
            return
        self._ask(Request(instructions))  # a new sentence is a new question: what was pointed at before is done with

    def _on_click(self, message: PointStamped) -> None:
        self._point(lambda before: take_click(message, before))

    def _on_box(self, message: Marker) -> None:
        self._point(lambda before: take_box(message, before))

    def _point(self, take: Callable[[Pointing | None], Pointing | None]) -> None:
        """A click or a box beside the standing words; None where it is taken away."""
        try:
            pointing, header = take(self._request.pointing), self._header
            if pointing is not None and header is not None and not self._transforms.installed:
                pointing.in_frame(
                    header.frame_id, header.stamp, self._transforms
                )  # what no cloud could use is not taken
        except SegPointError as error:
            self._fail("what was pointed at is not taken", error)
            return
        self._pointed_at = time.monotonic()
        self._ask(replace(self._request, pointing=pointing))

    def _ask(self, request: Request) -> None:
        self._request = request
        self._health.note(instruction=request)
        if not request:
            self._health.forget()
        said = f"asked for {str(request)!r}" if request else "nothing is asked until the next instruction"
        let_through = self._asked.let_through("instruction", said)
        if let_through is not None:
            self.get_logger().info(let_through)
        worker = self._worker
        if worker is not None:
            worker.ask(request)

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        configured = self._answerer is not None or self._doing == "configuring"
        reason = refusal(self._settings, changes, configured)
        if not reason:
            self._settings = changed(self._settings, changes)
        return SetParametersResult(successful=not reason, reason=reason)

    def _on_jump(self, jump: TimeJump | dict[str, Any]) -> None:
        """The clock went back (a bag that loops, a simulation that was reset) or is another one now."""
        worker, answerer = self._worker, self._answerer
        if worker is not None and answerer is not None:
            worker.forget()
            answerer.forget()
            self._complain("time", "the clock has jumped back: the last cloud and the targets' numbers are forgotten")

    def _tick(self) -> None:
        lifetime = self._settings.place.lifetime
        if self._request.pointing is not None and lifetime and time.monotonic() - self._pointed_at > lifetime:
            self._ask(replace(self._request, pointing=None))
        worker, inputs, limits = self._worker, self._inputs, self._settings.diagnostics
        if worker is not None:
            worker.look_again()
        silence = None
        if inputs is not None:
            inputs.look_around()
            silence = inputs.silence
            silent = bool(limits.silence.warn) and silence > limits.silence.warn
            why = inputs.why_silent() if silent else ""
            self._health.note(silence=why)
            said = self._complaints.let_through("silence", f"no cloud for {silence:.0f} s: {why}") if silent else None
            if said is not None:
                self.get_logger().warning(said)
        idle = "finalized" if self._finalized else "unconfigured"
        state = "active" if worker else "inactive" if self._answerer else idle
        summary = self._doing or ("active, but nothing is asked" if worker and not self._request else state)
        name = self.get_fully_qualified_name().lstrip("/")
        status = self._health.status(name, state, summary, silence, limits)
        self._diagnostics.publish(diagnostic_array(self.get_clock().now().to_msg(), status))

    # In the worker's thread

    def _answer(self, message: PointCloud2, request: Request) -> Answer:
        self._check_age(message)
        answerer = self._answerer
        assert answerer is not None  # there is a worker only while there is a model
        return answerer.answer(message, request, self._settings, self._transforms)

    def _deliver(self, answer: Answer) -> None:
        started = time.perf_counter()
        result = answer.result
        assert self._outputs is not None and self._debug is not None  # nothing is delivered once the worker is stopped
        self._outputs.publish(result, self._settings)
        ended = time.perf_counter()
        timings = {**answer.timings, "publish": ended - started, "total": ended - answer.started}
        age = self._age(result.message)
        self._health.count("answered")
        self._health.note(answer=result.answer, targets=len(result.targets), backend=answer.backend)
        self._health.time(timings, age)
        self._debug.publish(timings, age)

    def _axes(self, message: PointCloud2 | None) -> str:
        return frame_of(message.header.frame_id if message is not None else "", self._settings.input.frame)

    def _age(self, message: PointCloud2) -> float | None:
        """Seconds since the cloud was taken; None where that is not known.

        It is not where the cloud has no stamp (0, or before 1970, which no clock says), and before a simulation's clock
        is published.
        """
        stamp, now = message.header.stamp, self.get_clock().now().nanoseconds
        if not now or stamp.sec < 0 or not (stamp.sec or stamp.nanosec):
            return None
        return (now - Time.from_msg(stamp).nanoseconds) / 1e9

    def _check_age(self, message: PointCloud2) -> None:
        age, limit = self._age(message), self._settings.input.max_age
        if limit and age is not None and age > limit:
            raise SegPointError(
                f"the cloud is {age:.1f} s old and input.max_age is {limit:.1f} s; is the clock the same?"
            )
        if age is not None and age < -AHEAD:
            self._complain(
                "stamp", f"the clouds' stamps are {-age:.1f} s in the future: use_sim_time, or a clock that is off?"
            )

    def _on_failure(self, error: Exception) -> None:
        self._health.count("refused")
        self._fail("no answer", error, fatal=isinstance(error, DeviceLost))

    def _fail(self, what: str, error: Exception, fatal: bool = False) -> None:
        """Tell of an exception: bad input in one line, anything else with its traceback."""
        if isinstance(error, SegPointError):
            self._complain(kind_of(error), f"{what}: {error}", fatal=fatal)
        else:
            detail = "\n" + "".join(traceback.format_exception(error))
            self._complain(kind_of(error), f"{what}: {type(error).__name__}: {error}", detail, fatal)

    def _complain(self, kind: str, message: str, detail: str = "", fatal: bool = False) -> None:
        message = "".join(letter if letter.isprintable() else " " for letter in message[:LONGEST])  # it may quote input
        self._health.trouble(message, fatal)
        said = self._complaints.let_through(kind, message)
        # Two lines: rclpy raises where one line logs now with this severity, now with that.
        if said is not None and fatal:
            self.get_logger().error(said + detail)
        elif said is not None:
            self.get_logger().warning(said + detail)
