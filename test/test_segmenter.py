"""The Segmenter on untrained weights and the real backbone: contracts that hold whatever the model has learnt."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from segpoint import backbone
from segpoint.cloud import prepare
from segpoint.config import BundleConfig, CloudConfig, GfpConfig, ReaderConfig
from segpoint.errors import SegPointError
from segpoint.instances import Instance, strong
from segpoint.network.inputs import collate
from segpoint.network.language import Answer, load_language
from segpoint.network.segpoint import SegPoint
from segpoint.prompts import NO_MASK, Place, semantic_question
from segpoint.segmenter import WEIGHTS, Segmenter
from segpoint.stopwatch import STAGES, Stopwatch
from segpoint_training.scenes.generate import generate_scene

CONFIG = BundleConfig(
    cloud=CloudConfig(points=1024), gfp=GfpConfig(levels=(256, 512)), presence_weight=0.0, mask_threshold=0.4
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights, but an LLM that always writes "mug <SEG>.", so that there is a mask to look at."""
    backbone.setup()
    torch.manual_seed(0)
    language = load_language(CONFIG)
    network = SegPoint(CONFIG, language.hidden_size)
    with torch.no_grad():
        language.seg_bias.fill_(1e4)
    folder = tmp_path_factory.mktemp("bundle")
    state = {f"network.{k}": v for k, v in network.state_dict().items()}
    save_file({**state, **{f"language.{k}": v for k, v in language.trained_state().items()}}, folder / WEIGHTS)
    CONFIG.save(folder)
    return folder


@pytest.fixture(scope="module")
def segmenter(bundle: Path) -> Segmenter:
    return Segmenter.from_bundle(bundle)


@pytest.fixture(scope="module")
def scene():
    return generate_scene(5, "test", "kinect", 320, 240)


def test_the_answer_fits_the_cloud(segmenter, scene):
    answer = segmenter.segment(scene.xyz, "pick up the mug", rgb=scene.rgb)
    count = len(scene.xyz)
    assert answer.mask.shape == (count,) and answer.mask.dtype == bool
    assert answer.score.shape == (count,) and answer.score.dtype == np.float32
    assert 0 <= answer.score.min() and answer.score.max() <= 1
    assert answer.mask.any() and not answer.mask[~np.isfinite(scene.xyz).all(axis=1)].any()
    assert (answer.score[answer.mask] > CONFIG.mask_threshold).all()
    meant = np.unique(np.concatenate([instance.indices for instance in answer.instances]))
    assert np.array_equal(np.flatnonzero(answer.mask), meant), "the mask is what the instances hold"
    assert "<SEG>" in answer.answer
    assert list(answer.timings) == [*STAGES, "total"]
    assert answer.timings["total"] == pytest.approx(sum(v for k, v in answer.timings.items() if k != "total"))
    for instance in answer.instances:
        assert answer.mask[instance.indices].all()
        assert np.isfinite([*instance.centre, *instance.size, *instance.orientation]).all()


def test_weak_clusters_are_dropped_and_a_speck_sets_no_mark():
    def cluster(score: float, points: int) -> Instance:
        return Instance(np.zeros(3), np.ones(3), np.array([0.0, 0, 0, 1]), score, np.arange(points))

    good, weak, speck = cluster(0.9, 400), cluster(0.6, 500), cluster(0.99, 60)
    assert strong([speck, good, weak], 0.8) == [speck, good]
    assert strong([speck, weak], 0.8) == [speck, weak]
    assert strong([], 0.8) == []


def test_the_same_question_gives_the_same_answer(segmenter, scene):
    first, again = segmenter.segment_many(scene.xyz, ["the mug", "the mug"], rgb=scene.rgb)
    alone = segmenter.segment(scene.xyz, "the mug", rgb=scene.rgb)
    assert np.array_equal(first.mask, again.mask) and first.answer == again.answer
    # A question alone has a draft by now: other products of the same numbers, which differ in bfloat16's rounding.
    assert np.allclose(first.score, alone.score, atol=5e-3)


