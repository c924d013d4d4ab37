"""What a depth camera makes of a view: quantised, noisy, torn depth and a colour image that does not quite fit it.

Kinect v1: a projector beside the camera throws a pattern; depth comes from its disparity in eighths of a pixel, so
the steps grow with z² (Khoshelham & Elberink 2012); what the projector cannot see has no depth (holes beside
objects); edges are ragged. RealSense D400: two infrared cameras; noise is smooth over a matching window, and pixels
at edges fly between the surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter, uniform_filter

from segpoint_training.scenes.render import View

SENSORS = ("kinect", "realsense")


@dataclass(frozen=True)
class Measured:
    depth: np.ndarray  # (h, w) float32 metres; NaN where the sensor saw nothing
    body: np.ndarray  # (h, w) int32, the thing each depth was measured on; −1


@dataclass(frozen=True)
class _Stereo:
    baseline: float  # metres between projector and camera, or the two cameras
    step: float  # disparity step in pixels of a 640-wide image
    noise: float  # disparity noise, same pixels
    window: float  # noise correlation, same pixels
    ragged: float  # sideways error of edges, same pixels
    reach: float  # metres


_STEREO = {
    "kinect": _Stereo(0.075, 1 / 8, 0.062, 1.3, 1.0, 4.5),
    "realsense": _Stereo(0.050, 1 / 32, 0.08, 2.2, 0.4, 6.0),
}


def measure(view: View, focal: float, sensor: str, rng: np.random.Generator) -> Measured:
    """Depth as ``sensor`` (one of SENSORS) measures it; ``focal`` in pixels of the view."""
    stereo = _STEREO[sensor]
    height, width = view.depth.shape
    scale = width / 640  # the sensor's own image is 640 wide; smaller views are its subsampling
    row, column = _ragged(view, stereo.ragged * max(scale, 0.6), rng)
    looked_at = row * width + column
    depth, body = view.depth.take(looked_at), view.body.take(looked_at)
    lost = _shadowed(depth, focal * stereo.baseline) | _unanswered(view, looked_at, scale, rng)
    if sensor == "realsense":
        depth = _flying(depth, rng)
    constant = focal / scale * stereo.baseline
    with np.errstate(divide="ignore"):
        disparity = constant / depth
    noise = rng.standard_normal((height, width), np.float32)
    window = max(stereo.window * scale, 0.3)
    smooth = gaussian_filter(noise, window, truncate=2.5)
    strength = stereo.noise * rng.uniform(0.7, 1.4)
    disparity += smooth * (strength / max(float(smooth.std()), 1e-9))
    disparity = np.round(disparity / stereo.step) * stereo.step
    with np.errstate(divide="ignore"):
        depth = constant / disparity
    lost |= ~((depth > 0.42) & (depth < stereo.reach)) | (body < 0)
    if sensor == "kinect":  # registering depth to colour leaves a border of the image without
        right, bottom = (rng.integers(0, max(int(0.03 * width), 2)), rng.integers(0, max(int(0.02 * height), 2)))
        lost[:, width - right :] = True
        lost[height - bottom :] = True
    return Measured(np.where(lost, np.nan, depth).astype(np.float32), np.where(lost, -1, body).astype(np.int32))


def _edges(depth: np.ndarray, size: int) -> np.ndarray:
    """Pixels with a jump in depth in their ``size``-wide neighbourhood."""
    near, far = minimum_filter(depth, size), maximum_filter(depth, size)
    with np.errstate(invalid="ignore"):
        return ~(far - near < 0.03 + 0.02 * near)


def _ragged(view: View, sigma: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Row and column that each pixel really looks at: off by ``sigma`` pixels near edges, where the window that is
    matched holds two surfaces; its own elsewhere."""
    height, width = view.depth.shape
    row, column = np.mgrid[:height, :width].astype(np.int32)
    edge = np.flatnonzero(_edges(view.depth, 5))
    jitter = gaussian_filter(rng.standard_normal((2, height, width), np.float32), (0, 0.7, 0.7), truncate=2.0)
    jitter *= sigma / max(float(jitter.std()), 1e-9)
    row.flat[edge] = np.clip(row.flat[edge] + np.rint(jitter[0].flat[edge]).astype(np.int32), 0, height - 1)
    column.flat[edge] = np.clip(column.flat[edge] + np.rint(jitter[1].flat[edge]).astype(np.int32), 0, width - 1)
    return row, column


