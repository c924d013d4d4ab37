"""Markers as RViz wants them: a box that really encloses its target, a text above it, the last answer's deleted."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("visualization_msgs")

from builtin_interfaces.msg import Time  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from segpoint.instances import separate  # noqa: E402
from segpoint_ros.markers import UP, target_markers  # noqa: E402

HEADER = Header(frame_id="camera", stamp=Time(sec=12, nanosec=34))


def boxes(frame: str) -> tuple[np.ndarray, list]:
    """Points of two upright boxes turned about the vertical, and the instances that `separate` makes of them."""
    rng = np.random.default_rng(0)
    up = np.asarray(UP[frame])
    turn = Rotation.from_rotvec(0.6 * up).as_matrix()
    first = rng.uniform(-0.5, 0.5, (3000, 3)) * [0.2, 0.1, 0.3] @ turn.T + [0.1, 0.2, 1.0]
    second = rng.uniform(-0.5, 0.5, (2000, 3)) * [0.05, 0.05, 0.1] + [-0.6, 0.0, 1.4]
    xyz = np.concatenate([first, second]).astype(np.float32)
    score = np.repeat([0.9, 0.7], [3000, 2000]).astype(np.float32)
    return xyz, separate(xyz, np.ones(5000, bool), score, distance=0.05, min_points=50, up=up)


@pytest.mark.parametrize("frame", ["optical", "body", "map"])
def test_box_and_text_of_each_target(frame) -> None:
    xyz, instances = boxes(frame)
    assert len(instances) == 2
    array = target_markers(HEADER, instances, "mug", frame, lifetime=1.25)
    first, *others = array.markers
    assert first.action == Marker.DELETEALL
    assert [(m.ns, m.id, m.type) for m in others] == [
        ("box", 1, Marker.CUBE),
        ("text", 1, Marker.TEXT_VIEW_FACING),
        ("box", 2, Marker.CUBE),
        ("text", 2, Marker.TEXT_VIEW_FACING),
    ]
    for marker in array.markers:
        assert marker.header == HEADER
        q = marker.pose.orientation
        assert np.isclose(np.linalg.norm([q.x, q.y, q.z, q.w]), 1.0, atol=1e-9)
    for marker in others:
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 250_000_000)
        assert marker.color.a > 0
    for instance, box, text in zip(instances, others[::2], others[1::2], strict=True):
        inside = to_box(xyz[instance.indices], box)
        half = np.array([box.scale.x, box.scale.y, box.scale.z]) / 2
        assert (np.abs(inside) <= half + 1e-4).all()
        assert (np.abs(inside).max(axis=0) > 0.9 * half).all()  # and no larger than the target
        assert text.text == f"mug {instance.score:.2f}" and text.scale.z > 0
        highest = (xyz[instance.indices] @ UP[frame]).max()
        place = np.array([text.pose.position.x, text.pose.position.y, text.pose.position.z])
        assert highest < place @ UP[frame] < highest + 0.1


def to_box(points: np.ndarray, box: Marker) -> np.ndarray:
    """Points in the box's own axes, as RViz understands a marker's pose."""
    p, q = box.pose.position, box.pose.orientation
    return (points - [p.x, p.y, p.z]) @ Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()


def test_no_target_only_deletes() -> None:
    (marker,) = target_markers(HEADER, [], "").markers
    assert marker.action == Marker.DELETEALL and marker.header == HEADER


def test_default_lifetime_is_for_ever() -> None:
    _, instances = boxes("body")
    for marker in target_markers(HEADER, instances, "mug").markers:
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (0, 0)
