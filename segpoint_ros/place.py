"""What a user points at, a click or a box in any frame, and where that is in a cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from segpoint.errors import SegPointError
from segpoint.prompts import Place
from segpoint_ros.messages import Marker

if TYPE_CHECKING:
    from segpoint_ros.messages import PointStamped
    from segpoint_ros.messages import Time as Stamp


class Transforms(Protocol):
    """Who knows where the frames are: `segpoint_ros.transforms` on a robot, or a bag's own."""

    def lookup(self, target: str, source: str, stamp: Stamp) -> tuple[np.ndarray, np.ndarray]:
        """The rotation (3, 3) and the translation (3,) in metres that take points from ``source`` to ``target``.

        stamp: when. Raises SegPointError, with the reason in one line, where there is no transform.
        """
        ...


@dataclass(frozen=True, eq=False)
class FramedPoints:
    """What one message says: ``xyz`` (n, 3) float64, metres, in ``frame_id``, which is "" for the clouds' own.

    what: "click" (one point) or "box" (its eight corners).
    """

    what: str
    frame_id: str
    xyz: np.ndarray

    def in_frame(self, frame_id: str, stamp: Stamp, transforms: Transforms) -> np.ndarray:
        """(n, 3): the points in a cloud's frame when it was taken. See `Pointing.in_frame`."""
        target = _bare(frame_id)
        if self.frame_id in ("", target):
            return self.xyz
        try:
            rotation, translation = transforms.lookup(target, self.frame_id, stamp)
        except SegPointError as error:
            raise SegPointError(
                f"the {self.what} is in frame {self.frame_id!r} and the cloud in {target!r}, and {error}"
            ) from None
        return self.xyz @ rotation.T + translation

    def __str__(self) -> str:
        corners = self.xyz if len(self.xyz) == 1 else _enclosing(self.xyz).reshape(2, 3)
        where = f"in {self.frame_id!r}" if self.frame_id else "in the cloud's frame"
        return f"{self.what} {' to '.join(_text(corner) for corner in corners)} {where}"


@dataclass(frozen=True)
class Pointing:
    """What a user points at: up to `segpoint.prompts.MOST_CLICKS` clicks on a thing, a box around it, or both.

    Each keeps the frame that it was given in, and stands still there: one in ``map`` stays on its thing while the
    camera moves, one in the camera's own frame moves with the camera. When it was given does not matter.
    `take_click` and `take_box` make one of ROS messages.
    """

    clicks: tuple[FramedPoints, ...] = ()
    box: FramedPoints | None = None

    def in_frame(self, frame_id: str, stamp: Stamp, transforms: Transforms) -> Place:
        """The place in a cloud's own axes; a box that is turned against them becomes the one along them around it.

        frame_id, stamp: of the cloud's header. Where the frames' names are the same no transform is asked for.
        Raises SegPointError where there is no transform, or where `Place` takes the result for none (a click outside
        the box, say). May wait a while for a transform: not for the thread that spins the node.
        """
        clicks = [click.in_frame(frame_id, stamp, transforms) for click in self.clicks]
        box = None if self.box is None else _enclosing(self.box.in_frame(frame_id, stamp, transforms))
        return Place(np.concatenate(clicks) if clicks else None, box)

    def __str__(self) -> str:
        return " and ".join(map(str, (*self.clicks, *filter(None, [self.box]))))


def take_click(message: PointStamped, before: Pointing | None) -> Pointing:
    """What is pointed at after a click: it takes the place of the clicks before; a box stands beside it.

    Without a frame_id the click is in the clouds' own frame, whatever that is: one that is typed by hand needs none.
    Raises SegPointError for coordinates that are not finite.
    """
    point = np.array([message.point.x, message.point.y, message.point.z])
    if not np.isfinite(point).all():
        raise SegPointError(f"expected a click at finite coordinates in metres, got {_text(point)}; click on a surface")
    click = FramedPoints("click", _bare(message.header.frame_id), point[None])
    return Pointing((click,), None if before is None else before.box)


def take_box(message: Marker, before: Pointing | None) -> Pointing | None:
    """What is pointed at after a marker of type CUBE: it takes the place of the box before; clicks stand beside it.

    The marker's pose, scale and frame_id count. Its action may be ADD, or DELETE or DELETEALL, which takes the box
    away whatever the rest of the message says; None where nothing is left.
    Raises SegPointError for another action or type, a frame_id that is empty (unlike clicks, boxes come from programs,
    which know their frame), a pose that is not finite or not a pose, and a scale that is not finite and above 0.
    """
    clicks = () if before is None else before.clicks
    if message.action in (Marker.DELETE, Marker.DELETEALL):
        return Pointing(clicks) if clicks else None
    box = FramedPoints("box", _bare(message.header.frame_id), _corners(message))
    if not box.frame_id:
        raise SegPointError("expected a box with the frame_id that its pose is in, got none: fill in its header")
    return Pointing(clicks, box)


def _corners(message: Marker) -> np.ndarray:
    """(8, 3): the corners of a CUBE in the frame of its header."""
    if message.action != Marker.ADD or message.type != Marker.CUBE:
        raise SegPointError(
            f"expected a marker of type {Marker.CUBE} (CUBE) with the action {Marker.ADD} (ADD), {Marker.DELETE} "
            f"(DELETE) or {Marker.DELETEALL} (DELETEALL), got type {message.type} with action {message.action}"
        )
    p, q, s = message.pose.position, message.pose.orientation, message.scale
    position, orientation, scale = np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]), np.array([s.x, s.y, s.z])
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise SegPointError(f"expected a box whose scale is above 0 in all three axes, in metres, got {_text(scale)}")
    if not np.isfinite([*position, *orientation]).all():
        raise SegPointError(
            f"expected a box with a finite pose, got position {_text(position)} and orientation {_text(orientation)}"
        )
    if not orientation.any():
        raise SegPointError("the box's orientation is a quaternion of length 0: where it is not turned, set w to 1")
    signs = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5]), axis=-1).reshape(8, 3)
    return signs * scale @ rotation_matrix(orientation).T + position


def _bare(frame_id: str) -> str:
    """A frame's name as tf2 has it; ROS 1 and some drivers put a slash in front."""
    return frame_id.lstrip("/")


def _enclosing(points: np.ndarray) -> np.ndarray:
    """(6,): the lowest and the highest corner of the box along the axes around points (n, 3)."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """The matrix (3, 3) of a quaternion (xyzw) of any length but 0. (SciPy's takes half a second to import.)"""
    scaled = quaternion / np.abs(quaternion).max()  # whose square neither overflows nor vanishes
    x, y, z, w = scaled / np.linalg.norm(scaled)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@np.errstate(over="ignore")  # of 1e308, say
def _text(values: np.ndarray | Sequence[float]) -> str:
    """Numbers to the millimetre."""
    return f"[{', '.join(f'{value:.7g}' for value in np.round(values, 3))}]"
