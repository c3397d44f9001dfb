from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mmrec_bench.errors import TrainingError
from mmrec_bench.training.steps import MirrorGradientStep, PlainStep, total_loss

RATE = 0.1
CURVATURE = torch.tensor([1.0, 3.0])


def quadratic() -> tuple[nn.Parameter, Callable[[], dict[str, Tensor]], torch.optim.SGD]:
    """L(w) = sum of curvature * w ** 2 / 2, in two terms; its gradient is curvature * w."""
    weight = nn.Parameter(torch.tensor([2.0, -1.0]))

    def losses() -> dict[str, Tensor]:
        first, second = 0.5 * CURVATURE * weight.square()
        return {"first": first, "second": second}

    return weight, losses, torch.optim.SGD([weight], lr=RATE)


def test_plain_step_is_gradient_descent() -> None:
    weight, losses, optimizer = quadratic()
    terms = PlainStep().step(losses, optimizer, 0)
    assert torch.allclose(weight, torch.tensor([2.0, -1.0]) * (1 - RATE * CURVATURE))
    assert [terms["first"].item(), terms["second"].item()] == [2.0, 1.5]  # before the move


def test_gradients_do_not_pile_up() -> None:
    weight, losses, optimizer = quadratic()
    for batch in range(3):
        PlainStep().step(losses, optimizer, batch)
    assert torch.allclose(weight, torch.tensor([2.0, -1.0]) * (1 - RATE * CURVATURE) ** 3)


def test_mirror_gradient_by_hand() -> None:
    weight, losses, optimizer = quadratic()
    rule = MirrorGradientStep(alpha1=0.5, alpha2=0.2, beta=3)
    down, back = 1 - RATE * 0.5 * CURVATURE, 1 + RATE * 0.2 * CURVATURE
    expected = torch.tensor([2.0, -1.0])
    for batch in range(7):
        terms = rule.step(losses, optimizer, batch)
        assert torch.allclose(terms["first"], 0.5 * CURVATURE[0] * expected[0] ** 2)
        expected = expected * (down * back if batch in (0, 3, 6) else 1 - RATE * CURVATURE)
        assert torch.allclose(weight, expected, rtol=1e-5)


def test_clipping_by_hand() -> None:
    weight, losses, optimizer = quadratic()
    gradient = CURVATURE * weight.detach().clone()  # [2, -3], norm sqrt(13)
    start = weight.detach().clone()
    PlainStep(clip_norm=1.0).step(losses, optimizer, 0)
    assert torch.allclose(start - weight, RATE * gradient / gradient.norm(), rtol=1e-4)
    assert (start - weight).norm().item() == pytest.approx(RATE, rel=1e-4)


def test_clipping_leaves_short_gradients_alone() -> None:
    clipped, losses, optimizer = quadratic()
    PlainStep(clip_norm=100.0).step(losses, optimizer, 0)
    plain, losses, optimizer = quadratic()
    PlainStep().step(losses, optimizer, 0)
    assert torch.equal(clipped, plain)


def test_clipping_sees_all_parameters_together() -> None:
    a, b = nn.Parameter(torch.tensor([3.0])), nn.Parameter(torch.tensor([4.0]))
    optimizer = torch.optim.SGD([a, b], lr=1.0)
    PlainStep(clip_norm=1.0).step(lambda: {"loss_of_both": 0.5 * (a.square() + b.square()).sum()}, optimizer, 0)
    assert a.item() == pytest.approx(3 - 0.6, rel=1e-5)
    assert b.item() == pytest.approx(4 - 0.8, rel=1e-5)


def test_mirror_gradient_clips_both_steps() -> None:
    weight, losses, optimizer = quadratic()
    MirrorGradientStep(alpha1=1.0, alpha2=0.1, beta=1, clip_norm=0.5).step(losses, optimizer, 0)
    start = torch.tensor([2.0, -1.0])
    gradient = CURVATURE * start
    moved = start - RATE * 0.5 * gradient / gradient.norm()
    back = 0.1 * CURVATURE * moved
    scale = min(1.0, 0.5 / back.norm().item())
    assert torch.allclose(weight, moved + RATE * scale * back, rtol=1e-4)


def test_parameters_outside_the_loss_stand_still() -> None:
    used, unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([used, unused], lr=0.1)
    PlainStep().step(lambda: {"both": (used + unused).sum()}, optimizer, 0)
    after_one = unused.item()
    PlainStep().step(lambda: {"one": used.sum()}, optimizer, 1)
    assert unused.item() == after_one


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "no terms"),
        ({"bpr": torch.ones(1, requires_grad=True)}, r"'bpr' \[1\]"),
        ({"bpr": torch.ones((), requires_grad=True), "reg": torch.ones(3)}, r"'reg' \[3\]"),
        ({"bpr": torch.ones(())}, "no trainable parameter"),
    ],
)
def test_losses_that_break_the_contract_are_refused(terms: dict[str, Tensor], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        total_loss(terms)
