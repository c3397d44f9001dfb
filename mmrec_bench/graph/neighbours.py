"""Graphs of nearest neighbours in feature space, by faiss, in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from mmrec_bench.errors import ModelError
from mmrec_bench.graph.unit_vectors import HELD_BYTES, HeldVectors, StreamedVectors, UnitVectors
from mmrec_bench.types import BoolArray, FloatArray, IntArray

Weighting: TypeAlias = Literal["uniform", "cosine"]

_BLOCK = 4096
"""Query rows searched at once."""
_GATHER_BYTES = 1 << 27
"""Memory for the candidate vectors that are compared again."""
_MARGIN = 16
"""Neighbours fetched beyond k before the first look at ties."""
_SLACK = 1e-5
"""More than a cosine of faiss and the same cosine computed again can differ."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The k nearest rows of each usable row.

    Attributes:
        rows: Rows that have neighbours, ascending, int64 ``[n]``.
        ids: Their neighbours by falling cosine, int64 ``[n, k]``; the row itself comes first.
        cosines: float32 ``[n, k]``.
    """

    rows: IntArray
    ids: IntArray
    cosines: FloatArray


def nearest_neighbours(values: FloatArray, present: BoolArray, k: int) -> Neighbours:
    """Find the k rows of largest cosine to each row, itself included; among equals the row itself, then lower ids.

    faiss compares all pairs block by block, of a large table without holding it in memory; what it fetches is
    compared again pair by pair, so that equal vectors have
    equal cosines and the tie rule holds. Rows are fetched deeper until the last one lies clearly below the k-th.

    Args:
        values: float32 ``[I, D]``; rows that are not present are not read.
        present: bool ``[I]``; absent rows, and rows of zeros, neither have nor are neighbours.
        k: Neighbours of each row, below the number of usable rows.

    Raises:
        ModelError: k is out of range, or fewer than two rows are usable.
        MissingExtraError: faiss is not installed.
    """
    held = values.nbytes <= HELD_BYTES
    vectors = HeldVectors(values, present, _BLOCK, _GATHER_BYTES) if held else StreamedVectors(values, present)
    rows = vectors.rows
    if len(rows) < 2:
        raise ModelError(
            f"a graph of nearest neighbours needs at least two items with features; {len(rows)} of {len(values)} have "
            "some. Remove the modality from dataset.modalities, or give features to more items"
        )
    if not 1 <= k < len(rows):
        raise ModelError(
            f"a graph of nearest neighbours needs 1 <= n_neighbors < {len(rows)}, the number of items with features; "
            f"got {k}. Change model.n_neighbors"
        )
    if vectors.all_alike():  # everybody ties with everybody, so that the search below would fetch all pairs
        ids, cosines = _all_alike(vectors, k)
        return Neighbours(rows, rows[ids], cosines)
    ids, cosines = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
    for start in range(0, len(rows), vectors.n_queries):
        pending, fetch = np.arange(start, min(start + vectors.n_queries, len(rows))), k + _MARGIN
        while len(pending):
            fetch = min(fetch, len(rows))
            fetched, candidates = vectors.search(pending, fetch)
            ids[pending], cosines[pending] = _canonical(vectors, pending, candidates, k)
            settled = (fetched[:, -1] < cosines[pending, -1] - _SLACK) | (fetch == len(rows))
            pending, fetch = pending[~settled], 2 * fetch
    return Neighbours(rows, rows[ids], cosines)


def knn_graph(values: FloatArray, present: BoolArray, k: int, weighting: Weighting) -> sp.csr_matrix:
    """Return the normalised directed graph of the k nearest neighbours, float32 CSR ``[I, I]``.

    Entry (i, j) is ``w_ij / sqrt(r_i r_j)``, r the sums of rows: w = 1 for ``uniform``, so that the entries are 1/k
    and rows sum to one (FREEDOM, arXiv:2211.06924); w = the cosine, negative ones cut to zero, for
    ``cosine`` (LATTICE, and MGCN, arXiv:2308.03588). Each item is its own neighbour; an item without features
    has no edge in either direction.

    Args:
        values: float32 ``[I, D]``.
        present: bool ``[I]``.
        k: Neighbours of each row.
        weighting: Weights before normalisation.

    Raises:
        ModelError: k is out of range, or fewer than two rows are usable.
    """
    found = nearest_neighbours(values, present, k)
    weights = np.ones_like(found.cosines) if weighting == "uniform" else found.cosines.clip(min=0.0)
    scale = np.zeros(len(values), np.float64)
    scale[found.rows] = 1.0 / np.sqrt(weights.sum(axis=1, dtype=np.float64))  # each row holds its own cosine of one
    weights = weights * scale[found.rows, None] * scale[found.ids]
    sources = np.repeat(found.rows, k)
    graph = sp.csr_matrix(
        (weights.astype(np.float32).ravel(), (sources, found.ids.ravel())), shape=(len(values), len(values))
    )
    graph.sort_indices()
    return graph


def _all_alike(vectors: UnitVectors, k: int) -> tuple[IntArray, FloatArray]:
    """Return for equal rows what `_canonical` would of all pairs: the row itself, then the lowest ids."""
    n, first = len(vectors.rows), vectors.take(np.zeros(1, np.int64))
    own = np.arange(n, dtype=np.int64)[:, None]
    others = np.broadcast_to(np.arange(k - 1, dtype=np.int64), (n, k - 1))
    cosine = np.einsum("qcd,qd->qc", first[None], first)
    return np.hstack((own, others + (others >= own))), np.full((n, k), cosine, np.float32)


def _canonical(vectors: UnitVectors, queries: IntArray, candidates: IntArray, k: int) -> tuple[IntArray, FloatArray]:
    """Return the best k candidates of each query and their cosines, in canonical order."""
    cosines = np.empty(candidates.shape, np.float32)
    size = vectors.take(queries[:1]).nbytes
    block = max(1, vectors.gather_bytes // (candidates.shape[1] * size))
    for start in range(0, len(queries), block):
        window = slice(start, start + block)
        # einsum adds up each pair in the same order wherever it stands; a matrix product does not
        taken = vectors.take(candidates[window]), vectors.take(queries[window])
        cosines[window] = np.einsum("qcd,qd->qc", *taken)
    other = candidates != queries[:, None]
    order = np.lexsort((candidates, other, -np.where(other, cosines, 1.0).clip(max=1.0)), axis=1)[:, :k]
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(cosines, order, 1)
