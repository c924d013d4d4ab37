"""What a node published, put together: which messages are one result, and what question that answers.

The node publishes a result from one thread, the labelled cloud first, then its markers, then the answer, then how long
each stage took. DDS keeps that order on each topic, not between them; but every message bears the time at which it was
published, by one clock, the node's. By that time they are put in order, and each cloud up to the next one is one
`Reply`, if it is whole. The cloud's stamp says which cloud it is about, and the markers quote what was asked: an answer
to another question than the one that was due is never taken for one to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segpoint import Segmentation
from segpoint.instances import Instance
from segpoint.prompts import parse_answer
from segpoint_replay.measures import instruction_mask
from segpoint_ros.colours import target_colour
from segpoint_ros.markers import conversation
from segpoint_ros.messages import deserialize
from segpoint_ros.pointcloud2 import points_of
from segpoint_ros.result import LABELS_EACH, Result, Target

if TYPE_CHECKING:
    from segpoint_replay.recording import Frame
    from segpoint_ros.messages import MarkerArray
    from segpoint_ros.settings import Parameters

Request = tuple[str, ...]
"""The instructions that are asked at a time."""
_OUTPUTS = ("points", "markers", "answer")


@dataclass(frozen=True)
class Heard:
    """A message of the node.

    topic: "points", "markers", "answer" or a stage.   published: nanoseconds, the node's clock.   received:
    time.monotonic().   value: the text of the markers, the answer, the stage's seconds, or where the cloud is kept:
    (place, length).   stamp: of the cloud or the markers, nanoseconds.
    """

    topic: str
    published: int
    received: float
    value: Any
    stamp: int | None = None
    markers: MarkerArray | None = None


@dataclass
class Reply:
    """A result as it was published.   stamp: of its cloud, nanoseconds.   points: where the labelled cloud is kept.
    conversation: what was asked and answered, as the markers show it.   received: time.monotonic() of its last message.
    seconds: per stage."""

    stamp: int
    points: tuple[int, int]
    received: float
    conversation: str | None = None
    markers: MarkerArray | None = None
    answer: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def replies(heard: Iterable[Heard]) -> list[Reply]:
    """The results that arrived whole, in the order in which they were published."""
    found: list[Reply] = []
    now: Reply | None = None  # to which the next message belongs
    for one in sorted(heard, key=lambda one: one.published):
        if one.topic == "points":
            assert one.stamp is not None
            now = Reply(one.stamp, one.value, one.received)
            found.append(now)
        elif now is None:
            continue
        elif one.topic == "markers" and one.stamp == now.stamp and now.markers is None:
            now.conversation, now.markers = one.value, one.markers
            now.received = max(now.received, one.received)
        elif one.topic == "answer" and now.markers is not None and now.answer is None:
            now.answer, now.received = one.value, max(now.received, one.received)
        elif one.topic not in _OUTPUTS and now.answer is not None:
            now.seconds[one.topic] = one.value
        else:
            now = None  # something in between was lost: what comes now is of the next result
    return [reply for reply in found if reply.answer is not None]


def answers_to(requests: Sequence[Request], about: Sequence[Reply]) -> list[tuple[Request, Reply]]:
    """Each request with the first of the replies about its cloud that is one to it, where there is one."""
    found = ((request, next((one for one in about if is_about(one, request)), None)) for request in requests)
    return [(request, reply) for request, reply in found if reply is not None]


def is_about(reply: Reply, request: Request) -> bool:
    """Whether it answers these instructions: whether its markers show what they would for these."""
    answers = (reply.answer or "").split("\n")
    return len(answers) == len(request) and reply.conversation == conversation(request, answers)


def result_of(frame: Frame, axes: str, request: Request, reply: Reply, labelled: bytes, settings: Parameters) -> Result:
    """What the node had before it published it, as far as that tells: the same labels, scores, boxes and words.

    labelled: the cloud that it published, CDR.
    """
    points = points_of(deserialize(labelled, "sensor_msgs/msg/PointCloud2"))
    label, score = (points[name].reshape(-1) for name in ("label", "score"))
    answers = (reply.answer or "").split("\n")
    names = [", ".join(dict.fromkeys(parse_answer(answer))) for answer in answers]
    targets = []
    for marker in reply.markers.markers if reply.markers else ():
        if marker.ns != "box":
            continue
        place, number = divmod(marker.id, LABELS_EACH)
        at, turned, size = marker.pose.position, marker.pose.orientation, marker.scale
        indices = np.flatnonzero(label == marker.id)
        box = Instance(
            centre=np.array([at.x, at.y, at.z]),
            size=np.array([size.x, size.y, size.z]),
            orientation=np.array([turned.x, turned.y, turned.z, turned.w]),
            score=float(score[indices].mean()) if len(indices) else 0.0,
            indices=indices,
        )
        colour = target_colour(place, number, settings.output.highlight_color)
        targets.append(Target(marker.id, place, names[place], colour, box))
    found = tuple(
        Segmentation(
            mask=instruction_mask(label, place),
            score=score,
            answer=answer,
            instances=[target.instance for target in targets if target.instruction == place],
            timings={},
        )
        for place, answer in enumerate(answers)
    )
    return Result(frame.message, axes, request, found, tuple(targets))
