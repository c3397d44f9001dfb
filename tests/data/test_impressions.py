"""Logged lists say the truth about relevance and observation, and clicks follow it."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from mmrec_bench.data import impressions as module
from mmrec_bench.data.impressions import LABEL_THRESHOLDS, attractions, impressions, observation
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.synthetic import generate
from mmrec_bench.data.world import ImpressionConfig, World, WorldConfig

L = 8


@cache
def logged(**overrides: float) -> tuple[World, Lists]:
    """Return a world and its lists."""
    config = ImpressionConfig.model_validate({"n_lists": 12_000, "list_length": L, **overrides})
    made = generate(WorldConfig(n_users=400, n_items=300, max_interactions=100, taste_drift=0.5, impressions=config))
    return made, impressions(made)


def table(column: np.ndarray | None) -> np.ndarray:
    """Return a column by list and place."""
    assert column is not None
    return column.reshape(-1, L)


def true_affinities(made: World, lists: Lists) -> np.ndarray:
    """Return the affinity of each row, from the truth alone, in shape ``[n_lists, L]``."""
    truth, config = made.truth, made.truth.config
    assert lists.users is not None
    assert lists.timestamps is not None
    times = (lists.timestamps + 0.5 - config.start_time) / (config.span_days * 86_400)
    angles = (config.taste_drift * np.pi / 2 * times)[:, None]
    tastes = np.cos(angles) * truth.tastes[lists.users] + np.sin(angles) * truth.turns[lists.users]
    rows = truth.factors[truth.user_kinds[lists.users][:, None], table(lists.items)]
    return np.asarray(np.einsum("nk,nlk->nl", tastes, rows))


def test_lists_are_whole_in_time_order_and_without_repeats() -> None:
    made, lists = logged()
    assert lists.n_lists == 12_000
    assert lists.users is not None
    assert lists.timestamps is not None
    np.testing.assert_array_equal(np.diff(lists.offsets()), L)
    np.testing.assert_array_equal(table(lists.positions), np.tile(np.arange(1, L + 1), (12_000, 1)))
    assert (np.diff(np.sort(table(lists.items), axis=1), axis=1) > 0).all()
    assert (np.diff(lists.timestamps) >= 0).all()
    assert len(np.unique(lists.users)) == 400
    config = made.truth.config
    times = (lists.timestamps - config.start_time) / (config.span_days * 86_400)
    starts = made.truth.life_starts[lists.users]
    assert ((times > starts - 1e-6) & (times <= starts + config.user_life)).all()


def test_one_seed_gives_the_same_lists_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    config = WorldConfig(n_users=50, n_items=60, max_interactions=20, impressions=ImpressionConfig(n_lists=400))
    fingerprint = impressions(generate(config)).fingerprint()
    monkeypatch.setattr(module, "BLOCK_CELLS", 13 * 60)
    assert impressions(generate(config)).fingerprint() == fingerprint
    assert impressions(generate(config.model_copy(update={"seed": 1}))).fingerprint() != fingerprint


def test_labels_grade_the_true_affinity() -> None:
    made, lists = logged()
    affinities, labels = true_affinities(made, lists), table(lists.labels)
    graded = (affinities[..., None] >= np.array(LABEL_THRESHOLDS)).sum(axis=-1)
    assert (graded == labels).mean() > 0.9999  # the clock's whole seconds may move a row across a threshold
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}


def test_propensities_are_those_of_the_config() -> None:
    made, lists = logged(position_exponent=0.7, popularity_floor=0.3, popularity_exponent=0.8)
    truth, config = made.truth, made.truth.config
    assert lists.timestamps is not None
    periods = ((lists.timestamps - config.start_time) / (config.span_days * 86_400) * config.n_periods).astype(int)
    popularity = np.exp(truth.log_popularity[periods[:, None], table(lists.items)])
    popularity /= np.exp(truth.log_popularity[periods]).max(axis=1, keepdims=True)
    expected = np.arange(1.0, L + 1) ** -0.7 * (0.3 + 0.7 * popularity**0.8)
    different = ~np.isclose(table(lists.propensities), expected, rtol=1e-5)
    assert different.mean() < 1e-3  # a list in the first second of a period


def test_clicks_are_as_frequent_as_observation_and_relevance_say() -> None:
    """Within four standard errors in each cell of label, position and third of popularity bias."""
    made, lists = logged(click_noise=0.2, candidate_relevance=1.0)
    labels, positions, clicks = table(lists.labels), table(lists.positions), table(lists.clicks)
    seen = table(lists.propensities).astype(np.float64)
    probabilities = seen * (0.2 + 0.8 * (2.0**labels - 1) / 15)
    thirds = np.digitize(seen * positions, np.quantile(seen * positions, [1 / 3, 2 / 3]))
    cells = (labels * L + positions - 1) * 3 + thirds
    size = 5 * L * 3
    n = np.bincount(cells.ravel(), minlength=size)
    expected = np.bincount(cells.ravel(), weights=probabilities.ravel(), minlength=size)
    variance = np.bincount(cells.ravel(), weights=(probabilities * (1 - probabilities)).ravel(), minlength=size)
    found = np.bincount(cells.ravel(), weights=clicks.ravel(), minlength=size)
    large = n >= 100
    assert large.sum() > 100
    scores = (found - expected)[large] / np.sqrt(variance[large])
    assert np.abs(scores).max() < 4.5
    assert scores.std() == pytest.approx(1.0, abs=0.25)
    np.testing.assert_allclose(probabilities, seen * attractions(made.truth.config.impressions, labels))


def test_weighting_by_propensity_removes_the_bias() -> None:
    _, lists = logged()
    labels, clicks = table(lists.labels), table(lists.clicks).astype(float)
    seen = table(lists.propensities)
    for label in range(5):
        rows = labels == label
        wanted = 0.1 + 0.9 * (2**label - 1) / 15
        weighted = clicks[rows] / seen[rows]
        error = weighted.std() / np.sqrt(rows.sum())
        assert weighted.mean() == pytest.approx(wanted, abs=4 * error)
        assert clicks[rows].mean() < 0.5 * wanted


def test_the_logging_policy_prefers_what_it_is_told_to() -> None:
    made, lists = logged(relevance_weight=1.0, popularity_weight=0.0, candidate_popularity=0.0)
    by_place = table(lists.labels).mean(axis=0)
    assert all(a > b for a, b in pairwise(by_place))
    popularity = np.exp(made.truth.log_popularity).mean(axis=0)[table(lists.items)]
    assert np.ptp(popularity.mean(axis=0)) < 0.1 * popularity.mean()

    made, lists = logged(relevance_weight=0.0, popularity_weight=1.0, candidate_popularity=0.5)
    popularity = np.exp(made.truth.log_popularity).mean(axis=0)[table(lists.items)].mean(axis=0)
    assert all(a > b for a, b in pairwise(popularity))
    assert np.ptp(table(lists.labels).mean(axis=0)) < 0.1


def test_without_weights_logging_is_random() -> None:
    made, lists = logged(relevance_weight=0.0, popularity_weight=0.0, candidate_relevance=0.0, candidate_popularity=0.0)
    shown = np.bincount(lists.items, minlength=300)
    expected = 12_000 * L / 300
    assert ((shown - expected) ** 2 / expected).sum() == pytest.approx(300, abs=4 * np.sqrt(600))
    affinities = true_affinities(made, lists)
    assert np.abs(affinities.mean(axis=0)).max() < 4 / np.sqrt(12_000) + 0.02  # few users: their mean is not 0
    assert np.ptp(affinities.mean(axis=0)) < 6 / np.sqrt(12_000)


@pytest.mark.parametrize("signal", [0.0, 0.4, 1.0])
def test_features_carry_the_configured_share_of_affinity_and_popularity(signal: float) -> None:
    made, lists = logged(feature_signal=signal, candidate_popularity=0.0)
    assert lists.features is not None
    assert lists.timestamps is not None
    truth, config = made.truth, made.truth.config
    periods = ((lists.timestamps - config.start_time) / (config.span_days * 86_400) * config.n_periods).astype(int)
    popularity = truth.log_popularity[periods[:, None], table(lists.items)]
    causes = np.column_stack([true_affinities(made, lists).ravel(), popularity.ravel(), np.ones(12_000 * L)])
    values = lists.features.astype(np.float64)
    residuals = values - causes @ np.linalg.lstsq(causes, values, rcond=None)[0]
    assert 1 - residuals.var() / values.var() == pytest.approx(signal, abs=0.03)


def test_observation_is_certain_at_the_top_for_the_most_popular_and_without_bias() -> None:
    config = ImpressionConfig()
    assert observation(config, np.array([1]), np.array([1.0]))[0] == 1.0
    assert observation(config, np.array([4]), np.array([0.25]))[0] == pytest.approx(0.25 * (0.4 + 0.6 * 0.5))
    fair = ImpressionConfig(position_exponent=0.0, popularity_floor=1.0)
    np.testing.assert_array_equal(observation(fair, np.arange(1, 11), np.linspace(0.1, 1, 10)), 1.0)


def test_the_strongest_bias_keeps_propensities_positive() -> None:
    config = ImpressionConfig(
        n_lists=50, list_length=100, position_exponent=5.0, popularity_floor=0.001, popularity_exponent=5.0,
        candidate_relevance=5.0, candidate_popularity=5.0, relevance_weight=5.0, popularity_weight=5.0,
    )  # fmt: skip
    made = generate(
        WorldConfig(n_users=20, n_items=300, popularity_exponent=4.0, popularity_drift=5.0, impressions=config)
    )
    propensities = impressions(made).propensities
    assert propensities is not None
    assert propensities.min() > 0
