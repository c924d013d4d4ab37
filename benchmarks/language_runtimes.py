"""Runtimes for the LLM's layers: what each takes for the same embeddings, and how far it comes from float32.

A runtime that is not installed gets a row that says how to install it. LoRA is merged into the weights in float32
wherever a runtime has no LoRA of its own; what PyTorch exports or compiles has fixed shapes, which suits every runtime.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from segpoint.config import BundleConfig, default_bundle
from segpoint.engines.export import OPSET, _quiet_exporter
from segpoint.network.language import PointLanguageModel, load_language
from segpoint.network.llama import Llama
from segpoint.turns import take_turns

Size = tuple[int, int]
Run = Callable[[], Tensor]  # → last hidden states (T, H)
Runs = dict[Size, Run]  # built in the order of SIZES, first called in it

# Tokens read, tokens before: the points, a question, one more token. Each goes on where the one before it ends.
SIZES: tuple[Size, ...] = ((140, 0), (20, 140), (1, 160))


def language(dtype: str) -> PointLanguageModel:
    """The bundle's LLM with a LoRA that is something, the same at every call."""
    torch.manual_seed(0)
    model = load_language(BundleConfig.load(default_bundle()), dtype).eval()
    with torch.no_grad():
        for name, parameter in model.trained_parameters().items():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    return model


@cache
def merged(dtype: torch.dtype) -> Any:
    """transformers' ``LlamaModel`` with LoRA merged into the weights in float32, then rounded to ``dtype``."""
    model = language("float32")
    layers = (model.llm.merge_and_unload() if hasattr(model.llm, "merge_and_unload") else model._base).model
    for parameter in layers.parameters():  # not the buffers: angles stay float32 as from_pretrained leaves them
        parameter.data = parameter.data.to(dtype)
    return layers.requires_grad_(False)


@cache
def embeddings() -> Tensor:
    """(T, H) float32 of as many words as all sizes take, rounded to bfloat16: every runtime is given the same."""
    table = merged(torch.float32).get_input_embeddings().weight
    return table[1000 : 1000 + sum(SIZES[-1])].bfloat16().float()


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def transformers_runs(model: Any) -> Runs:
    """transformers' own forward pass."""
    words = embeddings().to(model.dtype)

    def read(size: Size) -> Run:
        count, before = size
        kept = DynamicCache(config=model.config)
        if before:
            model(inputs_embeds=words[None, :before], past_key_values=kept, use_cache=True)

        def run() -> Tensor:
            own = kept if before else DynamicCache(config=model.config)
            given = words[None, before : before + count]
            hidden = model(inputs_embeds=given, past_key_values=own, use_cache=True).last_hidden_state
            if before:
                own.crop(-count)
            return hidden[0]

        return run

    return {size: read(size) for size in SIZES}


def written_out_runs(llama: Llama) -> Runs:
    """`segpoint.network.llama`, LoRA beside the weights."""
    words, kept = embeddings(), llama.cache(256)

    def read(size: Size) -> Run:
        count, before = size
        positions = torch.arange(before, before + count)
        mask = torch.ones(count, before + count, dtype=torch.bool).tril(before)
        return lambda: llama.read(words[before : before + count], positions, kept, before, mask)

    return {size: read(size) for size in SIZES}


def plain_linear_runs(model: Any) -> Runs:
    """The same, without the layout that is made once."""
    available, torch.backends.mkldnn.is_available = torch.backends.mkldnn.is_available, lambda: False
    try:
        return written_out_runs(Llama(model))
    finally:
        torch.backends.mkldnn.is_available = available


# ---- what takes a module of fixed shapes -----------------------------------------------------------------------------


