"""Batches: questions that mean what they say, sources by weight, the same however many processes share them."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GemConfig, GfpConfig, ReaderConfig
from segpoint.errors import SegPointError
from segpoint.prompts import NO_MASK, REFERRING_TEMPLATES, SEMANTIC_ALL_TEMPLATES, parse_answer
from segpoint_training.batches import Batches, sample_rows, target_table
from segpoint_training.config import StageConfig
from segpoint_training.questions import (
    MOST_ASKED,
    all_instruction,
    answer_of,
    question_of,
    question_texts,
    segs_of,
    semantic_instruction,
    within_limit,
)
from segpoint_training.scenes.categories import TRAINED
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.scenes.scene import Instruction, SceneObject
from segpoint_training.shards import LabelledCloud, label_scene
from segpoint_training.sources import Source

SMALL = BundleConfig(
    cloud=CloudConfig(points=256),
    encoder=EncoderConfig(tokens=16, patch=8, width=48, depth=4, heads=2, hidden=64, stem_width=32, group_channels=32),
    gem=GemConfig(neighbours=4, widths=(8, 16, 24)),
    gfp=GfpConfig(levels=(32, 64), neighbours=4, width=32),
)
ALONE = dataclasses.replace(SMALL, reader=ReaderConfig(layers=0))
CLASSES = ("chair", "table", "sofa", "bed")
WORDS = ([*CLASSES, "mug"], ["red"])


def thing(id: int, category: str) -> SceneObject:
    return SceneObject(id, category, "", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "upright", 1, 50)


def room(categories: dict[int, str], *said: Instruction, shift: float = 0.0) -> LabelledCloud:
    """200 voxels, shared out evenly among nothing (0) and the objects in the order of their ids."""
    rng = np.random.default_rng(0)
    instance = np.zeros(256, np.int16)
    instance[:200] = np.resize([0, *categories], 200)
    return LabelledCloud(
        xyz=np.pad(rng.uniform(0, 3, (200, 3)) + shift, [(0, 56), (0, 0)]).astype(np.float32),
        rgb=np.full((256, 3), 90, np.uint8),
        focus=np.arange(256) < 200,
        instance=instance,
        count=200,
        voxel_m=0.05,
        objects=tuple(thing(id, category) for id, category in categories.items()),
        instructions=said,
        scale="room",
        frame="map",
    )


def said(text: str, *targets: int, task: str = "referring") -> Instruction:
    return Instruction(text, "unique", targets, "chair" if targets else "", task=task)


ROOM = {2: "chair", 3: "chair", 4: "table", 5: ""}


def batches(*sources: Source, config: BundleConfig = ALONE, **other: object) -> Batches:
    given: dict = {"scenes": 1, "questions": 6, "points": 64, "words": WORDS, "seed": 3, "count": 50, "colourless": 0.0}
    return Batches(sources, config, **(given | other))


def test_batches_mean_what_they_say():
    config = dataclasses.replace(SMALL, cloud=CloudConfig(points=1024))
    labelled = [label_scene(generate_scene(seed, "train", "kinect", 160, 120), config.cloud) for seed in range(3)]
    made = batches(
        Source("generated", labelled, 1.0, TRAINED), config=config, scenes=2, semantic=2, pointing=1, points=256
    )
    batch, again = made[1], made[1]
    assert batch.inputs.points.shape == (2, 1024, 3) and batch.targets.shape == (2, 6, 256)
    assert torch.equal(batch.rows, again.rows) and batch.questions == again.questions
    assert torch.equal(batch.inputs.points, again.inputs.points)
    known = set(question_texts(made.sources, ()))
    for b in range(2):
        for q, answer in enumerate(batch.answers[b]):
            assert ("<SEG>" in answer) == bool(batch.has_target[b, q]) and batch.questions[b][q] in known
            ids = batch.is_target[b, q].nonzero()[:, 0].tolist()
            assert torch.equal(batch.targets[b, q] > 0, torch.isin(batch.instance[b], torch.tensor(ids)))
    assert batch.places is not None and batch.places.mask[:, :-1].sum() == 0


def test_every_seg_has_its_targets():
    own = (said("the left chair", 2), said("the stool"))
    parts = {"chair": {2, 3}, "table": {4}}
    batch = batches(Source("a", [room(ROOM, *own)], 1.0, CLASSES), semantic=1, every=1, varied=True)[0]
    for q, (answer, segs) in enumerate(zip(batch.answers[0], batch.parts[0], strict=True)):
        assert len(segs) == len(parse_answer(answer)) and segs.shape[1] == 6
        assert torch.equal(segs.any(dim=0), batch.is_target[0, q])
    assert batch.answers[0][-1] == "chair <SEG>, table <SEG>." and "bed, chair, sofa, table" in batch.questions[0][-1]
    assert [set(row.nonzero()[:, 0].tolist()) for row in batch.parts[0][-1]] == [parts["chair"], parts["table"]]
    assert {"chair <SEG>.", NO_MASK} == set(batch.answers[0][:4])


def test_a_scene_of_a_batch_keeps_its_segs():
    clouds = [room(ROOM, said("a", 2)), room({2: "bed", 3: "sofa", 4: "chair"}, said("b"), said("c", 4, 3))]
    batch = batches(Source("a", clouds, 1.0, CLASSES), scenes=2, every=2, varied=True)[0].to("cpu")
    for b in range(2):
        one = batch.scene(b)
        assert one.questions == [batch.questions[b]] and len(one.parts) == 1
        assert all(torch.equal(x, y) for x, y in zip(one.parts[0], batch.parts[b], strict=True))


def test_a_source_is_asked_for_its_own_classes_or_by_its_own_sentences():
    sentences = Source("language", [room(ROOM, said("the brown one", 2), said("the tall one", 3))], 1.0, ())
    rooms = Source("rooms", [room({2: "sofa", 3: "unheard of"})], 1.0, ("sofa", "lamp"))
    asked = [q for i in range(10) for q in batches(sentences, semantic=3, every=2, varied=True)[i].questions[0]]
    assert len(asked) == 60 and all("brown one" in q or "tall one" in q for q in asked)
    many = [batches(rooms, semantic=2)[i] for i in range(10)]
    words = Counter("sofa" if "sofa" in q else "lamp" if "lamp" in q else q for one in many for q in one.questions[0])
    assert set(words) == {"sofa", "lamp"} and words["sofa"] > words["lamp"]
    assert {a for one in many for a in one.answers[0]} == {"sofa <SEG>.", NO_MASK}


def test_colour_is_not_asked_for_where_there_is_none():
    speaks = room(ROOM, said("the red chair", 2), said("the tall chair", 3))
    asked = batches(Source("a", [speaks], 1.0, ()), colourless=1.0)[0].questions[0]
    assert all("tall" in q for q in asked)
    only = room(ROOM, said("the red chair", 2))
    assert all("table" in q or "chair" in q or "sofa" in q or "bed" in q for q in
               batches(Source("a", [only], 1.0, CLASSES), colourless=1.0)[0].questions[0])  # fmt: skip
    assert len(batches(Source("a", [only], 1.0, ()), colourless=1.0)[0].questions[0]) == 6


def test_templates_vary_only_where_they_may():
    source = Source(
        "a", [room(ROOM, said("the brown one", 2), said("pick it up", 3, task="instruction"))], 1.0, CLASSES
    )
    fixed, varied = (
        {q for i in range(20) for q in batches(source, semantic=2, every=1, varied=v)[i].questions[0]}
        for v in (False, True)
    )
    assert fixed <= set(question_texts([source], ()))
    assert sum("brown" in q for q in fixed) == 1 and sum("brown" in q for q in varied) == len(REFERRING_TEMPLATES)
    assert sum("pick it up" in q for q in varied) == 1 and not any("alphabetical" in q for q in fixed)
    assert sum("alphabetical" in q for q in varied) == 1 + len(SEMANTIC_ALL_TEMPLATES), "one names no category"


def numbered(name: str, count: int, weight: float) -> Source:
    return Source(name, [room(ROOM, said(f"{name} {i}", 2)) for i in range(count)], weight, ())


def texts(made: Batches, numbers: range) -> list[str]:
    """What is said about each of the clouds with these numbers."""
    return [cloud.instructions[0].text for _, cloud in map(made._draw, numbers)]


def test_sources_are_mixed_by_weight():
    made = batches(numbered("much", 5, 3.0), numbered("little", 50, 1.0))
    clouds = Counter(texts(made, range(4000)))
    assert len(clouds) == 55 and all(500 < clouds[f"much {i}"] < 700 for i in range(5))
    assert all(clouds[f"little {i}"] < 50 for i in range(50))


def test_one_source_is_gone_through_again_and_again():
    made = batches(numbered("a", 7, 0.2))
    passes = [texts(made, range(first, first + 7)) for first in (0, 7, 14)]
    assert all(len(set(one)) == 7 for one in passes) and passes[0] != passes[1] != passes[2]


def test_processes_and_parts_share_one_sequence():
    sources = [numbered("a", 9, 1.0), numbered("b", 9, 2.0)]
    stage = StageConfig(steps=3, scenes=4, questions=2, semantic=0, pointing=0, points=16)

    def seen(processes: int, accumulate: int) -> list[list[str]]:
        part = dataclasses.replace(stage, accumulate=accumulate)
        batches = Batches.of_stage(sources, ALONE, part, WORDS, 1, processes)
        shares = [texts(batches, range(i * batches.scenes, (i + 1) * batches.scenes)) for i in range(len(batches))]
        per_step = processes * accumulate
        return [sum(shares[i : i + per_step], []) for i in range(0, len(batches), per_step)]

    assert len(each := seen(1, 1)) == 3 and all(len(step) == 4 for step in each)
    assert each == seen(2, 1) == seen(1, 4) == seen(2, 2)


@pytest.mark.parametrize(("scenes", "processes", "accumulate", "told"), [
    (4, 3, 1, "set it to 3 or 6"), (16, 4, 3, "12 or 24"), (1, 2, 1, "set it to 2,"), (6, 1, 4, "4 or 8"),
])  # fmt: skip
def test_clouds_that_cannot_be_shared_out_are_told(scenes: int, processes: int, accumulate: int, told: str):
    stage = StageConfig(steps=1, scenes=scenes, accumulate=accumulate)
    with pytest.raises(SegPointError, match=told):
        Batches.of_stage([numbered("a", 1, 1.0)], SMALL, stage, WORDS, 0, processes)


def test_nothing_grows_with_the_objects_of_clouds_elsewhere():
    crowd = room({i: "chair" for i in range(2, 150)}, said("a", 2))
    few = room(ROOM, said("b", 2))
    made = batches(Source("a", [crowd, few], 1.0, CLASSES))
    assert sorted(made[i].is_target.shape[-1] for i in range(2)) == [6, 150]


def test_questions_of_each_task():
    objects = [thing(id, category) for id, category in ROOM.items()]
    assert question_of(said("pick it up", 2, task="instruction"), 3) == "pick it up. Please output segmentation mask."
    referring = said("the tall one", 2)
    assert question_of(referring, 0) == "Can you segment the object the tall one in this point cloud?"
    assert question_of(referring) in {question_of(referring, v) for v in range(4)}
    there, absent = semantic_instruction("chair", objects), semantic_instruction("bed", objects)
    assert question_of(there) == "Can you segment the chair category in this point cloud?"
    assert (answer_of(there), segs_of(there)) == ("chair <SEG>.", [(2, 3)])
    assert (answer_of(absent), segs_of(absent)) == (NO_MASK, [])


def test_all_categories_are_asked_for_in_alphabetical_order():
    rng = np.random.default_rng(0)
    objects = [thing(id, category) for id, category in ROOM.items()]
    every = all_instruction(CLASSES, objects, rng)
    assert question_of(every).endswith("The categories are bed, chair, sofa, table.")
    assert answer_of(every) == "chair <SEG>, table <SEG>." and segs_of(every) == [(2, 3), (4,)]
    assert every.targets == (2, 3, 4)
    nothing = all_instruction(("bed", "sofa"), objects, rng)
    assert answer_of(nothing) == NO_MASK and nothing.targets == () and "bed, sofa" in question_of(nothing)
    many = [f"class {i:03d}" for i in range(200)]
    some = all_instruction(many, [thing(2, "class 150"), thing(3, "class 007")], rng)
    asked = [category for category, _ in some.parts]
    assert len(asked) == MOST_ASKED and asked == sorted(asked) and {"class 150", "class 007"} <= set(asked)
    assert answer_of(some) == "class 007 <SEG>, class 150 <SEG>."
    assert asked != [category for category, _ in all_instruction(many, [], rng).parts]


def test_long_sentences_are_left_out():
    short, long = said("the mug", 2), said("word " * 9, 2)
    assert within_limit([short, long], 8, lambda text: 1) == (short,)
    assert within_limit([short, long], 9, lambda text: 10 if "mug" in text else 1) == (long,)


def test_rows_are_mostly_on_objects():
    focus = np.zeros(1000, bool)
    focus[:100] = True
    rows = sample_rows(900, focus, 200, np.random.default_rng(0))
    assert rows.max() < 900 and focus[rows].mean() == 0.75
    assert target_table([], 4).shape == (0, 4)
