"""Messages of any content through what reads them: a `SegPointError`, or what a slow and plain reading gives.

Never another exception, never seconds, never memory beyond what the message itself takes.
"""

from __future__ import annotations

import math
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from geometry_msgs.msg import Point, PointStamped, Pose, Quaternion, Vector3  # noqa: E402
from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from tiny_bundle import CONFIG  # noqa: E402
from tiny_language import tiny_model  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from segpoint.cloud import prepare  # noqa: E402
from segpoint.errors import SegPointError  # noqa: E402
from segpoint.network.inputs import collate  # noqa: E402
from segpoint.pointing import find_places  # noqa: E402
from segpoint.prompts import instruction_question  # noqa: E402
from segpoint_ros.place import take_box, take_click  # noqa: E402
from segpoint_ros.pointcloud2 import label_cloud, read_cloud, target_cloud  # noqa: E402
from segpoint_ros.request import Request, split_instructions  # noqa: E402

# The same examples each time. Some thousands more find nothing that these do not.
FUZZ = settings(
    max_examples=150,
    derandomize=True,
    deadline=10_000,  # milliseconds, on a loaded machine
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
MOST_MEMORY = 16 << 20  # bytes that a message of some hundred may cost

CODES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 8: "d"}  # of PointField in struct
UINT32 = st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1), st.sampled_from([2**31, 2**32 - 1]))
FIELD_NAMES = st.sampled_from(
    [*"xyzrgb", "rgb", "rgba", "label", "score", "intensity", "input_label", "", "\0", "é ☕"]
)
FLOATS = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1e-300, 1e300, math.inf, -math.inf, math.nan])


@contextmanager
def cheap() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


# --- clouds -----------------------------------------------------------------------------------------------------------


@st.composite
def clouds(draw: st.DrawFn) -> PointCloud2:
    """A cloud as a driver may send it, and then up to three of its numbers changed into any."""
    kinds = draw(st.dictionaries(FIELD_NAMES, st.integers(1, 8), max_size=6))
    for axis in draw(st.sampled_from(["xyz", "xyz", "xyz", "xy", ""])):
        kinds[axis] = draw(st.sampled_from([7, 7, 8]))
    fields, step = [], 0
    for name in draw(st.permutations(sorted(kinds))):
        step += draw(st.sampled_from([0, 0, 0, 1, 4]))
        count = draw(st.sampled_from([1, 1, 1, 0, 3]))
        fields.append(PointField(name=name, offset=step, datatype=kinds[name], count=1 if name in "xyz" else count))
        step += struct.calcsize(CODES[kinds[name]]) * max(fields[-1].count, 1)
    step += draw(st.sampled_from([0, 0, 3, 16]))
    height, width = draw(st.tuples(st.integers(0, 4), st.integers(0, 6)))
    row_step = step * width + draw(st.sampled_from([0, 0, 5]))
    message = PointCloud2(
        header=Header(frame_id=draw(st.text(max_size=9).filter(encodes))),
        height=height, width=width, fields=fields, point_step=step, row_step=row_step,
        is_bigendian=draw(st.booleans()), is_dense=draw(st.booleans()),
        data=draw(st.randoms(use_true_random=False)).randbytes(height * row_step),
    )  # fmt: skip
    for name in draw(
        st.lists(st.sampled_from(["height", "width", "point_step", "row_step", "data", "field"]), max_size=3)
    ):
        if name == "data":
            message.data = bytes(message.data)[: draw(st.integers(0, 300))] + bytes(draw(st.sampled_from([0, 1, 99])))
        elif name == "field" and fields:
            changed = draw(st.sampled_from(fields))
            setattr(changed, *draw(st.sampled_from([("offset", draw(UINT32)), ("count", draw(UINT32)), ("name", "x"),
                                                    ("datatype", draw(st.integers(0, 255)))])))  # fmt: skip
        elif name != "field":
            setattr(message, name, draw(UINT32))
    return message


def encodes(text: str) -> bool:
    """Whether a ROS string can hold it: it is UTF-8, which has no lone surrogates."""
    return not any(0xD800 <= ord(letter) < 0xE000 for letter in text)


def slowly(message: PointCloud2, name: str) -> list[Any]:
    """A field's values, point by point."""
    field = next(f for f in message.fields if f.name == name)
    order, count = ">" if message.is_bigendian else "<", max(field.count, 1)
    code, values = f"{order}{count}{CODES[field.datatype]}", []
    for row in range(message.height if message.width else 0):
        for column in range(message.width):
            # The step of a cloud's only row says nothing, nor does 0.
            start = 0 if message.height == 1 else row * (message.row_step or message.width * message.point_step)
            found = struct.unpack_from(code, message.data, start + column * message.point_step + field.offset)
            values.append(found[0] if count == 1 else list(found))
    return values


