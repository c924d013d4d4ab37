"""A folder of one's own: labelled clouds or ROS bags, and an ``instructions.json`` that says what they are asked.

A cloud is a .pcd, .ply or .npz file, or a PointCloud2 in a bag (rosbag2 folder, .mcap, .db3, ROS 1 .bag; no ROS is
needed). Each point carries in a field ``label`` the number of the object it belongs to, 0 for none. That file says::

    {
      "categories": {"1": "table", "2": "mug", "3": "valve"},
      "instructions": [
        {"file": "bench_1.pcd", "instruction": "pick up the red mug", "target_labels": [2]},
        {"file": "bench_1.pcd", "instruction": "the hammer", "target_labels": []},
        {"file": "run1", "every": 10, "instruction": "turn the valve", "target_labels": [3]},
        {"file": "run1", "time": 12.5, "instruction": "something to drink from", "target_labels": [2], "answer": "mug"}
      ]
    }

Of each row:

* ``file``, ``instruction``, ``target_labels``: the cloud or bag beside it, what is said, and the objects it means; none
  of them is "there is nothing to mark", which a model has to be taught, too.
* ``index`` (from 0), ``time`` (seconds after the bag's start, or since 1970; the cloud nearest to it) or ``every`` N
  (each N-th cloud) choose from a bag; without them it is every cloud. Chosen by number or time a cloud must show the
  targets; of the others, those are left out that do not. ``topic`` is needed where several carry labelled clouds.
* ``answer``: the word the model is to write for the targets. Without it, their category (of several, the generator's
  common word for them); without categories, the noun of the request, or "object" where none is plain (`own_words`).
* ``kind``: what `segpoint evaluate` groups by.   ``place``: "click" or "box", comes with one on its only target.
* ``split``: "train", "val" or "test". Where no row says one, "val" is every fifth file, and of each bag the last fifth
  of its clouds, since neighbours in time look alike; where there are two to four, the last one.
* ``frame``: "optical" (x right, y down, z forward), "body" (x forward, y left, z up) or "map" (z up, put together from
  many views). By default a file is optical, and a bag's cloud what its frame_id says: optical where it ends so, map, or
  else body.   ``scale``: "table" (default) or "room" (of maps).

Beside "instructions", for all rows: ``frame``, ``scale``; ``field``, the labels' name where it is another ("object",
CloudCompare's "scalar_label"); ``labels``: "ids" (default), or "parts", where 1 to 9 are object 1 and others label //
10; and ``categories``, by label, or for single files {"bench_1.pcd": {"2": "mug"}}. Once there are categories every
object needs one ("" for none), and every object of these kinds a label, because all clouds are then asked for all of
them. A list of rows alone, as `segpoint generate --out` writes it, has "parts".

A cloud that this package's node has labelled can be taken as it is. Its targets are painted over, so its colour is not
read.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segpoint.errors import SegPointError
from segpoint.files import SUFFIXES, PointFile, read_points
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.check import Check
from segpoint_training.datasets.own_bag import is_bag, open_bag
from segpoint_training.datasets.own_bag_files import SUFFIXES as BAGS
from segpoint_training.datasets.own_file import MOST_LABEL, OwnFile, Row, read_own_file
from segpoint_training.datasets.own_words import OBJECT, named_word
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.scenes.scene import Instruction, SceneObject
from segpoint_training.scenes.vocabulary import answer_word

_HELD_OUT = 5  # every fifth
_SCALES = {"optical": "table", "body": "table", "map": "room"}  # by frame


def open_split(settings: DatasetConfig) -> OwnFolder:
    """The clouds of a split, or of "all". Raises SegPointError for the first thing that is wrong with what is named."""
    root = Path(settings.root)
    return open_folder(root, read_own_file(root), settings.split)


def open_folder(root: Path, own: OwnFile, split: str) -> OwnFolder:
    """As `open_split`, of a file that is read already."""
    clouds, problems = _find_clouds(root, own)
    if problems:
        more = f" (and {len(problems) - 1} more: `segpoint data check own` tells them all)" if problems[1:] else ""
        raise SegPointError(problems[0] + more)
    clouds = _of_split(clouds, split)
    if not clouds and split == "train":
        raise SegPointError(f'{own.path}: by its rows\' "split" no cloud is left to train on; give some "train"')
    data = OwnFolder(root, own, clouds)
    if multiprocessing.parent_process() is None:  # told once, not by every worker
        for line in data.damages():
            logging.getLogger(__name__).warning(line)
    return data


@dataclass
class OwnCloud:
    """One cloud that rows speak about. topic: "" of a file.   number: its place among a bag's clouds on that topic."""

    name: str
    file: str
    topic: str
    number: int
    rows: list[Row]
    split: str = "train"


