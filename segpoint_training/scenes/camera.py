"""Where the camera stands and how it projects: the pinhole model of a depth sensor over a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segpoint_training.scenes.shapes import rotation

# focal length over image width: Kinect v1 sees 57° × 43°, a RealSense D435 aligned to its colour camera 55° × 42°
# (cropped) or 69° × 42°
_FOCAL = {"kinect": (0.82, 0.92), "realsense": (0.58, 0.96), "stereo": (0.5, 1.3)}


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

    @property
    def position(self) -> np.ndarray:
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
    """0.5–1.5 m from what it looks at, 15–70° down, up to 4° of roll."""
    distance = float(rng.triangular(0.55, 0.75, 1.5))
    pitch = np.radians(rng.triangular(15, 38, 70))
    roll = np.radians(np.clip(rng.normal(0, 1.5), -4, 4))
    forward = np.array([np.cos(pitch), 0.0, -np.sin(pitch)])
    right = np.array([0.0, -1.0, 0.0])
    turn = np.stack([right, np.cross(forward, right), forward], 1) @ rotation(2, roll)
    focal = width * rng.uniform(*_FOCAL[sensor])
    return Camera(width, height, float(focal), turn, distance * np.sin(pitch), distance, distance * np.cos(pitch))
