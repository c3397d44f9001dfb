"""MLP: each loss learns, each switch counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmrec_bench.models.ranking.mlp import MLP, MLPConfig
from tests.models.ranking.worlds import build, chance, fit, ndcg, odd_batch, odd_context, severe

LOSSES = ("pointwise", "softmax", "listmle", "lambdarank")


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_the_order_of_labels(loss: str) -> None:
    train_lists, test = severe()
    found = ndcg(fit("mlp", train_lists.select(np.arange(1_000)), 5, loss=loss), test)
    assert chance(test) < 0.45
    assert found > 0.94  # 0.95 is as good as noisy features allow


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_another_and_takes_clicks(loss: str) -> None:
    context = odd_context()
    values = {}
    for other in LOSSES:
        model: MLP = build("mlp", context, loss=other, learns_from="clicks")
        ((name, value),) = model.loss(odd_batch(context, "clicks")).items()
        assert name == other
        values[other] = value.item()
    assert sum(value == pytest.approx(values[loss]) for value in values.values()) == 1


@pytest.mark.parametrize("options", [{"hidden_dims": ()}, {"hidden_dims": (8,)}, {"dropout": 0.5}, {"cutoff": 1}])
def test_every_switch_counts(options: dict[str, object]) -> None:
    context = odd_context()
    batch = odd_batch(context, "labels")
    one, two = (build("mlp", context, loss="lambdarank", **some).loss(batch)["lambdarank"] for some in ({}, options))
    assert one.item() != two.item()


def test_labels_are_scaled_by_the_largest_in_train() -> None:
    context = odd_context()
    batch = odd_batch(context, "labels")
    model: MLP = build("mlp", context, loss="pointwise")
    scores = model.scorer(batch.inputs)
    mask, labels = batch.inputs.mask, batch.labels
    assert labels is not None
    targets = (2.0 ** labels[mask] - 1) / (2.0 ** labels.max() - 1)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores[mask], targets)
    torch.testing.assert_close(model.loss(batch)["pointwise"], expected)


def test_a_cutoff_that_nothing_reads_is_refused() -> None:
    with pytest.raises(ValidationError, match="cutoff is for loss: lambdarank"):
        MLPConfig(cutoff=5)


def test_an_order_is_learned_by_its_likelihood_alone() -> None:
    with pytest.raises(ValidationError, match="learns_from: order is for loss: listmle"):
        MLPConfig(learns_from="order")
    train_lists, test = severe()
    labels = train_lists.labels
    assert labels is not None
    noisy = labels + 0.5 * np.random.default_rng(0).random(
        len(labels)
    )  # equal labels come in an order that says nothing
    ranks = np.argsort(np.argsort(-noisy.reshape(-1, 10), axis=1), axis=1) + 1
    ordered = dataclasses.replace(train_lists, labels=None, clicks=None, positions=ranks.reshape(-1))
    model = fit("mlp", ordered.select(np.arange(1_000)), 5, learns_from="order", loss="listmle")
    assert ndcg(model, test) > 0.93
