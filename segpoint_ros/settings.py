"""The node's settings: each with its default, what it means, what it may be, and when it is read.

Without ROS: `segpoint_ros.parameters` declares them on a node, `segpoint_ros.changes` gives them other values, and
`segpoint_ros.parameter_table` prints them as documents.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal

from segpoint.errors import SegPointError
from segpoint_ros.request import split_instructions

BACKENDS = ("auto", "tensorrt", "onnxruntime", "torch")  # segpoint.engines.runner's, which takes seconds to import
DAY = 86400.0
# A limit and the one that it may not exceed. 0 stands for none, and is compared with nothing.
PAIRS = (
    ("clusters.min_points", "clusters.max_points"),
    ("diagnostics.latency.warn", "diagnostics.latency.error"),
    ("diagnostics.silence.warn", "diagnostics.silence.error"),
)
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: ""}

Read = Literal["start", "configure", "live"]
WHEN = {
    "start": "only given when the node starts",
    "configure": "read when the node is configured",
    "live": "may change while the node works",
}


def _parameter(
    default: Any,
    description: str,
    *,
    read: Read = "live",
    unit: str = "",
    bounds: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    least: float = 0.0,
) -> Any:
    about = {
        "description": description,
        "read": read,
        "unit": unit,
        "bounds": bounds,
        "choices": choices,
        "least": least,
    }
    return dataclasses.field(default=default, metadata=about)


def _seconds(default: float, description: str) -> Any:
    return _parameter(default, description, unit="s", bounds=(0.0, DAY))


@dataclasses.dataclass(frozen=True)
class Model:
    """What answers, and on what."""

    bundle: str = _parameter(
        "", "Bundle folder (config.json, model.safetensors); empty takes the one that ships.", read="configure"
    )
    backend: str = _parameter(
        "auto",
        "What computes the network. tensorrt (on an NVIDIA GPU), onnxruntime (on a CPU), torch (on either), or auto, "
        "the fastest that works on the device. The engines of the first two are built at the first start.",
        read="configure",
        choices=BACKENDS,
    )
    device: str = _parameter("auto", "Where it is computed: auto, cpu, cuda or cuda:N.", read="configure")


@dataclasses.dataclass(frozen=True)
class Input:
    """Which clouds are answered, and how they are read."""

    frame: str = _parameter(
        "auto",
        "Axes of the clouds. optical: x right, y down, z forward. body: x forward, y left, z up. "
        "map: z up, put together from many views, without a sensor at its origin. "
        "auto: optical where the frame_id ends with 'optical' or 'optical_frame', map where it is 'map', else body.",
        choices=("auto", "optical", "body", "map"),
    )
    max_age: float = _seconds(0.0, "Clouds whose stamp is older than this are skipped; 0 takes any.")
    max_rate: float = _parameter(
        0.0,
        "At most so many clouds are answered a second; 0 answers all that it can.",
        unit="Hz",
        bounds=(0.0, 1000.0),
        least=1e-3,
    )


@dataclasses.dataclass(frozen=True)
class Place:
    """What a user points at."""

    lifetime: float = _seconds(0.0, "How long a click or box stands; 0 keeps it until the next one or an instruction.")


@dataclasses.dataclass(frozen=True)
class Mask:
    """Which points are meant."""

    threshold: float = _parameter(
        0.0, "Points with a score above this belong to a target; 0 takes the bundle's.", bounds=(0.0, 1.0)
    )


@dataclasses.dataclass(frozen=True)
class Clusters:
    """How the points that are meant fall into targets."""

    distance: float = _parameter(
        0.0, "Points closer than this are one target; 0 takes the bundle's.", unit="m", bounds=(0.0, 100.0), least=1e-3
    )
    min_points: int = _parameter(
        0, "Targets of fewer points are dropped; 0 takes the bundle's.", unit="points", bounds=(0, 10_000_000)
    )
    max_points: int = _parameter(
        0, "Targets of more points are dropped; 0 takes any size.", unit="points", bounds=(0, 10_000_000)
    )


@dataclasses.dataclass(frozen=True)
class Tracking:
    """When a target is the one of the cloud before."""

    distance: float = _parameter(
        0.1,
        "A target that moved less than this keeps its label and colour; 0 tracks nothing.",
        unit="m",
        bounds=(0.0, 100.0),
    )
    keep: int = _parameter(
        5, "For so many clouds the label of a target out of sight is kept for it.", unit="clouds", bounds=(0, 10_000)
    )


@dataclasses.dataclass(frozen=True)
class Output:
    """The labelled cloud."""

    highlight_color: tuple[int, int, int] = _parameter(
        (255, 64, 32), "Red, green and blue of the first instruction's targets.", bounds=(0, 255)
    )


@dataclasses.dataclass(frozen=True)
class Markers:
    """The boxes and texts for RViz."""

    lifetime: float = _seconds(0.0, "After this RViz forgets the markers; 0 keeps them until the next answer.")
    text_height: float = _parameter(0.03, "Height of the letters.", unit="m", bounds=(0.001, 100.0))


@dataclasses.dataclass(frozen=True)
class Latency:
    """How old a result may be when it is published."""

    warn: float = _seconds(0.0, "WARN where a result is older than this when it is published; 0 sets no limit.")
    error: float = _seconds(0.0, "ERROR where a result is older than this when it is published; 0 sets no limit.")


@dataclasses.dataclass(frozen=True)
class Silence:
    """How long the node may wait for a cloud."""

    warn: float = _seconds(5.0, "WARN where no cloud came for this long while active; 0 sets no limit.")
    error: float = _seconds(0.0, "ERROR where no cloud came for this long while active; 0 sets no limit.")


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """Limits of what counts as healthy."""

    latency: Latency = Latency()
    silence: Silence = Silence()


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Values as the node uses them. A group's fields have its name before theirs, and a dot: ``model.bundle``."""

    autostart: bool = _parameter(
        True, "Configure and activate by itself; false leaves that to a lifecycle manager.", read="start"
    )
    build_only: bool = _parameter(
        False, "Only build the model's engines into the cache, and stop with exit code 0.", read="start"
    )
    instruction: str = _parameter(
        "",
        "What is asked until an instruction comes; empty asks nothing. Several are separated by semicolons.",
        read="configure",
    )
    model: Model = Model()
    input: Input = Input()
    place: Place = Place()
    mask: Mask = Mask()
    clusters: Clusters = Clusters()
    tracking: Tracking = Tracking()
    output: Output = Output()
    markers: Markers = Markers()
    diagnostics: Diagnostics = Diagnostics()


