"""DIN: its formula, and that it matches candidates with what a user had before."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.errors import ModelError
from mmrec_bench.models.ranking.base import RankingContext
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation
from mmrec_bench.training.trainer import train
from tests.models.ranking.worlds import CPU, LENGTH, build, chance, ndcg, odd_batch, odd_context

KINDS, N_ITEMS, HAD = 8, 80, 6


def matched(n_lists: int, seed: int = 0) -> Lists:
    """Lists in which a row is relevant if its kind is the one of which the history holds two or more items."""
    rng = np.random.default_rng(seed)
    liked = rng.integers(KINDS, size=n_lists)
    histories = np.array([rng.permutation(KINDS)[:HAD] for _ in range(n_lists)])
    histories[:, :2] = liked[:, None]
    histories = rng.permuted(histories, axis=1) * (N_ITEMS // KINDS) + rng.integers(
        N_ITEMS // KINDS, size=(n_lists, HAD)
    )
    items = np.array([rng.permutation(N_ITEMS)[:LENGTH] for _ in range(n_lists)])
    return Lists(
        list_of=np.repeat(np.arange(n_lists), LENGTH),
        items=items.reshape(-1),
        n_items=N_ITEMS,
        users=np.zeros(n_lists, np.int64),
        n_users=1,
        labels=(items // (N_ITEMS // KINDS) == liked[:, None]).astype(np.int64).reshape(-1),
        histories=Histories(np.arange(n_lists + 1) * HAD, histories.reshape(-1)),
    )


def kinds() -> FeatureTable:
    """What kind an item is of."""
    values = np.repeat(np.eye(KINDS, dtype=np.float32), N_ITEMS // KINDS, axis=0)
    return FeatureTable("image", values, np.ones(N_ITEMS, np.bool_), "test")


def test_it_matches_candidates_with_histories() -> None:
    lists, test = matched(2_000), matched(500, seed=1)
    context = RankingContext(lists, {"image": kinds()}, seeds=Seeds(0))
    model = build("din", context)
    config = TrainerConfig(batch_size=64, max_epochs=6, validate_every=6, learning_rate=3e-3, patience=6)
    train(model, context, config, lambda _: Validation(0.0, {}), context.seeds, CPU)
    assert test.histories is not None
    others = np.roll(test.histories.items.reshape(-1, HAD), 1, axis=0).reshape(-1)
    swapped = dataclasses.replace(test, histories=Histories(test.histories.offsets, others))
    assert ndcg(model, test) > 0.9
    assert ndcg(model, swapped) < chance(test) + 0.1


def test_interests_are_those_of_the_formula() -> None:
    context = odd_context()
    model, inputs = build("din", context, item_ids=True, user_ids=True), odd_batch(context, "labels").inputs
    histories = inputs.histories
    assert histories is not None
    with torch.no_grad():
        candidates = torch.cat(model.fields.of_items(inputs.items), dim=-1)
        fields = model.fields(inputs)
        assert torch.equal(fields[..., 1:3, :].flatten(-2), candidates), "values, content, item, user"
        found = model.interests(candidates, histories)
        for b, row in ((0, 1), (2, 5), (3, 0)):
            expected = torch.zeros(candidates.shape[-1])
            for item in histories[b][histories[b] >= 0]:
                one, other = torch.cat(model.fields.of_items(item)), candidates[b, row]
                hidden = model.of_products(one * other) + model.of_history(one) + model.of_candidates(other)
                expected += model.weigh(hidden) * one
            torch.testing.assert_close(found[b, row], expected, atol=1e-5, rtol=1e-4)
        assert not found[1].any(), "a list without a history"


def test_data_without_histories_or_items_are_refused() -> None:
    context = odd_context()
    without = dataclasses.replace(context, train=dataclasses.replace(context.train, histories=None))
    with pytest.raises(ModelError, match="din reads histories, and the lists have none"):
        build("din", without)
    with pytest.raises(ModelError, match="nothing is known of their items"):
        build("din", context, content=False)


def test_every_setting_counts() -> None:
    context = odd_context()
    batch, found = odd_batch(context, "labels"), []
    for options in ({}, {"attention_dim": 8}, {"hidden_dims": (8,)}, {"dropout": 0.5}, {"loss": "lambdarank"}):
        model = build("din", context, **options)
        torch.manual_seed(0)
        found.append(sum(model.loss(batch).values()).item())
    assert len(set(found)) == len(found)
    assert build("din", context, history_length=3).history_length == 3
