"""What a replay counts, worked by hand: consecutive masks, positions and requests."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from replay_runs import frame

from segpoint.errors import SegPointError
from segpoint.instances import Instance
from segpoint_replay.job import Job
from segpoint_replay.measures import CELL, Said, Scorer, position_error, said
from segpoint_replay.questions import Questions, in_parts
from segpoint_replay.record import Answered
from segpoint_replay.transforms import Place
from segpoint_replay.truth import Truth
from segpoint_ros.request import MOST_INSTRUCTIONS
from segpoint_ros.result import Result, Target


def row_of_cells(*places: float) -> np.ndarray:
    """One point in the middle of each of these cells of a row, metres."""
    return np.array([((place + 0.5) * CELL, 0.5 * CELL, 1.0) for place in places])


def mask(*marks: int) -> np.ndarray:
    return np.array(marks, bool)


class Tree:
    """Transforms that know these poses, one a second, each a matrix or a `Place`."""

    def __init__(self, poses) -> None:
        self.poses = [Place("map", pose) if isinstance(pose, np.ndarray) else pose for pose in poses]

    def knows(self, frame_id: str) -> bool:
        return any(self.poses)

    def place(self, frame_id: str, stamp: int) -> Place | None:
        return self.poses[stamp // 10**9] if self.poses else None


def stability(before, now, frames=("sensor", "sensor"), poses=(None, None)) -> float | None:
    """Of two clouds of (cells, mask) each."""
    scorer = Scorer(Tree(poses))
    rows = ()
    for number, (cells, marks) in enumerate((before, now)):
        answer = Said("the mug", "mug", mask(*marks))
        rows = scorer.score(frame(row_of_cells(*cells), number, frames[number]), [answer], [])
    return rows[0].stability


def test_consecutive_masks_are_compared_in_the_cells_that_both_clouds_see() -> None:
    assert stability(([0, 1, 2, 3], [1, 1, 0, 0]), ([0, 1, 2, 3], [1, 1, 0, 0])) == 1.0
    assert stability(([0, 1, 2, 3], [1, 1, 0, 0]), ([0, 1, 2, 3], [0, 1, 1, 0])) == pytest.approx(1 / 3)
    # Cell 0 has gone out of sight and cell 4 has come into it: neither has flickered.
    assert stability(([0, 1, 2, 3], [1, 1, 0, 0]), ([1, 2, 3, 4], [1, 0, 0, 1])) == 1.0
    assert stability(([0, 1], [0, 0]), ([0, 1], [0, 0])) == 1.0  # rightly or not, it said the same
    assert stability(([0, 1], [0, 0]), ([0, 1], [0, 1])) == 0.0
    assert stability(([0, 1], [1, 0]), ([1, 2], [0, 1])) is None  # nothing that is marked is seen twice
    # Two points of one cell, of which one is marked, are half of it: that is enough; one of three is not.
    assert stability(([0, 0.1, 1], [1, 0, 0]), ([0, 1], [1, 0])) == 1.0
    assert stability(([0, 0.1, 0.2, 1], [1, 0, 0, 1]), ([0, 1], [1, 1])) == 0.5


def test_a_moving_camera_does_not_flicker_where_the_bag_knows_its_pose() -> None:
    moved = np.eye(4)
    moved[0, 3] = 2 * CELL  # the sensor went two cells along the row, so what stands still came two nearer
    before, now = ([0, 1, 2, 3], [0, 0, 1, 1]), ([0, 1, 2, 3], [1, 1, 0, 0])
    assert stability(before, now, poses=(np.eye(4), moved)) == 1.0
    assert stability(before, now) == 0.0
    assert stability(before, now, ("left", "right")) is None
    assert stability(before, now, ("left", "right"), (np.eye(4), moved)) == 1.0
    assert stability(before, now, poses=(np.eye(4), None)) is None
    assert stability(before, now, poses=(None, moved)) is None
    assert stability(before, now, poses=(Place("odom", np.eye(4)), Place("odom", moved))) == 1.0
    assert stability(before, now, poses=(Place("odom", np.eye(4)), Place("map", moved))) is None
    far = np.eye(4)
    far[:3, 3] = 500_000, 4_600_000, 50  # a map in UTM's coordinates
    assert stability(before, now, poses=(far, far @ moved)) == 1.0 and stability(before, now, poses=(far, far)) == 0.0


def test_clouds_without_a_place_are_counted_and_compared_with_none() -> None:
    scorer = Scorer(Tree((None, None, np.eye(4), np.eye(4), None, np.eye(4))))
    answer = [Said("the mug", "", mask(1, 1, 0))]
    rows = [scorer.score(frame(row_of_cells(0, 1, 2), number), answer, [])[0] for number in range(6)]
    assert [row.stability for row in rows] == [None, None, None, 1.0, None, None]
    assert (scorer.unplaced, scorer.scored) == (3, 6)


def test_only_the_cloud_before_counts_and_the_truth_is_followed_as_well() -> None:
    scorer = Scorer(Tree(()))
    xyz = row_of_cells(0, 1, 2)

    def score(number: int, words: str, marks: np.ndarray, true: np.ndarray | None = None) -> Answered:
        truths = [] if true is None else [Truth(words, "kind", true, np.zeros((0, 3)))]
        return scorer.score(frame(xyz, number), [Said(words, "", marks)], truths)[0]

    first = score(0, "the mug", mask(1, 1, 0), mask(1, 1, 0))
    assert (first.stability, first.true_stability, first.iou, first.kind) == (None, None, 1.0, "kind")
    second = score(1, "the mug", mask(1, 1, 0), mask(0, 1, 0))
    assert (second.stability, second.true_stability, second.iou) == (1.0, 0.5, 0.5)
    unlabelled = score(2, "the mug", mask(1, 1, 0))
    assert (unlabelled.stability, unlabelled.true_stability) == (1.0, None)
    assert (unlabelled.iou, unlabelled.true_points, unlabelled.kind) == (None, None, "")
    assert score(3, "the bowl", mask(1, 0, 0)).stability is None
    assert score(4, "the mug", mask(1, 1, 0)).stability is None  # the cloud before was asked for the bowl


def test_points_without_coordinates_do_not_count() -> None:
    xyz = row_of_cells(0, 1, 2, 3)
    xyz[3] = np.nan
    truth = Truth("the mug", "", mask(1, 0, 0, 0), np.zeros((0, 3)))
    [row] = Scorer(Tree(())).score(frame(xyz), [Said("the mug", "", mask(1, 0, 0, 1))], [truth])
    assert (row.points, row.true_points, row.iou) == (1, 1, 1.0)


def test_positions_are_matched_so_that_all_distances_are_least() -> None:
    assert position_error([(0, 0, 0), (1, 0, 0)], [(1.1, 0, 0), (0.3, 0, 0)]) == pytest.approx(0.2)
    # The nearest pair first would be 0.1 and 1.2; together 0.5 and 0.6 are less.
    assert position_error([(0, 0, 0), (0.6, 0, 0)], [(0.5, 0, 0), (1.2, 0, 0)]) == pytest.approx(0.55)
    assert position_error([(0, 0, 0), (9, 9, 9)], [(0, 0.2, 0)]) == pytest.approx(0.2)
    assert position_error([], [(0, 0, 0)]) is None and position_error([(0, 0, 0)], []) is None


def result(*masks: np.ndarray, scores: tuple[float, ...]) -> Result:
    count = len(masks[0])
    boxes = [
        Instance(np.zeros(3), np.ones(3), np.array([0, 0, 0, 1.0]), score, np.flatnonzero(one))
        for one, score in zip(masks, scores, strict=True)
    ]
    return Result(
        SimpleNamespace(width=count, height=1),
        "optical",
        tuple(f"instruction {place}" for place in range(len(masks))),
        tuple(
            SimpleNamespace(mask=one, score=np.full(count, score, np.float32), answer="mug  <SEG>.\n")
            for one, score in zip(masks, scores, strict=True)
        ),
        tuple(Target(1000 * place + 1, place, "mug", (0, 0, 0), box) for place, box in enumerate(boxes)),
    )


def test_the_answers_are_those_of_the_published_labels() -> None:
    first, second = said(result(mask(1, 1, 1, 0, 0), mask(0, 0, 1, 1, 0), scores=(0.5, 0.7)))
    assert first.mask.tolist() == [True, True, False, False, False]  # the surer one has the point that both mean
    assert second.mask.tolist() == [False, False, True, True, False]
    assert (first.answer, [target.points for target in first.found]) == ("mug <SEG>.", [2])
    assert [(target.label, target.points) for target in second.found] == [(1001, 2)]


def test_more_than_the_node_takes_at_once_are_several_requests() -> None:
    many = tuple(str(number) for number in range(MOST_INSTRUCTIONS + 1))
    assert [len(request) for request in in_parts(many)] == [MOST_INSTRUCTIONS, 1]
    assert in_parts(()) == ()


def test_who_says_what_is_asked() -> None:
    recording = SimpleNamespace(path="bag", said=((5 * 10**9, "the mug; the bowl"), (8 * 10**9, "")), asked_on="/said")
    xyz = row_of_cells(0)
    labels = SimpleNamespace(
        of=lambda one: (
            tuple(Truth(text, "", mask(1), np.zeros((0, 3))) for text in ("the can", "all", "the can"))
            if one.number == 6
            else ()
        )
    )
    job = Job("bag", "out")

    def asked(questions: Questions, number: int) -> tuple[tuple[str, ...], ...]:
        return questions.of(frame(xyz, number))[0]

    bags = Questions(job, recording, None, "standing")
    assert [asked(bags, number) for number in (4, 5, 7, 8)] == [
        (("standing",),), (("the mug", "the bowl"),), (("the mug", "the bowl"),), (),
    ]  # fmt: skip
    labelled = Questions(job, recording, labels)
    assert (bags.asked_on, labelled.asked_on) == ("/said", "")
    assert (asked(labelled, 6), asked(labelled, 7)) == ((("the can",), ("all",)), ())
    named = Questions(replace(job, instruction_topic="/said"), recording, labels)
    assert (asked(named, 6), asked(named, 7)) == ((("the can",), ("all",)), (("the mug", "the bowl"),))
    told = Questions(replace(job, instructions=("the can", "it", "it")), recording, labels)
    groups, truths = told.of(frame(xyz, 6))
    assert groups == (("the can", "it"),) and [truth.instruction for truth in truths] == ["the can"]
    assert [bags.is_asked(1, at * 10**9) for at in (4, 9)] == [True, False]
    (repeated,) = labelled.check()
    assert repeated.startswith("1 times labels have several rows of the same words about a cloud, such as “the can”")
    labels.numbers = (6,)
    assert [labelled.is_asked(number, 0) for number in (6, 7)] == [True, False]
    with pytest.raises(SegPointError, match="not valid Unicode"):
        Questions(replace(job, instructions=("the \ud800",)), recording, None)
    with pytest.raises(SegPointError, match="nothing is asked: give --instruction"):
        Questions(job, SimpleNamespace(path="bag", said=(), asked_on=""), None)