def test_one_cloud_is_read_by_the_llm_once(segmenter, scene, monkeypatch):
    calls = []
    encode = segmenter.language.encode_points
    monkeypatch.setattr(segmenter.language, "encode_points", lambda tokens: calls.append(1) or encode(tokens))
    xyz = scene.xyz + np.float32(1e-3)
    segmenter.segment_many(xyz, ["the mug", "the bowl", "the box"], rgb=scene.rgb)
    assert len(calls) == 1


def test_a_cloud_that_was_asked_about_last_is_known(segmenter, scene, monkeypatch):
    xyz, rgb = scene.xyz.copy(), scene.rgb.copy()
    first = segmenter.segment(xyz, "the mug", rgb=rgb)
    calls = []
    encode = segmenter.encode
    monkeypatch.setattr(segmenter, "encode", lambda *a: calls.append(1) or encode(*a))
    again = segmenter.segment(xyz.copy(), "the mug", rgb=rgb)
    assert not calls and np.allclose(first.score, again.score, atol=5e-3)
    segmenter.segment(xyz, "the bowl", rgb=rgb)
    segmenter.semantic(xyz, ["mug"], rgb=rgb)
    assert not calls
    xyz[np.flatnonzero(np.isfinite(xyz).all(axis=1))[0], 0] += 1e-3  # changed in place by the caller
    segmenter.segment(xyz, "the mug", rgb=rgb)
    rgb[0, 0] ^= 1
    segmenter.segment(xyz, "the mug", rgb=rgb)
    segmenter.segment(xyz, "the mug")
    segmenter.segment(xyz, "the mug", frame="map")
    segmenter.segment(xyz.astype(np.float64), "the mug", frame="map")
    assert len(calls) == 5


def test_frames_agree(segmenter, scene):
    from segpoint.cloud import BODY_FROM_OPTICAL

    optical = segmenter.segment(scene.xyz, "the box", rgb=scene.rgb)
    body = segmenter.segment(scene.xyz @ BODY_FROM_OPTICAL.T, "the box", rgb=scene.rgb, frame="body")
    assert (optical.mask == body.mask).mean() > 0.99
    assert len(optical.instances) == len(body.instances)


@pytest.fixture(scope="module")
def thing(scene) -> np.ndarray:
    """The points (n, 3) of the largest thing on the table."""
    largest = max(scene.objects[1:], key=lambda thing: thing.points)
    return scene.xyz[(scene.instance == largest.id) & np.isfinite(scene.xyz).all(axis=1)]


def test_a_click_and_a_box_reach_the_reader_and_the_llm(segmenter, scene, thing, monkeypatch):
    told = []
    answers = segmenter.language.answers
    monkeypatch.setattr(segmenter.language, "answers", lambda p, q: told.append(q[0].places) or answers(p, q))
    plain = segmenter.segment(scene.xyz, "this", rgb=scene.rgb)
    clicked = segmenter.segment(scene.xyz, "this", rgb=scene.rgb, clicks=thing[len(thing) // 2])
    boxed = segmenter.segment(scene.xyz, "this", rgb=scene.rgb, box=np.concatenate([thing.min(0), thing.max(0)]))
    assert told[0] is None
    assert told[1].shape == told[2].shape == (1, segmenter.language.hidden_size)
    for one, other in ((plain, clicked), (plain, boxed), (clicked, boxed)):
        assert np.abs(one.score - other.score).max() > 1e-4


def test_each_instruction_has_its_own_place(segmenter, scene, thing):
    place = Place(clicks=thing[:2])
    clicked, plain = segmenter.segment_many(scene.xyz, ["this", "this"], scene.rgb, places=[place, None])
    clicked_alone = segmenter.segment(scene.xyz, "this", scene.rgb, clicks=thing[:2])
    plain_alone = segmenter.segment(scene.xyz, "this", scene.rgb)
    assert np.allclose(clicked.score, clicked_alone.score, atol=5e-3)
    assert np.allclose(plain.score, plain_alone.score, atol=5e-3)
    assert not np.allclose(clicked.score, plain.score, atol=1e-2)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"clicks": [5.0, 5, 5]}, "m away"),
        ({"clicks": np.empty((0, 3))}, "1 to 8"),
        ({"clicks": [1e30, 0, 1]}, "m away"),
        ({"clicks": [1e300, 0, 1]}, "m away"),
        ({"clicks": [np.nan, 0, 1]}, "finite"),
        ({"box": [5.0, 5, 5, 6, 6, 6]}, "holds no point"),
        ({"box": [0.1, 0, 0, 0, 1, 1]}, "lowest"),
    ],
)
@pytest.mark.filterwarnings("error:overflow")
def test_places_that_cannot_be_meant(segmenter, scene, where, message):
    with pytest.raises(SegPointError, match=message):
        segmenter.segment(scene.xyz, "this", scene.rgb, **where)


