"""Instructions: true, unambiguous, deterministic, and the splits apart."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from toy_scenes import SIZES, TABLE_TOP, everything_said, phrases, scene_of, thing

from segpoint.errors import SegPointError
from segpoint_training.scenes.instructions import MIX, write_instructions
from segpoint_training.scenes.intents import INTENTS
from segpoint_training.scenes.occlusion import occlusions
from segpoint_training.scenes.phrasing import TEST, TRAIN
from segpoint_training.scenes.room_wishes import GROUND_WISHES
from segpoint_training.scenes.scene import KINDS, Instruction, Scene, SceneObject

KITCHEN = scene_of(
    thing(2, "mug", 0.7, 0.25, "red"),
    thing(3, "mug", 0.9, -0.05, "blue"),
    thing(4, "mug", 1.1, -0.35, "red", pose="upside down"),
    thing(5, "bowl", 0.75, -0.25, "white"),
    thing(6, "apple", 0.75, -0.25, "green", support=5, low=0.01),
    thing(7, "box", 1.2, 0.3, "yellow", scale=2.0),
)


@pytest.mark.parametrize(
    ("phrase", "targets"),
    [
        ("mugs", (2, 3, 4)),
        ("blue mug", (3,)),
        ("red mugs", (2, 4)),
        ("leftmost mug", (2,)),
        ("rightmost mug", (4,)),
        ("closest mug", (2,)),
        ("mug in the back", (4,)),
        ("middle mug", (3,)),
        ("upside-down mug", (4,)),
        ("apple in the bowl", (6,)),
        ("bowl with something in it", (5,)),
        ("biggest object", (7,)),
        ("fruit", (6,)),
        ("table", (1,)),
        ("something to drink coffee from", (2, 3, 4)),
        ("green mug", ()),
        ("mug in the bowl", ()),
        ("banana", ()),
    ],
)
def test_what_a_phrase_means(kitchen_phrases: dict[str, Instruction], phrase: str, targets: tuple[int, ...]) -> None:
    assert kitchen_phrases[phrase].targets == targets
    assert (kitchen_phrases[phrase].answer == "") == (not targets)


@pytest.fixture(scope="module")
def kitchen_phrases() -> dict[str, Instruction]:
    return phrases(everything_said(KITCHEN, times=60, count=60))


def test_what_is_never_said(kitchen_phrases: dict[str, Instruction]) -> None:
    near = ("cup", "glass", "plate", "pot", "ball")  # of mug, bowl and apple: arguable, so never called absent
    for phrase in near:
        assert phrase not in kitchen_phrases or kitchen_phrases[phrase].targets, phrase
    assert "leftmost bowl" not in kitchen_phrases  # there is only one
    assert "orange mug" not in kitchen_phrases  # red may pass for orange
    assert "containers" not in kitchen_phrases  # is a box one?


def test_mix_kinds_and_answers() -> None:
    share = dict.fromkeys(KINDS, 0)
    for seed in range(40):
        written = write_instructions(KITCHEN, np.random.default_rng(seed))
        assert len(written) == len({i.text for i in written}) == 16
        for i in written:
            share[i.kind] += 1
            assert (i.kind == "zero-target") == (i.targets == ()) == (i.answer == "")
            assert list(i.targets) == sorted(set(i.targets)) and set(i.targets) <= set(range(1, 8))
            if i.targets in ((2,), (3,), (4,), (2, 3, 4)):
                assert i.answer == "mug"
    for kind, wanted in MIX.items():
        assert share[kind] / sum(share.values()) == pytest.approx(wanted, abs=0.06)


def test_deterministic() -> None:
    first, again, other = (write_instructions(KITCHEN, np.random.default_rng(s)) for s in (3, 3, 4))
    assert first == again != other


def _ground(split: str) -> list[str]:
    return [text for (_, name), texts in GROUND_WISHES.items() for text in texts if name == split]


def test_splits_share_no_template() -> None:
    train, test = ({frame.lower().rstrip(".?") for frame in frames.all()} for frames in (TRAIN, TEST))
    assert train and test and not train & test
    wishes = {t.lower() for i in INTENTS for t in i.train} | {t.lower() for t in _ground("train")}
    held_out = {t.lower() for i in INTENTS for t in i.test} | {t.lower() for t in _ground("test")}
    assert all(i.train and i.test for i in INTENTS) and not wishes & held_out
    assert not everything_said(KITCHEN, "train", 8).keys() & everything_said(KITCHEN, "test", 8).keys()


def test_faint_objects_are_never_asked_for() -> None:
    faint = scene_of(*(replace(o, points=20) if o.id == 3 else o for o in KITCHEN.objects[1:]))
    said = phrases(everything_said(faint))
    assert not any(3 in i.targets for i in said.values())
    assert "mugs" not in said and "red mugs" in said


def test_unknown_category_and_lonely_object() -> None:
    scene = scene_of(thing(2, "sundial", 0.8, 0.1, "blue"))
    said = phrases(everything_said(scene))
    assert said["sundial"].targets == said["blue sundial"].targets == (2,)
    assert said["sundial"].answer == "sundial" and "container" not in said
    assert write_instructions(scene_of(), np.random.default_rng(0))  # the table, and what is not there


def test_stack_and_ambiguity() -> None:
    low = SIZES["box"][2]
    scene = scene_of(
        thing(2, "box", 0.8, 0.0, "red"),
        thing(3, "box", 0.8, 0.0, "green", support=2, low=low),
        thing(4, "box", 0.8, 0.0, "blue", support=3, low=2 * low),
        thing(5, "can", 0.8, 0.3, "yellow"),
        thing(6, "can", 0.81, 0.2, "yellow"),  # as far away as the other
    )
    said = phrases(everything_said(scene, times=30))
    assert said["box at the bottom of the stack"].targets == (2,)
    assert said["box on top of the others"].targets == said["top box"].targets == (4,)
    assert said["leftmost can"].targets == (5,)
    assert not {"leftmost box", "closest can", "can in front", "biggest box"} & said.keys()
    assert said["yellow cans"].targets == (5, 6)


def test_texts_agree_with_geometry() -> None:
    """What is said of random scenes, checked by another reading of the same words."""
    rng = np.random.default_rng(5)
    texts: set[str] = set()
    checked = 0
    for seed in range(100):
        objects = tuple(
            thing(2 + i, str(rng.choice(["mug", "box", "can", "banana", "bowl"])), rng.uniform(0.6, 1.4),
                  rng.uniform(-0.5, 0.5), str(rng.choice(["red", "blue", "green", "white"])), rng.uniform(0.7, 1.4))
            for i in range(int(rng.integers(2, 8)))
        )  # fmt: skip
        written = write_instructions(scene_of(*objects), np.random.default_rng(seed))
        texts.update(i.text for i in written)
        checked += sum(_agrees(i, objects) for i in written)
    assert checked > 100
    assert len(texts) < 0.85 * 100 * 16  # frames are few enough that sentences come again


def _agrees(instruction: Instruction, objects: tuple[SceneObject, ...]) -> bool:
    """Whether the sentence is of a form that this test understands; fails where it is, and wrong."""
    text = instruction.text.lower().rstrip(".?")
    kind = next((k for k in ("mug", "box", "can", "banana", "bowl") if re.search(rf"\b{k}(s|es)?\b", text)), None)
    if kind is None or instruction.kind not in ("category", "attribute", "spatial", "zero-target"):
        return False
    own = [o for o in objects if o.category == kind]
    colour = re.search(rf"\b(red|blue|green|white) {kind}(s|es)?$", text)
    if colour and re.fullmatch(rf"((pick up|grab|where is|where are) )?(the )?{colour.group()}", text):
        assert instruction.targets == tuple(o.id for o in own if o.colour == colour.group(1)), text
    elif re.search(rf"leftmost {kind}$", text):
        assert instruction.targets == tuple(o.id for o in sorted(own, key=lambda o: -o.centre[1])[:1]), text
    elif re.search(rf"rightmost {kind}$", text):
        assert instruction.targets == tuple(o.id for o in sorted(own, key=lambda o: o.centre[1])[:1]), text
    elif re.search(rf"(closest|nearest) {kind}$", text):
        nearest = sorted(own, key=lambda o: np.hypot(*o.centre[:2]))[:1]
        assert instruction.targets == tuple(o.id for o in nearest), text
    elif re.search(rf"^(the |all |all the |both |every )?{kind}(s|es)?( on the table)?$", text):
        assert instruction.targets == tuple(o.id for o in own), text
    else:
        return False
    return True


def ray_cast(*objects: SceneObject) -> Scene:
    """The objects' boxes as a camera 0.5 m above the table sees them that looks 30° down."""
    width, height, focal, pitch, lift = 160, 120, 130.0, np.radians(30), 0.5
    v, u = np.mgrid[:height, :width]
    rays = np.stack([(u - 79.5) / focal, (v - 59.5) / focal, np.ones_like(u, float)], -1).reshape(-1, 3)
    c, s = np.cos(pitch), np.sin(pitch)
    turn = np.array([[0, -s, c], [-1, 0, 0], [0, -c, -s]])  # optical → level
    direction = rays @ turn.T
    depth, ids = np.full(len(rays), np.inf), np.zeros(len(rays), np.int32)
    for o in (TABLE_TOP, *objects):
        ends = [(np.array(o.centre) + sign * np.array(o.size) / 2 - (0, 0, lift)) / direction for sign in (-1, 1)]
        enter, leave = np.minimum(*ends).max(1), np.maximum(*ends).min(1)
        hit = (enter < leave) & (enter > 0) & (enter < depth)
        depth[hit], ids[hit] = enter[hit], o.id
    xyz = (rays * np.where(ids > 0, depth, np.nan)[:, None]).astype(np.float32)
    seen = tuple(replace(o, points=int((ids == o.id).sum())) for o in (TABLE_TOP, *objects))
    return Scene(xyz, np.zeros((len(xyz), 3), np.uint8), ids, width, height, seen, 0, "test")


