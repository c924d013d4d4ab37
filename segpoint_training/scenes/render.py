"""Ray casting a scene with Embree: what each pixel hits, its colour without light, and the light on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from scipy.ndimage import uniform_filter

from segpoint_training.scenes.camera import Camera
from segpoint_training.scenes.shapes import Mesh, merged
from segpoint_training.scenes.surfaces import Surface

Thing = tuple[Mesh, Surface]  # a mesh in the level frame and its look


@dataclass(frozen=True)
class View:
    """Images, (height, width) or (height, width, 3), float32 unless said otherwise."""

    depth: np.ndarray  # metres along the optical axis; inf where nothing is hit
    body: np.ndarray  # int32 index of the thing hit; −1
    albedo: np.ndarray  # display colour without light
    shaded: np.ndarray  # linear light
    facing: np.ndarray  # cosine between surface normal and view
    gloss: np.ndarray
    dropout: np.ndarray  # chance that an infrared sensor gets no answer


@dataclass(frozen=True)
class Light:
    """A lamp so far away that its rays are parallel."""

    towards: np.ndarray  # (3,) unit, level frame
    colour: np.ndarray  # (3,)
    softness: float  # radians that the lamp spans


def draw_lights(rng: np.random.Generator) -> tuple[np.ndarray, list[Light]]:
    """Ambient light (3,) and one or two lamps, all together about 1 on a table top."""
    ambient = rng.uniform(0.3, 0.7)
    share = np.sort(rng.dirichlet((3, 1)))[::-1] if rng.random() < 0.6 else np.array([1.0])
    lights = []
    for part in share:
        azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(35, 85))
        towards = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
        tint = 1 + rng.normal(0, 0.04, 3)
        lights.append(Light(towards, (1 - ambient) * part / np.sin(height) * tint, rng.uniform(0.05, 0.35)))
    return ambient * (1 + rng.normal(0, 0.03, 3)), lights  # the strongest first


@dataclass(frozen=True)
class Hits:
    """What rays met, one row for each ray that met something; float32 unless said otherwise."""

    ray: np.ndarray  # (n,) int index of the ray
    distance: np.ndarray  # in lengths of the ray's direction
    points: np.ndarray  # (n, 3) level frame
    view: np.ndarray  # (n, 3) unit direction of the ray
    normals: np.ndarray  # (n, 3) unit, on the side that was met
    body: np.ndarray  # (n,) int32 index of the thing
    albedo: np.ndarray  # (n, 3) display colour without light
    gloss: np.ndarray  # (n,)
    dropout: np.ndarray  # (n,)

    @property
    def facing(self) -> np.ndarray:
        """(n,) cosine between surface normal and ray, 0 … 1."""
        return np.abs(np.einsum("ij,ij->i", self.normals, self.view))


class World:
    """Things ready to be met by rays."""

    def __init__(self, things: Sequence[Thing]):
        self._surfaces = [surface for _, surface in things]
        self._mesh, self._scene = merged([mesh for mesh, _ in things]), EmbreeScene()
        vertices = np.ascontiguousarray(self._mesh.vertices, np.float32)
        TriangleMesh(self._scene, vertices, np.ascontiguousarray(self._mesh.faces, np.int32))
        bounds = np.cumsum([len(mesh.faces) for mesh, _ in things])
        self._owner = np.searchsorted(bounds, np.arange(bounds[-1]), side="right").astype(np.int32)

    def cast(self, origin: np.ndarray, directions: np.ndarray) -> Hits:
        """The first thing along each of ``directions`` (m, 3) from ``origin`` (3,)."""
        start = np.tile(np.asarray(origin, np.float32), (len(directions), 1))
        directions = np.ascontiguousarray(directions, np.float32)
        found = self._scene.run(start, directions, query="INTERSECT", output=True)
        is_sound = np.isfinite(found["u"] + found["v"])  # slivers have no coordinates
        hit = np.flatnonzero((found["primID"] >= 0) & is_sound)
        face, distance = found["primID"][hit], found["tfar"][hit]
        normals, uv = _interpolated(self._mesh, face, found["u"][hit, None], found["v"][hit, None])
        rays = directions[hit]
        view = rays / _length(rays)
        normals *= np.where(np.einsum("ij,ij->i", normals, view) > 0, -1, 1)[:, None]  # both sides of a wall are lit
        body = self._owner[face]
        albedo = _albedo(self._surfaces, body, self._mesh.part[face], uv)
        gloss = np.array([surface.gloss for surface in self._surfaces], np.float32)[body]
        dropout = np.array([surface.dropout for surface in self._surfaces], np.float32)[body]
        return Hits(hit, distance, start[0] + rays * distance[:, None], view, normals, body, albedo, gloss, dropout)

    def blocked(self, start: np.ndarray, directions: np.ndarray, reach: float = np.inf) -> np.ndarray:
        """(m,) bool, whether anything stands within ``reach`` lengths of ``directions`` (m, 3) from ``start``."""
        limit = np.full(len(start), min(reach, 1e6), np.float32)
        start, directions = start.astype(np.float32), directions.astype(np.float32)
        return np.asarray(self._scene.run(start, directions, dists=limit, query="OCCLUDED") >= 0)


def render(things: Sequence[Thing], camera: Camera, rng: np.random.Generator,
           casting: Sequence[Thing] | None = None) -> View:  # fmt: skip
    """Cast one ray a pixel at ``things``, shade what is hit under lamps drawn from ``rng``.

    ``casting``: those that throw shadows, by default all. In a room not the walls, as its lamps hang inside.
    """
    world = World(things)
    hits = world.cast(camera.position, camera.rays() @ camera.turn.T.astype(np.float32))
    shaded = _shade(world, world if casting is None else World(casting), camera, hits, rng)
    count = camera.width * camera.height

    def image(values: np.ndarray, empty: float) -> np.ndarray:
        full = np.full((count, *values.shape[1:]), empty, values.dtype)
        full[hits.ray] = values
        return full.reshape(camera.height, camera.width, *values.shape[1:])

    # rays have optical z = 1, so their length is the depth
    return View(image(hits.distance, np.inf), image(hits.body, -1), image(hits.albedo, 0.6), image(shaded, 0.5),
                image(hits.facing, 1.0), image(hits.gloss, 0.0), image(hits.dropout, 0.0))  # fmt: skip


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), 1e-6)[:, None]


def _interpolated(mesh: Mesh, face: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (n, 3) and texture coordinates (n, 2) at Embree's barycentric coordinates."""
    corners = np.hstack([mesh.normals, mesh.uv]).astype(np.float32)[mesh.faces]  # (F, 3, 5)
    first = np.ascontiguousarray(corners[:, 0])
    values = first.take(face, 0)
    values += (corners[:, 1] - first).take(face, 0) * u
    values += (corners[:, 2] - first).take(face, 0) * v
    normals = values[:, :3]
    return normals / _length(normals), values[:, 3:]


