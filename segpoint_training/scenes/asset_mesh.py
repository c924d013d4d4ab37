"""From a file's triangles to what a Model needs: upright, true to size, few faces, at most eight parts with a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

from segpoint_training.scenes.asset_files import Material, Soup
from segpoint_training.scenes.shapes import Mesh, corner_normals

MOST_FACES = 6000
PARTS = 8  # the renderer tells that many parts of an object apart
CREASE = 40.0  # degrees: sharper edges stay edges

_SAMPLES = 40_000  # points by which the faces of a simplified mesh find their material
_PROBES = np.array([[1, 1, 1], [1, 5, 5], [5, 1, 5], [5, 5, 1]], float)
_PROBES /= _PROBES.sum(1, keepdims=True)  # where a face is asked what it is made of, as shares of its corners
_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # x right, y up, z to the viewer → z up


@dataclass(frozen=True)
class Part:
    """The look of one part: a plain colour, or a texture (h, w, 3) uint8 with its first row at v = 0."""

    colour: np.ndarray  # (3,) float32 display colour; of a texture its mean
    texture: np.ndarray | None
    area: float  # square metres


@dataclass(frozen=True)
class Converted:
    """A model ready to be stored."""

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
    soup = _visible(replace(soup, vertices=points, uv=np.clip(np.nan_to_num(soup.uv), -1e3, 1e3)))
    area = _areas(soup.vertices, soup.faces)
    weight = area / area.sum()
    shine = float(weight @ np.array([m.shine for m in soup.materials])[soup.material])
    clear = float(weight @ np.array([m.opacity < 0.7 for m in soup.materials])[soup.material])
    soup = _standing(_simplified(soup))
    parts, part, uv = _parts(soup)
    mesh = _mesh(soup.vertices, soup.faces, uv, part)
    return Converted(mesh, parts, shine, clear, None if top is None else _top(soup, top))


def _fitted(points: np.ndarray, faces: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Moved and stretched: the used points fill the box ``size``, which stands centred on the origin."""
    used = points[np.unique(faces)]
    low, extent = used.min(0), np.ptp(used, axis=0)
    factor = np.where(extent > 1e-9 * extent.max(), size / np.maximum(extent, 1e-12), 1.0)
    return (points - low) * factor - (size[0] / 2, size[1] / 2, 0.0)


def _standing(soup: Soup) -> Soup:
    """Centred on the origin with its lowest point at z = 0, where unseen or collapsed faces were its outermost."""
    used = soup.vertices[np.unique(soup.faces)]
    low, high = used.min(0), used.max(0)
    return replace(soup, vertices=soup.vertices - ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]))


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


def _welded(soup: Soup, share: float) -> Soup:
    """Points closer than about a ``share`` of its size are one, and of faces over the same points the first stays."""
    step = share * np.ptp(soup.vertices[soup.faces].reshape(-1, 3), axis=0).max()
    _, first, same = np.unique(np.round(soup.vertices / step).astype(np.int64), axis=0, return_index=True,
                               return_inverse=True)  # fmt: skip
    faces = same.reshape(-1)[soup.faces]
    _, once = np.unique(np.sort(faces, 1), axis=0, return_index=True)
    keep = np.sort(once)
    whole = (faces != np.roll(faces, 1, 1)).all(1)[keep]
    keep = keep[whole]
    return Soup(soup.vertices[first], faces[keep], soup.uv[keep], soup.material[keep], soup.materials)


def _simplified(soup: Soup) -> Soup:
    """About MOST_FACES faces at most; their material and uv are those of the nearest face there was."""
    whole = soup = _welded(soup, 1e-5)
    if len(soup.faces) <= MOST_FACES:
        return soup
    for share in (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2):  # loose leaves have no edges to collapse before they are welded
        points, faces = _collapsed(soup)
        if len(faces) < 1.1 * MOST_FACES:
            break
        soup = _welded(whole, share)
    return _dressed(points, faces, whole)


def _collapsed(soup: Soup) -> tuple[np.ndarray, np.ndarray]:
    """Points and faces after quadric edge collapse."""
    import fast_simplification

    points, faces = fast_simplification.simplify(
        np.ascontiguousarray(soup.vertices, np.float32), np.ascontiguousarray(soup.faces, np.int32),
        target_count=MOST_FACES, agg=5.0,
    )  # fmt: skip
    points, faces = points.astype(np.float64), faces.astype(np.int64)
    return points, faces[_areas(points, faces) > 1e-12]


