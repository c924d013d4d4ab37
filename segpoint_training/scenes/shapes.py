"""Meshes from a few numbers: lathes, boxes, prisms and tubes. Vectorised, few faces, no boolean operations.

Metres; z up. Every vertex has a unit normal (smooth over curves, split at creases) and a texture coordinate; every
face has a part number, by which a surface tells the outside of a mug from its inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Mesh:
    """Triangles with what a renderer needs to know of them."""

    vertices: np.ndarray  # (V, 3) float32
    normals: np.ndarray  # (V, 3) float32, unit, outward
    uv: np.ndarray  # (V, 2) float32
    faces: np.ndarray  # (F, 3) int32
    part: np.ndarray  # (F,) int32

    def turned(self, rotation: np.ndarray, shift: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0)) -> Mesh:
        """The mesh under x ↦ rotation·x + shift; ``rotation`` (3, 3) is orthonormal."""
        rotation = np.asarray(rotation, np.float32)
        moved = self.vertices @ rotation.T + np.asarray(shift, np.float32)
        return replace(self, vertices=moved, normals=self.normals @ rotation.T)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """Shifted along its axes, metres."""
        return replace(self, vertices=self.vertices + np.array([x, y, z], np.float32))

    def scaled(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Mesh:
        """Stretched along its axes by positive factors."""
        factors = np.array([x, y, z], np.float32)
        normals = self.normals / factors
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        return replace(self, vertices=self.vertices * factors, normals=normals)

    def of_part(self, part: int) -> Mesh:
        """The same mesh with every face in ``part``."""
        return replace(self, part=np.full(len(self.faces), part, np.int32))

    def resting(self) -> Mesh:
        """Moved so that its box stands centred on the origin with its lowest point at z = 0."""
        low, high = self.vertices.min(0), self.vertices.max(0)
        return self.turned(np.eye(3), -np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]))


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several; parts keep their numbers."""
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uv for m in meshes]),
        np.concatenate([m.faces + o for m, o in zip(meshes, offsets, strict=True)]).astype(np.int32),
        np.concatenate([m.part for m in meshes]),
    )


