from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.models.base import ModelContext, Triplets
from mmrec_bench.models.retrieval.mvgae import MVGAE, MVGAEConfig, product_of_experts
from tests.models.contexts import exported

N_USERS, N_ITEMS = 15, 24


def build(context: ModelContext, **options: Any) -> MVGAE:
    torch.manual_seed(0)
    return MVGAE(MVGAEConfig(**{"embedding_dim": 6, "hidden_dim": 5, **options}), context)


@torch.no_grad()
def slow(model: MVGAE, context: ModelContext) -> list[tuple[Tensor, Tensor]]:
    """Mean and variance of each view, from the formulas: dense, one view at a time."""
    history = torch.from_numpy(context.train.matrix().toarray())
    adjacency = torch.eye(N_USERS + N_ITEMS)
    adjacency[:N_USERS, N_USERS:], adjacency[N_USERS:, :N_USERS] = history, history.T
    mean = adjacency / adjacency.sum(1, keepdim=True)

    def convolved(layer: Any, x: Tensor) -> Tensor:
        return F.leaky_relu(F.normalize(mean @ (x @ layer.weight) + layer.bias, dim=1))

    def mapped(layer: Any, x: Tensor) -> Tensor:
        return x @ layer.weight.T + layer.bias

    starts = [
        (preferences.weight, mapped(content.linear, torch.from_numpy(context.features[name].filled())))
        for preferences, content, name in zip(model.preferences, model.contents, ("image", "text"), strict=True)
    ]
    starts.append((model.users.weight, mapped(model.identities, model.items.all())))
    found = []
    for encoder, parts in zip(model.encoders, starts, strict=True):
        x = F.leaky_relu(mapped(encoder.merge, convolved(encoder.first, F.normalize(torch.cat(parts), dim=1))))
        mu, log = (
            mapped(head.output, convolved(head.convolution, x)) + F.leaky_relu(mapped(head.own, x))
            for head in (encoder.mean, encoder.log_variance)
        )
        found.append((mu, log.exp()))
    return found


def fused(views: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The product of the densities, one after the other."""
    mean, variance = views[0]
    for other, spread in views[1:]:
        mean = (mean / variance + other / spread) / (1 / variance + 1 / spread)
        variance = 1 / (1 / variance + 1 / spread)
    return mean, variance


def test_vectors_follow_their_formula(toy: Any) -> None:
    model = build(toy.context)
    expected = torch.sigmoid(fused(slow(model, toy.context))[0])
    torch.testing.assert_close(exported(model).users, expected[:N_USERS], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(exported(model).items, expected[N_USERS:], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("released", [False, True])
def test_the_loss_follows_its_formula(toy: Any, released: bool) -> None:
    options: dict[str, Any] = {"preset": "released" if released else "clean", "kl_weight": 0.5}
    model, batch = build(toy.context, **options).eval(), toy.triplets
    views = slow(model, toy.context)
    ranking = divergence = 0.0
    for mean, variance in (*views, fused(views)):
        z = torch.sigmoid(mean)
        offset = 0 if released else N_USERS
        for user, positive, negative in zip(*(ids.tolist() for ids in vars_of(batch)), strict=True):
            liked, other = z[user] @ z[offset + positive], z[user] @ z[offset + negative]
            if released:
                other = max(z[user] @ z[each] for each in batch.negatives)
                liked, other = torch.sigmoid(liked), torch.sigmoid(other)
            ranking += -float(torch.log(torch.sigmoid(liked - other)))
        divergence += float((variance + mean**2 - 1 - variance.log()).sum()) / 2 / (N_USERS + N_ITEMS)
    terms = model.loss(batch)
    assert terms["bpr"].item() == pytest.approx(ranking / math.log(2) if released else ranking / 8, rel=1e-5)
    assert terms["kl"].item() == pytest.approx(0.5 * divergence, rel=1e-4)


def vars_of(batch: Triplets) -> tuple[Tensor, Tensor, Tensor]:
    return batch.users, batch.positives, batch.negatives


def test_the_product_of_experts_is_that_of_their_densities() -> None:
    generator = torch.Generator().manual_seed(0)
    experts = [(torch.randn(4, 3, generator=generator), torch.randn(4, 3, generator=generator)) for _ in range(3)]
    mean, log = product_of_experts(experts)
    expected = fused([(mu, each.exp()) for mu, each in experts])
    torch.testing.assert_close(mean, expected[0])
    torch.testing.assert_close(log.exp(), expected[1])
    sure = product_of_experts([(torch.ones(1), torch.tensor([-200.0])), (torch.zeros(1), torch.tensor([200.0]))])
    assert sure[0].item() == 1.0
    assert torch.isfinite(sure[1]).all()


def permuted(context: ModelContext, places: np.ndarray) -> ModelContext:
    """The context in which item i is called places[i]."""
    features = {}
    for name, table in context.features.items():
        values = np.empty_like(table.values)
        values[places] = table.values
        features[name] = FeatureTable(name, values, np.ones(N_ITEMS, np.bool_), "permuted")
    train = context.train
    return replace(context, features=features, train=Interactions(train.users, places[train.items], N_USERS, N_ITEMS))


@pytest.mark.parametrize("item_offset", [True, False])
def test_other_numbers_of_items_change_the_loss_only_without_the_offset(toy: Any, item_offset: bool) -> None:
    places = np.random.default_rng(0).permutation(N_ITEMS)
    models = [build(c, item_offset=item_offset).eval() for c in (toy.context, permuted(toy.context, places))]
    state = models[0].state_dict()
    state["items.weight"] = torch.empty_like(state["items.weight"]).index_copy(
        0, torch.from_numpy(places), state["items.weight"]
    )
    models[1].load_state_dict(state)
    torch.testing.assert_close(exported(models[1]).items[places], exported(models[0]).items)
    named = torch.from_numpy(places)
    other = Triplets(toy.triplets.users, named[toy.triplets.positives], named[toy.triplets.negatives])
    same = torch.isclose(models[0].loss(toy.triplets)["bpr"], models[1].loss(other)["bpr"])
    assert bool(same) == item_offset


def test_sampling_and_dropout_are_for_training_alone(toy: Any) -> None:
    for options in ({"noise": 1.0, "dropout": 0.0}, {"noise": 0.0, "dropout": 0.5}):
        model = build(toy.context, **options)
        assert model.loss(toy.triplets)["bpr"] != model.loss(toy.triplets)["bpr"]
        torch.testing.assert_close(exported(model).users, exported(model).users, rtol=0, atol=0)
        model.eval()
        assert model.loss(toy.triplets)["bpr"] == model.loss(toy.triplets)["bpr"]
