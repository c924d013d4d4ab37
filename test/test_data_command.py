"""`segpoint data`: what it says about a data set, and the picture of a scan."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from mini_own import write_own_folder
from mini_scannet import MiniObject, write_scannet
from PIL import Image

from segpoint.cli import main
from segpoint.errors import SegPointError
from segpoint.files import write_points
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import NAMES, open_dataset
from segpoint_training.datasets.picture import draw_scan
from segpoint_training.datasets.scan import Scan, scan_objects
from segpoint_training.scenes.scene import Instruction


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_folder(tmp_path_factory.mktemp("own") / "mine")


@pytest.fixture(scope="module")
def scannet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = [MiniObject("chair", (0.0, 0.0, 0.3)), MiniObject("table", (1.2, 0.0, 0.4), colour=(30, 60, 220), side=9)]
    return write_scannet(tmp_path_factory.mktemp("scannet"), {"scene0000_00": scene, "scene0001_00": scene},
                         {"train": ["scene0000_00"], "val": ["scene0001_00"]})  # fmt: skip


def test_a_folder_in_order(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "own", str(mine)]) == 0
    printed = capsys.readouterr().out
    rows = json.loads((mine / "instructions.json").read_text())["instructions"]
    counts = dict(re.split(r"  +", line.strip()) for line in printed.splitlines()[1:-1])
    assert counts["clouds, train"] == "3" and counts["clouds, val"] == "2" and "clouds, test" not in counts
    of_bag = sum(row["file"] == "run" for row in rows)  # asked about both of its clouds
    assert int(counts["instructions, train"]) + int(counts["instructions, val"]) == len(rows) + of_bag
    assert printed.rstrip().endswith("all is well")


def test_problems_are_told_with_what_to_do(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"file": "[/b]gone.pcd", "instruction": "the mug", "target_labels": [1], "split": split}
            for split in ("train", "val")]  # fmt: skip
    (tmp_path / "instructions.json").write_text(json.dumps(rows))
    assert main(["data", "check", "own", str(tmp_path), "--split", "all"]) == 1
    printed = capsys.readouterr().out
    assert "[/b]gone.pcd: there is no such file; correct its name or copy it there" in printed
    assert printed.count("problem ") == 1, "it is the same one in each split"
    assert printed.rstrip().endswith("1 problem")


def test_one_split_alone(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "own", str(mine), "--split", "val"]) == 0
    printed = capsys.readouterr().out
    assert "clouds, val" in printed and "clouds, train" not in printed


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_told(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", name, str(tmp_path), "--scans", str(tmp_path)]) == 1
    assert "problem " in capsys.readouterr().out
    assert main(["data", "show", name, str(tmp_path), "x", "--png", str(tmp_path / "x.png")]) == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folders", [("/nope", ""), (".", "/nope")])
def test_a_folder_that_is_not_there_is_told_with_what_it_holds(name: str, folders: tuple[str, str]) -> None:
    with pytest.raises(SegPointError, match="^/nope: there is no such folder; give the one with ..."):
        open_dataset(DatasetConfig(name, *folders))


@pytest.mark.parametrize("name", ["scannet", "scannet200", "scanrefer", "multi3drefer"])
def test_the_missing_label_table_is_told_once(name: str, scannet: Path, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    root = shutil.copytree(scannet, tmp_path / "scannet")
    (root / "scannetv2-labels.combined.tsv").unlink()
    assert main(["data", "check", name, str(root), "--scans", str(root)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("no scannetv2-labels.combined.tsv in") == 1
    assert "--label_map" in printed and "only Pointcept's arrays (pointcept-scannet) are read without it" in printed


def test_a_research_set(scannet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "check", "scannet", str(scannet)])
    assert "scans, train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "scanet", "."], "unknown data set 'scanet'; known are scannet, scannet200"),
        (["check", "own", "nowhere"], "nowhere: there is no such folder"),
        (["check", "scanrefer", ".", "--scans", "nowhere"], "nowhere: there is no such folder"),
        (
            ["show", "own", "MINE", "y.pcd", "--png", "a.png"],
            "own has no scan 'y.pcd'; it has scene_0.pcd, scene_1.pcd",
        ),
        (["show", "own", "MINE", "run@0", "--png", "a.jpg"], "suffix .png"),
        (["check", "scannet", ".", "--split", "val"], "a published data set is checked whole: leave it out"),
    ],
)
def test_bad_use(words: list[str], told: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *(str(mine) if word == "MINE" else word for word in words)]) == 2
    assert told in capsys.readouterr().err


def test_a_split_that_is_none(mine: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", "own", str(mine), "--split", "dev"])
    assert stopped.value.code == 2


@pytest.mark.parametrize("scan", ["scene_1.pcd", "run@1"])
def test_a_picture_of_a_scan(mine: Path, tmp_path: Path, scan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "own", str(mine), scan, "--png", str(tmp_path / "a.png")]) == 0
    assert scan in capsys.readouterr().out
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    left, right = pixels[:480, :640], pixels[:480, 640:1280]
    assert left.std() > 20 and right.std() > 20 and np.abs(left - right).mean() > 10
    assert pixels.shape[0] > 480 + 5 * 20, "the words are below"


def test_a_picture_of_a_room_of_a_research_set(scannet: Path, tmp_path: Path) -> None:
    png = tmp_path / "room.png"
    assert main(["data", "show", "scannet", str(scannet), "scene0001_00", "--png", str(png)]) == 0
    with Image.open(png) as picture:
        colours = np.asarray(picture.convert("RGB")).astype(int)[:480, :640]
    assert ((colours - [30, 60, 220] == 0).all(axis=2)).sum() > 30, "the blue table"


def test_objects_have_colours_and_names_and_the_rest_has_none() -> None:
    rng = np.random.default_rng(0)
    xyz = rng.uniform([-0.5, -0.5, 1.0], [0.5, 0.5, 1.1], (20_000, 3)).astype(np.float32)
    xyz[:5] = np.nan
    large = 2_000_000_000  # ids may be any
    instance = np.where(xyz[:, 0] > 0.1, large, np.where(xyz[:, 0] < -0.1, 3, 0)).astype(np.int32)
    objects = scan_objects(xyz, instance, {large: "valve"})
    said = (Instruction("turn the valve", "instruction", (large,), "valve"), Instruction("the mug", "", (), ""))
    scan = Scan("x", xyz, None, instance, objects, "optical", "table")
    picture = np.asarray(draw_scan(scan, said)).astype(int)
    bare = np.asarray(draw_scan(Scan("x", xyz, None, np.zeros_like(instance), (), "optical", "table"))).astype(int)
    assert (np.ptp(picture[:480, :640], axis=2) < 9).all(), "without colour it is grey"
    spread = np.ptp(picture[:480, 640:], axis=2) > 60
    assert 0.1 < spread.mean() < 0.9
    assert (picture[:480, 640:] == 255).all(axis=2).sum() > 40, "white words"
    assert (np.ptp(bare[:480, 640:], axis=2) < 9).all()
    assert picture.shape[0] == bare.shape[0] + 2 * 20, "a line for each sentence"


def test_a_cloud_of_one_point_is_drawn(tmp_path: Path) -> None:
    write_points(tmp_path / "a.pcd", np.ones((1, 3), np.float32), None, {"label": np.ones(1, np.uint32)})
    rows = [{"file": "a.pcd", "instruction": "it", "target_labels": [1]}]
    (tmp_path / "instructions.json").write_text(json.dumps(rows))
    assert main(["data", "show", "own", str(tmp_path), "a.pcd", "--png", str(tmp_path / "a.png")]) == 0
