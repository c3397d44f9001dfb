from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.retrieval.lgmrec import LGMRec, LGMRecConfig
from mmrec_bench.models.retrieval.lightgcn import LightGCN, LightGCNConfig
from mmrec_bench.retrieval.base import Representations
from tests.models.contexts import dense_adjacency, exported, lacking, normalised_block, with_audio


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem, where items 3 and 4 have no image."""
    return lacking(toy.context, {"image": (3, 4)})


def build(context: ModelContext, **options: Any) -> LGMRec:
    torch.manual_seed(0)
    model = LGMRec(LGMRecConfig(**{"embedding_dim": 6, **options}), context)
    with torch.no_grad():
        for _, projection in model.maps.by_modality():
            if projection.missing is not None:
                projection.missing.weight.normal_()
    return model.eval()


@torch.no_grad()
def slow(model: LGMRec, context: ModelContext) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Vectors of users and items, and global vectors of each modality, from the formulas, dense."""
    history = torch.from_numpy(context.train.matrix().toarray())
    adjacency = dense_adjacency(normalised_block(context))
    start = torch.cat((model.users.all(), model.items.all()))
    behaviour = (start + adjacency @ start + adjacency @ adjacency @ start) / 3
    vectors, hyper = behaviour.clone(), []
    for modality, projection in model.maps.by_modality():
        mapped = torch.from_numpy(context.features[modality].filled()) @ projection.linear.weight.T
        if modality == "image":
            mapped[[3, 4]] = projection.missing.weight  # type: ignore[union-attr]
        content, edges = mapped[:, :6], mapped[:, 6:]
        both = torch.cat((history @ content / history.sum(1, keepdim=True), content))
        vectors += F.normalize(adjacency @ adjacency @ both, dim=1)
        of_items, of_users = torch.softmax(edges / 0.2, dim=1), torch.softmax(history @ edges / 0.2, dim=1)
        items = behaviour[15:]
        for _ in range(model.config.n_hyper_layers):
            latent = of_items.T @ items
            items = of_items @ latent
        hyper.append(torch.cat((of_users @ latent, items)))
    vectors += model.config.hypergraph_weight * F.normalize(torch.stack(hyper).sum(0), dim=1)
    return vectors[:15], vectors[15:], hyper


