"""Point clouds on disk: PCD (ascii, binary, binary_compressed), PLY and NPZ.

The formats themselves are read and written by pypcd4, plyfile and numpy; this file turns what they give into one
`PointFile`, and everything that can be wrong with a file into one `SegPointError`.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.errors import SegPointError

SUFFIXES = (".pcd", ".ply", ".npz")
_PACKED_COLOUR = ("rgb", "rgba")
_SPLIT_COLOUR = (("r", "g", "b"), ("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_NUMBERS = "fiu"  # numpy's kinds of real numbers
_LABELS = 2**32  # as many as uint32 holds; float32 has this number, but not the largest label
_PADDING = "#$%&~~"  # pypcd4's prefix for the unnamed padding fields ("_") of a PCD file


@dataclass
class PointFile:
    """A cloud as its file holds it: every point, in the file's order, in the file's frame.

    ``xyz`` is (M, 3) float32 in metres, NaN rows kept; float64 coordinates are rounded to float32 (a map in UTM
    coordinates should have its origin moved first). ``rgb`` is (M, 3) uint8 or None, ``label`` (M,) uint32 or None.
    ``width * height == M``; ``height`` is 1 where the cloud is not organised. ``extra`` holds all other fields,
    (M,) each, as stored.
    """

    xyz: np.ndarray
    rgb: np.ndarray | None
    label: np.ndarray | None
    width: int
    height: int
    extra: dict[str, np.ndarray] = field(default_factory=dict)


def read_points(path: str | Path) -> PointFile:
    """Read a .pcd, .ply or .npz file. Raises SegPointError where it is missing, damaged, empty or has no x, y, z."""
    path = Path(path)
    readers = {".pcd": _read_pcd, ".ply": _read_ply, ".npz": _read_npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SegPointError(_unknown_suffix(path))
    if path.is_dir():
        raise SegPointError(f"{path}: this is a folder; give the path of a {', '.join(SUFFIXES)} file")
    if not path.is_file():
        raise SegPointError(f"{path}: there is no such file; give the path of a {', '.join(SUFFIXES)} file")
    with reading(path, "record or copy it again"):
        fields, width, height = reader(path)
    return as_points(path, fields, width, height)


@contextmanager
def reading(path: str | Path, remedy: str) -> Iterator[None]:
    """Around the reading of a file: whatever it raises where the file is damaged becomes one SegPointError.

    The error names ``path``, says why it cannot be read, and then ``remedy``, what to do about it.
    """
    try:
        yield
    except SegPointError:
        raise
    except Exception as error:  # the libraries have a dozen types for it, from zlib's and struct's to pydantic's
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise SegPointError(f"{path} cannot be read ({reason}): {remedy}") from error


def write_points(
    path: str | Path,
    xyz: np.ndarray,
    rgb: np.ndarray | None = None,
    fields: Mapping[str, np.ndarray] | None = None,
    width: int | None = None,
    height: int | None = None,
) -> None:
    """Write a cloud to .pcd (binary), .ply (binary) or .npz; `read_points` gives the same back.

    ``xyz`` (M, 3) is stored as float32, ``rgb`` (M, 3) uint8 as PCL packs it (PCD: one float32 field ``rgb`` whose
    bits are 0x00RRGGBB) and ``fields``, (M,) each, e.g. ``label`` uint32 and ``score`` float32, as `storable_fields`
    gives them. ``width`` and ``height`` keep an organised cloud organised. Raises SegPointError where the shapes
    disagree, the suffix is unknown, the format cannot hold a field or the file cannot be written.
    """
    path = Path(path)
    writers = {".pcd": _write_pcd, ".ply": _write_ply, ".npz": _write_npz}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise SegPointError(_unknown_suffix(path))
    xyz = np.ascontiguousarray(xyz, dtype=np.float32)
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise SegPointError(f"{path}: xyz must be (M, 3), not {xyz.shape}")
    count = len(xyz)
    width, height = (count, 1) if width is None or height is None else (int(width), int(height))
    if width * height != count:
        raise SegPointError(f"{path}: width × height is {width} × {height}, but there are {count} points")
    if rgb is not None:
        rgb = np.ascontiguousarray(rgb, dtype=np.uint8)
        if rgb.shape != (count, 3):
            raise SegPointError(f"{path}: rgb must be ({count}, 3) like xyz, not {rgb.shape}")
    extra = storable_fields(path, fields or {}, rgb is not None)
    for name, values in extra.items():
        if values.shape != (count,):
            raise SegPointError(f"{path}: field {name!r} must be ({count},) like xyz, not {values.shape}")
    try:
        writer(path, xyz, rgb, extra, width, height)
    except OSError as error:
        raise SegPointError(f"{path}: cannot be written ({error.strerror or error}); is the folder there?") from error


def storable_fields(path: str | Path, fields: Mapping[str, np.ndarray], coloured: bool) -> dict[str, np.ndarray]:
    """The fields as the format that ``path`` names can hold them, beside the coordinates and, if any, the colour.

    PCD and PLY: bool becomes uint8 and float16 float32. PLY has no 64-bit integers: they become float64, exact up to
    2**53. NPZ holds every type but objects. Raises SegPointError that names the field where its type or its name has
    no place in the format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    own = {
        ".pcd": {"x", "y", "z", *(("rgb",) if coloured else ())},
        ".ply": {"x", "y", "z", *(("red", "green", "blue") if coloured else ())},
        ".npz": {"x", "y", "z", "xyz", "rgb", "width", "height", "file", "allow_pickle"},  # savez's arguments too
    }.get(suffix)
    if own is None:
        raise SegPointError(_unknown_suffix(path))
    for name in fields:
        if name in own or (suffix != ".npz" and not re.fullmatch(r"[!-~]+", name)):
            raise SegPointError(f"{path}: a field cannot be named {name!r} in a {suffix[1:].upper()} file; rename it")
    return {name: _storable(path, name, np.asarray(values)) for name, values in fields.items()}


