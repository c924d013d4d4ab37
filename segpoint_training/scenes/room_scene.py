"""A furnished room as one sensor records it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segpoint_training.scenes.camera import Camera, draw_camera
from segpoint_training.scenes.layout import Placed
from segpoint_training.scenes.maps import by_mapping
from segpoint_training.scenes.recording import Recording, by_camera, by_lidar
from segpoint_training.scenes.render import Thing, World
from segpoint_training.scenes.rooms import Room, furnish
from segpoint_training.scenes.scene import GROUND, SceneObject
from segpoint_training.scenes.shapes import Mesh, rotation
from segpoint_training.scenes.stage import Stage
from segpoint_training.scenes.standing import Recorded, box_of, describe, scene_object, see_through

_STANDS = 14  # places a viewer may take that are compared
_EYE, _MOUNTED = (1.0, 1.8), (0.25, 1.6)  # metres over the floor, of cameras and of LiDARs
_CLOSE = 0.9  # metres to what stands in the way
_WALL = 0.12  # metres that are kept to the walls
_SEEN = 20  # points of an object that has been seen
_Located = tuple[Recording, np.ndarray, np.ndarray]  # with rotation and shift from the room's frame to the scene's


@dataclass(frozen=True)
class _Stand:
    """Where a sensor stands in a room and which way it looks."""

    position: np.ndarray  # (3,)
    heading: float  # radians


def record_room(rng: np.random.Generator, split: str, sensor: str, width: int,
                height: int) -> Recorded:  # fmt: skip
    """A room as ``sensor`` records it; floor and walls come first, then what is placed."""
    room = furnish(rng, split)
    if sensor == "map":
        recording, turn, shift = _mapped(rng, room)
    elif sensor == "lidar":
        recording, turn, shift = _scanned(rng, room)
    else:
        camera, stand = _looking(rng, room, draw_camera(rng, sensor, width, height))
        turn, shift = _level(stand)
        things = _things(room, turn, shift)
        recording = by_camera(things, camera, sensor, rng, _casting(room, things))
    return recording, _objects(room, turn, shift), see_through(room.placed)


def stage_room(rng: np.random.Generator, split: str, sensor: str, width: int, height: int) -> Stage:
    """A room in the level frame of the place from which a camera or a LiDAR first sees it."""
    room = furnish(rng, split)
    if sensor == "lidar":
        spot = _free_spot(rng, room, _MOUNTED)
        stand = _Stand(spot, float(np.arctan2(-spot[1], -spot[0]) + rng.normal(0, 0.5)))
        camera = _posed(rng, draw_camera(rng, "realsense", width, height), float(spot[2]), 0.0)
    else:
        camera, stand = _looking(rng, room, draw_camera(rng, sensor, width, height))
    turn, shift = _level(stand)
    half = np.array([room.shell.length, room.shell.width]) / 2 - _WALL

    def free(place: np.ndarray) -> bool:
        spot = turn.T @ (place - shift)
        return bool((np.abs(spot[:2]) < half).all()) and not any(_blocks(p, spot) for p in room.placed)

    things = _things(room, turn, shift)
    return Stage(
        things=things,
        objects=_objects(room, turn, shift),
        nameless=see_through(room.placed),
        camera=camera,
        casting=_casting(room, things),
        reach=float(rng.uniform(8, 30)),
        free=free,
    )


def _mapped(rng: np.random.Generator, room: Room) -> _Located:
    """From several places, in axes of the map's own."""
    turn = rotation(2, float(rng.uniform(0, 2 * np.pi)) if rng.random() < 0.6 else 0.0)
    shift = rng.normal(0, 3.0, 3) * (1, 1, 0.3)
    things = _things(room, np.eye(3), np.zeros(3))
    stands = np.stack([_free_spot(rng, room, _EYE) for _ in range(int(rng.integers(4, 10)))])
    count = 1 + len(room.shell.walls) + len(room.placed)
    return by_mapping(things, count, _casting(room, things), stands, turn, shift, rng), turn, shift


def _scanned(rng: np.random.Generator, room: Room) -> _Located:
    """By a LiDAR somewhere in the room; again where its beams missed the floor or nearly everything else."""
    best: tuple[float, _Located] | None = None
    for _ in range(4):
        spot = _free_spot(rng, room, _MOUNTED)
        # a sensor with a window looks into the room, roughly
        turn, shift = _level(_Stand(spot, float(np.arctan2(-spot[1], -spot[0]) + rng.normal(0, 0.5))))
        recording = by_lidar(_things(room, turn, shift), float(spot[2]), rng, float(rng.uniform(8, 30)))
        points = np.bincount(recording.body, minlength=1)
        share = float((points[1 : 1 + len(room.shell.walls) + len(room.placed)] > _SEEN).mean())
        quality = share if points[0] > 10 * _SEEN else share - 1
        if best is None or quality > best[0]:
            best = quality, (recording, turn, shift)
        if quality > 0.3:
            break
    assert best is not None
    return best[1]


