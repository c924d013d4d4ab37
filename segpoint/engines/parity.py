"""What engines are checked against: clouds, and what PyTorch makes of them graph by graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segpoint.cloud import prepare
from segpoint.config import BundleConfig, CloudConfig
from segpoint.engines.graphs import Signature, cloud_tensors
from segpoint.engines.runner import Runner, TorchRunner
from segpoint.network.inputs import PointInputs, collate
from segpoint.network.segpoint import SegPoint


@dataclass(frozen=True)
class Sample:
    """What a graph was given, and what PyTorch made of it."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    def difference(self, found: Mapping[str, Tensor]) -> float:
        """The largest difference of an output, as a share of that output's largest value; infinite where it is NaN."""
        worst = 0.0
        for name, expected in self.outputs.items():
            share = (found[name] - expected).abs().max() / expected.abs().max().clamp_min(1e-6)
            worst = max(worst, float(share.nan_to_num(nan=torch.inf, posinf=torch.inf)))
        return worst


@torch.inference_mode()
def samples(network: SegPoint, graphs: Mapping[str, Signature]) -> dict[str, list[Sample]]:
    """For each graph two samples, on the network's device, from two clouds that went through the graphs before it."""
    reference: Runner = TorchRunner(network, graphs)
    device = next(network.parameters()).device
    found: dict[str, list[Sample]] = {graph: [] for graph in graphs}
    for inputs in sample_inputs(network.config):
        given = cloud_tensors(inputs.to(device))
        hidden = (1, network.config.encoder.tokens, network.language_width)
        given["point_hidden"] = torch.randn(hidden, generator=torch.Generator().manual_seed(0)).to(device)
        for graph, signature in graphs.items():
            taken = {port.name: given[port.name] for port in signature.inputs}
            made = reference.run(graph, taken)
            found[graph].append(Sample(taken, made))
            given |= made
    return found


def sample_inputs(config: BundleConfig) -> list[PointInputs]:
    """A table with boxes on it as a sensor may see it, once with points for all N voxels and once with far too few.

    Of the bundle's way to prepare clouds only what gives the graphs their shapes and units: what it takes for a usable
    cloud (a LiDAR's, say, from 2 m on) need not be a table at arm's length.
    """
    table_top = CloudConfig(points=config.cloud.points, unit_m=config.cloud.unit_m)
    rng = np.random.default_rng(0)
    most = 24 * config.cloud.points
    inputs = []
    for points in (most, max(table_top.min_points * 4, table_top.points // 4)):
        table = np.column_stack([rng.uniform([0.6, -0.5], [1.4, 0.5], (points, 2)), np.full(points, -0.4)])
        sides = rng.uniform(0.05, 0.2, (6, 3))
        corner = np.column_stack([rng.uniform([0.65, -0.45], [1.2, 0.3], (6, 2)), np.full(6, -0.4)])
        box = rng.integers(0, 6, points)
        faces = rng.random((points, 3))
        faces[np.arange(points), rng.integers(0, 3, points)] = 1.0
        xyz = np.concatenate([table, corner[box] + faces * sides[box]]).astype(np.float32)
        rgb = rng.integers(0, 256, xyz.shape).astype(np.uint8)
        inputs.append(collate([prepare(xyz, rgb, "body", table_top)], config))
    return inputs
