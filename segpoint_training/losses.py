"""The training losses: BCE and DICE on masks (the paper's), and the auxiliary ones that teach selection (ours)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dice_loss(logits: Tensor, targets: Tensor, eps: float = 1e-6, scale: float = 1000.0) -> Tensor:
    """1 − DICE of each mask, averaged. logits, targets: (…, N). As in LISA: both terms over ``scale``, plus eps."""
    probability = logits.float().sigmoid()
    intersection = 2.0 * (probability / scale * targets).sum(dim=-1)
    total = (probability / scale).sum(dim=-1) + (targets / scale).sum(dim=-1)
    return (1.0 - (intersection + eps) / (total + eps)).mean()


def bce_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each mask over its points, averaged over masks. logits, targets: (…, N)."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float())


def object_loss(logits: Tensor, is_target: Tensor, instance: Tensor) -> Tensor:
    """One decision an object: BCE of the mean logit over each object's points (ours).

    Masks are decided point by point, and a point-wise loss is content when a red patch lights up on every box. Here
    every object counts once, however small, and is right or wrong as a whole.

    logits: (B, Q, R) at sampled points.   is_target: (B, Q, I) bool.   instance: (B, R) int64 in 0 … I−1, 0 = none.
    """
    members = F.one_hot(instance, is_target.shape[-1]).to(logits.dtype)  # (B, R, I)
    counts = members.sum(dim=1)  # (B, I)
    mean = logits @ members / counts.clamp_min(1).unsqueeze(1)  # (B, Q, I)
    present = (counts > 0).float()
    present[:, 0] = 0
    weight = present.unsqueeze(1).expand_as(mean)
    # Most objects are no targets: targets weigh as much as the others together would if they were three.
    weight = weight * torch.where(is_target, 2.0, 1.0)
    loss = F.binary_cross_entropy_with_logits(mean.float(), is_target.float(), reduction="none")
    return (loss * weight).sum() / weight.sum().clamp_min(1)


def instance_loss(embedding: Tensor, instance: Tensor, count: int, temperature: float = 0.1) -> Tensor:
    """Cross-entropy of each point against the mean embeddings of its scene's objects: one object, one direction (ours).

    embedding: (B, R, E).   instance: (B, R) int64 in 0 … count−1, 0 = none.
    """
    embedding = F.normalize(embedding.float(), dim=-1)
    members = F.one_hot(instance, count).float()  # (B, R, I)
    centres = F.normalize(members.transpose(1, 2) @ embedding, dim=-1)  # (B, I, E)
    logits = embedding @ centres.transpose(1, 2) / temperature
    absent = members.sum(dim=1) == 0
    absent[:, 0] = True
    logits = logits.masked_fill(absent.unsqueeze(1), -1e4)
    if not (instance > 0).any():
        return logits.sum() * 0.0
    return F.cross_entropy(logits[instance > 0], instance[instance > 0])


def centre_loss(shift: Tensor, points: Tensor, centre: Tensor, instance: Tensor, reach: float = 5.0) -> Tensor:
    """Each point knows the way to the middle of its object (ours): what belongs together, and how large it is.

    shift: (B, R, 3), the way as predicted.   points: (B, R, 3).   centre: (B, I, 3).   instance: (B, R) int64; object
    1, which carries the scene, and none (0) have no middle worth knowing.   reach: network units that count at most.
    """
    way = centre.gather(1, instance.unsqueeze(-1).expand(-1, -1, 3)) - points
    truth = way.clamp(-reach, reach)
    on = instance > 1
    return F.smooth_l1_loss(shift.float()[on], truth[on], beta=0.1) if on.any() else shift.sum() * 0.0


def word_loss(projected: Tensor, words: Tensor, truth: Tensor, temperature: float = 0.07) -> Tensor:
    """Point tokens, projected for the LLM, should look like the word for what they lie on (ours).

    So that stage 2 starts from point tokens that the LLM can nearly read.
    projected: (…, H).   words: (V, H) input embeddings of the candidate words.   truth: (…) int64, −1 = none.
    """
    if not (truth >= 0).any():
        return projected.sum() * 0.0
    scores = F.normalize(projected[truth >= 0].float(), dim=-1) @ F.normalize(words, dim=-1).T / temperature
    return F.cross_entropy(scores, truth[truth >= 0])
