"""Clicks and boxes: from what a user points at to tokens of the reader and the LLM."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from segpoint.cloud import prepare
from segpoint.config import BundleConfig, CloudConfig
from segpoint.errors import SegPointError
from segpoint.network.inputs import collate
from segpoint.network.place import BOX, CLICK, PlaceEncoder, Places
from segpoint.pointing import find_places
from segpoint.prompts import Place
from segpoint_training.pointing import Ground, draw_places, pointing_instruction, pointing_texts, stack_places
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.scenes.scene import Instruction
from segpoint_training.shards import label_voxels

CONFIG = replace(BundleConfig(), cloud=CloudConfig(points=2048))


@pytest.fixture(scope="module")
def scene():
    return generate_scene(5, "test", "kinect", 320, 240)


@pytest.fixture(scope="module")
def cloud(scene):
    return prepare(scene.xyz, scene.rgb, "optical", CONFIG.cloud)


@pytest.fixture(scope="module")
def inputs(cloud):
    return collate([cloud], CONFIG)


def test_a_click_is_found_on_the_surface(scene, cloud, inputs):
    raw = int(np.flatnonzero(cloud.voxel_of >= 0)[1234])
    places = find_places(Place(clicks=scene.xyz[raw]), scene.xyz, cloud, inputs, CONFIG)
    assert places.kind.tolist() == [[[CLICK]]]
    row = int(places.inside[0, 0, 0].argmax())
    assert places.inside[0, 0, 0, row] == 1 and places.inside.sum() == 1
    assert np.linalg.norm(cloud.xyz[row] - cloud.to_level(scene.xyz[raw : raw + 1])) < 0.05
    assert torch.allclose(places.corners[0, 0, 0, 0], inputs.points[0, row], atol=0.3)
    centre = inputs.points[0, inputs.tables["levels"][0, places.token[0, 0, 0]]]
    assert (centre - places.corners[0, 0, 0, 0]).norm() < 2


def test_a_box_holds_the_points_inside_in_the_callers_axes(scene, cloud, inputs):
    thing = max(scene.objects[1:], key=lambda o: o.points)
    on = scene.xyz[scene.instance == thing.id]
    box = np.concatenate([on.min(axis=0) - 1e-3, on.max(axis=0) + 1e-3])
    places = find_places(Place(box=box), scene.xyz, cloud, inputs, CONFIG)
    held = places.inside[0, 0, 0].numpy() > 0
    truth = label_voxels(cloud, scene.instance) == thing.id
    assert places.kind.tolist() == [[[BOX]]] and places.inside.sum() == pytest.approx(1, abs=1e-5)
    assert (held & truth).sum() >= 0.97 * truth.sum()


def test_clicks_and_a_box_together(scene, cloud, inputs):
    points = scene.xyz[cloud.voxel_of >= 0]
    box = np.concatenate([np.nanmin(scene.xyz, axis=0), np.nanmax(scene.xyz, axis=0)])
    places = find_places(Place(points[:2], box), scene.xyz, cloud, inputs, CONFIG)
    assert places.kind.tolist() == [[[CLICK, CLICK, BOX]]]


@pytest.mark.parametrize(
    ("clicks", "box", "message"),
    [
        (None, None, "neither"),
        ([[1, 2]], None, "shape"),
        ([[1, 2, np.nan]], None, "finite"),
        (["a"], None, "finite"),
        (np.zeros((9, 3)), None, "1 to 8"),
        (None, [1, 2, 3], "lowest"),
        (None, [0, 0, 0, 1, 1, 0], "lowest"),
        ([[0.5, 0.5, 0.5], [2, 0.5, 0.5]], [0, 0, 0, 1, 1, 1], r"click \[2.0, 0.5, 0.5\] lies outside"),
    ],
)
def test_bad_places_are_one_clear_error(clicks, box, message):
    with pytest.raises(SegPointError, match=message):
        Place(clicks, box)


def test_pointing_into_the_void_says_where_the_cloud_is(scene, cloud, inputs):
    """What the message calls the nearest point can be clicked."""
    for place, complaint in (
        (Place(clicks=[5.0, 5, 5]), "nothing of the cloud is at the click [5, 5, 5]"),
        (Place(clicks=[1e300, 5, 5]), "nothing of the cloud is at the click [1e+300, 5, 5]"),
        (Place(box=[5.0, 5, 5, 6, 6, 6]), "the box [5, 5, 5, 6, 6, 6] holds no point"),
    ):
        with pytest.raises(SegPointError) as caught:
            find_places(place, scene.xyz, cloud, inputs, CONFIG)
        told = str(caught.value)
        assert complaint in told and "(optical)" in told
        nearest, low, high = (json.loads(text) for text in re.findall(r"\[[^]]*\]", told)[1:])
        find_places(Place(clicks=nearest), scene.xyz, cloud, inputs, CONFIG)
        usable = scene.xyz[cloud.voxel_of >= 0]
        assert np.allclose(low, usable.min(axis=0), atol=1e-3) and np.allclose(high, usable.max(axis=0), atol=1e-3)


def test_the_encoder_tells_places_apart_and_starts_neutral_for_the_llm(inputs):
    torch.manual_seed(0)
    encoder = PlaceEncoder(32, 24)
    inside = torch.zeros(1, 2, 1, 2048)
    inside[0, :, 0, 7] = 1
    corners = torch.tensor([[[[[0.0] * 3] * 2], [[[1.0] * 3] * 2]]])
    places = Places(torch.zeros(1, 2, 1, dtype=torch.int64), corners, inside, torch.tensor([[[3], [4]]]))
    dense, projected = torch.randn(1, 2048, 32), torch.randn(1, 128, 24)
    tokens = encoder(places, dense)
    assert tokens.shape == (1, 2, 1, 32) and (tokens[0, 0] - tokens[0, 1]).abs().max() > 0.1
    assert torch.equal(encoder.for_language(places, projected)[0, :, 0], projected[0, [3, 4]])
    moved = dense.clone()
    moved[0, 7] += 1
    assert (encoder(places, moved) - tokens).abs().max() > 0.01, "what f_P says at the click is read"


def test_training_points_where_the_target_is(scene, cloud, inputs):
    rng = np.random.default_rng(0)
    instance = label_voxels(cloud, scene.instance).astype(np.int64)
    ground = Ground(inputs.points[0].numpy(), instance, rng.permutation(cloud.count)[:768])
    thing = max(scene.objects[1:], key=lambda o: o.points)
    asked = [pointing_instruction(thing, "train", place, rng) for place in ("click", "box")]
    assert {i.text for i in asked} <= set(pointing_texts("train", [thing.category]))
    drawn = [draw_places(i, ground, rng) for i in asked] + [
        draw_places(Instruction("x", "category", (), ""), ground, rng)
    ]
    for _, _, inside in drawn[0]:
        assert instance[ground.rows[inside.argmax()]] == thing.id
    assert drawn[1][0][0] == BOX and instance[ground.rows][drawn[1][0][2] > 0].tolist().count(thing.id) > 0
    places = stack_places([drawn], inputs, CONFIG)
    assert places.mask[0].any(dim=1).tolist() == [True, True, False]
    assert stack_places([[[]]], inputs, CONFIG) is None


def test_train_and_test_point_with_other_words():
    train, test = pointing_texts("train", ["mug"]), pointing_texts("test", ["mug"])
    assert not set(train) & set(test) and "this" in train
