"""Graphs of nearest neighbours in feature space, by faiss, in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from mmrec_bench.errors import ModelError
from mmrec_bench.extras import import_faiss
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

    faiss compares all pairs block by block; what it fetches is compared again pair by pair, so that equal vectors have
    equal cosines and the tie rule holds. Rows are fetched deeper until the last one lies clearly below the k-th.

    Args:
        values: float32 ``[I, D]``; rows that are not present are not read.
        present: bool ``[I]``; absent rows, and rows of zeros, neither have nor are neighbours.
        k: Neighbours of each row, below the number of usable rows.

    Raises:
        ModelError: k is out of range, or fewer than two rows are usable.
        MissingExtraError: faiss is not installed.
    """
    rows, vectors = _unit_rows(values, present)
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
    if (vectors[-1] == vectors[0]).all() and (
        vectors == vectors[0]
    ).all():  # everybody ties with everybody, so that the search below would fetch all pairs
        ids, cosines = _all_alike(vectors, k)
        return Neighbours(rows, rows[ids], cosines)
    index = import_faiss("a graph of nearest neighbours").IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    ids, cosines = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
    for start in range(0, len(rows), _BLOCK):
        pending, fetch = np.arange(start, min(start + _BLOCK, len(rows))), k + _MARGIN
        while len(pending):
            fetch = min(fetch, len(rows))
            fetched, candidates = index.search(vectors[pending], fetch)
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


def _unit_rows(values: FloatArray, present: BoolArray) -> tuple[IntArray, FloatArray]:
    """Return which rows are present and not zero, and those rows scaled to unit length."""
    rows = np.flatnonzero(present).astype(np.int64)
    vectors = values[rows]
    largest = np.maximum(vectors.max(axis=1), -vectors.min(axis=1)) if len(rows) else np.zeros(0, np.float32)
    if not (largest > 0).all():
        rows, vectors, largest = rows[largest > 0], vectors[largest > 0], largest[largest > 0]
    vectors /= largest[:, None]  # so that no square over- or underflows
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return rows, vectors


def _all_alike(vectors: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """Return for equal rows what `_canonical` would of all pairs: the row itself, then the lowest ids."""
    own = np.arange(len(vectors), dtype=np.int64)[:, None]
    others = np.broadcast_to(np.arange(k - 1, dtype=np.int64), (len(vectors), k - 1))
    cosine = np.einsum("qcd,qd->qc", vectors[None, :1], vectors[:1])
    return np.hstack((own, others + (others >= own))), np.full((len(vectors), k), cosine, np.float32)


def _canonical(vectors: FloatArray, queries: IntArray, candidates: IntArray, k: int) -> tuple[IntArray, FloatArray]:
    """Return the best k candidates of each query and their cosines, in canonical order."""
    cosines = np.empty(candidates.shape, np.float32)
    block = max(1, _GATHER_BYTES // (candidates.shape[1] * vectors.shape[1] * vectors.itemsize))
    for start in range(0, len(queries), block):
        window = slice(start, start + block)
        # einsum adds up each pair in the same order wherever it stands; a matrix product does not
        cosines[window] = np.einsum("qcd,qd->qc", vectors[candidates[window]], vectors[queries[window]])
    other = candidates != queries[:, None]
    order = np.lexsort((candidates, other, -np.where(other, cosines, 1.0).clip(max=1.0)), axis=1)[:, :k]
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(cosines, order, 1)