def corner_normals(cross: np.ndarray, faces: np.ndarray, crease: float) -> np.ndarray:
    """(F, 3, 3) unit: at each corner the mean, weighed by area, of the faces round its point within ``crease`` degrees
    of its own.

    ``cross`` (F, 3) are the faces' normals, twice the area long; ``faces`` (F, 3) the points of
    their corners. At most 64 faces of a point are looked at; a fan with more is smooth enough.
    """
    unit = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-15)
    corner = np.argsort(faces.reshape(-1), kind="stable")  # corners point by point
    owner = faces.reshape(-1)[corner]
    start = np.searchsorted(owner, owner, "left")
    count = np.minimum(np.searchsorted(owner, owner, "right") - start, 64)
    mine = np.repeat(np.arange(len(corner)), count)
    other = np.repeat(start, count) + np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
    first, second = corner[mine] // 3, corner[other] // 3
    near = np.einsum("nd,nd->n", unit[first], unit[second]) > np.cos(np.radians(crease))
    total = np.stack([np.bincount(mine[near], cross[second[near], axis], len(corner)) for axis in range(3)], 1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    normals = np.empty((len(corner), 3))
    normals[corner] = np.where(length > 0, total / np.maximum(length, 1e-15), unit[corner // 3])
    return normals.reshape(-1, 3, 3)


def rotation(axis: int, angle: float) -> np.ndarray:
    """(3, 3) rotation about x (0), y (1) or z (2) by ``angle`` radians."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def lathe(profile: Sequence[tuple[float, float]], parts: Sequence[int] | int = 0, segments: int = 28) -> Mesh:
    """Revolve a profile of (radius, height) points about z.

    The profile runs with the solid on its left: up an outside, over the rim, down an inside. ``parts`` gives a
    part number to each of its pieces. Corners sharper than 40° stay creases. u runs round, v along each part.
    """
    points = np.asarray(profile, np.float64)
    pieces = len(points) - 1
    part = np.full(pieces, parts) if isinstance(parts, int) else np.asarray(parts)
    step = np.diff(points, axis=0)
    length = np.maximum(np.linalg.norm(step, axis=1), 1e-9)
    normal = np.stack([step[:, 1], -step[:, 0]], 1) / length[:, None]
    smooth = (normal[1:] * normal[:-1]).sum(1) > np.cos(np.radians(40))
    joint = normal[1:] + normal[:-1]
    joint /= np.maximum(np.linalg.norm(joint, axis=1, keepdims=True), 1e-9)
    start, end = normal.copy(), normal.copy()
    start[1:][smooth], end[:-1][smooth] = joint[smooth], joint[smooth]
    v0, v1 = _lengths_by_part(length, part)
    # two rings a piece, so that creases and part borders need no special case
    ring = np.stack([points[:-1], points[1:]], 1)  # (pieces, 2, 2)
    ring_normal = np.stack([start, end], 1)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    c, s = np.cos(angle), np.sin(angle)

    def revolve(pairs: np.ndarray) -> np.ndarray:
        r, z = pairs[..., 0:1], np.broadcast_to(pairs[..., 1:2], (*pairs.shape[:2], segments + 1))
        return np.stack([r * c, r * s, z], -1).reshape(-1, 3).astype(np.float32)

    u = np.broadcast_to(angle / (2 * np.pi), (pieces, 2, segments + 1))
    v = np.broadcast_to(np.stack([v0, v1], 1)[..., None], u.shape)
    row = segments + 1
    corner = (np.arange(pieces) * 2 * row)[:, None] + np.arange(segments)
    quads = np.stack([corner, corner + 1, corner + row + 1, corner + row], -1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    face_part = np.tile(np.repeat(part, segments), 2).astype(np.int32)
    uv = np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)
    return Mesh(revolve(ring), revolve(ring_normal), uv, faces, face_part)


def _lengths_by_part(length: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each piece along its part, as fractions of the part's length."""
    start, end = np.zeros(len(length)), np.zeros(len(length))
    for number in np.unique(part):
        mine = part == number
        total = np.cumsum(length[mine])
        start[mine], end[mine] = (total - length[mine]) / total[-1], total / total[-1]
    return start, end


_BOX_NORMALS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
_BOX_U = np.array([[0, 1, 0], [0, -1, 0], [-1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], np.float32)


def box(size: Sequence[float] | np.ndarray, shift: Sequence[float] = (0.0, 0.0, 0.0)) -> Mesh:
    """A box standing on z = 0; parts 0–5 are its +x, −x, +y, −y, top and bottom faces, each with uv in [0, 1]."""
    half = np.asarray(size, np.float32) / 2
    v_axis = np.cross(_BOX_NORMALS, _BOX_U)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    unit = _BOX_NORMALS[:, None] + corners[None, :, :1] * _BOX_U[:, None] + corners[None, :, 1:] * v_axis[:, None]
    vertices = unit * half + np.array([0, 0, half[2]], np.float32) + np.asarray(shift, np.float32)
    first = np.arange(6)[:, None] * 4
    faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]]).astype(np.int32)
    return Mesh(
        vertices.reshape(-1, 3).astype(np.float32),
        np.repeat(_BOX_NORMALS, 4, 0),
        np.tile((corners + 1) / 2, (6, 1)),
        faces,
        np.tile(np.arange(6, dtype=np.int32), 2),
    )


def prism(outline: np.ndarray, height: float, smooth: bool = False) -> Mesh:
    """A convex outline (k, 2), counter-clockwise, raised from z = 0 to ``height``; parts: 0 side, 1 top, 2 bottom."""
    outline = np.asarray(outline, np.float64)
    k = len(outline)
    following = np.roll(outline, -1, 0)
    edge = following - outline
    length = np.linalg.norm(edge, axis=1)
    flat = np.stack([edge[:, 1], -edge[:, 0]], 1) / length[:, None]
    start, end = flat, flat
    if smooth:
        joint = flat + np.roll(flat, 1, 0)
        start = joint / np.linalg.norm(joint, axis=1, keepdims=True)
        end = np.roll(start, -1, 0)
    u = np.concatenate([[0], np.cumsum(length)]) / length.sum()
    zeros, tops = np.zeros((k, 1)), np.full((k, 1), height)
    low0, low1 = np.hstack([outline, zeros]), np.hstack([following, zeros])
    high0, high1 = np.hstack([outline, tops]), np.hstack([following, tops])
    side = np.stack([low0, low1, high1, high0], 1).reshape(-1, 3)
    side_normals = np.hstack([np.stack([start, end, end, start], 1).reshape(-1, 2), np.zeros((4 * k, 1))])
    one, nil = np.ones(k), np.zeros(k)
    side_uv = np.stack([np.stack([u[:-1], u[1:], u[1:], u[:-1]], 1), np.stack([nil, nil, one, one], 1)], -1)
    first = np.arange(k)[:, None] * 4
    side_faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]])
    cap_uv = (outline - outline.min(0)) / np.ptp(outline, axis=0)
    fan = np.stack([np.zeros(k - 2, int), np.arange(1, k - 1), np.arange(2, k)], 1)
    up = np.tile([0.0, 0.0, 1.0], (k, 1))
    return Mesh(
        np.concatenate([side, high0, low0]).astype(np.float32),
        np.concatenate([side_normals, up, -up]).astype(np.float32),
        np.concatenate([side_uv.reshape(-1, 2), cap_uv, cap_uv]).astype(np.float32),
        np.concatenate([side_faces, fan + 4 * k, fan[:, ::-1] + 5 * k]).astype(np.int32),
        np.concatenate([np.zeros(2 * k), np.ones(k - 2), np.full(k - 2, 2)]).astype(np.int32),
    )


