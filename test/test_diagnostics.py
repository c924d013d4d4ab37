"""What the node tells about itself: levels, rates, limits, and each kind of trouble once."""

from __future__ import annotations

import sys
import threading

import pytest

pytest.importorskip("diagnostic_msgs")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402

from segpoint_ros.diagnostics import LONGEST, TROUBLE_LASTS, WINDOW, Complaints, Health, Rate, kind_of  # noqa: E402
from segpoint_ros.settings import Diagnostics, Latency, Silence  # noqa: E402

LIMITS = Diagnostics(Latency(warn=0.5, error=2.0), Silence(warn=5.0, error=30.0))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    values = {pair.key: pair.value for pair in status.values}
    assert len(values) == len(status.values), "no key twice"
    return values


def test_trouble_warns_for_a_while_and_stays_readable() -> None:
    clock = Clock()
    health = Health(clock)
    health.count("received")
    health.count("received")
    health.time({"encoder": 0.25})
    assert health.status("segpoint", "active", "fine").level == DiagnosticStatus.OK
    health.trouble("no x")
    status = health.status("segpoint", "active", "fine")
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "no x")
    clock.now += TROUBLE_LASTS
    status = health.status("segpoint", "active", "fine")
    assert (status.level, status.message) == (DiagnosticStatus.OK, "fine")
    values = values_of(status)
    assert values["clouds received"] == "2"
    assert values["encoder (ms)"] == "250.0"
    assert values["last error"] == "no x"
    assert values["last error (s ago)"] == f"{TROUBLE_LASTS:.3f}"
    assert values["state"] == "active"


def test_a_fatal_trouble_is_an_error_until_recovered() -> None:
    clock = Clock()
    health = Health(clock)
    health.trouble("no model", fatal=True)
    clock.now += 1000
    assert health.status("segpoint", "unconfigured", "unconfigured").level == DiagnosticStatus.ERROR
    health.recovered()
    assert health.status("segpoint", "inactive", "inactive").level == DiagnosticStatus.OK


def test_a_lesser_trouble_does_not_hide_a_fatal_one() -> None:
    health = Health(Clock())
    health.trouble("no y")
    health.trouble("no model", fatal=True)
    assert health.status("segpoint", "unconfigured", "unconfigured").message == "no model"
    health.trouble("no x")
    status = health.status("segpoint", "unconfigured", "unconfigured")
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, "no model; no x")
    assert values_of(status)["last error"] == "no x"
    health.recovered()
    assert health.status("segpoint", "inactive", "inactive").level == DiagnosticStatus.OK


def test_nothing_is_told_that_has_not_been() -> None:
    values = values_of(Health(Clock()).status("segpoint", "unconfigured", "unconfigured"))
    for key in ("latency (s)", "last result (s ago)", "last cloud (s ago)", "last error", "last error (s ago)"):
        assert values[key] == ""
    assert values["rate of clouds received (Hz)"] == values["rate of clouds answered (Hz)"] == "0.00"


@pytest.mark.parametrize(
    ("latency", "level", "message"),
    [
        (0.5, DiagnosticStatus.OK, "fine"),
        (0.75, DiagnosticStatus.WARN, "was 0.75 s old, 0.25 s more than diagnostics.latency.warn (0.5 s)"),
        (2.5, DiagnosticStatus.ERROR, "was 2.50 s old, 0.50 s more than diagnostics.latency.error (2 s)"),
        (None, DiagnosticStatus.OK, "fine"),
    ],
)
def test_an_old_result(latency: float | None, level: bytes, message: str) -> None:
    health = Health(Clock())
    health.time({"total": 0.4}, latency)
    status = health.status("segpoint", "active", "fine", 0.1, LIMITS)
    assert status.level == level and status.message.endswith(message)
    assert values_of(status)["latency (s)"] == ("" if latency is None else f"{latency:.3f}")
    assert health.status("segpoint", "active", "fine", 0.1, Diagnostics()).level == DiagnosticStatus.OK  # no limits
    assert health.status("segpoint", "inactive", "inactive", None, LIMITS).level == DiagnosticStatus.OK
    health.forget()
    assert health.status("segpoint", "active", "fine", 0.1, LIMITS).level == DiagnosticStatus.OK


