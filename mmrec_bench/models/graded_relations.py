"""Graded relations of DA-MRS: items that all views hold to be related, then those of one view, then the rest."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-9

_GROUP = 8
"""Columns of a group; of 4 to 128, what was fastest for 10 of 7,050 columns."""


def graded_relations(tables: Tensor, ids: Tensor, n_relations: int, temperature: float) -> Tensor:
    """Return the sum over some items of their losses, each the mean over the views (DA-MRS, arXiv:2406.12501).

    With cosines c_x of an item to all items in view x and ``q_x = softmax(c_x)``, the first grade holds the k largest
    of ``q_x + sum_y q_y``, the second the k largest of q_x among the others. With ``e = exp(c_x / temperature)``, T its
    sum over all items, M and S over the two grades::

        l_x = -log(M / T + 1e-9) - log(S / (T - M) + 1e-9)

    Which items are in a grade carries no gradient. Cosines are made once in each view for labels and denominators, in
    blocks of rows, and so are the gradients: no matrix of items by items is kept.

    Args:
        tables: Unit vectors of all items in V views, float32 ``[V, n_items, d]``.
        ids: Items, int64 ``[b]``, without repeats.
        n_relations: Items k of a grade; there must be more than 2 k items.
        temperature: Divisor of the cosines, positive.
    """
    return cast(Tensor, _GradedRelations.apply(tables, ids, n_relations, temperature))  # type: ignore[no-untyped-call]


class _GradedRelations(torch.autograd.Function):
    BLOCK_VALUES = 1 << 19

    @staticmethod
    def forward(ctx: Any, tables: Tensor, ids: Tensor, n_relations: int, temperature: float) -> Tensor:
        step = max(64, _GradedRelations.BLOCK_VALUES // tables.shape[1])
        gradient, total = torch.zeros_like(tables), tables.new_zeros(())
        for start in range(0, len(ids), step):
            rows = ids[start : start + step]
            own = tables.index_select(1, rows)
            cosines = own @ tables.transpose(1, 2)
            shares = torch.softmax(cosines, dim=2)
            together = shares.sum(dim=0)
            for view, (cosine, share) in enumerate(zip(cosines, shares, strict=True)):
                first = _largest(together + share, n_relations)
                second = _largest(share.scatter_(1, first, 0.0), n_relations)
                loss, slopes = _loss_and_slopes(cosine, first, second, temperature)
                total += loss
                gradient[view] += slopes.T @ own[view]
                gradient[view].index_add_(0, rows, slopes @ tables[view])
        ctx.save_for_backward(gradient / len(tables))
        return total / len(tables)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (to_tables,) = ctx.saved_tensors
        return gradient * to_tables, None, None, None


def _largest(values: Tensor, k: int) -> Tensor:
    """Return the columns of the k largest values of each row, ``[b, k]``, for values ``[b, n]``.

    The k largest lie among the k groups of columns whose best are largest: groups are ranked, and k of them searched,
    which on processors takes a third of the time of ranking all columns. Groups are columns that are equally far apart,
    so that the best of all groups are found row beside row.
    """
    n_groups = values.shape[1] // _GROUP
    if n_groups <= k:
        return values.topk(k, dim=1).indices
    grouped = values[:, : n_groups * _GROUP].view(len(values), _GROUP, n_groups)
    best = grouped.amax(dim=1).topk(k, dim=1, sorted=False).indices
    within = n_groups * torch.arange(_GROUP, device=values.device)
    columns = (best.unsqueeze(1) + within.view(1, -1, 1)).flatten(1)
    ungrouped = torch.arange(n_groups * _GROUP, values.shape[1], device=values.device).expand(len(values), -1)
    columns = torch.cat((columns, ungrouped), dim=1)
    found: Tensor = columns.gather(1, values.gather(1, columns).topk(k, dim=1, sorted=False).indices)
    return found


def _loss_and_slopes(cosines: Tensor, first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the sum of l over rows, and its slopes, for cosines ``[b, n_items]`` and disjoint grades ``[b, k]``.

    The grades and what is left are summed one by one: a grade may hold nearly everything, and differences of sums would
    be rounding.
    """
    weights = ((cosines - 1.0) / temperature).exp_()  # of cosines at most 1: nothing overflows at low temperatures
    in_first, in_second = weights.gather(1, first), weights.gather(1, second)
    left = weights.scatter_(1, first, 0.0).scatter_(1, second, 0.0)
    of_first, of_second, of_left = (part.sum(dim=1, keepdim=True) for part in (in_first, in_second, left))
    others = of_second + of_left
    everything = of_first + others
    one, other = of_first / everything, of_second / others
    by_one, by_other = 1.0 / (everything * (one + EPSILON)), 1.0 / (others * (other + EPSILON))
    slopes = left.mul_((one * by_one + other * by_other) / temperature)
    slopes.scatter_(1, first, in_first * (-others / everything * by_one / temperature))
    slopes.scatter_(1, second, in_second * ((one * by_one - of_left / others * by_other) / temperature))
    return -((one + EPSILON).log() + (other + EPSILON).log()).sum(), slopes
