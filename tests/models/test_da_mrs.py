from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import ModelContext, Triplets
from mmrec_bench.models.graded_relations import graded_relations
from mmrec_bench.models.retrieval.da_mrs import DAMRS, DAMRSConfig, own_part
from mmrec_bench.retrieval.base import Representations
from tests.models.contexts import lacking, with_audio

BATCH = Triplets(torch.tensor([0, 1, 1, 5]), torch.tensor([7, 3, 7, 7]), torch.tensor([3, 9, 7, 20]))


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem with audio, where items 3 and 4 have no image."""
    return lacking(with_audio(toy.context), {"image": (3, 4)})


def build(context: ModelContext, **options: Any) -> DAMRS:
    torch.manual_seed(0)
    model = DAMRS(DAMRSConfig(**{"embedding_dim": 6, "n_neighbors": 4, "min_shared_users": 1, **options}), context)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
def parts(model: DAMRS) -> tuple[Tensor, Tensor, Tensor]:
    """Behaviour of users and items and views of items, each graph as a dense matrix."""
    users, items = model.graph.propagate(model.users.all(), model.items.all(), model.config.n_layers)
    views = []
    for graph in model.item_graphs:
        dense = graph.matrix.tensor().to_dense()  # type: ignore[operator, union-attr]
        views.append(torch.linalg.matrix_power(dense, model.config.n_item_layers) @ model.items.all())
    return users, items, torch.stack(views)


@pytest.mark.parametrize("n_item_layers", [0, 1, 2])
@pytest.mark.parametrize("modalities", [("text",), ("image", "text"), ("audio", "image", "text")])
def test_vectors_follow_their_formula(context: ModelContext, modalities: tuple[str, ...], n_item_layers: int) -> None:
    context = replace(context, features={name: context.features[name] for name in modalities})
    model = build(context, n_item_layers=n_item_layers)
    assert len(model.item_graphs) == len(modalities) + 1
    users, items, views = parts(model)
    vectors = model.export()
    assert isinstance(vectors, Representations)
    torch.testing.assert_close(vectors.users, users)
    torch.testing.assert_close(vectors.items, items + views.mean(dim=0))


def test_terms_follow_their_formulas(context: ModelContext) -> None:
    """Written out pair by pair; in the preference and the relations what repeats counts once."""
    model = build(context, relation_weight=0.5, preference_weight=0.7, temperature=0.3, n_relations=4)
    users, items, views = parts(model)
    terms = model.loss(BATCH)

    def preference(user: int, item: int) -> Tensor:
        return torch.stack([torch.sigmoid(users[user] @ F.normalize(view[item], dim=0)) for view in views])

    triplets = list(zip(BATCH.users.tolist(), BATCH.positives.tolist(), BATCH.negatives.tolist(), strict=True))
    level = torch.stack([preference(user, other) for user, _, other in triplets]).mean()
    expected = torch.zeros(())
    final, n_noise = items + views.mean(dim=0), 0
    for user, liked, other in triplets:
        p = preference(user, liked)
        trusted = (p.mean() * torch.exp(-2 * p.var(unbiased=True))).clamp(0, 1)
        noise = (p.max() - level).clamp(0, 1) if p.mean() < level else torch.zeros(())
        n_noise += bool(noise)
        gap = users[user] @ (final[liked] - final[other])
        expected += -(trusted * F.logsigmoid(gap) + noise * F.logsigmoid(-gap)) / len(triplets)
    assert 0 < n_noise < len(triplets)
    torch.testing.assert_close(terms["bpr"], expected)

    ids = [3, 7, 9, 20]
    relations = graded_relations(F.normalize(views, dim=2), torch.tensor(ids), 4, 0.3) / 4
    torch.testing.assert_close(terms["relations"], 0.5 * relations)

    def divergence(one: Tensor, other: Tensor) -> Tensor:
        coins = (torch.distributions.Bernoulli(probs=p) for p in (one, other))
        return torch.distributions.kl_divergence(*coins)

    gaps = []
    for user in (0, 1, 5):
        for item in ids:
            g = torch.sigmoid(users[user] @ F.normalize(items[item], dim=0))
            m = torch.sigmoid(users[user] @ F.normalize(views.mean(dim=0)[item], dim=0))
            gaps.append(divergence(g, m) + divergence(m, g))
    torch.testing.assert_close(terms["preference"], 0.7 * torch.stack(gaps).mean(), rtol=1e-4, atol=1e-6)


def test_confidence_carries_no_gradient(context: ModelContext) -> None:
    """Without layers the slope at a user is that of its own weighed sigmoids alone."""
    model = build(context, relation_weight=0.0, preference_weight=0.0, n_layers=0)
    users, items, views = parts(model)
    p, n = (
        torch.stack([torch.sigmoid(users[0] @ F.normalize(view[item], dim=0)) for view in views]) for item in (7, 3)
    )
    trusted = (p.mean() * torch.exp(-2 * p.var())).clamp(0, 1)
    noise = ((p.max() - n.mean()) * (p.mean() < n.mean())).clamp(0, 1)
    difference = (items + views.mean(dim=0))[7] - (items + views.mean(dim=0))[3]
    gap = users[0] @ difference
    expected = torch.zeros_like(model.users.weight)
    expected[0] = (noise * torch.sigmoid(gap) - trusted * torch.sigmoid(-gap)) * difference
    model.loss(Triplets(BATCH.users[:1], BATCH.positives[:1], BATCH.negatives[:1]))["bpr"].backward()
    assert model.users.weight.grad is not None
    torch.testing.assert_close(model.users.weight.grad, expected)


def test_saturated_scores_stay_finite(context: ModelContext) -> None:
    model = build(context)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e3)
    loss = torch.stack(list(model.loss(BATCH).values())).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_batch_alone_is_its_own_part() -> None:
    assert own_part(torch.tensor([4, 2, 4, 9])).tolist() == [2, 4, 9]


def test_too_few_items_for_two_grades_are_refused(context: ModelContext) -> None:
    with pytest.raises(ModelError, match=r"more than 2 n_relations = 24 items; there are 24. Lower model.n_relations"):
        build(context, n_relations=12)
    build(context, n_relations=12, relation_weight=0.0)
