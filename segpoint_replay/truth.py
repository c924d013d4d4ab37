"""What should have been marked: the clouds and rows of a data set of one's own, laid beside a recording's clouds."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from segpoint.errors import SegPointError
from segpoint.instances import oriented_box
from segpoint_replay.recording import Recording
from segpoint_ros.markers import UP
from segpoint_ros.pointcloud2 import read_cloud
from segpoint_training.datasets.own import OwnCloud, OwnFolder, open_folder
from segpoint_training.datasets.own_file import read_own_file

if TYPE_CHECKING:
    from segpoint_replay.recording import Frame


_T = TypeVar("_T")
_COMPARED = 1000  # points of a cloud tell whether it is the labelled one


@dataclass(frozen=True, eq=False)
class Truth:
    """What one instruction means in one cloud of M points.

    kind: what `segpoint evaluate` groups by.   mask: (M,) bool, without points that are not finite.   centres: (k, 3)
    float64, of each target object's box in the cloud's frame, metres; the box that `segpoint.instances` puts around a
    target that is found, so that the distance between the two measures the mask and not the box.
    """

    instruction: str
    kind: str
    mask: np.ndarray
    centres: np.ndarray


class Labels:
    """The truth about some clouds of a recording.

    numbers: which of them, ascending.
    """

    def __init__(self, folder: OwnFolder, names: dict[int, str]) -> None:
        """Use `open`. names: of the labelled cloud, by the number of the recording's."""
        self._folder, self._names = folder, names
        self.numbers = tuple(sorted(names))

    @classmethod
    def open(cls, folder: str | Path, recording: Recording) -> Labels:
        """The clouds of a folder with an instructions.json, in bags, that are ``recording``'s.

        They are the same where their headers have the same time (with a header of 0: where they were recorded at the
        same time). So the labels may stand in the bag itself, which rows then name, or in another bag. A time that two
        labelled clouds have, or two of the recording's, is told in ``recording.troubles`` and left out.
        Raises SegPointError where the folder is wrong, and where none of its clouds is one of the recording's.
        """
        root = Path(folder)
        own = open_folder(root, read_own_file(root), "all")
        clouds = [cloud for cloud in own.clouds.values() if cloud.topic]
        if not clouds:
            raise SegPointError(
                f"{root}: its rows name no bag, and clouds in files have no time by which to find them in "
                f"{recording.path}: name the labelled bag as 'file'"
            )
        labelled = _by_time(zip(_times(root, clouds, recording), (cloud.name for cloud in clouds), strict=True))
        recorded = _by_time(zip(_keys(recording), range(recording.count), strict=True))
        both = sorted(labelled.keys() & recorded.keys())
        if not both:
            raise SegPointError(
                f"{root}: none of its {len(clouds)} labelled clouds has the time of one on {recording.topic} of "
                f"{recording.path}: those are from {_span(labelled)} s, these from {_span(recorded)} s after 1970; "
                "give the labels of this bag"
            )
        if pointed := _pointed(own):
            recording.troubles.append(f"{root}: {pointed}")
        clear = {key for key in both if len(labelled[key]) == len(recorded[key]) == 1}
        if not clear:
            raise SegPointError(
                f"{root}: every time of a labelled cloud belongs to several clouds of {recording.path}: give the "
                "clouds the times of their headers"
            )
        if len(clear) < len(both):
            recording.troubles.append(
                f"{root}: {len(both) - len(clear)} times belong to more than one cloud each, whose labels are left out"
            )
        if proposed := _unreviewed(own.own.path):
            recording.troubles.append(
                f"{root}: {proposed} rows were labelled by the model itself, and nobody has looked at them all: "
                "figures against them say nothing of the model; `segpoint annotate` shows which"
            )
        return cls(own, {recorded[key][0]: labelled[key][0] for key in clear})

    def check_due(self, numbers: Iterable[int]) -> None:
        """Raise SegPointError where none of the recording's clouds with these numbers is labelled."""
        if not set(numbers) & set(self.numbers):
            raise SegPointError(
                f"{self._folder.root} labels {len(self.numbers)} clouds of this bag, number {self.numbers[0]} to "
                f"{self.numbers[-1]}, and none of those is chosen: change start, duration or every, or label others"
            )

    def of(self, frame: Frame) -> tuple[Truth, ...]:
        """What the rows ask about a cloud, and what is meant; () where it is not labelled.

        Of rows that hold for many clouds only those are there whose targets are in view; none that come with a place.
        Raises SegPointError where the labelled cloud is not the same one, or lacks an object that a row means.
        """
        name = self._names.get(frame.number)
        if name is None:
            return ()
        points, axes, instance = self._folder.labelled(name)
        count = frame.message.width * frame.message.height
        if len(instance) != count:
            raise SegPointError(
                f"{self._folder.root / name} has {len(instance)} points and the bag's cloud of that time {count}: "
                "label the clouds of the topic that is replayed"
            )
        some = slice(None, None, max(1, count // _COMPARED))
        if not np.allclose(
            points.xyz[some], read_cloud(frame.message, copy=False).xyz[some], atol=1e-3, equal_nan=True
        ):
            raise SegPointError(
                f"{self._folder.root / name} has other points than the bag's cloud of that time: give the labels of "
                "this bag"
            )
        finite, up = np.isfinite(points.xyz).all(axis=1), np.array(UP[axes])

        @cache  # rows mean the same objects again and again
        def centre(target: int) -> np.ndarray:
            return oriented_box(points.xyz[finite & (instance == target)], up)[0]

        truths = []
        for row in self._folder.rows_in_view(name):
            if row.place:
                continue
            mask = finite & np.isin(instance, row.target_labels)
            centres = np.array([centre(target) for target in row.target_labels]).reshape(-1, 3)
            truths.append(Truth(row.instruction, row.kind, mask, centres))
        return tuple(truths)


def _pointed(folder: OwnFolder) -> str:
    """What is to be known of rows that come with a click or a box. Raises SegPointError where there are no others."""
    rows = folder.own.rows
    count = sum(bool(row.place) for row in rows)
    if count and count == len(rows):
        raise SegPointError(
            f"{folder.root}: all its rows come with a click or a box, and a replay asks in words alone: add others"
        )
    left_out = f"{count} of {len(rows)} rows come with a click or a box and are left out: a replay asks in words alone"
    return left_out if count else ""


def _unreviewed(path: Path) -> int:
    """How many rows of an instructions.json `segpoint annotate --propose` wrote, of clouds that wait for a person."""
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    rows = content["instructions"] if isinstance(content, dict) else content
    return sum(bool(isinstance(row.get("notes"), dict) and row["notes"].get("proposed")) for row in rows)


def _times(root: Path, clouds: list[OwnCloud], recording: Recording) -> list[int]:
    """Of each labelled cloud the time by which it is found."""
    times: dict[tuple[str, str], list[int]] = {}  # by bag and topic, in order of when they were recorded
    for bag in {(cloud.file, cloud.topic) for cloud in clouds}:
        path, topic = root / bag[0], bag[1]
        same = topic == recording.topic and os.path.samefile(path, recording.path)
        source = recording if same else Recording.open(path, topic)
        times[bag] = _keys(source)
    return [times[cloud.file, cloud.topic][cloud.number] for cloud in clouds]


def _keys(recording: Recording) -> list[int]:
    return [stamp or received for stamp, received in zip(recording.stamps, recording.received, strict=True)]


def _by_time(pairs: Iterable[tuple[int, _T]]) -> dict[int, list[_T]]:
    found: dict[int, list[_T]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return found


def _span(times: Iterable[int]) -> str:
    return f"{min(times) / 1e9:.3f} to {max(times) / 1e9:.3f}"
