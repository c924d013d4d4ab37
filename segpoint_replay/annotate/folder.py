"""The folder that `segpoint annotate` fills: a data set of one's own, as `segpoint_training.datasets.own` describes it.

Beside its ``instructions.json`` lies, for each bag that is annotated into it, the bag BAG_labelled: a rosbag2 folder
that is split into one .mcap for each cloud, so that what one action changes is one small file. A cloud keeps its topic,
times, header and fields, and has the field ``label`` besides. `Folder.save` writes all that has changed under other
names and moves it to its place when it is whole: on a full disk nothing is changed, and whoever is killed in between
finds each file as it was. One process at a time has the folder (`claimed`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from filelock import FileLock, Timeout

from segpoint.errors import SegPointError
from segpoint.files import check_folder, reading
from segpoint_replay.annotate.asked import Asked, asked_of, row_of
from segpoint_replay.annotate.message import METADATA, read_label, with_label, write_cloud
from segpoint_replay.bag_files import is_within, whole_bag
from segpoint_training.datasets.own_file import NAME

if TYPE_CHECKING:
    from segpoint_replay.recording import Frame

_FILE = re.compile(r"cloud_(\d+)\.mcap")
_OWN = "_labelled"  # what the name of a bag of annotations ends with
_INFORMATION = "rosbag2_bagfile_information"


def check_own(root: Path, bag: Path) -> None:
    """Raises SegPointError unless a folder is free for annotations of a bag, or holds a data set that is not about the
    bag as it is: labels are not to be mixed into another's truth, nor into other files."""
    check_folder(root)
    if is_within(root, bag):
        raise SegPointError(f"{root} is in the bag {bag} itself: give --out a folder of its own")
    if root.resolve() in whole_bag(bag).parents:
        raise SegPointError(f"{root} holds the bag {bag} itself: give --out a folder of its own")
    if not root.is_dir():
        return
    path = root / NAME
    if not path.is_file():
        # Of a first cloud before a crash there is its bag alone.
        foreign = sorted(p.name for p in root.iterdir() if not p.name.startswith(".") and not p.name.endswith(_OWN))
        if foreign:
            raise SegPointError(
                f"{root} holds other files ({foreign[0]}) and no {NAME}: give --out a folder of its own"
            )
        return
    with reading(path, "repair it or annotate into another folder"):
        rows = json.loads(path.read_text(encoding="utf-8"))["instructions"]
        if any((root / row["file"]).resolve() == bag.resolve() for row in rows):
            raise SegPointError(f"{path} has rows about {bag} itself: give --out a folder of its own")


@contextmanager
def claimed(root: Path) -> Iterator[None]:
    """A folder for this process alone: of two that write into one, the later would undo what the other has done.

    Raises SegPointError where another has it.
    """
    lock = FileLock(root / ".lock", timeout=0)
    with _writing(root):
        root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise SegPointError(
                f"another segpoint annotate is at work in {root}: end that first, or give another --out"
            ) from error
    try:
        yield
    finally:
        lock.release()


