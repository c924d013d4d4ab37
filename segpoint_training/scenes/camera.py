"""Where the camera stands and how it projects: the pinhole model of a depth sensor over a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segpoint_training.scenes.shapes import rotation

# focal length over image width: Kinect v1 sees 57° × 43°, its colour camera 62° × 49°; the RealSense family 55° to 87°
# across, by model and by what its depth is aligned to; stereo cameras have lenses of any kind
_FOCAL = {"kinect": (0.80, 0.93), "realsense": (0.54, 0.96), "stereo": (0.5, 1.4)}
_NEAREST = {"kinect": 0.62, "realsense": 0.4, "stereo": 0.4}  # metres to what is looked at
_FURTHEST = 1.5
# degrees downwards: along the table, a robot's or a seated person's look, a standing person's, straight into a bin
_PITCHES = ((0.12, 15, 25), (0.5, 25, 50), (0.28, 45, 68), (0.1, 68, 85))


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above the origin of the level frame (x away from it along the table, y left, z up)."""

    width: int
    height: int
    focal: float  # pixels
    turn: np.ndarray  # (3, 3): optical frame → level frame
    above: float  # metres over the table top
    distance: float  # metres to the point it looks at
    reach: float  # how far along the table that point lies
    floor: float = -0.73  # height of the room's floor in the level frame; 0: things stand on the floor itself

    @property
    def position(self) -> np.ndarray:
        """(3,) of its centre in the level frame, metres."""
        return np.array([0.0, 0.0, self.above])

    def rays(self) -> np.ndarray:
        """(height·width, 3) float32 optical-frame directions with z = 1: a depth times one is a point."""
        u = (np.arange(self.width, dtype=np.float32) - (self.width - 1) / 2) / self.focal
        v = (np.arange(self.height, dtype=np.float32) - (self.height - 1) / 2) / self.focal
        rays = np.ones((self.height, self.width, 3), np.float32)
        rays[..., 0], rays[..., 1] = u, v[:, None]
        return rays.reshape(-1, 3)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) pixel column, pixel row and depth of level-frame points (n, 3)."""
        optical = (points - self.position) @ self.turn
        pixels = optical[:, :2] / np.maximum(optical[:, 2:], 1e-6) * self.focal
        return np.hstack([pixels + ((self.width - 1) / 2, (self.height - 1) / 2), optical[:, 2:]])


def draw_camera(rng: np.random.Generator, sensor: str, width: int, height: int) -> Camera:
    """0.4–1.5 m from what it looks at, 15–85° down, mostly level; over a table, a counter, a low table or the floor.

    Long lenses stand further off, so that what is seen stays about as wide.
    """
    lens = rng.uniform(*_FOCAL[sensor])
    nearest = _NEAREST[sensor]
    usual = np.clip(0.85 * lens / 0.87, nearest + 0.05, 1.3)
    distance = float(rng.triangular(nearest, usual, _FURTHEST))
    share, low, high = np.array(_PITCHES).T
    kind = rng.choice(len(share), p=share)
    pitch = np.radians(rng.uniform(low[kind], high[kind]))
    roll = np.radians(np.clip(rng.normal(0, 2.0), -6, 6))
    forward = np.array([np.cos(pitch), 0.0, -np.sin(pitch)])
    right = np.array([0.0, -1.0, 0.0])
    turn = np.stack([right, np.cross(forward, right), forward], 1) @ rotation(2, roll)
    above = distance * np.sin(pitch)
    floor = 0.0 if rng.random() < 0.05 else -_table_height(rng, above)
    return Camera(width, height, float(width * lens), turn, above, distance, distance * np.cos(pitch), floor)


def _table_height(rng: np.random.Generator, above: float) -> float:
    """Metres: a desk mostly; where the camera is low over it a counter or shelf, where it is high a low table, as
    cameras are carried by robots and people 0.5–1.9 m over the floor."""
    height = rng.normal(0.74, 0.02) if rng.random() < 0.7 else rng.uniform(0.35, 1.05)
    return float(np.clip(height, 0.5 - above, max(1.9 - above, 0.35)))
