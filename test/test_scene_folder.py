"""`segpoint generate` writes what `segpoint evaluate` reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segpoint.cli import main
from segpoint.errors import SegPointError
from segpoint.files import read_points
from segpoint_training.labelled import folder_set, generated_set
from segpoint_training.scenes import generate
from segpoint_training.scenes.folder import JOURNAL, write_folder
from segpoint_training.scenes.request import SceneRequest
from segpoint_training.scenes.scene import Instruction, Scene, SceneObject
from segpoint_training.scenes.sheet import draw_scene

SEED = 900_010


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "scenes"
    words = ["generate", "--scenes", "2", "--seed", str(SEED), "--split", "test"]
    assert main([*words, "--out", str(folder), "--preview", str(folder.parent / "sheet.png")]) == 0
    return folder


def test_files(folder: Path) -> None:
    files = ["generated.jsonl", "instructions.json", "test_900010.pcd", "test_900011.pcd"]
    assert sorted(path.name for path in folder.iterdir()) == files
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


def test_rows_name_the_frame(folder: Path) -> None:
    assert {row["frame"] for row in json.loads((folder / "instructions.json").read_text())} == {"optical"}


def test_preview_shows_colour_labels_and_words(folder: Path) -> None:
    with Image.open(folder.parent / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))[:242, : 640 + 440]
    for part in np.split(pixels, [320, 640], axis=1):
        assert part.std() > 20
    assert len(np.unique(pixels[:, 320:640].reshape(-1, 3), axis=0)) < 40, "flat colours of labels"


@pytest.fixture
def lidar(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A room's floor and a red box on it, seen from above without colour, for every seed."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform([1, -2], [5, 2], (40000, 2)), np.zeros(40000)])
    box = rng.uniform([2, 0, 0], [2.5, 0.5, 0.5], (8000, 3))
    scene = Scene(
        xyz=np.concatenate([floor, box]).astype(np.float32), rgb=None, width=48000, height=1, seed=3, sensor="lidar",
        instance=np.repeat([1, 2], [40000, 8000]).astype(np.int32), scale="room", frame="map",
        objects=(SceneObject(1, "floor", "", (3.0, 0.0, 0.0), (4.0, 4.0, 0.0), "upright", 0, 40000),
                 SceneObject(2, "box", "", (2.2, 0.2, 0.2), (0.5, 0.5, 0.5), "upright", 1, 8000)),
        instructions=(Instruction("the box", "category", (2,), "box"),
                      Instruction("this", "place", (2,), "box", "click")),
    )  # fmt: skip
    monkeypatch.setattr(generate, "generate_scene", lambda seed, *more, **named: replace(scene, seed=seed))
    return scene


def test_a_cloud_without_colour_and_viewpoint(lidar: Scene, tmp_path: Path) -> None:
    write_folder(tmp_path, [SceneRequest(3, "test", "room")], workers=1)
    rows = json.loads((tmp_path / "instructions.json").read_text())
    assert [(row["frame"], row.get("place")) for row in rows] == [("map", None), ("map", "click")]
    cloud = read_points(tmp_path / "test_room_000003.pcd")
    assert cloud.rgb is None and (cloud.width, cloud.height) == (48000, 1)
    np.testing.assert_array_equal(cloud.xyz, lidar.xyz)
    np.testing.assert_array_equal(np.unique(cloud.label), [1, 20])


def test_a_map_is_drawn_in_perspective_and_from_above(lidar: Scene) -> None:
    panel = np.asarray(draw_scene(lidar))
    above = panel[:240, 320:640].reshape(-1, 3)
    colours, counts = np.unique(above, axis=0, return_counts=True)
    assert len(colours) == 3  # nothing, floor, box
    floor, box = counts[(colours == 130).all(axis=1)][0], counts[np.ptp(colours.astype(int), axis=1) > 100][0]
    assert box / (floor + box) == pytest.approx(0.25 / 16, rel=0.25)
    assert panel[:240, :320].std() > 20


def test_an_interrupted_folder_goes_on(lidar: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [SceneRequest(seed, "test") for seed in range(4)]
    write_folder(tmp_path / "whole", requests, workers=1)
    made: list[int] = []

    def breaks(seed: int, *more: object) -> Scene:
        made.append(seed)
        if made == [0, 1, 2]:
            raise KeyboardInterrupt
        return replace(lidar, seed=seed)

    monkeypatch.setattr(generate, "generate_scene", breaks)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "part", requests, workers=1)
    assert not (tmp_path / "part" / "instructions.json").exists()
    with pytest.raises(SegPointError, match="of another command"):
        write_folder(tmp_path / "part", requests[:2], workers=1)
    with (tmp_path / "part" / JOURNAL).open("ab") as journal:
        journal.write(b'\n["test_000002", [{"fi\xff')  # torn
    write_folder(tmp_path / "part", requests, workers=1)
    assert made == [0, 1, 2, 2, 3]
    whole, part = (contents(tmp_path / name) for name in ("whole", "part"))
    del whole[JOURNAL], part[JOURNAL]  # torn in one of them
    assert whole == part


def test_preview_alone_writes_nothing_else(lidar: Scene, tmp_path: Path) -> None:
    words = ["--preview", str(tmp_path / "new" / "a.png"), "--scenes", "3", "--scale", "mix", "--workers", "1"]
    assert main(["generate", *words]) == 0
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "a.png"]


def test_the_same_command_makes_only_what_is_gone(lidar: Scene, tmp_path: Path) -> None:
    requests = [SceneRequest(seed, "test") for seed in range(3)]
    assert write_folder(tmp_path, requests, workers=1) == 6
    before = contents(tmp_path)
    (tmp_path / "test_000001.pcd").unlink()
    (tmp_path / "instructions.json").unlink()
    assert write_folder(tmp_path, requests, workers=1) == 6
    after = contents(tmp_path)
    assert after.pop("generated.jsonl").startswith(before.pop("generated.jsonl")) and after == before
    (tmp_path / "instructions.json").write_text("corrected by hand")
    (tmp_path / "test_000002.pcd").unlink()
    with (tmp_path / "generated.jsonl").open("ab") as journal:
        journal.write(b'\n["test_000001", 5]\n["' + b"x" * 300 + b'", []]\n[["a"], []]')
    assert write_folder(tmp_path, requests, workers=1) == 6
    assert (tmp_path / "instructions.json").read_text() == "corrected by hand"


def test_another_command_changes_nothing(lidar: Scene, tmp_path: Path) -> None:
    write_folder(tmp_path, [SceneRequest(3, "test")], workers=1)
    before = contents(tmp_path)
    for other in (SceneRequest(3, "test", sensor="stereo"), SceneRequest(4, "test"), SceneRequest(3, "open")):
        with pytest.raises(SegPointError, match="another command"):
            write_folder(tmp_path, [other], workers=1)
    assert contents(tmp_path) == before
    (tmp_path / "generated.jsonl").write_bytes(b"\xff\x00")
    with pytest.raises(SegPointError, match="another command"):
        write_folder(tmp_path, [SceneRequest(3, "test")], workers=1)


@pytest.mark.parametrize("name", ["instructions.json", "test_000003.pcd"])
def test_what_somebody_else_put_there_stays(lidar: Scene, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SegPointError, match=f"{name} is there already"):
        write_folder(tmp_path, [SceneRequest(3, "test")], workers=1)
    assert contents(tmp_path) == {name: b"mine"}
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(SegPointError, match=name):
        write_folder(tmp_path, [SceneRequest(3, "test")], workers=1)


def test_two_at_once_lose_nothing(lidar: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call runs from begin to end while the first one is at its second scene."""
    requests = [SceneRequest(seed, "test") for seed in range(3)]

    def scene(seed: int, *more: object) -> Scene:
        if seed == 1:
            monkeypatch.setattr(generate, "generate_scene", lambda seed, *more: replace(lidar, seed=seed))
            assert write_folder(tmp_path, requests, workers=1) == 6
        return replace(lidar, seed=seed)

    monkeypatch.setattr(generate, "generate_scene", scene)
    assert write_folder(tmp_path, requests, workers=1) == 6
    assert len(json.loads((tmp_path / "instructions.json").read_text())) == 6
    kept = contents(tmp_path)
    assert write_folder(tmp_path, requests, workers=1) == 6 and contents(tmp_path) == kept


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to write"),
        (["--shards", "s"], "--config"),
        (["--shards", "s", "--config", "c.yaml", "--scenes", "3"], "leave out --scenes"),
        (["--out", "o", "--part", "1/2"], "--part goes with --shards"),
        (["--shards", "s", "--config", "c.yaml", "--part", "3/2"], "K from 1 to N"),
        (["--out", "o", "--sensor", "map"], "--scale room"),
        (["--out", "o", "--workers", "0"], "at least 1"),
    ],
)
def test_what_does_not_go_together_is_told(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--scenes", "0"], ["--seed", "-1"]])
def test_impossible_numbers_are_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", *words, "--out", str(tmp_path)]) == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--out", "file"], ["--out", "new", "--preview", "a.jpg"],
                                   ["--out", "new", "--preview", "file/a.png"], ["--out", "x" * 300],
                                   ["--out", "new", "--preview", "x" * 300 + ".png"], ["--out", "/proc/new"],
                                   ["--shards", "x" * 300, "--config", "c.yaml"]])  # fmt: skip
def test_bad_targets_are_told_first(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["generate", *words]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
