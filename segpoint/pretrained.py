"""A folder that holds a ``LlamaForCausalLM``, from whomever: read as safetensors and JSON, and by no code of its own.

Memory is taken for what its files hold, not for what its config.json describes.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segpoint.errors import SegPointError
from segpoint.untrusted import read_json, tensor_shapes

if TYPE_CHECKING:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

_PACKED = 8  # weights that one number in a file may stand for, where they are of 4 bits
_LONGEST = 1 << 20  # tokens that a model may be made for; the angles of all positions are computed at once


def load_folder(
    folder: Path, dtype: str, quantization: str, repair: str, training: bool = False
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """The model, frozen and in ``eval`` mode, and its tokenizer: see `segpoint.backbone.load`.

    repair: what to do about a folder that cannot be used, for the `SegPointError`.
    """
    bits = few_bits(quantization, dtype, training)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        config = _checked_config(folder, repair)
        return _model(folder, config, dtype, bits, repair), _tokenizer(folder, config.vocab_size, repair)
    except SegPointError:
        raise
    except Exception as error:  # transformers and tokenizers have a dozen types for what can be wrong with a folder
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SegPointError(f"cannot load the backbone in {folder} ({reason}): {repair}") from error


def _checked_config(folder: Path, repair: str) -> LlamaConfig:
    """The settings of the model, once its files are known to hold what they describe: transformers would allocate what
    is not there and fill it with noise."""
    from transformers import LlamaConfig

    settings = read_json(folder / "config.json", repair)
    architecture = settings.get("model_type") if isinstance(settings, dict) else settings
    if architecture != "llama":
        raise SegPointError(f"{folder} holds a {architecture!r:.80} model, expected model_type 'llama'")
    if (folder / "adapter_config.json").exists():  # names another folder, whose weights transformers would take
        raise SegPointError(f"{folder} holds an adapter: merge it into its model, and give the folder of that")
    shapes = [shape for file in _weight_files(folder, repair) for shape in tensor_shapes(file, repair).values()]
    config = LlamaConfig.from_pretrained(folder, local_files_only=True)
    width, heads = config.hidden_size, config.num_attention_heads + (config.num_key_value_heads or 0)
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    layer = width * (2 * heads * head + 3 * config.intermediate_size)
    described = width * config.vocab_size + config.num_hidden_layers * layer
    held = sum(map(math.prod, shapes))
    if config.num_hidden_layers > len(shapes) or described > _PACKED * held:
        raise SegPointError(f"{folder} describes a model of {described:.1e} weights and holds {held:.1e}: {repair}")
    if config.max_position_embeddings > _LONGEST:
        raise SegPointError(f"max_position_embeddings in {folder / 'config.json'} must be {_LONGEST} at most: {repair}")
    return config


def _weight_files(folder: Path, repair: str) -> list[Path]:
    """The safetensors files of a model; an index may only name such that lie beside it."""
    weights, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if weights.is_file():
        return [weights]
    if not index.is_file():
        raise SegPointError(f"cannot load the backbone in {folder} (no {weights.name}; pickles are not read): {repair}")
    files = {str(name) for name in read_json(index, repair)["weight_map"].values()}
    if odd := [name for name in files if Path(name).name != name or not name.endswith(".safetensors")]:
        raise SegPointError(f"{index} names {odd[0]!r:.80}, expected safetensors files beside it: {repair}")
    return [folder / name for name in sorted(files)]


def _model(folder: Path, config: LlamaConfig, dtype: str, bits: dict[str, Any], repair: str) -> LlamaForCausalLM:
    import torch
    from transformers import LlamaForCausalLM

    with _no_progress_bar():
        loaded: Any = LlamaForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="sdpa",
            output_loading_info=True,
            **bits,
        )
    model, report = loaded
    if absent := sorted(report["missing_keys"]):  # transformers fills them with noise and only warns
        raise SegPointError(f"{folder} lacks {len(absent)} weights, first {absent[0]}: {repair}")
    if odd := [name for name, weight in model.named_parameters() if not weight.sum().isfinite()]:
        raise SegPointError(f"{folder} holds weights that are not finite, first {odd[0]}: {repair}")
    return model.eval().requires_grad_(False)


def _tokenizer(folder: Path, vocabulary: int, repair: str) -> PreTrainedTokenizerBase:
    """The tokenizer, unless it gives what the model's table of ``vocabulary`` words does not hold."""
    from transformers import AutoTokenizer

    # Without the last argument transformers asks on the terminal whether it may run what comes with the folder.
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    words = tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys()
    largest = max(tokenizer.convert_tokens_to_ids(sorted(words)), default=-1)
    if not 0 <= largest < vocabulary or tokenizer.eos_token_id is None or not tokenizer(" mask").input_ids:
        raise SegPointError(f"the tokenizer in {folder} is not of its model: {repair}")
    return tokenizer


def few_bits(quantization: str, dtype: str, training: bool) -> dict[str, Any]:
    """What ``from_pretrained`` is told to hold weights in 8 or 4 bits.

    Raises SegPointError where they cannot be: without bitsandbytes, or without a GPU unless ``training``.
    """
    if quantization == "none":
        return {}
    import torch

    need = f"language.quantization={quantization!r} needs"
    if not training and not torch.cuda.is_available():
        raise SegPointError(
            f"{need} an NVIDIA GPU and there is none here: set it to 'none' in the bundle's config.json"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise SegPointError(f"{need} bitsandbytes: `pip install bitsandbytes`, or set it to 'none'")
    from transformers import BitsAndBytesConfig

    kind = {
        "int8": {"load_in_8bit": True},
        "nf4": {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": getattr(torch, dtype),
        },
    }
    return {"quantization_config": BitsAndBytesConfig(**kind[quantization])}


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """transformers draws one for every load, also into a robot's log."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
