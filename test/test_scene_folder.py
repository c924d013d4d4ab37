"""`segpoint generate` writes what `segpoint evaluate` reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segpoint.cli import main
from segpoint.files import read_points
from segpoint_training.labelled import folder_set, generated_set

SEED = 900_010


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "scenes"
    words = ["generate", "--scenes", "2", "--seed", str(SEED), "--split", "test"]
    assert main([*words, "--out", str(folder), "--preview", str(folder.parent / "sheet.png")]) == 0
    return folder


def test_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["instructions.json", "test_900010.pcd", "test_900011.pcd"]
    cloud = read_points(folder / "test_900010.pcd")
    assert (cloud.width, cloud.height) == (640, 480)
    assert set(np.unique(cloud.label % 10)) <= {0, 1}  # objects at multiples of ten, the table at 1
    assert not cloud.label[~np.isfinite(cloud.xyz).all(axis=1)].any()


def test_what_is_read_back_is_what_was_generated(folder: Path) -> None:
    for read, made in zip(folder_set(folder), generated_set(SEED, 2), strict=True):
        np.testing.assert_array_equal(read.xyz, made.xyz)
        np.testing.assert_array_equal(read.rgb, made.rgb)
        assert [(q.text, q.kind) for q in read.questions] == [(q.text, q.kind) for q in made.questions]
        for ours, theirs in zip(read.questions, made.questions, strict=True):
            np.testing.assert_array_equal(ours.truth, theirs.truth)


def test_target_points_are_counted(folder: Path) -> None:
    rows = json.loads((folder / "instructions.json").read_text())
    truths = [question.truth for cloud in folder_set(folder) for question in cloud.questions]
    assert [row["target_points"] for row in rows] == [int(truth.sum()) for truth in truths]


def test_preview_shows_every_scene(folder: Path) -> None:
    with Image.open(folder.parent / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    left, right = np.array_split(pixels, 2, axis=1)
    assert left.std() > 20 and right.std() > 20


@pytest.mark.parametrize("words", [["--scenes", "0"], ["--seed", "-1"]])
def test_impossible_numbers_are_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", *words, "--out", str(tmp_path)]) == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--out", "file"], ["--out", "new", "--preview", "a.jpg"],
                                   ["--out", "new", "--preview", "file/a.png"]])  # fmt: skip
def test_bad_targets_are_told_first(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["generate", *words]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
