"""A generated scene that waits to be seen from anywhere, and the path that its sensor takes.

All is in the map's axes: the level frame of the place from which the still scene of the same seed would be seen (z up,
the ground at z = 0). Around a table the sensor goes on an arc of 20 to 40 degrees and 10 cm up and down, looking at
the same point; in a room it walks up to 1.2 m. How far is our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from segpoint_training.scenes.camera import Camera
from segpoint_training.scenes.render import Thing
from segpoint_training.scenes.scene import GROUND, SceneObject
from segpoint_training.scenes.shapes import rotation

_SWEEP = (20.0, 40.0)  # degrees
_LIFT = 0.05  # metres up, and down
_WALKS = (1.2, 0.8, 0.4)  # metres, the longest that is free
_BOB, _GLANCE = 0.02, np.radians(6.0)  # of who walks: metres up and down, radians to either side


@dataclass(frozen=True)
class Standpoint:
    """Where a sensor is: position (3,), heading (radians from x to y), and how far it looks down from ``Stage.camera``,
    radians."""

    position: np.ndarray
    heading: float
    pitch: float = 0.0

    @property
    def level(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and shift (3,) from the map to the level frame below this place, as SceneObject has it."""
        turn = rotation(2, -self.heading)
        return turn, -turn @ (self.position * (1, 1, 0))


@dataclass(frozen=True)
class PlacedCamera(Camera):
    """A camera that does not stand over the origin; ``turn`` and ``position`` are in the map."""

    aside: tuple[float, float] = (0.0, 0.0)

    @property
    def position(self) -> np.ndarray:
        return np.array([*self.aside, self.above])


@dataclass(frozen=True)
class Stage:
    """What is there. The first ``things`` are the objects, in their order.

    casting: as `render` has it.   nameless: ids of objects whose colour has no name.   camera: at the map's origin,
    looking along x; of a LiDAR its height counts alone.   reach: of a LiDAR, metres.   free: whether a sensor can be at
    a place (3,).
    """

    things: Sequence[Thing]
    objects: Sequence[SceneObject]
    nameless: frozenset[int]
    camera: Camera
    casting: Sequence[Thing] | None = None
    reach: float = 8.0
    free: Callable[[np.ndarray], bool] | None = None

    def path(self, rng: np.random.Generator, count: int) -> list[Standpoint]:
        """``count`` places, evenly in time: an arc, or where not every place is free a walk."""
        time = np.linspace(0, 1, count)
        return self._arc(rng, time) if self.free is None else self._walk(rng, time)

    def camera_at(self, place: Standpoint) -> PlacedCamera:
        """The stage's camera at a place."""
        c = self.camera
        turn = rotation(2, place.heading) @ rotation(1, place.pitch) @ c.turn
        x, y, above = place.position.tolist()
        return PlacedCamera(c.width, c.height, c.focal, turn, above, c.distance, c.reach, c.floor, (x, y))

    def objects_at(self, place: Standpoint) -> list[SceneObject]:
        """The objects in the level frame of a place; of the ground the box of its box."""
        turn, shift = place.level
        moved = []
        for (mesh, _), thing in zip(self.things, self.objects, strict=False):
            points = _corners(thing) if thing.id == GROUND else mesh.vertices
            turned = points @ turn.T + shift
            low, high = turned.min(0), turned.max(0)
            centre, size = ((low + high) / 2).tolist(), (high - low).tolist()
            moved.append(replace(thing, centre=(*centre,), size=(*size,)))
        return moved

    def _arc(self, rng: np.random.Generator, time: np.ndarray) -> list[Standpoint]:
        sweep = np.radians(rng.uniform(*_SWEEP)) * rng.choice((-1, 1))
        above, reach = self.camera.above, self.camera.reach
        angles = sweep * -np.cos(np.pi * time) / 2  # begins and ends slowly
        heights = above + min(_LIFT, 0.3 * above) * np.sin(2 * np.pi * time)
        pitches = np.arctan2(heights, reach) - np.arctan2(above, reach)
        return [
            Standpoint(np.array([reach - reach * np.cos(a), -reach * np.sin(a), z]), float(a), float(p))
            for a, z, p in zip(angles, heights, pitches, strict=True)
        ]

    def _walk(self, rng: np.random.Generator, time: np.ndarray) -> list[Standpoint]:
        start = np.array([0.0, 0.0, self.camera.above])
        eased = (1 - np.cos(np.pi * time)) / 2
        step = self._free_walk(rng, start, eased)
        looked_at = np.array([self.camera.reach, 0.0])
        places = []
        for t, along in zip(time, eased, strict=True):
            position = start + along * step + (0, 0, _BOB * np.sin(4 * np.pi * t))
            offset = looked_at - position[:2]
            heading = np.arctan2(offset[1], offset[0]) + _GLANCE * np.sin(2 * np.pi * t)
            places.append(Standpoint(position, float(heading)))
        return places

    def _free_walk(self, rng: np.random.Generator, start: np.ndarray, along: np.ndarray) -> np.ndarray:
        """(3,) the way from the start; nothing where no way is free."""
        headings = rng.uniform(-np.pi, np.pi, 12)
        for length in _WALKS:
            for heading in headings:
                step = length * np.array([np.cos(heading), np.sin(heading), 0.0])
                if self.free is None or all(self.free(start + a * step) for a in along):
                    return step
        return np.zeros(3)


def _corners(thing: SceneObject) -> np.ndarray:
    signs = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return np.array(thing.centre) + signs * thing.size
