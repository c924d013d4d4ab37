"""A tabletop scene from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segpoint.errors import SegPointError
from segpoint_training.scenes import colours
from segpoint_training.scenes.camera import Camera, draw_camera
from segpoint_training.scenes.layout import TABLE, Layout, Placed
from segpoint_training.scenes.objects import build
from segpoint_training.scenes.recipes import draw_recipe
from segpoint_training.scenes.render import View, render
from segpoint_training.scenes.room import Furniture, Table, draw_room, draw_table
from segpoint_training.scenes.scene import Scene, SceneObject
from segpoint_training.scenes.sensor import SENSORS, Measured, measure, photograph

SPLITS = ("train", "test")
_INSTANCES = 1_000_000  # object instances a family may draw from


def generate_scene(
    seed: int, split: str = "train", sensor: str = "kinect", width: int = 640, height: int = 480
) -> Scene:
    """One scene of 1–10 objects on a table as a depth camera sees it; the same arguments give the same bytes.

    ``split`` "test" draws object instances and profile variants that "train" never does. ``sensor`` is "kinect" or
    "realsense". Images smaller than 640×480 are that sensor's picture subsampled. Objects hidden completely are
    left out of ``Scene.objects``; those with few visible points stay in, with their count.
    Raises SegPointError for an unknown split or sensor.
    """
    if split not in SPLITS:
        raise SegPointError(f"split must be one of {SPLITS}, got {split!r}")
    if sensor not in SENSORS:
        raise SegPointError(f"sensor must be one of {SENSORS}, got {sensor!r}")
    rng = np.random.default_rng((seed, SPLITS.index(split), SENSORS.index(sensor)))
    arrangement = arrange(rng, split, sensor, width, height)
    camera, placed = arrangement.camera, arrangement.placed
    shown = [(p.mesh, p.model.surface) for p in placed]
    around = [(f.mesh, f.surface) for f in arrangement.room]
    view = render([(arrangement.table.mesh, arrangement.table.surface), *shown, *around], camera, rng)
    measured = measure(view, camera.focal, sensor, rng)
    picture = photograph(view, rng)
    if rng.random() < 0.5:  # many recordings are cropped to the table and what stands on it
        measured = _without_background(measured, 1 + len(placed))
    objects = _describe(arrangement, view, measured, picture)
    scene = Scene(
        xyz=(camera.rays() * measured.depth.reshape(-1, 1)).astype(np.float32),
        rgb=picture.reshape(-1, 3),
        instance=_instances(measured.body, len(placed)).reshape(-1),
        width=width,
        height=height,
        objects=objects,
        seed=seed,
        sensor=sensor,
    )
    return _with_instructions(scene, rng, split)


@dataclass(frozen=True)
class Arrangement:
    """What stands where, before it is seen."""

    camera: Camera
    table: Table
    placed: tuple[Placed, ...]
    room: tuple[Furniture, ...]


def arrange(rng: np.random.Generator, split: str, sensor: str, width: int, height: int) -> Arrangement:
    """Camera, table, objects and room; drawn again until at least one object found its place."""
    while True:
        camera = draw_camera(rng, sensor, width, height)
        table = draw_table(rng, camera)
        recipe = draw_recipe(rng)
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
        if layout.placed:
            return Arrangement(camera, table, tuple(layout.placed), tuple(draw_room(rng, camera)))


def _without_background(measured: Measured, count: int) -> Measured:
    """Only what hit one of the first ``count`` things: the table and the objects."""
    kept = (measured.body >= 0) & (measured.body < count)
    return Measured(np.where(kept, measured.depth, np.nan).astype(np.float32), np.where(kept, measured.body, -1))


def _instances(body: np.ndarray, objects: int) -> np.ndarray:
    """Thing 0 is the table, then come the objects; all behind them is background."""
    return np.where(body > objects, 0, body + 1).astype(np.int32)


def _describe(arrangement: Arrangement, view: View, measured: Measured, picture: np.ndarray) -> tuple[SceneObject, ...]:
    """The table and every object of which at least one point was measured."""
    table, placed = arrangement.table, arrangement.placed
    points = np.bincount(measured.body[measured.body >= 0], minlength=len(placed) + 1)
    colour = _colour(0, view, picture)
    objects = [_object(TABLE, "table", table.box, points[0], colour, 0, "upright", table.material, False)]
    for index, thing in enumerate(placed, start=1):
        if points[index]:
            model = thing.model
            colour = "" if model.clear else _colour(index, view, picture)
            objects.append(_object(thing.id, model.category, thing.box, points[index], colour, thing.support,
                                   thing.pose, model.material, model.printed))  # fmt: skip
    return tuple(objects)


def _object(id: int, category: str, box: tuple[np.ndarray, np.ndarray], points: int, colour: str, support: int,
            pose: str, material: str, is_printed: bool) -> SceneObject:  # fmt: skip
    centre, size = (box[0] + box[1]) / 2, box[1] - box[0]
    return SceneObject(
        id=id,
        category=category,
        colour=colour,
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        size=(float(size[0]), float(size[1]), float(size[2])),
        pose=pose,
        support=support,
        points=int(points),
        material=material,
        printed=is_printed,
    )


def _colour(index: int, view: View, picture: np.ndarray) -> str:
    """The name for what is seen of thing ``index``, from a sample of its pixels."""
    pixels = np.flatnonzero(view.body.reshape(-1) == index)
    if len(pixels) == 0:
        return ""
    pixels = pixels[:: max(1, len(pixels) // 1500)]
    seen = picture.reshape(-1, 3)[pixels].astype(np.float32) / 255
    return colours.dominant_name(view.albedo.reshape(-1, 3)[pixels], seen)


def _with_instructions(scene: Scene, rng: np.random.Generator, split: str) -> Scene:
    try:
        from segpoint_training.scenes.instructions import write_instructions
    except ImportError:
        return scene
    return replace(scene, instructions=tuple(write_instructions(scene, rng, split)))
