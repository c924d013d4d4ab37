"""`segpoint annotate`: its page's requests, and what a person does with them."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import (
    FRAMES,
    SIZE,
    Astray,
    Knowing,
    NoModel,
    act,
    do,
    iou,
    label_three,
    middle,
    odd_bag,
    on_disk,
    record,
    request,
    served,
    session,
)

from segpoint.cli import main
from segpoint.errors import SegPointError
from segpoint_replay.annotate.proposal import Part
from segpoint_replay.recording import Recording
from segpoint_replay.truth import Labels
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.own import check


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    return record(tmp_path_factory.mktemp("recorded"))


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


def test_numbers_that_are_too_long_are_refused(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    digits = "9" * 5000
    with served(recorded[0], tmp_path, NoModel()) as (address, one):
        assert request(address, f"picture?place={digits}")[0] == 400
        assert request(address, "api/finish", b"{}", **{"Content-Length": digits})[0] == 400
        assert request(address, "api/go", f'{{"place": {digits}}}'.encode())[0] == 400
        for depth in range(300, 3000, 20):  # deeper than can be read, or than can be told
            assert request(address, "api/go", f'{{"place": {"[" * depth}{"]" * depth}}}'.encode())[0] in (200, 400)
        assert one.place == 0 and not one.folder.received
    assert "Traceback" not in capfd.readouterr().err


def test_numbers_of_nothing_change_nothing(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    (x, y), nowhere = middle(truth[0], 4), [{"object": n} for n in (-3, 3, 300, 1.5, "1", True, None)]
    with served(bag, tmp_path, NoModel()) as (address, one):
        for number in (2, 3):
            place = middle(truth[0], number)
            act(address, "click", x=place[0], y=place[1])
            act(address, "accept")
        act(address, "instruct", text="the ball", targets=[1])
        proposed = act(address, "click", x=x, y=y)["proposal"]
        saved, undoable = on_disk(tmp_path), one.undoable

        def refused(action: str, **given: Any) -> None:
            state = act(address, action, **given)
            assert state["error"], (action, given)
            assert (state["place"], state["undoable"]) == (0, undoable)
            assert on_disk(tmp_path) == saved

        for given in nowhere:
            refused("accept", **given)
        assert act(address, "state")["proposal"] == proposed
        act(address, "reject")
        for given in [{"object": 0}, *nowhere]:
            refused("name", category="mug", **given)
            refused("remove", **given)
            refused("remove", everywhere=True, **given)
            refused("instruct", text="that", targets=[given["object"]])
        for given in nowhere:
            refused("resize", steps=1, **given)
            refused("brush", stroke=[[x, y]], radius=4, add=True, **given)
        for place in (-1, FRAMES, 10**4000, 1.5, "1", True):
            refused("go", place=place)
        for row in (-1, 1, 0.0):
            refused("forget", row=row)
        for radius in (-1, 0, 1e6, 1e300):  # a huge one would take a minute to draw
            refused("brush", stroke=[[x, y]], radius=radius, add=True, object=1)
        refused("resize", steps=1.5, object=1)
        for x, y in ((-1, 50), (50, -1), (640, 50), (50, 1e300)):
            refused("click", x=x, y=y)
        # Nor is a cloud called annotated by what changes nothing.
        act(address, "finish")
        act(address, "reject")
        undoable = one.undoable
        for action in ("brush", "resize"):
            act(address, action, stroke=[[50, 50]], radius=3, add=False, steps=1, object=1)
            assert not one.is_done(1) and one.undoable == undoable


def test_a_page_that_does_not_show_what_another_did_is_refused(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    bag, truth = recorded
    x, y = middle(truth[0], 2)
    with served(bag, tmp_path, Knowing(truth)) as (address, one):
        stale = act(address, "state")
        asked = act(address, "click", x=x, y=y, cloud=0, seen=stale["version"])
        assert not asked["error"]
        act(address, "wait")  # the model's answer is no other page's
        assert not act(address, "next", cloud=0, seen=asked["version"])["error"]
        everything: dict[str, dict[str, Any]] = {
            "finish": {}, "accept": {}, "reject": {}, "next": {}, "drop": {}, "undo": {}, "carry": {},
            "click": {"x": x, "y": y}, "say": {"text": "the box"}, "resize": {"steps": 1}, "go": {"place": 3},
            "step": {"way": 1}, "brush": {"stroke": [[x, y]], "radius": 4, "add": True},
            "instruct": {"text": "it", "targets": []},
        }  # fmt: skip
        for action, given in everything.items():
            told = act(address, action, **given, cloud=0, seen=stale["version"])
            assert "another tab" in told["error"]
            assert told["proposal"]["shown"] == "cluster" and not one.folder.received
        for _ in range(2):
            act(address, "finish")
        saved = on_disk(tmp_path)
        for action, given in everything.items():
            told = act(address, action, **given, cloud=0)
            assert "meant for cloud 0" in told["error"] and "gone to cloud 2" in told["error"]
            assert told["place"] == 2 and on_disk(tmp_path) == saved
        assert not act(address, "accept", cloud=2, seen=told["version"])["error"]  # which it shows since


@pytest.mark.parametrize("port", ["99999", "-1", "9" * 5000, "http"])
def test_a_port_that_is_none(
    port: str, recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["annotate", str(recorded[0]), "--out", str(tmp_path / "out"), "--port", port])
    assert ended.value.code == 2
    assert "not a whole number from 0 to 65535" in capsys.readouterr().err


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
    label_three(lambda action, **given: do(one, action, given), truth[0])
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
