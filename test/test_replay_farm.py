"""Many bags on real worker processes and on a real Ray cluster of this machine: killed, interrupted, taken up again."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from replay_runs import made

from segpoint.errors import SegPointError
from segpoint_replay import cluster, farm
from segpoint_replay.farm import RETRIES, Failed, Processes, Unfinished, replay_all, replay_one, spread
from segpoint_replay.job import Job
from segpoint_replay.record import Run, read_run

PATIENCE = 60.0
BAGS = ("first", "second", "third")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")


@pytest.fixture(scope="module")
def bags(tmp_path_factory) -> list[Path]:
    from mini_bag import write_mini_bag

    folder = tmp_path_factory.mktemp("bags")
    return [write_mini_bag(folder / name, frames=4).parent for name in BAGS]


@pytest.fixture(scope="module")
def alone(bags, tmp_path_factory) -> list[Run]:
    """What one process answers."""
    with pytest.MonkeyPatch.context() as patch:
        use_colours(patch)
        return [replay_one(job) for job in jobs_of(bags, tmp_path_factory.mktemp("alone"))]


def use_colours(patch: pytest.MonkeyPatch) -> Any:
    from colour_segmenter import ColourSegmenter, use

    return use(patch, ColourSegmenter())


def jobs_of(bags: Sequence[Path], out: Path) -> list[Job]:
    return [Job(str(bag / "scene"), str(out / bag.name), labels=str(bag)) for bag in bags]


# What workers do. Each notes beside its output that it began. They import this file: torch only where it is needed.


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


def _noted(out: Path, what: str) -> dict[str, list[str]]:
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
        assert _messages(run) == _messages(other)


def _messages(run: Run) -> list[bytes]:
    from segpoint_replay.recording import Recording

    answers = Recording.open(Path(run.job["out"]) / "answers", "/segpoint/output/points")
    return [bytes(frame.message.data) for frame in answers.frames()]


def test_a_killed_worker_costs_only_its_bag_a_second_attempt(bags, alone, tmp_path, monkeypatch, capfd) -> None:
    (tmp_path / "kill").write_text("second")
    monkeypatch.setattr(farm, "replay_one", mortal)
    runs = replay_all(jobs_of(bags, tmp_path), workers=2)
    check_same(runs, alone)
    assert {name: len(began) for name, began in _noted(tmp_path, "began").items()} == dict(first=1, second=2, third=1)
    assert len({pid for began in _noted(tmp_path, "began").values() for pid in began}) <= 3  # the third took two bags
    assert sum(map(len, _noted(tmp_path, "loaded").values())) <= 3
    told = capfd.readouterr().err
    assert "killed by signal 9" in told and "begun anew" in told and "3/3" in told


@pytest.mark.parametrize(
    ("end", "ray"),
    [(signal.SIGKILL, False), (signal.SIGINT, False), pytest.param(signal.SIGINT, True, marks=needs_ray)],
)
def test_after_the_parents_end_only_what_is_missing_is_replayed(
    bags, alone, tmp_path, monkeypatch, request, end, ray
) -> None:
    """The workers go with it, and what they had answered is there."""
    (tmp_path / "hang").write_text("third")
    environment = request.getfixturevalue("ray_cluster") if ray else _environment()
    parent = _parent(bags, tmp_path, environment)
    _until(lambda: (tmp_path / "hangs").exists() and _whole(tmp_path) == {"first", "second"})
    os.kill(parent.pid, end)
    _, told = parent.communicate(timeout=PATIENCE)
    assert parent.returncode != 0, told
    workers = {int(pid) for began in _noted(tmp_path, "began").values() for pid in began}
    _until(lambda: not any(_runs(pid) for pid in workers))
    kept = read_run(tmp_path / "third")
    assert not kept.complete and len(kept.frames) == 2
    times = {name: (tmp_path / name / "run.json").stat().st_mtime_ns for name in BAGS}
    use_colours(monkeypatch)
    check_same(replay_all(jobs_of(bags, tmp_path)), alone)
    now = {name: (tmp_path / name / "run.json").stat().st_mtime_ns for name in BAGS}
    assert [name for name in BAGS if now[name] != times[name]] == ["third"]


def _parent(bags: Sequence[Path], out: Path, environment: dict[str, str]) -> subprocess.Popen:
    """Another process that replays the bags with two workers, or on the environment's cluster."""
    code = (
        "import os, sys; from pathlib import Path; import test_replay_farm as test; from segpoint_replay import farm\n"
        "if __name__ == '__main__':\n"
        "    farm.replay_one = test.mortal\n"
        "    jobs = test.jobs_of([Path(bag) for bag in sys.argv[2:]], Path(sys.argv[1]))\n"
        "    farm.replay_all(jobs, workers=2, ray=os.environ.get('RAY_AT', ''))\n"
    )
    script = out / "parent.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(out), *map(str, bags)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _environment() -> dict[str, str]:
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


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