def test_places_that_do_not_go_with_the_instructions(segmenter, scene, thing):
    with pytest.raises(SegPointError, match="for each instruction, got 0"):
        segmenter.segment_many(scene.xyz, ["this"], scene.rgb, places=[])
    with pytest.raises(SegPointError, match="Place, got list"):
        segmenter.segment_many(scene.xyz, ["this"], scene.rgb, places=[[0.0, 0, 1]])
    config = replace(CONFIG, reader=ReaderConfig(layers=0))
    without = Segmenter(config, SegPoint(config, segmenter.language.hidden_size), segmenter.language)
    with pytest.raises(SegPointError, match="no mask reader"):
        without.segment(scene.xyz, "this", scene.rgb, clicks=thing[0])


def test_a_map_is_answered_in_its_own_axes(segmenter):
    room = generate_scene(4, "test", "map", 160, 120, "room")
    on = room.xyz[room.instance == max(room.objects[1:], key=lambda thing: thing.points).id]
    answer = segmenter.segment(room.xyz, "this", room.rgb, frame="map", clicks=on[0])
    assert answer.mask.shape == (len(room.xyz),) and answer.mask.any()
    for instance in answer.instances:
        assert (instance.centre >= room.xyz.min(axis=0)).all() and (instance.centre <= room.xyz.max(axis=0)).all()
        x, y, z, w = instance.orientation
        assert 1 - 2 * (x * x + y * y) > 0.99, "a box of a map stands on its floor"


def test_the_readers_doubt_reaches_the_llm(bundle, scene, monkeypatch):
    segmenter = Segmenter.from_bundle(bundle)
    told = []
    answers = segmenter.language.answers

    def ask(prefix, questions, doubt=None):
        told.append(questions[0].doubt)
        return answers(prefix, [replace(q, doubt=q.doubt if doubt is None else doubt, places=None) for q in questions])

    monkeypatch.setattr(segmenter.language, "answers", ask)
    segmenter.segment(scene.xyz, "the mug", rgb=scene.rgb)
    segmenter.config = replace(CONFIG, presence_weight=2.0)
    segmenter.segment(scene.xyz, "the mug", rgb=scene.rgb)
    assert told[0] == 0 != told[1]
    monkeypatch.setattr(segmenter.language, "answers", lambda prefix, questions: ask(prefix, questions, 1e9))
    sure = segmenter.segment(scene.xyz, "the mug", rgb=scene.rgb)
    assert sure.answer == NO_MASK and not sure.mask.any() and not sure.instances


def test_semantic_gives_a_class_or_none(segmenter, scene):
    classes = segmenter.semantic(scene.xyz, ["mug", "table"], rgb=scene.rgb)
    assert classes.shape == (len(scene.xyz),) and set(np.unique(classes)) <= {-1, 0, 1}
    for classes in ([], "mug"):
        with pytest.raises(SegPointError, match="class"):
            segmenter.semantic(scene.xyz, classes)


def test_a_description_is_asked_for_in_the_papers_words(segmenter, scene, monkeypatch):
    asked = []
    answers = segmenter.language.answers
    monkeypatch.setattr(segmenter.language, "answers", lambda p, q: asked.extend(q) or answers(p, q))
    segmenter.segment_many(scene.xyz, ["left of the box"], rgb=scene.rgb, task="referring")
    segmenter.segment_many(scene.xyz, ["left of the box"], rgb=scene.rgb)
    assert [question.text for question in asked] == [
        "Can you segment the object left of the box in this point cloud?",
        "left of the box. Please output segmentation mask.",
    ]
    with pytest.raises(SegPointError, match="task must be one of"):
        segmenter.segment_many(scene.xyz, ["mug"], task="semantic")


