"""Engine files: what a TensorRT plan was built from stands before it, and a plan built from anything else is refused.

    magic line · one line of JSON: {"key": …, "note": …, "bytes": …, "sha256": …} · the plan

A plan is machine code for one GPU and one version of TensorRT. Loading one that is torn or foreign ends the process
at worst, so none is handed to TensorRT before its key, length and hash agree.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from segpoint.engines.cache import turn, unwritable
from segpoint.engines.runner import Unavailable

log = logging.getLogger("segpoint.engines")

_MAGIC = b"SegPoint TensorRT engine 1\n"  # raise the number when graphs are built in another way
_HEADER_BYTES = 1 << 20

Loaded = TypeVar("Loaded")


class Stale(Exception):
    """An engine file that is not what is needed; the message says why."""


@dataclass(frozen=True)
class EngineKey:
    """What a plan depends on.

    onnx: SHA-256 of the ONNX file.   tensorrt: its version.   gpu, compute_capability: what it was built on and for.
    precision: the one asked for; what came of it stands in the plan's note.
    ports: every input and output, name → [dtype, *shape].
    """

    graph: str
    onnx: str
    tensorrt: str
    gpu: str
    compute_capability: str
    precision: str
    ports: dict[str, list[Any]]

    def path(self, folder: Path) -> Path:
        """Where in ``folder`` it is kept: engines of another GPU or TensorRT lie beside it, not in its place."""
        capability = self.compute_capability.replace(".", "")
        return folder / f"{self.graph}-{self.precision}-sm{capability}-tensorrt{self.tensorrt}.engine"


@dataclass(frozen=True)
class Plan:
    """A serialised engine, and what is worth knowing about how it was made."""

    data: bytes
    note: dict[str, Any] = field(default_factory=dict)


def read_plan(path: Path, key: EngineKey) -> Plan:
    """The plan in ``path``. Raises `Stale` unless it is whole and was built for exactly ``key``."""
    try:
        with path.open("rb") as file:
            if file.readline(len(_MAGIC)) != _MAGIC:
                raise Stale("it is no engine of this version of SegPoint")
            header = _header(file.readline(_HEADER_BYTES))
            data = file.read()
    except FileNotFoundError:
        raise Stale("there is none yet") from None
    except OSError as error:
        raise Stale(f"it cannot be read ({error.strerror or error})") from error
    if header["key"] != asdict(key):
        raise Stale(_difference(header["key"], asdict(key)))
    if len(data) != header["bytes"]:
        raise Stale(f"it is truncated: {len(data)} of {header['bytes']} bytes")
    if hashlib.sha256(data).hexdigest() != header["sha256"]:
        raise Stale("it is damaged: its hash is another")
    return Plan(data, header["note"])


def write_plan(path: Path, key: EngineKey, plan: Plan) -> None:
    """Write atomically: whoever reads ``path`` finds the old file or the whole new one."""
    header = {
        "key": asdict(key),
        "note": plan.note,
        "bytes": len(plan.data),
        "sha256": hashlib.sha256(plan.data).hexdigest(),
    }
    write_atomically(path, _MAGIC + json.dumps(header).encode() + b"\n" + plan.data)


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside ``path``, then rename. Raises Unavailable where that cannot be done."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # a cache may be shared; mkstemp's files are their owner's alone
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load_or_build(folder: Path, key: EngineKey, load: Callable[[Plan], Loaded], build: Callable[[], Plan]) -> Loaded:
    """The engine of ``key`` from its file in ``folder``; where there is none that fits, it is built and filed there, by
    one process at a time.

    load: a plan → the engine, raising `Stale` where the plan turns out to be unusable. One that cannot be filed is used
    all the same: it took minutes.
    """
    path = key.path(folder)
    with suppress(Stale):  # also from a cache that may only be read
        return load(read_plan(path, key))
    with turn(path.with_suffix(".lock"), f"TensorRT engine {path} is being built"):
        try:
            return load(read_plan(path, key))
        except Stale as reason:
            log.info("TensorRT engine %s is built now, which takes minutes: %s", path, reason)
        plan = build()
        try:
            write_plan(path, key, plan)
        except Unavailable as error:
            log.warning("the TensorRT engine of %s will be built again at the next start: %s", key.graph, error)
        return load(plan)


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
        if isinstance(header["key"], dict) and {"note", "bytes", "sha256"} <= header.keys():
            return header
    except (ValueError, KeyError, TypeError):
        pass
    raise Stale("its header is damaged")


def _difference(held: dict[str, Any], wanted: dict[str, Any]) -> str:
    name = next((name for name in wanted if held.get(name) != wanted[name]), "key")
    if name in ("onnx", "ports"):
        return "it was built from another network"
    return f"it was built for {name} {held.get(name)}, here it is {wanted.get(name)}"
