"""What the README's tables say about the node is what the node does."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

import segpoint
from segpoint.cli import main as segpoint_command


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text()


def table(text: str, header: str) -> list[list[str]]:
    """The cells of the table whose header line starts with ``header``, without back quotes."""
    lines = text.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(header)]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, ros_environment: dict[str, str]):
    """The real node, active; only the model, which no topic depends on, is not loaded."""
    rclpy = pytest.importorskip("rclpy")
    from segpoint_ros.node import SegPointNode

    class NoModel:
        @staticmethod
        def from_bundle(*_: object) -> object:
            return SimpleNamespace(engines=SimpleNamespace(runner=SimpleNamespace(name="none")), config=None)

    monkeypatch.setitem(vars(segpoint), "Segmenter", NoModel)
    rclpy.init(domain_id=int(ros_environment["ROS_DOMAIN_ID"]))
    node = SegPointNode()
    node.trigger_configure()
    node.trigger_activate()
    yield node
    node.trigger_deactivate()
    node.destroy_node()
    rclpy.shutdown()


def test_topics(readme: str, node) -> None:
    from rclpy.qos import DurabilityPolicy

    described = {
        (node.resolve_topic_name(name), way, kind, reliability, int(depth))
        for name, way, kind, reliability, depth, _ in table(readme, "| topic |")
    }
    own = {"/rosout", "/parameter_events", f"{node.get_fully_qualified_name()}/transition_event"}
    ends = [("in", end) for end in node.subscriptions] + [("out", end) for end in node.publishers]
    said_elsewhere = ("/segpoint/debug/", "/segpoint/output/detections")
    ends = [(way, e) for way, e in ends if e.topic_name not in own and not e.topic_name.startswith(said_elsewhere)]
    actual = {
        (
            end.topic_name,
            way,
            "/msg/".join((end.msg_type.__module__.split(".")[0], end.msg_type.__name__)),
            end.qos_profile.reliability.name.lower().replace("_", " "),
            end.qos_profile.depth,
        )
        for way, end in ends
    }
    assert described == actual
    assert {end.qos_profile.durability for _, end in ends} == {DurabilityPolicy.VOLATILE}


def test_launch_arguments(readme: str, repository: Path) -> None:
    """The launch file is parsed, not run: ``launch`` comes with a ROS distribution only."""
    tree = ast.parse((repository / "launch" / "segpoint.launch.py").read_text())
    (arguments,) = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARGUMENTS"
    ]
    actual = {}
    for name, value in zip(arguments.keys, arguments.values, strict=True):
        default = value.elts[0]
        if isinstance(default, ast.Call):  # os.path.join(SHARE, "config", …)
            actual[name.value] = "/".join(part.value for part in default.args if isinstance(part, ast.Constant))
        else:
            actual[name.value] = default.value
    assert {name: default for name, default, _ in table(readme, "| argument |")} == actual


def test_commands_it_names_exist(readme: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        segpoint_command(["--help"])
    known = capsys.readouterr().out
    lines = [line.split() for line in readme.splitlines() if line.startswith("$ segpoint ")]
    assert lines
    for _, _, command, *_ in lines:
        assert f"\n    {command} " in known
