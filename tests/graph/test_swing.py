from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from mmrec_bench.errors import ModelError
from mmrec_bench.graph import swing
from mmrec_bench.graph.swing import most_alike, swing_similarity


@pytest.mark.parametrize("block", [2, 1 << 16])
def test_similarities_are_sums_over_pairs_of_users(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swing, "BLOCK_PAIRS", block)
    monkeypatch.setattr(swing, "BLOCK_USERS", block)
    rng = np.random.default_rng(0)
    dense = (rng.random((12, 9)) < 0.4).astype(np.float32)
    expected = np.zeros((9, 9))
    for one, other in itertools.combinations(range(12), 2):
        shared = np.flatnonzero(dense[one] * dense[other])
        for i, j in itertools.permutations(shared, 2):
            expected[i, j] += 1 / (0.5 + len(shared))
    np.testing.assert_allclose(swing_similarity(sp.csr_matrix(dense), 0.5).toarray(), expected)


def test_neighbours_are_the_most_similar_and_nobody_is_padded_in() -> None:
    similarity = sp.csr_matrix([[0, 2.0, 1, 2], [2, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]])
    assert most_alike(similarity, 2).tolist() == [[1, 3], [0, -1], [0, -1], [0, -1]]
    with pytest.raises(ModelError, match=r"1\.\.3"):
        most_alike(similarity, 4)
