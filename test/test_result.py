"""A cloud's answers become labels, scores and colours of its points; and the colours can be told apart."""

from __future__ import annotations

import dataclasses
import itertools
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import PointCloud2  # noqa: E402

from segpoint.instances import Instance  # noqa: E402
from segpoint.segmenter import Segmentation  # noqa: E402
from segpoint_ros.colours import PALETTE, target_colour  # noqa: E402
from segpoint_ros.result import LABELS_EACH, Result, make_result  # noqa: E402
from segpoint_ros.settings import Clusters, Parameters, Tracking  # noqa: E402
from segpoint_ros.tracking import MOST_TARGETS, Tracker  # noqa: E402

M = 1000
ORANGE = Parameters().output.highlight_color


def cloud(count: int = M) -> PointCloud2:
    return PointCloud2(width=count, height=1)


def instance(indices: range, score: float = 0.9, x: float = 0.0) -> Instance:
    at = np.array([x, 0.0, 1.0])
    return Instance(at, np.full(3, 0.1), np.array([0.0, 0.0, 0.0, 1.0]), score, np.array(indices, np.int64))


def answer(text: str, *instances: Instance, score: np.ndarray | float = 0.5, count: int = M) -> Segmentation:
    mask = np.zeros(count, bool)
    for each in instances:
        mask[each.indices] = True
    return Segmentation(mask, np.full(count, score, np.float32) * np.ones(count, np.float32), text, [*instances], {})


def result_of(*found: Segmentation, settings: Parameters | None = None, tracker: Tracker | None = None) -> Result:
    words = [f"instruction {i}" for i in range(len(found))]
    count = len(found[0].mask) if found else M
    return make_result(cloud(count), "optical", words, found, tracker or Tracker(), settings or Parameters())


def with_max_points(most: int) -> Parameters:
    return Parameters(clusters=Clusters(max_points=most))


def test_one_instruction() -> None:
    first, second = instance(range(10, 20), 0.9), instance(range(500, 600), 0.8, x=1.0)
    found = answer("mug <SEG>, mug <SEG>, bowl <SEG>.", first, second)
    result = result_of(found)
    assert [(t.label, t.number, t.instruction, t.name) for t in result.targets] == [
        (1, 1, 0, "mug, bowl"),
        (2, 2, 0, "mug, bowl"),
    ]
    assert result.targets[0].instance is first and result.targets[0].colour == ORANGE != result.targets[1].colour
    expected = np.zeros(M, np.uint32)
    expected[10:20], expected[500:600] = 1, 2
    assert result.label.dtype == np.uint32 and result.score.dtype == np.float32
    np.testing.assert_array_equal(result.label, expected)
    np.testing.assert_array_equal(result.score, found.score)
    assert result.label is result.label  # computed once
    assert result.answer == found.answer and result.found == (found,) and result.instructions == ("instruction 0",)


def test_each_instruction_has_a_label_range_and_a_colour() -> None:
    found = [answer(f"{name} <SEG>.", instance(range(i, i + 5))) for i, name in enumerate(("mug", "bowl", "can"))]
    result = result_of(*found, answer("There is no mask."))
    assert [t.label for t in result.targets] == [1, LABELS_EACH + 1, 2 * LABELS_EACH + 1]
    assert [t.name for t in result.targets] == ["mug", "bowl", "can"]
    assert [t.colour for t in result.targets] == [ORANGE, PALETTE[0], PALETTE[1]]
    assert result.answer == "mug <SEG>.\nbowl <SEG>.\ncan <SEG>.\nThere is no mask."


def test_an_overlap_is_the_surer_instructions() -> None:
    rising, falling = np.linspace(0, 1, M, dtype=np.float32), np.linspace(1, 0, M, dtype=np.float32)
    result = result_of(
        answer("a <SEG>.", instance(range(0, 900)), score=rising),
        answer("b <SEG>.", instance(range(100, 1000)), score=falling),
        answer("c <SEG>.", instance(range(400, 600)), score=np.float32(0.0)),
    )
    label = np.full(M, LABELS_EACH + 1, np.uint32)
    label[:100] = 1
    label[500:900] = 1  # from here on `rising` is higher
    np.testing.assert_array_equal(result.label, label)
    np.testing.assert_array_equal(result.score, np.maximum(rising, falling))


@pytest.mark.parametrize("seed", range(5))
def test_random_overlaps_point_by_point(seed) -> None:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(4):
        cut = np.sort(rng.integers(0, M, 6))
        parts = [instance(range(cut[k], cut[k + 1]), x=float(k)) for k in (0, 2, 4)]
        found.append(answer("it <SEG>.", *parts, score=rng.choice([0.25, 0.5, 0.75], M).astype(np.float32)))
    result = result_of(*found)
    for point in range(M):
        claims = [
            (-found[t.instruction].score[point], t.label) for t in result.targets if point in t.instance.indices
        ]  # as sure ones: the instruction asked first
        assert result.label[point] == (min(claims)[1] if claims else 0)
        assert result.score[point] == max(f.score[point] for f in found)


def test_a_target_that_loses_all_its_points_is_none() -> None:
    same = instance(range(10, 20)), instance(range(12, 18))
    result = result_of(answer("mug <SEG>.", same[0], score=0.9), answer("cup <SEG>.", same[1], score=0.5))
    assert [target.label for target in result.targets] == [1]
    assert set(np.unique(result.label)) == {0, 1}