class Layers(nn.Module):
    """transformers' layers, reading as many tokens behind as many others as its size says.

    words (1, T, H), then of each layer the keys and the values before, each (1, KV heads, P, D); none where P is 0
    → last hidden states (1, T, H), then of each layer the keys and the values of these tokens, each (1, KV heads, T, D)
    """

    bias: Tensor
    positions: Tensor

    def __init__(self, model: Any, size: Size) -> None:
        super().__init__()
        count, before = size
        self.model, self.size = model, size
        ahead = ~torch.ones(count, before + count, dtype=torch.bool).tril(before)
        least = torch.finfo(model.dtype).min  # not -inf, which some runtimes multiply by 0
        self.register_buffer("bias", torch.zeros(ahead.shape, dtype=model.dtype).masked_fill(ahead, least)[None, None])
        self.register_buffer("positions", torch.arange(before, before + count)[None])

    def forward(self, words: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        kept = _Past(past)
        hidden = self.model(
            inputs_embeds=words,
            attention_mask=self.bias,
            position_ids=self.positions,
            past_key_values=kept,
            use_cache=True,
        ).last_hidden_state
        return hidden, *kept.made


class _Past:
    """As much of transformers' cache as its layers use."""

    def __init__(self, past: Sequence[Tensor]) -> None:
        self.past = past
        self.made: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any) -> tuple[Tensor, Tensor]:
        self.made += [keys, values]
        if not self.past:
            return keys, values
        return torch.cat([self.past[2 * layer], keys], 2), torch.cat([self.past[2 * layer + 1], values], 2)


# (module, its inputs) → a call that gives its outputs
Compiler = Callable[[Layers, list[Tensor]], Callable[[], Sequence[Tensor]]]


def compiled_runs(compiler: Compiler, dtype: torch.dtype = torch.float32) -> Runs:
    """What a compiler makes of `Layers`, each size given the keys and values that those before it gave."""
    words, past, runs = embeddings().to(dtype), list[Tensor](), Runs()
    for count, before in SIZES:
        given = [words[None, before : before + count], *past]
        call = compiler(Layers(merged(dtype), (count, before)).eval(), given)
        made = [tensor.clone() for tensor in call()[1:]]
        past = [torch.cat(pair, 2) for pair in zip(past, made, strict=True)] if past else made
        runs[count, before] = lambda call=call: call()[0][0]  # type: ignore[misc]
    return runs


def torch_compile(module: Layers, given: list[Tensor]) -> Callable[[], Sequence[Tensor]]:
    """Inductor's code, with the weights frozen: it lays them out for oneDNN as `segpoint.network.llama` does."""
    call = torch.compile(module, fullgraph=True, dynamic=False, options={"freezing": True})
    return lambda: call(*given)


def onnx_file(folder: Path, module: Layers, given: list[Tensor]) -> Path:
    """The module as an ONNX file in the folder, made once for all that read it."""
    path = folder / f"{module.bias.dtype}-{module.size[0]}-{module.size[1]}.onnx"
    if not path.exists():
        with _quiet_exporter():
            program = torch.onnx.export(module, tuple(given), dynamo=True, opset_version=OPSET, verbose=False)
        cast(Any, program).save(path, external_data=True)
    return path


def onnxruntime_compiler(folder: Path) -> Compiler:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", "100")  # as segpoint.engines.onnxruntime
    options.log_severity_level = 4

    def compiler(module: Layers, given: list[Tensor]) -> Callable[[], Sequence[Tensor]]:
        path = onnx_file(folder, module, given)
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        binding = session.io_binding()
        outputs = [torch.empty(port.shape) for port in session.get_outputs()]
        for port, tensor in zip(session.get_inputs(), given, strict=True):
            binding.bind_input(port.name, "cpu", 0, np.float32, tensor.shape, tensor.data_ptr())
        for port, tensor in zip(session.get_outputs(), outputs, strict=True):
            binding.bind_output(port.name, "cpu", 0, np.float32, tensor.shape, tensor.data_ptr())

        def call() -> Sequence[Tensor]:
            session.run_with_iobinding(binding)
            return outputs

        call.keeps = given  # type: ignore[attr-defined]  # the binding knows addresses alone
        return call

    return compiler


def openvino_compiler(folder: Path, precision: str) -> Compiler:
    import openvino

    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }

    def compiler(module: Layers, given: list[Tensor]) -> Callable[[], Sequence[Tensor]]:
        request = core.compile_model(onnx_file(folder, module, given), "CPU", settings).create_infer_request()
        inputs = [openvino.Tensor(tensor.contiguous().numpy(), shared_memory=True) for tensor in given]
        for i, tensor in enumerate(inputs):
            request.set_input_tensor(i, tensor)

        def call() -> Sequence[Tensor]:
            request.infer()
            return [torch.from_numpy(tensor.data) for tensor in request.output_tensors]

        call.keeps = inputs  # type: ignore[attr-defined]
        return call

    return compiler


