"""`benchmarks/fuzz.py` in short: broken messages of every kind from another process, and the node answers on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("psutil")


def test_after_broken_messages_of_every_kind_a_good_cloud_is_answered(
    repository: Path, tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    command = [sys.executable, "benchmarks/fuzz.py", "--messages", "60", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=repository, env=ros_environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "node.log").read_text(errors="replace")
    found = json.loads((tmp_path / "fuzz.json").read_text())
    assert found["alive"] and found["sent"] == 60 and found["answered"] == found["good clouds"] == len(found["kinds"])
    assert found["refused"] > 5, "the node saw what was wrong with them"
    assert {kind["topic"] for kind in found["kinds"]} == {"cloud", "words", "click", "box"}
    assert found["log_lines"] < 150, "no flood"
