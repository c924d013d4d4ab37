"""The folder that `segpoint annotate` fills: a data set of one's own, as `segpoint_training.datasets.own` describes it.

Beside its ``instructions.json`` lies, for each bag that is annotated into it, the bag BAG_labelled: a rosbag2 folder
that is split into one .mcap for each cloud, so that what one action changes is one small file. A cloud keeps its topic,
times, header and fields, and has the field ``label`` besides. Every file is written under another name first and then
moved to its place: whoever is killed in between finds the file as it was.

What only `segpoint annotate` needs stands in the rows' free "notes": ``cloud``, the number of the only cloud that a row
is about, and ``proposed``, {number: score}: clouds in which the model marked the row's targets and no person has looked
yet.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from segpoint.errors import SegPointError
from segpoint.files import check_folder, reading
from segpoint_replay.annotate.message import METADATA, read_label, with_label, write_cloud
from segpoint_training.datasets.own_file import NAME

if TYPE_CHECKING:
    from segpoint_replay.recording import Frame

_FILE = re.compile(r"cloud_(\d+)\.mcap")
_OWN = "_labelled"  # what the name of a bag of annotations ends with
_INFORMATION = "rosbag2_bagfile_information"


@dataclass(frozen=True)
class Asked:
    """One instruction. targets: object numbers, none for "there is nothing to mark".   cloud: the number of the only
    one that it is about; None: it holds wherever its targets are in view."""

    text: str
    targets: tuple[int, ...]
    kind: str = ""
    cloud: int | None = None


def check_own(root: Path, bag: Path) -> None:
    """Raises SegPointError unless a folder is free for annotations of a bag, or holds a data set that is not about the
    bag as it is: labels are not to be mixed into another's truth, nor into other files."""
    check_folder(root)
    if not root.is_dir():
        return
    folder, itself = root.resolve(), bag.resolve()
    if folder == itself or itself in folder.parents or folder in itself.parents:
        raise SegPointError(f"{root} holds the bag {bag} itself: give --out a folder of its own")
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
        if any((root / row["file"]).resolve() == itself for row in rows):
            raise SegPointError(f"{path} has rows about {bag} itself: give --out a folder of its own")


class Folder:
    """What is annotated of one bag, as it is on disk.

    objects: the category of each object's number, "" for none.   asked: instructions.   proposed: by a cloud's number,
    the objects that are only the model's proposals, with their scores.   received: when each labelled cloud was.
    points: by a cloud's number, how many points each object has in it.
    `save` and `write` put changes on disk. Raises SegPointError where the folder is not one to write into.
    """

    def __init__(self, root: Path, bag: str) -> None:
        check_folder(root)
        self.root, self.file = root, f"{Path(bag).stem}{_OWN}"
        self.bag = root / self.file
        self.objects: dict[int, str] = {}
        self.asked: list[Asked] = []
        self.proposed: dict[int, dict[int, float]] = {}
        self._content: dict[str, Any] = {"categories": {}, "instructions": []}
        if (root / NAME).is_file():
            self._read()
        self.received: dict[int, int] = {}
        self.points: dict[int, dict[int, int]] = {}
        self._find_clouds()

    def labels(self, number: int) -> np.ndarray | None:
        """(M,) int32 of a cloud, by its number in the recording; None where it is not annotated."""
        return read_label(self._path(number))[1] if number in self.received else None

    def write(self, frame: Frame, topic: str, label: np.ndarray) -> None:
        """Put one cloud's labels (M,) on disk."""
        self.bag.mkdir(parents=True, exist_ok=True)
        path = self._path(frame.number)
        metadata = write_cloud(path, topic, frame.received, with_label(frame.message, label))
        self._count(frame.number, label)
        if frame.number not in self.received or not (self.bag / METADATA).is_file():
            self.received = dict(sorted({**self.received, frame.number: frame.received}.items()))
            self._write_metadata(metadata)

    def remove(self, number: int) -> None:
        """Take a cloud out of the data set."""
        if self.received.pop(number, None) is None:
            return
        del self.points[number]
        if self.received:
            self._write_metadata((self.bag / METADATA).read_text(encoding="utf-8"))
        else:
            (self.bag / METADATA).unlink(missing_ok=True)
        self._path(number).unlink()

    def save(self) -> None:
        """Put objects and instructions on disk."""
        rows = [row for row in self._content["instructions"] if row.get("file") != self.file]
        self._content["instructions"] = rows + [self._row(asked) for asked in self.asked if self._there(asked)]
        self._content["categories"][self.file] = {str(number): name for number, name in sorted(self.objects.items())}
        self.root.mkdir(parents=True, exist_ok=True)
        _replace(self.root / NAME, json.dumps(self._content, indent=1, ensure_ascii=False) + "\n")

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
                    self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        notes = row.get("notes")
        notes = notes if isinstance(notes, dict) else {}  # a person's own words
        targets = tuple(row["target_labels"])
        self.asked.append(Asked(row["instruction"], targets, row.get("kind", ""), notes.get("cloud")))
        for target in targets:
            self.objects.setdefault(target, "")
        for number, score in notes.get("proposed", {}).items():
            self.proposed.setdefault(int(number), {}).update(dict.fromkeys(targets, float(score)))

    def _find_clouds(self) -> None:
        """What is there, also what was written just before a crash and is not listed yet."""
        there = sorted(self.bag.iterdir()) if self.bag.is_dir() else []
        for path in there:
            if match := _FILE.fullmatch(path.name):
                self.received[int(match[1])], label = read_label(path)
                self._count(int(match[1]), label)
        if there and not self.received and (self.bag / METADATA).is_file():
            raise SegPointError(f"{self.bag} is there and not of `segpoint annotate`: annotate into another folder")
        for number in {target for counts in self.points.values() for target in counts}:
            self.objects.setdefault(number, "")
        if self.received and (self.bag / METADATA).is_file():
            self._write_metadata((self.bag / METADATA).read_text(encoding="utf-8"))

    def _count(self, number: int, label: np.ndarray) -> None:
        objects, points = np.unique(label[label > 0], return_counts=True)
        self.points[number] = dict(zip(objects.tolist(), points.tolist(), strict=True))

    # --- writing ------------------------------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self.bag / f"cloud_{number:06d}.mcap"

    def _there(self, asked: Asked) -> bool:
        return asked.cloud is None or asked.cloud in self.received

    def _row(self, asked: Asked) -> dict[str, Any]:
        row: dict[str, Any] = {
            "file": self.file, "instruction": asked.text, "target_labels": list(asked.targets),
        }  # fmt: skip
        if asked.kind:
            row["kind"] = asked.kind
        notes: dict[str, Any] = {}
        if asked.cloud is not None:
            in_order = sorted(self.received, key=lambda number: (self.received[number], number))
            row["index"], notes["cloud"] = in_order.index(asked.cloud), asked.cloud
        proposed = {
            str(number): round(min(scores[t] for t in asked.targets if t in scores), 4)
            for number, scores in sorted(self.proposed.items())
            if any(target in scores for target in asked.targets)
        }
        if proposed:
            notes["proposed"] = proposed
        return {**row, "notes": notes} if notes else row

    def _write_metadata(self, of_one: str) -> None:
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
        _replace(self.bag / METADATA, yaml.safe_dump(content, sort_keys=False))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".new-{path.name}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
