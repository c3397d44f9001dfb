from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from mmrec_bench.models.retrieval.lightgcn import LightGCN, LightGCNConfig
from mmrec_bench.models.retrieval.selfcf import SelfCF, SelfCFConfig
from mmrec_bench.retrieval.base import Representations


def build(toy: Any, **options: Any) -> SelfCF:
    torch.manual_seed(0)
    return SelfCF(SelfCFConfig(**{"embedding_dim": 6, **options}), toy.context)


def lightgcn(toy: Any, model: SelfCF) -> Representations:
    """The vectors that LightGCN makes of the same tables."""
    other = LightGCN(LightGCNConfig(embedding_dim=6, n_layers=model.config.n_layers), toy.context)
    other.load_state_dict({name: value for name, value in model.state_dict().items() if "predictor" not in name})
    vectors = other.export()
    assert isinstance(vectors, Representations)
    return vectors


@pytest.mark.parametrize("edge_dropout", [0.0, 0.7, "uniform"])
def test_in_evaluation_vectors_are_those_of_lightgcn(toy: Any, edge_dropout: Any) -> None:
    model = build(toy, edge_dropout=edge_dropout)
    plain, vectors = lightgcn(toy, model), model.export()
    torch.testing.assert_close(vectors.users, torch.cat((model.predictor(plain.users), plain.users), 1).detach())
    torch.testing.assert_close(vectors.items, torch.cat((plain.items, model.predictor(plain.items)), 1).detach())


@pytest.mark.parametrize(("reduction", "divisor"), [("mean", 8), ("sum", 1)])
def test_the_loss_follows_its_formula(toy: Any, reduction: Any, divisor: int) -> None:
    model, batch = build(toy, reg_reduction=reduction, reg_weight=0.3).eval(), toy.batch(build(toy))
    plain = lightgcn(toy, model)
    users, items = plain.users[batch.users], plain.items[batch.items]
    cosines = [F.cosine_similarity(model.predictor(a), b).mean() for a, b in ((users, items), (items, users))]
    expected = {
        "user-item": -cosines[0] / 2,
        "item-user": -cosines[1] / 2,
        "reg": 0.3 * 0.5 * (users.square().sum() + items.square().sum()) / divisor,
    }
    torch.testing.assert_close(model.loss(batch), expected)


def test_targets_are_dropped_out_in_training_alone_and_carry_no_gradient(toy: Any) -> None:
    model = build(toy, reg_weight=0.0)
    batch = toy.batch(model)
    assert model.loss(batch)["user-item"] != model.loss(batch)["user-item"]
    model.eval()
    assert model.loss(batch)["user-item"] == model.loss(batch)["user-item"]
    torch.nn.init.zeros_(model.predictor.weight)  # predictions no longer depend on the vectors: only targets do
    torch.stack(list(model.loss(batch).values())).sum().backward()
    assert model.users.weight.grad is not None
    assert not model.users.weight.grad.any()


def test_shares_of_edges_are_drawn_for_every_step(toy: Any) -> None:
    drawn = build(toy, edge_dropout="uniform")
    rates = torch.tensor([drawn._edge_dropout() for _ in range(2000)])
    torch.testing.assert_close(rates.histc(4, 0.0, 1.0) / 2000, torch.full((4,), 0.25), atol=0.05, rtol=0.0)
    assert {build(toy, edge_dropout=0.3)._edge_dropout() for _ in range(3)} == {0.3}
    assert drawn.eval()._edge_dropout() == 0.0


@pytest.mark.parametrize("edge_dropout", [0.4, "uniform"])
def test_edges_are_dropped_in_training(toy: Any, edge_dropout: Any) -> None:
    model = build(toy, edge_dropout=edge_dropout, dropout=0.0)
    batch = toy.batch(model)
    torch.manual_seed(5)
    first = model.loss(batch)["user-item"]
    assert first != model.loss(batch)["user-item"]
    torch.manual_seed(5)
    assert model.loss(batch)["user-item"] == first


@pytest.mark.parametrize("edge_dropout", [1.0, -0.1, "none", "0.5x"])
def test_other_shares_are_refused(edge_dropout: Any) -> None:
    with pytest.raises(ValidationError):
        SelfCFConfig(edge_dropout=edge_dropout)
