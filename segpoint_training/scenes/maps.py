"""A whole room put together from many views, as mapping gives it: no viewpoint, no roof, holes where nobody looked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segpoint_training.scenes.recording import Recording
from segpoint_training.scenes.render import Hits, Thing, World, draw_lights
from segpoint_training.scenes.shapes import rotation

_FEWEST, _MOST = 60_000, 200_000  # points of a map
_RAYS = 320_000  # cast in all
_PICTURES = 3  # taken from one place
_SPACING = (0.01, 0.03)  # metres between points


def by_mapping(things: Sequence[Thing], objects: int, casting: Sequence[Thing], stands: np.ndarray, turn: np.ndarray,
               shift: np.ndarray, rng: np.random.Generator) -> Recording:  # fmt: skip
    """The first ``objects`` of ``things`` as seen from ``stands`` (k, 3), in the axes x ↦ turn·x + shift.

    ``casting``: those that throw shadows, as in `render`.

    What lies behind them (a ceiling, the street) is cut away, as those who make maps do.
    """
    world = World(things)
    views = [world.cast(stand, _looks(rng, _RAYS // len(stands))) for stand in stands]
    kept = [np.flatnonzero(_answers(hits, objects, rng)) for hits in views]
    points = np.concatenate([hits.points[k] for hits, k in zip(views, kept, strict=True)])
    view_of = np.repeat(np.arange(len(views)), [len(k) for k in kept])
    row_of = np.concatenate(kept)
    order = rng.permutation(len(points))  # which of a cell's points stays is chance, and so is their order
    spacing = float(rng.uniform(*_SPACING))
    chosen = order[_thinned(points[order], spacing)]
    if len(chosen) < _FEWEST:  # a small room
        spacing = max(0.7 * spacing * float(np.sqrt(len(chosen) / _FEWEST)), 0.005)
        chosen = order[_thinned(points[order], spacing)]
    chosen = chosen[:_MOST]
    view_of, row_of = view_of[chosen], row_of[chosen]

    def rows(name: str) -> np.ndarray:
        each = np.concatenate([getattr(hits, name)[k] for hits, k in zip(views, kept, strict=True)])
        return each[chosen]

    normals, albedo, body = rows("normals"), rows("albedo"), rows("body")
    light = _light(World(casting), points[chosen], normals, rng)
    rgb = _pictures(np.square(albedo) * light, view_of, len(views), rng)
    xyz = _put_together(points[chosen], rows("distance"), rows("view"), view_of, len(views), spacing, rng)
    xyz = xyz @ turn.T + shift
    return Recording(xyz.astype(np.float32), rgb, body, "map", len(xyz), 1, body, albedo)


def _looks(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) unit directions of one stand: some wide pictures, or all round."""
    if rng.random() < 0.3:
        z, angle = rng.uniform(-0.95, 0.4, count), rng.uniform(0, 2 * np.pi, count)
        level = np.sqrt(1 - z * z)
        return np.stack([level * np.cos(angle), level * np.sin(angle), z], 1).astype(np.float32)
    half = np.tan(np.radians(rng.uniform((32, 25), (45, 35))))
    heading, pitch = rng.uniform(0, 2 * np.pi, _PICTURES), np.radians(rng.uniform(0, 45, _PICTURES))
    which = rng.integers(_PICTURES, size=count)
    uv = rng.uniform(-1, 1, (count, 2)) * half
    rays = np.stack([np.ones(count), uv[:, 0], uv[:, 1]], 1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    turns = np.stack([rotation(2, heading[k]) @ rotation(1, pitch[k]) for k in range(_PICTURES)])
    return np.einsum("nij,nj->ni", turns[which], rays).astype(np.float32)


def _answers(hits: Hits, objects: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: the object is one of those kept, near enough, not seen too slantingly, and no mirror or glass."""
    chance = np.clip(hits.facing / 0.25, 0, 1) * (1 - hits.dropout)
    near = (hits.distance > 0.3) & (hits.distance < rng.uniform(3.5, 7.0))
    return (hits.body < objects) & near & (rng.random(len(hits.body)) < chance)


def _thinned(points: np.ndarray, spacing: float) -> np.ndarray:
    """Indices of the first point in each cell of ``spacing``, ascending."""
    cell = np.floor((points - points.min(0)) / spacing).astype(np.int64)
    size = cell.max(0) + 1
    _, first = np.unique((cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2], return_index=True)
    return np.sort(first)


def _light(casting: World, points: np.ndarray, normals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) float32: lamps hang inside, so the walls throw no shadow; corners are darker."""
    ambient, lights = draw_lights(rng)
    start = points + normals * 2e-3
    near = rng.standard_normal((len(points), 3), np.float32)
    near = near / np.linalg.norm(near, axis=1, keepdims=True) + normals
    covered = casting.blocked(start, near, 0.3).astype(np.float32)[:, None]
    light = ambient.astype(np.float32) * ((0.75 + 0.25 * normals[:, 2:]) * (1 - 0.3 * covered))
    for index, lamp in enumerate(lights):
        shine = np.maximum(normals @ lamp.towards.astype(np.float32), 0)
        if index == 0:
            rays = lamp.towards + 0.3 * rng.standard_normal((len(points), 3), np.float32)
            shine = shine * ~casting.blocked(start, rays)
        light = light + shine[:, None] * lamp.colour.astype(np.float32)
    return light.astype(np.float32)


def _pictures(light: np.ndarray, view_of: np.ndarray, views: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) uint8: each view has its own exposure and white balance; mapping does not even them out."""
    exposure = np.clip(rng.uniform(0.25, 0.6) / max(float(light.mean()), 1e-3), 0.6, 2.6)
    gain = exposure * np.exp(rng.normal(0, 0.12, (views, 1)) + rng.normal(0, 0.03, (views, 3)))
    light = light * gain[view_of].astype(np.float32)
    light = light / (1 + np.maximum(light - 0.75, 0))
    picture = np.sqrt(np.clip(light, 0, 1))
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0.01, 0.03))
    return (np.clip(picture + noise, 0, 1) * 255).astype(np.uint8)


def _put_together(points: np.ndarray, distance: np.ndarray, view: np.ndarray, view_of: np.ndarray, views: int,
                  spacing: float, rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Points as measured and registered: noise along the ray, and views that do not quite fit each other."""
    noise = rng.uniform(0.001, 0.004) * (1 + np.square(distance) * rng.uniform(0.1, 0.5))
    points = points + view * (noise * rng.standard_normal(len(points)))[:, None]
    points = points + rng.normal(0, rng.uniform(0, 0.008), (views, 3))[view_of]
    return points + rng.normal(0, rng.uniform(0.1, 0.3) * spacing, points.shape)
