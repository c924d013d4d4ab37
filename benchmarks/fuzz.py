"""A thousand broken messages over DDS: after every ten of them the node must answer a good cloud.

    python benchmarks/fuzz.py                        # a table, and out/fuzz/fuzz.json, node.log
    python benchmarks/fuzz.py --messages 60 --batch 5 --seed 7

The real node is a process of its own; this one sends what no driver should: clouds of a generated scene, sentences,
clicks and boxes, changed as messages (sizes, fields, data, names, numbers) and as the bytes that DDS carries (bits
flipped, cut short, lengths without end, noise). The same seed gives the same messages. Ends with 1 where a good cloud
gets no answer, or the node ends or logs a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from segpoint_ros.process import graph_of_its_own, running_node  # noqa: E402

os.environ.update(graph_of_its_own(os.environ))  # read once, by this process's DDS and by the node's
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import PointStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from rclpy.time import Time  # noqa: E402
from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from segpoint_ros.pointcloud2 import make_cloud  # noqa: E402
from segpoint_training.scenes.generate import generate_scene  # noqa: E402

FRAME = "camera_depth_optical_frame"
INSTRUCTION = "pick up the mug"
SCENE = 900_000  # of the test split
START = 180.0  # seconds that the node may take to start, engines included
PATIENCE = 60.0  # seconds that the answer to a good cloud may take on a busy machine
REPEAT = 2.0  # seconds after which a good cloud, which best effort may lose, is sent again
PACE = 0.02  # seconds between broken messages, so that the node sees each

Node = subprocess.Popen[bytes]

ODD = (0.0, -0.0, 1.0, 1e-40, -1e30, 3.4e38, float("inf"), float("-inf"), float("nan"))
SIZES = (0, 1, 2, 63, 65, 1 << 16, 1 << 20, 2**31, 2**32 - 1)


# --- how a message is broken: a good one of its own in, what is sent out ----------------------------------------------


def text(rng: random.Random) -> str:
    """Any letters that UTF-8 has, some of them often."""
    some = ("", "mug", ";", "\n", "<SEG>", "</s>", "\0", "\x1b[2J", "☕", "﷽" * 50, "mug; " * 40, "m" * 100_000)
    letters = (
        chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)])) for _ in range(rng.randrange(40))
    )
    return rng.choice(some) + "".join(letters)


def header(rng: random.Random, cloud: PointCloud2) -> PointCloud2:
    cloud.header.frame_id = text(rng)
    cloud.header.stamp.sec = rng.choice([0, -1, -(2**31), 2**31 - 1, 5])
    cloud.header.stamp.nanosec = rng.choice([0, 10**9, 2**32 - 1])
    return cloud


def sizes(rng: random.Random, cloud: PointCloud2) -> PointCloud2:
    for name in rng.sample(["height", "width", "point_step", "row_step"], rng.choice([1, 1, 2, 4])):
        setattr(cloud, name, rng.choice([*SIZES, getattr(cloud, name) + 1, rng.randrange(2**32)]))
    cloud.is_bigendian = rng.random() < 0.3
    return cloud


def fields(rng: random.Random, cloud: PointCloud2) -> PointCloud2:
    changed: list[PointField] = list(cloud.fields)
    rng.shuffle(changed)
    for field in changed[: rng.choice([1, 1, 2, 4])]:
        name = rng.choice(["name", "offset", "datatype", "count"])
        odd: dict[str, Any] = {"name": text(rng)[:200], "datatype": rng.randrange(256)}
        setattr(field, name, odd.get(name, rng.choice(SIZES)))
    cloud.fields = changed * rng.choice([1, 1, 0, 500])
    return cloud


def data(rng: random.Random, cloud: PointCloud2) -> PointCloud2:
    content = bytes(cloud.data)
    kept = content[: rng.choice([0, 1, len(content) - 1, rng.randrange(len(content))])]
    cloud.data = rng.choice([kept, content + bytes(rng.choice([1, 10_000])), rng.randbytes(len(content))])
    return cloud


def values(rng: random.Random, cloud: PointCloud2) -> PointCloud2:
    """Right in every byte, but no scene: the same point everywhere, a few points, all NaN, farther than stars."""
    count = rng.choice([1, 3, 40, cloud.width * cloud.height])
    cloud.height, cloud.width, cloud.row_step = 1, count, count * cloud.point_step
    share, odd = rng.choice([1.0, 0.5, 0.01]), rng.choice(ODD)
    content = bytearray(bytes(cloud.data)[: cloud.row_step])
    for place in range(0, len(content), cloud.point_step):
        if rng.random() < share:
            struct.pack_into("<3f", content, place, odd, odd, rng.choice([odd, rng.choice(ODD)]))
    cloud.data = bytes(content)
    return cloud


def flipped(rng: random.Random, message: Any) -> bytes:
    content = bytearray(serialize_message(message))
    for _ in range(rng.choice([1, 1, 4, 64])):
        content[rng.randrange(min(len(content), rng.choice([8, 64, 200, len(content)])))] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(rng: random.Random, message: Any) -> bytes:
    content = bytes(serialize_message(message))
    # Not to nothing: Fast DDS itself holds back what follows on a reliable topic until its writer has forgotten that.
    return content[: rng.choice([1, 4, 12, rng.randrange(1, len(content)), rng.randrange(1, min(200, len(content)))])]


def lengths(rng: random.Random, message: Any) -> bytes:
    """Numbers of four bytes, the lengths of strings and sequences among them, made large."""
    content = bytearray(serialize_message(message))
    for _ in range(rng.choice([1, 2])):
        place = 4 * rng.randrange(1, min(60, len(content) // 4))
        struct.pack_into("<I", content, place, rng.choice([*SIZES, 10**6]))
    return bytes(content)


def noise(rng: random.Random, message: Any) -> bytes:
    return bytes(serialize_message(message))[: rng.choice([0, 4, 60])] + rng.randbytes(rng.choice([1, 40, 3000]))


def some_bytes(rng: random.Random, message: Any) -> bytes:
    return rng.choice(list(BYTES.values()))(rng, message)


def words(rng: random.Random, message: String) -> String:
    return String(data=text(rng))


def click(rng: random.Random, message: PointStamped) -> PointStamped:
    message.header.frame_id = rng.choice(["", FRAME, "map", text(rng)])
    for axis in "xyz":
        setattr(message.point, axis, rng.choice([*ODD, 1e308, rng.uniform(-1, 1)]))
    return message


def box(rng: random.Random, message: Marker) -> Marker:
    message.header.frame_id = rng.choice(["", FRAME, FRAME, text(rng)])
    message.type, message.action = rng.choice([1, 1, 1, 9, -5]), rng.choice([0, 0, 0, 2, 3, 7])
    for part, axes in ((message.pose.position, "xyz"), (message.pose.orientation, "xyzw"), (message.scale, "xyz")):
        for axis in axes:
            setattr(part, axis, rng.choice([*ODD, 1e308, rng.uniform(-1, 1), rng.uniform(0, 1)]))
    return message


BYTES: dict[str, Callable] = {"bits flipped": flipped, "cut short": cut, "lengths": lengths, "noise": noise}
KINDS: list[tuple[str, str, Callable]] = [
    *(("cloud", kind.__name__, kind) for kind in (header, sizes, fields, data, values)),
    *(("cloud", name, kind) for name, kind in BYTES.items()),
    ("words", "any text", words),
    ("click", "any numbers", click),
    ("box", "any numbers", box),
    *((topic, "any bytes", some_bytes) for topic in ("words", "click", "box")),
]


# --- the node, and what is asked of it --------------------------------------------------------------------------------


@dataclass
class Batch:
    """Broken messages of one kind, and the good clouds in between.

    received, refused: clouds, by the node's own counts, the good ones among them.   slowest: seconds until an answer.
    memory_mb: of the node afterwards.
    """

    topic: str
    kind: str
    sent: int = 0
    received: int = 0
    refused: int = 0
    asked: int = 0
    answered: int = 0
    slowest: float = 0.0
    memory_mb: int = 0


class Stranger:
    """Sends messages to the node, good ones and others, and hears what comes back."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = rclpy.create_node("stranger")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)  # the node's camera is best effort
        topics = {"cloud": (PointCloud2, "/segpoint/input/points"), "words": (String, "/instruction"),
                  "click": (PointStamped, "/clicked_point"), "box": (Marker, "/segpoint/input/box")}  # fmt: skip
        self.publishers = {n: self.node.create_publisher(kind, topic, reliable) for n, (kind, topic) in topics.items()}
        scene = generate_scene(SCENE, "test", "kinect", 64, 48)
        cloud = make_cloud(Header(frame_id=FRAME), scene.xyz, scene.rgb, scene.width, scene.height)
        self._good = {
            name: serialize_message(cloud if name == "cloud" else kind()) for name, (kind, _) in topics.items()
        }
        self._kinds = {name: kind for name, (kind, _) in topics.items()}
        self._answered: set[int] = set()  # stamps
        self._counts: dict[str, int] = {}
        self._counted_at = 0
        self.node.create_subscription(PointCloud2, "/segpoint/output/points", self._on_points, reliable)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, reliable)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def ready(self, alive: Callable[[], bool]) -> bool:
        """Whether the node has started, and answers."""
        heard = self.publishers.values()
        there = self._wait(lambda: all(publisher.get_subscription_count() for publisher in heard), START, alive)
        return there and self.ask(alive) < PATIENCE

    def good(self, topic: str) -> Any:
        """A message of its own to be broken."""
        return deserialize_message(self._good[topic], self._kinds[topic])

    def send(self, topic: str, message: Any) -> None:
        self.publishers[topic].publish(message)
        self._listen(PACE)

    def ask(self, alive: Callable[[], bool]) -> float:
        """Seconds until a good cloud is answered; PATIENCE where it is not."""
        self.publishers["words"].publish(String(data=INSTRUCTION))  # whatever stands, takes what was pointed at away
        began = again = time.monotonic()
        cloud, shown = self.good("cloud"), set[int]()

        def answered() -> bool:
            nonlocal again
            if time.monotonic() >= again:
                cloud.header.stamp = self.node.get_clock().now().to_msg()
                shown.add(Time.from_msg(cloud.header.stamp).nanoseconds)
                self.publishers["cloud"].publish(cloud)
                again = time.monotonic() + REPEAT
            return bool(shown & self._answered)

        self._wait(answered, PATIENCE, alive)
        return min(time.monotonic() - began, PATIENCE) if shown & self._answered else PATIENCE

    def counts(self, alive: Callable[[], bool]) -> dict[str, int]:
        """The node's counts of clouds as they are now; it tells them once a second."""
        since = self.node.get_clock().now().nanoseconds
        self._wait(lambda: self._counted_at > since, 5.0, alive)
        return dict(self._counts)

    def _wait(self, condition: Callable[[], bool], patience: float, alive: Callable[[], bool]) -> bool:
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end or not alive():
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True

    def _listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def _on_points(self, message: PointCloud2) -> None:
        stamp = message.header.stamp
        self._answered.add(stamp.sec * 10**9 + stamp.nanosec)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        values = {pair.key: pair.value for status in message.status for pair in status.values}
        self._counts = {name: int(values.get(f"clouds {name}", 0)) for name in ("received", "refused", "answered")}
        self._counted_at = Time.from_msg(message.header.stamp).nanoseconds


