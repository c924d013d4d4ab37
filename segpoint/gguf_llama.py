"""A LLaMA model in llama.cpp's GGUF file → a transformers folder with safetensors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segpoint.errors import SegPointError


def convert(gguf: Path, folder: Path, dtype: str, report: Callable[[float], None]) -> None:
    """Write ``folder``, which must not exist, as ``LlamaForCausalLM.from_pretrained`` reads it.

    Args:
        gguf: the model file; quantised tensors are dequantised in float32 first.
        folder: gets model.safetensors, config.json and the tokenizer's files.
        dtype: of the weights written, a torch dtype's name.
        report: told the share that is done, 0 … 1.

    Raises:
        SegPointError: the file holds a tensor that no LLaMA model has.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from gguf import GGUFReader, dequantize
    from safetensors.torch import save_file
    from transformers import AutoTokenizer, LlamaConfig

    folder.mkdir()
    reader = GGUFReader(gguf)
    config = _llama_config(reader)
    weights = {}
    for i, tensor in enumerate(reader.tensors):
        name = _llama_name(tensor.name)
        if name is None:
            raise SegPointError(f"{gguf} holds {tensor.name}, which no LLaMA model has")
        array = dequantize(tensor.data, tensor.tensor_type)
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            # llama.cpp keeps the two halves that RoPE rotates interleaved row by row: (heads, d/2, 2) → (heads, 2, d/2)
            array = array.reshape(heads, -1, 2, array.shape[-1]).swapaxes(1, 2).reshape(array.shape)
        weights[name] = torch.tensor(array).to(getattr(torch, dtype)).contiguous()
        report(0.8 * (i + 1) / len(reader.tensors))
    config["tie_word_embeddings"] = "lm_head.weight" not in weights
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes 0600; a cache may serve several users
    LlamaConfig(**config, dtype=dtype, architectures=["LlamaForCausalLM"]).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    tokenizer.model_max_length = config["max_position_embeddings"]
    tokenizer.save_pretrained(folder)


def _llama_config(reader: Any) -> dict[str, Any]:
    def value(key: str) -> Any:
        return reader.fields[key].contents()

    return {
        "vocab_size": value("llama.vocab_size"),
        "hidden_size": value("llama.embedding_length"),
        "intermediate_size": value("llama.feed_forward_length"),
        "num_hidden_layers": value("llama.block_count"),
        "num_attention_heads": value("llama.attention.head_count"),
        "num_key_value_heads": value("llama.attention.head_count_kv"),
        "max_position_embeddings": value("llama.context_length"),
        "rms_norm_eps": value("llama.attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_type": "default", "rope_theta": value("llama.rope.freq_base")},
        "bos_token_id": value("tokenizer.ggml.bos_token_id"),
        "eos_token_id": value("tokenizer.ggml.eos_token_id"),
        "pad_token_id": value("tokenizer.ggml.padding_token_id"),
    }


_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _llama_name(name: str) -> str | None:
    """llama.cpp's tensor name → transformers' parameter name (None: not a LLaMA tensor)."""
    parts = name.split(".")  # blk.0.attn_q.weight
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _LAYER:
        return f"model.layers.{parts[1]}.{_LAYER[parts[2]]}.weight"
    return _TOP.get(name)
