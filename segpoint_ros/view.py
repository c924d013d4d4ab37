"""``segpoint view``: what the node sees and says, live, without RViz.

The viewer is Rerun, because its wheel holds all that is needed, a native and a web viewer, also without a network;
Foxglove's SDK is smaller, but its viewer is another program or a page from elsewhere.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from segpoint.errors import SegPointError
from segpoint.files import check_target

if TYPE_CHECKING:
    from rerun import FileSink, GrpcServerSink

WEB_PORT = 9090
START_MB = 100  # of what comes before the window is open; it keeps the rest itself
HERE, EVERYWHERE = "127.0.0.1", "0.0.0.0"
ABOUT = """\
Show live what a segpoint node sees and says: its input, the labelled cloud, boxes, answers, stage times. The viewer is
a window where there is a display, else a web page. It waits for the node, also for one that comes back."""
NOTES = """\
The node computes only what somebody subscribes to: while this runs, it computes. Each cloud that is shown takes this
process some 50 ms; see --rate. Rerun's viewer sends its makers usage statistics without contents, if it has a network;
`rerun analytics disable` turns them off."""


def main(argv: list[str] | None = None) -> int:
    """Run the command until Ctrl-C, or until the viewer's window is closed. Raises SegPointError."""
    args = _parser().parse_args(argv)
    _check(args)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is not written yet will be
    try:
        _view(args)
    except KeyboardInterrupt:  # the way to end it
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segpoint view", description=ABOUT, epilog=NOTES)
    parser.add_argument("--node", default="/segpoint", help="the node's full name (default: /segpoint)")
    parser.add_argument("--input", default="", metavar="TOPIC",
                        help="the clouds that the node hears (default: the topic that it subscribes to)")  # fmt: skip
    parser.add_argument("--frame", choices=("auto", "optical", "body", "map"), default="auto",
                        help="the clouds' axes (default: auto, by the frame_id's name, as the node does)")  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--native", action="store_true", help="a window; needs a display")
    where.add_argument("--web", type=int, nargs="?", const=WEB_PORT, metavar="PORT",
                       help=f"a web page on PORT, its data on PORT + 1 (default: {WEB_PORT}), for everybody who can "
                       "reach this machine")  # fmt: skip
    parser.add_argument("--save", metavar="FILE.rrd",
                        help="record into a file, some 3 MB a cloud; opens no viewer unless asked")  # fmt: skip
    parser.add_argument("--max-points", type=int, default=0, metavar="N",
                        help="show so many points of a cloud, for a slow link (default: 0, all)")  # fmt: skip
    parser.add_argument("--rate", type=float, default=5.0, metavar="HZ",
                        help="show so many clouds a second of each topic (default: 5; 0: all)")  # fmt: skip
    parser.add_argument("--memory", type=int, default=1000, metavar="MB",
                        help="keep about so much to scroll back in; the oldest goes first (default: 1000)")  # fmt: skip
    return parser


def _check(args: argparse.Namespace) -> None:
    """Everything that can be known to be wrong before it starts; ``args.native`` and ``args.web`` are settled."""
    for name, least in (("max_points", 0), ("rate", 0), ("memory", 1)):
        value = getattr(args, name)
        if not (math.isfinite(value) and value >= least):
            raise SegPointError(f"--{name.replace('_', '-')} is {value}; expected a number, {least} or more")
    if args.web is not None and not 0 < args.web < 65535:
        raise SegPointError(f"--web is {args.web}; expected a port from 1 to 65534")
    if args.save is not None:
        check_target(args.save, (".rrd",))
    if find_spec("rclpy") is None:
        raise SegPointError("rclpy is not installed: source ROS 2, or pip install 'segpoint_ros[ros]'")
    if find_spec("rerun") is None:
        raise SegPointError("the viewer is not installed: pip install 'segpoint_ros[view]'")
    display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if args.native and not display:
        raise SegPointError("--native needs a display, and there is none ($DISPLAY): use --web")
    if not args.native and args.web is None and args.save is None:
        args.native, args.web = display, None if display else WEB_PORT
    args.node = _name(args.node, "--node")
    args.input = args.input and _name(args.input, "--input")