def check_target(path: str | Path, suffixes: tuple[str, ...] = (), makes_folder: bool = False) -> None:
    """Raise SegPointError unless a file can be written at ``path``, its folder being made first if so said."""
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise SegPointError(f"{path} cannot be written: give it the suffix {' or '.join(suffixes)}")
    if os.path.isdir(path):  # unlike pathlib's, these take a name that is too long for one that is not there
        raise SegPointError(f"{path} cannot be written: it is a folder; give the path of a file")
    whole = Path(os.path.realpath(path))
    if not makes_folder and not os.path.isdir(whole.parent):
        raise SegPointError(f"the folder of {path} does not exist: create it or write elsewhere")
    if not os.path.exists(path):
        _try_writing(whole, path)
    elif not os.access(path, os.W_OK):
        raise SegPointError(f"{path} cannot be written: it may not be overwritten; write elsewhere")


def check_apart(target: str | Path | None, source: str | Path) -> None:
    """Raise SegPointError where a file to be written (if any) is the one that is read, by whatever name."""
    if target is not None and os.path.exists(target) and os.path.exists(source) and os.path.samefile(target, source):
        raise SegPointError(f"{target} is the input, whose own label and colour would be lost: write elsewhere")


def check_folder(folder: str | Path) -> None:
    """Raise SegPointError unless files can be written into ``folder``, which may still have to be made."""
    _try_writing(Path(os.path.realpath(folder)) / "file", Path(folder))


def _try_writing(path: Path, shown: Path) -> None:
    """Write a file of that name, its folders made first, in a passing folder within what is there; nothing is left.

    ``path`` is absolute; ``shown`` is what the user gave, for the error.
    """
    there = next(place for place in path.parents if os.path.exists(place))
    if not there.is_dir():
        raise SegPointError(f"{shown} cannot be written: {there} is a file, not a folder; write elsewhere")
    try:
        with tempfile.TemporaryDirectory(prefix=".segpoint-", dir=there) as passing:
            trial = passing / path.relative_to(there)
            trial.parent.mkdir(parents=True, exist_ok=True)
            trial.write_bytes(b"0")
    except OSError as error:
        raise SegPointError(
            f"{shown} cannot be written ({error.strerror or error}): change what {there} permits or write elsewhere"
        ) from error


# --- reading: each format gives its fields by name and the cloud's width and height -------------------------------


def _read_pcd(path: Path) -> tuple[dict[str, np.ndarray], int, int]:
    from pypcd4 import PointCloud

    content = path.read_bytes()
    header = re.search(rb"^DATA[ \t]+(\w+)[^\n]*\n", content, re.MULTILINE)
    if header is None:
        raise SegPointError(f"{path}: no DATA line, so this is not a PCD file; check where it came from")
    if header.group(1).lower() == b"ascii":  # pypcd4 takes single spaces only
        rows = re.sub(rb"[ \t]*\r?\n[ \t]*", b"\n", re.sub(rb"[ \t]+", b" ", content[header.end() :]))
        content = content[: header.end()] + rows
    cloud = PointCloud.from_fileobj(io.BufferedReader(io.BytesIO(content)))
    data, meta = np.atleast_1d(cloud.pc_data), cloud.metadata
    if len(data) != meta.points:
        raise SegPointError(f"{path}: its header says {meta.points} points, the file holds {len(data)}; copy it again")
    fields = {name: data[name] for name in data.dtype.names or () if not name.startswith(_PADDING)}
    return fields, meta.width, meta.height


