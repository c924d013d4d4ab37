"""A folder of one's own as one ROS bag with the same truth, so that single clouds can be replayed like a recording.

Every cloud that the folder's rows name becomes a frame, in the order named, and the rows are about it by "index".
Labels are object ids ("parts" become ids); where files give the same id different categories, the objects are numbered
on from file to file. Each cloud's frame is its frame_id: ``FRAME_IDS``. There are no poses: nothing is known of them.
Before each cloud its first instruction is said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint_training.bag_writer import LEAD, START, BagWriter, cloud_points
from segpoint_training.datasets.own import OwnFolder, open_folder
from segpoint_training.datasets.own_file import NAME, Row, read_own_file
from segpoint_training.scenes.bag import BAG, CLOUDS, claim, dump
from segpoint_training.stamp import write_whole

FRAME_IDS = {"optical": "camera_depth_optical_frame", "body": "lidar", "map": "map"}


def write_bag_of(folder: str | Path, clouds: str | Path, rate: float) -> tuple[int, int, Path]:
    """Write FOLDER/scene and FOLDER/instructions.json, ``rate`` clouds a second; returns how many clouds and rows, and
    the bag. Raises SegPointError for what is wrong with the folder ``clouds``, or where the bag is there already."""
    folder, root = Path(folder), Path(clouds)
    own = read_own_file(root)
    data = open_folder(root, own, "all")
    claim(folder, BAG)
    ids = _Ids(data)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as made:
        with BagWriter(Path(made) / BAG, compression="storage") as bag:
            for number, scan in enumerate(tqdm(data.scans, desc=str(folder), unit="cloud", disable=None)):
                points, frame, instance = data.labelled(scan)
                said = data.rows_in_view(scan)
                shift = ids.shift(data.clouds[scan].file, instance)
                label = np.where(instance > 0, instance + shift, 0)
                stamp = START + LEAD + round(number * 1e9 / rate)
                if said:
                    bag.say(stamp - (1000 if number else LEAD), said[0].instruction)
                organised = cloud_points(points.xyz, points.rgb, label, points.width, points.height)
                bag.cloud(CLOUDS, stamp, FRAME_IDS[frame], organised)
                rows += [_row(row, number, shift, own.scale) for row in said]
        (Path(made) / BAG).rename(folder / BAG)
    categories = {str(label): word for label, word in sorted(ids.categories.items())}
    content = {"categories": categories} if categories else {}
    write_whole(folder / NAME, dump({**content, "instructions": rows}))
    return len(data.scans), len(rows), folder / BAG


@dataclass
class _Ids:
    """Object ids that mean one category in the whole bag."""

    data: OwnFolder
    categories: dict[int, str] = field(default_factory=dict)
    shifts: dict[str, int] = field(default_factory=dict)
    most: int = 0

    def __post_init__(self) -> None:
        tables = [self.data.own.categories_of(cloud.file) for cloud in self.data.clouds.values()]
        words = [(label, word) for table in tables for label, word in table.items()]
        self.agree = len(set(words)) == len({label for label, _ in words})

    def shift(self, file: str, instance: np.ndarray) -> int:
        """What is added to the ids of a file. Raises SegPointError where an id is too large for a label then."""
        table = self.data.own.categories_of(file)
        if file not in self.shifts:
            self.shifts[file] = 0 if self.agree else self.most
        shift = self.shifts[file]
        self.most = max(self.most, shift + int(instance.max(initial=0)), *(shift + label for label in table), 0)
        if self.most > np.iinfo(np.int32).max:
            raise SegPointError(f"{file}: its labels, numbered on from file to file, reach {self.most}; number from 1")
        self.categories.update({label + shift: word for label, word in table.items()})
        return shift


def _row(row: Row, number: int, shift: int, scale: str) -> dict[str, Any]:
    def said() -> Iterator[tuple[str, Any]]:
        yield from (("file", BAG), ("index", number), ("instruction", row.instruction), ("kind", row.kind))
        yield "target_labels", [label + shift for label in row.target_labels]
        yield from (("answer", row.answer), ("place", row.place), ("split", row.split), ("scale", row.scale or scale))

    return {name: value for name, value in said() if value != ""}
