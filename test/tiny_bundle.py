"""A bundle of a tiny network with random weights and no language model's, for tests of what is made from a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from segpoint.bundle import WEIGHTS
from segpoint.cloud import prepare
from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GemConfig, GfpConfig
from segpoint.network.inputs import PointInputs, collate
from segpoint.network.segpoint import SegPoint

LANGUAGE_WIDTH = 24
CONFIG = BundleConfig(
    cloud=CloudConfig(points=512),
    encoder=EncoderConfig(tokens=16, patch=8, width=24, depth=4, heads=2, hidden=32, stem_width=16, group_channels=16),
    gem=GemConfig(neighbours=8, widths=(8, 8, 12)),
    gfp=GfpConfig(levels=(32, 64), neighbours=4, width=16),
)


def random_network(config: BundleConfig = CONFIG, seed: int = 0) -> SegPoint:
    """Weights as before training, but none of them zero: gates and the path of ĥ_point are open, norms are no ones."""
    torch.manual_seed(seed)
    network = SegPoint(config, LANGUAGE_WIDTH)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and (tensor == tensor.flatten()[0]).all():
                tensor.add_(torch.rand_like(tensor) + 0.1 if "running_var" in name else 0.5 * torch.rand_like(tensor))
    return network.eval()


def write_bundle(folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    CONFIG.save(folder)
    weights = random_network(seed=seed).state_dict()
    save_file({f"network.{name}": value for name, value in weights.items()}, folder / WEIGHTS)
    return folder


def cloud_inputs(config: BundleConfig = CONFIG, points: int = 4000, seed: int = 0) -> PointInputs:
    """A table with a box on it; of few ``points``, much of the cloud is padding."""
    rng = np.random.default_rng(seed)
    table = np.column_stack([rng.uniform(0.5, 1.0, points), rng.uniform(-0.3, 0.3, points), np.full(points, -0.4)])
    box = rng.uniform([0.7, -0.1, -0.4], [0.8, 0.1, -0.2], (points // 2, 3))
    xyz = np.concatenate([table, box])
    cloud = prepare(xyz, rng.integers(0, 255, xyz.shape).astype(np.uint8), "body", config.cloud)
    return collate([cloud], config)