def _dressed(points: np.ndarray, faces: np.ndarray, soup: Soup) -> Soup:
    """``faces`` with the material and uv of the nearest faces of ``soup`` that are turned alike."""
    if len(np.unique(soup.material)) == 1 and soup.materials[soup.material[0]].texture is None:
        alike = np.full(len(faces), soup.material[0])
        return Soup(points, faces, np.zeros((len(faces), 3, 2)), alike, soup.materials)
    where, samples = _sampled(soup)
    reach = 0.03 * np.ptp(points, axis=0).max()  # a face turned away counts as that much farther
    keys = np.hstack([samples, reach * _unit(_crosses(soup.vertices, soup.faces))[where]])
    found = reach * _unit(_crosses(points, faces))
    probes = np.concatenate([_PROBES @ points[faces], np.repeat(found[:, None], len(_PROBES), 1)], 2)
    nearest, middle = _nearest(soup, keys, where, probes.reshape(-1, 6))
    votes = np.eye(len(soup.materials), dtype=np.int64)[soup.material[nearest]].reshape(len(faces), len(_PROBES), -1)
    material = votes.sum(1).argmax(1)
    uv = np.repeat(middle.reshape(len(faces), -1, 2)[:, :1], 3, 1)
    inside = 0.9 * points[faces] + 0.1 * points[faces].mean(1, keepdims=True)
    for number, kind in enumerate(soup.materials):
        mine, old = material == number, soup.material[where] == number
        if kind.texture is not None and mine.any():
            query = np.concatenate([inside[mine], np.repeat(found[mine][:, None], 3, 1)], 2).reshape(-1, 6)
            corners = _nearest(soup, keys[old], where[old], query)[1].reshape(-1, 3, 2)
            uv[mine] = _unbroken(corners, uv[mine])
    return Soup(points, faces, uv, material, soup.materials)


def _nearest(
    soup: Soup, keys: np.ndarray, where: np.ndarray, query: np.ndarray, candidates: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """The face (Q,) nearest to each query (Q, 6), a position and a scaled normal, and the uv there (Q, 2).

    ``keys`` (S, 6) are points on the faces ``where`` (S,). Of the faces that some lie on nearby, the one at the least
    distance wins: a screen lies a hair's breadth over its case.
    """
    _, at = cKDTree(keys).query(query, min(candidates, len(keys)))
    face = where[at].reshape(len(query), -1)
    corner = soup.vertices[soup.faces[face]]  # (Q, C, 3, 3)
    u, v = corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0]
    w = query[:, None, :3] - corner[:, :, 0]
    uu, uv, vv, uw, vw = ((p * q).sum(-1) for p, q in ((u, u), (u, v), (v, v), (u, w), (v, w)))
    determinant = np.maximum(uu * vv - uv**2, 1e-24)
    s, t = (vv * uw - uv * vw) / determinant, (uu * vw - uv * uw) / determinant
    share = np.clip(np.stack([1 - s - t, s, t], -1), 0, 1)  # roughly the face's nearest point
    share /= share.sum(-1, keepdims=True)
    distance = np.linalg.norm(np.einsum("qcsd,qcs->qcd", corner, share) - query[:, None, :3], axis=-1)
    turned = np.linalg.norm(keys[at].reshape(len(query), -1, 6)[..., 3:] - query[:, None, 3:], axis=-1)
    best = np.argmin(distance + 0.1 * turned, 1)
    row = np.arange(len(query))
    chosen = face[row, best]
    return chosen, np.einsum("qsd,qs->qd", soup.uv[chosen], share[row, best])


def _sampled(soup: Soup) -> tuple[np.ndarray, np.ndarray]:
    """Points spread over the surface: their face (S,) and position (S, 3). The same soup gives the same points."""
    rng = np.random.default_rng(0)
    area = _areas(soup.vertices, soup.faces)
    where = np.concatenate([np.arange(len(area)), rng.choice(len(area), _SAMPLES, p=area / area.sum())])
    share = rng.dirichlet((1, 1, 1), len(where))
    return where, np.einsum("sk,skd->sd", share, soup.vertices[soup.faces[where]])


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
    parts: list[Part] = []
    part, uv = np.zeros(len(soup.faces), np.int64), soup.uv * (1, -1) + (0, 1)
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
    normals = corner_normals(_crosses(points, faces), faces, CREASE)
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


def _top(soup: Soup, height: float) -> tuple[float, np.ndarray] | None:
    """Height and convex outline (k, 2) of the level faces within 2 cm of ``height``; None where they do not fill it."""
    middle = soup.vertices[soup.faces].mean(1)
    level = np.abs(_unit(_crosses(soup.vertices, soup.faces))[:, 2]) > 0.95
    mine = level & (np.abs(middle[:, 2] - height) < 0.02)
    if not mine.any():
        return None
    highest = float(middle[mine, 2].max())
    mine &= middle[:, 2] > highest - 0.01
    flat = soup.vertices[soup.faces[mine]].reshape(-1, 3)[:, :2]
    try:
        hull = ConvexHull(flat)
    except QhullError:
        return None
    covered = _areas(soup.vertices, soup.faces[mine]).sum() / hull.volume
    return (highest, flat[hull.vertices]) if hull.volume > 0.01 and covered > 0.75 else None
