"""Generated clouds beside real ones: a picture to guess by, and figures to judge by.

``python -m segpoint_training.scenes.compare FOLDER --out guess.png`` draws the organized clouds of FOLDER and as many
generated ones in random order, colour beside depth, with the key at the bottom, and prints the figures of both.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import label, median_filter, uniform_filter

from segpoint.errors import SegPointError
from segpoint.files import read_points
from segpoint_training.scenes.generate import generate_scene

CELL = (280, 210)  # pixels of one view
LINE = 16  # pixels of a line of text
_PATCH = 9  # pixels across of the patches that planes are fitted to
_RAMP = np.array([(60, 20, 90), (50, 90, 190), (40, 170, 160), (140, 210, 70), (250, 230, 60)], float)  # near … far


@dataclass(frozen=True)
class Shot:
    """An organized cloud in the optical frame."""

    name: str
    xyz: np.ndarray  # (h, w, 3) float32, NaN where missing
    rgb: np.ndarray  # (h, w, 3) uint8


def read_shot(path: str | Path) -> Shot | None:
    """The cloud of a file (.pcd, .ply, .npz); None where it is not organized or has no colour."""
    points = read_points(path)
    if points.height == 1 or points.rgb is None:
        return None
    shape = (points.height, points.width, 3)
    return Shot(Path(path).name, points.xyz.reshape(shape), points.rgb.reshape(shape))


def read_shots(folder: str | Path) -> list[Shot]:
    """The organized, coloured clouds of ``folder`` in the order of their names. SegPointError where there are none."""
    if not Path(folder).is_dir():
        raise SegPointError(f"{folder}: no such folder")
    paths = [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in (".pcd", ".ply", ".npz")]
    shots = [shot for shot in map(read_shot, paths) if shot is not None]
    if not shots:
        raise SegPointError(f"{folder}: no organized cloud with colour (.pcd, .ply or .npz) to compare with")
    return shots


def generate_shots(sensor: str, seeds: Sequence[int]) -> list[Shot]:
    """Generated table scenes of one sensor, one for each of ``seeds``."""
    shots = []
    for seed in seeds:
        scene = generate_scene(seed, sensor=sensor)
        assert scene.rgb is not None
        shape = (scene.height, scene.width, 3)
        shots.append(Shot(f"{sensor} seed {seed}", scene.xyz.reshape(shape), scene.rgb.reshape(shape)))
    return shots


def measure_shot(shot: Shot) -> dict[str, float]:
    """Figures of one cloud, by name."""
    depth = shot.xyz[..., 2].astype(float)
    seen = np.isfinite(depth)
    rgb = shot.rgb.astype(float)
    value, low = rgb.max(-1), rgb.min(-1)
    saturation = (value - low) / np.maximum(value, 1)
    grain = np.abs(rgb.mean(-1) - uniform_filter(rgb.mean(-1), 3))
    return {
        "missing points, %": 100 * float(1 - seen.mean()),
        "noise of planes at 1 m, mm": plane_noise(depth),
        "ragged border pixels, %": _raggedness(seen),
        "small holes in 100,000 points": _small_holes(seen),
        "brightness, 10th percentile": float(np.percentile(value, 10)),
        "brightness, median": float(np.median(value)),
        "brightness, 90th percentile": float(np.percentile(value, 90)),
        "saturation, median, %": 100 * float(np.median(saturation)),
        "saturation, 95th percentile, %": 100 * float(np.percentile(saturation, 95)),
        "grain of the picture, median of 255": float(np.median(grain)),
        "grain of the picture, 95th percentile": float(np.percentile(grain, 95)),
    }


def plane_noise(depth: np.ndarray) -> float:
    """Millimetres that depth (h, w) scatters about planes at 1 m, if it scatters by z² as triangulation does.

    Planes are linear in the image in 1/z: such a fit is made to every patch without a hole; the quarter of the
    patches that are fitted best counts, as the others may not be planes. NaN where no patch is whole.
    """
    height, width = (side // _PATCH * _PATCH for side in depth.shape)
    patches = depth[:height, :width].reshape(height // _PATCH, _PATCH, width // _PATCH, _PATCH)
    patches = patches.swapaxes(1, 2).reshape(-1, _PATCH * _PATCH)
    patches = 1 / patches[np.isfinite(patches).all(1)]
    if len(patches) == 0:
        return float("nan")
    v, u = np.mgrid[:_PATCH, :_PATCH].reshape(2, -1) - (_PATCH - 1) / 2
    basis = np.linalg.qr(np.stack([np.ones_like(u), u, v], 1))[0]
    rest = patches - (patches @ basis) @ basis.T
    scatter = np.sqrt(np.square(rest).sum(1) / (_PATCH * _PATCH - 3))
    return 1000 * float(np.mean(np.sort(scatter)[: max(len(scatter) // 4, 1)]))


def _raggedness(seen: np.ndarray) -> float:
    """Percent of the pixels at the border between seen and missing that a median over 5 × 5 pixels would flip."""
    border = np.zeros_like(seen)
    for axis in (0, 1):
        change = np.diff(seen, axis=axis)
        ahead = [slice(1, None) if a == axis else slice(None) for a in (0, 1)]
        border[tuple(ahead)] |= change
    flipped = seen != median_filter(seen.astype(np.uint8), 5).astype(bool)
    return 100 * float(flipped.sum() / max(border.sum(), 1))


def _small_holes(seen: np.ndarray) -> float:
    """Holes of fewer than 50 pixels in 100,000 points."""
    names, count = label(~seen)
    sizes = np.bincount(names.reshape(-1))[1:] if count else np.zeros(0)
    return 1e5 * float((sizes < 50).sum() / max(seen.sum(), 1))


def figures(real: Sequence[Shot], made: Sequence[Shot]) -> str:
    """A table of every figure: mean and range over the real clouds and over the generated ones."""
    rows = [[measure_shot(shot) for shot in shots] for shots in (real, made)]
    lines = [f"{'':40}{'real: mean (least to most)':>32}{'generated':>32}"]
    for name in rows[0][0]:
        cells = []
        for group in rows:
            values = np.array([row[name] for row in group])
            cells.append(f"{np.nanmean(values):.1f} ({np.nanmin(values):.1f} to {np.nanmax(values):.1f})")
        lines.append(f"{name:40}{cells[0]:>32}{cells[1]:>32}")
    return "\n".join(lines)


def draw_guess(path: str | Path, shots: Sequence[Shot], key: Sequence[str], columns: int = 3) -> None:
    """Draw ``shots`` numbered from 1, colour beside depth, and the lines of ``key`` at the bottom."""
    width, height = 2 * CELL[0] + 8, CELL[1] + LINE
    rows = -(-len(shots) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height + (len(key) + 1) * LINE), "white")
    draw = ImageDraw.Draw(sheet)
    for index, shot in enumerate(shots):
        x, y = index % columns * width, index // columns * height
        draw.text((x + 4, y + 1), str(index + 1), fill="black")
        for number, picture in enumerate((shot.rgb, _painted(shot.xyz[..., 2]))):
            view = Image.fromarray(picture).resize(CELL, Image.Resampling.BILINEAR)
            sheet.paste(view, (x + number * CELL[0], y + LINE))
    for number, line in enumerate(key):
        draw.text((4, rows * height + (number + 1) * LINE), line, fill="black")
    sheet.save(path)


def _painted(depth: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 ramp of colours from near to far; black where missing."""
    seen = np.isfinite(depth)
    near, far = np.percentile(depth[seen], (1, 97)) if seen.any() else (0.0, 1.0)
    place = np.clip((np.where(seen, depth, near) - near) / max(far - near, 1e-6), 0, 1) * (len(_RAMP) - 1)
    colour = np.stack([np.interp(place, np.arange(len(_RAMP)), _RAMP[:, i]) for i in range(3)], -1)
    return np.where(seen[..., None], colour, 0).astype(np.uint8)


def main(argv: Sequence[str] | None = None) -> None:
    """``python -m segpoint_training.scenes.compare``, see the module."""
    parser = argparse.ArgumentParser(description="Draw generated clouds beside real ones and compare their figures.")
    parser.add_argument("folder", type=Path, help="organized, coloured clouds of a real sensor")
    parser.add_argument("--out", type=Path, required=True, help="the picture (.png)")
    parser.add_argument("--sensor", default="kinect", help="the generator's sensor (default: kinect)")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the generated scenes, and of the order")
    parser.add_argument("--count", type=int, help="generated clouds (default: as many as there are real ones)")
    options = parser.parse_args(argv)
    try:
        real = read_shots(options.folder)
    except SegPointError as error:
        parser.error(str(error))
    made = generate_shots(options.sensor, range(options.seed, options.seed + (options.count or len(real))))
    shots = [*real, *made]
    order = np.random.default_rng(options.seed).permutation(len(shots))
    names = [f"{place}: {shots[index].name}" for place, index in enumerate(order, start=1)]
    key = ["Key"] + ["   ".join(names[start : start + 8]) for start in range(0, len(names), 8)]
    draw_guess(options.out, [shots[index] for index in order], key)
    print(figures(real, made))


if __name__ == "__main__":
    main()
