"""What the node sees and says as Rerun's entities, and how a viewer lays them out.

| entity | | |
|---|---|---|
| ``scene/input`` | Points3D | the input, in its colours |
| ``scene/labelled`` | Points3D | the labelled cloud, targets highlighted |
| ``scene/boxes`` | Boxes3D | a box for each target, with its name and score |
| ``scene/targets`` | Arrows3D | each target's axes: x red, y green, z blue |
| ``said/…`` | TextLog | instructions, answers, and what the node says of itself |
| ``now``, ``diagnostics`` | TextDocument | what is asked and answered now; the node's diagnostics |
| ``times/…``, ``latencies/…``, ``rates/…`` | Scalars | the diagnostics' values in ms, in s and in Hz |

Timelines: ``arrival`` (this machine's clock) and ``stamp`` (the clouds' own time; what has none takes the last one).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, PoseArray, Quaternion, Vector3
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

from segpoint_ros.pointcloud2 import read_cloud

APPLICATION = "segpoint_view"
AXES = {
    "optical": rr.ViewCoordinates.RDF,  # x right, y down, z forward
    "body": rr.ViewCoordinates.FLU,  # x forward, y left, z up
    "map": rr.ViewCoordinates.RIGHT_HAND_Z_UP,
}
NO_COLOUR = (170, 170, 170)  # of a cloud that brings none
AXIS_LENGTH = 0.1  # metres
FAR = 10_000.0  # metres; beyond, float32 is coarser than a millimetre, so what lies there is moved to the origin
SHOWN_S = 120  # seconds that the plots show
_UNITS = {"ms": "times", "s": "latencies", "Hz": "rates"}
_WITH_UNIT = re.compile(rf"(.+) \(({'|'.join(_UNITS)})\)")  # "encoder (ms)"
_NO_TEXT = Marker()
_FLUSH_S = 5.0  # for a viewer that does not take what is left


class Recording:
    """A stream of a node's messages to viewers and, or, into a file.

    name: the node's.   sinks: where to, `rerun.GrpcServerSink` or `rerun.FileSink`.
    max_points: points to show of a cloud, taken at random; 0 shows all.
    """

    def __init__(self, name: str, sinks: Sequence[rr.GrpcServerSink | rr.FileSink], max_points: int = 0) -> None:
        self._stream = rr.RecordingStream(APPLICATION)
        self._stream.set_sinks(*sinks, default_blueprint=_blueprint())
        self._stream.send_recording_name(name)
        self._stream.set_log_tick_enabled(False)
        self._stream.set_log_time_enabled(False)  # the same as "arrival"
        self._max_points = max_points
        self._frame = ""
        self._origin = np.zeros(3)
        self._markers: dict[tuple[str, int], Marker] = {}
        self._latest = {"instruction": "", "answer": "", "node": ""}

    def close(self) -> None:
        """Hand over what is not written yet."""
        self._stream.flush(timeout_sec=_FLUSH_S)
        self._stream.disconnect()

    def cloud(self, entity: str, message: PointCloud2, frame: str) -> None:
        """A cloud under ``scene/``. Points with NaN are left out.

        frame: its axes, one of AXES. Raises `SegPointError` where the cloud cannot be read.
        """
        cloud = read_cloud(message, copy=False)
        shown = np.flatnonzero(np.isfinite(cloud.xyz).all(axis=1))
        if 0 < self._max_points < len(shown):
            # At random, for every n-th would make stripes; and with one seed, for a scene at rest must not flicker.
            shown = np.random.default_rng(0).choice(shown, self._max_points, replace=False, shuffle=False)
        xyz = cloud.xyz[shown]
        self._at(message.header.stamp)
        if frame != self._frame and len(xyz):
            self._look_along(frame, xyz)
        colours = NO_COLOUR if cloud.rgb is None else cloud.rgb[shown]
        self._stream.log(f"scene/{entity}", rr.Points3D(self._near(xyz), colors=colours))

    def markers(self, message: MarkerArray) -> None:
        """Boxes (CUBE) with the text of the same id, as the node sends them: changes to those that stand."""
        for marker in message.markers:
            if marker.action == Marker.DELETEALL:
                self._markers.clear()
            elif marker.action == Marker.DELETE:
                self._markers.pop((marker.ns, marker.id), None)
            else:
                self._markers[marker.ns, marker.id] = marker
        boxes, texts = self._boxes()
        self._at(message.markers[0].header.stamp if message.markers else None)
        self._stream.log(
            "scene/boxes",
            rr.Boxes3D(
                centers=self._near([_xyz(box.pose.position) for box in boxes]),
                sizes=[_xyz(box.scale) for box in boxes],
                quaternions=[_xyzw(box.pose.orientation) for box in boxes],
                colors=[(box.color.r, box.color.g, box.color.b) for box in boxes],
                labels=texts,
                show_labels=True,
            ),
        )
        self._show_latest()

    def _boxes(self) -> tuple[list[Marker], list[str]]:
        """The boxes that stand, and for each the text of the same id."""
        boxes = [marker for marker in self._markers.values() if marker.type == Marker.CUBE]
        return boxes, [self._markers.get(("text", box.id), _NO_TEXT).text for box in boxes]

    def targets(self, message: PoseArray) -> None:
        """The axes of each target's box."""
        axes = np.concatenate([np.empty((0, 3)), *(_axes(_xyzw(pose.orientation)) for pose in message.poses)])
        origins = np.repeat(self._near([_xyz(pose.position) for pose in message.poses]), 3, axis=0)
        colours = np.tile(255 * np.eye(3, dtype=np.uint8), (len(message.poses), 1))
        self._at(message.header.stamp)
        self._stream.log("scene/targets", rr.Arrows3D(origins=origins, vectors=AXIS_LENGTH * axes, colors=colours))

    def say(self, who: str, text: str, level: str = "INFO") -> None:
        """A line of the log, which also stands as the latest: ``who`` is "instruction", "answer" or "node".

        An answer that says the same again, as with each cloud, is no line of its own.
        """
        if who == "answer" and text == self._latest["answer"]:
            return
        if who == "instruction":
            self._latest["answer"] = ""
        self._latest[who] = text if level == "INFO" else f"{level}: {text}"
        self._at(None)
        line = " ".join(text.split()) or "(none)"
        self._stream.log(f"said/{who}", rr.TextLog(f"{who}: {line}", level=level))
        self._show_latest()

    def _show_latest(self) -> None:
        lines = [f"**{_literal(self._latest['instruction'])}**\n"] if self._latest["instruction"] else []
        lines += [f"{_literal(line)}  " for line in self._latest["answer"].splitlines()]  # two spaces: a line's end
        lines.append("")
        for box, text in zip(*self._boxes(), strict=True):
            centre = ", ".join(f"{value:.2f}" for value in _xyz(box.pose.position))
            size = " × ".join(f"{value:.2f}" for value in _xyz(box.scale))
            lines.append(f"- {_literal(text)} at ({centre}), {size} m")
        lines.append(f"\n{_literal(self._latest['node'])}")
        self._stream.log("now", rr.TextDocument("\n".join(lines), media_type=rr.MediaType.MARKDOWN))

    def diagnostics(self, status: DiagnosticStatus) -> None:
        """All of the node's status as a table, and what has a unit as plots."""
        self._at(None)  # its own stamp is later than those of the clouds that are still to come
        table = [f"**{level_of(status)}** {_literal(status.message)}\n", "| | |", "|---|---|"]
        table += [f"| {_literal(pair.key)} | {_literal(pair.value)} |" for pair in status.values]
        self._stream.log("diagnostics", rr.TextDocument("\n".join(table), media_type=rr.MediaType.MARKDOWN))
        for pair in status.values:
            if found := _WITH_UNIT.fullmatch(pair.key):
                self._plot([_UNITS[found[2]], found[1]], pair.value)

    def _plot(self, entity: list[object], value: str) -> None:
        try:
            number = float(value)
        except ValueError:  # empty where there is none, for example the age of a cloud without a stamp
            return
        self._stream.log(entity, rr.Scalars(number))

    def _at(self, stamp: Time | None) -> None:
        """The time of what is logged next. None, or a stamp of 0, which says that there is none, takes the last one."""
        self._stream.set_time("arrival", timestamp=np.datetime64(time.time_ns(), "ns"))
        if stamp is not None and (stamp.sec or stamp.nanosec):
            self._stream.set_time("stamp", timestamp=np.datetime64(stamp.sec * 1_000_000_000 + stamp.nanosec, "ns"))

    def _look_along(self, frame: str, xyz: np.ndarray) -> None:
        """The axes of the scene, and where to look at it from, now that they are known."""
        self._frame = frame
        middle = np.round(np.median(xyz, axis=0))
        self._origin = middle if np.abs(middle).max() > FAR else np.zeros(3)
        if self._origin.any():
            self.say("node", f"shown around {tuple(middle.tolist())}")
        self._stream.log("scene", AXES[frame], static=True)
        self._stream.send_blueprint(_blueprint(_eye(frame, self._near(xyz))))

    def _near(self, xyz: np.ndarray | list[tuple[float, float, float]]) -> np.ndarray:
        """(K, 3) float32, which is what Rerun draws in."""
        near = np.reshape(xyz, (-1, 3))
        return (near - self._origin if self._origin.any() else near).astype(np.float32, copy=False)


