"""Points in, points out: from a sensor's cloud to the N points that the network sees, and labels back again.

Frames. A caller's cloud is "optical" (x right, y down, z forward), "body" (x forward, y left, z up; the sensor at the
origin) or "map" (z up, put together from many views: no sensor, no range), in metres. Inside, a cloud is *level*: z up
from the surface that the things stand on, x away from the sensor, y to its left, origin on that surface below the
sensor (in a map: below its own origin). Levelling on the support plane is our choice (the paper is silent on frames):
it makes "on top", "behind" and heights mean the same for every camera pitch.

Voxels. What stands on the support gets fine voxels, the support itself and the background coarse ones, the coarser the
farther: a table top fills most of a depth image and says little, the room behind it less. The voxel edge is chosen so
that at most N voxels remain, and every raw point remembers its voxel, which carries labels back to full resolution
without another search.

Arrays of points (n, 3) are kept by column in here: a pass over one coordinate reads it alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, label

from segpoint.blas import one_blas_thread
from segpoint.config import CloudConfig
from segpoint.errors import SegPointError
from segpoint.grid import cell_numbers, occupied, sorted_numbers, voxelise

FRAMES = ("optical", "body", "map")
BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], dtype=np.float32)
NO_COLOUR = 0.4  # grey for clouds without colour, as Uni3D fills it in
_TRIALS, _SAMPLE = 256, 2048  # planes tried, and points that each is tried on
_NOISIEST_M = 0.02  # half thickness of a plane at 1 m, however noisy
_FLOOR_M = 1.2  # a support that reaches twice as far is a floor
_TALLEST_M = 2.5  # above a floor: what stands in a room
_VOXEL_STEP = 1.05  # ratio of successive voxel edges tried
_LARGEST_MAP_M = 1e3  # from a map's origin; beyond it float32 is no longer good for millimetres
_LARGEST_M = 1e8  # no place on Earth has larger coordinates, in whatever system


@dataclass(frozen=True)
class Cloud:
    """A cloud as the network sees it: N rows, of which the first ``count`` are voxels and the rest padding.

    xyz: (N, 3) float32, level frame, metres.   rgb: (N, 3) float32 in [0, 1].   focus: (N,) bool, fine voxels.
    voxel_m: edge of the fine voxels.
    voxel_of: (M,) int32, the voxel of each raw point, -1 where it has none (NaN, out of range).
    rotation, origin: level = rotation @ (body - origin).   up: (3,) unit vector in the caller's frame.
    frame: the caller's.
    """

    xyz: np.ndarray
    rgb: np.ndarray
    focus: np.ndarray
    count: int
    voxel_m: float
    voxel_of: np.ndarray
    rotation: np.ndarray
    origin: np.ndarray
    up: np.ndarray
    frame: str = "body"

    @property
    def valid(self) -> np.ndarray:
        """(N,) bool: voxel, not padding."""
        return np.arange(len(self.xyz)) < self.count

    def to_raw(self, values: np.ndarray, fill: float = 0) -> np.ndarray:
        """Values per voxel (N, …) carried to the raw points (M, …); ``fill`` where a point has no voxel."""
        none = np.full((1, *values.shape[1:]), fill, values.dtype)
        return np.concatenate([values, none])[self.voxel_of]  # −1 is the last

    def to_level(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) of the caller's frame in the level frame, float32."""
        return (_to_body(np.asarray(points, np.float32), self.frame) - self.origin) @ self.rotation.T


