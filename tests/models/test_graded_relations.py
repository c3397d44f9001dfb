from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmrec_bench.models import graded_relations as module
from mmrec_bench.models.graded_relations import graded_relations

N_ITEMS, K = 17, 3


def tables(n_views: int) -> Tensor:
    rows = torch.randn(n_views, N_ITEMS, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=2).requires_grad_()


def slow(units: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """The loss by loops over items and views, differentiated by torch."""
    total = units.new_zeros(())
    for item in ids.tolist():
        cosines = [view @ view[item] for view in units]
        shares = [torch.softmax(cosine.detach(), dim=0) for cosine in cosines]
        for cosine, share in zip(cosines, shares, strict=True):
            together = torch.stack(shares).sum(dim=0) + share
            order = together.argsort(descending=True).tolist()
            first = order[:K]
            second = [other for other in share.argsort(descending=True).tolist() if other not in first][:K]
            e = torch.exp(cosine / temperature)
            of_first, of_second, of_others = e[first].sum(), e[second].sum(), e[order[K:]].sum()
            total = total - torch.log(of_first / e.sum() + 1e-9) - torch.log(of_second / of_others + 1e-9)
    return total / len(units)


@pytest.mark.parametrize("block", [1 << 19, 1])
@pytest.mark.parametrize("n_views", [1, 3])
def test_value_and_gradient_follow_the_formula(n_views: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._GradedRelations, "BLOCK_VALUES", block)
    ids = torch.tensor([0, 3, 4, 11, 16])
    losses, gradients = [], []
    for function in (lambda units: graded_relations(units, ids, K, 0.3), lambda units: slow(units, ids, 0.3)):
        units = tables(n_views)
        loss = 0.7 * function(units)
        loss.backward()
        losses.append(loss.detach())
        gradients.append(units.grad)
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_blocks_of_rows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    many = torch.arange(N_ITEMS).repeat(10)
    whole = graded_relations(tables(2), many, K, 0.2)
    monkeypatch.setattr(module._GradedRelations, "BLOCK_VALUES", 1)
    units = tables(2)
    parts = graded_relations(units, many, K, 0.2)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(parts, 10 * graded_relations(units, torch.arange(N_ITEMS), K, 0.2))


def test_nothing_is_lost_without_items() -> None:
    units = tables(2)
    loss = graded_relations(units, torch.zeros(0, dtype=torch.int64), K, 0.2)
    loss.backward()
    assert loss == 0
    assert units.grad is not None
    assert not units.grad.any()


@pytest.mark.parametrize("n", [3, 24, 25, 33, 250])
@pytest.mark.parametrize("n_values", [2, 10**6])
def test_the_largest_are_those_of_a_full_ranking(n: int, n_values: int) -> None:
    """Also where many are equal; and the groups are searched, not all columns."""
    values = torch.randint(n_values, (40, n), generator=torch.Generator().manual_seed(n)).float()
    found = module._largest(values, K)
    assert all(len(set(row)) == K for row in found.tolist()), "each column once"
    torch.testing.assert_close(values.gather(1, found).sort(dim=1).values, values.topk(K, dim=1).values.flip(1))


@pytest.mark.parametrize("temperature", [0.2, 0.05, 0.03, 0.02])
def test_low_temperatures_keep_their_digits(temperature: float) -> None:
    """Where the first grade holds nearly everything, what is left is not the rounding of a difference."""
    units = tables(2)
    ids = torch.arange(N_ITEMS)
    found, expected = (graded_relations(rows, ids, K, temperature) for rows in (units.float(), units))
    torch.testing.assert_close(found.double(), expected, rtol=2e-5, atol=0.0)
    torch.testing.assert_close(expected, slow(units, ids, temperature))
    (gradient,) = torch.autograd.grad(found, units)
    (exact,) = torch.autograd.grad(expected, units)
    torch.testing.assert_close(gradient, exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max()))
