from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.errors import ConfigError
from mmrec_bench.models.base import ModelContext, Pairs
from mmrec_bench.models.retrieval.slmrec import SLMRec, SLMRecConfig
from mmrec_bench.settings import Document
from tests.models.contexts import exported, lacking, with_audio

SETS = [("image",), ("text",), ("audio",), ("audio", "image"), ("image", "text"), ("audio", "image", "text")]


@pytest.fixture
def context(toy: Any) -> ModelContext:
    """The toy problem with audio, where items 3 and 4 have no image."""
    return lacking(with_audio(toy.context), {"image": (3, 4)})


def only(context: ModelContext, modalities: tuple[str, ...]) -> ModelContext:
    return replace(context, features={name: context.features[name] for name in modalities})


def build(context: ModelContext, **options: Any) -> SLMRec:
    torch.manual_seed(0)
    model = SLMRec(SLMRecConfig(**{"embedding_dim": 6, **options}), context)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
def views(model: SLMRec, context: ModelContext) -> dict[str, tuple[Tensor, Tensor]]:
    """Views of users and items, one narrow propagation each; that of behaviour is called ids."""
    inputs = {"ids": model.items.all()}
    for modality, projection in model.projections.by_modality():
        table = context.features[modality]
        inputs[modality] = F.normalize(torch.from_numpy(table.filled()), dim=1) @ projection.linear.weight.T
        inputs[modality] += projection.linear.bias
        if projection.missing is not None:
            inputs[modality][[3, 4]] = projection.missing.weight
    graph, n_layers = model.graph, model.config.n_layers
    return {name: graph.propagate(model.users.all(), items, n_layers) for name, items in inputs.items()}


@pytest.mark.parametrize("modalities", SETS)
def test_one_wide_propagation_is_many_narrow_ones(context: ModelContext, modalities: tuple[str, ...]) -> None:
    context = only(context, modalities)
    model = build(context)
    parts = views(model, context).values()
    users, items = (torch.cat(side, dim=1) for side in zip(*parts, strict=True))
    torch.testing.assert_close(exported(model).users, model.fuse_users(users))
    torch.testing.assert_close(exported(model).items, model.fuse_items(items))


@pytest.mark.parametrize("modalities", SETS)
def test_terms_follow_their_formulas(context: ModelContext, modalities: tuple[str, ...]) -> None:
    """Rows that come twice in a batch stand twice in every denominator."""
    context = only(context, modalities)
    model = build(context, temperature=0.3, ssl_temperature=0.7, ssl_weight=0.5)
    batch = Pairs(torch.tensor([0, 1, 1, 5]), torch.tensor([7, 3, 7, 9]))
    terms = model.loss(batch)
    right = torch.arange(4)
    users, items = exported(model).users[batch.users], exported(model).items[batch.items]
    cosines = F.normalize(users, dim=1) @ F.normalize(items, dim=1).T
    torch.testing.assert_close(terms.pop("softmax"), F.cross_entropy(cosines / 0.3, right))
    assert model.alignment is not None
    parts = {name: of_items[batch.items] for name, (_, of_items) in views(model, context).items()}
    maps, heads = list(model.alignment.maps), list(model.alignment.heads)
    chain = parts["ids"]
    for name in ("image", "audio", "text"):
        if not maps:
            break
        chain = maps.pop(0)(chain)
        if name in modalities:
            logits = chain @ heads.pop(0)(parts[name]).T / 0.7
            torch.testing.assert_close(terms.pop(f"ssl-{name}"), 0.5 * F.cross_entropy(logits, right))
    assert not terms
    assert not heads
    assert chain.shape[1] == (3 if "text" in modalities else 6)


@pytest.mark.parametrize(
    ("key", "value"),
    [("embedding_dim", 8), ("n_layers", 1), ("temperature", 0.5), ("ssl_weight", 0.5), ("ssl_temperature", 0.5)],
)
def test_every_setting_changes_the_loss(context: ModelContext, toy: Any, key: str, value: Any) -> None:
    losses = []
    for options in ({}, {key: value}):
        model = build(context, **options)
        losses.append(torch.stack(list(model.loss(toy.batch(model)).values())).sum().item())
    assert losses[0] != pytest.approx(losses[1], rel=1e-7)


def test_without_weight_there_is_no_supervision(context: ModelContext, toy: Any) -> None:
    model = build(context, ssl_weight=0.0)
    assert set(model.loss(toy.batch(model))) == {"softmax"}
    assert not any(name.startswith("alignment") for name, _ in model.named_parameters())


@pytest.mark.parametrize("key", ["reg", "reg_weight"])
def test_the_weight_that_nothing_reads_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        Document("test", {"name": "slmrec", key: 0.1}).parse(SLMRecConfig)