def test_everything_is_named_in_its_own_words(segmenter, scene, monkeypatch):
    asked = []
    names, seg = ["book", "mug", "mug"], torch.randn(3, segmenter.language.hidden_size)

    def answers(prefix, questions):
        asked.extend(questions)
        return [Answer("book <SEG>, mug <SEG>, mug <SEG>.", names, torch.empty(0, 1), seg, 0.0)]

    monkeypatch.setattr(segmenter.language, "answers", answers)
    parts = segmenter.name_all(scene.xyz, rgb=scene.rgb)
    [question] = asked
    assert "all categories" in question.text and question.text.endswith("of the categories?")
    assert question.doubt == -np.inf, "it may not say that there is nothing"
    assert [name for name, _ in parts] == names
    missing = ~np.isfinite(scene.xyz).all(axis=1)
    for _, score in parts:
        assert score.shape == (len(scene.xyz),) and score.dtype == np.float32
        assert (score[missing] == 0).all() and 0 <= score.min() < score.max() <= 1
    assert not np.array_equal(parts[1][1], parts[2][1]), "each <SEG> has a mask of its own"
    cloud = prepare(scene.xyz, scene.rgb, "optical", CONFIG.cloud)
    encoded = segmenter.encode(collate([cloud], CONFIG), Stopwatch())
    merged = segmenter.read(encoded, question.text, Stopwatch(), forced=True).logits.sigmoid().numpy()
    assert np.allclose(cloud.to_raw(merged), np.max([score for _, score in parts], axis=0), atol=5e-3)
    monkeypatch.setattr(segmenter.language, "answers", lambda p, q: [Answer("nothing", [], seg[:0], seg[:0], 0.0)])
    assert segmenter.name_all(scene.xyz, rgb=scene.rgb) == []


@pytest.fixture
def embedded(segmenter, monkeypatch) -> list[list[str]]:
    """The questions of each call of the frozen LLM from here on; nothing is known yet, and no answer takes long."""
    calls: list[list[str]] = []
    nothing = Answer(NO_MASK, [], torch.empty(0, 1), torch.empty(0, 1), 0.0)
    monkeypatch.setattr(segmenter.language, "answer", lambda *a: nothing)
    embed = segmenter.language.text_hidden
    monkeypatch.setattr(segmenter, "_known_words", {})
    monkeypatch.setattr(segmenter.language, "text_hidden", lambda q, *a: calls.append(list(q)) or embed(q, *a))
    return calls


def test_many_classes_are_embedded_together_and_once(segmenter, scene, embedded, monkeypatch):
    monkeypatch.setattr("segpoint.segmenter.WORDS_KEPT", 2)
    classes = ["mug", "table", "red box", "bowl"]
    segmenter.semantic(scene.xyz, classes, rgb=scene.rgb)
    assert [len(call) for call in embedded] == [4]
    segmenter.semantic(scene.xyz, classes, rgb=scene.rgb)
    assert len(embedded) == 1, "a list longer than what is kept does not embed itself anew for each cloud"
    segmenter.segment(scene.xyz, "the mug", rgb=scene.rgb)
    assert len(segmenter._known_words) == 2


def test_a_class_given_twice_is_asked_once(segmenter, scene, monkeypatch):
    asked = []
    answers = segmenter.language.answers
    monkeypatch.setattr(segmenter.language, "answers", lambda p, q: asked.extend(q) or answers(p, q))
    label = segmenter.semantic(scene.xyz, ["mug", "mug", " mug"], rgb=scene.rgb)
    assert len(asked) == 1 and set(np.unique(label)) <= {-1, 0}


def test_what_the_reader_says_of_many_questions_is_what_it_says_of_each(segmenter, scene, monkeypatch):
    monkeypatch.setattr("segpoint.segmenter._TOGETHER", 2)
    monkeypatch.setattr(segmenter, "config", replace(CONFIG, presence_weight=1.0))
    encoded = segmenter.encode(collate([prepare(scene.xyz, scene.rgb, "optical", CONFIG.cloud)], CONFIG), Stopwatch())
    questions = [semantic_question(name) for name in ("mug", "a rather small red box of tea", "table")]
    for question, reading in zip(questions, segmenter.read_many(encoded, questions, Stopwatch()), strict=True):
        alone = segmenter.read(encoded, question, Stopwatch())
        assert alone.presence == pytest.approx(reading.presence, abs=1e-4)
        assert torch.allclose(alone.logits, reading.logits, atol=0.05)


