"""A bag replayed offline, with a segmenter that finds colours: its figures, what is left on the disk, and no ROS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colour_segmenter import ColourSegmenter, use
from mini_bag import ROWS, TOPIC, write_mini_bag
from PIL import Image

from segpoint.errors import DeviceLost, SegPointError
from segpoint_replay.job import Job
from segpoint_replay.offline import replay
from segpoint_replay.record import NOT_ASKED, UNREADABLE, read_run
from segpoint_replay.recorder import finished
from segpoint_replay.recording import Recording
from segpoint_replay.summary import summary
from segpoint_replay.versions import versions
from segpoint_ros.pointcloud2 import read_cloud
from segpoint_training.answers import evaluate
from segpoint_training.bag_writer import START, BagWriter, cloud_points
from segpoint_training.labelled import folder_set

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


def test_the_figures_are_those_of_evaluate(bag, job, segmenter) -> None:
    run = replay(job, progress=False)
    assert read_run(job.out) == replace(run, job=json.loads(json.dumps(run.job)))
    assert (run.topic, run.axes, run.backend, run.complete, run.troubles) == (TOPIC, "optical", "colours", True, ())
    # Two of them mean the box, and each gets its points: it is asked alone.
    assert segmenter.calls == [(BALL,), (GREEN,), (BOTH,), (HAMMER,)] * 4
    whole = summary(run)
    scores = evaluate(ColourSegmenter(), folder_set(bag.parent)).to_dict()["measures"]
    assert whole.overall.miou == pytest.approx(scores["with target"]["miou"])
    assert whole.overall.zero_target_accuracy == scores["zero-target"]["miou"] == 1.0
    assert whole.kinds["category"].acc50 == pytest.approx(scores["category"]["acc50"])
    # By hand: each is found whole.
    assert whole.instructions[BALL].miou == whole.instructions[GREEN].miou == whole.instructions[BOTH].miou == 1.0
    assert whole.overall.position_error_p95 == pytest.approx(0, abs=0.02)
    assert whole.overall.followed == 12 and whole.overall.stability == whole.overall.true_stability
    assert whole.timing.answered == 4 and whole.timing.dropped_share == 0
    assert run.wall > 0 and all(frame.latency and frame.seconds["read"] > 0 for frame in run.frames)


def test_too_much_is_counted_and_drawn(bag, job, segmenter) -> None:
    """Asked for "the box" the stand-in marks box and can; the truth of these words is the box."""
    rows = json.loads((bag.parent / "instructions.json").read_text())
    for row in rows["instructions"]:
        row["instruction"] = row["instruction"].replace("the green box", "the box")
    labels = Path(job.out).parent / "labels"
    labels.mkdir()
    (labels / "instructions.json").write_text(json.dumps(rows))
    (labels / bag.name).symlink_to(bag)
    run = replay(replace(job, labels=str(labels)), progress=False)
    first = next(row for row in run.answers if row.instruction == "the box")
    frame = next(iter(Recording.open(bag).frames()))
    label = _labels(frame.message)
    assert first.iou == pytest.approx((label == 3).sum() / np.isin(label, (3, 4)).sum())
    assert (first.true_points, first.points) == ((label == 3).sum(), np.isin(label, (3, 4)).sum())
    assert len(first.found) == 2 and first.position_error is not None and first.position_error < 0.02
    worst = run.pictures[0]
    assert (worst.rank, worst.instruction) == ("worst", "the box")
    with Image.open(Path(job.out) / "pictures" / worst.file) as picture:
        assert picture.width == 1080


def _labels(message) -> np.ndarray:
    from segpoint_ros.pointcloud2 import points_of

    return points_of(message)["label"].ravel()


def test_what_lies_beside_the_record(job, segmenter) -> None:
    replay(job, progress=False)
    out = Path(job.out)
    answers = Recording.open(out / "answers", "/segpoint/output/points")
    assert answers.count == 4 and not answers.troubles
    label = _labels(next(iter(answers.frames())).message)
    assert set(np.unique(label)) == {0, 1, 1001, 2002}
    report = (out / "report.html").read_text()
    assert BALL in report and "</html>" in report
    again = replay(job, progress=False)  # in place of the one before
    assert again.complete and not again.troubles
    (out / "answers" / "mine.txt").write_text("")
    (out / "run.json").unlink()
    with pytest.raises(SegPointError, match="is not of `segpoint replay` and stays"):
        replay(job, progress=False)
    assert (out / "answers" / "mine.txt").exists()


def test_labels_that_do_not_fit_are_told(job, segmenter, tmp_path) -> None:
    unasked = replay(replace(job, instructions=("the box",)), progress=False)
    assert any("none of what was asked stands in the labels" in line and BALL in line for line in unasked.troubles)
    other = write_mini_bag(tmp_path / "other", frames=4, size=(40, 30))
    with pytest.raises(SegPointError, match="no cloud's labels can be used; the first: .* points and the bag's cloud"):
        replay(replace(job, labels=str(other.parent)), progress=False)


def test_changed_labels_are_noticed_wherever_they_changed(job, segmenter) -> None:
    before = versions(job)["labels"]
    [stored] = (Path(job.labels) / "scene").glob("*.mcap")
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    whole = stored.read_bytes()
    try:
        stored.write_bytes(bytes(content))
        assert versions(job)["labels"] != before
    finally:
        stored.write_bytes(whole)


def test_the_bags_own_words_are_asked_when_they_were_said(bag, job, segmenter) -> None:
    run = replay(replace(job, labels=""), progress=False)
    assert segmenter.calls == [(text,) for text, _, _ in ROWS]
    assert [row.iou for row in run.answers] == [None] * 4 and summary(run).overall.miou is None
    assert run.pictures == ()


def test_words_of_the_command_line_and_parameters(bag, job, segmenter) -> None:
    few = replace(job, instructions=(GREEN, "the can"), every=2, parameters=(("clusters.max_points", 5),))
    run = replay(few, progress=False)
    assert [frame.number for frame in run.frames] == [0, 2]
    assert segmenter.calls == [(GREEN, "the can")] * 2
    assert segmenter.config.cluster_points  # the bundle's own
    assert max(row.points for row in run.answers) <= 5  # crumbs beside the things, which are larger
    assert [row.iou is None for row in run.answers] == [False, True] * 2  # of "the can" alone nobody said what it is
    silent = replay(replace(job, labels="", parameters=(("instruction", BALL),), instruction_topic=""), progress=False)
    assert [row.instruction for row in silent.answers][0] == BALL
    many = tuple(f"the red thing {number}" for number in range(33))
    replay(replace(job, instructions=many, every=4), progress=False)
    assert [len(call) for call in segmenter.calls[-2:]] == [32, 1]


def test_a_cloud_that_cannot_be_answered_costs_only_itself(job, segmenter) -> None:
    one = replace(job, instructions=(BALL,))
    segmenter.fail = {1: SegPointError("no scene"), 2: MemoryError("full")}
    run = replay(one, progress=False)
    assert [frame.why for frame in run.frames] == ["", "no scene", "MemoryError: full", ""]
    assert [frame.answered for frame in run.frames] == [True, False, False, True]
    assert summary(run).timing.dropped_share == 0.5 and run.complete
    assert run.answers[1].stability == 1.0  # the ball stands still: against the last cloud that was answered
    segmenter.calls.clear()
    segmenter.fail = {1: DeviceLost("the GPU is gone")}
    with pytest.raises(DeviceLost):
        replay(one, progress=False)
    kept = read_run(job.out)
    assert len(kept.frames) == 1 and not kept.complete


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"bag": "nowhere"}, "nowhere"),
        ({"topic": "/none"}, "/none"),
        ({"start": 100.0}, "no cloud on"),
        ({"bundle": "nowhere"}, "nowhere cannot be read"),
        ({"labels": "", "instruction_topic": "/none"}, "/none"),
        ({"parameters": (("mask.treshold", 0.5),)}, "did you mean mask.threshold"),
        ({"parameters": (("mask.threshold", 2.0),)}, "mask.threshold is 2.0"),
        ({"parameters": (("model.bundle", "x"),)}, "--bundle"),
        ({"parameters": (("build_only", True),)}, "build_only"),
    ],
)
def test_a_job_that_cannot_be_done(job, segmenter, changes, complaint) -> None:
    with pytest.raises(SegPointError, match=complaint):
        replay(replace(job, **changes), progress=False)
    assert not segmenter.calls


def test_clouds_before_the_first_words_are_not_dropped(tmp_path, segmenter) -> None:
    quiet = write_mini_bag(tmp_path / "quiet", instructions=False)
    labels = tmp_path / "quiet" / "instructions.json"
    rows = json.loads(labels.read_text())
    rows["instructions"] = [{**row, "every": None, "index": 2} for row in rows["instructions"][:1]]
    for row in rows["instructions"]:
        del row["every"]
    labels.write_text(json.dumps(rows))
    run = replay(Job(str(quiet), str(tmp_path / "out"), labels=str(labels.parent)), progress=False)
    assert [frame.why for frame in run.frames] == [NOT_ASKED, NOT_ASKED, "", NOT_ASKED]
    assert summary(run).timing.dropped_share == 0 and len(segmenter.calls) == 1


WITHOUT_ROS = """
import sys
from importlib.abc import MetaPathFinder

