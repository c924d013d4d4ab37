"""What runs the graphs, and which of them does: TensorRT on an NVIDIA GPU, ONNX Runtime on a CPU, PyTorch anywhere.

A runner's module `segpoint.engines.<backend>` has ``check(device)``, which raises `Unavailable` where it cannot run,
and ``open_runner(exported, device, network)``, which gives a `Runner` of an `Exported` network, checked against that
network where it is built here, or raises `Unavailable`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

from torch import Tensor

from segpoint.config import BundleConfig
from segpoint.devices import device_errors
from segpoint.engines.graphs import Signature, cloud_tensors, modules, signatures, token_tensors
from segpoint.errors import SegPointError
from segpoint.network.inputs import PointInputs
from segpoint.network.segpoint import PointTokens, SceneFeatures, SegPoint, scene_features

BACKENDS = ("auto", "tensorrt", "onnxruntime", "torch")

log = logging.getLogger("segpoint.engines")


class Unavailable(SegPointError):
    """A backend that cannot run here; the message says why and what to do about it."""


class Runner(Protocol):
    """Computes one graph at a time, batch 1. Not thread-safe."""

    name: str  # of the backend, and what is worth knowing about it: "onnxruntime 1.20, 2 threads"

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of a graph, by name, as new tensors on the inputs' device.

        inputs: all of the graph's inputs by name, contiguous, tables int64 as `PointInputs` holds them.
        """
        ...


class TorchRunner:
    """The reference: the modules of the network itself."""

    name = "torch"

    def __init__(self, network: SegPoint, graphs: Mapping[str, Signature]) -> None:
        self.graphs = graphs
        self.modules = modules(network, graphs)

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        given = [inputs[port.name] for port in self.graphs[graph].inputs]
        names = [port.name for port in self.graphs[graph].outputs]
        return dict(zip(names, self.modules[graph](*given), strict=True))


class Engines:
    """GEM, the encoder and GFP of one bundle, on one runner.

    fallback: a slower runner that takes over, for good, once the first has failed.
    """

    def __init__(self, runner: Runner, graphs: Mapping[str, Signature], fallback: Runner | None = None) -> None:
        self.runner = runner
        self.graphs = graphs
        self._fallback = fallback

    @classmethod
    def torch(cls, network: SegPoint) -> Engines:
        """The network as it is."""
        graphs = signatures(network.config, network.language_width)
        return cls(TorchRunner(network, graphs), graphs)

    def encode(self, inputs: PointInputs) -> PointTokens:
        """𝒢 and ℰ of one cloud, as `SegPoint.encode`."""
        given = cloud_tensors(inputs)
        if "gem" in self.graphs:
            given |= self._run("gem", given)
        tokens = self._run("encoder", given)
        return PointTokens(tokens["f3"], tokens["f4"], tokens["f5"], given.get("geometry"))

    def propagate(self, tokens: PointTokens, point_hidden: Tensor, inputs: PointInputs) -> SceneFeatures:
        """𝒫 of one cloud, as `SegPoint.propagate`. point_hidden: ĥ_point (1, N1, H)."""
        given = {**cloud_tensors(inputs), **token_tensors(tokens), "point_hidden": point_hidden}
        found = self._run("gfp", given)
        return scene_features(found["dense"], found["scene"], inputs)

    def _run(self, graph: str, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs = {port.name: given[port.name] for port in self.graphs[graph].inputs}
        try:
            with device_errors():  # those are of the device, not of the runner: the next would fare no better
                return self.runner.run(graph, inputs)
        except ValueError:  # also where the inputs have other shapes
            raise
        except Exception as error:  # whatever the libraries raise
            if self._fallback is None:
                raise
            log.warning(
                "%s failed (%s): GEM, encoder and GFP run on %s from now on, which is slower",
                *(self.runner.name, " ".join(str(error).split())[:200], self._fallback.name),
            )
        self.runner, self._fallback = self._fallback, None
        return self._run(graph, given)


def choose(backend: str, bundle: Path, config: BundleConfig, network: SegPoint, device: str) -> Engines:
    """The engines of a bundle on the backend asked for; "auto" takes the best that works here, and logs why.

    network: the bundle's, loaded and on ``device``. Engines that are not there yet are built into the cache, once.
    Raises `SegPointError` where the backend asked for by name cannot run.
    """
    if backend not in BACKENDS:
        raise SegPointError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    named = backend != "auto"
    best = "onnxruntime" if device == "cpu" else "tensorrt"
    candidate = backend if named else best
    engines = Engines.torch(network)
    if candidate != "torch":
        try:
            engines = Engines(_open(candidate, bundle, config, network, device), engines.graphs, engines.runner)
        except Unavailable as error:
            if named:
                raise
            log.warning("GEM, encoder and GFP run in PyTorch, slower than on %s would: %s", candidate, error)
    why = "asked for" if named else f"the fastest that works here, on {device}"
    log.info("GEM, encoder and GFP run on %s: %s", engines.runner.name, why)
    return engines


def _open(backend: str, bundle: Path, config: BundleConfig, network: SegPoint, device: str) -> Runner:
    from segpoint.engines.export import exported

    module = import_module(f"segpoint.engines.{backend}")
    module.check(device)
    return module.open_runner(exported(bundle, config, network), device, network)