def test_partly_hidden() -> None:
    scene = ray_cast(
        thing(2, "box", 0.7, 0.0, "red", scale=1.5),
        thing(3, "mug", 0.87, 0.06, "blue", scale=1.6),
        thing(4, "can", 0.8, 0.4, "white"),
    )
    shares = occlusions(scene)
    assert 0.25 < shares[3, 2] < 0.9
    assert (2, 3) not in shares and not any(4 in pair for pair in shares)
    said = phrases(everything_said(scene, times=12))
    assert said["mug partly hidden behind the box"].targets == (3,)
    assert not any(i.targets == (4,) for text, i in said.items() if "hidden" in text)


def test_two_coloured_objects_have_no_colour_and_lack_none() -> None:
    scene = ray_cast(thing(2, "bowl", 0.8, 0.1, "white", scale=1.5), thing(3, "bowl", 0.8, -0.25, "green", scale=1.5))
    rgb = np.full((len(scene.xyz), 3), 120, np.uint8)
    own = np.flatnonzero(scene.instance == 2)
    rgb[own], rgb[own[::2]] = (250, 250, 250), (110, 50, 170)  # white and purple
    rgb[scene.instance == 3] = (40, 160, 60)
    said = phrases(everything_said(replace(scene, rgb=rgb)))
    assert said["green bowl"].targets == (3,)
    assert any(f"{colour} bowl" in said for colour in ("red", "orange", "yellow", "pink", "brown", "black"))
    assert "white bowl" not in said and "purple bowl" not in said


def test_no_object_lacks_a_colour_that_stands_behind_the_table() -> None:
    scene = scene_of(thing(2, "mug", 0.8, 0.1, "blue"), thing(3, "can", 0.9, -0.2, "white"))
    behind = np.zeros((200, 3), np.uint8) + np.array([200, 30, 30], np.uint8)
    red = replace(scene, xyz=np.ones((200, 3), np.float32), rgb=behind, instance=np.zeros(200, np.int32))
    said, beside_red = (phrases(everything_said(s, times=40)) for s in (scene, red))
    words = {f"red {word}{end}" for word in ("object", "thing", "item") for end in ("", "s")}
    assert words & said.keys() and not words & beside_red.keys()
    assert beside_red["red mug"].targets == ()


def test_bad_split() -> None:
    with pytest.raises(SegPointError, match="split"):
        write_instructions(KITCHEN, np.random.default_rng(0), "validation")
