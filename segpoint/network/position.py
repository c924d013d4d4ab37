"""Where a point is, in a form that attention and dot products can use."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PositionCode(nn.Module):
    """Sines and cosines of coordinates at wavelengths from 0.25 to 32 network units, projected.

    At the default unit of 0.2 m that is 5 cm (a mug) to 6.4 m (a room).
    """

    frequencies: Tensor

    def __init__(self, width: int, octaves: int = 8) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * torch.pi / (0.25 * 2.0 ** torch.arange(octaves)), persistent=False)
        self.out = nn.Linear(3 + 6 * octaves, width)

    def forward(self, points: Tensor) -> Tensor:
        """(B, M, 3) in the network frame → (B, M, width)."""
        angles = (points.unsqueeze(-1) * self.frequencies).flatten(2)
        return self.out(torch.cat([points, angles.sin(), angles.cos()], dim=-1))
