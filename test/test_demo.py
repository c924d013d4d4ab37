"""`make demo` as a test: three processes, DDS between them, a judged answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segpoint.files import read_points

PARTS = ["scene: ", "node: ", "answer: ", "wrote: ", "demo: "]


def test_demo(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    done = subprocess.run(
        [sys.executable, "-m", "segpoint.cli", "demo", "--out", str(tmp_path)],
        cwd=repository, env={**os.environ, "PYTHONPATH": str(repository)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    log = tmp_path / "node.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log.is_file() else "")
    lines = done.stdout.splitlines()
    assert [line.startswith(part) for line, part in zip(lines, PARTS, strict=True)] == [True] * 5
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["iou"] > 0 and summary["latency_s"] > 0
    assert lines[-1].startswith(f"demo: target=mug points={summary['points']} iou={summary['iou']:.3f} latency_s=")
    labelled = read_points(tmp_path / "labelled.pcd")
    assert (labelled.width, labelled.height) == (640, 480)
    assert (labelled.label > 0).sum() == summary["points"]
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_scene_without_a_mug_is_refused(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from segpoint.cli import main

    assert main(["demo", "--seed", "900002", "--out", str(tmp_path)]) == 2
    assert "no mug" in capfd.readouterr().err
