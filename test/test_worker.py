"""The worker: newest only, nothing unasked, nothing after stop, alive after any exception."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from segpoint_ros.worker import Worker

PATIENCE = 5.0


class Bench:
    """A worker whose work takes as long as the test wants: ``allow`` lets one answer through."""

    def __init__(self) -> None:
        self.wanted = True
        self.started: list[tuple[object, str]] = []
        self.delivered: list[str] = []
        self.failures: list[Exception] = []
        self.skipped: list[str] = []
        self.cleared: list[object] = []
        self.pause = 0.0
        self.allow = threading.Semaphore(0)
        self.worker: Worker[object, str, str] = Worker(
            answer=self.answer,
            deliver=self.delivered.append,
            clear=self.cleared.append,
            wanted=lambda: self.wanted,
            pause=lambda: self.pause,
            failed=self.failures.append,
            skipped=self.skipped.append,
        )

    def answer(self, cloud: object, instruction: str) -> str:
        self.started.append((cloud, instruction))
        if not self.allow.acquire(timeout=PATIENCE):
            raise TimeoutError
        if cloud == "bad":
            raise ValueError("bad cloud")
        return f"{instruction} in {cloud}"


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.allow.release(100)
    assert bench.worker.stop(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.002)


def test_only_the_newest_is_answered(bench) -> None:
    bench.worker.ask("mug")
    bench.worker.offer("first")
    until(lambda: bench.started == [("first", "mug")])
    for name in ("second", "third", "fourth"):
        bench.worker.offer(name)  # returns at once, though the worker is busy
    bench.allow.release(2)
    until(lambda: bench.delivered == ["mug in first", "mug in fourth"])
    assert bench.skipped == ["busy", "busy"]


def test_nothing_without_an_instruction_then_the_last_cloud(bench) -> None:
    bench.allow.release(10)
    bench.worker.offer("one")
    bench.worker.offer("two")
    time.sleep(0.05)
    assert bench.started == [] and bench.skipped == ["idle"]
    bench.worker.ask("mug")
    until(lambda: bench.delivered == ["mug in two"])
    bench.worker.ask("bowl")  # no new cloud: the last one is asked again
    until(lambda: bench.delivered == ["mug in two", "bowl in two"])


def test_who_asks_nothing_any_more_is_told_once(bench) -> None:
    bench.allow.release(10)
    bench.worker.ask("")
    until(lambda: bench.cleared == [None])
    bench.worker.ask("mug")
    bench.worker.offer("one")
    until(lambda: bench.delivered == ["mug in one"])
    bench.worker.ask("")
    until(lambda: bench.cleared == [None, "one"])
    bench.worker.offer("two")
    time.sleep(0.05)
    assert bench.cleared == [None, "one"] and len(bench.started) == 1
    bench.worker.ask("bowl")
    until(lambda: bench.delivered == ["mug in one", "bowl in two"])


def test_clearing_ends_an_answer_under_way(bench) -> None:
    bench.worker.ask("mug")
    bench.worker.offer("one")
    until(lambda: len(bench.started) == 1)
    bench.worker.ask("")
    bench.allow.release()
    until(lambda: bench.cleared == ["one"])
    assert bench.delivered == [] and bench.skipped == ["outdated"]


def test_clouds_wait_for_their_turn_and_requests_do_not(bench) -> None:
    bench.allow.release(100)
    bench.pause = 0.3
    bench.worker.ask("mug")
    bench.worker.offer("first")
    until(lambda: bench.delivered == ["mug in first"])
    for number in range(5):
        bench.worker.offer(number)
    time.sleep(0.05)
    assert bench.delivered == ["mug in first"]
    until(lambda: bench.delivered == ["mug in first", "mug in 4"])
    assert bench.skipped == ["rate"] * 4
    bench.pause = 100.0
    bench.worker.ask("bowl")
    until(lambda: bench.delivered[2:] == ["bowl in 4"])


def test_a_forgotten_cloud_is_not_asked_about(bench) -> None:
    bench.allow.release(10)
    bench.worker.offer("before")
    bench.worker.forget()
    bench.worker.ask("mug")
    time.sleep(0.05)
    assert bench.started == []
    bench.worker.offer("after")
    until(lambda: bench.delivered == ["mug in after"])


def test_nothing_while_nobody_listens_and_then_at_once(bench) -> None:
    bench.allow.release(10)
    bench.wanted = False
    bench.worker.ask("mug")
    bench.worker.offer("one")
    time.sleep(0.05)
    assert bench.started == []
    bench.wanted = True
    bench.worker.look_again()
    until(lambda: bench.delivered == ["mug in one"])
    bench.worker.look_again()
    time.sleep(0.05)
    assert len(bench.started) == 1  # answered once


def test_an_exception_is_told_and_survived(bench) -> None:
    bench.allow.release(10)
    bench.worker.ask("mug")
    bench.worker.offer("bad")
    until(lambda: len(bench.failures) == 1)
    bench.worker.offer("good")
    until(lambda: bench.delivered == ["mug in good"])


def test_no_answer_to_an_instruction_that_was_replaced(bench) -> None:
    bench.worker.ask("mug")
    bench.worker.offer("one")
    until(lambda: bench.started == [("one", "mug")])
    bench.worker.ask("bowl")
    bench.allow.release(2)
    until(lambda: bench.delivered == ["bowl in one"])
    assert bench.skipped == ["outdated"]


def test_after_a_flood_the_last_instruction_is_answered_about_the_last_cloud() -> None:
    delivered: list[str] = []

    def answer(cloud: int, instruction: str) -> str:
        time.sleep(0.1)  # longer than the time between two instructions: each answer is outdated when it comes
        return f"{instruction} in {cloud}"

    worker: Worker[int, str, str] = Worker(
        answer, delivered.append, print, lambda: True, lambda: 0.0, print, lambda why: None
    )
    for number in range(100):
        worker.ask(f"thing {number}")
        if number % 4 == 0:
            worker.offer(number)
        time.sleep(0.01)
    until(lambda: bool(delivered) and delivered[-1] == "thing 99 in 96")
    time.sleep(0.2)
    assert delivered.count("thing 99 in 96") == 1
    assert worker.stop(PATIENCE)


def test_nothing_is_delivered_after_stop(bench) -> None:
    bench.worker.ask("mug")
    bench.worker.offer("one")
    until(lambda: len(bench.started) == 1)
    assert not bench.worker.stop(timeout=0.05)  # still computing
    bench.allow.release()
    assert bench.worker.stop(PATIENCE)
    assert bench.delivered == []
