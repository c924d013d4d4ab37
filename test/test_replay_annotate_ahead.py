"""Reading ahead in `segpoint annotate`: what is saved is the same with and without it, to the byte."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from annotating import FRAMES, NoModel, act, do, label_three, middle, odd_bag, on_disk, record, request, served, session

from segpoint_replay.annotate import ahead
from segpoint_replay.annotate.session import Session


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    return record(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that have carried masks over, in order."""
    names: list[str] = []
    really = ahead.carried_over

    def counted(*given: object) -> np.ndarray:
        names.append(threading.current_thread().name)
        return really(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(ahead, "carried_over", counted)
    return names


def in_the_background(one: Session) -> None:
    """Look ahead, and wait until that is done."""
    one.look_ahead()
    if one._ahead._made is not None:
        one._ahead._made.carried.result()


def at_work(one: Session, truth: list[np.ndarray], pause: Callable[[Session], None]) -> None:
    """Label a bag with all that may happen between one cloud and the next, with a ``pause`` after each action."""

    def then(action: str, **given: object) -> None:
        do(one, action, given)
        pause(one)

    label_three(then, truth[0])
    one.finish()
    pause(one)
    one.finish()  # as it was carried over
    pause(one)
    one.toggle(*middle(truth[2], 3))  # one part is left out after all
    one.finish()
    pause(one)
    one.accept()
    pause(one)
    one.brush([middle(truth[3], 4)], 9, False, 3)  # what was looked ahead for is stale
    one.finish()
    pause(one)
    one.resize(2)
    one.finish()
    one.go(1)
    pause(one)
    one.brush([middle(truth[1], 2)], 12, True, 1)
    one.undo()
    pause(one)
    one.go(0)
    pause(one)
    one.go(2)
    one.drop()
    one.go(1)
    pause(one)
    one.remove(2)
    one.step(1)  # to a new one again
    pause(one)
    one.finish()


def test_what_is_saved_is_the_same_to_the_byte(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, computed: list[str]
) -> None:
    bag, truth = recorded
    at_work(session(bag, tmp_path / "without"), truth, lambda _: None)
    assert set(computed) == {threading.main_thread().name}
    at_once = len(computed)
    for name, pause in (("waited", in_the_background), ("hurried", Session.look_ahead)):
        computed.clear()
        at_work(session(bag, tmp_path / name), truth, pause)
        assert on_disk(tmp_path / name) == on_disk(tmp_path / "without")
        if name == "waited":
            assert 0 < computed.count(threading.main_thread().name) < at_once
    assert len(list((tmp_path / "without").rglob("*.mcap"))) == FRAMES - 1  # all but the one that was dropped


def test_the_next_cloud_is_there_already(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Space, as it is pressed for cloud after cloud, reads and carries over nothing; one cloud ahead and no more."""
    bag, truth = recorded
    one = session(bag, tmp_path)
    label_three(lambda action, **given: do(one, action, given), truth[0])
    for place in range(1, FRAMES):
        in_the_background(one)
        read = set(one.clouds._views)
        assert max(read) == place and len(read) <= 4
        one.finish()
        assert one.place == place and set(one.clouds._views) == read
    assert computed and not any(name == threading.main_thread().name for name in computed)
    one.look_ahead()  # at the end there is nothing ahead
    assert one.proposal is not None


def test_ahead_of_a_cloud_that_cannot_be_read(tmp_path: Path) -> None:
    """What goes wrong in the background is nobody's error, and told only to who goes there."""
    with served(odd_bag(tmp_path / "bag", {1: "broken"}), tmp_path / "out", NoModel()) as (address, one):
        x, y = 320.0, 300.0
        act(address, "click", x=x, y=y)
        assert not act(address, "accept")["error"]
        assert request(address, "picture?place=1")[0] == 404
        state = act(address, "finish")
        assert (state["place"], state["error"]) == (2, "")
        assert state["proposal"]["source"] == "carried"
        assert "cannot be read" in act(address, "go", place=1)["error"]
        assert one.place == 2