class OwnFolder:
    """A split of such a folder, a `DataSet`. A bag's clouds are named "BAG@NUMBER"."""

    name = "own"

    def __init__(self, root: Path, own: OwnFile, clouds: Sequence[OwnCloud]) -> None:
        self.root, self.own = root, own
        self.clouds = {cloud.name: cloud for cloud in clouds}
        self.scans: Sequence[str] = tuple(self.clouds)
        words = {word for table in own.categories.values() for word in table.values()}
        self.classes: Sequence[str] = tuple(sorted(words - {""}))
        self._last: tuple[str, PointFile, str, np.ndarray] | None = None

    def points(self, scan: str) -> tuple[PointFile, str]:
        """A cloud with all its fields, organised where it is, and its frame."""
        cloud = self.clouds[scan]
        said = next((row.frame for row in cloud.rows if row.frame), "") or self.own.frame
        if not cloud.topic:
            return read_points(self.root / cloud.file), said or "optical"
        points, frame_id = open_bag(self.root / cloud.file).read(cloud.topic, cloud.number)
        return points, said or _frame_of(frame_id)

    def labelled(self, scan: str) -> tuple[PointFile, str, np.ndarray]:
        """A cloud, its frame, and (M,) int32 object ids; the last one stays in memory."""
        if self._last is None or self._last[0] != scan:
            points, frame = self.points(scan)
            self._last = scan, points, frame, self._instance(scan, points)
        return self._last[1:]

    def load(self, scan: str) -> Scan:
        points, frame, instance = self.labelled(scan)
        objects = scan_objects(points.xyz, instance, self.own.categories_of(self.clouds[scan].file))
        self._check_categories(scan, objects)
        said = next((row.scale for row in self.clouds[scan].rows if row.scale), "") or self.own.scale
        return Scan(scan, points.xyz, points.rgb, instance, objects, frame, said or _SCALES[frame])

    def instructions(self, scan: str) -> tuple[Instruction, ...]:
        """What the rows say; raises SegPointError where one means an object of which the cloud has no point."""
        categories = self.own.categories_of(self.clouds[scan].file)
        return tuple(
            Instruction(row.instruction, row.kind, row.target_labels, self._answer(row, categories), row.place)
            for row in self.rows_in_view(scan)
        )

    def rows_in_view(self, scan: str) -> list[Row]:
        """The rows of `instructions`: those of many clouds of a bag only where their targets are in view."""
        points, _, instance = self.labelled(scan)
        there = set(np.unique(instance[np.isfinite(points.xyz).all(axis=1)]).tolist()) - {0}
        rows = []
        for row in self.clouds[scan].rows:
            unseen = sorted(set(row.target_labels) - there)
            if not unseen:
                rows.append(row)
            elif not self.clouds[scan].topic or (row.index, row.time) != (None, None):
                hint = " (parts 40 to 49 are object 4)" if self.own.labels == "parts" else ""
                raise SegPointError(
                    f"{self.own.path}, row {row.number}: “{row.instruction}” means object {unseen[0]}, of which {scan} "
                    f"has no point; its objects are {_some(sorted(there))}{hint}"
                )
        return rows

    def damages(self) -> Iterator[str]:
        """Which bags end early, and how much of them is there."""
        for file in sorted({cloud.file for cloud in self.clouds.values() if cloud.topic}):
            bag = open_bag(self.root / file)
            if bag.cut:
                count = sum(map(len, bag.clouds.values()))
                yield f"{bag.path} is damaged ({bag.cut}); {count} clouds of it can be read"

    def _instance(self, scan: str, points: PointFile) -> np.ndarray:
        name, path = self.own.field, self.root / scan
        values = points.label if name == "label" else points.extra.get(name)
        if values is None:
            others = ", ".join(points.extra) or "only coordinates and colour"
            raise SegPointError(
                f"{path}: no field {name!r:.80} with the object of each point; it has {others:.200}; label it, or name "
                'another as "field" in instructions.json'
            )
        labels = np.where(values > 0, values, 0)  # NaN and −1 are in use for "no label"
        if labels.max(initial=0) > MOST_LABEL or (labels != np.floor(labels)).any():
            raise SegPointError(
                f"{path}: field {name!r:.80} must hold whole numbers up to {MOST_LABEL}, one an object, and reaches "
                f"{labels.max():g}; number the objects from 1"
            )
        labels = labels.astype(np.int32)
        return merge_parts(labels).astype(np.int32) if self.own.labels == "parts" else labels

    def _check_categories(self, scan: str, objects: Sequence[SceneObject]) -> None:
        table = self.own.categories_of(self.clouds[scan].file)
        nameless = [thing.id for thing in objects if thing.id not in table]
        if self.classes and nameless:
            raise SegPointError(
                f"{self.root / scan}: no category for object {_some(nameless)}; since others have one, add it to "
                '"categories" in instructions.json, "" for none; where the labels are those of parts, as `segpoint '
                'generate` writes them (40 to 49 are object 4), write "labels": "parts" there'
            )

    def _answer(self, row: Row, categories: Mapping[int, str]) -> str:
        if row.answer or not row.target_labels:
            return row.answer
        words = {categories.get(label, "") for label in row.target_labels}
        if "" not in words:
            return answer_word(words)
        return named_word(row.instruction, len(row.target_labels) > 1, self.classes)


