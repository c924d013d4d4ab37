"""The files of a bag for a replay: as `own_bag_files` finds and reads them, with CDR also of what is ROS 1's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from segpoint_ros.messages import serialize
from segpoint_training.datasets import own_bag_files
from segpoint_training.datasets.own_bag_files import METADATA, Part, find_files
from segpoint_training.datasets.own_cut_bag import sqlite_log

_TRANSFORMS = "tf2_msgs/msg/TFMessage"


@contextmanager
def opened(file: Path) -> Iterator[Part]:
    """Open one file of a bag, whole or cut; its messages are CDR. Raises whatever the libraries raise where nothing can
    be read of it."""
    with own_bag_files.opened(file, _ros1_to_cdr) as part:
        yield part


def all_files(path: Path) -> tuple[Path, ...]:
    """All files that hold a bag's messages, not what else lies in its folder. Raises SegPointError where none is."""
    files = find_files(path).files
    return (*files, *(log for log in map(sqlite_log, files) if log.is_file()))


def whole_bag(bag: str | Path) -> Path:
    """The folder of a bag, also of one that is named by a file in it; a file that is a bag by itself. Resolved."""
    itself = Path(bag).resolve()
    return itself.parent if itself.is_file() and (itself.parent / METADATA).is_file() else itself


def is_within(folder: str | Path, bag: str | Path) -> bool:
    """Whether a folder, which need not be there, is the bag's own folder or lies in it, however both are named."""
    return Path(folder).resolve().is_relative_to(whole_bag(bag))


def _ros1_to_cdr(content: bytes, kind: str) -> bytes:
    return serialize(_ros1_types().deserialize_ros1(content, kind))  # in ROS 2 a header has no seq


@cache
def _ros1_types() -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", _TRANSFORMS))
    return store
