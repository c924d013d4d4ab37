"""What the model answers between a page's last look and a key: no key takes it for the truth unseen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import Knowing, act, iou, middle, record, served
from browser import Browser, chromium

from segpoint_replay.annotate.proposal import Part
from segpoint_replay.annotate.session import Session

Labels = list[np.ndarray]


class Slow(Knowing):
    """A model that knows the truth and answers when it is told to."""

    def ask(self, view: Any, text: str, clicks: Any = ()) -> Future[list[Part]]:
        self.known, self.asked = super().ask(view, text, clicks), Future[list[Part]]()
        return self.asked

    def answer(self) -> None:
        self.asked.set_result(self.known.result())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Labels]:
    return record(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def desk(recorded: tuple[Path, Labels], tmp_path: Path) -> Iterator[tuple[str, Session, Slow]]:
    model = Slow(recorded[1])
    with served(recorded[0], tmp_path / "out", model) as (address, one):
        yield address, one, model


def seen(state: dict[str, Any]) -> dict[str, Any]:
    """What a page that shows a state says with a key."""
    return {"cloud": state["number"], "seen": state["version"], "shown": state["version"]}


@pytest.mark.parametrize("action", ["finish", "accept"])
def test_an_answer_that_was_not_shown_is_not_taken(desk: tuple[str, Session, Slow], action: str) -> None:
    address, one, model = desk
    page = act(address, "say", text="the box", **seen(act(address, "state")))
    assert page["thinking"] and page["proposal"] is None
    model.answer()
    told = act(address, action, **seen(page))
    assert (told["error"], told["objects"], told["asked"], told["proposal"]) == ("", [], [], None)
    assert not one.folder.objects and not one.label.any()
    assert told["place"] == (action == "finish")


def test_an_answer_that_was_shown_is_taken(desk: tuple[str, Session, Slow]) -> None:
    address, _, model = desk
    act(address, "say", text="the box", **seen(act(address, "state")))
    model.answer()
    told = act(address, "accept", **seen(act(address, "wait")))
    assert [thing["category"] for thing in told["objects"]] == ["box"]
    assert [asked["text"] for asked in told["asked"]] == ["the box"]


def test_of_a_click_what_was_shown_is_taken_and_not_the_models_answer_to_it(
    desk: tuple[str, Session, Slow], recorded: tuple[Path, Labels]
) -> None:
    address, one, model = desk
    x, y = middle(recorded[1][0], 2)
    page = act(address, "click", x=x, y=y, **seen(act(address, "state")))
    assert one.proposal is not None
    shown = one.proposal.taken(one.view.xyz)[0].mask.copy()
    less = shown & (np.arange(len(shown)) % 8 != 7)
    less[one.proposal.clicks] = True
    model.asked.set_result([Part(less, 0, "less", 0.9)])
    assert one.proposal.shown == "model"
    told = act(address, "accept", **seen(page))
    assert told["objects"][0]["category"] == "" and iou(one.label == 1, shown) == 1.0


def test_what_is_done_before_an_answer_is_shown_is_done_to_what_was_shown(
    desk: tuple[str, Session, Slow], recorded: tuple[Path, Labels]
) -> None:
    address, one, model = desk
    x, y = middle(recorded[1][0], 2)
    page = act(address, "click", x=x, y=y, **seen(act(address, "state")))
    model.answer()
    resized = act(address, "resize", steps=2, **seen(page))
    assert one.proposal is not None and (one.proposal.shown, one.proposal.steps) == ("cluster", 2)
    assert "model" in resized["proposal"]["choices"]  # it came, and waits to be looked at
    mine = one.proposal.taken(one.view.xyz)[0].mask.copy()
    act(address, "accept", **{**seen(resized), "shown": page["version"]})  # a key pressed right after the other
    assert (one.label == 1).sum() == mine.sum()


def test_an_answer_that_was_not_shown_stays_a_proposal_where_nothing_is_taken(desk: tuple[str, Session, Slow]) -> None:
    address, _, model = desk
    first = act(address, "say", text="the box", **seen(act(address, "state")))
    model.answer()
    told = act(address, "next", **seen(first))
    assert told["proposal"]["text"] == "the box" and not told["error"]
    queued = act(address, "finish", **{**seen(told), "shown": first["version"]})
    assert queued["place"] == 1 and queued["objects"] == []


def test_space_in_a_page_that_the_answer_has_not_reached(desk: tuple[str, Session, Slow]) -> None:
    address, one, model = desk
    with chromium() as browser:
        browser.open(address, 1300, 850)
        until(browser, "!!window.annotate && annotate.busy === 0 && annotate.shown === 0")
        # The page never hears of the answer.
        browser.evaluate(
            "{ const whole = window.fetch; window.fetch = (path, given) =>"
            " path === 'api/wait' ? new Promise(() => {}) : whole(path, given); true }"
        )
        browser.evaluate("document.getElementById('text').value = 'the box'")
        browser.evaluate("document.getElementById('say').requestSubmit()")
        until(browser, "annotate.busy === 0 && annotate.state.thinking")
        model.answer()
        for kind in ("keyDown", "keyUp"):
            browser._ask("Input.dispatchKeyEvent", type=kind, key=" ", code="Space", windowsVirtualKeyCode=32)
        until(browser, "annotate.busy === 0 && annotate.shown === 1")
    assert one.folder.received and not one.folder.objects and not one.folder.asked


def until(browser: Browser, ready: str) -> None:
    end = time.monotonic() + 30
    while not browser.evaluate(ready):
        assert time.monotonic() < end, ready
        time.sleep(0.01)