def packed_colour(message: PointCloud2) -> str:
    """The field of a cloud that holds its colour in one number: "" where none does."""
    for name in (f.name for f in message.fields):
        field = next(f for f in message.fields if f.name == name)
        if name in ("rgb", "rgba") and field.datatype in (5, 6, 7) and field.count <= 1:
            return name
    return ""


def split(message: PointCloud2, name: str) -> list[list[int]]:
    """R, G and B of each point in a packed colour."""
    bits = [struct.unpack("I", struct.pack(CODES[field.datatype], value))[0]
            for field in message.fields if field.name == name for value in slowly(message, name)]  # fmt: skip
    return [[bit >> 16 & 255, bit >> 8 & 255, bit & 255] for bit in bits]


def colours(message: PointCloud2) -> list[list[int]] | None:
    name = packed_colour(message)
    if name:
        whole = PointCloud2(**{slot: getattr(message, slot) for slot in message.get_fields_and_field_types()})
        # As an integer: a float that is NaN comes back as another NaN.
        first = next(f for f in message.fields if f.name == name)
        whole.fields = [PointField(name=name, offset=first.offset, datatype=6, count=1)]
        return split(whole, name)
    parts = {f.name: f for f in reversed(message.fields) if f.name in "rgb" and f.name}
    if set(parts) == set("rgb") and all(f.datatype == 2 and f.count <= 1 for f in parts.values()):
        return [list(rgb) for rgb in zip(*(slowly(message, name) for name in "rgb"), strict=True)]
    return None


@FUZZ
@given(clouds(), st.booleans())
def test_any_cloud_is_refused_or_read_rightly(message: PointCloud2, copy: bool) -> None:
    with cheap():
        try:
            cloud = read_cloud(message, copy)
        except SegPointError as error:
            assert "\n" not in str(error)
            event("refused")
            return
    event("read")
    points = message.height * message.width
    assert cloud.xyz.shape == (points, 3)
    for axis, values in zip("xyz", cloud.xyz.T, strict=True):
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(values, np.array(slowly(message, axis), cloud.xyz.dtype))
    expected = colours(message)
    assert (cloud.rgb is None) == (expected is None)
    assert expected is None or cloud.rgb is None or cloud.rgb.tolist() == expected


@FUZZ
@given(clouds(), st.integers(0, 2**32 - 1), st.sampled_from(["optical", "body", "map"]), clouds())
def test_any_cloud_that_can_be_read_can_be_labelled(
    message: PointCloud2, seed: int, frame: str, earlier: PointCloud2
) -> None:
    try:
        points = len(read_cloud(message).xyz)
    except SegPointError:
        assume(False)
    rng = np.random.default_rng(seed)
    label = rng.choice(np.array([0, 0, 1, 1001, 31_999], np.uint32), points)
    score = rng.random(points, np.float32)
    before = PointCloud2(**{slot: getattr(message, slot) for slot in message.get_fields_and_field_types()})
    with cheap():
        try:
            labelled = label_cloud(message, label, score, frame, {1: (0, 255, 0)}, into=earlier)
            targets = target_cloud(labelled)
        except SegPointError as error:
            assert "point_step" in str(error)  # what is added does not fit
            return
    assert message == before, "what came in is left as it was"
    assert (labelled.height, labelled.width, targets.width) == (message.height, message.width, int((label > 0).sum()))
    names = [field.name for field in labelled.fields]
    assert len(set(names)) == len(names) and {"label", "score", *"xyz"} <= set(names)
    assert len(labelled.data) == labelled.row_step * labelled.height
    if overlapping(labelled):
        event("fields overlap")
        return
    assert slowly(labelled, "label") == label.tolist() and slowly(labelled, "score") == score.tolist()
    assert slowly(targets, "label") == label[label > 0].tolist()
    written = {"label", "score", packed_colour(labelled)}
    for field in labelled.fields:
        if field.name not in written:
            name = field.name if field.name in [f.name for f in message.fields] else field.name.replace("input_", "")
            same(
                slowly(labelled, field.name), slowly(message, name) if name in [f.name for f in message.fields] else []
            )


def overlapping(message: PointCloud2) -> bool:
    ends = sorted((f.offset, f.offset + struct.calcsize(CODES[f.datatype]) * max(f.count, 1)) for f in message.fields)
    return any(end > start for (_, end), (start, _) in zip(ends, ends[1:], strict=False))


def same(found: list, expected: list) -> None:
    """Equal, or both NaN."""
    np.testing.assert_array_equal(np.array(found), np.array(expected))


@pytest.mark.parametrize("height, width", [(2**32 - 1, 2**32 - 1), (2**32 - 1, 1), (1, 2**32 - 1), (2**32 - 1, 0)])
@pytest.mark.parametrize("point_step", [0, 1, 16, 1 << 20, 2**32 - 1])
@pytest.mark.parametrize("row_step", [0, 2**32 - 1])
def test_sizes_without_end(height: int, width: int, point_step: int, row_step: int) -> None:
    message = PointCloud2(height=height, width=width, point_step=point_step, row_step=row_step, data=bytes(64))
    message.fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    with cheap():
        try:
            assert len(read_cloud(message).xyz) == 0
        except SegPointError as error:
            assert "\n" not in str(error)


