"""Pictures of an answer, drawn with numpy and Pillow: no display, no GPU.

An organised cloud is drawn as the camera's image. Any other cloud is splatted into the view of a virtual pinhole
camera, raised behind the sensor, and higher over a map, whose walls would hide the room. Either way there is one
`View`: which point each pixel shows, and the camera that boxes are projected with.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from segpoint.cloud import BODY_FROM_OPTICAL, FRAMES
from segpoint.errors import SegPointError
from segpoint.instances import Instance

_PANEL = 640  # pixels; two of them make the 1280 of a picture
_TARGET = np.array([255.0, 0.0, 150.0])  # magenta: hardly any household object has it
_BOXES = ("#ffe600", "#00e5ff", "#7dff3a", "#ff9d2e", "#d9a7ff")
_PAPER, _INK, _FAINT = "#14161a", "#f4f4f4", "#9aa3ad"
_FILL = np.array([26.0, 29.0, 34.0])  # where no point is seen
_ELEVATION = {"optical": 0.5, "body": 0.5, "map": 1.1}  # radians that the virtual camera looks down, by frame
_TURN = 0.25  # radians to the side
_EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))


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


def render_answer(
    path: str | Path,
    xyz: np.ndarray,
    rgb: np.ndarray | None,
    mask: np.ndarray,
    instances: Sequence[Instance],
    instruction: str,
    answer: str,
    frame: str,
    width: int | None = None,
    height: int | None = None,
) -> None:
    """Write a PNG, 1280 pixels wide: the cloud, and beside it the same with its targets marked and boxed.

    ``xyz`` (M, 3) metres, NaN rows allowed; ``rgb`` (M, 3) uint8 or None (grey by depth then); ``mask`` (M,) bool;
    ``instances`` in xyz's ``frame``, one of `FRAMES`. With ``width * height == M`` the cloud is organised.
    Raises SegPointError where the file cannot be written.
    """
    picture = draw_answer(xyz, rgb, mask, instances, instruction, answer, frame, width, height)
    save(picture, path)


def render_sheet(path: str | Path, panels: Sequence[Image.Image], columns: int = 1) -> None:
    """Write several pictures (of `draw_answer`) as one PNG, row by row."""
    if not panels:
        raise SegPointError(f"{path}: a sheet needs one picture or more, and none was given")
    cell = (max(p.width for p in panels), max(p.height for p in panels))
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (cell[0] * columns, cell[1] * rows), _PAPER)
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index % columns * cell[0], index // columns * cell[1]))
    save(sheet, path)


def draw_answer(
    xyz: np.ndarray,
    rgb: np.ndarray | None,
    mask: np.ndarray,
    instances: Sequence[Instance],
    instruction: str,
    answer: str,
    frame: str,
    width: int | None = None,
    height: int | None = None,
    truth: np.ndarray | None = None,
) -> Image.Image:
    """The picture that `render_answer` writes. With ``truth`` (M,) bool, the left half shows what should be marked."""
    xyz = np.asarray(xyz, dtype=np.float64)
    mask = np.asarray(mask, dtype=bool)
    view = look(xyz, frame, width, height)
    colours = grey_by_depth(view, xyz) if rgb is None else np.asarray(rgb, dtype=np.float64)
    before = paint(view, colours if truth is None else highlight(colours, np.asarray(truth, dtype=bool)))
    after = paint(view, highlight(colours, mask))
    _draw_boxes(after, view, instances)
    found = f"{len(instances)} target{'' if len(instances) == 1 else 's'}, {int(mask.sum()):,} points"
    meant = "the cloud" if truth is None else "what is meant" if np.any(truth) else "nothing is meant"
    halves = [
        _captioned(before, instruction, meant),
        _captioned(after, answer, found),
    ]
    picture = Image.new("RGB", (2 * _PANEL, max(half.height for half in halves)), _PAPER)
    for index, half in enumerate(halves):
        picture.paste(half, (index * _PANEL, 0))
    return picture


# --- where each point lands ---------------------------------------------------------------------------------------


def look(xyz: np.ndarray, frame: str, width: int | None = None, height: int | None = None) -> View:
    """The camera's own view of an organised cloud; for any other, one from behind and above the sensor."""
    if frame not in FRAMES:
        raise SegPointError(f"frame must be one of {FRAMES}, not {frame!r}")
    to_optical = np.eye(3) if frame == "optical" else BODY_FROM_OPTICAL.T.astype(np.float64)
    if width and height and height > 1 and width * height == len(xyz):
        view = _camera_view(xyz @ to_optical.T, to_optical, width, height)
        if view is not None:
            return view
    return _raised_view(xyz, to_optical, _ELEVATION[frame])


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
        line = np.polyfit(ray[:, axis], pixel[:, axis], 1)
        if np.abs(np.polyval(line, ray[:, axis]) - pixel[:, axis]).mean() > 2.0:
            return None  # a spinning lidar's rows and columns, or rows in another order
        focal[axis], middle[axis] = line
    scale = _PANEL / width
    size = (max(1, round(height * scale)), _PANEL)
    nearest = ((np.arange(size[0]) / scale).astype(int).clip(0, height - 1) * width)[:, None]
    shown = nearest + (np.arange(size[1]) / scale).astype(int).clip(0, width - 1)
    return View(shown, rotation, np.zeros(3), focal * scale, (middle + 0.5) * scale)


