"""What a sensor records of things: a cloud in the sensor's axes, what each point belongs to, what is seen of colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segpoint_training.scenes import colours
from segpoint_training.scenes.camera import Camera
from segpoint_training.scenes.lidar import scan
from segpoint_training.scenes.render import Thing, render
from segpoint_training.scenes.sensor import measure, photograph

_SAMPLE = 1500  # points that a colour name is read from
_COLOURLESS = ("stereo", "lidar")  # what their pictures show is not the colour a person would name


@dataclass(frozen=True)
class Recording:
    """A cloud of n points; those missed are NaN with body −1."""

    xyz: np.ndarray  # (n, 3) float32 metres, in ``frame``
    rgb: np.ndarray | None  # (n, 3) uint8
    body: np.ndarray  # (n,) int32 index of the thing
    frame: str  # as Scene.frame
    width: int
    height: int
    seen: np.ndarray  # (n,) int32 index of the thing that the colours below show
    albedo: np.ndarray  # (n, 3) display colours without light; without rows where the sensor tells no colour

    def colour(self, index: int) -> str:
        """The name for what is seen of thing ``index``; "" where none fits or the sensor tells none."""
        if self.rgb is None or len(self.albedo) == 0:
            return ""
        points = np.flatnonzero(self.seen == index)
        if len(points) == 0:
            return ""
        points = points[:: max(1, len(points) // _SAMPLE)]
        return colours.dominant_name(self.albedo[points], self.rgb[points].astype(np.float32) / 255)


def by_camera(things: Sequence[Thing], camera: Camera, sensor: str, rng: np.random.Generator,
              casting: Sequence[Thing] | None = None) -> Recording:  # fmt: skip
    """A depth image of ``things``; ``casting`` as in `render`."""
    view = render(things, camera, rng, casting)
    measured = measure(view, camera.focal, sensor, rng)
    picture = photograph(view, rng, sensor).reshape(-1, 3)
    xyz = (camera.rays() * measured.depth.reshape(-1, 1)).astype(np.float32)
    albedo = np.empty((0, 3), np.float32) if sensor in _COLOURLESS else view.albedo.reshape(-1, 3)
    return Recording(xyz, picture, measured.body.reshape(-1), "optical", camera.width, camera.height,
                     view.body.reshape(-1), albedo)  # fmt: skip


def by_lidar(things: Sequence[Thing], above: float, rng: np.random.Generator, reach: float) -> Recording:
    """A scan of ``things`` from ``above`` metres over the level frame's origin."""
    found = scan(things, np.array([0.0, 0.0, above]), rng, reach)
    return Recording(found.xyz, None, found.body, "body", len(found.xyz), 1, found.body, np.empty((0, 3), np.float32))


def cropped(recording: Recording, count: int) -> Recording:
    """Only the points on the first ``count`` things; the others are missed, or in a cloud without rows left out."""
    kept = (recording.body >= 0) & (recording.body < count)
    if recording.height == 1:
        return replace(recording, xyz=recording.xyz[kept], body=recording.body[kept], seen=recording.seen[kept],
                       width=int(kept.sum()))  # fmt: skip
    xyz = np.where(kept[:, None], recording.xyz, np.float32(np.nan))
    return replace(recording, xyz=xyz, body=np.where(kept, recording.body, -1).astype(np.int32))
