"""PointCloud2 ↔ arrays, on every layout that a driver may send and on those that contradict themselves."""

from __future__ import annotations

import struct

import numpy as np
import pytest

pytest.importorskip("sensor_msgs")

from cloud_layouts import (  # noqa: E402
    F4,
    F8,
    HEIGHT,
    LAYOUTS,
    U1,
    U2,
    U4,
    WIDTH,
    M,
    coordinates,
    message,
    packed,
    random_cloud,
)  # fmt: skip
from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from segpoint.errors import SegPointError  # noqa: E402
from segpoint_ros.pointcloud2 import HIGHLIGHT, label_cloud, make_cloud, points_of, read_cloud, target_cloud  # noqa: E402


@pytest.fixture
def xyz() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(M, 3)).astype(np.float32)
    values[3] = np.nan
    return values


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (M, 3)).astype(np.uint8)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("datatype", [F4, F8], ids=["float32", "float64"])
@pytest.mark.parametrize("colour", ["rgb float32", "rgb uint32", "rgba uint32", "r g b", "none"])
def test_every_layout_is_read(xyz, rgb, layout, datatype, colour) -> None:
    columns = {"ring": (U2, np.arange(M)), **coordinates(xyz, datatype), "intensity": (F4, np.arange(M) / 7)}
    if colour == "r g b":
        columns |= {name: (U1, rgb[:, i]) for i, name in enumerate("rgb")}
    elif colour != "none":
        name, kind = colour.split()
        value = packed(rgb, alpha=255)
        columns[name] = (F4, value.view("f4")) if kind == "float32" else (U4, value)
    cloud = read_cloud(message(columns, **layout))
    assert cloud.xyz.dtype == (np.float32 if datatype == F4 else np.float64)
    assert cloud.xyz.flags.c_contiguous
    np.testing.assert_array_equal(cloud.xyz, xyz)
    if colour == "none":
        assert cloud.rgb is None
    else:
        np.testing.assert_array_equal(cloud.rgb, rgb)


def values(cloud: PointCloud2, name: str, bits: bool = False) -> list[tuple[float, ...]]:
    """A field read point by point with struct, slow and plain; or the bits of a packed colour."""
    (field,) = [field for field in cloud.fields if field.name == name]
    order = ">" if cloud.is_bigendian else "<"
    kind = "I" if bits else {F4: "f", F8: "d", U1: "B", U2: "H", U4: "I"}[field.datatype]
    starts = [
        row * cloud.row_step + column * cloud.point_step + field.offset
        for row in range(cloud.height)
        for column in range(cloud.width)
    ]
    return [struct.unpack_from(f"{order}{field.count}{kind}", cloud.data, start) for start in starts]


def same(found: np.ndarray, expected: list[tuple[float, ...]]) -> None:
    np.testing.assert_array_equal(found.reshape(len(expected), -1), np.array(expected))  # NaN counts as NaN


@pytest.mark.parametrize("seed", range(25))
def test_a_random_layout_is_read_and_labelled_as_point_by_point(seed) -> None:
    before = random_cloud(seed)
    untouched = bytes(before.data)
    names = {field.name for field in before.fields}
    cloud = read_cloud(before)
    for column, axis in enumerate("xyz"):
        same(cloud.xyz[:, column], values(before, axis))
    if "r" in names:
        colour = np.concatenate([np.array(values(before, name)) for name in "rgb"], axis=1)
    else:
        (packed_field,) = names & {"rgb", "rgba"}
        word = np.array(values(before, packed_field, bits=True))[:, 0]
        colour = np.stack([word >> 16 & 255, word >> 8 & 255, word & 255], axis=1)
    np.testing.assert_array_equal(cloud.rgb, colour)

    label, score = answer()
    after = label_cloud(before, label, score)
    same(label, values(after, "label"))
    same(score, values(after, "score"))
    for name in names - {"rgb", "rgba"}:
        same(np.array(values(after, name)), values(before, name))
    target = label > 0
    np.testing.assert_array_equal(read_cloud(after).rgb[~target], colour[~target])
    mixed = (0.7 * np.array([255, 64, 32]) + (1 - 0.7) * colour[target]).astype(np.uint8)
    np.testing.assert_array_equal(read_cloud(after).rgb[target], mixed)
    assert bytes(before.data) == untouched


def test_fields_in_any_order_and_padding_without_a_name(xyz, rgb) -> None:
    columns = {"rgb": (U4, packed(rgb)), "z": (F4, xyz[:, 2]), "x": (F4, xyz[:, 0]), "y": (F4, xyz[:, 1])}
    cloud = message(columns)
    cloud.fields.append(PointField(name="", offset=0, datatype=U1, count=16))
    cloud.fields.append(PointField(name="x", offset=4, datatype=F4, count=1))  # a name twice: the first counts
    cloud.fields[1].count = 0  # some drivers mean 1
    np.testing.assert_array_equal(read_cloud(cloud).xyz, xyz)
    np.testing.assert_array_equal(read_cloud(cloud).rgb, rgb)