ROS = ("rclpy", "rcl_interfaces", "sensor_msgs", "std_msgs", "geometry_msgs", "visualization_msgs", "diagnostic_msgs",
       "builtin_interfaces", "tf2_msgs", "tf2_ros", "lifecycle_msgs", "ament_index_python", "rpyutils")

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ROS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from colour_segmenter import ColourSegmenter
from segpoint.segmenter import Segmenter
Segmenter.from_bundle = classmethod(lambda cls, *arguments: ColourSegmenter())
from segpoint.cli import main
code = main(sys.argv[1:])
assert not [name for name in sys.modules if name.partition(".")[0] in ROS]
sys.exit(code)
"""


def test_it_works_where_ros_is_not_installed(bag, job, segmenter, tmp_path, repository) -> None:
    arguments = ["replay", str(bag), "--labels", job.labels, "--out", str(tmp_path / "bare"), "--json"]
    path = os.pathsep.join([str(repository), str(repository / "test"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROS, *arguments],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [told] = json.loads(done.stdout)["runs"]
    ours, theirs = replay(job, progress=False), read_run(told["record"])
    assert theirs.answers == ours.answers
    assert told["summary"]["overall"] == summary(ours).to_dict()["overall"]
    [(_, message, _)] = list(_first_raw(tmp_path / "bare" / bag.name / "answers"))
    [(_, same, _)] = list(_first_raw(Path(job.out) / "answers"))
    assert message == same  # the published cloud, to the byte


def _first_raw(answers: Path):
    from rosbags.rosbag2 import Reader

    with Reader(answers) as reader:
        connections = [each for each in reader.connections if each.topic == "/segpoint/output/points"]
        for _, stamp, content in reader.messages(connections):
            yield stamp, bytes(content), None
            return


def test_the_reading_of_a_cloud_is_the_nodes(bag) -> None:
    frame = next(iter(Recording.open(bag).frames()))
    assert read_cloud(frame.message, copy=False).xyz.shape == (80 * 60, 3)


def test_a_cloud_that_cannot_be_read_is_one_without_an_answer(bag, job, segmenter, tmp_path) -> None:
    from rosbags.rosbag2 import Reader, StoragePlugin, Writer

    cut = {1, 2}
    copy = tmp_path / "bags" / "scene"
    with Reader(bag) as reader, Writer(copy, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        numbers = iter(range(4))
        kinds = {one.topic: one for one in reader.connections}
        topics = {
            name: writer.add_connection(name, one.msgtype, msgdef=one.msgdef.data, rihs01=one.digest)
            for name, one in kinds.items()
        }
        for one, received, content in reader.messages():
            short = one.topic == TOPIC and next(numbers) in cut
            writer.write(topics[one.topic], received, content[:500] if short else content)
    run = replay(replace(job, bag=str(copy), labels="", instructions=(BALL,)), progress=False)
    assert [(frame.number, frame.answered, frame.why) for frame in run.frames] == [
        (0, True, ""), (1, False, UNREADABLE), (2, False, UNREADABLE), (3, True, ""),
    ]  # fmt: skip
    timing = summary(run).timing
    assert (timing.clouds, timing.asked, timing.answered, timing.dropped_share) == (4, 4, 2, 0.5)
    assert sum("cannot be read" in line for line in run.troubles) == 2 and read_run(job.out).frames == run.frames
    rows = json.loads((bag.parent / "instructions.json").read_text())
    rows["instructions"] = [{**rows["instructions"][0], "index": number} for number in (0, 1)]
    for row in rows["instructions"]:
        del row["every"]
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "instructions.json").write_text(json.dumps(rows))
    (labels / bag.name).symlink_to(bag)
    out = str(tmp_path / "labelled")
    run = replay(replace(job, bag=str(copy), labels=str(labels), out=out), progress=False)
    assert [frame.why for frame in run.frames] == ["", UNREADABLE, NOT_ASKED, NOT_ASKED]
    assert summary(run).timing.dropped_share == 0.5


def ball_bag(path: Path, transforms: Sequence[dict[tuple[str, str], np.ndarray]], stray: float = 0.2) -> Path:
    """A red ball in a grey cloud, one cloud a second and what of the transforms holds then; one ball's point is off."""
    draw = np.random.default_rng(0)
    xyz = draw.uniform((-0.5, -0.5, 1), (0.5, 0.5, 1.3), (3000, 3))
    red = np.abs(xyz[:, 0]) < 0.1
    xyz[np.flatnonzero(red)[0], 0] = stray
    rgb = np.where(red[:, None], (200, 30, 30), (90, 90, 90)).astype(np.uint8)
    with BagWriter(path) as bag:
        for number, poses in enumerate(transforms):
            if poses:
                bag.transforms(START + number * 10**9, poses)
            bag.cloud(TOPIC, START + number * 10**9, "camera", cloud_points(xyz.astype(np.float32), rgb, None, 3000, 1))
    return path


