"""What lies flat on a table and belongs to it: cloths, runners, place mats, sheets of paper."""

from __future__ import annotations

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.shapes import Mesh, prism, rotation, rounded_rectangle
from segpoint_training.scenes.surfaces import Skin, cloth, grain, printed

Cover = tuple[Mesh, Skin]  # in the table's own frame: its top is z = 0, its middle the origin
_CELL = 0.03  # metres of a cloth's grid
_PAPER = (0.297, 0.21)


def draw_covers(rng: np.random.Generator, half: np.ndarray, is_round: bool, spot: np.ndarray) -> list[Cover]:
    """Covers of a table of half extents ``half`` (2,) around ``spot`` (2,), which is looked at; mostly none."""
    kind = rng.choice(("none", "cloth", "runner", "mats", "paper"), p=(0.62, 0.12, 0.06, 0.1, 0.1))
    if kind == "cloth":
        return [(_draped(rng, half * 1.002, is_round), _fabric(rng))]
    if kind == "runner":
        outline = rounded_rectangle(
            2 * half[0] * rng.uniform(0.7, 1.0), min(rng.uniform(0.3, 0.5), 1.6 * half[1]), 0.01
        )
        return [(_sheet(outline, 0.0015, np.zeros(2), 0.0), _fabric(rng))]
    covers: list[Cover] = []
    if kind == "mats":
        skin, count = _fabric(rng), int(rng.integers(1, 4))
        if rng.random() < 0.3:
            angle = np.linspace(0, 2 * np.pi, 33)[:-1]
            outline = rng.uniform(0.12, 0.2) * np.stack([np.cos(angle), np.sin(angle)], 1)
        else:
            outline = rounded_rectangle(rng.uniform(0.38, 0.48), rng.uniform(0.27, 0.34), rng.choice((0.004, 0.05)))
        for number in range(count):
            place = spot + rng.normal(0, 0.25, 2)
            yaw = rng.choice((0, np.pi / 2)) + rng.normal(0, 0.1)
            covers.append((_sheet(outline, 0.0015 + 0.0005 * number, place, yaw), skin))
    elif kind == "paper":
        for number in range(int(rng.integers(1, 5))):
            scale = 1.0 if rng.random() < 0.7 else rng.uniform(0.4, 2.0)
            outline = rounded_rectangle(_PAPER[0] * scale, _PAPER[1] * scale, 0.001, 2)
            skin = _written(rng) if rng.random() < 0.7 else printed(rng, colours.draw(rng, "white"), 1.5, 160)
            height = 0.0006 + 0.0004 * number
            place = spot + rng.normal(0, 0.3, 2)
            covers.append((_sheet(outline, height, place, rng.uniform(0, np.pi)), skin))
    return [cover for cover in covers if _fits(cover[0], half, is_round)]


def _fits(mesh: Mesh, half: np.ndarray, is_round: bool) -> bool:
    reach = np.abs(mesh.vertices[:, :2]) / half
    return bool((np.linalg.norm(reach, axis=1) < 1).all() if is_round else (reach < 1).all())


def _sheet(outline: np.ndarray, thick: float, place: np.ndarray, yaw: float) -> Mesh:
    return prism(outline, thick).of_part(0).turned(rotation(2, yaw), (*place, 0.0))


def _fabric(rng: np.random.Generator) -> Skin:
    """Cloth: washed-out pattern or a plain weave; u and v run over about a metre."""
    names = rng.choice(colours.NAMES, 2, replace=False)
    pair = [0.5 * rng.uniform(0.3, 1) + 0.5 * colours.draw(rng, str(name)) for name in names]
    if rng.random() < 0.5:
        return grain(rng, pair[0], rng.uniform(0.01, 0.06), rng.uniform(1, 4), 96, (3, 3))
    repeat = 1 / rng.uniform(0.03, 0.15)
    return cloth(rng, pair[0], pair[1], (repeat, repeat))


def _written(rng: np.random.Generator) -> Skin:
    """A printed page: lines of text, broken into words, at times a picture."""
    page = np.full((90, 64, 3), colours.draw(rng, "white"), np.float32)
    ink = np.float32(rng.uniform(0.1, 0.45))
    for row in range(8, 84, int(rng.integers(3, 6))):
        words = np.repeat(rng.random(13) < 0.8, 4)[: int(rng.integers(20, 52))]
        page[row, 6 : 6 + len(words)][words] = ink
    if rng.random() < 0.4:
        top, left = rng.integers(10, 50), rng.integers(6, 24)
        page[top : top + 26, left : left + 30] = colours.draw(rng, str(rng.choice(colours.NAMES)))
    return Skin(page)


def _draped(rng: np.random.Generator, half: np.ndarray, is_round: bool) -> Mesh:
    """A cloth over the whole top, hanging down its sides in waves, with a few folds where it was pressed."""
    hang = rng.uniform(0.05, 0.3)
    count = np.maximum((2 * (half + hang) / _CELL).astype(int), 8) + 1
    x, y = (np.linspace(-h - hang, h + hang, n) for h, n in zip(half, count, strict=True))
    flat = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    held = flat / np.maximum(np.linalg.norm(flat / half, axis=1, keepdims=True), 1) if is_round else np.clip(
        flat, -half, half)  # fmt: skip
    over = np.linalg.norm(flat - held, axis=1)
    along = np.arctan2(flat[:, 1], flat[:, 0])
    wave = over * rng.uniform(0.05, 0.25) * (1 + np.sin(along * rng.integers(9, 22) + rng.uniform(0, 6)))
    outward = (flat - held) / np.maximum(over, 1e-9)[:, None]
    rise = np.zeros(len(flat))
    for _ in range(int(rng.integers(0, 6))):  # pressed folds: low ridges across the cloth
        normal = rng.normal(0, 1, 2)
        normal /= np.linalg.norm(normal)
        away = flat @ normal - rng.uniform(-0.8, 0.8) * float(half.max())
        rise += rng.uniform(0.001, 0.006) * np.exp(-np.square(away / rng.uniform(0.006, 0.025)))
    # no triangle of the grid may cut the table's edge: the cloth turns downwards a cell outside
    height = np.where(over > 0, 0.001 - np.clip(over - 1.5 * _CELL, 0, hang), 0.001 + rise)
    vertices = np.column_stack([held + outward * wave[:, None] + 0.002 * np.sign(outward), height])
    cell = np.arange(count[0] - 1)[:, None] * count[1] + np.arange(count[1] - 1)
    corner = np.stack([cell, cell + count[1], cell + count[1] + 1, cell + 1], -1).reshape(-1, 4)
    faces = np.concatenate([corner[:, [0, 1, 2]], corner[:, [0, 2, 3]]]).astype(np.int32)
    return Mesh(vertices.astype(np.float32), _vertex_normals(vertices, faces), flat.astype(np.float32), faces,
                np.zeros(len(faces), np.int32))  # fmt: skip


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit: the mean of a vertex's faces, weighted by their areas."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(faces.reshape(-1), np.repeat(flat[:, i], 3), len(vertices)) for i in range(3)], 1)
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)
