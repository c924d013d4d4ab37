"""A bag replayed through the real node: published over DDS in real time, with what the node drops and its latency.

Time is the bag's: clouds are published as far apart as they were recorded, ``rate`` times as fast, and keep their
header's stamps, which the node copies to what it publishes. There is no /clock, and use_sim_time stays false: the node
takes clouds as they come and asks the time only to say how old they are and how long a click stands, and a /clock that
ticks more coarsely than clouds come would itself decide what is outdated.

An answer counts as one to a question only where its markers quote that question's words (`replies`). So what the node
says meanwhile about the cloud before, which it is asked about again whenever the words change, scores nothing. Where
the question changes with the cloud, as labels may want it, nothing is asked while the cloud is on its way: the node
would begin with the new question and the old cloud.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from segpoint.errors import SegPointError
from segpoint_replay.answers_bag import AnswersBag
from segpoint_replay.job import Job
from segpoint_replay.live_node import connected
from segpoint_replay.measures import said
from segpoint_replay.offline import joined, settings_of
from segpoint_replay.questions import Questions
from segpoint_replay.record import ANSWERS, DROPPED, NOT_ASKED, PARTLY, FrameTime, Run
from segpoint_replay.recorder import Recorder, check_output, claimed
from segpoint_replay.recording import Choice, Frame, Recording
from segpoint_replay.replies import Reply, Request, answers_to, is_about, result_of
from segpoint_replay.truth import Labels
from segpoint_replay.versions import versions
from segpoint_ros.answering import frame_of
from segpoint_ros.markers import conversation
from segpoint_ros.request import split_instructions

if TYPE_CHECKING:
    from segpoint_replay.player import Player
    from segpoint_ros.settings import Parameters

ANSWERS_WITHIN = 60.0  # the last cloud
TIMED_WITHIN = 1.0  # after its answer
LOST_AFTER = 20.0  # seconds without a status, of which a node sends one a second
LANDS_WITHIN = 0.05  # seconds from publishing a large cloud until the node has it
LONGEST_WAIT = 1.0  # hours between two clouds
LATE = 0.1  # seconds after its time that a cloud may be published without a word about it
NOT_SENT = "the replay ended before"

T = TypeVar("T")


@dataclass
class Sent:
    """A cloud that was published.   stamp: nanoseconds, as it was sent.   shown: when, and asked: when each request was
    since, time.monotonic()."""

    stamp: int
    shown: float
    asked: dict[Request, float] = field(default_factory=dict)


def replay_live(job: Job, progress: bool = True) -> Run:
    """Publish a bag's clouds to the node and write what it answers, as `offline.replay` does, into ``job.out``.

    The node is a process of its own with the job's parameters, in a ROS domain of its own unless ROS_DOMAIN_ID is set;
    its log is beside the record. Or it is ``job.node``, which runs already, with parameters and a bundle of its own.
    DDS reads the process's environment once: this sets the transport's profile in it where none is set.

    Raises SegPointError where `offline.replay` does, without rclpy, and where the node cannot be reached or dies; what
    was answered until then is in ``job.out``.
    """
    _check(job)
    settings = settings_of(job)
    recording = Recording.open(Path(job.bag), job.topic, job.instruction_topic)
    labels = Labels.open(Path(job.labels), recording) if job.labels else None
    questions = Questions(job, recording, labels, settings.instruction)
    due = recording.chosen(Choice(job.start, job.duration, job.every))
    if labels is not None and not job.instructions:
        labels.check_due(due)
    _check_times(recording, due, job.rate)
    made = versions(job)
    with connected(job) as (player, check):
        if job.node:
            made = {**made, "bundle": player.diagnostics.get("model", ""), "bundle_sha256": "not known"}
        recorder = Recorder(job, recording, questions, made, player.diagnostics.get("backend", ""))
        replay = _Replay(job, recording, questions, settings, player, check)
        with claimed(job), AnswersBag(Path(job.out) / ANSWERS, recording) as bag, recorder:
            failure = replay.play(progress)
            player.leave()
            replay.score(recorder, bag)
            if failure is not None:
                raise failure
    return recorder.run(complete=True)


def _check(job: Job) -> None:
    """Raise SegPointError for what makes no sense live, before anything is started."""
    from importlib.util import find_spec

    if find_spec("rclpy") is None:
        raise SegPointError("--live needs ROS 2: source it, or pip install 'segpoint_ros[ros]'; or leave --live out")
    if not 0 < job.rate < float("inf"):
        raise SegPointError(f"rate must be a number above 0, not {job.rate}")
    if job.node and (job.bundle or job.parameters):
        raise SegPointError(f"{job.node} runs already, with its own bundle and parameters: leave them out, or --node")
    if dict(job.parameters).get("input.max_age"):
        raise SegPointError("input.max_age would have every cloud of a bag left out, for all are old: leave it out")
    check_output(job)
    Path(job.out).mkdir(parents=True, exist_ok=True)


def _check_times(recording: Recording, due: Sequence[int], rate: float) -> None:
    """Raise SegPointError where the next cloud would not come today, as after a recorder's clock was set."""
    for number, following in zip(due, due[1:], strict=False):
        hours = (recording.received[following] - recording.received[number]) / rate / 3.6e12
        if hours > LONGEST_WAIT:
            raise SegPointError(
                f"{recording.path}: by the bag's times cloud {following} came {hours:.0f} hours after the one before: "
                "choose clouds with --start and --duration, or leave --live out"
            )


