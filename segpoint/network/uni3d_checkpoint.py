"""Uni3D's published weights into a `PointEncoder`."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from segpoint.errors import SegPointError
from segpoint.network.encoder import PointEncoder

_PREFIX = "point_encoder."
# What the checkpoints carry and Uni3D's forward never uses: the contrastive temperature and the image side of the ViT.
_UNUSED = re.compile(r"logit_scale$|point_encoder\.visual\.(cls_token$|pos_embed$|patch_embed\.|head\.|rope\.)")
_HEAD = ("visual.fc_norm.", "trans2embed.")


def load_published(model: PointEncoder, source: Mapping[str, Tensor] | str | Path) -> None:
    """Loads published weights, names unchanged, in place.

    Args:
        model: the encoder. Its adapters, if any, keep their values; where it has no embedding head, the checkpoint's
            is passed over. A model built on the meta device takes the tensors as they are, without a copy.
        source: a state dict with keys `point_encoder.…`, or a .safetensors file, or a .pt file (read with
            weights_only=True; the state dict may lie under "module" or "state_dict", its keys under "module.").

    Raises:
        SegPointError: unreadable file, or names or shapes that are not this encoder's; nothing is loaded then.
    """
    weights = _published_names(source) if isinstance(source, Mapping) else read_published(Path(source))
    if not model.shape.embedding:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(_HEAD)}
    wanted = {name: t for name, t in model.state_dict().items() if not name.startswith("adapters.")}
    problems = {
        "missing": [name for name in wanted if name not in weights],
        "unexpected": [name for name in weights if name not in wanted],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} for {tuple(t.shape)}"
            for name, t in wanted.items()
            if name in weights and weights[name].shape != t.shape
        ],
    }
    found = "; ".join(f"{len(names)} {kind}: {_shorten(names)}" for kind, names in problems.items() if names)
    if found:
        raise SegPointError(f"Uni3D weights do not fit {model.shape}: {found}. Choose the shape of this checkpoint")
    model.load_state_dict(weights, strict=False, assign=next(model.parameters()).is_meta)


def read_published(path: Path) -> dict[str, Tensor]:
    """The point encoder's tensors in a published file, named as in `PointEncoder`. Raises SegPointError where it cannot
    be read; see `load_published`."""
    return _published_names(_read(path))


def _published_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as in the model; names that are not the point encoder's stay whole and so turn up as unexpected."""
    plain = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    return {name.removeprefix(_PREFIX): tensor for name, tensor in plain.items() if not _UNUSED.match(name)}


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise SegPointError(f"no Uni3D checkpoint at {path}: give a .safetensors or .pt file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        struct.error,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SegPointError(f"{path} is not a readable checkpoint: {reason}") from error
    for nest in ("module", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise SegPointError(f"{path} holds no state dict: expected tensors by name, or under 'module' or 'state_dict'")
    return content


def _shorten(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
