"""Products with sparse matrices whose entries are learned; a symmetric one as a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmrec_bench.graph.sparse import CsrBuffers


def weighted_product(
    values: Tensor,
    x: Tensor,
    matrix: Callable[[Tensor], Tensor],
    transposed: Callable[[Tensor], Tensor],
    products_of_ends: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return ``W x``, float32 ``[n, d]``; gradients go to the entries of W, too.

    Args:
        values: Entries of W, float32 ``[E]``.
        x: float32 ``[m, d]``.
        matrix: Gives W, sparse ``[n, m]``, of its entries.
        transposed: Gives its transpose of the same.
        products_of_ends: Gives ``l_a . r_b`` of every entry, ``[E]``, for tables l ``[n, d]`` and r ``[m, d]``.
    """
    product = _WeightedProduct.apply(values, x, matrix, transposed, products_of_ends)  # type: ignore[no-untyped-call]
    return cast(Tensor, product)


class _WeightedProduct(torch.autograd.Function):
    """``W x``; the gradient of an entry is the product of the gradient of its row and the x of its column."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, x: Tensor, matrix: Any, transposed: Any, products_of_ends: Any) -> Any:
        ctx.save_for_backward(values, x)
        ctx.transposed, ctx.products_of_ends = transposed, products_of_ends
        return matrix(values) @ x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        values, x = ctx.saved_tensors
        values_needed, x_needed, *_ = ctx.needs_input_grad
        pulled = ctx.transposed(values) @ gradient.contiguous() if x_needed else None
        return ctx.products_of_ends(gradient, x) if values_needed else None, pulled, None, None, None


class WeightedEdges(nn.Module):
    """The pattern of a symmetric sparse matrix ``[n, n]``; its entries come with each product.

    Args:
        pattern: CSR ``[n, n]``, symmetric; its values are not looked at.
    """

    rows: Tensor

    def __init__(self, pattern: sp.csr_matrix) -> None:
        super().__init__()
        self.pattern = CsrBuffers(pattern)
        rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr)).astype(np.int64)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)

    def product(self, values: Tensor, x: Tensor) -> Tensor:
        """Return ``W x``, float32 ``[n, d]``; gradients go to the entries, too, which have to be symmetric."""
        matrix = self.pattern.with_values
        return weighted_product(values, x, matrix, matrix, self.products_of_ends)

    def sum_of_ends(self, x: Tensor) -> Tensor:
        """Return ``x_a + x_b`` of every entry, float32 ``[E]``, for x ``[n]``."""
        column = x.unsqueeze(1)
        ends = F.embedding(self.rows, column) + F.embedding(self.pattern.columns.long(), column)
        return ends.squeeze(1)

    def products_of_ends(self, left: Tensor, right: Tensor) -> Tensor:
        """Return ``left_a . right_b`` of every entry, float32 ``[E]``, for two tables ``[n, d]``."""
        return self.pattern.products_of_ends(left, right)
