"""PointCloud2 ↔ arrays beside other libraries: ``python -m segpoint_ros.message_benchmark SPEC RESULT``.

A program that `segpoint benchmark` starts: SPEC is JSON with ``cloud`` (a file) and ``repeats``, RESULT gets JSON. The
work is the node's: a message to coordinates (M, 3) and colour (M, 3), and back to a message with ``label`` and
``score``. What each makes of it is compared with what it should be.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from segpoint.files import read_points
from segpoint.turns import take_turns
from segpoint_ros.pointcloud2 import label_cloud, make_cloud, points_of, read_cloud

FIELDS = ("x", "y", "z", "rgb", "label", "score")  # of the message written

Result = tuple[np.ndarray, np.ndarray, PointCloud2]  # coordinates, colour, the message with the answer


class Work:
    """A cloud's message and an answer about it."""

    def __init__(self, xyz: np.ndarray, rgb: np.ndarray | None) -> None:
        rng = np.random.default_rng(0)
        self.xyz = xyz
        self.rgb = rng.integers(0, 256, xyz.shape).astype(np.uint8) if rgb is None else rgb
        self.message = make_cloud(Header(frame_id="camera"), xyz, self.rgb)
        self.label = np.zeros(len(xyz), np.uint32)
        self.label[: len(xyz) // 100] = 1
        self.score = rng.random(len(xyz), np.float32)
        self.written: PointCloud2 | None = None

    def wrong(self, result: Result) -> list[str]:
        """What of a result is not as it should be."""
        xyz, rgb, message = result
        wrong = []
        if not np.array_equal(xyz.reshape(-1, 3), self.xyz, equal_nan=True):
            wrong.append("coordinates read")
        if not np.array_equal(rgb.reshape(-1, 3), self.rgb):
            wrong.append("colours read")
        return wrong + [f"{name} written" for name in FIELDS if self._lost(message, name)]

    def _lost(self, message: PointCloud2, name: str) -> bool:
        """Whether a field of the message written is missing or wrong; the colour of targets is anybody's choice."""
        try:
            written = points_of(message).reshape(-1)[name]
        except Exception:  # noqa: BLE001  whatever a message can be wrong in
            return True
        own = points_of(self.message)[0]
        expected = {"label": self.label, "score": self.score}
        expected |= {field: own[field] for field in ("x", "y", "z", "rgb")}
        rest = self.label == 0 if name == "rgb" else slice(None)
        return written.dtype != expected[name].dtype or written[rest].tobytes() != expected[name][rest].tobytes()


def ours(work: Work) -> Result:
    """As the node does it: what lies in the message is looked at there, and the message before is written over."""
    cloud = read_cloud(work.message, copy=False)
    assert cloud.rgb is not None
    work.written = label_cloud(work.message, work.label, work.score, "optical", into=work.written)
    return cloud.xyz, cloud.rgb, work.written


def ros2_numpy(work: Work) -> Callable[[], Result]:
    """Whichever of its two interfaces is installed: records of a cloud's own fields, or a dict of three known ones."""
    library = import_module("ros2_numpy")
    logging.getLogger("ros2_numpy").setLevel(logging.ERROR)  # a warning a call

    def by_records() -> Result:
        points = library.numpify(work.message)
        xyz = library.point_cloud2.get_xyz_points(points, remove_nans=False, dtype=np.float32)
        split = library.point_cloud2.split_rgb_field(points)
        rgb = np.stack([split[channel] for channel in "rgb"], axis=-1)
        return xyz, rgb, library.msgify(PointCloud2, with_answer(points, work))

    def by_dict() -> Result:
        found = library.numpify(work.message)
        return found["xyz"], found["rgb"], library.msgify(PointCloud2, {"xyz": found["xyz"], "rgb": found["rgb"]})

    return by_dict if isinstance(library.numpify(work.message), dict) else by_records


def sensor_msgs_py(work: Work) -> Callable[[], Result]:
    library = import_module("sensor_msgs_py.point_cloud2")
    kinds = dict.fromkeys(FIELDS, PointField.FLOAT32) | {"label": PointField.UINT32}
    fields = [PointField(name=n, offset=4 * i, datatype=kind, count=1) for i, (n, kind) in enumerate(kinds.items())]

    def run() -> Result:
        points = library.read_points(work.message)
        xyz = library.read_points_numpy(work.message, ["x", "y", "z"])
        rgb = np.ascontiguousarray(points["rgb"]).view(np.uint8).reshape(-1, 4)[:, 2::-1]
        return xyz, rgb, library.create_cloud(work.message.header, fields, with_answer(points, work))

    return run


def with_answer(points: np.ndarray, work: Work) -> np.ndarray:
    """Records with two fields more."""
    found = np.empty(points.shape, [*points.dtype.descr, ("label", "<u4"), ("score", "<f4")])
    for name in points.dtype.names or ():
        found[name] = points[name]
    found["label"], found["score"] = work.label.reshape(points.shape), work.score.reshape(points.shape)
    return found


def measure(cloud: str, repeats: int) -> dict[str, Any]:
    points = read_points(cloud)
    work = Work(points.xyz, points.rgb)
    runs: dict[str, Callable[[], Result]] = {"ours": lambda: ours(work)}
    missing, notes = {}, {}
    for name, make, remedy in (
        ("ros2-numpy", ros2_numpy, "pip install --no-deps ros2-numpy==0.0.2 transformations pybase64 ros-nav-msgs"),
        ("sensor_msgs_py", sensor_msgs_py, "comes with a ROS 2 distribution"),
    ):
        try:
            run = make(work)
            wrong = work.wrong(run())
        except ImportError as error:
            missing[name] = f"{remedy} ({error})"
            continue
        except Exception as error:  # noqa: BLE001  whatever another library does to this message
            missing[name] = f"{_versioned(name)} fails: {type(error).__name__}: {error}"
            continue
        runs[name] = run
        notes[name] = f"{_versioned(name)}; " + (f"WRONG: {', '.join(wrong)}" if wrong else "the same")
    if wrong := work.wrong(ours(work)):
        raise AssertionError(f"our own message is wrong: {wrong}")
    what = f"PointCloud2 of {len(points.xyz):,} points: read, and written with the answer"
    return {"id": "messages", "what": what, "seconds": take_turns(runs, repeats), "notes": notes, "missing": missing}


def _versioned(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return distribution


def main(argv: list[str]) -> int:
    spec = json.loads(Path(argv[0]).read_text())
    Path(argv[1]).write_text(json.dumps(measure(spec["cloud"], spec["repeats"])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
