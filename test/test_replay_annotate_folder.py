"""What `segpoint annotate` writes: whose folder it is, what stays in it, what a kill or a full disk leaves there."""

from __future__ import annotations

import http.client
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import FRAMES, SIZE, Knowing, NoModel, act, do, label_three, middle, on_disk, record, served, session
from mini_bag import write_mini_bag

from segpoint.cli import main
from segpoint.errors import SegPointError
from segpoint_replay.annotate import propose
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.own import check

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    return record(tmp_path_factory.mktemp("recorded"))


def test_other_rows_of_the_folder_stay(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    row = {"file": "bench.pcd", "instruction": "the vice", "target_labels": [3]}
    content = {"frame": "optical", "categories": {"bench.pcd": {"3": "vice"}}, "instructions": [row]}
    (tmp_path / "instructions.json").write_text(json.dumps(content))
    one = session(bag, tmp_path)
    label_three(lambda action, **given: do(one, action, given), truth[0])
    after = json.loads((tmp_path / "instructions.json").read_text())
    assert after["instructions"][0] == row
    assert after["categories"]["bench.pcd"] == {"3": "vice"}
    assert after["frame"] == "optical"
    (tmp_path / "instructions.json").write_text('{"labels": "parts", "instructions": []}')
    with pytest.raises(SegPointError, match="another folder"):
        session(bag, tmp_path)


def test_what_a_person_has_written_into_the_rows_stays(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, truth = recorded
    one = session(bag, tmp_path)
    one.go(1)
    label_three(lambda action, **given: do(one, action, given), truth[1])
    one.finish()
    one.accept()
    path = tmp_path / "instructions.json"
    content = json.loads(path.read_text())
    mine = {"file": "scene_labelled", "target_labels": [1]}
    content["instructions"][0] |= {"split": "test", "answer": "a ball", "notes": "checked by Ann", "place": "left"}
    content["instructions"] += [
        {**mine, "instruction": "that one here", "index": 0, "notes": {"by": "Ann"}},
        {**mine, "instruction": "the round one", "index": 1, "notes": "sure"},
        {**mine, "instruction": "the red one", "every": 2},
    ]
    path.write_text(json.dumps(content))
    again = session(bag, tmp_path)
    assert [(a.text, a.cloud) for a in again.folder.asked][2:] == [
        ("that one here", 1), ("the round one", 2), ("the red one", None)
    ]  # fmt: skip
    again.name(1, "sphere")
    again.go(0)
    again.accept()  # one more cloud, before the others
    first, _, *rest = json.loads(path.read_text())["instructions"]
    assert first == content["instructions"][0]
    assert rest[0] == {**content["instructions"][2], "index": 1, "notes": {"by": "Ann", "cloud": 1}}
    assert (rest[1]["index"], rest[1]["notes"]) == (2, {"words": "sure", "cloud": 2})
    assert rest[2] == content["instructions"][4]
    # What waits for review stands beside a person's words, and leaves them as they were.
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    assert (
        main(["annotate", str(bag), "--out", str(tmp_path), "--every", "1", "--propose", "pick up the red ball"]) == 0
    )
    row = json.loads(path.read_text())["instructions"][0]
    assert row["split"] == "test"
    last = session(bag, tmp_path)
    while last.proposal is not None:
        last.finish()
    row = json.loads(path.read_text())["instructions"][0]
    assert row == content["instructions"][0]


def test_another_bag_of_the_same_name_is_refused(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    one = session(bag, tmp_path / "out")
    one.finish()
    other = write_mini_bag(tmp_path, FRAMES, rate=7.0, labelled=False, size=SIZE)
    one.finish()
    with pytest.raises(SegPointError, match="another recording's"):
        session(other, tmp_path / "out")


def test_each_bag_has_a_name_of_its_own(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    for name in ("run.1", "run.2"):
        shutil.copytree(bag, tmp_path / name)
        command = ["annotate", str(tmp_path / name), "--out", str(tmp_path / "out"), "--frames", "2"]
        assert main([*command, "--propose", "the ball"]) == 0
    assert {path.name for path in (tmp_path / "out").glob("run*")} == {"run.1_labelled", "run.2_labelled"}
    rows = json.loads((tmp_path / "out" / "instructions.json").read_text())["instructions"]
    assert [row["file"] for row in rows] == ["run.1_labelled", "run.2_labelled"]
    assert not check(DatasetConfig(name="own", root=str(tmp_path / "out"), split="all")).problems


def test_only_a_folder_of_its_own_is_written(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))

    def refused(out: Path) -> str:
        before = sorted(out.rglob("*"))
        assert main(["annotate", str(bag), "--out", str(out), "--propose", "the ball"]) == 2
        assert sorted(out.rglob("*")) == before
        return capsys.readouterr().err

    assert "the bag" in refused(bag)
    assert "the bag" in refused(bag.parent)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    assert "thesis.txt" in refused(foreign)
    row = {"file": str(bag), "instruction": "the ball", "target_labels": [2]}
    (foreign / "instructions.json").write_text(json.dumps({"instructions": [row]}))
    assert "rows about" in refused(foreign)
    # Also where the folder is still to be made, by whatever name it is given, and of whatever of the bag.
    (tmp_path / "link").symlink_to(bag)
    (tmp_path / "aside").symlink_to(bag / "labels")
    monkeypatch.chdir(bag)
    for out in (bag / "labels", bag / "a" / "b", tmp_path / "link" / "labels", tmp_path / "aside", Path("labels")):
        assert "is in the bag" in refused(out)
        assert not out.exists()
    [file] = bag.glob("*.mcap")
    bag = file
    assert "is in the bag" in refused(file.parent / "labels")
    assert "is in the bag" in refused(file.parent)


def test_one_process_at_a_time_has_the_folder(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    command = ["annotate", str(bag), "--out", str(tmp_path), "--frames", "1", "--propose", "the ball"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "segpoint.cli", *command[:4], "--no-browser", "--bundle", str(tmp_path / "none")],
        stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith("page")
        assert main(command) == 2
        assert "another segpoint annotate is at work" in capsys.readouterr().err
        process.kill()
    assert main(command) == 0
    assert (tmp_path / "scene_labelled").is_dir()


def test_a_kill_loses_nothing_that_was_answered(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    """kill -9 while the page keeps it busy: all that was answered is there, and it goes on from there."""
    bag, truth = recorded
    command = [sys.executable, "-m", "segpoint.cli", "annotate", str(bag), "--out", str(tmp_path), "--every", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--no-browser", "--bundle", str(tmp_path / "none")], stdout=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().split()[1]
    label_three(lambda action, **given: act(address, action, **given), truth[0])
    done = 0

    def work() -> None:
        nonlocal done
        try:
            while True:
                act(address, "name", object=1, category=f"ball {done + 1}")
                done += 1
                act(address, "brush", stroke=[[30, 30 + done % 5]], radius=3, add=bool(done % 2), object=2)
        except (OSError, http.client.HTTPException):
            pass

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(1.5)
    process.kill()
    process.wait()
    worker.join()
    assert done > 3
    one = session(bag, tmp_path)
    assert one.folder.objects[1] in (f"ball {done}", f"ball {done + 1}")
    assert [a.text for a in one.folder.asked] == ["pick up the red ball", "grab the hammer"]
    assert set(np.unique(one.folder.labels(0))) == {0, 1, 2, 3}
    assert not check(DatasetConfig(name="own", root=str(tmp_path), split="all")).problems
    process.stdout.close()


@contextmanager
def full_disk(left: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_an_action_is_refused_whole(recorded: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    bag, truth = recorded
    with served(bag, tmp_path, NoModel()) as (address, one):
        x, y = middle(truth[0], 3)
        proposed = act(address, "click", x=x, y=y)["proposal"]
        for action in ("accept", "finish"):
            with full_disk(20_000):
                state = act(address, action)
            assert "nothing of this is saved" in state["error"]
            assert state["proposal"] == proposed
            assert (state["place"], state["objects"], state["undoable"]) == (0, [], 0)
            assert not any(cloud["done"] for cloud in state["clouds"])
            assert not on_disk(tmp_path)
        assert act(address, "finish")["place"] == 1
        assert ((one.folder.labels(0) == 1) & (truth[0] == 3)).sum() > 0.8 * (truth[0] == 3).sum()
        act(address, "go", place=0)
        # The cloud can be written, the instructions cannot: neither is.
        (tmp_path / ".new-instructions.json").mkdir()
        saved, label = on_disk(tmp_path), one.label
        for action, given in (
            ("brush", {"stroke": [[x, y]], "radius": 9, "add": False, "object": 1}),
            ("drop", {}), ("undo", {}), ("name", {"object": 1, "category": "box"}),
            ("instruct", {"text": "the box", "targets": [1]}), ("remove", {"object": 1, "everywhere": True}),
        ):  # fmt: skip
            state = act(address, action, **given)
            assert "nothing of this is saved" in state["error"]
            assert [(o["number"], o["category"]) for o in state["objects"]] == [(1, "")]
            assert (state["undoable"], state["asked"]) == (1, [])
            assert one.label is label
            assert on_disk(tmp_path) == saved
        (tmp_path / ".new-instructions.json").rmdir()
        assert not act(address, "name", object=1, category="box")["error"]
    assert session(bag, tmp_path).folder.objects == {1: "box"}
