"""`segpoint train --from`: what fits of earlier weights is loaded, the rest stays as it was, and both are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segpoint.errors import SegPointError
from segpoint_training.checkpoints import Ema, flat_state, save_checkpoint
from segpoint_training.train import main
from segpoint_training.warm_start import fill, initial_state


class Trainer(nn.Module):
    """The names of stage 1's trainer; the network of the given width, with or without something new."""

    def __init__(self, width: int = 4, novel: bool = False) -> None:
        super().__init__()
        parts = {"gem": nn.Linear(3, 3), "reader": nn.Linear(3, width), "norm": nn.BatchNorm1d(3)}
        self.network = nn.ModuleDict({**parts, **({"place": nn.Linear(2, 2)} if novel else {})})
        self.project = nn.Sequential(nn.Linear(3, 2))


def modules_of(trainer: Trainer) -> dict[str, nn.Module]:
    return {"network": trainer.network, "language.project": trainer.project}


def test_from_a_run_and_from_its_stage(tmp_path: Path) -> None:
    trainer = Trainer()
    modules = modules_of(trainer)
    optimizer = torch.optim.AdamW([{"name": "all", "params": list(trainer.parameters())}])
    save_checkpoint(tmp_path / "stage1", modules, Ema(flat_state(modules), 0.9), optimizer, {"step": 3})
    for folder in (tmp_path, tmp_path / "stage1"):
        other = Trainer(novel=True)
        fresh = other.network["place"].weight.detach().clone()
        start = fill(modules_of(other), initial_state(folder))
        assert torch.equal(other.network["gem"].weight, trainer.network["gem"].weight)
        assert torch.equal(other.network["place"].weight, fresh)
        assert (start.fresh, start.unused, start.loaded) == (("network.place",), (), 11)


def test_from_a_bundle_of_another_shape(tmp_path: Path) -> None:
    trainer = Trainer()
    state = {f"network.{name}": value.half() for name, value in trainer.network.state_dict().items()}
    state |= {f"language.{name}": value.half() for name, value in trainer.state_dict().items() if "project" in name}
    save_file({**state, "language.llm.lora": torch.zeros(1)}, tmp_path / "model.safetensors")
    other = Trainer(width=5)
    start = fill(modules_of(other), initial_state(tmp_path))
    assert torch.allclose(other.project[0].weight, trainer.project[0].weight, atol=1e-3)
    assert other.network["gem"].weight.dtype == torch.float32
    assert start.fresh == ("network.reader (shape)",) and start.unused == ("language.llm",), (
        "what the language model learnt is for stage 2"
    )


def test_nothing_to_start_from_is_told(tmp_path: Path) -> None:
    with pytest.raises(SegPointError, match="nothing to start from"):
        initial_state(tmp_path)
    with pytest.raises(SegPointError, match="not one tensor fits"):
        fill(modules_of(Trainer()), {"elsewhere.weight": torch.zeros(2)})
    config = tmp_path / "config.yaml"
    config.write_text("seed: 1\n")
    with pytest.raises(SegPointError, match="nothing to start from"):
        main([str(config), "--run", str(tmp_path / "run"), "--from", str(tmp_path)])
    with pytest.raises(SegPointError, match="--device must be auto, cpu or cuda, got .warp"):
        main([str(config), "--run", str(tmp_path / "run"), "--device", "warp"])
    assert not (tmp_path / "run").exists(), "told before anything is written"
