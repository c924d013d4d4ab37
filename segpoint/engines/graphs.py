"""The three graphs that the network is exported as: what each takes, what it gives, and the module that computes it.

    features, local, kernel, valid ─▶ gem ─▶ geometry
    points, rgb, patches, levels, geometry, valid ─▶ encoder ─▶ f3, f4, f5
    f3, f4, f5, point_hidden, geometry, levels, to_n…, from_n… ─▶ gfp ─▶ dense, scene

All inputs are fields of `PointInputs` and `PointTokens`, under the names they have there: nothing is computed between
the graphs. Batch 1 and fixed N; the shapes follow from the bundle's config alone. A network without geometry has no
gem, one without GFP (the vanilla baseline) a gfp that takes f5 alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segpoint.config import BundleConfig
from segpoint.network.gfp import FeaturePropagation
from segpoint.network.inputs import POINT_FEATURES, PointInputs
from segpoint.network.segpoint import PointTokens, SegPoint


@dataclass(frozen=True)
class Port:
    """A named tensor of a graph. dtype: float32, int32 (in PyTorch int64) or bool."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def kind(self) -> str:
        """The dtype's plain name."""
        return str(self.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Signature:
    """What a graph takes and gives, in order."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def signatures(config: BundleConfig, language_width: int) -> dict[str, Signature]:
    """The graphs of a bundle, in the order they run. language_width: H, the LLM's hidden size."""
    ports = _ports(config, language_width)
    geometry = ["geometry"] if config.uses_geometry else []
    graphs = {}
    if config.uses_geometry:
        graphs["gem"] = (["features", "local", "kernel", "valid"], ["geometry"])
    inject = ["geometry", "valid"] if config.gem.inject else []
    graphs["encoder"] = (["points", "rgb", "patches", "levels", *inject], ["f3", "f4", "f5"])
    if config.gfp.enabled:
        tables = ["levels", "to_n2", "to_n2_weights", "to_n3", "to_n3_weights", "from_n1", "from_n2", "from_n3"]
        graphs["gfp"] = (["f3", "f4", "f5", "point_hidden", *geometry, *tables], ["dense", "scene"])
    else:
        tables = ["to_n2", "to_n2_weights", "to_n", "to_n_weights"]
        graphs["gfp"] = (["f5", "point_hidden", *tables], ["dense", "scene"])
    return {
        name: Signature(tuple(ports[i] for i in inputs), tuple(ports[o] for o in outputs))
        for name, (inputs, outputs) in graphs.items()
    }


def modules(network: SegPoint, graphs: Mapping[str, Signature]) -> dict[str, nn.Module]:
    """For each graph a module over the network's own parameters: its inputs, one by one → a tuple of its outputs."""
    kinds = {"gem": _Gem, "encoder": _Encoder, "gfp": _Gfp}
    return {name: kinds[name](network, signature).eval() for name, signature in graphs.items()}


def cloud_tensors(inputs: PointInputs) -> dict[str, Tensor]:
    """All that graphs take of a cloud, by name."""
    names = ("points", "local", "rgb", "features", "valid")
    return {**{name: getattr(inputs, name) for name in names}, **inputs.tables}


def token_tensors(tokens: PointTokens) -> dict[str, Tensor]:
    """f3, f4, f5 and, where there is one, geometry."""
    tensors = {"f3": tokens.f3, "f4": tokens.f4, "f5": tokens.f5}
    return tensors if tokens.geometry is None else {**tensors, "geometry": tokens.geometry}


def _ports(config: BundleConfig, language_width: int) -> dict[str, Port]:
    n, n1, (n2, n3) = config.cloud.points, config.encoder.tokens, config.gfp.levels
    k, width, geometric = config.gfp.neighbours, config.encoder.width, config.gem.widths[-1]
    numbers = {
        **{"points": (n, 3), "local": (n, 3), "rgb": (n, 3), "features": (n, POINT_FEATURES)},
        **{"to_n2_weights": (n2, 3), "to_n3_weights": (n3, 3), "to_n_weights": (n, 3)},
        **{"geometry": (n, geometric), "f3": (n1, width), "f4": (n1, width), "f5": (n1, width)},
        **{"point_hidden": (n1, language_width), "dense": (n, config.gfp.width), "scene": (n2, config.gfp.width)},
    }
    indices = {
        **{"kernel": (n, config.gem.neighbours), "levels": (n3,), "patches": (n1, config.encoder.patch)},
        **{"to_n2": (n2, 3), "to_n3": (n3, 3), "to_n": (n, 3)},
        **{"from_n1": (n2, k), "from_n2": (n3, k), "from_n3": (n, k)},
    }
    kinds = ((numbers, torch.float32), (indices, torch.int32), ({"valid": (n,)}, torch.bool))
    return {name: Port(name, (1, *shape), dtype) for group, dtype in kinds for name, shape in group.items()}


class _Graph(nn.Module):
    """A part of a SegPoint as a function of named tensors."""

    def __init__(self, network: SegPoint, signature: Signature) -> None:
        super().__init__()
        self.names = [port.name for port in signature.inputs]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return self.compute(dict(zip(self.names, tensors, strict=True)))

    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        raise NotImplementedError


class _Gem(_Graph):
    def __init__(self, network: SegPoint, signature: Signature) -> None:
        super().__init__(network, signature)
        self.gem = network.gem

    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        assert self.gem is not None
        return (self.gem(given["features"], given["local"], given["kernel"], given["valid"]),)


class _Encoder(_Graph):
    def __init__(self, network: SegPoint, signature: Signature) -> None:
        super().__init__(network, signature)
        self.network = network

    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return self.network.tokenise(
            given["points"], given["rgb"], given["patches"], given["levels"], given.get("geometry"), given.get("valid")
        )


class _Gfp(_Graph):
    def __init__(self, network: SegPoint, signature: Signature) -> None:
        super().__init__(network, signature)
        self.propagation = network.propagation

    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        if isinstance(self.propagation, FeaturePropagation):
            levels = given["f3"], given["f4"], given["f5"]
            return self.propagation(*levels, given["point_hidden"], given["geometry"], given)
        return self.propagation(given["f5"], given["point_hidden"], given)