def test_nothing_asked() -> None:
    result = Result(cloud(), "body")
    assert result.answer == "" and not result.label.any() and not result.score.any()
    assert result.label.shape == result.score.shape == (M,)
    assert (result.label.dtype, result.score.dtype) == (np.uint32, np.float32)


def test_larger_targets_are_dropped() -> None:
    small, large = instance(range(0, 50)), instance(range(100, 400), x=1.0)
    found = answer("mug <SEG>.", large, small)
    assert [t.instance for t in result_of(found, settings=with_max_points(300)).targets] == [large, small]
    result = result_of(found, settings=with_max_points(299))
    assert [(t.label, t.instance) for t in result.targets] == [(1, small)]
    assert result.found[0].instances == [small] and result.found[0].mask.sum() == 50 and found.mask.sum() == 350
    assert result.answer == "mug <SEG>."
    nothing = result_of(found, settings=with_max_points(49))
    assert not nothing.targets and not nothing.label.any() and nothing.answer == "There is no mask."


def test_numbers_follow_the_objects_and_labels_rise() -> None:
    tracker = Tracker()
    left, right = instance(range(0, 50), x=-1.0), instance(range(100, 200), x=1.0)
    first = result_of(answer("mug <SEG>.", left, right), tracker=tracker)
    moved = [dataclasses.replace(i, centre=i.centre + 0.05) for i in (right, left)]
    second = result_of(answer("mug <SEG>.", *moved), tracker=tracker)  # now `right` is the surer one
    assert [t.label for t in second.targets] == [1, 2]
    assert [t.instance for t in second.targets] == moved[::-1]
    assert [t.colour for t in second.targets] == [t.colour for t in first.targets]
    untracked = Parameters(tracking=Tracking(distance=0.0))
    third = result_of(answer("mug <SEG>.", *moved), tracker=tracker, settings=untracked)
    assert [t.instance for t in third.targets] == moved


def test_objects_of_an_instruction_that_is_no_longer_asked_are_forgotten() -> None:
    tracker, settings = Tracker(), Parameters()
    left, right = instance(range(0, 50), x=-1.0), instance(range(100, 200), x=1.0)

    def ask(words: str, *instances: Instance) -> list[int]:
        found = [answer("mug <SEG>.", *instances)]
        return [t.label for t in make_result(cloud(), "body", [words], found, tracker, settings).targets]

    assert ask("the mugs", left, right) == [1, 2] and ask("the mugs", right) == [2]
    ask("the bowl", left)
    assert ask("the mugs", right) == [1]


def test_more_targets_than_labels() -> None:
    many = [instance(range(i, i + 1), score=1 - i / M, x=10.0 * i) for i in range(M)]
    result = result_of(answer("dot <SEG>.", *many), answer("dot <SEG>.", many[M - 1]))
    assert [t.label for t in result.targets] == [*range(1, MOST_TARGETS + 1), LABELS_EACH + 1]
    assert result.targets[998].instance is many[998]


def test_an_instruction_without_an_answer_is_a_mistake() -> None:
    with pytest.raises(ValueError):
        make_result(cloud(), "body", ["a", "b"], [answer("mug <SEG>.")], Tracker(), Parameters())


def test_labelling_a_camera_cloud_takes_no_time() -> None:
    count = 640 * 480
    parts = [instance(range(20_000 * k, 20_000 * k + 10_000), x=float(k)) for k in range(10)]
    found, settings = [answer("mug <SEG>.", *parts, count=count)], Parameters()
    taken = []
    for _ in range(30):
        result = make_result(cloud(count), "optical", ["the mug"], found, Tracker(), settings)
        started = time.perf_counter()
        assert result.label[0] == 1 and result.score is found[0].score
        taken.append(time.perf_counter() - started)
    assert min(taken) < 1e-3


# Colours


def test_the_first_instruction_has_the_colour_that_was_set() -> None:
    assert target_colour(0, 1, (10, 20, 30)) == (10, 20, 30)
    assert target_colour(1, 1, (10, 20, 30)) == target_colour(9, 1, ORANGE) == PALETTE[0]


def test_numbers_differ_in_brightness() -> None:
    for instruction in range(9):
        shades = [target_colour(instruction, number, ORANGE) for number in range(1, 6)]
        assert len(set(shades)) == 5 and all(0 <= channel <= 255 for shade in shades for channel in shade)
        assert np.ptp([sum(shade) for shade in shades]) > 100
    assert target_colour(0, 6, ORANGE) == ORANGE


# What a colour-blind person sees of a linear colour (Machado, Oliveira and Fernandes, 2009, severity 1).
EYES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("eyes", EYES)
def test_every_eye_tells_the_instructions_apart(eyes) -> None:
    colours = [target_colour(instruction, 1, ORANGE) for instruction in range(9)]
    seen = {colour: lab(colour, np.array(EYES[eyes])) for colour in colours}
    assert len(seen) == 9
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 15, (one, other)  # 2.3 is just noticed


def lab(colour: tuple[int, int, int], eyes: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of an sRGB colour as such eyes see it."""
    srgb = np.array(colour) / 255
    linear = np.clip(eyes @ np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    xyz = xyz / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
