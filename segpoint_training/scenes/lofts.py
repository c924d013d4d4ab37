"""Closed solids lofted through rings: knife blades, car bodies, trays, loaves. For what no lathe can turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segpoint_training.scenes.shapes import Mesh, corner_normals, rounded_rectangle

SQUARE = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
ROUND = np.stack([np.cos(np.arange(14) * (np.pi / 7)), np.sin(np.arange(14) * (np.pi / 7))], 1)
SOFT = rounded_rectangle(2.0, 2.0, 0.6, 3)  # a square with soft corners
FLAT = np.array([[1, 0.45], [0.45, 1], [-0.45, 1], [-1, 0.45], [-1, -0.45], [-0.45, -1], [0.45, -1], [1, -0.45]])

Station = tuple[float, float, float, float, float]  # x, middle y, middle z, half width, half height


def loft(rings: np.ndarray, crease: float = 40.0, part: int = 0) -> Mesh:
    """The closed solid through rings (n, k, 3) of matching points, its ends flat.

    Edges sharper than ``crease`` degrees stay edges. u runs round the rings, v along them; the ends are seen
    from the middle outwards.
    """
    rings = np.asarray(rings, np.float64)
    n, k, _ = rings.shape
    points = np.concatenate([rings, rings[:, :1]], 1).reshape(-1, 3)
    ends = np.stack([rings[0].mean(0), rings[-1].mean(0)])
    row = k + 1
    corner = (np.arange(n - 1) * row)[:, None] + np.arange(k)
    quads = np.stack([corner, corner + 1, corner + row + 1, corner + row], -1).reshape(-1, 4)
    rim, last = np.arange(k), (n - 1) * row + np.arange(k)
    low = np.stack([np.full(k, n * row), rim + 1, rim], 1)
    high = np.stack([np.full(k, n * row + 1), last, last + 1], 1)
    faces = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]], low, high])
    points = np.concatenate([points, ends])
    same = np.append((np.arange(n * row) // row) * k + (np.arange(n * row) % row) % k, (n * k, n * k + 1))
    around = np.broadcast_to(np.linspace(0, 1, row), (n, row))
    along = np.broadcast_to(np.linspace(0, 1, n)[:, None], (n, row))
    uv = np.concatenate([np.stack([around, along], -1).reshape(-1, 2), [[0.5, 0.0], [0.5, 1.0]]])
    corners = points[faces]
    weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if np.einsum("ij,ij->", corners[:, 0], weighted) < 0:  # rings that run the other way round
        faces, weighted = faces[:, ::-1], -weighted
    kept = np.linalg.norm(weighted, axis=1) > 1e-12
    faces, weighted = faces[kept], weighted[kept]
    return Mesh(
        points[faces].reshape(-1, 3).astype(np.float32),
        corner_normals(weighted, same[faces], crease).reshape(-1, 3).astype(np.float32),
        uv[faces].reshape(-1, 2).astype(np.float32),
        np.arange(3 * len(faces), dtype=np.int32).reshape(-1, 3),
        np.full(len(faces), part, np.int32),
    )


def bar(stations: Sequence[Station], section: np.ndarray = SQUARE, crease: float = 40.0, part: int = 0) -> Mesh:
    """A solid along x: its section (k, 2) in [−1, 1] scaled and shifted as each station says."""
    x, y, z, wide, high = np.asarray(stations, np.float64).T[..., None]
    rings = np.stack(np.broadcast_arrays(x, y + wide * section[:, 0], z + high * section[:, 1]), -1)
    return loft(rings, crease, part)


def pillar(levels: Sequence[tuple[float, float, float]], radius: float, crease: float = 40.0, part: int = 0,
           corner: int = 4) -> Mesh:  # fmt: skip
    """A solid upwards through rounded rectangles (length, width, height of the level), corners of ``radius``."""
    rings = []
    for length, width, z in levels:
        outline = rounded_rectangle(length, width, radius, corner)
        rings.append(np.column_stack([outline, np.full(len(outline), z)]))
    return loft(np.stack(rings), crease, part)


def tub(length: float, width: float, height: float, wall: float, flare: float, radius: float,
        inside: int = 1) -> Mesh:  # fmt: skip
    """An open rectangular vessel, ``flare`` times as wide at its rim; its inside is part ``inside``."""
    low, high = np.array([length, width]), np.array([length, width]) * flare
    levels = [(*low, 0.0), (*high, height), (*(high - 2 * wall), height), (*(low - 2 * wall), wall)]
    mesh = pillar(levels, radius, part=0)
    middle = mesh.vertices[mesh.faces].mean(1)
    normal = mesh.normals[mesh.faces].mean(1)
    inward = (normal[:, :2] * middle[:, :2]).sum(1) < -1e-4
    floor = (normal[:, 2] > 0.9) & (middle[:, 2] < height / 2)
    part = np.where(inward | floor, inside, 0).astype(np.int32)
    return Mesh(mesh.vertices, mesh.normals, mesh.uv, mesh.faces, part)
