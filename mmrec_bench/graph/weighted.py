"""Products with a symmetric sparse matrix whose entries are learned."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _WeightedProduct(torch.autograd.Function):
    """``W x``; the gradient of an entry is the product of the gradient of its row and the x of its column."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, x: Tensor, edges: WeightedEdges) -> Tensor:
        ctx.save_for_backward(values, x)
        ctx.edges = edges
        return edges.tensor(values) @ x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, x = ctx.saved_tensors
        edges: WeightedEdges = ctx.edges
        values_needed, x_needed, _ = ctx.needs_input_grad
        pulled = edges.tensor(values) @ gradient.contiguous() if x_needed else None  # W is symmetric
        of_values = edges.products_of_ends(gradient, x) if values_needed else None
        return of_values, pulled, None


class WeightedEdges(nn.Module):
    """The pattern of a symmetric sparse matrix ``[n, n]``; its entries come with each product.

    Args:
        pattern: CSR ``[n, n]``, symmetric; its values are not looked at.
    """

    offsets: Tensor
    columns: Tensor
    rows: Tensor

    def __init__(self, pattern: sp.csr_matrix) -> None:
        super().__init__()
        self.n = pattern.shape[0]
        index = np.int32
        self.register_buffer("offsets", torch.from_numpy(pattern.indptr.astype(index)), persistent=False)
        self.register_buffer("columns", torch.from_numpy(pattern.indices.astype(index)), persistent=False)
        rows = np.repeat(np.arange(self.n), np.diff(pattern.indptr)).astype(np.int64)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)

    def tensor(self, values: Tensor) -> Tensor:
        """Return the matrix with these entries, float32 ``[E]`` in the order of the pattern."""
        return torch.sparse_csr_tensor(self.offsets, self.columns, values, (self.n, self.n), check_invariants=False)

    def product(self, values: Tensor, x: Tensor) -> Tensor:
        """Return ``W x``, float32 ``[n, d]``; gradients go to the entries, too, which have to be symmetric."""
        return cast(Tensor, _WeightedProduct.apply(values, x, self))  # type: ignore[no-untyped-call]

    def sum_of_ends(self, x: Tensor) -> Tensor:
        """Return ``x_a + x_b`` of every entry, float32 ``[E]``, for x ``[n]``."""
        column = x.unsqueeze(1)
        ends = F.embedding(self.rows, column) + F.embedding(self.columns.long(), column)
        return ends.squeeze(1)

    def products_of_ends(self, left: Tensor, right: Tensor) -> Tensor:
        """Return ``left_a . right_b`` of every entry, float32 ``[E]``, for two tables ``[n, d]``."""
        zeros = self.tensor(torch.zeros(len(self.columns), dtype=left.dtype, device=left.device))
        sampled = torch.sparse.sampled_addmm(zeros, left.contiguous(), right.T.contiguous(), beta=0.0)
        return cast(Tensor, sampled.values())
