from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.blocks import item_graph
from mmrec_bench.models.retrieval.smore import SMORE, SMOREConfig
from tests.models.contexts import dense_adjacency, exported, lacking, normalised_block, with_audio

D = 6


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem, where items 3 and 4 have no image."""
    return lacking(toy.context, {"image": (3, 4)})


def build(context: ModelContext, **options: Any) -> SMORE:
    torch.manual_seed(0)
    small = {"embedding_dim": D, "n_neighbors": 3, "n_image_neighbors": 4}
    return SMORE(SMOREConfig(**{**small, **options}), context).eval()


def circulant(filter_: Tensor) -> Tensor:
    """Return the matrix by which a filter convolves signals of length D, from sums of cosines and sines."""
    n = torch.arange(D)
    kernel = torch.zeros(D)
    for k in range(D):
        real, imaginary = filter_[0, min(k, D - k)]
        if k in (0, D // 2):
            imaginary = torch.tensor(0.0)  # a signal of reals has none there
        elif k > D // 2:
            imaginary = -imaginary
        angle = 2 * torch.pi * k * n / D
        kernel += (real * torch.cos(angle) - imaginary * torch.sin(angle)) / D
    return kernel[(n[:, None] - n[None, :]) % D]


@torch.no_grad()
def slow(model: SMORE, context: ModelContext) -> tuple[Tensor, Tensor]:
    """Vectors of users and items from the formulas: dense, convolutions written out."""
    block = normalised_block(context)
    adjacency = dense_adjacency(block)
    layer = total = torch.cat((model.users.all(), model.items.all()))
    for _ in range(model.config.n_layers):
        layer = adjacency @ layer
        total = total + layer
    behaviour = total / (model.config.n_layers + 1)
    graphs, signals = [], []
    for modality, projection in model.projections.by_modality():
        table = context.features[modality]
        k = model.config.n_image_neighbors if modality == "image" else model.config.n_neighbors
        graphs.append(torch.from_numpy(item_graph(table, k, "cosine").toarray()))
        signals.append(projection.all())
    fused = signals[0]
    for other in signals[1:]:  # circular convolution, which is what a product of spectra is, but for its scale
        rolled = torch.stack([other.roll(shift, dims=1) for shift in range(D)], dim=1)
        fused = torch.einsum("ns,nsd->nd", fused, rolled) / D**0.5
    graphs.append(torch.stack(graphs).amax(dim=0))
    contents = []
    for signal, graph, filter_, gate in zip(
        [*signals, fused], graphs, model.views.filters, model.views.gates, strict=True
    ):
        content = model.items.all() * torch.sigmoid(gate(signal @ circulant(filter_).T))
        for _ in range(model.config.n_item_layers):
            content = graph @ content
        contents.append(torch.cat((block @ content, content)))
    side = torch.sigmoid(model.fusion.prefer[-1](behaviour)) * contents[-1]
    for content, query, prefer in zip(contents, model.fusion.queries, model.fusion.prefer, strict=False):
        side += torch.sigmoid(prefer(behaviour)) * torch.softmax(query(contents[-1]), dim=1) * content
    vectors = behaviour + side / len(contents)
    return vectors[:15], vectors[15:]


@pytest.mark.parametrize("n_item_layers", [0, 1, 2])
@pytest.mark.parametrize("modalities", [("image",), ("text",), ("image", "text"), ("audio", "image", "text")])
def test_vectors_follow_their_formula(context: ModelContext, modalities: tuple[str, ...], n_item_layers: int) -> None:
    chosen = {name: table for name, table in with_audio(context).features.items() if name in modalities}
    context = replace(context, features=chosen)
    model = build(context, n_item_layers=n_item_layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    users, items = slow(model, context)
    torch.testing.assert_close(exported(model).users, users, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(exported(model).items, items, rtol=1e-4, atol=1e-6)


def test_an_item_without_images_is_known_by_its_text_in_the_fused_view_alone(context: ModelContext) -> None:
    model = build(context, n_layers=0)
    image, text, fused = model.content(model.items.all())[3].chunk(3)
    assert not image.any()
    assert text.any()
    assert fused.any()
    missing = model.projections[0].missing
    assert missing is not None
    fused.sum().backward()
    assert missing.weight.grad is not None
    assert missing.weight.grad.any()


def test_with_one_modality_no_vector_stands_for_what_is_absent(context: ModelContext) -> None:
    model = build(replace(context, features={"image": context.features["image"]}))
    assert model.projections[0].missing is None
    assert not model.content(model.items.all())[3].any()


def test_dropout_is_for_training_alone_and_drawn_for_each_row(context: ModelContext, toy: Any) -> None:
    model = build(context, dropout=0.9, contrastive_weight=0.0, reg_weight=0.0)
    scores = exported(model).users
    calm = model.loss(toy.triplets)["bpr"]
    model.train()
    assert torch.equal(exported(model).users, scores)
    torch.manual_seed(1)
    assert model.loss(toy.triplets)["bpr"] != calm
    behaviour, content = torch.ones(2, D), torch.ones(2, 3 * D)
    torch.manual_seed(1)
    first, second = model.fuse(behaviour, content, training=True)
    assert not torch.equal(first, second)
