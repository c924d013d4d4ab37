"""Where the network runs, in which numbers, and what is said when the device fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from segpoint.errors import DeviceLost, SegPointError

_NO_MEMORY = ("out of memory", "can't allocate memory", "Failed to allocate memory", "bad allocation", "bad_alloc",
              "ALLOC_FAILED")  # fmt: skip


@contextmanager
def device_errors() -> Iterator[None]:
    """Around what is computed: where there is too little memory, or the GPU fails, the error is a `SegPointError`.

    After the first the next computation may succeed, after the second (`DeviceLost`) none can.
    """
    try:
        yield
    except SegPointError:
        raise
    except Exception as error:  # PyTorch, ONNX Runtime, TensorRT and NumPy have a type each
        text = str(error)
        reason = " ".join(text.split())[:200] or type(error).__name__
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in text for words in _NO_MEMORY):
            torch.cuda.empty_cache()
            raise SegPointError(
                f"too little memory ({reason}): the next cloud is tried again; end what else takes memory, or use a "
                "smaller bundle"
            ) from error
        if isinstance(error, RuntimeError) and "CUDA error" in text:
            raise DeviceLost(f"the GPU has failed ({reason}): start this process again, look at nvidia-smi") from error
        raise


def usable_device(device: str) -> str:
    """The device asked for, "auto" resolved, once it has held a tensor."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise SegPointError(
            f"device {device!r} cannot be used here ({why}); give auto or cpu, or install a PyTorch that can use it"
        ) from error
    return device


def language_dtype(device: str) -> str:
    """bfloat16 wherever the hardware multiplies it; elsewhere it is slower than float32."""
    if device != "cpu":
        return "bfloat16"
    capable: dict = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return "bfloat16" if capable.get("avx512_bf16") or capable.get("amx_bf16") else "float32"
