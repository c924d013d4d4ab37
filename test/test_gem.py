"""GEM: batch norm that sees no padding, features that see geometry, and an injection that starts as nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segpoint.network import gem
from segpoint.network.gem import GeometricEnhancer, GeometricInjection, MaskedBatchNorm


def make_cloud(batch=2, count=96, padding=0, neighbours=8, seed=0):
    """(features, points, neighbours, valid) of clouds in kernel radii, with `padding` rows of rubbish appended."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(batch, count, 3, generator=generator) * 4.0
    table = torch.cdist(points, points).topk(neighbours, largest=False).indices
    table[:, ::5, 3:] = -1
    features = torch.randn(batch, count, 6, generator=generator)
    valid = torch.ones(batch, count + padding, dtype=torch.bool)
    valid[:, count:] = False

    def pad(tensor: torch.Tensor, value: float) -> torch.Tensor:
        return torch.cat([tensor, torch.full((batch, padding, tensor.shape[-1]), value, dtype=tensor.dtype)], dim=1)

    return pad(features, 7.0), pad(points, -3.0), pad(table, -1), valid


def test_masked_batch_norm_is_batch_norm_of_the_valid_rows():
    torch.manual_seed(0)
    values = torch.randn(3, 50, 4) * torch.tensor([1.0, 5.0, 0.1, 2.0]) + torch.tensor([0.0, 10.0, -1.0, 3.0])
    valid = torch.rand(3, 50) < 0.6
    ours, theirs = MaskedBatchNorm(4), nn.BatchNorm1d(4)
    for _ in range(3):
        leaf, rows = values.clone().requires_grad_(), values[valid].clone().requires_grad_()
        result, wanted = ours(leaf, valid)[valid], theirs(rows)
        torch.testing.assert_close(result, wanted, atol=1e-5, rtol=1e-5)
        result.pow(3).sum().backward()
        wanted.pow(3).sum().backward()
        torch.testing.assert_close(leaf.grad[valid], rows.grad, atol=1e-4, rtol=1e-3)
        assert torch.count_nonzero(leaf.grad[~valid]) == 0
    for name, wanted in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], wanted, atol=1e-5, rtol=1e-5, msg=name)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(values, valid)[valid], theirs(values[valid]), atol=1e-5, rtol=1e-5)


def test_batch_norm_of_no_valid_row_stays_finite():
    norm = MaskedBatchNorm(4)
    assert torch.isfinite(norm(torch.randn(1, 5, 4), torch.zeros(1, 5, dtype=torch.bool))).all()
    assert all(torch.isfinite(tensor).all() for tensor in norm.state_dict().values())


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing_and_comes_out_zero(training):
    torch.manual_seed(1)
    plain = GeometricEnhancer(6, (8, 8, 12)).train(training)
    padded = GeometricEnhancer(6, (8, 8, 12)).train(training)
    padded.load_state_dict(plain.state_dict())
    wanted, result = plain(*make_cloud()), padded(*make_cloud(padding=17))
    assert result.shape == (2, 113, 12) and wanted.abs().max() > 0
    torch.testing.assert_close(result[:, :96], wanted, atol=1e-5, rtol=1e-5)
    assert torch.count_nonzero(result[:, 96:]) == 0
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(padded.state_dict()[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


def test_features_depend_on_shape_and_not_on_place():
    torch.manual_seed(2)
    enhancer = GeometricEnhancer(6, (8, 8, 12)).eval()
    features, points, neighbours, valid = make_cloud()
    here = enhancer(features, points, neighbours, valid)
    there = enhancer(features, points + torch.tensor([0.5, -0.25, 0.75]), neighbours, valid)
    torch.testing.assert_close(there, here, atol=1e-4, rtol=1e-4)
    squeezed = enhancer(features, points * torch.tensor([1.0, 1.0, 0.5]), neighbours, valid)
    assert (squeezed - here).abs().max() > 1e-2 * here.abs().max()


def test_influences_are_computed_once_for_the_three_layers(monkeypatch):
    calls = []
    original = gem.influences
    monkeypatch.setattr(gem, "influences", lambda *args: calls.append(args) or original(*args))
    GeometricEnhancer(6, (8, 8, 12))(*make_cloud())
    assert len(calls) == 1


def test_bf16_autocast_stays_near_fp32():
    torch.manual_seed(3)
    enhancer = GeometricEnhancer(6, (16, 16, 24)).eval()
    cloud = make_cloud()
    wanted = enhancer(*cloud)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = enhancer(*cloud).float()
    assert (result - wanted).norm() < 0.02 * wanted.norm()


def test_every_parameter_learns():
    enhancer = GeometricEnhancer(6, (8, 8, 12))
    (enhancer(*make_cloud(padding=5)) * torch.randn(12)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in enhancer.parameters())


def make_injection(gate: float):
    torch.manual_seed(4)
    injection = GeometricInjection(token_width=20, geometric_width=12)
    nn.init.constant_(injection.gate, gate)
    return injection, torch.randn(2, 9, 20), torch.randn(2, 30, 12), torch.rand(2, 30) < 0.7


def test_injection_is_at_first_the_identity_bitwise_and_its_gate_can_learn():
    torch.manual_seed(5)
    injection = GeometricInjection(token_width=20, geometric_width=12)
    tokens, geometry, valid = torch.randn(2, 9, 20), torch.randn(2, 30, 12), torch.ones(2, 30, dtype=torch.bool)
    result = injection(tokens, geometry, valid)
    assert torch.equal(result, tokens)
    result.square().sum().backward()
    assert injection.gate.grad.abs() > 0


def test_injection_is_the_papers_equation_over_valid_points():
    injection, tokens, geometry, valid = make_injection(gate=0.5)
    result = injection(tokens, geometry, valid)
    for b in range(2):
        points = geometry[b, valid[b]]
        weights = ((tokens[b] @ injection.query.weight.T) @ points.T / 12**0.5).softmax(-1)
        wanted = tokens[b] + 0.5 * (weights @ points) @ injection.output.weight.T
        torch.testing.assert_close(result[b], wanted, atol=1e-5, rtol=1e-5)
    geometry[~valid] = 50.0
    assert torch.equal(injection(tokens, geometry, valid), result)


def test_injection_of_a_cloud_without_points_is_finite():
    injection, tokens, geometry, valid = make_injection(gate=1.0)
    assert torch.isfinite(injection(tokens, geometry * 0, torch.zeros_like(valid))).all()
