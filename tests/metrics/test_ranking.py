"""Ranking metrics against ten-line references, ranx, scikit-learn, and values worked out by hand."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.ranking import METRICS

numba.config.DISABLE_JIT = True  # compiling ranx takes a minute, interpreting these few lists does not

import ranx  # noqa: E402


def _reference(name: str, hits: list[bool], n: int, k: int) -> float:
    """Plain loops over the places of one list."""
    top = hits[:k]
    found = [rank for rank, hit in enumerate(top, 1) if hit]
    dcg = sum(1 / math.log2(rank + 1) for rank in found)
    precisions = sum(sum(top[:rank]) / rank for rank in found)
    return {
        "recall": lambda: len(found) / n,
        "recall-min": lambda: len(found) / min(n, k),
        "precision": lambda: len(found) / k,
        "ndcg": lambda: dcg / sum(1 / math.log2(rank + 1) for rank in range(1, min(n, k) + 1)),
        "ndcg-k": lambda: dcg / sum(1 / math.log2(rank + 1) for rank in range(1, k + 1)),
        "map": lambda: precisions / min(n, k),
        "map-truth": lambda: precisions / n,
        "mrr": lambda: 1 / found[0] if found else 0.0,
        "hit-rate": lambda: float(bool(found)),
    }[name]()


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 40), st.data())
def test_equals_the_slow_reference(hits: list[bool], missed: int, data: st.DataObject) -> None:
    n = max(1, sum(hits) + missed)
    cutoffs = data.draw(st.lists(st.integers(1, len(hits)), min_size=1, max_size=4))
    for name in METRICS:
        values = METRICS[name](np.array([hits]), np.array([n]), cutoffs)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, [[_reference(name, hits, n, k) for k in cutoffs]], rtol=1e-12)


def test_the_reference_covers_every_metric() -> None:
    assert set(METRICS) == {
        "recall", "recall-min", "precision", "ndcg", "ndcg-k", "map", "map-truth", "mrr", "hit-rate"
    }  # fmt: skip


@pytest.fixture(scope="module")
def lists() -> tuple[np.ndarray, list[set[int]], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ranked = np.array([rng.permutation(100)[:50] for _ in range(80)])
    truth = [set(rng.choice(100, rng.integers(1, 60), replace=False).tolist()) for _ in range(80)]
    hits = np.array([[item in relevant for item in row] for row, relevant in zip(ranked, truth, strict=True)])
    return ranked, truth, hits, np.array([len(relevant) for relevant in truth])


@pytest.mark.parametrize("k", [1, 10, 50])
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("recall", "recall"),
        ("precision", "precision"),
        ("ndcg", "ndcg"),
        ("map-truth", "map"),
        ("mrr", "mrr"),
        ("hit-rate", "hit_rate"),
    ],
)
def test_agrees_with_ranx(lists, name: str, theirs: str, k: int) -> None:
    ranked, truth, hits, sizes = lists
    qrels = ranx.Qrels({f"u{u:03}": {f"i{item}": 1 for item in items} for u, items in enumerate(truth)})
    run = ranx.Run(
        {f"u{u:03}": {f"i{item}": float(-place) for place, item in enumerate(row)} for u, row in enumerate(ranked)}
    )
    expected = ranx.evaluate(qrels, run, f"{theirs}@{k}", return_mean=False)
    np.testing.assert_allclose(METRICS[name](hits, sizes, [k])[:, 0], expected, atol=1e-9)


@pytest.mark.parametrize("k", [2, 10, 50])
def test_ndcg_agrees_with_scikit_learn(lists, k: int) -> None:
    ranked, truth, hits, sizes = lists
    relevance, scores = np.zeros((80, 100)), np.zeros((80, 100))
    for user, (row, relevant) in enumerate(zip(ranked, truth, strict=True)):
        relevance[user, list(relevant)] = 1
        scores[user, row] = np.arange(50, 0, -1)
    expected = [ndcg_score(relevance[u : u + 1], scores[u : u + 1], k=k, ignore_ties=True) for u in range(80)]
    np.testing.assert_allclose(METRICS["ndcg"](hits, sizes, [k])[:, 0], expected, rtol=1e-12)


def test_one_list_by_hand() -> None:
    hits, sizes = np.array([[False, True, False, True]]), np.array([3])
    value = {name: METRICS[name](hits, sizes, [4])[0, 0] for name in METRICS}
    dcg, best = 1 / math.log2(3) + 1 / math.log2(5), 1 + 1 / math.log2(3) + 1 / 2
    assert value["recall"] == pytest.approx(2 / 3)
    assert value["recall-min"] == pytest.approx(2 / 3)
    assert value["precision"] == 0.5
    assert value["ndcg"] == pytest.approx(dcg / best)
    assert value["ndcg-k"] == pytest.approx(dcg / (best + 1 / math.log2(5)))
    assert value["map"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert value["map-truth"] == pytest.approx(1 / 3)
    assert value["mrr"] == 0.5
    assert value["hit-rate"] == 1


def test_denominators_part_when_more_is_relevant_than_fits() -> None:
    hits, sizes = np.ones((1, 2), bool), np.array([8])
    value = {name: METRICS[name](hits, sizes, [2])[0, 0] for name in METRICS}
    assert (value["recall"], value["recall-min"]) == (0.25, 1)
    assert (value["map"], value["map-truth"]) == (1, 0.25)
    assert (value["ndcg"], value["ndcg-k"]) == (1, 1)


def test_denominators_part_when_less_is_relevant_than_fits() -> None:
    hits, sizes = np.array([[True, False, False]]), np.array([1])
    assert METRICS["ndcg"](hits, sizes, [3])[0, 0] == 1
    assert METRICS["ndcg-k"](hits, sizes, [3])[0, 0] == pytest.approx(1 / (1 + 1 / math.log2(3) + 0.5))
    assert METRICS["precision"](hits, sizes, [3])[0, 0] == 1 / 3


def test_a_perfect_list_scores_exactly_one() -> None:
    sizes = np.arange(1, 51)
    hits = np.arange(50)[None, :] < sizes[:, None]
    for name in ("recall-min", "ndcg", "map", "mrr", "hit-rate"):
        assert (METRICS[name](hits, sizes, range(1, 51)) == 1).all(), name


def test_no_hit_scores_exactly_zero() -> None:
    for name in METRICS:
        assert (METRICS[name](np.zeros((3, 5), bool), np.array([1, 5, 9]), [1, 5]) == 0).all()


def test_users_do_not_influence_each_other(lists) -> None:
    _, _, hits, sizes = lists
    for name in METRICS:
        together = METRICS[name](hits, sizes, [5, 50])
        apart = np.concatenate([METRICS[name](hits[u : u + 1], sizes[u : u + 1], [5, 50]) for u in range(len(hits))])
        assert np.array_equal(together, apart)


def test_users_without_truth_are_refused_by_name_of_the_rule() -> None:
    with pytest.raises(ProtocolError, match=r"2 users without a relevant item.*not evaluated"):
        METRICS["recall"](np.zeros((3, 2), bool), np.array([1, 0, 0]), [1])


def test_more_hits_than_relevant_items_are_refused() -> None:
    with pytest.raises(ProtocolError, match="ranked twice"):
        METRICS["recall"](np.ones((1, 3), bool), np.array([2]), [3])


@pytest.mark.parametrize("cutoffs", [[0], [4], [2, 9]])
def test_cutoffs_beyond_the_lists_are_refused(cutoffs: list[int]) -> None:
    with pytest.raises(ProtocolError, match=r"ndcg@k needs 1 <= k <= 3"):
        METRICS["ndcg"](np.zeros((1, 3), bool), np.array([1]), cutoffs)


def test_shapes_that_do_not_fit_are_refused() -> None:
    for hits, sizes in ((np.zeros(3, bool), np.array([1])), (np.zeros((2, 3), bool), np.array([1]))):
        with pytest.raises(ProtocolError, match="needs hits"):
            METRICS["map"](hits, sizes, [1])


def test_every_metric_says_what_it_is() -> None:
    for name in METRICS:
        metric = METRICS[name]
        assert metric.name == name
        assert metric.label
        assert metric.denominator
        assert metric.formula.count("{") == metric.formula.count("}")
        assert metric.direction == "higher"
        assert metric.at(20) == f"{name}@20/v{metric.version}"
