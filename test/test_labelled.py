"""Labelled clouds of a folder and of the generator: what is asked of them, and what their rows may say."""

import json

import numpy as np
import pytest
from mini_table import write_table_folder

from segpoint.errors import SegPointError
from segpoint.files import write_points
from segpoint.prompts import Place
from segpoint_training.labelled import (
    category_words,
    clicks,
    folder_set,
    generated_set,
    labelled_scene,
    middle_point,
)
from segpoint_training.scenes.scene import Instruction, Scene, SceneObject

WIDTH, HEIGHT, FOCAL = 160, 120, 130.0


@pytest.fixture
def folder(tmp_path):
    return write_table_folder(tmp_path)


def test_the_middle_is_a_point_of_the_thing():
    ring = np.array([[np.cos(a), np.sin(a), 1.0] for a in np.linspace(0, 6, 50)] + [[0, 0, 1.0], [np.nan] * 3])
    mask = np.ones(len(ring), dtype=bool)
    mask[50] = False  # the hole's middle is not of the ring
    point = middle_point(ring, mask)
    assert np.linalg.norm(point[:2]) == pytest.approx(1.0) and np.isfinite(point).all()


def tiny_scene(instructions, categories=("table", "mug", "shoe")) -> Scene:
    """A row of 400 points in the body frame: background, then 100 points of each object."""
    xyz = np.stack([np.linspace(1, 2, 400), np.zeros(400), np.linspace(0, 0.1, 400)], axis=1).astype(np.float32)
    objects = tuple(
        SceneObject(id, category, "", (0, 0, 0), (1, 1, 1), "upright", int(id > 1), 100)
        for id, category in enumerate(categories, start=1)
    )
    return Scene(xyz, None, np.repeat([0, 1, 2, 3], 100).astype(np.int32), 400, 1, objects, 7, "lidar", "table",
                 "body", tuple(instructions))  # fmt: skip


def test_scenes_are_asked_with_their_places_and_open_ones_about_held_out_things_only():
    said = [
        Instruction("the mug", "category", (2,), "mug"),
        Instruction("this", "place", (3,), "shoe", "click"),
        Instruction("the shoe here", "place", (3,), "shoe", "box"),
        Instruction("the shoe and the mug", "category", (2, 3), "shoe"),
        Instruction("the banana", "zero-target", (), ""),
    ]
    cloud = labelled_scene(tiny_scene(said), "test")
    assert [q.text for q in cloud.questions] == [i.text for i in said]
    assert (cloud.frame, cloud.height, cloud.rgb, cloud.things) == ("body", 1, None, (2, 3))
    click, box = cloud.questions[1].place, cloud.questions[2].place
    assert isinstance(click, Place) and click.clicks[0, 0] in cloud.xyz[300:, 0] and click.box is None
    assert box.clicks is None
    assert box.box[[0, 2, 3, 5]] == pytest.approx([*cloud.xyz[300, [0, 2]], *cloud.xyz[399, [0, 2]]])
    assert [q.truth.sum() for q in cloud.questions] == [100, 100, 100, 200, 0]
    assert [q.text for q in labelled_scene(tiny_scene(said), "open").questions] == ["this", "the shoe here"]
    assert [q.place.clicks.shape for q in clicks(cloud).questions] == [(1, 3), (1, 3)]
    assert not category_words(cloud).questions  # it saw no colour to lose


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("{", "not valid JSON"),
        ("[]", "'instructions' is empty"),
        ('[{"file": "a.pcd", "instruction": "x", "kind": "spatial"}]', "target_labels"),
        ('[{"file": "a.pcd", "instruction": "x", "kind": "spatial", "target_labels": [1]}]', "a.pcd"),
    ],
)
def test_folders_that_cannot_be_measured(tmp_path, content, told):
    if content is not None:
        (tmp_path / "instructions.json").write_text(content)
    with pytest.raises(SegPointError, match=told):
        list(folder_set(tmp_path))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("file", ["a"]), ("file", 3), ("instruction", ""), ("instruction", " \n"), ("instruction", None), ("kind", {}),
        ("target_labels", 2), ("target_labels", [-1]), ("target_labels", ["2"]), ("target_labels", [True]),
        ("target_labels", [1.5]),
    ],
)  # fmt: skip
def test_rows_are_checked(folder, name, value):
    rows = json.loads((folder / "instructions.json").read_text())
    rows[2][name] = value
    (folder / "instructions.json").write_text(json.dumps(rows))
    with pytest.raises(SegPointError, match=f"instructions.json: row 3: '?{name}"):
        folder_set(folder)


def test_unlabelled_clouds_are_refused(folder):
    write_points(folder / "one.pcd", np.ones((10, 3)))
    with pytest.raises(SegPointError, match="no field 'label'"):
        list(folder_set(folder))


def test_generated_scenes_are_the_test_split_by_seed():
    data = generated_set(900_000, 2, sensor="kinect")
    first, second = data
    assert [cloud.name for cloud in data] == ["table_test_900000_kinect", "table_test_900001_kinect"]
    assert data.description["seeds"] == [900_000, 900_001] and data.description["split"] == "test"
    assert len(first.xyz) == first.width * first.height and first.questions and first.things
    assert {q.kind for q in first.questions + second.questions} >= {"category", "zero-target"}
    for question in first.questions:
        assert question.truth.shape == (len(first.xyz),)
        assert question.truth.any() == (question.kind != "zero-target")


def test_real_scenes_hold_what_their_instructions_count(shared):
    data = folder_set(shared / "real", 3)
    rows = json.loads((shared / "real" / "instructions.json").read_text())
    counts = [int(question.truth.sum()) for cloud in data for question in cloud.questions]
    assert counts == [row["target_points"] for row in rows[: len(counts)]]


def test_rows_say_their_frame_and_place(folder):
    rows = json.loads((folder / "instructions.json").read_text())
    for row in rows:
        row |= {"frame": "body"} if row["file"] == "two.pcd" else {}
    rows[0]["place"] = "click"
    (folder / "instructions.json").write_text(json.dumps(rows))
    one, two = folder_set(folder)
    assert (one.frame, two.frame) == ("optical", "body")
    place = one.questions[0].place
    assert place is not None and one.questions[1].place is None
    nearest = np.nanargmin(np.linalg.norm(one.xyz - place.clicks[0], axis=1))
    assert one.questions[0].truth[nearest], "the click is on what is meant"
    rows[0]["frame"], rows[1]["frame"] = "optical", "map"
    (folder / "instructions.json").write_text(json.dumps(rows))
    with pytest.raises(SegPointError, match="different frames"):
        folder_set(folder).load(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": "moon"}, "'frame' must be"),
        ({"place": "line"}, "'place' must be"),
        ({"place": "click", "target_labels": []}, "'place' must be"),
        ({"target_labels": [20]}, "means object 20"),
        ({"target_labels": [0]}, "0, which is no object"),
    ],
)
def test_rows_that_cannot_be_meant(folder, change, message):
    rows = json.loads((folder / "instructions.json").read_text())
    rows[0] |= change
    (folder / "instructions.json").write_text(json.dumps(rows))
    with pytest.raises(SegPointError, match=message):
        folder_set(folder).load(0)
