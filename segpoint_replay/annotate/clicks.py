"""What is proposed at a click, and at those that come after it for the same thing: by geometry, then by the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segpoint.prompts import MOST_CLICKS
from segpoint_replay.annotate.clouds import View
from segpoint_replay.annotate.masks import around, cluster_at, surface_at
from segpoint_replay.annotate.proposal import CLICK, SENTENCE, Part, Proposal

_TOO_LARGE = 3  # times the geometric cluster at a click


def clicked(view: View, point: int, before: Proposal | None, label: np.ndarray) -> Proposal:
    """What geometry says to a click on a point, after what was proposed ``before``: with all of that, if it was by a
    click, too. label: (M,) int32, the objects that are there already."""
    clicks, text, name, touched, so_far = [point], "", "", False, None
    if before is not None and before.source in (SENTENCE, CLICK):
        text, clicks = before.text, [*before.clicks, point][-MOST_CLICKS:]
    if before is not None and before.source == CLICK:
        parts = before.parts(view.xyz)
        so_far = np.any([np.zeros(len(label), bool), *(part.mask for part in parts)], axis=0)
        name, touched = parts[0].name if parts else "", before.touched
        masks = at_another_click(view.xyz, view.things, point, so_far)
    else:
        masks = at_a_click(view.xyz, view.things, point)
    free = _free(label, clicks) if so_far is None else _free(label, clicks) | so_far
    choices = {choice: [Part(mask & free, 0, name)] for choice, mask in masks.items()}
    return Proposal(CLICK, choices, next(iter(choices)), text, clicks, touched=touched, so_far=so_far)


def follow(proposal: Proposal, parts: Sequence[Part], label: np.ndarray) -> None:
    """Offer what the model says to a proposal's clicks, and show it where it follows them."""
    mask = np.any([np.zeros(len(label), bool), *(part.mask for part in parts)], axis=0)
    mask &= _free(label, proposal.clicks)
    if not mask.any():
        return
    follows = mask[proposal.clicks].all()
    if proposal.so_far is not None:
        mask |= proposal.so_far
    choice = Part(mask, 0, parts[0].name, parts[0].score)
    proposal.choices = {"model": [choice], **proposal.choices}
    cluster = proposal.choices.get("cluster", [choice])[0].mask
    # A model that takes the whole table for what was clicked on is offered, and not shown.
    if follows and not proposal.touched and mask.sum() <= _TOO_LARGE * cluster.sum():
        proposal.show("model")


def at_a_click(xyz: np.ndarray, things: Sequence[np.ndarray], click: int) -> dict[str, np.ndarray]:
    """Masks (M,) bool by what they are, the likeliest first: "cluster", or else "surface", and "near".

    xyz: (M, 3).   things: as `segpoint_training.baselines.geometric_clusters` gives them.   click: a point's index.
    """
    masks: dict[str, np.ndarray] = {}
    cluster = cluster_at(xyz, things, [click])
    if cluster is not None:
        masks["cluster"] = cluster
    elif (surface := surface_at(xyz, click)).any():
        masks["surface"] = surface
    masks["near"] = around(xyz, things, [click])
    return masks


def at_another_click(
    xyz: np.ndarray, things: Sequence[np.ndarray], click: int, so_far: np.ndarray
) -> dict[str, np.ndarray]:
    """The same for one more click, each mask with all of what was meant ``so_far`` (M,) bool.

    A cluster of its own is added whole. One of which a part was meant already was not meant as a whole, nor is a
    surface that something else stands on: of these what is near comes first, and nothing where the click is on what was
    meant ("so far"). That order is our choice.
    """
    found = at_a_click(xyz, things, click)
    if so_far[click]:
        order = ["so far", "near", "cluster", "surface"]
    elif "cluster" in found and not (found["cluster"] & so_far).any():
        order = ["cluster", "near"]
    else:
        order = ["near", "cluster", "surface"]
    found["so far"] = np.zeros_like(so_far)
    return {name: found[name] | so_far for name in order if name in found}


def _free(label: np.ndarray, clicks: Sequence[int]) -> np.ndarray:
    """(M,) bool: what a click may take: no other object's points, but of those that it is on."""
    return np.isin(label, [0, *label[list(clicks)]])