def rounded_rectangle(length: float, width: float, radius: float, corner: int = 4) -> np.ndarray:
    """(4·corner, 2) outline, counter-clockwise, of a rectangle centred on the origin with rounded corners."""
    radius = min(radius, length / 2 * 0.99, width / 2 * 0.99)
    angle = np.linspace(0, np.pi / 2, corner)
    arc = radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    middle = np.array([length / 2 - radius, width / 2 - radius])
    turns = [(1, 1, 0), (-1, 1, 1), (-1, -1, 2), (1, -1, 3)]
    pieces = [arc @ rotation(2, q * np.pi / 2)[:2, :2].T + middle * (sx, sy) for sx, sy, q in turns]
    return np.concatenate(pieces)


def tube(path: np.ndarray, radius: np.ndarray | float, flatten: float = 1.0, segments: int = 10) -> Mesh:
    """Sweep an ellipse along a path (n, 3) that bends in a plane containing the y direction's normal (the xz plane).

    ``radius`` (n,) or one number lies in that plane; ``flatten`` scales it along y. u runs round, v along; ends open
    unless the radius falls to zero there.
    """
    path = np.asarray(path, np.float64)
    n = len(path)
    radius = np.broadcast_to(np.asarray(radius, np.float64), (n,))
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.array([0.0, 1.0, 0.0])
    inward = np.cross(across, tangent)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    c, s = np.cos(angle)[None, :, None], np.sin(angle)[None, :, None]
    vertices = path[:, None] + radius[:, None, None] * (c * inward[:, None] + flatten * s * across)
    normals = c * inward[:, None] * flatten + s * across
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    u = np.broadcast_to(angle / (2 * np.pi), (n, segments + 1))
    v = np.broadcast_to(np.linspace(0, 1, n)[:, None], u.shape)
    row = segments + 1
    corner = (np.arange(n - 1) * row)[:, None] + np.arange(segments)
    quads = np.stack([corner, corner + 1, corner + row + 1, corner + row], -1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    return Mesh(
        vertices.reshape(-1, 3).astype(np.float32),
        normals.reshape(-1, 3).astype(np.float32),
        np.stack([u, v], -1).reshape(-1, 2).astype(np.float32),
        faces,
        np.zeros(len(faces), np.int32),
    )
