"""The user-item graph: symmetric normalisation and LightGCN propagation."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.types import DoubleArray, IntArray

Pooling: TypeAlias = Literal["mean", "sum", "last"]
"""What becomes of the layers ``0..K`` of a propagation."""


def edge_weights(users: IntArray, items: IntArray, n_users: int, n_items: int) -> DoubleArray:
    """Return ``1 / sqrt(d_u d_i)`` of each edge, float64 ``[E]``, degrees counted among these edges."""
    user_degree, item_degree = np.bincount(users, minlength=n_users), np.bincount(items, minlength=n_items)
    return 1.0 / np.sqrt(user_degree[users].astype(np.float64) * item_degree[items])


def normalised_interactions(users: IntArray, items: IntArray, n_users: int, n_items: int) -> sp.csr_matrix:
    """Return the user-item block of ``D^-1/2 A D^-1/2`` without self loops, float32 CSR ``[n_users, n_items]``.

    Args:
        users: User rows of unique edges, int64 ``[E]``.
        items: Item rows, int64 ``[E]``.
        n_users: Number of users; those without an edge have an empty row.
        n_items: Number of items.
    """
    values = edge_weights(users, items, n_users, n_items).astype(np.float32)
    matrix = sp.csr_matrix((values, (users, items)), shape=(n_users, n_items))
    matrix.sort_indices()
    return matrix


def mean_of_neighbours(
    users: IntArray, items: IntArray, n_users: int, n_items: int, *, with_self: bool
) -> sp.csr_matrix:
    """Return ``D^-1 A`` or ``D^-1 (A + I)``, the mean over neighbours, float32 CSR ``[n_users + n_items] * 2``.

    Args:
        users: User rows of unique edges, int64 ``[E]``.
        items: Item rows, int64 ``[E]``; in the result items follow users.
        n_users: Number of users.
        n_items: Number of items.
        with_self: Whether a node counts among its neighbours; if not, one without an edge has an empty row.
    """
    n = n_users + n_items
    loops = np.arange(n if with_self else 0)
    sources, targets = np.concatenate((users, n_users + items, loops)), np.concatenate((n_users + items, users, loops))
    values = (1.0 / np.bincount(sources, minlength=n).clip(min=1))[sources].astype(np.float32)
    matrix = sp.csr_matrix((values, (sources, targets)), shape=(n, n))
    matrix.sort_indices()
    return matrix


Blocks: TypeAlias = tuple[Tensor, Tensor]
"""What takes items to users, CSR ``[n_users, n_items]``, and what takes users to items, ``[n_items, n_users]``."""


def _pooled_layers(
    blocks: Blocks, users: Tensor, items: Tensor, n_layers: int, pooling: Pooling
) -> tuple[Tensor, Tensor]:
    # Horner's scheme: x + Ax + A(Ax) = x + A(x + Ax). Each layer is one fused multiply-add, and the mean is folded
    # into the last one, so no pass over the tables is spent on sums.
    to_users, to_items = blocks
    user_sum, item_sum = users, items
    for layer in range(1, n_layers + 1):
        scale = 1.0 / (n_layers + 1) if pooling == "mean" and layer == n_layers else 1.0
        carry = 0.0 if pooling == "last" else scale
        user_sum, item_sum = (
            torch.addmm(users, to_users, item_sum, beta=carry, alpha=scale),
            torch.addmm(items, to_items, user_sum, beta=carry, alpha=scale),
        )
    return user_sum, item_sum


class _Propagation(torch.autograd.Function):
    """Pooled layers are a linear map of (users, items): its backward is that of the transpose, nothing is saved."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, blocks: Blocks, transpose: Blocks, n_layers: int, pooling: Pooling
    ) -> tuple[Tensor, Tensor]:
        ctx.transposed_map = (transpose, n_layers, pooling)
        return _pooled_layers(blocks, users, items, n_layers, pooling)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, users: Tensor, items: Tensor) -> tuple[Tensor | None, ...]:
        transpose, n_layers, pooling = ctx.transposed_map
        pulled = _pooled_layers(transpose, users.contiguous(), items.contiguous(), n_layers, pooling)
        return (*pulled, None, None, None, None)


def propagate(
    users: Tensor, items: Tensor, blocks: Blocks, transpose: Blocks, n_layers: int, pooling: Pooling
) -> tuple[Tensor, Tensor]:
    """Return the pooled layers ``0..n_layers`` of ``[[0, B], [C, 0]]`` on users above items.

    Args:
        users: float32 ``[n_users, d]``.
        items: float32 ``[n_items, d]``.
        blocks: B and C.
        transpose: ``C^T`` and ``B^T``, for the gradients.
        n_layers: Applications of the matrix.
        pooling: See `BipartiteOperator.propagate`.
    """
    if n_layers == 0:
        return users, items
    propagated = _Propagation.apply(users, items, blocks, transpose, n_layers, pooling)  # type: ignore[no-untyped-call]
    return cast(tuple[Tensor, Tensor], propagated)


class BipartiteOperator(SparseOperator):
    """A block R, ``[n_users, n_items]``, as an operator from item vectors to user vectors.

    Users and items stay in separate tables throughout: the adjacency ``[[0, R], [R^T, 0]]`` is never formed.
    """

    def propagate(
        self, users: Tensor, items: Tensor, n_layers: int, pooling: Pooling = "mean"
    ) -> tuple[Tensor, Tensor]:
        """Return the layers ``0..n_layers`` of LightGCN (arXiv:2002.02126, eq. 7 and 8), pooled.

        Args:
            users: float32 ``[n_users, d]``.
            items: float32 ``[n_items, d]``.
            n_layers: Applications of the normalised adjacency.
            pooling: ``mean`` of the layers, as in LightGCN, their ``sum``, or the ``last`` alone.

        Returns:
            Tables of users ``[n_users, d]`` and items ``[n_items, d]``.
        """
        blocks = (self.matrix.tensor(), self.transposed.tensor())  # the adjacency is symmetric
        return propagate(users, items, blocks, blocks, n_layers, pooling)


class BipartiteGraph(BipartiteOperator):
    """The normalised interaction block.

    Args:
        users: User rows of unique edges, int64 ``[E]``.
        items: Item rows, int64 ``[E]``.
        n_users: Number of users.
        n_items: Number of items.
    """

    def __init__(self, users: IntArray, items: IntArray, n_users: int, n_items: int) -> None:
        super().__init__(normalised_interactions(users, items, n_users, n_items))
