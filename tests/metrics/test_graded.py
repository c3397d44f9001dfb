"""Metrics of graded labels against values by hand, ten-line references, ranx and scikit-learn."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.graded import GRADED_METRICS, GradedOptions

numba.config.DISABLE_JIT = True  # compiling ranx takes a minute, interpreting these few lists does not

import ranx  # noqa: E402

LIST = np.array([[2, 0, 4, 1, 0, 3, 0, 0, 1, 0]])


def values(name: str, ranked: Any, cutoffs: list[int], missed: Any = None, scores: Any = None, **options: Any) -> Any:
    return GRADED_METRICS[name](
        np.asarray(ranked),
        cutoffs,
        GradedOptions(**options),
        missed=None if missed is None else np.asarray(missed),
        scores=scores,
    ).values


def test_values_by_hand() -> None:
    np.testing.assert_allclose(values("ndcg", LIST, [1, 3, 5, 10])[0], [0.2, 0.501996, 0.502929, 0.631505], atol=5e-7)
    np.testing.assert_allclose(values("err", LIST, [10], max_label=4)[0], [0.445857], atol=5e-7)
    np.testing.assert_allclose(values("map", LIST, [10])[0], [0.727778], atol=5e-7)
    for denominator, at_3, at_5 in (
        ("total", 0.333333, 0.483333),
        ("min", 0.555556, 0.483333),
        ("hits", 0.833333, 0.805556),
    ):
        found = values("map", LIST, [3, 5], ap_denominator=denominator)
        np.testing.assert_allclose(found[0], [at_3, at_5], atol=5e-7)


def _reference(name: str, labels: list[int], missed: int, k: int, options: GradedOptions) -> float:
    """Plain loops over the ranks of one list."""
    gain = (lambda y: 2**y - 1) if options.gain == "exp2" else (lambda y: y)
    dcg = lambda ys: sum(gain(y) / math.log2(rank + 1) for rank, y in enumerate(ys[:k], 1))  # noqa: E731
    hits = [rank for rank, y in enumerate(labels[:k], 1) if y >= 1]
    n = sum(y >= 1 for y in labels) + missed
    if n == 0:
        return 0.0 if options.empty == "skip" else float(options.empty)
    if name == "ndcg":
        return dcg(labels) / dcg(sorted([*labels, *[1] * missed], reverse=True))
    if name == "map":
        below = {"total": n, "min": min(n, k), "hits": len(hits)}[options.ap_denominator]
        return sum(count / rank for count, rank in enumerate(hits, 1)) / below if below else 0.0
    if name == "err":
        satisfied = [(2**y - 1) / 2 ** (options.max_label or max(1, *labels)) for y in labels[:k]]
        return sum(s / rank * math.prod(1 - t for t in satisfied[: rank - 1]) for rank, s in enumerate(satisfied, 1))
    return {"mrr": 1 / hits[0] if hits else 0.0, "precision": len(hits) / k, "recall": len(hits) / n}[name]


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.integers(0, 9),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.builds(
        GradedOptions,
        gain=st.sampled_from(["exp2", "linear"]),
        max_label=st.sampled_from([None, 5, 7]),
        ap_denominator=st.sampled_from(["total", "min", "hits"]),
        empty=st.sampled_from(["skip", 0, 1]),
    ),
    st.integers(0, 3),
)
def test_equals_the_slow_reference(
    labels: list[int], missed: int, cutoffs: list[int], options: GradedOptions, padding: int
) -> None:
    for name in set(GRADED_METRICS) - {"clicked-ndcg"}:
        found = GRADED_METRICS[name](np.array([labels + [-1] * padding]), cutoffs, options, missed=np.array([missed]))
        expected = [[_reference(name, labels, missed, k, options) for k in cutoffs]]
        assert found.values.dtype == np.float64
        np.testing.assert_allclose(found.values, expected, rtol=1e-12)
        assert ((found.values >= 0) & (found.values <= 1)).all()
        assert found.n_empty == (not any(labels) and not missed)
        assert found.counted[0] == (options.empty != "skip" or not found.n_empty)


@pytest.fixture(scope="module")
def queries() -> tuple[np.ndarray, np.ndarray]:
    """Labels in ranked order and counts of missed items, with two lists without relevant ones."""
    rng = np.random.default_rng(0)
    ranked, missed = rng.choice(5, (40, 15), p=[0.6, 0.2, 0.1, 0.05, 0.05]), rng.integers(0, 4, 40)
    ranked[:2], missed[:2] = 0, 0
    return ranked, missed


@pytest.mark.parametrize("k", [1, 3, 10, 15])
@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("ndcg", "ndcg", {"gain": "linear"}),
        ("ndcg", "ndcg_burges", {"gain": "exp2"}),
        ("map", "map", {}),
        ("mrr", "mrr", {}),
        ("precision", "precision", {}),
        ("recall", "recall", {}),
    ],
)
def test_agrees_with_ranx(queries, name: str, theirs: str, options: dict[str, str], k: int) -> None:
    ranked, missed = queries
    judgements = {
        f"q{q:02}": {f"d{r:02}": int(y) for r, y in enumerate(labels)} | {f"m{m}": 1 for m in range(missed[q])}
        for q, labels in enumerate(ranked)
    }
    run = {query: {f"d{r:02}": 1.0 - r / 100 for r in range(15)} for query in judgements}
    expected = ranx.evaluate(ranx.Qrels(judgements), ranx.Run(run), f"{theirs}@{k}", return_mean=False)
    np.testing.assert_allclose(values(name, ranked, [k], missed, empty=0, **options)[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 4, 15])
@pytest.mark.parametrize("gain", ["exp2", "linear"])
def test_ndcg_agrees_with_scikit_learn_with_and_without_ties(queries, gain: str, k: int) -> None:
    ranked, rng = queries[0][2:], np.random.default_rng(1)
    gained = 2.0**ranked - 1 if gain == "exp2" else ranked.astype(float)
    scores = -np.sort(rng.integers(0, 5, ranked.shape).astype(float), axis=1)
    for q, row in enumerate(ranked):
        expected = ndcg_score(gained[q : q + 1], scores[q : q + 1], k=k)
        found = values("ndcg", [row], [k], scores=scores[q : q + 1], gain=gain, ties="average")
        np.testing.assert_allclose(found, [[expected]], rtol=1e-12)
    falling = -np.arange(15.0)[None, :].repeat(len(ranked), axis=0)
    found = GRADED_METRICS["ndcg"](ranked, [k], GradedOptions(gain=gain)).mean()
    np.testing.assert_allclose(found, [ndcg_score(gained, falling, k=k)], rtol=1e-12)


def test_average_precision_of_whole_lists_agrees_with_scikit_learn(queries) -> None:
    ranked = queries[0][2:]
    expected = [average_precision_score(row > 0, -np.arange(15.0)) for row in ranked]
    np.testing.assert_allclose(values("map", ranked, [15])[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["ndcg", "precision", "recall"])
def test_averaged_ties_are_the_mean_over_all_orders(name: str) -> None:
    groups = [[3], [0, 2, 1], [4, 0], [1]]
    scores = np.array([[9.0, 5, 5, 5, 3, 3, 1, 1]])  # the last is padding: its score ties with nothing
    orders = [list(itertools.chain(*order)) for order in itertools.product(*map(itertools.permutations, groups))]
    cutoffs = [1, 2, 3, 4, 5, 6, 7, 9]
    expected = values(name, orders, cutoffs, [2] * len(orders)).mean(axis=0)
    for order in orders:
        found = values(name, [[*order, -1]], cutoffs, [2], scores=scores, ties="average")
        np.testing.assert_allclose(found[0], expected, rtol=1e-12)


def test_a_constant_scorer_gains_nothing_from_averaged_ties() -> None:
    best_first = np.array([[4, 3, 0, 0, 0, 0]])
    zeros = np.zeros((1, 6))
    assert values("ndcg", best_first, [2])[0, 0] == 1
    assert values("ndcg", best_first, [2], scores=zeros, ties="average")[0, 0] < 0.5


def test_empty_lists_are_skipped_filled_and_counted() -> None:
    ranked = np.array([[0, 1], [0, 0], [-1, -1]])
    for name in GRADED_METRICS:
        skipped = GRADED_METRICS[name](ranked, [1, 2])
        assert skipped.n_empty == 2
        assert skipped.counted.tolist() == [True, False, False]
        np.testing.assert_array_equal(skipped.values[1:], 0)
        np.testing.assert_array_equal(skipped.mean(), skipped.values[0])
        filled = GRADED_METRICS[name](ranked, [1, 2], GradedOptions(empty=1))
        assert filled.n_empty == 2
        assert filled.counted.all()
        np.testing.assert_array_equal(filled.values[1:], 1)
        with pytest.raises(ProtocolError, match="2 lists without any"):
            GRADED_METRICS[name](ranked[1:], [1]).mean()
    missed = GRADED_METRICS["ndcg"](ranked, [2], missed=np.array([0, 1, 0]))
    assert missed.counted.tolist() == [True, True, False]
    assert missed.values[1, 0] == 0


def test_missed_items_enter_the_best_order_between_the_labels_above_and_irrelevant_ones() -> None:
    found = values("ndcg", [[2, 0, 1]], [4], [2])[0, 0]
    log = [1 / math.log2(rank + 1) for rank in range(1, 5)]
    assert found == pytest.approx((3 * log[0] + log[2]) / (3 * log[0] + log[1] + log[2] + log[3]), rel=1e-12)


def test_options_change_what_they_say_and_nothing_else() -> None:
    defaults = {name: values(name, LIST, [3, 5], [1]) for name in GRADED_METRICS if name != "clicked-ndcg"}
    for option, touched in (
        ({"gain": "linear"}, {"ndcg"}),
        ({"ap_denominator": "hits"}, {"map"}),
        ({"max_label": 6}, {"err"}),
    ):
        changed = {n for n, old in defaults.items() if not np.array_equal(values(n, LIST, [3, 5], [1], **option), old)}
        assert changed == touched


def test_clicked_ndcg_is_ndcg_of_clicks_and_refuses_labels() -> None:
    clicks = np.array([[0, 1, 0, 1]])
    np.testing.assert_array_equal(values("clicked-ndcg", clicks, [2, 4]), values("ndcg", clicks, [2, 4]))
    with pytest.raises(ProtocolError, match=r"takes clicks, 0 or 1.*got 4"):
        values("clicked-ndcg", LIST, [3])
    with pytest.raises(ProtocolError, match="1 missed"):
        values("clicked-ndcg", clicks, [3], [1])


@pytest.mark.parametrize(
    ("ranked", "message"),
    [
        ([[1.0, 0.0]], "whole numbers.*float64"),
        ([1, 0], r"shape \(2,\)"),
        ([[1, -2]], "got -2"),
        ([[-1, 1]], "end of a ranked list"),
    ],
)
def test_bad_lists_are_named(ranked: Any, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        values("ndcg", ranked, [1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"missed": [-1]}, "from 0 on; got -1"),
        ({"missed": [1, 2]}, "a list, 1"),
        ({"missed": [0.5]}, "float64"),
        ({"max_label": 3}, "max_label .3.; got 4"),
        ({"ties": "average"}, "needs scores.*none"),
        ({"ties": "average", "scores": np.zeros((1, 3))}, r"\(1, 3\)"),
        ({"ties": "average", "scores": np.arange(10.0)[None]}, "never rise"),
        ({"ties": "average", "scores": np.full((1, 10), np.nan)}, "must be numbers"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        values("ndcg", LIST, [3], **arguments)


def test_bad_cutoffs_large_labels_and_ties_of_other_metrics_are_named() -> None:
    for cutoffs in ([], [0], [3, -1]):
        with pytest.raises(ProtocolError, match="from 1 on"):
            values("ndcg", LIST, cutoffs)
    with pytest.raises(ProtocolError, match="Choose gain linear"):
        values("ndcg", [[2000, 0]], [1])
    assert values("ndcg", [[0, 2000]], [2], gain="linear")[0, 0] == pytest.approx(1 / math.log2(3))
    assert values("ndcg", [[0, 1000, 1000]], [3])[0, 0] < 1
    for name in ("map", "mrr", "err"):
        with pytest.raises(ProtocolError, match=r"linear in gains \(clicked-ndcg, ndcg, precision, recall\)"):
            values(name, LIST, [3], ties="average", scores=np.zeros((1, 10)))


def test_names_carry_version_and_cutoff() -> None:
    assert GRADED_METRICS["ndcg"].at(10) == "ndcg@10/v1"
    assert set(GRADED_METRICS) == {"ndcg", "clicked-ndcg", "map", "mrr", "err", "precision", "recall"}


def test_no_lists_and_lists_without_places() -> None:
    for name in GRADED_METRICS:
        assert values(name, np.zeros((0, 4), np.int64), [1, 9]).shape == (0, 2)
        assert values(name, np.zeros((2, 0), np.int64), [1, 9]).tolist() == [[0, 0], [0, 0]]


def test_rounding_never_leads_above_one() -> None:
    scores = np.array([[2.0, 2, 1, 1, 1]])  # thirds of a hit add up to 2 + 4e-16
    assert values("recall", [[1, 2, 2, 0, 0]], [5], scores=scores, ties="average")[0, 0] == 1


def test_scores_of_padding_do_not_matter() -> None:
    for score in (9.0, -3.0, np.nan):
        found = values("ndcg", [[0, 1, -1]], [3], scores=np.array([[-1.0, -3.0, score]]), ties="average")
        np.testing.assert_array_equal(found, values("ndcg", [[0, 1]], [3]))