def _shadowed(depth: np.ndarray, constant: float) -> np.ndarray:
    """Pixels hidden from the projector, which stands to the right: something nearer cuts their line to it."""
    width = depth.shape[1]
    seen_at = np.arange(width, dtype=np.float32) - np.float32(constant) / depth  # column in the projector's image
    nearest = np.minimum.accumulate(seen_at[:, ::-1], axis=1)[:, ::-1]
    return seen_at > nearest + 1.0


def _unanswered(view: View, looked_at: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Pixels whose pattern does not come back: glass, shiny metal, black plastic, grazing views, torn edges."""
    height, width = view.depth.shape
    red, green, blue = view.albedo[..., 0], view.albedo[..., 1], view.albedo[..., 2]
    brightness = np.maximum(np.maximum(red, green), blue)
    grazing = 1 - view.facing / 0.22
    dark = 0.22 - 2.2 * brightness
    mirror = 0.8 * view.gloss * (1 - (1 - view.facing) / 0.015)
    chance = np.maximum(np.maximum(grazing, dark), np.maximum(mirror, view.dropout)).take(looked_at)
    # answers fail in blotches; drawn coarsely, as their borders are ragged anyway
    cell = max(round(4 * scale), 1)
    blotch = gaussian_filter(rng.standard_normal((height // cell + 1, width // cell + 1), np.float32), 0.9)
    blotch /= max(float(blotch.std()), 1e-9)
    level = 0.5 + 0.5 * np.tanh(blotch * 0.8)  # roughly uniform in 0 … 1
    level = np.repeat(np.repeat(level, cell, 0)[:height], cell, 1)[:, :width].take(looked_at)
    torn = _edges(view.depth, 3) & (rng.random((height, width), np.float32) < 0.2)
    return (level < chance) & (chance > 0.02) | torn | (rng.random((height, width), np.float32) < 0.0008)


def _flying(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Depth at edges drawn part of the way to the neighbouring surface."""
    finite = np.where(np.isfinite(depth), depth, 6.0).astype(np.float32)
    mean = uniform_filter(finite, 3)
    edge = np.abs(mean - finite) > 0.01
    share = np.where(rng.random(depth.shape) < 0.4, rng.uniform(0, 0.7, depth.shape), 0.0).astype(np.float32)
    return np.where(edge & np.isfinite(depth), finite + (mean - finite) * share, depth)


def photograph(view: View, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) uint8 picture: exposure, white balance, vignette, blur, misfit to the depth, noise, in that order."""
    height, width = view.depth.shape
    scale = width / 640
    light = view.shaded
    # the camera exposes for the mean of what it sees
    target = rng.uniform(0.2, 0.62)
    gain = np.clip(target / max(float(light.mean()), 1e-3), 0.6, 2.6)
    balance = np.exp(rng.normal(0, 0.05, 3))
    balance /= balance.mean()
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    slope = rng.normal(0, 0.08, 2)
    falloff = 1 - rng.uniform(0, 0.12) * (x * x + y * y) + slope[0] * x + slope[1] * y
    light = light * (falloff[..., None] * (gain * balance)).astype(np.float32)
    light = light / (1 + np.maximum(light - 0.75, 0))  # highlights roll off
    picture = np.sqrt(np.clip(light, 0, 1)).astype(np.float32)
    blur = rng.uniform(0.4, 1.1) * max(scale, 0.6)
    picture = gaussian_filter(picture, (blur, blur, 0), truncate=2.5)
    picture = _shifted(picture, *(np.rint(rng.uniform(-2.2, 2.2, 2) * scale).astype(int)))
    haze = rng.uniform(0.0, 0.04)
    noise = rng.standard_normal((height, width, 3), np.float32) * np.float32(rng.uniform(0.004, 0.018))
    return (np.clip(haze + (1 - haze) * picture + noise, 0, 1) * 255).astype(np.uint8)


def _shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return picture[rows[:, None], columns]
