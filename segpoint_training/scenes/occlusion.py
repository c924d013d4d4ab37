"""Who hides whom, read off a depth image."""

from __future__ import annotations

import numpy as np

from .scene import GROUND, Scene

_GRID = np.stack(np.meshgrid(*[np.linspace(-0.42, 0.42, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
_INSIDE = _GRID[np.linalg.norm(_GRID[:, :2], axis=1) < 0.5]  # an upright elliptic cylinder in a unit box
_OUT = -1  # the "hider" of what lies beyond the picture's border


def occlusions(scene: Scene) -> dict[tuple[int, int], float]:
    """Share of each object that another hides: ``(hidden, hider) → share`` in (0, 1]; hider −1 is the border.

    Points spread through the object's box are looked up in the picture. They count as seen where it shows the
    object itself, as hidden where it shows something nearer; whatever else it shows there (the box is larger than
    the object) does not count. Empty where the ground shows too little to tell how the sensor stands, and for clouds
    that are no image.
    """
    table = np.flatnonzero((scene.instance == GROUND) & np.isfinite(scene.xyz[:, 2]))
    if len(table) < 200 or scene.frame != "optical":
        return {}
    slack = 0.01 if scene.scale == "table" else 0.06  # m
    turn, height = _level(scene.xyz[table[:: max(1, len(table) // 4000)]].astype(np.float64))
    focal, column, row = _intrinsics(scene)
    depth = scene.xyz[:, 2]
    shares: dict[tuple[int, int], float] = {}
    for o in scene.objects:
        if o.id == GROUND or o.category == "wall":
            continue
        points = (np.array(o.centre) + _INSIDE * o.size - (0.0, 0.0, height)) @ turn  # (n, 3), optical
        points = points[points[:, 2] > 0.05]
        if not len(points):
            continue
        u, v = (np.round(c + focal * points[:, i] / points[:, 2]).astype(int) for i, c in ((0, column), (1, row)))
        within = (u >= 0) & (u < scene.width) & (v >= 0) & (v < scene.height)
        pixel = v[within] * scene.width + u[within]
        shown = scene.instance[pixel]
        nearer = (shown > GROUND) & (shown != o.id) & (depth[pixel] < points[within, 2] - slack)
        hiders = np.concatenate([shown[nearer], np.full(np.count_nonzero(~within), _OUT)])
        total = len(hiders) + np.count_nonzero(shown == o.id)
        for hider, count in zip(*np.unique(hiders, return_counts=True), strict=True):
            shares[o.id, int(hider)] = float(count / max(total, 1))
    return shares


def _level(points: np.ndarray) -> tuple[np.ndarray, float]:
    """From points (n, 3) of the ground: rotation (3, 3) optical → level, and the sensor's height above it, m."""
    for _ in range(4):
        middle = np.median(points, 0)
        up = np.linalg.eigh(np.cov((points - middle).T))[1][:, 0]
        up *= -np.sign(up[1]) or 1.0
        distance = np.abs((points - middle) @ up - np.median((points - middle) @ up))
        points = points[distance <= max(0.008, float(np.percentile(distance, 75)))]
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    ahead /= np.linalg.norm(ahead)
    return np.stack([ahead, np.cross(up, ahead), up]), -float(np.median(points @ up))


def _intrinsics(scene: Scene) -> tuple[float, float, float]:
    """Focal length and principal point (pixels), which the organised cloud itself tells."""
    seen = np.flatnonzero(np.isfinite(scene.xyz[:, 2]))[::97]
    x, y = (scene.xyz[seen, i] / scene.xyz[seen, 2] for i in (0, 1))
    focal, column = np.polyfit(x, seen % scene.width, 1)
    return float(focal), float(column), float(np.median(seen // scene.width - focal * y))
