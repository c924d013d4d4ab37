"""``segpoint evaluate``: how well a bundle does what it is told, beside what geometry alone would score."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segpoint.cloud import FRAMES
from segpoint.config import default_bundle
from segpoint.errors import SegPointError
from segpoint.files import check_folder, check_target
from segpoint_training import labelled
from segpoint_training.answers import check_complete, evaluate
from segpoint_training.config import SENSORS
from segpoint_training.datasets import NAMES
from segpoint_training.labelled import LabelledSet, folder_set, generated_set
from segpoint_training.pictures import LIST, SHEET, Worst, check_sheet
from segpoint_training.records import check_record, provenance, write_record
from segpoint_training.research import command as research
from segpoint_training.scenes.request import SCALES
from segpoint_training.semantic import evaluate_semantic
from segpoint_training.tables import print_semantic, print_tables
from segpoint_training.targets import PARTS, SCENES, run_parts, targets_page

if TYPE_CHECKING:
    from segpoint.segmenter import Segmenter

FIRST_SEED = 900_000  # training draws its seeds from 0 up
SPLITS = ("test", "open")
_SCENES = 50
_ONLY_RESEARCH = ("scans", "open_vocabulary", "csv", "markdown")
_NOT_RESEARCH = ("seed", "scale", "sensor", "frame", "click", "no_colour", "semantic", "all", "row")


@dataclass(frozen=True)
class Request:
    """What to measure. ``task`` is "words", "click", "no colour" (category words with and without) or "semantic".

    data: "generated" or a folder with an instructions.json.   bundle: a folder, None for the one that ships.
    scenes: how many clouds, None for 50 or all of a folder.   frame: of a folder's clouds.   sensor None: drawn.
    """

    data: str = "generated"
    bundle: str | None = None
    task: str = "words"
    scenes: int | None = None
    seed: int = FIRST_SEED
    split: str = "test"
    scale: str = "table"
    sensor: str | None = None
    frame: str = ""
    json: str | None = None
    pictures: str | None = None

    def __post_init__(self) -> None:
        if self.scenes is not None and self.scenes < 1:
            raise SegPointError(f"scenes must be at least 1, not {self.scenes}")
        if self.seed < 0:
            raise SegPointError(f"the seed must be at least 0, not {self.seed}")
        if self.task == "semantic" and self.data != "generated":
            raise SegPointError("--semantic needs a category for each object, which only generated scenes have")
        if self.task == "semantic" and self.pictures:
            raise SegPointError("--pictures draws answers to instructions or clicks; leave it out with --semantic")
        if self.split not in SPLITS:
            raise SegPointError(f"--split {self.split} is of research data sets; generated scenes have {SPLITS}")
        if self.data != "generated" and (self.split != "test" or self.sensor):
            raise SegPointError("--split and --sensor choose generated scenes; leave them out with a folder")
        if self.data != "generated" and self.seed != FIRST_SEED:
            raise SegPointError("--seed is of generated scenes; leave it out with a folder")
        if self.data == "generated" and self.frame:
            raise SegPointError("--frame is of a folder's clouds; generated ones know their axes")
        if self.sensor == "map" and self.scale != "room":
            raise SegPointError("--sensor map is of a whole room: add --scale room")
        if self.json:
            check_record(Path(self.json))
        if self.pictures:
            check_sheet(Path(self.pictures), () if self.data == "generated" else (self.data,))
        if self.json and self.pictures:
            record, folder = Path(self.json).resolve(), Path(self.pictures).resolve()
            if record in (folder, *folder.parents, folder / SHEET, folder / LIST):
                raise SegPointError(f"--json {self.json} is where --pictures writes: give it another name")


def main(argv: list[str] | None = None) -> int:
    """The command line of ``segpoint evaluate``."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.root is not None:
        _refuse(args, parser, _NOT_RESEARCH, "is not of a research data set: leave it out")
        _evaluate_research(args)
        return 0
    if args.data in NAMES and not Path(args.data).is_dir():
        raise SegPointError(f"{args.data} is a research data set: give the folder of its files, too, after the name")
    _refuse(args, parser, _ONLY_RESEARCH, "is of a research data set: give its name and the folder of its files")
    task = "semantic" if args.semantic else "click" if args.click else "no colour" if args.no_colour else "words"
    request = Request(
        args.data, args.bundle, task, args.scenes, args.seed, args.split or "test", args.scale, args.sensor, args.frame,
        args.json, args.pictures,
    )  # fmt: skip
    if args.all or args.row:
        default = Request(bundle=request.bundle, scenes=request.scenes, seed=request.seed)
        if request != default:
            raise SegPointError(
                "--all and --row say what to ask of what: give only --bundle, --scenes or --seed with them"
            )
        parts = [*PARTS] if args.all else list(dict.fromkeys(args.row))
        run_targets(request, parts, Path(args.json_folder), Path(args.real))
    else:
        run_evaluate(request)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segpoint evaluate",
        description="Measure a bundle on generated scenes, on a folder of labelled clouds, or on a research data set.",
    )
    add = parser.add_argument
    add("data", nargs="?", default="generated", metavar="DATA",
        help="a folder with clouds and an instructions.json, or a data set's name (default: generated)")  # fmt: skip
    add("root", nargs="?", metavar="ROOT", help="folder of the data set's own files; DATA is then its name")
    add("--bundle", metavar="FOLDER", help="a trained model's folder (default: the one that ships)")
    add("--scenes", "--limit", type=int, metavar="N",
        help=f"how many clouds or scans, the first ones (default: {_SCENES} generated, otherwise all)")  # fmt: skip
    add("--seed", type=int, default=FIRST_SEED, metavar="S",
        help=f"seed of the first generated scene (default: {FIRST_SEED})")  # fmt: skip
    add("--split", choices=dict.fromkeys((*SPLITS, *research.SPLITS)),
        help="of generated scenes: held-out instances (test, the default) or never trained categories (open); of a "
        "data set: val (the default), test or train")  # fmt: skip
    add("--scale", choices=SCALES, default="table", help="tabletops or rooms (default: table)")
    add("--sensor", choices=SENSORS, help="of generated scenes (default: each draws its own)")
    add("--frame", choices=FRAMES, default="", help="axes of a folder's clouds that do not say (default: optical)")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--click", action="store_true", help="one click in the middle of each object instead of words")
    asked.add_argument("--no-colour", action="store_true", help="the kind “category” with and without colour")
    asked.add_argument("--semantic", action="store_true", help="a class for every point, over the trained classes")
    add("--json", metavar="FILE", help="write measures, every answer and what was measured")
    add("--pictures", metavar="FOLDER", help="draw the 20 worst answers there, with what is wrong with each")
    published = parser.add_argument_group("research data sets", f"DATA is one of {', '.join(NAMES)}.")
    published.add_argument("--scans", default="", metavar="FOLDER",
                           help="the scans that its sentences speak about, as ScanNet's (default: ROOT)")  # fmt: skip
    published.add_argument("--open-vocabulary", action="store_true",
                           help="the model names what it finds, each name is matched to a class")  # fmt: skip
    published.add_argument("--csv", metavar="FILE", help="write a row for each sentence or class")
    published.add_argument("--markdown", metavar="FILE", help="write the tables")
    targets = parser.add_argument_group("the project's targets")
    targets.add_argument("--all", action="store_true", help="measure every target (a quarter of an hour on two cores)")
    targets.add_argument("--row", action="append", choices=[*PARTS], help="only this part of them; may be repeated")
    targets.add_argument("--json-folder", default="docs/results", metavar="FOLDER",
                         help="one JSON a part goes there, the table to FOLDER.md (default: docs/results)")  # fmt: skip
    shared = Path(os.environ.get("SEGPOINT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    targets.add_argument("--real", default=str(shared / "real"), metavar="FOLDER", help="the labelled real scans")
    return parser


def _refuse(args: argparse.Namespace, parser: argparse.ArgumentParser, names: Sequence[str], why: str) -> None:
    """Raise SegPointError where one of these arguments is given."""
    for name in names:
        if getattr(args, name) != parser.get_default(name):
            raise SegPointError(f"--{name.replace('_', '-')} {why}")


def _evaluate_research(args: argparse.Namespace) -> None:
    request = research.ResearchRequest(
        args.data, args.root, args.scans, args.split or "val", args.scenes, args.open_vocabulary, args.json, args.csv,
        args.markdown, args.pictures,
    )  # fmt: skip
    research.run_research(request, lambda: _load(args.bundle))


def run_evaluate(request: Request) -> dict[str, Any]:
    """Evaluate a bundle, print the tables, and write JSON and pictures where asked. Returns what the JSON holds.

    Raises SegPointError, once that is done, where some of the clouds could not be read.
    """
    data = _data(request)
    unread: list[str] = []
    segmenter, folder = _load(request.bundle)
    record = {**provenance(folder), **data.description}
    worst = Worst()
    if request.task == "semantic":
        result = evaluate_semantic(segmenter, data)
        record["semantic"] = result.to_dict()
        print_semantic(result, record)
    else:
        views = {
            "words": (labelled.words,),
            "click": (labelled.clicks,),
            "no colour": (labelled.category_words, labelled.without_colour),
        }
        evaluation = evaluate(segmenter, data.asked(*views[request.task]), worst if request.pictures else None)
        record.update(evaluation.to_dict())
        unread = evaluation.unread
        print_tables(evaluation, record)
    if request.json:
        write_record(Path(request.json), record)
    if request.pictures:
        worst.draw(Path(request.pictures))
    check_complete(unread, len(data))
    return record


def run_targets(request: Request, parts: list[str], folder: Path, real: Path) -> None:
    """Measure parts of the project's targets with the request's bundle, scenes (of "tables") and seed.

    Without the real scans at ``real`` their part is left out.
    """
    check_folder(folder)
    check_target(targets_page(folder), makes_folder=True)
    check_sheet(folder / "generated")
    for part in parts:
        check_record(folder / f"{part}.json")
    if "real" in parts and not real.is_dir():
        if len(parts) == 1:
            raise SegPointError(f"there are no real scans at {real}: give their folder with --real")
        print(f"left out: there are no real scans at {real} (--real)")
        parts = [part for part in parts if part != "real"]
    segmenter, bundle = _load(request.bundle)
    run_parts(segmenter, bundle, parts, folder, real, request.scenes or SCENES, request.seed)


def _data(request: Request) -> LabelledSet:
    if request.data != "generated":
        return folder_set(request.data, request.scenes, request.frame, request.scale)
    return generated_set(request.seed, request.scenes or _SCENES, request.split, request.scale, request.sensor)


def _load(bundle: str | None) -> tuple[Segmenter, Path]:
    from segpoint.segmenter import Segmenter

    folder = Path(bundle) if bundle else default_bundle()
    return Segmenter.from_bundle(folder), folder
