"""Propagation on a random part of the edges, drawn at every call: one layout, whose entries are masked."""

from __future__ import annotations

import torch
from torch import Tensor

from mmrec_bench.graph.bipartite import BipartiteGraph, Pooling, propagate
from mmrec_bench.types import IntArray


class DroppingGraph(BipartiteGraph):
    """A `BipartiteGraph` that can leave out edges, each direction for itself, with the degrees of all edges.

    Args:
        users: User rows of unique edges, int64 ``[E]``.
        items: Item rows, int64 ``[E]``.
        n_users: Number of users.
        n_items: Number of items.
    """

    places: Tensor

    def __init__(self, users: IntArray, items: IntArray, n_users: int, n_items: int) -> None:
        super().__init__(users, items, n_users, n_items)
        # Where each entry of R^T stands in R, so that one mask serves both layouts.
        self.register_buffer("places", torch.argsort(self.matrix.columns, stable=True), persistent=False)

    def propagate_some(
        self, users: Tensor, items: Tensor, n_layers: int, rate: float, pooling: Pooling = "mean"
    ) -> tuple[Tensor, Tensor]:
        """Return `propagate` on edges that are kept with probability ``1 - rate``, and then weigh as much more.

        An edge is two entries of the adjacency, and these are kept independently of each other.

        Args:
            users: float32 ``[n_users, d]``.
            items: float32 ``[n_items, d]``.
            n_layers: Applications of what is left of the normalised adjacency.
            rate: In ``[0, 1)``.
            pooling: See `propagate`.
        """
        to_users, to_items = (torch.rand_like(self.matrix.values).ge_(rate).div_(1.0 - rate) for _ in range(2))
        return propagate(
            users, items, self._blocks(to_users, to_items), self._blocks(to_items, to_users), n_layers, pooling
        )

    def _blocks(self, of_rows: Tensor, of_columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return R and R^T with entries scaled; both scales are in the order of R."""
        turned = of_columns.index_select(0, self.places)
        return (
            self.matrix.with_values(self.matrix.values * of_rows),
            self.transposed.with_values(self.transposed.values * turned),
        )
