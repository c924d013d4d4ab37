"""The node's parameters: what ROS is told of them, what it refuses, and that README and parameter file say the same."""

from __future__ import annotations

import dataclasses
import math
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")

from rcl_interfaces.msg import ParameterEvent, ParameterType, SetParametersResult  # noqa: E402
from rcl_interfaces.srv import DescribeParameters, SetParameters, SetParametersAtomically  # noqa: E402
from rclpy.exceptions import ParameterException  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint_ros import parameter_table  # noqa: E402
from segpoint_ros.changes import changed, from_pairs, parse_pair, refusal, unknown  # noqa: E402
from segpoint_ros.parameters import declare  # noqa: E402
from segpoint_ros.settings import DESCRIBED, PAIRS, WHEN, Clusters, Parameters  # noqa: E402

PATIENCE = 60.0
TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
    tuple: ParameterType.PARAMETER_INTEGER_ARRAY,
}


class Settings(Node):
    """A node with the parameters and nothing else."""

    def __init__(self, context: Any) -> None:
        super().__init__("segpoint", context=context, enable_rosout=False)
        self.settings = declare(self)
        self.configured = False
        self.add_on_set_parameters_callback(self._on_parameters)

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        reason = refusal(self.settings, changes, self.configured)
        if not reason:
            self.settings = changed(self.settings, changes)
        return SetParametersResult(successful=not reason, reason=reason)


@pytest.fixture
def start(ros_environment: dict[str, str]) -> Iterator[Callable[..., Settings]]:
    """Starts the node with arguments as on the command line."""
    context = rclpy.Context()
    nodes = []

    def with_arguments(*arguments: str) -> Settings:
        rclpy.init(args=["--ros-args", *arguments], context=context, domain_id=int(ros_environment["ROS_DOMAIN_ID"]))
        nodes.append(Settings(context))
        return nodes[0]

    yield with_arguments
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown(context=context)


