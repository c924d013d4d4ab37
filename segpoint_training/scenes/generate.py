"""A scene from a seed: a tabletop or a room, as one sensor records it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segpoint.errors import SegPointError
from segpoint_training.scenes.camera import Camera, draw_camera
from segpoint_training.scenes.categories import CATEGORIES
from segpoint_training.scenes.instructions import write_instructions
from segpoint_training.scenes.layout import Layout, Placed
from segpoint_training.scenes.objects import build
from segpoint_training.scenes.recipes import draw_recipe
from segpoint_training.scenes.recording import Recording, by_camera, by_lidar, cropped
from segpoint_training.scenes.render import Thing
from segpoint_training.scenes.request import SCALES, SHARES, SPLITS, draw_sensor
from segpoint_training.scenes.room import Furniture, Table, draw_room, draw_table
from segpoint_training.scenes.room_scene import record_room
from segpoint_training.scenes.scene import GROUND, Scene, SceneObject
from segpoint_training.scenes.stage import Stage
from segpoint_training.scenes.standing import Recorded, describe, scene_object, see_through

SENSORS = ("kinect", "realsense", "stereo", "lidar", "map")
_INSTANCES = 1_000_000  # object instances a family may draw from
_ENOUGH, _SPARSE = 60, 3000  # LiDAR points an object, and a scan, should have


def generate_scene(seed: int, split: str = "train", sensor: str | None = None, width: int = 640, height: int = 480,
                   scale: str = "table") -> Scene:  # fmt: skip
    """One scene; the same arguments (and installed assets) give the same bytes.

    ``split`` "test" draws object instances and profile variants that "train" never does; "open" moreover shows a
    category no model is trained on. ``scale`` "table": up to a dozen objects on a table; "room": a furnished room.
    ``sensor``: "kinect", "realsense" or "stereo", depth cameras whose images smaller than 640×480 are that
    sensor's picture subsampled; "lidar"; for rooms "map", the whole room from many views; None draws one by the seed.
    Objects hidden completely are left out of ``Scene.objects``; those with few points stay in, with their count.
    Raises SegPointError for an unknown split, scale or sensor and for a seed below 0.
    """
    if split not in SPLITS:
        raise SegPointError(f"split must be one of {SPLITS}, got {split!r}")
    if seed < 0:
        raise SegPointError(f"a seed is a number from 0, got {seed}")
    if scale not in SCALES:
        raise SegPointError(f"scale must be one of {SCALES}, got {scale!r}")
    sensors = tuple(name for name, _ in SHARES[scale])
    sensor = sensor or draw_sensor(seed, scale, moving=False)
    if sensor not in sensors:
        raise SegPointError(f"sensor must be one of {sensors} for the scale {scale!r}, got {sensor!r}")
    stream = (seed, SPLITS.index(split), SENSORS.index(sensor))
    rng = np.random.default_rng(stream if scale == "table" else (*stream, 1))
    record = record_table if scale == "table" else record_room
    recording, objects, nameless = record(rng, split, sensor, width, height)
    scene = recorded_scene(recording, objects, nameless, seed, sensor, scale)
    return replace(scene, instructions=tuple(write_instructions(scene, rng, split)))


@dataclass(frozen=True)
class Arrangement:
    """What stands where on and around a table, before it is seen."""

    camera: Camera
    table: Table
    placed: tuple[Placed, ...]
    room: tuple[Furniture, ...]


def arrange(rng: np.random.Generator, split: str, sensor: str, width: int, height: int) -> Arrangement:
    """Camera, table, objects and room; drawn again until one object (in "open": a held-out one) found its place."""
    while True:
        camera = draw_camera(rng, "realsense" if sensor == "lidar" else sensor, width, height)
        table = draw_table(rng, camera)
        recipe = draw_recipe(rng, split)
        layout = Layout(rng, camera, table.outline, recipe.spread * camera.distance)
        first: dict[str, int] = {}
        for category in recipe.categories:
            instance = int(rng.integers(_INSTANCES))
            if recipe.identical:  # mugs of one set
                instance = first.setdefault(category, instance)
            model = build(category, instance, split)
            if recipe.tower and layout.placed:
                layout.stack(model)
            else:
                layout.add(model)
        is_strange = any(CATEGORIES[p.model.category].held_out for p in layout.placed)
        if layout.placed and (is_strange or split != "open"):
            return Arrangement(camera, table, tuple(layout.placed), (*draw_room(rng, camera), *table.around))


def record_table(rng: np.random.Generator, split: str, sensor: str, width: int,
                 height: int) -> Recorded:  # fmt: skip
    """A tabletop as ``sensor`` records it."""
    arrangement = arrange(rng, split, sensor, width, height)
    camera, table, placed = arrangement.camera, arrangement.table, arrangement.placed
    shown: list[Thing] = [(p.mesh, p.model.surface) for p in placed]
    around = [(f.mesh, f.surface) for f in arrangement.room]
    things = [(table.mesh, table.surface), *shown, *around]
    if sensor == "lidar":
        recording = _scanned(things, camera, len(placed), rng)
    else:
        recording = by_camera(things, camera, sensor, rng)
    if rng.random() < 0.5:  # many recordings are cropped to the table and what stands on it
        recording = cropped(recording, 1 + len(placed))
    top = scene_object(GROUND, table.category, table.box, 0, "upright", table.material)
    return recording, [top, *map(describe, placed)], see_through(placed)


def stage_table(rng: np.random.Generator, split: str, sensor: str, width: int, height: int) -> Stage:
    """A tabletop in the level frame below the sensor."""
    arrangement = arrange(rng, split, sensor, width, height)
    table, placed = arrangement.table, arrangement.placed
    camera = arrangement.camera
    if sensor == "lidar":
        camera = replace(camera, above=camera.above * float(rng.uniform(0.5, 1.0)))
    return Stage(
        things=[
            (table.mesh, table.surface),
            *((p.mesh, p.model.surface) for p in placed),
            *((f.mesh, f.surface) for f in arrangement.room),
        ],
        objects=[
            scene_object(GROUND, table.category, table.box, 0, "upright", table.material),
            *map(describe, placed),
        ],
        nameless=see_through(placed),
        camera=camera,
        reach=float(rng.uniform(3, 8)),
    )


def _scanned(things: list[Thing], camera: Camera, objects: int, rng: np.random.Generator) -> Recording:
    """From about where the camera stands, or lower; again where the beams missed the objects, as a person would."""
    best: tuple[int, Recording] | None = None
    for _ in range(6):
        recording = by_lidar(things, camera.above * float(rng.uniform(0.1, 1.0)), rng, float(rng.uniform(3, 8)))
        shown = int(((recording.body > 0) & (recording.body <= objects)).sum())
        if best is None or shown > best[0]:
            best = shown, recording
        if shown > _ENOUGH * objects and len(recording.xyz) > _SPARSE:
            break
    assert best is not None
    return best[1]


def recorded_scene(
    recording: Recording, objects: Sequence[SceneObject], nameless: frozenset[int], seed: int, sensor: str, scale: str
) -> Scene:
    """What was recorded of a stage's objects, without instructions. nameless: ids whose colour has no name."""
    return Scene(
        xyz=recording.xyz,
        rgb=recording.rgb,
        instance=_instances(recording.body, len(objects)),
        width=recording.width,
        height=recording.height,
        objects=_seen(recording, objects, nameless),
        seed=seed,
        sensor=sensor,
        scale=scale,
        frame=recording.frame,
    )


def _instances(body: np.ndarray, count: int) -> np.ndarray:
    """Object ids from indices: the first ``count`` things are objects 1, 2, …; all behind them is background."""
    return np.where(body >= count, 0, body + 1).astype(np.int32)


def _seen(recording: Recording, objects: Sequence[SceneObject], nameless: frozenset[int]) -> tuple[SceneObject, ...]:
    """The first object and every other of which a point was measured, with colour and count."""
    points = np.bincount(recording.body[recording.body >= 0], minlength=len(objects))
    return tuple(
        replace(thing, points=int(points[index]), colour="" if thing.id in nameless else recording.colour(index))
        for index, thing in enumerate(objects)
        if index == 0 or points[index]
    )
