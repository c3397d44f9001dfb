"""IPW: weights, their expectation, and propensities estimated from clicks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mmrec_bench.clicks.position import EYE_TRACKING
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ModelError
from mmrec_bench.list_losses import pointwise, softmax
from mmrec_bench.models.ranking.base import RankingContext
from mmrec_bench.models.ranking.ipw import IPW
from mmrec_bench.models.ranking.propensities import click_rates, item_effects
from tests.models.ranking.worlds import build, logged, odd_batch, odd_context


@pytest.mark.parametrize("loss", ["softmax", "pointwise"])
@pytest.mark.parametrize("max_weight", [None, 1.5])
def test_clicks_count_by_their_propensities(loss: str, max_weight: float | None) -> None:
    context = odd_context()
    batch = odd_batch(context, "clicks")
    model: IPW = build("ipw", context, loss=loss, max_weight=max_weight)
    assert batch.propensities is not None
    assert context.train.propensities is not None
    weights = context.train.propensities.max() / batch.propensities
    targets = batch.targets * (weights if max_weight is None else weights.clamp(max=max_weight))
    expected = {"softmax": softmax, "pointwise": pointwise}[loss](
        model.scorer(batch.inputs), targets, batch.inputs.mask
    )
    torch.testing.assert_close(model.loss(batch)["ranking"], expected)


@pytest.mark.parametrize("loss", ["softmax", "pointwise"])
def test_the_expected_gradient_is_that_of_relevance(loss: str) -> None:
    # The loss is linear in clicks: at their expectation it is the expected loss.
    context = odd_context()
    batch = odd_batch(context, "clicks")
    assert batch.propensities is not None
    relevance = torch.rand(batch.targets.shape).masked_fill(~batch.inputs.mask, 0.0)
    largest = batch.propensities[batch.inputs.mask].max()

    def gradients(propensities: torch.Tensor) -> list[torch.Tensor]:
        model: IPW = build("ipw", context, loss=loss, max_weight=None)
        some = dataclasses.replace(batch, clicks=relevance * propensities / largest, propensities=propensities)
        model.loss(some)["ranking"].backward()
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    everything = torch.full_like(batch.propensities, largest.item())
    torch.testing.assert_close(gradients(batch.propensities), gradients(everything), rtol=1e-4, atol=1e-6)


def test_unknown_propensities_are_refused() -> None:
    lists = dataclasses.replace(odd_context().train, propensities=None)
    with pytest.raises(ModelError, match=r"model\.propensities: click-rate or item-effects"):
        build("ipw", RankingContext(lists))


def _items_at(order_hangs_on_item: float, n_lists: int = 6_000) -> Lists:
    """Lists of 40 items of fixed relevance, under eye-tracking position bias."""
    rng = np.random.default_rng(0)
    relevance = np.linspace(0.05, 0.95, 40)
    items = np.stack([rng.permutation(40)[:10] for _ in range(n_lists)])
    noise = rng.standard_normal(items.shape)
    order = np.argsort(-(order_hangs_on_item * relevance[items] + noise), axis=1)
    items = np.take_along_axis(items, order, axis=1)
    clicks = rng.random(items.shape) < np.array(EYE_TRACKING) * relevance[items]
    return Lists(
        list_of=np.repeat(np.arange(n_lists), 10),
        items=items.reshape(-1),
        n_items=40,
        users=np.zeros(n_lists, np.int64),
        n_users=1,
        positions=np.tile(np.arange(1, 11), n_lists),
        clicks=clicks.reshape(-1),
    )


def test_click_rates_are_right_on_random_orders_alone() -> None:
    true = np.array(EYE_TRACKING) / EYE_TRACKING[0]
    np.testing.assert_allclose(click_rates(_items_at(0.0))[1:], true, atol=0.06)
    assert (click_rates(_items_at(5.0))[1:] / true)[-1] < 0.6  # the best items stand at the top


def test_item_effects_are_right_if_the_policy_prefers_some_items() -> None:
    true = np.array(EYE_TRACKING) / EYE_TRACKING[0]
    for hangs in (0.0, 5.0):
        np.testing.assert_allclose(item_effects(_items_at(hangs))[1:], true, atol=0.06)


def test_item_effects_are_the_most_likely_ones() -> None:
    lists = _items_at(2.0, 300)
    assert lists.positions is not None
    assert lists.clicks is not None
    theta = torch.tensor(item_effects(lists), requires_grad=True)
    positions, items = torch.tensor(lists.positions), torch.tensor(lists.items)
    clicks = torch.tensor(lists.clicks, dtype=torch.float64)
    zeros = torch.zeros(40, dtype=torch.float64)
    gamma = zeros.index_add(0, items, clicks) / zeros.index_add(0, items, theta.detach()[positions])
    gamma = gamma.requires_grad_()
    rates = theta[positions] * gamma[items]
    likelihood = (clicks * rates.clamp(min=1e-12).log() - rates).sum()
    slopes = torch.autograd.grad(likelihood, [theta, gamma])
    assert slopes[0][1:].abs().max() < 0.05 * clicks.sum() / 10
    assert slopes[1][gamma > 0].abs().max() < 1e-6


def test_positions_that_no_item_ties_together_are_refused() -> None:
    lists = _items_at(0.0, 50)
    assert lists.positions is not None
    fixed = dataclasses.replace(lists, items=lists.positions - 1)
    with pytest.raises(ModelError, match=r"several positions.*click-rate"):
        item_effects(fixed)


def test_a_position_without_clicks_gets_the_smallest_estimate() -> None:
    lists = _items_at(0.0)
    assert lists.positions is not None
    assert lists.clicks is not None
    none = dataclasses.replace(lists, clicks=lists.clicks & (lists.positions != 7))
    for estimate in (click_rates, item_effects):
        found = estimate(none)
        assert found[7] == 1e-4
        assert found[[1, 2, 6, 8]].min() > 0.05


def test_estimates_are_facts_and_given_ones_are_not() -> None:
    context = RankingContext(logged(200, 1.0, 0.0))
    facts = build("ipw", context, propensities="click-rate").facts()
    np.testing.assert_allclose(list(facts.values()), click_rates(context.train)[1:], rtol=1e-5)
    assert build("ipw", context).facts() == {}