def memory_mb(node: Node) -> int:
    """What the process occupies; 0 where it has ended."""
    return psutil.Process(node.pid).memory_info().rss // 10**6 if node.poll() is None else 0


def batches(stranger: Stranger, node: Node, messages: int, size: int, seed: int) -> Iterator[Batch]:
    """Send ``messages`` broken ones, kind after kind, and a good cloud after each ``size`` of them."""
    rng = random.Random(seed)

    def alive() -> bool:
        return node.poll() is None

    before = stranger.counts(alive)
    for number, (topic, kind, broken) in enumerate(KINDS, start=1):
        left = messages * number // len(KINDS) - messages * (number - 1) // len(KINDS)
        batch = Batch(topic, kind)
        while left > batch.sent and alive():
            for _ in range(min(size, left - batch.sent)):
                stranger.send(topic, broken(rng, stranger.good(topic)))
                batch.sent += 1
            seconds = stranger.ask(alive)
            batch.asked, batch.answered = batch.asked + 1, batch.answered + (seconds < PATIENCE)
            batch.slowest = max(batch.slowest, seconds)
        now = stranger.counts(alive)
        batch.received, batch.refused = (now.get(name, 0) - before.get(name, 0) for name in ("received", "refused"))
        before = now
        batch.memory_mb = memory_mb(node)
        yield batch


