"""A result as RViz shows it: a box around each target with its name above it, and what was asked and answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from segpoint_ros.messages import ColorRGBA, Duration, Marker, MarkerArray, Point, Pose, PoseArray, Quaternion, Vector3
from segpoint_ros.pointcloud2 import read_cloud
from segpoint_ros.result import Result, Target

if TYPE_CHECKING:
    from segpoint.instances import Instance

# Up in each frame that a cloud can have.
UP = {"optical": (0.0, -1.0, 0.0), "body": (0.0, 0.0, 1.0), "map": (0.0, 0.0, 1.0)}
BOX_ALPHA = 0.35  # translucent: the points stay visible inside
TEXT_COLOUR = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
LONGEST = 80  # letters of an instruction, and of an answer, that are shown
SMALLEST = 1e-3  # RViz refuses a box without extent


def target_markers(result: Result, text_height: float = 0.03, lifetime: float = 0.0) -> MarkerArray:
    """A translucent box and a text for each target and one text about all, after a DELETEALL that takes the last
    answer's away.

    A target's label is the id of its markers in the namespaces ``box`` and ``text``. What was asked and answered, a
    line for each instruction, has the namespace ``instruction``.

    text_height: metres, of a capital letter.   lifetime: seconds after which RViz forgets the markers; 0 keeps them
    until the next answer.
    """
    seconds = int(lifetime)
    duration = Duration(sec=seconds, nanosec=int((lifetime - seconds) * 1e9))
    shown = [marker for target in result.targets for marker in (_box(target), _name(target, result.frame, text_height))]
    if result.instructions:
        shown.append(_conversation(result, text_height))
    for marker in shown:
        marker.lifetime = duration
    markers = [Marker(action=Marker.DELETEALL, pose=Pose(orientation=Quaternion(w=1.0))), *shown]
    for marker in markers:
        marker.header = result.message.header
    return MarkerArray(markers=markers)


def pose_array(result: Result) -> PoseArray:
    """The poses of the targets' boxes, in the order of their labels and in the cloud's frame."""
    poses = [pose(target.instance.centre, target.instance.orientation) for target in result.targets]
    return PoseArray(header=result.message.header, poses=poses)


def pose(position: np.ndarray, orientation: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0, 1.0)) -> Pose:
    """A pose with a unit quaternion (xyzw); RViz draws nothing for one that is off by more than rounding."""
    x, y, z, w = (float(v) for v in np.asarray(orientation) / np.linalg.norm(orientation))
    return Pose(
        position=Point(x=float(position[0]), y=float(position[1]), z=float(position[2])),
        orientation=Quaternion(x=x, y=y, z=z, w=w),
    )


def size_of(instance: Instance) -> Vector3:
    """The sides of an instance's box, metres."""
    x, y, z = (max(float(side), SMALLEST) for side in instance.size)
    return Vector3(x=x, y=y, z=z)


def _box(target: Target) -> Marker:
    red, green, blue = (channel / 255 for channel in target.colour)
    return Marker(
        ns="box",
        id=target.label,
        type=Marker.CUBE,
        action=Marker.ADD,
        pose=pose(target.instance.centre, target.instance.orientation),
        scale=size_of(target.instance),
        color=ColorRGBA(r=red, g=green, b=blue, a=BOX_ALPHA),
    )


def _name(target: Target, frame: str, height: float) -> Marker:
    up = np.asarray(UP[frame])
    text = f"{target.name} #{target.number} {target.instance.score:.2f}".strip()
    above = target.instance.centre + up * (_reach(target.instance, up) + height)
    return _text("text", target.label, above, text, height)


def conversation(instructions: Sequence[str], answers: Sequence[str]) -> str:
    """The text of what was asked and answered, a line for each instruction, long ones cut short."""
    return "\n".join(f"{_short(asked)}: {_short(said)}" for asked, said in zip(instructions, answers, strict=True))


def _conversation(result: Result, height: float) -> Marker:
    """What was asked and answered, where somebody who looks for the targets looks anyway."""
    text = conversation(result.instructions, [found.answer for found in result.found])
    # RViz centres a text at its place. So half of the lines reach down from it, to the line of a target's name.
    clearance = (2.0 + 0.7 * len(result.instructions)) * height
    place = _above_all(result) + np.asarray(UP[result.frame]) * clearance
    return _text("instruction", 0, place, text, height)


def _text(namespace: str, number: int, place: np.ndarray, text: str, height: float) -> Marker:
    return Marker(
        ns=namespace,
        id=number,
        type=Marker.TEXT_VIEW_FACING,
        action=Marker.ADD,
        pose=pose(place),
        scale=Vector3(z=height),
        color=TEXT_COLOUR,
        text=text,
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."  # RViz's font has no ellipsis


def _above_all(result: Result) -> np.ndarray:
    """(3,) amid the targets, level with the highest box's top; without targets amid the cloud, and above most of it.

    The frame's origin would be no place: in a sensor's frames it is where the eye is, in a map it may be anywhere.
    """
    up = np.asarray(UP[result.frame])
    if result.targets:
        centres = np.array([target.instance.centre for target in result.targets])
        tops = [centre @ up + _reach(t.instance, up) for centre, t in zip(centres, result.targets, strict=True)]
        amid, top = centres.mean(axis=0), max(tops)
    else:
        points = read_cloud(result.message, copy=False).xyz
        points = points[:: max(1, len(points) // 2000)].astype(np.float64)  # so many tell
        points = points[np.isfinite(points).all(axis=1)]
        if not len(points):
            return np.zeros(3)
        amid, top = np.median(points, axis=0), np.percentile(points @ up, 90)
    return amid + up * (top - amid @ up)


def _reach(instance: Instance, up: np.ndarray) -> float:
    """How far the box reaches from its centre in the direction ``up``, metres."""
    axes = Rotation.from_quat(instance.orientation).as_matrix()  # columns are the box's axes in the cloud's frame
    return float(np.abs(up @ axes) @ instance.size / 2)
