"""Placing furniture and small things in a room: along walls, at tables, on shelves; nothing floats or intersects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from segpoint_training.scenes.layout import Placed, inside, overlap, place
from segpoint_training.scenes.model import Model
from segpoint_training.scenes.render import World
from segpoint_training.scenes.scene import GROUND
from segpoint_training.scenes.shapes import Mesh, rotation
from segpoint_training.scenes.shell import Shell, outward
from segpoint_training.scenes.surfaces import Surface, plain

_PART_OF_BUILDING = 0
# Open frames: others may reach between their legs, so their outlines say too little.
_OPEN = ("chair", "stool", "bench", "table", "desk", "coffee table", "piano", "armchair", "wheelchair", "lamp", "plant",
         "sink")  # fmt: skip
_BACKED = ("chair", "armchair", "sofa", "bed", "bench")  # something rises beside their tops
_NOTHING = Surface((plain((0.0, 0.0, 0.0)),))


def intersects(a: Mesh, b: Mesh) -> bool:
    """Whether an edge of one passes through a face of the other."""
    return _pierces(a, b) or _pierces(b, a)


def _pierces(a: Mesh, b: Mesh) -> bool:
    near_a, near_b = (_faces_within(one, other) for one, other in ((a, b), (b, a)))
    if len(near_a) == 0 or len(near_b) == 0:
        return False
    corners = a.vertices[near_a]
    start = corners.reshape(-1, 3)
    along = corners[:, [1, 2, 0]].reshape(-1, 3) - start
    kept = np.abs(along).max(1) > 1e-6
    part = replace(b, faces=near_b, part=np.zeros(len(near_b), np.int32))
    return bool(World([(part, _NOTHING)]).blocked(start[kept], along[kept], 1.0).any())


def _faces_within(mesh: Mesh, other: Mesh) -> np.ndarray:
    """(f, 3) the faces of ``mesh`` that reach into the other's box."""
    low, high = other.vertices.min(0), other.vertices.max(0)
    beyond = ((mesh.vertices < low) * np.array([1, 2, 4])).sum(1), ((mesh.vertices > high) * np.array([1, 2, 4])).sum(1)
    outside = [np.bitwise_and.reduce(side.astype(np.int8)[mesh.faces], 1) for side in beyond]
    return mesh.faces[(outside[0] | outside[1]) == 0]


