"""Data sets from their own published files, one module each: what is trained and measured on beside generated scenes.

None is redistributed here, and most are to be had only from their authors, under their terms.
"""

from __future__ import annotations

import os
from importlib import import_module

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.scan import DataSet

# Each module has ``open_split(settings: DatasetConfig) -> DataSet`` and ``check(settings) -> Check``.
_MODULES = {
    "scannet": "scannet",
    "scannet200": "scannet",
    "s3dis": "s3dis",
    "scannetpp": "scannetpp",
    "pointcept-scannet": "pointcept",
    "pointcept-scannet200": "pointcept",
    "pointcept-s3dis": "pointcept",
    "scanrefer": "scanrefer",
    "nr3d": "referit3d",
    "sr3d": "referit3d",
    "multi3drefer": "multi3drefer",
    "instruct3d": "instruct3d",
    "own": "own",
}
NAMES = tuple(_MODULES)
_HOLDS = {
    "scannet": "scans/, the lists of the splits and scannetv2-labels.combined.tsv",
    "s3dis": "Area_1 to Area_6",
    "scannetpp": "data/, metadata/ and splits/",
    "pointcept": "train/ and val/, or of S3DIS Area_1 to Area_6",
    "scanrefer": "ScanRefer_filtered_train.json",
    "referit3d": "nr3d.csv or sr3d.csv",
    "multi3drefer": "multi3drefer_train.json",
    "instruct3d": "instruct3D_train.json",
    "own": "instructions.json and the clouds",
}  # in the folder of a set's own files, by module


def open_dataset(settings: DatasetConfig) -> DataSet:
    """The split of the data set that ``settings`` name; raises SegPointError where its files are not there."""
    module = module_of(settings.name)
    check_folders(settings)
    return module.open_split(settings)


def check_folders(settings: DatasetConfig) -> None:
    """Raise SegPointError unless there are the folders that ``settings`` name."""
    holds = _HOLDS[_MODULES[settings.name]]
    for folder, what in ((settings.root, holds), (settings.scans, "the scans that are spoken about")):
        if folder and not os.path.isdir(folder):
            raise SegPointError(f"{folder:.400}: there is no such folder; give the one with {what}")


def module_of(name: str):
    """The module that reads a data set."""
    if name not in _MODULES:
        raise SegPointError(f"unknown data set {name!r:.80}; known are {', '.join(NAMES)}")
    return import_module(f"{__name__}.{_MODULES[name]}")
