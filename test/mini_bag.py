"""A moving-camera bag in miniature, with the truth: a ball, a box and a can on a table, seen from an arc around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from segpoint_training.bag_writer import LEAD, MAP, OPTICAL, START, BagWriter, cloud_points, pose_of

TOPIC = "/camera/depth/color/points"
FRAME_ID = "camera_depth_optical_frame"
CATEGORIES = {1: "table", 2: "ball", 3: "box", 4: "can"}
BALL, RADIUS = np.array([0.0, 0.14, 0.05]), 0.05  # metres, in the map: z up, the table's top at z = 0
BOXES = {  # lowest and highest corner, by label; the can is a box, too
    1: (np.array([-0.4, -0.4, -0.02]), np.array([0.4, 0.4, 0.0])),
    2: (BALL - RADIUS, BALL + RADIUS),
    3: (np.array([-0.06, -0.05, 0.0]), np.array([0.06, 0.05, 0.08])),
    4: (np.array([-0.03, -0.19, 0.0]), np.array([0.03, -0.13, 0.12])),
}
ROWS: tuple[tuple[str, tuple[int, ...], str], ...] = (  # true from every place of the arc
    ("pick up the red ball", (2,), "attribute"),
    ("the green box", (3,), "attribute"),
    ("the box and the can", (3, 4), "category"),
    ("grab the hammer", (), "zero-target"),
)
_COLOURS = {0: (40, 40, 40), 1: (150, 110, 70), 2: (200, 30, 30), 3: (30, 160, 50), 4: (40, 60, 190)}


def write_mini_bag(
    folder: Path,
    frames: int = 4,
    rate: float = 10.0,
    *,
    storage: str = "mcap",
    compression: str = "",
    labelled: bool = True,
    ros1: bool = False,
    instructions: bool = True,
    size: tuple[int, int] = (80, 60),
) -> Path:
    """FOLDER/scene (a rosbag2 folder; with ``ros1`` FOLDER/scene.bag) and FOLDER/instructions.json; returns the bag.

    storage: "mcap" or "sqlite3".   compression: as `BagWriter`'s.   labelled: whether clouds have a label; without it
    there is no instructions.json either: the one of a labelled bag of the same arguments is about the same clouds.
    instructions: whether they are said on /instruction, too, a quarter of the bag each. Clouds are 1/rate apart, the
    first `LEAD` after the bag's start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bag = folder / ("scene.bag" if ros1 else "scene")
    stamps = [mini_stamp(i, rate) for i in range(frames)]
    said = {i * frames // len(ROWS): text for i, (text, _, _) in reversed(list(enumerate(ROWS)))}
    with BagWriter(bag, storage, compression) as writer:
        writer.transforms(START, {("camera_link", FRAME_ID): pose_of(OPTICAL, np.zeros(3))}, static=True)
        for i, stamp in enumerate(stamps):
            if instructions and i in said:
                writer.say(stamp - 1000 if i else START, said[i])
            pose = mini_pose(i, frames)
            writer.transforms(stamp, {(MAP, "camera_link"): pose @ pose_of(OPTICAL.T, np.zeros(3))})
            writer.cloud(TOPIC, stamp, FRAME_ID, mini_cloud(pose, size, labelled))
    if labelled:
        write_rows(folder, bag.name)
    return bag


def write_rows(folder: Path, bag: str, **more: Any) -> None:
    """FOLDER/instructions.json about each cloud of a bag; more: keys of every row."""
    rows = [
        {"file": bag, "every": 1, "instruction": text, "kind": kind, "target_labels": list(targets), **more}
        for text, targets, kind in ROWS
    ]
    categories = {str(label): word for label, word in CATEGORIES.items()}
    (folder / "instructions.json").write_text(json.dumps({"categories": categories, "instructions": rows}, indent=1))


def mini_stamp(number: int, rate: float = 10.0) -> int:
    """Nanoseconds since 1970 of a cloud."""
    return START + LEAD + round(number * 1e9 / rate)


def mini_pose(number: int, frames: int) -> np.ndarray:
    """(4, 4) optical frame → map: on an arc of 30° about the table, looking at its middle."""
    angle = np.radians(30 * (number / max(frames - 1, 1) - 0.5))
    position = np.array([-0.6 * np.cos(angle), -0.6 * np.sin(angle), 0.45])
    forward = (0, 0, 0.03) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    return pose_of(np.stack([right, np.cross(forward, right), forward], 1), position)


def mini_cloud(pose: np.ndarray, size: tuple[int, int] = (80, 60), labelled: bool = True) -> np.ndarray:
    """(height, width) points, organised, as a pinhole camera at ``pose`` sees them; beside the table NaN, label 0."""
    width, height = size
    v, u = np.mgrid[:height, :width]
    focal = 0.9 * width
    rays = np.stack([(u - (width - 1) / 2) / focal, (v - (height - 1) / 2) / focal, np.ones(u.shape)], -1).reshape(
        -1, 3
    )
    depth, label = np.full(len(rays), np.inf), np.zeros(len(rays), np.uint32)
    turned = rays @ pose[:3, :3].T
    for ident in CATEGORIES:
        met = _on_ball(pose[:3, 3], turned) if ident == 2 else _on_box(pose[:3, 3], turned, *BOXES[ident])
        nearer = met < depth
        depth[nearer], label[nearer] = met[nearer], ident
    seen = np.isfinite(depth)
    xyz = np.where(seen[:, None], rays * np.where(seen, depth, 0)[:, None], np.nan).astype(np.float32)
    rgb = np.array([_COLOURS[ident] for ident in range(5)], np.uint8)[label]
    return cloud_points(xyz, rgb, label if labelled else None, width, height)


def _on_ball(start: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """(n,) lengths of rays (n, 3) to the ball; inf."""
    away = start - BALL
    a, b = np.einsum("ij,ij->i", rays, rays), rays @ away
    inside = b * b - a * (away @ away - RADIUS**2)
    return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)


def _on_box(start: np.ndarray, rays: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(n,) lengths of rays (n, 3) to a box; inf."""
    with np.errstate(divide="ignore"):
        one, other = (low - start) / rays, (high - start) / rays
    enter, leave = np.minimum(one, other).max(1), np.maximum(one, other).min(1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)
