from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.retrieval.grcn import GRCN, GRCNConfig
from tests.models.contexts import exported


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem with a user and an item that have no edge."""
    train = toy.context.train
    features = {
        name: replace(
            table, values=np.concatenate((table.values, table.values[:1] + 0.5)), present=np.ones(25, np.bool_)
        )
        for name, table in toy.context.features.items()
    }
    return replace(toy.context, train=Interactions(train.users, train.items, 16, 25), features=features)


def build(context: ModelContext, **options: Any) -> GRCN:
    torch.manual_seed(0)
    model = GRCN(GRCNConfig(**{"embedding_dim": 6, **options}), context)
    with torch.no_grad():
        model.user_confidences.weight.normal_()
        model.items.get_parameter("weight").normal_()
        model.item_confidences.weight.normal_()
    return model


@torch.no_grad()
def slow(model: GRCN, context: ModelContext) -> tuple[Tensor, Tensor]:
    """Vectors of users and items from the formulas: edge by edge, node by node, every round made."""
    config, n_users, n_items = model.config, context.train.n_users, context.train.n_items
    edges = list(zip(context.train.users.tolist(), context.train.items.tolist(), strict=True))
    confidences = torch.cat((model.user_confidences.weight, model.item_confidences.weight))
    directed = [(u, n_users + i) for u, i in edges] + [(n_users + i, u) for u, i in edges]  # source, target

    def attention(x: Tensor, within: list[tuple[int, int]]) -> dict[tuple[int, int], float]:
        found = {}
        for target in {target for _, target in within}:
            sources = [source for source, other in within if other == target]
            shares = torch.softmax(x[sources] @ x[target], 0)
            found |= {(source, target): share.item() for source, share in zip(sources, shares, strict=True)}
        return found

    def messages(weights: dict[tuple[int, int], float], x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for (source, target), weight in weights.items():
            total[target] += weight * x[source]
        return total

    collected = directed[: len(edges)] if config.routing_direction == "user-to-item" else directed[len(edges) :]
    content, weights = [], []
    for view in model.views:
        features = torch.from_numpy(context.features[view.modality].filled())
        linear = view.content.linear
        items = F.normalize(F.leaky_relu(features @ linear.weight.T + linear.bias), dim=1)
        users = F.normalize(view.preferences.weight, dim=1)
        for _ in range(config.n_routings):
            x = torch.cat((users, items))
            users = F.normalize(users + messages(attention(x, collected), x)[:n_users], dim=1)
        x = torch.cat((users, items))
        weights.append(attention(x, directed))
        content.append(x + messages(weights[-1], x))
    kept = {
        edge: max(0.0, *(shares[edge] * confidences[edge[0], m].item() for m, shares in enumerate(weights)))
        for edge in directed
    }
    x = F.normalize(torch.cat((model.users.weight, model.items.all())), dim=1)
    total = x
    for _ in range(config.n_layers):
        x = messages(kept, x)
        total = total + x
    vectors = torch.cat((total, *content), dim=1)
    assert len(vectors) == n_users + n_items
    return vectors[:n_users], vectors[n_users:]


@pytest.mark.parametrize("n_layers", [0, 2])
@pytest.mark.parametrize("direction", ["item-to-user", "user-to-item"])
def test_vectors_follow_their_formula(context: ModelContext, direction: str, n_layers: int) -> None:
    model = build(context, routing_direction=direction, n_layers=n_layers)
    users, items = slow(model, context)
    torch.testing.assert_close(exported(model).users, users, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(exported(model).items, items, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_routings", [1, 3, 10])
def test_released_rounds_change_nothing_and_published_ones_do(context: ModelContext, n_routings: int) -> None:
    none, some = (build(context, preset="released", n_routings=n) for n in (0, n_routings))
    torch.testing.assert_close(exported(none).users, exported(some).users, rtol=0, atol=0)
    torch.testing.assert_close(slow(some, context)[0], exported(none).users, rtol=1e-4, atol=1e-6)
    none, some = (build(context, n_routings=n) for n in (0, n_routings))
    assert not torch.allclose(exported(none).users, exported(some).users)


def test_the_loss_is_of_the_exported_vectors(toy: Any) -> None:
    model, batch = build(toy.context, reg_weight=0.5), toy.triplets
    users, items = exported(model).users[batch.users], exported(model).items
    margins = (users * (items[batch.positives] - items[batch.negatives])).sum(1)
    terms = model.loss(batch)
    torch.testing.assert_close(terms["bpr"].detach(), F.softplus(-margins).mean())
    rows = [model.users.rows(batch.users), model.items.rows(torch.cat((batch.positives, batch.negatives)))]
    rows += [view.preferences.rows(batch.users) for view in model.views]
    torch.testing.assert_close(terms["reg"], 0.5 * sum(part.square().mean() for part in rows))


def test_the_released_regulariser_holds_preferences_of_images_twice(toy: Any) -> None:
    once, twice = (build(toy.context, reg_weight=1.0, reg_image_twice=more) for more in (False, True))
    more = twice.loss(toy.triplets)["reg"] - once.loss(toy.triplets)["reg"]
    torch.testing.assert_close(more, once.views[0].preferences.weight.square().mean())


def test_edges_that_no_modality_speaks_for_are_cut(context: ModelContext) -> None:
    cut, none = build(context), build(context, n_layers=0)
    with torch.no_grad():
        for model in (cut, none):
            model.user_confidences.weight.fill_(-1.0)
            model.item_confidences.weight.fill_(-1.0)
    torch.testing.assert_close(exported(cut).items, exported(none).items, rtol=0, atol=0)
    assert not torch.allclose(exported(build(context)).items[:, :6], exported(none).items[:, :6])