class Operator:
    """Somebody with ``ros2 param`` in another node."""

    def __init__(self, node: Settings) -> None:
        self.node = node
        self._own = Node("operator", context=node.context, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._executor.add_node(self._own)
        self.events: list[ParameterEvent] = []
        self._own.create_subscription(ParameterEvent, "/parameter_events", self.events.append, 100)

    def close(self) -> None:
        self._executor.shutdown()
        self._own.destroy_node()

    def _call(self, kind: Any, name: str, request: Any) -> Any:
        client: Any = self._own.create_client(kind, f"/segpoint/{name}")
        assert client.wait_for_service(PATIENCE)
        future = client.call_async(request)
        self._executor.spin_until_future_complete(future, PATIENCE)
        self._own.destroy_client(client)
        return future.result()

    def describe(self, *names: str) -> list[Any]:
        return self._call(
            DescribeParameters, "describe_parameters", DescribeParameters.Request(names=names)
        ).descriptors

    def set(self, name: str, value: Any, type_: Parameter.Type | None = None) -> str:
        request = SetParameters.Request(parameters=[Parameter(name, type_, value).to_parameter_msg()])
        (result,) = self._call(SetParameters, "set_parameters", request).results
        return "" if result.successful else result.reason

    def set_together(self, **values: Any) -> str:
        given = [Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParametersAtomically.Request(parameters=given)
        result = self._call(SetParametersAtomically, "set_parameters_atomically", request).result
        return "" if result.successful else result.reason

    def wait(self, condition: Callable[[], Any]) -> None:
        end = self._own.get_clock().now().nanoseconds + PATIENCE * 1e9
        while not condition():
            assert self._own.get_clock().now().nanoseconds < end
            self._executor.spin_once(timeout_sec=0.05)


@pytest.fixture
def operator(start: Callable[..., Settings]) -> Iterator[Operator]:
    operator = Operator(start())
    yield operator
    operator.close()


def test_the_readme_has_the_table(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    _, _, after = text.partition("<!-- parameters: begin (printed by `python -m segpoint_ros.parameter_table`) -->\n")
    assert after.partition("<!-- parameters: end -->")[0] == parameter_table.markdown()


def test_the_parameter_file_is_as_printed(repository: Path) -> None:
    assert (repository / "config" / "segpoint.yaml").read_text() == parameter_table.yaml()


def test_the_parameter_file_sets_every_parameter_to_its_default(repository: Path, start) -> None:
    node = start("--params-file", str(repository / "config" / "segpoint.yaml"))
    assert set(node._parameter_overrides) == set(DESCRIBED)
    assert node.settings == Parameters()


def test_a_parameter_file_reaches_every_group(tmp_path: Path, start) -> None:
    text = parameter_table.yaml()
    for line, other in {
        "highlight_color: [255, 64, 32]": "highlight_color: [0, 128, 255]",
        "warn: 5.0": "warn: 2.5",
        'backend: "auto"': "backend: torch",
        "keep: 5": "keep: 9",
        "autostart: true": "autostart: false",
    }.items():
        assert text.count(line) == 1
        text = text.replace(line, other)
    (tmp_path / "mine.yaml").write_text(text)
    settings = start("--params-file", str(tmp_path / "mine.yaml")).settings
    assert settings.output.highlight_color == (0, 128, 255)
    assert settings.diagnostics.silence.warn == 2.5
    assert settings.model.backend == "torch" and settings.tracking.keep == 9 and not settings.autostart


def test_every_parameter_is_described_over_ros(operator: Operator) -> None:
    descriptors = operator.describe(*DESCRIBED)
    assert [descriptor.name for descriptor in descriptors] == list(DESCRIBED)
    for descriptor, about in zip(descriptors, DESCRIBED.values(), strict=True):
        assert descriptor.type == TYPES[type(about.default)] and not descriptor.dynamic_typing
        assert descriptor.description.endswith(".") and len(descriptor.description) > 15
        assert (f"Unit: {about.unit}." in descriptor.description) == bool(about.unit)
        assert descriptor.read_only == (about.read == "start")
        assert WHEN[about.read] in descriptor.additional_constraints
        ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
        assert [(r.from_value, r.to_value) for r in ranges] == (
            [about.bounds] if type(about.default) in (int, float) else []
        )
    words = {descriptor.name: descriptor.additional_constraints for descriptor in descriptors}
    assert words["input.frame"] == "auto, optical, body or map; may change while the node works"
    assert words["output.highlight_color"] == "3 whole numbers, 0 to 255; may change while the node works"
    for low, high in PAIRS:
        assert f"at most {high} where both are set" in words[low]


def test_a_change_is_announced(operator: Operator) -> None:
    assert operator.set("input.max_rate", 5.0) == ""
    assert operator.node.settings.input.max_rate == 5.0
    operator.wait(lambda: [p for e in operator.events for p in e.changed_parameters if p.name == "input.max_rate"])


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("input.frame", "sideways", "input.frame is 'sideways', expected one of auto, optical, body, map"),
        ("model.backend", "tpu", "expected one of auto, tensorrt, onnxruntime, torch"),
        ("input.max_age", -1.0, "input.max_age"),
        ("input.max_age", math.nan, "input.max_age"),
        ("mask.threshold", 1.5, "mask.threshold"),
        ("markers.text_height", 0.0, "markers.text_height"),
        ("tracking.distance", math.inf, "tracking.distance"),
        ("input.max_rate", 5, "type"),
        ("clusters.min_points", -1, "clusters.min_points"),
        ("output.highlight_color", [255, 0], "[255, 0], expected 3 whole numbers, 0 to 255"),
        ("output.highlight_color", [255, 0, 0, 0], "expected 3 whole numbers"),
        ("output.highlight_color", [256, 0, 0], "expected 3 whole numbers"),
        ("output.highlight_color", [0, -1, 0], "expected 3 whole numbers"),
        ("output.highlight_color", [0.5, 0.5, 0.5], "type"),
        ("autostart", False, "read-only"),
    ],
)
def test_what_cannot_be_is_refused_over_ros(operator: Operator, name: str, value: Any, complaint: str) -> None:
    before = operator.node.settings
    assert complaint in operator.set(name, value)
    assert operator.node.settings == before


def test_a_parameter_cannot_be_taken_away(operator: Operator) -> None:
    assert operator.set("input.max_age", None, Parameter.Type.NOT_SET)
    assert operator.node.has_parameter("input.max_age")


def test_limits_are_judged_together(operator: Operator) -> None:
    assert operator.set("clusters.min_points", 100) == ""
    reason = operator.set("clusters.max_points", 50)
    assert "clusters.min_points is 100 and clusters.max_points is 50" in reason
    assert operator.set_together(clusters__max_points=50, clusters__min_points=20) == ""
    assert operator.node.settings.clusters == Clusters(0.0, 20, 50)
    # Each alone would be refused: the result counts.
    assert operator.set("clusters.min_points", 200)
    assert operator.set_together(clusters__min_points=200, clusters__max_points=300) == ""
    # One bad value and nothing changes.
    assert "sideways" in operator.set_together(clusters__min_points=1, input__frame="sideways")
    assert operator.node.settings.clusters.min_points == 200
    assert operator.set("clusters.max_points", 0) == ""  # any size


def test_colours_change_live(operator: Operator) -> None:
    operator.node.configured = True
    assert operator.set("output.highlight_color", [1, 2, 3]) == ""
    assert operator.node.settings.output.highlight_color == (1, 2, 3)


def test_what_the_model_is_made_from_stands_while_configured(operator: Operator) -> None:
    assert operator.set("model.device", "cpu") == ""
    operator.node.configured = True
    assert "deactivate and clean it up first" in operator.set("model.device", "cuda")
    assert "model.bundle" in operator.set_together(input__max_age=1.0, model__bundle="elsewhere")
    assert operator.set("model.device", "cpu") == "", "as it is: a whole parameter file can be loaded again"
    assert operator.node.settings.input.max_age == 0.0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["input.frame:=sideways"], "input.frame is 'sideways', expected one of auto, optical, body, map"),
        (["input.max_age:=soon"], "input.max_age"),
        (["input.max_age:=.nan"], "input.max_age"),
        (["input.max_age:=.inf"], "input.max_age"),
        (["output.highlight_color:=[1, 2]"], "expected 3 whole numbers"),
        (["clusters.min_points:=100", "clusters.max_points:=50"], "clusters.min_points is 100 and clusters.max_points"),
        (["diagnostics.silence.error:=2.0"], "diagnostics.silence.warn is 5.0 and diagnostics.silence.error is 2.0"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_at_the_start(start, arguments: list[str], complaint: str) -> None:
    with pytest.raises((SegPointError, ParameterException)) as caught:
        start(*[word for argument in arguments for word in ("-p", argument)])
    assert complaint in str(caught.value)


def test_every_pair_is_judged_at_its_edges() -> None:
    for low, high in PAIRS:
        kind = type(DESCRIBED[low].default)
        for least, most, fine in ((2, 2, True), (3, 2, False), (3, 0, True), (0, 2, True)):
            reason = refusal(
                Parameters(), [Parameter(low, value=kind(least)), Parameter(high, value=kind(most))], False
            )
            assert (reason == "") is fine
            assert fine or (low in reason and high in reason)


def test_numbers_that_are_none_are_refused() -> None:
    for name in (name for name, about in DESCRIBED.items() if isinstance(about.default, float)):
        for value in (math.nan, math.inf, -math.inf):
            assert "finite" in refusal(Parameters(), [Parameter(name, value=value)], configured=False)


def test_changes_leave_the_old_values_alone() -> None:
    before = Parameters()
    changes: list[Parameter] = [
        Parameter("diagnostics.latency.error", value=2.0),
        Parameter("output.highlight_color", Parameter.Type.INTEGER_ARRAY, array("q", [1, 2, 3])),
        Parameter("use_sim_time", value=True),
    ]
    assert refusal(before, changes, configured=True) == ""
    after = changed(before, changes)
    assert before == Parameters()
    assert after.diagnostics.latency.error == 2.0 and after.output.highlight_color == (1, 2, 3)
    assert dataclasses.replace(after, diagnostics=before.diagnostics, output=before.output) == before


def test_names_that_nobody_has_get_a_hint(start) -> None:
    given = ["frame:=body", "use_sim_time:=false", "start_type_description_service:=false", "mask.threshold:=0.4",
             "qos_overrides./instruction.subscription.depth:=3"]  # fmt: skip
    node = start(*[word for argument in given for word in ("-p", argument)])
    assert unknown(node._parameter_overrides) == ["there is no parameter 'frame' (did you mean input.frame?)"]


def test_no_parameter_of_rclpy_is_unknown(operator: Operator) -> None:
    """Whatever a bare node declares, in this version of rclpy too."""
    assert unknown(operator._own._parameters) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("model", "model.bundle or model.backend or model.device"),
        ("backend", "model.backend"),
        ("max_age", "input.max_age"),
        ("marker_lifetime", "markers.lifetime"),
        ("inputs.frame", "input.frame"),
        ("diagnostic.latency.warn", "diagnostics.latency.warn"),
        ("threshhold", "mask.threshold"),
        ("highlight_colour", "output.highlight_color"),
        ("lifetime", "place.lifetime or markers.lifetime"),
    ],
)
def test_what_was_meant(name: str, meant: str) -> None:
    assert unknown([name]) == [f"there is no parameter {name!r} (did you mean {meant}?)"]


