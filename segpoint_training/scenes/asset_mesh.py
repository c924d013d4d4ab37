"""From a file's triangles to what a Model needs: upright, true to size, few faces, at most eight parts with a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

from segpoint_training.scenes.asset_files import Material, Soup
from segpoint_training.scenes.shapes import Mesh

MOST_FACES = 6000
PARTS = 8  # the renderer tells that many parts of an object apart
CREASE = 40.0  # degrees: sharper edges stay edges

_SAMPLES = 60_000  # points by which the faces of a simplified mesh find their material
_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # x right, y up, z to the viewer → z up


@dataclass(frozen=True)
class Part:
    """The look of one part: a plain colour, or a texture (h, w, 3) uint8 with its first row at v = 0."""

    colour: np.ndarray  # (3,) float32 display colour; of a texture its mean
    texture: np.ndarray | None
    area: float  # square metres


@dataclass(frozen=True)
class Converted:
    mesh: Mesh
    parts: tuple[Part, ...]  # by falling area
    shine: float  # 0 … 1, over the whole surface
    clear: float  # share of the surface that one sees through
    top: tuple[float, np.ndarray] | None  # as in Model


def convert(soup: Soup, size: Sequence[float], turn: np.ndarray, up: str, top: float | None) -> Converted:
    """Turn ``soup`` upright and fit it into a box.

    Args:
        soup: the file's triangles.
        size: metres along x, y and z of the box that it fills.
        turn: (3, 3) rotation in the file's axes that comes first.
        up: "y" or "z", the file's upward axis.
        top: height in metres at which things can be stood on it, or None.

    Raises:
        ValueError: nothing is left to see.
    """
    axes = (_Y_UP if up == "y" else np.eye(3)) @ turn
    points = _fitted(soup.vertices @ axes.T, soup.faces, np.asarray(size, float))
    soup = _visible(Soup(points, soup.faces, soup.uv, soup.material, soup.materials))
    area = _areas(soup.vertices, soup.faces)
    weight = area / area.sum()
    shine = float(weight @ np.array([m.shine for m in soup.materials])[soup.material])
    clear = float(weight @ np.array([m.opacity < 0.7 for m in soup.materials])[soup.material])
    soup = _simplified(_welded(soup))
    parts, part, uv = _parts(soup)
    mesh = _mesh(soup.vertices, soup.faces, uv, part)
    return Converted(mesh, parts, shine, clear, None if top is None else _top(soup, top))


def _fitted(points: np.ndarray, faces: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Moved and stretched: the used points fill the box ``size``, which stands centred on the origin."""
    used = points[np.unique(faces)]
    low, extent = used.min(0), np.ptp(used, axis=0)
    factor = np.where(extent > 1e-9 * extent.max(), size / np.maximum(extent, 1e-12), 1.0)
    return (points - low) * factor - (size[0] / 2, size[1] / 2, 0.0)