@one_blas_thread
def prepare(xyz: np.ndarray, rgb: np.ndarray | None, frame: str, config: CloudConfig) -> Cloud:
    """The network's view of a raw cloud.

    xyz: (M, 3) float metres, NaN rows allowed.   rgb: (M, 3) uint8 or None.   frame: one of FRAMES.
    Raises `SegPointError` where the shapes are wrong or too few points remain.
    """
    xyz, rgb = _checked(xyz, rgb, frame)
    usable = _usable(xyz, config, frame)
    body = _to_body(np.stack([axis[usable] for axis in xyz.T]).T, frame)
    first, first_of = voxelise(body, np.float32(config.min_voxel_m))
    fine = _means(body, first, first_of)
    viewed = frame != "map"
    distance = _length(fine) if viewed else np.ones(len(fine), np.float32)
    plane = find_support(fine, distance, viewed) if config.find_support else None
    rotation, origin = _level(plane, fine)
    level = (rotation @ (fine - origin).T).T
    focus = _stands_on(level, distance, viewed, config) if plane is not None else np.ones(len(fine), bool)
    edge, coarse_of, count = _fit(level, _detail(focus, distance), config)
    if count < config.min_points:
        raise SegPointError(
            f"expected a scene of at least {config.min_points} voxels of {1000 * edge:.0f} mm, got {count} from "
            f"{len(body)} usable points; give a denser or larger cloud"
        )
    voxel = coarse_of[first_of]
    pad = config.points - count
    colour: np.ndarray = np.full((count, 3), NO_COLOUR, np.float32)
    if rgb is not None:
        colour = _means(np.stack([channel[usable] for channel in rgb.T]).T, count, voxel) / 255.0
    focus_of = np.zeros(count, bool)
    focus_of[coarse_of] = focus
    voxel_of = np.full(len(xyz), -1, np.int32)
    voxel_of[usable] = voxel
    up = rotation[2] @ (BODY_FROM_OPTICAL if frame == "optical" else np.eye(3, dtype=np.float32))
    return Cloud(
        xyz=np.pad((_means(body, count, voxel) - origin) @ rotation.T, [(0, pad), (0, 0)]).astype(np.float32),
        rgb=np.pad(colour, [(0, pad), (0, 0)]).astype(np.float32),
        focus=np.pad(focus_of, (0, pad)),
        count=count,
        voxel_m=edge,
        voxel_of=voxel_of,
        rotation=rotation,
        origin=origin,
        up=up,
        frame=frame,
    )


def network_frame(cloud: Cloud, config: CloudConfig, level: np.ndarray | None = None) -> np.ndarray:
    """Coordinates for the encoder, about the scene's middle, in ``unit_m`` or in the unit sphere: (N, 3) float32 of
    the cloud itself, or of other points ``level`` (n, 3) of its level frame."""
    n = cloud.count
    points = cloud.xyz[:n]
    standing = points[cloud.focus[:n]] if cloud.focus[:n].any() else points
    middle = np.array([*standing[:, :2].mean(axis=0), 0.0 if config.unit_m else standing[:, 2].mean()])
    unit = config.unit_m or float(np.linalg.norm(points - middle, axis=1).max()) or 1.0
    if level is not None:
        return ((level - middle) / unit).astype(np.float32)
    return np.pad(((points - middle) / unit).astype(np.float32), [(0, len(cloud.xyz) - n), (0, 0)])


