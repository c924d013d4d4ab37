"""The sheet of predictions: judged by its pixels, the answers being known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont
from tiny_bundle import CONFIG, LANGUAGE_WIDTH, random_network

from segpoint_training.canvas import VIEW, Canvas, discs, surfaces
from segpoint_training.looks import draw_predictions, one_of_each_kind, varied, wrapped
from segpoint_training.scenes.scene import Instruction, SceneObject
from segpoint_training.shards import LabelledCloud
from segpoint_training.validation import Answerer, questions_of, truths, validate

LONG = "the small mug that stands to the left of the tall green bottle and behind the plate " * 4
COLOURS = ((120, 130, 120), (200, 40, 40), (40, 40, 200))
ASKED = (
    Instruction("mark the mug", "category", (2,), "mug"),
    Instruction("the hidden thing", "attribute", (4,), "can"),
    Instruction(LONG, "spatial", (3,), "box"),
    Instruction("the football", "zero-target", (), ""),
    Instruction("", "all", (2,), "", task="all", parts=(("mug", (2,)),)),
)


def thing(id: int, category: str) -> SceneObject:
    return SceneObject(id, category, "", (1.0, 0.0, 0.0), (0.1, 0.1, 0.1), "upright", 1, 40)


def cloud(frame: str = "optical", scale: str = "table", coloured: bool = True) -> LabelledCloud:
    """A table of 400 voxels with two boxes of 40 on it; of the 512 rows some are padding. Object 4 is not seen."""
    side = np.linspace(-0.3, 0.3, 20)
    table = np.stack(np.meshgrid(1 + side, side, [0.0]), axis=-1).reshape(-1, 3)
    box = np.stack(np.meshgrid([0.0, 0.03], np.arange(4) * 0.03, 0.03 + np.arange(5) * 0.03), axis=-1).reshape(-1, 3)
    xyz = np.concatenate([table, box + (0.9, 0.1, 0), box + (0.9, -0.2, 0)])
    count = len(xyz)
    instance = np.repeat([1, 2, 3], [400, 40, 40])
    pad = CONFIG.cloud.points - count
    return LabelledCloud(
        xyz=np.pad(xyz, ((0, pad), (0, 0))).astype(np.float32),
        rgb=np.pad(np.array(COLOURS, np.uint8)[instance - 1], ((0, pad), (0, 0))),
        focus=np.pad(np.ones(count, bool), (0, pad)),
        instance=np.pad(instance, (0, pad)).astype(np.int16),
        count=count,
        voxel_m=0.03,
        objects=tuple(thing(id, name) for id, name in ((1, "table"), (2, "mug"), (3, "box"), (4, "can"))),
        instructions=ASKED,
        frame=frame,
        scale=scale,
        sensor="kinect",
        coloured=coloured,
    )


def answerer(right: bool = True, presence: float | None = None) -> Answerer:
    """Answers to `one_of_each_kind` of the clouds above, all right or all empty."""

    def answer(inputs, questions, places):
        item = cloud()
        asked = one_of_each_kind(item)
        assert len(asked) == len(questions) and places is not None
        logits = torch.full((len(asked), len(item.xyz)), -5.0)
        if right:
            logits[:, : item.count][torch.from_numpy(truths(item, asked))] = 5.0
        return logits, None if presence is None else torch.full((len(asked),), presence)

    return answer


def views(sheet: np.ndarray, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction of a question in the first band, below their tags."""
    left = 10 + column * (VIEW[0] + 10)
    top, bottom = 10, 10 + VIEW[1] + 10
    return tuple(sheet[y + 30 : y + VIEW[1], left : left + VIEW[0]] for y in (top, bottom))


def magenta(picture: np.ndarray) -> np.ndarray:
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return (red - green > 90) & (blue - green > 40)


def draw(path: Path, answer: Answerer, *clouds: LabelledCloud) -> np.ndarray:
    draw_predictions(path, CONFIG, clouds, answer)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_right_answers_look_like_the_truth(tmp_path: Path):
    sheet = draw(tmp_path / "sheet.png", answerer(), cloud())
    kinds = [i.kind for i in one_of_each_kind(cloud())]
    assert kinds == ["category", "spatial", "place", "zero-target"]
    for column, kind in enumerate(kinds, start=1):
        truth, prediction = views(sheet, column)
        assert np.array_equal(truth, prediction)
        assert magenta(truth).any() == (kind != "zero-target")
    assert not magenta(views(sheet, 0)[0]).any()
    mug, box = (magenta(views(sheet, column)[0]) for column in (1, 2))
    assert not (mug & box).any()
    assert np.nonzero(mug)[1].mean() < np.nonzero(box)[1].mean()  # y is to the left


def test_what_is_not_marked_is_not_shown(tmp_path: Path):
    for answer in (answerer(right=False), answerer(presence=-1.0)):
        sheet = draw(tmp_path / "sheet.png", answer, cloud())
        truth, prediction = views(sheet, 1)
        assert magenta(truth).any() and not magenta(prediction).any()
    sheet = draw(tmp_path / "sheet.png", answerer(presence=1.0), cloud())
    assert magenta(views(sheet, 1)[1]).any()


