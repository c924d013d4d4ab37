"""The clouds of a bag that are to be annotated, read when a person comes to them, or beforehand."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from threading import Lock

import numpy as np

from segpoint.errors import SegPointError
from segpoint_replay.annotate.masks import finite
from segpoint_replay.annotate.picture import Picture
from segpoint_replay.recording import Choice, Frame, Recording
from segpoint_ros.answering import frame_of
from segpoint_ros.pointcloud2 import read_cloud
from segpoint_training.baselines import geometric_clusters

_KEPT = 4  # clouds in memory
_ROOM = 2.5  # metres: where half of a cloud is farther from its sensor, that looks at a room and not at a table
_MOMENT = 1e-6  # seconds: one cloud's, however far from the bag's start


class View:
    """One cloud as it is annotated.

    xyz: (M, 3) float metres, NaN rows kept.   rgb: (M, 3) uint8 or None.   axes: "optical", "body" or "map".
    pose: (4, 4) from its sensor's frame to the bag's common one, None where the bag does not say.
    """

    def __init__(self, frame: Frame, pose: np.ndarray | None) -> None:
        cloud = read_cloud(frame.message)
        self.frame, self.pose = frame, pose
        self.xyz, self.rgb = np.asarray(cloud.xyz, np.float32), cloud.rgb
        self.axes = frame_of(frame.message.header.frame_id, "auto")
        self.picture = Picture(self.xyz, self.rgb, self.axes, frame.message.width, frame.message.height)

    @cached_property
    def things(self) -> list[np.ndarray]:
        """Indices (n,) of each thing that geometry finds."""
        with np.errstate(invalid="ignore"):
            away = np.nanmedian(np.linalg.norm(self.xyz, axis=1)) if finite(self.xyz).any() else 0.0
        return geometric_clusters(self.xyz, self.axes, "room" if self.axes == "map" or away > _ROOM else "table")

    def motion_from(self, other: View) -> np.ndarray | None:
        """(4, 4) from another cloud's sensor frame to this one's; None where no transforms are known."""
        if self.pose is None or other.pose is None:
            return None
        motion: np.ndarray = np.linalg.inv(self.pose) @ other.pose
        return motion


class Clouds:
    """The chosen clouds of a recording, in order. numbers: of each, among all of its topic.

    every: each n-th cloud; 0: about ``count`` of them, evenly spread. Thread-safe.
    """

    def __init__(self, recording: Recording, every: int = 0, count: int = 20) -> None:
        self.recording = recording
        self.every = every or max(1, -(-recording.count // count))
        self.numbers = recording.chosen(Choice(every=self.every))
        self._views: OrderedDict[int, Future[View]] = OrderedDict()
        self._lock = Lock()
        self._reader = ThreadPoolExecutor(1, "clouds")

    def __len__(self) -> int:
        return len(self.numbers)

    def view(self, place: int) -> View:
        """The cloud at a place of ``numbers``. Raises SegPointError where it cannot be read."""
        return self._asked(place).result()

    def read_ahead(self, place: int) -> None:
        """Begin to read a cloud that will be wanted; nothing where there is none."""
        if place < len(self):
            self._asked(place)

    def at(self, place: int) -> float:
        """Seconds after the bag's start."""
        return (self.recording.received[self.numbers[place]] - self.recording.start) / 1e9

    def _asked(self, place: int) -> Future[View]:
        with self._lock:
            if place not in self._views:
                self._views[place] = self._reader.submit(self._read, place)
            self._views.move_to_end(place)
            while len(self._views) > _KEPT:
                self._views.popitem(last=False)
            return self._views[place]

    def _read(self, place: int) -> View:
        recording, number = self.recording, self.numbers[place]
        frames = recording.frames(Choice(self.at(place), _MOMENT))
        frame = next((frame for frame in frames if frame.number == number), None)
        if frame is None:
            raise SegPointError(f"cloud {number} on {recording.topic} cannot be read: it is left out")
        if not finite(np.asarray(read_cloud(frame.message).xyz)).any():
            raise SegPointError(f"cloud {number} on {recording.topic} holds no point: it is left out")
        view = View(frame, recording.pose(frame.message.header.frame_id, frame.stamp))
        _ = view.things  # what the first click needs
        return view