def _read_ply(path: Path) -> tuple[dict[str, np.ndarray], int, int]:
    from plyfile import PlyData

    ply = PlyData.read(str(path))
    if "vertex" not in ply:
        raise SegPointError(f"{path}: a PLY file without the element 'vertex' holds no points; export it as a cloud")
    data = ply["vertex"].data
    columns = {p.name: data[p.name] for p in ply["vertex"].properties if data.dtype[p.name].kind in _NUMBERS}
    # The Stanford convention for range images; without it a PLY cloud is a list.
    grid = dict(re.findall(r"(num_cols|num_rows)\s+(\d+)", "\n".join(ply.obj_info)))
    return columns, int(grid.get("num_cols", len(data))), int(grid.get("num_rows", 1))


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], int, int]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    xyz = arrays.pop("xyz", None)
    if xyz is None or xyz.ndim not in (2, 3) or xyz.shape[-1] != 3 or xyz.dtype.kind not in _NUMBERS:
        found = "is missing" if xyz is None else f"has shape {xyz.shape} and type {xyz.dtype}"
        raise SegPointError(f"{path}: array 'xyz' {found}; a cloud needs xyz (M, 3) or (height, width, 3) in metres")
    height, width = xyz.shape[:2] if xyz.ndim == 3 else (1, len(xyz))
    if "width" in arrays and "height" in arrays:
        width, height = (_whole(path, name, arrays.pop(name)) for name in ("width", "height"))
    flat = xyz.reshape(-1, 3)
    fields = {name: values.ravel() for name, values in arrays.items() if values.size == len(flat)}
    if "label" in arrays:
        _check_label(path, arrays["label"], len(flat))
    rgb = arrays.get("rgb")
    if rgb is not None:
        if rgb.size != flat.size or rgb.shape[-1] != 3:
            raise SegPointError(f"{path}: 'rgb' has shape {rgb.shape}, but 'xyz' {xyz.shape}; give one colour a point")
        if rgb.dtype.kind not in _NUMBERS:
            raise SegPointError(f"{path}: 'rgb' has type {rgb.dtype}; give numbers, best uint8")
        for name in (*_PACKED_COLOUR, *(name for names in _SPLIT_COLOUR for name in names)):
            fields.pop(name, None)  # 'rgb' is the colour, whatever else is there
        fields.update(zip(("red", "green", "blue"), rgb.reshape(-1, 3).T, strict=True))
    fields.update(x=flat[:, 0], y=flat[:, 1], z=flat[:, 2])  # likewise, 'xyz' the coordinates
    return fields, width, height


def _whole(path: Path, name: str, value: np.ndarray) -> int:
    if value.size != 1 or value.dtype.kind not in _NUMBERS or not float(value.item()).is_integer() or value.item() < 1:
        raise SegPointError(f"{path}: {name!r} must be one whole number from 1 up; repair it or leave it out")
    return int(value.item())


def _check_label(path: Path, label: np.ndarray, count: int) -> None:
    if label.size != count or label.dtype.kind not in _NUMBERS + "b":
        raise SegPointError(
            f"{path}: 'label' has shape {label.shape} and type {label.dtype}; give one whole number for each of "
            f"{count} points"
        )
    value = label.astype(np.float64)
    if not ((value >= 0) & (value < _LABELS)).all():  # neither holds for NaN
        raise SegPointError(f"{path}: 'label' must hold numbers from 0 (no label) to {_LABELS - 1}; repair it")


def as_points(path: str | Path, fields: dict[str, np.ndarray], width: int, height: int) -> PointFile:
    """A cloud from its fields by name, (M,) each, as a file or a message holds them; ``path`` is for the errors.

    Raises SegPointError where x, y or z is missing, and where there are other than ``width * height`` points, or none.
    """
    fields = dict(fields)
    missing = [axis for axis in "xyz" if axis not in fields]
    if missing:
        raise SegPointError(
            f"{path}: no field {', '.join(missing)} among {', '.join(fields) or 'no fields at all'}; "
            "a cloud needs x, y and z in metres"
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which counts as an invalid point
        xyz = np.stack([fields.pop(axis).astype(np.float32) for axis in "xyz"], axis=1)
    if len(xyz) == 0:
        raise SegPointError(f"{path}: it holds 0 points; record a cloud that sees something")
    if width < 1 or height < 1 or width * height != len(xyz):
        raise SegPointError(f"{path}: says {width} × {height}, but it holds {len(xyz)} points; repair its header")
    rgb = _take_colour(fields)
    label = _as_label(path, fields.pop("label")) if "label" in fields else None
    extra = {name: np.ascontiguousarray(values, values.dtype.newbyteorder("=")) for name, values in fields.items()}
    return PointFile(xyz, rgb, label, width, height, extra)


def _take_colour(fields: dict[str, Any]) -> np.ndarray | None:
    """Remove the colour fields, packed or split, and return them as (M, 3) uint8."""
    for name in _PACKED_COLOUR:
        if name in fields and fields[name].dtype.itemsize == 4 and fields[name].dtype.kind in _NUMBERS:
            packed = fields.pop(name)
            packed = np.ascontiguousarray(packed, packed.dtype.newbyteorder("=")).view(np.uint32)
            return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)
    for names in _SPLIT_COLOUR:
        if all(name in fields and fields[name].dtype.kind in _NUMBERS for name in names):
            return _as_bytes(np.stack([fields.pop(name) for name in names], axis=1))
    return None