class _Replay:
    """One bag and one node that is listening.   check: raises once the node has ended."""

    def __init__(
        self,
        job: Job,
        recording: Recording,
        questions: Questions,
        settings: Parameters,
        player: Player,
        check: Callable[[], None],
    ) -> None:
        self._job, self._recording, self._questions, self._settings = job, recording, questions, settings
        self._player, self._check_node = player, check
        self._choice = Choice(job.start, job.duration, job.every)
        # What is asked at this moment; of a node that ran before it is not known.
        self._standing: Request | None = None if job.node else split_instructions(settings.instruction)
        # The bag's own words come at their own times; with labels or instructions of the job they are not heard.
        self._words = deque(() if job.instructions or job.labels else recording.said)
        self._sent: dict[int, Sent] = {}  # by the frame's number
        self._stamps: set[int] = set()
        self._quoted: dict[str, Request] = {}  # by what markers show of it
        self._start: tuple[float, float] | None = None  # of the first cloud: time.monotonic(), and Frame.at
        self._late: list[float] = []

    # In real time

    def play(self, progress: bool) -> BaseException | None:
        """Publish all clouds and wait for the last answer. Returns what ended it early: what was answered counts."""
        from tqdm import tqdm

        troubles = list(self._recording.troubles)
        total = len(self._recording.chosen(self._choice))
        bar = tqdm(desc=Path(self._job.bag).name, unit=" clouds", total=total, disable=None if progress else True)
        try:
            with bar, closing(_ahead(self._with_requests())) as ahead:
                for (frame, requests), following in _with_next(ahead):
                    self._start = self._start or (time.monotonic(), frame.at)
                    self._say_until(frame)
                    self._sleep(self._due(frame.at))
                    self._late.append(time.monotonic() - self._due(frame.at))
                    self._present(frame, requests, self._due(following[0].at) if following else None)
                    bar.update()
                self._player.wait(self._is_timed, time.monotonic() + TIMED_WITHIN)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  raised once that is written
            return error
        finally:
            self._recording.troubles[:] = troubles  # the clouds are read again, and tell theirs then
        return None

    def _is_timed(self) -> bool:
        """Whether the last result's stages are known, which are published after its answer."""
        newest = self._player.replies(newest=200)
        return not newest or "total" in newest[-1].seconds

    def _due(self, at: float) -> float:
        """When what the bag has ``at`` seconds after its start comes, time.monotonic()."""
        assert self._start is not None
        began, first = self._start
        return began + (at - first) / self._job.rate

    def _with_requests(self) -> Iterator[tuple[Frame, tuple[Request, ...]]]:
        for frame in self._recording.frames(self._choice):
            requests = self._questions.of(frame)[0]
            for request in requests:
                same = self._quoted.setdefault(conversation(request, [""] * len(request)), request)
                if same != request:
                    raise SegPointError(
                        f"{request} and {same} look alike in the node's markers, which show the beginnings of what is "
                        "asked: replay them offline, or in two runs"
                    )
            yield frame, requests

    def _say_until(self, frame: Frame) -> None:
        """What the bag said before a cloud, each at its own time."""
        while self._words and self._words[0][0] <= frame.received:
            received, text = self._words.popleft()
            self._sleep(self._due(frame.at - (frame.received - received) / 1e9))
            self._ask(split_instructions(text))

    def _present(self, frame: Frame, requests: tuple[Request, ...], until: float | None) -> None:
        """Publish a cloud and see that it is asked what it is to be asked, one request after the other."""
        stands = requests == ((self._standing,) if self._standing else ())
        if not stands and self._standing != ():
            self._ask(())
        sent = self._sent[frame.number] = Sent(self._own_stamp(frame), 0.0)
        stamp = frame.message.header.stamp
        stamp.sec, stamp.nanosec = divmod(sent.stamp, 10**9)
        sent.shown = self._player.show(frame.message)
        if stands:
            sent.asked = dict.fromkeys(requests, sent.shown)
        else:
            self._sleep(sent.shown + LANDS_WITHIN)
        for place, request in enumerate(requests):
            if not stands:
                sent.asked[request] = self._ask(request)
            if place + 1 < len(requests) or until is None:
                patience = time.monotonic() + ANSWERS_WITHIN if until is None else until
                if not self._wait_for(sent, request, patience):
                    break

    def _own_stamp(self, frame: Frame) -> int:
        """The cloud's stamp; where another had it, the next nanosecond that none had, to tell the answers apart."""
        stamp = frame.stamp
        while stamp in self._stamps:
            stamp += 1
        self._stamps.add(stamp)
        return stamp

    def _ask(self, request: Request) -> float:
        self._standing = request
        return self._player.ask(request)

    def _wait_for(self, sent: Sent, request: Request, until: float) -> bool:
        """Wait until a request about a cloud is answered. Whether it was."""

        def answered() -> bool:
            self._check()
            newest = self._player.replies(newest=200)
            return any(reply.stamp == sent.stamp and is_about(reply, request) for reply in newest)

        return self._player.wait(answered, until)

    def _sleep(self, until: float) -> None:
        self._check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            self._check()

    def _check(self) -> None:
        self._check_node()
        self._player.check_alone()
        silent = time.monotonic() - self._player.status_at
        if silent > LOST_AFTER:
            raise SegPointError(f"the node has said nothing of itself for {silent:.0f} s: it has ended, or hangs")

    # Afterwards

    def score(self, recorder: Recorder, bag: AnswersBag) -> None:
        """Read the clouds again, with their truth and what was answered."""
        replies: dict[int, list[Reply]] = {}
        for reply in self._player.replies():
            replies.setdefault(reply.stamp, []).append(reply)
        for frame in self._recording.frames(self._choice):
            requests, truths = self._questions.of(frame)
            sent = self._sent.get(frame.number)
            axes = frame_of(frame.message.header.frame_id, self._settings.input.frame)
            answered = answers_to(requests, replies.get(sent.stamp, ()) if sent else ())
            results = [
                result_of(frame, axes, request, reply, self._player.labelled(reply), self._settings)
                for request, reply in answered
            ]
            for result in joined(results, self._settings):
                bag.write(frame, result)
            answers = [one for result in results for one in said(result)]
            recorder.add(_times(frame, requests, sent, answered), frame, axes, answers, truths)
        recorder.wall = self._wall()
        recorder.troubles += [*self._troubles(recorder.run().frames), *self._questions.check()]

    def _wall(self) -> float:
        """Seconds from the first cloud that was sent to the last answer."""
        shown = [sent.shown for sent in self._sent.values()]
        received = [reply.received for reply in self._player.replies()]
        return max([*shown, *received]) - min(shown) if shown else 0.0

    def _troubles(self, frames: Sequence[FrameTime]) -> Iterator[str]:
        """What of the replay itself is worth knowing: what was late, lost, refused."""
        partly = [frame for frame in frames if frame.why == PARTLY]
        if partly:
            answered, asked = (sum(getattr(frame, name) for frame in partly) for name in ("answers", "questions"))
            yield (
                f"of {asked} questions about {len(partly)} clouds {answered} were answered before the next cloud came: "
                "the labels' rows are asked one after the other; a lower --rate leaves more time, --instruction asks "
                "less"
            )
        late = [seconds for seconds in self._late if seconds > LATE]
        if late:
            yield (
                f"{len(late)} of {len(self._late)} clouds were published late, by up to {max(late):.2f} s: the bag and "
                "its labels are read more slowly here than they were recorded"
            )
        told = self._player.diagnostics
        refused = int(told.get("clouds refused", 0))
        if refused and not self._job.node:
            yield f"the node refused {refused} clouds; the last error: {told.get('last error', '')}"


