"""From what a user points at to what the network reads of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from segpoint.cloud import Cloud, network_frame
from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.network.inputs import PointInputs
from segpoint.network.place import BOX, CLICK, Places
from segpoint.prompts import Place

_MISSED_M = 0.1  # a click farther than this (or five voxels) from every point means nothing that is there


def find_places(place: Place, xyz: np.ndarray, cloud: Cloud, inputs: PointInputs, config: BundleConfig) -> Places:
    """A user's clicks and box on a prepared cloud, as one question's `Places` (1, 1, P, …) on the inputs' device.

    xyz: (M, 3), the caller's points. Raises `SegPointError` where nothing is at a click or in the box.
    """
    kinds, rows, corners = [], [], []
    clicks = np.empty((0, 3)) if place.clicks is None else place.clicks
    for click in clicks:
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float32: infinite or NaN, near nothing
            level = cloud.to_level(click[None])
            distance = np.linalg.norm(cloud.xyz[: cloud.count] - level, axis=1)
        nearest = int(distance.argmin())
        if not distance[nearest] <= max(_MISSED_M, 5 * cloud.voxel_m):
            where = _whereabouts(click, xyz, cloud)
            raise SegPointError(f"nothing of the cloud is at the click {_text(click)}: {where}")
        kinds.append(CLICK)
        rows.append(np.array([nearest]))
        corners.append(np.repeat(level, 2, axis=0))
    if place.box is not None:
        held = ((xyz >= place.box[:3]) & (xyz <= place.box[3:])).all(axis=1) & (cloud.voxel_of >= 0)
        if not held.any():
            raise SegPointError(
                f"the box {_text(place.box)} holds no point of the cloud: "
                + _whereabouts(place.box.reshape(2, 3).mean(axis=0), xyz, cloud)
            )
        kinds.append(BOX)
        rows.append(np.unique(cloud.voxel_of[held]))
        corners.append(np.stack([cloud.xyz[rows[-1]].min(axis=0), cloud.xyz[rows[-1]].max(axis=0)]))
    ends = np.stack([network_frame(cloud, config.cloud, pair) for pair in corners])
    inside = np.zeros((len(rows), len(cloud.xyz)), np.float32)
    for share, some in zip(inside, rows, strict=True):
        share[some] = 1 / len(some)
    return Places(
        kind=torch.tensor(kinds)[None, None],
        corners=torch.from_numpy(ends)[None, None],
        inside=torch.from_numpy(inside)[None, None],
        token=torch.from_numpy(nearest_tokens(ends.mean(axis=1), inputs, 0, config))[None, None],
    ).to(inputs.points.device)


def _whereabouts(point: np.ndarray, xyz: np.ndarray, cloud: Cloud) -> str:
    """For whom points (3,) at nothing: where the cloud (M, 3) is."""
    usable = xyz[cloud.voxel_of >= 0].astype(np.float64)
    away = np.hypot.reduce(usable - point, axis=1)  # which does not overflow
    nearest = int(away.argmin())
    return (
        f"the nearest point is {away[nearest]:.3g} m away, at {_text(usable[nearest])}; give metres in the cloud's own "
        f"axes ({cloud.frame}), in which it reaches from {_text(usable.min(axis=0))} to {_text(usable.max(axis=0))}"
    )


def _text(values: np.ndarray) -> str:
    """Coordinates to the millimetre."""
    return f"[{', '.join(f'{v:.7g}' for v in np.round(values, 3))}]"


def nearest_tokens(points: np.ndarray, inputs: PointInputs, b: int, config: BundleConfig) -> np.ndarray:
    """(n,) int64: the point token of the b-th cloud whose centre is nearest to each of points (n, 3, network frame)."""
    levels = inputs.tables["levels"][b, : config.encoder.tokens]
    centres = inputs.points[b, levels].cpu().numpy()
    return np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)


def side_by_side(places: Sequence[Places | None]) -> Places | None:
    """The `Places` (1, 1, P_i, …) or None of Q questions as one (1, Q, P, …), padded; None where nobody points."""
    given = [place for place in places if place is not None]
    if not given:
        return None
    count = max(place.kind.shape[2] for place in given)
    tables = []
    for name, like in vars(given[0]).items():
        table = like.new_full((1, len(places), count, *like.shape[3:]), -1 if name == "kind" else 0)
        for q, place in enumerate(places):
            if place is not None:
                table[:, q, : place.kind.shape[2]] = getattr(place, name)[:, 0]
        tables.append(table)
    return Places(*tables)
