"""Cosines of items in blocks, so that no copy of a feature table is held at once."""

from __future__ import annotations

import numpy as np
import torch

from mmrec_bench.data.features import FeatureTable, unit_rows
from mmrec_bench.types import FloatArray, IntArray

BLOCK_VALUES = 1 << 24
"""Values of vectors held at once, 64 MiB."""
BLOCK_QUERIES = 256
"""Items that are compared with a block of others at once."""


def cosines(table: FeatureTable, left: IntArray, right: IntArray) -> FloatArray:
    """Return the cosine of each pair of items that have a vector, float32 ``[n]``."""
    found = np.empty(len(left), np.float32)
    block = max(1, BLOCK_VALUES // (2 * table.dim))
    for start in range(0, len(left), block):
        rows = slice(start, start + block)
        found[rows] = np.einsum("nd,nd->n", *(unit_rows(table.values[items[rows]]) for items in (left, right)))
    return found


def pairs_above(
    cosine: float, table: FeatureTable, queries: IntArray, pool: IntArray, most: int
) -> tuple[IntArray, IntArray]:
    """Return all pairs (query, another item of the pool) with a larger cosine, by comparing each with each.

    Args:
        cosine: The bound.
        table: Holds a vector of all queries and of the whole pool.
        queries: Items, int64 ``[n]``.
        pool: Items, int64 ``[m]``; queries may be among them.
        most: Where a query has more others than this, at least so many are returned.
    """
    block = max(1, BLOCK_VALUES // table.dim)
    found = [(queries[:0], pool[:0])]
    for first in range(0, len(pool), block):
        known = pool[first : first + block]
        vectors = torch.from_numpy(unit_rows(table.values[known]))
        for start in range(0, len(queries), BLOCK_QUERIES):
            asked = queries[start : start + BLOCK_QUERIES]
            near = (torch.mm(torch.from_numpy(unit_rows(table.values[asked])), vectors.T) > cosine).numpy()
            crowded = np.count_nonzero(near, axis=1) > most + 1  # one more: the item itself
            near[crowded] &= near[crowded].cumsum(axis=1) <= most + 1
            row, place = np.divmod(np.flatnonzero(near), len(known))
            found.append((asked[row], known[place]))
    left, right = (np.concatenate(column) for column in zip(*found, strict=True))
    return left[left != right], right[left != right]