def _level(stand: _Stand) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and shift into the level frame: the sensor above the origin, looking along x."""
    turn = rotation(2, -stand.heading)
    return turn, -turn @ (stand.position * (1, 1, 0))


def _things(room: Room, turn: np.ndarray, shift: np.ndarray) -> list[Thing]:
    """Floor, walls, what is placed, then what is no object, under x ↦ turn·x + shift."""
    shell = room.shell
    all_of_it = [shell.floor, *shell.walls, *((p.mesh, p.model.surface) for p in room.placed), *shell.beyond]
    return [(mesh.turned(turn, shift), surface) for mesh, surface in all_of_it]


def _casting(room: Room, things: list[Thing]) -> list[Thing]:
    """Floor and furniture: the lamps hang between the walls."""
    first = 1 + len(room.shell.walls)
    return [things[0], *things[first : first + len(room.placed)]]


def _objects(room: Room, turn: np.ndarray, shift: np.ndarray) -> list[SceneObject]:
    def moved(mesh: Mesh) -> Mesh:
        return mesh.turned(turn, shift)

    shell = room.shell
    objects = [scene_object(GROUND, "floor", box_of(moved(shell.floor[0])), 0, "lying")]
    objects += [
        scene_object(GROUND + 1 + number, "wall", box_of(moved(mesh)), 0, "upright")
        for number, (mesh, _) in enumerate(shell.walls)
    ]
    return objects + [describe(p, box_of(moved(p.mesh))) for p in room.placed]


def _free_spot(rng: np.random.Generator, room: Room, heights: tuple[float, float]) -> np.ndarray:
    """(3,) a point in the room that is not in or over furniture."""
    half = np.array([room.shell.length, room.shell.width]) / 2 - _WALL
    spot = np.zeros(3)
    for _ in range(60):
        spot = np.append(rng.uniform(-half, half), rng.uniform(*heights))
        if not any(_blocks(p, spot) for p in room.placed):
            break
    return spot


def _blocks(thing: Placed, spot: np.ndarray) -> bool:
    low, high = thing.box
    margin = np.array([0.2, 0.2, 0.35])
    return bool((spot > low - margin).all() and (spot < high + margin).all())


def _looking(rng: np.random.Generator, room: Room, lens: Camera) -> tuple[Camera, _Stand]:
    """The camera where, of some places drawn, it has most things in view, seen from as it is carried or held."""
    best: tuple[float, Camera, _Stand] | None = None
    things = _things(room, np.eye(3), np.zeros(3))
    world, first = World(things), 1 + len(room.shell.walls)
    weight = np.zeros(len(things) + 1)
    weight[first : first + len(room.placed)] = [1.0 if p.support <= first else 0.5 for p in room.placed]
    middles = np.array([(p.box[0] + p.box[1]) / 2 for p in room.placed])
    glance = _glance(lens)
    for _ in range(_STANDS):
        spot = _free_spot(rng, room, _EYE)
        offset = middles[int(rng.integers(len(middles)))] - spot
        heading = float(np.arctan2(offset[1], offset[0]) + rng.normal(0, 0.2))
        pitch = float(np.clip(np.arctan2(-offset[2], np.hypot(*offset[:2])) + rng.normal(0, 0.1), 0.0, 0.75))
        camera = _posed(rng, lens, float(spot[2]), pitch)
        hits = world.cast(spot, glance @ (rotation(2, heading) @ camera.turn).T)
        near = float((hits.distance < _CLOSE).mean()) if len(hits.ray) else 1.0
        score = float(weight[np.unique(hits.body)].sum()) + float(rng.uniform(0, 1.5)) - 10 * max(near - 0.2, 0)
        if best is None or score > best[0]:
            best = score, camera, _Stand(spot, heading)
    assert best is not None
    return best[1], best[2]


def _glance(lens: Camera) -> np.ndarray:
    """(n, 3) a few directions spread over the picture, optical frame, z = 1."""
    v, u = np.mgrid[-0.45:0.45:18j, -0.45:0.45:24j].reshape(2, -1)
    return np.stack([u * lens.width / lens.focal, v * lens.height / lens.focal, np.ones_like(u)], 1)


def _posed(rng: np.random.Generator, lens: Camera, above: float, pitch: float) -> Camera:
    forward = np.array([np.cos(pitch), 0.0, -np.sin(pitch)])
    right = np.array([0.0, -1.0, 0.0])
    roll = np.radians(np.clip(rng.normal(0, 1.5), -5, 5))
    turn = np.stack([right, np.cross(forward, right), forward], 1) @ rotation(2, roll)
    return replace(lens, turn=turn, above=above, distance=2.5, reach=2.5 * float(np.cos(pitch)), floor=0.0)
