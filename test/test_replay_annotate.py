"""`segpoint annotate`: its page's requests and the page itself, what lies in the folder, what a kill leaves there."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, chromium
from mini_bag import CATEGORIES, FRAME_ID, TOPIC, mini_cloud, mini_pose, mini_stamp, write_mini_bag

from segpoint.cli import main
from segpoint.errors import SegPointError
from segpoint_replay.annotate import propose
from segpoint_replay.annotate.clouds import Clouds
from segpoint_replay.annotate.folder import Folder
from segpoint_replay.annotate.masks import carried_over, resized
from segpoint_replay.annotate.picture import Picture
from segpoint_replay.annotate.proposal import Part
from segpoint_replay.annotate.server import Desk, serve
from segpoint_replay.annotate.session import Session
from segpoint_replay.recording import Recording
from segpoint_replay.truth import Labels
from segpoint_training.bag_writer import BagWriter
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.own import check

ROOT = Path(__file__).resolve().parents[1]
SIZE, FRAMES = (160, 120), 6


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """A bag without labels, and the labels (M,) of each of its clouds."""
    folder = tmp_path_factory.mktemp("recorded")
    bag = write_mini_bag(folder / "plain", FRAMES, labelled=False, size=SIZE)
    truth = write_mini_bag(folder / "truth", FRAMES, size=SIZE)
    views = Recording.open(truth).frames()
    from segpoint_ros.pointcloud2 import points_of

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


# --- requests -------------------------------------------------------------------------------------------------------


def test_only_who_knows_the_token_is_answered(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    with served(recorded[0], tmp_path, NoModel()) as (address, one):
        host = address.split("/")[2]
        assert request(address)[0] == 200
        for path in ("", "annotate.js", "picture?place=0"):
            assert request(f"http://{host}/{'x' * 32}/", path)[0] == 403
            assert request(f"http://{host}/", path)[0] == 403
        assert request(f"http://{host}/{'x' * 32}/", "api/finish", {})[0] == 403
        assert request(address, Host="evil.example")[0] == 403
        assert request(address, "api/finish", {}, Host=f"evil.example:{host.split(':')[1]}")[0] == 403
        assert not one.folder.received  # nothing was done
        assert request(address, "api/launch", {})[0] == 404
        assert request(address, "../../setup.cfg")[0] == 404
        assert request(address, "picture?place=99")[0] == 404
        assert "cannot be done" in act(address, "go")["error"]
        assert request(address, "picture?place=0")[1][:2] == b"\xff\xd8"


def test_clicks_become_a_data_set(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    with served(bag, tmp_path, NoModel()) as (address, _):
        label_three(lambda action, **given: act(address, action, **given), truth[0])
        for place in range(1, FRAMES):
            state = act(address, "finish")
            assert state["place"] == place
            assert state["proposal"]["source"] == "carried"
            assert len(state["proposal"]["parts"]) == 3
        act(address, "accept")
    found = check(DatasetConfig(name="own", root=str(tmp_path), split="all"))
    assert not found.problems
    recording = Recording.open(bag)
    labels = Labels.open(tmp_path, recording)
    assert labels.numbers == tuple(range(FRAMES))
    for frame in recording.frames():
        told = {one.instruction: one for one in labels.of(frame)}
        assert iou(told["pick up the red ball"].mask, truth[frame.number] == 2) > 0.85
        assert told["pick up the red ball"].kind == "attribute"
        assert not told["grab the hammer"].mask.any()


def test_the_model_proposes_and_a_person_accepts(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    with served(bag, tmp_path, Knowing(truth)) as (address, one):
        act(address, "say", text="where is the can")
        state = act(address, "wait")
        assert [part["name"] for part in state["proposal"]["parts"]] == ["can"]
        assert act(address, "accept")["result"] == [1]
        assert ((one.label == 1) == (truth[0] == 4)).all()
        assert [(a.text, a.targets) for a in one.folder.asked] == [("where is the can", (1,))]
        x, y = middle(truth[0], 2)
        act(address, "click", x=x, y=y)
        state = act(address, "wait")
        assert state["proposal"]["shown"] == "model"
        assert {"model", "cluster", "near"} == set(state["proposal"]["choices"])
        act(address, "accept")
        assert ((one.label == 2) == (truth[0] == 2)).all()
        # Said of what is there already, a sentence means that object and makes no new one.
        act(address, "say", text="bring the ball")
        act(address, "wait")
        act(address, "accept")
        assert one.folder.objects == {1: "can", 2: "ball"}
        act(address, "say", text="the hammer")
        assert "finds nothing" in act(address, "wait")["error"]


def test_a_model_that_fails_is_told_and_geometry_serves(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    bag, truth = recorded

    class Broken(NoModel):
        state = "ready"

        def ask(self, *_: Any) -> Future[list[Part]]:
            answer: Future[list[Part]] = Future()
            answer.set_exception(RuntimeError("out of memory"))
            return answer

    with served(bag, tmp_path, Broken()) as (address, one):
        x, y = middle(truth[0], 3)
        act(address, "click", x=x, y=y)
        state = act(address, "wait")
        assert "out of memory" in state["error"]
        act(address, "accept")
        assert iou(one.label == 1, truth[0] == 3) > 0.8


# --- what a person does ---------------------------------------------------------------------------------------------


def test_brush_sizes_and_undo(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    one = session(bag, tmp_path)
    x, y = middle(truth[0], 3)
    one.click(x, y)
    one.accept()
    taken = one.label.copy()
    one.brush([(x, y)], 6, False, 1)
    under = one.view.picture.under([(x, y)], 6)
    assert under.any()
    assert not (one.label[under] > 0).any()
    assert (one.label[~under] == taken[~under]).all()
    one.resize(1, 1)
    assert (one.label > 0).sum() > (taken > 0).sum() - under.sum()
    one.undo()
    one.undo()
    assert (one.label == taken).all()
    assert (one.folder.labels(0) == taken).all()
    one.undo()
    assert not one.folder.received
    assert not one.folder.objects
    assert not one.label.any()


def test_instructions_for_one_cloud_and_objects_taken_away(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    bag, truth = recorded
    one = session(bag, tmp_path)
    label_three(lambda action, **given: _do(one, action, given), truth[0])
    one.finish()
    one.accept()
    one.instruct("the leftmost thing", [1], only_here=True)
    again = session(bag, tmp_path)  # read from disk
    assert [(a.text, a.cloud) for a in again.folder.asked][-1] == ("the leftmost thing", 1)
    rows = json.loads((tmp_path / "instructions.json").read_text())["instructions"]
    assert rows[-1]["index"] == 1
    assert not check(DatasetConfig(name="own", root=str(tmp_path), split="all")).problems
    again.go(1)
    again.remove(1)  # off this cloud: what is said about it alone goes with it
    assert "the leftmost thing" not in [a.text for a in again.folder.asked]
    assert (again.folder.labels(0) == 1).any()
    again.remove(1, everywhere=True)
    assert not (again.folder.labels(0) == 1).any()
    assert [a.text for a in again.folder.asked] == ["grab the hammer"]
    again.undo()
    again.undo()
    assert again.folder.objects == {1: "ball", 2: "box", 3: "can"}
    assert (again.folder.labels(1) == 1).any()
    assert "the leftmost thing" in [a.text for a in again.folder.asked]


def _do(one: Session, action: str, given: dict[str, Any]) -> None:
    if action == "click":
        one.click(**given)
    elif action == "accept":
        one.accept()
    elif action == "name":
        one.name(given["object"], given["category"])
    else:
        one.instruct(**given)


def test_other_rows_of_the_folder_stay(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    row = {"file": "bench.pcd", "instruction": "the vice", "target_labels": [3]}
    content = {"frame": "optical", "categories": {"bench.pcd": {"3": "vice"}}, "instructions": [row]}
    (tmp_path / "instructions.json").write_text(json.dumps(content))
    one = session(bag, tmp_path)
    label_three(lambda action, **given: _do(one, action, given), truth[0])
    after = json.loads((tmp_path / "instructions.json").read_text())
    assert after["instructions"][0] == row
    assert after["categories"]["bench.pcd"] == {"3": "vice"}
    assert after["frame"] == "optical"
    (tmp_path / "instructions.json").write_text('{"labels": "parts", "instructions": []}')
    with pytest.raises(SegPointError, match="another folder"):
        session(bag, tmp_path)


def test_another_bag_of_the_same_name_is_refused(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    one = session(bag, tmp_path / "out")
    one.finish()
    other = write_mini_bag(tmp_path, FRAMES, rate=7.0, labelled=False, size=SIZE)
    one.finish()
    with pytest.raises(SegPointError, match="another recording's"):
        session(other, tmp_path / "out")


# --- masks ----------------------------------------------------------------------------------------------------------


def test_carried_over_by_the_bags_transforms(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    """From the first cloud to the last, 30° further: only with the transforms is each object where it belongs."""
    bag, truth = recorded
    clouds = Clouds(Recording.open(bag), 1)
    first, last = clouds.view(0), clouds.view(FRAMES - 1)
    label = np.where(truth[0] > 1, truth[0], 0)
    carried = carried_over(first.xyz, label, last.xyz, last.things, last.motion_from(first))
    for number in (2, 3, 4):
        assert iou(carried == number, truth[-1] == number) > 0.75
    blind = carried_over(first.xyz, label, last.xyz, [], None)
    assert min(iou(blind == number, truth[-1] == number) for number in (2, 3, 4)) < 0.6


def test_grown_and_shrunk() -> None:
    x, y = np.meshgrid(np.arange(60) * 0.01, np.arange(60) * 0.01)
    xyz = np.stack([x.ravel(), y.ravel(), np.ones(3600)], 1).astype(np.float32)
    xyz[0] = np.nan
    mask = (np.abs(xyz[:, 0] - 0.3) < 0.1) & (np.abs(xyz[:, 1] - 0.3) < 0.1)
    grown, shrunk = resized(xyz, mask, 2), resized(xyz, mask, -2)
    assert (grown & mask).sum() == mask.sum() < grown.sum() < 2 * mask.sum()
    assert (shrunk & mask).sum() == shrunk.sum() < mask.sum()
    assert resized(xyz, mask, -50).any()


def test_a_picture_of_a_cloud_without_rows() -> None:
    """Every point that is seen answers to the brush at its pixel, also those that share one."""
    rng = np.random.default_rng(0)
    xyz = np.concatenate([rng.uniform([1, -1, 0], [3, 1, 0], (60_000, 3)), [[np.nan] * 3]]).astype(np.float32)
    picture = Picture(xyz, None, "body", len(xyz), 1)
    width, height = picture.size
    everything = picture.under([(width / 2, height / 2)], width)
    assert everything[:-1].mean() > 0.95
    assert not everything[-1]
    row, column = np.argwhere(picture.shown >= 0)[500]
    assert picture.point_at(column, row) == picture.shown[row, column]
    assert picture.under([(column, row)], 3)[picture.shown[row, column]]


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


@pytest.mark.parametrize("later", ["last", "nonsense"])
def test_one_more_click_adds_to_what_was_proposed(
    later: str, recorded: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    bag, truth = recorded
    with served(bag, tmp_path, Astray(truth, later)) as (address, one):

        def shown(x: float, y: float) -> np.ndarray:
            act(address, "click", x=x, y=y)
            act(address, "wait")
            assert one.proposal is not None
            if one.proposal.so_far is not None:  # whichever a person takes, it has all that was meant before
                for [choice] in one.proposal.choices.values():
                    assert choice.mask[one.proposal.so_far].all()
            [part] = one.proposal.parts(one.view.xyz)
            return part.mask

        ball = shown(*middle(truth[0], 2))
        assert (ball == (truth[0] == 2)).all()
        both = shown(*middle(truth[0], 4))
        assert both[ball].all()
        assert iou(both, np.isin(truth[0], [2, 4])) > 0.85
        if later == "nonsense":
            assert one.proposal is not None and one.proposal.shown == "cluster"
            assert (shown(*middle(truth[0], 2)) == both).all()  # it is meant already
            rows, columns = np.nonzero((truth[0] == 1).reshape(SIZE[::-1]))
            table = shown((columns[0] + 0.5) * 4, (rows[0] + 0.5) * 4)  # its far edge
            assert table[both].all()
            assert 0 < (table & ~both).sum() < 0.3 * (truth[0] == 1).sum()
        assert act(address, "accept")["result"] == [1]


# --- without a page -------------------------------------------------------------------------------------------------


def test_proposals_without_a_page_wait_for_review(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    command = ["annotate", str(bag), "--out", str(tmp_path), "--every", "1", "--propose", "the ball"]
    assert main([*command, "--accept", "0.95"]) == 0
    assert not (tmp_path / "scene_labelled").exists()
    assert main([*command, "--accept", "0.8"]) == 0
    assert f"{FRAMES} clouds have labels that nobody has seen" in capsys.readouterr().out
    one = session(bag, tmp_path)
    assert one.folder.objects == {1: "ball"}  # the same one in all clouds
    [row] = json.loads((tmp_path / "instructions.json").read_text())["instructions"]
    assert row["notes"]["proposed"] == {str(number): 0.9 for number in range(FRAMES)}
    assert not check(DatasetConfig(name="own", root=str(tmp_path), split="all")).problems
    assert one.proposal is not None
    assert one.proposal.source == "review"
    one.finish()
    assert one.place == 1
    one.reject()
    again = session(bag, tmp_path)
    assert again.place == 1  # as before the model saw it
    assert not again.is_done(1)
    assert ((again.folder.labels(0) == 1) == (truth[0] == 2)).all()
    assert set(again.folder.proposed) == set(range(2, FRAMES))
    again.go(2)
    again.remove(1)  # one by one from the list
    assert again.proposal is None
    assert again.is_done(2) and not again.label.any() and not again.to_review(2)
    again.undo()
    assert again.proposal is not None and again.to_review(2)
    for place in (2, 3, 4, 5):
        again.go(place)
        again.reject()
    again.remove(1, everywhere=True)
    assert not again.folder.objects and not again.folder.asked


def test_what_the_model_alone_has_named_goes_with_its_last_mask(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    command = ["annotate", str(bag), "--out", str(tmp_path), "--every", "3", "--propose", "the ball"]
    assert main([*command, "--propose", "the teapot", "--propose", "the can", "--accept", "0.8"]) == 0
    told = capsys.readouterr().out
    assert "nothing found for “the teapot”" in told and "nothing found for “the ball”" not in told
    assert "2 objects, 2 instructions" in told
    one = session(bag, tmp_path)
    one.reject()
    assert set(one.folder.objects) == {1, 2}
    one.go(3)
    one.reject()
    assert not one.folder.objects and not one.folder.asked and not one.folder.received
    one.undo()
    assert set(one.folder.objects) == {1, 2} and one.to_review(3)


def test_only_a_folder_of_its_own_is_written(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))

    def refused(out: Path) -> str:
        before = sorted(out.rglob("*"))
        assert main(["annotate", str(bag), "--out", str(out), "--propose", "the ball"]) == 2
        assert sorted(out.rglob("*")) == before
        return capsys.readouterr().err

    assert "the bag" in refused(bag)
    assert "the bag" in refused(bag.parent)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    assert "thesis.txt" in refused(foreign)
    row = {"file": str(bag), "instruction": "the ball", "target_labels": [2]}
    (foreign / "instructions.json").write_text(json.dumps({"instructions": [row]}))
    assert "rows about" in refused(foreign)


def test_a_page_that_is_closed_is_no_error(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with served(recorded[0], tmp_path, NoModel()) as (address, _):
        host, base = re.fullmatch(r"http://([^/]+)(/.*)", address).groups()  # type: ignore[union-attr]
        name, port = host.split(":")
        for _ in range(5):
            with socket.create_connection((name, int(port))) as asking:
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
                asking.sendall(f"GET {base}picture?place=0 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * 20)
        time.sleep(0.3)
        assert request(address)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


# --- a kill ---------------------------------------------------------------------------------------------------------


def test_a_kill_loses_nothing_that_was_answered(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    """kill -9 while the page keeps it busy: all that was answered is there, and it goes on from there."""
    bag, truth = recorded
    command = [sys.executable, "-m", "segpoint.cli", "annotate", str(bag), "--out", str(tmp_path), "--every", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--no-browser", "--bundle", str(tmp_path / "none")], stdout=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().split()[1]
    label_three(lambda action, **given: act(address, action, **given), truth[0])
    done = 0

    def work() -> None:
        nonlocal done
        try:
            while True:
                act(address, "name", object=1, category=f"ball {done + 1}")
                done += 1
                act(address, "brush", stroke=[[30, 30 + done % 5]], radius=3, add=bool(done % 2), object=2)
        except (OSError, http.client.HTTPException):
            pass

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(1.5)
    process.kill()
    process.wait()
    worker.join()
    assert done > 3
    one = session(bag, tmp_path)
    assert one.folder.objects[1] in (f"ball {done}", f"ball {done + 1}")
    assert [a.text for a in one.folder.asked] == ["pick up the red ball", "grab the hammer"]
    assert set(np.unique(one.folder.labels(0))) == {0, 1, 2, 3}
    assert not check(DatasetConfig(name="own", root=str(tmp_path), split="all")).problems
    process.stdout.close()


# --- the page -------------------------------------------------------------------------------------------------------


class Page:
    """The page of `segpoint annotate` in a real browser, used with its mouse and its keyboard."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        browser.open(address, 1300, 850)
        self.settle()

    def settle(self) -> None:
        """Wait until what was done is drawn."""
        until = time.monotonic() + 30
        ready = (
            "!!window.annotate && annotate.busy === 0 && !!annotate.state"
            " && annotate.shown === annotate.state.place && !annotate.state.thinking"
        )
        while not self.browser.evaluate(ready):
            assert time.monotonic() < until, "the page stays busy"
            time.sleep(0.01)

    def click(self, x: float, y: float) -> None:
        """At a pixel of the cloud's picture."""
        self.browser.click(*self._at(x, y))
        self.settle()

    def drag(self, start: tuple[float, float], end: tuple[float, float], modifiers: int) -> None:
        places = [self._at(*start), self._at(*end)]
        for kind, (x, y), buttons in (
            ("mousePressed", places[0], 1), ("mouseMoved", places[1], 1), ("mouseReleased", places[1], 0)
        ):  # fmt: skip
            self.browser._ask(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1,
                modifiers=modifiers,
            )  # fmt: skip
        self.settle()

    def press(self, key: str, modifiers: int = 0) -> None:
        code = {" ": "Space"}.get(key, f"Digit{key}" if key.isdigit() else key if len(key) > 1 else f"Key{key.upper()}")
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowRight": 39, "Delete": 46}
        number = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
        given = {"key": key, "code": code, "modifiers": modifiers, "windowsVirtualKeyCode": number}
        self.browser._ask("Input.dispatchKeyEvent", type="keyDown", **given, **({"text": text} if text else {}))
        self.browser._ask("Input.dispatchKeyEvent", type="keyUp", **given)
        self.settle()

    def write(self, text: str) -> None:
        self.browser._ask("Input.insertText", text=text)

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.browser.evaluate("annotate.state")
        return state

    def _at(self, x: float, y: float) -> tuple[float, float]:
        left, top = self.browser.evaluate(f"annotate.window({x}, {y})")
        return left, top