def _areas(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return np.linalg.norm(_crosses(points, faces), axis=1) / 2


def _crosses(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) face normals, twice the area long."""
    corner = points[faces]
    return np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])


def _visible(soup: Soup) -> Soup:
    """Without faces that have no area, are wholly transparent or lie where their texture is."""
    keep = _areas(soup.vertices, soup.faces) > 1e-12
    keep &= np.array([material.opacity > 0.05 for material in soup.materials])[soup.material]
    for number, material in enumerate(soup.materials):
        if material.texture is not None and material.texture[..., 3].min() < 128:
            mine = soup.material == number
            corners = soup.uv[mine]
            spots = np.concatenate([0.6 * corners + 0.4 * corners.mean(1, keepdims=True), corners.mean(1)[:, None]], 1)
            keep[mine] &= (_texels(material.texture, spots)[..., 3] > 127).any(1)
    if not keep.any():
        raise ValueError("nothing of it can be seen")
    return Soup(soup.vertices, soup.faces[keep], soup.uv[keep], soup.material[keep], soup.materials)


def _texels(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    height, width = texture.shape[:2]
    column = np.floor(uv[..., 0] * width).astype(int) % width
    return texture[np.floor((1 - uv[..., 1]) * height).astype(int) % height, column]


def _welded(soup: Soup) -> Soup:
    """Points that coincide are one, and of faces over the same three points only the first stays."""
    step = 1e-5 * np.ptp(soup.vertices[soup.faces].reshape(-1, 3), axis=0).max()
    _, first, same = np.unique(np.round(soup.vertices / step).astype(np.int64), axis=0, return_index=True,
                               return_inverse=True)  # fmt: skip
    faces = same.reshape(-1)[soup.faces]
    _, once = np.unique(np.sort(faces, 1), axis=0, return_index=True)
    keep = np.sort(once)
    whole = (faces != np.roll(faces, 1, 1)).all(1)[keep]
    keep = keep[whole]
    return Soup(soup.vertices[first], faces[keep], soup.uv[keep], soup.material[keep], soup.materials)


def _simplified(soup: Soup) -> Soup:
    """At most about MOST_FACES faces, by quadric edge collapse; material and uv are those of the nearest old face."""
    if len(soup.faces) <= MOST_FACES:
        return soup
    import fast_simplification

    points, faces = fast_simplification.simplify(
        np.ascontiguousarray(soup.vertices, np.float32), np.ascontiguousarray(soup.faces, np.int32),
        target_count=MOST_FACES, agg=5.0,
    )  # fmt: skip
    points, faces = points.astype(np.float64), faces.astype(np.int64)
    faces = faces[_areas(points, faces) > 1e-12]
    where, samples, uv = _sampled(soup)
    normals = _unit(_crosses(soup.vertices, soup.faces))[where]
    reach = 0.03 * np.ptp(points, axis=0).max()  # a face turned away counts as that much farther
    found = _unit(_crosses(points, faces))
    tree = cKDTree(np.hstack([samples, reach * normals]))
    _, nearest = tree.query(np.hstack([points[faces].mean(1), reach * found]))
    material = soup.material[where[nearest]]
    corners = np.repeat(uv[nearest][:, None], 3, 1)
    inside = 0.8 * points[faces] + 0.2 * points[faces].mean(1, keepdims=True)
    for number, kind in enumerate(soup.materials):
        mine, old = np.flatnonzero(material == number), np.flatnonzero(soup.material[where] == number)
        if kind.texture is None or not len(mine):
            continue
        query = np.concatenate([inside[mine], np.repeat(reach * found[mine][:, None], 3, 1)], 2)
        _, at = cKDTree(tree.data[old]).query(query.reshape(-1, 6))
        corners[mine] = _unbroken(uv[old[at]].reshape(-1, 3, 2), corners[mine])
    return Soup(points, faces, corners, material, soup.materials)


def _sampled(soup: Soup) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points spread over the surface: their face (S,), position (S, 3) and uv (S, 2). The same soup, the same points."""
    rng = np.random.default_rng(0)
    area = _areas(soup.vertices, soup.faces)
    where = np.concatenate([np.arange(len(area)), rng.choice(len(area), _SAMPLES, p=area / area.sum())])
    share = rng.dirichlet((1, 1, 1), len(where))
    position = np.einsum("sk,skd->sd", share, soup.vertices[soup.faces[where]])
    return where, position, np.einsum("sk,skd->sd", share, soup.uv[where])


def _unbroken(uv: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """``uv`` (n, 3, 2), but ``middle`` for faces that a seam of the texture crosses: their corners lie far apart."""
    spread = np.ptp(uv, axis=1).max(1)
    broken = spread > max(6 * float(np.median(spread)), 0.02)
    return np.where(broken[:, None, None], middle, uv)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-15)


def _parts(soup: Soup) -> tuple[tuple[Part, ...], np.ndarray, np.ndarray]:
    """The parts by falling area, each face's part (F,) and uv (F, 3, 2) with v downwards.

    Materials of one colour are one part. Those that exceed PARTS share the last, whose texture is a row of colours.
    """
    area = np.bincount(soup.material, _areas(soup.vertices, soup.faces), len(soup.materials))
    keys: dict[tuple, list[int]] = {}
    for number, material in enumerate(soup.materials):
        plain = tuple(np.round(np.array(material.colour) * 25).astype(int))
        if area[number] > 0:
            keys.setdefault((plain, -1) if material.texture is None else ((), number), []).append(number)
    groups = sorted(keys.values(), key=lambda group: -area[group].sum())
    alone = groups if len(groups) <= PARTS else groups[: PARTS - 1]
    parts, part, uv = [], np.zeros(len(soup.faces), np.int64), soup.uv * (1, -1) + (0, 1)
    for group in alone:
        part[np.isin(soup.material, group)] = len(parts)
        parts.append(_look(soup.materials[max(group, key=lambda number: area[number])], float(area[group].sum())))
    rest = groups[len(alone) :]
    if rest:
        looks = [_look(soup.materials[group[0]], float(area[group].sum())) for group in rest]
        for index, group in enumerate(rest):
            mine = np.isin(soup.material, group)
            part[mine], uv[mine] = len(parts), ((index + 0.5) / len(rest), 0.5)
        row = np.stack([look.colour for look in looks])[None]
        parts.append(Part(row[0].mean(0), _bytes(row), sum(look.area for look in looks)))
    return tuple(parts), part, uv


def _look(material: Material, area: float) -> Part:
    if material.texture is None:
        return Part(np.asarray(material.colour, np.float32), None, area)
    rgb, solid = material.texture[..., :3].astype(np.float32) / 255, material.texture[..., 3] > 127
    mean = rgb[solid].mean(0) if solid.any() else rgb.mean((0, 1))
    return Part(mean, _bytes(np.where(solid[..., None], rgb, mean)), area)


def _bytes(colours: np.ndarray) -> np.ndarray:
    return np.round(np.clip(colours, 0, 1) * 255).astype(np.uint8)


def _mesh(points: np.ndarray, faces: np.ndarray, uv: np.ndarray, part: np.ndarray) -> Mesh:
    """One vertex for each different point, part, uv and normal; normals are smooth but for creases."""
    normals = _corner_normals(points, faces)
    look = np.concatenate([np.round(uv * 4096), np.round(normals * 32)], 2).reshape(-1, 5).astype(np.int64)
    key = np.column_stack([faces.reshape(-1), np.repeat(part, 3), look])
    _, first, same = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return Mesh(
        points[faces.reshape(-1)[first]].astype(np.float32),
        normals.reshape(-1, 3)[first].astype(np.float32),
        uv.reshape(-1, 2)[first].astype(np.float32),
        same.reshape(-1, 3).astype(np.int32),
        part.astype(np.int32),
    )


def _corner_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3, 3) at each corner: the mean, weighed by area, of the faces round its point that bend little from its own.

    At most 64 faces of a point are looked at; a fan with more is smooth enough.
    """
    cross = _crosses(points, faces)
    unit = _unit(cross)
    corner = np.argsort(faces.reshape(-1), kind="stable")  # corners point by point
    owner = faces.reshape(-1)[corner]
    start = np.searchsorted(owner, owner, "left")
    count = np.minimum(np.searchsorted(owner, owner, "right") - start, 64)
    mine = np.repeat(np.arange(len(corner)), count)
    other = np.repeat(start, count) + np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
    first, second = corner[mine] // 3, corner[other] // 3
    near = np.einsum("nd,nd->n", unit[first], unit[second]) > np.cos(np.radians(CREASE))
    total = np.stack([np.bincount(mine[near], cross[second[near], axis], len(corner)) for axis in range(3)], 1)
    normals = np.empty((len(corner), 3))
    normals[corner] = np.where(np.linalg.norm(total, axis=1, keepdims=True) > 0, total, unit[corner // 3])
    return _unit(normals).reshape(-1, 3, 3)


def _top(soup: Soup, height: float) -> tuple[float, np.ndarray] | None:
    """Height and convex outline (k, 2) of the level faces within 2 cm of ``height``; None where they do not fill it."""
    middle = soup.vertices[soup.faces].mean(1)
    level = np.abs(_unit(_crosses(soup.vertices, soup.faces))[:, 2]) > 0.95
    mine = level & (np.abs(middle[:, 2] - height) < 0.02)
    if not mine.any():
        return None
    highest = float(soup.vertices[soup.faces[mine]].reshape(-1, 3)[:, 2].max())
    mine &= middle[:, 2] > highest - 0.01
    flat = soup.vertices[soup.faces[mine]].reshape(-1, 3)[:, :2]
    try:
        hull = ConvexHull(flat)
    except QhullError:
        return None
    covered = _areas(soup.vertices, soup.faces[mine]).sum() / hull.volume
    return (highest, flat[hull.vertices]) if hull.volume > 0.01 and covered > 0.75 else None
