"""The answers as a bag that RViz and Foxglove play: what the node would have published, at the clouds' own times."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from segpoint.errors import SegPointError
from segpoint_replay.transforms import TRANSFORMS
from segpoint_ros.markers import target_markers
from segpoint_ros.messages import PointCloud2, String, serialize
from segpoint_ros.pointcloud2 import label_cloud
from segpoint_training.datasets.own_cut_bag import NEVER

if TYPE_CHECKING:
    from segpoint_replay.recording import Frame, Recording
    from segpoint_ros.result import Result

# As the node names them when it is started by the launch file.
TOPICS = {
    "/segpoint/output/points": "sensor_msgs/msg/PointCloud2",
    "/segpoint/output/markers": "visualization_msgs/msg/MarkerArray",
    "/segpoint/output/answer": "std_msgs/msg/String",
    "/instruction": "std_msgs/msg/String",
}
_POINTS, _MARKERS, _ANSWER, _INSTRUCTION = TOPICS
_AROUND = 10**9  # nanoseconds before the first cloud and after the last with their transforms, to interpolate between


class AnswersBag:
    """A rosbag2 folder with one .mcap, to be entered: labelled clouds, markers, answers, and what was asked.

    Every message has the time at which its cloud was recorded, and the cloud's header; the recording's /tf and
    /tf_static come along. Played beside the bag it shows what was said about what. A process that is killed leaves
    what it has written, except for the last mebibyte; `segpoint_replay.recording.Recording` reads it.
    """

    def __init__(self, folder: str | Path, recording: Recording) -> None:
        """folder: is made; an earlier bag of answers in it goes. Raises SegPointError where other files are in it."""
        self._folder = Path(folder)
        self._topics = {**TOPICS, **{_rooted(message.topic): TRANSFORMS for message in recording.transforms}}
        self._transforms = iter(recording.transforms)
        self._next = next(self._transforms, None)
        self._first: int | None = None
        self._asked: tuple[str, ...] = ()
        self._labelled = PointCloud2()
        self._writer: Any = None
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> AnswersBag:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.rosbag2.errors import WriterError
        from rosbags.typesys import Stores, get_typestore

        store = get_typestore(Stores.LATEST)
        try:
            self._make_room()
            # Version 8 of the metadata is the newest that ROS 2 Humble reads.
            self._writer = Writer(self._folder, version=8, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
            for topic, kind in self._topics.items():
                qos = [_latched()] if topic.endswith("tf_static") else []
                self._connections[topic] = self._writer.add_connection(
                    topic, kind, typestore=store, offered_qos_profiles=qos
                )
        except (OSError, WriterError) as error:
            raise SegPointError(f"{self._folder} cannot be written ({error}): write elsewhere") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Not the writer's own way out, which after an error leaves the bag without its last messages and its index.
        with self._reporting():
            self._writer.close()

    def write(self, frame: Frame, result: Result) -> None:
        """Add the answers about a cloud, and the transforms up to it. Frames come in order of time."""
        self._write_transforms(frame.received)
        if result.instructions != self._asked:
            self._asked = result.instructions
            self._write(_INSTRUCTION, frame, String(data="\n".join(result.instructions)))
        colours = {target.label: target.colour for target in result.targets}
        self._labelled = label_cloud(
            result.message, result.label, result.score, result.frame, colours, into=self._labelled
        )
        self._write(_POINTS, frame, self._labelled)
        self._write(_MARKERS, frame, target_markers(result))
        self._write(_ANSWER, frame, String(data=result.answer))

    def _write_transforms(self, until: int) -> None:
        """Those that were recorded before a time; long before the first cloud only what holds for all time."""
        if self._first is None:
            self._first = until
        begins = self._first - _AROUND
        while self._next is not None and self._next.received <= until + _AROUND:
            message, self._next = self._next, next(self._transforms, None)
            static = message.topic.endswith("tf_static")
            if static or message.received >= begins:
                self._add(_rooted(message.topic), max(message.received, begins), message.data)

    def _write(self, topic: str, frame: Frame, message: Any) -> None:
        self._add(topic, frame.received, serialize(message))

    def _add(self, topic: str, received: int, cdr: bytes) -> None:
        with self._reporting():
            self._writer.write(self._connections[topic], received, cdr)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SegPointError(f"{self._folder} cannot be written ({error}): make room or write elsewhere") from error

    def _make_room(self) -> None:
        """Take away an earlier bag of answers, whole or not, and nothing else."""
        if not self._folder.is_dir():
            return
        others = {path.name for path in self._folder.iterdir()} - {"metadata.yaml", f"{self._folder.name}.mcap"}
        if others:
            raise SegPointError(f"{self._folder} holds {min(others)}, which is no bag of answers: write elsewhere")
        shutil.rmtree(self._folder)


def _rooted(topic: str) -> str:
    return "/" + topic.lstrip("/")  # ROS 1 has names without


def _latched() -> Any:
    """The quality of service of /tf_static: who listens later hears it, too."""
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    never = QosTime(NEVER // 10**9, NEVER % 10**9)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL,
        deadline=never,
        lifespan=never,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=never,
        avoid_ros_namespace_conventions=False,
    )
