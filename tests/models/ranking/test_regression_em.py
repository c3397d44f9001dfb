"""Regression-EM: posteriors, targets, and the movement of theta."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_bench.models.ranking.regression_em import RegressionEM
from tests.models.ranking.worlds import build, odd_batch, odd_context


def _model(**options: object) -> RegressionEM:
    model: RegressionEM = build("regression-em", odd_context(), **options)
    model.theta.copy_(torch.linspace(0.9, 0.2, len(model.theta)))
    return model


def test_expected_targets_have_the_gradient_of_the_likelihood_of_clicks() -> None:
    # Fisher's identity: the step that EM takes is one of gradient descent on clicks.
    batch = odd_batch(odd_context(), "clicks")
    model = _model(targets="expected")
    assert batch.positions is not None
    mask, parameters = batch.inputs.mask, list(model.parameters())
    theta = model.theta.clone()[batch.positions[mask]]
    clicks = theta * model.scorer(batch.inputs)[mask].sigmoid()
    likelihood = torch.nn.functional.binary_cross_entropy(clicks, batch.targets[mask])
    expected = torch.autograd.grad(likelihood, parameters)
    found = torch.autograd.grad(model.loss(batch)["relevance"], parameters)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_sampled_targets_are_right_on_average() -> None:
    batch = odd_batch(odd_context(), "clicks")
    expected = _model(targets="expected").loss(batch)["relevance"].item()
    model = _model()
    torch.manual_seed(0)
    found = [model.eval().loss(batch)["relevance"].item() for _ in range(400)]
    assert np.std(found) > 0
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / 20)


def test_theta_moves_to_the_mean_of_what_was_observed_there() -> None:
    batch = odd_batch(odd_context(), "clicks")
    model = _model(propensity_step=0.25)
    assert batch.positions is not None
    before, gammas = model.theta.tolist(), model.scorer(batch.inputs).sigmoid().tolist()
    seen: dict[int, list[float]] = {}
    for row, place in batch.inputs.mask.nonzero().tolist():
        position, gamma = int(batch.positions[row, place]), gammas[row][place]
        theta, click = before[position], bool(batch.targets[row, place])
        observed = 1.0 if click else theta * (1 - gamma) / (1 - theta * gamma)
        seen.setdefault(position, []).append(observed)
    model.loss(batch)
    for position, theta in enumerate(before):
        mean = np.mean(seen.get(position, [theta]))
        assert model.theta[position].item() == pytest.approx(0.75 * theta + 0.25 * mean, rel=1e-5)
    after = model.theta.clone()
    model.eval().loss(batch)
    assert torch.equal(model.theta, after)
