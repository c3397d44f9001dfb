"""Losses: pure functions of tensors, finite for finite input."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmrec_bench import row_share

RegForm: TypeAlias = Literal["squared", "frobenius"]
"""``squared``: half the sum of squares, as papers write it. ``frobenius``: sum of unsquared Frobenius norms, as MMRec
and its descendants compute it; its pull does not shrink with the embeddings, and weights do not carry over."""


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean of ``-log sigmoid(positive - negative)`` (BPR, arXiv:1205.2618), computed as softplus.

    Args:
        positive: Scores of observed pairs, float32 ``[B]``.
        negative: Scores of unobserved pairs, float32 ``[B]``.
    """
    return F.softplus(negative - positive).mean()


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``-y log sigmoid(x) - (1 - y) log(1 - sigmoid(x))``, computed from logits.

    Args:
        logits: x, float32 ``[B]``.
        labels: y, float32 ``[B]`` in [0, 1].
    """
    return F.binary_cross_entropy_with_logits(logits, labels)


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Return the inner products of rows, ``[B]``, for ``[B, d]`` and ``[B, d]``."""
    return (left * right).sum(dim=-1)


def info_nce(
    anchors: Tensor,
    targets: Tensor,
    temperature: float,
    counts: Tensor | None = None,
    positives: Tensor | None = None,
) -> Tensor:
    """Return InfoNCE of cosines, from anchors to targets (arXiv:1807.03748); gradients reach both sides.

    In a batch, row r of the targets is the positive of row r of the anchors, and all rows are in its denominator. With
    ``positives`` the targets are any rows, such as those of all items: each is once in every denominator. A batch that
    repeats rows may be given once without repeats and with counts: the loss is the same.

    Args:
        anchors: float32 ``[B, d]``.
        targets: float32 ``[B, d]``, or ``[N, d]`` with positives.
        temperature: Divisor of the cosines, positive.
        counts: How often each row stands in the batch, ``[B]``; once by default.
        positives: Row of the targets that belongs to each anchor, int64 ``[B]``.
    """
    scaled, unit = F.normalize(anchors, dim=1) / temperature, F.normalize(targets, dim=1)
    return softmax_contrast(scaled, unit, counts, positives, bound=1.0 / temperature)


def softmax_contrast(
    queries: Tensor,
    keys: Tensor,
    counts: Tensor | None = None,
    positives: Tensor | None = None,
    bound: float = math.inf,
) -> Tensor:
    """Return the mean of ``log sum_s exp(q_r . k_s) - q_r . k_r``: `info_nce` of any logits that are inner products.

    Args:
        queries: float32 ``[B, d]``.
        keys: float32 ``[B, d]``, or ``[N, d]`` with positives.
        counts: See `info_nce`.
        positives: See `info_nce`.
        bound: No logit is larger; those that may be are shifted before they are exponentiated.
    """
    weights = queries.new_ones(len(queries)) if counts is None else counts.to(queries.dtype)
    of_keys = None
    if positives is None and row_share.present() is not None:
        # Other processes hold the other rows: the own queries meet the keys of all.
        keys, first = row_share.all_rows_and_place(keys)
        of_keys = row_share.all_rows(weights)
        positives = torch.arange(first, first + len(queries), device=queries.device)
    bounded = bound <= 40.0  # exp(40) is far from overflow
    return cast(
        Tensor,
        _SoftmaxOfRows.apply(queries, keys, weights, positives, of_keys, bounded),  # type: ignore[no-untyped-call]
    )


