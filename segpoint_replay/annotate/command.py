"""``segpoint annotate``: label a bag's clouds in the browser, with the help of geometry and of the model.

    segpoint annotate run1 --out data/mine
    segpoint annotate run1 --out data/mine --propose "the mug" --accept 0.8

What it writes is a data set of one's own (`folder`), which `segpoint replay --labels`, `segpoint train`,
`segpoint evaluate` and `segpoint data check own` take.

Exit codes: 0 done, 2 bad input or set-up.
"""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segpoint.files import check_folder

if TYPE_CHECKING:
    from segpoint_replay.annotate.clouds import Clouds
    from segpoint_replay.annotate.folder import Folder

ABOUT = """\
Label a bag's clouds in the browser: say or click what is meant, take what is proposed, go on to the next cloud. All is
saved at once into --out, a data set that `segpoint replay --labels`, `train` and `evaluate` take; the same command
again goes on where it stopped."""
NOTES = """\
The page is served to this machine alone, without a network. With --propose nothing is shown: what the model finds is
written as labels, marked as not yet seen by a person, and the page shows these for review."""
_FRAMES = 20
_SURE = 0.8
_LAST_PORT = 65535


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.accept is None:
        args.accept = _SURE
    elif not args.propose:
        parser.error("--accept is of --propose: the least score of what the model may write")
    check_folder(args.out)
    from segpoint_replay.annotate.clouds import Clouds
    from segpoint_replay.annotate.folder import Folder, check_own, claimed
    from segpoint_replay.recording import Recording

    check_own(args.out, args.bag)
    recording = Recording.open(args.bag, args.topic)
    for trouble in recording.troubles:
        print(f"note      {trouble}", file=sys.stderr)
    clouds = Clouds(recording, args.every, args.frames)
    bag = args.bag.resolve()
    with claimed(args.out):
        folder = Folder(args.out, bag.name if bag.is_dir() else bag.stem)
        if args.propose:
            from segpoint_replay.annotate.propose import propose

            propose(clouds, folder, args.propose, args.accept, args.bundle)
        else:
            _serve(clouds, folder, args)
        _tell(clouds, folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segpoint annotate", description=ABOUT, epilog=NOTES)
    parser.add_argument("bag", metavar="BAG", type=Path, help="a rosbag2 folder, an .mcap, .db3 or ROS 1 .bag file")
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True,
                        help="the data set to make or to go on with; several bags may share one")  # fmt: skip
    parser.add_argument("--topic", default="", help="of the clouds; needed where there are several")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--every", metavar="N", type=_count, default=0, help="label each N-th cloud")
    which.add_argument("--frames", metavar="N", type=_count, default=_FRAMES,
                       help=f"label at most so many, evenly spread (default: {_FRAMES})")  # fmt: skip
    parser.add_argument("--bundle", metavar="FOLDER", default="", help="the model (default: the one that ships)")
    parser.add_argument("--port", type=_port, default=0, help="of the page (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")
    parser.add_argument("--propose", metavar="TEXT", action="append", default=[],
                        help="no page: write what the model finds for this; may be repeated")  # fmt: skip
    parser.add_argument("--accept", metavar="SCORE", type=_score,
                        help=f"least score of what --propose writes (default: {_SURE})")  # fmt: skip
    return parser


def _serve(clouds: Clouds, folder: Folder, args: argparse.Namespace) -> None:
    """Show the page until Ctrl-C."""
    from segpoint_replay.annotate.model import Model
    from segpoint_replay.annotate.server import Desk, serve
    from segpoint_replay.annotate.session import Session

    session = Session(clouds, folder)
    for trouble in session.troubles:
        print(f"note      {trouble}", file=sys.stderr)
    server, address = serve(Desk(session, Model(args.bundle)), args.port)
    print(f"page      {address}\n          Ctrl-C ends it; everything is saved at once", flush=True)
    if not args.no_browser:
        webbrowser.open(address)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it
            print()


def _tell(clouds: Clouds, folder: Folder) -> None:
    review = sum(bool(scores) for scores in folder.proposed.values())
    instructions = len({asked.text for asked in folder.asked})  # several rows may hold one, each for another cloud
    print(f"annotated {len(folder.received)} clouds, {len(folder.objects)} objects, {instructions} instructions")
    if review:
        print(f"review    {review} clouds have labels that nobody has seen: segpoint annotate without --propose")
    print(f"check     segpoint data check own {folder.root}")
    bag = clouds.recording.path
    print(f"replay    segpoint replay {bag} --labels {folder.root} --every {clouds.every}")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a whole number from 0 to {_LAST_PORT}")
    return int(text)


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value