def _name(text: str, option: str) -> str:
    """A node's or a topic's full name."""
    from rclpy.exceptions import InvalidTopicNameException
    from rclpy.validate_full_topic_name import validate_full_topic_name

    name = "/" + text.encode("utf-8", "replace").decode().strip("/")
    try:
        validate_full_topic_name(name)
    except InvalidTopicNameException as error:
        raise SegPointError(f"{option} {name!r} is no name that ROS allows") from error
    return name


def _view(args: argparse.Namespace) -> None:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from segpoint_ros.view_node import ViewNode
    from segpoint_ros.view_recording import Recording

    try:
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C is Python's KeyboardInterrupt
        executor = SingleThreadedExecutor()
    except RuntimeError as error:  # rclpy's RCLError, for example of a wrong ROS_DOMAIN_ID
        rclpy.try_shutdown()
        raise SegPointError(str(error)) from error
    sinks, server = _sinks(args)
    recording = Recording(args.node, sinks, args.max_points)
    try:
        executor.add_node(ViewNode(args.node, recording, args.frame, args.input, args.rate))
        with _viewer(args, server) as window:
            while window is None or window.poll() is None:
                executor.spin_once(timeout_sec=0.2)
        if window is not None and window.returncode:
            raise SegPointError(f"the viewer ended with code {window.returncode}, see above; --web may work")
    finally:
        recording.close()
        rclpy.try_shutdown()


def _sinks(args: argparse.Namespace) -> tuple[list[FileSink | GrpcServerSink], str]:
    """What is recorded into, and the address at which a viewer gets it, "" for none."""
    import rerun as rr

    sinks: list[FileSink | GrpcServerSink] = [rr.FileSink(args.save)] if args.save is not None else []
    if args.web is None and not args.native:
        return sinks, ""
    port = _free_port(HERE) if args.web is None else _free_port(EVERYWHERE, args.web + 1)
    # A browser says which page asks for the data; by whatever name this machine is called, it is ours.
    pages = [] if args.web is None else [f"http://*:{args.web}"]
    host, keep = (HERE, START_MB) if args.web is None else (EVERYWHERE, args.memory)
    limit = f"{keep}MB"
    sinks.append(rr.GrpcServerSink(host, port, server_memory_limit=limit, newest_first=True, cors_allow_origin=pages))
    return sinks, f"rerun+http://localhost:{port}/proxy"


def _free_port(host: str, port: int = 0) -> int:
    """The port if it is free, or with 0 any that is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SegPointError(f"port {port} cannot be used ({error.strerror}): give another one to --web") from error
        return probe.getsockname()[1]


@contextmanager
def _viewer(args: argparse.Namespace, server: str) -> Iterator[subprocess.Popen[bytes] | None]:
    """What shows ``server``: the window's process, which ends with this one, or a web page, or nothing."""
    if args.web is not None:
        _serve_page(args.web, server)
    if not args.native:
        yield None
        return
    import rerun_cli

    program = Path(rerun_cli.__file__).with_name("rerun")  # not $PATH's, which may be of another version
    command = [str(program), "--connect", server, "--memory-limit", f"{args.memory}MB", "--hide-welcome-screen"]
    command += ["--bind", HERE]  # of a server that it has in any case
    window = subprocess.Popen(command, env={"RUST_LOG": "error", **os.environ}, stdin=subprocess.DEVNULL)
    try:
        yield window
    finally:
        window.terminate()
        window.wait()


def _serve_page(port: int, server: str) -> None:
    import rerun as rr

    try:
        rr.serve_web_viewer(web_port=port, open_browser=False)
    except RuntimeError as error:
        raise SegPointError(f"{error}: give another port to --web") from error
    print(f"http://localhost:{port}/?url={server.replace('+', '%2B')}", flush=True)
    print("on another machine put this one's name or address in place of both localhost", flush=True)
