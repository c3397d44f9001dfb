"""Edges between users and items whose weights are learned: inner products, softmax and sums over them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmrec_bench.graph.sparse import CsrBuffers
from mmrec_bench.types import IntArray

Side: TypeAlias = Literal["users", "items"]
"""At which end edges meet: those of one user, or those of one item."""


class _Products(torch.autograd.Function):
    """``u_a . i_b`` of every edge."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, edges: BipartiteEdges) -> Tensor:
        ctx.save_for_backward(users, items)
        ctx.edges = edges
        return edges.sampled(users, items)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        users, items = ctx.saved_tensors
        edges: BipartiteEdges = ctx.edges
        return edges.matrix(gradient, "users") @ items, edges.matrix(gradient, "items") @ users, None


class _Sums(torch.autograd.Function):
    """Weighted sums over the edges of each node of one side of the vectors at their other ends."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, x: Tensor, edges: BipartiteEdges, side: Side) -> Tensor:
        ctx.save_for_backward(weights, x)
        ctx.edges, ctx.side = edges, side
        return edges.matrix(weights, side) @ x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        weights, x = ctx.saved_tensors
        edges: BipartiteEdges = ctx.edges
        gradient = gradient.contiguous()
        to_users = ctx.side == "users"
        of_weights = edges.sampled(gradient, x) if to_users else edges.sampled(x, gradient)
        return of_weights, edges.matrix(weights, "items" if to_users else "users") @ gradient, None, None


class _Softmax(torch.autograd.Function):
    """Softmax over the edges of each node of one side."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, edges: BipartiteEdges, side: Side) -> Tensor:
        largest = edges.reduced(logits, side, "max")
        exponentials = (logits - edges.spread(largest, side)).exp_()
        shares = exponentials / edges.spread(edges.reduced(exponentials, side, "sum"), side)
        ctx.save_for_backward(shares)
        ctx.edges, ctx.side = edges, side
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (shares,) = ctx.saved_tensors
        weighted = shares * gradient
        mean = ctx.edges.reduced(weighted, ctx.side, "sum")
        return weighted - shares * ctx.edges.spread(mean, ctx.side), None, None


class BipartiteEdges(nn.Module):
    """Edges between users and items, row by row of users; both compressed layouts are kept, so nothing is ever sorted.

    Args:
        users: User rows of unique edges, int64 ``[E]``.
        items: Item rows, int64 ``[E]``.
        n_users: Number of users.
        n_items: Number of items.
    """

    users: Tensor
    items: Tensor
    by_item: Tensor

    def __init__(self, users: IntArray, items: IntArray, n_users: int, n_items: int) -> None:
        super().__init__()
        order = np.lexsort((items, users))
        users, items = users[order], items[order]
        matrix = sp.csr_matrix((np.ones(len(users)), (users, items)), shape=(n_users, n_items))
        self.of_users, self.of_items = CsrBuffers(matrix), CsrBuffers(matrix.T.tocsr())
        self.register_buffer("users", torch.from_numpy(users), persistent=False)
        self.register_buffer("items", torch.from_numpy(items), persistent=False)
        self.register_buffer("by_item", torch.argsort(self.items, stable=True), persistent=False)

    def products(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the inner product of the ends of every edge, ``[E]``, from ``[n_users, d]`` and ``[n_items, d]``."""
        return cast(Tensor, _Products.apply(users, items, self))  # type: ignore[no-untyped-call]

    def softmax(self, logits: Tensor, side: Side) -> Tensor:
        """Return the softmax over the edges of each user, or of each item, ``[E]``."""
        return cast(Tensor, _Softmax.apply(logits, self, side))  # type: ignore[no-untyped-call]

    def to_users(self, weights: Tensor, items: Tensor) -> Tensor:
        """Return for each user, ``[n_users, d]``, the sum of its items ``[n_items, d]`` weighted by edge, ``[E]``."""
        return cast(Tensor, _Sums.apply(weights, items, self, "users"))  # type: ignore[no-untyped-call]

    def to_items(self, weights: Tensor, users: Tensor) -> Tensor:
        """Return for each item, ``[n_items, d]``, the sum of its users ``[n_users, d]`` weighted by edge, ``[E]``."""
        return cast(Tensor, _Sums.apply(weights, users, self, "items"))  # type: ignore[no-untyped-call]

    def matrix(self, weights: Tensor, side: Side) -> Tensor:
        """Return weights ``[E]`` as a sparse matrix with a row for each user, or for each item."""
        return self._layout(side).with_values(self._sorted(weights, side))

    def sampled(self, users: Tensor, items: Tensor) -> Tensor:
        """Return `products` without gradients."""
        zeros = self.matrix(users.new_zeros(len(self.users)), "users")
        found = torch.sparse.sampled_addmm(zeros, users.contiguous(), items.T.contiguous(), beta=0.0)
        return cast(Tensor, found.values())

    def reduced(self, values: Tensor, side: Side, how: Literal["sum", "max"]) -> Tensor:
        """Return the sum or the largest of the values ``[E]`` of each node of one side."""
        offsets = self._layout(side).offsets.long()
        return torch.segment_reduce(self._sorted(values, side), how, offsets=offsets, unsafe=True)

    def spread(self, values: Tensor, side: Side) -> Tensor:
        """Return for every edge, ``[E]``, the value of its user, or of its item."""
        return values.index_select(0, self.users if side == "users" else self.items)

    def _layout(self, side: Side) -> CsrBuffers:
        return self.of_users if side == "users" else self.of_items

    def _sorted(self, values: Tensor, side: Side) -> Tensor:
        return values if side == "users" else values.index_select(0, self.by_item)
