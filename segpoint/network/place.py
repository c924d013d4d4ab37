"""Clicks and boxes: what the user points at, as tokens beside ``<POINT>``.

The paper names the lack of such prompts as its limit; this is ours, after SAM's prompt encoder. A place is read off
the cloud as well as told: a click knows where it is and what f_P says there, a box its two corners and the mean of f_P
inside. The reader takes it as further words of the question, the LLM as point tokens between the cloud and the
question.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segpoint.network.kpconv import gather
from segpoint.network.position import PositionCode

CLICK, BOX = 0, 1


@dataclass(frozen=True)
class Places:
    """Up to P places with each of Q questions about each of B clouds.

    kind: (B, Q, P) int64: CLICK, BOX, or −1 for none.   corners: (B, Q, P, 2, 3) float32 network frame, lowest and
    highest (of a click: twice the click).   inside: (B, Q, P, R) float32, the share of each point of f_P: 1 at the
    point that was clicked, equal shares in a box, sum 1.   token: (B, Q, P) int64, the point token nearest to its
    middle.
    """

    kind: Tensor
    corners: Tensor
    inside: Tensor
    token: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, Q, P) bool: a place, not padding."""
        return self.kind >= 0

    def questions(self, chosen: Tensor) -> Places:
        """Those of the questions ``chosen`` (n,) alone."""
        return Places(self.kind[:, chosen], self.corners[:, chosen], self.inside[:, chosen], self.token[:, chosen])

    def question(self, q: int) -> Places | None:
        """Those of the q-th question alone, padding left out; None where it has none. For a single cloud."""
        there = self.mask[0, q]
        return Places(*(t[:, q : q + 1, there] for t in vars(self).values())) if there.any() else None

    def expand(self, questions: int) -> Places:
        """The places of one question, asked several times."""
        return Places(*(t.expand(-1, questions, *t.shape[2:]) for t in vars(self).values()))

    def scene(self, b: int) -> Places:
        """Those about the b-th cloud alone."""
        return Places(*(t[b : b + 1] for t in vars(self).values()))

    def to(self, device: torch.device | str) -> Places:
        """The places on another device."""
        return Places(*(t.to(device) for t in vars(self).values()))


class PlaceEncoder(nn.Module):
    """Tokens of places for the reader (width D) and for the LLM (width H)."""

    def __init__(self, width: int, language_width: int) -> None:
        super().__init__()
        self.kinds = nn.Embedding(2, width)
        self.low = PositionCode(width)
        self.high = PositionCode(width)
        self.feature = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.language = nn.Linear(width, language_width)
        nn.init.zeros_(self.language.weight)  # the LLM begins with the bare point token
        nn.init.zeros_(self.language.bias)

    def forward(self, places: Places, dense: Tensor) -> Tensor:
        """places and f_P (B, R, D) → the reader's tokens (B, Q, P, D)."""
        batch, questions, count, points = places.inside.shape
        shares = places.inside.reshape(batch, questions * count, points).to(dense.dtype)
        seen = (shares @ dense).reshape(batch, questions, count, -1)
        return self.norm(self._code(places) + self.feature(seen))

    def for_language(self, places: Places, projected: Tensor) -> Tensor:
        """places and the point tokens as the LLM gets them (B, N1, H) → its tokens (B, Q, P, H)."""
        batch, questions, count = places.token.shape
        again = gather(projected, places.token.reshape(batch, questions * count))
        return again.reshape(batch, questions, count, -1) + self.language(self.norm(self._code(places)))

    def _code(self, places: Places) -> Tensor:
        batch, questions, count = places.kind.shape
        corners = places.corners.reshape(batch, questions * count, 2, 3)
        code = self.low(corners[:, :, 0]) + self.high(corners[:, :, 1])
        return code.reshape(batch, questions, count, -1) + self.kinds(places.kind.clamp_min(0))
