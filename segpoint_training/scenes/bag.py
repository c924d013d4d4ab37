"""A generated scene as a ROS bag from a moving sensor, with the truth: a data set of one's own (`datasets.own`).

FOLDER/scene is a rosbag2 folder with one .mcap (zstd): labelled clouds (organised where the sensor is a camera) on
`CLOUDS` or `SCANS`, poses on /tf and /tf_static (map → mount → sensor, exact), and on /instruction what is asked, some
seconds each, the first of it before the first cloud. FOLDER/instructions.json names the categories and asks every
instruction of the clouds that it is true of (`viewpoints` tells which): with "every" where these are all of them, or
else with one row for each, by "index".
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import check_folder
from segpoint_training.bag_writer import LEAD, MAP, OPTICAL, START, BagWriter, cloud_points, pose_of
from segpoint_training.parallel import in_order
from segpoint_training.scenes.frame_draws import FrameDraws
from segpoint_training.scenes.generate import SENSORS, recorded_scene, stage_table
from segpoint_training.scenes.meaning import FEW, View
from segpoint_training.scenes.recording import Recording, by_camera, by_lidar
from segpoint_training.scenes.request import SPLITS, SceneRequest
from segpoint_training.scenes.room_scene import stage_room
from segpoint_training.scenes.shapes import rotation
from segpoint_training.scenes.stage import Stage, Standpoint
from segpoint_training.scenes.viewpoints import Frame, Held, instructions_of_frames
from segpoint_training.stamp import write_whole

BAG = "scene"
CLOUDS, SCANS = "/camera/depth/color/points", "/lidar/points"  # of cameras, of LiDARs
_MOUNTS = {"optical": ("camera_link", "camera_depth_optical_frame"), "body": ("lidar_link", "lidar")}
_LIDARS, _MET = 6, 0.6  # LiDARs that are tried at most, and the share of objects that one should meet
_DAYS = 4096  # a ROS stamp ends in 2038
_SAID_FOR = 2.0  # seconds that an instruction stands


@dataclass(frozen=True)
class BagRequest:
    """Which bag: ``frames`` clouds of a scene, ``rate`` a second. The scene's ``sensor`` is not None, nor "map"."""

    scene: SceneRequest
    frames: int = 60
    rate: float = 10.0

    def stamp(self, number: int) -> int:
        """Nanoseconds since 1970 of a cloud."""
        return self.start + LEAD + round(number * 1e9 / self.rate)

    @property
    def start(self) -> int:
        """Nanoseconds since 1970 of the first message: a day for each seed, so that two bags are rarely of one time."""
        return START + self.scene.seed % _DAYS * 86_400 * 10**9


@dataclass(frozen=True)
class Shot:
    """One frame. points: (height, width), as `cloud_points` has them.   pose: (4, 4) sensor → map.   shown: ids of the
    objects with a point."""

    points: np.ndarray
    pose: np.ndarray
    axes: str
    shown: frozenset[int]
    frame: Frame


def write_scene_bag(folder: str | Path, request: BagRequest, workers: int | None = None) -> tuple[int, int, Path]:
    """Write a bag folder; returns how many instructions and rows it has, and the bag.

    The same request gives the same bytes, whatever the number of workers. Raises SegPointError where the folder has
    such a bag or an instructions.json already.
    """
    folder = Path(folder)
    claim(folder, BAG)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as made, tempfile.TemporaryFile(dir=folder) as spool:
        frames, poses = [], []
        there: set[int] = set()
        shots = in_order(
            partial(shoot, request), range(request.frames), workers=workers, describe=str(folder), unit="cloud"
        )
        axes = ""
        for shot in shots:  # what is said is known once all are seen, so the clouds wait on disk
            np.save(spool, shot.points)
            axes = shot.axes
            frames.append(shot.frame)
            there |= shot.shown
            poses.append(shot.pose)
        held = instructions_of_frames(frames, _stage(request)[0].objects, _draws(request, 3), request.scene.split)
        spool.seek(0)
        _write(Path(made) / BAG, request, axes, poses, spool, _spoken(held, request))
        (Path(made) / BAG).rename(folder / BAG)
    rows = [row for one in held for row in _rows(one, request.frames)]
    categories = {str(o.id): o.category for o in _stage(request)[0].objects if o.id in there}
    write_whole(folder / "instructions.json", dump({"categories": categories, "instructions": rows}))
    return len(held), len(rows), folder / BAG


def shoot(request: BagRequest, number: int) -> Shot:
    """One frame of a bag."""
    stage, path = _stage(request)
    scene, place = request.scene, path[number]
    recording, pose = _record(request, FrameDraws(_device(request), number), number)
    objects = stage.objects_at(place)
    seen = recorded_scene(recording, objects, stage.nameless, scene.seed, str(scene.sensor), scene.scale)
    points = cloud_points(seen.xyz, seen.rgb, seen.instance, seen.width, seen.height)
    shown = frozenset(np.unique(seen.instance[np.isfinite(seen.xyz).all(axis=1)]).tolist()) - {0}
    return Shot(points, pose, recording.frame, shown, Frame(tuple(objects), View.of(seen)))