def _raised_view(xyz: np.ndarray, to_optical: np.ndarray, elevation: float) -> View:
    """A virtual camera behind the sensor that looks down by ``elevation`` (radians), filled by the points."""
    size = (_PANEL * 3 // 4, _PANEL)
    valid = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    optical = xyz[valid] @ to_optical.T
    middle = np.median(optical, axis=0) if len(valid) else np.array([0.0, 0.0, 1.0])
    reach = max(float(np.percentile(np.linalg.norm(optical - middle, axis=1), 95)) if len(valid) else 1.0, 1e-3)
    tilt = Rotation.from_euler("yx", [_TURN, elevation]).as_matrix()
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


# --- colour -------------------------------------------------------------------------------------------------------


def grey_by_depth(view: View, xyz: np.ndarray) -> np.ndarray:
    """Colours (M, 3), 0 to 255, for a cloud (M, 3) that has none: the nearer, the brighter."""
    depth = view.project(np.nan_to_num(xyz, posinf=0.0, neginf=0.0))[1]
    valid = np.isfinite(xyz).all(axis=1)
    near, far = np.percentile(depth[valid], [2, 98]) if valid.any() else (0.0, 1.0)
    grey = 230.0 - 170.0 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1)
    return np.repeat(np.where(valid, grey, _FILL[1])[:, None], 3, axis=1)


def highlight(colours: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Targets in the target colour, still shaded by their own brightness; everything else paler and greyer."""
    brightness = colours @ np.array([0.299, 0.587, 0.114])
    greyed = 0.75 * (0.35 * colours + 0.65 * brightness[:, None]) + 20.0
    marked = 0.75 * _TARGET + 0.35 * brightness[:, None]
    return np.where(mask[:, None], marked, greyed).clip(0, 255)


def paint(view: View, colours: np.ndarray) -> Image.Image:
    """What ``view`` shows of M points with ``colours`` (M, 3), 0 to 255."""
    image = np.where((view.shown >= 0)[..., None], colours[view.shown], _FILL)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8), "RGB")


# --- boxes and words ----------------------------------------------------------------------------------------------


def _draw_boxes(image: Image.Image, view: View, instances: Sequence[Instance]) -> None:
    draw = ImageDraw.Draw(image)
    unit = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    for number, instance in enumerate(instances, start=1):
        colour = _BOXES[(number - 1) % len(_BOXES)]
        corners = unit * instance.size @ Rotation.from_quat(instance.orientation).as_matrix().T + instance.centre
        pixel, depth = view.project(corners)
        visible = [edge for edge in _EDGES if min(depth[edge[0]], depth[edge[1]]) > 0.02]
        for ink, thickness in (("#000000", 5), (colour, 2)):
            for start, end in visible:
                draw.line([tuple(pixel[start]), tuple(pixel[end])], fill=ink, width=thickness)
        if visible:
            left, top = pixel[:, 0].min(), pixel[:, 1].min()
            place = (float(np.clip(left, 2, image.width - 90)), float(np.clip(top - 24, 2, image.height - 24)))
            _tag(draw, place, f"{number} · {instance.score:.2f}", colour)


def _tag(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: str) -> None:
    font = ImageFont.load_default(16)
    left, top, right, bottom = draw.textbbox(place, text, font=font)
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill="#000000")
    draw.text(place, text, fill=colour, font=font)


def _captioned(image: Image.Image, words: str, detail: str) -> Image.Image:
    """The image with a line or two of text under it."""
    lines = textwrap.wrap(" ".join(words.split()) or "…", width=58, max_lines=2, placeholder=" …")
    picture = Image.new("RGB", (image.width, image.height + 84), _PAPER)
    picture.paste(image, (0, 0))
    draw = ImageDraw.Draw(picture)
    draw.multiline_text((12, image.height + 8), "\n".join(lines), fill=_INK, font=ImageFont.load_default(20), spacing=4)
    draw.text((12, image.height + 60), detail, fill=_FAINT, font=ImageFont.load_default(15))
    return picture


def save(picture: Image.Image, path: str | Path) -> None:
    """Write a PNG. Raises SegPointError where that is not possible."""
    try:
        picture.save(path, format="PNG")
    except OSError as error:
        raise SegPointError(f"{path}: cannot be written ({error.strerror or error}); is the folder there?") from error
