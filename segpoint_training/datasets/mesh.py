"""Scanned meshes and what is marked on them, in the files of ScanNet's tools: a PLY, segments, groups of segments.

A mesh is cut into small segments (``segs.json``: ``segIndices``, the segment of each vertex), and an annotator's object
is a group of them (``segGroups``: ``objectId``, ``label``, ``segments``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import reading

_AGAIN = "download it again"
_MOST_IDS = 1 << 20  # objects of a scan
_TRIANGLES = {"face": {"vertex_indices": 3, "vertex_index": 3}}  # known beforehand, plyfile need not read each face
_SIZES = {"char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4, "double": 8}
_SIZES |= {f"{kind}{8 * size}": size for kind in ("int", "uint", "float") for size in (1, 2, 4, 8)}


@dataclass(frozen=True)
class Group:
    """An annotated object. id: objectId + 1.   label: in the annotator's words.   segments: (S,) int64."""

    id: int
    label: str
    segments: np.ndarray


def read_vertices(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The vertices of a triangle mesh: (M, 3) float32 as stored, and (M, 3) uint8 colours if it has any."""
    with reading(path, _AGAIN):
        data = _vertices(path)
        xyz = np.stack([data[axis] for axis in "xyz"], axis=1).astype(np.float32)
        colours = ("red", "green", "blue")
        coloured = set(colours) <= set(data.dtype.names or ())
        rgb = np.stack([data[name] for name in colours], axis=1).astype(np.uint8) if coloured else None
    if len(xyz) == 0:
        raise SegPointError(f"{path} has no vertices; {_AGAIN}")
    return xyz, rgb


def read_vertex_numbers(path: Path, name: str) -> np.ndarray:
    """A property of each vertex that holds whole numbers, e.g. ``label``: (M,) int32."""
    with reading(path, _AGAIN):
        data = _vertices(path)
        names = data.dtype.names or ()
        if name not in names:
            raise SegPointError(f"{path}: its vertices have no {name!r}, only {', '.join(names)}; {_AGAIN}")
        return data[name].astype(np.int32)


def count_vertices(path: Path) -> int:
    """How many vertices the header of a PLY names. Raises SegPointError if the file is too short for its header."""
    with reading(path, _AGAIN), path.open("rb") as file:
        text, end, _ = file.read(65536).partition(b"end_header\n")
        header = text.decode("ascii", "replace")
        vertices = re.search(r"^element vertex (\d+)\s*$", header, re.MULTILINE)
        if not header.startswith("ply") or not end or vertices is None:
            raise SegPointError(f"{path}: this is no PLY file with vertices; {_AGAIN}")
        least, size = len(text) + len(end) + _least_size(header), path.stat().st_size
    if "format ascii" not in header and size < least:
        raise SegPointError(f"{path} is cut off: its header means {least} bytes, it has {size}; {_AGAIN}")
    return int(vertices.group(1))


def read_segments(path: Path, vertices: int) -> np.ndarray:
    """The segment of each of a mesh's ``vertices``: (M,) int64."""
    with reading(path, _AGAIN):
        segments = np.array(_json(path)["segIndices"], dtype=np.int64)
    if segments.shape != (vertices,):
        raise SegPointError(f"{path} is of {segments.size} vertices, but the mesh beside it has {vertices}; {_AGAIN}")
    return segments


def read_groups(path: Path) -> list[Group]:
    """The objects that were annotated, in the file's order; groups of one objectId must have one label."""
    with reading(path, _AGAIN):
        groups = [
            Group(_object_id(group) + 1, _label(group), np.array(group["segments"], dtype=np.int64))
            for group in _json(path)["segGroups"]
        ]
    labels: dict[int, str] = {}
    for group in groups:
        if labels.setdefault(group.id, group.label) != group.label:
            both = f"{labels[group.id]!r:.40} and {group.label!r:.40}"
            raise SegPointError(f"{path}: objectId {group.id - 1} is there twice, as {both}; {_AGAIN}")
    return groups


def _object_id(group: dict[str, Any]) -> int:
    value = group["objectId"]
    if type(value) is not int or not 0 <= value < _MOST_IDS:
        raise ValueError(f"objectId must be a whole number from 0 to {_MOST_IDS - 1}, not {value!r:.40}")
    return value


def _label(group: dict[str, Any]) -> str:
    if not isinstance(group["label"], str):
        raise ValueError(f"label must be a word, not {group['label']!r:.40}")
    return group["label"]


def check_whole(path: Path) -> None:
    """Raise SegPointError where a JSON file is empty or cut off, told from its end alone."""
    with reading(path, _AGAIN), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        if not file.read().rstrip().endswith(b"}"):
            raise SegPointError(f"{path} is cut off: it does not end in '}}'; {_AGAIN}")


def smallest_objects(segments: np.ndarray, groups: Sequence[Group]) -> np.ndarray:
    """The object of each vertex, (M,) int32, 0 = none.

    A vertex of several objects (a cushion within the sofa) goes to the one with the fewest vertices, of equal ones to
    the first.
    """
    names, of_vertex, vertices = np.unique(segments, return_inverse=True, return_counts=True)
    members = [np.isin(names, group.segments) for group in groups]
    sizes = [int(vertices[member].sum()) for member in members]
    owner = np.zeros(len(names), dtype=np.int32)
    for i in sorted(range(len(groups)), key=lambda i: (-sizes[i], -i)):  # what comes later stays
        owner[members[i]] = groups[i].id
    return owner[of_vertex]


def _vertices(path: Path) -> np.ndarray:
    from plyfile import PlyData

    ply = PlyData.read(str(path), known_list_len=_TRIANGLES)
    if "vertex" not in ply:
        raise SegPointError(f"{path}: a PLY file without the element 'vertex' is no mesh; {_AGAIN}")
    return ply["vertex"].data


def _least_size(header: str) -> int:
    """Bytes of the data that a binary PLY's header describes, its lists being triangles."""
    total = count = 0
    for line in header.splitlines():
        words = line.split()
        if words[:1] == ["element"]:
            count = int(words[2])
        elif words[:2] == ["property", "list"]:
            total += count * (_SIZES[words[2]] + 3 * _SIZES[words[3]])
        elif words[:1] == ["property"]:
            total += count * _SIZES[words[1]]
    return total


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))