@pytest.mark.parametrize("n_hyper_layers", [1, 3])
@pytest.mark.parametrize("modalities", [("text",), ("image", "text"), ("audio", "image", "text")])
def test_vectors_follow_their_formula(context: ModelContext, modalities: tuple[str, ...], n_hyper_layers: int) -> None:
    chosen = {name: table for name, table in with_audio(context).features.items() if name in modalities}
    context = replace(context, features=chosen)
    model = build(context, n_hyper_layers=n_hyper_layers)
    users, items, _ = slow(model, context)
    torch.testing.assert_close(exported(model).users, users, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(exported(model).items, items, rtol=1e-4, atol=1e-5)


def test_without_content_it_is_lightgcn(context: ModelContext) -> None:
    model = build(context, hypergraph_weight=0.0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("maps"):
                parameter.zero_()
    lightgcn = LightGCN(LightGCNConfig(embedding_dim=6, n_layers=2), context)
    lightgcn.load_state_dict({key: value for key, value in model.state_dict().items() if not key.startswith("maps")})
    vectors = lightgcn.export()
    assert isinstance(vectors, Representations)
    torch.testing.assert_close(exported(model).users, vectors.users)
    torch.testing.assert_close(exported(model).items, vectors.items)


@pytest.mark.parametrize("modalities", [("image", "text"), ("audio", "image", "text")])
def test_the_contrast_is_among_all_users_and_all_items(
    context: ModelContext, toy: Any, modalities: tuple[str, ...]
) -> None:
    chosen = {name: table for name, table in with_audio(context).features.items() if name in modalities}
    context = replace(context, features=chosen)
    model = build(context, contrastive_weight=0.5, temperature=0.3)
    users, positives = torch.tensor([0, 1, 1, 5]), torch.tensor([7, 3, 7, 7])
    batch = replace(toy.triplets, users=users, positives=positives, negatives=torch.tensor([1, 2, 1, 1]))
    _, _, hyper = slow(model, context)
    unit = [F.normalize(table, dim=1) for table in hyper]
    pairs = [(unit[a], unit[b]) for a in range(len(unit)) for b in range(a + 1, len(unit))]
    for name, rows, window in (("users", users, slice(0, 15)), ("items", positives, slice(15, 39))):
        losses = [F.cross_entropy((a[window] @ b[window].T / 0.3)[rows], rows) for a, b in pairs]
        expected = 0.5 * torch.stack(losses).mean()
        torch.testing.assert_close(model.loss(batch)[f"contrastive-{name}"].detach(), expected, rtol=1e-4, atol=1e-5)


def test_reductions_of_the_contrast(context: ModelContext, toy: Any) -> None:
    mean, total = build(context), build(context, contrastive_reduction="sum")
    for term in ("contrastive-users", "contrastive-items"):
        torch.testing.assert_close(total.loss(toy.triplets)[term], 8 * mean.loss(toy.triplets)[term])
    clean, released = LGMRecConfig(), LGMRecConfig(preset="released")
    assert released.contrastive_reduction == "sum"
    assert clean.contrastive_weight == pytest.approx(released.contrastive_weight * 2048)


def test_one_modality_has_no_contrast(context: ModelContext, toy: Any) -> None:
    alone = replace(context, features={"image": context.features["image"]})
    assert set(build(alone).loss(toy.triplets)) == {"bpr", "reg"}


@pytest.mark.parametrize("form", ["squared", "frobenius"])
def test_the_regulariser_is_on_final_vectors(context: ModelContext, toy: Any, form: Any) -> None:
    model, batch = build(context, reg_weight=0.1, reg_form=form), toy.triplets
    vectors = exported(model)
    blocks = vectors.users[batch.users], vectors.items[batch.positives], vectors.items[batch.negatives]
    sizes = {"squared": sum(0.5 * b.square().sum() for b in blocks), "frobenius": sum(b.norm() for b in blocks)}
    torch.testing.assert_close(model.loss(batch)["reg"].detach(), 0.1 * sizes[form] / 8)


def test_noise_and_dropout_are_for_training(context: ModelContext, toy: Any) -> None:
    for options in ({"dropout": 0.0}, {"dropout": 0.5}):
        model = build(context, **options).train()
        assert model.loss(toy.triplets)["bpr"] != model.loss(toy.triplets)["bpr"]
        torch.manual_seed(5)
        first = model.loss(toy.triplets)["bpr"]
        torch.manual_seed(5)
        assert model.loss(toy.triplets)["bpr"] == first
        assert torch.equal(exported(model).users, exported(model).users)
        model.eval()
        assert model.loss(toy.triplets)["bpr"] == model.loss(toy.triplets)["bpr"]
    kept, dropped = (build(context, dropout=rate).train() for rate in (0.0, 0.5))
    torch.manual_seed(5)
    first = kept.loss(toy.triplets)["bpr"]
    torch.manual_seed(5)
    assert dropped.loss(toy.triplets)["bpr"] != first


def test_noise_in_evaluation(context: ModelContext) -> None:
    silent, noisy = build(context), build(context, eval_noise=True)
    assert torch.equal(exported(noisy).users, exported(noisy).users)
    assert not torch.allclose(exported(noisy).users, exported(silent).users, atol=1e-3)
    # As many exponential draws as assignments: no hyperedge is preferred.
    logits = torch.zeros(20_000, 4)
    assigned = noisy._assigned(logits, training=False, stream=0)
    torch.testing.assert_close(assigned.mean(0), torch.full((4,), 0.25), rtol=0.05, atol=0.0)
    assert assigned.amax(dim=1).mean() > 0.8  # Gumbel noise at temperature 0.2 is nearly a choice
    torch.testing.assert_close(silent._assigned(logits, training=False, stream=0), torch.full_like(logits, 0.25))


def test_both_maps_start_with_fans_of_their_own(toy: Any) -> None:
    wide = FeatureTable("image", np.ones((24, 900), np.float32), np.ones(24, np.bool_), "test")
    model = build(replace(toy.context, features={"image": wide}), embedding_dim=64, n_hyperedges=8)
    (_, projection), *_ = model.maps.by_modality()
    for part, size in zip(projection.linear.weight.split((64, 8)), (64, 8), strict=True):
        assert part.abs().max().item() == pytest.approx((6 / (900 + size)) ** 0.5, rel=0.01)
