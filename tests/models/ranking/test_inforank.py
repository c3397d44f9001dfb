"""InfoRank: what the regulariser does, what serving cannot see, and the truth behind biased clicks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmrec_bench.clicks.position import EYE_TRACKING
from mmrec_bench.models.ranking.base import RankingContext
from mmrec_bench.models.ranking.inforank import InfoRank, InfoRankConfig
from mmrec_bench.models.ranking.padding import PaddedLists
from tests.models.ranking.worlds import CPU, build, chance, fit, logged, naive, ndcg, odd_batch, odd_context, severe

JOINTS = ("chain", "log-linear", "three-head")
SWITCHES = {
    "attention": ({"attention": "list"}, {"attention": "none"}),
    "n_layers": ({"n_layers": 2},),
    "n_heads": ({"n_heads": 1},),
    "dropout": ({"dropout": 0.5},),
    "observation": ({"observation": "bias+context"},),
    "popularity": ({"popularity": "clicks"}, {"popularity": "none"}),
    "joint": ({"joint": "log-linear"}, {"joint": "three-head"}),
    "cmi": ({"observation": "bias+context", "cmi": "batch"},),
    "cmi_weight": ({"cmi_weight": 0.1}, {"cmi_weight": 0}),
    "item_ids": ({"item_ids": True},),
}


def _model(context: RankingContext | None = None, **options: object) -> InfoRank:
    model: InfoRank = build("inforank", context or odd_context(), **options)
    return model


@pytest.mark.parametrize("joint", JOINTS)
@pytest.mark.parametrize("observation", ["bias", "bias+context"])
def test_the_regulariser_is_alive_at_the_start(joint: str, observation: str) -> None:
    model = _model(joint=joint, observation=observation, dropout=0.0)
    loss = model.loss(odd_batch(odd_context(), "clicks"))["cmi"]
    assert loss.item() > 0
    loss.backward()
    heads = (model.observation_head, model.relevance_head, model.joint_head)
    for parameters in (*(head.parameters() for head in heads), model.rows.parameters(), model.shown.parameters()):
        assert any(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in parameters)


@pytest.mark.parametrize("joint", JOINTS)
def test_the_click_term_is_the_cross_entropy_of_observed_and_relevant(joint: str) -> None:
    batch = odd_batch(odd_context(), "clicks")
    model = _model(joint=joint, dropout=0.0, cmi_weight=0)
    found, relevance = model.joint(batch)
    mask = batch.inputs.mask
    clicks = found.observation.sigmoid() * found.observed.sigmoid()
    terms = model.loss(batch)
    expected = torch.nn.functional.binary_cross_entropy(clicks[mask], batch.targets[mask])
    torch.testing.assert_close(terms.pop("click"), expected)
    if joint == "three-head":
        product = found.observation.sigmoid() * relevance.sigmoid()
        expected = torch.nn.functional.binary_cross_entropy(product[mask], batch.targets[mask])
        torch.testing.assert_close(terms.pop("product"), expected)
    assert not terms


def test_the_regulariser_is_the_mean_of_rows_by_its_weight() -> None:
    batch = odd_batch(odd_context(), "clicks")
    model = _model(dropout=0.0, cmi_weight=3.0)
    rows = model.joint(batch)[0].mutual_information()[batch.inputs.mask]
    torch.testing.assert_close(model.loss(batch)["cmi"], 3.0 * rows.mean())


@pytest.mark.parametrize("joint", JOINTS)
def test_serving_sees_neither_position_nor_popularity(joint: str) -> None:
    model = _model(joint=joint).eval()
    batch = odd_batch(odd_context(), "clicks")
    before = model.arrange(batch.inputs)
    estimated = model.joint(batch)[0].observation
    with torch.no_grad():
        model.shown.positions.add_(torch.randn_like(model.shown.positions))
        model.shown.counts.add_(3 * torch.randn_like(model.shown.counts))
    after = model.arrange(batch.inputs)
    assert torch.equal(before.scores, after.scores)
    assert torch.equal(before.order, after.order)
    assert not torch.allclose(estimated, model.joint(batch)[0].observation, atol=1e-3)


@pytest.mark.parametrize("joint", JOINTS)
def test_what_is_served_is_the_relevance_of_the_joint(joint: str) -> None:
    model = _model(joint=joint).eval()
    batch = odd_batch(odd_context(), "clicks")
    torch.testing.assert_close(model.score(batch.inputs), model.joint(batch)[1])


@pytest.mark.parametrize("joint", ["chain", "log-linear"])
def test_the_marginal_takes_the_mean_observation(joint: str) -> None:
    model = _model(joint=joint, serving="marginal").eval()
    batch = odd_batch(odd_context(), "clicks")
    model.mean_observation.fill_(0.25)
    found, _ = model.joint(batch)
    expected = 0.25 * found.observed.sigmoid() + 0.75 * found.unobserved.sigmoid()
    torch.testing.assert_close(model.score(batch.inputs), expected)


def test_the_mean_observation_follows_training_alone() -> None:
    model = _model(dropout=0.0)
    batch = odd_batch(odd_context(), "clicks")
    mean = model.joint(batch)[0].observation.sigmoid()[batch.inputs.mask].mean()
    model.eval().loss(batch)
    assert model.facts()["mean_observation"] == 0.5
    model.train().loss(batch)
    assert model.facts()["mean_observation"] == pytest.approx(mean.item()), "one batch is an epoch"


@pytest.mark.parametrize(("batch_size", "step"), [(1, 0.01), (4, 0.02), (10**6, 1.0)])
def test_the_mean_observation_is_of_the_last_epoch_or_so(batch_size: int, step: float) -> None:
    few = odd_context()
    context = dataclasses.replace(few, train=few.train.select(np.arange(200) % 5), batch_size=batch_size)
    model = _model(context, dropout=0.0)
    batch = odd_batch(context, "clicks")
    mean = model.joint(batch)[0].observation.sigmoid()[batch.inputs.mask].mean()
    model.train().loss(batch)
    assert model.facts()["mean_observation"] == pytest.approx(0.5 + step * (mean.item() - 0.5))


def test_attention_reaches_as_far_as_it_says() -> None:
    inputs = odd_batch(odd_context(), "clicks").inputs
    assert inputs.features is not None
    features = inputs.features.clone()
    features[0, 0] += 1.0  # another first row
    other = dataclasses.replace(inputs, features=features)
    for attention in ("field", "list", "none"):
        model = _model(attention=attention).eval()
        changed = model.score(inputs)[0, 1:4] != model.score(other)[0, 1:4]
        assert changed.all() == (attention == "list")
        assert changed.any() == (attention == "list")


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_counts(switch: str) -> None:
    def scores(options: dict[str, object]) -> torch.Tensor:
        context = odd_context()
        model = _model(context, **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(3):
            optimizer.zero_grad()
            torch.stack(list(model.loss(odd_batch(context, "clicks")).values())).sum().backward()
            optimizer.step()
        return model.eval().score(odd_batch(context, "clicks").inputs)

    for options in SWITCHES[switch]:
        assert not torch.allclose(scores({}), scores(options), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_heads": 3}, "multiple of n_heads"),
        ({"cmi": "batch"}, r"Use observation: bias\+context"),
        ({"joint": "three-head", "serving": "marginal"}, "leave serving out"),
        ({"learns_from": "labels"}, "learns_from"),
    ],
)
def test_combinations_without_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        InfoRankConfig.model_validate(options)


@pytest.mark.parametrize("severity", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_position_bias_is_recovered_from_clicks_on_random_orders(severity: float) -> None:
    model: InfoRank = fit("inforank", logged(4_000, severity, logging=0.0), 4, popularity="none")
    found = np.array([model.facts()[f"observation@{rank}"] for rank in range(1, 11)])
    true = np.array(EYE_TRACKING) ** severity
    if severity:
        assert np.corrcoef(found, true)[0, 1] > 0.99
    assert np.abs(found / found[0] - true / true[0]).max() < 0.2


def test_popularity_bias_is_recovered_beside_position_bias() -> None:
    lists = logged(6_000, 1.0, logging=0.0, popularity=True)
    assert lists.propensities is not None
    batch = PaddedLists(lists, np.zeros(lists.n_items, np.int64), CPU).batch(torch.arange(lists.n_lists), "clicks")

    def correlation(popularity: str) -> float:
        model: InfoRank = fit("inforank", lists, 4, popularity=popularity)
        with torch.no_grad():
            found = model.joint(batch)[0].observation.sigmoid()
        return float(np.corrcoef(found.flatten().numpy(), lists.propensities)[0, 1])

    assert correlation("exposures") > 0.97
    assert correlation("none") < 0.95


@pytest.mark.parametrize(
    "options", [{}, {"attention": "none"}, {"attention": "list"}, {"joint": "log-linear"}, {"joint": "three-head"}]
)
def test_it_sees_through_clicks_that_mislead(options: dict[str, object]) -> None:
    train_lists, test = severe()
    assert chance(test) < naive() < 0.7
    assert ndcg(fit("inforank", train_lists, 5, popularity="none", **options), test) > naive() + 0.15


def test_only_the_regulariser_tells_what_nobody_observes() -> None:
    # Clicks say nothing of P(r | o=0): without the regulariser it is anything, and so is the marginal.
    train_lists, _ = severe()
    batch = PaddedLists(train_lists, np.zeros(train_lists.n_items, np.int64), CPU).batch(torch.arange(500), "clicks")
    gaps = []
    for weight in (1.0, 0.0):
        model: InfoRank = fit("inforank", train_lists, 5, popularity="none", cmi_weight=weight)
        joint, _ = model.joint(batch)
        gaps.append((joint.observed.sigmoid() - joint.unobserved.sigmoid()).abs().mean().item())
    assert gaps[0] < 0.05 < 0.15 < gaps[1]
