"""Ways to run the LLM: which runtime, and many questions packed or in a batch.

python benchmarks/language.py [--part runtime|questions] [--repeats 5] [--threads 1] [--clock wall|cpu]

What is compared takes turns within one process. Wall time is what a robot waits for; CPU time is less distorted by what
else a busy machine does. Runtimes that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as segpoint sets it where it is imported first

import torch  # noqa: E402
from language_runtimes import language, runtimes  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from transformers import DynamicCache  # noqa: E402

from segpoint.network.answers import Question  # noqa: E402
from segpoint.prompts import instruction_question  # noqa: E402
from segpoint.turns import take_turns  # noqa: E402

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
TEXTS = ("the mug", "pick up the red box", "something to drink from", "the leftmost object on the table")


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


@torch.inference_mode()
def questions(repeats: int, clock: Callable[[], float]) -> None:
    """Print the least milliseconds of the repeats, for so many questions about one cloud."""
    model = language("bfloat16")
    prefix = model.encode_points(torch.randn(1, 128, 192))
    before = model._prefix_embeddings(torch.randn(1, 128, 192))
    print(f"{'milliseconds by questions':40}{1:>12}{4:>12}{20:>12}")
    rows: dict[str, list[float]] = {}
    for count in (1, 4, 20):
        texts = [instruction_question(f"{TEXTS[i % 4]} {i}" if i >= 4 else TEXTS[i]) for i in range(count)]
        asked = [Question(text, 1e9) for text in texts]  # no is one pass, whatever the weights
        words = [model.embed(model.question_ids(text)) for text in texts]
        timed = take_turns(
            {
                "one by one": lambda asked=asked: [model.answers(prefix, [q]) for q in asked],  # type: ignore[misc]
                "together": lambda asked=asked: model.answers(prefix, asked),  # type: ignore[misc]
                "transformers, packed": packed(model._base.model, before, words),
                "transformers, batched": batched(model._base.model, before, words),
                "states of the words": lambda texts=texts: model.text_hidden(texts),  # type: ignore[misc]
            },
            repeats,
            clock,
        )
        for name, seconds in timed.items():
            rows.setdefault(name, []).append(1000 * min(seconds))
    for name, values in rows.items():
        print(f"{name:40}" + "".join(f"{value:12.1f}" for value in values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = {"runtime": runtimes, "questions": questions}
    parser.add_argument("--part", choices=parts, action="append", help="default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.part or parts:
        parts[name](args.repeats, CLOCKS[args.clock])
        print()


if __name__ == "__main__":
    main()
