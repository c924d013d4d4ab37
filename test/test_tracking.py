"""Numbers of objects over clouds: they stay with what moves a little, and go when it is gone."""

from __future__ import annotations

import numpy as np
import pytest

from segpoint.instances import Instance
from segpoint_ros.tracking import MOST_TARGETS, Tracker

GATE = 0.1  # metres, for things without size
KEEP = 5


def thing(*centre: float, size: float = 0.0) -> Instance:
    """An object with the place (x, y, z), what is left out being 0, and the diagonal ``size``."""
    place = np.zeros(3)
    place[: len(centre)] = centre
    return Instance(place, np.array([size, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0]), 0.9, np.arange(3))


def follow(tracker: Tracker, *places: float, keep: int = KEEP, instruction: str = "the mug") -> list[int]:
    """The numbers of things along a line in the next cloud."""
    return tracker.numbers(instruction, [thing(place) for place in places], GATE, keep)


def test_numbers_are_those_of_the_order_at_first() -> None:
    assert follow(Tracker(), 0.5, 0.1, 0.3) == [1, 2, 3]
    assert follow(Tracker()) == []


def test_jitter_and_another_order_change_nothing() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(-0.1, 0.1, (7, 3)) + np.arange(7)[:, None] * [0.3, 0.0, 0.0]
    tracker = Tracker()
    numbers = tracker.numbers("mugs", [thing(*place) for place in places], GATE, KEEP)
    for _ in range(50):
        order = rng.permutation(7)
        seen = [thing(*place) for place in (places + rng.uniform(-0.025, 0.025, (7, 3)))[order]]
        assert tracker.numbers("mugs", seen, GATE, KEEP) == [numbers[i] for i in order]


def test_things_that_pass_each_other_slowly_keep_their_numbers() -> None:
    tracker = Tracker()
    for step in np.linspace(-1, 1, 101):  # 2 cm a cloud, 5 cm apart where they meet
        right, left = thing(step, 0.05), thing(-step, 0.0)
        assert tracker.numbers("mugs", [right, left], GATE, KEEP) == [1, 2]


@pytest.mark.parametrize("keep", [0, 1, 5])
def test_a_number_is_kept_for_what_is_out_of_sight(keep) -> None:
    for gone in range(keep + 3):
        tracker = Tracker()
        assert follow(tracker, 0.0, 1.0, keep=keep) == [1, 2]
        for _ in range(gone):
            assert follow(tracker, 1.0, keep=keep) == [2]
        # Of those that come, the one listed first is new.
        numbers = follow(tracker, 5.0, 1.0, 0.01, keep=keep)
        assert numbers == ([3, 2, 1] if gone <= keep else [1, 2, 3]), gone


def test_a_number_is_free_when_its_time_is_over() -> None:
    tracker = Tracker()
    follow(tracker, 0.0, 1.0)
    for _ in range(KEEP):
        assert follow(tracker, 1.0) == [2]
    assert follow(tracker, 1.0, 5.0) == [2, 1]  # in the very cloud in which it gets free


def test_keep_may_change_at_work() -> None:
    tracker = Tracker()
    follow(tracker, 0.0, 1.0)
    follow(tracker, 1.0)
    follow(tracker, 1.0, keep=1)
    assert follow(tracker, 1.0, 0.0) == [2, 1]  # forgotten, and the smallest number is given again
    follow(tracker, 1.0)
    follow(tracker, 1.0)
    assert follow(tracker, 5.0, 1.0, keep=1) == [1, 2]


def test_reset_forgets_all() -> None:
    tracker = Tracker()
    follow(tracker, 0.0, 1.0)
    tracker.reset()
    assert follow(tracker, 1.0, 0.0) == [1, 2]


def test_instructions_have_numbers_of_their_own() -> None:
    tracker = Tracker()
    assert follow(tracker, 0.0, 1.0, instruction="the mug") == [1, 2]
    assert follow(tracker, 1.0, instruction="the bowl") == [1]
    assert follow(tracker, 1.0, 0.0, instruction="the mug") == [2, 1]
    tracker.forget_others(["the bowl", "what was never asked"])
    assert follow(tracker, 5.0, 1.0, instruction="the bowl") == [2, 1]
    assert follow(tracker, 1.0, 0.0, instruction="the mug") == [1, 2]


