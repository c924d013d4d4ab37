"""KPConv against a direct float64 computation over all pairs, and against the published implementation's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segpoint.network.kpconv import PLACEMENT, KPConv, gather, influences, kernel_points


def make_case(batch=2, count=120, neighbours=9, kernel_count=15, channels=5, out_channels=7, seed=0):
    """Random clouds with random neighbours, a third of them absent; a radius in which influences are often non-zero."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(batch, count, 3, generator=generator) * 0.3
    table = torch.randint(0, count, (batch, count, neighbours), generator=generator)
    table[torch.rand(table.shape, generator=generator) < 1 / 3] = -1
    features = torch.randn(batch, count, channels, generator=generator)
    torch.manual_seed(seed)
    convolution = KPConv(channels, out_channels, kernel_count)
    return points, table, features, kernel_points(kernel_count, 0.15), 0.1, convolution


def direct(points, table, features, kernel, extent, weights) -> np.ndarray:
    """KPConv's equation over every pair of points in float64; an N × N matrix says how often m is n's neighbour."""
    clouds = []
    for xyz, rows, values in zip(points.double(), table, features.double(), strict=True):
        times = torch.zeros(len(xyz), len(xyz), dtype=torch.float64)
        for n, row in enumerate(rows):
            for m in row[row >= 0]:
                times[n, m] += 1
        offset = xyz[None, :] - xyz[:, None]  # (N, N, 3)
        result = 0.0
        for point, matrix in zip(kernel.double(), weights.double(), strict=True):
            influence = torch.clamp(1 - torch.linalg.vector_norm(offset - point, dim=-1) / extent, min=0)
            result = result + (influence * times) @ values @ matrix
        clouds.append(result)
    return torch.stack(clouds).numpy()


@pytest.mark.parametrize("count", [2, 5, 15, 25])
def test_kernel_points_repel_each_other_around_the_centre(count):
    points = kernel_points(count, radius=2.0).double()
    assert points.shape == (count, 3) and torch.equal(points[0], torch.zeros(3, dtype=torch.float64))
    outer = points[1:]
    assert outer.norm(dim=1).mean().item() == pytest.approx(2.0 * PLACEMENT, rel=1e-5)
    assert outer.norm(dim=1).max() <= 2.0
    # Equilibrium: what pushes each point is balanced by the pull to the centre, so it has no sideways part.
    offset = outer[:, None] - points
    distance = offset.norm(dim=-1, keepdim=True).masked_fill((offset == 0).all(-1, keepdim=True), float("inf"))
    push = (offset / distance**3).sum(1)
    direction = outer / outer.norm(dim=1, keepdim=True)
    sideways = push - (push * direction).sum(1, keepdim=True) * direction
    assert sideways.norm(dim=1).max() < 1e-3 * push.norm(dim=1).mean()


def test_kernel_of_one_point_is_the_centre():
    assert torch.equal(kernel_points(1), torch.zeros(1, 3))


def test_fifteen_kernel_points_reach_the_known_optimum():
    """Fourteen charges on a unit sphere have a least energy of 69.306 (the Thomson problem)."""
    outer = kernel_points(15)[1:].double()
    energy = (1 / torch.pdist(outer / outer.norm(dim=1, keepdim=True))).sum().item()
    assert energy == pytest.approx(69.306363, abs=1e-3)


def test_matches_the_direct_computation_in_float64():
    points, table, features, kernel, extent, convolution = make_case()
    result = convolution(features, table, influences(points, table, kernel, extent))
    wanted = direct(points, table, features, kernel, extent, convolution.weights.detach())
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(result.detach().numpy(), wanted, atol=2e-6)


def test_matches_the_published_implementation(shared):
    from safetensors.torch import load_file

    case = load_file(shared / "reference" / "kpconv" / "case.safetensors")
    convolution = KPConv(5, 7, 15)
    with torch.no_grad():
        convolution.weights.copy_(case["weights"])
        table = influences(case["points"][None], case["neighbours"][None], case["kernel_points"], case["extent"].item())
        result = convolution(case["features"][None], case["neighbours"][None], table)
    torch.testing.assert_close(result[0], case["output"], atol=5e-6, rtol=0)


def test_absent_neighbours_contribute_exactly_nothing():
    points, table, features, kernel, extent, convolution = make_case()
    table[table == 0] = 1  # row 0, which stands in for an absent neighbour, is now nobody's neighbour
    table[:, 7] = -1
    influence = influences(points, table, kernel, extent)
    assert torch.count_nonzero(influence.transpose(2, 3)[table < 0]) == 0
    before = convolution(features, table, influence)
    features[:, 0] = 1e30
    points[:, 0] = -5.0
    after = convolution(features, table, influences(points, table, kernel, extent))
    assert torch.equal(before[:, 1:], after[:, 1:])
    assert torch.count_nonzero(after[:, 7]) == 0


def test_coincident_points_give_finite_values_and_gradients():
    points, table, features, kernel, extent, convolution = make_case(batch=1)
    points[:, :40] = points[:, :1]  # distance zero to the central kernel point …
    points[:, 40:60] = points[:, :1] + kernel[3]  # … and to another one
    points.requires_grad_()
    features.requires_grad_()
    influence = influences(points, table, kernel, extent)
    result = convolution(features, table, influence)
    result.square().sum().backward()
    for tensor in (influence, result, points.grad, features.grad, convolution.weights.grad):
        assert torch.isfinite(tensor).all()
    own = influences(points.detach(), torch.zeros(1, len(points[0]), 1, dtype=torch.int64), kernel, extent)
    assert own[0, 0, 0, 0] == 1.0


def test_influences_stay_in_full_precision_under_autocast():
    points, table, _, kernel, extent, _ = make_case()
    plain = influences(points, table, kernel, extent)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(influences(points, table, kernel, extent), plain)


def test_gather_takes_each_clouds_own_rows():
    table = torch.arange(12.0).view(2, 3, 2)
    rows = gather(table, torch.tensor([[[2, 0]], [[1, 1]]]))
    assert rows.tolist() == [[[[4, 5], [0, 1]]], [[[8, 9], [8, 9]]]]
