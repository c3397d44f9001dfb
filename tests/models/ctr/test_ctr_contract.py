"""Every registered CTR model keeps the contract."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ctr.base import CtrModel, Extra, GradientCtrModel, PointInputs
from mmrec_bench.testing.config_checks import (
    check_config_round_trip,
    check_documentation,
    check_parameter_names,
    check_released_preset,
    check_unknown_key_is_refused,
)
from mmrec_bench.testing.subjects import Subject
from tests.models.ctr.worlds import EXTRAS, build, odd_context, whole

EVERY = [name for name in MODELS if MODELS[name].task == "ctr"]
NAMES = [name for name in EVERY if issubclass(MODELS[name].model, GradientCtrModel)]


def _gradients(model: CtrModel, batch: object) -> tuple[Tensor, dict[str, Tensor]]:
    assert isinstance(model, GradientCtrModel)
    torch.manual_seed(0)
    model.zero_grad()
    loss = torch.stack(list(model.loss(batch).values())).sum()  # type: ignore[arg-type]
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "check",
    [
        check_config_round_trip,
        check_documentation,
        check_parameter_names,
        check_released_preset,
        check_unknown_key_is_refused,
    ],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize("name", EVERY)
def test_config(name: str, check: object) -> None:
    check(Subject(MODELS[name]))  # type: ignore[operator]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [None, *EXTRAS])
def test_gradients_reach_every_parameter(name: str, kind: str | None) -> None:
    context = odd_context(extra=EXTRAS[kind] if kind else None)
    model = build(name, context, embedding_dim=4)
    _, gradients = _gradients(model, whole(model, context))
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert {key for key, _ in model.named_parameters()} == {key for key, g in gradients.items() if g.any()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", list(EXTRAS))
def test_an_untrained_slot_changes_nothing(name: str, kind: str) -> None:
    bare, slotted = odd_context(), odd_context(extra=EXTRAS[kind])
    one, two = build(name, bare).eval(), build(name, slotted).eval()
    missing, unknown = two.load_state_dict(one.state_dict(), strict=False)
    assert not unknown
    assert len(missing) == 1  # the columns of the slot
    assert torch.equal(one.predict(whole(one, bare).inputs), two.predict(whole(two, slotted).inputs))


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_slot_is_read_and_an_empty_row_adds_nothing(name: str) -> None:
    ids = np.full((12, 2), -1)
    ids[3, 0] = 7
    context = odd_context(extra=Extra(ids))
    model = build(name, context).eval()
    before = model.predict(whole(model, context).inputs)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "slot" in key:
                torch.nn.init.normal_(parameter)
    changed = (model.predict(whole(model, context).inputs) != before).numpy()
    assert (changed == (context.train.points.items == 3)).all()


@pytest.mark.parametrize("name", EVERY)
def test_probabilities_do_not_hang_on_the_batch(name: str) -> None:
    context = odd_context()
    model = build(name, context)
    if not isinstance(model, GradientCtrModel):
        model.fit(context)  # type: ignore[operator]
    inputs = whole(model.eval(), context).inputs
    together = model.predict(inputs)
    assert ((together >= 0) & (together <= 1)).all()
    for row in (0, 17, 59):
        cut = {
            field.name: None if (value := getattr(inputs, field.name)) is None else value[row : row + 1]
            for field in dataclasses.fields(inputs)
        }
        torch.testing.assert_close(model.predict(PointInputs(**cut)), together[row : row + 1])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_seeds_decide_everything(name: str) -> None:
    def stepped(seed: int) -> dict[str, Tensor]:
        context = odd_context(seed)
        model = (
            build(name, context, dropout=0.2) if "dropout" in MODELS[name].config.model_fields else build(name, context)
        )
        optimizer = torch.optim.Adam(model.parameters())
        _gradients(model, whole(model, context))
        optimizer.step()
        return model.state_dict()

    one, same, other = stepped(0), stepped(0), stepped(1)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", EVERY)
def test_saved_weights_predict_alike(name: str) -> None:
    one_context, other_context = odd_context(0), odd_context(1)
    model, other = build(name, one_context), build(name, other_context)
    if not isinstance(model, GradientCtrModel):
        model.fit(one_context)  # type: ignore[operator]
    other.load_state_dict(model.state_dict())
    inputs = whole(model, one_context).inputs
    assert torch.equal(model.eval().predict(inputs), other.eval().predict(inputs))


@pytest.mark.parametrize("name", NAMES)
def test_what_it_is_given_stays_as_it_was(name: str) -> None:
    context = odd_context(extra=EXTRAS["vectors"])
    model = build(name, context)
    batch, before = whole(model, context), whole(model, context)
    model.loss(batch)  # type: ignore[operator]
    assert torch.equal(batch.labels, before.labels)
    for field in dataclasses.fields(batch.inputs):
        one, two = getattr(batch.inputs, field.name), getattr(before.inputs, field.name)
        assert (one is None and two is None) or torch.equal(one, two)
