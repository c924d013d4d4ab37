"""``segpoint data``: look at a data set before hours of training are spent on it.

    segpoint data check scanrefer data/scanrefer --scans data/scannet
    segpoint data check own data/mine --split all
    segpoint data show own data/mine bench_1.pcd --png look.png

``check`` prints what is there, what is missing and what is wrong, and what to do about it. Exit codes: 0 all is well,
1 there are problems, 2 bad use.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from segpoint.errors import SegPointError
from segpoint.files import check_target
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import NAMES, check_folders, module_of, open_dataset
from segpoint_training.datasets.check import Check
from segpoint_training.datasets.scan import DataSet

SPLITS = ("train", "val", "test")
_MOST = 50  # problems printed; the rest is counted


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    module_of(args.name)
    check_folders(DatasetConfig(args.name, args.root, args.scans))
    return args.run(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segpoint data", description="Look at a data set before training on it.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="what is there, what is missing, what is wrong")
    check.set_defaults(run=_check)
    show = commands.add_parser("show", help="a picture of one scan: its colours beside its objects")
    show.set_defaults(run=_show)
    for command in (check, show):
        command.add_argument("name", metavar="NAME", help=f"the data set: {', '.join(NAMES)}")
        command.add_argument("root", metavar="ROOT", help="the folder of its own files")
        command.add_argument(
            "--scans", metavar="FOLDER", default="", help="of a set of sentences: the folder of the scans meant"
        )
    check.add_argument("--split", choices=(*SPLITS, "all"), default="", help="of `own` (default: train and val)")
    show.add_argument("scan", metavar="SCAN", help="the scan's name")
    show.add_argument("--png", metavar="FILE", required=True, help="where the picture goes")
    return parser


def _settings(args: argparse.Namespace, splits: Sequence[str]) -> Iterator[DatasetConfig]:
    for split in splits:
        yield DatasetConfig(name=args.name, root=args.root, scans=args.scans, split=split)


def _check(args: argparse.Namespace) -> int:
    if args.name == "own":
        splits = {"": SPLITS[:2], "all": SPLITS}.get(args.split, (args.split,))
    elif args.split:
        raise SegPointError("--split is of a folder of your own; a published data set is checked whole: leave it out")
    else:
        splits = SPLITS[:1]  # its check looks at all of them, whichever is named
    module, whole = module_of(args.name), Check()
    for settings in _settings(args, splits):
        try:
            found = module.check(settings)
        except SegPointError as error:
            found = Check(problems=[str(error)])
        whole.found |= found.found
        whole.problems += [line for line in found.problems if line not in whole.problems]
        whole.notes += [line for line in found.notes if line not in whole.notes]
    _print(whole, f"{args.name} in {args.root}")
    return 1 if whole.problems else 0


def _print(check: Check, title: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    table = Table(title=Text(title), title_justify="left", show_header=False, box=None)
    table.add_column()
    table.add_column(justify="right")
    for name, count in check.found.items():
        table.add_row(Text(name), f"{count:,}")
    console.print(table)
    for note in check.notes:
        console.print(Text.assemble(("note     ", "yellow"), note))
    for problem in check.problems[:_MOST]:
        console.print(Text.assemble(("problem  ", "bold red"), problem))
    if len(check.problems) > _MOST:
        console.print(Text(f"… and {len(check.problems) - _MOST} more problems"))
    count = len(check.problems)
    verdict = f"{count} problem{'' if count == 1 else 's'}" if count else "all is well"
    console.print(Text(verdict, "bold red" if count else "bold green"))


def _show(args: argparse.Namespace) -> int:
    check_target(args.png, (".png",))
    from segpoint.render import render_sheet
    from segpoint_training.datasets.picture import draw_scan

    data = _with_scan(args)
    render_sheet(args.png, [draw_scan(data.load(args.scan), data.instructions(args.scan))])
    print(f"{args.scan} is drawn in {args.png}")
    return 0


def _with_scan(args: argparse.Namespace) -> DataSet:
    """The split that has the scan. Raises SegPointError that names some scans where none has it."""
    known: list[str] = []
    failures: list[SegPointError] = []
    for settings in _settings(args, SPLITS):
        try:
            data = open_dataset(settings)
        except SegPointError as error:  # many a set has no test split
            failures.append(error)
            continue
        if args.scan in data.scans:
            return data
        known += data.scans
    if not known and failures:
        raise failures[0]
    some = ", ".join(known[:10]) + (" …" if len(known) > 10 else "")
    raise SegPointError(f"{args.name} has no scan {args.scan!r:.80}; it has {some or 'none'}")


if __name__ == "__main__":
    raise SystemExit(main())
