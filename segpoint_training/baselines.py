"""What needs no understanding: the reference rows that stand beside every result.

Geometry alone finds the things on a table or in a room: take out the planes that carry and enclose them and group what
is left (`table_clusters`, `room_clusters`). Marking all of them, or any one, scores far above zero; a model has to beat
these rows before it can be said to have understood an instruction. `references` gives four: nothing, every cluster, a
random cluster (the exact expectation; with a click or a box the cluster there), and the cluster that is best when the
truth is known (a ceiling for choosing among geometric clusters).
"""

from __future__ import annotations

import numpy as np

from segpoint_training.metrics import Sample, iou
from segpoint_training.room_clusters import room_clusters
from segpoint_training.table_clusters import tabletop_clusters

REFERENCES = ("nothing", "every cluster", "random cluster", "best cluster")


def geometric_clusters(xyz: np.ndarray, frame: str, scale: str) -> list[np.ndarray]:
    """Indices (n,) into ``xyz`` (M, 3) of each thing, largest first; ``scale`` is "table" or "room"."""
    return room_clusters(xyz, frame) if scale == "room" else tabletop_clusters(xyz)


def nearest_cluster(xyz: np.ndarray, things: list[np.ndarray], point: np.ndarray) -> int | None:
    """Which cluster of the cloud (M, 3) has the point nearest to ``point`` (3,); None where there is no cluster."""
    gaps = [float(np.linalg.norm(xyz[indices] - point, axis=1).min()) for indices in things]
    return int(np.argmin(gaps)) if gaps else None


def references(
    things: list[np.ndarray], truth: np.ndarray, valid: np.ndarray, kind: str, at: int | None = None
) -> dict[str, Sample]:
    """The four reference samples of one instruction, by their names in `REFERENCES`.

    ``things`` comes from `geometric_clusters`; ``truth`` and ``valid`` are (M,) bool, and IoU is
    taken over valid points. Without a cluster, each reference that would mark one marks nothing. Where something was
    pointed at, ``at`` is the cluster there, and there is nothing random about the choice.
    """
    truth, has_target = truth[valid], bool(truth[valid].any())
    masks = []
    for indices in things:
        mask = np.zeros(len(valid), dtype=bool)
        mask[indices] = True
        masks.append(mask[valid])
    nothing = iou(np.zeros_like(truth), truth)
    each = tuple(iou(mask, truth) for mask in masks) or (nothing,)
    chosen = each if at is None else each[at : at + 1]
    every = iou(np.any(masks, axis=0), truth) if masks else nothing
    values = {
        "nothing": (nothing,),
        "every cluster": (every,),
        "random cluster": chosen,
        "best cluster": (max(each),),
    }
    return {name: Sample(kind, has_target, ious) for name, ious in values.items()}