def _albedo(surfaces: Sequence[Surface], body: np.ndarray, part: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(n, 3) float32 display colours of the hit points."""
    albedo = np.empty((len(body), 3), np.float32)
    if len(body) == 0:
        return albedo
    stride = int(part.max(initial=0)) + 1
    key = body * stride + part
    # 16 bits sort by radix
    order = np.argsort(key.astype(np.int16) if len(surfaces) * stride < 2**15 else key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    for value, mine in zip(ordered[starts], np.split(order, starts[1:]), strict=True):
        skins = surfaces[value // stride].skins
        albedo[mine] = skins[min(value % stride, len(skins) - 1)].colour(uv[mine])
    return albedo


def _shade(world: World, casting: World, camera: Camera, hits: Hits, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) float32 linear light: ambient from above, Lambert and a highlight for each lamp, soft shadows."""
    ambient, lights = draw_lights(rng)
    normals = hits.normals
    hidden = _covered(world, camera, hits, rng) * np.float32(rng.uniform(0.5, 1.0))
    light = ambient.astype(np.float32) * ((0.75 + 0.25 * normals[:, 2:]) * (1 - hidden[:, None]))
    mirrored = hits.view - 2 * np.einsum("ij,ij->i", normals, hits.view)[:, None] * normals
    highlight = np.zeros(len(hits.ray), np.float32)
    for index, lamp in enumerate(lights):
        towards = lamp.towards.astype(np.float32)
        # a second lamp stands for the bright side of the room: too wide for shadows one would notice
        lit = _lit(casting, camera, hits, lamp, rng) if index == 0 else 1 - 0.5 * hidden
        light += (np.maximum(normals @ towards, 0) * lit)[:, None] * lamp.colour.astype(np.float32)
        shine = np.maximum(mirrored @ towards, 0)
        for _ in range(3):  # to the power of 8
            shine *= shine
        highlight += lit * hits.gloss * shine
    light *= np.square(hits.albedo)
    light += 0.5 * highlight[:, None]
    return light


def _lit(world: World, camera: Camera, hits: Hits, lamp: Light, rng: np.random.Generator) -> np.ndarray:
    """(n,) share of the lamp that reaches each hit."""

    def is_lit(start: np.ndarray, normals: np.ndarray) -> np.ndarray:
        rays = lamp.towards + lamp.softness / 2 * rng.standard_normal((len(start), 3), np.float32)
        return ~world.blocked(start, rays)

    return _sampled(is_lit, camera, hits, 0.008)


def _covered(world: World, camera: Camera, hits: Hits, rng: np.random.Generator) -> np.ndarray:
    """(n,) share of the surroundings hidden by things close by: what darkens corners and the foot of an object."""
    reach = rng.uniform(0.06, 0.2) * max(camera.distance, 0.3)

    def is_covered(start: np.ndarray, normals: np.ndarray) -> np.ndarray:
        rays = rng.standard_normal((len(start), 3), np.float32)
        rays /= _length(rays)
        return world.blocked(start, rays + normals, float(reach))  # by Lambert's law

    return _sampled(is_covered, camera, hits, 0.012)


def _sampled(test: Callable[[np.ndarray, np.ndarray], np.ndarray], camera: Camera, hits: Hits,
             blur: float) -> np.ndarray:  # fmt: skip
    """(n,) float32 smooth share of hits that pass: one pixel in four is tested, then blurred over ``blur`` widths."""
    width, height = camera.width, camera.height
    row, column = hits.ray // width, hits.ray % width
    cast = np.flatnonzero((row % 2 == 0) & (column % 2 == 0))
    passed = test(hits.points[cast] + hits.normals[cast] * 2e-3, hits.normals[cast])
    coarse = np.full(((height + 1) // 2, (width + 1) // 2), np.mean(passed) if len(cast) else 0, np.float32)
    coarse[row[cast] // 2, column[cast] // 2] = passed
    for _ in range(2):
        coarse = uniform_filter(coarse, max(3, int(width * blur) | 1), mode="nearest")
    fine = np.repeat(np.repeat(coarse, 2, 0), 2, 1)
    return fine[row, column]
