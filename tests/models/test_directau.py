from __future__ import annotations

from typing import Any

import pytest
import torch

from mmrec_bench.models.base import Pairs
from mmrec_bench.models.retrieval.directau import DirectAU, DirectAUConfig
from mmrec_bench.models.retrieval.lightgcn import LightGCN, LightGCNConfig
from mmrec_bench.retrieval.base import Representations

BATCH = Pairs(torch.tensor([2, 0, 2, 1, 0]), torch.tensor([1, 1, 3, 0, 1]))


def build(toy: Any, **options: Any) -> DirectAU:
    torch.manual_seed(0)
    return DirectAU(DirectAUConfig(**{"embedding_dim": 6, **options}), toy.context)


def uniformity(rows: torch.Tensor) -> torch.Tensor:
    return torch.pdist(rows).square().mul(-2).exp().mean().log()


@pytest.mark.parametrize("n_layers", [0, 1, 2])
def test_loss_and_gradients_follow_their_formula(toy: Any, n_layers: int) -> None:
    model = build(toy, n_layers=n_layers, uniformity_weight=1.5)
    tables = model.users.all(), model.items.all()
    users, items = model.graph.propagate(*tables, n_layers)
    left, right = (
        rows[ids] / rows[ids].norm(dim=1, keepdim=True) for rows, ids in ((users, BATCH.users), (items, BATCH.items))
    )
    expected = {
        "alignment": (left - right).square().sum(1).mean(),
        "uniformity-users": 0.75 * uniformity(left),
        "uniformity-items": 0.75 * uniformity(right),
    }
    found = model.loss(BATCH)
    torch.testing.assert_close(found, expected)
    sums = [torch.stack(list(terms.values())).sum() for terms in (found, expected)]
    gradients = [torch.autograd.grad(each, tables, retain_graph=True) for each in sums]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_layers", [0, 2])
def test_vectors_are_those_of_lightgcn(toy: Any, n_layers: int) -> None:
    model = build(toy, n_layers=n_layers)
    lightgcn = LightGCN(LightGCNConfig(embedding_dim=6, n_layers=n_layers), toy.context)
    lightgcn.load_state_dict(model.state_dict())
    ours, theirs = model.export(), lightgcn.export()
    assert isinstance(theirs, Representations)
    assert torch.equal(ours.users, theirs.users)
    assert torch.equal(ours.items, theirs.items)


def test_the_loss_does_not_see_lengths(toy: Any) -> None:
    model = build(toy)
    before = model.loss(BATCH)
    with torch.no_grad():
        model.users.weight.mul_(torch.linspace(0.5, 3.0, 15).unsqueeze(1))
    torch.testing.assert_close(model.loss(BATCH), before)
