"""Settings with other values than their defaults: whether they can be, and what somebody meant who misspelt one."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from segpoint.errors import SegPointError
from segpoint_ros.settings import DESCRIBED, PAIRS, Described, Parameters

# What rclpy itself declares on every node.
NOT_OURS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


class Change(Protocol):
    """A new value of a parameter, as rclpy's Parameter is one."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Any: ...


class _Given(NamedTuple):
    name: str
    value: Any


def from_pairs(pairs: Iterable[tuple[str, Any]]) -> Parameters:
    """The defaults with other values for some names ("mask.threshold"), judged as a node judges them.

    Ours: a whole number does where a number is expected; a node takes 1.0 alone. Raises SegPointError for a name that
    there is not, and for a value of the wrong type, out of range, or that does not go with the others.
    """
    given = [_Given(name, _described_as(name).fitting(value)) for name, value in pairs]
    reason = refusal(Parameters(), given, configured=False)
    if reason:
        raise SegPointError(reason)
    return changed(Parameters(), given)


def parse_pair(text: str) -> tuple[str, Any]:
    """A parameter's name and value, for `from_pairs`, from NAME=VALUE as on a command line.

    A text needs no quotes; other values are as in JSON: ``tracking.keep=3``, ``output.highlight_color=[255, 0, 0]``.
    Raises SegPointError where there is no such name or no value.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise SegPointError(f"expected a parameter as NAME=VALUE, like mask.threshold=0.5, got {text!r}")
    default = _described_as(name).default
    if not isinstance(default, str):
        with suppress(ValueError):  # what cannot be read stays the text that it is, which `from_pairs` refuses
            return name, float(value) if isinstance(default, float) else json.loads(value)
    return name, value


def refusal(current: Parameters, changes: Iterable[Change], configured: bool) -> str:
    """Why the parameters cannot become this, all changes made at once, in words; "" where they can.

    Types and the ranges of single numbers have been checked, by rclpy itself or `Described.fitting`. Parameters of
    others are not judged.
    configured: whether the node is; then what is read on the way there cannot change.
    """
    ours = [change for change in changes if change.name in DESCRIBED]
    for change in ours:
        about = DESCRIBED[change.name]
        reason = about.refusal(change.value)
        if reason:
            return reason
        if configured and about.read == "configure" and change.value != _value(current, change.name):
            return f"{change.name} is read when the node is configured: deactivate and clean it up first"
    result = changed(current, ours)
    for low, high in PAIRS:
        least, most = _value(result, low), _value(result, high)
        if least and most and least > most:
            return f"{low} is {least} and {high} is {most}: expected {low} to be at most {high}, or one of them 0"
    return ""


def changed(current: Parameters, changes: Iterable[Change]) -> Parameters:
    """The parameters after the changes, which `refusal` has let through."""
    for change in changes:
        if change.name in DESCRIBED:
            value = tuple(change.value) if isinstance(DESCRIBED[change.name].default, tuple) else change.value
            current = _replaced(current, change.name.split("."), value)
    return current


def unknown(names: Iterable[str]) -> list[str]:
    """A hint in one line for each name that neither this node nor rclpy has: ROS ignores those silently."""
    return [_no_such(name) for name in names if name not in DESCRIBED and not name.startswith(NOT_OURS)]


def _described_as(name: str) -> Described:
    if name not in DESCRIBED:
        raise SegPointError(_no_such(name))
    return DESCRIBED[name]


def _no_such(name: str) -> str:
    like = " or ".join(_like(name))
    return f"there is no parameter {name!r}" + (f" (did you mean {like}?)" if like else "")


def _like(name: str) -> list[str]:
    """The names that somebody may have meant: spelt alike, of that group, or ending alike."""
    close = difflib.get_close_matches(name, DESCRIBED, n=1, cutoff=0.8)
    if close:
        return close
    grouped = [each for each in DESCRIBED if each.startswith(f"{name}.")]
    if grouped:
        return grouped
    ends = {each: each.rpartition(".")[2] for each in DESCRIBED}
    end = difflib.get_close_matches(name.rpartition(".")[2], ends.values(), n=1, cutoff=0.75)
    return [each for each in ends if ends[each] in end]


def _value(parameters: Parameters, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), parameters)


def _replaced(group: Any, path: list[str], value: Any) -> Any:
    """The group with the field at the end of the path replaced."""
    first, *rest = path
    return dataclasses.replace(group, **{first: _replaced(getattr(group, first), rest, value) if rest else value})
