"""PRM: it reads the other rows of a list, and the place at which a row is shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ranking.padding import PaddedLists
from mmrec_bench.models.ranking.prm import PRMConfig
from tests.models.ranking.worlds import (
    CPU,
    build,
    contextual,
    fit,
    ndcg,
    odd_batch,
    odd_context,
    shown_at_random,
)


def test_it_reads_the_rest_of_a_list_and_how_it_was_shown() -> None:
    train, test = contextual(2_000), contextual(500, seed=1)
    by_rows = ndcg(fit("mlp", train, 5), test)
    by_lists = ndcg(fit("prm", shown_at_random(train), 5, initial_order=False), test)
    by_order = ndcg(fit("prm", train, 5), test)
    assert by_lists > by_rows + 0.1
    assert by_order > by_lists + 0.01


def test_lists_that_nobody_has_shown_have_no_initial_order() -> None:
    context = odd_context()
    context = dataclasses.replace(context, train=dataclasses.replace(context.train, positions=None, clicks=None))
    with pytest.raises(ModelError, match=r"no positions.*model.initial_order: false"):
        build("prm", context)
    build("prm", context, initial_order=False)


def test_places_beyond_the_longest_list_of_train_share_its_last_vector() -> None:
    context = odd_context()
    longest = int(context.train.lengths().max())
    model = build("prm", context).eval()
    wide = dataclasses.replace(
        context.train, list_of=np.zeros(19, np.int64), users=np.zeros(1, np.int64), histories=None
    )
    scores = model.score(PaddedLists(wide, np.arange(12), CPU).inputs(torch.tensor([0])))
    assert scores.shape == (1, 19)
    with torch.no_grad():
        model.places.weight[: longest - 1] = 0.0
        model.places.weight[longest - 1] = 1.0
    rows, seen = [], model.blocks[0].register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0]))
    inputs = PaddedLists(wide, np.arange(12), CPU).inputs(torch.tensor([0]))
    model.score(inputs)
    seen.remove()
    added = rows[0] - model.rows(inputs)
    torch.testing.assert_close(added[0, :, 0], (torch.arange(19) >= longest - 1).float())


def test_settings_are_checked_and_count() -> None:
    with pytest.raises(ValidationError, match=r"hidden_dim \(64\) must be a multiple of n_heads \(3\)"):
        PRMConfig(n_heads=3)
    context = odd_context()
    batch, found = odd_batch(context, "labels"), []
    for options in (
        {},
        {"n_layers": 1},
        {"n_heads": 4},
        {"hidden_dim": 32},
        {"initial_order": False},
        {"dropout": 0.0},
    ):
        model = build("prm", context, **options)
        torch.manual_seed(0)
        found.append(model.loss(batch)["softmax"].item())
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["prm", "dlcm"])
def test_an_order_that_is_learned_is_not_read_off(name: str) -> None:
    settings = {"name": name, "learns_from": "order", "loss": "listmle"}
    with pytest.raises(ValidationError, match=r"initial_order is true, and learns_from is order"):
        MODELS[name].config.model_validate(settings)
    MODELS[name].config.model_validate({**settings, "initial_order": False})
