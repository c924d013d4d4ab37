"""Instructions in rooms, in maps, without colour, and about things of categories that were never trained."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from toy_scenes import everything_said, phrases, room_of, scene_of, thing

from segpoint_training.scenes.categories import HELD_OUT
from segpoint_training.scenes.colours import NAMES
from segpoint_training.scenes.contacts import wall_distances
from segpoint_training.scenes.instructions import write_instructions
from segpoint_training.scenes.scene import Instruction, Scene
from segpoint_training.scenes.vocabulary import main_noun

THINGS = (
    thing(2, "sofa", 3.0, 1.5, "red"),
    thing(3, "desk", 3.0, -1.2, "brown"),
    thing(4, "chair", 2.45, -1.2, "black"),
    thing(5, "chair", 4.4, 0.2, "white"),
    thing(6, "nightstand", 3.2, 0.2, "white"),
    thing(7, "lamp", 3.2, 0.2, "yellow", scale=0.3, support=6, low=0.5),
    thing(8, "book", 3.0, -1.0, "blue", support=3, low=0.75),
    thing(9, "book", 1.5, 0.5, "green"),
)
VIEWED = re.compile(r"\b(left|right|leftmost|rightmost|front|behind|the back|closest to you|nearest to me|hidden)\b")


@pytest.fixture(scope="module")
def room() -> dict[str, Instruction]:
    return phrases(everything_said(room_of(*THINGS), times=30))


@pytest.mark.parametrize(
    ("phrase", "targets"),
    [
        ("chairs", (4, 5)),
        ("chair at the desk", (4,)),
        ("lamp on the nightstand", (7,)),
        ("book on the floor", (9,)),
        ("book on the desk", (8,)),
        ("seats", (2, 4, 5)),
        ("floor", (1,)),
        ("Where can I sit?", (2, 4, 5)),
        ("something to read", (8, 9)),
        ("chair closest to the desk", (4,)),
    ],
)
def test_what_a_phrase_means(room: dict[str, Instruction], phrase: str, targets: tuple[int, ...]) -> None:
    assert room[phrase].targets == targets


def test_answers_and_what_is_not_handed_over(room: dict[str, Instruction]) -> None:
    assert room["seats"].answer == "seat"
    said = everything_said(room_of(*THINGS), times=10)
    assert not any(re.match(r"(pick up|grab|hand me) (the|a|all) (sofa|desk|chairs?|seats?)\b", text) for text in said)


def test_a_map_has_no_viewpoint() -> None:
    said = everything_said(room_of(*THINGS, frame="map", sensor="map"), times=20)
    assert not [text for text in said if VIEWED.search(text) and "keeps the doctor" not in text]
    assert any("next to" in text or "closest to the" in text for text in said)
    assert [text for text in everything_said(room_of(*THINGS), times=5) if VIEWED.search(text)]


@pytest.mark.parametrize("scene", [room_of(*THINGS, sensor="stereo"), room_of(*THINGS, frame="body", rgb=None)])
def test_without_colour_none_is_named(scene: Scene) -> None:
    words = re.compile(r"\b(" + "|".join((*NAMES, "grey", "violet")) + r")\b")
    for i in everything_said(replace(scene), times=10).values():
        assert i.kind == "implicit" or not i.targets or not words.search(i.text), i.text
        assert not re.search(r"\b(red|blue|purple|pink|gray) (chair|sofa|book|lamp|object)", i.text), i.text


def test_sparse_clouds_have_another_limit() -> None:
    few = tuple(replace(o, points=12 if o.id == 2 else 40) for o in THINGS)
    cloud = {"xyz": np.zeros((60_000, 3), np.float32), "instance": np.zeros(60_000, np.int32), "rgb": None}
    scene = room_of(*few, frame="body", sensor="lidar", width=60_000, height=1, **cloud)
    said = everything_said(scene, times=5)
    assert any(4 in i.targets for i in said.values()) and not any(2 in i.targets for i in said.values())


def test_against_the_wall() -> None:
    wall = thing(10, "wall", 5.0, 0.0, support=0)
    wall = replace(wall, centre=(5.0, 0.0, 1.2), size=(0.05, 5.0, 2.4))
    bookcase = thing(11, "bookcase", 4.8, 1.5)
    scene = room_of(wall, bookcase, thing(12, "chair", 2.0, 0.0), thing(13, "sofa", 4.2, -1.5))
    xyz = np.concatenate([_points(o) for o in scene.objects])
    instance = np.repeat([o.id for o in scene.objects], 200).astype(np.int32)
    scene = replace(scene, xyz=xyz, instance=instance, rgb=np.zeros((len(xyz), 3), np.uint8), frame="map")
    assert wall_distances(scene)[11, 10][1] < 0.1 < 1.0 < wall_distances(scene)[12, 10][0]
    said = phrases(everything_said(scene, times=40))
    assert said["bookcase against the wall"].targets == (11,)
    elsewhere = [said[f"chair {words}"].targets for words in ("against the wall", "by the wall", "in the corner")
                 if f"chair {words}" in said]  # fmt: skip
    assert elsewhere and not any(elsewhere) and "sofa against the wall" not in said
    assert "leftmost wall" not in said and said["wall"].targets == (10,)


def _points(o) -> np.ndarray:
    inside = np.random.default_rng(o.id).uniform(-0.5, 0.5, (200, 3))
    return (np.array(o.centre) + inside * o.size).astype(np.float32)


def test_held_out_categories_come_first_in_open() -> None:
    scene = scene_of(
        thing(2, "stapler", 0.7, 0.2, "red"),
        thing(3, "teddy bear", 0.9, -0.2, "brown"),
        thing(4, "mug", 1.0, 0.3, "white"),
        thing(5, "mug", 1.2, -0.3, "blue"),
    )
    written = [i for seed in range(20) for i in write_instructions(scene, np.random.default_rng(seed), "open")]
    meant = [bool({2, 3} & set(i.targets)) for i in written if i.targets]
    assert np.mean(meant) > 0.6
    words = re.compile(r"\b(" + "|".join(re.escape(main_noun(c).word) for c in HELD_OUT) + r")\b")
    assert not any(words.search(text) for text in everything_said(scene, "train", 10))
    assert not any(i.targets and set(i.targets) <= {2, 3} and i.kind == "category" and "object" not in i.answer
                   and i.answer in HELD_OUT and words.search(i.text)
                   for i in everything_said(scene, "test", 10).values())  # fmt: skip