@pytest.mark.parametrize(
    ("silence", "level", "message"),
    [
        (5.0, DiagnosticStatus.OK, "fine"),
        (7.5, DiagnosticStatus.WARN, "no cloud for 7.50 s, 2.50 s more than diagnostics.silence.warn (5 s)"),
        (31.0, DiagnosticStatus.ERROR, "no cloud for 31.00 s, 1.00 s more than diagnostics.silence.error (30 s)"),
    ],
)
def test_silence(silence: float, level: bytes, message: str) -> None:
    status = Health(Clock()).status("segpoint", "active", "fine", silence, LIMITS)
    assert (status.level, status.message) == (level, message)
    assert values_of(status)["last cloud (s ago)"] == f"{silence:.3f}"


def test_a_limit_may_stand_alone() -> None:
    health = Health(Clock())
    warns, errs = Diagnostics(silence=Silence(1.0, 0.0)), Diagnostics(silence=Silence(0.0, 1.0))
    assert health.status("segpoint", "active", "fine", 2.0, warns).level == DiagnosticStatus.WARN
    assert health.status("segpoint", "active", "fine", 2.0, errs).level == DiagnosticStatus.ERROR


def test_the_worst_is_told_first_and_nothing_hidden() -> None:
    health = Health(Clock())
    health.trouble("no x")
    health.time({}, 0.75)
    status = health.status("segpoint", "active", "fine", 40.0, LIMITS)
    assert status.level == DiagnosticStatus.ERROR
    first, *others = status.message.split("; ")
    assert first.startswith("no cloud for 40.00 s") and "silence.error" in first
    assert others[0] == "no x" and "latency.warn" in others[1] and len(others) == 2


def test_ages_go_on() -> None:
    clock = Clock()
    health = Health(clock)
    health.time({}, 0.25)
    health.trouble("no x")
    clock.now += 3
    values = values_of(health.status("segpoint", "active", "fine"))
    assert values["last result (s ago)"] == values["last error (s ago)"] == "3.000"
    assert values["latency (s)"] == "0.250"


def test_rates_are_of_the_last_seconds() -> None:
    clock = Clock()
    health = Health(clock)

    def rate(what: str) -> float:
        return float(values_of(health.status("segpoint", "active", "fine"))[f"rate of clouds {what} (Hz)"])

    for number in range(3000):  # 30 Hz, 2 Hz of them answered, for 100 s
        health.count("received")
        if number % 15 == 0:
            health.count("answered")
        clock.now += 1 / 30
        if number == 90:  # a camera that has just started is not at a third of its rate
            assert rate("received") == pytest.approx(30, rel=0.05)
    assert rate("received") == pytest.approx(30, rel=0.05)
    assert rate("answered") == pytest.approx(2, rel=0.1)
    clock.now += WINDOW / 2
    assert 10 < rate("received") < 20
    clock.now += WINDOW
    assert rate("received") == rate("answered") == 0


def test_a_long_sequence_takes_no_memory() -> None:
    rate = Rate()
    rate.count(0.0)
    sizes = []
    for number in range(200_000):
        rate.count(number / 1000)
        if number in (50_000, 199_999):
            sizes.append(sys.getsizeof(rate._seconds) + sum(map(sys.getsizeof, rate._seconds)))
    assert len(rate._seconds) <= WINDOW + 1 and sizes[0] == sizes[1]
    assert rate.hertz(200.0) == pytest.approx(1000, rel=0.01)


def test_long_texts_are_cut() -> None:
    health = Health(Clock())
    health.note(instruction="m" * 100_000)
    health.trouble("x" * 100_000)
    status = health.status("segpoint", "active", "fine")
    assert max(map(len, (status.message, *values_of(status).values()))) == LONGEST + 1


def test_several_threads_may_count() -> None:
    health = Health()

    def work() -> None:
        for number in range(2000):
            health.count("received")
            health.time({"total": 0.1}, 0.2)
            health.note(**{f"fact {number % 50}": number})
            if number % 100 == 0:
                health.status("segpoint", "active", "fine", 0.0, LIMITS)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values_of(health.status("segpoint", "active", "fine"))["clouds received"] == "8000"


def test_each_kind_is_let_through_once_and_again_later_with_a_count() -> None:
    clock = Clock()
    complaints = Complaints(every=30, clock=clock)
    assert complaints.let_through("a", "first") == "first"
    assert complaints.let_through("b", "other") == "other"
    assert [complaints.let_through("a", "again") for _ in range(3)] == [None, None, None]
    clock.now += 30
    assert complaints.let_through("a", "later") == "later (and 3 more like it)"


def test_one_place_is_one_kind() -> None:
    def refuse(number: int) -> None:
        raise ValueError(f"{number} is wrong")

    kinds = []
    for number in range(2):
        try:
            refuse(number)
        except ValueError as error:
            kinds.append(kind_of(error))
    assert kinds[0] == kinds[1] and "test_diagnostics.py" in kinds[0]
