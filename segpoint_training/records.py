"""What an evaluation leaves behind: JSON that says what was measured with what, and the words for what it says."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from segpoint.errors import SegPointError
from segpoint.files import check_target, reading
from segpoint_training.provenance import git_commit


def provenance(bundle: Path) -> dict[str, Any]:
    """What was measured with what: the bundle's files, the code's commit, the versions that decide numbers."""
    from importlib.metadata import version

    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((bundle / name).read_bytes())
    packages = ("numpy", "scipy", "torch", "transformers", "peft")
    return {
        "bundle": bundle.resolve().name,
        "bundle_sha256": digest.hexdigest(),
        "git_commit": git_commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def write_record(path: Path, record: dict[str, Any]) -> None:
    """JSON with one line an answer; NaN, which JSON does not know, becomes null."""
    plain = without_nan({name: value for name, value in record.items() if name != "items"})
    text = json.dumps(plain, indent=1, ensure_ascii=False)
    if "items" in record:
        lines = ",\n".join(json.dumps(without_nan(item), ensure_ascii=False) for item in record["items"])
        text = f'{text[:-2]},\n "items": [\n{lines}\n ]\n}}'
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """A result as text, its folder made first. Raises SegPointError where it cannot be written.

    A file is there whole or as it was, whatever breaks off. What cannot be renamed over is written as it is: a device,
    or a file in a folder where none may be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path = path.resolve()
        if path.exists() and not (path.is_file() and os.access(path.parent, os.W_OK)):
            path.write_text(text, encoding="utf-8")
            return
        with tempfile.TemporaryDirectory(prefix=".segpoint-", dir=path.parent) as passing:
            whole = Path(passing, path.name)
            whole.write_text(text, encoding="utf-8")
            os.replace(whole, path)
    except OSError as error:
        raise SegPointError(
            f"{path} cannot be written ({error.strerror or error}): make room or write elsewhere"
        ) from error


def read_record(path: Path) -> dict[str, Any]:
    """What `write_record` wrote. Raises SegPointError where the file is anything else."""
    with reading(path, "it is no result of `segpoint evaluate`; measure it again or delete it"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(record, dict) and {"bundle_sha256", "data"} <= record.keys()):
            raise ValueError("it names no bundle and no data")
    return record


def check_record(path: Path) -> None:
    """Raise SegPointError unless a result can be written there, over nothing but an earlier one."""
    check_target(path, makes_folder=True)
    if path.is_file() and path.stat().st_size:
        try:
            read_record(path)
        except SegPointError as error:
            raise SegPointError(f"{path} is no result of `segpoint evaluate` and stays: write elsewhere") from error


def describe(record: dict[str, Any]) -> str:
    """The data that a record is of, in words: "generated, split test, scale room, sensor lidar"."""
    return ", ".join(
        [record["data"], *(f"{name} {record[name]}" for name in ("split", "scale", "sensor") if name in record)]
    )


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal; a dash for NaN or None."""
    return "–" if value is None or value != value else f"{100 * value:.1f}"


def without_nan(value: Any) -> Any:
    """The same with None for NaN, numbers to four places."""
    if isinstance(value, dict):
        return {key: without_nan(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(member) for member in value]
    if not isinstance(value, float):
        return value
    return round(value, 5) if value == value else None
