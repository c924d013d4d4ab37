"""PointCloud2 messages and arrays: what a cloud holds, seen without copies, and the same cloud with labels in it.

A message is bytes: ``height`` rows of ``row_step`` bytes, each with ``width`` points of ``point_step`` bytes, in which
every field has an offset, a type and a byte order. NumPy describes exactly that (a strided array of a structured
dtype), so nothing here loops over points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segpoint.errors import SegPointError
from segpoint_ros.colours import Colour
from segpoint_ros.messages import Header, PointCloud2, PointField

HIGHLIGHT: Colour = (255, 64, 32)  # orange red: rare on tables, seen on grey
HIGHLIGHT_STRENGTH = 0.7  # the rest is the point's own colour, so that its shading stays visible

_TYPES = {
    PointField.INT8: "i1",
    PointField.UINT8: "u1",
    PointField.INT16: "i2",
    PointField.UINT16: "u2",
    PointField.INT32: "i4",
    PointField.UINT32: "u4",
    PointField.FLOAT32: "f4",
    PointField.FLOAT64: "f8",
}
_LARGEST_POINT = 1 << 20  # bytes; the largest descriptors of PCL take some thousand
_PACKED = {PointField.FLOAT32, PointField.UINT32, PointField.INT32}  # what 0xAARRGGBB travels in


@dataclass(frozen=True)
class Cloud:
    """The points of a message, row by row; M = width · height.

    xyz: (M, 3) float32, or float64 where the message has float64 (map coordinates need it). NaN rows are kept.
    rgb: (M, 3) uint8, or None where the message has no colour.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None


def read_cloud(message: PointCloud2, copy: bool = True) -> Cloud:
    """Coordinates and colour of a message, each copied once into a compact array.

    copy: False lets them look into the message, not to be written, where they lie there as such arrays do.
    Colour is a packed ``rgb`` or ``rgba`` (float32 or 32-bit integer) or the three uint8 fields ``r``, ``g``, ``b``.
    Raises `SegPointError` where x, y or z is missing or no real number, where a field does not fit into a point, or
    where there is less data than the header says.
    """
    points = points_of(message)
    missing = [axis for axis in "xyz" if axis not in (points.dtype.names or ())]
    if missing:
        raise SegPointError(
            f"the cloud has no field {', '.join(missing)}: expected float32 or float64 x, y, z, "
            f"got {[field.name for field in message.fields]}"
        )
    kinds = {axis: points.dtype[axis] for axis in "xyz"}
    if any(kind.shape or kind.kind != "f" for kind in kinds.values()):
        found = ", ".join(f"{axis}: {kind}" for axis, kind in kinds.items())
        raise SegPointError(f"expected x, y, z to be one float32 or float64 each, got {found}")
    wide = any(kind.itemsize == 8 for kind in kinds.values())
    colour = _colour(message, points)
    return Cloud(
        xyz=_side_by_side([points[axis] for axis in "xyz"], np.float64 if wide else np.float32, copy),
        rgb=None if colour is None else _side_by_side(colour, np.uint8, copy),
    )


@np.errstate(invalid="ignore")  # what is NaN may be so in a way that warns
def _side_by_side(columns: Sequence[np.ndarray], dtype: type[np.generic], copy: bool) -> np.ndarray:
    """Columns, each (height, width), as one array (M, columns): compact, or without ``copy`` a view if there is one."""
    first, count = columns[0], len(columns)
    if not copy and first.size and all(column.dtype == dtype and column.flags.aligned for column in columns):
        gaps = set(np.diff([column.__array_interface__["data"][0] for column in columns]).tolist())
        if len(gaps) == 1 and first.strides[0] == first.shape[1] * first.strides[1]:
            strides = (first.strides[1], gaps.pop())
            return np.lib.stride_tricks.as_strided(first, (first.size, count), strides, writeable=False)
    # A column at a time: NumPy's inner loop then runs over the points, and not M times over three values.
    compact = np.empty((*first.shape, count), dtype)
    for number, column in enumerate(columns):
        compact[..., number] = column
    return compact.reshape(-1, count)


