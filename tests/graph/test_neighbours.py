from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from mmrec_bench.errors import MissingExtraError, ModelError
from mmrec_bench.graph import neighbours, unit_vectors
from mmrec_bench.graph.neighbours import knn_graph, nearest_neighbours

Array = np.ndarray[Any, Any]


def everywhere(values: Array) -> Array:
    return np.ones(len(values), np.bool_)


def slow_neighbours(values: Array, present: Array, k: int) -> dict[int, list[int]]:
    """All pairs in float64; the item itself first among equals, then lower ids."""
    unit = values.astype(np.float64)
    rows = [row for row in np.flatnonzero(present) if np.abs(unit[row]).max() > 0]
    unit = {row: unit[row] / np.linalg.norm(unit[row]) for row in rows}
    found = {}
    for row in rows:
        cosine = {other: round(float(unit[row] @ unit[other]), 6) for other in rows}
        found[int(row)] = [int(o) for o in sorted(rows, key=lambda o: (-cosine[o], o != row, o))[:k]]
    return found


def as_dict(found: neighbours.Neighbours) -> dict[int, list[int]]:
    return {int(row): ids.tolist() for row, ids in zip(found.rows, found.ids, strict=True)}


@pytest.fixture
def values() -> Array:
    """Random vectors, some of them repeated at other lengths, one absent, one of zeros."""
    rng = np.random.default_rng(4)
    table = rng.standard_normal((60, 12)).astype(np.float32)
    table[40:] = table[rng.integers(0, 3, 20)] * rng.choice([0.5, 1.0, 4.0], (20, 1)).astype(np.float32)
    table[17] = np.nan
    table[23] = 0.0
    return table


@pytest.mark.parametrize("k", [1, 3, 10, 57])
def test_neighbours_are_those_of_a_slow_search(values: Array, k: int) -> None:
    present = np.isfinite(values).all(axis=1)
    assert as_dict(nearest_neighbours(values, present, k)) == slow_neighbours(values, present, k)


def test_many_equal_vectors_go_by_id() -> None:
    values = np.repeat(np.eye(3, dtype=np.float32), [80, 1, 80], axis=0)[np.random.default_rng(0).permutation(161)]
    assert as_dict(nearest_neighbours(values, everywhere(values), 3)) == slow_neighbours(values, everywhere(values), 3)


