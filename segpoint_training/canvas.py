"""A cloud that is prepared for the network, drawn as surfaces.

Such a cloud is sparse, and finer on objects than around them. Its voxels are discs as large as the gaps between them,
lit from the eye and dark behind edges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

from segpoint.projection import View, look_from_outside
from segpoint.render import highlight, paint
from segpoint_training.shards import LabelledCloud

VIEW = (336, 252)  # pixels of a picture
_LARGEST = 28.0  # pixels, before it is made smaller: a disc's radius, however lonely its voxel
_COVER = 0.75  # a disc's radius in gaps between voxels: without holes on a grid from 0.71 on
_MARGIN = 0.88  # of the picture's size is what `look` fills it to
_NEIGHBOURS = 10  # that a voxel's surface is fitted to
_DARKEST, _GREY = 0.6, 190.0  # brightness of a surface that is seen along its plane; colour of what has none
_DOT = "#ff0096"  # `highlight`'s colour
_EDGE = 20.0  # how dark an edge is for a relative step in depth


@dataclass(frozen=True)
class Canvas:
    """A cloud of M voxels that is drawn in several colourings.

    ``camera`` says which voxel each pixel shows, ``shade`` (h, w, 1) how bright it is there. xyz (M, 3) metres, level;
    colours (M, 3), 0 to 255.
    """

    xyz: np.ndarray
    colours: np.ndarray
    camera: View
    shade: np.ndarray

    @classmethod
    def of(cls, item: LabelledCloud) -> Canvas:
        """From behind and above the sensor, below which a level cloud has its origin; a map from higher up."""
        xyz = item.xyz[: item.count].astype(np.float64)
        camera = _farther(look_from_outside(xyz, "map" if item.frame == "map" else "body"))
        gap, normal = surfaces(xyz)
        pixel, depth = camera.project(xyz)
        radius = np.clip(_COVER * gap * camera.focal[0] / np.maximum(depth, 1e-6), 1.0, _LARGEST)
        # A coarse voxel's disc is a guess at what lies around it: fine ones that are about as near stay before it.
        before = np.where(depth > 0, depth + gap, -1.0)
        shown = discs(pixel, before, radius, (camera.shown.shape[0], camera.shown.shape[1]))
        toward = (camera.translation @ camera.rotation) + xyz  # from the eye, in the cloud's axes
        facing = np.abs((normal * toward).sum(axis=1)) / np.maximum(np.linalg.norm(toward, axis=1), 1e-9)
        colours = item.rgb[: item.count].astype(np.float64) if item.coloured else np.full_like(xyz, _GREY)
        shade = np.where(shown >= 0, (_DARKEST + (1 - _DARKEST) * facing)[shown] * edges(shown, depth), 1.0)
        return cls(xyz, colours, replace(camera, shown=shown), shade[..., None])

    def view(self, mask: np.ndarray | None = None, click: int | None = None) -> Image.Image:
        """The cloud in its colours, or with the voxels of ``mask`` (M,) marked, VIEW's size.

        Marked voxels that are behind others are dots; the one that is clicked on has a ring.
        """
        colours = self.colours if mask is None else highlight(self.colours, mask)
        image = Image.fromarray((np.asarray(paint(self.camera, colours)) * self.shade).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        for x, y in [] if mask is None else self._behind(mask).tolist():
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), _DOT)
        if click is not None:
            (x, y), *_ = self.camera.project(self.xyz[[click]])[0]
            for ink, thickness in (("#000000", 9), ("#ffffff", 5)):
                draw.ellipse((x - 16, y - 16, x + 16, y + 16), outline=ink, width=thickness)
        return image.resize(VIEW, Image.Resampling.LANCZOS)

    def _behind(self, mask: np.ndarray) -> np.ndarray:
        """(n, 2) pixels of the voxels of ``mask`` where one that is not of it is shown."""
        shown = self.camera.shown
        pixel, depth = self.camera.project(self.xyz[mask])
        column, row = pixel.astype(np.int64).T
        inside = (depth > 0) & (row >= 0) & (row < shown.shape[0]) & (column >= 0) & (column < shown.shape[1])
        before = shown[row[inside], column[inside]]
        return pixel[inside][(before >= 0) & ~mask[before]]


def _farther(camera: View) -> View:
    """With some margin: `look_from_outside` fills the picture with the points, which are larger here."""
    middle = np.array(camera.shown.shape[::-1]) / 2
    return replace(camera, focal=_MARGIN * camera.focal, middle=middle + _MARGIN * (camera.middle - middle))


def surfaces(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) how far apart points (M, 3) lie about each, and (M, 3) the unit normal of the surface that they lie on.

    A lonely point, as a sensor sees one at an edge, is given twice its neighbours' gap.
    """
    apart, beside = cKDTree(xyz).query(xyz, k=min(_NEIGHBOURS, len(xyz)))
    apart, beside = apart.reshape(len(xyz), -1), beside.reshape(len(xyz), -1)
    spread = xyz[beside] - xyz[beside].mean(axis=1, keepdims=True)  # (M, k, 3)
    normal = np.linalg.eigh(spread.transpose(0, 2, 1) @ spread)[1][..., 0]
    if len(xyz) == 1:
        return np.zeros(1), normal
    gap = apart[:, 1:5].mean(axis=1)
    return np.minimum(gap, 2 * np.median(gap[beside[:, 1:]], axis=1)), normal


def discs(pixel: np.ndarray, depth: np.ndarray, radius: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) int64: which of M points each pixel shows as they lie on one another, -1 for none.

    pixel: (M, 2) x and y.   depth: (M,), what is not before the camera is left out.   radius: (M,) pixels.
    """
    shown = Image.new("I", (size[1], size[0]), -1)
    draw = ImageDraw.Draw(shown)
    corners = np.concatenate([pixel - radius[:, None], pixel + radius[:, None]], axis=1)
    for point in np.argsort(-depth, kind="stable").tolist():
        if depth[point] > 0:
            draw.ellipse(corners[point].tolist(), fill=point)
    return np.asarray(shown, dtype=np.int64)


def edges(shown: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(h, w) in (0, 1]: darker where something nearer is beside a pixel (eye-dome lighting)."""
    far = np.log(np.where(shown >= 0, np.maximum(depth[shown], 1e-6), depth.max(initial=1.0)))
    padded = np.pad(far, 2, mode="edge")
    beside = [padded[2:-2, :-4], padded[2:-2, 4:], padded[:-4, 2:-2], padded[4:, 2:-2]]
    return np.exp(-_EDGE * np.mean([np.maximum(0, far - other) for other in beside], axis=0))
