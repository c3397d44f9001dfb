from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.errors import ConfigError, ModelError
from mmrec_bench.losses import info_nce
from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.retrieval.pgl import PGL, PGLConfig
from mmrec_bench.settings import Document
from tests.models.contexts import dense_adjacency, exported, lacking, with_audio

GLOBAL: dict[str, Any] = {"subgraph": "global", "n_triplets": 8}


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem, where items 3 and 4 have no image."""
    return lacking(toy.context, {"image": (3, 4)})


def build(context: ModelContext, **options: Any) -> PGL:
    torch.manual_seed(0)
    model = PGL(PGLConfig(**{"embedding_dim": 6, "n_neighbors": 4, **options}), context)
    with torch.no_grad():
        for _, projection in model.projections.by_modality():
            if projection.missing is not None:
                projection.missing.weight.normal_()
    return model.eval()


@torch.no_grad()
def slow(model: PGL, context: ModelContext, block: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of users and items from the formulas, dense, for a block of users and items."""
    adjacency = dense_adjacency(block)
    contents = []
    for modality, projection in model.projections.by_modality():
        content = torch.from_numpy(context.features[modality].filled()) @ projection.linear.weight.T
        content += projection.linear.bias
        if projection.missing is not None:
            content[[3, 4]] = projection.missing.weight
        contents.append(F.normalize(content, dim=1))
    content = torch.cat(contents, dim=1)
    layer = total = torch.cat((torch.cat([table.all() for table in model.users], dim=1), content))  # type: ignore[operator, union-attr]
    for _ in range(model.config.n_layers):
        layer = adjacency @ layer
        total = total + layer
    vectors = total / (model.config.n_layers + 1)
    smooth = content
    for _ in range(model.config.n_item_layers):
        smooth = model.item_graph.matrix.tensor().to_dense() @ smooth
    return vectors[:15], vectors[15:] + smooth


def full(context: ModelContext) -> Tensor:
    history = torch.from_numpy(context.train.matrix().toarray())
    return history / (history.sum(1, keepdim=True) * history.sum(0)).sqrt().clamp(min=1)


@pytest.mark.parametrize("n_item_layers", [0, 1, 2])
@pytest.mark.parametrize("modalities", [("text",), ("image", "text"), ("audio", "image", "text")])
def test_vectors_follow_their_formula(context: ModelContext, modalities: tuple[str, ...], n_item_layers: int) -> None:
    chosen = {name: table for name, table in with_audio(context).features.items() if name in modalities}
    context = replace(context, features=chosen)
    model = build(context, n_item_layers=n_item_layers)
    users, items = slow(model, context, full(context))
    torch.testing.assert_close(exported(model).users, users, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(exported(model).items, items, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{"subgraph": "local"}, GLOBAL], ids=["local", "global"])
def test_it_trains_on_the_subgraph_and_serves_on_all(context: ModelContext, toy: Any, options: dict[str, Any]) -> None:
    model = build(context, contrastive_weight=0.0, **options)
    users, items = slow(model, context, model.graph.pruned.matrix.tensor().to_dense())
    batch = toy.triplets
    gaps = (users[batch.users] * (items[batch.negatives] - items[batch.positives])).sum(dim=1)
    torch.testing.assert_close(model.loss(batch)["bpr"], F.softplus(gaps).mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(exported(model).items, slow(model, context, full(context))[1], rtol=1e-4, atol=1e-6)


def test_with_the_full_graph_training_and_serving_are_one(context: ModelContext) -> None:
    model = build(context, edge_dropout=0.0)
    assert model.graph.pruned is model.graph.full
    model.on_epoch_start(3)
    assert model.graph.pruned is model.graph.full


def test_edges_are_drawn_anew_for_every_epoch_or_fixed(context: ModelContext) -> None:
    local = build(context)
    first = local.graph.pruned.matrix.columns.tolist()
    assert len(first) == int(0.3 * len(context.train))
    local.on_epoch_start(1)
    assert local.graph.pruned.matrix.columns.tolist() != first
    whole = build(context, **GLOBAL)
    fixed = whole.graph.pruned
    whole.on_epoch_start(1)
    assert whole.graph.pruned is fixed


def test_the_contrast_is_between_two_dropouts_in_training_alone(context: ModelContext, toy: Any) -> None:
    model = build(context, edge_dropout=0.0, contrastive_weight=0.5, temperature=0.3, dropout=0.5)
    users = exported(model).users[toy.triplets.users]
    plain = 0.25 * info_nce(users, users, 0.3)
    torch.testing.assert_close(model.loss(toy.triplets)["contrastive-users"], plain, rtol=1e-4, atol=1e-6)
    model.train()
    torch.manual_seed(4)
    dropped = 0.25 * info_nce(F.dropout(users, 0.5), F.dropout(users, 0.5), 0.3)
    torch.manual_seed(4)
    torch.testing.assert_close(model.loss(toy.triplets)["contrastive-users"], dropped, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("embedding_dim", 8),
        ("n_layers", 1),
        ("n_item_layers", 2),
        ("n_neighbors", 3),
        ("image_weight", 0.5),
        ("subgraph", "global"),
        ("edge_dropout", 0.2),
        ("n_triplets", 4),
        ("threshold", 0.05),
        ("contrastive_weight", 0.5),
        ("temperature", 0.5),
        ("dropout", 0.5),
    ],
)
def test_every_setting_changes_the_loss(context: ModelContext, toy: Any, key: str, value: Any) -> None:
    base = GLOBAL if key in ("n_triplets", "threshold") else {"n_triplets": 8}
    losses = []
    for options in (base, {**base, key: value}):
        model = build(context, **options).train()
        torch.manual_seed(1)
        losses.append(torch.stack(list(model.loss(toy.triplets).values())).sum().item())
    assert losses[0] != pytest.approx(losses[1], rel=1e-7)


def test_what_cannot_be_is_refused(context: ModelContext) -> None:
    with pytest.raises(ModelError, match=r"32 singular triplets .* Lower model.n_triplets"):
        build(context, subgraph="global")
    with pytest.raises(ConfigError, match=r"n_triplets.*multiple of 4"):
        Document("test", {"name": "pgl", "n_triplets": 6}).parse(PGLConfig)


def test_the_two_forms_are_told_apart_in_tables() -> None:
    assert PGLConfig().label == "pgl"
    assert PGLConfig(**GLOBAL).label == "pgl(global)"
