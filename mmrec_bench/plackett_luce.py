"""Plackett-Luce: an order is a row of choices, each a softmax over what is left. Pure functions of tensors.

``P(pi) = prod_i exp(s_i[pi_i]) / sum_{d left at i} exp(s_i[d])`` (Plackett, 1975; Luce, 1959). Where the scores are the
same at all steps, the order of a subset does not hang on the rest, the likelihood of a prefix never needs the tail, and
``P(i before j) = w_i / (w_i + w_j)`` with ``w = exp(s)``. Scores that change from step to step (a pointer network) make
a multistage choice model: all of this holds within a step, and no longer across steps.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from mmrec_bench.row_share import mean_over

Ties: TypeAlias = Literal["random", "marginal"]
"""What rows of equal grade teach. ``random``: a fresh random order among them, each time. ``marginal``: that any of the
best rows left comes next, whichever it is; the next step then follows a random one of them."""

Weights: TypeAlias = Literal["uniform", "dcg"]
"""Weight of the choice for rank i: 1, or 1 / log2(i + 1)."""


def falling_order(scores: Tensor, mask: Tensor) -> Tensor:
    """Order rows by falling score, equal ones as they stand: the most likely order of Plackett-Luce.

    Args:
        scores: Finite numbers, ``[B, L]``.
        mask: Which rows are real, bool ``[B, L]``.

    Returns:
        Row at each rank, int64 ``[B, L]``, -1 where padded.
    """
    order = scores.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return _ended(order, mask.sum(dim=1))


def graded_order(grades: Tensor, mask: Tensor, tie_breaks: Tensor) -> Tensor:
    """Order rows by falling grade, equal ones by rising tie breaks ``[B, L]``; see `falling_order`."""
    first = tie_breaks.argsort(dim=1, stable=True)
    order = falling_order(grades.float().gather(1, first), mask.gather(1, first))
    return first.gather(1, order.clamp(min=0)).masked_fill(order < 0, -1)


def prefix(order: Tensor, n_steps: Tensor) -> Tensor:
    """Keep the first ranks of orders ``[B, L]``, as many as int64 ``[B]`` says: ``[B, K]``, K the most, -1 behind."""
    return _ended(order[:, : max(int(n_steps.max()), 1)], n_steps)


def remaining(target: Tensor, mask: Tensor) -> Tensor:
    """Return which rows are left at each step when those of the target are placed, bool ``[B, K, L]``.

    Args:
        target: Row placed at each step, int64 ``[B, K]``; -1 behind the end of a prefix.
        mask: Which rows are real, bool ``[B, L]``.
    """
    places = torch.full(mask.shape, target.shape[1], device=target.device)
    steps = torch.arange(target.shape[1], device=target.device)
    # Where the target ends, -1 becomes a column of its own that is cut off again.
    padded = torch.cat((places, places[:, :1]), dim=1)
    padded.scatter_(1, target.masked_fill(target < 0, mask.shape[1]), steps.expand_as(target))
    return mask.unsqueeze(1) & (padded[:, :-1].unsqueeze(1) >= steps.view(1, -1, 1))


def step_log_likelihood(scores: Tensor, target: Tensor, mask: Tensor, grades: Tensor | None = None) -> Tensor:
    """Return the log-probability of each choice, given that those before it were made: teacher forcing.

    Args:
        scores: Score of each row at each step, float ``[B, K, L]``, or ``[B, 1, L]`` where no step changes them.
        target: Row to choose at each step, int64 ``[B, K]``; -1 behind the end of a prefix.
        mask: Which rows are real, bool ``[B, L]``.
        grades: With grades ``[B, L]``, a choice of any row left with the grade of the target's is as good.

    Returns:
        float ``[B, K]``, 0 behind the end of a prefix.
    """
    left, over = remaining(target, mask), target < 0
    rows = target.clamp(min=0)
    # A step that is over has no row left, and a softmax over nothing no gradient.
    logits = scores.masked_fill(~left, -torch.inf).masked_fill(over.unsqueeze(2), 0.0)
    log_probs = logits.log_softmax(dim=2)
    if grades is None:
        found = log_probs.gather(2, rows.unsqueeze(2)).squeeze(2)
    else:
        same = grades.unsqueeze(1) == grades.gather(1, rows).unsqueeze(2)
        wrong = ~(same & left) & ~over.unsqueeze(2)
        found = log_probs.masked_fill(wrong, -torch.inf).logsumexp(dim=2)
    return found.masked_fill(over, 0.0)


def negative_log_likelihood(
    scores: Tensor,
    target: Tensor,
    mask: Tensor,
    grades: Tensor | None = None,
    *,
    weights: Weights = "uniform",
    per_step: bool = False,
) -> Tensor:
    """Return the mean over lists of ``-sum_i w_i log P(target_i | target_<i)``.

    Lists of which nothing is to be learned, with an empty target, do not count.

    Args:
        scores: See `step_log_likelihood`.
        target: See `step_log_likelihood`.
        mask: See `step_log_likelihood`.
        grades: See `step_log_likelihood`; makes the set loss of tied rows.
        weights: Of the steps.
        per_step: Whether the sum of a list is divided by that of its weights.
    """
    found = step_log_likelihood(scores, target, mask, grades)
    ranks = torch.arange(1, target.shape[1] + 1, device=target.device, dtype=found.dtype)
    of_steps = torch.ones_like(ranks) if weights == "uniform" else 1.0 / (ranks + 1).log2()
    sums = (found * of_steps).sum(dim=1)
    if per_step:
        sums = sums / ((target >= 0) * of_steps).sum(dim=1).clamp(min=1e-12)
    return mean_over(-sums.sum(), (target >= 0).any(dim=1).sum())


def gumbel(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return standard Gumbel noise of the shape of a tensor."""
    uniform = torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)
    return -(-uniform.clamp(min=torch.finfo(like.dtype).tiny).log()).log()


def gumbel_top_k(scores: Tensor, mask: Tensor, k: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw the first k ranks from Plackett-Luce with the same scores at all steps (Gumbel-top-k, arXiv:1903.06059).

    Args:
        scores: float ``[B, L]``.
        mask: Which rows are real, bool ``[B, L]``.
        k: Ranks wanted, at most L.
        generator: Source of the draws; the global one by default.

    Returns:
        Row at each rank, int64 ``[B, k]``, -1 behind the end of a list.
    """
    return falling_order(scores + gumbel(scores, generator), mask)[:, :k]


def _ended(order: Tensor, lengths: Tensor) -> Tensor:
    """Put -1 behind the end of orders ``[B, K]``."""
    return order.masked_fill(torch.arange(order.shape[1], device=order.device) >= lengths.unsqueeze(1), -1)
