from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from mmrec_bench.errors import ModelError
from mmrec_bench.graph import co_occurrence
from mmrec_bench.graph.co_occurrence import co_occurrence_graph, most_shared, padding, softmax_weights

Array = np.ndarray[Any, Any]
PATHS = {"whole": 1 << 23, "small": 40, "row by row": 1}


@pytest.fixture(params=PATHS.values(), ids=PATHS)
def interactions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> sp.csr_matrix:
    """Rows of very different lengths, many equal counts; row 4 has nothing, row 7 shares nothing, row 39 is last."""
    monkeypatch.setattr(co_occurrence, "BLOCK_PRODUCTS", request.param)
    rng = np.random.default_rng(3)
    dense = rng.random((40, 25)) < rng.choice([0.05, 0.2, 0.7], (40, 1))
    dense[4], dense[7] = False, False
    dense[:, 24] = False
    dense[7, 24] = True
    return sp.csr_matrix(dense.astype(np.float32))


def slow_most_shared(interactions: sp.csr_matrix, k: int) -> Array:
    """The definition, all pairs; falling count, then lower rows."""
    dense = interactions.toarray()
    counts, kept = dense @ dense.T, np.zeros((len(dense), len(dense)), np.float32)
    for row, shared in enumerate(counts):
        others = [other for other in range(len(dense)) if other != row and shared[other] > 0]
        for other in sorted(others, key=lambda o: (-shared[o], o))[:k]:
            kept[row, other] = shared[other]
    return kept


@pytest.mark.parametrize("k", [1, 2, 5, 100])
def test_most_shared_are_those_of_a_slow_search(interactions: sp.csr_matrix, k: int) -> None:
    graph = most_shared(interactions, k)
    np.testing.assert_array_equal(graph.toarray(), slow_most_shared(interactions, k))
    assert graph.dtype == np.float32
    assert graph.nnz == np.count_nonzero(graph.toarray())
    assert graph[4].nnz == graph[7].nnz == 0


def test_columns_have_a_graph_of_their_own(interactions: sp.csr_matrix) -> None:
    columns = interactions.T.tocsr()
    np.testing.assert_array_equal(most_shared(columns, 3).toarray(), slow_most_shared(columns, 3))


def test_softmax_of_counts(interactions: sp.csr_matrix) -> None:
    kept = slow_most_shared(interactions, 5)
    expected = np.where(kept > 0, np.exp(kept.astype(np.float64)), 0.0)
    expected /= np.where(kept.any(axis=1), expected.sum(axis=1), 1.0)[:, None]
    graph = co_occurrence_graph(interactions, 5, "softmax")
    assert graph.dtype == np.float32
    np.testing.assert_allclose(graph.toarray(), expected, rtol=1e-6)


def test_large_counts_do_not_overflow() -> None:
    everything = sp.csr_matrix(np.ones((3, 2000), np.float32))
    np.testing.assert_allclose(co_occurrence_graph(everything, 2, "softmax").data, 0.5)


def test_symmetric_weights_are_normalised_by_both_sums(interactions: sp.csr_matrix) -> None:
    kept = slow_most_shared(interactions, 5).astype(np.float64)
    sums = np.where(kept.any(axis=1), kept.sum(axis=1), 1.0)
    graph = co_occurrence_graph(interactions, 5, "symmetric")
    assert graph.dtype == np.float32
    np.testing.assert_allclose(graph.toarray(), kept / np.sqrt(np.outer(sums, sums)), rtol=1e-6)


def test_padding_fills_short_lists_alone(interactions: sp.csr_matrix) -> None:
    counts = most_shared(interactions, 30)
    copies = padding(counts, 30, np.random.default_rng(0))
    lengths = np.diff(counts.indptr)
    assert 0 < np.count_nonzero(lengths == 30) < np.count_nonzero(lengths)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    np.testing.assert_array_equal(np.bincount(rows, copies, len(lengths)), np.where(lengths > 0, 30, 0))
    assert copies.min() == 1
    assert (copies[np.repeat(lengths == 30, lengths)] == 1).all()


def test_padding_is_uniform_and_drawn_by_its_generator() -> None:
    counts = most_shared(sp.csr_matrix(np.ones((4, 2), np.float32)), 5)  # each row has three neighbours
    first, again, other = (padding(counts, 3003, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_allclose(first, 1001, atol=4 * (3000 * 2 / 9) ** 0.5)


def test_a_repeat_doubles_a_weight() -> None:
    counts = sp.csr_matrix(np.array([[0, 1, 2], [1, 0, 0], [0, 0, 0]], np.float32))
    weights = softmax_weights(counts, np.array([1, 2, 3])).toarray()
    odds = np.array([np.exp(1.0), 2 * np.exp(2.0)])
    np.testing.assert_allclose(weights[0], [0.0, *(odds / odds.sum())], rtol=1e-6)
    np.testing.assert_array_equal(weights[1:], [[1, 0, 0], [0, 0, 0]])


def test_no_neighbours_are_refused(interactions: sp.csr_matrix) -> None:
    with pytest.raises(ModelError, match="n_neighbors >= 1; got 0"):
        most_shared(interactions, 0)


def test_blocks_hold_what_the_budget_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = sp.csr_matrix(np.ones((6, 3), np.float32))
    for budget, sizes in ((1, [1] * 6), (12, [1, 2, 2, 1]), (1 << 23, [6])):
        monkeypatch.setattr(co_occurrence, "BLOCK_PRODUCTS", budget)
        blocks = list(co_occurrence.count_blocks(everything))
        assert [block.shape[0] for _, block in blocks] == sizes
        np.testing.assert_array_equal(sp.vstack([block for _, block in blocks]).toarray(), np.full((6, 6), 3.0))