def merge_parts(label: np.ndarray) -> np.ndarray:
    """Object ids (M,) of part labels: 1–9 → 1, otherwise label // 10."""
    return np.where((label >= 1) & (label <= 9), 1, label // 10)


def check(settings: DatasetConfig) -> Check:
    """Read every cloud of the split, and say what is there, what is wrong and what is odd."""
    found = Check()
    root = Path(settings.root)
    try:
        own = read_own_file(root)
    except SegPointError as error:
        found.problems.append(str(error))
        return found
    clouds, found.problems = _find_clouds(root, own)
    data = OwnFolder(root, own, _of_split(clouds, settings.split))
    said: list[Instruction] = []
    unsaid = {row.number: row for cloud in data.clouds.values() for row in cloud.rows}
    painted = 0
    for scan in tqdm(data.scans, desc=f"clouds, {settings.split}", disable=None):
        try:
            cloud = data.load(scan)
            said += data.instructions(scan)
        except SegPointError as error:
            found.problems.append(str(error))
            unsaid = {n: row for n, row in unsaid.items() if row not in data.clouds[scan].rows}
            continue
        found.problems += _odd_coordinates(root / scan, cloud)
        unsaid = {n: row for n, row in unsaid.items() if row not in data.rows_in_view(scan)}
        painted += bool(data.clouds[scan].topic) and cloud.rgb is None
    others = OwnFolder(root, own, [cloud for cloud in clouds if cloud.split != settings.split])
    for row in unsaid.values():
        if settings.split != "all" and _is_said(others, row):
            continue
        found.problems.append(
            f"{own.path}, row {row.number}: its targets {_some(row.target_labels)} are together in view in no cloud of "
            f"{row.file} ({settings.split}); correct target_labels"
        )
    found.found = {
        f"clouds, {settings.split}": len(data.scans),
        f"instructions, {settings.split}": len(said),
        f"without a target, {settings.split}": sum(not i.targets for i in said),
        "categories": len(data.classes),
    }
    found.notes += _notes(data, said, painted)
    return found


def _is_said(data: OwnFolder, row: Row) -> bool:
    """Whether a row's targets are together in view in some cloud of these, those that cannot be read aside."""
    for scan, cloud in data.clouds.items():
        with suppress(SegPointError):
            if row in cloud.rows and row in data.rows_in_view(scan):
                return True
    return False


def _notes(data: OwnFolder, said: Sequence[Instruction], painted: int) -> Iterator[str]:
    yield from data.damages()
    if painted:
        yield f"{painted} clouds of bags are read without colour: they have none, or the node has painted their targets"
    if data.scans and not data.classes:
        yield 'there are no "categories": no question for a whole category is asked about these clouds'
        bare = [i.text for i in said if i.answer == OBJECT and OBJECT not in i.text.lower()]
        if bare:
            yield (
                f"{len(bare)} of {len(said)} instructions are answered “{OBJECT} <SEG>.”, such as “{bare[0]}”: give "
                'categories, or their rows an "answer"'
            )


def _odd_coordinates(path: Path, scan: Scan) -> Iterator[str]:
    seen = scan.xyz[np.isfinite(scan.xyz).all(axis=1)]
    if len(seen) == 0:
        yield f"{path}: no point has finite coordinates; leave its rows out"
        return
    reach = float(np.median(np.linalg.norm(seen, axis=1)))
    if reach > 100 and scan.frame != "map":
        yield f"{path}: half of its points are more than {reach:.0f} m away; divide millimetres by 1000"
    behind = float(np.mean(seen[:, 2] < 0))
    if scan.frame == "optical" and behind > 0.02:
        yield (
            f"{path}: {behind:.0%} of its points lie behind the camera (z < 0), so its axes are not optical: write "
            '"frame": "body" or "map" in its rows'
        )


# --- which clouds the rows mean -----------------------------------------------------------------------------------


def _find_clouds(root: Path, own: OwnFile) -> tuple[list[OwnCloud], list[str]]:
    """Every cloud that a row names, with its rows and its split, in the order named; and what is wrong with them."""
    found: dict[tuple[str, str, int], list[Row]] = {}
    wrong: dict[str, int] = {}  # the first row of each
    for row in own.rows:
        try:
            for topic, number in _chosen(root, own, row):
                found.setdefault((row.file, topic, number), []).append(row)
        except SegPointError as error:
            wrong.setdefault(str(error), row.number)
    problems = [f"{own.path}, row {number}: {text}" for text, number in wrong.items()]
    topics = Counter(file for file, _ in {(file, topic) for file, topic, _ in found})
    clouds = []
    for (file, topic, number), rows in found.items():
        name = f"{file}{topic if topics[file] > 1 else ''}@{number}" if topic else file
        clouds.append(OwnCloud(name, file, topic, number, rows))
        for what in ("frame", "scale", "split"):
            words = {getattr(row, what) for row in rows} - {""}
            if len(words) > 1:
                problems.append(f"{own.path}: the rows of {name} name different {what}s, {_some(sorted(words))}")
    _share_out(clouds)
    return clouds, problems


def _chosen(root: Path, own: OwnFile, row: Row) -> list[tuple[str, int]]:
    """Topic and number of each cloud that a row means; ("", 0) for a file."""
    path = root / row.file
    if not os.path.exists(path):  # unlike pathlib's it takes a name that is too long for one that is not there
        raise SegPointError(f"{path}: there is no such file; correct its name or copy it there")
    if not is_bag(path):
        if path.suffix.lower() not in SUFFIXES:
            known = ", ".join(SUFFIXES + BAGS)
            raise SegPointError(f"{path}: unknown kind of file; give a rosbag2 folder or one of {known}")
        if row.topic or (row.index, row.time, row.every) != (None, None, None):
            raise SegPointError(f"{path} is one cloud: 'topic', 'index', 'time' and 'every' choose from a bag")
        return [("", 0)]
    bag = open_bag(path)
    topic = bag.topic(row.topic, own.field)
    count = len(bag.clouds[topic])
    if row.time is not None:
        return [(topic, bag.at_time(topic, row.time))]
    if row.index is None:
        return [(topic, number) for number in range(0, count, row.every or 1)]
    if row.index >= count:
        raise SegPointError(f"{path}: no cloud {row.index} on {topic}, which has 0 to {count - 1}")
    return [(topic, row.index)]


def _of_split(clouds: Sequence[OwnCloud], split: str) -> list[OwnCloud]:
    return [cloud for cloud in clouds if split in ("all", cloud.split)]


def _share_out(clouds: Sequence[OwnCloud]) -> None:
    """Give each cloud its split: what its rows say, or what the module's rule says where none says any."""
    if any(row.split for cloud in clouds for row in cloud.rows):
        for cloud in clouds:
            cloud.split = next((row.split for row in cloud.rows if row.split), "train")
        return
    files = [cloud for cloud in clouds if not cloud.topic]
    held_out = files[_HELD_OUT - 1 :: _HELD_OUT] or files[1:][-1:]
    for bag in {cloud.file for cloud in clouds if cloud.topic}:
        of_bag = sorted((c for c in clouds if c.file == bag), key=lambda c: c.number)
        held_out += of_bag[1:][-max(1, len(of_bag) // _HELD_OUT) :]
    for cloud in held_out:
        cloud.split = "val"


def _frame_of(frame_id: str) -> str:
    """As the node takes it by default."""
    if frame_id.endswith(("optical", "optical_frame")):
        return "optical"
    return "map" if frame_id.rsplit("/", 1)[-1] == "map" else "body"


def _some(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:20])) + (" …" if len(values) > 20 else "")
