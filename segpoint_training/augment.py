"""Changes to a prepared cloud that leave what is said about it true."""

from __future__ import annotations

import dataclasses

import numpy as np

from segpoint.cloud import NO_COLOUR, Cloud


def augment(cloud: Cloud, rng: np.random.Generator, colourless: bool = False) -> Cloud:
    """A little yaw, tilt, scale, noise, and another light. Left stays left, near stays near; in a map, which knows no
    left, any yaw. ``colourless`` takes the colour away altogether, as from a LiDAR.
    """
    n = cloud.count
    yaw, tilt_x, tilt_y = rng.normal(0, [0.12, 0.02, 0.02])
    if cloud.frame == "map":
        yaw = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, tilt_y], [0, 1, tilt_x], [-tilt_y, -tilt_x, 1]]
    )
    scale = rng.uniform(0.92, 1.08)
    xyz = cloud.xyz.copy()
    middle = xyz[:n].mean(axis=0) * np.array([1, 1, 0], np.float32)
    xyz[:n] = ((xyz[:n] - middle) @ turn.T + middle) * scale
    xyz[:n] += rng.normal(0, rng.uniform(0, 0.2) * cloud.voxel_m, (n, 3))
    rgb = cloud.rgb.copy()
    if colourless:
        rgb[:n] = NO_COLOUR
    else:
        gain, tint = rng.uniform(0.75, 1.25), rng.normal(0, 0.04, 3)
        gamma, grey = rng.uniform(0.8, 1.25), rgb[:n].mean(axis=1, keepdims=True)
        vivid = grey + (rgb[:n] - grey) * rng.uniform(0.75, 1.25)
        rgb[:n] = np.clip(np.clip(vivid, 0, 1) ** gamma * (gain + tint) + rng.normal(0, 0.015, (n, 3)), 0, 1)
    return dataclasses.replace(cloud, xyz=xyz, rgb=rgb, voxel_m=cloud.voxel_m * scale)


def drop_points(cloud: Cloud, instance: np.ndarray, rng: np.random.Generator) -> tuple[Cloud, np.ndarray]:
    """Up to a fifth of the voxels lost; rows move up, padding grows."""
    kept = np.flatnonzero(rng.random(cloud.count) > rng.uniform(0, 0.2))
    if len(kept) < 512:
        return cloud, instance

    def packed(values: np.ndarray) -> np.ndarray:
        out = np.zeros_like(values)
        out[: len(kept)] = values[kept]
        return out

    fewer = dataclasses.replace(
        cloud, xyz=packed(cloud.xyz), rgb=packed(cloud.rgb), focus=packed(cloud.focus), count=len(kept)
    )
    return fewer, packed(instance)
