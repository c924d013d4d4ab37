"""What replays leave in their folder: whose it is, what is kept, when a bag is finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from colour_segmenter import ColourSegmenter, use
from filelock import FileLock
from mini_bag import ROWS, write_mini_bag

from segpoint.errors import SegPointError
from segpoint_replay.job import Job
from segpoint_replay.offline import replay
from segpoint_replay.questions import Questions
from segpoint_replay.record import PREVIOUS, FrameTime, read_run
from segpoint_replay.recorder import LOCK, Recorder, check_output, finished
from segpoint_replay.recording import Recording
from segpoint_replay.summary import compare
from segpoint_replay.versions import versions

BALL, GREEN, BOTH, HAMMER = (row[0] for row in ROWS)


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return write_mini_bag(tmp_path_factory.mktemp("bag"), frames=4)


@pytest.fixture
def segmenter(monkeypatch) -> ColourSegmenter:
    return use(monkeypatch, ColourSegmenter())


@pytest.fixture
def job(bag, tmp_path) -> Job:
    return Job(str(bag), str(tmp_path / "out"), labels=str(bag.parent))


def test_another_bags_results_stay(job, segmenter, tmp_path) -> None:
    replay(job, progress=False)
    with pytest.raises(SegPointError, match="holds the offline replay of this bag, which stays"):
        check_output(replace(job, way="live"))
    with FileLock(Path(job.out) / LOCK), pytest.raises(SegPointError, match="another replay writes to"):
        replay(job, progress=False)
    other = replace(job, bag=str(write_mini_bag(tmp_path / "other", frames=2)), labels=str(tmp_path / "other"))
    with pytest.raises(SegPointError, match="holds the replay of another bag, .* and stays"):
        replay(other, progress=False)
    assert len(read_run(job.out).frames) == 4 and not (Path(job.out) / PREVIOUS).exists()


def test_what_was_finished_before_is_kept(job, segmenter) -> None:
    out, last = Path(job.out), Path(job.out) / PREVIOUS
    first = replay(job, progress=False)
    segmenter.fail = {len(segmenter.calls) + 1: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        replay(replace(job, instructions=(BALL,)), progress=False)
    assert len(read_run(out).frames) == 1 and read_run(last).answers == first.answers
    second = replay(replace(job, instructions=(GREEN,)), progress=False)
    assert read_run(last).answers == first.answers  # what was stopped is not kept
    assert compare(read_run(last), second).paired == 4
    assert {path.name for path in last.iterdir()} == {"run.json", "report.html", "answers", "pictures"}
    assert Recording.open(last / "answers").count == 4
    replay(replace(job, instructions=(BALL,)), progress=False)
    assert read_run(last).answers == second.answers


def test_ctrl_c_keeps_what_was_answered(job, segmenter) -> None:
    segmenter.fail = {9: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        replay(job, progress=False)
    kept = read_run(job.out)
    assert not kept.complete and [frame.number for frame in kept.frames] == [0, 1] and len(kept.answers) == 8
    assert "</html>" in (Path(job.out) / "report.html").read_text()
    assert Recording.open(Path(job.out) / "answers", "/segpoint/output/points").count >= 2
    assert finished(job, versions(job)) is None


def test_a_finished_bag_is_known_by_its_job_and_what_made_it(job, segmenter) -> None:
    made = versions(job)
    assert finished(job, made) is None
    coloured = replace(job, parameters=(("output.highlight_color", (1, 2, 3)),))
    run = replay(coloured, progress=False)
    assert finished(coloured, made).answers == run.answers
    assert finished(job, made) is None
    for part in ("report.html", "answers/answers.mcap", f"pictures/{run.pictures[0].file}"):
        (Path(job.out) / part).rename(Path(job.out) / "moved")
        assert finished(coloured, made) is None
        (Path(job.out) / "moved").rename(Path(job.out) / part)
    assert finished(coloured, {**made, "bag": "another"}) is None
    assert set(made) >= {"segpoint", "commit", "bundle_sha256", "torch", "numpy", "onnxruntime", "rosbags", "processor"}
    labels = Path(job.labels) / "instructions.json"
    before = labels.read_text()
    labels.write_text(before + " ")
    assert versions(job)["labels"] != made["labels"] and versions(job)["bag"] == made["bag"]
    labels.write_text(before)


def test_the_first_record_of_a_killed_replay_is_soon_there(job, segmenter, monkeypatch) -> None:
    now = {"it": 0.0}
    monkeypatch.setattr("segpoint_replay.recorder.time.perf_counter", lambda: now["it"])
    written = []
    monkeypatch.setattr("segpoint_replay.recorder.write_run", lambda run, path: written.append(now["it"]))
    recording = Recording.open(job.bag)
    recorder = Recorder(job, recording, Questions(job, recording, None, BALL), {}, "")
    recorder.__enter__()
    frame = next(iter(recording.frames()))
    for now["it"] in range(1, 301):
        recorder.add(FrameTime(0, 0, 0.0, 0, answered=False), frame, "optical")
    assert written == [0, 6, 13, 27, 55, 111, 172, 233, 294]