def _record(request: BagRequest, rng: FrameDraws, number: int) -> tuple[Recording, np.ndarray]:
    """What the sensor gives, and its pose (4, 4) in the map."""
    stage, path = _stage(request)
    place = path[number]
    if request.scene.sensor == "lidar":
        turn, shift = place.level
        things = [(mesh.turned(turn, shift), surface) for mesh, surface in stage.things]
        recording = by_lidar(things, float(place.position[2]), rng, stage.reach)
        return recording, pose_of(rotation(2, place.heading), place.position)
    camera = stage.camera_at(place)
    recording = by_camera(stage.things, camera, str(request.scene.sensor), rng, stage.casting)
    return recording, pose_of(camera.turn, camera.position)


@lru_cache(maxsize=1)
def _device(request: BagRequest) -> tuple[int, ...]:
    """The seed of the sensor's settings. Of LiDARs it is one whose beams meet the objects, as a person would choose."""
    seeds = [(*_seed(request), attempt) for attempt in range(_LIDARS)]
    if request.scene.sensor != "lidar":
        return seeds[0]
    count = len(_stage(request)[0].objects)
    shares = []
    for seed in seeds:
        body = _record(request, FrameDraws(seed, 0), 0)[0].body
        shares.append(float((np.bincount(body, minlength=count)[1:count] > FEW).mean()))
        if shares[-1] > _MET:
            break
    return seeds[int(np.argmax(shares))]


def claim(folder: Path, bag: str) -> None:
    """Make a folder for a bag and its instructions.json. Raises SegPointError where one of them is there."""
    check_folder(folder)
    for name in (bag, "instructions.json"):
        if (folder / name).exists():
            raise SegPointError(f"{folder / name} is there already: write elsewhere or delete it")
    folder.mkdir(parents=True, exist_ok=True)


def dump(content: dict[str, Any]) -> bytes:
    """An instructions.json, a row a line."""
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in content["instructions"])
    head = json.dumps({**content, "instructions": []}, ensure_ascii=False, indent=1)
    return (head.removesuffix("[]\n}") + f"[\n  {rows}\n ]\n}}\n").encode()


@lru_cache(maxsize=1)
def _stage(request: BagRequest) -> tuple[Stage, list[Standpoint]]:
    scene = request.scene
    make = stage_table if scene.scale == "table" else stage_room
    stream = (scene.seed, SPLITS.index(scene.split), SENSORS.index(str(scene.sensor)))
    # the generator of the still scene, so that what stands where is as there
    rng = np.random.default_rng(stream if scene.scale == "table" else (*stream, 1))
    stage = make(rng, scene.split, str(scene.sensor), scene.width, scene.height)
    return stage, stage.path(_draws(request, 2), request.frames)


def _seed(request: BagRequest) -> tuple[int, ...]:
    scene = request.scene
    return scene.seed, SPLITS.index(scene.split), SENSORS.index(str(scene.sensor)), int(scene.scale == "room")


def _draws(request: BagRequest, purpose: int) -> np.random.Generator:
    return np.random.default_rng((*_seed(request), purpose))


def _write(
    path: Path, request: BagRequest, axes: str, poses: Sequence[np.ndarray], spool: BinaryIO, said: dict[int, str]
) -> None:
    mount, sensor = _MOUNTS[axes]
    topic = CLOUDS if axes == "optical" else SCANS
    fixed = pose_of(OPTICAL if axes == "optical" else np.eye(3), np.zeros(3))
    with BagWriter(path, compression="storage") as bag:
        bag.transforms(request.start, {(mount, sensor): fixed}, static=True)
        for number, pose in enumerate(poses):
            stamp = request.stamp(number)
            if number in said:
                bag.say(stamp - LEAD if number == 0 else stamp - 1000, said[number])
            bag.transforms(stamp, {(MAP, mount): pose @ np.linalg.inv(fixed)})
            bag.cloud(topic, stamp, sensor, np.load(spool))


def _spoken(held: Sequence[Held], request: BagRequest) -> dict[int, str]:
    """What is said before which frame: of those not said yet the first that holds longest while it stands."""
    step = max(1, round(_SAID_FOR * request.rate))
    left, said = list(held), {}
    for first in range(0, request.frames, step):
        if not left:
            break
        best = max(left, key=lambda one: sum(first <= number < first + step for number in one.frames))
        left.remove(best)
        said[first] = best.instruction.text
    return said


def _rows(held: Held, clouds: int) -> Iterator[dict[str, Any]]:
    said = held.instruction
    row = {"instruction": said.text, "kind": said.kind, "target_labels": list(said.targets)}
    if len(held.frames) == clouds:
        yield {"file": BAG, "every": 1, **row}
    else:
        for number in held.frames:
            yield {"file": BAG, "index": number, **row}