class _SoftmaxOfRows(torch.autograd.Function):
    """Mean over r, weighted by c_r, of ``log sum_s c_s exp(a_r . b_s) - a_r . b_r``.

    With positives p it is the same mean of ``log sum_s k_s exp(a_r . b_s) - a_r . b_{p_r}``, k being 1 or given. Both
    gradients are known as soon as the softmax is, so they are made with it, one block of rows after another: no matrix
    ``[B, B]`` is kept, or leaves the cache.
    """

    BLOCK_VALUES = 1 << 19
    BLOCK_ROWS = 64
    """Fewest rows of a block: the products of fewer are slow, however many columns there are."""
    FEW_COLUMNS = 16
    """Below this, a product with many rows takes up to ten times as long as its transpose."""

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        targets: Tensor,
        counts: Tensor,
        positives: Tensor | None,
        of_targets: Tensor | None,
        bounded: bool,
    ) -> Tensor:
        step = max(_SoftmaxOfRows.BLOCK_ROWS, _SoftmaxOfRows.BLOCK_VALUES // len(targets))
        weights = counts.unsqueeze(1)
        if positives is None:
            own, columns, to_targets = targets, weights, -anchors
        else:
            own = targets.index_select(0, positives)
            columns = targets.new_ones(len(targets), 1) if of_targets is None else of_targets.unsqueeze(1)
            shares = weights if of_targets is None else weights / columns.index_select(0, positives)
            to_targets = torch.zeros_like(targets).index_add_(0, positives, -shares * anchors)
        weighted_targets = columns * targets
        total = -(weights * anchors * own).sum()
        to_anchors = -own
        for start in range(0, len(anchors), step):
            rows = slice(start, start + step)
            logits = anchors[rows] @ targets.T
            if not bounded:
                largest = logits.amax(dim=1, keepdim=True)
                total += (weights[rows] * largest).sum()
                logits -= largest
            exponentials = logits.exp_()
            sums = exponentials @ columns
            total += (weights[rows] * sums.log()).sum()
            to_anchors[rows] += _product(exponentials, weighted_targets) / sums
            to_targets += _product(exponentials.T, anchors[rows] * weights[rows] / sums)
        size = counts.sum()
        ctx.save_for_backward(weights / size * to_anchors, columns / size * to_targets)
        return total / size

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        to_anchors, to_targets = ctx.saved_tensors
        return gradient * to_anchors, gradient * to_targets, None, None, None, None


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right``, as the transpose of its transpose where there are few columns."""
    return (right.T @ left.T).T if right.shape[1] < _SoftmaxOfRows.FEW_COLUMNS else left @ right


def cosine_alignment(left: Tensor, right: Tensor) -> Tensor:
    """Return ``1 - mean cos(left, right)`` of rows ``[B, d]``; a row of zeros counts as cosine zero."""
    return 1.0 - F.cosine_similarity(left, right, dim=1, eps=1e-8).mean()


def uniformity(rows: Tensor, counts: Tensor | None = None) -> Tensor:
    """Return ``log mean_{r != s} exp(-2 ||x_r - x_s||^2)`` of rows at unit length (arXiv:2005.10242).

    Low where the directions of a batch are spread over the sphere; zero where there is no pair.

    Args:
        rows: float32 ``[B, d]``; a row of zeros counts as one at right angles to all.
        counts: How often each row stands in the batch, ``[B]``; once by default. A batch that repeats rows may be given
            once without repeats: the loss is the same.
    """
    weights = rows.new_ones(len(rows)) if counts is None else counts.to(rows.dtype)
    unit, weights = row_share.all_rows(F.normalize(rows, dim=1)), row_share.all_rows(weights)
    total = cast(Tensor, _SumOverPairs.apply(unit, weights))  # type: ignore[no-untyped-call]
    n = weights.sum()
    mean = total.clamp_min(torch.finfo(rows.dtype).tiny) / (n * (n - 1.0)).clamp_min(1.0)
    return torch.where(n > 1, mean.log(), 0.0)


class _SumOverPairs(torch.autograd.Function):
    """``sum_{r, s} c_r c_s k_rs - sum_r c_r k_rr`` with ``k_rs = exp(4 x_r . x_s - 4)``.

    Of unit rows k is ``exp(-2 ||x_r - x_s||^2)``. The gradient is made with the sum, one block of rows after another:
    no matrix ``[B, B]`` is kept.
    """

    BLOCK_VALUES = 1 << 19

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: Tensor) -> Tensor:
        step = max(1, _SumOverPairs.BLOCK_VALUES // len(rows))
        weights = counts.unsqueeze(1)
        weighted = weights * rows
        own = (4.0 * (rows * rows).sum(dim=1, keepdim=True) - 4.0).exp()
        total = -(weights * own).sum()
        pulled = -own * rows
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            kernel = (rows[block] @ rows.T).sub_(1.0).mul_(4.0).exp_()
            total += (weights[block] * (kernel @ weights)).sum()
            pulled[block] += kernel @ weighted
        ctx.save_for_backward(8.0 * weights * pulled)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (of_rows,) = ctx.saved_tensors
        return gradient * of_rows, None


def gram_vs_cosine(rows: Tensor, references: Tensor, counts: Tensor | None = None) -> Tensor:
    """Return ``||H H^T - C||_F / B``, C the cosines of the references, without gradient to C.

    Keeps the similarities that the references had (AlignRec, arXiv:2403.12384, as released: unsquared norm, rows as
    they are). With unit references ``C = U U^T``, and the square is ``||H^T H||^2 - 2 ||U^T H||^2 + ||C||^2``: no
    matrix ``[B, B]`` is formed, and a distance below about a thousandth of ``||C||`` drowns in rounding.

    Args:
        rows: H, float32 ``[B, d]``.
        references: Original feature vectors, float32 ``[B, D]``; a row of zeros has cosine zero to all, itself too.
        counts: How often each row stands in the batch, ``[B]``; once by default. A batch that repeats rows may be given
            once without repeats: the loss is the same. Rows that count zero are left out; without any row the loss is
            zero, or as near as a root comes.
    """
    weights = rows.new_ones(len(rows)) if counts is None else counts.to(rows.dtype)
    rows, weights = row_share.all_rows(rows), row_share.all_rows(weights)
    references = row_share.all_rows(references.detach())
    shares = weights.sqrt().unsqueeze(1)  # scaled by them on both sides, each pair weighs c_r c_s
    with torch.no_grad():
        lengths = torch.linalg.vector_norm(references, dim=1, keepdim=True).clamp_min(1e-12)
        unit = references * (shares / lengths)
        own = _squared_gram(unit)
    rows = rows * shares
    squared: Tensor = (rows.T @ rows).square().sum() - 2.0 * (unit.T @ rows).square().sum() + own
    distance: Tensor = squared.clamp_min(torch.finfo(rows.dtype).tiny).sqrt()
    return distance / weights.sum().clamp_min(1.0)


def _squared_gram(rows: Tensor) -> Tensor:
    """Return ``||X X^T||_F^2 = ||X^T X||_F^2`` through the smaller of the two, in blocks of its upper triangle."""
    if rows.shape[1] < len(rows):
        rows = rows.T
    step = 256
    total = rows.new_zeros(())
    for start in range(0, len(rows), step):
        block, after = rows[start : start + step], rows[start + step :]
        total += (block @ block.T).square_().sum() + 2.0 * (block @ after.T).square_().sum()
    return total


def batch_l2(*blocks: Tensor, divisor: int | None = None, form: RegForm = "squared") -> Tensor:
    """Return `embedding_l2` of the rows of a batch, be they shared with other processes or not.

    Args:
        blocks: Rows of users, positives, negatives, ...: float32 ``[B, d]`` each.
        divisor: What the sum is divided by; the number B of rows of the batch by default.
        form: See `embedding_l2`.
    """
    share = row_share.present()
    if share is None:
        return embedding_l2(*blocks, divisor=divisor or len(blocks[0]), form=form)
    if form == "squared":  # a sum over rows, which the trainer weighs by their share of the batch
        return embedding_l2(*blocks, divisor=divisor or share.n_rows, form=form) / share.weight
    norms = row_share.all_rows(torch.stack([torch.linalg.vector_norm(block) for block in blocks]).unsqueeze(0))
    size: Tensor = torch.linalg.vector_norm(norms, dim=0).sum() / (divisor or share.n_rows)
    return size


def embedding_l2(*blocks: Tensor, divisor: int, form: RegForm = "squared") -> Tensor:
    """Return the size of embedding rows, such as those of whole tables, divided by a number of rows.

    Args:
        blocks: Rows of users, positives, negatives, ...: float32 ``[n, d]`` each.
        divisor: What the sum is divided by.
        form: ``squared`` is ``sum_X 0.5 ||X||^2 / divisor``, ``frobenius`` is ``sum_X ||X|| / divisor``.
    """
    if form == "squared":
        return torch.stack([0.5 * block.square().sum() for block in blocks]).sum() / divisor
    return torch.stack([torch.linalg.vector_norm(block) for block in blocks]).sum() / divisor
