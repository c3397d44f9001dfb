"""Signed relations of items, words and queries: what raises the chance of what, and what lowers it.

Nodes are items, then terms: single words, then compound queries. With W(a) the words of a node, two nodes

- *improve* each other where they contradict in no field, and ``W(a)`` lies in ``W(b)`` or the other way round; terms
  also where they share a word;
- *inhibit* each other once for every closed field in which both have values, but none in common;
- are *independent* otherwise. Items never meet without a term between them.

Source: a reconstruction; Jin et al., KDD 2025 (MAGUS), https://arxiv.org/abs/2412.10787, names the three relations
over words and their combinations, without formulas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mmrec_bench.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """Relations of n nodes: `n_items` items, then terms.

    Inhibition is dense, for two brands inhibit all items of each other, so it is never written out. It is
    ``H H^T - G`` off the block of items, with H ``[n, n_fields]``, which closed fields a node has values in, and G
    ``[n, n]``, sparse, in how many of them two nodes share a value.

    Attributes:
        n_items: Number of items.
        specified: H, float32 ``[n, n_fields]``.
        sharing: G, symmetric CSR, float32; nothing stands in the block of items.
        improving: 1 where two nodes improve each other, symmetric CSR, float32, no diagonal.
        matches: 1 where an item has all words of a term, CSR float32 ``[n_terms, n_items]``.
        inside: 1 where all words of a term are words of another, CSR float32 ``[n_terms, n_terms]``; every term is
            inside itself.
    """

    n_items: int
    specified: FloatArray
    sharing: sp.csr_matrix
    improving: sp.csr_matrix
    matches: sp.csr_matrix
    inside: sp.csr_matrix

    @property
    def n_nodes(self) -> int:
        """Number of items and terms."""
        return len(self.specified)

    @property
    def n_terms(self) -> int:
        """Number of words and compound queries."""
        return self.n_nodes - self.n_items


def relate(
    item_words: sp.csr_matrix, query_words: sp.csr_matrix, specified_items: FloatArray, field_of: IntArray
) -> Relations:
    """Relate items, words and compound queries.

    Args:
        item_words: Ones, CSR float32 ``[n_items, n_words]``.
        query_words: Ones, CSR float32 ``[n_queries, n_words]``.
        specified_items: 1 where an item has a value in a closed field, float32 ``[n_items, n_fields]``.
        field_of: Closed field of each word, int64 ``[n_words]``; -1 for words of open fields, which deny nothing.
    """
    n_items, n_words = item_words.shape
    n_fields = specified_items.shape[1]
    terms = sp.vstack([sp.identity(n_words, np.float32, format="csr"), query_words], format="csr")
    nodes = sp.vstack([item_words, terms], format="csr")
    by_field = [sp.diags_array((field_of == field).astype(np.float32)).tocsr() for field in range(n_fields)]
    of_terms = [(terms @ chosen).sum(axis=1) > 0 for chosen in by_field]
    columns = [np.asarray(column, np.float32).reshape(-1, 1) for column in of_terms]
    specified = np.vstack([specified_items, np.hstack(columns) if columns else np.zeros((terms.shape[0], 0))])

    shared = (nodes @ terms.T).tocoo()
    agreeing = sp.csr_matrix(shared.shape, dtype=np.float32)
    for chosen in by_field:
        overlap = (nodes @ chosen @ terms.T).tocsr()
        overlap.data[:] = 1
        agreeing = agreeing + overlap
    entries = agreeing.tocoo()
    sizes = np.diff(nodes.indptr)
    rows, others = shared.row.astype(np.int64), shared.col.astype(np.int64) + n_items
    common = np.asarray(agreeing[shared.row, shared.col]).reshape(-1)
    clashes = (specified[rows] * specified[others]).sum(axis=1) - common
    nested = (shared.data == sizes[rows]) | (shared.data == sizes[others])
    improves = (clashes == 0) & (nested | (rows >= n_items)) & (rows != others)
    within = (shared.row >= n_items) & (shared.data == sizes[rows])
    matched = (shared.row < n_items) & (shared.data == sizes[others])
    n_terms, shape = terms.shape[0], (len(sizes), len(sizes))
    return Relations(
        n_items,
        specified.astype(np.float32),
        _mirrored(entries.row.astype(np.int64), entries.col.astype(np.int64) + n_items, entries.data, n_items, shape),
        _mirrored(rows[improves], others[improves], np.ones(improves.sum()), n_items, shape),
        _ones(shared.col[matched], shared.row[matched], (n_terms, n_items)),
        _ones(shared.row[within] - n_items, shared.col[within], (n_terms, n_terms)),
    )


def _mirrored(
    rows: IntArray, cols: IntArray, values: FloatArray, n_items: int, shape: tuple[int, int]
) -> sp.csr_matrix:
    """Return a symmetric matrix of entries that know items as rows only, and terms as rows and columns."""
    of_items = rows < n_items
    matrix = sp.coo_matrix(
        (
            np.concatenate([values, values[of_items]]).astype(np.float32),
            (np.concatenate([rows, cols[of_items]]), np.concatenate([cols, rows[of_items]])),
        ),
        shape,
    ).tocsr()
    matrix.sort_indices()
    return matrix


def _ones(rows: IntArray, cols: IntArray, shape: tuple[int, int]) -> sp.csr_matrix:
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, cols)), shape)
    matrix.sort_indices()
    return matrix
