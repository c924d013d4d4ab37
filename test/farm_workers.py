"""Small bags for many workers, and what those do with them. They import this file: torch only where it is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from replay_runs import made

from segpoint.errors import SegPointError
from segpoint_replay.farm import replay_all, replay_one
from segpoint_replay.job import Job
from segpoint_replay.record import Run, read_run

PATIENCE = 60.0
BAGS = ("first", "second", "third")
LIGHT = ("good", "deadly", "empty", "odd", "exits", "last")  # bags by what `light` makes of them


def write_bags(folder: Path) -> list[Path]:
    from mini_bag import write_mini_bag

    return [write_mini_bag(folder / name, frames=4).parent for name in BAGS]


def answered(bags: Sequence[Path], out: Path) -> list[Run]:
    """What one process answers."""
    with pytest.MonkeyPatch.context() as patch:
        use_colours(patch)
        return [replay_one(job) for job in jobs_of(bags, out)]


def use_colours(patch: pytest.MonkeyPatch) -> Any:
    from colour_segmenter import ColourSegmenter, use

    return use(patch, ColourSegmenter())


def jobs_of(bags: Sequence[Path], out: Path) -> list[Job]:
    return [Job(str(bag / "scene"), str(out / bag.name), labels=str(bag)) for bag in bags]


@cache
def _mortal() -> Any:
    """A segmenter that half way through a bag does what the file "kill" or "hang" beside the outputs says, which names
    that bag."""
    from colour_segmenter import ColourSegmenter

    class Mortal(ColourSegmenter):
        out = Path()
        clouds: set[bytes] = set()

        def segment_many(self, xyz, *arguments, **options):
            self.clouds.add(xyz.tobytes())
            if len(self.clouds) == 3:  # of four
                if _takes(self.out, "kill"):
                    os.kill(os.getpid(), signal.SIGKILL)
                if _takes(self.out, "hang"):
                    (self.out.parent / "hangs").touch()
                    for _ in range(int(20 * PATIENCE)):  # Ray interrupts Python's code, not what that waits for
                        time.sleep(0.5)
            return super().segment_many(xyz, *arguments, **options)

    return Mortal()


def mortal(job: Job) -> Run:
    """`replay_one` with that segmenter."""
    from segpoint.segmenter import Segmenter

    def load(*arguments: object) -> Any:
        _note(job, "loaded")
        return _mortal()

    _note(job, "began")
    _mortal().out = Path(job.out)
    _mortal().clouds.clear()
    Segmenter.from_bundle = load  # type: ignore[method-assign,assignment]
    return replay_one(job)


def light(job: Job) -> Run:
    """No replay, but what can become of one, by the bag's name."""
    _note(job, "began")
    if job.bag == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.bag == "exits":
        os._exit(3)
    if job.bag == "empty":
        raise SegPointError("no clouds in it")
    if job.bag == "odd":
        raise ZeroDivisionError("by us")
    return replace(made(2, ["it"]), backend=os.environ["OMP_NUM_THREADS"], job=job.to_dict())


def _note(job: Job, what: str) -> None:
    out = Path(job.out)
    with out.with_name(f"{out.name}.{what}").open("a") as file:
        file.write(f"{os.getpid()}\n")


def noted(out: Path, what: str) -> dict[str, list[str]]:
    return {path.stem: path.read_text().split() for path in sorted(out.glob(f"*.{what}"))}


def _takes(out: Path, deed: str) -> bool:
    order = out.parent / deed
    if order.is_file() and order.read_text() == out.name:
        order.unlink()
        return True
    return False


def untimed(run: Run) -> Run:
    """A record but for its times and its place."""
    frames = tuple(replace(frame, latency=None, seconds={}) for frame in run.frames)
    job = json.loads(json.dumps({**run.job, "out": ""}))
    return replace(run, wall=0.0, frames=frames, job=job)


def check_same(runs: Sequence[Run], alone: Sequence[Run]) -> None:
    """All is whole, on the disk, too, and what one process had answered, to the answers' bytes."""
    assert [untimed(run) for run in runs] == [untimed(run) for run in alone]
    for run, other in zip(runs, alone, strict=True):
        assert untimed(read_run(run.job["out"])) == untimed(other)
        assert "</html>" in (Path(run.job["out"]) / "report.html").read_text()
        assert messages(run) == messages(other)


def messages(run: Run) -> list[bytes]:
    from segpoint_replay.recording import Recording

    answers = Recording.open(Path(run.job["out"]) / "answers", "/segpoint/output/points")
    return [bytes(frame.message.data) for frame in answers.frames()]


def check_taken_up(
    bags: Sequence[Path], alone: Sequence[Run], out: Path, environment: dict[str, str], end: signal.Signals
) -> None:
    """After the end of the process that replays them, the workers go with it, and what they had answered is there:
    only what is missing is replayed."""
    (out / "hang").write_text("third")
    parent = _parent(bags, out, environment)
    until(lambda: (out / "hangs").exists() and _whole(out) == {"first", "second"})
    os.kill(parent.pid, end)
    _, told = parent.communicate(timeout=PATIENCE)
    assert parent.returncode != 0, told
    workers = {int(pid) for began in noted(out, "began").values() for pid in began}
    until(lambda: not any(_runs(pid) for pid in workers))
    kept = read_run(out / "third")
    assert not kept.complete and len(kept.frames) == 2
    times = {name: (out / name / "run.json").stat().st_mtime_ns for name in BAGS}
    with pytest.MonkeyPatch.context() as patch:
        use_colours(patch)
        check_same(replay_all(jobs_of(bags, out)), alone)
    now = {name: (out / name / "run.json").stat().st_mtime_ns for name in BAGS}
    assert [name for name in BAGS if now[name] != times[name]] == ["third"]


def _parent(bags: Sequence[Path], out: Path, environment: dict[str, str]) -> subprocess.Popen:
    """Another process that replays the bags with two workers, or on the environment's cluster."""
    code = (
        "import os, sys; from pathlib import Path; import farm_workers as workers; from segpoint_replay import farm\n"
        "if __name__ == '__main__':\n"
        "    farm.replay_one = workers.mortal\n"
        "    jobs = workers.jobs_of([Path(bag) for bag in sys.argv[2:]], Path(sys.argv[1]))\n"
        "    farm.replay_all(jobs, workers=2, ray=os.environ.get('RAY_AT', ''))\n"
    )
    script = out / "parent.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(out), *map(str, bags)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def environment_for_workers() -> dict[str, str]:
    """For processes that import this file."""
    test = Path(__file__).resolve().parent
    path = os.pathsep.join([str(test.parent), str(test), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def _whole(out: Path) -> set[str]:
    found = set()
    for name in BAGS:
        if (out / name / "report.html").exists() and read_run(out / name).complete:
            found.add(name)
    return found


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)
