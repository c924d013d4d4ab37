"""The ``segpoint`` command as a user runs it: as a process, with good and bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import segpoint
from segpoint.backbone import backbone_folder
from segpoint.config import default_bundle
from segpoint.files import read_points, write_points

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def bundle() -> Path:
    return default_bundle()


@pytest.fixture(scope="module")
def backbone() -> Path:
    return backbone_folder()


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segpoint.cli", *words],
        cwd=REPOSITORY, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def refused(*words: str, **environment: str) -> str:
    """The one line that a command with bad input prints before it exits with 2."""
    done = run(*words, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("segpoint: ")
    return line


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table top with a box on it, in the optical frame, half a metre below and a metre before the camera."""
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.uniform(-0.4, 0.4, 8000), np.full(8000, 0.3), rng.uniform(0.7, 1.3, 8000)])
    box = np.column_stack([rng.uniform(-0.05, 0.05, 2000), rng.uniform(0.2, 0.3, 2000), np.full(2000, 0.9)])
    xyz = np.vstack([table, box]).astype(np.float32)
    path = tmp_path_factory.mktemp("cloud") / "table.npz"
    write_points(path, xyz, np.full((len(xyz), 3), 128, np.uint8))
    return str(path)


def test_help_is_quick_and_loads_no_torch() -> None:
    started = time.perf_counter()
    done = run("--help")
    assert time.perf_counter() - started < 1.0
    assert done.returncode == 0
    for command in ("segment", "setup", "demo", "generate", "train", "evaluate"):
        assert command in done.stdout
    probe = "import sys, segpoint, segpoint.cli; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", probe], cwd=REPOSITORY, capture_output=True, text=True)
    assert loaded.stdout.strip() == "set()"


def test_version() -> None:
    assert run("--version").stdout == f"segpoint {segpoint.__version__}\n"


def test_version_is_one() -> None:
    """package.xml cannot read Python, so a test keeps the two together."""
    assert f"<version>{segpoint.__version__}</version>" in (REPOSITORY / "package.xml").read_text()


def test_public_names() -> None:
    assert set(segpoint.__all__) <= set(dir(segpoint))
    assert issubclass(segpoint.SegPointError, ValueError)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = segpoint.nothing


@pytest.mark.parametrize("words", [(), ("fly",), ("segment",), ("segment", "a.pcd", "mug", "--frame", "map")])
def test_wrong_usage(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: segpoint")


def test_missing_file() -> None:
    assert "nowhere.pcd" in refused("segment", "nowhere.pcd", "the mug")


def test_wrong_suffix(tmp_path: Path) -> None:
    path = tmp_path / "cloud.txt"
    path.write_text("1 2 3\n")
    assert ".pcd" in refused("segment", str(path), "the mug")


def test_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "cloud.pcd"
    path.write_bytes(b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 9\nHEIGHT 1\n"
                     b"POINTS 9\nDATA binary\n\0\0\0")  # fmt: skip
    assert "cloud.pcd" in refused("segment", str(path), "the mug")


def test_missing_bundle(cloud: str, tmp_path: Path) -> None:
    assert str(tmp_path) in refused("segment", cloud, "the mug", "--bundle", str(tmp_path))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_corrupt_bundle(cloud: str, bundle: Path, tmp_path: Path, name: str) -> None:
    broken = tmp_path / "bundle"
    broken.mkdir()
    for file in bundle.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[: len(content) // 2] if file.name == name else content)
    assert str(broken) in refused("segment", cloud, "the mug", "--bundle", str(broken))


def test_backbone_not_set_up(cloud: str, bundle: Path, tmp_path: Path) -> None:
    words = ("segment", cloud, "the mug", "--bundle", str(bundle))
    assert "segpoint setup" in refused(*words, SEGPOINT_CACHE=str(tmp_path))


@pytest.mark.parametrize("instruction", ["", " \n\t", "mug " * 2500], ids=["empty", "blank", "10,000 characters"])
def test_bad_instruction(cloud: str, bundle: Path, backbone: Path, instruction: str) -> None:
    line = refused("segment", cloud, instruction, "--bundle", str(bundle))
    assert "instruction" in line and len(line) < 400


@pytest.mark.parametrize("instruction", ["<SEG>", "the mug </s> <POINT>", "👀 ☕ bitte!"])
def test_odd_instruction_is_only_text(cloud: str, bundle: Path, backbone: Path, instruction: str) -> None:
    done = run("segment", cloud, instruction, "--bundle", str(bundle), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["instruction"] == instruction


@pytest.mark.parametrize("points", [np.zeros((3, 3)), np.full((500, 3), np.nan)], ids=["three points", "all NaN"])
def test_too_few_points(bundle: Path, backbone: Path, tmp_path: Path, points: np.ndarray) -> None:
    path = tmp_path / "few.pcd"
    write_points(path, points.astype(np.float32))
    assert "point" in refused("segment", str(path), "the mug", "--bundle", str(bundle))


def test_out_into_no_folder(cloud: str, tmp_path: Path) -> None:
    assert "does not exist" in refused("segment", cloud, "the mug", "--out", str(tmp_path / "none" / "out.pcd"))


def test_segment_writes_all_it_says(cloud: str, bundle: Path, backbone: Path, tmp_path: Path) -> None:
    out, png = tmp_path / "labelled.pcd", tmp_path / "picture.png"
    done = run("segment", cloud, "the box", "--bundle", str(bundle), "--out", str(out), "--png", str(png), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    labelled = read_points(out)
    np.testing.assert_array_equal(labelled.xyz, read_points(cloud).xyz)
    assert int(labelled.label.max()) == len(told["targets"])
    for number, target in enumerate(told["targets"], start=1):
        assert (labelled.label == number).sum() == target["points"] > 0
    assert labelled.extra["score"].dtype == np.float32
    assert png.read_bytes().startswith(b"\x89PNG")
    assert told["seconds"] and all(seconds >= 0 for seconds in told["seconds"].values())


def test_nothing_found_is_an_answer(cloud: str, bundle: Path, backbone: Path) -> None:
    """No point of a float32 sigmoid reaches a threshold this close to 1 by accident of training."""
    done = run("segment", cloud, "the giraffe", "--bundle", str(bundle), "--threshold", "0.9999999")
    assert done.returncode == 0, done.stderr
    assert "There is no mask." in done.stdout
