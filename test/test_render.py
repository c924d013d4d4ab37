"""Pictures: what is where, judged by its pixels."""

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from segpoint.cloud import BODY_FROM_OPTICAL
from segpoint.errors import SegPointError
from segpoint.instances import Instance, separate
from segpoint.projection import look
from segpoint.render import draw_answer, render_answer, render_sheet

WIDTH, HEIGHT, FOCAL = 160, 120, 130.0
UP = np.array([0.0, -1.0, 0.0])
BLUE = (40, 60, 200)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A wall at 2 m and a square of 30 × 30 pixels before it at 1 m: organised xyz, rgb, mask of the square."""
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    depth = np.full((HEIGHT, WIDTH), 2.0)
    depth[60:90, 100:130] = 1.0
    depth[:, :5] = np.nan
    xyz = np.stack([(column - 79.5) / FOCAL * depth, (row - 59.5) / FOCAL * depth, depth], axis=-1).reshape(-1, 3)
    mask = (depth == 1.0).ravel()
    return xyz.astype(np.float32), np.tile(np.array([BLUE], dtype=np.uint8), (len(xyz), 1)), mask


def answer_picture(xyz, rgb, mask, boxed=True, frame="optical", **grid) -> np.ndarray:
    up = UP if frame == "optical" else BODY_FROM_OPTICAL @ UP
    instances = separate(xyz, mask, np.ones(len(xyz)), distance=0.05, min_points=5, up=up) if boxed else []
    return np.asarray(draw_answer(xyz, rgb, mask, instances, "the square", "square <SEG>.", frame, **grid))


def magenta(picture: np.ndarray) -> np.ndarray:
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return (red > 180) & (green < 100) & (blue > 100)


def test_organised_cloud_is_the_cameras_image(tmp_path):
    xyz, rgb, mask = scene()
    picture = answer_picture(xyz, rgb, mask, boxed=False, width=WIDTH, height=HEIGHT)
    assert picture.shape[1] == 1280
    before, after = picture[:480, :640], picture[:480, 640:]
    assert (before == BLUE).all()  # colour is known where depth is not, too
    expected = np.zeros((480, 640), dtype=bool)
    expected[60 * 4 : 90 * 4, 100 * 4 : 130 * 4] = True
    assert np.array_equal(magenta(after), expected)
    assert len(np.unique(picture[480:].reshape(-1, 3), axis=0)) > 5  # words


def test_box_is_drawn_where_the_target_is():
    xyz, rgb, mask = scene()
    plain = answer_picture(xyz, rgb, mask, boxed=False, width=WIDTH, height=HEIGHT)[:480, 640:]
    boxed = answer_picture(xyz, rgb, mask, width=WIDTH, height=HEIGHT)[:480, 640:]
    rows, columns = np.nonzero((plain != boxed).any(axis=2))
    assert columns.min() == pytest.approx(400, abs=8) and columns.max() == pytest.approx(520, abs=8)
    assert rows.max() == pytest.approx(360, abs=8)
    assert 200 < rows.min() < 240  # its tag stands above it


def test_without_colour_it_is_grey_and_nearer_is_lighter():
    xyz, _, mask = scene()
    view = answer_picture(xyz, None, mask, boxed=False, width=WIDTH, height=HEIGHT)[:480, :640]
    assert (view.max(axis=2) - view.min(axis=2))[:, 40:].max() == 0
    assert view[300, 460, 0] > view[100, 300, 0] > 40


@pytest.mark.parametrize("colour", [True, False])
def test_frames_give_the_same_picture(colour):
    xyz, rgb, mask = scene()
    for grid in ({"width": WIDTH, "height": HEIGHT}, {}):
        optical = answer_picture(xyz, rgb if colour else None, mask, **grid)
        body = answer_picture(xyz @ BODY_FROM_OPTICAL.T, rgb if colour else None, mask, frame="body", **grid)
        assert np.mean((optical != body).any(axis=2)) < 0.01  # but for rounding


def test_a_list_of_points_is_seen_from_above_and_filled():
    xyz, rgb, mask = scene()
    shuffled = np.random.default_rng(0).permutation(len(xyz))
    view = look(xyz[shuffled].astype(float), "optical")
    assert 0.3 < (view.shown >= 0).mean() < 1.0
    assert np.isfinite(xyz[shuffled][view.shown[view.shown >= 0]]).all()
    pixel, depth = view.project(xyz[mask].astype(float))
    assert (depth > 0).all()
    after = answer_picture(xyz[shuffled], rgb[shuffled], mask[shuffled], boxed=False)[:480, 640:]
    rows, columns = np.nonzero(magenta(after))
    assert abs(columns.mean() - pixel[:, 0].mean()) < 5 and abs(rows.mean() - pixel[:, 1].mean()) < 5


def test_a_map_is_seen_over_its_walls():
    """A box of 4 × 4 m with walls of 2.5 m and something on its floor, which is not hidden behind the nearest wall."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(-2, 2, (20000, 2)), np.zeros(20000)])
    wall = np.column_stack([np.full(20000, -2.0), rng.uniform(-2, 2, 20000), rng.uniform(0, 2.5, 20000)])
    thing = rng.uniform([-0.3, -0.3, 0.4], [0.3, 0.3, 0.45], (2000, 3))
    steep, low = (look(np.concatenate([floor, wall, thing]), frame) for frame in ("map", "body"))
    assert (steep.shown >= 40000).sum() > 2 * (low.shown >= 40000).sum() > 0