@pytest.mark.parametrize("k", [1, 3, 10, 57])
def test_a_table_that_is_not_held_gives_the_same(values: Array, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    present = np.isfinite(values).all(axis=1)
    held = nearest_neighbours(values, present, k)
    monkeypatch.setattr(neighbours, "HELD_BYTES", 0)
    monkeypatch.setattr(unit_vectors, "STREAMED_VALUES", 12 * 9)
    streamed = nearest_neighbours(values, present, k)
    assert as_dict(streamed) == as_dict(held) == slow_neighbours(values, present, k)
    np.testing.assert_array_equal(streamed.cosines, held.cosines)
    alike = np.ones((20, 3), np.float32)
    assert as_dict(nearest_neighbours(alike, everywhere(alike), 3)) == slow_neighbours(alike, everywhere(alike), 3)


@pytest.mark.parametrize("k", [1, 2, 7, 42])
def test_equal_vectors_everywhere_need_no_search(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of a constant, which the search would answer by comparing all pairs, give what it gives."""
    values = np.repeat(np.random.default_rng(1).standard_normal((1, 37)).astype(np.float32), 45, axis=0)
    values[3], values[4] = np.nan, 0.0
    present = np.isfinite(values).all(axis=1)
    with monkeypatch.context() as without_faiss:
        without_faiss.setitem(sys.modules, "faiss", None)
        quick = nearest_neighbours(values, present, k)
    monkeypatch.setattr(neighbours, "_all_alike", by_search)
    slow = nearest_neighbours(values, present, k)
    for name in ("rows", "ids", "cosines"):
        found, wanted = getattr(quick, name), getattr(slow, name)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    assert as_dict(quick) == slow_neighbours(values, present, k)


def by_search(vectors: Any, k: int) -> tuple[Array, Array]:
    """The general way: every row is a candidate of every row."""
    n = len(vectors.rows)
    return neighbours._canonical(vectors, np.arange(n), np.tile(np.arange(n), (n, 1)), k)


def test_blocks_change_nothing(values: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    present = np.isfinite(values).all(axis=1)
    whole = nearest_neighbours(values, present, 5)
    monkeypatch.setattr(neighbours, "_BLOCK", 7)
    monkeypatch.setattr(neighbours, "_GATHER_BYTES", 3000)
    blocks = nearest_neighbours(values, present, 5)
    np.testing.assert_array_equal(blocks.ids, whole.ids)
    np.testing.assert_array_equal(blocks.cosines, whole.cosines)


def test_lengths_do_not_matter() -> None:
    rng = np.random.default_rng(6)
    values = rng.standard_normal((30, 8)).astype(np.float32)
    scaled = values * np.float32(10.0) ** rng.integers(-30, 30, (30, 1)).astype(np.float32)
    plain, other = (nearest_neighbours(table, everywhere(table), 6) for table in (values, scaled))
    np.testing.assert_array_equal(other.ids, plain.ids)
    np.testing.assert_allclose(other.cosines, plain.cosines, rtol=1e-5)


def test_uniform_graph_is_a_mean_over_k(values: Array) -> None:
    present = np.isfinite(values).all(axis=1)
    graph = knn_graph(values, present, 4, "uniform")
    usable = present & (np.nan_to_num(values) != 0).any(axis=1)
    np.testing.assert_array_equal(np.diff(graph.indptr), np.where(usable, 4, 0))
    np.testing.assert_allclose(graph.data, 0.25)
    np.testing.assert_allclose(np.asarray(graph.sum(axis=1)).ravel(), usable.astype(float), rtol=1e-6)
    assert (abs(graph - graph.T) > 0).nnz > 0  # directed


def test_items_without_features_have_and_are_no_neighbours(values: Array) -> None:
    graph = knn_graph(values, np.isfinite(values).all(axis=1), 4, "cosine")
    for item in (17, 23):
        assert graph[item].nnz == graph[:, item].nnz == 0


def test_cosine_graph_has_the_same_neighbours_and_normalised_weights(values: Array) -> None:
    present = np.isfinite(values).all(axis=1)
    uniform, cosine = (knn_graph(values, present, 5, weighting) for weighting in ("uniform", "cosine"))
    np.testing.assert_array_equal(uniform.indices, cosine.indices)
    np.testing.assert_array_equal(uniform.indptr, cosine.indptr)
    lengths = np.linalg.norm(np.nan_to_num(values), axis=1, keepdims=True)
    unit = np.nan_to_num(values) / np.where(lengths > 0, lengths, 1.0)
    kept = np.where(uniform.toarray() > 0, np.clip(unit @ unit.T, 0, None), 0.0)
    sums = kept.sum(axis=1)
    sums[sums == 0] = 1.0
    np.testing.assert_allclose(cosine.toarray(), kept / np.sqrt(sums[:, None] * sums), atol=1e-6)


def test_opposite_items_get_no_weight() -> None:
    values = np.array([[1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1]], np.float32)
    graph = knn_graph(values, everywhere(values), 2, "cosine").toarray()
    assert np.isfinite(graph).all()
    np.testing.assert_allclose(graph[0], [1.0, 0.0, 0.0])


@pytest.mark.parametrize("k", [0, 58, 60, 100])
def test_k_out_of_range(values: Array, k: int) -> None:
    with pytest.raises(ModelError, match=rf"1 <= n_neighbors < 58.*got {k}"):
        nearest_neighbours(values, np.isfinite(values).all(axis=1), k)


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_anybody_has_features(n: int) -> None:
    with pytest.raises(ModelError, match=f"at least two items with features; {n} of 5 have some. Remove the modality"):
        nearest_neighbours(np.ones((5, 2), np.float32), np.arange(5) < n, 2)


def test_missing_faiss_names_both_extras(values: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"mmrec-bench\[cpu\].*mmrec-bench\[gpu\]"):
        nearest_neighbours(values, np.isfinite(values).all(axis=1), 2)
