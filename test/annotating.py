"""A bag to label, a model that knows the truth, and `segpoint annotate` at work, for its tests."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mini_bag import CATEGORIES, FRAME_ID, TOPIC, mini_cloud, mini_pose, mini_stamp, write_mini_bag

from segpoint.errors import SegPointError
from segpoint_replay.annotate.clouds import Clouds
from segpoint_replay.annotate.folder import Folder
from segpoint_replay.annotate.proposal import Part
from segpoint_replay.annotate.server import Desk, serve
from segpoint_replay.annotate.session import Session
from segpoint_replay.recording import Recording
from segpoint_ros.pointcloud2 import points_of
from segpoint_training.bag_writer import BagWriter

SIZE, FRAMES = (160, 120), 6


def record(folder: Path) -> tuple[Path, list[np.ndarray]]:
    """A bag without labels, and the labels (M,) of each of its clouds."""
    bag = write_mini_bag(folder / "plain", FRAMES, labelled=False, size=SIZE)
    truth = write_mini_bag(folder / "truth", FRAMES, size=SIZE)
    views = Recording.open(truth).frames()
    return bag, [points_of(frame.message)["label"].ravel().astype(np.int32) for frame in views]


class Knowing:
    """A model that knows the truth: it finds the category that a sentence ends with, or the object clicked on."""

    state = "ready"

    def __init__(self, truth: list[np.ndarray]) -> None:
        self.truth = truth

    def ask(self, view: Any, text: str, clicks: Any = ()) -> Future[list[Part]]:
        label = self.truth[view.frame.number]
        meant = {int(label[click]) for click in clicks} or {n for n, w in CATEGORIES.items() if text.endswith(w)}
        answer: Future[list[Part]] = Future()
        answer.set_result([Part(label == n, 0, CATEGORIES[n], 0.9) for n in sorted(meant)])
        return answer


class Astray(Knowing):
    """A model that follows the first click, and to later ones says what only the last of them means, or nonsense."""

    def __init__(self, truth: list[np.ndarray], later: str) -> None:
        super().__init__(truth)
        self.later = later

    def ask(self, view: Any, text: str, clicks: Any = ()) -> Future[list[Part]]:
        if len(clicks) < 2 or self.later == "last":
            return super().ask(view, text, clicks[-1:])
        answer: Future[list[Part]] = Future()
        answer.set_result([Part(np.isfinite(view.xyz[:, 0]) & (np.arange(len(view.xyz)) % 2 == 0), 0, "noise", 0.4)])
        return answer


class NoModel:
    state = "the bundle is not there"

    def ask(self, *_: Any) -> Future[list[Part]]:
        raise SegPointError(self.state)


def session(bag: Path, out: Path, every: int = 1) -> Session:
    return Session(Clouds(Recording.open(bag), every), Folder(out, bag.name))


@contextmanager
def served(bag: Path, out: Path, model: Any) -> Iterator[tuple[str, Session]]:
    """The page's address and the session behind it."""
    one = session(bag, out)
    server, address = serve(Desk(one, model))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield address, one
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def request(
    address: str, path: str = "", given: dict[str, Any] | bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    """GET, or POST of JSON where something is given."""
    host, base = re.fullmatch(r"http://([^/]+)(/.*)", address).groups()  # type: ignore[union-attr]
    connection = http.client.HTTPConnection(host, timeout=30)
    body = json.dumps(given) if isinstance(given, dict) else given
    connection.request("GET" if given is None else "POST", base + path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def act(address: str, action: str, **given: Any) -> dict[str, Any]:
    status, content = request(address, f"api/{action}", given)
    assert status == 200, content
    state: dict[str, Any] = json.loads(content)
    return state


def do(one: Session, action: str, given: dict[str, Any]) -> None:
    if action == "click":
        one.click(**given)
    elif action == "accept":
        one.accept()
    elif action == "name":
        one.name(given["object"], given["category"])
    else:
        one.instruct(**given)


def middle(truth: np.ndarray, number: int) -> tuple[float, float]:
    """A pixel of the picture well inside an object."""
    rows, columns = np.nonzero(truth.reshape(SIZE[::-1]) == number)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    scale = 640 / SIZE[0]
    return (columns[nearest] + 0.5) * scale, (rows[nearest] + 0.5) * scale


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def label_three(do: Callable[..., Any], truth: np.ndarray) -> None:
    """Ball, box and can by clicks, named, and two instructions."""
    for number, name in ((2, "ball"), (3, "box"), (4, "can")):
        x, y = middle(truth, number)
        do("click", x=x, y=y)
        do("accept")
        do("name", object=number - 1, category=name)
    do("instruct", text="pick up the red ball", targets=[1], kind="attribute")
    do("instruct", text="grab the hammer", targets=[])


def on_disk(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def odd_bag(path: Path, odd: dict[int, str], frames: int = 3) -> Path:
    """Clouds of which some are "empty", "nowhere" (only NaN) or "broken" (cut short)."""
    whole = mini_cloud(mini_pose(0, 2), labelled=False)
    nowhere = whole.copy()
    for axis in "xyz":
        nowhere[axis] = np.nan
    with BagWriter(path) as writer:
        write = writer._writer.write
        for number in range(frames):
            kind = odd.get(number, "")
            cloud = {"empty": whole[:, :0], "nowhere": nowhere}.get(kind, whole)
            if kind == "broken":
                writer._writer.write = lambda connection, stamp, data: write(connection, stamp, data[:200])
            writer.cloud(TOPIC, mini_stamp(number), FRAME_ID, cloud)
            writer._writer.write = write
    return path