def test_bands_of_all_frames_and_words_that_stay_in_their_column(tmp_path: Path):
    clouds = [cloud(), cloud("map", "room"), cloud("body", coloured=False), cloud(), cloud("body", "room"), cloud()]
    sheet = draw(tmp_path / "sheet.png", answerer(), *clouds)
    one = draw(tmp_path / "one.png", answerer(), clouds[0])
    assert sheet.shape == (4 * one.shape[0], one.shape[1], 3)
    paper = sheet[0, 0]
    for column in range(1 + len(one_of_each_kind(clouds[0]))):
        gap = sheet[:, column * (VIEW[0] + 10) : column * (VIEW[0] + 10) + 9]
        assert (gap == paper).all()
    assert (sheet[one.shape[0] - 10 : one.shape[0]] == paper).all()  # below the longest caption


def test_more_kinds_than_columns_go_below(tmp_path: Path):
    kinds = tuple(Instruction(f"mug {k}", f"kind {k}", (2,), "mug") for k in range(8))
    item = replace(cloud(), instructions=kinds)
    answers = lambda inputs, questions, places: (torch.zeros(len(questions), len(item.xyz)), None)  # noqa: E731
    two, one = draw(tmp_path / "a.png", answers, item), draw(tmp_path / "b.png", answers, cloud())
    assert two.shape[1] == 10 + 7 * (VIEW[0] + 10) and two.shape[0] > 1.9 * one.shape[0]


def test_which_clouds_are_drawn():
    many = [cloud() for _ in range(3)]
    room, map_ = cloud("body", "room"), cloud("map", "room")
    assert [id(c) for c in varied([room, *many, map_])] == [id(c) for c in (many[0], room, map_, many[1], many[2])]


def test_nothing_to_ask_is_no_picture(tmp_path: Path):
    bare = replace(cloud(), instructions=(), objects=())
    draw_predictions(tmp_path / "sheet.png", CONFIG, [bare], answerer())
    assert not (tmp_path / "sheet.png").exists()
    assert validate(CONFIG, [bare], answerer()) == {}


def test_validation_asks_no_question_for_several_masks():
    asked = questions_of(cloud())
    assert all(i.task != "all" for i in asked)
    assert [i.targets for i in asked if i.kind == "place"] == [(2,), (3,)]


def test_with_a_network(tmp_path: Path):
    network = random_network()

    @torch.no_grad()
    def answer(inputs, questions, places):
        features = network.propagate(network.encode(inputs), None, inputs)
        states = torch.randn(1, len(questions), 5, LANGUAGE_WIDTH, generator=torch.Generator().manual_seed(0))
        mask = torch.ones(1, len(questions), 5, dtype=torch.bool)
        logits, presence = network.read(features, None, states, mask, places)
        return logits[0], presence[0]

    first = draw(tmp_path / "a.png", answer, cloud(), cloud("map", "room"))
    assert np.array_equal(first, draw(tmp_path / "b.png", answer, cloud(), cloud("map", "room")))


def test_words_are_wrapped_by_their_width():
    font = ImageFont.load_default(16)
    lines = wrapped(LONG, font, 336, 3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(font.getlength(line) <= 336 for line in lines)
    assert " ".join(lines)[:-1].split() == LONG.split()[: len(" ".join(lines)[:-1].split())]
    assert wrapped("short", font, 336, 3) == ["short"]
    (word,) = wrapped("m" * 100, font, 336, 3)
    assert font.getlength(word) <= 336 and word.endswith("…")


def test_near_discs_hide_far_ones():
    pixel = np.array([[10.0, 10.0], [13.0, 10.0], [5.0, 5.0]])
    shown = discs(pixel, np.array([2.0, 1.0, -1.0]), np.array([4.0, 3.0, 3.0]), (20, 30))
    assert shown[10, 13] == 1 and shown[10, 10] == 1 and shown[10, 7] == 0
    assert shown[0, 29] == -1 and not (shown == 2).any()
    assert abs(np.count_nonzero(shown == 1) - np.pi * 3.5**2) < 8


def test_a_plane_is_a_surface_without_holes():
    xyz = np.stack(np.meshgrid(np.arange(20) * 0.05, np.arange(30) * 0.05, [0.3]), axis=-1).reshape(-1, 3)
    gap, normal = surfaces(xyz)
    assert np.abs(normal[:, 2]) == pytest.approx(1)
    assert gap.reshape(30, 20)[1:-1, 1:-1] == pytest.approx(0.05)
    lonely = surfaces(np.concatenate([xyz, [[0.5, 0.5, 1.0]]]))[0][-1]
    assert lonely == pytest.approx(0.1)  # 0.7 from its neighbours, that are no reason to hide what is behind it
    canvas = Canvas.of(cloud("map"))
    rows, columns = np.nonzero(canvas.camera.shown >= 0)
    inner = canvas.camera.shown[np.quantile(rows, 0.4).astype(int) : np.quantile(rows, 0.6).astype(int)]
    inner = inner[:, np.quantile(columns, 0.4).astype(int) : np.quantile(columns, 0.6).astype(int)]
    assert (inner >= 0).all()


def test_what_is_marked_behind_something_can_be_seen():
    item = cloud()
    behind = np.zeros(item.count, bool)
    behind[np.flatnonzero(item.instance == 1)[19 * 20 :]] = True  # the table's far edge
    wall = replace(item, xyz=np.where((item.instance == 2)[:, None], item.xyz * (1, 9, 3), item.xyz).astype(np.float32))
    plain, hidden = (magenta(np.asarray(Canvas.of(c).view(behind))) for c in (item, wall))
    assert 0 < hidden.sum() < plain.sum()
