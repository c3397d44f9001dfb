"""Swing: two items are alike if pairs of users who share little else share both."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from mmrec_bench.errors import ModelError
from mmrec_bench.types import DoubleArray, IntArray

BLOCK_PAIRS = 1 << 16
"""Pairs of users looked at together."""

BLOCK_USERS = 1 << 10
"""Users whose items are held against those of all others at once."""


def swing_similarity(interactions: sp.csr_matrix, smoothing: float = 1.0) -> sp.csr_matrix:
    """Return Swing similarities (Yang et al., https://arxiv.org/abs/2010.05525), float64 CSR ``[n_items, n_items]``.

    ``s(i, j) = sum over pairs {u, v} of users who have both of 1 / (alpha + |I_u & I_v|)``, nothing on the diagonal.

    Args:
        interactions: Binary R, CSR ``[n_users, n_items]``.
        smoothing: alpha, positive.
    """
    active = interactions[np.diff(interactions.indptr) > 1].astype(np.float64)
    n_items = active.shape[1]
    found = sp.csr_matrix((n_items, n_items))
    one, other, shared = _pairs_that_share_two(active)
    for start in range(0, len(one), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        both = active[one[block]].multiply(active[other[block]]).tocsr()
        found = found + both.T @ (sp.diags(1.0 / (smoothing + shared[block])) @ both)
    found = found.tocsr()
    found.setdiag(0.0)
    found.eliminate_zeros()
    return found


def _pairs_that_share_two(active: sp.csr_matrix) -> tuple[IntArray, IntArray, DoubleArray]:
    """Return pairs of users, the lower first, with two or more items in common, and how many: ``[n_pairs]`` each.

    Most pairs that share an item share no other, and those of a popular item would fill the memory.
    """
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for start in range(0, active.shape[0], BLOCK_USERS):
        overlaps = (active[start : start + BLOCK_USERS] @ active.T).tocoo()
        one = overlaps.row.astype(np.int64) + start
        kept = (overlaps.col > one) & (overlaps.data > 1)
        found.append((one[kept], overlaps.col[kept].astype(np.int64), overlaps.data[kept]))
    one, other, shared = (np.concatenate(column) for column in zip(*found, strict=True))
    return one, other, shared


def most_alike(similarity: sp.csr_matrix, n_neighbors: int) -> IntArray:
    """Return the k most similar items of each, int64 ``[n_items, k]``, -1 where fewer have a similarity above 0.

    Among equal ones lower rows come first.

    Raises:
        ModelError: k is below one or not below the number of items.
    """
    n_items = similarity.shape[0]
    if not 1 <= n_neighbors < n_items:
        raise ModelError(f"n_neighbors must lie in 1..{n_items - 1}, one below the number of items; got {n_neighbors}")
    found = similarity.tocoo()
    order = np.lexsort((found.col, -found.data, found.row))
    rows = found.row[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < n_neighbors
    neighbours = np.full((n_items, n_neighbors), -1, np.int64)
    neighbours[rows[kept], place[kept]] = found.col[order][kept]
    return neighbours
