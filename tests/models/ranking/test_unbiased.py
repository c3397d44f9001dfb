"""What all rankers that take the biases out of clicks have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmrec_bench.clicks.position import EYE_TRACKING
from mmrec_bench.errors import DataError
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ranking.base import RankingContext
from mmrec_bench.models.ranking.observation import log_popularity
from tests.models.ranking.worlds import biased, build, chance, fit, logged, ndcg, odd_batch, odd_context, severe

NAMES = ("ipw", "dla", "regression-em", "pair-debias", "two-tower", "inforank")

FAST: dict[str, dict[str, Any]] = {"regression-em": {"propensity_step": 0.3}, "pair-debias": {"ratio_norm": 0.0}}
"""Settings by which the bias is known after few batches."""

EPOCHS = {"regression-em": 16}
"""Epochs until it is; expectation and maximisation go slowly where most rows have no click."""


@pytest.mark.parametrize(
    ("name", "options", "gain"),
    [
        ("ipw", {}, 0.12),
        ("ipw", {"loss": "pointwise"}, 0.12),
        ("ipw", {"propensities": "click-rate"}, 0.12),
        ("ipw", {"propensities": "item-effects"}, 0.12),
        ("dla", {}, 0.12),
        ("regression-em", FAST["regression-em"], 0.06),
        ("regression-em", {**FAST["regression-em"], "targets": "expected"}, 0.06),
        ("pair-debias", {}, 0.03),
        ("pair-debias", FAST["pair-debias"], 0.1),
        ("two-tower", {}, 0.1),
        ("two-tower", {"link": "additive"}, 0.1),
        ("inforank", {}, 0.05),
    ],
)
def test_it_beats_who_takes_biased_clicks_as_they_are(name: str, options: dict[str, Any], gain: float) -> None:
    (train_lists, naive), (_, test) = biased(), severe()
    assert chance(test) + 0.2 < naive < 0.82
    assert ndcg(fit(name, train_lists, 4, **options), test) > naive + gain


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ipw", {"max_weight": None}),
        ("dla", {"max_weight": None}),
        ("regression-em", {"propensity_step": 0.3, "targets": "expected"}),
        ("two-tower", {}),
        ("two-tower", {"link": "additive"}),
    ],
)
def test_it_bears_severe_bias(name: str, options: dict[str, Any]) -> None:
    train_lists, test = severe()
    biased_clicks = ndcg(fit("mlp", train_lists, 4, learns_from="clicks"), test)
    assert ndcg(fit(name, train_lists, EPOCHS.get(name, 4), **options), test) > biased_clicks + 0.2


@pytest.mark.parametrize("severity", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    ("name", "fact", "options"),
    [
        ("dla", "propensity", {"max_weight": None}),
        ("regression-em", "observation", {"propensity_step": 0.3, "targets": "expected"}),
        ("pair-debias", "clicked", FAST["pair-debias"]),
        ("two-tower", "observation", {}),
        ("ipw", "propensity", {"propensities": "click-rate"}),
        ("ipw", "propensity", {"propensities": "item-effects"}),
    ],
)
def test_position_bias_is_recovered_from_random_orders(
    severity: float, name: str, fact: str, options: dict[str, Any]
) -> None:
    facts = fit(name, logged(4_000, severity, logging=0.0), EPOCHS.get(name, 4), **options).facts()
    found = np.array([facts[f"{fact}@{rank}"] for rank in range(1, 11)])
    assert np.corrcoef(found, np.array(EYE_TRACKING) ** severity)[0, 1] > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_serving_does_not_see_how_rows_were_shown(name: str) -> None:
    model = build(name, odd_context()).eval()
    inputs = odd_batch(odd_context(), "clicks").inputs
    before = model.arrange(inputs)
    served = ("scorer", "rows", "relevance_head", "joint_head")
    with torch.no_grad():
        for key, values in [*model.named_parameters(), *model.named_buffers()]:
            if key.split(".")[0] not in served:
                values.add_(1.0)
    after = model.arrange(inputs)
    assert torch.equal(before.order, after.order)
    assert torch.equal(before.scores, after.scores)


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="clicks"):
        MODELS[name].config.model_validate({"name": name, "learns_from": "labels"})


@pytest.mark.parametrize("name", NAMES)
def test_lists_without_clicks_are_refused(name: str) -> None:
    lists = logged(5, 1.0, 0.0)
    object.__setattr__(lists, "clicks", None)
    with pytest.raises(DataError, match=r"learns from clicks.*hold no"):
        fit(name, lists, 1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ipw", {"loss": "pointwise"}),
        ("ipw", {"propensities": "click-rate"}),
        ("ipw", {"max_weight": 1.5}),
        ("dla", {"max_weight": 0.9}),
        ("dla", {"popularity": "exposures"}),
        ("dla", {"popularity": "clicks"}),
        ("regression-em", {"targets": "expected"}),
        ("regression-em", {"propensity_step": 1.0}),
        ("pair-debias", {"ratio_step": 1.0}),
        ("pair-debias", {"ratio_norm": 0.0, "ratio_step": 0.5}),
        ("pair-debias", {"max_weight": 0.5}),
        ("two-tower", {"link": "additive"}),
        ("two-tower", {"popularity": "exposures"}),
        ("two-tower", {"popularity": "clicks"}),
    ],
)
def test_every_switch_counts(name: str, options: dict[str, Any]) -> None:
    def scores(some: dict[str, Any]) -> torch.Tensor:
        context = odd_context()
        batch, model = odd_batch(context, "clicks"), build(name, context, **some)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            torch.stack(list(model.loss(batch).values())).sum().backward()
            optimizer.step()
        return model.eval().score(batch.inputs)[batch.inputs.mask]

    base = {"ratio_step": 0.5} if "ratio_norm" in options else {}
    assert not torch.allclose(scores(base), scores(options), atol=1e-6)


def test_popularity_is_standardised_over_rows() -> None:
    context = odd_context()
    for of, weights in (("exposures", None), ("clicks", context.train.clicks)):
        found = log_popularity(context.train, of).numpy()
        counts = np.log1p(np.bincount(context.train.items, weights, context.train.n_items))
        assert np.corrcoef(found, counts)[0, 1] == pytest.approx(1, abs=1e-6)
        rows = found[context.train.items]
        assert rows.mean() == pytest.approx(0, abs=1e-6)
        assert rows.std() == pytest.approx(1, abs=1e-6)


def test_popularity_of_items_that_are_all_alike_says_nothing() -> None:
    lists = logged(4, 1.0, 0.0).select(np.array([0]))
    object.__setattr__(lists, "items", np.arange(len(lists)))
    assert not log_popularity(lists, "exposures").any()
    build("inforank", RankingContext(lists))
