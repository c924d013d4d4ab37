"""The picture of a cloud that a person labels in: every pixel shows a point, every point that is seen has a pixel."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from segpoint.errors import SegPointError
from segpoint.projection import Panorama, View, look
from segpoint.render import grey_by_depth, paint
from segpoint_replay.annotate.masks import finite

_BEHIND = 0.03  # of its distance: how far a point may lie behind the one that its pixel shows, and still be seen there
_QUALITY = 92


class Picture:
    """A cloud (M, 3) as the camera's image where it is organised, else as `segpoint.render` projects it.

    xyz: metres, NaN rows allowed.   rgb: (M, 3) uint8, or None: grey by depth.   frame: "optical", "body" or "map".
    """

    def __init__(self, xyz: np.ndarray, rgb: np.ndarray | None, frame: str, width: int, height: int) -> None:
        self._xyz = np.asarray(xyz, np.float64)
        self.view: View = look(self._xyz, frame, width, height)
        colours = grey_by_depth(self.view, self._xyz) if rgb is None else rgb.astype(np.float64)
        # No point, no pixel: what a camera saw without depth is shown, but cannot be labelled.
        self.shown = np.where(finite(self._xyz)[self.view.shown], self.view.shown, -1)
        file = io.BytesIO()
        paint(self.view, colours).save(file, "JPEG", quality=_QUALITY, subsampling=0)
        self.jpeg = file.getvalue()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.shown.shape[1], self.shown.shape[0]

    def layer(self, label: np.ndarray) -> np.ndarray:
        """(h, w) of the labels (M,), 0 where no point is seen."""
        return np.where(self.shown >= 0, label[self.shown], 0)

    def point_at(self, x: float, y: float, reach: int = 4) -> int | None:
        """The point shown at a pixel, or the next one within ``reach`` pixels; None where there is none."""
        width, height = self.size
        if not (0 <= x < width and 0 <= y < height):
            return None
        column, row = int(x), int(y)
        left, top = max(0, column - reach), max(0, row - reach)
        around = self.shown[top : row + reach + 1, left : column + reach + 1]
        rows, columns = np.nonzero(around >= 0)
        if not len(rows):
            return None
        nearest = np.argmin((rows + top - row) ** 2 + (columns + left - column) ** 2)
        return int(around[rows[nearest], columns[nearest]])

    def under(self, stroke: Sequence[Sequence[float]], radius: float) -> np.ndarray:
        """(M,) bool: the points that are seen under a brush of ``radius`` pixels drawn along (x, y) positions.

        What leaves a panorama at one side comes in at the other. Raises SegPointError where the brush has no size, or
        more than the picture.
        """
        width = self.size[0]
        if not 0 < radius <= max(self.size):
            raise SegPointError(f"a brush has a radius of up to {max(self.size)} pixels, above 0: not {radius:g}")
        image = Image.new("1", self.size)
        draw = ImageDraw.Draw(image)
        for shift in (-width, 0, width) if isinstance(self.view, Panorama) else (0,):
            places = [(float(x) + shift, float(y)) for x, y in stroke]
            if len(places) > 1:
                draw.line(places, fill=1, width=max(1, round(2 * radius)))
            for x, y in places:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
        painted = np.append(np.asarray(image).ravel(), False)  # the last for points that are not seen
        return painted[self._pixel]

    @cached_property
    def _pixel(self) -> np.ndarray:
        """(M,) the pixel, row by row, that each point is seen at; −1 for none.

        A point that is shown has the middle of its pixels. One that is not, for there are more points than pixels, is
        seen where it is projected to if it lies hardly behind what is shown there.
        """
        width, height = self.size
        shown = self.shown.ravel()
        seen = np.flatnonzero(shown >= 0)
        points, count = shown[seen], len(self._xyz)
        times = np.maximum(np.bincount(points, minlength=count), 1)
        row = np.bincount(points, seen // width, count) / times
        column = np.bincount(points, seen % width, count) / times
        pixel = np.full(count, -1)
        pixel[points] = (np.floor(row) * width + np.floor(column)).astype(np.int64)[points]
        hidden = np.flatnonzero(finite(self._xyz) & (pixel < 0))
        place, depth = self.view.project(self._xyz[hidden])
        column, row = np.floor(place).astype(np.int64).T
        inside = (depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        hidden, depth, at = hidden[inside], depth[inside], (row * width + column)[inside]
        front = shown[at]
        in_front = self.view.project(self._xyz[front])[1]
        close = (front >= 0) & (depth - in_front < _BEHIND * depth)
        pixel[hidden[close]] = at[close]
        return pixel
