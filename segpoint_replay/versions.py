"""What a replay was made of: the code, the libraries, the bundle, the processor, and the bag and labels that it read.

Two runs with the same job and the same versions would give the same answers, so the second need not be computed.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from segpoint import __version__
from segpoint.config import default_bundle
from segpoint.files import reading
from segpoint_replay.bag_files import all_files
from segpoint_replay.job import Job
from segpoint_training.datasets.own_bag import is_bag
from segpoint_training.datasets.own_file import read_own_file
from segpoint_training.records import provenance

_ENDS = 1 << 16  # bytes that are read at either end of a file


def versions(job: Job) -> dict[str, str]:
    """Names and values for `Run.versions`. Raises SegPointError where the bundle, the bag or the labels cannot be
    read."""
    bundle = Path(job.bundle) if job.bundle else default_bundle()
    with reading(bundle, "give a folder with config.json and model.safetensors"):
        made = provenance(bundle)
    labels = {}
    if job.labels:
        with reading(job.labels, "check that it may be read"):
            labels["labels"] = _fingerprint(_labels(Path(job.labels)), whole=True)
    return {
        "segpoint": __version__,
        "commit": made["git_commit"] or "none",
        "bundle": made["bundle"],
        "bundle_sha256": made["bundle_sha256"],
        **made["versions"],
        **{name: _installed(name) for name in ("onnxruntime", "rosbags")},
        "processor": _processor(),
        "bag": bag_fingerprint(job),
        **labels,
    }


def bag_fingerprint(job: Job) -> str:
    """16 hex digits by which a job's bag is told from others: the sizes of its files, and the first and last 64 KiB of
    each. Names, the way to it, and what else lies in its folder do not count. Raises SegPointError where it cannot be
    read, or is no bag."""
    with reading(job.bag, "check that it may be read"):
        return _fingerprint(all_files(Path(job.bag).resolve()))


def _fingerprint(files: Iterable[Path], whole: bool = False) -> str:
    """whole: of all that is in the files."""
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{size}\n".encode())
        with file.open("rb") as content:
            if whole:
                while part := content.read(_ENDS):
                    digest.update(part)
                continue
            digest.update(content.read(_ENDS))
            content.seek(max(size - _ENDS, 0))
            digest.update(content.read(_ENDS))
    return digest.hexdigest()[:16]


def _labels(folder: Path) -> list[Path]:
    """The files that count in a folder of labels; there may be others in it, also what a replay writes."""
    own = read_own_file(folder)
    files = [own.path]
    for path in (folder / name for name in sorted({row.file for row in own.rows})):
        files += all_files(path) if is_bag(path) else [path]
    return files


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:  # not Linux
        found = None
    return found[1] if found else platform.processor() or platform.machine()
