"""The walk of docs/training.md in miniature: one's own labelled clouds → fine-tuned model → bundle → graphs → node."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from mini_own import write_own_folder
from safetensors.torch import load_file, save_file
from test_training_configs import FOLDER, tiny_run
from tiny_run import WIDTH, write_backbone

from segpoint import Segmenter
from segpoint.bundle import WEIGHTS
from segpoint.cli import ELSEWHERE, main
from segpoint.files import read_points
from segpoint.network.segpoint import SegPoint
from segpoint_training.config import TrainConfig

ASKED = "pick up the mug"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`segpoint setup`'s folder, with a tiny language model."""
    folder = tmp_path_factory.mktemp("cache")
    write_backbone(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGPOINT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def walk(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``mine`` (labelled clouds and a bag), ``run`` and ``bundle``, by the commands of the page."""
    folder = tmp_path_factory.mktemp("walk")
    mine = write_own_folder(folder / "mine", clouds=3, bag=2, width=128)
    config = tiny_run(TrainConfig.load(FOLDER / "finetune_own_bag.yaml"), {"own": folder / "elsewhere"}, folder)
    model = replace(config.model, presence_bias=1e3, mask_threshold=0.1)
    replace(config, model=model).save(folder / "finetune.yaml")
    torch.manual_seed(0)
    weights = {f"network.{name}": value for name, value in SegPoint(model, WIDTH).state_dict().items()}
    weights["language.seg_bias"] = torch.tensor([50.0])  # however little it has learnt, it answers with a mask
    (shipped := folder / "shipped").mkdir()
    save_file(weights, shipped / WEIGHTS)
    begin = ["--root", f"own={mine}", "--from", str(shipped)]
    for command in (
        ["data", "check", "own", str(mine)],
        ["data", "show", "own", str(mine), "scene_0.pcd", "--png", str(folder / "look.png")],
        ["train", str(folder / "finetune.yaml"), *begin, "--run", str(folder / "run"), "--device", "cpu"],
        ["bundle", str(folder / "run"), str(folder / "bundle")],
        ["evaluate", "own", str(mine), "--bundle", str(folder / "bundle"), "--json", str(folder / "after.json")],
        ["export", str(folder / "bundle"), "--out", str(folder / "bundle")],
    ):
        assert main(command) == 0, command
    return folder


def test_the_page_names_what_there_is(repository: Path):
    """Its commands parse, and the files that it names exist."""
    page = (repository / "docs" / "training.md").read_text()
    commands = [shlex.split(line.strip()[2:], comments=True) for line in page.replace("\\\n", " ").splitlines()
                if line.strip().startswith("$ segpoint ") and "…" not in line]  # fmt: skip
    assert len(commands) > 10
    for _, name, *arguments in commands:
        if name in ELSEWHERE:
            module = import_module(ELSEWHERE[name][0])
            if hasattr(module, "_parser"):
                module._parser().parse_args(arguments)
        else:
            assert name in ("segment", "setup", "export")
    named = re.findall(r"(?<![\w./-])(?:segpoint|segpoint_training|config|test|docs|models)/[\w/.-]+\w", page)
    named += [f"test/{name}" for name in re.findall(r"`(test_\w+\.py)`", page)]
    missing = {name for name in named if not (repository / name).exists()}
    assert len(named) > 15 and not missing, missing


def test_training_began_with_the_weights_given_and_learnt_from_the_folder(walk: Path):
    log = [json.loads(line) for line in (walk / "run" / "log.jsonl").read_text().splitlines()]
    starts = [line["start"] for line in log if "start" in line]
    given = [name for name in load_file(walk / "shipped" / WEIGHTS) if name.startswith("network.")]
    assert starts[0]["loaded"] == len(given) and not [n for n in starts[0]["fresh"] if n.startswith("network.")]
    assert [line["stage"] for line in log if line.get("done")] == ["stage1", "stage2"]
    assert TrainConfig.load(walk / "run" / "config.yaml").datasets[0].root == str(walk / "mine")
    for stage in ("stage1", "stage2"):
        assert (walk / "run" / stage / "answers.png").stat().st_size > 1000
        assert any((walk / "run" / "board" / stage).iterdir())


def test_the_bundle_says_what_it_was_made_of(walk: Path):
    card = (walk / "bundle" / "MODEL_CARD.md").read_text()
    assert "own (train, weight 1)" in card and "4 generated scenes" in card
    assert TrainConfig.load(walk / "bundle" / "training.yaml") == TrainConfig.load(walk / "run" / "config.yaml")
    for name in ("gem", "encoder", "gfp"):
        assert (walk / "bundle" / f"{name}.onnx").is_file()
    record = json.loads((walk / "after.json").read_text())
    assert (record["bundle"], record["split"], record["scans"]) == ("bundle", "val", 2)


def test_the_node_answers_with_it(walk: Path, cache: Path, ros_environment: dict[str, str]):
    pytest.importorskip("rclpy")
    from robot import Robot
    from std_msgs.msg import Header

    from segpoint_ros.pointcloud2 import make_cloud, points_of
    from segpoint_ros.process import running_node

    points = read_points(walk / "mine" / "scene_0.pcd")
    expected = Segmenter.from_bundle(walk / "bundle", device="cpu").segment(points.xyz, ASKED, rgb=points.rgb)
    cloud = make_cloud(Header(frame_id="camera_depth_optical_frame"), points.xyz, points.rgb)
    environment = {**ros_environment, "SEGPOINT_CACHE": str(cache)}
    parameters = ["-p", f"model.bundle:={walk / 'bundle'}", "-p", f"instruction:={ASKED}"]
    with running_node(walk / "node.log", environment, *parameters):
        robot = Robot(int(environment["ROS_DOMAIN_ID"]))
        try:
            robot.wait_for_active()
            labelled, _, answer = robot.ask(cloud)
        finally:
            robot.close()
    assert answer == expected.answer and "<SEG>" in answer
    found = points_of(labelled).reshape(-1)
    targets = np.zeros(len(points.xyz), bool)
    targets[np.concatenate([instance.indices for instance in expected.instances])] = True
    assert 0 < targets.sum() < len(targets)
    np.testing.assert_array_equal(found["label"] > 0, targets)
    np.testing.assert_allclose(found["score"], expected.score, atol=1e-4)
