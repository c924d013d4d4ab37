"""Where the network runs, and in which numbers."""

from __future__ import annotations

import torch

from segpoint.errors import SegPointError


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
