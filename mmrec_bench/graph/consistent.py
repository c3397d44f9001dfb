"""Item graphs in which modalities check one another: edges only between items that are alike in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from mmrec_bench.graph.co_occurrence import most_shared, symmetric_weights
from mmrec_bench.types import BoolArray, DoubleArray, FloatArray, IntArray

BLOCK_VALUES = 1 << 22
"""Cosines of one modality looked at together (the budget of a block of rows): 16 MiB."""
DIGITS = 6
"""Decimals of a cosine that count: equal vectors have equal cosines, wherever they stand in a product."""
SLACK = 2.0 * 10.0**-DIGITS
"""By how much a cosine may miss the mean: where all vectors of a modality are equal, all pairs are alike."""


def consistent_graphs(units: Sequence[FloatArray], n_neighbors: int) -> list[sp.csr_matrix]:
    """Return the graph of k nearest neighbours in each modality among pairs that are alike in all (DA-MRS, KDD 2024).

    A pair is alike in a modality if its cosine is at least the mean over all pairs there (less `SLACK`, for rounding),
    or if one of the two lacks it, so that nothing is known. Every item that has a modality is its own neighbour there.
    Among equals lower rows come first; a row of which fewer than k pairs remain has fewer entries. All entries weigh
    the same, but for ``1 / sqrt(n_i n_j)``, n the numbers of entries of rows.

    Args:
        units: Unit vectors of the items, float32 ``[n_items, D]`` a modality; a row of zeros is an item without it.
        n_neighbors: Neighbours k of each row, itself included.

    Returns:
        Float32 CSR ``[n_items, n_items]`` a modality.
    """
    n_items = len(units[0])
    known = [np.asarray(np.any(rows, axis=1)) for rows in units]
    means = [mean_cosine(rows, int(mask.sum())) for rows, mask in zip(units, known, strict=True)]
    edges: list[list[tuple[IntArray, IntArray]]] = [[] for _ in units]
    step = max(1, BLOCK_VALUES // n_items)
    for start in range(0, n_items, step):
        rows = slice(start, start + step)
        cosines = [np.round(unit[rows] @ unit.T, DIGITS) for unit in units]
        both = [mask[rows, None] & mask for mask in known]
        alike = np.logical_and.reduce(
            [(cosine >= mean - SLACK) | ~pairs for cosine, mean, pairs in zip(cosines, means, both, strict=True)]
        )
        for place, (cosine, pairs) in enumerate(zip(cosines, both, strict=True)):
            own = np.arange(len(cosine))
            cosine[own, start + own] = 2.0  # before all others
            sources, targets = _largest(cosine, alike & pairs, n_neighbors)
            edges[place].append((start + sources, targets))
    graphs = []
    for parts in edges:
        sources, targets = (np.concatenate(side) for side in zip(*parts, strict=True))
        graphs.append(even_graph(sources, targets, n_items))
    return graphs


def shared_users_graph(interactions: sp.csr_matrix, n_neighbors: int, least: int) -> sp.csr_matrix:
    """Return for each item itself and the items that share most users with it, float32 CSR ``[n_items, n_items]``.

    Args:
        interactions: Binary R, CSR ``[n_users, n_items]``.
        n_neighbors: Others of an item, at most; among equals lower ones come first.
        least: Users that two items must share.
    """
    counts = most_shared(interactions.T.tocsr(), n_neighbors).tocoo()
    enough, own = counts.data >= least, np.arange(counts.shape[0])
    sources = np.concatenate((counts.row[enough].astype(np.int64), own))
    return even_graph(sources, np.concatenate((counts.col[enough].astype(np.int64), own)), counts.shape[0])


def even_graph(sources: IntArray, targets: IntArray, n: int) -> sp.csr_matrix:
    """Return ``1 / sqrt(n_i n_j)`` at some places, n the numbers of places of rows, float32 CSR ``[n, n]``."""
    graph = sp.csr_matrix((np.ones(len(sources), np.float32), (sources, targets)), shape=(n, n))
    graph.sort_indices()
    return symmetric_weights(graph)


def mean_cosine(unit: FloatArray, n: int) -> float:
    """Return the mean cosine over all pairs of n unit vectors, themselves included; other rows are zero."""
    total: DoubleArray = np.asarray(unit.sum(axis=0, dtype=np.float64))
    return float(total @ total) / n**2


def _largest(values: FloatArray, allowed: BoolArray, k: int) -> tuple[IntArray, IntArray]:
    """Return rows and columns of the k largest allowed values of each row, lower columns first among equals."""
    k = min(k, values.shape[1])
    values = np.where(allowed, values, -np.inf)
    least = -np.partition(-values, k - 1, axis=1)[:, k - 1 : k]
    rows, columns = np.nonzero(allowed & (values >= least))
    order = np.lexsort((columns, -values[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < k
    return rows[kept], columns[kept]
