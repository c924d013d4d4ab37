"""What one bag's replay is to do: plain values, so that it can be sent to another process or machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

WAYS = ("offline", "live")


@dataclass(frozen=True)
class Job:
    """One bag's replay.

    bag: a rosbag2 folder, an .mcap, .db3 or .bag file.   topic: its clouds; "" for the only ones.   instructions: asked
    of every cloud; none: what the bag's own ``instruction_topic`` says ("" for the only std_msgs/String topic), and
    with ``labels`` what those ask of each cloud.   labels: a folder of one's own data, `segpoint_training.datasets.own`
    (an instructions.json beside labelled clouds or bags), with the truth, "" for none.   bundle: a folder, "" for the
    one that ships.   parameters: the node's, by name ("mask.threshold"), those that are not at their defaults.
    way: one of WAYS.   rate, node: live only; of the bag's own speed, and the full name of a node that runs already, ""
    starts one.   start, duration: seconds after the bag's start; duration 0 for all.   every: the n-th clouds.   out:
    the folder that this bag's results go into.
    """

    bag: str
    out: str
    topic: str = ""
    instructions: tuple[str, ...] = ()
    instruction_topic: str = ""
    labels: str = ""
    bundle: str = ""
    parameters: tuple[tuple[str, Any], ...] = ()
    way: str = "offline"
    rate: float = 1.0
    node: str = ""
    start: float = 0.0
    duration: float = 0.0
    every: int = 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
