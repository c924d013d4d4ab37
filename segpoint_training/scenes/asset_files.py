"""Triangles with materials from Wavefront OBJ and binary STL files inside zip archives (wheels and .sh3f are zips)."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

TEXTURE = 128  # pixels: the longest side of a stored texture


@dataclass(frozen=True)
class Material:
    """What an MTL file says of one material; ``texture`` (h, w, 4) uint8 RGBA, its first row at v = 1."""

    colour: tuple[float, float, float] = (0.8, 0.8, 0.8)  # display colour
    opacity: float = 1.0
    shine: float = 0.0  # 0 … 1
    texture: np.ndarray | None = None


@dataclass(frozen=True)
class Soup:
    """Triangles as a file holds them."""

    vertices: np.ndarray  # (V, 3) float64, the file's unit and axes
    faces: np.ndarray  # (F, 3) int64
    uv: np.ndarray  # (F, 3, 2) float64 at each corner, OBJ's convention: v upwards
    material: np.ndarray  # (F,) int64
    materials: tuple[Material, ...]


def read_stl(data: bytes) -> Soup:
    """A binary STL. Raises ValueError where the size does not fit its triangle count."""
    count = int(np.frombuffer(data, "<u4", 1, 80)[0]) if len(data) >= 84 else -1
    if len(data) < 84 + 50 * max(count, 0) or count < 0:
        raise ValueError("not a binary STL file")
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(data, record, count, 84)["corners"].astype(np.float64)
    faces = np.arange(3 * count).reshape(-1, 3)
    return Soup(corners.reshape(-1, 3), faces, np.zeros((count, 3, 2)), np.zeros(count, np.int64), (Material(),))


def read_obj(archive: zipfile.ZipFile, member: str) -> Soup:
    """An OBJ of an archive with the MTL files and textures that it names; polygons are cut into triangles."""
    vertices: list[str] = []
    texture: list[str] = []
    polygons: dict[int, list[tuple[int, list[int], list[int]]]] = {}  # by corners: material, vertices, uv indices
    library: dict[str, Material] = {}
    names: dict[str, int] = {"": 0}
    current = 0
    for line in archive.read(member).decode("latin-1").splitlines():
        kind, _, rest = line.strip().partition(" ")
        if kind == "v":
            vertices.append(rest)
        elif kind == "vt":
            texture.append(rest)
        elif kind == "f":
            corners = [corner.split("/") for corner in rest.split()]
            at = [_index(corner[0], len(vertices)) for corner in corners]
            uv = [_index(corner[1], len(texture)) if len(corner) > 1 and corner[1] else -1 for corner in corners]
            if len(at) >= 3:
                polygons.setdefault(len(at), []).append((current, at, uv))
        elif kind == "usemtl":
            current = names.setdefault(rest.strip(), len(names))
        elif kind == "mtllib":
            library |= read_mtl(archive, posixpath.join(posixpath.dirname(member), rest.strip()))
    points = _table(vertices, 3)
    coordinates = np.vstack([_table(texture, 2), np.zeros((1, 2))])  # the last row stands for "none"
    faces, uvs, material = [], [], []
    for group in polygons.values():
        around = np.array([polygon[1] for polygon in group])
        cut = _triangles(points, around)  # (n, k - 2, 3) corners of each polygon
        row = np.arange(len(around))[:, None, None]
        faces.append(around[row, cut].reshape(-1, 3))
        uvs.append(coordinates[np.array([polygon[2] for polygon in group])[row, cut]].reshape(-1, 3, 2))
        material.append(np.repeat([polygon[0] for polygon in group], around.shape[1] - 2))
    if not faces:
        raise ValueError(f"{member} holds no faces")
    used = tuple(library.get(name, Material()) for name in names)
    return Soup(points, np.concatenate(faces), np.concatenate(uvs), np.concatenate(material), used)


def _index(text: str, count: int) -> int:
    """OBJ counts from 1, and backwards from the last line read."""
    value = int(text)
    return value - 1 if value > 0 else count + value


def _table(rows: Sequence[str], columns: int) -> np.ndarray:
    if not rows:
        return np.zeros((0, columns))
    return np.array([row.split()[:columns] for row in rows], np.float64)


def _triangles(points: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """(n, k - 2, 3) which corners of polygons (n, k) make each of their triangles: fans where convex, else ears."""
    n, k = polygons.shape
    fan = np.stack([np.zeros(k - 2, int), np.arange(1, k - 1), np.arange(2, k)], 1)
    cut = np.tile(fan, (n, 1, 1))
    if k == 3:
        return cut
    corner = points[polygons]
    turn = np.cross(np.roll(corner, -1, 1) - corner, corner - np.roll(corner, 1, 1))
    whole = np.cross(corner[:, 1:-1] - corner[:, :1], corner[:, 2:] - corner[:, :1]).sum(1)  # Newell's normal
    side = np.einsum("nkd,nd->nk", turn, -whole)
    for index in np.flatnonzero((side < -1e-9 * np.abs(side).max(1, keepdims=True)).any(1)):
        cut[index] = _ears(corner[index], whole[index])
    return cut


def _ears(corners: np.ndarray, normal: np.ndarray) -> list[tuple[int, int, int]]:
    """Ear clipping of one polygon (k, 3); what cannot be clipped any more is closed as a fan."""
    axis = int(np.argmax(np.abs(normal)))
    flat = np.delete(corners, axis, 1) * (1.0, np.sign(normal[axis]) * (-1.0 if axis == 1 else 1.0))
    left, triangles = list(range(len(corners))), []

    def area(a: int, b: int, c: int) -> float:
        (ax, ay), (bx, by), (cx, cy) = flat[a], flat[b], flat[c]
        return float((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))

    while len(left) > 3:
        for i in range(len(left)):
            a, b, c = left[i - 1], left[i], left[(i + 1) % len(left)]
            others = (p for p in left if p not in (a, b, c))
            if area(a, b, c) > 0 and not any(
                area(a, b, p) >= 0 and area(b, c, p) >= 0 and area(c, a, p) >= 0 for p in others
            ):
                triangles.append((a, b, c))
                del left[i]
                break
        else:
            break
    return triangles + [(left[0], left[i], left[i + 1]) for i in range(1, len(left) - 1)]


def read_mtl(archive: zipfile.ZipFile, member: str) -> dict[str, Material]:
    """The materials of an MTL file by name; none where the archive lacks it."""
    found = _find(archive, member)
    if found is None:
        return {}
    blocks: dict[str, dict[str, str]] = {}
    block: dict[str, str] = {}
    for line in archive.read(found).decode("latin-1").splitlines():
        kind, _, rest = line.strip().partition(" ")
        if kind == "newmtl":
            block = blocks.setdefault(rest.strip(), {})
        else:
            block[kind] = rest.strip()
    return {name: _material(archive, posixpath.dirname(found), said) for name, said in blocks.items()}


def _material(archive: zipfile.ZipFile, folder: str, said: dict[str, str]) -> Material:
    def numbers(key: str, default: float) -> np.ndarray:
        try:
            return np.array([float(word) for word in said[key].split()])
        except (KeyError, ValueError):
            return np.full(3, default)

    diffuse, specular = np.resize(numbers("Kd", 0.8), 3), np.resize(numbers("Ks", 0.0), 3)
    if diffuse.max() < 0.1 and specular.mean() > 0.4:  # chrome: black, and bright only by what it mirrors
        diffuse = 0.6 * specular
    sharp = min(float(numbers("Ns", 0.0)[0]) / 100, 1.0)
    red, green, blue = np.clip(diffuse, 0, 1).tolist()
    shine = float(np.clip(specular.mean() * (0.3 + 0.7 * sharp), 0, 1))
    texture = _texture(archive, folder, said["map_Kd"]) if said.get("map_Kd") else None
    return Material((red, green, blue), float(numbers("d", 1.0)[0]), shine, texture)


def _texture(archive: zipfile.ZipFile, folder: str, said: str) -> np.ndarray | None:
    """(h, w, 4) uint8 RGBA, at most TEXTURE pixels; None where there is no such picture."""
    name = re.sub(r"-(s|o|t)(\s+[-\d.eE]+){1,3}\s+|-\w+\s+\S+\s+", "", said).replace("\\", "/")
    found = _find(archive, posixpath.join(folder, name))
    if found is None:
        return None
    with Image.open(io.BytesIO(archive.read(found))) as picture:
        rgba = picture.convert("RGBA")
    rgba.thumbnail((TEXTURE, TEXTURE), Image.Resampling.BOX)
    return np.asarray(rgba)


def _find(archive: zipfile.ZipFile, member: str) -> str | None:
    """The archive's spelling of a member's name: some files name others in another case."""
    wanted = posixpath.normpath(member).lower()
    return next((name for name in archive.namelist() if name.lower() == wanted), None)
