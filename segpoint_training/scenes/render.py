"""Ray casting a scene with Embree: what each pixel hits, its colour without light, and the light on it."""

from __future__ import annotations

from collections.abc import Sequence
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


def render(things: Sequence[Thing], camera: Camera, rng: np.random.Generator) -> View:
    """Cast one ray a pixel at ``things``, shade what is hit under lamps drawn from ``rng``."""
    scene, mesh = _build([thing[0] for thing in things])
    count = camera.width * camera.height
    directions = np.ascontiguousarray(camera.rays() @ camera.turn.T.astype(np.float32))
    origin = camera.position.astype(np.float32)
    found = scene.run(np.tile(origin, (count, 1)), directions, query="INTERSECT", output=True)
    hit = np.flatnonzero(found["primID"] >= 0)
    face, depth = found["primID"][hit], found["tfar"][hit]  # rays have optical z = 1, so their length is the depth
    normals, uv = _interpolated(mesh, face, found["u"][hit, None], found["v"][hit, None])
    rays = directions[hit]
    points = origin + rays * depth[:, None]
    view = rays / _length(rays)
    facing = -np.einsum("ij,ij->i", normals, view)
    normals *= np.sign(facing)[:, None]  # both sides of a wall are lit
    bounds = np.cumsum([len(thing[0].faces) for thing in things])
    owner = np.searchsorted(bounds, np.arange(bounds[-1]), side="right").astype(np.int32)
    body = owner[face]
    albedo = _albedo([thing[1] for thing in things], (owner * 8 + mesh.part)[face], uv)
    gloss = np.array([thing[1].gloss for thing in things], np.float32)[body]
    dropout = np.array([thing[1].dropout for thing in things], np.float32)[body]
    shaded = _shade(scene, camera, hit, points, normals, view, albedo, gloss, rng)

    def image(values: np.ndarray, empty: float) -> np.ndarray:
        full = np.full((count, *values.shape[1:]), empty, values.dtype)
        full[hit] = values
        return full.reshape(camera.height, camera.width, *values.shape[1:])

    return View(image(depth, np.inf), image(body, -1), image(albedo, 0.6), image(shaded, 0.5),
                image(np.abs(facing), 1.0), image(gloss, 0.0), image(dropout, 0.0))  # fmt: skip


def _build(meshes: Sequence[Mesh]) -> tuple[EmbreeScene, Mesh]:
    """Embree's scene and one mesh of all."""
    mesh, scene = merged(meshes), EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(mesh.vertices, np.float32), np.ascontiguousarray(mesh.faces, np.int32))
    return scene, mesh


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), 1e-6)[:, None]


def _interpolated(mesh: Mesh, face: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (n, 3) and texture coordinates (n, 2) at Embree's barycentric coordinates."""
    corners = np.hstack([mesh.normals, mesh.uv])[mesh.faces]  # (F, 3, 5)
    first = np.ascontiguousarray(corners[:, 0])
    values = first.take(face, 0)
    values += (corners[:, 1] - first).take(face, 0) * u
    values += (corners[:, 2] - first).take(face, 0) * v
    normals = values[:, :3]
    return normals / _length(normals), values[:, 3:]


def _albedo(surfaces: Sequence[Surface], key: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(n, 3) float32 display colours of the hit points; ``key`` is 8 · thing + part."""
    albedo = np.empty((len(key), 3), np.float32)
    order = np.argsort(key.astype(np.int16), kind="stable")  # 16 bits sort by radix
    ordered = key[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    for value, mine in zip(ordered[starts], np.split(order, starts[1:]), strict=True):
        skins = surfaces[value // 8].skins
        albedo[mine] = skins[min(value % 8, len(skins) - 1)].colour(uv[mine])
    return albedo


def _shade(scene: EmbreeScene, camera: Camera, hit: np.ndarray, points: np.ndarray, normals: np.ndarray,
           view: np.ndarray, albedo: np.ndarray, gloss: np.ndarray,
           rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """(n, 3) float32 linear light: ambient from above, Lambert and a highlight for each lamp, soft shadows."""
    ambient, lights = draw_lights(rng)
    light = ambient.astype(np.float32) * (0.75 + 0.25 * normals[:, 2:])
    mirrored = view - 2 * np.einsum("ij,ij->i", normals, view)[:, None] * normals
    highlight = np.zeros(len(hit), np.float32)
    for index, lamp in enumerate(lights):
        towards = lamp.towards.astype(np.float32)
        # a second lamp stands for the bright side of the room: too wide for shadows one would notice
        lit = _shadow(scene, camera, hit, points, normals, lamp, rng) if index == 0 else np.float32(1)
        light += (np.maximum(normals @ towards, 0) * lit)[:, None] * lamp.colour.astype(np.float32)
        shine = np.maximum(mirrored @ towards, 0)
        for _ in range(3):  # to the power of 8
            shine *= shine
        highlight += lit * gloss * shine
    light *= np.square(albedo)
    light += 0.5 * highlight[:, None]
    return light


def _shadow(scene: EmbreeScene, camera: Camera, hit: np.ndarray, points: np.ndarray, normals: np.ndarray,
            lamp: Light, rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """(n,) share of the lamp that reaches each hit: a jittered ray for one pixel in four, then blurred."""
    width, height = camera.width, camera.height
    row, column = hit // width, hit % width
    cast = np.flatnonzero((row % 2 == 0) & (column % 2 == 0))
    rays = lamp.towards + lamp.softness / 2 * rng.standard_normal((len(cast), 3), np.float32)
    start = points[cast] + normals[cast] * 2e-3
    blocked = scene.run(start.astype(np.float32), rays.astype(np.float32), query="OCCLUDED") >= 0
    coarse = np.ones(((height + 1) // 2, (width + 1) // 2), np.float32)
    coarse[row[cast] // 2, column[cast] // 2] = ~blocked
    for _ in range(2):
        coarse = uniform_filter(coarse, max(3, int(width * 0.008) | 1), mode="nearest")
    fine = np.repeat(np.repeat(coarse, 2, 0), 2, 1)
    return fine[row, column]
