"""A bundle's weights: what of them is the network's, what the language model's."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.network.segpoint import SegPoint
from segpoint.untrusted import tensor_shapes

WEIGHTS = "model.safetensors"


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights in a bundle folder, float32. Raises `SegPointError` where they are missing, damaged or not finite."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise SegPointError(f"no weights at {path}; the bundle is incomplete, get it again")
    remedy = "get the bundle again"
    tensor_shapes(path, remedy)
    try:
        state = {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
        # Earlier bundles hold GEM's gates as numbers without a dimension.
        state |= {name: value.reshape(1) for name, value in state.items() if name.endswith(".gate") and value.ndim == 0}
    except (OSError, SafetensorError) as error:
        raise SegPointError(f"{path} is not a whole safetensors file ({error}); {remedy}") from error
    if odd := [name for name, value in state.items() if not value.sum().isfinite()]:
        raise SegPointError(f"{path} holds numbers that are not finite, first in {odd[0]!r:.80}; {remedy}")
    return state


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def load_network(folder: Path, config: BundleConfig, state: dict[str, Tensor]) -> SegPoint:
    """The network of a bundle, for inference, without its language model: the weights tell how wide that one is.

    state: as `read_weights` gives it. Raises `SegPointError` where it does not fit the config.
    """
    weights = part(state, "network.")
    gamma = weights.get("gamma.0.weight", torch.empty(0))
    if gamma.ndim != 2 or not gamma.shape[0] == gamma.shape[1] > 0:
        raise SegPointError(f"{folder / WEIGHTS} does not fit its config.json: no weight of γ, get the bundle again")
    with torch.device("meta"):  # memory is taken for what the file holds, not for what the config says
        wanted = _network(config, len(gamma)).state_dict()
    for name in sorted(wanted.keys() | weights.keys()):
        held, shape = (tuple(some[name].shape) if name in some else "missing" for some in (weights, wanted))
        if held != shape:
            raise SegPointError(
                f"{folder / WEIGHTS} does not fit its config.json: {name!r:.80} is {held} and should be {shape}; "
                "get the bundle again"
            )
    network = _network(config, len(gamma))
    network.load_state_dict(weights)
    return network.eval()


def _network(config: BundleConfig, language_width: int) -> SegPoint:
    network = SegPoint(config, language_width)
    network.adapt()  # a bundle whose encoder has LoRA holds it under peft's names
    return network