COORDINATES = st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=40)


@settings(FUZZ, max_examples=150)
@given(
    COORDINATES,
    st.integers(0, 60),
    st.sampled_from(["optical", "body", "map"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_coordinates_are_a_scene_or_refused(points: list, more: int, frame: str, dtype: type) -> None:
    """Odd points alone, and among those of a table."""
    with np.errstate(over="ignore"):
        odd = np.array(points, np.float64).astype(dtype)
    xyz = np.concatenate([odd, TABLE[: 40 * more].astype(dtype)])
    try:
        cloud = prepare(xyz, None, frame, CONFIG.cloud)
    except SegPointError:
        return
    inputs = collate([cloud], CONFIG)
    assert np.isfinite(cloud.xyz).all() and len(cloud.voxel_of) == len(xyz) and inputs.points.isfinite().all()


TABLE = np.column_stack([np.random.default_rng(0).uniform([0.5, -0.3], [1.0, 0.3], (4000, 2)), np.full(4000, -0.4)])


# --- words ------------------------------------------------------------------------------------------------------------

LETTERS = st.characters(exclude_categories=("Cs",))  # any that UTF-8 has, control characters too
WORDS = st.one_of(
    st.text(LETTERS, max_size=80),
    st.lists(
        st.sampled_from(["mug", ";", "\n", "<SEG>", "</s>", "USER:", "\0", "\x1b[2J", "﷽", "👩‍👩‍👧", "a" * 500]),
        max_size=40,
    ).map(" ".join),
    st.builds(lambda text, times: text * times, st.text(LETTERS, min_size=1, max_size=4), st.integers(1, 25_000)),
)


@pytest.fixture(scope="module")
def language():
    return tiny_model(lora_rank=0)


@settings(FUZZ, suppress_health_check=[*FUZZ.suppress_health_check, HealthCheck.function_scoped_fixture])
@given(text=WORDS)
def test_any_words_are_a_question_or_refused(language, text: str) -> None:
    try:
        instructions = split_instructions(text)
    except SegPointError as error:
        assert "\n" not in str(error)
        return
    shown = str(Request(instructions))
    assert len(shown) <= 1000 and "\n" not in shown
    for instruction in instructions[:3]:
        try:
            clean = language.check_instruction(instruction)
        except SegPointError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
            continue
        ids = language.question_ids(instruction_question(clean))
        assert 0 < len(ids) and all(0 <= token < language.seg_id for token in ids)


# --- what is pointed at -----------------------------------------------------------------------------------------------


class Turned:
    """The transform from any frame: whatever a robot's tf tree may hold."""

    def __init__(self, numbers: list[float]) -> None:
        self.numbers = np.array(numbers)

    def lookup(self, target: str, source: str, stamp: object) -> tuple[np.ndarray, np.ndarray]:
        return self.numbers[:9].reshape(3, 3), self.numbers[9:]


@pytest.fixture(scope="module")
def seen():
    cloud = prepare(TABLE, None, "body", CONFIG.cloud)
    return cloud, collate([cloud], CONFIG)


NEAR = st.floats(-1.0, 1.0) | FLOATS
TRANSFORM = st.lists(NEAR, min_size=12, max_size=12).map(Turned)


@settings(FUZZ, suppress_health_check=[*FUZZ.suppress_health_check, HealthCheck.function_scoped_fixture])
@given(
    st.lists(NEAR, min_size=13, max_size=13), st.sampled_from(["", "map", "/map", "\0"]), st.integers(-5, 20),
    st.sampled_from([0, 0, 0, 1, 2, 3, -7]), TRANSFORM,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_any_click_and_any_box_are_a_place_or_refused(seen, numbers, frame, kind, action, transforms) -> None:
    n = iter(numbers)
    click = PointStamped(header=Header(frame_id=frame), point=Point(x=next(n), y=next(n), z=next(n)))
    pose = Pose(position=Point(x=next(n), y=next(n), z=next(n)),
                orientation=Quaternion(x=next(n), y=next(n), z=next(n), w=next(n)))  # fmt: skip
    box = Marker(header=Header(frame_id=frame), type=Marker.CUBE if kind < 10 else kind, action=action, pose=pose,
                 scale=Vector3(x=next(n), y=next(n), z=next(n)))  # fmt: skip
    for take, message in ((take_click, click), (take_box, box)):
        try:
            pointing = take(message, None)
            if pointing is None:
                continue
            assert len(str(pointing)) < 300
            place = pointing.in_frame("camera", Header().stamp, transforms)
            places = find_places(place, TABLE, *seen, CONFIG)
        except SegPointError as error:
            assert len(str(error)) < 600
        else:
            event(f"{message.__class__.__name__} taken")
            assert places.inside.isfinite().all() and places.corners.isfinite().all()
