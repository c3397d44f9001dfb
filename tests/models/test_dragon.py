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
from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.retrieval.dragon import DRAGON, DRAGONConfig
from mmrec_bench.seeding import Seeds
from tests.models.contexts import dense_adjacency, exported, normalised_block

OPTIONS: dict[str, Any] = {"embedding_dim": 6, "hidden_dim": 5, "n_neighbors": 4, "n_user_neighbors": 3}


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem, where item 3 has no image, and user 15 has nothing in common with anybody."""
    image, train = toy.context.features["image"], toy.context.train
    present = np.ones(24, np.bool_)
    present[3] = False
    users, items = np.append(train.users, 15), np.append(train.items, 24)
    tables = {"image": FeatureTable("image", grown(image.values), np.append(present, True), "test")}
    tables["text"] = FeatureTable("text", grown(toy.context.features["text"].values), np.ones(25, np.bool_), "test")
    return replace(toy.context, train=Interactions(users, items, 16, 25), features=tables)


def grown(values: np.ndarray) -> np.ndarray:
    return np.concatenate((values, values[:1] + 0.5))


def build(context: ModelContext, **options: Any) -> DRAGON:
    torch.manual_seed(0)
    model = DRAGON(DRAGONConfig(**{**OPTIONS, **options}), context)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("missing.weight"):
                parameter.normal_()
    return model


@torch.no_grad()
def slow(model: DRAGON, context: ModelContext) -> tuple[Tensor, Tensor]:
    """Vectors of users and items before the homogeneous graphs, from the formulas, dense."""
    adjacency = dense_adjacency(normalised_block(context))
    users, items = [], []
    for place, modality in enumerate(("image", "text")):
        encoder = model.encoders[place]
        first, second = encoder.hidden.linear, encoder.output
        hidden = torch.from_numpy(context.features[modality].filled()) @ first.weight.T + first.bias
        if modality == "image":
            hidden[3] = encoder.hidden.missing.weight
        encoded = F.leaky_relu(hidden) @ second.weight.T + second.bias
        x = torch.cat((F.normalize(encoder.preferences.weight, dim=1), F.normalize(encoded, dim=1)))
        r = x + adjacency @ x + adjacency @ adjacency @ x
        users.append(model.gates[:, place] * r[:16])
        items.append(r[16:])
    return torch.cat(users, dim=1), torch.cat(items, dim=1)


@pytest.mark.parametrize("n_item_layers", [0, 1, 2])
def test_vectors_follow_their_formula(context: ModelContext, n_item_layers: int) -> None:
    model = build(context, n_item_layers=n_item_layers)
    users, items = slow(model, context)
    history = context.train.matrix().toarray()
    counts = history @ history.T
    weights = torch.zeros(16, 16)
    for user in range(16):
        others = [other for other in range(16) if other != user and counts[user, other] > 0]
        best = sorted(others, key=lambda other: (-counts[user, other], other))[:3]
        weights[user, best] = torch.softmax(torch.tensor(counts[user, best]), dim=0)
    assert not weights[15].any()
    graph = model.item_graph.matrix.tensor().to_dense()
    torch.testing.assert_close(exported(model).users, users + weights @ users, rtol=1e-4, atol=1e-6)
    smooth = torch.linalg.matrix_power(graph, n_item_layers) @ items
    torch.testing.assert_close(exported(model).items, items + smooth, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_item_layers", [0, 1, 2])
def test_the_loss_is_of_the_exported_vectors(context: ModelContext, toy: Any, n_item_layers: int) -> None:
    model, batch = build(context, n_item_layers=n_item_layers, reg_weight=0.5), toy.triplets
    users, items = exported(model).users[batch.users], exported(model).items
    margins = (users * (items[batch.positives] - items[batch.negatives])).sum(1)
    terms = model.loss(batch)
    torch.testing.assert_close(terms["bpr"].detach(), F.softplus(-margins).mean())
    squares = [encoder.preferences.weight[batch.users].square().mean() for encoder in model.encoders]
    torch.testing.assert_close(terms["reg"], 0.5 * (sum(squares) + model.gates.square().mean()))


def test_bases_of_the_logarithm(context: ModelContext, toy: Any) -> None:
    natural, binary = build(context), build(context, preset="released", pad="none")
    for term, value in natural.loss(toy.triplets).items():
        torch.testing.assert_close(math.log(2) * binary.loss(toy.triplets)[term], value, rtol=1e-3, atol=0.0)
    assert natural.config.log_base == "e"
    assert binary.config.log_base == 2


def test_padding_is_drawn_by_seed_and_epoch_for_training_alone(context: ModelContext, toy: Any) -> None:
    options = {"pad": "resample", "n_user_neighbors": 40}

    def losses(model: DRAGON) -> list[float]:
        found = []
        for epoch in (0, 1, 0):
            model.on_epoch_start(epoch)
            found.append(model.loss(toy.triplets)["bpr"].item())
        return found

    padded, plain = build(context, **options), build(context, n_user_neighbors=40)
    first = padded.loss(toy.triplets)["bpr"].item()
    zero, one, again = losses(padded)
    assert first == zero == again != one
    assert len(set(losses(plain))) == 1
    other = losses(build(replace(context, seeds=Seeds(1)), **options))
    assert other[0] != zero
    torch.testing.assert_close(exported(padded).users, exported(plain).users)
    rows = padded.padded_graph.matrix.tensor().to_dense().sum(dim=1)
    torch.testing.assert_close(rows, torch.tensor([1.0] * 15 + [0.0]))


def test_full_lists_need_no_padding(context: ModelContext, toy: Any) -> None:
    padded, plain = (build(context, pad=pad, n_user_neighbors=1) for pad in ("resample", "none"))
    assert padded.loss(toy.triplets)["bpr"] == plain.loss(toy.triplets)["bpr"]


def test_gates_start_near_equal_shares(context: ModelContext) -> None:
    many = replace(context, train=Interactions(context.train.users, context.train.items, 4000, 25))
    gates = build(many).gates.detach()
    torch.testing.assert_close(gates.sum(dim=1), torch.ones(4000, 1))
    # Of the draws x with std sqrt(2 / (U + 2)) the softmax of two moves by (x - y) / 4.
    assert gates[:, 0].std().item() == pytest.approx((2 / 4002) ** 0.5 * 2**0.5 / 4, rel=0.05)
    assert gates[:, 0].mean().item() == pytest.approx(0.5, abs=1e-3)


def test_modalities_stand_side_by_side(context: ModelContext, toy: Any) -> None:
    for names in (("image",), ("text",), ("image", "text")):
        chosen = {name: context.features[name] for name in names}
        model = build(replace(context, features=chosen))
        assert exported(model).items.shape == (25, 6 * len(names))
        assert torch.isfinite(model.loss(toy.triplets)["bpr"])
