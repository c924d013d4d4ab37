"""A small plot of an ablation, with Pillow alone: a dot a seed, a line at their mean, a ring at the paper's figure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SIZE, _LEFT, _RIGHT, _TOP, _ROW = 760, 130, 30, 44, 34
_INK, _FAINT, _DOT, _RING = "#1c2733", "#c9d1d9", "#1f6feb", "#8b949e"


def draw(path: Path, rows: Sequence[tuple[str, Sequence[float], float]]) -> None:
    """Write a PNG. rows: a label, the mIoU of each seed, and the paper's on ScanRefer, all in per cent."""
    bottom = _TOP + _ROW * len(rows)
    image = Image.new("RGB", (_SIZE, bottom + 34), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    top = 10 * (1 + int(max(max(*seeds, paper) for _, seeds, paper in rows) // 10))

    def at(value: float) -> float:
        return _LEFT + (_SIZE - _LEFT - _RIGHT) * value / top

    pen.text((12, 12), "mIoU of the masks, %:  dot = a seed, line = mean, ring = the paper's (ScanRefer)", _INK, font)
    for tick in range(0, top + 1, 10):
        pen.line((at(tick), _TOP, at(tick), bottom), _FAINT)
        pen.text((at(tick), bottom + 6), str(tick), _INK, font, anchor="ma")
    for number, (label, seeds, paper) in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        pen.text((_LEFT - 10, y), label, _INK, font, anchor="rm")
        mean = at(statistics.fmean(seeds))
        pen.line((mean, y - 11, mean, y + 11), _INK, 3)
        pen.ellipse((at(paper) - 5, y - 5, at(paper) + 5, y + 5), outline=_RING, width=2)
        for value in seeds:
            pen.ellipse((at(value) - 4, y - 4, at(value) + 4, y + 4), fill=_DOT)
    image.save(path)
