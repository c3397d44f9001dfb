"""Losses of padded lists: pure functions of tensors. What stands at padded rows reaches neither loss nor gradient.

Everywhere scores are ``[B, L]``, and the mask, bool ``[B, L]``, says which rows are real. Means over lists leave out
lists of which nothing is to be learned; without any other list the loss is 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmrec_bench.row_share import all_rows, mean_over, own_rows


def relative_gains(grades: Tensor, max_grade: float) -> Tensor:
    """Return ``(2^y - 1) / (2^max - 1)``: grades ``[B, L]`` as targets in [0, 1]; clicks stay what they are."""
    gains: Tensor = (grades.exp2() - 1) / (2.0**max_grade - 1)
    return gains


def pointwise(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the binary cross-entropy of logits, ``log(1 + exp(s)) - t s``, as a mean over real rows.

    Args:
        scores: Logits.
        targets: float ``[B, L]``; above 1 where clicks are weighed by inverse propensities, which keeps the
            expectation that of the unbiased loss.
        mask: Real rows.
    """
    losses = (F.softplus(scores) - targets * scores).masked_fill(~mask, 0.0)
    return mean_over(losses.sum(), mask.sum())


def of_log_probabilities(log_probabilities: Tensor, clicks: Tensor, mask: Tensor) -> Tensor:
    """Return the binary cross-entropy ``-c log p - (1 - c) log(1 - p)``, as a mean over real rows.

    Args:
        log_probabilities: log p, at most 0.
        clicks: float ``[B, L]`` of 0 and 1.
        mask: Real rows.
    """
    logs = log_probabilities.clamp(max=-1e-6)
    losses = (clicks - 1) * torch.log(-torch.expm1(logs)) - clicks * logs
    return mean_over(losses.masked_fill(~mask, 0.0).sum(), mask.sum())


def softmax(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over lists of ``-sum_i t_i log p_i``, p the softmax of the scores (ListNet, with raw targets).

    Args:
        scores: Logits.
        targets: Not negative, float ``[B, L]``: clicks, gains, or either weighed by inverse propensities.
        mask: Real rows.
    """
    targets = targets.masked_fill(~mask, 0.0)
    log_shares = padded(scores, mask).log_softmax(dim=1).masked_fill(~mask, 0.0)
    return _mean_of_lists(-(targets * log_shares).sum(dim=1), (targets > 0).any(dim=1))


def listmle(scores: Tensor, grades: Tensor, mask: Tensor, tie_breaks: Tensor) -> Tensor:
    """Return the mean over lists of the negative log-likelihood of their order by falling grade.

    The likelihood is that of Plackett and Luce (ListMLE, Xia et al., ICML 2008,
    https://doi.org/10.1145/1390156.1390306). The order ends with the last row of a positive grade: those behind are all
    alike, and nothing is to be learned of their order.

    Args:
        scores: Logits.
        grades: float ``[B, L]``.
        mask: Real rows.
        tie_breaks: Numbers ``[B, L]`` by which rows of equal grade are ordered, such as fresh random ones.
    """
    order = tie_breaks.argsort(dim=1)
    order = order.gather(1, padded(grades, mask).gather(1, order).argsort(dim=1, descending=True, stable=True))
    ordered = padded(scores, mask).gather(1, order)
    taught = (grades > 0).gather(1, order) & mask.gather(1, order)
    left = ordered.flip(1).logcumsumexp(dim=1).flip(1)
    losses = (left - ordered).masked_fill(~taught, 0.0)
    return _mean_of_lists(losses.sum(dim=1), taught.any(dim=1))


def lambdarank(scores: Tensor, grades: Tensor, mask: Tensor, cutoff: int | None = None) -> Tensor:
    """Return the mean over lists of ``sum_{y_i > y_j} |dNDCG_ij| log(1 + exp(s_j - s_i))``.

    ``dNDCG_ij`` is the change of NDCG if both rows swapped places in the order of the present scores; it passes no
    gradient (LambdaRank, Burges et al., NIPS 2006; as a loss: Wang et al., CIKM 2018,
    https://doi.org/10.1145/3269206.3271784). Memory grows with ``B L^2``.

    Args:
        scores: Logits.
        grades: float ``[B, L]``; gains are ``2^y - 1``.
        mask: Real rows.
        cutoff: Ranks that count in NDCG; None is all.
    """
    with torch.no_grad():
        gains = (grades.exp2() - 1).masked_fill(~mask, 0.0)
        ranks = padded(scores, mask).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        places = torch.arange(scores.shape[1], device=scores.device)
        discounts = 1.0 / (places + 2.0).log2()
        if cutoff is not None:
            discounts = discounts.masked_fill(places >= cutoff, 0.0)
        ideal = (gains.sort(dim=1, descending=True).values * discounts).sum(dim=1)
        earned = discounts[ranks]
        swaps = _differences(gains).clamp(min=0) * _differences(earned).abs()
        swaps = swaps * (mask.unsqueeze(2) & mask.unsqueeze(1)) / ideal.clamp(min=1e-12).view(-1, 1, 1)
    losses = swaps * F.softplus(-_differences(scores.masked_fill(~mask, 0.0)))
    return _mean_of_lists(losses.sum(dim=(1, 2)), (swaps > 0).any(dim=2).any(dim=1))


def draws(mask: Tensor) -> Tensor:
    """Return uniform random numbers ``[B, L]``, 0 where padded; the same ones however wide lists are padded."""
    mask = all_rows(mask)
    numbers = torch.zeros(mask.shape, device=mask.device)
    numbers[mask] = torch.rand(int(mask.sum()), device=mask.device)
    return own_rows(numbers)


def padded(values: Tensor, mask: Tensor) -> Tensor:
    """Put the least finite number at padded rows ``[B, L]``: last in every order, and nothing in every softmax."""
    return values.masked_fill(~mask, torch.finfo(values.dtype).min)


def _differences(values: Tensor) -> Tensor:
    """Return ``v_i - v_j``, ``[B, L, L]``."""
    return values.unsqueeze(2) - values.unsqueeze(1)


def _mean_of_lists(losses: Tensor, teaches: Tensor) -> Tensor:
    """Return the mean of losses ``[B]``, 0 for lists that teach nothing, over those that do."""
    return mean_over(losses.sum(), teaches.sum())
