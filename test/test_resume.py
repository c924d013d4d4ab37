"""A run that is killed at any moment and goes on ends with the weights of one that was never stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import paper_run, write_backbone

STEPS = 14


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, str]:
    cache = tmp_path_factory.mktemp("cache")
    write_backbone(cache)
    return {**os.environ, "SEGPOINT_CACHE": str(cache), "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}


def command(config: Path, run: Path) -> list[str]:
    options = ["--log-every", "1", "--save-every", "0", "--validate-every", "5", "--device", "cpu"]
    return [sys.executable, "-m", "segpoint_training.train", str(config), "--run", str(run), *options]


def steps_of(run: Path) -> dict[int, float]:
    path = run / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return {line["step"]: line["loss"] for line in found if "loss" in line}


def test_killed_and_resumed_is_as_if_nothing_had_been(tmp_path: Path, environment: dict[str, str]):
    config = tmp_path / "config.yaml"
    settings = paper_run(STEPS, ema=0.9, precision="bf16", accumulate=2)
    model = replace(settings.model, language=replace(settings.model.language, lora_dropout=0.2))
    replace(settings, model=model).save(config)  # what is random must be so again
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(config, whole), env=environment, check=True, capture_output=True, timeout=300)
    process = subprocess.Popen(command(config, killed), env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while max(steps_of(killed), default=0) < 6 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be killed"
    process.kill()
    process.wait()
    at = int(load_file(killed / "stage2" / "state.safetensors")["step"])
    assert 0 < at < STEPS
    subprocess.run(command(config, killed), env=environment, check=True, capture_output=True, timeout=300)
    one, other = (load_file(run / "stage2" / "state.safetensors") for run in (whole, killed))
    assert one.keys() == other.keys() and int(other["step"]) == STEPS
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert any("lora_B" in name and value.any() for name, value in one.items()), "it has learnt something"
    facts = json.loads((killed / "stage2" / "state.json").read_text())
    assert facts["step"] == STEPS and "with target" in facts["figures"] and facts["commit"]
