"""Who hides whom, read off the picture, and how much of each object is seen."""

from __future__ import annotations

import numpy as np

from .scene import Scene

TABLE = 1


def occlusions(scene: Scene, depth_step: float = 0.03, reach: int = 16) -> dict[tuple[int, int], float]:
    """How much of a visible object's outline is cut by another: ``(hidden, hider) → share of its width or height``.

    Along each row and column two neighbouring points (pixels without a return are stepped over, up to ``reach``)
    on different objects with a step in depth are one crossing.
    """
    ids = scene.instance.reshape(scene.height, scene.width)
    depth = scene.xyz[:, 2].reshape(scene.height, scene.width)
    shares: dict[tuple[int, int], float] = {}
    for image, z in ((ids, depth), (ids.T, depth.T)):
        line, place = np.nonzero(image > 0)
        label, near = image[line, place], z[line, place]
        step = near[1:] - near[:-1]
        joined = (line[1:] == line[:-1]) & (place[1:] - place[:-1] <= reach)
        crossing = joined & (label[1:] != label[:-1]) & (np.minimum(label[1:], label[:-1]) > 1)
        crossing &= np.abs(step) > depth_step
        hidden = np.where(step > 0, label[1:], label[:-1])[crossing]
        hider = np.where(step > 0, label[:-1], label[1:])[crossing]
        where = line[1:][crossing]
        for pair in set(zip(hidden.tolist(), hider.tolist(), strict=True)):
            rows = np.unique(where[(hidden == pair[0]) & (hider == pair[1])]).size
            extent = np.unique(line[label == pair[0]]).size
            shares[pair] = max(shares.get(pair, 0.0), rows / extent)
    return shares


def visible_shares(scene: Scene) -> dict[int, float]:
    """Share of each object's width and height (as seen from the sensor) over which it has points, by id.

    An object cut off by another or by the picture's border has less than 1; 1 where the table shows too little to
    tell what is level.
    """
    ids = np.flatnonzero(scene.instance == TABLE)
    if len(ids) < 200:
        return {o.id: 1.0 for o in scene.objects}
    up, height = _level(scene.xyz[ids[:: max(1, len(ids) // 4000)]].astype(np.float64))
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    left = np.cross(up, ahead / np.linalg.norm(ahead))
    shares = {}
    for o in scene.objects:
        points = scene.xyz[scene.instance == o.id].astype(np.float64)
        if o.id == TABLE or len(points) < 10:
            continue
        (low, y_low), (high, y_high) = np.percentile(np.stack([points @ up + height, points @ left], 1), (1, 99), 0)
        tall = (min(high, o.centre[2] + o.size[2] / 2) - max(low, o.centre[2] - o.size[2] / 2)) / o.size[2]
        shares[o.id] = float(np.clip(tall, 0, 1) * min(1.0, (y_high - y_low) / o.size[1]))
    return shares


def _level(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The table top through its points (n, 3), optical frame: unit normal up, and offset with up·p + offset = height."""
    for _ in range(4):
        middle = np.median(points, 0)
        up = np.linalg.eigh(np.cov((points - middle).T))[1][:, 0]
        up *= -np.sign(up[1]) or 1.0
        distance = (points - middle) @ up
        distance -= np.median(distance)
        points = points[np.abs(distance) <= max(0.008, float(np.percentile(np.abs(distance), 75)))]
    return up, -float(np.median(points @ up))
