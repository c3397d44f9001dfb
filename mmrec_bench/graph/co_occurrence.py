"""Graphs between rows that share columns, such as users who share items: sparse, made in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from mmrec_bench.errors import ModelError
from mmrec_bench.types import IntArray

CoOccurrenceWeighting: TypeAlias = Literal["softmax", "symmetric"]
"""``softmax``: over the counts of the kept neighbours of a row. ``symmetric``: ``w_ij / sqrt(r_i r_j)``, w the counts
and r the sums of rows."""

BLOCK_PRODUCTS = 1 << 23
"""Co-occurrences counted at once (the budget of a block of rows): about 400 MiB."""


def count_blocks(interactions: sp.csr_matrix) -> Iterator[tuple[int, sp.csr_matrix]]:
    """Yield how many columns each row shares with all rows, ``R R^T``, one block of rows after another.

    Args:
        interactions: Binary R, CSR ``[n, m]``.

    Yields:
        The first row of the block, and its counts, CSR ``[b, n]`` with unsorted indices; rows count with themselves,
        too.
    """
    columns = interactions.T.tocsr()
    n = interactions.shape[0]
    entries = np.minimum(interactions @ np.diff(columns.indptr).astype(np.float64), n)  # more there cannot be
    group = np.cumsum(entries) // BLOCK_PRODUCTS
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])).tolist()
    for start, stop in zip(starts, [*starts[1:], n], strict=True):
        yield start, interactions[start:stop] @ columns


def most_shared(interactions: sp.csr_matrix, n_neighbors: int) -> sp.csr_matrix:
    """Return the k rows that share most columns with each row, and how many: float32 CSR ``[n, n]``.

    No row is its own neighbour; among equal counts lower rows come first. A row that shares columns with fewer than k
    others has fewer entries.

    Args:
        interactions: Binary R, CSR ``[n, m]``; its transpose gives the graph of the columns.
        n_neighbors: Neighbours k of each row.

    Raises:
        ModelError: k is below one.
    """
    if n_neighbors < 1:
        raise ModelError(f"a graph of shared interactions needs n_neighbors >= 1; got {n_neighbors}")
    n = interactions.shape[0]
    sources, targets, counts = [], [], []
    for start, block in count_blocks(interactions):
        rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        others = block.indices != start + rows
        rows, columns, shared = rows[others], block.indices[others], block.data[others].astype(np.int64)
        # One integer that sorts by row, falling count and column, is several times faster to sort than three arrays.
        largest = int(shared.max(initial=0))
        keys = np.sort((rows * (largest + 1) + largest - shared) * n + columns)
        rest, columns = np.divmod(keys, n)
        rows, missing = np.divmod(rest, largest + 1)
        kept = np.arange(len(rows)) - np.searchsorted(rows, np.arange(block.shape[0]))[rows] < n_neighbors
        sources.append(start + rows[kept])
        targets.append(columns[kept])
        counts.append((largest - missing[kept]).astype(np.float32))
    graph = sp.csr_matrix(
        (np.concatenate(counts), (np.concatenate(sources), np.concatenate(targets))), shape=(n, n), dtype=np.float32
    )
    graph.sort_indices()
    return graph


def co_occurrence_graph(
    interactions: sp.csr_matrix, n_neighbors: int, weighting: CoOccurrenceWeighting
) -> sp.csr_matrix:
    """Return the directed, weighted graph of `most_shared`, float32 CSR ``[n, n]``; rows without neighbours are empty.

    Args:
        interactions: Binary R, CSR ``[n, m]``.
        n_neighbors: Neighbours k of each row.
        weighting: Weights of the kept neighbours.
    """
    counts = most_shared(interactions, n_neighbors)
    return softmax_weights(counts) if weighting == "softmax" else symmetric_weights(counts)


def softmax_weights(counts: sp.csr_matrix, copies: IntArray | None = None) -> sp.csr_matrix:
    """Return the softmax over each row's entries, float32 CSR like ``counts`` (DualGNN; DRAGON, arXiv:2301.12097).

    Args:
        counts: CSR ``[n, n]``.
        copies: How often each entry stands in the list of its row, int64 ``[nnz]``; once by default.
    """
    rows = _rows_of(counts)
    largest = np.full(counts.shape[0], -np.inf)
    np.maximum.at(largest, rows, counts.data)
    weights = np.exp(counts.data - largest[rows])
    if copies is not None:
        weights *= copies
    weights /= np.bincount(rows, weights, minlength=counts.shape[0])[rows]
    return _like(counts, weights)


def symmetric_weights(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return ``w_ij / sqrt(r_i r_j)``, r the sums of rows of positive w, float32 CSR like ``counts``."""
    rows = _rows_of(counts)
    # Sharing is mutual, so a row that is a neighbour has a neighbour and its sum is not zero.
    scale = np.sqrt(np.bincount(rows, counts.data, minlength=counts.shape[0]))
    return _like(counts, counts.data / (scale[rows] * scale[counts.indices]))


def padding(counts: sp.csr_matrix, n_neighbors: int, rng: np.random.Generator) -> IntArray:
    """Return how often each entry stands in its row's list when short lists are filled up to k, int64 ``[nnz]``.

    What is missing is drawn uniformly among the row's own entries, with repeats, as the released DualGNN and DRAGON do
    at every epoch; in `softmax_weights` a repeat doubles a neighbour's weight.

    Args:
        counts: CSR ``[n, n]`` with at most k entries a row.
        n_neighbors: Length k of the lists; rows without entries stay empty.
        rng: Source of randomness.
    """
    lengths = np.diff(counts.indptr)
    missing = np.where(lengths > 0, n_neighbors - lengths, 0)
    drawn = np.repeat(counts.indptr[:-1], missing) + rng.integers(0, np.repeat(lengths, missing))
    return 1 + np.bincount(drawn, minlength=counts.nnz)


def _rows_of(matrix: sp.csr_matrix) -> IntArray:
    """Return the row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _like(matrix: sp.csr_matrix, values: np.ndarray) -> sp.csr_matrix:
    """Return a matrix with the same entries and other values."""
    return sp.csr_matrix((values.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