def level_of(status: DiagnosticStatus) -> str:
    """A diagnostic level as the log's. Stale is an error, too."""
    return {DiagnosticStatus.OK: "INFO", DiagnosticStatus.WARN: "WARN"}.get(status.level, "ERROR")


def _blueprint(eye: rrb.EyeControls3D | None = None) -> rrb.Blueprint:
    """The answer large; beside it what is asked and said, the input, and how the node is."""
    shown = rrb.VisibleTimeRange(
        "arrival",
        start=rrb.TimeRangeBoundary.cursor_relative(seconds=-SHOWN_S),
        end=rrb.TimeRangeBoundary.cursor_relative(),
    )

    def scene(name: str, contents: str | list[str]) -> rrb.Spatial3DView:
        return rrb.Spatial3DView(origin="scene", contents=contents, name=name, eye_controls=eye, line_grid=False)

    wide = rrb.Vertical(
        scene("Answer", ["+ scene/**", "- scene/input"]),
        rrb.TextLogView(
            origin="said",
            name="Log",
            columns=rrb.TextLogColumns(timeline_columns=["arrival"], text_log_columns=["loglevel", "body"]),
        ),
        row_shares=[4, 1],
    )
    side = rrb.Vertical(
        rrb.TextDocumentView(origin="now", name="Now"),
        scene("Input", "scene/input"),
        rrb.TimeSeriesView(origin="times", name="Stages, ms", time_ranges=shown),
        rrb.Tabs(
            rrb.TimeSeriesView(origin="latencies", name="Latency, s", time_ranges=shown),
            rrb.TimeSeriesView(origin="rates", name="Rates, Hz", time_ranges=shown),
            rrb.TextDocumentView(origin="diagnostics", name="Diagnostics"),
            active_tab=0,
        ),
        row_shares=[1.5, 1.5, 1.8, 1.1],
    )
    return rrb.Blueprint(
        rrb.Horizontal(wide, side, column_shares=[2.2, 1]),
        rrb.TimePanel(state="collapsed", timeline="arrival", play_state="following"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.BlueprintPanel(state="collapsed"),
    )


def _eye(frame: str, xyz: np.ndarray) -> rrb.EyeControls3D:
    """Over the sensor's shoulder; at a map, which has no sensor, from a corner."""
    middle = np.median(xyz, axis=0)
    if frame == "optical":
        far = float(np.linalg.norm(middle))
        position, up = np.array([0.0, -0.3 * far, 0.1 * far]), (0.0, -1.0, 0.0)
    elif frame == "body":
        far = float(np.linalg.norm(np.percentile(np.abs(xyz), 90, axis=0)))
        position, up = np.array([-0.7 * far, 0.0, 0.7 * far]), (0.0, 0.0, 1.0)
    else:
        far = float(np.linalg.norm(np.ptp(np.percentile(xyz, (5, 95), axis=0), axis=0)))
        position, up = middle + far * np.array([-0.6, -0.6, 0.7]), (0.0, 0.0, 1.0)
    return rrb.EyeControls3D(position=position, look_target=middle, eye_up=up, kind=rrb.Eye3DKind.Orbital)


def _literal(text: str) -> str:
    """As code in a line of Markdown: <SEG> is no HTML then, and whatever somebody says to the robot no picture.

    A table's cells end at a bar, also in code.
    """
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "¦") + "`" if text.strip() else ""


def _xyz(vector: Point | Vector3) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z


def _xyzw(turn: Quaternion) -> tuple[float, float, float, float]:
    return turn.x, turn.y, turn.z, turn.w


def _axes(turn: tuple[float, float, float, float]) -> np.ndarray:
    """(3, 3): the rows are the turned x, y and z axes. A quaternion of zeros, which is none, turns nothing."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(turn if any(turn) else (0.0, 0.0, 0.0, 1.0)).as_matrix().T
