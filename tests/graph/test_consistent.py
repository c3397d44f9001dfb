from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from mmrec_bench.data.features import unit_rows
from mmrec_bench.graph import consistent
from mmrec_bench.graph.consistent import consistent_graphs, even_graph, mean_cosine, shared_users_graph


def units(n: int = 30, *, equal: bool = False) -> list[np.ndarray]:
    """Two modalities; items 4 and 5 lack the first, item 5 the second, too."""
    random = np.random.default_rng(2)
    values = [random.standard_normal((n, dim)).astype(np.float32) for dim in (5, 3)]
    if equal:
        values = [np.repeat(rows[: n // 3], 3, axis=0) for rows in values]
    found = [unit_rows(rows) for rows in values]
    found[0][[4, 5]] = 0.0
    found[1][5] = 0.0
    return found


def slow(tables: list[np.ndarray], k: int) -> list[np.ndarray]:
    """Kept pairs by loops over rows and pairs, then the weights."""
    n = len(tables[0])
    known = [rows.any(axis=1) for rows in tables]
    cosines = [(rows.astype(np.float64) @ rows.T).round(6) for rows in tables]
    means = [cosine[np.ix_(mask, mask)].mean() for cosine, mask in zip(cosines, known, strict=True)]
    graphs = []
    for cosine, mask in zip(cosines, known, strict=True):
        kept = np.zeros((n, n))
        for row in np.flatnonzero(mask):
            others = []
            for column in np.flatnonzero(mask):
                spoken = [m for m in range(len(tables)) if known[m][row] and known[m][column]]
                if row != column and all(cosines[m][row, column] >= means[m] for m in spoken):
                    others.append((-cosine[row, column], column))
            kept[row, [row, *(column for _, column in sorted(others)[: k - 1])]] = 1.0
        counts = kept.sum(axis=1)
        rows, columns = np.nonzero(kept)
        kept[rows, columns] = 1.0 / np.sqrt(counts[rows] * counts[columns])
        graphs.append(kept)
    return graphs


@pytest.mark.parametrize("block", [1 << 22, 100])
@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("k", [1, 4, 12, 50])
def test_graphs_follow_their_definition(k: int, equal: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consistent, "BLOCK_VALUES", block)
    tables = units(equal=equal)
    found = consistent_graphs(tables, k)
    for graph, expected in zip(found, slow(tables, k), strict=True):
        assert graph.dtype == np.float32
        np.testing.assert_allclose(graph.toarray(), expected, rtol=1e-6)


def test_modalities_check_one_another() -> None:
    image, text = units()
    alone, checked = consistent_graphs([image], 30)[0], consistent_graphs([image, text], 30)[0]
    assert set(zip(*checked.nonzero(), strict=True)) < set(zip(*alone.nonzero(), strict=True))
    agreeing = consistent_graphs([image, image], 30)
    np.testing.assert_array_equal(agreeing[0].toarray(), alone.toarray())
    np.testing.assert_array_equal(agreeing[1].toarray(), alone.toarray())


@pytest.mark.parametrize("dim", [64, 4096])
@pytest.mark.parametrize("n", [30, 70, 333])
def test_a_modality_in_which_all_items_are_equal_says_nothing(n: int, dim: int) -> None:
    random = np.random.default_rng(n)
    text = unit_rows(random.standard_normal((n, 5)).astype(np.float32))
    equal = unit_rows(np.tile(random.standard_normal(dim).astype(np.float32), (n, 1)))
    image_graph, text_graph = consistent_graphs([equal, text], 4)
    np.testing.assert_array_equal(text_graph.toarray(), consistent_graphs([text], 4)[0].toarray())
    assert (image_graph.toarray().diagonal() > 0).all()


def test_the_mean_cosine_is_over_all_pairs_of_what_is_known() -> None:
    image = units()[0]
    known = image[image.any(axis=1)].astype(np.float64)
    assert mean_cosine(image, len(known)) == pytest.approx((known @ known.T).mean())


def test_items_that_share_users() -> None:
    history = sp.csr_matrix(np.array([[1, 1, 0, 1, 0], [1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [0, 1, 0, 0, 0]], np.float32))
    # shared users: 0-1 two, 0-2 two, 0-3 two, 1-2 one, 1-3 one, 2-3 one; item 4 has no user
    kept = [[0, 1, 2], [0, 1], [0, 2], [0, 3], [4]]
    for least, expected in ((2, kept), (1, [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 3], [4]])):
        graph = shared_users_graph(history, 2, least)
        assert [graph[item].indices.tolist() for item in range(5)] == expected
        counts = [len(row) for row in expected]
        for item, row in enumerate(expected):
            np.testing.assert_allclose(graph[item].data, [(counts[item] * counts[other]) ** -0.5 for other in row])


def test_even_graphs_are_directed() -> None:
    graph = even_graph(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), 3).toarray()
    np.testing.assert_allclose(graph, [[0.5, 0.5**0.5, 0], [0, 1, 0], [0, 0, 1]], rtol=1e-6)
