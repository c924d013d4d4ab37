"""``segpoint replay`` as it is typed: what it refuses at once, prints, goes on with, and sets side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from colour_segmenter import ColourSegmenter, use
from mini_bag import ROWS, write_mini_bag

from segpoint.cli import main
from segpoint_replay.record import read_run

BALL = ROWS[0][0]


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return write_mini_bag(tmp_path_factory.mktemp("bag"), frames=8)


@pytest.fixture
def segmenter(monkeypatch, tmp_path) -> ColourSegmenter:
    monkeypatch.chdir(tmp_path)
    return use(monkeypatch, ColourSegmenter())


def test_help_is_instant_and_names_everything(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for option in ("--instruction", "--labels", "--live", "--rate", "--every", "--ray", "--compare", "out/replay"):
        assert option in told


def test_importing_the_command_imports_nothing_heavy() -> None:
    code = "import sys, segpoint_replay.command; print({'torch', 'scipy', 'rich', 'rclpy', 'rosbags'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_a_bag_is_replayed_printed_and_not_replayed_again(bag, segmenter, capsys) -> None:
    arguments = ["replay", str(bag), "--labels", str(bag.parent), "--every", "4"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "2 of 2 clouds" in told and BALL in told and "100.0" in told and "attribute" in told
    assert "out/replay/scene/report.html" in told and Path("out/replay/scene/report.html").is_file()
    calls = len(segmenter.calls)
    assert main([*arguments, "--json"]) == 0 and len(segmenter.calls) == calls
    captured = capsys.readouterr()
    assert (
        captured.err.count(f"{bag}: finished before, nothing to do; to replay it again, remove out/replay/scene") == 1
    )
    [run] = json.loads(captured.out)["runs"]
    assert run["summary"]["overall"]["miou"] == 1.0 and run["complete"] and run["record"].endswith("run.json")
    assert run["summary"]["timing"]["answered"] == 2
    assert main([*arguments, "--parameter", "mask.threshold=0.6", "--json"]) == 0 and len(segmenter.calls) > calls
    assert "finished before" not in capsys.readouterr().err
    assert read_run("out/replay/scene").job["parameters"] == [["mask.threshold", 0.6]]


def test_several_bags_have_a_folder_each_and_an_index(bag, segmenter, capsys) -> None:
    assert main(["replay", str(bag), f"{bag}/scene.mcap", str(bag), "--instruction", BALL, "--every", "4"]) == 0
    assert {path.name for path in Path("out/replay").iterdir()} == {"scene", "scene-2", "scene-3", "index.html"}
    told = capsys.readouterr().out
    assert told.count("report ") == 3 and "out/replay/index.html" in told
    runs = [read_run(f"out/replay/{name}") for name in ("scene", "scene-2", "scene-3")]
    assert runs[0].answers == runs[1].answers == runs[2].answers
    # One of them has been there before, the others are new: only those are replayed.
    calls = len(segmenter.calls)
    Path("out/replay/scene-2/run.json").write_text(
        Path("out/replay/scene-2/run.json").read_text().replace('"complete": true', '"complete": false')
    )
    assert main(["replay", str(bag), f"{bag}/scene.mcap", str(bag), "--instruction", BALL, "--every", "4"]) == 0
    assert len(segmenter.calls) == calls + 2
    told = [line for line in capsys.readouterr().err.splitlines() if "finished before" in line]
    assert len(told) == 2 and "remove out/replay/scene or" in told[0] and "remove out/replay/scene-3 or" in told[1]


def test_that_the_bags_own_words_are_asked_is_said(bag, segmenter, capsys) -> None:
    assert main(["replay", str(bag), "--every", "4"]) == 0
    assert capsys.readouterr().out.splitlines().count("asked    what the bag says on /instruction") == 1
    for other in (["--instruction", BALL], ["--labels", str(bag.parent)]):
        assert main(["replay", str(bag), *other, "--every", "4"]) == 0
        assert "asked    " not in capsys.readouterr().out


def test_no_raw_control_character_is_in_the_json(bag, segmenter, capsys) -> None:
    odd = "the ball \x7f\x9b31m\u202e"
    assert main(["replay", str(bag), "--instruction", odd, "--every", "4", "--json"]) == 0
    assert main(["replay", str(bag), "--instruction", odd, "--every", "4", "--out", "b"]) == 0
    assert main(["replay", "--compare", "out/replay", "b", "--json"]) == 0
    first, *_, last = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert all(one.isascii() and one.isprintable() for one in (first, last))
    assert list(json.loads(first)["runs"][0]["summary"]["instructions"]) == [odd]


def test_two_runs_side_by_side(bag, segmenter, capsys) -> None:
    labels = ["--labels", str(bag.parent)]
    assert main(["replay", str(bag), *labels, "--out", "a"]) == 0
    assert main(["replay", str(bag), *labels, "--out", "b", "--parameter", "clusters.max_points=100"]) == 0
    capsys.readouterr()
    assert main(["replay", "--compare", "a", "b/scene", "--out", "both.html"]) == 0
    told = capsys.readouterr().out
    assert "Both answered 32 questions about 8 clouds, 24 of them with a target" in told and "a difference" in told
    assert "</html>" in Path("both.html").read_text()
    assert main(["replay", "--compare", "a/scene/run.json", "b", "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both["paired"] == 32 and both["gain"] < 0 and both["low"] <= both["gain"] <= both["high"] < 0
    assert both["difference"]["miou"] == pytest.approx(both["gain"])
    assert Path("comparison.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "there is no such bag"),
        (["FOLDER"], " is no bag, but holds 1: give "),
        (["BAG", "--labels", "nowhere"], "no instructions.json"),
        (["BAG", "--bundle", "nowhere"], "no bundle at nowhere"),
        (["BAG", "--instruction", " ; "], "--instruction is empty"),
        (["BAG", "--instruction", "x" * 20_000], "20000"),
        (["BAG", "--parameter", "mask.threshold"], "NAME=VALUE"),
        (["BAG", "--parameter", "threshold=0.5"], "did you mean mask.threshold"),
        (["BAG", "--parameter", "mask.threshold=high"], "mask.threshold"),
        (["BAG", "--parameter", "build_only=true"], "build_only cannot be given"),
        (["BAG", "--topic", "/none", "--instruction", "it"], "/none"),
        (["BAG", "--start", "60"], "no cloud on"),
        (["BAG", "--out", "file"], "file"),
        (
            ["BAG", "BAG", "--instruction", "it", "--out", "site"],
            "site/index.html is no page of `segpoint replay`",
        ),
        (["--compare", "others", "others", "--out", "site/index.html"], "site/index.html is no page of"),
        (["BAG", "--instruction", "the \ud800"], "not valid Unicode"),
        (["BAG", "--topic", "/\x1b[31mred\u202e", "--instruction", "it"], r"/\x1b[31mred\u202e"),
        (["BAG", "--out", "others"], "is not of `segpoint replay` and stays"),
        (["--compare", "nowhere", "others"], "no such file"),
        (["--compare", "file", "file"], "no record of `segpoint replay`"),
        (["--compare", "others", "others", "--out", "x.txt"], ".html"),
    ],
)
def test_bad_input_ends_in_one_line(bag, segmenter, capsys, arguments, complaint) -> None:
    Path("file").write_text("{}")
    Path("site").mkdir()
    Path("site/index.html").write_text("mine")
    Path("others/scene").mkdir(parents=True)
    Path("others/scene/thesis.txt").write_text("mine")
    named = {"BAG": str(bag), "FOLDER": str(bag.parent)}
    assert main(["replay", *(named.get(word, word) for word in arguments)]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert complaint in told[-1] and told[-1].startswith("segpoint: "), told
    assert Path("site/index.html").read_text() == "mine" and not Path("site/scene").exists()
    assert not segmenter.calls and Path("others/scene/thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give a bag"),
        (["BAG", "--rate", "2"], "--rate is of --live"),
        (["BAG", "--node", "/x"], "--node is of --live"),
        (["BAG", "--live", "--workers", "2"], "--live"),
        (["BAG", "--live", "--rate", "0"], "not a number above 0"),
        (["BAG", "--start", "-1"], "not a number from 0 up"),
        (["BAG", "--duration", "nan"], "not a number from 0 up"),
        (["BAG", "--every", "0"], "not a whole number from 1 up"),
        (["BAG", "--workers", "1.5"], "not a whole number from 1 up"),
        (["BAG", "--compare", "a", "b"], "takes two runs and no bag"),
    ],
)
def test_bad_use(bag, segmenter, capsys, arguments, complaint) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", *(str(bag) if word == "BAG" else word for word in arguments)])
    assert ended.value.code == 2 and complaint in capsys.readouterr().err


def test_runs_of_other_clouds_are_not_compared(bag, segmenter, capsys, tmp_path) -> None:
    other = write_mini_bag(tmp_path / "other", rate=3.0, labelled=False)
    assert main(["replay", str(bag), "--out", "a", "--every", "8"]) == 0
    assert main(["replay", str(other), "--out", "b", "--every", "2", "--instruction", "the red one"]) == 0
    assert main(["replay", "--compare", "a", "b"]) == 2
    assert "nothing to compare" in capsys.readouterr().err
    assert not Path("comparison.html").exists()
    for name in ("x", "y"):
        Path("many", name).mkdir(parents=True)
        Path("many", name, "run.json").write_bytes(Path("a/scene/run.json").read_bytes())
    assert main(["replay", "--compare", "many", "a"]) == 2
    assert "2 runs: name one" in capsys.readouterr().err


def test_a_broken_bag_among_several_is_told_and_the_others_are_there(bag, segmenter, tmp_path, capsys) -> None:
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"no bag at all")
    assert main(["replay", str(broken), str(bag), "--instruction", BALL, "--every", "4"]) == 2
    captured = capsys.readouterr()
    assert "2 of 2 clouds" in captured.out and "1 of 2 bags were not replayed" in captured.err
    assert "broken.mcap" in captured.err and "broken.mcap" in Path("out/replay/index.html").read_text()


def test_a_bag_named_otherwise_is_the_same_and_nothing_is_written_into_it(
    bag, segmenter, capsys, tmp_path, monkeypatch
) -> None:
    asked = ["--instruction", BALL, "--every", "4"]
    assert main(["replay", str(bag), *asked]) == 0
    calls, files = len(segmenter.calls), sorted(bag.iterdir())
    monkeypatch.chdir(bag)
    assert main(["replay", ".", *asked, "--out", str(tmp_path / "out/replay")]) == 0
    assert "finished before" in capsys.readouterr().err and len(segmenter.calls) == calls
    assert main(["replay", ".", *asked]) == 2
    assert "out/replay/scene lies in the bag ., which stays as it is" in capsys.readouterr().err
    assert sorted(bag.iterdir()) == files


def test_live_a_finished_bag_is_not_replayed_again(bag, segmenter, capsys) -> None:
    assert main(["replay", str(bag), "--instruction", BALL, "--every", "4"]) == 0
    record = Path("out/replay/scene/run.json")
    record.write_text(record.read_text().replace('"way": "offline"', '"way": "live"'))
    assert main(["replay", str(bag), "--instruction", BALL, "--every", "4", "--live"]) == 0
    assert "finished before, nothing to do" in capsys.readouterr().err


def test_live_a_broken_bag_among_several_does_not_stop_the_others(bag, tmp_path, monkeypatch, capsys, request) -> None:
    pytest.importorskip("rclpy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", request.getfixturevalue("ros_environment")["ROS_DOMAIN_ID"])
    request.getfixturevalue("process")
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"no bag at all")
    live = ["--live", "--node", "/segpoint", "--instruction", BALL, "--every", "4"]
    assert main(["replay", str(broken), str(bag), *live]) == 2
    captured = capsys.readouterr()
    assert "of 2 clouds" in captured.out and "1 of 2 bags were not replayed" in captured.err
    assert read_run("out/replay/scene").complete and "broken.mcap" in Path("out/replay/index.html").read_text()
