"""What shards were made from: config and generator, so that no run mixes two kinds of scenes unknowingly.

The stamp stands in the folder's ``manifest.json`` and in every shard. The first stops a machine from writing into a
folder of another kind, the second stops a run from reading shards that were copied together.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.config import CloudConfig
from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.config import DataConfig
from segpoint_training.scenes.assets import asset_categories

FORMAT = 2  # of a shard
MANIFEST = "manifest.json"
_COUNTS = ("train_scenes", "validation_scenes", "sentences", "workers")  # change how much there is, not what
# write, draw and go through scenes, and have no part in what they are
_DRAWN = ("bag.py", "folder.py", "frame_draws.py", "sheet.py", "viewpoints.py")


def make_stamp(data: DataConfig, cloud: CloudConfig) -> dict[str, Any]:
    """Format, what of the config decides a shard's bytes, and the generator's digest, as JSON has them."""
    settings = {name: value for name, value in dataclasses.asdict(data).items() if name not in _COUNTS}
    stamp = {
        "format": FORMAT,
        "data": settings,
        "cloud": dataclasses.asdict(cloud),
        "generator": generator_digest(),
    }
    return json.loads(json.dumps(stamp))


@cache
def generator_digest() -> str:
    """16 hex digits over the code that makes a shard, comments and formatting aside, and over the installed assets."""
    package = Path(__file__).resolve().parent
    files = [path for path in sorted((package / "scenes").rglob("*")) if path.is_file() and path.name not in _DRAWN]
    files += [package / "shards.py", package.parent / "segpoint" / "cloud.py"]
    digest = hashlib.sha256()
    for path in files:
        if path.suffix == ".py":
            digest.update(ast.unparse(ast.parse(path.read_text(encoding="utf-8"))).encode())
        elif "__pycache__" not in path.parts:
            digest.update(path.read_bytes())
    digest.update(json.dumps(_assets(), sort_keys=True).encode())
    return digest.hexdigest()[:16]


def check_manifest(folder: Path, stamp: dict[str, Any], *, writes: bool) -> None:
    """Raise SegPointError where ``folder`` holds shards of another stamp; leave one where it holds none.

    Nothing is mixed by reading alone: unless ``writes``, shards of an older generator are as good as they were.
    """
    path = folder / MANIFEST
    there = _stamp_there(folder)
    if there is None:
        there = stamp
    apart = difference({**there, "generator": stamp["generator"]} if not writes else there, stamp)
    if apart:
        raise SegPointError(
            f"{folder} holds shards of another config or generator ({apart}): write to another folder, delete this "
            "one, or go back to what made it"
        )
    if not path.exists():
        write_whole(path, (json.dumps(there, indent=1) + "\n").encode())


def _stamp_there(folder: Path) -> dict[str, Any] | None:
    """The stamp of what ``folder`` holds: its manifest's, without one a shard's own; None where it holds neither."""
    manifest = folder / MANIFEST
    if manifest.exists():
        with reading(manifest, "delete it, the same command writes it anew"):
            return dict(json.loads(manifest.read_text(encoding="utf-8")))
    shard = min(folder.glob("*-*-*.npz"), default=None)
    if shard is None:
        return None
    with reading(shard, "delete it, the same command writes it anew"), np.load(shard, allow_pickle=False) as file:
        return json.loads(file["facts"].tobytes())["stamp"]


def difference(there: dict[str, Any], here: dict[str, Any], prefix: str = "") -> str:
    """The settings that differ, in words: "cloud.points is 4096 there and 8192 here"; "" where none does."""
    found = []
    for name in sorted({*there, *here}):
        one, other = there.get(name), here.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found.append(difference(one, other, f"{prefix}{name}."))
        elif one != other:
            found.append(f"{prefix}{name} is {one} there and {other} here")
    return ", ".join(filter(None, found))


def write_whole(path: Path, content: bytes) -> None:
    """``content`` at ``path``, at once or not at all, whoever else writes there."""
    partial = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _assets() -> dict[str, dict[str, int]]:
    """Models of each category that are installed here, by split: scenes are drawn from them."""
    return {split: asset_categories(split) for split in ("train", "test")}
