"""What bounds a stage: the operations and bytes that it cannot do without, and what this machine does of either.

The bytes are those of the weights, which each pass fetches, and of what goes in and comes out. What lies between is
taken to stay in the caches, so a floor is lower than anything that can be reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from segpoint.engines.graphs import cloud_tensors, modules
from segpoint.network.answers import Question
from segpoint.network.inputs import PointInputs
from segpoint.prompts import instruction_question
from segpoint.segmenter import Segmenter
from segpoint.turns import take_turns

_SIDE = 1536  # of the matrices multiplied
_OWN = ("gem.", "propagation.", "network.encoder.", "network.injections.")  # the encoder's module holds everything
_BLOCK = 1 << 26  # float32 numbers moved, more than any cache holds


@dataclass(frozen=True)
class _Work:
    """Something timed: its operations in this dtype, and the bytes that it moves at least."""

    run: Callable[[], object]
    flop: float
    moved: float
    dtype: torch.dtype


@torch.inference_mode()
def bounds(segmenter: Segmenter, inputs: PointInputs, question: str, repeats: int) -> dict[str, Any]:
    """The machine's rates and, for each stage of the network, its floor beside what it takes."""
    device, dtype = segmenter.device, segmenter.language.reader.dtype
    rates = _rates(device, {torch.float32, dtype}, repeats)
    works = {**_graphs(segmenter, inputs), **_language(segmenter, inputs, question)}
    seconds = take_turns({what: _finished(work.run, device) for what, work in works.items()}, repeats)
    rows = []
    for what, work in works.items():
        floor = max(work.flop / rates[str(work.dtype)], work.moved / rates["bytes"])
        row = {"what": what, "gflop": work.flop / 1e9, "mb": work.moved / 1e6, "floor_ms": 1000 * floor}
        rows.append({**row, "least_ms": 1000 * min(seconds[what])})
    named = {name.removeprefix("torch."): rate / 1e9 for name, rate in rates.items()}
    return {"giga_per_second": named, "rows": rows}


def _rates(device: str, dtypes: set[torch.dtype], repeats: int) -> dict[str, float]:
    """Operations per second of a large product in each dtype, and bytes per second from or to memory."""
    block, other = torch.zeros(_BLOCK, device=device), torch.zeros(_BLOCK, device=device)
    runs: dict[str, Callable[[], object]] = {"copy": lambda: other.copy_(block), "sum": block.sum}
    for dtype in dtypes:
        matrix = torch.ones(_SIDE, _SIDE, dtype=dtype, device=device)
        runs[str(dtype)] = lambda matrix=matrix: matrix @ matrix  # type: ignore[misc]
    runs = {name: _finished(run, device) for name, run in runs.items()}
    least = {name: min(seconds) for name, seconds in take_turns(runs, repeats).items()}
    moved = max(2 * 4 * _BLOCK / least.pop("copy"), 4 * _BLOCK / least.pop("sum"))
    return {"bytes": moved, **{name: 2 * _SIDE**3 / seconds for name, seconds in least.items()}}


def _graphs(segmenter: Segmenter, inputs: PointInputs) -> dict[str, _Work]:
    """GEM, encoder and GFP on the segmenter's engines; their operations as PyTorch counts its own."""
    engines, network = segmenter.engines, segmenter.network
    given = cloud_tensors(inputs.to(segmenter.device))
    hidden = (1, network.config.encoder.tokens, network.language_width)
    given["point_hidden"] = torch.zeros(hidden, device=segmenter.device)
    works = {}
    for graph, module in modules(network, engines.graphs).items():
        signature = engines.graphs[graph]
        taken = {port.name: given[port.name] for port in signature.inputs}
        with FlopCounterMode(display=False) as counter:
            outputs = module(*taken.values())
        given |= dict(zip((port.name for port in signature.outputs), outputs, strict=True))
        own = [p for name, p in module.named_parameters() if name.startswith(_OWN)]
        moved = sum(tensor.nbytes for tensor in (*taken.values(), *outputs, *own))
        run = lambda graph=graph, taken=taken: engines.runner.run(graph, taken)  # noqa: E731
        works[graph] = _Work(run, counter.get_total_flops(), moved, torch.float32)
    return works


def _language(segmenter: Segmenter, inputs: PointInputs, question: str) -> dict[str, _Work]:
    """The LLM on a cloud's points, and on a question with an answer of a target."""
    language = segmenter.language
    tokens = segmenter.engines.encode(inputs.to(segmenter.device)).f5
    prefix = language.encode_points(tokens)
    asked = Question(instruction_question(question), -torch.inf, draft=())
    answer = language.answers(prefix, [asked])[0]
    passes, words = 1 + len(answer.read), len(language.question_ids(asked.text)) + len(answer.read)
    layers = [p for name, p in language.llm.named_parameters() if ".layers." in name and ".lora_" not in name]
    weights, size = sum(p.numel() for p in layers), language.word_table().element_size()
    head = language.word_table().numel()
    dtype = language.reader.dtype
    return {
        f"LLM, {prefix.length} tokens of the points": _Work(
            lambda: language.encode_points(tokens), 2.0 * weights * prefix.length, weights * size, dtype
        ),
        f"LLM, an undrafted answer: {passes} passes, {words} tokens": _Work(
            lambda: language.answers(prefix, [asked]),
            2.0 * (weights * words + head * passes), passes * (weights + head) * size, dtype,
        ),
    }  # fmt: skip


def _finished(run: Callable[[], object], device: str) -> Callable[[], object]:
    """A function that waits for what the GPU was given to do."""
    if device == "cpu":
        return run

    def waited() -> None:
        run()
        torch.cuda.synchronize()

    return waited
