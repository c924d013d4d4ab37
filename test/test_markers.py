"""Markers as RViz wants them: a box that really encloses its target, texts above, the last answer's deleted."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from segpoint.instances import Instance, separate  # noqa: E402
from segpoint.segmenter import Segmentation  # noqa: E402
from segpoint_ros.markers import UP, target_markers  # noqa: E402
from segpoint_ros.pointcloud2 import make_cloud  # noqa: E402
from segpoint_ros.result import LABELS_EACH, Result, make_result  # noqa: E402
from segpoint_ros.settings import Parameters  # noqa: E402
from segpoint_ros.tracking import Tracker  # noqa: E402

HEADER = Header(frame_id="camera", stamp=Time(sec=12, nanosec=34))
FRAMES = ["optical", "body", "map"]


def boxes(frame: str) -> tuple[np.ndarray, list[Instance]]:
    """Points of two upright boxes turned about the vertical, and the instances that `separate` makes of them."""
    rng = np.random.default_rng(0)
    up = np.asarray(UP[frame])
    turn = Rotation.from_rotvec(0.6 * up).as_matrix()
    first = rng.uniform(-0.5, 0.5, (3000, 3)) * [0.2, 0.1, 0.3] @ turn.T + [0.1, 0.2, 1.0]
    second = rng.uniform(-0.5, 0.5, (2000, 3)) * [0.05, 0.05, 0.1] + [-0.6, 0.0, 1.4]
    xyz = np.concatenate([first, second]).astype(np.float32)
    score = np.repeat([0.9, 0.7], [3000, 2000]).astype(np.float32)
    return xyz, separate(xyz, np.ones(5000, bool), score, distance=0.05, min_points=50, up=up)


def result_of(xyz: np.ndarray, frame: str, **answers: tuple[str, list[Instance]]) -> Result:
    """The answer and the targets to each instruction, which is the argument's name."""
    found = [Segmentation(np.ones(len(xyz), bool), np.ones(len(xyz), np.float32), *a, {}) for a in answers.values()]
    return make_result(make_cloud(HEADER, xyz), frame, list(answers), found, Tracker(), Parameters())


def place(marker: Marker) -> np.ndarray:
    return np.array([marker.pose.position.x, marker.pose.position.y, marker.pose.position.z])


def to_box(points: np.ndarray, box: Marker) -> np.ndarray:
    """Points in the box's own axes, as RViz understands a marker's pose."""
    q = box.pose.orientation
    return (points - place(box)) @ Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("height", [0.03, 0.2])
def test_box_and_text_of_each_target(frame, height) -> None:
    xyz, instances = boxes(frame)
    assert len(instances) == 2
    result = result_of(xyz, frame, grasp_it=("mug <SEG>.", instances))
    first, *others, said = target_markers(result, height, lifetime=1.25).markers
    assert first.action == Marker.DELETEALL
    assert [(m.ns, m.id, m.type) for m in others] == [
        ("box", 1, Marker.CUBE),
        ("text", 1, Marker.TEXT_VIEW_FACING),
        ("box", 2, Marker.CUBE),
        ("text", 2, Marker.TEXT_VIEW_FACING),
    ]
    for marker in (first, *others, said):
        assert marker.header == HEADER
        q = marker.pose.orientation
        assert np.isclose(np.linalg.norm([q.x, q.y, q.z, q.w]), 1.0, atol=1e-9)
    for marker in (*others, said):
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 250_000_000)
        assert marker.color.a > 0
    for target, box, text in zip(result.targets, others[::2], others[1::2], strict=True):
        points = xyz[target.instance.indices]
        half = np.array([box.scale.x, box.scale.y, box.scale.z]) / 2
        inside = to_box(points, box)
        assert (np.abs(inside) <= half + 1e-4).all()
        assert (np.abs(inside).max(axis=0) > 0.9 * half).all()  # and no larger than the target
        colour = np.array([box.color.r, box.color.g, box.color.b])
        np.testing.assert_allclose(colour * 255, target.colour, atol=1e-3)
        assert text.text == f"mug #{target.number} {target.instance.score:.2f}" and text.scale.z == height
        highest = (points @ UP[frame]).max()
        assert highest < place(text) @ UP[frame] < highest + 2 * height


