"""Many bags on a real Ray cluster of this machine: a worker is killed, all of it interrupted and taken up again."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from farm_workers import (
    BAGS,
    LIGHT,
    PATIENCE,
    answered,
    check_taken_up,
    environment_for_workers,
    messages,
    noted,
    until,
    untimed,
    write_bags,
)

from segpoint.errors import SegPointError
from segpoint_replay import cluster
from segpoint_replay.farm import RETRIES, replay_all
from segpoint_replay.job import Job
from segpoint_replay.record import Run, read_run

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")


@pytest.fixture(scope="module")
def bags(tmp_path_factory) -> list[Path]:
    return write_bags(tmp_path_factory.mktemp("bags"))


@pytest.fixture(scope="module")
def alone(bags, tmp_path_factory) -> list[Run]:
    return answered(bags, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[dict[str, str]]:
    """The environment for programs that use a Ray cluster of two processors at $RAY_AT, on the loopback interface. Its
    token is in the environment: nothing is written into anyone's home."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # sockets lie in it, whose paths must be short
    environment = {
        **environment_for_workers(),
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
        until(lambda: (address.exists() and address.read_text()) or process.poll() is not None)
        until(lambda: "runtime started" in (folder / "log").read_text() or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield {**environment, "RAY_AT": address.read_text().strip()}
    finally:
        process.terminate()
        process.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


def _with_ray(code: str, environment: dict[str, str], cwd: Path, *arguments: object) -> subprocess.CompletedProcess:
    head = "import os, sys, farm_workers as workers; from pathlib import Path; from segpoint_replay import farm\n"
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
        "farm.replay_one = workers.mortal\n"
        "bags = [Path('in') / name for name in workers.BAGS]\n"
        "runs = farm.replay_all(workers.jobs_of(bags, Path()), ray=os.environ['RAY_AT'])\n"
        "assert [run.complete for run in runs] == [True] * 3\n"
        "again = farm.replay_all(workers.jobs_of(bags, Path()), ray=os.environ['RAY_AT'])\n"
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
    assert [messages(run) for run in placed] == [messages(run) for run in alone]
    began = {name: len(set(began)) for name, began in noted(tmp_path, "began").items()}
    assert began["second"] >= 2
    assert not list(tmp_path.glob(".segpoint-*"))


@needs_ray
def test_after_an_interrupt_only_what_is_missing_is_replayed(bags, alone, tmp_path, ray_cluster) -> None:
    check_taken_up(bags, alone, tmp_path, ray_cluster, signal.SIGINT)


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
        "    except workers.SegPointError as error:\n"
        "        return str(error)\n"
        "jobs = [workers.Job(os.path.join(os.getcwd(), name), name) for name in workers.LIGHT]\n"
        "def by_name(job):\n"
        "    from farm_workers import light\n"
        "    return light(workers.replace(job, bag=os.path.basename(job.bag)))\n"
        "one = [workers.Job('good', 'good')]\n"
        "print(json.dumps([told(by_name, jobs), told(workers.light, one, 2), told(workers.light, one, 3),\n"
        "    told(workers.light, [workers.Job('good', 'good', parameters=(('model.device', 'cuda'),))]),\n"
        "    told(workers.light, [workers.Job('nowhere', 'good')])]))\n"
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
