"""The node's model: what stands between a message with a request and the targets in it."""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segpoint_ros.pointcloud2 import read_cloud
from segpoint_ros.result import Result, make_result
from segpoint_ros.tracking import Tracker

if TYPE_CHECKING:
    from segpoint import Segmenter
    from segpoint.config import BundleConfig
    from segpoint_ros.messages import PointCloud2
    from segpoint_ros.place import Transforms
    from segpoint_ros.request import Request
    from segpoint_ros.settings import Parameters


@dataclass(frozen=True)
class Answer:
    """What was found in one cloud.

    started: when the work on it began, time.perf_counter().   timings: seconds per stage.   backend: what computed it.
    """

    result: Result
    started: float
    timings: dict[str, float]
    backend: str


class Answerer:
    """A loaded bundle that answers requests about messages, and remembers which target was which.

    Loading takes seconds, and minutes where engines are built first. Raises `SegPointError` where the model cannot be
    loaded or the backend cannot run here.
    """

    def __init__(self, settings: Parameters) -> None:
        from segpoint import Segmenter  # torch and transformers: seconds

        model = settings.model
        self._segmenter: Segmenter = Segmenter.from_bundle(model.bundle or None, model.backend, model.device)
        self._bundle: BundleConfig = self._segmenter.config
        self._tracker = Tracker()
        self._jumped = False
        self._one = threading.Lock()  # a Segmenter does one thing at a time, also after a hasty deactivation

    @property
    def backend(self) -> str:
        """What computes the network: "tensorrt", "onnxruntime" or "torch"."""
        return self._segmenter.engines.runner.name

    def answer(self, message: PointCloud2, request: Request, settings: Parameters, transforms: Transforms) -> Answer:
        """The targets of the request in a cloud. Raises `SegPointError` for a message or a place that is of no use."""
        started = time.perf_counter()
        frame = frame_of(message.header.frame_id, settings.input.frame)
        cloud = read_cloud(message, copy=False)
        place = None
        if request.pointing is not None:
            place = request.pointing.in_frame(message.header.frame_id, message.header.stamp, transforms)
        read = time.perf_counter() - started
        questions = request.questions
        with self._one:
            if self._jumped:
                self._jumped = False
                self._tracker.reset()
                self._segmenter.reset()
            self._segmenter.config = adjusted(self._bundle, settings)
            found = self._segmenter.segment_many(
                cloud.xyz, questions, rgb=cloud.rgb, frame=frame, places=[place] * len(questions)
            )
            result = make_result(message, frame, questions, found, self._tracker, settings)
        apart = {"instances": sum(one.timings["instances"] for one in found)}  # what each question costs by itself
        return Answer(result, started, {"read": read, **found[0].timings, **apart}, self.backend)

    def rest(self) -> None:
        """Hold on to nothing but the model, where no computation is under way."""
        if self._one.acquire(blocking=False):
            self._segmenter.forget()
            self._one.release()

    def forget(self) -> None:
        """Time has jumped: no target of the clouds that come is one of before, and what is answered does not depend on
        what was. Returns at once."""
        self._jumped = True


def adjusted(bundle: BundleConfig, settings: Parameters) -> BundleConfig:
    """The bundle's settings with those of the parameters that are not 0 in their place."""
    return dataclasses.replace(
        bundle,
        mask_threshold=settings.mask.threshold or bundle.mask_threshold,
        cluster_m=settings.clusters.distance or bundle.cluster_m,
        cluster_points=settings.clusters.min_points or bundle.cluster_points,
    )


def frame_of(frame_id: str, setting: str) -> str:
    """The clouds' axes: the parameter ``input.frame``, where "auto" goes by the frame's name (REP 103, REP 105)."""
    if setting != "auto":
        return setting
    if frame_id.endswith(("optical", "optical_frame")):
        return "optical"
    return "map" if frame_id.rsplit("/", 1)[-1] == "map" else "body"
