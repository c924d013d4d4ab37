"""SegPoint: point a robot's 3D cloud at a sentence, get back the points that the sentence means.

    from segpoint import Segmenter
    result = Segmenter.from_bundle().segment(xyz, "pick up the mug", rgb=rgb, frame="optical")

The names below load their modules when they are first used, so ``import segpoint`` costs milliseconds, not torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segpoint.errors import SegPointError
    from segpoint.instances import Instance
    from segpoint.segmenter import Segmentation, Segmenter

# OpenMP reads this when PyTorch is first imported. Threads that wait for the next of a thousand small products spin for
# some microseconds before they sleep: without, the language model takes half as long again; with OpenMP's own
# milliseconds, every other process on the machine starves.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
__all__ = ["Instance", "SegPointError", "Segmentation", "Segmenter", "__version__"]

_MODULE_OF = {
    "Segmenter": "segpoint.segmenter",
    "Segmentation": "segpoint.segmenter",
    "Instance": "segpoint.instances",
    "SegPointError": "segpoint.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value  # the next access no longer comes here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
