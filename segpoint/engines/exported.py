"""The graphs of a bundle on disk: a folder with gem.onnx, encoder.onnx, gfp.onnx and engines.json.

engines.json says what the graphs were made from and holds the SHA-256 of every file. It is written last, so that a
folder whose files do not fit it (cut short, of other weights, half replaced) is known for what it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import segpoint.network
from segpoint.backbone import cache_folder, file_hash
from segpoint.errors import SegPointError
from segpoint.untrusted import read_json

if TYPE_CHECKING:  # `segpoint setup` looks whether all is there without loading torch
    from segpoint.engines.graphs import Signature

MANIFEST = "engines.json"


@dataclass(frozen=True)
class Exported:
    """Whole and checked graphs of one bundle.

    folder: where they lie.   source: hash of what they were made from.   graphs: what each takes and gives.
    sha256: of each file.
    """

    folder: Path
    source: str
    graphs: dict[str, Signature]
    sha256: dict[str, str]

    def onnx(self, graph: str) -> Path:
        """The file of a graph."""
        return self.folder / f"{graph}.onnx"


def source_hash(bundle: Path) -> str:
    """What a bundle's graphs depend on: its weights and config, and the code of the network."""
    digest = hashlib.sha256()
    code = sorted(Path(segpoint.network.__path__[0]).glob("*.py"))
    for path in (bundle / "config.json", bundle / "model.safetensors", *code, Path(__file__).with_name("graphs.py")):
        digest.update(bytes.fromhex(file_hash(path)))
    return digest.hexdigest()


def engine_folder(source: str) -> Path:
    """Where the cache keeps what was made from ``source`` (see `source_hash`)."""
    return cache_folder() / "engines" / source[:16]


def find_exported(bundle: Path) -> Path | None:
    """The folder with whole graphs of a bundle: its own, the cache's, or none."""
    try:
        source = source_hash(bundle)
    except OSError:  # a bundle that is not whole has none
        return None
    for folder in (bundle, engine_folder(source)):
        try:
            checked_files(folder, source)
        except SegPointError:
            continue
        return folder
    return None


def read_exported(folder: Path, source: str, graphs: dict[str, Signature]) -> Exported:
    """The graphs in a folder. Raises `SegPointError` where they are not there, not whole, or made from something else.

    source: as `source_hash` gives it.   graphs: as `signatures` gives them.
    """
    files = checked_files(folder, source)
    if missing := {f"{graph}.onnx" for graph in graphs} - set(files):
        raise SegPointError(f"{folder / MANIFEST} does not list the files {sorted(missing)} as it should")
    return Exported(folder, source, graphs, files)


def checked_files(folder: Path, source: str) -> dict[str, str]:
    """SHA-256 of each file of an export, all of them there and unchanged. Raises `SegPointError` as `read_exported`."""
    path = folder / MANIFEST
    if not path.is_file():
        raise SegPointError(f"no engines in {folder}: {MANIFEST} is missing")
    manifest: Any = read_json(path, "export the engines again")
    try:
        made_from, files = str(manifest["source"]), {str(name): str(value) for name, value in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise SegPointError(f"{path} is no list of engines ({error!r}); export them again") from error
    if made_from != source:
        raise SegPointError(f"the engines in {folder} were made from other weights, settings or code")
    if not files or any(Path(name).name != name for name in files):
        raise SegPointError(f"{path} does not list the files of an export: {sorted(files)!s:.200}")
    for name, expected in files.items():
        try:
            intact = (folder / name).is_file() and file_hash(folder / name) == expected
        except (OSError, ValueError):  # also a name that no file can have
            intact = False
        if not intact:
            raise SegPointError(f"{folder / name} is missing, cut short or changed")
    return files
