"""Joints of observation and relevance: valid, of exact mutual information, and never stuck at the product."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmrec_bench.models.ranking.joints import Joint, gaussian_information, log_linear, of_margins


def _logits(n: int = 3, scale: float = 2.0) -> list[Tensor]:
    numbers = scale * torch.randn(n, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return list(numbers.requires_grad_().unbind())


def _cells(joint: Joint) -> Tensor:
    """P(o, r), float64 ``[n, 2, 2]``."""
    o, one, zero = joint.observation.sigmoid(), joint.observed.sigmoid(), joint.unobserved.sigmoid()
    rows = [torch.stack([1 - zero, zero], dim=-1) * (1 - o).unsqueeze(-1)]
    rows.append(torch.stack([1 - one, one], dim=-1) * o.unsqueeze(-1))
    return torch.stack(rows, dim=-2)


def _by_cells(joint: Joint) -> Tensor:
    cells = _cells(joint)
    margins = cells.sum(dim=-1, keepdim=True) * cells.sum(dim=-2, keepdim=True)
    return (cells * (cells / margins).log()).sum(dim=(-1, -2))


def test_mutual_information_is_that_of_the_four_cells_and_within_its_bounds() -> None:
    joint = Joint(*_logits())
    found = joint.mutual_information()
    torch.testing.assert_close(found, _by_cells(joint), rtol=0, atol=1e-6)

    def entropy(p: Tensor) -> Tensor:
        return -(p * p.log() + (1 - p) * (1 - p).log())

    o = joint.observation.sigmoid()
    inner = o * entropy(joint.observed.sigmoid()) + (1 - o) * entropy(joint.unobserved.sigmoid())
    torch.testing.assert_close(found, entropy(joint.relevance()) - inner, rtol=0, atol=1e-6)
    assert found.min() >= 0
    assert found.max() <= math.log(2)


def test_mutual_information_stays_finite_and_bounded_at_extremes() -> None:
    logits = torch.tensor([-200.0, -20, 0, 20, 200])
    joint = Joint(*(grid.clone().requires_grad_() for grid in torch.meshgrid(logits, logits, logits, indexing="ij")))
    found = joint.mutual_information()
    assert found.min() > -1e-6
    assert found.max() <= math.log(2) + 1e-6
    gradients = torch.autograd.grad(found.sum(), (joint.observation, joint.observed, joint.unobserved))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert found.max() > 0.69  # o even, r wholly decided by it


def test_mutual_information_is_zero_where_relevance_is_the_same_either_way() -> None:
    observation, relevance, other = _logits()
    assert Joint(observation, relevance, relevance).mutual_information().abs().max() < 1e-12
    assert Joint(observation, relevance, other).mutual_information().min() > 0


def test_a_product_of_margins_has_neither_information_nor_gradient() -> None:
    # Why P(o) P(r) is no joint to train with: the term would be dead.
    observation, relevance, _ = _logits()
    o, r = observation.sigmoid(), relevance.sigmoid()
    product = Joint(observation, (o * r / o).logit(), ((1 - o) * r / (1 - o)).logit())
    found = product.mutual_information()
    assert found.abs().max() < 1e-9
    gradients = torch.autograd.grad(found.sum(), (observation, relevance))
    assert max(gradient.abs().max() for gradient in gradients) < 1e-6


def test_log_linear_is_the_softmax_of_its_four_weights() -> None:
    a, g, t = _logits()
    joint = log_linear(a, g, t)
    logits = torch.stack([torch.zeros_like(a), g, a, a + g + t], dim=-1)
    torch.testing.assert_close(_cells(joint).flatten(-2), logits.softmax(dim=-1))
    assert log_linear(a, g, torch.zeros_like(t)).mutual_information().abs().max() < 1e-12
    assert joint.mutual_information().min() > 0


def test_joints_of_margins_have_these_margins_and_reach_their_bounds() -> None:
    observation, relevance, click = _logits(scale=1.5)
    joint = of_margins(observation, relevance, click)
    cells, o, r = _cells(joint), observation.sigmoid(), relevance.sigmoid()
    assert cells.min() >= 0
    torch.testing.assert_close(cells.sum(dim=-1)[:, 1], o)
    torch.testing.assert_close(joint.relevance(), r, rtol=0, atol=1e-5)
    torch.testing.assert_close(joint.log_click().exp(), cells[:, 1, 1])
    both = of_margins(observation, relevance, torch.full_like(click, 50)).log_click().exp()
    torch.testing.assert_close(both, torch.minimum(o, r), rtol=0, atol=1e-5)
    neither = of_margins(observation, relevance, torch.full_like(click, -50)).log_click().exp()
    torch.testing.assert_close(neither, (o + r - 1).clamp(min=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [Joint, log_linear, of_margins])
def test_mutual_information_teaches_every_head(make: object) -> None:
    logits = _logits()
    joint: Joint = make(*logits)
    for gradient in torch.autograd.grad(joint.mutual_information().sum(), logits):
        assert (gradient.abs() > 1e-9).double().mean() > 0.9


def test_gaussian_information_is_of_the_correlation_within_each_group() -> None:
    one, other, _ = _logits()
    groups = torch.arange(500) % 3
    other = other + 0.8 * one + 10 * groups  # what differs between groups tells nothing
    expected = 0.0
    for group in range(3):
        rows = groups == group
        correlation = torch.corrcoef(torch.stack([one[rows], other[rows]]))[0, 1].item()
        expected -= 0.5 * math.log(1 - correlation**2) * int(rows.sum())
    assert gaussian_information(one, other, groups).item() == pytest.approx(expected / 500)
    assert expected / 500 > 0.05


def test_gaussian_information_of_what_cannot_correlate_is_zero() -> None:
    one, other, _ = _logits()
    assert gaussian_information(one, other, torch.arange(500)).item() == 0
    assert gaussian_information(torch.ones_like(one), other, torch.zeros(500, dtype=torch.int64)).item() < 1e-9
    nothing = torch.zeros(0)
    assert gaussian_information(nothing, nothing, torch.zeros(0, dtype=torch.int64)).item() == 0
