"""A bundle's weights: what of them is the network's, what the language model's."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.network.segpoint import SegPoint

WEIGHTS = "model.safetensors"


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights in a bundle folder, float32. Raises `SegPointError` where they are missing or damaged."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise SegPointError(f"no weights at {path}; the bundle is incomplete, get it again")
    try:
        return {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
    except SafetensorError as error:
        raise SegPointError(f"{path} is not a whole safetensors file ({error}); get the bundle again") from error


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def load_network(folder: Path, config: BundleConfig, state: dict[str, Tensor]) -> SegPoint:
    """The network of a bundle, for inference, without its language model: the weights tell how wide that one is.

    state: as `read_weights` gives it. Raises `SegPointError` where it does not fit the config.
    """
    weights = part(state, "network.")
    try:
        network = SegPoint(config, weights["gamma.0.weight"].shape[1])
        network.adapt()  # a bundle whose encoder has LoRA holds it under peft's names
        network.load_state_dict(weights)
    except (RuntimeError, KeyError) as error:
        raise SegPointError(f"{folder / WEIGHTS} does not fit its config.json: {error}") from error
    return network.eval()
