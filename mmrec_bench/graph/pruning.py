"""Edge pruning: weighted draws without replacement."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from mmrec_bench.graph.bipartite import edge_weights
from mmrec_bench.types import DoubleArray, IntArray

EdgeLaw: TypeAlias = Literal["degree", "uniform"]
"""Edges are kept with probability proportional to ``1 / sqrt(d_u d_i)``, or all alike."""


def draw_without_replacement(weights: DoubleArray, size: int, rng: np.random.Generator) -> IntArray:
    """Return ``size`` distinct positions, ascending, drawn one after another with probability proportional to weights.

    Position e arrives at time ``Exponential(1) / w_e``; the first ``size`` arrivals follow exactly the law of
    sequential sampling without replacement (Efraimidis and Spirakis 2006; Gumbel-top-k of arXiv:1903.06059 is minus
    the logarithm of the same race), in one vectorised pass and for any number of positions.

    Args:
        weights: Positive, float64 ``[E]``.
        size: ``0..E``.
        rng: Source of randomness.
    """
    if size == 0:
        return np.zeros(0, np.int64)
    arrival = rng.standard_exponential(len(weights)) / weights
    return np.sort(np.argpartition(arrival, size - 1)[:size]).astype(np.int64)


def prune_edges(
    users: IntArray,
    items: IntArray,
    n_users: int,
    n_items: int,
    dropout: float,
    rng: np.random.Generator,
    law: EdgeLaw = "degree",
) -> tuple[IntArray, IntArray]:
    """Keep ``int(E (1 - dropout))`` edges, drawn without replacement.

    By degree, edges between popular nodes are dropped most (LayerGCN, arXiv:2207.11088; FREEDOM, arXiv:2211.06924).

    Args:
        users: User rows of unique edges, int64 ``[E]``.
        items: Item rows, int64 ``[E]``.
        n_users: Number of users.
        n_items: Number of items.
        dropout: Share of edges to drop, in ``[0, 1)``.
        rng: Source of randomness.
        law: Which edges are likely to be kept.

    Returns:
        User and item rows of the kept edges, in their old order.
    """
    weights = edge_weights(users, items, n_users, n_items) if law == "degree" else np.ones(len(users))
    kept = draw_without_replacement(weights, int(len(users) * (1.0 - dropout)), rng)
    return users[kept], items[kept]
