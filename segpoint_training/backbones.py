"""Which language model a run takes: whether it can be had here, what shape it has where it cannot, how it counts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from segpoint.backbone import SOURCES, cache_folder, find
from segpoint.errors import SegPointError
from segpoint.untrusted import read_json
from segpoint_training.config import TrainConfig

if TYPE_CHECKING:
    from transformers import LlamaConfig

_PUBLISHED: dict[str, dict[str, Any]] = {  # to plan with before the weights are there
    "llama2-7b": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "tie_word_embeddings": False,
    },
    "llama2-13b": {
        "vocab_size": 32000, "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40,
        "num_attention_heads": 40, "num_key_value_heads": 40, "tie_word_embeddings": False,
    },
    "smollm2-135m-instruct": {
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
    },
}  # fmt: skip
_BLOCK = 64  # weights of a row that nf4 packs together; without a GPU bitsandbytes refuses a row with a rest


def check_backbone(config: TrainConfig) -> None:
    """Raise SegPointError where the run's language model cannot be loaded here, before hours go into anything else.

    A path is refused, too: the bundle that comes of the run could not name it on another machine.
    """
    from segpoint.pretrained import few_bits

    language = config.model.language
    name = language.backbone
    _check_name(name)
    folder = cache_folder() / "backbones" / name
    if name not in SOURCES and not (folder / "config.json").is_file():
        raise SegPointError(
            f"the language model {name!r:.80} is not in {folder.parent}: `mkdir -p {folder.parent} && ln -s FOLDER "
            f"{folder}`, where FOLDER holds it in transformers' format (config.json, safetensors, tokenizer)"
        )
    find(name)
    few_bits(language.quantization, "bfloat16", training=True)
    shape = backbone_shape(name)
    if language.quantization == "nf4" and (shape.hidden_size % _BLOCK or shape.intermediate_size % _BLOCK):
        raise SegPointError(
            f"language.quantization 'nf4' needs widths that are multiples of {_BLOCK}, and {name} has "
            f"{shape.hidden_size} and {shape.intermediate_size}: set it to 'int8' or 'none'"
        )


def backbone_digest(name: str) -> str:
    """8 hex digits of the names, sizes and times of a backbone's files: what was computed with it is of these."""
    files = [(path.name, path.stat()) for path in sorted(find(name).iterdir()) if path.is_file()]
    told = "\n".join(f"{file} {facts.st_size} {facts.st_mtime_ns}" for file, facts in files)
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def token_counter(name: str) -> Callable[[str], int]:
    """How many tokens the backbone's own tokenizer makes of a text, as `PointLanguageModel.check_instruction` counts;
    the model itself is not loaded."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(find(name), local_files_only=True, trust_remote_code=False)
    return lambda text: len(tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)


def backbone_shape(name: str) -> LlamaConfig:
    """The shape of a backbone: its config.json in the cache, or else the published one. Its weights need not be there.

    Raises SegPointError for any other name.
    """
    from transformers import LlamaConfig

    _check_name(name)
    file = cache_folder() / "backbones" / name / "config.json"
    if not file.is_file():
        if name not in _PUBLISHED:
            raise SegPointError(
                f"the shape of the backbone {name!r:.80} is not known: {file} is not there, and published ones are "
                f"{', '.join(_PUBLISHED)}"
            )
        return LlamaConfig(**_PUBLISHED[name])
    settings = read_json(file, "give a folder saved by LlamaForCausalLM.save_pretrained")
    if not isinstance(settings, dict) or settings.get("model_type") != "llama":
        raise SegPointError(f"{file} is not of a LLaMA: expected model_type 'llama'")
    return LlamaConfig.from_dict(settings)


def _check_name(backbone: str) -> None:
    if os.sep in backbone:
        link = cache_folder() / "backbones" / "NAME"
        raise SegPointError(
            f"model.language.backbone is the path {backbone!r:.200}, which a bundle may not name: "
            f"`mkdir -p {link.parent} && ln -s FOLDER {link}`, and write backbone: NAME"
        )
