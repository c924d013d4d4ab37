"""The truth beside a recording's clouds: found by the headers' time, with the centres that found targets have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mini_own import STEP as OWN_STEP
from mini_own import TOPIC, scene_fields, write_bag, write_own_folder
from replay_bags import CLOUD, START, STEP, Bags

from segpoint.errors import SegPointError
from segpoint.instances import separate
from segpoint_replay.recording import Recording
from segpoint_replay.truth import Labels
from segpoint_training.datasets.own_bag import open_bag
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.scenes.scene import Scene

MUG = {"file": "labels", "instruction": "the mug", "target_labels": [1]}
TWO = {"file": "labels", "instruction": "all of it", "target_labels": [1, 2], "kind": "many"}
NONE = {"file": "labels", "instruction": "the hammer", "target_labels": []}


@pytest.fixture
def bags() -> Bags:
    return Bags("mcap")


def write_labels(root: Path, rows: list[dict[str, Any]], **more: Any) -> Path:
    (root / "instructions.json").write_text(json.dumps({"instructions": rows, **more}))
    return root


def labelled(bags: Bags, number: int, received: int | None = None, stamp: int | None = None, points: int = 40) -> Any:
    """A cloud of `Bags.cloud` with 10 points of object 1, 5 of object 2 and no others."""
    label = np.repeat([1, 2, 0], [10, 5, points - 15])
    time = START + number * STEP
    return "/labelled", CLOUD, received or time, bags.cloud(number, points, label=label, stamp=stamp)


def test_labels_of_another_bag_are_found_by_the_headers_time(tmp_path: Path, bags: Bags) -> None:
    run = Recording.open(bags.write(tmp_path / "run", list(bags.clouds(6))))
    bags.write(tmp_path / "labels", [labelled(bags, 4, START + 1), labelled(bags, 2, START + 2)])
    labels = Labels.open(write_labels(tmp_path, [MUG, TWO, NONE]), run)
    assert labels.numbers == (2, 4)
    for frame in run.frames():
        truths = labels.of(frame)
        if frame.number not in labels.numbers:
            assert truths == ()
            continue
        assert [(truth.instruction, truth.kind) for truth in truths] == [
            ("the mug", "instruction"), ("all of it", "many"), ("the hammer", "zero-target"),
        ]  # fmt: skip
        assert [np.flatnonzero(truth.mask).tolist() for truth in truths] == [[*range(10)], [*range(15)], []]
        assert [truth.centres.shape for truth in truths] == [(1, 3), (2, 3), (0, 3)]
        assert np.abs(truths[0].centres - (10 * frame.number + 0.5)).max() < 0.5  # of this cloud, and no other
    assert run.troubles == []


def test_a_labelled_bag_is_its_own_truth_and_centres_are_those_of_found_targets(tmp_path: Path) -> None:
    folder = write_own_folder(tmp_path / "own", clouds=0, bag=3)
    scene = generate_scene(0, "train", "kinect", width=96, height=72)
    recording = Recording.open(folder / "run")
    labels = Labels.open(folder, recording)
    assert labels.numbers == (0, 1, 2)
    finite = np.isfinite(scene.xyz).all(axis=1)
    for frame in recording.frames():
        truths = labels.of(frame)
        told = {i.text: i for i in scene.instructions}
        assert len(truths) > 3
        for truth in truths:
            targets = told[truth.instruction].targets
            assert (truth.mask == (finite & np.isin(scene.instance, targets))).all()
            assert len(truth.centres) == len(targets)
            for target, centre in zip(sorted(targets), truth.centres, strict=True):
                np.testing.assert_allclose(centre, found_centre(scene, target), atol=1e-6)


def found_centre(scene: Scene, target: int) -> np.ndarray:
    """Where the method would say that an object is, if its mask were right and in one piece."""
    mask = scene.instance == target
    found = separate(
        scene.xyz, mask, np.ones(len(mask), np.float32), distance=100.0, min_points=1, up=np.array([0.0, -1.0, 0.0])
    )
    return found[0].centre


def test_headers_without_a_time_are_matched_by_when_they_were_recorded(tmp_path: Path, bags: Bags) -> None:
    clouds = [("/points", CLOUD, START + i * STEP, bags.cloud(i, stamp=0)) for i in range(3)]
    run = Recording.open(bags.write(tmp_path / "run", clouds))
    bags.write(tmp_path / "labels", [labelled(bags, 1, stamp=0)])
    assert Labels.open(write_labels(tmp_path, [MUG]), run).numbers == (1,)


def test_clouds_that_were_recorded_at_one_time_are_told_apart_by_their_headers(tmp_path: Path, bags: Bags) -> None:
    run = Recording.open(bags.write(tmp_path / "run", list(bags.clouds(3))))
    bags.write(tmp_path / "labels", [labelled(bags, number, START) for number in range(3)])
    labels = Labels.open(write_labels(tmp_path, [MUG]), run)
    assert labels.numbers == (0, 1, 2)
    for frame in run.frames():
        assert np.abs(labels.of(frame)[0].centres - (10 * frame.number + 0.5)).max() < 0.5


@pytest.mark.parametrize("kind", ["db3.zstd", "db3.message"])
def test_a_compressed_labelled_bag_that_was_not_closed_is_its_own_truth(tmp_path: Path, kind: str) -> None:
    bags = Bags(kind)
    path = bags.write(tmp_path / "labels", [labelled(bags, number) for number in range(4)])
    (path / "metadata.yaml").unlink()
    run = Recording.open(path)
    labels = Labels.open(write_labels(tmp_path, [MUG]), run)
    assert [np.flatnonzero(labels.of(frame)[0].mask).tolist() for frame in run.frames()] == [[*range(10)]] * 4


def test_a_stray_file_in_the_labelled_bag_is_no_part_of_it(tmp_path: Path, bags: Bags) -> None:
    path = bags.write(tmp_path / "labels", [labelled(bags, number) for number in range(4)])
    says = (path / "metadata.yaml").read_text()
    (path / "metadata.yaml").write_text(says.replace("- labels.mcap", "- labels.mcap\n  - labels_1.mcap"))
    (path / "zother.mcap").write_bytes((path / "labels.mcap").read_bytes())
    run = Recording.open(path)
    assert Labels.open(write_labels(tmp_path, [MUG]), run).numbers == (0, 1, 2, 3)
    other = Bags("mcap").write(tmp_path / "other", [labelled(bags, number) for number in range(9)]) / "other.mcap"
    other.replace(path / "zother.mcap")
    open_bag.cache_clear()
    assert Labels.open(tmp_path, run).numbers == (0, 1, 2, 3)


def test_labels_of_another_run_are_told(tmp_path: Path, bags: Bags) -> None:
    run = Recording.open(bags.write(tmp_path / "run", list(bags.clouds(3))))
    bags.write(tmp_path / "labels", [labelled(bags, 50)])
    with pytest.raises(SegPointError, match=r"none of its 1 labelled clouds .*1700000005\.000 to 1700000005\.000 s"):
        Labels.open(write_labels(tmp_path, [MUG]), run)


def test_a_time_of_two_clouds_is_told_and_left_out(tmp_path: Path, bags: Bags) -> None:
    run = Recording.open(bags.write(tmp_path / "run", list(bags.clouds(3))))
    twice = [labelled(bags, 0, START + 1), labelled(bags, 1), labelled(bags, 0, START + 2)]
    bags.write(tmp_path / "labels", twice)
    assert Labels.open(write_labels(tmp_path, [MUG]), run).numbers == (1,)
    assert "1 times belong to more than one cloud" in run.troubles[0]


def test_rows_with_a_place_are_left_out_and_told(tmp_path: Path, bags: Bags) -> None:
    run = Recording.open(bags.write(tmp_path / "run", list(bags.clouds(3))))
    bags.write(tmp_path / "labels", [labelled(bags, 1)])
    clicked = {**MUG, "instruction": "this", "place": "click"}
    labels = Labels.open(write_labels(tmp_path, [MUG, clicked]), run)
    assert [truth.instruction for frame in run.frames() for truth in labels.of(frame)] == ["the mug"]
    assert run.troubles == [
        f"{tmp_path}: 1 of 2 rows come with a click or a box and are left out: a replay asks in words alone"
    ]
    with pytest.raises(SegPointError, match="all its rows come with a click or a box"):
        Labels.open(write_labels(tmp_path, [clicked]), run)


def test_clouds_of_other_points_are_told(tmp_path: Path, bags: Bags) -> None:
    run = Recording.open(bags.write(tmp_path / "run", list(bags.clouds(1, points=50))))
    bags.write(tmp_path / "labels", [labelled(bags, 0)])
    labels = Labels.open(write_labels(tmp_path, [MUG]), run)
    with pytest.raises(SegPointError, match="labels@0 has 40 points and the bag's cloud of that time 50"):
        labels.of(next(run.frames()))


def test_the_labels_of_another_bag_are_told_though_the_times_agree(tmp_path: Path, bags: Bags) -> None:
    run = Recording.open(bags.write(tmp_path / "run", list(bags.clouds(3))))
    label = np.repeat([1, 2, 0], [10, 5, 25])
    other = "/labelled", CLOUD, START, bags.cloud(7, 40, label=label, stamp=START)  # other points at the same time
    bags.write(tmp_path / "labels", [other])
    labels = Labels.open(write_labels(tmp_path, [MUG]), run)
    with pytest.raises(SegPointError, match="labels@0 has other points than the bag's cloud of that time"):
        labels.of(next(run.frames()))
    with pytest.raises(SegPointError, match="none of those is chosen: change start, duration or every"):
        labels.check_due([1, 2])


def test_a_folder_of_files_alone_is_told(tmp_path: Path, bags: Bags) -> None:
    run = Recording.open(bags.write(tmp_path / "run", list(bags.clouds(1))))
    folder = write_own_folder(tmp_path / "own", clouds=1, bag=0)
    with pytest.raises(SegPointError, match="its rows name no bag"):
        Labels.open(folder, run)


def test_rows_for_many_clouds_hold_where_their_targets_are_in_view(tmp_path: Path) -> None:
    scene = generate_scene(0, "train", "kinect", width=96, height=72)
    there = scene_fields(scene)
    target = int(next(thing.id for thing in scene.objects if (there["label"] == thing.id).any()))
    gone = {**there, "label": np.where(there["label"] == target, 0, there["label"]).astype(np.uint32)}
    write_bag(tmp_path / "run", [there, gone], size=(scene.width, scene.height), topic=TOPIC)
    rows = [{"file": "run", "instruction": "take it", "target_labels": [target]}]
    recording = Recording.open(tmp_path / "run")
    labels = Labels.open(write_labels(tmp_path, rows), recording)
    assert [len(labels.of(frame)) for frame in recording.frames()] == [1, 0]
    assert recording.stamps[1] - recording.stamps[0] == OWN_STEP
    write_labels(tmp_path, [{**rows[0], "index": 1}])
    labels = Labels.open(tmp_path, recording)
    assert labels.numbers == (1,)
    with pytest.raises(SegPointError, match="of which run@1 has no point"):
        list(map(labels.of, recording.frames()))
