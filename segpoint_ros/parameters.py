"""The node's parameters: each with its default, what it means, what it may be, and whether it may change at work."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

BACKENDS = ("auto", "tensorrt", "onnxruntime", "torch")  # segpoint.engines.runner's, which takes seconds to import


def _parameter(default: Any, description: str, *, choices: tuple[str, ...] = (), live: bool = False) -> Any:
    return dataclasses.field(default=default, metadata={"description": description, "choices": choices, "live": live})


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Values as the node uses them. Floats are seconds, from 0 to a day."""

    autostart: bool = _parameter(True, "Configure and activate by itself; false leaves that to a lifecycle manager.")
    build_only: bool = _parameter(False, "Only build the model's engines into the cache, and stop; 0 is the exit code.")
    model: str = _parameter("", "Bundle folder (config.json, model.safetensors); empty takes the one that ships.")
    backend: str = _parameter(
        "auto",
        "What computes the network: tensorrt (on an NVIDIA GPU), onnxruntime (on a CPU), torch (on either), or auto, "
        "the fastest that works on the device. The engines of the first two are built at the first start.",
        choices=BACKENDS,
    )
    device: str = _parameter("auto", "Where it is computed: auto, cpu, cuda or cuda:N.")
    frame: str = _parameter(
        "auto",
        "Axes of the clouds. optical: x right, y down, z forward. body: x forward, y left, z up. "
        "map: z up, put together from many views, without a sensor at its origin. "
        "auto: optical where the frame_id ends with 'optical' or 'optical_frame', map where it is 'map', else body.",
        choices=("auto", "optical", "body", "map"),
        live=True,
    )
    instruction: str = _parameter("", "What is asked until an instruction comes on the topic; empty asks nothing.")
    max_age: float = _parameter(0.0, "Clouds whose stamp is older than this are skipped; 0 takes any.", live=True)
    marker_lifetime: float = _parameter(0.0, "After this RViz forgets the markers; 0 keeps them.", live=True)


def declare(node: Node) -> Parameters:
    """Declare every parameter on the node; the values are the defaults or what launch files and ``-p`` say.

    Raises rclpy's ParameterException where such a value has the wrong type or is refused.
    """
    for field in dataclasses.fields(Parameters):
        choices = field.metadata["choices"]
        descriptor = ParameterDescriptor(
            name=field.name,
            description=field.metadata["description"],
            additional_constraints=f"one of {', '.join(choices)}" if choices else "",
            read_only=field.name in ("autostart", "build_only"),
        )
        if isinstance(field.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=0.0, to_value=86400.0)]
        node.declare_parameter(field.name, field.default, descriptor)
    return Parameters(**{f.name: node.get_parameter(f.name).value for f in dataclasses.fields(Parameters)})


def refusal(changes: Iterable[Parameter], configured: bool) -> str:
    """Why these changes are refused, in words; "" where they are fine. rclpy itself checks types and ranges."""
    fields = {field.name: field for field in dataclasses.fields(Parameters)}
    for change in changes:
        field = fields.get(change.name)
        if field is None:
            continue  # use_sim_time and other people's
        choices = field.metadata["choices"]
        if choices and change.value not in choices:
            return f"{change.name} is {change.value!r}, expected one of {', '.join(choices)}"
        if isinstance(change.value, float) and not math.isfinite(change.value):
            return f"{change.name} is {change.value}, expected a finite number of seconds"
        if configured and not field.metadata["live"]:
            return f"{change.name} is read when the node is configured: deactivate and clean it up first"
    return ""


def changed(parameters: Parameters, changes: Iterable[Parameter]) -> Parameters:
    """The parameters after the changes."""
    names = {field.name for field in dataclasses.fields(Parameters)}
    return dataclasses.replace(parameters, **{c.name: c.value for c in changes if c.name in names})
