"""A bag through the real node over DDS: the figures of the offline way, what it drops, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

import psutil  # noqa: E402
from mini_bag import FRAME_ID, ROWS, TOPIC, mini_cloud, mini_pose, write_mini_bag  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint_replay import live, live_node, offline  # noqa: E402
from segpoint_replay.job import Job  # noqa: E402
from segpoint_replay.live import replay_live  # noqa: E402
from segpoint_replay.player import Player  # noqa: E402
from segpoint_replay.record import DROPPED, Answered, Run, read_run  # noqa: E402
from segpoint_replay.recording import Recording  # noqa: E402
from segpoint_replay.replies import Heard, answers_to, is_about, replies  # noqa: E402
from segpoint_ros import process as processes  # noqa: E402
from segpoint_ros.markers import conversation  # noqa: E402
from segpoint_training.bag_writer import LEAD, START, BagWriter  # noqa: E402

FRAMES = 4
SLOWLY = 0.05  # of 10 Hz: 2 s for the four requests about each cloud
Rows = dict[tuple[int, str], Answered]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labelled clouds at 10 Hz; a sentence is said before each."""
    return write_mini_bag(tmp_path_factory.mktemp("bag"), FRAMES)


@pytest.fixture
def running(ros_environment: dict[str, str], process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> str:
    """The module's node, and this process in its domain."""
    monkeypatch.setenv("ROS_DOMAIN_ID", ros_environment["ROS_DOMAIN_ID"])
    return "/segpoint"


def rows(run: Run) -> Rows:
    return {(row.frame, row.instruction): row for row in run.answers}


def same(ours: Answered, theirs: Answered) -> None:
    """But for bfloat16's rounding: words that were the answer before are checked at once, not one after the other, and
    which clouds the node has answered before is not the same."""
    assert (ours.kind, ours.answer, ours.true_points) == (theirs.kind, theirs.answer, theirs.true_points)
    assert (ours.iou is None, ours.position_error is None) == (theirs.iou is None, theirs.position_error is None)
    assert ours.points == pytest.approx(theirs.points, rel=0.05)
    assert numbers(ours) == pytest.approx(numbers(theirs), abs=0.03)


def numbers(row: Answered) -> list[float]:
    boxes = [value for one in row.found for value in (*one.centre, *one.size, one.score)]
    return [row.iou or 0.0, row.position_error or 0.0, len(row.found), *boxes]


def test_the_figures_are_those_of_the_offline_way(bag: Path, running: str, tmp_path: Path) -> None:
    """Each row of the labels is a request of its own."""
    asked = Job(str(bag), str(tmp_path / "live"), labels=str(bag.parent), way="live", rate=SLOWLY, node=running)
    ours = replay_live(asked, progress=False)
    theirs = offline.replay(replace(asked, out=str(tmp_path / "offline"), way="offline", node=""), progress=False)
    # To the last bit the same whatever this process has answered before.
    again = offline.replay(replace(asked, out=str(tmp_path / "again"), way="offline", node=""), progress=False)
    assert again.answers == theirs.answers
    answered, all_rows = rows(ours), rows(theirs)
    assert len(all_rows) == FRAMES * len(ROWS) and set(answered) <= set(all_rows)
    last = {key for key in all_rows if key[0] == FRAMES - 1}
    assert last <= set(answered)  # the last cloud is waited for, whatever the machine does meanwhile
    for key, row in answered.items():
        same(row, all_rows[key])
    assert ours.complete and rows(read_run(tmp_path / "live")) == answered
    assert (ours.topic, ours.frame_id, ours.axes, ours.backend) == (
        theirs.topic, theirs.frame_id, theirs.axes, theirs.backend,
    )  # fmt: skip
    final = ours.frames[-1]
    assert final.answered and not final.why and final.latency is not None
    assert {"read", "mask", "publish", "total"} <= set(final.seconds)
    assert final.latency > 0.5 * final.seconds["total"]
    assert ours.wall > (FRAMES - 1) * 0.1 / SLOWLY
    written = Recording.open(tmp_path / "live" / "answers")
    assert set(written.stamps) == {frame.stamp for frame in ours.frames if frame.answered}


def test_the_bags_own_words_at_their_times_and_what_is_dropped(bag: Path, running: str, tmp_path: Path) -> None:
    """At 10 Hz and more clouds come faster than answers; none is scored as one to the words before."""
    run = replay_live(Job(str(bag), str(tmp_path / "out"), way="live", rate=4.0, node=running), progress=False)
    due = [text for text, _, _ in ROWS]  # said before cloud 0, 1, …
    assert [frame.number for frame in run.frames] == list(range(FRAMES))
    assert {(row.frame, row.instruction) for row in run.answers} <= set(enumerate(due))
    assert run.frames[-1].answered and run.answers[-1].instruction == due[-1]
    for frame in run.frames:
        assert frame.answered == (not frame.why) == (frame.latency is not None) == (frame.number in {
            row.frame for row in run.answers
        })  # fmt: skip
        assert frame.why in ("", DROPPED)
    assert run.wall < 60


def test_a_node_that_dies_half_way(bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is started here, and killed when the third cloud is due and the first ones are answered."""
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    shown: list[float] = []
    show = Player.show

    def show_and_kill(player: Player, cloud: object) -> float:
        if len(shown) == 2:
            assert player.wait(
                lambda: any(is_about(one, ("the green box",)) for one in player.replies()), shown[0] + 60
            )
            nodes = [child for child in psutil.Process().children() if "segpoint_ros" in child.cmdline()]
            node = max(nodes, key=lambda child: child.create_time())  # the module's may be there, too
            os.kill(node.pid, signal.SIGKILL)
            os.waitid(os.P_PID, node.pid, os.WEXITED | os.WNOWAIT)  # how it ended is still there for its Popen
        shown.append(show(player, cloud))
        return shown[-1]

    monkeypatch.setattr(Player, "show", show_and_kill)
    out = tmp_path / "out"
    job = Job(str(bag), str(out), instructions=("the green box",), parameters=(("mask.threshold", 0.5),), way="live")
    with pytest.raises(SegPointError, match=r"the node has ended with -9; .*node\.log ends: .*\[segpoint\]: "):
        replay_live(job, progress=False)
    run = read_run(out)
    assert not run.complete and any(frame.answered for frame in run.frames)
    assert [frame.why for frame in run.frames[2:]] == [DROPPED, live.NOT_SENT]
    assert run.answers and (out / "report.html").is_file() and Recording.open(out / "answers").count
    assert "ROS_DOMAIN_ID" not in os.environ


def test_a_node_that_is_not_there(bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(processes.free_domain()))
    monkeypatch.setattr(live_node, "FOUND_WITHIN", 1.0)
    job = Job(str(bag), str(tmp_path / "out"), instructions=("the box",), way="live", node="/arm/segpoint")
    with pytest.raises(SegPointError, match=r"no node /arm/segpoint was heard of for 1 s: has it another name"):
        replay_live(job, progress=False)
    assert not (tmp_path / "out" / "run.json").exists()


def test_another_node_of_the_name_is_never_taken_for_ours(bag: Path, running: str, tmp_path: Path) -> None:
    job = Job(str(bag), str(tmp_path / "out"), instructions=("the box",), way="live")
    domain = os.environ["ROS_DOMAIN_ID"]
    with pytest.raises(
        SegPointError, match=f"a node /segpoint runs already in ROS domain {domain}: .*--node /segpoint"
    ):
        replay_live(job, progress=False)
    assert not (tmp_path / "out" / "run.json").exists()
    with Player(running, tmp_path) as ours, Player("/other", tmp_path) as theirs:
        ours.connect(lambda: None, 60, 60)
        topic = ours._listeners[0].topic_name
        theirs._node.create_publisher(PointCloud2, topic, 1)
        until = time.monotonic() + 20
        with pytest.raises(SegPointError, match=f"somebody else publishes to {topic}, too: end the other node"):
            while time.monotonic() < until:
                ours.check_alone()


def test_a_clock_that_was_set_is_told(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        for number, at in enumerate((0, 10**8, 4 * 3600 * 10**9)):
            writer.cloud(TOPIC, START + LEAD + at, FRAME_ID, mini_cloud(mini_pose(number, 3)))
    job = Job(str(tmp_path / "bag"), str(tmp_path / "out"), instructions=("the box",), way="live")
    with pytest.raises(SegPointError, match="cloud 2 came 4 hours after the one before: choose clouds with --start"):
        replay_live(job, progress=False)


def test_a_node_that_cannot_work(bag: Path, tmp_path: Path) -> None:
    job = Job(str(bag), str(tmp_path / "out"), instructions=("the box",), way="live")
    job = replace(job, parameters=(("model.backend", "tensorrt"), ("model.device", "cpu")))
    with pytest.raises(SegPointError, match=r"the node cannot work: .*tensorrt"):
        replay_live(job, progress=False)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"node": "/segpoint", "bundle": "models/mine"}, "runs already, with its own bundle and parameters"),
        ({"parameters": (("input.max_age", 2.0),)}, r"input\.max_age would have every cloud of a bag left out"),
        ({"rate": 0.0}, "rate must be a number above 0, not 0"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_starts(bag: Path, tmp_path: Path, given: dict, error: str) -> None:
    with pytest.raises(SegPointError, match=error):
        replay_live(Job(str(bag), str(tmp_path), instructions=("the box",), way="live", **given), progress=False)


# --- which message belongs to which question ------------------------------------------------------------------------


def result(began: int, stamp: int, asked: Sequence[str], answers: Sequence[str], lost: str = "") -> list[Heard]:
    """What the node publishes of a result from a time on, but for what is lost."""
    text = conversation(asked, answers)
    messages = [
        Heard("points", began, 1.0, (began, 10), stamp),
        Heard("markers", began + 1, 3.0, text, stamp, SimpleNamespace(markers=[])),  # type: ignore[arg-type]
        Heard("answer", began + 2, 2.0, "\n".join(answers)),
        Heard("total", began + 3, 4.0, 0.25),
    ]
    return [one for one in messages if one.topic != lost]


def test_messages_are_put_together_by_when_they_were_published() -> None:
    heard = result(0, 7, ["the mug"], ["mug."]) + result(100, 7, ["the box"], ["box."])
    for order in (heard, heard[::-1], sorted(heard, key=lambda one: one.topic)):
        first, second = replies(order)
        assert (first.points, first.answer, second.points, second.answer) == ((0, 10), "mug.", (100, 10), "box.")
        assert first.received == 3.0 and first.seconds == {"total": 0.25}
        ((request, found),) = answers_to([("the box",), ("the bowl",)], replies(order))
        assert request == ("the box",) and found.points == (100, 10)  # never the cloud labelled for the mug


@pytest.mark.parametrize("lost", ["points", "markers", "answer"])
def test_a_result_of_which_a_part_is_lost_is_none(lost: str) -> None:
    before, after = result(0, 7, ["the mug"], ["mug."]), result(200, 7, ["the mug"], ["cup."])
    found = replies(before + result(100, 7, ["the box"], ["box."], lost) + after)
    assert [(one.points[0], one.answer) for one in found] == [(0, "mug."), (200, "cup.")]
    # Even where nothing stands between its rest and the next one's.
    assert [one.answer for one in replies(result(0, 7, ["a"], ["a."], lost) + result(9, 7, ["b"], ["b."]))] == ["b."]


def test_an_answer_is_told_by_all_its_words() -> None:
    asked = ("the mug", "a very long request " * 9)
    (reply,) = replies(result(0, 7, asked, ["mug: blue.", "There is no mask."]))
    assert is_about(reply, asked)
    assert not is_about(reply, asked[::-1]) and not is_about(reply, asked[:1])
    assert not is_about(reply, ("the mug: blue", asked[1]))


def test_requests_that_the_markers_cannot_tell_apart(running: str, tmp_path: Path) -> None:
    start = "the thing that stands on the table between the other things there, as far as I see: "
    with BagWriter(tmp_path / "bag") as writer:
        for number, end in enumerate(("the ball", "the box")):
            stamp = START + LEAD + number * 10**8
            writer.say(stamp - 1000, start + end)
            writer.cloud(TOPIC, stamp, FRAME_ID, mini_cloud(mini_pose(number, 2)))
    with pytest.raises(SegPointError, match="look alike in the node's markers"):
        replay_live(Job(str(tmp_path / "bag"), str(tmp_path / "out"), way="live", node=running), progress=False)
    assert not read_run(tmp_path / "out").complete


# --- the node's process ---------------------------------------------------------------------------------------------


def test_a_graph_of_its_own_leaves_the_users_settings() -> None:
    made = processes.graph_of_its_own({"HOME": "/home/me"})
    assert made["HOME"] == "/home/me" and 0 < int(made["ROS_DOMAIN_ID"]) < 100
    assert Path(made[processes.PROFILE]).name == "fastdds_loopback.xml"
    mine = {"ROS_DOMAIN_ID": "7", processes.PROFILE: "/mine.xml"}
    assert processes.graph_of_its_own(mine) == mine
    assert processes.graph_of_its_own({"ROS_DOMAIN_ID": ""})["ROS_DOMAIN_ID"]


def test_the_last_words_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"first\nMemoryError: \xff 3 GB\n\n  \n")
    assert processes.last_words(log) == "MemoryError: \N{REPLACEMENT CHARACTER} 3 GB"
    log.write_text("")
    assert processes.last_words(log) == "nothing"
