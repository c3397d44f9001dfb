"""Every registered ranker that is trained by gradient steps keeps the contract."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ranking.base import GradientRanker, ListBatch, ListInputs
from mmrec_bench.testing.config_checks import (
    check_config_round_trip,
    check_documentation,
    check_parameter_names,
    check_released_preset,
    check_unknown_key_is_refused,
)
from mmrec_bench.testing.subjects import Subject
from tests.models.ranking.worlds import build, odd_batch, odd_context

NAMES = [name for name in MODELS if issubclass(MODELS[name].model, GradientRanker)]

SHIFTS = {"pair-debias": {"scorer.mlp.8.bias"}}
"""Parameters that shift all scores alike, and cancel in the differences that a model learns."""


def _batch(model: GradientRanker) -> ListBatch:
    return odd_batch(odd_context(), model.config.learns_from)


def _padded(batch: ListBatch, by: int) -> ListBatch:
    """Widen a batch, and fill what is padded with what must not be looked at."""

    def fill(values: Tensor | None, garbage: float) -> Tensor | None:
        if values is None:
            return None
        wide = values.new_full((len(values), by, *values.shape[2:]), garbage)
        wrong = torch.cat((values, wide), dim=1)
        where = mask.view(*mask.shape, *[1] * (wrong.ndim - 2))
        return wrong.where(where, torch.full_like(wrong, garbage))

    inputs = batch.inputs
    mask = torch.cat((inputs.mask, inputs.mask.new_zeros(len(inputs.mask), by)), dim=1)
    wide = dataclasses.replace(
        inputs, mask=mask, items=fill(inputs.items, 1), ties=fill(inputs.ties, 0), features=fill(inputs.features, 3.0)
    )
    return dataclasses.replace(
        batch,
        inputs=wide,
        positions=fill(batch.positions, 1),
        clicks=fill(batch.clicks, 1.0),
        labels=fill(batch.labels, 2),
        propensities=fill(batch.propensities, 0.5),
    )


def _gradients(model: GradientRanker, batch: ListBatch) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(0)
    loss = torch.stack(list(model.loss(batch).values())).sum()
    model.zero_grad()
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
@pytest.mark.parametrize("name", NAMES)
def test_config(name: str, check: object) -> None:
    check(Subject(MODELS[name]))


@pytest.mark.parametrize("name", NAMES)
def test_padding_reaches_neither_loss_nor_gradient_nor_order(name: str) -> None:
    model = build(name, odd_context(), dropout=0.0)
    batch = _batch(model)
    wide = _padded(batch, 3)
    loss, gradients = _gradients(copy.deepcopy(model), batch)
    wider, its_gradients = _gradients(copy.deepcopy(model), wide)
    torch.testing.assert_close(wider, loss)
    torch.testing.assert_close(its_gradients, gradients, rtol=1e-3, atol=1e-6)
    narrow, broad = (model.eval().arrange(inputs) for inputs in (batch.inputs, wide.inputs))
    assert (narrow.order == broad.order[:, : narrow.order.shape[1]]).all()
    assert (broad.order[:, narrow.order.shape[1] :] == -1).all()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name: str) -> None:
    model = build(name, odd_context(), item_ids=True, user_ids=True)
    _, gradients = _gradients(model, _batch(model))
    without = {key for key, _ in model.named_parameters()} - {key for key, g in gradients.items() if g.any()}
    assert without <= SHIFTS.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_seeds_decide_everything(name: str) -> None:
    def stepped(seed: int) -> dict[str, Tensor]:
        context = odd_context(seed)
        model = build(name, context)
        optimizer = torch.optim.Adam(model.parameters())
        _gradients(model, _batch(model))
        optimizer.step()
        return model.state_dict()

    one, same, other = stepped(0), stepped(0), stepped(1)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", NAMES)
def test_saved_weights_arrange_alike(name: str) -> None:
    model, other = (build(name, odd_context(seed)) for seed in (0, 1))
    inputs = _batch(model).inputs
    other.load_state_dict(model.state_dict())
    one, two = (each.eval().arrange(inputs) for each in (model, other))
    assert (one.order == two.order).all()
    assert torch.equal(one.scores, two.scores)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_does_not_hang_on_how_rows_are_delivered(name: str) -> None:
    reads_order = "initial_order" in MODELS[name].config.model_fields
    model = build(name, odd_context(), **{"initial_order": False} if reads_order else {}).eval()
    inputs = _batch(model).inputs
    # An item may stand in a list twice; here its rows differ in canonical rank, too.
    inputs = dataclasses.replace(inputs, ties=torch.arange(inputs.mask.shape[1]).expand_as(inputs.ties))
    # Reverse the real rows of each list.
    lengths = inputs.mask.sum(dim=1, keepdim=True)
    places = torch.arange(inputs.mask.shape[1])
    turn = torch.where(inputs.mask, lengths - 1 - places, places)

    def turned(values: Tensor) -> Tensor:
        return values.gather(1, turn if values.ndim == 2 else turn.unsqueeze(2).expand_as(values))

    back: ListInputs = dataclasses.replace(
        inputs, items=turned(inputs.items), ties=turned(inputs.ties), features=turned(inputs.features)
    )
    order, its = model.arrange(inputs).order, model.arrange(back).order
    assert (turn.gather(1, its.clamp(min=0)).where(its >= 0, its) == order).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_it_is_given_stays_as_it_was(name: str) -> None:
    model = build(name, odd_context())
    batch, before = _batch(model), _batch(model)
    model.loss(batch)
    model.eval().arrange(batch.inputs)
    for key in ("positions", "clicks", "labels", "propensities"):
        one, two = getattr(batch, key), getattr(before, key)
        assert (one is None and two is None) or torch.equal(one, two)
    for key in ("users", "items", "mask", "ties", "features"):
        assert torch.equal(getattr(batch.inputs, key), getattr(before.inputs, key))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_rankers_train_and_order_on_cuda(name: str) -> None:
    model, cuda = build(name, odd_context()), torch.device("cuda")
    orders = []
    for device in (torch.device("cpu"), cuda):
        model.to(device).eval()
        orders.append(model.arrange(odd_batch(odd_context(), model.config.learns_from, device).inputs).order.cpu())
    assert torch.equal(*orders)
    terms = model.train().loss(odd_batch(odd_context(), model.config.learns_from, cuda))
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.device.type == "cuda" for term in terms.values())
