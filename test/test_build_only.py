"""``build_only:=true``: the real node makes the engines of the bundle that ships, and stops."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

import rclpy  # noqa: E402
from robot import PATIENCE  # noqa: E402

from segpoint.backbone import cache_folder  # noqa: E402
from segpoint_ros.process import running_node  # noqa: E402


@pytest.fixture(scope="module")
def environment(ros_environment, tmp_path_factory) -> dict[str, str]:
    """With a cache that holds the language model and no engines."""
    cache = tmp_path_factory.mktemp("cache")
    (cache / "backbones").symlink_to(cache_folder() / "backbones")
    return {**ros_environment, "SEGPOINT_CACHE": str(cache)}


def build(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """The node's exit code and log."""
    done = subprocess.run(
        [sys.executable, "-m", "segpoint_ros", "--ros-args", "-p", "build_only:=true", *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_it_builds_says_so_listens_to_nothing_and_stops(environment, tmp_path) -> None:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(environment["ROS_DOMAIN_ID"]))
    watcher = rclpy.create_node("watcher", context=context)
    seen, subscribed, end = False, set(), time.monotonic() + PATIENCE
    log = tmp_path / "node.log"
    with running_node(log, environment, "-p", "build_only:=true") as process:
        while process.poll() is None and time.monotonic() < end:
            if "segpoint" in watcher.get_node_names():
                seen = True
                topics = watcher.get_subscriber_names_and_types_by_node("segpoint", "/")
                subscribed |= {name for name, _ in topics}
            time.sleep(0.2)
    watcher.destroy_node()
    rclpy.shutdown(context=context)

    said = log.read_text()
    assert process.returncode == 0, said
    assert seen and not subscribed
    for graph in ("gem", "encoder", "gfp"):
        assert f"{graph}.onnx" in said
        assert list(Path(environment["SEGPOINT_CACHE"]).glob(f"engines/*/{graph}.onnx"))
    assert all(line.startswith("[INFO]") for line in said.splitlines()), said
    assert "run on onnxruntime" in said

    code, said = build(environment)  # again: all is there
    assert code == 0 and "exporting" not in said and "run on onnxruntime" in said


def test_what_goes_wrong_is_said_and_is_exit_code_1(environment, tmp_path) -> None:
    code, said = build(environment, "-p", f"model.bundle:={tmp_path}")
    assert code == 1 and "[ERROR]" in said and f"no bundle at {tmp_path}" in said

    (tmp_path / "backbones").symlink_to(cache_folder() / "backbones")
    (tmp_path / "engines").write_text("in the way")
    code, said = build({**environment, "SEGPOINT_CACHE": str(tmp_path)})
    assert code == 1 and "[ERROR]" in said and f"cannot write engines to {tmp_path}" in said
