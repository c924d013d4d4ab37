"""segpoint_training.replicas: real processes that average their gradients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segpoint.errors import SegPointError
from segpoint_training.replicas import Replicas, join

WORK = """
import json, sys
from pathlib import Path
import torch
from segpoint_training.replicas import join
replicas = join()
folder = Path(sys.argv[1])
with replicas.in_turn():
    found = (folder / "made").exists()
    (folder / "made").touch()
first, second = torch.nn.Parameter(torch.zeros(2, 3)), torch.nn.Parameter(torch.zeros(4))
first.grad = torch.full((2, 3), 1.0 + replicas.rank)
if replicas.first:
    second.grad = torch.arange(4.0)
stops = [replicas.average([first, second], stop=False), replicas.average([first, second], stop=not replicas.first)]
facts = {"found": found, "first": first.grad[0].tolist(), "second": second.grad.tolist(), "stops": stops}
(folder / f"{replicas.rank}.json").write_text(json.dumps(facts))
"""


def test_two_processes_step_with_the_mean_gradient_and_stop_together(tmp_path: Path, repository: Path):
    script = tmp_path / "work.py"
    script.write_text(WORK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(repository)}  # the script lies elsewhere
    done = subprocess.run([*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    both = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [facts.pop("found") for facts in both] == [False, True], "the second finds what the first has made"
    assert both[0] == both[1]
    assert both[0]["first"] == [1.5] * 3 and both[0]["second"] == [0.0, 0.5, 1.0, 1.5]
    assert both[0]["stops"] == [False, True], "one that has to stop stops all"


def test_one_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = join()
    weight = torch.nn.Parameter(torch.zeros(3))
    assert alone == Replicas(0, 1) and alone.first
    assert alone.average([weight], stop=True) and weight.grad is None


def test_scenes_must_be_shareable():
    assert Replicas(1, 2).share(4) == 2
    with pytest.raises(SegPointError, match="shared by 2"):
        Replicas(1, 2).share(1)
