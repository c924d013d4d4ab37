"""What the node tells about itself: levels, and each kind of trouble once."""

from __future__ import annotations

import pytest

pytest.importorskip("diagnostic_msgs")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402

from segpoint_ros.diagnostics import TROUBLE_LASTS, Complaints, Health, kind_of  # noqa: E402


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


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
    values = {pair.key: pair.value for pair in status.values}
    assert values["clouds received"] == "2"
    assert values["encoder (ms)"] == "250.0"
    assert values["last error"] == "no x"
    assert values["state"] == "active"


def test_a_fatal_trouble_is_an_error_until_recovered() -> None:
    clock = Clock()
    health = Health(clock)
    health.trouble("no model", fatal=True)
    clock.now += 1000
    assert health.status("segpoint", "unconfigured", "unconfigured").level == DiagnosticStatus.ERROR
    health.recovered()
    assert health.status("segpoint", "inactive", "inactive").level == DiagnosticStatus.OK


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