def test_clouds_before_the_first_localisation_have_no_stability(job, segmenter, tmp_path) -> None:
    here = np.eye(4)
    poses = [{("odom", "camera"): here, **({("map", "odom"): here} if number >= 2 else {})} for number in range(5)]
    late = ball_bag(tmp_path / "late", poses)
    run = replay(replace(job, bag=str(late), labels="", instructions=(BALL,)), progress=False)
    assert [row.stability for row in run.answers] == [None, None, None, 1.0, 1.0]
    [told] = run.troubles
    assert "frame camera" in told and "2 of 5 answered clouds" in told
    without = replace(job, bag=str(ball_bag(tmp_path / "none", [{}] * 3)), labels="", out=str(tmp_path / "no"))
    run = replay(replace(without, instructions=(BALL,)), progress=False)
    assert [row.stability for row in run.answers] == [None, 1.0, 1.0] and not run.troubles


@pytest.mark.parametrize("stray", [1e30, -1e30, 3e38])
def test_a_point_at_the_end_of_the_world_costs_only_itself(job, segmenter, tmp_path, stray) -> None:
    odd = ball_bag(tmp_path / "odd", [{}] * 2, stray)
    run = replay(replace(job, bag=str(odd), labels="", instructions=(BALL,)), progress=False)
    assert [frame.why for frame in run.frames] == ["", ""] and run.answers[1].stability == 1.0
    found = run.answers[0].found
    near = [one for one in found if np.linalg.norm(one.centre) < 2 and max(one.size) < 2]
    assert len(near) == len(found) - 1 and sum(one.points for one in near) == run.answers[0].points - 1


def test_names_that_are_not_utf_8(bag, job, segmenter, tmp_path) -> None:
    odd = os.fsdecode(bytes(tmp_path) + b"/run\xff")
    Path(odd).symlink_to(bag)
    own = replace(job, bag=odd, labels="", instructions=(BALL,), out=os.fsdecode(bytes(tmp_path) + b"/out\xff"))
    run = replay(own, progress=False)
    assert read_run(own.out).job["bag"] == odd and finished(own, versions(own)) is not None
    assert "run?" in (Path(own.out) / "report.html").read_text() and run.complete