# ---- the table -------------------------------------------------------------------------------------------------------


def candidates(folder: Path) -> dict[str, Callable[[], Runs]]:
    """Name → what builds it; heavy, and raises ImportError where its library is absent."""
    from language_llamacpp import llamacpp_runs

    def llamacpp(kind: str) -> Runs:
        return llamacpp_runs(merged(torch.float32), embeddings(), SIZES, folder, kind)

    f32, bf16 = torch.float32, torch.bfloat16
    single, half = (language(dtype)._base for dtype in ("float32", "bfloat16"))
    merged(f32), merged(bf16)  # loading them is no runtime's affair
    return {
        "float32: transformers, LoRA merged": lambda: transformers_runs(merged(f32)),
        "float32: transformers and peft": lambda: transformers_runs(single.model),
        "float32: written out, F.linear": lambda: plain_linear_runs(single),
        "float32: written out": lambda: written_out_runs(Llama(single)),
        "float32: ONNX Runtime": lambda: compiled_runs(onnxruntime_compiler(folder)),
        "float32: OpenVINO": lambda: compiled_runs(openvino_compiler(folder, "f32")),
        "bfloat16: transformers, LoRA merged": lambda: transformers_runs(merged(bf16)),
        "bfloat16: transformers and peft": lambda: transformers_runs(half.model),
        "bfloat16: written out, F.linear": lambda: plain_linear_runs(half),
        "bfloat16: written out (ours)": lambda: written_out_runs(Llama(half)),
        "bfloat16: torch.compile": lambda: compiled_runs(torch_compile, bf16),
        "bfloat16: ONNX Runtime": lambda: compiled_runs(onnxruntime_compiler(folder), bf16),
        "bfloat16: OpenVINO": lambda: compiled_runs(openvino_compiler(folder, "bf16")),
        "bfloat16: llama.cpp": lambda: llamacpp("BF16"),
        "8 bit: llama.cpp, Q8_0": lambda: llamacpp("Q8_0"),
    }


_PIP = {"llama_cpp": "llama-cpp-python (compiles C++ for minutes)"}


@torch.no_grad()
def runtimes(repeats: int, clock: Callable[[], float]) -> None:
    """Print the table: of each size median / least milliseconds, seconds from the weights to the first states of all
    sizes, and the largest and mean difference of all states from float32 transformers, as shares of their RMS."""
    with tempfile.TemporaryDirectory() as folder:
        ready, prepared, states = dict[str, Runs](), dict[str, float](), dict[str, Tensor]()
        missing = dict[str, str]()
        for name, build in candidates(Path(folder)).items():
            since = time.perf_counter()
            try:
                runs = build()
                states[name] = torch.cat([runs[size]().float().clone() for size in SIZES])
            except ImportError as error:
                missing[name] = f"not installed: pip install {_PIP.get(error.name or '', error.name)}"
            except Exception as error:  # each library has its own kinds; a row says why it has no figures
                missing[name] = " ".join(str(error).split())[:160]
            else:
                ready[name], prepared[name] = runs, time.perf_counter() - since
        turns = {size: {name: runs[size] for name, runs in ready.items()} for size in SIZES}
        seconds = {size: take_turns(calls, repeats, clock) for size, calls in turns.items()}
    exact = next(iter(states.values()))
    scale = exact.square().mean().sqrt()
    sizes = [f"{count} after {before}" if before else f"{count}" for count, before in SIZES]
    print(_row(["tokens read", *sizes, "ready in s", "largest", "mean difference"]))
    print(_row(["-" * 36, *["---:"] * (len(SIZES) + 3)]))
    for name, runs in ready.items():
        taken = [1000 * np.array(seconds[size][name]) for size in runs]
        apart = (states[name] - exact).abs() / scale
        figures = [f"{np.median(t):.1f} / {t.min():.1f}" for t in taken]
        print(_row([name, *figures, f"{prepared[name]:.1f}", f"{apart.max():.1e}", f"{apart.mean():.1e}"]))
    for name, reason in missing.items():
        print(_row([name, reason, *[""] * (len(SIZES) + 2)]))


def _row(cells: Sequence[str]) -> str:
    return f"| {cells[0]:36} | " + " | ".join(f"{cell:>15}" for cell in cells[1:]) + " |"