def test_without_a_distance_nothing_is_tracked() -> None:
    tracker = Tracker()
    for places in ((0.0, 1.0, 2.0), (2.0, 0.0), (1.0, 2.0, 0.0)):
        found = tracker.numbers("mugs", [thing(place) for place in places], 0.0, KEEP)
        assert found == list(range(1, len(places) + 1))
    assert follow(tracker, 0.0, 1.0, instruction="mugs") == [3, 1]  # from now on it is


def test_the_gate_grows_with_the_thing() -> None:
    for size, step, same in ((0.1, 0.12, True), (0.1, 0.13, False), (2.0, 0.59, True), (2.0, 0.61, False)):
        tracker = Tracker()
        tracker.numbers("it", [thing(0.0, size=size)], GATE, KEEP)
        assert tracker.numbers("it", [thing(step, size=size)], GATE, KEEP) == [1 if same else 2], (size, step)


def test_the_nearer_of_two_keeps_the_number_of_one() -> None:
    tracker = Tracker()
    follow(tracker, 0.0)
    assert follow(tracker, 0.06, -0.04) == [2, 1]


def test_the_best_over_all_and_not_the_nearest_pair_first() -> None:
    tracker = Tracker()
    follow(tracker, 0.0, 0.08)
    assert follow(tracker, 0.05, 0.13) == [1, 2]  # the nearest pair is 0.08 and 0.05


def test_a_row_does_not_move_on_where_one_comes_and_one_goes() -> None:
    tracker = Tracker()
    follow(tracker, 0.0, 0.08, 0.16)
    assert follow(tracker, 0.08, 0.16, 0.24) == [2, 3, 4]


def test_what_is_in_sight_goes_before_what_is_not() -> None:
    """A thing that falls into two halves for one cloud."""
    tracker = Tracker()
    assert follow(tracker, 0.0) == [1]
    assert follow(tracker, -0.04, 0.05) == [1, 2]
    assert follow(tracker, 0.0) == [1]
    assert follow(tracker, 0.025) == [1]  # as far from where the other half was


def test_more_things_than_numbers() -> None:
    tracker = Tracker()
    many = [thing(*place) for place in np.random.default_rng(0).uniform(0, 100, (1200, 3))]
    assert tracker.numbers("points", many, GATE, KEEP) == [*range(1, MOST_TARGETS + 1), *[0] * 201]
    assert tracker.numbers("points", many[100:200], GATE, KEEP) == list(range(101, 201))
    # The new ones need all numbers: what is out of sight loses its own, and what is there keeps it.
    elsewhere = [thing(*place) for place in np.random.default_rng(1).uniform(200, 300, (998, 3))]
    numbers = tracker.numbers("points", [many[150], *elsewhere], GATE, KEEP)
    assert numbers[0] == 151 and sorted(numbers) == list(range(1, MOST_TARGETS + 1))


@pytest.mark.parametrize("seed", range(20))
def test_random_comings_and_goings(seed) -> None:
    """Things too far from each other to be confused: which is which is known, so the numbers are, too."""
    rng = np.random.default_rng(seed)
    homes = rng.permutation(np.stack(np.meshgrid(*[np.arange(3.0)] * 3), axis=-1).reshape(-1, 3))
    keep, tracker = int(rng.integers(0, 4)), Tracker()
    number: dict[int, int] = {}  # of those in sight and those remembered
    missed: dict[int, int] = {}
    for _ in range(60):
        seen = [int(i) for i in rng.permutation(len(homes))[: rng.integers(0, 12)]]
        for i in set(number) - set(seen):
            missed[i] += 1
            if missed[i] > keep:
                del number[i]
        for i in seen:
            if i not in number:
                number[i] = min(set(range(1, 30)) - set(number.values()))
            missed[i] = 0
        instances = [thing(*homes[i] + rng.uniform(-0.1, 0.1, 3)) for i in seen]
        assert tracker.numbers("things", instances, distance=0.4, keep=keep) == [number[i] for i in seen]


@pytest.mark.parametrize("seed", range(20))
def test_random_crowds_never_share_a_number(seed) -> None:
    rng = np.random.default_rng(seed)
    tracker = Tracker()
    for _ in range(40):
        crowd = [thing(*rng.uniform(0, 1, 3), size=rng.uniform(0, 1)) for _ in range(rng.integers(0, 30))]
        numbers = tracker.numbers("things", crowd, distance=float(rng.choice([0.0, 0.05, 2.0])), keep=3)
        assert len(set(numbers)) == len(numbers) == len(crowd)
        assert all(1 <= number <= MOST_TARGETS for number in numbers)
