"""llama.cpp over given embeddings, through llama-cpp-python's C interface."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segpoint.gguf_llama import _LAYER

_ROWS = 32  # of a vocabulary that nobody uses: llama.cpp multiplies every token by all of it


def llamacpp_runs(
    model: Any, words: Tensor, sizes: Sequence[tuple[int, int]], folder: Path, kind: str
) -> dict[tuple[int, int], Callable[[], Tensor]]:
    """A pass for each of the sizes (tokens read, tokens before), to be called in this order at first.

    model: a ``LlamaModel`` in float32.   words: (T, H) float32.   kind: of the weights, as gguf names it.
    """
    import llama_cpp.llama_cpp as c

    logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL)  # it prints whatever that lets through
    path = folder / f"{kind}.gguf"
    _write(model, path, kind)
    c.llama_backend_init()
    loaded = c.llama_model_load_from_file(str(path).encode(), c.llama_model_default_params())
    params = c.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 512
    params.n_threads = params.n_threads_batch = torch.get_num_threads()
    params.embeddings, params.pooling_type = True, c.LLAMA_POOLING_TYPE_NONE
    context = c.llama_init_from_model(loaded, params)
    if not context:
        raise RuntimeError("llama.cpp does not load the GGUF written for it")
    memory, width = c.llama_get_memory(context), words.shape[1]

    def read(count: int, before: int) -> Callable[[], Tensor]:
        batch = _batch(c, words[before : before + count], before)

        def run() -> Tensor:
            c.llama_memory_seq_rm(memory, 0, before, -1)
            if code := c.llama_decode(context, batch):
                raise RuntimeError(f"llama_decode returned {code}")
            found = np.ctypeslib.as_array(c.llama_get_embeddings(context), (count, width))
            return torch.from_numpy(found.copy())

        return run

    return {(count, before): read(count, before) for count, before in sizes}


def _batch(c: Any, words: Tensor, before: int) -> Any:
    count, width = words.shape
    batch = c.llama_batch_init(count, width, 1)
    batch.n_tokens = count
    ctypes.memmove(batch.embd, words.contiguous().data_ptr(), words.nbytes)
    for i in range(count):
        batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = before + i, 1, 0, 1
    return batch


def _write(model: Any, path: Path, kind: str) -> None:
    """The layers as a GGUF file: the inverse of `segpoint.gguf_llama`."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    config, quantised = model.config, GGMLQuantizationType[kind]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(_ROWS)
    writer.add_tokenizer_model("no_vocab")

    def add(name: str, weight: Tensor) -> None:
        array = weight.float().numpy()
        if array.ndim == 2:
            writer.add_tensor(f"{name}.weight", quantize(array, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(f"{name}.weight", array)

    add("token_embd", model.embed_tokens.weight[:_ROWS])
    add("output_norm", model.norm.weight)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for i, layer in enumerate(model.layers):
        for name, path_in_layer in _LAYER.items():
            weight = layer.get_submodule(path_in_layer).weight
            if name in heads:  # the two halves that RoPE rotates stand interleaved row by row
                weight = weight.unflatten(0, (heads[name], 2, -1)).transpose(1, 2).reshape(weight.shape)
            add(f"blk.{i}.{name}", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
