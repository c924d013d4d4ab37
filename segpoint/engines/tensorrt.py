"""TensorRT on an NVIDIA GPU: an engine of each graph, built once for the GPU at hand, then loaded from the cache.

Nothing of TensorRT is imported before `check` has found a driver: without one its runtime can end the process.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from segpoint.engines.exported import Exported, engine_folder
from segpoint.engines.parity import Sample, samples
from segpoint.engines.runner import Unavailable
from segpoint.engines.tensorrt_cache import EngineKey, Plan, Stale, load_or_build
from segpoint.errors import SegPointError
from segpoint.network.segpoint import SegPoint

if TYPE_CHECKING:
    from segpoint.engines.tensorrt_engine import Engine

TOLERANCE = {"fp16": 5e-3, "fp32": 1e-3}
"""Largest difference from PyTorch, as a share of the largest value of an output, that an engine of each precision may
show; in the order in which they are tried."""

OLDEST = 10  # TensorRT's major version

log = logging.getLogger("segpoint.engines")


def check(device: str) -> None:
    """Raises `Unavailable` where TensorRT cannot run the graphs on this device. Safe without a GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise Unavailable(
            "tensorrt needs an NVIDIA GPU, and there is no driver here (libcuda.so.1): "
            "leave it out, or give backend auto"
        ) from None
    if error := driver.cuInit(0):
        raise Unavailable(f"the NVIDIA driver does not start (CUDA error {error}): does nvidia-smi work?")
    if not torch.cuda.is_available():
        remedy = "install its CUDA build" if torch.version.cuda is None else "look at CUDA_VISIBLE_DEVICES"
        raise Unavailable(f"PyTorch {torch.__version__} finds no GPU for tensorrt: {remedy}")
    if torch.device(device).type != "cuda":
        raise Unavailable(f"tensorrt computes on an NVIDIA GPU, not on {device}: give device cuda")
    library_version()


def library_version() -> str:
    """The version of the TensorRT that is installed. Raises `Unavailable` where there is none that can be used."""
    remedy = "pip install 'segpoint_ros[tensorrt]', on a Jetson take JetPack's"
    try:
        library = import_module("tensorrt")
    except (ImportError, OSError, RuntimeError) as error:
        raise Unavailable(f"tensorrt cannot be imported ({error}): {remedy}") from error
    version = getattr(library, "__version__", None)
    if version is None:  # type stubs alone make a package of that name
        raise Unavailable(f"tensorrt is not installed: {remedy}")
    if int(version.split(".")[0]) < OLDEST:
        raise Unavailable(f"tensorrt {version} is too old, {OLDEST} or newer is needed: {remedy}")
    return version


def open_runner(exported: Exported, device: str, network: SegPoint) -> TensorRTRunner:
    """Engines of all graphs, those that are not in the cache built now: minutes each, the progress is logged.

    device: one that `check` held for.   network: the reference, on that device. Raises `Unavailable` where TensorRT
    cannot build a graph, or computes something else than the network.
    """
    try:
        return _open(exported, device, network)
    except SegPointError:
        raise
    except Exception as error:  # whatever TensorRT, CUDA and onnx raise: "auto" is to go on with PyTorch
        raise Unavailable(f"tensorrt fails here ({type(error).__name__}: {' '.join(str(error).split())})") from error


class TensorRTRunner:
    """All graphs on one GPU and one stream. See `Runner`."""

    def __init__(self, name: str, engines: Mapping[str, Engine]) -> None:
        self.name = name
        self._engines = engines

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Runner`."""
        return self._engines[graph].run(inputs)


def _open(exported: Exported, device: str, network: SegPoint) -> TensorRTRunner:
    index = torch.device(device).index
    place = torch.device("cuda", torch.cuda.current_device() if index is None else index)
    stream = torch.cuda.Stream(place)  # one for all graphs
    known = functools.cache(functools.partial(samples, network, exported.graphs))  # asked for by builds alone
    loaded = {graph: _engine(exported, graph, stream, known) for graph in exported.graphs}
    precisions = ", ".join(f"{graph} {precision}" for graph, (_, precision) in loaded.items())
    name = f"tensorrt {library_version()} on {torch.cuda.get_device_name(place)}: {precisions}"
    return TensorRTRunner(name, {graph: engine for graph, (engine, _) in loaded.items()})


def _engine(
    exported: Exported, graph: str, stream: torch.cuda.Stream, known: Callable[[], dict[str, list[Sample]]]
) -> tuple[Engine, str]:
    """The engine of a graph from the cache, built where it is not there, and its precision."""
    from segpoint.engines.tensorrt_build import build_plan
    from segpoint.engines.tensorrt_engine import Engine

    key = _key(exported, graph, stream.device)
    folder = engine_folder(exported.source)
    timings = folder.parent / f"tensorrt{key.tensorrt}-sm{key.compute_capability}.timings"

    def load(plan: Plan) -> tuple[Engine, str]:
        return Engine(plan.data, exported.graphs[graph], stream), str(plan.note["precision"])

    def differs(plan: bytes) -> float:
        engine = Engine(plan, exported.graphs[graph], stream)
        return max(sample.difference(engine.run(sample.inputs)) for sample in known()[graph])

    def make(onnx: bytes) -> bytes:
        return build_plan(graph, onnx, timings, stream.device)

    return load_or_build(folder, key, load, lambda: agreeing_plan(exported.onnx(graph), make, differs))


def agreeing_plan(path: Path, make: Callable[[bytes], bytes], differs: Callable[[bytes], float]) -> Plan:
    """A plan of an ONNX file in fp16 or, where that one fails or strays too far from PyTorch, in fp32.

    make: ONNX → plan.   differs: plan → `Sample.difference`. Raises `Unavailable` where neither is any good.
    """
    import onnx

    from segpoint.engines.half import half_products

    for precision, tolerance in TOLERANCE.items():
        try:
            half = precision == "fp16"
            plan = make(half_products(onnx.load(path)).SerializeToString() if half else path.read_bytes())
            difference = differs(plan)
        except (Unavailable, Stale, RuntimeError) as error:
            problem = str(error)
        else:
            if difference <= tolerance:
                return Plan(plan, {"precision": precision, "difference": difference})
            problem = f"it differs from PyTorch by {difference:.2g} of the largest value, more than {tolerance}"
        log.warning("TensorRT engine of %s in %s cannot be used: %s", path.stem, precision, problem)
    raise Unavailable(f"tensorrt makes no usable engine of {path.name}: {problem}")


def _key(exported: Exported, graph: str, place: torch.device) -> EngineKey:
    signature = exported.graphs[graph]
    return EngineKey(
        graph=graph,
        onnx=exported.sha256[exported.onnx(graph).name],
        tensorrt=library_version(),
        gpu=torch.cuda.get_device_name(place),
        compute_capability="{}.{}".format(*torch.cuda.get_device_capability(place)),
        precision=next(iter(TOLERANCE)),
        ports={port.name: [str(port.dtype), *port.shape] for port in (*signature.inputs, *signature.outputs)},
    )
