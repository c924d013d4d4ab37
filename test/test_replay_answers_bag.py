"""The answers' bag, read by another reader, after an error, and after the process that wrote it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from replay_bags import CLOUD, FRAME, START, STEP, TEXT, TF, Bags

from segpoint.errors import SegPointError
from segpoint.instances import Instance
from segpoint.segmenter import Segmentation
from segpoint_replay.answers_bag import AnswersBag
from segpoint_replay.recording import Choice, Frame, Recording
from segpoint_ros.messages import deserialize
from segpoint_ros.pointcloud2 import points_of
from segpoint_ros.result import Result, make_result
from segpoint_ros.settings import Parameters
from segpoint_ros.tracking import Tracker

MARKERS = "visualization_msgs/msg/MarkerArray"
TOPICS = {
    "/segpoint/output/points": CLOUD,
    "/segpoint/output/markers": MARKERS,
    "/segpoint/output/answer": TEXT,
    "/instruction": TEXT,
}
HERE = (0, 0, 0, 0, 0, 0, 1)


def answer(frame: Frame, *instructions: str) -> Result:
    """The points with the number of the frame and the next one, of each instruction, as the node has its answers."""
    count = frame.message.width
    found = []
    for place in range(len(instructions)):
        indices = np.arange(2) + frame.number + 3 * place
        mask = np.zeros(count, bool)
        mask[indices] = True
        instance = Instance(np.ones(3), np.ones(3), np.array([0.0, 0, 0, 1]), 0.9, indices)
        score = np.where(mask, np.float32(0.9), np.float32(0.1))
        found.append(Segmentation(mask, score, "mug <SEG>.", [instance], {}))
    return make_result(frame.message, "optical", instructions, found, Tracker(), Parameters())


def recorded(path: Path, count: int = 4, points: int = 40) -> Recording:
    """Clouds, and transforms from five seconds before them to five after."""
    bags = Bags("mcap")
    turns = [START + second * 10**9 for second in range(-5, 6)]
    moves = [bags.transforms(("map", "camera", turn, (x, 0, 0, 0, 0, 0, 1))) for x, turn in enumerate(turns)]
    said = [
        ("/tf_static", TF, turns[0], bags.transforms(("camera", FRAME, 0, HERE))),
        *(("/tf", TF, turn, move) for turn, move in zip(turns, moves, strict=True)),
        *bags.clouds(count, points),
    ]
    return Recording.open(bags.write(path, sorted(said, key=lambda one: one[2])))


def test_another_reader_finds_clouds_markers_answers_and_definitions(tmp_path: Path) -> None:
    reading = pytest.importorskip("mcap.reader")
    recording = recorded(tmp_path / "run")
    with AnswersBag(tmp_path / "out" / "answers", recording) as bag:
        for frame in recording.frames():
            bag.write(frame, answer(frame, "the mug", *(["the bowl"] if frame.number > 1 else [])))
    file = tmp_path / "out" / "answers" / "answers.mcap"
    with file.open("rb") as stream:
        reader = reading.make_reader(stream)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        found = [(channel.topic, schema, message) for schema, channel, message in reader.iter_messages()]
    assert summary.statistics.message_count == len(found)
    expected = {**TOPICS, "/tf": TF, "/tf_static": TF}
    assert {channel.topic for channel in summary.channels.values()} == set(expected)
    for topic, schema, _ in found:
        assert (schema.name, schema.encoding) == (expected[topic], "ros2msg")
        assert b"std_msgs/Header" in schema.data or schema.name == TEXT  # what it is made of, too
    times = [START + i * STEP for i in range(4)]
    for topic in list(TOPICS)[:3]:
        assert [message.log_time for name, _, message in found if name == topic] == times
    asked = [(m.log_time, deserialize(m.data, TEXT).data) for name, _, m in found if name == "/instruction"]
    assert asked == [(times[0], "the mug"), (times[2], "the mug\nthe bowl")]
    clouds = [deserialize(m.data, CLOUD) for name, _, m in found if name == "/segpoint/output/points"]
    for number, cloud in enumerate(clouds):
        assert cloud.header.frame_id == FRAME
        assert cloud.header.stamp.sec * 10**9 + cloud.header.stamp.nanosec == times[number]
        labels = points_of(cloud)["label"].ravel()
        assert np.flatnonzero(labels // 1000 == 0).size == 40 - np.count_nonzero(labels) + 2
        assert np.flatnonzero((labels > 0) & (labels // 1000 == 0)).tolist() == [number, number + 1]
        assert np.flatnonzero(labels // 1000 == 1).tolist() == ([number + 3, number + 4] if number > 1 else [])
    for _, _, message in (one for one in found if one[0] == "/segpoint/output/markers"):
        assert len(deserialize(message.data, MARKERS).markers) >= 4


def test_the_transforms_of_that_time_come_along(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "run")
    with AnswersBag(tmp_path / "answers", recording) as bag:
        for frame in recording.frames(Choice(start=5.1)):
            bag.write(frame, answer(frame, "the mug"))
    answers = Recording.open(tmp_path / "answers")
    assert {message.topic for message in answers.transforms} == {"/tf", "/tf_static"}
    received = [message.received for message in answers.transforms]
    assert min(received) > START - 2 * 10**9  # it begins where the clouds do
    assert max(received) < START + 2 * 10**9
    for stamp in answers.stamps:
        np.testing.assert_array_equal(answers.pose(FRAME, stamp), recording.pose(FRAME, stamp))
    metadata = yaml.safe_load((tmp_path / "answers" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    profiles = {
        topic["topic_metadata"]["name"]: topic["topic_metadata"]["offered_qos_profiles"]
        for topic in metadata["topics_with_message_count"]
    }
    assert yaml.safe_load(profiles["/tf_static"])[0]["durability"] == 1  # transient local: RViz may come later
    assert metadata["version"] == 8


def test_clouds_of_ros_1_are_answered_in_ros_2(tmp_path: Path) -> None:
    recording = Recording.open(Bags("bag").write(tmp_path / "run", list(Bags("bag").clouds(2))))
    with AnswersBag(tmp_path / "answers", recording) as bag:
        for frame in recording.frames():
            bag.write(frame, answer(frame, "the mug"))
    answers = Recording.open(tmp_path / "answers")
    assert (answers.topic, answers.stamps) == ("/segpoint/output/points", recording.stamps)
    assert answers.said == ((START, "the mug"),)


def test_after_an_error_the_bag_is_whole(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "run")

    def fail() -> None:
        with AnswersBag(tmp_path / "answers", recording) as bag:
            frame = next(recording.frames())
            bag.write(frame, answer(frame, "the mug"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    answers = Recording.open(tmp_path / "answers")
    assert (answers.count, answers.troubles) == (1, [])


def test_an_earlier_bag_of_answers_goes_and_nothing_else(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "run")
    for count in (3, 2):
        with AnswersBag(tmp_path / "answers", recording) as bag:
            for frame in list(recording.frames())[:count]:
                bag.write(frame, answer(frame, "the mug"))
        assert Recording.open(tmp_path / "answers").count == count
    (tmp_path / "answers" / "notes.txt").write_text("mine")
    with pytest.raises(SegPointError, match=r"holds notes\.txt"), AnswersBag(tmp_path / "answers", recording):
        pass
    assert (tmp_path / "answers" / "answers.mcap").is_file()
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "answers"):
        with pytest.raises(SegPointError, match="cannot be written"), AnswersBag(place, recording):
            pass


CHILD = """
import sys
from pathlib import Path
from test_replay_answers_bag import AnswersBag, Recording, answer
recording = Recording.open(Path(sys.argv[1]))
with AnswersBag(Path(sys.argv[2]), recording) as bag:
    for frame in recording.frames():
        bag.write(frame, answer(frame, "the mug"))
        print(frame.number, flush=True)
        sys.stdin.readline()
"""


def test_a_killed_process_leaves_what_it_has_written(tmp_path: Path) -> None:
    recorded(tmp_path / "run", count=8, points=60_000)
    here = Path(__file__).resolve()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here.parent)])}
    command = [sys.executable, "-c", CHILD, str(tmp_path / "run"), str(tmp_path / "answers")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(6):
            assert child.stdout.readline().strip() == str(number)
            if number < 5:
                child.stdin.write("\n")
                child.stdin.flush()
        child.send_signal(signal.SIGKILL)
    answers = Recording.open(tmp_path / "answers")
    assert [frame.stamp for frame in answers.frames()] == [START + i * STEP for i in range(answers.count)]
    assert answers.count >= 5
    assert any("metadata.yaml" in line for line in answers.troubles)
