"""Each loss of lists against loops over rows, and padding that reaches neither loss nor gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmrec_bench.list_losses import draws, lambdarank, listmle, pointwise, relative_gains, softmax
from mmrec_bench.plackett_luce import negative_log_likelihood, prefix

MASK = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
GRADES = torch.tensor([[2, 0, 3, 1, 0], [0, 1, 0, 0, 0], [4, 2, 2, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.float64)
TIES = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0], [0.5, 0.6, 0, 0, 0], [0.5, 0.9, 0.1, 0.3, 0.2], [0.3, 0.2, 0.1, 0, 0]])

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def _listmle(scores: Tensor, grades: Tensor, mask: Tensor) -> Tensor:
    ties = torch.zeros_like(scores)
    ties[:, : TIES.shape[1]] = TIES.to(scores)
    return listmle(scores, grades, mask, ties)


def _lambdarank_at_2(scores: Tensor, grades: Tensor, mask: Tensor) -> Tensor:
    return lambdarank(scores, grades, mask, cutoff=2)


LOSSES: dict[str, Loss] = {
    "pointwise": pointwise,
    "softmax": softmax,
    "listmle": _listmle,
    "lambdarank": lambdarank,
    "lambdarank@2": _lambdarank_at_2,
}


def _scores() -> Tensor:
    return torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _lists() -> list[tuple[list[float], list[float], list[float]]]:
    scores = _scores()
    return [
        (scores[row, mask].tolist(), GRADES[row, mask].tolist(), TIES[row, mask].tolist())
        for row, mask in enumerate(MASK)
    ]


def test_pointwise_is_the_cross_entropy_of_rows() -> None:
    targets = relative_gains(GRADES, 4)
    total = 0.0
    for (scores, _, _), wanted in zip(_lists(), targets.tolist(), strict=True):
        for score, target in zip(scores, wanted, strict=False):
            p = 1 / (1 + math.exp(-score))
            total -= target * math.log(p) + (1 - target) * math.log(1 - p)
    assert pointwise(_scores(), targets, MASK).item() == pytest.approx(total / int(MASK.sum()))


def test_softmax_is_the_cross_entropy_of_lists() -> None:
    total = 0.0
    for scores, grades, _ in _lists():
        norm = sum(map(math.exp, scores))
        total -= sum(grade * math.log(math.exp(score) / norm) for score, grade in zip(scores, grades, strict=True))
    assert softmax(_scores(), GRADES, MASK).item() == pytest.approx(total / 3)  # the last list has no grade


def test_listmle_is_the_likelihood_of_the_order_through_the_last_relevant_row() -> None:
    total = 0.0
    for scores, grades, ties in _lists():
        left = sorted(range(len(scores)), key=lambda row: (-grades[row], ties[row]))
        while left and grades[left[0]] > 0:
            total -= math.log(math.exp(scores[left[0]]) / sum(math.exp(scores[row]) for row in left))
            left.pop(0)
    assert _listmle(_scores(), GRADES, MASK).item() == pytest.approx(total / 3)


def test_listmle_is_plackett_luce() -> None:
    order = TIES.argsort(dim=1)
    order = order.gather(1, GRADES.masked_fill(~MASK, -1).gather(1, order).argsort(dim=1, descending=True, stable=True))
    target = prefix(order, (GRADES > 0).sum(dim=1))
    expected = negative_log_likelihood(_scores().unsqueeze(1), target, MASK)
    torch.testing.assert_close(_listmle(_scores(), GRADES, MASK), expected)


@pytest.mark.parametrize("cutoff", [None, 2])
def test_lambdarank_weighs_pairs_by_what_their_swap_changes(cutoff: int | None) -> None:
    def ndcg(order: list[int], grades: list[float]) -> float:
        def dcg(ranked: list[float]) -> float:
            return sum((2**grade - 1) / math.log2(rank + 2) for rank, grade in enumerate(ranked[:cutoff]))

        return dcg([grades[row] for row in order]) / dcg(sorted(grades, reverse=True))

    total = 0.0
    for scores, grades, _ in _lists()[:3]:
        order = sorted(range(len(scores)), key=lambda row: -scores[row])
        for i, one in enumerate(grades):
            for j, other in enumerate(grades):
                if one > other:
                    swapped = [{i: j, j: i}.get(row, row) for row in order]
                    change = abs(ndcg(swapped, grades) - ndcg(order, grades))
                    total += change * math.log(1 + math.exp(scores[j] - scores[i]))
    assert lambdarank(_scores(), GRADES, MASK, cutoff).item() == pytest.approx(total / 3)


@pytest.mark.parametrize("name", LOSSES)
def test_padding_reaches_neither_loss_nor_gradient(name: str) -> None:
    def of(scores: Tensor, grades: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        scores = scores.clone().requires_grad_()
        loss = LOSSES[name](scores, grades, mask)
        (gradient,) = torch.autograd.grad(loss, scores)
        return loss, gradient

    loss, gradient = of(_scores(), GRADES, MASK)
    assert gradient[~MASK].abs().max() == 0
    wide = torch.full((4, 3), 50.0, dtype=torch.float64)
    scores = torch.cat((_scores().masked_fill(~MASK, -7.0), wide), dim=1)
    grades = torch.cat((GRADES.masked_fill(~MASK, 3.0), wide / 10), dim=1)
    wider, its_gradient = of(scores, grades, torch.cat((MASK, wide < 0), dim=1))
    torch.testing.assert_close(wider, loss)
    torch.testing.assert_close(its_gradient[:, :5], gradient)
    assert its_gradient[:, 5:].abs().max() == 0


@pytest.mark.parametrize("name", ["softmax", "listmle", "lambdarank"])
def test_lists_without_relevant_rows_teach_nothing(name: str) -> None:
    scores = _scores()[3:].requires_grad_()
    ties = TIES[3:]
    loss = {
        "softmax": lambda: softmax(scores, GRADES[3:], MASK[3:]),
        "listmle": lambda: listmle(scores, GRADES[3:], MASK[3:], ties),
        "lambdarank": lambda: lambdarank(scores, GRADES[3:], MASK[3:]),
    }[name]()
    assert loss.item() == 0
    assert torch.autograd.grad(loss, scores)[0].abs().max() == 0


def test_weights_keep_the_expectation_of_the_cross_entropy() -> None:
    # E[c / propensity] is the target, and the loss is linear in it.
    scores, propensities = _scores(), torch.full_like(GRADES, 0.25)
    observed = pointwise(scores, torch.ones_like(GRADES) / propensities, MASK)
    unobserved = pointwise(scores, torch.zeros_like(GRADES), MASK)
    full = pointwise(scores, torch.ones_like(GRADES), MASK)
    torch.testing.assert_close(0.25 * observed + 0.75 * unobserved, full)


def test_draws_do_not_hang_on_the_padding() -> None:
    torch.manual_seed(0)
    narrow = draws(MASK)
    torch.manual_seed(0)
    wide = draws(torch.cat((MASK, torch.zeros_like(MASK)), dim=1))
    torch.testing.assert_close(wide[:, :5], narrow)
    assert (narrow[MASK] > 0).all()
    assert not wide[:, 5:].any()


def test_gains_are_relative_to_the_largest_grade() -> None:
    torch.testing.assert_close(relative_gains(torch.tensor([0.0, 1, 2, 4]), 4), torch.tensor([0, 1, 3, 15]) / 15)
    clicks = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(relative_gains(clicks, 1), clicks)