def _times(
    frame: Frame, requests: Sequence[Request], sent: Sent | None, answered: Iterable[tuple[Request, Reply]]
) -> FrameTime:
    """A cloud's line of the record. Its latency is that of all requests together, each since it and the cloud had been
    sent."""
    latency, seconds, count, told = 0.0, Counter[str](), 0, 0
    for request, reply in answered:
        assert sent is not None
        latency += reply.received - sent.asked.get(request, sent.shown)
        seconds.update(reply.seconds)
        count += 1
        told += len(request)
    why = "" if count == len(requests) else PARTLY if count else DROPPED if sent else NOT_SENT
    return FrameTime(
        number=frame.number,
        stamp=frame.stamp,
        at=frame.at,
        points=frame.message.width * frame.message.height,
        answered=count > 0,
        why=why if requests else NOT_ASKED,
        latency=latency if count else None,
        seconds=dict(seconds),
        questions=sum(map(len, requests)),
        answers=told,
    )


def _ahead(items: Iterator[T], count: int = 3) -> Generator[T, None, None]:
    """The items, read by another thread so many ahead: what has its time must not wait for the disk."""
    with ThreadPoolExecutor(1, "segpoint reader") as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(count))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item


def _with_next(items: Iterable[T]) -> Iterator[tuple[T, T | None]]:
    """Each item with the one after it."""
    before: Any = None
    for item in items:
        if before is not None:
            yield before, item
        before = item
    if before is not None:
        yield before, None
