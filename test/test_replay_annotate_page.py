"""The page of `segpoint annotate` in a real browser."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import FRAMES, Knowing, NoModel, iou, middle, on_disk, record, served
from browser import Browser, chromium

from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.own import check


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    return record(tmp_path_factory.mktemp("recorded"))


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
            while not any(asked.endswith(f"picture?place={place}") for asked in browser.requests):
                page.settle()  # the next cloud's picture is asked for before it is gone to
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


def test_two_tabs_never_mark_each_others_clouds(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    toast = "document.getElementById('toast').textContent"
    with served(bag, tmp_path, Knowing(truth)) as (address, one), chromium() as first, chromium() as second:
        page, other = Page(first, address), Page(second, address)
        page.click(*middle(truth[0], 2))
        for _ in range(3):
            page.press(" ")
        page.press("Escape")  # what is carried over
        assert one.number == 3 and other.state["number"] == 0
        saved = on_disk(tmp_path)
        other.click(*middle(truth[0], 3))
        assert "meant for cloud 0" in first.evaluate(toast) + second.evaluate(toast)
        assert "gone to cloud 3" in second.evaluate(toast)
        assert one.proposal is None and on_disk(tmp_path) == saved
        assert other.state["number"] == 3  # it shows what there is, and goes on from there
        other.click(*middle(truth[3], 3))
        other.press("Enter")
        other.press("Escape")  # out of the field for its name
        assert ((one.label == 2) == (truth[3] == 3)).all()
        # Of one cloud, too: this page does not show the other's new object yet.
        page.press("Delete")
        page.press(" ")
        assert one.number == 3
        assert "another tab" in first.evaluate(toast)
        assert [o["number"] for o in page.state["objects"]] == [1, 2]
        page.press(" ")
        assert one.number == 4
        # What is pointed at is meant on the cloud that is seen, whatever key was pressed before.
        assert other.state["number"] == 3
        other.press("ArrowLeft")
        assert other.state["number"] == 4
        x, y = other._at(*middle(truth[4], 4))
        second.evaluate(f"""(() => {{
            const picture = document.getElementById('picture');
            picture.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'ArrowLeft', bubbles: true }}));
            picture.dispatchEvent(new PointerEvent('pointerdown', {{ clientX: {x}, clientY: {y} }}));
        }})()""")
        other.settle()
        assert one.number == 3 and "meant for cloud 4" in second.evaluate(toast)
        assert not first.errors and not second.errors


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
