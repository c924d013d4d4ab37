"""The one command for a GPU machine: steps that the commands understand, and a tar with what is worth bringing back."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from segpoint_training import calibrate, evaluate, generate
from segpoint_training.config import TrainConfig
from segpoint_training.on_gpu import main, pack, plan


def test_steps_are_commands_that_exist(tmp_path: Path, repository: Path) -> None:
    config = repository / "config" / "training" / "segpoint_gpu.yaml"
    TrainConfig.load(config)
    steps = plan(str(config), tmp_path / "run", "cuda", "models/old", "recordings")
    words = {step[2]: step[3:] for step in steps if step[1] == "segpoint.cli"}
    assert list(words) == ["setup", "generate", "train", "evaluate"]
    assert generate._parser().parse_args(words["generate"]).shards == str(tmp_path / "run" / "shards")
    evaluated = evaluate._parser().parse_args(words["evaluate"])
    assert evaluated.bundle == str(tmp_path / "run" / "bundle") and "real" in evaluated.row
    assert words["train"][-4:] == ("--device", "cuda", "--from", "models/old")
    (calibration,) = (step[2:] for step in steps if step[1] == "segpoint_training.calibrate")
    assert calibrate._parser().parse_args(calibration).bundle == tmp_path / "run" / "bundle"
    without = plan(str(config), tmp_path / "run", "cuda", None, None)
    assert "real" not in without[-1] and "--from" not in without[2]


def test_a_dry_run_only_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["any.yaml", "--run", str(tmp_path / "run"), "--tar", str(tmp_path / "a.tar.gz"), "--dry-run"]) == 0
    assert "segpoint.cli train any.yaml" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_what_is_packed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("bundle/model.safetensors", "results/tables.json", "shards/train.npz", "stage1/state.safetensors"):
        (run / name).parent.mkdir(parents=True)
        (run / name).write_text(name)
    for name in ("results.md", "config.yaml", "log.jsonl"):
        (run / name).write_text(name)
    pack(run, tmp_path / "out" / "a.tar.gz")
    with tarfile.open(tmp_path / "out" / "a.tar.gz") as archive:
        files = {member.name for member in archive if member.isfile()}
    assert files == {f"run/{name}" for name in ("bundle/model.safetensors", "results/tables.json", "results.md",
                                                "config.yaml", "log.jsonl")}  # fmt: skip
