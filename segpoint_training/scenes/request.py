"""Which scene: all that `generate_scene` needs, as a value that can be sent to another process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segpoint.errors import SegPointError

if TYPE_CHECKING:
    from segpoint_training.scenes.scene import Scene

SCALES = ("table", "room")
SPLITS = ("train", "test", "open")
SHARES = {  # of the sensors, where none is asked for
    "table": (("kinect", 0.35), ("realsense", 0.35), ("stereo", 0.2), ("lidar", 0.1)),
    "room": (("kinect", 0.18), ("realsense", 0.2), ("stereo", 0.12), ("lidar", 0.2), ("map", 0.3)),
}
# The two irrational steps of the R2 sequence (the plane's golden ratio): along any run of seeds the pairs that they
# give fill the unit square evenly, so a share of 30 % is 30 % of ten scenes already, and of any machine's part.
_STEPS = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True)
class SceneRequest:
    """A scene that may be generated. sensor None: drawn from the seed. width, height: pixels of a depth image."""

    seed: int
    split: str
    scale: str = "table"
    sensor: str | None = None
    width: int = 640
    height: int = 480

    @property
    def name(self) -> str:
        """What its files are called: "test_000012", "test_room_000012"."""
        return f"{self.split}_{self.seed:06d}" if self.scale == "table" else f"{self.split}_room_{self.seed:06d}"

    def generate(self) -> Scene:
        """The scene; the same request gives the same bytes. Raises SegPointError where no such scene is to be had."""
        from segpoint_training.scenes.generate import generate_scene

        try:
            return generate_scene(self.seed, self.split, self.sensor, self.width, self.height, self.scale)
        except SegPointError:
            raise
        except Exception as error:
            raise RuntimeError(f"generating {self} failed") from error  # one in thousands, and nobody knew which


def draw_scale(seed: int, rooms: float) -> str:
    """The scale of a seed where ``rooms`` is the share of rooms."""
    return "room" if (0.5 + seed * _STEPS[0]) % 1.0 < rooms else "table"


def draw_sensor(seed: int, scale: str, moving: bool = True) -> str:
    """The sensor of a seed; ``moving``: of those that see from one place at a time."""
    shares = [(name, share) for name, share in SHARES[scale] if not (moving and name == "map")]
    return draw_share(seed, shares)


def draw_share(seed: int, shares: Sequence[tuple[str, float]]) -> str:
    """The choice of a seed among names with shares (any positive sum), independent of its scale."""
    place = (0.5 + seed * _STEPS[1]) % 1.0 * sum(share for _, share in shares)
    for name, share in shares:
        place -= share
        if place < 0:
            return name
    return next(name for name, share in reversed(shares) if share > 0)  # rounding at the very end
