"""What a depth camera makes of a view: quantised, noisy, torn depth and a picture that does not quite fit it.

All three measure by triangulation, depth = constant / disparity, so steps and noise grow with z² (Khoshelham &
Elberink 2012), and what one of the two eyes cannot see has no depth: a shadow on one side of every object.

- "kinect", the first Kinect: a projector beside the camera; disparity in eighths of a pixel, depth in whole
  millimetres, registered to the colour camera, which costs a border of the image.
- "realsense", the D400 family: two infrared cameras; noise is smooth over a matching window, depth at edges flies
  between the surfaces, far plain walls come patchy.
- "stereo", two infrared cameras with a projected texture, of any make: the same, wider; its picture is infrared,
  or colour of a camera that hardly fits.

The ranges are ours, drawn anew for every view: about the spread between devices and their settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter, uniform_filter

from segpoint_training.scenes.render import View

SENSORS = ("kinect", "realsense", "stereo")  # those with an image; see lidar.py for the other


@dataclass(frozen=True)
class Measured:
    """A depth image, and what its depths belong to."""

    depth: np.ndarray  # (h, w) float32 metres; NaN where the sensor saw nothing
    body: np.ndarray  # (h, w) int32, the thing each depth was measured on; −1


@dataclass(frozen=True)
class _Device:
    """One sensor with its settings. Pixels are those of an image 640 wide."""

    constant: float  # focal length · baseline, pixel metres: depth · disparity
    step: float  # pixels of disparity
    millimetres: bool  # depth is told in whole millimetres
    noise: float  # pixels of disparity
    window: float  # pixels over which noise is alike
    warp: float  # pixels of disparity that calibration leaves wrong in the corners
    ragged: float  # pixels that edges are off, sideways
    torn: float  # share of edge pixels without depth
    flying: float  # share of edge pixels between the surfaces
    salt: float  # share of single pixels without depth
    matched: bool  # whole blocks of the pattern are matched: no specks but salt
    lit: float  # metres up to which the projector gives plain surfaces a texture; 0: they need none
    nearest: float  # metres
    reach: float  # metres
    border: tuple[float, float, float, float]  # pixels left, right, top, bottom without depth
    overlap: bool  # the second eye's picture ends: a strip of the image is seen by one eye only
    side: int  # 1: the second eye stands to the right of the camera; −1: left


def _draw_device(sensor: str, rng: np.random.Generator) -> _Device:
    u = rng.uniform
    if sensor == "kinect":
        is_registered = rng.random() < 0.8
        border = (u(0, 10), u(8, 46), u(4, 24), u(0, 6)) if is_registered else (u(0, 4), u(6, 10), u(0, 2), u(0, 2))
        return _Device(constant=u(42.5, 44.3), step=1 / 8, millimetres=True, noise=u(0.02, 0.08), window=u(1.0, 2.0),
                       warp=u(0, 0.15), ragged=u(0.6, 1.5), torn=u(0.02, 0.25), flying=u(0, 0.06),
                       salt=max(u(-6e-4, 3e-4), 0), matched=True, lit=0, nearest=u(0.42, 0.52), reach=u(4.0, 8.0),
                       border=border, overlap=False, side=1)  # fmt: skip
    is_matched = bool(rng.random() < 0.5)
    if sensor == "realsense":
        is_aligned = rng.random() < 0.6  # to the colour camera, which sees less than the depth cameras
        return _Device(constant=float(rng.choice((19.3, 32.0, 36.5))) * u(0.95, 1.05), step=1 / 32, millimetres=True,
                       noise=u(0.04, 0.12), window=u(1.5, 3.5), warp=u(0, 0.15), ragged=u(0.5, 1.6), torn=u(0.05, 0.5),
                       flying=u(0.1, 0.5), salt=u(0, 6e-4), matched=is_matched, lit=u(2.0, 4.5), nearest=u(0.2, 0.4),
                       reach=u(5.0, 8.0), border=(u(0, 6), u(0, 4), u(0, 3), u(0, 3)), overlap=not is_aligned,
                       side=1)  # fmt: skip
    return _Device(constant=u(20, 60), step=float(rng.choice((1 / 64, 1 / 32, 1 / 16, 1 / 8))),
                   millimetres=bool(rng.random() < 0.4), noise=u(0.05, 0.2), window=u(2.0, 5.0), warp=u(0, 0.25),
                   ragged=u(0.7, 2.5), torn=u(0.05, 0.6), flying=u(0.15, 0.7), salt=u(0, 1e-3), matched=is_matched,
                   lit=u(1.6, 4.5), nearest=u(0.2, 0.45), reach=u(4.5, 8.0),
                   border=(u(0, 8), u(0, 8), u(0, 6), u(0, 6)), overlap=True,
                   side=int(rng.choice((-1, 1))))  # fmt: skip


def measure(view: View, focal: float, sensor: str, rng: np.random.Generator) -> Measured:
    """Depth as ``sensor`` (one of SENSORS) measures it; ``focal`` in pixels of the view.

    A view less than 640 wide is that sensor's image subsampled: steps and noise in metres stay the same.
    """
    device = _draw_device(sensor, rng)
    height, width = view.depth.shape
    scale = width / 640
    looked_at = _ragged(view, device.ragged * max(scale, 0.6), rng)
    depth, body = view.depth.take(looked_at), view.body.take(looked_at)
    lost = _shadowed(depth, focal * device.constant / _FOCAL, device) | _on_border(device, height, width, scale)
    lost |= _unanswered(view, looked_at, device, scale, rng)
    if device.matched:  # single pixels follow those around them
        lost = uniform_filter(lost.astype(np.float32), 3) > 0.5
    lost |= rng.random(lost.shape, np.float32) < device.salt
    depth = _flying(depth, device, rng)
    with np.errstate(divide="ignore"):
        disparity = device.constant / depth
    disparity += _disturbed(view, looked_at, device, scale, rng)
    disparity = np.round(disparity / device.step) * device.step
    with np.errstate(divide="ignore"):
        depth = device.constant / disparity
    if device.millimetres:
        depth = np.round(depth, 3)
    lost |= ~((depth > device.nearest) & (depth < device.reach)) | (body < 0)
    return Measured(np.where(lost, np.nan, depth).astype(np.float32), np.where(lost, -1, body).astype(np.int32))


_FOCAL = 540.0  # pixels of a usual view 640 wide: turns a device's constant into a baseline in metres


def _edges(depth: np.ndarray, size: int) -> np.ndarray:
    """Pixels with a jump in depth in their ``size``-wide neighbourhood."""
    near, far = minimum_filter(depth, size), maximum_filter(depth, size)
    with np.errstate(invalid="ignore"):
        return ~(far - near < 0.03 + 0.02 * near)


def _ragged(view: View, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """(h, w) index of the pixel that each pixel really looks at: off by ``sigma`` pixels near edges, where the window
    that is matched holds two surfaces; its own elsewhere."""
    height, width = view.depth.shape
    edge = np.flatnonzero(_edges(view.depth, 2 * int(np.ceil(sigma)) + 3))
    jitter = gaussian_filter(rng.standard_normal((2, height, width), np.float32), (0, 1.6, 1.6), truncate=2.0)
    jitter *= sigma / max(float(jitter.std()), 1e-9)
    row, column = np.divmod(edge, width)
    row = np.clip(row + np.rint(jitter[0].flat[edge]).astype(int), 0, height - 1)
    column = np.clip(column + np.rint(jitter[1].flat[edge]).astype(int), 0, width - 1)
    looked_at = np.arange(height * width)
    looked_at[edge] = row * width + column
    return looked_at.reshape(height, width)


def _shadowed(depth: np.ndarray, constant: float, device: _Device) -> np.ndarray:
    """Pixels hidden from the second eye: something nearer cuts their line to it, or its picture ends before."""
    depth = depth[:, :: device.side]
    seen_at = np.arange(depth.shape[1], dtype=np.float32) - np.float32(constant) / depth  # column in its picture
    nearest = np.minimum.accumulate(seen_at[:, ::-1], axis=1)[:, ::-1]
    hidden = seen_at > nearest + 1.0
    if device.overlap:
        hidden |= seen_at < 0
    return hidden[:, :: device.side]


def _on_border(device: _Device, height: int, width: int, scale: float) -> np.ndarray:
    left, right, top, bottom = (round(side * scale) for side in device.border)
    outside = np.ones((height, width), bool)
    outside[top : height - bottom, left : width - right] = False
    return outside


def _unanswered(view: View, looked_at: np.ndarray, device: _Device, scale: float,
                rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Pixels whose pattern does not come back: glass, shiny metal, black plastic, grazing views, torn edges, what is
    far, and where two cameras must match, what is plain."""
    brightness = view.albedo.max(-1)
    grazing = 1 - view.facing / rng.uniform(0.12, 0.25)
    dark = rng.uniform(0.0, 0.35) - rng.uniform(1.5, 3.0) * brightness
    mirror = rng.uniform(0.5, 0.9) * view.gloss * (1 - (1 - view.facing) / rng.uniform(0.01, 0.03))
    far = (view.depth / device.reach - 0.75) * rng.uniform(0.5, 3.0)
    chance = np.maximum.reduce([grazing, dark, mirror, view.dropout, far])
    if device.lit:
        spread = uniform_filter(np.square(brightness), 7) - np.square(uniform_filter(brightness, 7))
        plain = 1 - np.sqrt(np.maximum(spread, 0)) / 0.04
        chance = np.maximum(chance, plain * np.clip(view.depth / device.lit - 1, 0, 0.5))
    chance = chance.take(looked_at)
    level = _blotches(view.depth.shape, rng.uniform(1.5, 7.0) * scale, rng)
    torn = _edges(view.depth, 3) & (_blotches(view.depth.shape, 2 * scale, rng) < device.torn)
    return (level < chance) & (chance > 0.02) | torn


