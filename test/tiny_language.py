"""A random LLaMA of two layers with a tokenizer of its own, in SmolLM2's manner or in LLaMA2's."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from segpoint.network.language import PointLanguageModel

WIDTH, TOKENS = 24, 10
CORPUS = [
    "USER: Can you segment the mug category in this point cloud? ASSISTANT: mug. bowl, There is no mask.",
    "pick up the red mug on the left. Please output segmentation mask. what can I drink from?",
]


def tiny_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """Byte-level as SmolLM2's, or with word marks and a <s> in front as LLaMA2's."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if kind == "llama2" else None))
    specials = ["<unk>", "<s>", "</s>", "<|im_end|>"]
    if kind == "llama2":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=False)
        trainer = trainers.BpeTrainer(
            vocab_size=200, special_tokens=specials, show_progress=False, initial_alphabet=list("<>/|_SEG")
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=specials, show_progress=False, initial_alphabet=alphabet
        )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if kind == "llama2":
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def tiny_model(kind: str = "smollm2", heads: tuple[int, int] = (4, 2), **options) -> PointLanguageModel:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(kind)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        max_position_embeddings=512,
        tie_word_embeddings=kind == "smollm2",
        initializer_range=0.25,  # large enough that a frozen head of this width can be sure of a word
        attn_implementation="sdpa",
    )
    model = PointLanguageModel(LlamaForCausalLM(config), tokenizer, token_width=WIDTH, **options)
    with torch.no_grad():
        for name, parameter in model.trained_parameters().items():
            if "lora_B" in name:  # zero at the start: as if it had been trained
                parameter.normal_(std=0.2)
    return model.eval()
