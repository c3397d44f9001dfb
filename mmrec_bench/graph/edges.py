"""Edges between users and items whose weights are learned: inner products, softmax and sums over them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmrec_bench.graph.sparse import CsrBuffers
from mmrec_bench.graph.weighted import weighted_product
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
        return edges.user_rows(gradient) @ items, edges.item_rows(gradient) @ users, None


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


class _Spread(torch.autograd.Function):
    """The value of the node of every edge; gradients of the edges of a node are added up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, edges: BipartiteEdges, side: Side) -> Tensor:
        ctx.edges, ctx.side = edges, side
        return values.index_select(0, edges.ends(side))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.edges.reduced(gradient, ctx.side, "sum"), None, None


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
        return weighted_product(weights, items, self.user_rows, self.item_rows, self.sampled)

    def to_items(self, weights: Tensor, users: Tensor) -> Tensor:
        """Return for each item, ``[n_items, d]``, the sum of its users ``[n_users, d]`` weighted by edge, ``[E]``."""
        return weighted_product(
            weights, users, self.item_rows, self.user_rows, lambda of_items, of_users: self.sampled(of_users, of_items)
        )

    def user_rows(self, weights: Tensor) -> Tensor:
        """Return weights ``[E]`` as a sparse matrix ``[n_users, n_items]``."""
        return self.of_users.with_values(weights)

    def item_rows(self, weights: Tensor) -> Tensor:
        """Return weights ``[E]`` as a sparse matrix ``[n_items, n_users]``."""
        return self.of_items.with_values(self._sorted(weights, "items"))

    def sampled(self, users: Tensor, items: Tensor) -> Tensor:
        """Return `products` without gradients."""
        return self.of_users.products_of_ends(users, items)

    def reduced(self, values: Tensor, side: Side, how: Literal["sum", "max"]) -> Tensor:
        """Return the sum or the largest of the values ``[E]`` of each node of one side."""
        offsets = self._layout(side).offsets.long()
        return torch.segment_reduce(self._sorted(values, side), how, offsets=offsets, unsafe=True)

    def spread(self, values: Tensor, side: Side) -> Tensor:
        """Return for every edge, ``[E]``, the value of its user, ``[n_users]``, or of its item, ``[n_items]``."""
        return cast(Tensor, _Spread.apply(values, self, side))  # type: ignore[no-untyped-call]

    def ends(self, side: Side) -> Tensor:
        """Return the user, or the item, of every edge, int64 ``[E]``."""
        return self.users if side == "users" else self.items

    def _layout(self, side: Side) -> CsrBuffers:
        return self.of_users if side == "users" else self.of_items

    def _sorted(self, values: Tensor, side: Side) -> Tensor:
        return values if side == "users" else values.index_select(0, self.by_item)
