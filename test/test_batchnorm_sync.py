"""GEM's batch norm in two real processes: what one process with all the clouds computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from segpoint.network.gem import MaskedBatchNorm

CHANNELS, CLOUDS, ROWS = 5, 4, 40

WORK = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from torch import distributed
from test_batchnorm_sync import clouds, look
distributed.init_process_group("gloo")
rank = distributed.get_rank()
own = slice(2 * rank, 2 * rank + 2)
values, valid = clouds()
save_file(look(values[own], valid[own]), str(Path(sys.argv[1]) / f"{rank}.safetensors"))
distributed.destroy_process_group()
"""


def clouds() -> tuple[torch.Tensor, torch.Tensor]:
    """Values (4, 40, 5) far from zero and valid rows (4, 40); of one cloud there is none."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(CLOUDS, ROWS, CHANNELS, generator=generator) * torch.tensor([1.0, 5.0, 0.5, 2.0, 9.0]) + 4.0
    valid = torch.rand(CLOUDS, ROWS, generator=generator) < torch.tensor([0.9, 0.2, 0.6, 0.0])[:, None]
    return values, valid


def look(values: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two steps' outputs, gradients and running statistics, and what it gives afterwards, at rest."""
    norm, seen = MaskedBatchNorm(CHANNELS), {}
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2.0, CHANNELS))
    for step in range(2):
        leaf = (values + step).requires_grad_()
        result = norm(leaf, valid)
        (result.pow(3) * valid.unsqueeze(-1)).sum().backward()
        seen |= {f"result.{step}": result.detach(), f"gradient.{step}": leaf.grad}
    seen |= {f"gradient.{name}": parameter.grad for name, parameter in norm.named_parameters()}
    seen |= {f"buffer.{name}": buffer for name, buffer in norm.named_buffers()}
    return seen | {"rest": norm.eval()(values, valid).detach()}


def test_two_processes_norm_their_clouds_as_one_does(tmp_path: Path, repository: Path):
    script = tmp_path / "work.py"
    script.write_text(WORK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": f"{repository}{os.pathsep}{Path(__file__).parent}"}
    done = subprocess.run([*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    both = [load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1)]
    values, valid = clouds()
    for name, wanted in look(values, valid).items():
        if name.startswith("buffer."):  # equal in both, or their models would drift apart
            assert torch.equal(both[0][name], both[1][name]), name
            got = both[0][name]
        elif name in ("gradient.weight", "gradient.bias"):  # each process's own; the training loop adds them up
            got = both[0][name] + both[1][name]
        else:
            got = torch.cat([both[0][name], both[1][name]])
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
    alone = look(values[:2], valid[:2])
    assert (alone["result.0"] - both[0]["result.0"]).abs().max() > 0.1, "it shows whether they are put together"
