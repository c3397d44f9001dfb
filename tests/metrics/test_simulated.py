"""Metrics of click models: known metrics as special cases, values by hand, and bad click models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mmrec_bench.clicks import Attraction, CascadeModel, PositionBasedModel, UserBrowsingModel
from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.graded import GRADED_METRICS, GradedOptions
from mmrec_bench.metrics.simulated import SimulatedMetric, SimulatedOptions

LIST = np.array([[2, 0, 4, 1, 0, 3, 0, 0, 1, 0]])
CUTOFFS = [1, 3, 5, 10, 12]


@dataclass
class Constant:
    examination: np.ndarray
    clicks: np.ndarray


def by_rank(theta: Any, attraction: Attraction | None = None) -> Any:
    """A position-based model of any examination."""

    def expect(labels: np.ndarray) -> Constant:
        examination = theta(np.arange(1, labels.shape[1] + 1.0)) * np.ones(labels.shape)
        return Constant(examination, examination * (attraction or Attraction()).of(labels))

    return expect


def cascade(attraction: Any) -> Any:
    """A cascade of any attraction of labels."""

    def expect(labels: np.ndarray) -> Constant:
        attracted = attraction(np.maximum(labels, 0)) * (labels >= 0)
        examination = np.cumprod(np.pad(1 - attracted, ((0, 0), (1, 0)), constant_values=1.0), axis=1)[:, :-1]
        return Constant(examination, examination * attracted)

    return expect


def metric(expect: Any, **options: Any) -> SimulatedMetric:
    return SimulatedMetric("nsim", expect, SimulatedOptions(**options))


@pytest.fixture(scope="module")
def lists() -> np.ndarray:
    rng = np.random.default_rng(0)
    ranked = rng.choice(5, (60, 12), p=[0.5, 0.2, 0.1, 0.1, 0.1])
    ranked[np.arange(12) >= rng.integers(1, 13, 60)[:, None]] = -1
    ranked[:, 0] = np.maximum(ranked[:, 0], rng.integers(0, 2, 60))
    ranked[::30] = np.minimum(ranked[::30], 0)  # nothing relevant
    return ranked


def test_values_by_hand() -> None:
    pbm = metric(PositionBasedModel(table="starank").expected)
    assert pbm.raw(LIST, [10])[0, 0] == pytest.approx(22.26, rel=1e-12)
    assert pbm(LIST, [10]).values[0, 0] == pytest.approx(22.26 / 26.36, rel=1e-12)
    assert pbm(LIST, [10]).values[0, 0] == pytest.approx(0.844461, abs=5e-7)
    clicks = metric(UserBrowsingModel().expected, reward="click").raw(LIST, [1, 3])
    np.testing.assert_allclose(clicks[0], [0.28, 0.28 + 0.0994 + 0.8716], atol=1e-4)


@pytest.mark.parametrize("gain", ["exp2", "linear"])
def test_logarithmic_examination_is_dcg(lists: np.ndarray, gain: str) -> None:
    dcg = metric(by_rank(lambda ranks: 1 / np.log2(ranks + 1)), reward=gain)
    gains = np.where(lists < 0, 0, 2.0**lists - 1 if gain == "exp2" else lists)
    expected = (gains / np.log2(np.arange(2, 14))).cumsum(axis=1)
    np.testing.assert_allclose(dcg.raw(lists, [3, 12]), expected[:, [2, 11]], rtol=1e-12)
    missed = np.arange(60) % 3
    ndcg = GRADED_METRICS["ndcg"](lists, CUTOFFS, GradedOptions(gain=gain), missed=missed)
    found = dcg(lists, CUTOFFS, missed=missed)
    np.testing.assert_allclose(found.values, ndcg.values, rtol=1e-12)
    np.testing.assert_array_equal(found.counted, ndcg.counted)
    assert found.n_empty == ndcg.n_empty > 0


def test_full_examination_is_precision(lists: np.ndarray) -> None:
    found = metric(by_rank(np.ones_like), reward="binary", weights="mean").raw(lists, CUTOFFS)
    expected = GRADED_METRICS["precision"](lists, CUTOFFS, GradedOptions(empty=0)).values
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_geometric_examination_is_rank_biased_precision(lists: np.ndarray) -> None:
    p = 0.8
    found = metric(by_rank(lambda ranks: (1 - p) * p ** (ranks - 1)), reward="binary").raw(lists, [12])
    expected = [(1 - p) * sum(p**r for r, y in enumerate(row) if y > 0) for row in lists]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)


def test_cascade_with_reciprocal_weights_is_err(lists: np.ndarray) -> None:
    model = cascade(lambda labels: (2.0**labels - 1) / 16)
    found = metric(model, reward="click", weights="reciprocal").raw(lists, CUTOFFS)
    expected = GRADED_METRICS["err"](lists, CUTOFFS, GradedOptions(empty=0, max_label=4)).values
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_binary_cascade_with_reciprocal_weights_is_the_reciprocal_rank(lists: np.ndarray) -> None:
    binary = np.minimum(lists, 1)
    expected = GRADED_METRICS["mrr"](lists, CUTOFFS, GradedOptions(empty=0)).values
    for model in (
        cascade(lambda labels: labels * 1.0),
        CascadeModel(attraction=Attraction(irrelevant=0.0, max_label=1)).expected,
    ):
        found = metric(model, reward="click", weights="reciprocal").raw(binary, CUTOFFS)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("reward", ["exp2", "linear", "binary", "click"])
@pytest.mark.parametrize("model", [PositionBasedModel(), UserBrowsingModel(), CascadeModel()])
def test_the_best_order_has_value_one_and_padding_never_counts(lists: np.ndarray, model: Any, reward: str) -> None:
    best = -np.sort(-lists, axis=1)
    scored = metric(model.expected, reward=reward)
    found = scored(best, CUTOFFS)
    np.testing.assert_array_equal(found.values[found.counted], 1)
    wider = np.pad(lists, ((0, 0), (0, 4)), constant_values=-1)
    np.testing.assert_array_equal(scored(wider, CUTOFFS).values, scored(lists, CUTOFFS).values)
    assert np.isfinite(scored(lists, CUTOFFS).values).all()


def test_examination_follows_the_order_that_is_judged() -> None:
    after_click, before = np.array([[4, 0, 0, 2]]), np.array([[0, 4, 0, 2]])
    found = metric(UserBrowsingModel().expected, reward="binary")
    gap = found.raw(after_click, [4]) - found.raw(after_click, [3]), found.raw(before, [4]) - found.raw(before, [3])
    assert gap[0][0, 0] != pytest.approx(gap[1][0, 0])


def test_a_last_rank_that_is_examined_more_leads_above_one_unclipped() -> None:
    scored = metric(PositionBasedModel(table="starank").expected)
    nearly_best = np.array([[4, 4, 4, 4, 4, 4, 4, 4, 0, 1]])
    assert 1 < scored(nearly_best, [10]).values[0, 0] < 1.001


def test_empty_lists_follow_the_rule() -> None:
    ranked = np.array([[0, 1], [0, 0]])
    skipped = metric(PositionBasedModel().expected)(ranked, [2])
    assert skipped.counted.tolist() == [True, False]
    assert skipped.n_empty == 1
    filled = metric(PositionBasedModel().expected, empty=1, reward="click")(ranked, [2])
    assert filled.values[1, 0] == 1
    assert metric(PositionBasedModel().expected)(ranked, [2], missed=np.array([0, 1])).values[1, 0] == 0


def test_a_model_that_expects_nothing_is_named() -> None:
    with pytest.raises(ProtocolError, match="expects nothing"):
        metric(by_rank(np.zeros_like))(LIST, [3])


@pytest.mark.parametrize("reward", ["exp2", "click"])
def test_what_a_model_expects_of_padding_does_not_matter(reward: str) -> None:
    def expect(labels: np.ndarray) -> Constant:
        seen = np.where(labels < 0, np.nan, 0.5)
        return Constant(seen, seen)

    found = metric(expect, reward=reward)(np.array([[0, 2, -1]]), [2, 3, 5]).values
    np.testing.assert_array_equal(found, 1)


def test_names_carry_version_and_cutoff() -> None:
    assert SimulatedMetric("nsim-pbm", PositionBasedModel().expected).at(10) == "nsim-pbm@10/v1"
