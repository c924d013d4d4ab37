"""Many bags on real worker processes: killed, interrupted, taken up again."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from farm_workers import (
    LIGHT,
    answered,
    check_same,
    check_taken_up,
    environment_for_workers,
    jobs_of,
    light,
    mortal,
    noted,
    use_colours,
    write_bags,
)

from segpoint.errors import SegPointError
from segpoint_replay import farm
from segpoint_replay.farm import RETRIES, Failed, Processes, Unfinished, replay_all, spread
from segpoint_replay.job import Job
from segpoint_replay.record import Run, read_run


@pytest.fixture(scope="module")
def bags(tmp_path_factory) -> list[Path]:
    return write_bags(tmp_path_factory.mktemp("bags"))


@pytest.fixture(scope="module")
def alone(bags, tmp_path_factory) -> list[Run]:
    return answered(bags, tmp_path_factory.mktemp("alone"))


def test_a_killed_worker_costs_only_its_bag_a_second_attempt(bags, alone, tmp_path, monkeypatch, capfd) -> None:
    (tmp_path / "kill").write_text("second")
    monkeypatch.setattr(farm, "replay_one", mortal)
    runs = replay_all(jobs_of(bags, tmp_path), workers=2)
    check_same(runs, alone)
    assert {name: len(began) for name, began in noted(tmp_path, "began").items()} == dict(first=1, second=2, third=1)
    assert len({pid for began in noted(tmp_path, "began").values() for pid in began}) <= 3  # the third took two bags
    assert sum(map(len, noted(tmp_path, "loaded").values())) <= 3
    told = capfd.readouterr().err
    assert "killed by signal 9" in told and "begun anew" in told and "3/3" in told


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_after_the_parents_end_only_what_is_missing_is_replayed(bags, alone, tmp_path, end) -> None:
    check_taken_up(bags, alone, tmp_path, environment_for_workers(), end)


def test_what_is_retried_and_what_is_not(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(farm, "replay_one", light)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with pytest.raises(Unfinished) as raised:
        replay_all([Job(name, str(tmp_path / name)) for name in LIGHT], workers=2)
    told = str(raised.value)
    assert told.startswith("4 of 6 bags were not replayed: deadly: its worker was lost 4 times")
    assert "killed by signal 9" in told and "exits: its worker was lost 4 times, at last: its worker ended with" in told
    assert "empty: no clouds in it; odd: ZeroDivisionError: by us" in told
    assert [(run.job["bag"], run.backend) for run in raised.value.runs] == [("good", "3"), ("last", "3")]
    began = {name: len(began) for name, began in noted(tmp_path, "began").items()}
    assert began == {"good": 1, "deadly": 1 + RETRIES, "empty": 1, "odd": 1, "exits": 1 + RETRIES, "last": 1}
    assert "raise ZeroDivisionError" in capfd.readouterr().err  # a defect is told with its place


def test_cores_are_divided_and_a_lack_of_memory_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(farm, "available_cores", lambda: 9)
    kills = iter(range(100))
    monkeypatch.setattr(farm, "_out_of_memory_kills", lambda: next(kills))
    jobs = [Job("good", str(tmp_path / "good")), Job("deadly", str(tmp_path / "deadly"))]
    with Processes(2, light) as processes:
        good, deadly = spread(jobs, processes)
    assert isinstance(good, Run) and good.backend == "4"
    assert isinstance(deadly, Failed) and "the machine's memory ran out (fewer --workers" in deadly.why


def test_in_one_process_the_others_are_done_too(bags, tmp_path, monkeypatch) -> None:
    use_colours(monkeypatch)
    first, second = jobs_of(bags[:2], tmp_path)
    with pytest.raises(Unfinished, match="1 of 2 bags .*/none") as raised:
        replay_all([replace(first, topic="/none"), second])
    assert [run.job["bag"] for run in raised.value.runs] == [second.bag] and read_run(second.out).complete
    with pytest.raises(SegPointError, match="/none") as only:
        replay_all([replace(first, topic="/none")], workers=4)
    assert not isinstance(only.value, Unfinished)
