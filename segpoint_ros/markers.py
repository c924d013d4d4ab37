"""The targets as RViz shows them: a box around each and its name above it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

if TYPE_CHECKING:
    from segpoint.instances import Instance

# Up in each frame that a cloud can have.
UP = {"optical": (0.0, -1.0, 0.0), "body": (0.0, 0.0, 1.0), "map": (0.0, 0.0, 1.0)}
BOX_COLOUR = ColorRGBA(r=1.0, g=0.25, b=0.125, a=0.35)  # translucent: the points stay visible inside
TEXT_COLOUR = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
TEXT_HEIGHT = 0.03  # metres, of a capital letter
SMALLEST = 1e-3  # RViz refuses a box without extent


def target_markers(
    header: Header, instances: Sequence[Instance], name: str, frame: str = "body", lifetime: float = 0.0
) -> MarkerArray:
    """A translucent box and a text for each target, after a DELETEALL that takes the last answer's away.

    Target k (from 1, as in the cloud's ``label``) has id k in the namespaces ``box`` and ``text``.

    header: the cloud's.   name: what the text says, before the score.   frame: its axes, one of UP.
    lifetime: seconds after which RViz forgets the markers; 0 keeps them until the next answer.
    """
    seconds = int(lifetime)
    duration = Duration(sec=seconds, nanosec=int((lifetime - seconds) * 1e9))
    markers = [Marker(header=header, action=Marker.DELETEALL, pose=Pose(orientation=Quaternion(w=1.0)))]
    for number, instance in enumerate(instances, start=1):
        size = np.maximum(instance.size, SMALLEST)
        markers.append(
            Marker(
                header=header,
                ns="box",
                id=number,
                type=Marker.CUBE,
                action=Marker.ADD,
                pose=_pose(instance.centre, instance.orientation),
                scale=Vector3(x=float(size[0]), y=float(size[1]), z=float(size[2])),
                color=BOX_COLOUR,
                lifetime=duration,
            )
        )
        above = instance.centre + np.asarray(UP[frame]) * (_reach(instance, UP[frame]) + TEXT_HEIGHT)
        markers.append(
            Marker(
                header=header,
                ns="text",
                id=number,
                type=Marker.TEXT_VIEW_FACING,
                action=Marker.ADD,
                pose=_pose(above, (0.0, 0.0, 0.0, 1.0)),
                scale=Vector3(z=TEXT_HEIGHT),
                color=TEXT_COLOUR,
                lifetime=duration,
                text=f"{name} {instance.score:.2f}".strip(),
            )
        )
    return MarkerArray(markers=markers)


def _pose(position: np.ndarray, orientation: Sequence[float] | np.ndarray) -> Pose:
    """A pose with a unit quaternion (xyzw); RViz draws nothing for one that is off by more than rounding."""
    x, y, z, w = (float(v) for v in np.asarray(orientation) / np.linalg.norm(orientation))
    return Pose(
        position=Point(x=float(position[0]), y=float(position[1]), z=float(position[2])),
        orientation=Quaternion(x=x, y=y, z=z, w=w),
    )


def _reach(instance: Instance, up: tuple[float, float, float]) -> float:
    """How far the box reaches from its centre in the direction ``up``, metres."""
    x, y, z, w = np.asarray(instance.orientation) / np.linalg.norm(instance.orientation)
    axes = np.array(  # rows are the box's axes in the cloud's frame
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)],
            [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)],
            [2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return float(np.abs(axes @ np.asarray(up)) @ instance.size / 2)
