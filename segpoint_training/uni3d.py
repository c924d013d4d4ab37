"""ℰ from a published Uni3D checkpoint: what the paper begins with, in the place of our stage 1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from segpoint.errors import SegPointError
from segpoint.network.encoder import PUBLISHED
from segpoint.network.segpoint import SegPoint
from segpoint.network.uni3d_checkpoint import load_published, read_published

GROUPS = {"tokens": 512, "patch": 64}
"""Uni3D's own groups. No shape in a checkpoint depends on them, so a config may have others."""

_BLOCK = re.compile(r"visual\.blocks\.(\d+)\.")


def begin_encoder(network: SegPoint, path: Path) -> None:
    """Load a published checkpoint (.pt or .safetensors) into the encoder, in place.

    Raises:
        SegPointError: the file cannot be read, holds no Uni3D encoder, or one of another shape than the config's (the
            message gives the line to write into it); or the config does not scale clouds into the unit sphere, which
            is all that Uni3D has ever seen. Nothing is loaded then.
    """
    weights = read_published(path)
    there = encoder_settings(weights, path)
    settings = network.config.encoder
    if odd := [name for name, value in there.items() if getattr(settings, name) != value]:
        told = ", ".join(f"{name} {getattr(settings, name)} in the config, {there[name]} in the file" for name in odd)
        line = ", ".join(f"{name}: {value}" for name, value in {**GROUPS, **there}.items())
        raise SegPointError(
            f"{path} holds an encoder of another shape ({told}); write into the config, under model: "
            f"encoder: {{{line}}}"
        )
    if (unit := network.config.cloud.unit_m) is not None:
        raise SegPointError(
            f"Uni3D's published weights expect clouds in the unit sphere, and model.cloud.unit_m is {unit}: set it to "
            "null"
        )
    load_published(network.encoder, weights)


def encoder_settings(weights: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """The settings of `EncoderConfig` that a checkpoint's shapes tell.

    weights: named as in `PointEncoder`.   path: where they come from, for the SegPointError where they are no Uni3D's.
    The number of heads has no shape of its own: it is known of the published sizes, and left out of any other.
    """
    depth = 1 + max((int(found[1]) for name in weights if (found := _BLOCK.match(name))), default=-1)
    try:
        width = weights["visual.blocks.0.norm1.weight"].shape[0]
        hidden = weights["visual.blocks.0.mlp.fc2.weight"].shape[1]
        split = "visual.blocks.0.mlp.fc1_g.weight" in weights
        rows = 0 if split else weights["visual.blocks.0.mlp.fc1.weight"].shape[0]
        stem = weights["encoder.second_conv.0.weight"].shape[0]
        channels = weights["encoder2trans.weight"].shape[1]
    except (KeyError, IndexError) as error:
        raise SegPointError(
            f"{path} holds no Uni3D encoder (no point_encoder.{error.args[0]}, or of an odd shape): give the model.pt "
            "that Uni3D's authors publish for tiny, small, base, large or giant"
        ) from error
    block = "split_swiglu_norm" if split else "gelu" if rows == hidden else "fused_swiglu"
    settings = {"width": width, "depth": depth, "hidden": hidden, "block": block}
    sizes: dict[tuple[Any, ...], int] = {(s.width, s.depth, s.hidden, s.kind): s.heads for s in PUBLISHED.values()}
    if heads := sizes.get((width, depth, hidden, block)):
        settings["heads"] = heads
    return {**settings, "stem_width": stem, "group_channels": channels}
