"""From where a cloud is looked at, and which of its points each pixel shows.

An organised cloud is seen as the camera's image. What a sensor has measured all around itself, a LiDAR in a room say,
is seen from that sensor as a panorama. Any other cloud is splatted into the view of a virtual pinhole camera, raised
behind the sensor, and higher over a map, whose walls would hide the room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from segpoint.cloud import BODY_FROM_OPTICAL, FRAMES
from segpoint.errors import SegPointError

PANEL = 640  # pixels, the width of a camera's view; a panorama is twice as wide
_ELEVATION = {"optical": 0.5, "body": 0.5, "map": 1.1}  # radians that the virtual camera looks down, by frame
_TURN = 0.25  # radians to the side
_NOTHING = 1e-3  # metres: what many sensors say where nothing came back is a point at their own place
_FEWEST = 200  # points a panorama has
_LOWEST = np.radians(10)  # of elevation: a lower panorama is a line; a few rings are a floor plan from outside
_SECTORS, _AROUND = 36, 0.5  # of 10° of azimuth, and the share of them in which points lie all around
_FEW = 0.05  # of the points that a sector has in the mean: with fewer, it is empty
_LEVEL, _SOME_LEVEL = np.radians(20), 0.25  # from the horizon; the share of these sectors that have points there
_OFF_LEVEL, _ENCLOSED = np.radians(2), 0.75  # from the horizon; the share of them that walls make higher and deeper
_BEYOND, _SEE_THROUGH = 1.5, 0.1  # times as far as the neighbour in direction; the share of points that may be
_SAME = 0.75  # power of the distance with whose inverse the angles between beams may at most go; it is 0, a surface's 1
_TREE, _QUERIES = 100_000, 5000  # points that are enough to find neighbours among, and to find them for
_WIDEST = 12  # pixels between points that are one surface in a panorama


@dataclass(frozen=True)
class View:
    """A pinhole camera's look at a cloud.

    ``shown`` (h, w) int64: the point each pixel shows, -1 for none. A point p of the cloud's frame is at
    ``rotation @ p + translation`` before the camera (x right, y down, z forward) and lands on pixel
    (x / z · focal + middle).
    """

    shown: np.ndarray
    rotation: np.ndarray  # (3, 3)
    translation: np.ndarray  # (3,)
    focal: np.ndarray  # (2,) pixels
    middle: np.ndarray  # (2,) pixels

    def project(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (n, 2) and depths (n,) of points (n, 3)."""
        camera = xyz @ self.rotation.T + self.translation
        depth = camera[:, 2]
        return camera[:, :2] / np.where(np.abs(depth) > 1e-6, depth, 1e-6)[:, None] * self.focal + self.middle, depth

    def line(self, start: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
        """Where a straight line between two points (3,) is seen: strokes, each (n, 2) pixels."""
        pixel, depth = self.project(np.stack([start, end]))
        return [pixel] if depth.min() > 0.02 else []


class Panorama(View):
    """What is seen all around from one place, equirectangular: azimuth to the right, elevation upwards.

    As `View`, but ``focal`` is pixels per radian, and depth the distance. The middle is straight ahead, left and right
    edge straight behind.
    """

    def project(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (n, 2) and distances (n,) of points (n, 3)."""
        x, y, z = (xyz @ self.rotation.T + self.translation).T
        level = np.hypot(x, z)
        return np.stack([np.arctan2(x, z), np.arctan2(y, level)], 1) * self.focal + self.middle, np.hypot(level, y)

    def line(self, start: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
        """As `View.line`: bent, and in two strokes where it passes behind."""
        pixel, _ = self.project(start + np.linspace(0, 1, 33)[:, None] * (end - start))
        leaps = np.flatnonzero(np.abs(np.diff(pixel[:, 0])) > self.shown.shape[1] / 2) + 1
        return np.split(pixel, leaps)


def look(xyz: np.ndarray, frame: str, width: int | None = None, height: int | None = None) -> View:
    """How a cloud (M, 3) is best seen: as an image, a panorama, or from behind and above its sensor.

    frame: one of `FRAMES`.   width, height: with ``width * height == M`` the cloud is organised. It is shown as an
    image where a pinhole camera can have made its rows and columns. It is a panorama where it looks like a scan made
    from the frame's origin all around it, which no map is, and is no mere line. What does is our choice:

    * more than half of the directions around the origin hold points, and a quarter of these near its horizon, where
      such sensors look: a table far below or above it does not;
    * points that are neighbours in direction are about as far away: other clouds are seen through;
    * neighbours in direction are as far apart, in angle, far away as near by, as beams are: on a surface sampled from
      elsewhere they come closer. A scan that was thinned out is like that, too, so walls, points above and below the
      horizon in most directions, are as good.
    """
    to_optical = _to_optical(frame)
    if width and height and height > 1 and width * height == len(xyz):
        view = _camera_view(xyz @ to_optical.T, to_optical, width, height)
        if view is not None:
            return view
    panorama = None if frame == "map" else _panorama(xyz, to_optical)
    return panorama or look_from_outside(xyz, frame)


def look_from_outside(xyz: np.ndarray, frame: str) -> View:
    """A virtual camera behind the sensor that looks down, steeply on a map, its picture filled by the points (M, 3)."""
    to_optical, size = _to_optical(frame), (PANEL * 3 // 4, PANEL)
    valid = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    optical = xyz[valid] @ to_optical.T
    middle = np.median(optical, axis=0) if len(valid) else np.array([0.0, 0.0, 1.0])
    reach = max(float(np.percentile(np.linalg.norm(optical - middle, axis=1), 95)) if len(valid) else 1.0, 1e-3)
    tilt = Rotation.from_euler("yx", [_TURN, _ELEVATION[frame]]).as_matrix()
    rotation = tilt @ to_optical
    translation = np.array([0.0, 0.0, 3.0 * reach]) - tilt @ middle
    camera = xyz[valid] @ rotation.T + translation
    before = camera[:, 2] > 0.1 * reach
    valid, camera = valid[before], camera[before]
    ray = camera[:, :2] / camera[:, 2:] if len(camera) else np.array([[-0.5, -0.5], [0.5, 0.5]])
    low, high = np.percentile(ray, [0.5, 99.5], axis=0)
    focal = np.full(2, 0.92 * np.min(np.array([size[1], size[0]]) / np.maximum(high - low, 1e-6)))
    centre = np.array([size[1], size[0]]) / 2 - (low + high) / 2 * focal
    pixel = np.floor(ray[: len(valid)] * focal + centre).astype(np.int64)
    filled = np.prod((high - low) * focal)
    splat = int(np.clip(np.ceil(1.6 * np.sqrt(filled / max(len(valid), 1))), 1, 9))
    return View(_splat(pixel, camera[:, 2], valid, size, splat), rotation, translation, focal, centre)


def _to_optical(frame: str) -> np.ndarray:
    """(3, 3) from a frame's axes to x right, y down, z forward."""
    if frame not in FRAMES:
        raise SegPointError(f"frame must be one of {FRAMES}, not {frame!r}")
    return np.eye(3) if frame == "optical" else BODY_FROM_OPTICAL.T.astype(np.float64)


def _camera_view(optical: np.ndarray, rotation: np.ndarray, width: int, height: int) -> View | None:
    """The image of an organised cloud, with the intrinsics its own points imply; None if no pinhole camera made it."""
    rows, columns = np.divmod(np.arange(len(optical)), width)
    seen = np.isfinite(optical).all(axis=1) & (np.nan_to_num(optical[:, 2]) > 1e-3)
    if np.count_nonzero(seen) < 100:
        return None
    ray = optical[seen, :2] / optical[seen, 2:]
    pixel = np.stack([columns[seen], rows[seen]], axis=1)
    focal, middle = np.empty(2), np.empty(2)
    for axis in range(2):
        at, to = ray[:, axis], pixel[:, axis]
        spread = at - at.mean()
        focal[axis] = spread @ to / max(spread @ spread, 1e-12)  # the line nearest to them all
        middle[axis] = to.mean() - focal[axis] * at.mean()
        if np.abs(focal[axis] * at + middle[axis] - to).mean() > 2.0:
            return None  # a spinning lidar's rows and columns, or rows in another order
    scale = PANEL / width
    size = (max(1, round(height * scale)), PANEL)
    nearest = ((np.arange(size[0]) / scale).astype(int).clip(0, height - 1) * width)[:, None]
    shown = nearest + (np.arange(size[1]) / scale).astype(int).clip(0, width - 1)
    return View(shown, rotation, np.zeros(3), focal * scale, (middle + 0.5) * scale)


def _panorama(xyz: np.ndarray, to_optical: np.ndarray) -> Panorama | None:
    """What is seen from the origin, as wide as all directions and as high as those of the points; None where
    it does not look as if they were measured from there."""
    with np.errstate(invalid="ignore"):
        there = np.flatnonzero(np.linalg.norm(xyz, axis=1) > _NOTHING)
    there = there[np.isfinite(xyz[there]).all(axis=1)]
    unit = Panorama(np.empty((0, 0)), to_optical, np.zeros(3), np.ones(2), np.zeros(2))
    angle, distance = unit.project(xyz[there])
    if len(there) < _FEWEST or np.ptp(angle[:, 1]) < _LOWEST or not _measured_here(xyz[there], angle, distance):
        return None
    scale, (low, high) = 2 * PANEL / (2 * np.pi), (angle[:, 1].min(), angle[:, 1].max())
    size = (int((high - low) * scale) + 1, 2 * PANEL)
    middle = np.array([PANEL, -low * scale])
    pixel = np.minimum(np.floor(angle * scale + middle).astype(np.int64), np.array(size[::-1]) - 1)
    shown = _filled(_splat(pixel, distance, there, size, 1))
    return replace(unit, shown=shown, focal=np.full(2, scale), middle=middle)


def _measured_here(xyz: np.ndarray, angle: np.ndarray, distance: np.ndarray) -> bool:
    """Whether points (n, 3) look like a scan made from the origin, as `look` says.

    angle: (n, 2) radians, to the right and down.   distance: (n,) metres.
    """
    some = slice(None, None, len(xyz) // _TREE + 1)
    xyz, (azimuth, down), distance = xyz[some], angle[some].T, distance[some]
    occupied = _sectors(azimuth, len(xyz))
    level = _sectors(azimuth[np.abs(down) < _LEVEL], len(xyz))
    around = np.count_nonzero(occupied)
    if around <= _AROUND * _SECTORS or np.count_nonzero(level) < _SOME_LEVEL * around:
        return False
    asked = np.random.default_rng(0).choice(len(xyz), min(_QUERIES, len(xyz)), replace=False)
    direction = xyz / distance[:, None]
    gap, neighbour = cKDTree(direction).query(direction[asked], k=2)
    near, far = np.sort(distance[neighbour], axis=1).T
    if np.mean(far > _BEYOND * near) > _SEE_THROUGH:
        return False
    above, below = (_sectors(azimuth[side * down > _OFF_LEVEL], len(xyz)) for side in (-1, 1))
    enclosed = np.count_nonzero(above & below) >= _ENCLOSED * around
    return bool(enclosed) or _diverge(gap[:, 1], distance[asked])


def _sectors(azimuth: np.ndarray, count: int) -> np.ndarray:
    """(_SECTORS,) bool: which hold more than a few of the azimuths (n,) radians, for a cloud of ``count`` points."""
    sector = ((azimuth + np.pi) * (_SECTORS / (2 * np.pi))).astype(int) % _SECTORS
    return np.bincount(sector, minlength=_SECTORS) > _FEW * count / _SECTORS


def _diverge(gap: np.ndarray, distance: np.ndarray) -> bool:
    """Whether the angles (n,) between neighbours are more like those of beams, the same at every distance (n,), than
    of evenly spread points, inverse to it."""
    near_to_far, third = np.argsort(distance), -(-len(distance) // 3)
    near, far = near_to_far[:third], near_to_far[-third:]
    beyond = np.median(distance[far]) / np.median(distance[near])
    return bool(np.median(gap[near]) < beyond**_SAME * np.median(gap[far]))


def _filled(shown: np.ndarray) -> np.ndarray:
    """(h, w) as ``shown``, but pixels between points, no farther apart than rings and beams are, show the nearest."""
    gaps = np.array([_gap(shown.T), _gap(shown)])
    away, nearest = distance_transform_edt(shown < 0, sampling=1 / gaps, return_indices=True)
    return np.where(away < 0.75, shown[tuple(nearest)], -1)


def _gap(shown: np.ndarray) -> float:
    """Pixels from one that shows a point to the next in its row, nearly everywhere."""
    row, column = np.nonzero(shown >= 0)
    steps = np.diff(column)[np.diff(row) == 0]
    return float(np.clip(np.percentile(steps, 95), 2, _WIDEST)) if len(steps) else 2.0


def _splat(pixel: np.ndarray, depth: np.ndarray, index: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
    """Draw each point as a square of ``side`` pixels, nearest on top: (h, w) of ``index`` values, -1 for none."""
    far_to_near = np.argsort(-depth, kind="stable")
    pixel, depth, index = pixel[far_to_near], depth[far_to_near], index[far_to_near]
    shown, nearest = np.full(size, -1, dtype=np.int64), np.full(size, np.inf)
    for row in range(side):
        for column in range(side):
            u, v = pixel[:, 0] + column - side // 2, pixel[:, 1] + row - side // 2
            inside = (u >= 0) & (u < size[1]) & (v >= 0) & (v < size[0])
            layer, layer_depth = np.full(size, -1, dtype=np.int64), np.full(size, np.inf)
            layer[v[inside], u[inside]] = index[inside]  # the last assignment, the nearest point, stays
            layer_depth[v[inside], u[inside]] = depth[inside]
            closer = layer_depth < nearest
            shown[closer], nearest[closer] = layer[closer], layer_depth[closer]
    return shown
