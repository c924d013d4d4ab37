"""Placing objects on a table: singles, stacks, things in bowls, things behind things; nothing floats or intersects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from segpoint_training.scenes.camera import Camera
from segpoint_training.scenes.model import Model
from segpoint_training.scenes.scene import GROUND
from segpoint_training.scenes.shapes import Mesh, rotation

_DIRECTIONS = 24
_ANGLES = np.arange(_DIRECTIONS) * (np.pi / _DIRECTIONS)
_AXES = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])  # (2, K)
_SLACK = 0.002  # footprints keep this far apart
# used from one side, which is −y in their own frames
FRONTED = ("laptop", "keyboard", "tablet", "clock", "radio", "speaker", "camera", "picture frame", "coffee machine")
_NEAREST = 0.45  # depth in metres below which the sensors see nothing


@dataclass(frozen=True)
class Placed:
    """A model in the level frame."""

    id: int
    model: Model
    mesh: Mesh
    yaw: float
    position: np.ndarray  # (3,) of the model's origin
    support: int
    leaning_on: int  # id, or 0
    low: np.ndarray = field(repr=False)  # (K,) extent of its footprint along each of _AXES
    high: np.ndarray = field(repr=False)

    @cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of its box along the level frame's axes."""
        return self.mesh.vertices.min(0), self.mesh.vertices.max(0)

    @property
    def pose(self) -> str:
        """As SceneObject.pose: what lies by itself stands where it leans."""
        return "upright" if self.leaning_on else self.model.pose


def place(model: Model, id: int, yaw: float, position: np.ndarray, support: int,
          leaning_on: int = 0, tilt: np.ndarray | None = None) -> Placed:  # fmt: skip
    """``model`` under ``tilt`` (3, 3), then turned by ``yaw`` radians, its origin at ``position`` (3,)."""
    turn = rotation(2, yaw) if tilt is None else rotation(2, yaw) @ tilt
    mesh = model.mesh.turned(turn, position)
    along = mesh.vertices[:, :2].astype(np.float64) @ _AXES
    low, high = along.min(0), along.max(0)
    return Placed(id, model, mesh, yaw, np.asarray(position, float), support, leaning_on, low, high)


def overlap(a: Placed, b: Placed) -> bool:
    """Whether two objects may intersect: their heights and footprints (outlines by 24 directions) both overlap."""
    if b.id in (a.support, a.leaning_on) or a.id in (b.support, b.leaning_on):
        return False
    (a_low, a_high), (b_low, b_high) = a.box, b.box
    if a_high[2] <= b_low[2] + 1e-4 or b_high[2] <= a_low[2] + 1e-4:
        return False
    return bool(np.all((a.low < b.high + _SLACK) & (b.low < a.high + _SLACK)))


def inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """(n,) whether points (n, 2) lie in a convex outline (k, 2), counter-clockwise."""
    edge = np.roll(outline, -1, 0) - outline
    offset = points[:, None] - outline
    return np.all(edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0] >= -1e-9, 1)


