"""Losses: pure functions of tensors, finite for finite input."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

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


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Return the inner products of rows, ``[B]``, for ``[B, d]`` and ``[B, d]``."""
    return (left * right).sum(dim=-1)


def info_nce(anchors: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Return in-batch InfoNCE of cosines, from anchors to targets (arXiv:1807.03748).

    Row r of the targets is the positive of row r of the anchors and all rows are in its denominator; repeated rows
    are not merged. Gradients reach both sides.

    Args:
        anchors: float32 ``[B, d]``.
        targets: float32 ``[B, d]``.
        temperature: Divisor of the cosines, positive.
    """
    logits = F.normalize(anchors, dim=1) @ F.normalize(targets, dim=1).T / temperature
    return (torch.logsumexp(logits, dim=1) - logits.diagonal()).mean()


def cosine_alignment(left: Tensor, right: Tensor) -> Tensor:
    """Return ``1 - mean cos(left, right)`` of rows ``[B, d]``; a row of zeros counts as cosine zero."""
    return 1.0 - F.cosine_similarity(left, right, dim=1, eps=1e-8).mean()


def gram_vs_cosine(rows: Tensor, references: Tensor) -> Tensor:
    """Return ``||H H^T - C||_F / B``, C the cosines of the references, without gradient to C.

    Keeps the similarities that the references had (AlignRec, arXiv:2403.12384, as released: unsquared norm, rows as
    they are).

    Args:
        rows: H, float32 ``[B, d]``.
        references: Original feature vectors, float32 ``[B, D]``.
    """
    with torch.no_grad():
        unit = F.normalize(references, dim=1)
        cosines = unit @ unit.T
    distance: Tensor = torch.linalg.vector_norm(rows @ rows.T - cosines)
    return distance / len(rows)


def embedding_l2(*blocks: Tensor, divisor: int, form: RegForm = "squared") -> Tensor:
    """Return the size of embedding rows, divided by a batch size.

    Args:
        blocks: Rows of users, positives, negatives, ...: float32 ``[n, d]`` each.
        divisor: What the sum is divided by, usually the number of rows of one block.
        form: ``squared`` is ``sum_X 0.5 ||X||^2 / divisor``, ``frobenius`` is ``sum_X ||X|| / divisor``.
    """
    if form == "squared":
        return torch.stack([0.5 * block.square().sum() for block in blocks]).sum() / divisor
    return torch.stack([torch.linalg.vector_norm(block) for block in blocks]).sum() / divisor
