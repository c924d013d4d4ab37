"""The figures of a record, two records side by side, what is printed of them, and the pictures that are kept."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from replay_runs import frame

from segpoint.errors import SegPointError, printable
from segpoint_replay.gallery import EACH, Gallery
from segpoint_replay.job import Job
from segpoint_replay.measures import Said
from segpoint_replay.record import NOT_ASKED, Answered, Found, FrameTime, Picture, Run, read_run, write_run
from segpoint_replay.summary import compare, pooled, summary
from segpoint_replay.tables import print_comparison, print_run, verdict
from segpoint_replay.tiles import comparing_tiles, tiles
from segpoint_replay.truth import Truth

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
    # Beside the truth's: those of which it is known.
    assert (overall.followed, overall.stability, overall.true_stability) == (1, 0.5, 1.0)
    hammer = whole.instructions["the hammer"]
    assert (hammer.followed, hammer.stability, hammer.true_stability) == (1, 0.0, None)
    assert (overall.located, overall.position_error_p50) == (2, pytest.approx(0.2))
    assert overall.position_error_p95 == pytest.approx(0.29)
    assert list(whole.instructions) == ["the mug", "the hammer", "it"] and whole.kinds == {}
    assert whole.instructions["it"].miou is None and whole.instructions["it"].zero_target_accuracy is None
    assert (whole.timing.clouds, whole.timing.asked, whole.timing.answered) == (5, 4, 3)
    assert (whole.timing.dropped_share, whole.timing.clouds_per_second) == (0.25, 1.5)
    assert whole.timing.timed == 3
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


@pytest.mark.parametrize("what", ["bag", "topic", "labels"])
def test_runs_of_other_things_are_not_compared(what: str) -> None:
    run = run_of([scored(0, 0.5, 9)])
    versions = {"bag": "1", "labels": "1"}
    other = replace(run, topic="/rear") if what == "topic" else replace(run, versions={**versions, what: "2"})
    run = replace(run, versions=versions)
    with pytest.raises(SegPointError, match=f"bag and bag have not the same {what}: replay one of them"):
        compare(run, other)
    assert compare(run, replace(run, versions={"bag": "1"})).paired == 1  # replayed without labels


def test_only_what_both_could_be_measured_by_is_compared() -> None:
    still = {"stability": 0.5, "true_stability": 1.0}
    first = [scored(0, 0.5, 9)] + [scored(number, 0.5, 9, **still, position_error=0.1) for number in (1, 2, 3)]
    second = [scored(0, 0.5, 9), scored(2, 0.5, 9, stability=0.1, true_stability=0.2, position_error=0.3),
              scored(3, 0.5, 9, stability=0.7, true_stability=1.0)]  # fmt: skip
    both = compare(run_of(first), run_of(second))
    assert both.paired == 3
    # Before cloud 2 the first had answered cloud 1, and the second cloud 0.
    assert [(one.overall.followed, one.overall.stability) for one in (both.first, both.second)] == [(1, 0.5), (1, 0.7)]
    errors = [(one.overall.located, one.overall.position_error_p50) for one in (both.first, both.second)]
    assert errors == [(1, pytest.approx(0.1)), (1, pytest.approx(0.3))]


def test_labels_of_one_run_alone_change_no_figure_of_both() -> None:
    masks = [{"stability": 0.2}, {"stability": 0.4}, {"stability": 0.9}]
    first = [scored(0, 1.0, 9), *(scored(number, 1.0, 9, **mask) for number, mask in enumerate(masks, 1))]
    first[2] = replace(first[2], true_stability=1.0)
    second = [replace(row, iou=None, true_points=None, true_stability=None) for row in first]
    both = compare(run_of(first), run_of(second))
    for of in (both.first.overall, both.second.overall):
        assert (of.followed, of.stability, of.true_stability) == (3, 0.5, None)
    told = {tile.name: tile for tile in comparing_tiles(both)}
    assert told["Stability"].over == "3 pairs of answers"
    assert told["Acc@0.5"].over == "A 4, B 0 answers with a target"


def test_a_latency_is_compared_where_both_answered_the_same_questions() -> None:
    texts = ("the mug", "the saw", "the box")
    frames = [time_of(number, questions=3, answers=3, latency=1.0) for number in range(4)]
    first = run_of([scored(number, None, None, text) for number in range(4) for text in texts], frames)
    # Of its second cloud it answered one question, and the last it dropped.
    rows = [row for row in first.answers if row.frame in (0, 2) or (row.frame, row.instruction) == (1, "the mug")]
    frames = [time_of(number, questions=3, answers=3 if number != 1 else 1, latency=0.25) for number in range(3)]
    second = run_of(rows, [*frames, time_of(3, answered=False, why="dropped", latency=None, questions=3)])
    both = compare(first, second)
    timings = both.first.timing, both.second.timing
    assert [(of.timed, of.latency_p50) for of in timings] == [(2, 1.0), (2, 0.25)]
    assert [(of.dropped_share, of.clouds_per_second, of.questions) for of in timings] == [(0, 2.0, 12), (0.25, 1.5, 12)]
    told = {tile.name: tile for tile in comparing_tiles(both)}
    assert told["Latency"].over == "median, 2 clouds with the same questions"
    assert told["Dropped"].over == "A 0 of 4 clouds, 0 of 12 questions; B 1 of 4 clouds, 5 of 12 questions"
    second = replace(second, answers=second.answers[3:4], frames=(first.frames[0], *second.frames[1:]))
    latency = next(tile for tile in comparing_tiles(compare(first, second)) if tile.name == "Latency")
    assert (latency.change, latency.over) == ("", "no cloud was answered the same questions in both")


def test_answers_that_are_the_same_are_no_chance() -> None:
    same = compare(run_of(rows := [scored(number, number / 10, 9) for number in range(10)]), run_of(rows))
    assert same.low == same.high == 0
    assert verdict(same).endswith("10 of them with a target: each of these scores the same in both.")
    assert comparing_tiles(same)[0].over == "10 pairs of answers, which score the same one by one"
    swapped = [scored(number, (9 - number) / 10, 9) for number in range(10)]
    assert "chance may do that" in comparing_tiles(compare(run_of(rows), run_of(swapped)))[0].over


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
    assert "no two consecutive clouds were answered in both" in told and "1 answer with a target" in told
    assert "first 0 of 2 clouds; second 0 of 1 cloud" in told


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


def test_unanswered_questions_stand_beside_the_dropped_clouds() -> None:
    run = run_of([scored(0, 0.5, 9)], [time_of(0, questions=16, answers=1), time_of(1, questions=16, answers=9)])
    of = summary(run)
    dropped = {tile.name: tile for tile in tiles(of.overall, of.timing)}["Dropped"]
    assert (dropped.value, dropped.over) == ("0.0\u202f%", "0 of 2 clouds")
    assert dropped.beside == "22 of 32 questions unanswered"
    dropped = {tile.name: tile for tile in tiles(of.overall, of.timing, complete=False)}["Dropped"]
    assert dropped.over == "0 of 2 clouds until it was stopped"


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
    # To be steady is no merit, and nothing twice no answer to look at.
    nothing = replace(scored(98, None, None, stability=1.0), points=0)
    gallery.add(frame(xyz, 98, rgb=rgb), "optical", [Said("the mug", "", first.mask & False)], [], [nothing])
    assert [(picture.frame, picture.score, picture.rank) for picture in gallery.pictures] == [(99, 0.5, "worst")]
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
    # Of the last two instructions the only answer is the worst and the best: shown once, as what it is.
    assert told[:3] == [("worst", words) for words in ("the mug", "the box", "the can")]
    assert told[3:] == [("best", words) for words in ("the mug", "the mug", "the axe")]
    assert {path.name for path in (tmp_path / "pictures").iterdir()} >= {picture.file for picture in gallery.pictures}
    gallery.clear()
    for number, score in enumerate((0.2, 0.7, 0.9)):
        gallery.add(frame(xyz, number, rgb=rgb), "optical", [first], [], [scored(number, score, 9)])
    # Of so few each would be both.
    told = [(picture.rank, picture.score) for picture in gallery.pictures]
    assert told == [("worst", 0.2), ("best", 0.9), ("best", 0.7)]
    gallery.clear()
    assert not list((tmp_path / "pictures").iterdir())
