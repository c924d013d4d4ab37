"""The ``segpoint`` command with good and bad input.

What is about starting runs it as a process; the rest calls its main(), so that torch is imported once for all of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import segpoint
from segpoint.backbone import backbone_folder
from segpoint.cli import main
from segpoint.config import default_bundle
from segpoint.files import read_points, write_points

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def bundle() -> Path:
    return default_bundle()


@pytest.fixture(scope="module")
def backbone() -> Path:
    return backbone_folder()


def start(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process."""
    return subprocess.run(
        [sys.executable, "-m", "segpoint.cli", *words],
        cwd=REPOSITORY, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture
def answered(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command with good input; what it prints on standard output."""

    def run(*words: str) -> str:
        code = main(list(words))
        told = capfd.readouterr()
        assert code == 0, told.err
        return told.out

    return run


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command with bad input; the one line that it prints on standard error before it exits with 2."""

    def run(*words: str) -> str:
        code = main(list(words))
        told = capfd.readouterr()
        assert (code, told.out) == (2, ""), told.err
        (line,) = told.err.splitlines()
        assert line.startswith("segpoint: ") and len(line) < 500
        return line

    return run


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
    done = start("--help")
    assert time.perf_counter() - started < 1.0
    assert done.returncode == 0
    for command in ("segment", "setup", "demo", "generate", "train", "evaluate"):
        assert command in done.stdout
    probe = "import sys, segpoint, segpoint.cli; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", probe], cwd=REPOSITORY, capture_output=True, text=True)
    assert loaded.stdout.strip() == "set()"


def test_version() -> None:
    assert start("--version").stdout == f"segpoint {segpoint.__version__}\n"


def test_version_is_one() -> None:
    """package.xml cannot read Python, so a test keeps the two together."""
    assert f"<version>{segpoint.__version__}</version>" in (REPOSITORY / "package.xml").read_text()


def test_public_names() -> None:
    assert set(segpoint.__all__) <= set(dir(segpoint))
    assert issubclass(segpoint.SegPointError, ValueError)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = segpoint.nothing


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("fly",),
        ("segment",),
        ("segment", "a.pcd", "mug", "--frame", "moon"),
        ("segment", "a.pcd", "mug", "too much"),
        ("segment", "a.pcd", "--lick", "mug"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(list(words))
    assert capsys.readouterr().err.startswith("usage: segpoint")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pick", "up", "the", "mug"), "in quotes if it has several words; left over: up the mug"),
        (("mug", "--click", "0", "0", "0.9"), "numbers with commas"),
        (("mug", "--click", "0 0 0.9"), "numbers with commas"),
        (("mug", "--box=0,0,0,1,1,1", "--box=1,1,1,2,2,2"), "--box may be given only once"),
    ],
)
def test_wrong_usage_says_what_is_right(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["segment", "a.pcd", *words])
    assert told in capsys.readouterr().err


def test_bad_input_as_a_process() -> None:
    done = start("segment", "nowhere.pcd", "the mug")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_missing_file(refused: Callable[..., str]) -> None:
    assert "nowhere.pcd" in refused("segment", "nowhere.pcd", "the mug")