class Folder:
    """What is annotated of one bag, as it is on disk.

    bag: its name.   objects: the category of each object's number, "" for none.   asked: instructions.   proposed: by a
    cloud's number, the objects that are only the model's proposals, with their scores.   received: when each labelled
    cloud was.   points: by a cloud's number, how many points each object has in it.
    `save` puts changes on disk. Raises SegPointError where the folder is not one to write into.
    """

    def __init__(self, root: Path, bag: str) -> None:
        check_folder(root)
        self.root, self.file = root, f"{bag}{_OWN}"
        self.bag = root / self.file
        self.objects: dict[int, str] = {}
        self.asked: list[Asked] = []
        self.proposed: dict[int, dict[int, float]] = {}
        self._content: dict[str, Any] = {"categories": {}, "instructions": []}
        self.received: dict[int, int] = {}
        self.points: dict[int, dict[int, int]] = {}
        # What `save` has to put on disk: by number the whole file of a cloud, None for one that goes; a bag's metadata.
        self._changed: dict[int, Path | None] = {}
        self._metadata = ""
        self._find_clouds()
        if (root / NAME).is_file():
            self._read()
        for number in {target for counts in self.points.values() for target in counts}:
            self.objects.setdefault(number, "")

    def labels(self, number: int) -> np.ndarray | None:
        """(M,) int32 of a cloud, by its number in the recording; None where it is not annotated."""
        if number not in self.received:
            return None
        return read_label(self._changed.get(number) or self._path(number))[1]

    def write(self, frame: Frame, topic: str, label: np.ndarray) -> None:
        """Set one cloud's labels (M,)."""
        with _writing(self.bag):
            self.bag.mkdir(parents=True, exist_ok=True)
            new = _new(self._path(frame.number).with_suffix(""))  # without .mcap it is no part of the bag
            metadata = write_cloud(new, topic, frame.received, with_label(frame.message, label))
        self._changed[frame.number] = new
        self._count(frame.number, label)
        if frame.number not in self.received or not (self.bag / METADATA).is_file():
            self.received = dict(sorted({**self.received, frame.number: frame.received}.items()))
            self._metadata = metadata

    def remove(self, number: int) -> None:
        """Take a cloud out of the data set, with what is said about it alone."""
        self.proposed.pop(number, None)
        self.asked = [asked for asked in self.asked if asked.cloud != number]
        if self.received.pop(number, None) is None:
            return
        del self.points[number]
        self._changed[number] = None
        if self.received and (self.bag / METADATA).is_file():
            self._metadata = self._metadata or (self.bag / METADATA).read_text(encoding="utf-8")

    def forget(self, numbers: Set[int]) -> None:
        """Take objects and all instructions about them out of the data set; masks stay."""
        self.objects = {number: name for number, name in self.objects.items() if number not in numbers}
        self.asked = [asked for asked in self.asked if not numbers & set(asked.targets)]

    def save(self) -> None:
        """Put everything on disk, or, where that cannot be done, nothing. Raises SegPointError then."""
        rows = [row for row in self._content["instructions"] if row.get("file") != self.file]
        there = [asked for asked in self.asked if asked.cloud is None or asked.cloud in self.received]
        rows += [row_of(asked, self.file, self._in_order, self.proposed) for asked in there]
        names = {str(number): name for number, name in sorted(self.objects.items())}
        content = {**self._content, "categories": {**self._content["categories"], self.file: names}}
        content["instructions"] = rows
        with _writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            files: dict[Path, Path | None] = {} if self.received else {self.bag / METADATA: None}
            files |= {self._path(number): new for number, new in self._changed.items()}
            if self.received and self._metadata:
                files[self.bag / METADATA] = _written(self.bag / METADATA, self._listed(self._metadata))
            files[self.root / NAME] = _written(
                self.root / NAME, json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            )
            for path, new in sorted(files.items(), key=lambda file: file[1] is None):  # no longer listed, a cloud goes
                if new is None:
                    path.unlink(missing_ok=True)
                else:
                    new.replace(path)
        self._content, self._changed, self._metadata = content, {}, ""

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Around what changes the folder: where it fails, the folder is as it was before."""
        proposed = {number: dict(scores) for number, scores in self.proposed.items()}
        kept = dict(self.objects), list(self.asked), proposed, dict(self.received), dict(self.points)
        try:
            yield
        except BaseException:
            self.objects, self.asked, self.proposed, self.received, self.points = kept
            for new in self._changed.values():
                if new is not None:
                    new.unlink(missing_ok=True)
            self._changed, self._metadata = {}, ""
            raise

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        path = self.root / NAME
        with reading(path, "repair it or annotate into another folder"):
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.get("labels", "ids") != "ids" or "field" in content:
                raise SegPointError(
                    f"{path} numbers labels in another way ('labels' or 'field'): annotate into another folder"
                )
            self._content.update(content)
            self.objects = {int(n): name for n, name in self._content["categories"].get(self.file, {}).items()}
            for row in self._content["instructions"]:
                if row.get("file") == self.file:
                    self._take(*asked_of(row, self._in_order))

    def _take(self, asked: Asked, proposed: dict[int, float]) -> None:
        self.asked.append(asked)
        for target in asked.targets:
            self.objects.setdefault(target, "")
        for number, score in proposed.items():
            self.proposed.setdefault(number, {}).update(dict.fromkeys(asked.targets, score))

    def _find_clouds(self) -> None:
        """What is there, also what was written just before a crash and is not listed yet."""
        there = sorted(self.bag.iterdir()) if self.bag.is_dir() else []
        for path in there:
            if match := _FILE.fullmatch(path.name):
                self.received[int(match[1])], label = read_label(path)
                self._count(int(match[1]), label)
        metadata = self.bag / METADATA
        if there and not self.received and metadata.is_file():
            raise SegPointError(f"{self.bag} is there and not of `segpoint annotate`: annotate into another folder")
        if self.received and metadata.is_file():
            with _writing(self.bag):
                _written(metadata, self._listed(metadata.read_text(encoding="utf-8"))).replace(metadata)

    def _count(self, number: int, label: np.ndarray) -> None:
        objects, points = np.unique(label[label > 0], return_counts=True)
        self.points[number] = dict(zip(objects.tolist(), points.tolist(), strict=True))

    # --- writing ------------------------------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self.bag / f"cloud_{number:06d}.mcap"

    @property
    def _in_order(self) -> list[int]:
        """The numbers of the labelled clouds, as a reader of the bag counts them."""
        return sorted(self.received, key=lambda number: (self.received[number], number))

    def _listed(self, of_one: str) -> str:
        """The metadata.yaml of the whole split bag, from that of any cloud of it."""
        content = yaml.safe_load(of_one)
        told = content[_INFORMATION]
        first, last = min(self.received.values()), max(self.received.values())
        told["starting_time"] = {"nanoseconds_since_epoch": first}
        told["duration"] = {"nanoseconds": last - first}
        told["message_count"] = told["topics_with_message_count"][0]["message_count"] = len(self.received)
        told["relative_file_paths"] = [self._path(number).name for number in self.received]
        told["files"] = [
            {
                "path": self._path(number).name,
                "starting_time": {"nanoseconds_since_epoch": received},
                "duration": {"nanoseconds": 0},
                "message_count": 1,
            }
            for number, received in self.received.items()
        ]
        return yaml.safe_dump(content, sort_keys=False)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Around the writing of files: what the disk says against it becomes one SegPointError."""
    try:
        yield
    except OSError as error:
        raise SegPointError(
            f"{path} cannot be written ({error.strerror or error}): nothing of this is saved; make room, or change "
            "what its folder permits, and do it again"
        ) from error


def _new(path: Path) -> Path:
    return path.with_name(f".new-{path.name}")


def _written(path: Path, text: str) -> Path:
    """What is to stand at ``path``, under another name."""
    new = _new(path)
    try:
        new.write_text(text, encoding="utf-8")
    except OSError:
        with suppress(OSError):
            new.unlink()  # its first half
        raise
    return new
