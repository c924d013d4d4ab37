"""The record of a replay: what was asked of each cloud, what was answered, what that scored. JSON, one file a bag.

Everything that is printed, drawn or compared is made from it. Times of clouds are nanoseconds since 1970, positions
and sizes metres in the cloud's frame, scores and shares in [0, 1]; None stands for what there is no truth or no
neighbour to measure against.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from segpoint.config import build
from segpoint.errors import SegPointError
from segpoint.files import reading
from segpoint_replay.job import Job

RUN = "run.json"
ANSWERS = "answers"  # the answers' bag, a rosbag2 folder with one .mcap
PICTURES = "pictures"
REPORT = "report.html"
LOG = "node.log"  # of the node, live
PREVIOUS = "previous"  # the last finished replay before this one, with all of the above but the log
FORMAT = "segpoint replay 1"

NOT_ASKED = "nothing was asked"  # of a cloud before the first instruction; it is not dropped
DROPPED = "dropped"  # the node was busy with another one
PARTLY = "the next cloud came before all was answered"
UNREADABLE = "it cannot be read"  # `Run.troubles` says why


@dataclass(frozen=True)
class Found:
    """One target. label: as in the cloud labelled for the request that was measured; the answers' bag has all rows of
    labels about a cloud in one, with other numbers.   centre, size, orientation (a quaternion x, y, z, w): its box."""

    label: int
    name: str
    score: float
    points: int
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    orientation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Answered:
    """One instruction about one cloud.

    points: marked.   iou, true_points, position_error: against the truth; position_error is the mean distance from each
    true target's centre to the found target that it is matched with (Hungarian), None where either has none.
    stability: IoU of this mask and that of the cloud before, as cells of space (`measures.stability`);
    true_stability: the same of the true masks, which says how much of the change was real.
    """

    frame: int
    instruction: str
    kind: str
    answer: str
    points: int
    found: tuple[Found, ...] = ()
    true_points: int | None = None
    iou: float | None = None
    position_error: float | None = None
    stability: float | None = None
    true_stability: float | None = None


@dataclass(frozen=True)
class FrameTime:
    """One cloud that was due: number: among the topic's clouds, from 0.   stamp: of its header.   at: seconds after the
    bag's start.   answered: whether an answer came.   why: it, or a part of it, did not ("dropped", an error's text),
    "" otherwise.   latency: seconds from handing the cloud over (live: publishing it) to its answer.   seconds: per
    stage.   questions, answers: instructions asked about it, and answered."""

    number: int
    stamp: int
    at: float
    points: int
    answered: bool
    why: str = ""
    latency: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    questions: int = 0
    answers: int = 0


@dataclass(frozen=True)
class Picture:
    """One answer as a picture, its truth (or the cloud) to the left.   file: its name in PICTURES.   rank: "worst" or
    "best"; in a bag without truth "worst" is the least steady, and there is no best.   score: the cloud's, by which it
    was chosen.   above: the truth is above, not to the left."""

    file: str
    rank: str
    frame: int
    instruction: str
    score: float
    above: bool = False


@dataclass(frozen=True)
class Run:
    """A bag's whole record.

    job: `Job.to_dict`.   versions: of this package, Python, NumPy, PyTorch, ONNX Runtime, rosbags, the commit, the
    bundle's digest, the processor.   topic: of the clouds.   asked_on: the bag's topic whose words were asked, "" where
    the job or the labels say what is.   troubles: what of the bag could not be read, and why.   wall: seconds that the
    clouds took together.   backend: what computed.   complete: False where it was stopped before the last cloud.
    pictures: the worst and the best, in this order.
    """

    job: dict[str, Any]
    versions: dict[str, str]
    topic: str
    frame_id: str
    axes: str
    backend: str
    wall: float
    frames: tuple[FrameTime, ...]
    answers: tuple[Answered, ...]
    troubles: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    asked_on: str = ""
    complete: bool = True


def write_run(run: Run, path: Path) -> None:
    """JSON with one line a cloud and one an answer, at once or not at all. Raises SegPointError where it cannot be."""
    from segpoint_training.stamp import write_whole

    values = {"format": FORMAT, **asdict(run)}
    rows = {name: values.pop(name) for name in ("frames", "answers")}
    text = _json(values, indent=1)[:-2]
    for name, row in rows.items():
        text += f',\n "{name}": [' + ",".join(f"\n  {_json(one)}" for one in row) + "\n ]"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Half a surrogate pair, as in a file's name that is not UTF-8, becomes the escape that JSON has for it.
        write_whole(path, (text + "\n}\n").encode(errors="backslashreplace"))
    except OSError as error:
        raise SegPointError(
            f"{path} cannot be written ({error.strerror or error}): make room or write elsewhere"
        ) from error


def read_run(path: str | Path) -> Run:
    """What `write_run` wrote, of the file or of the folder it lies in. Raises SegPointError where it is anything else,
    also for an unknown or missing value and for one of another type."""
    path = Path(path)
    path = path / RUN if path.is_dir() else path
    if not path.is_file():
        raise SegPointError(f"{path}: there is no such file; give the folder of a replay, with its {RUN}")
    with reading(path, "it is no record of `segpoint replay`; replay the bag again"):
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
    run = build(Run, values, str(path))
    build(Job, run.job, f"{path}.job")
    usual = json.loads(json.dumps(Job("", "").to_dict()))
    return replace(run, job={**usual, **run.job})


def _json(values: Any, indent: int | None = None) -> str:
    return json.dumps(values, indent=indent, ensure_ascii=False, allow_nan=False)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
