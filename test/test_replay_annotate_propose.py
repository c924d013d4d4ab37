"""`segpoint annotate --propose`: labels by the model alone, and their review."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import FRAMES, Knowing, record, session

from segpoint.cli import main
from segpoint_replay.annotate import propose
from segpoint_replay.annotate.proposal import Part
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets.own import check


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    return record(tmp_path_factory.mktemp("recorded"))


def test_proposals_without_a_page_wait_for_review(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    command = ["annotate", str(bag), "--out", str(tmp_path), "--every", "1", "--propose", "the ball"]
    assert main([*command, "--accept", "0.95"]) == 0
    assert not (tmp_path / "scene_labelled").exists()
    assert main([*command, "--accept", "0.8"]) == 0
    assert f"{FRAMES} clouds have labels that nobody has seen" in capsys.readouterr().out
    one = session(bag, tmp_path)
    assert one.folder.objects == {1: "ball"}  # the same one in all clouds
    [row] = json.loads((tmp_path / "instructions.json").read_text())["instructions"]
    assert row["notes"]["proposed"] == {str(number): 0.9 for number in range(FRAMES)}
    assert not check(DatasetConfig(name="own", root=str(tmp_path), split="all")).problems
    assert one.proposal is not None
    assert one.proposal.source == "review"
    one.finish()
    assert one.place == 1
    one.reject()
    again = session(bag, tmp_path)
    assert again.place == 1  # as before the model saw it
    assert not again.is_done(1)
    assert ((again.folder.labels(0) == 1) == (truth[0] == 2)).all()
    assert set(again.folder.proposed) == set(range(2, FRAMES))
    again.go(2)
    again.remove(1)  # one by one from the list
    assert again.proposal is None
    assert again.is_done(2) and not again.label.any() and not again.to_review(2)
    again.undo()
    assert again.proposal is not None and again.to_review(2)
    for place in (2, 3, 4, 5):
        again.go(place)
        again.reject()
    again.remove(1, everywhere=True)
    assert not again.folder.objects and not again.folder.asked


def test_a_least_score_of_0_takes_all(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unsure(Knowing):
        def ask(self, view: Any, text: str, clicks: Any = ()) -> Future[list[Part]]:
            answer: Future[list[Part]] = Future()
            found = super().ask(view, text).result()
            answer.set_result([replace(part, score=0.3) for part in found])
            return answer

    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Unsure(truth))
    command = ["annotate", str(bag), "--out", str(tmp_path), "--frames", "1", "--propose", "the ball"]
    assert main(command) == 0
    assert not (tmp_path / "instructions.json").exists()
    assert main([*command, "--accept", "0"]) == 0
    assert session(bag, tmp_path).folder.objects == {1: "ball"}


def test_what_the_model_alone_has_named_goes_with_its_last_mask(
    recorded: tuple[Path, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bag, truth = recorded
    monkeypatch.setattr(propose, "Model", lambda _: Knowing(truth))
    command = ["annotate", str(bag), "--out", str(tmp_path), "--every", "3", "--propose", "the ball"]
    assert main([*command, "--propose", "the teapot", "--propose", "the can", "--accept", "0.8"]) == 0
    told = capsys.readouterr().out
    assert "nothing found for “the teapot”" in told and "nothing found for “the ball”" not in told
    assert "2 objects, 2 instructions" in told
    one = session(bag, tmp_path)
    one.reject()
    assert set(one.folder.objects) == {1, 2}
    one.go(3)
    one.reject()
    assert not one.folder.objects and not one.folder.asked and not one.folder.received
    one.undo()
    assert set(one.folder.objects) == {1, 2} and one.to_review(3)
