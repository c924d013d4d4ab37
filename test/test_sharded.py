"""Weights shared out over processes (FSDP, DeepSpeed's ZeRO-2) train as one process does, and go on from a checkpoint.

On two processes without a GPU, which only `share_out.py` makes share. Each is stopped after its first step, and goes on
from there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import DistributedType
from safetensors.torch import load_file
from test_resume import steps_of
from tiny_run import paper_run, write_backbone

from segpoint.config import ReaderConfig
from segpoint.errors import SegPointError
from segpoint_training.config import StageConfig
from segpoint_training.processes import check_sharing, start_processes

STEPS = 5
OPTIONS = ["--log-every", "1", "--validate-every", "3", "--device", "cpu"]


class Runs:
    """Runs of one config in a folder, with one process or shared out over two; all from the same scenes."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder, self.repository = folder, repository
        write_backbone(folder / "cache")
        # So fast that a look shows the steps between; what it shows is the average, of none of them.
        config = paper_run(STEPS, rate=2e-2, gate_rate=2e-2, ema=0.5, scenes=4, accumulate=2)
        # A model of seconds would write "There is no mask." to everything, and a look be of nothing.
        replace(config, model=replace(config.model, presence_bias=100.0)).save(folder / "config.yaml")
        self.environment = {
            **os.environ,
            "SEGPOINT_CACHE": str(folder / "cache"),
            "PYTHONPATH": str(repository),
            "OMP_NUM_THREADS": "1",
        }

    def train(self, name: str, shared: str | None = None, after: Path | None = None, *more: str) -> Path:
        """The run's folder. shared: the launcher's config.   after: goes on from a copy of this run."""
        run = self.folder / name
        if after is not None:
            shutil.copytree(after, run)
        config = self.repository / "config" / "training" / "accelerate" / f"{shared}.yaml"
        launch = ["-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", "2"]
        command = [sys.executable, *([*launch, "--main_process_port", "0"] if shared else [])]
        command += [str(self.repository / "test" / "share_out.py"), str(self.folder / "config.yaml"), "--run", str(run)]
        done = subprocess.run(
            [*command, *OPTIONS, *more], env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]  # also where it is stopped as asked
        return run

    def scenes(self) -> Path:
        """The scenes of the first run, alone."""
        folder = self.folder / "scenes"
        if not folder.exists():
            shutil.copytree(self.folder / "one" / "shards", folder / "shards")
        return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Runs:
    return Runs(tmp_path_factory.mktemp("sharded"), repository)


@pytest.fixture(scope="module")
def one(runs: Runs) -> Path:
    """The run of one process."""
    return runs.train("one")


@pytest.fixture(scope="module", params=["fsdp", "deepspeed_zero2"])
def stopped(runs: Runs, one: Path, request: pytest.FixtureRequest) -> Path:
    """A run of two that share out, after one step."""
    if request.param != "fsdp":
        pytest.importorskip("deepspeed")
    run = runs.train(f"{request.param} stopped", request.param, runs.scenes(), "--minutes", "0.0001")
    assert list(steps_of(run)) == [1]
    return run


@pytest.fixture(scope="module")
def ended(runs: Runs, stopped: Path) -> Path:
    """It, gone on to the end."""
    shared = stopped.name.split()[0]
    return runs.train(f"{shared} ended", shared, stopped)


def lines(run: Path, key: str) -> list[dict]:
    found = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in found if key in line]


def assert_same_state(one: Path, other: Path) -> None:
    """Weights, average, and AdamW's state, whole and by the same names."""
    states = [load_file(run / "stage2" / "state.safetensors") for run in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=1e-3, rtol=1e-3, msg=name)
    assert any(value.abs().max() > 1e-2 for name, value in states[0].items() if name.endswith("exp_avg"))


def test_shared_out_it_shows_the_losses_of_one(one: Path, ended: Path):
    began = lines(ended, "begins")
    assert [line["begins"] for line in began] == [0, 1] and {line["processes"] for line in began} == {2}
    assert {line["by"] for line in began} == {"FSDP" if "fsdp" in ended.name else "DEEPSPEED"}
    losses, shared = steps_of(one), steps_of(ended)
    assert list(shared) == list(losses) == [*range(1, STEPS + 1)] and losses[STEPS] < losses[1] - 0.1
    np.testing.assert_allclose([*shared.values()], [*losses.values()], rtol=2e-4)


def test_and_ends_with_its_weights_average_and_moments(one: Path, ended: Path):
    assert_same_state(one, ended)


def test_a_look_shows_the_average_of_the_moment(one: Path, ended: Path):
    """Not the weights in training, nor those of the look before."""
    alone, shared = ({line["step"]: line["validation"] for line in lines(run, "validation")} for run in (one, ended))
    assert list(alone) == [3, STEPS] and abs(alone[3]["logit"] - alone[STEPS]["logit"]) > 0.01
    for step, figures in alone.items():
        assert shared[step] == pytest.approx(figures, rel=1e-3, abs=1e-3), step
    assert (ended / "stage2" / "answers.png").exists()


def test_one_process_goes_on_where_two_shared(runs: Runs, one: Path, stopped: Path):
    alone = runs.train(f"{stopped.name.split()[0]} alone", None, stopped)
    assert lines(alone, "begins")[-1]["processes"] == 1
    np.testing.assert_allclose([*steps_of(alone).values()], [*steps_of(one).values()], rtol=2e-4)
    assert_same_state(one, alone)


def accelerator(kind: DistributedType, **more: object) -> SimpleNamespace:
    found = {"distributed_type": kind, "mixed_precision": "no", "is_fsdp2": True, **more}
    return SimpleNamespace(**found, state=SimpleNamespace(deepspeed_plugin=found.get("plugin")))


def test_what_cannot_be_shared_out_is_told_at_once():
    paper = paper_run()
    staged = replace(paper, stage1=StageConfig(steps=1))
    read = replace(paper_run(every=0), model=replace(paper.model, reader=ReaderConfig()))
    fsdp, ddp = accelerator(DistributedType.FSDP), accelerator(DistributedType.MULTI_GPU)
    for config in (paper, staged, read):
        check_sharing(config, ddp)
    for config, only in ((paper, None), (staged, "stage2"), (read, "data")):
        check_sharing(config, fsdp, only)
    for config, told in ((staged, "--only stage1"), (read, "reader.layers")):
        with pytest.raises(SegPointError, match=told):
            check_sharing(config, fsdp)
    for odd, told in (
        (accelerator(DistributedType.MULTI_GPU, mixed_precision="bf16"), "mixed_precision bf16"),
        (accelerator(DistributedType.FSDP, is_fsdp2=False), "fsdp_version 1"),
        (accelerator(DistributedType.DEEPSPEED, plugin=SimpleNamespace(zero_stage=3)), "zero_stage 3"),
    ):
        with pytest.raises(SegPointError, match=told):
            check_sharing(paper, odd)


def test_on_a_cpu_nothing_is_shared_out(monkeypatch: pytest.MonkeyPatch):
    for name in ("FSDP", "DEEPSPEED"):
        with monkeypatch.context() as patched, pytest.raises(SegPointError, match="cpu.yaml"):
            patched.setenv(f"ACCELERATE_USE_{name}", "true")
            start_processes("cpu")