class Layout:
    """Objects placed so far. ``outline`` (k, 2) is the table top's, in the level frame."""

    def __init__(self, rng: np.random.Generator, camera: Camera, outline: np.ndarray, spread: float):
        self.rng, self.camera, self.outline, self.spread = rng, camera, outline, spread
        self.placed: list[Placed] = []

    def add(self, model: Model) -> bool:
        """Place ``model`` by the first way that fits it; False where it finds no room."""
        ways: list[tuple[Callable[[Model], Placed | None], float]] = [
            (self._in_bowl, 0.75 if max(np.ptp(model.mesh.vertices, axis=0)) < 0.12 else 0.0),
            (self._leaning, 0.5 if model.category == "book" else 0.1 if model.category == "box" else 0.0),
            (self._on_top, 0.35 if model.pose != "upright" or model.category in ("box", "book", "can") else 0.12),
            (self._behind, 0.25),
            (self._beside, 0.35),
        ]
        for way, probability in ways:
            if self.rng.random() < probability and self._accept(way(model)):
                return True
        return any(self._accept(self._free(model)) for _ in range(25))

    def stack(self, model: Model) -> bool:
        """Place ``model`` on top of the newest object, or as `add` would."""
        return any(self._accept(self._on_top(model, self.placed[-1])) for _ in range(6)) or self.add(model)

    def _accept(self, candidate: Placed | None) -> bool:
        if candidate is None:
            return False
        corners = candidate.mesh.vertices
        low, high = candidate.box
        hull = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
        if not inside(hull, self.outline).all():
            points = corners[:, :2].astype(np.float64)
            if not inside(points[:: max(1, len(points) // 60)], self.outline).all():
                return False
        depth = (corners - self.camera.position) @ self.camera.turn[:, 2]
        if depth.min() < _NEAREST or not self._in_view((low + high) / 2):
            return False
        if any(overlap(candidate, other) for other in self.placed):
            return False
        self.placed.append(candidate)
        return True

    def _in_view(self, centre: np.ndarray) -> bool:
        u, v, _ = self.camera.project(centre[None])[0]
        margin = 0.03 * self.camera.width
        within_u = margin < u < self.camera.width - margin
        return bool(within_u and margin < v < self.camera.height - margin)

    def _next_id(self) -> int:
        return GROUND + 1 + len(self.placed)

    def _yaw(self, model: Model) -> float:
        """Radians. Half of what has a front turns it to the camera, roughly; all else stands anyhow."""
        if model.category in FRONTED and self.rng.random() < 0.5:
            return float(self.rng.normal(-np.pi / 2, 0.5))
        return float(self.rng.uniform(0, 2 * np.pi))

    def _free(self, model: Model) -> Placed:
        """Anywhere around the point the camera looks at."""
        middle = np.array([self.camera.reach, 0.0])
        xy = middle + self.rng.normal(0, self.spread, 2) * (1.2, 1.0)
        return place(model, self._next_id(), self._yaw(model), np.append(xy, 0.0), GROUND)

    def _beside(self, model: Model) -> Placed | None:
        """Close to another object, often touching distance."""
        if not self.placed:
            return None
        other = self.placed[int(self.rng.integers(len(self.placed)))]
        low, high = other.box
        gap = 0.5 * float(np.hypot(*np.ptp(model.mesh.vertices[:, :2], axis=0)) + np.hypot(*(high - low)[:2]))
        angle, factor = self.rng.uniform(0, 2 * np.pi), self.rng.uniform(0.72, 1.2)
        offset = gap * factor * np.array([np.cos(angle), np.sin(angle)])
        xy = (low + high)[:2] / 2 + offset
        return place(model, self._next_id(), self._yaw(model), np.append(xy, 0.0), GROUND)

    def _behind(self, model: Model) -> Placed | None:
        """Along the camera's line of sight past another object, or short of it."""
        if not self.placed:
            return None
        other = self.placed[int(self.rng.integers(len(self.placed)))]
        middle = (other.box[0] + other.box[1])[:2] / 2
        away = middle / np.linalg.norm(middle)
        step = self.rng.uniform(0.08, 0.3) * self.rng.choice((1, 1, -1))
        xy = middle + away * step + np.array([-away[1], away[0]]) * self.rng.normal(0, 0.03)
        return place(model, self._next_id(), self._yaw(model), np.append(xy, 0.0), GROUND)

    def _on_top(self, model: Model, base: Placed | None = None) -> Placed | None:
        """Resting on a flat top, its middle well supported."""
        if base is None:
            bases = [p for p in self.placed if p.model.top is not None]
            base = bases[int(self.rng.integers(len(bases)))] if bases else None
        if base is None or base.model.top is None or model.category == "ball":
            return None
        height, outline = base.model.top
        span = np.abs(outline).max(0)
        spot = self.rng.uniform(-1, 1, 2) * span * (0.45 if not base.model.walled else 0.3)
        aligned = base.yaw + self.rng.choice((0, np.pi / 2, np.pi)) + self.rng.normal(0, 0.15)
        yaw = float(aligned) if self.rng.random() < 0.5 else self._yaw(model)
        foot = model.mesh.vertices[:, :2].astype(np.float64)
        if not base.model.walled:  # only what touches must be held, and at most a quarter may hang over
            foot = foot[model.mesh.vertices[:, 2] < 0.004] * 0.5
        feet = foot @ rotation(2, yaw - base.yaw)[:2, :2].T + spot
        if not inside(feet, outline).all():
            return None
        shift = rotation(2, base.yaw) @ np.append(spot, height)
        return place(model, self._next_id(), yaw, base.position + shift, base.id)

    def _in_bowl(self, model: Model) -> Placed | None:
        """Lowered into a bowl or pot until it touches the inside."""
        bowls = [p for p in self.placed if p.model.cavity is not None]
        if not bowls:
            return None
        bowl = bowls[int(self.rng.integers(len(bowls)))]
        profile = bowl.model.cavity
        assert profile is not None
        yaw = self._yaw(model)
        size = float(np.hypot(*np.ptp(model.mesh.vertices[:, :2], axis=0))) / 2
        room = profile[-1, 0] - size * 0.75
        if room <= 0:
            return None
        angle, away = self.rng.uniform(0, 2 * np.pi), room * self.rng.uniform(0, 0.8)
        spot = away * np.array([np.cos(angle), np.sin(angle)])
        vertices = model.mesh.vertices @ rotation(2, yaw).T
        radius = np.hypot(vertices[:, 0] + spot[0], vertices[:, 1] + spot[1])
        if radius.max() > profile[-1, 0]:
            return None
        lift = float(np.max(np.interp(radius, profile[:, 0], profile[:, 1]) - vertices[:, 2])) + 0.0005
        return place(model, self._next_id(), yaw, bowl.position + np.append(spot, lift), bowl.id)

    def _leaning(self, model: Model) -> Placed | None:
        """Standing slantwise against the side of a box."""
        boxes = [p for p in self.placed if p.model.category == "box" and p.support == GROUND]
        walls = [(p, p.model.top) for p in boxes if p.model.top is not None]
        if not walls:
            return None
        wall, (tall, outline) = walls[int(self.rng.integers(len(walls)))]
        half = np.abs(outline).max(0)
        length, width, thick = np.ptp(model.mesh.vertices, axis=0)
        if model.pose != "lying" or thick > 0.06 or min(half) * 2 < 0.03 or tall < 0.06:
            return None
        # stood on its edge: local x up, z (thickness) away from the wall
        slant = np.radians(self.rng.uniform(10, 30))
        contact = length * np.sin(slant) if length * np.cos(slant) <= tall else tall * np.tan(slant)
        upright = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # x → z, z → −x
        tilt = rotation(1, slant) @ upright
        base = tilt @ np.array([-length / 2, 0.0, 0.0])  # the edge it stands on goes to the floor
        side = int(self.rng.integers(4))
        reach = half[side % 2]
        foot = np.array([-(reach + contact + 0.001), self.rng.uniform(-0.3, 0.3) * half[(side + 1) % 2], 0.0]) - base
        yaw = wall.yaw + side * np.pi / 2
        position = wall.position + rotation(2, yaw) @ foot
        if abs(position[2] + (rotation(2, yaw) @ tilt @ model.mesh.vertices.T)[2].min()) > 0.003:
            return None
        return place(model, self._next_id(), yaw, position, GROUND, wall.id, tilt)