@pytest.mark.parametrize("frame", FRAMES)
def test_what_was_asked_and_answered_stands_above_the_targets(frame) -> None:
    xyz, instances = boxes(frame)
    height = 0.05
    result = result_of(xyz, frame, mug=("mug <SEG>.", instances[:1]), bowl=("bowl <SEG>.", instances[1:]))
    *others, said = target_markers(result, height).markers
    assert (said.ns, said.id, said.type, said.scale.z) == ("instruction", 0, Marker.TEXT_VIEW_FACING, height)
    assert said.text == "mug: mug <SEG>.\nbowl: bowl <SEG>."
    assert [m.id for m in others[1:]] == [1, 1, LABELS_EACH + 1, LABELS_EACH + 1]
    up = np.asarray(UP[frame])
    highest = max(place(m) @ up for m in others if m.ns == "text")
    bottom = place(said) @ up - height  # of two lines about the place
    assert highest + height / 2 < bottom < highest + 3 * height  # clear of the name below, and not far from it
    middle = np.mean([i.centre for i in instances], axis=0)
    level = np.eye(3) - np.outer(up, up)
    np.testing.assert_allclose(level @ place(said), level @ middle, atol=1e-9)


@pytest.mark.parametrize("frame", FRAMES)
def test_without_targets_it_stands_above_the_cloud(frame) -> None:
    up = np.asarray(UP[frame])
    middle = np.array([3.0, -2.0, 5.0])
    xyz = (np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 3)) + middle).astype(np.float32)
    xyz[::7] = np.nan
    _, said = target_markers(result_of(xyz, frame, the_can=("There is no mask.", [])), 0.03).markers
    assert said.text == "the_can: There is no mask."
    offset = place(said) - middle
    assert 0.35 < offset @ up < 0.7
    assert np.linalg.norm(offset - (offset @ up) * up) < 0.05


@pytest.mark.parametrize("xyz", [np.zeros((0, 3)), np.full((9, 3), np.nan)], ids=["empty", "nothing seen"])
def test_a_cloud_without_a_point(xyz) -> None:
    _, said = target_markers(result_of(xyz, "body", it=("There is no mask.", [])), 0.03).markers
    assert np.isfinite(place(said)).all()


def test_long_words_and_line_breaks_are_cut() -> None:
    xyz, instances = boxes("body")
    answers = {"the  mug\n" * 500: ("mug\n" * 500 + "<SEG>.", instances), "語" * 500: ("<SEG>.", [])}
    *_, said = target_markers(result_of(xyz, "body", **answers)).markers
    lines = said.text.split("\n")
    assert len(lines) == 2 and all(len(line) < 200 for line in lines)
    assert lines[0].startswith("the mug the mug") and lines[1].startswith("語" * 50)


def test_a_target_without_a_name() -> None:
    xyz, instances = boxes("body")
    texts = [m.text for m in target_markers(result_of(xyz, "body", it=("<SEG>.", instances))).markers if m.ns == "text"]
    assert texts == [f"#{k} {i.score:.2f}" for k, i in enumerate(instances, start=1)]


def test_nothing_asked_only_deletes() -> None:
    (marker,) = target_markers(Result(make_cloud(HEADER, np.zeros((5, 3))), "body")).markers
    assert marker.action == Marker.DELETEALL and marker.header == HEADER


def test_default_lifetime_is_for_ever() -> None:
    xyz, instances = boxes("body")
    for marker in target_markers(result_of(xyz, "body", it=("mug <SEG>.", instances))).markers:
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (0, 0)
