"""What a replay counts, worked by hand: consecutive masks, positions, requests, and the figures of a record."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from segpoint.errors import SegPointError, printable
from segpoint.instances import Instance
from segpoint_replay.gallery import EACH, Gallery
from segpoint_replay.job import Job
from segpoint_replay.measures import CELL, Said, Scorer, position_error, said
from segpoint_replay.questions import Questions, in_parts
from segpoint_replay.record import NOT_ASKED, Answered, Found, FrameTime, Picture, Run, read_run, write_run
from segpoint_replay.summary import compare, pooled, summary
from segpoint_replay.tables import print_comparison, print_run, verdict
from segpoint_replay.transforms import Place
from segpoint_replay.truth import Truth
from segpoint_ros.messages import Header
from segpoint_ros.pointcloud2 import make_cloud
from segpoint_ros.request import MOST_INSTRUCTIONS
from segpoint_ros.result import Result, Target


def row_of_cells(*places: float) -> np.ndarray:
    """One point in the middle of each of these cells of a row, metres."""
    return np.array([((place + 0.5) * CELL, 0.5 * CELL, 1.0) for place in places])


def frame(xyz: np.ndarray, number: int = 0, frame_id: str = "sensor", rgb: np.ndarray | None = None) -> SimpleNamespace:
    cloud = make_cloud(Header(frame_id=frame_id), xyz.astype(np.float32), rgb, len(xyz), 1)
    return SimpleNamespace(number=number, stamp=number * 10**9, received=number * 10**9, at=number / 10, message=cloud)


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
    recording = SimpleNamespace(path="bag", said=((5 * 10**9, "the mug; the bowl"), (8 * 10**9, "")))
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
    assert (asked(labelled, 6), asked(labelled, 7)) == ((("the can",), ("all",)), ())
    named = Questions(replace(job, instruction_topic="/said"), recording, labels)
    assert (asked(named, 6), asked(named, 7)) == ((("the can",), ("all",)), (("the mug", "the bowl"),))
    told = Questions(replace(job, instructions=("the can", "it", "it")), recording, labels)
    groups, truths = told.of(frame(xyz, 6))
    assert groups == (("the can", "it"),) and [truth.instruction for truth in truths] == ["the can"]
    assert [bags.is_asked(1, at * 10**9) for at in (4, 9)] == [True, False]
    labels.numbers = (6,)
    assert [labelled.is_asked(number, 0) for number in (6, 7)] == [True, False]
    with pytest.raises(SegPointError, match="not valid Unicode"):
        Questions(replace(job, instructions=("the \ud800",)), recording, None)
    with pytest.raises(SegPointError, match="nothing is asked: give --instruction"):
        Questions(job, SimpleNamespace(path="bag", said=()), None)


# --- the record ----------------------------------------------------------------------------------------------------

FOUND = Found(1, "mug", 0.9, 12, (0.1, 0.2, 0.3), (0.1, 0.1, 0.1))


def run_of(rows: list[Answered], frames: list[FrameTime] | None = None, **more) -> Run:
    numbers = sorted({row.frame for row in rows})
    frames = [time_of(number) for number in numbers] if frames is None else frames
    return Run(
        Job("bag", "out/bag").to_dict(), {"segpoint": "1"}, "/points", "camera", "optical", "none", 2.0,
        tuple(frames), tuple(rows), **more,
    )  # fmt: skip


def time_of(number: int, **more) -> FrameTime:
    return FrameTime(number, number * 100, number / 10, 50, **{"answered": True, "latency": 0.1 * (number + 1), **more})


def scored(number: int, iou: float | None, true: int | None, instruction: str = "the mug", **more) -> Answered:
    return Answered(number, instruction, "", "mug", 5, (FOUND,), true, iou, **more)


def test_the_figures_of_a_record() -> None:
    rows = [
        scored(0, 0.2, 9, position_error=0.1),
        scored(1, 0.4, 9, stability=0.5, true_stability=1.0, position_error=0.3),
        scored(2, 0.9, 9, stability=0.7, position_error=None),
        scored(0, 1.0, 0, "the hammer"),
        scored(1, 0.0, 0, "the hammer", stability=0.0),
        scored(2, None, None, "it"),
    ]
    frames = [time_of(0), time_of(1), time_of(2), time_of(3, answered=False, why="dropped", latency=None),
              time_of(4, answered=False, why=NOT_ASKED, latency=None)]  # fmt: skip
    whole = summary(run_of(rows, frames))
    overall = whole.overall
    assert (overall.answers, overall.with_target, overall.zero_target) == (6, 3, 2)
    assert overall.miou == pytest.approx(0.5) and overall.acc25 == pytest.approx(2 / 3)
    assert overall.acc50 == pytest.approx(1 / 3) and overall.zero_target_accuracy == 0.5
    assert (overall.followed, overall.stability, overall.true_stability) == (3, pytest.approx(0.4), 1.0)
    assert (overall.located, overall.position_error_p50) == (2, pytest.approx(0.2))
    assert overall.position_error_p95 == pytest.approx(0.29)
    assert list(whole.instructions) == ["the mug", "the hammer", "it"] and whole.kinds == {}
    assert whole.instructions["it"].miou is None and whole.instructions["it"].zero_target_accuracy is None
    assert (whole.timing.clouds, whole.timing.asked, whole.timing.answered) == (5, 4, 3)
    assert (whole.timing.dropped_share, whole.timing.clouds_per_second) == (0.25, 1.5)
    assert whole.timing.latency_p50 == pytest.approx(0.2) and whole.timing.latency_p95 == pytest.approx(0.29)
    json.dumps(whole.to_dict(), allow_nan=False)
    assert pooled([run_of(rows, frames)] * 2).clouds_per_second == 1.5
    nothing = summary(run_of([]))
    json.dumps(nothing.to_dict(), allow_nan=False)
    assert (nothing.overall.miou, nothing.timing.dropped_share, nothing.timing.clouds_per_second) == (None,) * 3


def test_two_runs_are_compared_where_they_answered_the_same() -> None:
    first = [scored(number, 0.5, 9) for number in range(10)] + [scored(0, 1.0, 0, "the hammer")]
    second = [scored(number, 0.6, 9) for number in range(2, 12)] + [scored(0, 0.0, 0, "the hammer")]
    both = compare(run_of(first), run_of(second))
    assert (both.paired, both.frames, both.gain_answers) == (9, 9, 8)
    assert (both.gain, both.low, both.high) == pytest.approx((0.1, 0.1, 0.1))
    assert "the second's mIoU is +10.0 points, 95 % interval +10.0 to +10.0: a difference" in verdict(both)
    assert both.to_dict()["difference"]["zero_target_accuracy"] == -1.0
    few = compare(run_of(first[:3]), run_of(second[:3]))
    assert few.gain == pytest.approx(0.1) and few.low is None and "no interval" in verdict(few)
    unlabelled = compare(run_of([scored(0, None, None)]), run_of([scored(0, None, None)]))
    assert unlabelled.gain is None and "no mIoU" in verdict(unlabelled)
    other_time = [replace(time_of(number), stamp=7) for number in range(10)]
    for odd in (run_of([scored(0, 0.5, 9, "else")]), run_of(first, other_time)):
        with pytest.raises(SegPointError, match="nothing to compare"):
            compare(run_of(first), odd)


def test_tables_say_what_is_there_and_no_more(capsys) -> None:
    rows = [scored(0, 0.25, 9, "[red]\nmug", stability=0.5), scored(1, 1.0, 0, "the hammer")]
    print_run(run_of(rows, troubles=("cloud 3 [x] is cut",), complete=False))
    told = capsys.readouterr().out
    assert "25.0" in told and "100.0" in told and "[red]" in told and "cloud 3 [x] is cut" in told
    assert "stopped before its end" in told and "out/bag/report.html" in told and "[cm]" not in told
    print_run(run_of([scored(0, None, None)]))
    assert "mIoU" not in capsys.readouterr().out
    print_comparison(("[a]", "b"), compare(run_of(rows), run_of([scored(0, 0.5, 9, "[red]\nmug")])))
    told = capsys.readouterr().out
    assert "[a]" in told and "+25.0" in told and "clouds per second" in told


def test_nothing_steers_the_terminal(capsys) -> None:
    evil = "red \x1b]0;mine\x07\x1b[31mX\u202egnp \udcff"
    run = run_of([scored(0, 0.5, 9, evil)], [time_of(0), time_of(1, answered=False, why=evil)], troubles=(evil,))
    print_run(replace(run, topic=evil, job={**run.job, "bag": evil}))
    print_comparison((evil, "b"), compare(run, run))
    told = capsys.readouterr().out
    assert "\\x1b[31mX\\u202egnp" in told and not {*told} & {"\x1b", "\x07", "\u202e", "\udcff"}
    assert "Käse 山 🙂" == printable("Käse 山 🙂")


def test_questions_that_were_lost_are_told(capsys) -> None:
    print_run(run_of([scored(0, 0.5, 9)], [time_of(0, questions=3, answers=1), time_of(1, questions=1, answers=1)]))
    assert "2 of 2 clouds of /points answered, 2 of 4 questions without an answer" in capsys.readouterr().out
    print_run(run_of([scored(0, 0.5, 9)], [time_of(0, questions=1, answers=1)]))
    assert "questions" not in capsys.readouterr().out


def test_a_record_is_read_as_it_was_written(tmp_path) -> None:
    rows = [scored(0, 1 / 3, 9, 'say "ü"\n'), scored(1, None, None)]
    pictures = (Picture("worst_000000.png", "worst", 0, "the mug", 0.2),)
    run = run_of(rows, [time_of(0, seconds={"read": 0.1})], troubles=("cut",), pictures=pictures, complete=False)
    run = replace(run, job=json.loads(json.dumps(run.job)))
    write_run(run, tmp_path / "deep" / "run.json")
    assert read_run(tmp_path / "deep") == read_run(tmp_path / "deep" / "run.json") == run
    write_run(run_of([]), tmp_path / "run.json")
    assert read_run(tmp_path).answers == ()
    odd = replace(run, job={**run.job, "bag": "run\udcff"})  # of a file whose name is not UTF-8
    write_run(odd, tmp_path / "run.json")
    assert read_run(tmp_path) == odd and b"run\\udcff" in (tmp_path / "run.json").read_bytes()
    values = json.loads((tmp_path / "run.json").read_text())
    del values["job"]["node"]  # of an earlier version
    (tmp_path / "run.json").write_text(json.dumps(values))
    assert read_run(tmp_path) == odd


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda values: values.pop("format"), "its format is not"),
        (lambda values: values.pop("wall"), "wall"),
        (lambda values: values.update(new=1), "unknown settings"),
        (lambda values: values.update(job={}), "job: .* missing 2 required"),
        (lambda values: values["job"].update(every="all"), "job.every must be int"),
        (lambda values: values["answers"][0].update(iou="high"), "answers.iou must be float"),
        (lambda values: values["answers"][0].update(iou=float("nan")), "NaN"),
        (lambda values: values["frames"][0].update(seconds=[1]), "seconds must be a table"),
        (lambda values: values["frames"][0]["seconds"].update(read="1"), "seconds.read must be float"),
        (lambda values: values["answers"][0]["found"][0].update(centre=[1, 2]), "centre must be 3 values"),
    ],
)
def test_a_record_of_another_kind_is_refused(tmp_path, spoil, complaint) -> None:
    path = tmp_path / "run.json"
    write_run(run_of([scored(0, 0.5, 9)]), path)
    values = json.loads(path.read_text())
    spoil(values)
    path.write_text(json.dumps(values))
    with pytest.raises(SegPointError, match=complaint):
        read_run(path)


def test_there_is_no_record(tmp_path) -> None:
    with pytest.raises(SegPointError, match="no such file"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_bytes(b"{\xff")
    with pytest.raises(SegPointError, match="no record of `segpoint replay`"):
        read_run(tmp_path)


def test_only_the_extremes_are_kept_as_pictures(tmp_path) -> None:
    rng = np.random.default_rng(0)
    xyz, rgb = rng.uniform(-1, 1, (300, 3)) + [0, 0, 3], np.full((300, 3), 90, np.uint8)
    gallery = Gallery(tmp_path / "pictures")
    first = Said("the mug", "mug", np.arange(300) < 50, (FOUND,))
    gallery.add(frame(xyz, 99, rgb=rgb), "optical", [first], [], [scored(99, None, None, stability=0.5)])
    assert [(picture.frame, picture.score) for picture in gallery.pictures] == [(99, 0.5)] * 2
    marks = np.arange(300) < 50
    for number, score in enumerate(rng.permutation(12) / 12):
        rows = [scored(number, float(score), 9), scored(number, None, None, "unknown")]
        answers = [Said("the mug", "mug", marks, (FOUND,)), Said("unknown", "", marks)]
        truths = [Truth("the mug", "", marks, np.zeros((1, 3)))] if number % 2 else []
        gallery.add(frame(xyz, number, rgb=rgb), "optical", answers, truths, rows)
    kept = gallery.pictures
    assert [picture.score * 12 for picture in kept] == pytest.approx([0, 1, 2, 3, 11, 10, 9, 8])
    assert [picture.rank for picture in kept] == ["worst"] * EACH + ["best"] * EACH
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {picture.file for picture in kept}
    # In a bag with some truth the stability of the other clouds is no score.
    gallery.add(frame(xyz, 12, rgb=rgb), "optical", answers, [], [scored(12, None, None, stability=0.0)])
    assert gallery.pictures == kept
    # Nothing for what is not there is right, and none of the best; wrong, it is one of the worst. One an instruction.
    answers = [Said(words, "", marks) for words in ("the mug", "the saw", "the box", "the can", "the axe")]
    rows = [scored(13, 0.95, 9), scored(13, 1.0, 0, "the saw"), scored(13, 0.0, 0, "the box"),
            scored(13, 0.5, 9, "the can"), scored(13, 0.6, 9, "the axe")]  # fmt: skip
    gallery.add(frame(xyz, 13, rgb=rgb), "optical", answers, [], rows)
    told = [(picture.rank, picture.instruction) for picture in gallery.pictures]
    assert told[:EACH] == [("worst", words) for words in ("the mug", "the box", "the can", "the axe")]
    assert told[EACH:] == [("best", words) for words in ("the mug", "the mug", "the axe", "the can")]
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {picture.file for picture in gallery.pictures}
    gallery.clear()
    assert not list((tmp_path / "pictures").iterdir())
