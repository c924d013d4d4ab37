"""TensorBoard's events of a run, read back by TensorBoard's own reader, and the same curves from the log."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segpoint.errors import SegPointError
from segpoint_training import board as board_module
from segpoint_training.board import Board
from segpoint_training.curves import main, read_log


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def curve(events: EventAccumulator, name: str) -> dict[int, float]:
    points = [(point.step, point.value) for point in events.Scalars(name)]
    assert len(dict(points)) == len(points), "a step is there twice"
    return dict(points)


def test_curves_and_pictures(tmp_path: Path):
    picture = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    Image.fromarray(picture).save(tmp_path / "sheet.png")
    board = Board(tmp_path / "board", True)
    board.scalars(10, {"bce": 0.5, "dice": 0.25}, "training")
    board.scalars(10, {"all": 44.0})
    board.picture(10, "answers", tmp_path / "sheet.png")
    board.picture(10, "array", picture)
    board.close()
    events = read(tmp_path / "board")
    assert set(events.Tags()["scalars"]) == {"training/bce", "training/dice", "all"}
    assert curve(events, "training/dice") == {10: 0.25}
    for name in ("answers", "array"):
        held = Image.open(io.BytesIO(events.Images(name)[0].encoded_image_string))
        assert np.array_equal(np.asarray(held), picture)


def test_a_resumed_stage_has_one_value_a_step(tmp_path: Path):
    first = Board(tmp_path, True)
    for step in (50, 100, 130, 150, 200):
        first.scalars(step, {"loss": 1.0})
    first.close()
    time.sleep(1.1)  # TensorBoard orders files by the second they were begun in
    second = Board(tmp_path, True, first_step=120)  # the checkpoint that it goes on from
    for step in (150, 200, 250):
        second.scalars(step, {"loss": 2.0})
    second.close()
    assert curve(read(tmp_path), "loss") == {50: 1.0, 100: 1.0, 150: 2.0, 200: 2.0, 250: 2.0}


def test_a_finished_stage_that_is_looked_at_again(tmp_path: Path):
    for value in (1.0, 2.0):
        board = Board(tmp_path, True, first_step=0 if value == 1 else 200)
        board.scalars(200, {"all": value}, "validation")
        board.close()
        time.sleep(1.1)
    assert curve(read(tmp_path), "validation/all") == {200: 2.0}


def test_other_processes_write_nothing(tmp_path: Path):
    board = Board(tmp_path / "board", False)
    board.scalars(1, {"loss": 1.0})
    board.close()
    assert not (tmp_path / "board").exists()


def test_without_tensorboard_training_goes_on_and_that_is_said_once(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    board_module._has_tensorboard.cache_clear()
    try:
        for stage in ("stage1", "stage2"):
            board = Board(tmp_path / stage, True)
            board.scalars(1, {"loss": 1.0})
            board.picture(1, "answers", np.zeros((2, 2, 3), np.uint8))
            board.close()
    finally:
        board_module._has_tensorboard.cache_clear()
    assert capsys.readouterr().out.count("pip install tensorboard") == 1
    assert not list(tmp_path.iterdir())


# --- the same from the log ----------------------------------------------------------------------------------------


def write_log(run: Path, *lines: dict) -> None:
    run.mkdir(exist_ok=True)
    (run / "log.jsonl").write_text("\n".join(json.dumps({"time": "2026-01-01T00:00:00", **line}) for line in lines))


def test_the_log_of_a_run_that_was_killed_and_went_on(tmp_path: Path):
    stage = {"stage": "stage1"}
    write_log(
        tmp_path,
        {"start": {"loaded": 3}},
        {**stage, "commit": "abc", "begins": 0, "scenes": 4},
        {**stage, "step": 50, "bce": 0.5, "samples_per_s": 3.0, "rate": 1e-3},
        {**stage, "step": 60, "done": False, "validation": {"all": 40.0}},
        {**stage, "step": 100, "bce": 9.0},
        {**stage, "commit": "abc", "begins": 80, "scenes": 4},
        {**stage, "step": 150, "bce": 0.25},
    )
    held = read_log(tmp_path)["stage1"]
    assert held.losses == {"bce": {50: 0.5, 150: 0.25}}
    assert held.validation == {"all": {60: 40.0}}
    assert held.figures == {"samples_per_s": {50: 3.0}, "rate": {50: 1e-3}}
    assert main([str(tmp_path), "--png", str(tmp_path / "curves.png")]) == 0
    with Image.open(tmp_path / "curves.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20 and picture.width > 600


def test_a_log_that_has_no_curves(tmp_path: Path):
    with pytest.raises(SegPointError, match="folder of a run"):
        read_log(tmp_path)
    write_log(tmp_path, {"stage": "stage1", "begins": 0})
    with pytest.raises(SegPointError, match="no step"):
        read_log(tmp_path)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('\n{"stage": "sta\n{"time": "9:00", "stage": "stage1", "step": 50, "loss": 0.5}\n')
    assert read_log(tmp_path)["stage1"].losses == {"loss": {50: 0.5}}, "a kill tears a line"
