"""What a LiDAR makes of things: sparse points along its beams, with no colour.

Spinning: 16–128 rings, each a cone about the sensor's axis, all round. Solid state: one window ahead (or a dome all
round) which the beam fills with a rosette that never repeats. The ranges are ours, about the spread between models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segpoint_training.scenes.render import Hits, Thing, World
from segpoint_training.scenes.shapes import rotation

FEWEST, MOST = 10_000, 120_000  # points a scan aims at
_PROBE = 1500  # beams that tell what share comes back
_SPINNING = {16: ((-15, 15),), 32: ((-25, 15), (-16, 16)), 64: ((-25, 3), (-22.5, 22.5), (-45, 45)),
             128: ((-22.5, 22.5), (-45, 45))}  # rings: fields of view, lowest and highest ring in degrees  # fmt: skip


Pattern = Callable[[int], np.ndarray]  # number of beams → about so many unit directions (m, 3), in firing order


@dataclass(frozen=True)
class LidarScan:
    """The answers of one scan."""

    xyz: np.ndarray  # (M, 3) float32 metres; origin at the sensor, x forward, y left, z up
    body: np.ndarray  # (M,) int32 index of the thing each point was measured on, never −1


@dataclass(frozen=True)
class _Device:
    noise: float  # metres, one standard deviation of range near by
    step: float  # metres of range
    widening: float  # radians of beam
    mixing: float  # share of beams split by an edge that answer with a range between
    sensitivity: float  # metres at which half of the answers of a mid-grey surface come back
    lost: float  # share of answers lost for no reason seen
    nearest: float  # metres
    reach: float  # metres


def scan(things: Sequence[Thing], origin: Sequence[float] | np.ndarray, rng: np.random.Generator,
         reach: float = 30.0) -> LidarScan:  # fmt: skip
    """One scan of ``things`` from ``origin`` (3,) in their level frame (metres, z up), up to ``reach`` metres.

    The sensor stands upright and looks along x; its axes are the level frame's. The beams may lean by a degree or
    two, as sensors are never mounted quite straight. Only answers are returned, in the order the beams were fired.
    """
    world, origin = World(things), np.asarray(origin, float)
    u = rng.uniform
    device = _Device(noise=u(0.005, 0.025), step=float(rng.choice((0.001, 0.002, 0.004))), widening=u(0.001, 0.003),
                     mixing=u(0.1, 0.8), sensitivity=reach * u(1.0, 3.0), lost=u(0, 0.03), nearest=u(0.1, 0.4),
                     reach=reach)  # fmt: skip
    lean = rotation(0, np.radians(rng.normal(0, 0.7))) @ rotation(1, np.radians(rng.normal(0, 0.7)))
    pattern = _draw_pattern(rng)
    probe = world.cast(origin, pattern(_PROBE) @ lean.T)
    share = float((probe.distance < reach).mean()) * len(probe.ray) / _PROBE if len(probe.ray) else 0.0
    wanted = np.exp(u(np.log(1.2 * FEWEST), np.log(0.95 * MOST)))
    directions = pattern(int(min(wanted / max(share, 0.1), 2.5 * MOST))) @ lean.T
    hits = world.cast(origin, directions)
    distance = _ranged(world, origin, directions, hits, device, rng)
    answers = np.flatnonzero(_answered(hits, distance, device, rng))[:MOST]
    xyz = directions[hits.ray[answers]] * distance[answers, None]
    return LidarScan(xyz.astype(np.float32), hits.body[answers])


def _draw_pattern(rng: np.random.Generator) -> Pattern:
    kind = rng.choice(("spinning", "window", "dome"), p=(0.6, 0.2, 0.2))
    if kind == "spinning":
        rings = int(rng.choice(list(_SPINNING)))
        views = _SPINNING[rings]
        low, high = views[int(rng.integers(len(views)))]
        return spinning(rings, low, high, float(rng.uniform(0, 2 * np.pi)))
    if kind == "window":
        half = np.radians((rng.uniform(19, 60), rng.uniform(12, 38)))
        return rosette(-half[0], half[0], -half[1], half[1], rng.uniform(2.1, 9.7))
    # domes see 7° past the horizon on one side and 52° on the other; hung upside down, as here, they see the floor
    return rosette(-np.pi, np.pi, np.radians(-52), np.radians(7), rng.uniform(2.1, 9.7))


def spinning(rings: int, low: float, high: float, start: float = 0.0) -> Pattern:
    """``rings`` beams one above the other, from ``low`` to ``high`` degrees, turned once round from ``start`` (rad)."""
    elevation = np.radians(np.linspace(low, high, rings))

    def directions(count: int) -> np.ndarray:
        steps = max(count // rings, 8)
        azimuth = start - np.arange(steps) * (2 * np.pi / steps)
        return _unit(np.repeat(azimuth, rings), np.tile(elevation, steps))

    return directions


def rosette(left: float, right: float, low: float, high: float, turns: float) -> Pattern:
    """A beam that swings across a window (radians) at two rates without a common measure, so it never repeats."""

    def directions(count: int) -> np.ndarray:
        phase = np.arange(count) * (2 * np.pi * 300 / max(count, 1))
        if right - left > 2 * np.pi - 1e-6:  # all round: one rate turns, the other nods
            azimuth, nod = phase * turns / 7, np.sin(phase * np.sqrt(2) * turns)
        else:
            radius = np.cos(phase * turns * np.sqrt(2))
            azimuth = (left + right) / 2 + (right - left) / 2 * radius * np.cos(phase / np.pi)
            nod = radius * np.sin(phase / np.pi)
        return _unit(azimuth, (low + high) / 2 + (high - low) / 2 * nod)

    return directions


def _unit(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    level = np.cos(elevation)
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], 1)


def _ranged(world: World, origin: np.ndarray, directions: np.ndarray, hits: Hits, device: _Device,
            rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """(n,) measured range of each hit: beams are cones, so at an edge they may tell a range between two surfaces."""
    distance = hits.distance.astype(float)
    split = np.flatnonzero(rng.random(len(distance)) < device.mixing)
    aside = directions[hits.ray[split]] + rng.normal(0, device.widening, (len(split), 3))
    other = world.cast(origin, aside / np.linalg.norm(aside, axis=1, keepdims=True))
    apart = np.abs(other.distance - distance[split[other.ray]]) > 0.06
    mixed, beyond = split[other.ray[apart]], other.distance[apart]
    distance[mixed] += (beyond - distance[mixed]) * rng.uniform(0.05, 0.95, len(mixed))
    slant = np.minimum(1 / np.maximum(hits.facing, 0.2), 3)  # a cone spreads over a slanting surface
    noise = device.noise * (0.6 + 0.15 * slant + 0.25 * np.minimum(distance / 10, 4))
    return np.round((distance + rng.normal(0, noise)) / device.step) * device.step


def _answered(hits: Hits, distance: np.ndarray, device: _Device, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: dark, slanting and far surfaces send little back, mirrors and glass send it elsewhere."""
    infrared = np.exp(rng.normal(0, 0.4, int(hits.body.max(initial=0)) + 1))[hits.body]  # not what colour suggests
    returned = np.square(hits.albedo).mean(1) / 0.18 * infrared * hits.facing
    strength = np.square(returned * np.square(device.sensitivity / np.maximum(distance, 0.1)))
    elsewhere = np.maximum(0.7 * hits.gloss * (hits.facing < 0.98), 0.8 * hits.dropout)
    chance = strength / (1 + strength) * (1 - elsewhere) * (1 - device.lost)
    within = (distance > device.nearest) & (distance < device.reach)
    return within & (rng.random(len(distance)) < chance)