@dataclasses.dataclass(frozen=True)
class Described:
    """One parameter, by its full name."""

    name: str
    default: Any
    description: str
    read: Read
    unit: str
    bounds: tuple[float, float] | None
    choices: tuple[str, ...]
    least: float  # of the values that are not 0, which stands for something else

    @property
    def allowed(self) -> str:
        """Which values it takes, in words; "" where every value of its type will do."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        if self.bounds is None:
            return ""
        numbers = "{:,.10g} to {:,.10g}".format(*self.bounds)
        return f"{len(self.default)} whole numbers, {numbers}" if isinstance(self.default, tuple) else numbers

    @property
    def limit(self) -> str:
        """What other parameter it may not exceed, in words, or ""."""
        return "".join(f"at most {high} where both are set" for low, high in PAIRS if low == self.name)

    def fitting(self, value: Any) -> Any:
        """The value in the parameter's type. Raises SegPointError for another type, and beyond a number's bounds: what
        rclpy checks on a node."""
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if kind is tuple:
            fits = isinstance(value, (list, tuple)) and all(type(each) is int for each in value)
        else:
            fits = type(value) is kind and (self.bounds is None or self.bounds[0] <= value <= self.bounds[1])
        if not fits:
            expected = ", ".join(filter(None, [_KINDS[kind], self.allowed]))
            raise SegPointError(f"{self.name} is {value!r}, expected {expected}")
        return value

    def refusal(self, value: Any) -> str:
        """Why it cannot have this value, of the right type and within the descriptor's range; "" where it can."""
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} is {value}, expected a finite number"
        if 0 < self.least and 0 < value < self.least:
            return f"{self.name} is {value}, expected 0 or at least {self.least:g}"
        if self.name == "instruction":
            return _wrong_instructions(value)
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}, expected one of {', '.join(self.choices)}"
        if isinstance(self.default, tuple) and self.bounds is not None:
            low, high = self.bounds
            if len(value) != len(self.default) or not all(low <= number <= high for number in value):
                return f"{self.name} is {list(value)}, expected {self.allowed}"
        return ""


def _described(group: Any, prefix: str = "") -> Iterator[Described]:
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            yield from _described(value, f"{prefix}{field.name}.")
        else:
            yield Described(prefix + field.name, value, **field.metadata)


DESCRIBED = {each.name: each for each in _described(Parameters())}


def _wrong_instructions(text: str) -> str:
    try:
        split_instructions(text)
    except SegPointError as error:
        return f"instruction: {error}"
    return ""
