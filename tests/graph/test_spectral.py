from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from mmrec_bench.errors import ModelError
from mmrec_bench.graph import spectral
from mmrec_bench.graph.bipartite import normalised_interactions
from mmrec_bench.graph.spectral import principal_subgraph


def block(n_users: int = 40, n_items: int = 30, density: float = 0.2) -> sp.csr_matrix:
    users, items = np.nonzero(np.random.default_rng(3).random((n_users, n_items)) < density)
    return normalised_interactions(users, items, n_users, n_items)


def found(n_triplets: int, threshold: float, of: sp.csr_matrix | None = None) -> np.ndarray:
    matrix = principal_subgraph(block() if of is None else of, n_triplets, threshold, np.random.default_rng(0))
    assert matrix.dtype == np.float32
    return np.asarray(matrix.toarray())


@pytest.mark.parametrize("threshold", [0.0, 1e-2])
@pytest.mark.parametrize("n_triplets", [4, 8, 16])
def test_it_is_what_the_decomposition_of_the_whole_adjacency_gives(n_triplets: int, threshold: float) -> None:
    dense = block().toarray().astype(np.float64)
    n_users, n_items = dense.shape
    adjacency = np.block([[np.zeros((n_users, n_users)), dense], [dense.T, np.zeros((n_items, n_items))]])
    left, values, right = np.linalg.svd(adjacency)
    n = 2 * n_triplets
    top = n // 4
    weights = values[:top] * values[n - top : n]
    whole = (left[:, :top] * weights) @ right[:top]
    np.testing.assert_allclose(whole[:n_users, :n_users], 0.0, atol=1e-12)  # users are not linked to users
    whole[np.abs(whole) < threshold] = 0.0
    np.testing.assert_allclose(found(n_triplets, threshold), whole[:n_users, n_users:], atol=1e-7)
    np.testing.assert_allclose(found(n_triplets, threshold).T, whole[n_users:, :n_users], atol=1e-7)


def test_blocks_of_rows_and_the_start_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found(8, 1e-3)
    monkeypatch.setattr(spectral, "BLOCK_VALUES", 70)
    np.testing.assert_allclose(found(8, 1e-3), whole, atol=1e-7)
    other = principal_subgraph(block(), 8, 1e-3, np.random.default_rng(9)).toarray()
    np.testing.assert_allclose(other, whole, atol=1e-7)


def test_too_many_triplets_and_too_high_a_threshold_are_refused() -> None:
    with pytest.raises(ModelError, match=r"32 singular triplets .* 40 and 30. Lower model.n_triplets"):
        found(32, 0.0)
    with pytest.raises(ModelError, match=r"reaches 9.0. Lower model.threshold"):
        found(4, 9.0)