def _as_bytes(rgb: np.ndarray) -> np.ndarray:
    """Colours (M, 3) as uint8. Their range is told from their type and from the largest value of the cloud."""
    if rgb.dtype.kind == "f":  # colour stored as float is 0 … 1, except where somebody cast bytes
        rgb = np.nan_to_num(rgb, posinf=0.0, neginf=0.0)
        rgb = np.rint(rgb * 255.0 if rgb.max(initial=0.0) <= 1.0 else rgb)
    elif rgb.dtype.itemsize == 2 and rgb.max(initial=0) > 255:  # 16-bit colour, unless somebody cast bytes
        rgb = rgb >> 8
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _as_label(path: str | Path, label: np.ndarray) -> np.ndarray:
    """Labels as uint32; NaN and negative values, both in use for "no label" in PCD and PLY, become 0."""
    if label.dtype.kind == "f" and (label[np.isfinite(label)] % 1).any():
        raise SegPointError(f"{path}: field 'label' must hold whole numbers, one an object; repair it")
    if (label >= _LABELS).any():
        raise SegPointError(f"{path}: field 'label' must hold numbers up to {_LABELS - 1}; repair it")
    return np.where(label > 0, label, 0).astype(np.uint32)


# --- writing ------------------------------------------------------------------------------------------------------


def _storable(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    suffix, kind, size = path.suffix.lower(), values.dtype.kind, values.dtype.itemsize
    if suffix == ".npz":
        held = None if values.dtype.hasobject else values.dtype
    elif kind == "b":
        held = np.dtype(np.uint8)
    elif kind == "f" and size == 2:
        held = np.dtype(np.float32)
    elif kind in "iu" and size == 8 and suffix == ".ply":
        held = np.dtype(np.float64)
    else:
        held = values.dtype.newbyteorder("=") if kind in _NUMBERS and size <= 8 else None
    if held is None:
        raise SegPointError(
            f"{path}: field {name!r} has type {values.dtype}, which {suffix[1:].upper()} cannot hold; "
            "convert it to numbers or leave it out"
        )
    return values.astype(held, copy=False)


def _write_pcd(path: Path, xyz: np.ndarray, rgb: np.ndarray | None, extra: dict, width: int, height: int) -> None:
    from pypcd4 import Encoding, PointCloud

    columns: dict[str, np.ndarray] = {"x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2]}
    if rgb is not None:
        red, green, blue = rgb.astype(np.uint32).T
        columns["rgb"] = (red << 16 | green << 8 | blue).view(np.float32)
    columns.update(extra)
    cloud = PointCloud.from_points(list(columns.values()), tuple(columns), [c.dtype for c in columns.values()])
    cloud.metadata.width, cloud.metadata.height = width, height
    cloud.save(path, Encoding.BINARY)


def _write_ply(path: Path, xyz: np.ndarray, rgb: np.ndarray | None, extra: dict, width: int, height: int) -> None:
    from plyfile import PlyData, PlyElement

    columns: dict[str, np.ndarray] = {"x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2]}
    if rgb is not None:
        columns.update(zip(("red", "green", "blue"), rgb.T, strict=True))
    columns.update(extra)
    vertex = np.empty(len(xyz), dtype=[(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        vertex[name] = values
    grid = [f"num_cols {width}", f"num_rows {height}"] if height > 1 else []
    PlyData([PlyElement.describe(vertex, "vertex")], obj_info=grid).write(str(path))


def _write_npz(path: Path, xyz: np.ndarray, rgb: np.ndarray | None, extra: dict, width: int, height: int) -> None:
    arrays: dict[str, np.ndarray] = {"xyz": xyz, **extra}
    if rgb is not None:
        arrays["rgb"] = rgb
    if height > 1:
        arrays.update(width=np.array(width), height=np.array(height))
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _unknown_suffix(path: Path) -> str:
    return f"{path}: unknown kind of file {path.suffix or '(no suffix)'!r}; expected one of {', '.join(SUFFIXES)}"
