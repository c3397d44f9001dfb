from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.retrieval.mmgcn import MMGCN, MMGCNConfig
from tests.models.contexts import dense_adjacency, exported


def build(context: ModelContext, **options: Any) -> MMGCN:
    torch.manual_seed(0)
    return MMGCN(MMGCNConfig(**{"embedding_dim": 6, "image_dim": 5, **options}), context)


@torch.no_grad()
def slow(model: MMGCN, context: ModelContext) -> Tensor:
    """Final vectors of users, then items, from the formulas: dense, one modality and one layer at a time."""
    history = torch.from_numpy(context.train.matrix().toarray())
    adjacency = dense_adjacency(history)
    mean = adjacency / adjacency.sum(1, keepdim=True).clamp(min=1)
    identities = torch.cat((model.users.weight, model.items.all()))
    found = []
    for view in model.views:
        features = torch.from_numpy(context.features[view.modality].filled())
        if view.modality == "image":
            features = features @ view.content.linear.weight.T + view.content.linear.bias
        x = F.normalize(torch.cat((view.preferences.weight, features)), dim=1)
        for layer in view.layers:
            heard = F.leaky_relu(mean @ x @ layer.weight)
            own = F.leaky_relu(x @ layer.own.weight.T + layer.own.bias) + identities
            if model.config.combine == "add":
                x = F.leaky_relu(heard @ layer.output.weight.T + layer.output.bias + own)
            else:
                x = F.leaky_relu(torch.cat((heard, own), dim=1) @ layer.output.weight.T + layer.output.bias)
        found.append(x)
    return torch.stack(found).mean(0)


@pytest.mark.parametrize("combine", ["concat", "add"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_vectors_follow_their_formula(toy: Any, n_layers: int, combine: str) -> None:
    model = build(toy.context, n_layers=n_layers, combine=combine)
    expected = slow(model, toy.context)
    torch.testing.assert_close(exported(model).users, expected[:15], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(exported(model).items, expected[15:], rtol=1e-4, atol=1e-6)


def test_the_loss_is_of_the_exported_vectors(toy: Any) -> None:
    model, batch = build(toy.context, reg_weight=0.5), toy.triplets
    users, items = exported(model).users[batch.users], exported(model).items
    margins = (users * (items[batch.positives] - items[batch.negatives])).sum(1)
    terms = model.loss(batch)
    torch.testing.assert_close(terms["bpr"].detach(), F.softplus(-margins).mean())
    of_items = model.items.rows(torch.cat((batch.positives, batch.negatives)))
    parts = [model.users.weight[batch.users], of_items, *(view.preferences.weight for view in model.views)]
    torch.testing.assert_close(terms["reg"], 0.5 * sum(part.square().mean() for part in parts))


def gradients(model: MMGCN, toy: Any) -> dict[str, Tensor]:
    torch.stack(list(model.loss(toy.triplets).values())).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_the_regulariser_reaches_what_is_trained_and_nothing_that_is_not(toy: Any) -> None:
    frozen, heavy = (gradients(build(toy.context, preset="released", reg_weight=w), toy) for w in (0.0, 10.0))
    assert frozen.keys() == heavy.keys()
    assert all(torch.equal(frozen[name], heavy[name]) for name in frozen)
    trained, heavy = (gradients(build(toy.context, reg_weight=w), toy) for w in (0.0, 10.0))
    free = {"users.weight", "items.weight", "views.0.preferences.weight", "views.1.preferences.weight"}
    assert trained.keys() - frozen.keys() == free
    assert {name for name in trained if not torch.equal(trained[name], heavy[name])} == free


def test_the_released_regulariser_holds_preferences_of_images_alone(toy: Any) -> None:
    both, image = (build(toy.context, reg_weight=1.0, reg_preferences=scope) for scope in ("all", "image"))
    more = both.loss(toy.triplets)["reg"] - image.loss(toy.triplets)["reg"]
    assert [view.modality for view in both.views] == ["image", "text"]
    torch.testing.assert_close(more, both.views[1].preferences.weight.square().mean())


def test_modalities_side_by_side_are_the_mean_of_each_alone(toy: Any) -> None:
    both = build(toy.context)
    total = torch.zeros_like(exported(both).items)
    for place, name in enumerate(("image", "text")):
        alone = build(replace(toy.context, features={name: toy.context.features[name]}))
        alone.views[0].load_state_dict(both.views[place].state_dict())
        alone.users.load_state_dict(both.users.state_dict())
        alone.items.load_state_dict(both.items.state_dict())
        total += exported(alone).items / 2
    torch.testing.assert_close(exported(both).items, total)