def test_the_llm_is_asked_only_where_the_reader_leaves_a_doubt(segmenter, scene, monkeypatch):
    asked = []
    answers = segmenter.language.answers
    monkeypatch.setattr(segmenter.language, "answers", lambda p, q: asked.extend(q) or answers(p, q))
    monkeypatch.setattr(segmenter, "config", replace(CONFIG, presence_weight=1.0, presence_bias=-50.0))
    (sure,) = segmenter.segment_many(scene.xyz, ["the mug"], rgb=scene.rgb)
    assert not asked and sure.answer == NO_MASK and not sure.mask.any()
    monkeypatch.setattr(segmenter, "config", replace(CONFIG, presence_weight=1.0, presence_bias=0.0))
    assert segmenter.segment(scene.xyz, "the mug", rgb=scene.rgb).answer != NO_MASK and len(asked) == 1


def test_many_instructions_are_embedded_together(segmenter, scene, embedded):
    segmenter.segment_many(scene.xyz, ["the mug", "the bowl", "the mug"], rgb=scene.rgb)
    assert [len(call) for call in embedded] == [2]


def test_one_sentence_is_not_a_list_of_letters(segmenter, scene):
    for instructions in ("mug", None):
        with pytest.raises(SegPointError, match="list of instructions"):
            segmenter.segment_many(scene.xyz, instructions)


@pytest.mark.parametrize("device", ["nonsense", "", "cuda:99"])
def test_a_device_that_is_not_there(bundle, device):
    with pytest.raises(SegPointError, match="device"):
        Segmenter.from_bundle(bundle, device=device)


def test_an_answer_without_targets_says_so(bundle, scene):
    segmenter = Segmenter.from_bundle(bundle, threshold=0.999999)
    answer = segmenter.segment(scene.xyz, "the mug", rgb=scene.rgb)
    assert not answer.mask.any() and not answer.instances and answer.answer == NO_MASK


def test_text_cannot_smuggle_in_special_tokens(segmenter, scene):
    for text in ("<SEG>", "the mug </s> <SEG>", "<POINT> <POINT>", "<|im_end|>", "🍵 please"):
        assert segmenter.segment(scene.xyz, text, rgb=scene.rgb).mask.shape == (len(scene.xyz),)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("  \n", "empty"), ("mug " * 60, "tokens"), ("mug " * 9000, "tokens"), ("a" * 40_000, "tokens")],
)
def test_bad_instructions(segmenter, scene, text, message, capfd):
    for ask in (lambda: segmenter.segment(scene.xyz, text), lambda: segmenter.semantic(scene.xyz, ["mug", text])):
        with pytest.raises(SegPointError, match=message):
            ask()
    assert capfd.readouterr().err == "", "no library complains beside us"


def test_no_colour_and_float64_and_three_points(segmenter, scene):
    assert segmenter.segment(scene.xyz.astype(np.float64), "the mug").mask.shape == (len(scene.xyz),)
    with pytest.raises(SegPointError, match="at least"):
        segmenter.segment(np.ones((3, 3)), "the mug")


def test_bad_bundles(bundle, tmp_path):
    with pytest.raises(SegPointError, match="no bundle"):
        Segmenter.from_bundle(tmp_path / "none")
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    whole = (broken / WEIGHTS).read_bytes()
    (broken / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegPointError, match="safetensors"):
        Segmenter.from_bundle(broken)
    (broken / WEIGHTS).unlink()
    with pytest.raises(SegPointError, match="no weights"):
        Segmenter.from_bundle(broken)
    shutil.copy(bundle / WEIGHTS, broken / WEIGHTS)
    BundleConfig().save(broken)
    replace(CONFIG, gfp=replace(CONFIG.gfp, width=64)).save(broken)
    with pytest.raises(SegPointError, match="does not fit"):
        Segmenter.from_bundle(broken)


def test_backbone_not_set_up(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path))
    with pytest.raises(SegPointError, match="segpoint setup"):
        Segmenter.from_bundle(bundle)
