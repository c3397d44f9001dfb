from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.models.base import Triplets
from mmrec_bench.models.retrieval.lightgcn import LightGCN, LightGCNConfig
from mmrec_bench.models.retrieval.simgcl import SimGCL, SimGCLConfig
from mmrec_bench.retrieval.base import Representations

BATCH = Triplets(torch.tensor([2, 0, 2, 1]), torch.tensor([1, 7, 3, 1]), torch.tensor([5, 5, 20, 9]))


def build(toy: Any, **options: Any) -> SimGCL:
    torch.manual_seed(0)
    return SimGCL(SimGCLConfig(**{"embedding_dim": 6, **options}), toy.context)


def slow(model: SimGCL, toy: Any, draws: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
    """Vectors of users above those of items, dense; with draws of each layer, those of one view."""
    history = torch.from_numpy(toy.context.train.matrix().toarray())
    adjacency = torch.zeros(39, 39)
    adjacency[:15, 15:] = history / (history.sum(1, keepdim=True) * history.sum(0)).sqrt().clamp(min=1)
    adjacency = adjacency + adjacency.T
    layer, layers = torch.cat((model.users.all(), model.items.all())), []
    for k in range(model.config.n_layers):
        layer = adjacency @ layer
        if draws is not None:
            noise = F.normalize(torch.cat(draws[k]), dim=1)
            layer = layer + model.config.noise * noise * torch.sign(layer)
        layers.append(layer)
    return torch.stack(layers).mean(0)


def contrast(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    return F.cross_entropy(F.normalize(one) @ F.normalize(other).T / temperature, torch.arange(len(one)))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_loss_and_gradients_follow_their_formula(toy: Any, n_layers: int) -> None:
    model = build(toy, n_layers=n_layers, noise=0.02, contrastive_weight=0.5, temperature=0.3, reg_weight=0.1)
    torch.manual_seed(7)
    draws = [(torch.rand(15, 12), torch.rand(24, 12)) for _ in range(n_layers)]
    plain = slow(model, toy)
    views = [slow(model, toy, [(u[:, half], i[:, half]) for u, i in draws]) for half in (slice(6), slice(6, 12))]
    users, items = plain.split((15, 24))
    margins = (users[BATCH.users] * (items[BATCH.positives] - items[BATCH.negatives])).sum(1)
    tables = model.users.all(), model.items.all()
    squares = tables[0][BATCH.users].square().sum()
    squares = squares + tables[1][torch.cat((BATCH.positives, BATCH.negatives))].square().sum()
    expected = {
        "bpr": F.softplus(-margins).mean(),
        "contrastive-users": 0.5 * contrast(*(view[BATCH.users] for view in views), 0.3),
        "contrastive-items": 0.5 * contrast(*(view[15:][BATCH.positives] for view in views), 0.3),
        "reg": 0.1 * squares / (2 * 4),
    }
    torch.manual_seed(7)
    found = model.loss(BATCH)
    torch.testing.assert_close(found, expected)
    for term in expected:
        gradients = [torch.autograd.grad(each[term], tables, retain_graph=True) for each in (found, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    vectors = model.export()
    assert isinstance(vectors, Representations)
    torch.testing.assert_close(torch.cat((vectors.users, vectors.items)), plain.detach())


def test_noise_has_the_signs_of_what_it_is_added_to_and_one_length(toy: Any) -> None:
    model = build(toy, noise=0.3)
    rows = torch.randn(50, 12, generator=torch.Generator().manual_seed(1))
    noise = model._noisy(rows) - rows
    assert (noise * rows > 0).all()
    torch.testing.assert_close(noise.view(50, 2, 6).norm(dim=-1), torch.full((50, 2), 0.3))
    assert not torch.allclose(noise[:, :6].abs(), noise[:, 6:].abs())
    assert torch.equal(model.eval()._noisy(rows), rows)


def test_without_contrast_it_is_lightgcn_without_its_first_layer(toy: Any) -> None:
    model = build(toy, contrastive_weight=0.0)
    lightgcn = LightGCN(LightGCNConfig(embedding_dim=6, n_layers=2), toy.context)
    lightgcn.load_state_dict(model.state_dict())
    ours, theirs = model.export(), lightgcn.export()
    assert isinstance(theirs, Representations)
    torch.testing.assert_close(2 * ours.users, 3 * theirs.users - model.users.all().detach())
    torch.testing.assert_close(2 * ours.items, 3 * theirs.items - model.items.all().detach())