def test_a_repeat_that_reaches_past_the_data_is_ignored(xyz, rgb) -> None:
    cloud = message(coordinates(xyz) | {"rgb": (F8, np.ones(M)), "label": (U2, np.arange(M))})
    for name, datatype in (("rgb", F4), ("label", U4), ("x", F4)):
        cloud.fields.append(PointField(name=name, offset=2**31, datatype=datatype, count=1))
    assert read_cloud(cloud).rgb is None
    label, score = answer()
    np.testing.assert_array_equal(points_of(label_cloud(cloud, label, score))["label"].ravel(), label)


@pytest.mark.parametrize("seed", range(25))
def test_a_random_layout_is_the_same_without_a_copy(seed) -> None:
    message = random_cloud(seed)
    copied, seen = read_cloud(message), read_cloud(message, copy=False)
    assert seen.xyz.dtype == copied.xyz.dtype
    np.testing.assert_array_equal(seen.xyz, copied.xyz)
    np.testing.assert_array_equal(seen.rgb, copied.rgb)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_only_what_does_not_lie_there_as_an_array_is_copied(xyz, rgb, layout) -> None:
    cloud = message(coordinates(xyz) | {"rgb": (U4, packed(rgb))}, **layout)
    xyz_is_there, rgb_is_there = layout in ({}, {"gap": 4}), "row_gap" not in layout
    seen, data = read_cloud(cloud, copy=False), np.frombuffer(cloud.data, np.uint8)
    assert np.shares_memory(seen.xyz, data) == xyz_is_there != seen.xyz.flags.writeable
    assert np.shares_memory(seen.rgb, data) == rgb_is_there != seen.rgb.flags.writeable
    copied = read_cloud(cloud)
    assert not np.shares_memory(copied.xyz, data) and not np.shares_memory(copied.rgb, data)


def test_points_are_a_view(xyz) -> None:
    cloud = make_cloud(Header(), xyz)
    assert np.shares_memory(points_of(cloud), np.frombuffer(cloud.data, np.uint8))


def test_one_row_needs_no_row_step(xyz) -> None:
    cloud = make_cloud(Header(), xyz)
    cloud.row_step = 0
    np.testing.assert_array_equal(read_cloud(cloud).xyz, xyz)


def broken(kind: str, xyz: np.ndarray) -> PointCloud2:
    cloud = make_cloud(Header(), xyz, width=WIDTH, height=HEIGHT)
    if kind == "data shorter than claimed":
        cloud.data = cloud.data[:-1]
    elif kind == "width of four billion":
        cloud.width = cloud.height = 2**32 - 1
    elif kind == "no x y z":
        for field in cloud.fields:
            field.name = f"normal_{field.name}"
    elif kind == "only x and y":
        cloud.fields = cloud.fields[:2]
    elif kind == "row_step too small":
        cloud.row_step -= 1
    elif kind == "no point_step":
        cloud.point_step = 0
    elif kind == "point_step of four billion":
        cloud.point_step = 2**32 - 1
    elif kind == "such a point_step and no points":
        cloud.point_step, cloud.width = 2**32 - 1, 0
    elif kind == "point_step too small":
        cloud.point_step, cloud.row_step = 8, 8 * WIDTH
    elif kind == "integer x":
        cloud.fields[0].datatype = PointField.INT32
    elif kind == "three x":
        cloud.fields[0].count = 3
    elif kind == "unknown datatype":
        cloud.fields[0].datatype = 99
    elif kind == "no fields":
        cloud.fields = []
    return cloud


BROKEN = (
    "data shorter than claimed", "width of four billion", "no x y z", "only x and y", "row_step too small",
    "no point_step", "point_step too small", "integer x", "three x", "unknown datatype", "no fields",
    "point_step of four billion", "such a point_step and no points",
)  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_contradictions_are_refused(kind, xyz) -> None:
    with pytest.raises(SegPointError) as error:
        read_cloud(broken(kind, xyz))
    assert "\n" not in str(error.value)


