"""What a run needs and does not find here, all of it told at once, before hours go into the rest."""

from __future__ import annotations

import os

from segpoint.errors import SegPointError
from segpoint_training.backbones import check_backbone
from segpoint_training.config import TrainConfig
from segpoint_training.warm_start import start_folder


def missing(config: TrainConfig, start: str | None = None) -> list[str]:
    """A line for each thing that is not here, with what to do about it: the language model, Uni3D's checkpoint, the
    weights to ``start`` from, folders of data sets. It takes no time: what lies in the folders is not looked at."""
    told = []
    try:
        check_backbone(config)
    except SegPointError as error:
        told.append(str(error))
    if config.uni3d and not os.path.isfile(config.uni3d):
        told.append(
            f"uni3d: there is no {config.uni3d}; put the model.pt there that Uni3D's authors publish, or give its path"
        )
    if start:
        try:
            start_folder(start)
        except SegPointError as error:
            told.append(f"--from: {error}")
    return told + _folders(config)


def _folders(config: TrainConfig) -> list[str]:
    needed: dict[str, dict[str, None]] = {}  # the options that say where it is, in their order
    for one in (*config.datasets, *config.validation):
        needed.setdefault(one.root, {})[f"--root {one.name}=FOLDER"] = None
        if one.scans:
            needed.setdefault(one.scans, {})[f"--scans {one.name}=FOLDER"] = None
    return [
        f"{folder!r:.400}: there is no such folder; put the data there, or say where it is: {' '.join(options)}"
        for folder, options in needed.items()
        if not os.path.isdir(folder)
    ]