class RoomLayout:
    """What stands in a room so far, in the shell's frame. ``placed`` carry ids after floor and walls."""

    def __init__(self, rng: np.random.Generator, shell: Shell):
        self.rng, self.shell = rng, shell
        self.placed: list[Placed] = []

    @property
    def next_id(self) -> int:
        """Of what is placed next."""
        return GROUND + 1 + len(self.shell.walls) + len(self.placed)

    def of(self, *categories: str) -> list[Placed]:
        """What has been placed of these categories."""
        return [p for p in self.placed if p.model.category in categories]

    def add(self, draw: Callable[[], Placed | None], tries: int = 12) -> Placed | None:
        """The first of ``tries`` candidates that fits, placed; None where none does."""
        for _ in range(tries):
            candidate = draw()
            if candidate is not None and (fitting := self._fitted(candidate)) is not None:
                self.placed.append(fitting)
                return fitting
        return None

    def hang(self, leaf: Model, opening_side: int, middle: float, width: float) -> None:
        """A door leaf in its opening, closed or ajar into the room."""
        turn = 0.0 if self.rng.random() < 0.6 else float(self.rng.uniform(0.3, 1.4))
        yaw = opening_side * np.pi / 2 - np.pi / 2
        hinge = np.array([-width / 2, 0.0, 0.0])
        swing = yaw - turn
        centre = np.append(self.at_wall(opening_side, middle, -0.06), 0.0)
        position = centre + rotation(2, yaw) @ hinge - rotation(2, swing) @ hinge
        self.placed.append(place(leaf, self.next_id, swing, position, _PART_OF_BUILDING))

    def at_wall(self, side: int, along: float, off: float) -> np.ndarray:
        """(2,) point ``along`` the wall of ``side`` from its middle and ``off`` metres from it into the room."""
        out = outward(side)
        return out * (self.shell.distance(side) - off) + along * np.array([-out[1], out[0]])

    def against(self, model: Model, sides: tuple[int, ...] | None = None, along: float | None = None) -> Placed:
        """Its back to a wall (any of ``sides``), ``along`` metres from the wall's middle (anywhere by default)."""
        side = int(self.rng.choice(sides or self.shell.sides))
        vertices = model.mesh.vertices
        room = max(self.shell.span(side) / 2 - float(np.abs(vertices[:, 0]).max()) - 0.02, 0.0)
        if along is None:
            along = room * float(self.rng.uniform(-1, 1) if self.rng.random() < 0.6 else self.rng.choice((-1, 1)))
        gap = float(self.rng.uniform(0.005, 0.05))
        spot = self.at_wall(side, float(np.clip(along, -room, room)), float(vertices[:, 1].max()) + gap)
        return place(model, self.next_id, side * np.pi / 2 - np.pi / 2, np.append(spot, 0.0), GROUND)

    def side_of(self, thing: Placed) -> int:
        """The side its back looks to."""
        return int(np.round((thing.yaw + np.pi / 2) / (np.pi / 2))) % 4

    def beside(self, model: Model, other: Placed, hand: int) -> Placed:
        """Against the same wall, to the other's left (hand −1, seen from its front) or right."""
        side = self.side_of(other)
        out = outward(side)
        tangent = np.array([-out[1], out[0]])
        widths = np.ptp(model.mesh.vertices[:, 0]) / 2 + np.ptp(other.model.mesh.vertices[:, 0]) / 2
        along = float(other.position[:2] @ tangent) + hand * (widths + self.rng.uniform(0.03, 0.12))
        return self.against(model, (side,), along)

    def before(self, model: Model, other: Placed, gap: float, aside: float) -> Placed:
        """In front of another, turned as it is, ``gap`` metres off and ``aside`` metres from its middle."""
        return self.at_side(model, other, 3, gap, aside, facing=False)

    def at_side(self, model: Model, other: Placed, side: int, gap: float, aside: float,
                facing: bool = True, swivel: float = 0.0) -> Placed:  # fmt: skip
        """At one of the four sides of another (0: its +x …, 3: its front), its front to it where ``facing``.

        ``gap``: metres between them, negative where it reaches under the other; ``aside``: metres along the side from
        its middle; ``swivel``: radians that it is turned from there.
        """
        box = other.model.mesh.vertices
        out = outward(side)
        reach = float((box[:, :2] @ out).max())
        depth = -float(model.mesh.vertices[:, 1].min()) if facing else float(np.ptp(model.mesh.vertices[:, 1])) / 2
        local = out * (reach + gap + depth) + aside * np.array([-out[1], out[0]])
        yaw = other.yaw + ((side * np.pi / 2 - np.pi / 2) if facing else 0.0) + swivel
        position = other.position + rotation(2, other.yaw) @ np.append(local, 0.0)
        return place(model, self.next_id, yaw, position * (1, 1, 0), GROUND)

    def free(self, model: Model, yaw: float | None = None) -> Placed:
        """Anywhere on the floor, turned by ``yaw`` radians or, without, anyhow."""
        half = np.array([self.shell.length, self.shell.width]) / 2 - 0.1
        spot = self.rng.uniform(-half, half)
        turn = float(self.rng.uniform(0, 2 * np.pi)) if yaw is None else yaw
        return place(model, self.next_id, turn, np.append(spot, 0.0), GROUND)

    def corner(self, model: Model) -> Placed:
        """Near a corner of the room."""
        half = np.array([self.shell.length, self.shell.width]) / 2
        reach = float(np.hypot(model.mesh.vertices[:, 0], model.mesh.vertices[:, 1]).max())
        spot = (half - reach - self.rng.uniform(0.03, 0.15, 2)) * self.rng.choice((-1, 1), 2)
        return place(model, self.next_id, float(self.rng.uniform(0, 2 * np.pi)), np.append(spot, 0.0), GROUND)

    def on(self, model: Model, base: Placed, facing: bool = False) -> Placed | None:
        """Resting on another's top, wholly or nearly; its back where the base's is, where ``facing``."""
        if base.model.top is None:
            return None
        height, outline = base.model.top
        low, high = outline.min(0), outline.max(0)
        spot = self.rng.uniform(low, high)
        yaw = base.yaw + (float(self.rng.normal(0, 0.1)) if facing else float(self.rng.uniform(0, 2 * np.pi)))
        return self._resting(model, base, spot, yaw, height, outline)

    def amid(self, model: Model, base: Placed) -> Placed | None:
        """In the middle of another's top, facing as it does: a television."""
        if base.model.top is None:
            return None
        height, outline = base.model.top
        spot = outline.mean(0) + (self.rng.uniform(-0.05, 0.05), 0.0)
        return self._resting(model, base, spot, base.yaw, height, outline)

    def _resting(self, model: Model, base: Placed, spot: np.ndarray, yaw: float, height: float,
                 outline: np.ndarray) -> Placed | None:  # fmt: skip
        vertices = model.mesh.vertices
        feet = vertices[vertices[:, 2] < 0.006, :2].astype(float)
        if not inside(feet @ rotation(2, yaw - base.yaw)[:2, :2].T + spot, outline).all():
            return None
        position = base.position + rotation(2, base.yaw) @ np.append(spot, height)
        candidate = place(model, self.next_id, yaw, position, base.id)
        if base.model.category in _BACKED and intersects(candidate.mesh.moved(z=0.01), base.mesh):
            return None
        return candidate

    def fill_shelf(self, base: Placed, shelf: int, draw: Callable[[], Model], count: int) -> None:
        """Books in a row from one end of a shelf, spines to the front."""
        height, clearance, outline = base.model.shelves[shelf]
        low, high = outline.min(0), outline.max(0)
        at = float(low[0] + self.rng.uniform(0, 0.4) * (high[0] - low[0]))
        for _ in range(count):
            model = draw()
            length, deep, tall = np.ptp(model.mesh.vertices, axis=0)
            if tall > clearance or deep > high[1] - low[1] or at + length > high[0]:
                return
            local = (at + length / 2, float(low[1] + deep / 2 + self.rng.uniform(0.0, 0.02)), height)
            position = base.position + rotation(2, base.yaw) @ np.array(local)
            self.add(partial(place, model, self.next_id, base.yaw, position, base.id), 1)
            at += length + float(self.rng.uniform(0.0005, 0.004))

    def in_shelf(self, model: Model, base: Placed, shelf: int) -> Placed | None:
        """Standing in a shelf where it fits."""
        height, clearance, outline = base.model.shelves[shelf]
        if float(model.mesh.vertices[:, 2].max()) > clearance - 0.01:
            return None
        low, high = outline.min(0), outline.max(0)
        half = np.ptp(model.mesh.vertices[:, :2], axis=0) / 2
        if (high - low < 2 * half).any():
            return None
        spot = self.rng.uniform(low + half, high - half)
        position = base.position + rotation(2, base.yaw) @ np.append(spot, height)
        candidate = place(model, self.next_id, base.yaw, position, base.id)
        local = (candidate.mesh.vertices[:, :2] - base.position[:2]) @ rotation(2, base.yaw)[:2, :2]
        return candidate if inside(local[:: max(1, len(local) // 60)], outline).all() else None

    def _fitted(self, candidate: Placed) -> Placed | None:
        """The candidate, raised onto the rug it may stand on; None where it has no place."""
        low, high = candidate.box
        half = np.array([self.shell.length, self.shell.width]) / 2 + 1e-3
        if (low[:2] < -half).any() or (high[:2] > half).any() or high[2] > self.shell.height - 0.02:
            return None
        if candidate.support == GROUND:
            if not self._is_clear(candidate):
                return None
            if candidate.model.category != "rug":
                raised = self._on_rug(candidate)
                if raised is None:
                    return None
                candidate = raised
        return None if any(self._collide(candidate, other) for other in self.placed) else candidate

    def _is_clear(self, candidate: Placed) -> bool:
        """Whether doorways stay free, and windows of what is tall."""
        low, high = candidate.box
        for hole in self.shell.openings:
            if high[2] <= hole.low + 0.15 or candidate.model.category == "rug":
                continue
            deep = 0.75 if hole.low == 0 else 0.3
            a, b = (self.at_wall(hole.side, u, off) for u, off in ((hole.start, 0.0), (hole.end, deep)))
            near, far = np.minimum(a, b), np.maximum(a, b)
            if (low[:2] < far).all() and (high[:2] > near).all():
                return False
        return True

    def _on_rug(self, candidate: Placed) -> Placed | None:
        for rug in self.of("rug"):
            if not np.all((candidate.low < rug.high) & (rug.low < candidate.high)):
                continue
            assert rug.model.top is not None
            feet = candidate.mesh.vertices[:, :2].astype(float) - rug.position[:2]
            if not inside(feet @ rotation(2, rug.yaw)[:2, :2], rug.model.top[1]).all():
                return None
            raised = candidate.position + (0.0, 0.0, rug.model.top[0])
            return place(candidate.model, candidate.id, candidate.yaw, raised, rug.id)
        return candidate

    def _collide(self, a: Placed, b: Placed) -> bool:
        if not overlap(a, b):
            return False
        if a.model.category in _OPEN or b.model.category in _OPEN:
            return intersects(a.mesh, b.mesh)
        return True
