"""``segpoint evaluate NAME ROOT``: a bundle on a split of a research data set, beside what others published."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rich.console import Console

from segpoint.errors import SegPointError
from segpoint.files import check_target
from segpoint_training.answers import TOLD, check_any_read, check_complete
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import NAMES, open_dataset
from segpoint_training.datasets.scan import DataSet
from segpoint_training.datasets.scannet_classes import COMMON, HEAD, TAIL, TRAIN_ONLY
from segpoint_training.pictures import LIST, SHEET, Worst, check_sheet
from segpoint_training.records import check_record, describe, provenance, write_record, write_text
from segpoint_training.research.classes import AskedClasses, ClassMeasurement, FreeNames, Labeller, official_scannet
from segpoint_training.research.published import benchmark_of
from segpoint_training.research.sentences import SentenceMeasurement
from segpoint_training.research.tables import Table, csv_text

if TYPE_CHECKING:
    from segpoint.segmenter import Segmenter

SPLITS = ("train", "val", "test")
OF_CLASSES = ("scannet", "scannet200", "s3dis", "scannetpp")
_SAVED_EVERY = 10  # scans
_MARKDOWN_BEGINS, _CSV_BEGINS = "# SegPoint on ", ("scan,sentence,", "class,points,")


@dataclass(frozen=True)
class ResearchRequest:
    """What to measure on what.

    name: one of `segpoint_training.datasets.NAMES`.   root, scans, split: as of `DatasetConfig`.   most: scans, the
    split's first ones; None for all.   open_vocabulary: let the model name the classes itself.   json, csv, markdown:
    files to write: everything, a row a sentence or class, the tables.   pictures: a folder for the worst answers.
    """

    name: str
    root: str
    scans: str = ""
    split: str = "val"
    most: int | None = None
    open_vocabulary: bool = False
    json: str | None = None
    csv: str | None = None
    markdown: str | None = None
    pictures: str | None = None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise SegPointError(f"unknown data set {self.name!r:.80}; known are {', '.join(NAMES)}")
        if self.split not in SPLITS:
            raise SegPointError(f"a data set's splits are {', '.join(SPLITS)}, not {self.split!r:.40}")
        if self.most is not None and self.most < 1:
            raise SegPointError(f"--limit must be at least 1, not {self.most}")
        if self.open_vocabulary and not self.of_classes:
            raise SegPointError(f"--open-vocabulary is of classes, and {self.name} is a set of sentences")
        if self.pictures and self.of_classes:
            raise SegPointError(f"--pictures draws answers to sentences, and {self.name} is a set of classes")
        self._check_targets()
        if self.open_vocabulary:
            from segpoint_training.open_vocabulary import encoder_folder

            encoder_folder()

    @property
    def of_classes(self) -> bool:
        """Whether classes are measured, not sentences."""
        return benchmark_of(self.name) in OF_CLASSES

    def _check_targets(self) -> None:
        if self.json:
            check_record(Path(self.json))
        if self.csv:
            _check_earlier(Path(self.csv), _CSV_BEGINS)
        if self.markdown:
            _check_earlier(Path(self.markdown), (_MARKDOWN_BEGINS,))
        if self.pictures:
            check_sheet(Path(self.pictures), (self.root, self.scans))
        files = [Path(file).resolve() for file in (self.json, self.csv, self.markdown) if file]
        if len(set(files)) < len(files):
            raise SegPointError("--json, --csv and --markdown must be different files: give each its own name")
        if self.pictures:
            folder = Path(self.pictures).resolve()
            if {folder, *folder.parents, folder / SHEET, folder / LIST}.intersection(files):
                raise SegPointError(f"--pictures {self.pictures} is where another result goes: give it its own folder")


class Measurement(Protocol):
    """What `run_research` gathers, scan by scan: `SentenceMeasurement` or `ClassMeasurement`."""

    refused: list[str]

    @property
    def asked(self) -> int: ...

    def add(self, name: str) -> None: ...

    def rows(self) -> list[dict[str, Any]]: ...

    def tables(self, name: str, ours: str) -> list[Table]: ...

    def to_dict(self) -> dict[str, Any]: ...


def run_research(request: ResearchRequest, load: Callable[[], tuple[Segmenter, Path]]) -> dict[str, Any]:
    """Measure a bundle, print its figures below the published ones and write what was asked for.

    load: gives the segmenter and its bundle's folder, once the data set is known to be there.

    Returns what the JSON holds. Until that is written, what it would hold so far stands beside it (.part), so that a
    run that breaks off leaves something. Scans that cannot be read are left out; where there are any, SegPointError is
    raised at the end.
    """
    from tqdm import tqdm

    data = open_dataset(DatasetConfig(request.name, request.root, request.scans, request.split))
    names = data.scans[: request.most]
    if not names:
        raise SegPointError(f"{request.name} has no scan in its split {request.split}: take another split")
    segmenter, bundle = load()
    worst = Worst()
    measurement = _measurement(request, segmenter, data, worst if request.pictures else None)
    head = {**provenance(bundle), "data": request.name, "split": request.split, "scans_of_split": len(data.scans)}
    seconds: list[float] = []
    unread: list[str] = []

    def record() -> dict[str, Any]:
        median = float(np.median(seconds)) if seconds else None
        done = {
            "scans": len(seconds),
            "complete": len(seconds) == len(names),
            "unread": unread,
            "seconds_per_scan": median,
        }
        return {**head, **done, **measurement.to_dict()}

    for name in tqdm(names, desc="scans", disable=None):
        start = time.perf_counter()
        try:
            measurement.add(name)
        except SegPointError as error:
            unread.append(f"{name}: {error}")
            continue
        seconds.append(time.perf_counter() - start)
        if request.json and len(seconds) % _SAVED_EVERY == 0:
            write_record(_partial(request.json), record())
    _check_answered(request, measurement, unread)
    result = record()
    ours = f"ours ({bundle.resolve().name}{', open vocabulary' * request.open_vocabulary})"
    tables = measurement.tables(request.name, ours)
    _show(result, tables, measurement.refused)
    _write(request, result, measurement.rows(), tables)
    if request.pictures:
        worst.draw(Path(request.pictures))
    check_complete(unread, len(names))
    return result


def _measurement(request: ResearchRequest, segmenter: Segmenter, data: DataSet, watch: Worst | None) -> Measurement:
    if not request.of_classes:
        return SentenceMeasurement(segmenter, data, watch)
    label: Labeller = AskedClasses(segmenter, data.classes)
    if request.open_vocabulary:
        from segpoint_training.open_vocabulary import ClassMatcher

        label = FreeNames(segmenter, ClassMatcher(data.classes), data.classes)
    truth = None
    if request.name == "scannet" and request.split != "test":  # whose truth nobody has
        truth = partial(official_scannet, Path(request.scans or request.root), data.classes)
    return ClassMeasurement(label, data, _means(request, data.classes), truth)


def _means(request: ResearchRequest, classes: Sequence[str]) -> dict[str, Sequence[str]]:
    """Which means are taken over which classes: ScanNet200 has parts, and classes that its validation split lacks."""
    means = {"miou": classes}
    if benchmark_of(request.name) != "scannet200":
        return means
    left_out = TRAIN_ONLY if request.split == "val" else ()
    means |= {"head": HEAD, "common": COMMON, "tail": TAIL}
    return {name: [each for each in members if each not in left_out] for name, members in means.items()}


def _check_answered(request: ResearchRequest, measurement: Measurement, unread: Sequence[str]) -> None:
    if not measurement.asked:
        check_any_read(unread)
        raise SegPointError(
            f"nothing to measure in these scans of {request.name}, {request.split}: take more, or another split"
        )
    if len(measurement.refused) == measurement.asked:
        raise SegPointError(f"none of {measurement.asked} could be answered; the first: {measurement.refused[0]}")


def _show(result: dict[str, Any], tables: Sequence[Table], refused: Sequence[str]) -> None:
    console = Console(width=110)
    console.print(_headline(result), markup=False, highlight=False)
    for table in tables:
        table.print(console)
    for told in refused[:TOLD]:
        console.print(f"Refused, counted as wrong: {told}", markup=False, highlight=False, soft_wrap=True)
    if len(refused) > TOLD:
        console.print(f"… and {len(refused) - TOLD} more", highlight=False)


def _write(request: ResearchRequest, result: dict[str, Any], rows: list[dict[str, Any]], tables: list[Table]) -> None:
    if request.json:
        write_record(Path(request.json), result)
        _partial(request.json).unlink(missing_ok=True)
    if request.csv:
        write_text(Path(request.csv), csv_text(rows))
    if request.markdown:
        made_with = f"Bundle {result['bundle']} ({result['bundle_sha256'][:12]}), commit {result['git_commit']}."
        text = "\n".join(
            [f"{_MARKDOWN_BEGINS}{_headline(result)}\n", f"{made_with}\n", *(t.markdown() for t in tables)]
        )
        write_text(Path(request.markdown), text)


def _partial(json: str) -> Path:
    return Path(f"{json}.part")


def _headline(result: dict[str, Any]) -> str:
    asked = f", {result['sentences']} sentences" if "sentences" in result else ""
    incomplete = f", INCOMPLETE: {len(result['unread'])} could not be read" if result["unread"] else ""
    return f"{describe(result)}: {result['scans']} of {result['scans_of_split']} scans{asked}{incomplete}"


def _check_earlier(path: Path, begins: tuple[str, ...]) -> None:
    """Raise SegPointError unless a file can be written there, over nothing but one that begins as ours do."""
    check_target(path, makes_folder=True)
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            first = file.readline(200).decode("utf-8", "replace")
        if not first.startswith(begins):
            raise SegPointError(f"{path} is no result of `segpoint evaluate` and stays: write elsewhere")