def test_no_points() -> None:
    cloud = make_cloud(Header(), np.empty((0, 3), np.float32))
    assert read_cloud(cloud).xyz.shape == (0, 3)
    labelled = label_cloud(cloud, np.zeros(0, np.uint32), np.zeros(0, np.float32))
    assert [f.name for f in labelled.fields] == ["x", "y", "z", "rgb", "label", "score"]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_label_keeps_every_field(xyz, rgb, layout) -> None:
    columns = coordinates(xyz) | {
        "ring": (U2, np.arange(M)),
        "normal": (F8, np.random.default_rng(2).normal(size=(M, 3))),
        "rgba": (U4, packed(rgb, alpha=200)),
    }
    before = message(columns, **layout)
    label, score = answer()
    after = label_cloud(before, label, score)

    assert (after.header, after.height, after.width) == (before.header, HEIGHT, WIDTH)
    assert after.is_bigendian == before.is_bigendian
    assert after.row_step == WIDTH * after.point_step and len(after.data) == HEIGHT * after.row_step
    assert after.data.typecode == "B"
    old, new = points_of(before), points_of(after)
    assert new.dtype.names == (*old.dtype.names, "label", "score")
    for name in set(old.dtype.names) - {"rgba"}:
        assert new[name].tobytes() == old[name].tobytes(), name  # bytes, because NaN is not equal to NaN
    np.testing.assert_array_equal(new["label"].ravel(), label)
    np.testing.assert_array_equal(new["score"].ravel(), score)
    target = label > 0
    np.testing.assert_array_equal(new["rgba"].ravel()[~target], packed(rgb, alpha=200)[~target])
    assert (new["rgba"].ravel()[target] >> 24 == 200).all()
    assert (read_cloud(after).rgb[target, 0] >= rgb[target, 0] // 4 + 170).all()  # towards the highlight's red
    np.testing.assert_array_equal(points_of(before)["rgba"].ravel(), packed(rgb, alpha=200))  # input left alone


def answer() -> tuple[np.ndarray, np.ndarray]:
    label = (np.arange(M) % 3 == 0) * (1 + np.arange(M) % 2)
    return label.astype(np.uint32), np.linspace(0, 1, M, dtype=np.float32)


def test_label_overwrites_its_own_fields_and_keeps_foreign_ones(xyz) -> None:
    label, score = answer()
    once = label_cloud(make_cloud(Header(), xyz, width=WIDTH, height=HEIGHT), label[::-1], score[::-1])
    twice = label_cloud(once, label, score)
    assert [f.name for f in twice.fields] == ["x", "y", "z", "rgb", "label", "score"]
    np.testing.assert_array_equal(points_of(twice)["label"].ravel(), label)

    foreign = message(coordinates(xyz) | {"label": (U2, np.arange(M)), "score": (F4, np.ones(M))})
    labelled = points_of(label_cloud(foreign, label, score))
    assert labelled.dtype.names == ("x", "y", "z", "input_label", "score", "rgb", "label")
    np.testing.assert_array_equal(labelled["input_label"].ravel(), np.arange(M))
    np.testing.assert_array_equal(labelled["label"].ravel(), label)


def test_a_result_may_be_written_over(xyz, rgb) -> None:
    """Whatever it held, the next one is what it would have been in a message of its own."""
    label, score = answer()
    clouds = [
        make_cloud(Header(frame_id="a"), xyz, rgb, WIDTH, HEIGHT),
        make_cloud(Header(frame_id="b"), xyz[::-1], rgb[::-1]),
        message(coordinates(xyz, F8) | {"r": (U1, rgb[:, 0])}, big=True),
        message(coordinates(xyz, F8) | {"r": (U1, rgb[:, 0])}),
        make_cloud(Header(), xyz[:0]),
        message(coordinates(xyz) | {"rgb": (U4, packed(rgb))}, gap=1, tail=3),
        message(coordinates(xyz) | {"bgr": (U4, packed(rgb))}, gap=1, tail=3),
        make_cloud(Header(frame_id="c"), xyz, rgb, WIDTH, HEIGHT),
        message(coordinates(xyz) | {"t": (U1, rgb[:, 0])}, tail=3),
        message(coordinates(xyz) | {"t": (U1, rgb[:, 0])}),  # where the padding was: zeros
    ]
    kept = PointCloud2()
    for cloud in clouds:
        some = slice(0, cloud.width * cloud.height)
        fresh = label_cloud(cloud, label[some], score[some])
        assert label_cloud(cloud, label[some], score[some], into=kept) is kept
        assert kept == fresh
        label, score = label[::-1], score[::-1]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_each_label_has_its_colour(xyz, rgb, layout) -> None:
    label = np.arange(M, dtype=np.uint32) % 5
    label[label == 3] = 31_999  # the last label of 32 instructions
    colours = {1: (10, 250, 0), 31_999: (0, 20, 230), 7: (1, 2, 3)}
    before = message(coordinates(xyz) | {"rgb": (U4, packed(rgb))}, **layout)
    after = read_cloud(label_cloud(before, label, np.zeros(M, np.float32), colours=colours)).rgb
    np.testing.assert_array_equal(after[label == 0], rgb[label == 0])
    for one in (1, 2, 4, 31_999):
        shown = np.array(colours.get(one, HIGHLIGHT))
        np.testing.assert_array_equal(after[label == one], (0.7 * shown + (1 - 0.7) * rgb[label == one]).astype("u1"))


@pytest.mark.parametrize("seed", range(10))
def test_the_targets_alone(seed) -> None:
    """Of a cloud of any layout the points with a label, byte for byte, in their order and in one row."""
    label, score = answer()
    labelled = label_cloud(random_cloud(seed), label, score)
    labelled.header.frame_id = "camera"
    alone = target_cloud(labelled)
    count = np.count_nonzero(label)
    assert (alone.height, alone.width, alone.row_step) == (1, count, count * labelled.point_step)
    for name in ("header", "fields", "is_bigendian", "point_step", "is_dense"):
        assert getattr(alone, name) == getattr(labelled, name)
    step, data = labelled.point_step, bytes(labelled.data)
    points = [data[i * step : (i + 1) * step] for i in range(M)]
    assert bytes(alone.data) == b"".join(point for point, one in zip(points, label, strict=True) if one)
    np.testing.assert_array_equal(points_of(alone)["label"].ravel(), label[label > 0])


def test_no_targets_alone(xyz) -> None:
    for points in (xyz, xyz[:0]):
        nothing = np.zeros(len(points))
        alone = target_cloud(label_cloud(make_cloud(Header(), points), nothing.astype("u4"), nothing.astype("f4")))
        assert (alone.width, len(alone.data), len(alone.fields)) == (0, 0, 6)
        assert read_cloud(alone).xyz.shape == (0, 3)


def test_a_foreign_rgb_is_kept_under_another_name(xyz) -> None:
    label, score = answer()
    before = message(coordinates(xyz) | {"rgb": (F8, np.arange(M)), "input_rgb": (U1, np.arange(M))})
    after = label_cloud(before, label, score)
    names = [field.name for field in after.fields]
    assert names == ["x", "y", "z", "input_input_rgb", "input_rgb", "rgb", "label", "score"]
    np.testing.assert_array_equal(points_of(after)["input_input_rgb"].ravel(), np.arange(M))
    assert read_cloud(after).rgb is not None


def test_colour_is_added_from_r_g_b(xyz, rgb) -> None:
    label, score = answer()
    before = message(coordinates(xyz) | {name: (U1, rgb[:, i]) for i, name in enumerate("rgb")})
    after = label_cloud(before, label, score)
    assert after.point_step % 4 == 0  # what is added is aligned
    np.testing.assert_array_equal(read_cloud(after).rgb[label == 0], rgb[label == 0])
    np.testing.assert_array_equal(points_of(after)["r"].ravel(), rgb[:, 0])


@pytest.mark.parametrize(("frame", "axis", "sign"), [("optical", 1, -1), ("body", 2, 1), ("map", 2, 1)])
def test_grey_by_height_without_colour(xyz, frame, axis, sign) -> None:
    after = label_cloud(make_cloud(Header(), xyz), np.zeros(M, np.uint32), np.zeros(M, np.float32), frame)
    seen = np.isfinite(xyz[:, 0])
    colour = read_cloud(after).rgb[seen].astype(int)
    assert (colour[:, 0] == colour[:, 1]).all() and (colour[:, 1] == colour[:, 2]).all()
    assert (np.diff(colour[np.argsort(sign * xyz[seen, axis]), 0]) >= 0).all()
    assert np.ptp(colour) > 100


def test_grey_by_intensity_survives_an_outlier(xyz) -> None:
    intensity = np.linspace(0, 1, M)
    intensity[4] = 1e9
    before = message(coordinates(xyz) | {"intensity": (F4, intensity)})
    colour = read_cloud(label_cloud(before, np.zeros(M, np.uint32), np.zeros(M, np.float32))).rgb
    assert np.ptp(np.delete(colour[:, 0], 4).astype(int)) > 100


def test_make_cloud_reads_back(xyz, rgb) -> None:
    cloud = read_cloud(make_cloud(Header(), xyz, rgb, WIDTH, HEIGHT))
    np.testing.assert_array_equal(cloud.xyz, xyz)
    np.testing.assert_array_equal(cloud.rgb, rgb)


def test_the_real_message_reader_agrees(xyz, rgb) -> None:
    """ROS's own reader, where it is installed."""
    point_cloud2 = pytest.importorskip("sensor_msgs_py.point_cloud2")
    label, score = answer()
    after = label_cloud(make_cloud(Header(), xyz, rgb, WIDTH, HEIGHT), label, score)
    theirs = point_cloud2.read_points(after)
    np.testing.assert_array_equal(theirs["label"].ravel(), label)
    np.testing.assert_array_equal(theirs["score"].ravel(), score)
    np.testing.assert_array_equal(theirs["x"].ravel(), xyz[:, 0])
