"""Released models that rank by what their last training batch made, against vectors of the weights before its step."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from mmrec_bench.models.base import MODELS
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.testing.subjects import all_scores, backward, batch_for, tiny_context

OPTIONS: dict[str, dict[str, Any]] = {
    "mmgcn": {},
    "grcn": {},
    "slmrec": {},
    "mvgae": {"dropout": 0.0, "noise": 0.0},
    "dualgnn": {"n_user_neighbors": 2},
    "dragon": {"n_user_neighbors": 2, "n_neighbors": 3},
}


def model_of(name: str, **options: Any) -> Any:
    context = tiny_context()
    context.seeds.seed_global("init")
    return MODELS[name].build(MODELS[name].config(**options), context), context


def step(model: Any, context: Any, rate: float) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    optimizer.zero_grad()
    backward(model.loss(batch_for(model, context)))
    optimizer.step()


@pytest.mark.parametrize("name", OPTIONS)
def test_the_released_preset_ranks_by_the_last_batch_and_the_clean_one_by_its_weights(name: str) -> None:
    assert MODELS[name].config(preset="released").score_from == "last-batch"
    assert MODELS[name].config().score_from == "fresh"


@pytest.mark.parametrize("name", OPTIONS)
def test_the_last_batch_ranks_as_the_weights_did_before_its_step(name: str) -> None:
    model, context = model_of(name, score_from="last-batch", **OPTIONS[name])
    fresh, _ = model_of(name, **OPTIONS[name])
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), "it starts alike"
    torch.testing.assert_close(all_scores(model.eval().export()), all_scores(fresh.eval().export()))
    for one in (model, fresh):
        step(one, context, 0.5)
    before = copy.deepcopy(fresh)
    for one in (model, fresh):
        step(one, context, 0.5)
    torch.testing.assert_close(all_scores(model.eval().export()), all_scores(before.eval().export()))
    assert not torch.allclose(all_scores(model.export()), all_scores(fresh.eval().export()), rtol=1e-3)


@pytest.mark.parametrize("name", OPTIONS)
def test_what_was_kept_is_in_the_state_and_no_other_pass_moves_it(name: str) -> None:
    model, context = model_of(name, score_from="last-batch", **OPTIONS[name])
    step(model, context, 0.5)
    kept = model.eval().export()
    assert isinstance(kept, Representations)
    model.loss(batch_for(model, context))  # not a training batch
    assert torch.equal(all_scores(model.export()), all_scores(kept))
    again, _ = model_of(name, score_from="last-batch", **OPTIONS[name])
    again.load_state_dict(model.state_dict())
    assert torch.equal(all_scores(again.eval().export()), all_scores(kept))
    step(model, context, 0.0)
    assert torch.equal(kept.users, again.export().users), "vectors that were handed out do not change"


def test_released_mvgae_keeps_the_dropout_of_the_batch() -> None:
    ends = []
    for seed in (0, 1):
        model, context = model_of("mvgae", score_from="last-batch", noise=0.0, dropout=0.5)
        torch.manual_seed(seed)
        step(model, context, 0.0)
        ends.append(all_scores(model.eval().export()))
    assert not torch.allclose(*ends)


def test_released_dualgnn_keeps_the_lists_that_were_filled_up() -> None:
    """Repeats weigh twice in training; fresh scores have plain lists."""
    options = {"n_user_neighbors": 6, "pad": "resample"}
    kept, context = model_of("dualgnn", score_from="last-batch", **options)
    plain, _ = model_of("dualgnn", **options)
    for model in (kept, plain):
        step(model, context, 0.0)
    assert not torch.allclose(all_scores(kept.eval().export()), all_scores(plain.eval().export()))