def find_support(
    points: np.ndarray, distance: np.ndarray | None = None, viewed: bool = True
) -> tuple[np.ndarray, float] | None:
    """The dominant plane that could carry things: ``(normal, offset)`` with normal · p = offset, or None.

    points: (n, 3) in the body frame, their ``distance`` (n,) from the sensor. RANSAC with a fixed seed, then a
    least-squares refit. Near points count more, by 1/distance²: the table before the sensor rather than the floor
    behind it. The normal looks to the sensor's side, or up where the cloud was not ``viewed`` from anywhere, and is
    preferred upright; a plane holding under a tenth of the points is no support, nor is a ceiling.
    """
    distance = _length(points) if distance is None else distance
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(points), min(_SAMPLE, len(points)))
    some = points[chosen]
    corners = some[rng.integers(0, len(some), (_TRIALS, 3))].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    keep = length > 1e-9
    if not keep.any():
        return None
    normals, corners = normals[keep] / length[keep, None], corners[keep]
    offsets = np.einsum("ij,ij->i", normals, corners[:, 0])
    # The sensor stands at the origin, above what carries the things it looks at.
    flip = np.where(offsets > 0 if viewed else normals[:, 2] < 0, -1.0, 1.0)
    normals, offsets = normals * flip[:, None], offsets * flip
    tolerance = _tolerance(distance[chosen], 0.01)[:, None]
    height = some @ normals.T.astype(np.float32) - offsets.astype(np.float32)
    near = 1 / np.maximum(distance[chosen], 0.3) ** 2
    inliers = near @ (np.abs(height) < tolerance).astype(np.float32) / near.sum()
    upright = np.clip(normals[:, 2], -1, 1)
    score = inliers * np.where(upright > 0.3, 1.0, np.where(upright > -0.1, 0.5, 0.0))
    if not viewed:
        score *= np.where((height > -tolerance).mean(axis=0) > 0.6, 1.0, 0.2)
    best = int(np.argmax(score))
    if score[best] < 0.1:
        return None
    normal, offset = normals[best], offsets[best]
    for _ in range(2):
        height = points @ normal.astype(np.float32) - np.float32(offset)
        holds = np.abs(height) < _tolerance(distance, 0.01)
        close = np.stack([axis[holds] for axis in points.T]).T
        centre = close.mean(axis=0, dtype=np.float64)
        refit = np.linalg.svd(close[:: max(1, len(close) // 4096)] - centre, full_matrices=False)[2][2]
        normal = refit if refit @ normal > 0 else -refit
        offset = float(normal @ centre)
    return normal, offset


def _checked(xyz: np.ndarray, rgb: np.ndarray | None, frame: str) -> tuple[np.ndarray, np.ndarray | None]:
    if frame not in FRAMES:
        raise SegPointError(f"frame must be one of {FRAMES}, got {frame!r}")
    xyz = np.asarray(xyz)
    if xyz.ndim != 2 or xyz.shape[1] != 3 or xyz.dtype.kind not in "fiu":
        raise SegPointError(f"expected xyz as (M, 3) numbers in metres, got shape {xyz.shape} of {xyz.dtype}")
    if rgb is not None:
        rgb = np.asarray(rgb)
        if rgb.shape != xyz.shape or rgb.dtype != np.uint8:
            raise SegPointError(f"expected rgb as {xyz.shape} uint8 to match xyz, got {rgb.shape} of {rgb.dtype}")
    with np.errstate(over="ignore"):  # what float32 does not hold becomes infinite and is left out
        return xyz.astype(np.float32, copy=False), rgb


def _to_body(points: np.ndarray, frame: str) -> np.ndarray:
    """(n, 3) points of the caller's frame with x forward, y left, z up."""
    if frame != "optical":
        return points
    right, down, forward = points.T
    return np.stack([forward, -right, -down]).T  # BODY_FROM_OPTICAL only changes places and signs


def _usable(xyz: np.ndarray, config: CloudConfig, frame: str) -> np.ndarray:
    """(m,) indices of the points with three finite coordinates, within range of the sensor where there is one."""
    if len(xyz) == 0:
        raise SegPointError("expected a cloud with points, got an empty one; check the sensor or the file")
    near, far = (0.0, _LARGEST_MAP_M) if frame == "map" else config.range_m
    with np.errstate(invalid="ignore", over="ignore"):
        distance = _length(xyz)
        usable = np.flatnonzero((distance >= near) & (distance <= far))
    if frame == "map" and len(usable):
        usable = usable[~_strays(xyz[usable])]
    if len(usable) < config.min_points:
        finite = xyz[np.isfinite(xyz).all(axis=1)].astype(np.float64)
        if len(finite) == 0:
            raise SegPointError(f"expected some finite points, got {len(xyz)} that are not; check where they come from")
        raise SegPointError(
            f"expected at least {config.min_points} points between {near:g} and {far:g} m from the "
            f"{'origin' if frame == 'map' else 'sensor'}, got {len(usable)} of {len(finite)} finite ones; "
            + _remedy(finite, far, frame)
        )
    return usable


def _remedy(points: np.ndarray, far: float, frame: str) -> str:
    """Why points (n, 3) float64 lie beyond ``far``, most likely, and what to do about it."""
    middle, away = np.median(points, axis=0), float(np.median(np.linalg.norm(points, axis=1)))
    about = f"their median is at ({', '.join(f'{v:.7g}' for v in middle)}), {away:.7g} m away"
    if away > _LARGEST_M:
        return f"{about}: no coordinates in metres; check the sensor, the file or its byte order"
    if away <= max(far, _LARGEST_MAP_M) and frame != "map":
        return f"{about}: are the units metres, not millimetres, and the frame the sensor's?"
    if away <= far:
        return f"{about}: give a denser or larger cloud"
    return (
        f"{about}: of a map (UTM, say; frame 'map') subtract an origin near the points first, while they are float64, "
        "for float32 is too coarse out there; millimetres divide by 1000"
    )


def _strays(points: np.ndarray) -> np.ndarray:
    """(n,) bool: what lies three times as far out as nearly all of a map does: no sensor's range keeps it out."""
    away = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return away > 3 * np.percentile(away, 98)


def _length(points: np.ndarray) -> np.ndarray:
    """(n,) distances of points (n, 3) from the origin."""
    x, y, z = points.T
    return np.sqrt(x * x + y * y + z * z)


def _tolerance(distance: np.ndarray, at_one_metre: float) -> np.ndarray:
    """Half thickness of a plane at this range: depth noise grows with range², but never vanishes."""
    return at_one_metre * np.maximum(0.6, distance**2)


def _level(plane: tuple[np.ndarray, float] | None, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and origin of the level frame: the least rotation that turns the normal up; the azimuth stays."""
    if plane is None:
        return np.eye(3, dtype=np.float32), np.array([0, 0, np.percentile(points[:, 2], 1)], np.float32)
    normal, offset = plane
    axis = np.cross(normal, [0.0, 0.0, 1.0])
    sine, cosine = float(np.linalg.norm(axis)), float(normal[2])
    if sine < 1e-9:
        rotation = np.eye(3) if cosine > 0 else np.diag([1.0, -1.0, -1.0])
    else:
        x, y, z = axis / sine
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        rotation = np.eye(3) + sine * cross + (1 - cosine) * cross @ cross
    return rotation.astype(np.float32), (normal * offset).astype(np.float32)


def _stands_on(level: np.ndarray, distance: np.ndarray, viewed: bool, config: CloudConfig) -> np.ndarray:
    """(n,) bool: above the support and not too high. A table ends at its outline and carries things of
    ``support_height_m``; a floor ends at the walls and carries wardrobes."""
    height = level[:, 2]
    scale = _tolerance(distance, 1.0)
    residual = np.abs(height) / scale
    close = residual < 0.03
    noise = 3 * float(np.median(residual[close])) if close.any() else 0.0
    on_plane = residual < np.clip(noise, config.support_tolerance_m, _NOISIEST_M)
    if not on_plane.any():
        return np.zeros(len(level), bool)
    over, extent = _outline(level, on_plane)
    limit = max(config.support_height_m, min(0.5 * extent, _TALLEST_M))
    above = ~on_plane & (height > 0) & (height < limit)
    return above & (~_walls(level, viewed) if limit > _FLOOR_M else over)


def _outline(level: np.ndarray, on_plane: np.ndarray) -> tuple[np.ndarray, float]:
    """(n,) bool: over the support, and the diagonal of its outline in metres.

    The outline is the largest patch of 5 cm cells that hold little but the plane: a wall crosses the plane, too, but
    most of what is in its cells lies higher or lower.
    """
    plan = level.T[:2]
    ends = np.array([(axis.min(), axis.max()) for axis in (axis[on_plane] for axis in plan)])
    edge = np.float32(max(0.05, float(np.ptp(ends, axis=1).max()) / 1000))
    low, high = np.floor(ends / edge).astype(np.int32).T
    row, column = (np.floor(axis / edge).astype(np.int32) - lowest for axis, lowest in zip(plan, low, strict=True))
    shape = tuple((high - low + 1).tolist())
    near = np.flatnonzero((row >= 0) & (column >= 0) & (row < shape[0]) & (column < shape[1]))
    number = row[near].astype(np.int64) * shape[1] + column[near]
    held = np.bincount(number, minlength=shape[0] * shape[1])
    flat = np.bincount(number[on_plane[near]], minlength=len(held))
    outline = ((flat > 0) & (flat >= 0.5 * held)).reshape(shape)
    # An object hides the support behind it: gaps of up to 20 cm do not part a table, and it is filled along both axes.
    patches, count = label(binary_dilation(outline, iterations=2))
    if count > 1:
        sizes = np.bincount(patches[outline], minlength=count + 1)
        outline &= patches == 1 + int(sizes[1:].argmax())
    rows, columns = np.flatnonzero(outline.any(axis=1)), np.flatnonzero(outline.any(axis=0))
    extent = edge * float(np.hypot(rows[-1] - rows[0], columns[-1] - columns[0])) if len(rows) else 0.0
    for axis in (0, 1):
        forth = np.logical_or.accumulate(outline, axis=axis)
        back = np.flip(np.logical_or.accumulate(np.flip(outline, axis), axis=axis), axis)
        outline = outline | (forth & back)
    over = np.zeros(len(level), bool)
    over[near] = outline.reshape(-1)[number]
    return over, extent


def _walls(level: np.ndarray, viewed: bool) -> np.ndarray:
    """(n,) bool: what is tall and has nothing behind it, seen from the sensor (in a map: from the middle)."""
    plan = level.T[:2]
    x, y = plan if viewed else plan - np.median(plan, axis=1, keepdims=True)
    reach = np.sqrt(x * x + y * y)
    bearing = ((np.arctan2(y, x) / np.pi + 1) * 90).astype(np.int64)  # 2°
    # Sorted by bearing, then by reach: the bits of a float that is not negative are in its order.
    order = sorted_numbers(bearing << 32 | reach.view(np.int32))[0]
    ends = np.searchsorted(order, np.arange(1, 183) << 32)
    sizes = np.diff(ends, prepend=0)
    end = order[np.maximum(ends - 1 - sizes // 20, 0)]  # all but a twentieth: noise flies behind walls
    farthest = (end & 0xFFFFFFFF).astype(np.int32).view(np.float32)
    last = reach > farthest[bearing] - np.maximum(np.float32(0.2), np.float32(0.08) * reach)
    count, column = voxelise(plan.T, np.float32(0.2))
    tall = np.zeros(count, bool)
    tall[column[level[:, 2] > 1.2]] = True
    return last & tall[column]


def _detail(focus: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(n,) int64 level of detail: 0 for what stands on the support, then 1, 2, … for the rest, a level more for each
    doubling of its distance beyond that of the things that stand there."""
    about = float(np.median(distance[focus] if focus.any() else distance))
    farther = np.log2(np.maximum(distance / max(about, 1e-6), 1.0)).astype(np.int64)
    return np.where(focus, 0, 1 + np.minimum(farther, 2))


def _fit(level: np.ndarray, detail: np.ndarray, config: CloudConfig) -> tuple[float, np.ndarray, int]:
    """The finest voxel edge that leaves at most N voxels: (edge, voxel of each point, number of voxels)."""
    scale = np.where(detail == 0, 1.0, config.coarsening * 3.0 ** (detail - 1)).astype(np.float32)

    def edges(step: int) -> np.ndarray:
        return scale * np.float32(config.min_voxel_m * _VOXEL_STEP**step)

    def count(step: int) -> int:
        return occupied(*cell_numbers(level, edges(step), detail))

    # Surfaces: the number of voxels falls with the edge squared. One look, one guess from it, then single steps.
    step = 0
    found = count(step)
    if found > config.points:
        step = max(1, round(math.log(found / config.points) / (2 * math.log(_VOXEL_STEP))))
        found = count(step)
    while found > config.points:
        step += max(1, int(math.log(found / config.points) / (2 * math.log(_VOXEL_STEP))))
        found = count(step)
    while step > 0 and count(step - 1) <= config.points:
        step -= 1
    found, voxel_of = voxelise(level, edges(step), detail)
    return config.min_voxel_m * _VOXEL_STEP**step, voxel_of, found


def _means(values: np.ndarray, count: int, group_of: np.ndarray) -> np.ndarray:
    """(count, C) float32 mean of the values (m, C) of each group."""
    sizes = np.maximum(np.bincount(group_of, minlength=count), 1)
    sums = [np.bincount(group_of, weights=column, minlength=count) for column in values.T]
    return (np.stack(sums) / sizes).astype(np.float32).T
