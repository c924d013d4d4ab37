"""The node's settings as ROS parameters: declared on a node with their descriptions and ranges."""

from __future__ import annotations

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from segpoint.errors import SegPointError
from segpoint_ros.changes import changed, refusal
from segpoint_ros.settings import DESCRIBED, WHEN, Described, Parameters


def declare(node: Node) -> Parameters:
    """Declare every parameter on the node; the values are the defaults or what launch files and ``-p`` say.

    Raises rclpy's ParameterException where such a value has the wrong type or is out of range, SegPointError where
    `refusal` does not take it.
    """
    for each in DESCRIBED.values():
        default = list(each.default) if isinstance(each.default, tuple) else each.default
        node.declare_parameter(each.name, default, _descriptor(each))
    given = node.get_parameters(list(DESCRIBED))
    reason = refusal(Parameters(), given, configured=False)
    if reason:
        raise SegPointError(reason)
    return changed(Parameters(), given)


def _descriptor(about: Described) -> ParameterDescriptor:
    """What ``ros2 param describe`` tells, and rclpy checks: a range, where it is a single number."""
    descriptor = ParameterDescriptor(
        name=about.name,
        description=f"{about.description} Unit: {about.unit}." if about.unit else about.description,
        read_only=about.read == "start",
    )
    words = [about.limit, WHEN[about.read]]
    if about.bounds is not None and isinstance(about.default, float):
        low, high = about.bounds
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    elif about.bounds is not None and isinstance(about.default, int):
        low, high = about.bounds
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    else:
        words.insert(0, about.allowed)
    descriptor.additional_constraints = "; ".join(filter(None, words))
    return descriptor