def test_no_guess_where_nothing_is_like_it() -> None:
    assert unknown(["robot_description", "frame", ""]) == [
        "there is no parameter 'robot_description'",
        "there is no parameter 'frame' (did you mean input.frame?)",
        "there is no parameter ''",
    ]


def test_pairs_are_judged_as_a_node_judges_them() -> None:
    texts = ["mask.threshold=.5", "tracking.distance=1e-2", "clusters.min_points=20", "autostart=false",
             "instruction=a=b; 42", "output.highlight_color=[1, 2, 3]", "markers.text_height=1"]  # fmt: skip
    settings = from_pairs(map(parse_pair, texts))
    assert (settings.mask.threshold, settings.tracking.distance, settings.clusters) == (0.5, 0.01, Clusters(0.0, 20, 0))
    assert (settings.instruction, settings.output.highlight_color) == ("a=b; 42", (1, 2, 3))
    assert settings.autostart is False and type(settings.markers.text_height) is float
    assert from_pairs([("markers.text_height", 1)]).markers.text_height == 1.0
    assert from_pairs([]) == Parameters()
    # A pair's limits are judged together.
    assert from_pairs([("clusters.min_points", 9), ("clusters.max_points", 9)]).clusters.max_points == 9


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mask.threshold", "expected a parameter as NAME=VALUE, like mask.threshold=0.5, got 'mask.threshold'"),
        ("threshhold=1", "there is no parameter 'threshhold' (did you mean mask.threshold?)"),
        ("use_sim_time=true", "there is no parameter 'use_sim_time'"),
        ("mask.threshold=high", "mask.threshold is 'high', expected a number, 0 to 1"),
        ("mask.threshold=1.5", "mask.threshold is 1.5, expected a number, 0 to 1"),
        ("mask.threshold=nan", "mask.threshold is nan, expected a number, 0 to 1"),
        ("mask.threshold=inf", "mask.threshold is inf, expected a number, 0 to 1"),
        ("clusters.min_points=2.5", "clusters.min_points is 2.5, expected a whole number, 0 to 10,000,000"),
        ("clusters.min_points=true", "clusters.min_points is True, expected a whole number, 0 to 10,000,000"),
        ("clusters.distance=0.0001", "clusters.distance is 0.0001, expected 0 or at least 0.001"),
        ("autostart=1", "autostart is 1, expected true or false"),
        ("output.highlight_color=red", "output.highlight_color is 'red', expected 3 whole numbers, 0 to 255"),
        ("output.highlight_color=[0.5, 0, 0]", "output.highlight_color is [0.5, 0, 0], expected 3 whole numbers"),
        ("output.highlight_color=[1, 2]", "output.highlight_color is [1, 2], expected 3 whole numbers, 0 to 255"),
        ("input.frame=sideways", "input.frame is 'sideways', expected one of auto, optical, body, map"),
        ("diagnostics.silence.error=2", "diagnostics.silence.warn is 5.0 and diagnostics.silence.error is 2.0"),
    ],
)
def test_pairs_that_cannot_be_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(SegPointError) as caught:
        from_pairs([parse_pair(text)])
    assert complaint in str(caught.value)
