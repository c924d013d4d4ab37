"""A day in the node's life, shortened: a 30 Hz camera, changing wishes, bad clouds, restarts; memory and latency.

    python benchmarks/soak.py                        # 20 minutes; out/soak/soak.png, soak.csv, soak.json, node.log
    python benchmarks/soak.py --minutes 5 --kill-every 60

Three processes over real DDS, on this machine alone: the node, a camera that publishes 307,200 coloured points at 30 Hz
(a generated scene, the camera moving a little; every few seconds a cloud that cannot be used), and this one, which
changes the instruction, clicks, clears, sets parameters, deactivates and activates, asks for a parameter five times a
second, and measures. ``--kill-every`` also ends the node with SIGKILL now and then and starts it again, with a log of
its own (node-2.log, …).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from soak_plot import draw

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from segpoint_ros.process import PROFILE, graph_of_its_own, running_node  # noqa: E402

HERTZ = 30.0
SEED = 900000  # of the scene, in the test split
FRAME = "camera_depth_optical_frame"
BAD_EVERY = 150  # clouds
WISHES = [
    "pick up the mug",
    "the mug; the table",
    "where can I sit?",
    "",
    "the bowl",
    "click",
    "the red thing",
    "threshold",
]
WISH_EVERY = 7.0  # seconds
PAUSE_EVERY = 47.0
PROBE_EVERY = 0.2
SAMPLE_EVERY = 1.0


def camera(seed: int) -> None:
    """The camera's process: publishes until it is stopped. Messages are serialized once; only the stamps change."""
    import rclpy
    from rclpy.serialization import serialize_message
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Header

    from segpoint_ros.inputs import sensor_qos
    from segpoint_ros.pointcloud2 import make_cloud
    from segpoint_training.scenes.generate import generate_scene

    scene = generate_scene(seed, "test", "kinect")
    header = Header(frame_id=FRAME)
    some = int(np.flatnonzero(np.isfinite(scene.xyz[:, 0]))[0])
    clouds = []
    for step in range(10):  # to and fro, 2 cm
        xyz = scene.xyz + np.float32([0.004 * min(step, 10 - step), 0, 0])
        clouds.append(bytearray(serialize_message(make_cloud(header, xyz, scene.rgb, scene.width, scene.height))))
    short = make_cloud(header, scene.xyz, scene.rgb, scene.width, scene.height)
    short.data = short.data[: len(short.data) // 2]
    bad = bytearray(serialize_message(short))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # stopped at once, by the signal itself
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(PointCloud2, "/segpoint/input/points", sensor_qos())
    began = time.perf_counter()
    for number in itertools.count():
        message = bad if number % BAD_EVERY == BAD_EVERY - 1 else clouds[number % len(clouds)]
        now = time.time_ns()
        struct.pack_into("<iI", message, 4, now // 10**9, now % 10**9)  # behind CDR's four bytes stands the stamp
        if message is not bad:  # no two clouds are the same to the last bit: the node would see that
            place = len(message) - 1 - 16 * len(scene.xyz) + 16 * some  # of a point's x: the data, and is_dense, end it
            struct.pack_into("<f", message, place, scene.xyz[some, 0] + 1e-6 * (number % 10_000))
        publisher.publish(bytes(message))
        time.sleep(max(0.0, began + (number + 1) / HERTZ - time.perf_counter()))


class Life:
    """The node's process, what is asked of it, and what is measured. Times are seconds since the beginning."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import PointStamped, PoseArray
        from lifecycle_msgs.srv import ChangeState
        from rcl_interfaces.srv import GetParameters, SetParameters
        from rclpy.executors import SingleThreadedExecutor
        from std_msgs.msg import Float64, String

        self._environment, self._log, self._running = environment, log, ExitStack()
        self.began = time.monotonic()
        self.results: list[tuple[float, float, float]] = []  # when, age, processing time
        self.answers_of_service: list[tuple[float, float]] = []  # when, how long
        self.samples: list[dict[str, float]] = []
        self.events: list[tuple[float, str]] = []
        self.diagnostics: dict[str, str] = {}
        self.counts: dict[str, int] = {}  # of nodes that were killed, and of this one
        self._before: dict[str, int] = {}
        self._age = float("nan")
        rclpy.init()
        self.node = rclpy.create_node("soak")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._voice = self.node.create_publisher(String, "/instruction", 1)
        self._finger = self.node.create_publisher(PointStamped, "/clicked_point", 1)
        self.node.create_subscription(PoseArray, "/segpoint/output/targets", self._on_targets, 10)
        self.node.create_subscription(Float64, "/segpoint/debug/processing_time/total_ms", self._on_total, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._get = self.node.create_client(GetParameters, "/segpoint/get_parameters")
        self._set = self.node.create_client(SetParameters, "/segpoint/set_parameters")
        self._change = self.node.create_client(ChangeState, "/segpoint/change_state")
        self._asked: tuple[float, Any] | None = None
        self.start()

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def start(self) -> None:
        import psutil

        killed = sum(what == "killed" for _, what in self.events)
        log = self._log.with_stem(f"{self._log.stem}-{killed + 1}") if killed else self._log
        running = running_node(log, self._environment, "-p", "instruction:=pick up the mug")
        self.process = self._running.enter_context(running)
        self._watched = psutil.Process(self.process.pid)

    def kill(self) -> None:
        """SIGKILL, and the next node at once."""
        self.process.kill()
        self.process.wait()
        self._running.close()
        for name, count in self.counts.items():
            self._before[name] = count
        self._asked = None
        self._happened("killed")
        self.start()

    def close(self) -> int:
        """End the node as a user does. Its exit code."""
        self._running.close()
        return self.process.returncode

    def spin(self) -> None:
        self._executor.spin_once(timeout_sec=0.02)

    def wish(self, wish: str) -> None:
        """Something else is asked."""
        from geometry_msgs.msg import PointStamped
        from rclpy.parameter import Parameter
        from std_msgs.msg import String

        self._happened(wish or "clear")
        if wish == "click":
            message = PointStamped()
            message.header.frame_id = FRAME
            message.point.x, message.point.y, message.point.z = 0.0, 0.1, 0.9
            self._finger.publish(message)
        elif wish == "threshold":
            value = Parameter("mask.threshold", value=random.choice([0.0, 0.3, 0.5])).to_parameter_msg()
            self._set.call_async(self._set.srv_type.Request(parameters=[value]))
        else:
            self._voice.publish(String(data=wish))

    def change(self, transition: int) -> None:
        self._happened("activate" if transition == 3 else "deactivate")
        request = self._change.srv_type.Request()
        request.transition.id = transition
        self._change.call_async(request)

    def probe(self) -> None:
        """Ask for a parameter, unless the last answer is still due."""
        if self._asked is not None and self.now - self._asked[0] < 5:
            return
        if self._get.service_is_ready():
            future = self._get.call_async(self._get.srv_type.Request(names=["input.max_rate"]))
            asked = time.perf_counter()
            self._asked = (self.now, future)
            future.add_done_callback(lambda _: self._on_parameter(time.perf_counter() - asked))

    def sample(self) -> None:
        """The process's size."""
        memory = self._watched.memory_info()
        self.samples.append(
            {
                "s": round(self.now, 1),
                "rss_mb": memory.rss / 1e6,
                "threads": self._watched.num_threads(),
                "files": self._watched.num_fds(),
                **{name: self.counts.get(name, 0) for name in ("received", "answered", "refused")},
            }
        )

    def _happened(self, what: str) -> None:
        self.events.append((self.now, what))

    def _on_targets(self, message: Any) -> None:
        stamp = message.header.stamp
        self._age = time.time() - stamp.sec - stamp.nanosec / 1e9 if stamp.sec else float("nan")

    def _on_total(self, message: Any) -> None:
        if np.isfinite(self._age):
            self.results.append((self.now, self._age, message.data / 1e3))
        self._age = float("nan")

    def _on_parameter(self, seconds: float) -> None:
        self.answers_of_service.append((self.now, seconds))
        self._asked = None

    def _on_diagnostics(self, message: Any) -> None:
        (status,) = message.status
        self.diagnostics = {pair.key: pair.value for pair in status.values}
        for key, value in self.diagnostics.items():
            if key.startswith("clouds "):
                name = key.removeprefix("clouds ")
                self.counts[name] = self._before.get(name, 0) + int(value)


def live(life: Life, minutes: float, kill_every: float) -> None:
    """Let time pass, with all that happens in it."""
    from tqdm import tqdm

    def every(seconds: float) -> Iterator[bool]:
        due = life.now + seconds
        while True:
            happens = life.now >= due
            due += seconds if happens else 0.0
            yield happens

    wishes = itertools.cycle(WISHES)
    wish, pause, probe, sample = every(WISH_EVERY), every(PAUSE_EVERY), every(PROBE_EVERY), every(SAMPLE_EVERY)
    kill = every(kill_every) if kill_every else itertools.repeat(False)
    activate_at = float("inf")
    with tqdm(
        total=round(60 * minutes), unit="s", desc="soak", mininterval=1 if sys.stderr.isatty() else 60
    ) as progress:
        while life.now < 60 * minutes:
            life.spin()
            if life.process.poll() is not None:
                raise SystemExit(f"the node has ended by itself with {life.process.returncode}, see the log")
            if next(wish):
                life.wish(next(wishes))
            if next(pause):
                life.change(4)
                activate_at = life.now + 2
            if life.now > activate_at:
                life.change(3)
                activate_at = float("inf")
            if next(probe):
                life.probe()
            if next(kill):
                life.kill()
            if next(sample):
                life.sample()
                progress.update(round(life.now) - progress.n)


def summary(life: Life, warm_up: float) -> dict[str, Any]:
    """The figures; memory is judged from ``warm_up`` seconds on, in the life of the last node."""
    killed = [when for when, what in life.events if what == "killed"]
    since = min((killed[-1] if killed else 0.0) + warm_up, life.now - 10)
    memory = np.array([(s["s"], s["rss_mb"]) for s in life.samples if s["s"] > since])
    _, age, work = np.array(life.results).T
    asked, took = np.array(life.answers_of_service).T
    loading = np.zeros(len(asked), bool)
    for start in [0.0, *killed]:
        first = min((r[0] for r in life.results if r[0] > start), default=np.inf)
        loading |= (asked >= start) & (asked <= first)
    service, while_loading = 1e3 * took[~loading], 1e3 * took[loading]
    bound = 2 * work + 1 / HERTZ
    back = [min((r[0] for r in life.results if r[0] > when), default=np.inf) - when for when in killed]
    return {
        "minutes": round(life.now / 60, 1),
        "clouds received": life.counts.get("received", 0),
        "results": len(life.results),
        "refused": life.counts.get("refused", 0),
        "outdated, busy": [life.counts.get(f"skipped: {why}", 0) for why in ("outdated", "busy")],
        "age s p50": float(np.median(age)),
        "age s p95": float(np.percentile(age, 95)),
        "age s max": float(age.max()),
        "processing s p50": float(np.median(work)),
        "processing s p95": float(np.percentile(work, 95)),
        "results older than 2 x processing and a camera's period": int((age > bound).sum()),
        "parameter service ms p50": float(np.median(service)),
        "parameter service ms p95": float(np.percentile(service, 95)),
        "parameter service ms max": float(service.max()),
        "parameter service over 200 ms": int((service > 200).sum()),
        "parameter service calls": len(service),
        "parameter service ms max while the model is loaded": float(while_loading.max(initial=0.0)),
        "memory MB first and last minute": [
            float(np.median(memory[memory[:, 0] < memory[0, 0] + 60, 1])),
            float(np.median(memory[memory[:, 0] > memory[-1, 0] - 60, 1])),
        ],
        "memory MB/hour": float(3600 * np.polyfit(*memory.T, 1)[0]),
        "threads": [min(s["threads"] for s in life.samples), max(s["threads"] for s in life.samples)],
        "files": [min(s["files"] for s in life.samples), max(s["files"] for s in life.samples)],
        "kills": len(killed),
        "s from kill to result": [round(seconds, 1) for seconds in back],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument(
        "--kill-every", type=float, default=0.0, metavar="S", help="SIGKILL every S seconds, and restart"
    )
    parser.add_argument("--warm-up", type=float, default=90.0, metavar="S", help="memory is judged from then on")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "soak")
    parser.add_argument("--seed", type=int, default=SEED, help="of the scene")
    parser.add_argument("--camera", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.camera:
        camera(arguments.seed)
        return 0
    random.seed(0)
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ.pop(PROFILE, None)  # one of the user's may reach other machines
    os.environ.update(graph_of_its_own(os.environ))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    life = Life(dict(os.environ), arguments.out / "node.log")
    eye = subprocess.Popen([sys.executable, __file__, "--camera", "--seed", str(arguments.seed)])
    try:
        live(life, arguments.minutes, arguments.kill_every)
    except KeyboardInterrupt:
        print("stopped: what was measured so far", file=sys.stderr)
    finally:
        eye.terminate()
        eye.wait()
        code = life.close()
    if not (life.results and life.answers_of_service):
        print(f"nothing was measured; the node's log is {arguments.out / 'node.log'}", file=sys.stderr)
        return 1
    figures = {**summary(life, min(arguments.warm_up, 30 * arguments.minutes)), "exit code": code}
    (arguments.out / "soak.json").write_text(json.dumps(figures, indent=1) + "\n")
    with (arguments.out / "soak.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, life.samples[0])
        writer.writeheader()
        writer.writerows(life.samples)
    (arguments.out / "events.json").write_text(
        json.dumps({"events": life.events, "results": life.results, "service": life.answers_of_service})
    )
    draw(arguments.out)
    for name, value in figures.items():
        print(f"{name}: {value:.3g}" if isinstance(value, float) else f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