LIGHT = ("good", "deadly", "empty", "odd", "exits", "last")


def test_what_is_retried_and_what_is_not(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(farm, "replay_one", light)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with pytest.raises(Unfinished) as raised:
        replay_all([Job(name, str(tmp_path / name)) for name in LIGHT], workers=2)
    told = str(raised.value)
    assert told.startswith("4 of 6 bags were not replayed: deadly: its worker was lost 4 times")
    assert "killed by signal 9" in told and "exits: its worker was lost 4 times, at last: its worker ended with" in told
    assert "empty: no clouds in it; odd: ZeroDivisionError: by us" in told
    assert [(run.job["bag"], run.backend) for run in raised.value.runs] == [("good", "3"), ("last", "3")]
    began = {name: len(began) for name, began in _noted(tmp_path, "began").items()}
    assert began == {"good": 1, "deadly": 1 + RETRIES, "empty": 1, "odd": 1, "exits": 1 + RETRIES, "last": 1}
    assert "raise ZeroDivisionError" in capfd.readouterr().err  # a defect is told with its place


def test_cores_are_divided_and_a_lack_of_memory_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(farm, "available_cores", lambda: 9)
    kills = iter(range(100))
    monkeypatch.setattr(farm, "_out_of_memory_kills", lambda: next(kills))
    jobs = [Job("good", str(tmp_path / "good")), Job("deadly", str(tmp_path / "deadly"))]
    with Processes(2, light) as processes:
        good, deadly = spread(jobs, processes)
    assert isinstance(good, Run) and good.backend == "4"
    assert isinstance(deadly, Failed) and "the machine's memory ran out (fewer --workers" in deadly.why


def test_in_one_process_the_others_are_done_too(bags, tmp_path, monkeypatch) -> None:
    use_colours(monkeypatch)
    first, second = jobs_of(bags[:2], tmp_path)
    with pytest.raises(Unfinished, match="1 of 2 bags .*/none") as raised:
        replay_all([replace(first, topic="/none"), second])
    assert [run.job["bag"] for run in raised.value.runs] == [second.bag] and read_run(second.out).complete
    with pytest.raises(SegPointError, match="/none") as only:
        replay_all([replace(first, topic="/none")], workers=4)
    assert not isinstance(only.value, Unfinished)


# Ray


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[dict[str, str]]:
    """The environment for programs that use a Ray cluster of two processors at $RAY_AT, on the loopback interface. Its
    token is in the environment: nothing is written into anyone's home."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # sockets lie in it, whose paths must be short
    environment = {
        **_environment(),
        "HOME": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else it turns 127.0.0.1 into the address in the network
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("OMP_NUM_THREADS", None)  # which Ray would leave as it is
    with socket.create_server(("127.0.0.1", 0)) as free:
        client_port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    command += ["--port=0", f"--ray-client-server-port={client_port}", "--num-cpus=2", "--include-dashboard=false"]
    command += ["--object-store-memory=100000000", f"--temp-dir={folder}/r", "--disable-usage-stats"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        address = folder / "r" / "ray_current_cluster"
        _until(lambda: (address.exists() and address.read_text()) or process.poll() is not None)
        _until(lambda: "runtime started" in (folder / "log").read_text() or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield {**environment, "RAY_AT": address.read_text().strip()}
    finally:
        process.terminate()
        process.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


def _with_ray(code: str, environment: dict[str, str], cwd: Path, *arguments: object) -> subprocess.CompletedProcess:
    head = "import os, sys, test_replay_farm as test; from pathlib import Path; from segpoint_replay import farm\n"
    return subprocess.run(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        env=environment, cwd=cwd, capture_output=True, text=True, timeout=4 * PATIENCE,
    )  # fmt: skip


@needs_ray
def test_a_ray_cluster_answers_as_one_process_though_a_worker_is_killed(bags, alone, tmp_path, ray_cluster) -> None:
    """The paths are relative to where it is asked for."""
    (tmp_path / "kill").write_text("second")
    for bag in bags:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / bag.name).symlink_to(bag)
    code = (
        "farm.replay_one = test.mortal\n"
        "bags = [Path('in') / name for name in test.BAGS]\n"
        "runs = farm.replay_all(test.jobs_of(bags, Path()), ray=os.environ['RAY_AT'])\n"
        "assert [run.complete for run in runs] == [True] * 3\n"
        "again = farm.replay_all(test.jobs_of(bags, Path()), ray=os.environ['RAY_AT'])\n"
        "assert [run.wall for run in again] == [run.wall for run in runs]\n"
    )
    done = _with_ray(code, ray_cluster, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "its worker on the Ray cluster was lost" in done.stderr and "begun anew" in done.stderr
    runs = [read_run(tmp_path / name) for name in BAGS]
    assert runs[0].job["bag"] == "in/first/scene"
    placed = [
        replace(
            run, job={**run.job, **{name: other.job[name] for name in ("bag", "labels")}, "out": str(tmp_path / bag)}
        )
        for run, other, bag in zip(runs, alone, BAGS, strict=True)
    ]
    assert [untimed(run) for run in placed] == [untimed(run) for run in alone]
    assert [_messages(run) for run in placed] == [_messages(run) for run in alone]
    began = {name: len(set(began)) for name, began in _noted(tmp_path, "began").items()}
    assert began["second"] >= 2
    assert not list(tmp_path.glob(".segpoint-*"))


@needs_ray
def test_what_ray_retries_and_refuses(tmp_path, ray_cluster) -> None:
    """As on one machine; and the cluster lives on."""
    code = (
        "import json\n"
        "from segpoint_replay.cluster import Cluster\n"
        "def told(task, jobs, cpus=1):\n"
        "    try:\n"
        "        farm.replay_one = task\n"
        "        return [run.backend for run in farm.replay_all(jobs, ray=os.environ['RAY_AT'], cpus=cpus)]\n"
        "    except test.SegPointError as error:\n"
        "        return str(error)\n"
        "jobs = [test.Job(os.path.join(os.getcwd(), name), name) for name in test.LIGHT]\n"
        "def by_name(job):\n"
        "    from test_replay_farm import light\n"
        "    return light(test.replace(job, bag=os.path.basename(job.bag)))\n"
        "one = [test.Job('good', 'good')]\n"
        "print(json.dumps([told(by_name, jobs), told(test.light, one, 2), told(test.light, one, 3),\n"
        "    told(test.light, [test.Job('good', 'good', parameters=(('model.device', 'cuda'),))]),\n"
        "    told(test.light, [test.Job('nowhere', 'good')])]))\n"
    )
    for name in LIGHT:
        (tmp_path / name).touch()
    done = _with_ray(code, ray_cluster, tmp_path)
    assert done.returncode == 0, done.stderr
    many, two, three, graphics, nowhere = json.loads(done.stdout)
    assert many.startswith("4 of 6 bags were not replayed: ") and many.count("was lost 4 times, at last: ") == 2
    assert "empty: no clouds in it" in many and "ZeroDivisionError: by us" in many
    assert len((tmp_path / "deadly.began").read_text().split()) == 1 + RETRIES
    assert len((tmp_path / "empty.began").read_text().split()) == 1
    assert two == ["2"]  # threads
    assert "no machine of the Ray cluster has 3 processors" in three
    assert "and a GPU" in graphics
    assert "does not see nowhere" in nowhere


def test_a_machine_that_cannot_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bag").touch()
    job, code = Job("bag", "out"), (cluster.__version__, cluster.git_commit())
    cluster._check_machine(job, cluster.Origin(str(tmp_path), code, ()))
    for origin, complaint in (
        (cluster.Origin(str(tmp_path), ("0.1", "abc"), ()), r"here it is 0.1 \(abc\): install the same"),
        (cluster.Origin(str(tmp_path / "no"), code, ()), "does not see .*/no:"),
        (cluster.Origin(str(tmp_path), code, (str(tmp_path / ".mark"),)), "does not see .*mark"),
    ):
        with pytest.raises(SegPointError, match=complaint):
            cluster._check_machine(job, origin)


def test_no_cluster_is_one_clear_error(tmp_path, monkeypatch) -> None:
    job = Job("bag", str(tmp_path / "out"))
    if find_spec("ray") is not None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(SegPointError, match=f"no Ray cluster answers at 127.0.0.1:{port} .*ray start --head"):
            replay_all([job], ray=f"127.0.0.1:{port}")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SegPointError, match=r"pip install 'segpoint_ros\[ray\]'"):
        replay_all([job], ray="auto")
