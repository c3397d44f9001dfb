from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.retrieval.dualgnn import DualGNN, DualGNNConfig
from tests.models.contexts import dense_adjacency, exported, normalised_block

OPTIONS: dict[str, Any] = {"embedding_dim": 6, "hidden_dim": 5, "n_user_neighbors": 3}


def build(context: ModelContext, **options: Any) -> DualGNN:
    torch.manual_seed(0)
    return DualGNN(DualGNNConfig(**{**OPTIONS, **options}), context)


def scores(model: DualGNN) -> Tensor:
    return exported(model).users @ exported(model).items.T


@torch.no_grad()
def encoded(model: DualGNN, context: ModelContext) -> list[Tensor]:
    """r of each modality for users, then items, from the formula, dense."""
    adjacency = dense_adjacency(normalised_block(context))
    found = []
    for place, modality in enumerate(("image", "text")):
        encoder = model.encoders[place]
        first, second = encoder.hidden.linear, encoder.output
        hidden = torch.from_numpy(context.features[modality].filled()) @ first.weight.T + first.bias
        content = F.leaky_relu(hidden) @ second.weight.T + second.bias
        x = torch.cat((F.normalize(encoder.preferences.weight, dim=1), F.normalize(content, dim=1)))
        found.append(x + adjacency @ x + adjacency @ adjacency @ x)
    return found


@torch.no_grad()
@pytest.mark.parametrize("alias", [False, True])
def test_vectors_follow_their_formula(toy: Any, alias: bool) -> None:
    model = build(toy.context, fusion_alias=alias)
    image, text = encoded(model, toy.context)
    users = image + text if alias else image
    users = (model.gates[:, 0] * users[:15]) + model.gates[:, 1] * text[:15]
    weights = model.user_graph.matrix.tensor().to_dense()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(15))
    torch.testing.assert_close(exported(model).users, users + weights @ users, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(exported(model).items, (image + text)[15:], rtol=1e-4, atol=1e-6)


def test_released_numbers_without_the_fault_of_the_fusion(toy: Any) -> None:
    model = DualGNN(
        DualGNNConfig(preset="released", fusion_alias=False, reg_weight=0.1, n_user_neighbors=2), toy.context
    )
    toy.fill(model)
    model.eval()
    loss = torch.stack(list(model.loss(toy.triplets).values())).sum()
    s = scores(model)
    found = (loss.item(), s[0, 3].item(), s[5, 20].item(), s.sum().item())
    assert found == pytest.approx((0.972677, 1.473138, -1.624554, 47.08126), rel=1e-4)


def test_the_fault_shows_where_the_first_modality_counts(toy: Any) -> None:
    published, aliased = (build(toy.context, fusion_alias=alias) for alias in (False, True))
    assert not torch.allclose(scores(published), scores(aliased))
    with torch.no_grad():
        for model in (published, aliased):
            model.gates[:, 0] = 0.0
    torch.testing.assert_close(scores(published), scores(aliased))


def test_gates_of_items_are_read_by_the_regulariser_alone(toy: Any) -> None:
    with_gates, without = (build(toy.context, reg_item_gates=kept, reg_weight=0.5) for kept in (True, False))
    assert without.item_gates is None
    assert with_gates.item_gates is not None
    without.load_state_dict(with_gates.state_dict(), strict=False)
    more = with_gates.loss(toy.triplets)["reg"] - without.loss(toy.triplets)["reg"]
    torch.testing.assert_close(more, 0.5 * with_gates.item_gates.square().mean())
    torch.testing.assert_close(scores(with_gates), scores(without), rtol=0, atol=0)


def test_the_loss_is_of_the_exported_vectors(toy: Any) -> None:
    model, batch = build(toy.context), toy.triplets
    users, items = exported(model).users[batch.users], exported(model).items
    margins = (users * (items[batch.positives] - items[batch.negatives])).sum(1)
    torch.testing.assert_close(model.loss(batch)["bpr"].detach(), F.softplus(-margins).mean())


def test_one_propagation_of_all_modalities_is_that_of_each(toy: Any) -> None:
    model = build(toy.context)
    preferences, contents = zip(*(encoder() for encoder in model.encoders), strict=True)
    wide = model.graph.propagate(torch.cat(preferences, dim=1), torch.cat(contents, dim=1), 2, pooling="sum")
    narrow = [
        model.graph.propagate(users, items, 2, pooling="sum")
        for users, items in zip(preferences, contents, strict=True)
    ]
    for side in (0, 1):
        torch.testing.assert_close(wide[side], torch.cat([tables[side] for tables in narrow], dim=1))
