"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from segpoint.devices import language_dtype
from segpoint_training.provenance import git_commit, short_commit

LIBRARIES = ("torch", "onnxruntime", "tensorrt", "numpy", "fpsample", "pykdtree")


def describe() -> dict[str, Any]:
    """The processor, its cores that may be used, memory, the GPU if there is one, versions, commit and load."""
    import torch

    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "bfloat16": language_dtype("cpu") == "bfloat16",
        "python": platform.python_version(),
        "versions": {name: installed for name in LIBRARIES if (installed := installed_version(name))},
        "commit": git_commit(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def installed_version(distribution: str) -> str | None:
    """Of a distribution; None where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def in_words(machine: dict[str, Any]) -> str:
    """`describe` in a line."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['cpu']}{' (multiplies bfloat16)' if machine['bfloat16'] else ''}, {machine['cores']} cores, "
        f"{machine['memory_gib']:g} GiB, {machine['gpu'] or 'no GPU'}; Python {machine['python']}, {versions}; "
        f"commit {short_commit(machine['commit'])}; load average before: {machine['load_before']:g}"
        + (" (BUSY: everything below is slower than it need be)" if machine["load_before"] > 0.6 else "")
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()
