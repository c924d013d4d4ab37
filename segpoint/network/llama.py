"""ℱ as fast as PyTorch runs it: a LLaMA's forward pass for inference, written out.

The weights and the mathematics of transformers' ``LlamaForCausalLM`` with peft's LoRA, without gradients: projections
of one input are one matmul, keys and values stand in one block that is allocated before.
On a CPU the weights are laid out once as its matmul wants them, which PyTorch otherwise does again in every pass and
which for a question's few tokens costs as much as the multiplication. The residual stream is float32 whatever the
weights are. `benchmarks/language.py` says what each of that is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


_AT_ONCE = 64  # queries


class KeyValues:
    """Keys and values of the tokens that were read: block (layers, 2, KV heads, capacity, head width)."""

    def __init__(self, block: Tensor) -> None:
        self.block = block

    def reserve(self, capacity: int) -> None:
        """Make room for this many tokens; what stands there stays."""
        have = self.block.shape[3]
        if have < capacity:
            self.block = F.pad(self.block, (0, 0, 0, max(capacity, 2 * have) - have))


class Llama:
    """The layers of a ``LlamaForCausalLM`` and its head, for inference.

    Made of the weights as they are: after a change of LoRA make another one. Layers that are not plain (8- and 4-bit
    ones) are called as they are.
    """

    def __init__(self, model: LlamaForCausalLM) -> None:
        config: Any = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.dtype: torch.dtype = model.lm_head.weight.dtype
        with torch.inference_mode(False), torch.no_grad():  # what a layer is given to keep must serve training, too
            self.layers = [_Layer(layer, self.dtype) for layer in model.model.layers]
            self.norm = _Norm(model.model.norm, torch.float32)
            self.head = Projection([model.lm_head])
            positions = torch.arange(config.max_position_embeddings, device=self.norm.weight.device)
            cos, sin = model.model.rotary_emb(self.norm.weight, positions[None])
        # Both halves of a head turn by the same angles.
        self.cos, self.sin = (t[0, :, None, : self.head_width // 2].to(self.dtype) for t in (cos, sin))

    def cache(self, capacity: int) -> KeyValues:
        """An empty one with room for ``capacity`` tokens."""
        shape = (len(self.layers), 2, self.kv_heads, capacity, self.head_width)
        return KeyValues(torch.zeros(shape, dtype=self.dtype, device=self.cos.device))

    def read(
        self, x: Tensor, positions: Tensor, cache: KeyValues, start: int, mask: Tensor, adapted: bool = True
    ) -> Tensor:
        """Read T tokens behind the ``start`` that the cache holds.

        x: (T, H) embeddings.   positions: (T,) int64.   mask: (T, start + T) bool, True = may look.   adapted: by LoRA
        → their last hidden states (T, H) float32; their keys and values are then in the cache.
        """
        count, end = len(x), start + len(x)
        group, turned = self.heads // self.kv_heads, self.heads + self.kv_heads
        cache.reserve(end)
        cos, sin = self.cos[positions], self.sin[positions]  # (T, 1, D / 2)
        views = _views(mask, group, self.dtype)
        x = x.float()
        for layer, block in zip(self.layers, cache.block, strict=True):
            qkv = layer.qkv(layer.before(x), adapted).view(count, -1, self.head_width)
            one, two = qkv[:, :turned].chunk(2, dim=-1)
            qk = torch.cat([one * cos - two * sin, two * cos + one * sin], dim=-1)
            block[0, :, start:end] = qk[:, self.heads :].transpose(0, 1)
            block[1, :, start:end] = qkv[:, turned:].transpose(0, 1)
            keys, values = block[:, :, :end]
            found = []
            for rows, columns, bias in views:
                # Query heads that share keys stand below each other as further queries: keys are never repeated.
                query = qk[rows, : self.heads].unflatten(1, (self.kv_heads, group)).permute(1, 2, 0, 3).flatten(1, 2)
                seen = F.scaled_dot_product_attention(
                    query[None], keys[None, :, columns], values[None, :, columns], attn_mask=bias, scale=layer.scale
                )
                found.append(seen[0].unflatten(1, (group, -1)).permute(2, 0, 1, 3).flatten(1))
            seen = torch.cat(found) if len(found) > 1 else found[0]
            x = x + layer.out(seen, adapted)
            gate, up = layer.gate_up(layer.between(x), adapted).chunk(2, dim=-1)
            x = x + layer.down(layer.activate(gate) * up, adapted)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(T, H) last hidden states → (T, V) float32."""
        return self.head(hidden.to(self.dtype)).float()


View = tuple[slice, slice | Tensor, Tensor]