def test_a_person_labels_a_bag_in_the_page(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    with served(bag, tmp_path, Knowing(truth)) as (address, one), chromium() as browser:
        page = Page(browser, address)
        page.click(*middle(truth[0], 2))
        assert page.state["proposal"]["shown"] == "model"
        page.press("Tab")
        assert page.state["proposal"]["shown"] == "cluster"
        page.press("Escape")
        assert page.state["proposal"] is None
        page.click(*middle(truth[0], 2))
        page.press("Enter")
        assert browser.evaluate("document.activeElement.dataset.name") == "1"
        assert "then Enter" in browser.evaluate("document.activeElement.parentElement.innerText")
        page.press("Enter")  # its name is as the model says
        assert one.folder.objects == {1: "ball"}
        assert ((one.label == 1) == (truth[0] == 2)).all()
        page.press("/")
        page.write("fetch the box")
        page.press("Enter")
        page.press("Enter")
        assert ((one.label == 2) == (truth[0] == 3)).all()
        page.press("1")  # selects it
        page.press("/")
        page.write("the thing that rolls")
        page.press("Enter", modifiers=8)  # Shift: saved for what is selected
        asked = [(a.text, a.targets) for a in one.folder.asked]
        assert asked == [("fetch the box", (2,)), ("the thing that rolls", (1,))]
        page.press("n")
        page.write("sphere")
        page.press("Enter")
        assert one.folder.objects[1] == "sphere"
        x, y = middle(truth[0], 4)
        page.drag((x - 12, y), (x + 12, y), modifiers=8)  # Shift: adds to the selected object
        assert (one.label[truth[0] == 4] == 1).any()
        page.press("u")
        assert ((one.label == 1) == (truth[0] == 2)).all()
        # With nothing selected, a sentence with a known name is saved for nothing only when that is said twice.
        page.press("Escape")
        page.press("/")
        page.write("take the sphere")
        page.press("Enter", modifiers=8)
        assert len(one.folder.asked) == 2
        assert "1 sphere" in browser.evaluate("document.getElementById('toast').textContent")
        page.press("Enter", modifiers=8)
        assert (one.folder.asked[-1].text, one.folder.asked[-1].targets) == ("take the sphere", ())
        page.press("u")
        assert len(one.folder.asked) == 2
        for place in range(1, FRAMES):
            page.press(" ")
            assert page.state["place"] == place
        page.press(" ")
        assert all(cloud["done"] for cloud in page.state["clouds"])
        for number in (1, 2):
            carried = one.folder.labels(FRAMES - 1) == number
            assert iou(carried, truth[-1] == number + 1) > 0.85
        page.press("ArrowLeft")
        assert page.state["place"] == FRAMES - 2
        assert not browser.errors
        assert all(asked.startswith(address) for asked in browser.requests)
    assert not check(DatasetConfig(name="own", root=str(tmp_path), split="all")).problems


# --- what goes wrong ------------------------------------------------------------------------------------------------


@contextmanager
def full_disk(left: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def on_disk(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_on_a_full_disk_an_action_is_refused_whole(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    with served(bag, tmp_path, NoModel()) as (address, one):
        x, y = middle(truth[0], 3)
        proposed = act(address, "click", x=x, y=y)["proposal"]
        for action in ("accept", "finish"):
            with full_disk(20_000):
                state = act(address, action)
            assert "nothing of this is saved" in state["error"]
            assert state["proposal"] == proposed
            assert (state["place"], state["objects"], state["undoable"]) == (0, [], 0)
            assert not any(cloud["done"] for cloud in state["clouds"])
            assert not on_disk(tmp_path)
        assert act(address, "finish")["place"] == 1
        assert ((one.folder.labels(0) == 1) & (truth[0] == 3)).sum() > 0.8 * (truth[0] == 3).sum()
        act(address, "go", place=0)
        # The cloud can be written, the instructions cannot: neither is.
        (tmp_path / ".new-instructions.json").mkdir()
        saved, label = on_disk(tmp_path), one.label
        for action, given in (
            ("brush", {"stroke": [[x, y]], "radius": 9, "add": False, "object": 1}),
            ("drop", {}), ("undo", {}), ("name", {"object": 1, "category": "box"}),
            ("instruct", {"text": "the box", "targets": [1]}), ("remove", {"object": 1, "everywhere": True}),
        ):  # fmt: skip
            state = act(address, action, **given)
            assert "nothing of this is saved" in state["error"]
            assert [(o["number"], o["category"]) for o in state["objects"]] == [(1, "")]
            assert (state["undoable"], state["asked"]) == (1, [])
            assert one.label is label
            assert on_disk(tmp_path) == saved
        (tmp_path / ".new-instructions.json").rmdir()
        assert not act(address, "name", object=1, category="box")["error"]
    assert session(bag, tmp_path).folder.objects == {1: "box"}


def test_the_page_tells_what_the_disk_says(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    with served(bag, tmp_path, NoModel()) as (address, one), chromium() as browser:
        page = Page(browser, address)
        page.click(*middle(truth[0], 2))
        (tmp_path / ".new-instructions.json").mkdir()
        page.press("Enter")
        assert "nothing of this is saved" in browser.evaluate("document.getElementById('toast').textContent")
        assert page.state["proposal"] is not None
        (tmp_path / ".new-instructions.json").rmdir()
        page.press("Enter")
        assert one.folder.objects == {1: ""}
        page.press("Escape")  # out of the field for its name
        browser.evaluate("void (window.fetch = async () => new Response('no such request', { status: 400 }))")
        page.press("u")
        assert "This was not done: no such request" in browser.evaluate("document.getElementById('toast').textContent")


def test_one_process_at_a_time_has_the_folder(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    command = ["annotate", str(bag), "--out", str(tmp_path), "--frames", "1", "--propose", "the ball"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "segpoint.cli", *command[:4], "--no-browser", "--bundle", str(tmp_path / "none")],
        stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith("page")
        assert main(command) == 2
        assert "another segpoint annotate is at work" in capsys.readouterr().err
        process.kill()
    assert main(command) == 0
    assert (tmp_path / "scene_labelled").is_dir()


def test_what_a_person_has_written_into_the_rows_stays(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, truth = recorded
    one = session(bag, tmp_path)
    one.go(1)
    label_three(lambda action, **given: _do(one, action, given), truth[1])
    one.finish()
    one.accept()
    path = tmp_path / "instructions.json"
    content = json.loads(path.read_text())
    mine = {"file": "scene_labelled", "target_labels": [1]}
    content["instructions"][0] |= {"split": "test", "answer": "a ball", "notes": "checked by Ann", "place": "left"}
    content["instructions"] += [
        {**mine, "instruction": "that one here", "index": 0, "notes": {"by": "Ann"}},
        {**mine, "instruction": "the round one", "index": 1, "notes": "sure"},
        {**mine, "instruction": "the red one", "every": 2},
    ]
    path.write_text(json.dumps(content))
    again = session(bag, tmp_path)
    assert [(a.text, a.cloud) for a in again.folder.asked][2:] == [
        ("that one here", 1), ("the round one", 2), ("the red one", None)
    ]  # fmt: skip
    again.name(1, "sphere")
    again.go(0)
    again.accept()  # one more cloud, before the others
    first, _, *rest = json.loads(path.read_text())["instructions"]
    assert first == content["instructions"][0]
    assert rest[0] == {**content["instructions"][2], "index": 1, "notes": {"by": "Ann", "cloud": 1}}
    assert (rest[1]["index"], rest[1]["notes"]) == (2, {"words": "sure", "cloud": 2})
    assert rest[2] == content["instructions"][4]
    # What waits for review stands beside a person's words, and leaves them as they were.
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    assert (
        main(["annotate", str(bag), "--out", str(tmp_path), "--every", "1", "--propose", "pick up the red ball"]) == 0
    )
    row = json.loads(path.read_text())["instructions"][0]
    assert row["split"] == "test"
    last = session(bag, tmp_path)
    while last.proposal is not None:
        last.finish()
    row = json.loads(path.read_text())["instructions"][0]
    assert row == content["instructions"][0]


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


@pytest.mark.parametrize("kind", ["empty", "nowhere", "broken"])
def test_it_begins_with_a_cloud_that_can_be_labelled(kind: str, tmp_path: Path) -> None:
    bag = odd_bag(tmp_path / "bag", {0: kind})
    with served(bag, tmp_path / "out", NoModel()) as (address, one):
        state = act(address, "state")
        assert state["place"] == 1
        assert "cloud 0" in state["error"] and "left out" in state["error"]
        assert "cloud 0" in act(address, "go", place=0)["error"]
        assert act(address, "finish")["place"] == 2
        assert act(address, "step", way=-1)["place"] == 1
        assert act(address, "step", way=-1)["place"] == 1
        assert list(one.folder.received) == [1]
        assert request(address, "picture?place=0")[0] == 404
    with pytest.raises(SegPointError, match="none of the clouds can be labelled"):
        session(odd_bag(tmp_path / "none", dict.fromkeys(range(3), kind)), tmp_path / "other")


def test_each_bag_has_a_name_of_its_own(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    for name in ("run.1", "run.2"):
        shutil.copytree(bag, tmp_path / name)
        command = ["annotate", str(tmp_path / name), "--out", str(tmp_path / "out"), "--frames", "2"]
        assert main([*command, "--propose", "the ball"]) == 0
    assert {path.name for path in (tmp_path / "out").glob("run*")} == {"run.1_labelled", "run.2_labelled"}
    rows = json.loads((tmp_path / "out" / "instructions.json").read_text())["instructions"]
    assert [row["file"] for row in rows] == ["run.1_labelled", "run.2_labelled"]
    assert not check(DatasetConfig(name="own", root=str(tmp_path / "out"), split="all")).problems


@pytest.mark.parametrize("body", ['{"place":1e999}', '{"steps":-1e999}', '{"place":NaN}', "[" * 200_000, "{", "\xff"])
def test_a_request_that_cannot_be_read_is_answered(
    body: str, recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with served(recorded[0], tmp_path, NoModel()) as (address, _):
        status, told = request(address, "api/go", body.encode("latin-1"))
        assert status == 400
        assert b"cannot be read" in told
        digits = "9" * 400
        for action in ("go", "resize"):
            with_digits = json.loads(f'{{"place": {digits}, "steps": {digits}}}')
            assert request(address, f"api/{action}", with_digits)[0] == 200
        assert act(address, "state")["place"] == 0
    assert "Traceback" not in capfd.readouterr().err