def table(done: list[Batch]) -> str:
    form = "{:8} {:14} {:>5} {:>15} {:>8} {:>18} {:>8} {:>8}"
    names = "messages", "broken how", "sent", "clouds received", "refused", "good ones answered", "slowest", "memory"
    rows = [form.format(*names)]
    for batch in done:
        answered, slowest = f"{batch.answered} of {batch.asked}", f"{batch.slowest:.1f} s"
        numbers = (batch.sent, batch.received, batch.refused)
        rows.append(form.format(batch.topic, batch.kind, *numbers, answered, slowest, f"{batch.memory_mb} MB"))
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1000, help="broken ones in all (default: 1000)")
    parser.add_argument("--batch", type=int, default=10, help="of them between two good clouds (default: 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "fuzz")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    log = args.out / "node.log"
    done: list[Batch] = []
    with running_node(log, os.environ) as process:
        stranger = Stranger()
        try:
            if not stranger.ready(lambda: process.poll() is None):
                print(f"the node did not start, or answered nothing: see {log}", file=sys.stderr)
                return 1
            before = memory_mb(process)
            done.extend(batches(stranger, process, args.messages, args.batch, args.seed))
        except KeyboardInterrupt:
            print("stopped: what was sent so far", file=sys.stderr)
        finally:
            stranger.close()
        alive, after = process.poll() is None, memory_mb(process)
    said = log.read_text(errors="replace")
    good, answered = (sum(getattr(batch, name) for batch in done) for name in ("asked", "answered"))
    summary = {
        "sent": sum(batch.sent for batch in done), "refused": sum(batch.refused for batch in done), "good clouds": good,
        "answered": answered, "pid": process.pid, "alive": alive, "memory_mb": [before, after],
        "log_lines": len(said.splitlines()), "tracebacks": said.count("Traceback"),
    }  # fmt: skip
    print(table(done))
    print(", ".join(f"{name} {value}" for name, value in summary.items()))
    (args.out / "fuzz.json").write_text(
        json.dumps({**summary, "kinds": [asdict(batch) for batch in done]}, indent=1) + "\n"
    )
    return 0 if alive and good == answered and not summary["tracebacks"] else 1


if __name__ == "__main__":
    sys.exit(main())