def _views(mask: Tensor, group: int, dtype: torch.dtype) -> list[View]:
    """Which keys are held against which queries, as (queries, keys, bias for ``group`` heads below each other).

    All against all, or where many questions stand in one sequence, which see little of each other, a few against those
    that one of them may look at.
    """
    rows, columns = [slice(None)], list[Any]([slice(None)])
    if len(mask) > _AT_ONCE:
        some = [slice(first, first + _AT_ONCE) for first in range(0, len(mask), _AT_ONCE)]
        seen = [mask[few].any(0).nonzero()[:, 0] for few in some]
        if 2 * sum(_AT_ONCE * len(few) for few in seen) < mask.numel():
            rows, columns = some, seen
    views = []
    for few, keys in zip(rows, columns, strict=True):
        hidden = ~mask[few][:, keys]
        bias = torch.zeros(hidden.shape, dtype=dtype, device=mask.device).masked_fill_(hidden, -torch.inf)
        views.append((few, keys, bias.repeat(group, 1)))
    return views


class _Layer:
    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.before, self.between = _Norm(layer.input_layernorm, dtype), _Norm(layer.post_attention_layernorm, dtype)
        self.qkv = Projection([attention.q_proj, attention.k_proj, attention.v_proj])
        self.out = Projection([attention.o_proj])
        self.gate_up = Projection([mlp.gate_proj, mlp.up_proj])
        self.down = Projection([mlp.down_proj])
        self.activate: Callable[[Tensor], Tensor] = mlp.act_fn
        self.scale: float = attention.scaling


class _Norm:
    def __init__(self, norm: Any, dtype: torch.dtype) -> None:
        self.weight, self.eps, self.dtype = norm.weight.detach().float(), norm.variance_epsilon, dtype

    def __call__(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps).to(self.dtype)


class Projection:
    """Linear layers of one input as a single matmul (T, in) → (T, the sum of their widths), LoRA included.

    LoRA's A and B follow in two small matmuls, unless the base model alone is asked for. Merged into W the update would
    be rounded to W's bfloat16, and W alone (for the questions' states) be needed beside it.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self.layers: list[Any] = list(layers)
        self.base: list[Any] = [getattr(layer, "base_layer", layer) for layer in layers]
        self.plain = all(type(layer) is nn.Linear for layer in self.base)
        if not self.plain:
            return
        self.bias = None
        if any(layer.bias is not None for layer in self.base):
            self.bias = torch.cat([_bias(layer) for layer in self.base])
        self.multiply = _matmul(_one_block(self.base))
        self.adapt = self._lora()

    def __call__(self, x: Tensor, adapted: bool = True) -> Tensor:
        if not self.plain:
            layers = self.layers if adapted else self.base
            return torch.cat([layer(x) for layer in layers], dim=-1)
        out = self.multiply(x)
        if adapted and self.adapt is not None:
            out = self.adapt(x, out)
        return out if self.bias is None else out + self.bias

    def _lora(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """x (T, in), W x (T, width) → W x + B A x, of all the layers that have one."""
        dtype, width = self.base[0].weight.dtype, sum(layer.out_features for layer in self.base)
        downs, rises, row = [], [], 0
        for layer, base in zip(self.layers, self.base, strict=True):
            if hasattr(layer, "lora_A"):
                (name,) = layer.lora_A  # peft's "default"
                downs.append(layer.lora_A[name].weight.to(dtype))
                rise = layer.lora_B[name].weight * layer.scaling[name]
                rises.append(F.pad(rise, (0, 0, row, width - row - base.out_features)).to(dtype))
            row += base.out_features
        if not downs:
            return None
        lower, lift = _matmul(torch.cat(downs)), _matmul_onto(torch.cat(rises, dim=1))
        return lambda x, out: lift(lower(x), out)


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias


def _one_block(layers: list[nn.Linear]) -> Tensor:
    """The layers' weights below each other. Off the CPU, where no layout of ours is kept beside them, they become views
    of it: nothing is held twice."""
    if len(layers) == 1:
        return layers[0].weight
    block = torch.cat([layer.weight for layer in layers])
    if not _laid_out(block):
        for layer, part in zip(layers, block.split([layer.out_features for layer in layers]), strict=True):
            layer.weight = nn.Parameter(part, requires_grad=False)
    return block


def _laid_out(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and torch.backends.mkldnn.is_available()


def _matmul(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """x (T, in) → x Wᵀ."""
    if not _laid_out(weight):
        return lambda x: F.linear(x, weight)
    block = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, block, None, "none", [], "")


def _matmul_onto(weight: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """x (T, in), y (T, width) → y + x Wᵀ."""
    if not _laid_out(weight):
        return lambda x, y: torch.addmm(y, x, weight.T)
    block = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return lambda x, y: torch.ops.mkldnn._linear_pointwise.binary(x, y, block, None, "add")