def points_of(message: PointCloud2) -> np.ndarray:
    """The message's points as a (height, width) structured array that looks into ``message.data``: nothing is copied.

    Fields without a name and repeats of a name are left out (drivers use them for padding).
    Raises `SegPointError` where the layout contradicts itself or the data ends early.
    """
    if message.point_step > _LARGEST_POINT:
        raise SegPointError(f"point_step is {message.point_step}; expected at most {_LARGEST_POINT} bytes")
    _layout(message)
    order = ">" if message.is_bigendian else "<"
    names, formats, offsets = [], [], []
    for field in _named(message.fields):
        if field.datatype not in _TYPES:
            raise SegPointError(f"field {field.name} has datatype {field.datatype}; expected one of {sorted(_TYPES)}")
        kind = np.dtype(order + _TYPES[field.datatype])
        count = max(field.count, 1)  # some drivers leave it at 0
        if field.offset + kind.itemsize * count > message.point_step:
            raise SegPointError(
                f"field {field.name} ends at byte {field.offset + kind.itemsize * count} of a point, "
                f"but point_step is {message.point_step}"
            )
        names.append(field.name)
        formats.append(kind if count == 1 else (kind, (count,)))
        offsets.append(field.offset)
    dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": message.point_step})
    return _view(message, dtype)


def label_cloud(
    message: PointCloud2,
    label: np.ndarray,
    score: np.ndarray,
    frame: str = "body",
    colours: Mapping[int, Colour] | None = None,
    into: PointCloud2 | None = None,
) -> PointCloud2:
    """The same cloud with what was found in it.

    Every named field and every byte of each point stays, in the same header, order and shape; padding between rows
    goes. Added, or overwritten where the input has them in that type: ``label`` uint32 and ``score`` float32. Points
    with a label are highlighted in the packed colour; without one, ``rgb`` is added: the cloud's r, g, b, else grey by
    intensity, else by height. A field in the way of an added one, because it has another type, is kept as
    ``input_label``, ``input_score`` or ``input_rgb``.

    label: (M,) uint32, 0 is no target.   score: (M,) float32.   frame: "optical", "body" or "map", says what height is.
    colours: in which each label is highlighted; HIGHLIGHT for those left out.
    into: an earlier result that nobody needs any more, to be written over: fresh memory takes longer than the rest.
    """
    points = points_of(message)
    fields, step = _output_fields(message)
    out = PointCloud2() if into is None else into
    if (out.fields, out.is_bigendian, len(out.data)) != (fields, message.is_bigendian, points.size * step):
        _make_room(out, points.size, step)  # else the bytes behind a point's own are written below, or zeros already
    out.header, out.fields = message.header, fields
    out.is_bigendian, out.is_dense = message.is_bigendian, message.is_dense
    out.height, out.width = points.shape
    out.point_step, out.row_step = step, step * out.width
    if not points.size:
        return out
    _check_apart(fields)
    every_byte = np.dtype((np.void, message.point_step))
    _view(out, every_byte)[...] = _view(message, every_byte)
    if gap := min((step, *(f.offset for f in fields if f.offset >= message.point_step))) - message.point_step:
        _view(out, np.dtype((np.void, gap)), message.point_step)[...] = bytes(gap)
    labelled = points_of(out)
    labelled["label"] = label.reshape(points.shape)
    labelled["score"] = score.reshape(points.shape)
    packed = _packed_colour(fields)
    assert packed is not None  # _output_fields saw to it
    colour = _channels(out, packed)
    if _packed_colour(message.fields) is None:
        own = _colour(message, points)
        for channel, values in zip(colour, [_grey(points, frame)] * 3 if own is None else own, strict=True):
            channel[...] = values
    target = np.flatnonzero(label > 0)
    of_target = label[target]
    for channel, value in zip(colour, _colour_table(colours or {}, of_target).T, strict=True):
        flat = channel.reshape(-1)  # a view, for here no bytes lie between the rows
        flat[target] = (HIGHLIGHT_STRENGTH * value)[of_target] + (1 - HIGHLIGHT_STRENGTH) * flat[target]
    return out


