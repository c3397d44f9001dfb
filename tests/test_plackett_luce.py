"""Plackett-Luce against enumeration of all orders, and against slow references."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from mmrec_bench.plackett_luce import (
    falling_order,
    graded_order,
    gumbel_top_k,
    negative_log_likelihood,
    prefix,
    remaining,
    step_log_likelihood,
)

L = 4
ORDERS = torch.tensor(list(itertools.permutations(range(L))))
ALL = torch.ones(len(ORDERS), L, dtype=torch.bool)


def utilities(seed: int = 0) -> Tensor:
    return torch.randn(L, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def probabilities(scores: Tensor) -> Tensor:
    """Probability of each of `ORDERS` for scores ``[L]``, or ``[24, L, L]`` that change from step to step."""
    scores = scores.expand(len(ORDERS), 1, L) if scores.dim() == 1 else scores
    return step_log_likelihood(scores, ORDERS, ALL).sum(dim=1).exp()


def test_the_probabilities_of_all_orders_sum_to_one() -> None:
    assert probabilities(utilities()).sum().item() == pytest.approx(1)
    # The score of a row may hang on what was placed before; here on the last one.
    generator = torch.Generator().manual_seed(1)
    after = torch.randn(L + 1, L, generator=generator, dtype=torch.float64)
    before = torch.cat((torch.full((len(ORDERS), 1), L), ORDERS[:, :-1]), dim=1)
    assert probabilities(after[before]).sum().item() == pytest.approx(1)


def test_a_prefix_is_as_likely_as_all_its_completions() -> None:
    scores, total = utilities(), probabilities(utilities())
    for first, second in itertools.permutations(range(L), 2):
        begins = (ORDERS[:, 0] == first) & (ORDERS[:, 1] == second)
        target = torch.tensor([[first, second]])
        found = step_log_likelihood(scores.view(1, 1, L), target, ALL[:1]).sum().exp()
        assert found.item() == pytest.approx(total[begins].sum().item())


def test_of_two_rows_one_comes_first_by_its_share_of_their_weights() -> None:
    weights, total = utilities().exp(), probabilities(utilities())
    places = ORDERS.argsort(dim=1)
    for i, j in itertools.combinations(range(L), 2):
        found = total[places[:, i] < places[:, j]].sum()
        assert found.item() == pytest.approx((weights[i] / (weights[i] + weights[j])).item())


def test_rows_are_left_until_they_are_placed_and_padding_never_is() -> None:
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    found = remaining(torch.tensor([[2, 0, -1], [3, 1, 0]]), mask)
    assert found.int().tolist() == [
        [[1, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 0]],
        [[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 1, 0]],
    ]


def test_orders_fall_by_grade_and_are_fair_among_equals() -> None:
    grades = torch.tensor([1.0, 3.0, 1.0, 0.0, 1.0]).expand(60_000, -1)
    mask = torch.tensor([True, True, True, False, True]).expand_as(grades)
    found = graded_order(grades, mask, torch.rand(grades.shape, generator=torch.Generator().manual_seed(0)))
    assert (found[:, 0] == 1).all()
    assert (found[:, 4] == -1).all()
    orders, counts = found[:, 1:4].unique(dim=0, return_counts=True)
    assert len(orders) == 6
    assert (counts / len(found) - 1 / 6).abs().max() < 0.01


def test_prefixes_end_where_they_are_told() -> None:
    orders = torch.tensor([[2, 0, 1], [0, 1, -1]])
    assert prefix(orders, torch.tensor([2, 1])).tolist() == [[2, 0], [0, -1]]
    assert prefix(orders, torch.tensor([0, 0])).tolist() == [[-1], [-1]]


def test_the_loss_of_a_perfect_model_is_zero_and_of_its_transpose_it_is_not() -> None:
    target = torch.tensor([[2, 0, 1]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    perfect = 50.0 * torch.nn.functional.one_hot(target, 3).float()  # at each step, the row to place
    assert negative_log_likelihood(perfect, target, mask).item() == pytest.approx(0, abs=1e-6)
    assert negative_log_likelihood(perfect.transpose(1, 2), target, mask).item() > 1
    falling = torch.tensor([[1.0, 0.0, 2.0]])
    assert falling_order(falling, mask).tolist() == target.tolist()
    assert negative_log_likelihood(50 * falling.unsqueeze(1), target, mask).item() == pytest.approx(0, abs=1e-6)


def slow_loss(scores: Tensor, order: list[int], grades: list[float] | None, weights: str, per_step: bool) -> float:
    """Of one list, by words of the definition."""
    left, total, norm = list(range(len(scores))), 0.0, 0.0
    for rank, row in enumerate(order, start=1):
        good = [row] if grades is None else [other for other in left if grades[other] == grades[row]]
        share = sum(math.exp(scores[d]) for d in good) / sum(math.exp(scores[d]) for d in left)
        weight = 1.0 if weights == "uniform" else 1 / math.log2(rank + 1)
        total, norm = total - weight * math.log(share), norm + weight
        left.remove(row)
    return total / norm if per_step else total


@pytest.mark.parametrize("weights", ["uniform", "dcg"])
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("marginal", [False, True])
def test_the_loss_is_that_of_its_definition(weights: str, per_step: bool, marginal: bool) -> None:
    scores = torch.stack((utilities(3), utilities(4)))
    grades = torch.tensor([[1.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 0.0]])
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    orders = [[3, 0, 2, 1], [2, 1]]
    target = torch.tensor([[3, 0, 2, 1], [2, 1, -1, -1]])
    expected = sum(
        slow_loss(scores[i, :n], orders[i], grades[i].tolist() if marginal else None, weights, per_step)
        for i, n in ((0, 4), (1, 3))
    )
    found = negative_log_likelihood(
        scores.unsqueeze(1), target, mask, grades if marginal else None, weights=weights, per_step=per_step
    )
    assert found.item() == pytest.approx(expected / 2)


def test_lists_without_a_target_and_padding_count_for_nothing() -> None:
    scores = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target, mask = torch.tensor([[1, 0]]), torch.ones(1, 3, dtype=torch.bool)
    alone = negative_log_likelihood(scores[:1], target, mask)
    (gradient,) = torch.autograd.grad(alone, scores)
    wide = torch.cat((scores, torch.full((2, 1, 2), 9.0)), dim=2)
    targets = torch.tensor([[1, 0, -1], [-1, -1, -1]])
    masks = torch.tensor([[True, True, True, False, False]] * 2)
    padded = negative_log_likelihood(wide, targets, masks)
    assert padded.item() == pytest.approx(alone.item())
    assert torch.equal(torch.autograd.grad(padded, scores)[0], gradient)


def test_gumbel_top_k_draws_prefixes_by_their_probability() -> None:
    n = 60_000
    scores = utilities(5).float().expand(n, -1)
    found = gumbel_top_k(scores, ALL[:1].expand(n, -1), 2, torch.Generator().manual_seed(0))
    total = probabilities(utilities(5))
    for first, second in itertools.permutations(range(L), 2):
        begins = (ORDERS[:, 0] == first) & (ORDERS[:, 1] == second)
        share = ((found[:, 0] == first) & (found[:, 1] == second)).float().mean().item()
        assert share == pytest.approx(total[begins].sum().item(), abs=0.01)
