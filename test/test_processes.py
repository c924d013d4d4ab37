"""Two processes train as one does: the same clouds, the same losses, the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_resume import steps_of
from tiny_run import paper_run, write_backbone

OPTIONS = ["--log-every", "1", "--device", "cpu"]
LAUNCH = ["-m", "accelerate.commands.launch", "--main_process_port", "0", "--config_file"]  # 0: any that is free


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, Path]:
    """The same config trained by one process, by two as docs/training.md says, and by one in two parts a step."""
    folder = tmp_path_factory.mktemp("processes")
    write_backbone(folder / "cache")
    paper_run(5).save(folder / "config.yaml")
    paper_run(5, accumulate=2).save(folder / "parts.yaml")
    environment = {**os.environ, "SEGPOINT_CACHE": str(folder / "cache"), "PYTHONPATH": str(repository)}
    environment["OMP_NUM_THREADS"] = "1"
    two = [*LAUNCH, str(repository / "config" / "training" / "accelerate" / "cpu.yaml")]
    found = {}
    for name, launcher, config in (("one", [], "config"), ("two", two, "config"), ("parts", [], "parts")):
        run, path = folder / name, folder / f"{config}.yaml"
        command = [*launcher, "-m", "segpoint_training.train", str(path), "--run", str(run), *OPTIONS]
        done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        found[name] = run
    return found


def test_two_processes_show_the_losses_of_one(runs: dict[str, Path]):
    one, two = (list(steps_of(runs[name]).values()) for name in ("one", "two"))
    assert len(one) == len(two) == 5 and one[-1] != one[0]
    np.testing.assert_allclose(one, two, rtol=2e-4)


def test_and_end_with_its_weights(runs: dict[str, Path]):
    one, two = (load_file(runs[name] / "stage2" / "state.safetensors") for name in ("one", "two"))
    start = 0.0
    for name, value in one.items():
        if name.startswith("model.") and value.is_floating_point():
            torch.testing.assert_close(value, two[name], atol=3e-4, rtol=1e-3, msg=name)
            start += float(value.square().sum())
    assert start > 0


def test_parts_one_after_the_other_differ_only_in_their_statistics(runs: dict[str, Path]):
    """Two parts of one cloud: BatchNorm sees one cloud at a time, so the losses are near, not equal."""
    one, parts = (list(steps_of(runs[name]).values()) for name in ("one", "parts"))
    np.testing.assert_allclose(one, parts, rtol=0.05)
