"""Messages of points written byte by byte, in layouts that a driver may send."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

F4, F8, U1, U2, U4 = (
    PointField.FLOAT32,
    PointField.FLOAT64,
    PointField.UINT8,
    PointField.UINT16,
    PointField.UINT32,
)
KIND = {F4: "f4", F8: "f8", U1: "u1", U2: "u2", U4: "u4"}
WIDTH, HEIGHT = 7, 5
M = WIDTH * HEIGHT


def message(
    columns: dict[str, tuple[int, np.ndarray]], *, big: bool = False, gap: int = 0, tail: int = 0, row_gap: int = 0
) -> PointCloud2:
    """An organised cloud written byte by byte: ``gap`` bytes before each field, ``tail`` after a point, ``row_gap``
    after a row, all filled with 0xEE, so that nothing works by the luck of zeros."""
    offset, fields, step = 0, [], 0
    for name, (datatype, values) in columns.items():
        offset = step + gap
        fields.append(PointField(name=name, offset=offset, datatype=datatype, count=int(values[0].size)))
        step = offset + values[0].size * np.dtype(KIND[datatype]).itemsize
    step += tail
    row_step = step * WIDTH + row_gap
    data = bytearray(b"\xee" * (row_step * HEIGHT))
    for field, (datatype, values) in zip(fields, columns.values(), strict=True):
        typed = values.astype((">" if big else "<") + KIND[datatype])
        for i in range(M):
            start = (i // WIDTH) * row_step + (i % WIDTH) * step + field.offset
            raw = typed[i : i + 1].tobytes()
            data[start : start + len(raw)] = raw
    return PointCloud2(
        header=Header(frame_id="camera_optical_frame"), height=HEIGHT, width=WIDTH, fields=fields, is_bigendian=big,
        point_step=step, row_step=row_step, data=bytes(data), is_dense=False,
    )  # fmt: skip


def coordinates(xyz: np.ndarray, datatype: int = F4) -> dict[str, tuple[int, np.ndarray]]:
    return {axis: (datatype, xyz[:, i]) for i, axis in enumerate("xyz")}


def packed(rgb: np.ndarray, alpha: int = 0) -> np.ndarray:
    value = rgb.astype(np.uint32)
    return (np.uint32(alpha) << 24) | (value[:, 0] << 16) | (value[:, 1] << 8) | value[:, 2]


LAYOUTS = [
    {},
    {"big": True},
    {"gap": 4},
    {"gap": 1, "tail": 3},  # unaligned
    {"row_gap": 13},
    {"big": True, "gap": 3, "tail": 5, "row_gap": 64},
]


def random_cloud(seed: int) -> PointCloud2:
    """Fields of random types and counts, in random order with random gaps, and random bytes in all."""
    rng = np.random.default_rng(seed)
    wide = F8 if rng.random() < 0.3 else F4
    kinds = {axis: (wide, 1) for axis in "xyz"} | {"ring": (U2, 1), "normal": (F4, 3), "time": (F8, 1)}
    kinds |= ({"rgb": (F4, 1)}, {"rgba": (U4, 1)}, {name: (U1, 1) for name in "rgb"})[rng.integers(3)]
    fields, step = [], 0
    for name in rng.permutation(list(kinds)):
        datatype, count = kinds[name]
        step += int(rng.integers(0, 5)) * int(rng.random() < 0.5)
        fields.append(PointField(name=str(name), offset=step, datatype=datatype, count=count))
        step += np.dtype(KIND[datatype]).itemsize * count
    step += int(rng.integers(0, 20))
    height, width = (1, M) if rng.random() < 0.3 else (HEIGHT, WIDTH)
    row_step = step * width + int(rng.integers(0, 20)) * int(rng.random() < 0.5)
    return PointCloud2(
        height=height, width=width, fields=fields, is_bigendian=bool(rng.random() < 0.4), point_step=step,
        row_step=row_step, data=rng.bytes(row_step * height),
    )  # fmt: skip