def target_cloud(labelled: PointCloud2) -> PointCloud2:
    """The points with a label of a cloud that `label_cloud` made, in one row, with all their fields and bytes."""
    points = points_of(labelled)
    every_byte = _view(labelled, np.dtype((np.void, labelled.point_step))).reshape(-1)
    targets = every_byte[np.flatnonzero(points["label"] > 0)]
    out = PointCloud2(
        header=labelled.header,
        height=1,
        width=len(targets),
        fields=labelled.fields,
        is_bigendian=labelled.is_bigendian,
        point_step=labelled.point_step,
        row_step=labelled.point_step * len(targets),
        is_dense=labelled.is_dense,
    )
    out.data.frombytes(targets.view(np.uint8))
    return out


def make_cloud(
    header: Header, xyz: np.ndarray, rgb: np.ndarray | None = None, width: int | None = None, height: int = 1
) -> PointCloud2:
    """A message of float32 x, y, z and, where given, packed float32 ``rgb``: 16 bytes a point.

    xyz: (M, 3).   rgb: (M, 3) uint8.   width, height: of an organised cloud, width · height = M.
    """
    names: Sequence[str] = ("x", "y", "z") if rgb is None else ("x", "y", "z", "rgb")
    step = 4 * len(names)
    width = len(xyz) if width is None else width
    out = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=[PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, n in enumerate(names)],
        is_bigendian=False,
        point_step=step,
        row_step=step * width,
        is_dense=bool(np.isfinite(xyz).all()),
    )
    _make_room(out, len(xyz), step)
    points = points_of(out)
    for values, axis in zip(xyz.T, "xyz", strict=True):
        points[axis] = values.reshape(points.shape)
    if rgb is not None:
        for values, channel in zip(rgb.T, _channels(out, out.fields[3]), strict=True):
            channel[...] = values.reshape(points.shape)
    return out


def _colour_table(colours: Mapping[int, Colour], labels: np.ndarray) -> np.ndarray:
    """(L, 3) float64: the colour of each label, up to the largest there is."""
    largest = max(int(labels.max(initial=0)), *colours, 0)
    table = np.tile(np.array(HIGHLIGHT, np.float64), (largest + 1, 1))
    for label, colour in colours.items():
        table[label] = colour
    return table


def _make_room(message: PointCloud2, count: int, step: int) -> None:
    """Zeros for ``count`` points in the message's own array: data that is handed to a message is copied by it."""
    data = message.data
    del data[:]
    data.frombytes(bytes(step))
    data *= count  # in place


def _layout(message: PointCloud2) -> tuple[int, int, int]:
    """Height, width and bytes from row to row, once the data is known to reach that far."""
    height, width, step, row_step = message.height, message.width, message.point_step, message.row_step
    if not height * width:
        return height, width, 0
    row = width * step
    if height == 1 or row_step == 0:
        row_step = row  # with one row its step says nothing, and many a driver leaves it wrong
    if not 0 < row <= row_step:
        raise SegPointError(f"row_step is {row_step}, but a row has {width} points of {step} bytes")
    needed = (height - 1) * row_step + row
    if len(message.data) < needed:
        raise SegPointError(
            f"the cloud's data ends early: {width} × {height} points of {step} bytes need {needed} bytes, "
            f"got {len(message.data)}"
        )
    return height, width, row_step


