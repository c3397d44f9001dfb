"""Fixed sparse matrices as modules: they follow the model to its device, never enter its state, never transpose."""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_INT32_MAX = 2**31 - 1


class CsrBuffers(nn.Module):
    """A sparse matrix ``[n, m]`` in compressed rows, as three dense buffers outside the state dictionary.

    Sparse tensors themselves can be neither copied nor moved everywhere; dense buffers can, and `tensor` puts the
    matrix together around them without copying.

    Args:
        matrix: The matrix; values become float32, indices int32 where that suffices (what MKL reads).
    """

    offsets: Tensor
    columns: Tensor
    values: Tensor

    def __init__(self, matrix: sp.csr_matrix) -> None:
        super().__init__()
        matrix = matrix.tocsr()
        matrix.sort_indices()
        self.shape: tuple[int, int] = matrix.shape
        index = np.int32 if max(matrix.nnz, *matrix.shape) <= _INT32_MAX else np.int64
        self.register_buffer("offsets", torch.from_numpy(matrix.indptr.astype(index)), persistent=False)
        self.register_buffer("columns", torch.from_numpy(matrix.indices.astype(index)), persistent=False)
        self.register_buffer("values", torch.from_numpy(matrix.data.astype(np.float32)), persistent=False)
        with warnings.catch_warnings():  # torch says once in a process that its CSR support is in beta
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
            self.tensor()

    def tensor(self) -> Tensor:
        """Return the matrix as a torch CSR tensor that shares memory with the buffers."""
        return self.with_values(self.values)

    def with_values(self, values: Tensor) -> Tensor:
        """Return the matrix with other entries, ``[nnz]`` row by row."""
        return torch.sparse_csr_tensor(self.offsets, self.columns, values, self.shape, check_invariants=False)

    def products_of_ends(self, left: Tensor, right: Tensor) -> Tensor:
        """Return ``left_a . right_b`` of every entry, ``[nnz]`` row by row, for tables ``[n, d]`` and ``[m, d]``."""
        zeros = self.with_values(left.new_zeros(len(self.columns)))
        sampled = torch.sparse.sampled_addmm(zeros, left.contiguous(), right.contiguous().T, beta=0.0)
        return cast(Tensor, sampled.values())


class _Product(torch.autograd.Function):
    """``M x``, or ``base + M x`` in one pass; backward is ``M^T g`` with the stored transpose."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Tensor | None, operator: SparseOperator) -> Tensor:
        ctx.operator = operator
        matrix = operator.matrix.tensor()
        return matrix @ x if base is None else torch.addmm(base, matrix, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_needed, base_needed, _ = ctx.needs_input_grad
        pulled = ctx.operator.transposed.tensor() @ gradient.contiguous() if x_needed else None
        return pulled, gradient if base_needed else None, None


class SparseOperator(nn.Module):
    """A constant sparse matrix M ``[n, m]``; gradients go through its products, not to its values.

    M and its transpose are both kept in compressed rows, so that neither pass ever sorts or transposes. They move with
    the model but are no part of its state: they are rebuilt from data, never loaded.

    Args:
        matrix: The matrix.
    """

    def __init__(self, matrix: sp.csr_matrix) -> None:
        super().__init__()
        self.matrix = CsrBuffers(matrix)
        self.transposed = CsrBuffers(matrix.T.tocsr())

    def forward(self, x: Tensor, base: Tensor | None = None) -> Tensor:
        """Return ``M x``, or ``base + M x``.

        Args:
            x: float32 ``[m, d]``.
            base: float32 ``[n, d]``.

        Returns:
            float32 ``[n, d]``.
        """
        return cast(Tensor, _Product.apply(x, base, self))  # type: ignore[no-untyped-call]

    def rows(self, ids: Tensor, x: Tensor) -> Tensor:
        """Return some rows of ``M x``; far cheaper than all of them where the ids are few and M has many rows.

        Args:
            ids: Rows of M, int64 ``[B]``.
            x: float32 ``[m, d]``.

        Returns:
            float32 ``[B, d]``.
        """
        if ids.device.type != "cpu":  # shapes that hang on data make accelerators wait
            return F.embedding(ids, self(x))
        matrix = self.matrix
        starts = matrix.offsets[ids].long()
        ends = (matrix.offsets[ids + 1].long() - starts).cumsum(0)
        lengths = ends.diff(prepend=ends.new_zeros(1))
        entries = torch.repeat_interleave(starts - ends + lengths, lengths)
        entries += torch.arange(len(entries))
        return F.embedding_bag(
            matrix.columns[entries].long(), x, ends - lengths, mode="sum", per_sample_weights=matrix.values[entries]
        )
