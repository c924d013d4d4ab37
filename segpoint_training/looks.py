"""What a model in training marks, as one picture: held-out clouds, a question of each kind, truth above answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from segpoint.config import BundleConfig
from segpoint.render import save
from segpoint_training.canvas import VIEW, Canvas
from segpoint_training.metrics import iou, outcome
from segpoint_training.pointing import nearest_to_middle
from segpoint_training.scenes.scene import KINDS, Instruction
from segpoint_training.shards import LabelledCloud
from segpoint_training.validation import Answerer, ask, questions_of, truths

_GAP, _LINE, _TEXT_LINES = 10, 20, 3
_CAPTION = (_TEXT_LINES + 2) * _LINE  # the sentence, its kind, what came of it
_COLUMNS = 6  # questions side by side; more go below
_PAPER, _INK, _FAINT = "#14161a", "#f4f4f4", "#9aa3ad"
_INKS, _WRONG = {"right": "#7dff3a", "part of it": "#ffc04d", "too much": "#ffc04d"}, "#ff6b6b"  # of an `outcome`


@dataclass(frozen=True)
class Look:
    """A question about a cloud of M voxels, what it means and what was marked.   truth, prediction: (M,) bool."""

    instruction: Instruction
    truth: np.ndarray
    prediction: np.ndarray


def draw_predictions(
    path: Path,
    config: BundleConfig,
    clouds: Sequence[LabelledCloud],
    answer: Answerer,
    device: torch.device | str = "cpu",
    count: int = 4,
) -> None:
    """Write one PNG: a band for each of ``count`` clouds, with one question of each kind that can be asked of it.

    The same clouds and questions every time, so that the pictures of a run can be compared. A voxel is marked at a
    score above 0.5, as `validate` has it. Without a cloud that can be asked anything there is no picture. Raises
    SegPointError where the file cannot be written.
    """
    bands = []
    choice = ((item, one_of_each_kind(item)) for item in varied(clouds))
    for item, asked in islice((some for some in choice if some[1]), count):
        masks, there = ask(config, item, asked, answer, device)
        looks = [Look(i, *both) for i, *both in zip(asked, truths(item, asked), masks & there[:, None], strict=True)]
        bands.append(_band(item, looks))
    if bands:
        sheet = Image.new("RGB", (max(band.width for band in bands), sum(band.height for band in bands)), _PAPER)
        for number, band in enumerate(bands):
            sheet.paste(band, (0, sum(above.height for above in bands[:number])))
        save(sheet, path)


def varied(clouds: Sequence[LabelledCloud]) -> Iterator[LabelledCloud]:
    """The clouds, one of each scale and frame first, beginning with the commonest, then a second of each, and so on."""
    groups: dict[tuple[str, str], list[LabelledCloud]] = {}
    for cloud in clouds:
        groups.setdefault((cloud.scale, cloud.frame), []).append(cloud)
    for some in zip_longest(*sorted(groups.values(), key=len, reverse=True)):
        yield from filter(None, some)


def one_of_each_kind(item: LabelledCloud) -> list[Instruction]:
    """Of each kind of question the first whose target, if it has one, can be seen."""
    asked = questions_of(item)
    first: dict[str, Instruction] = {}
    for instruction, truth in zip(asked, truths(item, asked), strict=True):
        if truth.any() == bool(instruction.targets):
            first.setdefault(instruction.kind, instruction)
    return sorted(first.values(), key=lambda i: KINDS.index(i.kind) if i.kind in KINDS else len(KINDS))


# --- the sheet ----------------------------------------------------------------------------------------------------


def _band(item: LabelledCloud, looks: Sequence[Look]) -> Image.Image:
    """One cloud: its colours and facts on the left, then a column for each question."""
    canvas = Canvas.of(item)
    wide, high = VIEW[0] + _GAP, 2 * (VIEW[1] + _GAP) + _CAPTION
    rows = max(1, -(-len(looks) // _COLUMNS))
    band = Image.new("RGB", (_GAP + (1 + min(_COLUMNS, len(looks))) * wide, _GAP + rows * (high + _GAP)), _PAPER)
    draw = ImageDraw.Draw(band)
    band.paste(canvas.view(), (_GAP, _GAP))
    _write_facts(draw, (_GAP, _GAP + VIEW[1] + _GAP), item)
    for number, one in enumerate(looks):
        left, top = _GAP + (1 + number % _COLUMNS) * wide, _GAP + number // _COLUMNS * (high + _GAP)
        click = nearest_to_middle(canvas.xyz, np.flatnonzero(one.truth)) if one.instruction.place else None
        for row, (name, mask) in enumerate((("truth", one.truth), ("prediction", one.prediction))):
            place = (left, top + row * (VIEW[1] + _GAP))
            band.paste(canvas.view(mask, click), place)
            _tag(draw, place, f"{name}: {np.count_nonzero(mask):,} voxels")
        _write_caption(draw, (left, top + 2 * (VIEW[1] + _GAP)), one)
    return band


def _write_facts(draw: ImageDraw.ImageDraw, place: tuple[int, int], item: LabelledCloud) -> None:
    x, y = place
    font = ImageFont.load_default(15)
    name = ", ".join(filter(None, [item.scale, f"{item.frame} frame", item.sensor]))
    draw.text((x, y), name, _INK, ImageFont.load_default(18))
    draw.text((x, y + 28), f"{item.count:,} voxels, the finest {1000 * item.voxel_m:.0f} mm", _FAINT, font)
    things = ", ".join(f"{thing.colour} {thing.category}".strip() for thing in item.objects)
    for number, line in enumerate(wrapped(things, font, VIEW[0], 9)):
        draw.text((x, y + 56 + number * _LINE), line, _FAINT, font)


def _write_caption(draw: ImageDraw.ImageDraw, place: tuple[int, int], one: Look) -> None:
    x, y = place
    font = ImageFont.load_default(16)
    lines = wrapped(f"“{one.instruction.text}”", font, VIEW[0], _TEXT_LINES)
    for number, line in enumerate(lines):
        draw.text((x, y + number * _LINE), line, _INK, font)
    y += len(lines) * _LINE
    value, what = iou(one.prediction, one.truth), outcome(one.prediction, one.truth)
    draw.text((x, y), one.instruction.kind, _FAINT, font)
    draw.text((x, y + _LINE), f"IoU {value:.2f}: {what}", _INKS.get(what, _WRONG), font)


def _tag(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str) -> None:
    font = ImageFont.load_default(13)
    left, top, right, bottom = draw.textbbox((place[0] + 6, place[1] + 4), text, font=font)
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill="#000000")
    draw.text((place[0] + 6, place[1] + 4), text, _INK, font)


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, most: int) -> list[str]:
    """The text in lines of at most ``width`` pixels; what does not fit into ``most`` of them ends in "…"."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1] + " …"]
    for number, line in enumerate(lines):
        while font.getlength(line) > width:
            line = line[:-2] + "…"
        lines[number] = line
    return lines