def _output_fields(message: PointCloud2) -> tuple[list[PointField], int]:
    """The fields of the labelled cloud and its point_step."""
    wanted = {"label": PointField.UINT32, "score": PointField.FLOAT32}
    if _packed_colour(message.fields) is None:
        wanted = {"rgb": PointField.FLOAT32, **wanted}
    fields, step = [], message.point_step
    named = _named(message.fields)
    taken = {field.name for field in named}
    for field in named:
        name = field.name
        if name in wanted:
            if field.datatype == wanted[name] and field.count <= 1:
                del wanted[name]
            else:
                while name in taken:
                    name = f"input_{name}"
        fields.append(PointField(name=name, offset=field.offset, datatype=field.datatype, count=max(field.count, 1)))
    step += -step % 4 if wanted else 0
    for name, datatype in wanted.items():
        fields.append(PointField(name=name, offset=step, datatype=datatype, count=1))
        step += 4
    return fields, step


def _check_apart(fields: Sequence[PointField]) -> None:
    """Raise SegPointError where what is written lies over the coordinates, which nothing may change."""
    places = {f.name: range(f.offset, f.offset + np.dtype(_TYPES[f.datatype]).itemsize) for f in fields}
    for written in ("label", "score", "rgb", "rgba"):
        for axis in "xyz":
            if written in places and set(places[written]) & set(places[axis]):
                raise SegPointError(
                    f"the fields {written} and {axis} of the cloud share bytes; give each its own offset"
                )


def _named(fields: Sequence[PointField]) -> list[PointField]:
    """The fields that have a name, and of several with the same name the first."""
    first: dict[str, PointField] = {}
    for field in fields:
        if field.name:
            first.setdefault(field.name, field)
    return list(first.values())


def _packed_colour(fields: Sequence[PointField]) -> PointField | None:
    """The field that holds 0xAARRGGBB, if there is one."""
    for field in _named(fields):
        if field.name in ("rgb", "rgba") and field.datatype in _PACKED and field.count <= 1:
            return field
    return None


def _colour(message: PointCloud2, points: np.ndarray) -> list[np.ndarray] | None:
    """R, G and B, each a (height, width) uint8 view into the message; None without colour."""
    packed = _packed_colour(message.fields)
    if packed is not None:
        return _channels(message, packed)
    names = points.dtype.names or ()
    if all(name in names and points.dtype[name] == np.uint8 for name in "rgb"):
        return [points[name] for name in "rgb"]
    return None


def _channels(message: PointCloud2, packed: PointField) -> list[np.ndarray]:
    """R, G and B of a packed colour, each a (height, width) uint8 view into the message."""
    # Little-endian 0xAARRGGBB lies in memory as B G R A, big-endian as A R G B.
    places = (1, 2, 3) if message.is_bigendian else (2, 1, 0)
    return [_view(message, np.dtype(np.uint8), packed.offset + place) for place in places]


def _view(message: PointCloud2, dtype: np.dtype, offset: int = 0) -> np.ndarray:
    """(height, width) values, one of each point at ``offset``, as a view into the message's data."""
    height, width, row_step = _layout(message)
    if not height * width:
        return np.empty((height, width), dtype)
    return np.ndarray((height, width), dtype, message.data, offset, (row_step, message.point_step))


@np.errstate(over="ignore", invalid="ignore")  # numbers beyond float32, which a broken cloud may hold
def _grey(points: np.ndarray, frame: str) -> np.ndarray:
    """(height, width) uint8 brightness for a cloud without colour: its intensity, or else how high a point lies."""
    if "intensity" in (points.dtype.names or ()) and not points.dtype["intensity"].shape:
        value = points["intensity"].astype(np.float32)
    else:
        value = -points["y"].astype(np.float32) if frame == "optical" else points["z"].astype(np.float32)
    finite = value[np.isfinite(value)]
    # Percentiles, because one reflector or one stray point must not turn the rest black; some ten thousand points tell.
    low, high = np.percentile(finite[:: max(1, finite.size // 10_000)], (5, 95)) if finite.size else (0.0, 1.0)
    grey = np.clip((value - low) / max(high - low, 1e-6), 0, 1)
    return (40 + 180 * np.nan_to_num(grey)).astype(np.uint8)
