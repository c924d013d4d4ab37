"""The mask reader: <SEG> and the question's words look at the scene before the dot product.

A departure from the paper, switched by ``reader.layers`` (0 is the paper). LLaMA2-7B settles relations between
objects by itself; a 135M model that saw some thousand scenes does not. So ĥ_seg = γ(ŷ_seg) is refined by a few
layers in which [<SEG>, words] attend to each other and to the scene's middle level (f̃_4 with positions), as SAM's
mask decoder lets its prompt tokens look at the image. A presence score says whether there is any target at all: what
the reader chose is held against what was asked (`Presence`).

The words are the frozen LLM's hidden states of the question alone, without points or LoRA: they do not depend on the
cloud, so a standing instruction costs them once, and training stage 1 has exactly what is there at run time. Clicks and
boxes (`segpoint.network.place`) are further words.

Positions are given twice, in the same Fourier code: to what is looked at, and to the mask features f_P, so that
ĥ_seg can carry over *where* the thing it chose is. Without that, two boxes that look alike get one mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from segpoint.network.attention import attend
from segpoint.network.position import PositionCode

KeysValues = tuple[Tensor, Tensor]


class ReaderLayer(nn.Module):
    """Self-attention within one question, cross-attention to the scene, FFN; pre-norm, residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_self = nn.LayerNorm(width)
        self.norm_cross = nn.LayerNorm(width)
        self.norm_ffn = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.ffn = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def look(self, scene: Tensor) -> KeysValues:
        """scene (B, S, D) → its keys and values, each (B, S, D), which serve every question about it."""
        keys, values = self.memory(scene).chunk(2, dim=-1)
        return keys, values

    def forward(self, words: Tensor, word_mask: Tensor, seen: KeysValues, scene_mask: Tensor) -> Tensor:
        """words (B, Q, T, D), word_mask (B, Q, T) bool, seen of S points, scene_mask (B, S) bool → (B, Q, T, D)."""
        batch, questions, length, width = words.shape
        q, k, v = self.qkv(self.norm_self(words)).reshape(batch * questions, length, 3 * width).chunk(3, dim=-1)
        mask = word_mask.reshape(batch * questions, 1, 1, length)
        mixed = self._attend(q, k, v, mask).reshape(batch, questions, length, width)
        words = words + self.self_out(mixed)
        queries = self.query(self.norm_cross(words)).reshape(batch, questions * length, width)
        found = self._attend(queries, *seen, scene_mask[:, None, None, :])
        words = words + self.cross_out(found).reshape(batch, questions, length, width)
        return words + self.ffn(self.norm_ffn(words))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        return attend(q, k, v, mask).transpose(1, 2).flatten(2)


class Presence(nn.Module):
    """Is there a target at all? By what the reader made of the question, and by a look at what it chose.

    Beside a linear score of the refined <SEG> token stands a check of the mask: its mean feature (is this red, is this
    a mug?) against that token, and how sure its points are. The mask itself is taken as given: no gradient tells it to
    look more or less convincing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.guess = nn.Linear(width, 1)
        self.feature = nn.Linear(width, width)
        self.check = nn.Sequential(nn.Linear(3 * width + 2, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, read: Tensor, logits: Tensor, dense: Tensor, valid: Tensor) -> Tensor:
        """read (B, Q, D), mask logits (B, Q, N), f_P (B, N, D), valid (B, N) bool → presence logit (B, Q)."""
        seen = logits.detach().masked_fill(~valid.unsqueeze(1), -1e4)
        share = seen.sigmoid()
        share = share / share.sum(dim=2, keepdim=True).clamp_min(1e-3)
        chosen = self.feature(share.to(dense.dtype) @ dense)  # (B, Q, D)
        sure = torch.stack([seen.amax(dim=2), (share * seen).sum(dim=2)], dim=2).to(read.dtype)
        facts = torch.cat([read, chosen, read * chosen, sure], dim=2)
        return (self.guess(read) + self.check(facts)).squeeze(-1)


class MaskReader(nn.Module):
    """Refines ĥ_seg by looking at the scene; residual, so that γ's path stays the paper's."""

    def __init__(self, word_width: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.question = nn.Sequential(nn.Linear(word_width, word_width), nn.ReLU(), nn.Linear(word_width, width))
        self.words = nn.Sequential(nn.LayerNorm(word_width), nn.Linear(word_width, width))
        self.position = PositionCode(width)
        self.locate = PositionCode(width)
        self.norm_scene = nn.LayerNorm(width)
        self.layers = nn.ModuleList(ReaderLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.presence = Presence(width)

    def look(self, scene: Tensor, positions: Tensor) -> list[KeysValues]:
        """What the layers see of a scene f̃_4 (B, S, D) at positions (B, S, 3)."""
        memory = self.norm_scene(scene) + self.position(positions)
        return [cast(ReaderLayer, layer).look(memory) for layer in self.layers]

    def forward(
        self,
        seg: Tensor | None,
        words: Tensor,
        word_mask: Tensor,
        seen: Sequence[KeysValues],
        scene_mask: Tensor,
        places: Tensor | None = None,
        place_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """seg γ(ŷ_seg) (B, Q, D), None before there is an answer, words (B, Q, T, H) with word_mask (B, Q, T), seen:
        `look` at a scene, scene_mask (B, S) of it, places (B, Q, P, D) with place_mask (B, Q, P)
        → ĥ_seg (B, Q, D) and the <SEG> token as it was refined (B, Q, D), which `presence` takes."""
        asked = self.question(last_state(words, word_mask))  # (B, Q, D)
        seg = asked if seg is None else asked + seg
        tokens = torch.cat([seg.unsqueeze(2), self.words(words)], dim=2)
        mask = torch.cat([torch.ones_like(word_mask[..., :1]), word_mask], dim=2)
        if places is not None and place_mask is not None:
            tokens, mask = torch.cat([tokens, places], dim=2), torch.cat([mask, place_mask], dim=2)
        for layer, keys_values in zip(self.layers, seen, strict=True):
            tokens = layer(tokens, mask, keys_values, scene_mask)
        read = self.norm(tokens[:, :, 0])
        return seg + self.out(read), read


def last_state(states: Tensor, mask: Tensor) -> Tensor:
    """(B, Q, T, H) states and their mask (B, Q, T) → the state at each question's last token (B, Q, H)."""
    last = mask.sum(dim=2, keepdim=True).sub(1).clamp_min(0).unsqueeze(-1)
    return states.gather(2, last.expand(-1, -1, 1, states.shape[-1])).squeeze(2)
