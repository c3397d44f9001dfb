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
from mmrec_bench.models.retrieval.layergcn import LayerGCN, LayerGCNConfig
from mmrec_bench.seeding import Seeds
from tests.models.contexts import exported


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem, with a user and an item that nobody has met."""
    train = toy.context.train
    return replace(toy.context, train=Interactions(train.users, train.items, 16, 25))


def build(context: ModelContext, **options: Any) -> LayerGCN:
    torch.manual_seed(0)
    return LayerGCN(LayerGCNConfig(**{"embedding_dim": 6, **options}), context)


def slow(model: LayerGCN, history: np.ndarray) -> Tensor:
    """Vectors of users above those of items, from the formulas, dense."""
    block = torch.from_numpy(history / np.sqrt(np.maximum(history.sum(1, keepdims=True) * history.sum(0), 1.0)))
    n_users, n_items = block.shape
    adjacency = torch.zeros(n_users + n_items, n_users + n_items)
    adjacency[:n_users, n_users:], adjacency[n_users:, :n_users] = block, block.T
    start = torch.cat((model.users.all(), model.items.all()))
    layer, layers = start, []
    for _ in range(model.config.n_layers):
        layer = adjacency @ layer
        layer = F.cosine_similarity(layer, start, eps=1e-8).unsqueeze(1) * layer
        layers.append(layer)
    return torch.stack(layers).sum(0)


@pytest.mark.parametrize("n_layers", [1, 3])
def test_vectors_and_gradients_follow_their_formula(context: ModelContext, n_layers: int) -> None:
    model = build(context, n_layers=n_layers, dropout=0.4)
    expected = slow(model, context.train.matrix().toarray())
    vectors = exported(model)
    torch.testing.assert_close(torch.cat((vectors.users, vectors.items)), expected.detach())
    assert not vectors.users[15].any()
    mine = torch.cat(model._propagate(model.items.all(), model.graph.full))
    probe = torch.randn(mine.shape, generator=torch.Generator().manual_seed(1))
    tables = (model.users.weight, model.items.weight)
    torch.testing.assert_close(
        torch.autograd.grad((mine * probe).sum(), tables), torch.autograd.grad((expected * probe).sum(), tables)
    )


def test_training_is_on_the_edges_of_the_epoch(context: ModelContext, toy: Any) -> None:
    model, batch = build(context, dropout=0.4, reg_weight=0.0), toy.triplets
    model.on_epoch_start(3)
    kept = (model.graph.pruned.matrix.tensor().to_dense() > 0).float().numpy()
    assert kept.sum() == int(66 * 0.6)
    users, items = slow(model, kept).split((16, 25))
    margins = (users[batch.users] * (items[batch.positives] - items[batch.negatives])).sum(1)
    torch.testing.assert_close(model.loss(batch)["bpr"], F.softplus(-margins).mean())


def test_reductions_differ_by_the_size_of_the_batch(context: ModelContext, toy: Any) -> None:
    mean, total = (build(context, reduction=reduction, reg_weight=0.5) for reduction in ("mean", "sum"))
    for term, value in mean.loss(toy.triplets).items():
        torch.testing.assert_close(total.loss(toy.triplets)[term], 8 * value)
    squares = mean.users.rows(toy.triplets.users).square().sum()
    squares += mean.items.rows(torch.cat((toy.triplets.positives, toy.triplets.negatives))).square().sum()
    torch.testing.assert_close(mean.loss(toy.triplets)["reg"], 0.5 * 0.5 * squares / 8)


def test_laws_of_edges_alternate_as_released(context: ModelContext) -> None:
    # User 0 holds items 0 to 19; users 1 to 19 hold item 0 and an item of their own.
    users = np.concatenate([np.zeros(20), np.arange(1, 20), np.arange(1, 20)]).astype(np.int64)
    items = np.concatenate([np.arange(20), np.zeros(19), np.arange(20, 39)]).astype(np.int64)
    stars = replace(context, train=Interactions(users, items, 20, 39), seeds=Seeds(2))

    def kept_centre(pruning: str, parity: int) -> float:
        model = build(stars, pruning=pruning, dropout=0.8)
        hits = []
        for epoch in range(parity, 400, 2):
            model.on_epoch_start(epoch)
            hits.append(model.graph.pruned.matrix.columns[: model.graph.pruned.matrix.offsets[1]].eq(0).any().item())
        return float(np.mean(hits))

    assert kept_centre("degree", 0) < 0.06
    assert kept_centre("degree", 1) < 0.06
    assert kept_centre("alternate", 0) < 0.06
    assert kept_centre("alternate", 1) == pytest.approx(0.2, abs=0.08)