def test_nearer_points_hide_those_behind():
    view_of = np.random.default_rng(0).uniform(-0.5, 0.5, (40000, 2))
    near = np.column_stack([view_of[:20000], np.full(20000, 1.0)])
    far = np.column_stack([3 * view_of[20000:], np.full(20000, 3.0)])
    view = look(np.concatenate([far, near]), "optical")
    column, row = np.floor(view.project(near)[0]).astype(int).T
    inside = (row >= 0) & (row < 480) & (column >= 0) & (column < 640)
    assert inside.mean() > 0.5
    assert (view.shown[row[inside], column[inside]] >= 20000).mean() > 0.99
    assert (view.shown[view.shown >= 0] < 20000).mean() > 0.2  # and what nothing hides is seen


def test_several_targets_and_boxes_behind_the_camera():
    xyz, rgb, mask = scene()
    quaternion = Rotation.from_euler("y", 0.3).as_quat()
    boxes = [Instance(np.array([0, 0, z]), np.full(3, 0.2), quaternion, 0.5, np.arange(3)) for z in (1.0, -1.0)]
    picture = draw_answer(xyz, rgb, mask, boxes, "all", "a <SEG>.", "optical", WIDTH, HEIGHT)
    assert picture.size[0] == 1280


@pytest.mark.parametrize(
    "words", ["", " ", "x" * 10_000, "word " * 3000, "☕ die Tasse, 杯子", "<SEG></s>\n\n<POINT>", "\x00\t"]
)
def test_any_words_fit(words):
    xyz, rgb, mask = scene()
    picture = draw_answer(xyz, rgb, mask, [], words, words, "optical", WIDTH, HEIGHT)
    assert picture.size == (1280, 480 + 84)


@pytest.mark.parametrize("xyz", [np.full((12, 3), np.nan), np.array([[0.1, 0.2, 0.9]]), np.zeros((4, 3))])
def test_clouds_with_nothing_to_see(xyz):
    mask = np.zeros(len(xyz), dtype=bool)
    for grid in ({}, {"width": len(xyz) // 2, "height": 2}):
        assert draw_answer(xyz, None, mask, [], "x", "There is no mask.", "optical", **grid).size[0] == 1280


def test_files(tmp_path):
    xyz, rgb, mask = scene()
    path = tmp_path / "answer.png"
    render_answer(path, xyz, rgb, mask, [], "the square", "square <SEG>.", "optical", WIDTH, HEIGHT)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.size == (1280, 564)
        panel = picture.convert("RGB")
    render_sheet(tmp_path / "sheet.png", [panel] * 3, columns=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2560, 2 * 564)
    with pytest.raises(SegPointError, match="folder"):
        render_answer(tmp_path / "no" / "a.png", xyz, rgb, mask, [], "x", "y", "optical")
    with pytest.raises(SegPointError, match="one picture"):
        render_sheet(tmp_path / "none.png", [])
    with pytest.raises(SegPointError, match="frame must be"):
        draw_answer(xyz, rgb, mask, [], "x", "y", "moon")


def test_a_real_scan(shared, tmp_path):
    from segpoint.files import read_points

    points = read_points(shared / "real" / "learn33.pcd")
    mask = points.label // 10 == 5
    instances = separate(points.xyz, mask, np.ones(len(mask)), distance=0.03, min_points=50, up=UP)
    render_answer(
        tmp_path / "a.png", points.xyz, points.rgb, mask, instances, "the mug closest to the camera", "mug <SEG>.",
        "optical", points.width, points.height,
    )  # fmt: skip
    with Image.open(tmp_path / "a.png") as picture:
        after = np.asarray(picture)[:480, 640:]
    assert magenta(after).sum() == pytest.approx(mask.sum(), rel=0.3)  # the box hides some
    fitted = look(points.xyz.astype(float), "optical", 640, 480)
    assert fitted.focal == pytest.approx([525, 525], abs=30)  # the Kinect's
