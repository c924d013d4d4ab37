"""What the node found in one cloud, with a label for every point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from segpoint.prompts import NO_MASK, parse_answer
from segpoint_ros.colours import Colour, target_colour
from segpoint_ros.tracking import MOST_TARGETS, Tracker

if TYPE_CHECKING:
    from segpoint import Segmentation
    from segpoint.instances import Instance
    from segpoint_ros.messages import PointCloud2
    from segpoint_ros.settings import Parameters

LABELS_EACH = MOST_TARGETS + 1  # labels of one instruction: i · 1000 + 1 … i · 1000 + 999


@dataclass(frozen=True)
class Target:
    """One object that an instruction means.

    label: LABELS_EACH · instruction + number.   instruction: its place among those asked, from 0.   name: what the
    language model calls it.   colour: R, G, B from 0 to 255.
    """

    label: int
    instruction: int
    name: str
    colour: Colour
    instance: Instance

    @property
    def number(self) -> int:
        """The tracked object's number, from 1, among those of the same instruction."""
        return self.label % LABELS_EACH


@dataclass(frozen=True, eq=False)
class Result:
    """What the instructions mean in one cloud of M points.

    message: the cloud as it came.   frame: its axes, "optical", "body" or "map".   instructions, found: what was asked,
    and the answer to each.   targets: the objects of all instructions, in the order of their labels.
    """

    message: PointCloud2
    frame: str
    instructions: tuple[str, ...] = ()
    found: tuple[Segmentation, ...] = ()
    targets: tuple[Target, ...] = ()

    @cached_property
    def label(self) -> np.ndarray:
        """(M,) uint32: of each point its target's label, 0 for none. A point that several instructions mean has the one
        for which its score is highest."""
        label = np.zeros(self.message.width * self.message.height, np.uint32)
        if len(self.found) == 1:
            for target in self.targets:
                label[target.instance.indices] = target.label
            return label
        best = np.full(len(label), -1.0, np.float32)
        for target in self.targets:
            points = target.instance.indices
            score = self.found[target.instruction].score[points]
            better = score > best[points]
            points = points[better]
            label[points], best[points] = target.label, score[better]
        return label

    @cached_property
    def score(self) -> np.ndarray:
        """(M,) float32 from 0 to 1: of each point the highest score that an instruction gives it; 0 where none was."""
        if not self.found:
            return np.zeros(self.message.width * self.message.height, np.float32)
        score = self.found[0].score
        for found in self.found[1:]:
            score = np.maximum(score, found.score)
        return score

    @property
    def answer(self) -> str:
        """What the language model wrote, one line for each instruction."""
        return "\n".join(" ".join(found.answer.split()) for found in self.found)


def make_result(
    message: PointCloud2,
    frame: str,
    instructions: Sequence[str],
    found: Sequence[Segmentation],
    tracker: Tracker,
    settings: Parameters,
) -> Result:
    """Give the objects found in a cloud their numbers, labels and colours.

    Left out are objects of more than clusters.max_points points, of more than MOST_TARGETS of one instruction the less
    sure ones, and those of which every point has another instruction's label. To be called once for each cloud, in the
    clouds' order: the tracker counts them.
    """
    tracker.forget_others(instructions)
    fitting = [_without_large(segmentation, settings.clusters.max_points) for segmentation in found]
    targets = []
    for place, (instruction, segmentation) in enumerate(zip(instructions, fitting, strict=True)):
        name = ", ".join(dict.fromkeys(parse_answer(segmentation.answer)))
        instances, tracking = segmentation.instances, settings.tracking
        numbers = tracker.numbers(instruction, instances, tracking.distance, tracking.keep)
        targets += [
            Target(
                label=LABELS_EACH * place + number,
                instruction=place,
                name=name,
                colour=target_colour(place, number, settings.output.highlight_color),
                instance=instance,
            )
            for number, instance in sorted(zip(numbers, instances, strict=True), key=lambda pair: pair[0])
            if number
        ]
    result = Result(message, frame, tuple(instructions), tuple(fitting), tuple(targets))
    if len(found) == 1:
        return result
    held = set(np.unique(result.label).tolist())  # a target may lose all its points to another instruction's
    return replace(result, targets=tuple(target for target in targets if target.label in held))


def _without_large(found: Segmentation, max_points: int) -> Segmentation:
    """The answer without the objects that have more points; 0 keeps all. Where none is left, nothing was found."""
    large = [instance for instance in found.instances if max_points and len(instance.indices) > max_points]
    if not large:
        return found
    mask = found.mask.copy()
    for instance in large:
        mask[instance.indices] = False
    fitting = [instance for instance in found.instances if len(instance.indices) <= max_points]
    return replace(found, mask=mask, answer=found.answer if fitting else NO_MASK, instances=fitting)
