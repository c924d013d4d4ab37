"""ROS messages without ROS: dataclasses made from the definitions that `rosbags` has, and messages of any make as CDR.

Code asks `segpoint_ros.messages` for classes, which takes these where ROS has none.
"""

from __future__ import annotations

import dataclasses
import functools
from array import array
from types import SimpleNamespace
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

from segpoint.errors import SegPointError

_TYPESTORE = get_typestore(Stores.LATEST)
# Defaults that a .msg file sets: the definitions of rosbags are without them.
_DEFAULTS = {"geometry_msgs/msg/Quaternion": {"w": 1.0}}


@functools.cache
def plain_class(name: str) -> type[Any]:
    """A dataclass with the fields, constants and default values of a message type. Raises SegPointError for one that
    rosbags does not know."""
    if name not in _TYPESTORE.fielddefs:
        raise SegPointError(f"rosbags has no message type {name!r}; expected one of ROS 2's, as sensor_msgs/msg/Imu")
    constants, fields = _TYPESTORE.fielddefs[name]
    for _, kind in fields:
        what, of = kind if kind[0] in (Nodetype.BASE, Nodetype.NAME) else kind[1][0]
        if what == Nodetype.NAME:
            plain_class(of)
    known = _DEFAULTS.get(name, {})
    made = dataclasses.make_dataclass(
        name.rpartition("/")[2],
        [
            (field, Any, dataclasses.field(default=known[field]))
            if field in known
            else (field, Any, dataclasses.field(default_factory=functools.partial(_empty, kind)))
            for field, kind in fields
        ],
        namespace={constant: value for constant, _, value in constants}
        | {"__msgtype__": name, "__module__": "segpoint_ros.messages"},
    )
    _TYPESTORE.types[name] = made  # before rosbags makes code for the type, which is for the class that stands here
    return made


def read_cdr(cdr: bytes | memoryview, name: str) -> Any:
    """The message of a type in CDR of either byte order, as its plain class; numbers are views into ``cdr``."""
    plain_class(name)
    return _TYPESTORE.deserialize_cdr(memoryview(cdr), name)  # slices of bytes are copies


def write_cdr(message: Any, name: str) -> bytes:
    """A message of a type, whatever its class, in little-endian CDR."""
    plain_class(name)
    return bytes(_TYPESTORE.serialize_cdr(_bare(message, name), name, little_endian=True))


def _empty(kind: Any) -> Any:
    """What a field of this kind holds in a new message."""
    what, of = kind
    if what == Nodetype.NAME:
        return plain_class(of)()
    if what == Nodetype.BASE:
        return "" if of[0] == "string" else np.zeros(1, of[0])[0].item()
    inner, count = of
    if what == Nodetype.SEQUENCE:
        return array(np.dtype(inner[1][0]).char) if _are_numbers(inner) else []
    return np.zeros(count, inner[1][0]) if _are_numbers(inner) else [_empty(inner) for _ in range(count)]


def _bare(message: Any, name: str) -> SimpleNamespace:
    """A message's fields as rosbags writes them; no numbers are copied."""
    _, fields = _TYPESTORE.fielddefs[name]
    return SimpleNamespace(**{field: _written(getattr(message, field), kind) for field, kind in fields})


def _written(value: Any, kind: Any) -> Any:
    what, of = kind
    if what == Nodetype.NAME:
        return _bare(value, of)
    if what == Nodetype.BASE:
        return value
    inner, _ = of
    if _are_numbers(inner):
        return np.asarray(memoryview(value))  # an array, bytes or an ndarray
    return [_written(each, inner) for each in value]


def _are_numbers(kind: Any) -> bool:
    return kind[0] == Nodetype.BASE and kind[1][0] != "string"
