from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.graph.neighbours import knn_graph
from mmrec_bench.models.base import ModelContext, Triplets
from mmrec_bench.models.retrieval.lattice import LATTICE, LATTICEConfig, NeighbourLists
from mmrec_bench.retrieval.base import Representations
from tests.models.contexts import lacking

OPTIONS: dict[str, Any] = {"n_neighbors": 4, "embedding_dim": 6}
ABSENT = {"image": (3, 23), "text": (7, 23)}


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem, where items 3 and 7 lack a modality and item 23 lacks both."""
    return lacking(toy.context, ABSENT)


def build(context: ModelContext, **options: Any) -> LATTICE:
    torch.manual_seed(0)
    return LATTICE(LATTICEConfig(**{**OPTIONS, **options}), context)


def total(model: LATTICE, batch: Triplets) -> Tensor:
    return torch.stack(list(model.loss(batch).values())).sum()


def dense(lists: NeighbourLists) -> Tensor:
    n_items, n = lists.ids.shape
    places = (torch.arange(n_items).repeat_interleave(n), lists.ids.ravel())
    return torch.zeros(n_items, n_items).index_put(places, lists.values.ravel(), accumulate=True)


def slow_graph(model: LATTICE, context: ModelContext) -> Tensor:
    """S from its definition, all items against all, with the gradient of autograd."""
    weights = torch.softmax(model.learner.theta, dim=0)
    learned, initial = [], []
    for place, (modality, table) in enumerate(sorted(context.features.items())):
        projection = model.learner.projections[place]
        unit = F.normalize(projection.raw @ projection.linear.weight.T + projection.linear.bias, dim=1)
        cosines = unit @ unit.T
        kept = torch.zeros_like(cosines)
        there = [item for item in range(len(unit)) if item not in ABSENT[modality]]
        for row in there:
            best = sorted(there, key=lambda item: -cosines[row, item].item())[:4]
            kept[row, best] = 1.0
        learned.append(weights[place] * (cosines * kept).clamp(min=0))
        graph = knn_graph(table.filled(), table.present, 4, "cosine").toarray()
        initial.append(weights[place] * torch.from_numpy(graph))
    mixture = torch.stack(learned).sum(0)
    sums = mixture.sum(1)
    scale = torch.where(sums > 0, sums.clamp(min=1e-9).rsqrt(), 0.0)
    share = model.config.initial_weight
    return (1 - share) * scale[:, None] * mixture * scale + share * torch.stack(initial).sum(0)


def test_the_sparse_graph_is_the_dense_one_with_its_gradients(context: ModelContext) -> None:
    model, x = build(context), torch.randn(24, 5)
    slow = slow_graph(model, context)
    lists = model.learner()
    torch.testing.assert_close(dense(lists), slow, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(lists.product(x), slow @ x, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(lists.operator()(x), (slow @ x).detach(), rtol=1e-5, atol=1e-6)
    pull, names = torch.randn(24, 5), [name for name, _ in model.learner.named_parameters()]
    assert len(names) == 7
    fast_gradients, slow_gradients = (
        torch.autograd.grad(product, list(model.learner.parameters()), pull) for product in (lists.product(x), slow @ x)
    )
    for name, got, expected in zip(names, fast_gradients, slow_gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
        assert expected.abs().max() > 1e-4, name


def test_making_the_operator_leaves_the_lists_alone(context: ModelContext) -> None:
    lists = build(context).learner()
    ids, values = lists.ids.clone(), lists.values.detach().clone()
    lists.operator()
    assert torch.equal(lists.ids, ids)
    assert torch.equal(lists.values, values)


def test_vectors_follow_their_formula(context: ModelContext) -> None:
    model = build(context, n_item_layers=2)
    with torch.no_grad():
        graph, ids = slow_graph(model, context), model.items.all()
        adjacency = np.eye(15 + 24)
        adjacency[context.train.users, 15 + context.train.items] = 1
        adjacency[15 + context.train.items, context.train.users] = 1
        step = torch.from_numpy(adjacency / adjacency.sum(axis=1, keepdims=True)).float()
        start = torch.cat((model.users.all(), ids))
        users, items = ((start + step @ start + step @ step @ start) / 3).split((15, 24))
        smooth = F.normalize(graph @ (graph @ ids), dim=1)
    vectors = model.export()
    assert isinstance(vectors, Representations)
    assert not smooth[23].any()
    torch.testing.assert_close(vectors.users, users)
    torch.testing.assert_close(vectors.items, items + smooth)


def test_the_first_batch_of_an_epoch_builds_the_graph(context: ModelContext, toy: Any) -> None:
    model = build(context)
    for epoch in range(2):
        model.on_epoch_start(epoch)
        model.zero_grad()
        first = total(model, toy.triplets)
        first.backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
        gradients = [model.get_parameter(name).grad.clone() for name in ("users.weight", "items.weight")]
        model.zero_grad()
        later = total(model, toy.triplets)
        later.backward()
        torch.testing.assert_close(later, first)
        for name, parameter in model.named_parameters():
            assert (parameter.grad is None) == name.startswith("learner"), name
        torch.testing.assert_close(model.users.weight.grad, gradients[0])
        torch.testing.assert_close(model.items.weight.grad, gradients[1])


def test_later_batches_keep_the_graph_and_exports_do_not(context: ModelContext, toy: Any) -> None:
    model = build(context)
    model.on_epoch_start(0)
    before, exported = total(model, toy.triplets), model.export()
    with torch.no_grad():
        model.learner.theta += torch.tensor([3.0, -3.0])
    fresh = model.export()
    assert isinstance(fresh, Representations)
    assert isinstance(exported, Representations)
    assert not torch.equal(fresh.items, exported.items)
    torch.testing.assert_close(total(model, toy.triplets), before)
    model.on_epoch_start(1)
    assert total(model, toy.triplets) != before
    # Built only for what it scores: an export between two batches leaves training where it was.
    assert model.item_graph is not None


@pytest.mark.parametrize("stale_grad", ["none", "zeros"])
def test_graph_parameters_glide_on_momentum_or_stand_still(context: ModelContext, toy: Any, stale_grad: Any) -> None:
    model = build(context, stale_grad=stale_grad)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    places = []
    for _ in range(3):
        optimizer.zero_grad()
        total(model, toy.triplets).backward()
        optimizer.step()
        places.append([parameter.detach().clone() for parameter in model.learner.parameters()])
    for first, *later in zip(*places, strict=True):
        assert all(torch.equal(first, place) for place in later) == (stale_grad == "none")
    zeros, none = (total(build(context, stale_grad=kind), toy.triplets) for kind in ("zeros", "none"))
    assert zeros == none


def test_divisors_of_the_regulariser_differ_in_a_short_batch_alone(context: ModelContext, toy: Any) -> None:
    actual, configured = build(context), build(context, preset="released")
    short = Triplets(*(ids[:2] for ids in (toy.triplets.users, toy.triplets.positives, toy.triplets.negatives)))
    for batch, ratio in ((toy.triplets, 1.0), (short, 2 / 8)):
        torch.testing.assert_close(configured.loss(batch)["reg"], ratio * actual.loss(batch)["reg"])
    vectors = actual.export()
    assert isinstance(vectors, Representations)
    rows = vectors.users[short.users], vectors.items[short.positives], vectors.items[short.negatives]
    squares = sum(block.square().sum() for block in rows)
    torch.testing.assert_close(actual.loss(short)["reg"].detach(), 1e-4 * squares / 2 / 2)


def test_the_learned_graph_has_the_rest_of_the_weight(context: ModelContext) -> None:
    initial, learned, half = (dense(build(context, initial_weight=share).learner()) for share in (1.0, 0.0, 0.5))
    torch.testing.assert_close(half, (initial + learned) / 2)
    assert not torch.allclose(initial, learned, atol=1e-3)


def test_layers_of_ngcf(context: ModelContext, toy: Any) -> None:
    model, plain = build(context, backbone="ngcf"), build(context)
    graph = model.graph.matrix.tensor().to_dense()
    with torch.no_grad():
        layer = torch.cat((model.users.all(), model.items.all()))
        layers = [layer]
        for weights in model.ngcf:
            received = graph @ layer
            first, second = weights.messages, weights.affinities
            layer = F.leaky_relu(received @ first.weight.T + first.bias) + F.leaky_relu(
                (layer * received) @ second.weight.T + second.bias
            )
            layers.append(F.normalize(layer, dim=1))
    vectors, others = model.export(), plain.export()
    assert isinstance(vectors, Representations)
    assert isinstance(others, Representations)
    torch.testing.assert_close(vectors.users, torch.stack(layers).mean(0)[:15])
    assert not torch.allclose(vectors.users, others.users)
    assert total(model, toy.triplets) != total(model, toy.triplets)  # dropout
    model.eval()
    assert total(model, toy.triplets) == total(model, toy.triplets)


@pytest.mark.parametrize("backbone", ["lightgcn", "ngcf"])
def test_without_layers_users_are_their_table(context: ModelContext, backbone: Any) -> None:
    model = build(context, backbone=backbone, n_layers=0)
    vectors = model.export()
    assert isinstance(vectors, Representations)
    assert torch.equal(vectors.users, model.users.all())


def test_neighbours_of_many_items_go_by_id(context: ModelContext) -> None:
    same = np.ones((24, 10), np.float32)
    tables = {"image": FeatureTable("image", same, np.ones(24, np.bool_), "test")}
    lists = build(replace(context, features=tables)).learner()
    assert lists.ids[5, :4].tolist() == [5, 0, 1, 2]