def _blotches(shape: tuple[int, ...], size: float, rng: np.random.Generator) -> np.ndarray:
    """(h, w) float32, roughly uniform in 0 … 1 and smooth over ``size`` pixels: answers fail in blotches."""
    cell = 2 if size > 2 else 1  # drawn coarsely where nobody would notice
    noise = rng.standard_normal((shape[0] // cell + 1, shape[1] // cell + 1), np.float32)
    noise = gaussian_filter(noise, max(size / cell, 0.4), truncate=2.0)
    level = 0.5 + 0.5 * np.tanh(noise * np.float32(0.8 / max(float(noise.std()), 1e-9)))
    return np.repeat(np.repeat(level, cell, 0), cell, 1)[: shape[0], : shape[1]]


def _flying(depth: np.ndarray, device: _Device, rng: np.random.Generator) -> np.ndarray:
    """Depth at edges drawn part of the way to the neighbouring surface."""
    finite = np.where(np.isfinite(depth), depth, 6.0).astype(np.float32)
    mean = uniform_filter(finite, 3)
    edge = np.flatnonzero((np.abs(mean - finite) > 0.01) & np.isfinite(depth))
    edge = edge[rng.random(len(edge)) < device.flying]
    flown = depth.copy()
    flown.flat[edge] += (mean - finite).flat[edge] * rng.uniform(0, 0.9, len(edge)).astype(np.float32)
    return flown


def _disturbed(view: View, looked_at: np.ndarray, device: _Device, scale: float,
               rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """(h, w) error of the disparity: noise, stronger where little light comes back, and what calibration left."""
    height, width = looked_at.shape
    smooth = gaussian_filter(rng.standard_normal((height, width), np.float32), max(device.window * scale, 0.3),
                             truncate=2.5)  # fmt: skip
    answer = np.clip(view.facing * (0.3 + view.albedo.max(-1)), 0.2, 1.0).take(looked_at)
    noise = smooth * (device.noise / max(float(smooth.std()), 1e-9)) / np.sqrt(answer)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    bend = rng.normal(0, 0.5, 3).astype(np.float32)
    return noise + np.float32(device.warp) * (bend[0] * (x * x - 0.3) + bend[1] * (y * y - 0.3) + bend[2] * x * y)


def photograph(view: View, rng: np.random.Generator, sensor: str = "kinect") -> np.ndarray:
    """(h, w, 3) uint8 picture that ``sensor`` gives beside its depth.

    Two infrared cameras have no colour: grey, with or without the projected dots, or at times a colour camera's
    picture that hardly fits.
    """
    if sensor == "stereo":
        if rng.random() < 0.75:
            return _infrared(view, rng)
        return _misplaced(_coloured(view, rng), rng)
    return _coloured(view, rng)


def _coloured(view: View, rng: np.random.Generator) -> np.ndarray:
    """Exposure, white balance, vignette, tone, blur, misfit to the depth, noise, in that order."""
    height, width = view.depth.shape
    scale = width / 640
    # the camera exposes for the mean of what it sees
    gain = np.clip(rng.triangular(0.1, 0.4, 0.75) / max(float(view.shaded.mean()), 1e-3), 0.5, 3.0)
    warm = rng.normal(0, 0.05)
    balance = np.exp(rng.normal(0, 0.03, 3) + (warm, 0, -warm))
    balance /= balance.mean()
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    slope = rng.normal(0, 0.08, 2)
    falloff = 1 - rng.uniform(0, 0.15) * (x * x + y * y) + slope[0] * x + slope[1] * y
    light = view.shaded * (falloff[..., None] * (gain * balance)).astype(np.float32)
    grey = light.mean(-1, keepdims=True)
    light = np.maximum(grey + (light - grey) * np.float32(rng.uniform(0.75, 1.2)), 0)
    light = light / (1 + np.maximum(light - np.float32(rng.uniform(0.6, 1.0)), 0))  # highlights roll off
    picture = np.power(np.minimum(light, 1), np.float32(rng.uniform(0.42, 0.56)))
    blur = rng.uniform(0.4, 1.2) * max(scale, 0.6)
    picture = gaussian_filter(picture, (blur, blur, 0), truncate=2.5)
    if rng.random() < 0.5:  # sharpened again, as most cameras do
        picture += np.float32(rng.uniform(0.2, 1.0)) * (picture - gaussian_filter(picture, (1.2, 1.2, 0), truncate=2))
    picture = _moved(picture, *(np.rint(rng.uniform(-2.2, 2.2, 2) * scale).astype(int)))
    haze = rng.uniform(0.0, 0.05)
    strength = np.exp(rng.uniform(np.log(0.0006), np.log(0.013), 2)).astype(np.float32)  # most cameras smooth it away
    noise = rng.standard_normal((height, width), np.float32)[..., None] * strength[0]
    patches = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), np.float32) * strength[1]
    noise = noise + np.repeat(np.repeat(patches, 2, 0), 2, 1)[:height, :width]  # colour noise comes in patches
    return (np.clip(haze + (1 - haze) * picture + noise, 0, 1) * 255).astype(np.uint8)


def _infrared(view: View, rng: np.random.Generator) -> np.ndarray:
    """Grey in all three channels: daylight and the projector's light, which fades with distance, on surfaces whose
    answer to infrared is not what their colour suggests."""
    height, width = view.depth.shape
    answer = np.exp(rng.normal(0, 0.4, int(view.body.max(initial=0)) + 2)).astype(np.float32)[view.body]
    weight = rng.dirichlet((4, 2, 2)).astype(np.float32)
    depth = np.where(np.isfinite(view.depth), np.maximum(view.depth, 0.2), 20.0).astype(np.float32)
    beam = view.facing * np.square(view.albedo @ weight) / np.square(depth) * answer
    share = rng.uniform(0, 1)
    light = share * answer * (view.shaded @ weight) + (1 - share) * beam
    if rng.random() < 0.6:
        light = light + rng.uniform(0.5, 3.0) * beam * _dots(depth, rng)
    light *= rng.uniform(0.12, 0.45) / max(float(light.mean()), 1e-4)
    picture = gaussian_filter(np.sqrt(np.clip(light, 0, 1)), rng.uniform(0.3, 0.8), truncate=2.5)
    picture += rng.standard_normal((height, width), np.float32) * np.float32(rng.uniform(0.005, 0.03))
    return np.repeat((np.clip(picture, 0, 1) * 255).astype(np.uint8)[..., None], 3, -1)


def _dots(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(h, w) the projector's random dots, 0 … 1, displaced sideways by what they fall on."""
    height, width = depth.shape
    pad = width // 2
    pattern = (rng.random((height, width + pad), np.float32) < rng.uniform(0.02, 0.08)).astype(np.float32)
    pattern = gaussian_filter(pattern, rng.uniform(0.5, 0.9), truncate=2.5)
    pattern /= max(float(pattern.max()), 1e-6)
    shift = np.minimum(rng.uniform(5, 20) * (width / 640) / depth, pad - 1).astype(int)
    return pattern[np.arange(height)[:, None], np.arange(width) + shift]


def _misplaced(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture of a camera that is poorly registered: moved and zoomed."""
    height, width = picture.shape[:2]
    zoom, (down, right) = rng.uniform(0.95, 1.05), rng.uniform(-0.03, 0.03, 2) * width
    rows = np.rint((np.arange(height) - height / 2) * zoom + height / 2 - down).astype(int)
    columns = np.rint((np.arange(width) - width / 2) * zoom + width / 2 - right).astype(int)
    return picture[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)]


def _moved(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return picture[rows[:, None], columns]