def test_wrong_suffix(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "cloud.txt"
    path.write_text("1 2 3\n")
    assert ".pcd" in refused("segment", str(path), "the mug")


def test_damaged_file(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "cloud.pcd"
    path.write_bytes(b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 9\nHEIGHT 1\n"
                     b"POINTS 9\nDATA binary\n\0\0\0")  # fmt: skip
    assert "cloud.pcd" in refused("segment", str(path), "the mug")


def test_missing_bundle(refused: Callable[..., str], cloud: str, tmp_path: Path) -> None:
    assert str(tmp_path) in refused("segment", cloud, "the mug", "--bundle", str(tmp_path))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_corrupt_bundle(
    refused: Callable[..., str], cloud: str, bundle: Path, backbone: Path, tmp_path: Path, name: str
) -> None:
    broken = tmp_path / "bundle"
    broken.mkdir()
    for file in bundle.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[: len(content) // 2] if file.name == name else content)
    assert str(broken) in refused("segment", cloud, "the mug", "--bundle", str(broken))


def test_backbone_not_set_up(
    refused: Callable[..., str], cloud: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path))
    assert "segpoint setup" in refused("segment", cloud, "the mug", "--bundle", str(bundle))


@pytest.mark.parametrize("instruction", ["", " \n\t", "mug " * 2500], ids=["empty", "blank", "10,000 characters"])
def test_bad_instruction(
    refused: Callable[..., str], cloud: str, bundle: Path, backbone: Path, instruction: str
) -> None:
    assert "instruction" in refused("segment", cloud, instruction, "--bundle", str(bundle))


@pytest.mark.parametrize("instruction", ["<SEG>", "the mug </s> <POINT>", "👀 ☕ bitte!"])
def test_odd_instruction_is_only_text(
    answered: Callable[..., str], cloud: str, bundle: Path, backbone: Path, instruction: str
) -> None:
    told = json.loads(answered("segment", cloud, instruction, "--bundle", str(bundle), "--json"))
    assert told["instruction"] == instruction


@pytest.mark.parametrize("points", [np.zeros((3, 3)), np.full((500, 3), np.nan)], ids=["three points", "all NaN"])
def test_too_few_points(
    refused: Callable[..., str], bundle: Path, backbone: Path, tmp_path: Path, points: np.ndarray
) -> None:
    path = tmp_path / "few.pcd"
    write_points(path, points.astype(np.float32))
    assert "point" in refused("segment", str(path), "the mug", "--bundle", str(bundle))


@pytest.mark.parametrize("option, name", [("--out", "result.ply"), ("--png", "result.png")])
def test_results_that_cannot_be_written(
    refused: Callable[..., str], cloud: str, tmp_path: Path, option: str, name: str
) -> None:
    words = ("segment", cloud, "the mug", option)
    assert "does not exist" in refused(*words, str(tmp_path / "none" / name))
    assert "suffix" in refused(*words, str(tmp_path / "result.xyz"))
    assert "suffix" in refused(*words, "")
    (tmp_path / name).mkdir()
    assert "folder" in refused(*words, str(tmp_path / name))


def test_the_input_is_not_overwritten(refused: Callable[..., str], tmp_path: Path) -> None:
    """Its label is the truth where it has one, ours would replace it."""
    path, link = tmp_path / "a.pcd", tmp_path / "link.pcd"
    write_points(path, np.ones((50, 3)), fields={"label": np.ones(50, np.uint32)})
    link.symlink_to(path)
    (tmp_path / "hard.pcd").hardlink_to(path)
    (tmp_path / "z.png").symlink_to(path)
    before = path.read_bytes()
    assert "is the input" in refused("segment", str(path), "mug", "--png", str(tmp_path / "z.png"))
    for target in (path, link, tmp_path / "hard.pcd", tmp_path / "x" / ".." / "a.pcd"):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert "is the input" in refused("segment", str(path), "mug", "--out", str(target), "--bundle", "nowhere")
    assert path.read_bytes() == before


@pytest.mark.parametrize("instruction", ["", " \n\t"])
def test_no_model_for_an_empty_instruction(refused: Callable[..., str], cloud: str, instruction: str) -> None:
    assert "empty" in refused("segment", cloud, instruction, "--bundle", "nowhere")


def test_no_model_for_fields_that_cannot_be_written(refused: Callable[..., str], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", xyz=np.ones((2, 3)), names=np.array(["a", "b"]))
    words = ("segment", str(tmp_path / "a.npz"), "the mug", "--bundle", "nowhere", "--out", str(tmp_path / "a.pcd"))
    assert "'names'" in refused(*words)


def test_folder_in_place_of_a_file(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.pcd").mkdir()
    assert "is a folder" in refused("segment", str(tmp_path / "a.pcd"), "the mug")


@pytest.mark.parametrize("threshold", ["abc", "0", "nan", "7"])
def test_threshold_is_a_probability(capsys: pytest.CaptureFixture[str], threshold: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["segment", "a.pcd", "mug", "--threshold", threshold])
    assert "between 0 and 1" in capsys.readouterr().err


def test_ascii_terminal() -> None:
    probe = "from segpoint.cli import main; main(['segment', '', '']); print('2 × 3')"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=REPOSITORY, env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "2 ? 3\n"), done.stderr


def test_binary_training_config(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00\x80")
    assert "not YAML" in refused("train", str(tmp_path / "a.yaml"), "--run", str(tmp_path / "run"))


def test_segment_writes_all_it_says(
    answered: Callable[..., str], cloud: str, bundle: Path, backbone: Path, tmp_path: Path
) -> None:
    out, png = tmp_path / "labelled.pcd", tmp_path / "picture.png"
    words = ("segment", cloud, "the box", "--bundle", str(bundle), "--out", str(out), "--png", str(png))
    told = json.loads(answered(*words, "--json"))
    labelled = read_points(out)
    np.testing.assert_array_equal(labelled.xyz, read_points(cloud).xyz)
    assert int(labelled.label.max()) == len(told["targets"])
    for number, target in enumerate(told["targets"], start=1):
        assert (labelled.label == number).sum() == target["points"] > 0
    assert labelled.extra["score"].dtype == np.float32
    assert png.read_bytes().startswith(b"\x89PNG")
    assert told["seconds"] and all(seconds >= 0 for seconds in told["seconds"].values())


def test_recorded_scene(answered: Callable[..., str], shared: Path, bundle: Path, backbone: Path) -> None:
    """A Kinect's organised cloud, binary_compressed, with holes."""
    told = json.loads(answered("segment", str(shared / "real" / "learn1.pcd"), "the green box", "--json"))
    assert told["points"] == 640 * 480
    assert told["target_points"] >= sum(target["points"] for target in told["targets"])


class Listener:
    """In place of a model: keeps what it is asked and finds nothing."""

    def segment(self, xyz, instruction, **how):
        from segpoint.segmenter import Segmentation

        self.asked = (instruction, how["clicks"], how["box"], how["frame"])
        return Segmentation(np.zeros(len(xyz), bool), np.zeros(len(xyz), np.float32), "There is no mask.", [], {})


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("--click", "-0.05,-0.25,0.9"), ("this", [[-0.05, -0.25, 0.9]], None, "optical")),
        (("that", "--click=1,2,3", "--click", "-1,2,3"), ("that", [[1, 2, 3], [-1, 2, 3]], None, "optical")),
        (("--box", "-.1,-.2,-.3,1,2,3", "--frame", "map"), ("this", None, [-0.1, -0.2, -0.3, 1, 2, 3], "map")),
        (("--click", "1,2,3", "--box", "0,0,0,4,4,4", "it"), ("it", [[1, 2, 3]], [0, 0, 0, 4, 4, 4], "optical")),
    ],
)
def test_clicks_and_boxes_are_passed_on(
    answered: Callable[..., str], cloud: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], asked: tuple
) -> None:
    from segpoint.segmenter import Segmenter

    model = Listener()
    monkeypatch.setattr(Segmenter, "from_bundle", lambda *given, **options: model)
    told = json.loads(answered("segment", cloud, *words, "--json"))
    assert model.asked == asked
    assert (told["instruction"], told["clicks"], told["box"], told["frame"]) == asked


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--click", "1,2"), "clicks as (n, 3)"),
        (("--click", "1,2,3", "--click", "1,2"), "finite coordinates"),
        (("--click", "nan,0,1"), "finite coordinates"),
        (("--box", "0,0,0,1,1"), "lowest corner"),
        (("--box", "0,0,0,1,1,-1"), "lowest corner"),
    ],
)
def test_no_model_for_a_wrong_place(refused: Callable[..., str], cloud: str, words: tuple[str, ...], told: str) -> None:
    assert told in refused("segment", cloud, *words, "--bundle", "nowhere")


def test_a_place_is_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--click", "here"), ("--box", ""), ("--click",)):
        with pytest.raises(SystemExit, match="2"):
            main(["segment", "a.pcd", *words])
        assert words[0] in capsys.readouterr().err


def test_nothing_found_is_an_answer(answered: Callable[..., str], cloud: str, bundle: Path, backbone: Path) -> None:
    """Whatever the bundle: a float32 sigmoid does not come this close to 1 by accident."""
    words = ("segment", cloud, "the giraffe", "--bundle", str(bundle), "--threshold", "0.9999999")
    assert "There is no mask." in answered(*words)
