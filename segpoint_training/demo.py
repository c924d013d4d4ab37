"""``segpoint demo``: the whole path once, as on a robot, with a scene whose truth is known.

Three processes: this one makes the scene and judges the answer; the real node (`segpoint_ros`) and a client
(`segpoint_ros.ask`) are started as programs and meet over DDS only. That is also why this file may stand here:
training code imports nothing that needs ROS.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import read_points, write_points
from segpoint.instances import Instance
from segpoint_ros.process import PROFILE, graph_of_its_own, running_node
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.scenes.scene import Scene

SEED = 900_029  # a test scene of a mug among three things, the same with and without `segpoint assets`
TARGET = "mug"
INSTRUCTION = f"pick up the {TARGET}"
PATIENCE_S = 180.0  # for the answer, from a standing start on a loaded machine


def main(argv: list[str] | None = None) -> int:
    """Run the demo. Returns 0 where the mug was found, 1 where it was not."""
    parser = argparse.ArgumentParser(
        prog="segpoint demo", description=f"Start the node, show it a generated scene, say “{INSTRUCTION}”."
    )
    parser.add_argument("--out", default="out/demo", metavar="FOLDER", help="default: out/demo")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the scene (default: {SEED})")
    args = parser.parse_args(argv)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    scene, truth = _scene_with_target(args.seed)
    write_points(out / "cloud.pcd", scene.xyz, scene.rgb, width=scene.width, height=scene.height)
    names = ", ".join(f"{thing.colour} {thing.category}".strip() for thing in scene.objects)
    print(f"scene:  test split, seed {args.seed}, {scene.width}×{scene.height} points: {names}")

    environment = _dds_environment()
    with running_node(out / "node.log", environment) as node:
        print(f"node:   process {node.pid} on ROS domain {environment['ROS_DOMAIN_ID']}, its log is {out / 'node.log'}")
        reply = _ask(out, environment)

    labelled = read_points(out / "labelled.pcd")
    assert labelled.label is not None  # `ask` writes it
    summary = _judge(labelled.label > 0, truth, reply, args.seed)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    _draw(out / "picture.png", scene, labelled.label, labelled.extra["score"], reply)
    print(f"answer: “{INSTRUCTION}” → “{reply['answer']}”, {_describe(reply['targets'])}")
    print(f"wrote:  {out}/picture.png, labelled.pcd, summary.json")
    found = summary["iou"] > 0.0  # a mask of no points has an IoU of 0
    if not found:
        print(f"DEMO FAILED: no {TARGET} was found, see {out}/picture.png and {out}/node.log", file=sys.stderr)
    points, iou, latency = summary["points"], summary["iou"], summary["latency_s"]
    print(f"demo: target={TARGET} points={points} iou={iou:.3f} latency_s={latency:.2f}")
    return 0 if found else 1


def _scene_with_target(seed: int) -> tuple[Scene, np.ndarray]:
    """The scene and which of its points belong to a mug, (M,) bool."""
    scene = generate_scene(seed, "test", "kinect")
    truth = np.isin(scene.instance, [thing.id for thing in scene.objects if thing.category == TARGET])
    if not truth.any():
        raise SegPointError(f"scene {seed} of the test split shows no {TARGET}: give another --seed")
    return scene, truth


def _dds_environment() -> dict[str, str]:
    """A ROS domain of the demo's own, and the transport that big clouds need (README, Transport), on this machine."""
    from importlib.util import find_spec

    if find_spec("rclpy") is None:
        raise SegPointError("rclpy is not installed: the demo runs a real ROS 2 node; run `make demo`, or source ROS 2")
    others = {name: value for name, value in os.environ.items() if name not in ("ROS_DOMAIN_ID", PROFILE)}
    return {**graph_of_its_own(others), "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}


def _ask(out: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Publish the cloud and the instruction from another process; what came back, as it printed it."""
    command = [sys.executable, "-m", "segpoint_ros.ask", str(out / "cloud.pcd"), INSTRUCTION]
    command += ["--out", str(out / "labelled.pcd"), "--timeout", str(PATIENCE_S), "--json"]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if done.returncode:
        raise SegPointError(f"the node gave no answer (see above, and {out / 'node.log'} for its side)")
    return json.loads(done.stdout)


def _judge(marked: np.ndarray, truth: np.ndarray, reply: dict[str, Any], seed: int) -> dict[str, Any]:
    """The points that came back marked, (M,) bool, against the generator's truth."""
    union = int((marked | truth).sum())
    return {
        "instruction": INSTRUCTION,
        "answer": reply["answer"],
        "points": int(marked.sum()),
        "truth_points": int(truth.sum()),
        "iou": int((marked & truth).sum()) / union,
        "latency_s": reply["latency_s"],
        "targets": reply["targets"],
        "seed": seed,
    }


def _draw(path: Path, scene: Scene, label: np.ndarray, score: np.ndarray, reply: dict[str, Any]) -> None:
    from segpoint.render import render_answer

    instances = [
        Instance(
            centre=np.array(target["centre"]),
            size=np.array(target["size"]),
            orientation=np.array(target["orientation"]),
            score=float(score[label == target["label"]].mean()),
            indices=np.flatnonzero(label == target["label"]),
        )
        for target in reply["targets"]
    ]
    render_answer(
        path, scene.xyz, scene.rgb, label > 0, instances, INSTRUCTION, reply["answer"], "optical",
        scene.width, scene.height,
    )  # fmt: skip


def _describe(targets: list[dict[str, Any]]) -> str:
    if not targets:
        return "nothing marked"
    size = " × ".join(f"{side:.2f}" for side in targets[0]["size"])
    centre = ", ".join(f"{value:+.2f}" for value in targets[0]["centre"])
    count = "1 target," if len(targets) == 1 else f"{len(targets)} targets, the first"
    return f"{count} a box of {size} m at ({centre})"
