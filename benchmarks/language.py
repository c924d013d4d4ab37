"""Ways to run the LLM: which runtime, and many questions packed or in a batch. Least CPU seconds of the repeats.

python benchmarks/language.py [--part runtime|questions] [--repeats 5] [--threads 1]

Runtimes take turns within one process and CPU time is counted, so a busy machine distorts little.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as segpoint sets it where it is imported first

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from transformers import DynamicCache  # noqa: E402

from segpoint.config import BundleConfig, default_bundle  # noqa: E402
from segpoint.network.answers import Question  # noqa: E402
from segpoint.network.language import PointLanguageModel, load_language  # noqa: E402
from segpoint.network.llama import Llama  # noqa: E402
from segpoint.prompts import instruction_question  # noqa: E402
from segpoint.turns import take_turns  # noqa: E402

SIZES = ((140, 0), (20, 140), (1, 160))  # tokens read, tokens before: the points, a question, one more token
TEXTS = ("the mug", "pick up the red box", "something to drink from", "the leftmost object on the table")


def least(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Name → milliseconds of CPU, the least of the repeats after one to warm up."""
    return {name: 1000 * min(s) for name, s in take_turns(functions, repeats, time.process_time).items()}


def language(dtype: str) -> PointLanguageModel:
    """The bundle's LLM with a LoRA that is something."""
    model = load_language(BundleConfig.load(default_bundle()), dtype).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.trained_parameters().items():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    return model


def transformers_pass(model: nn.Module, words: Tensor, count: int, before: int) -> Callable[[], object]:
    """transformers' own forward pass over ``count`` tokens behind ``before``."""
    cache = DynamicCache(config=model.config)
    if before:
        model(inputs_embeds=words[None, :before], past_key_values=cache, use_cache=True)

    def run() -> None:
        own = cache if before else DynamicCache(config=model.config)
        model(inputs_embeds=words[None, before : before + count], past_key_values=own, use_cache=True)
        if before:
            own.crop(-count)

    return run


def written_out_pass(llama: Llama, words: Tensor, count: int, before: int) -> Callable[[], object]:
    """`segpoint.network.llama` over the same tokens."""
    cache, positions = llama.cache(256), torch.arange(before, before + count)
    mask = torch.ones(count, before + count, dtype=torch.bool).tril(before)
    return lambda: llama.read(words[before : before + count], positions, cache, before, mask)


def runtimes(repeats: int) -> None:
    runs: dict[str, dict[tuple[int, int], Callable[[], object]]] = {}
    for dtype in ("float32", "bfloat16"):
        model = language(dtype)
        base = model._base
        words = base.get_input_embeddings()(torch.arange(1000, 1161))
        runs[f"{dtype}, transformers and peft"] = {s: transformers_pass(base.model, words, *s) for s in SIZES}
        runs[f"{dtype}, written out"] = {s: written_out_pass(Llama(base), words, *s) for s in SIZES}
        available, torch.backends.mkldnn.is_available = torch.backends.mkldnn.is_available, lambda: False
        plain = Llama(base)
        torch.backends.mkldnn.is_available = available
        runs[f"{dtype}, written out, F.linear"] = {s: written_out_pass(plain, words, *s) for s in SIZES}
        if hasattr(model.llm, "merge_and_unload"):
            merged = language(dtype).llm.merge_and_unload()
            runs[f"{dtype}, transformers, LoRA merged"] = {s: transformers_pass(merged.model, words, *s) for s in SIZES}
    print(f"{'CPU milliseconds by tokens (before)':40}" + "".join(f"{f'{n} ({b})':>12}" for n, b in SIZES))
    columns = [least({name: run[size] for name, run in runs.items()}, repeats) for size in SIZES]
    for name in runs:
        print(f"{name:40}" + "".join(f"{column[name]:12.1f}" for column in columns))


def batched(model: nn.Module, prefix: Tensor, asked: Sequence[Tensor]) -> Callable[[], object]:
    """The alternative to packing: a row each, padded, behind a copy of the prefix's keys and values."""
    first = DynamicCache(config=model.config)
    model(inputs_embeds=prefix[None], past_key_values=first, use_cache=True)
    rows = nn.utils.rnn.pad_sequence(list(asked), batch_first=True)

    def run() -> None:
        cache = DynamicCache(config=model.config)
        for i, layer in enumerate(first.layers):
            cache.update(*(t.expand(len(rows), -1, -1, -1) for t in (layer.keys, layer.values)), i)
        model(inputs_embeds=rows, past_key_values=cache, use_cache=True)

    return run


def packed(model: nn.Module, prefix: Tensor, asked: Sequence[Tensor]) -> Callable[[], object]:
    """Packing with transformers' own forward pass, so that only the layout differs from `batched`."""
    cache = DynamicCache(config=model.config)
    model(inputs_embeds=prefix[None], past_key_values=cache, use_cache=True)
    lengths = torch.tensor([len(q) for q in asked])
    owner = torch.arange(len(asked)).repeat_interleave(lengths)
    mask = F.pad((owner[:, None] == owner).tril(), (len(prefix), 0), value=True)[None, None]
    positions = torch.cat([len(prefix) + torch.arange(len(q)) for q in asked])[None]
    sequence = torch.cat(list(asked))[None]

    def run() -> None:
        model(
            inputs_embeds=sequence,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        cache.crop(-len(owner))

    return run


def questions(repeats: int) -> None:
    model = language("bfloat16")
    prefix = model.encode_points(torch.randn(1, 128, 192))
    before = model._prefix_embeddings(torch.randn(1, 128, 192))
    print(f"{'CPU milliseconds by questions':40}{1:>12}{4:>12}{20:>12}")
    rows: dict[str, list[float]] = {}
    for count in (1, 4, 20):
        texts = [instruction_question(f"{TEXTS[i % 4]} {i}" if i >= 4 else TEXTS[i]) for i in range(count)]
        asked = [Question(text, 1e9) for text in texts]  # no is one pass, whatever the weights
        words = [model.embed(model.question_ids(text)) for text in texts]
        timed = least(
            {
                "one by one": lambda asked=asked: [model.answers(prefix, [q]) for q in asked],  # type: ignore[misc]
                "together": lambda asked=asked: model.answers(prefix, asked),  # type: ignore[misc]
                "transformers, packed": packed(model._base.model, before, words),
                "transformers, batched": batched(model._base.model, before, words),
                "states of the words": lambda texts=texts: model.text_hidden(texts),  # type: ignore[misc]
            },
            repeats,
        )
        for name, value in timed.items():
            rows.setdefault(name, []).append(value)
    for name, values in rows.items():
        print(f"{name:40}" + "".join(f"{value:12.1f}" for value in values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = {"runtime": runtimes, "questions": questions}
    parser.add_argument("--part", choices=parts, action="append", help="default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with torch.inference_mode():
        for name in args.part or parts:
            parts[name](args.repeats)
            print()


if __name__ == "__main__":
    main()
