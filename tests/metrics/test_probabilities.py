from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mmrec_bench.metrics.probabilities import PROBABILITY_METRICS, Judged, auc, group_aucs


def _judged(seed: int = 0, n: int = 500, ties: bool = True) -> Judged:
    rng = np.random.default_rng(seed)
    users = np.unique(rng.integers(40, size=n), return_inverse=True)[1]
    probabilities = rng.random(n)
    labels = (rng.random(n) < 0.2 + 0.5 * probabilities).astype(np.int8)
    if ties:
        probabilities = np.round(probabilities, 1) * 0.98 + 0.01
    return Judged(users, labels, probabilities)


def _value(name: str, judged: Judged) -> float:
    values = PROBABILITY_METRICS[name](judged)
    assert values is not None
    assert len(values) == judged.n_users
    return float(values.mean())


@pytest.mark.parametrize("ties", [True, False])
def test_auc_and_log_loss_are_those_of_scikit_learn(ties: bool) -> None:
    judged = _judged(ties=ties)
    expected = roc_auc_score(judged.labels, judged.probabilities)
    assert auc(judged.labels, judged.probabilities) == pytest.approx(expected, abs=1e-12)
    assert _value("auc", judged) == pytest.approx(expected, abs=1e-12)
    assert _value("log-loss", judged) == pytest.approx(log_loss(judged.labels, judged.probabilities), abs=1e-12)


def test_gauc_weighs_users_with_both_classes_by_their_impressions() -> None:
    judged = _judged(n=150)
    total, weight = 0.0, 0
    for user in range(judged.n_users):
        rows = judged.users == user
        if len(np.unique(judged.labels[rows])) == 2:
            total += rows.sum() * roc_auc_score(judged.labels[rows], judged.probabilities[rows])
            weight += rows.sum()
    assert 0 < weight < 150  # some users have one class alone
    assert _value("gauc", judged) == pytest.approx(total / weight, abs=1e-12)


def test_calibration_is_the_ratio_of_predicted_to_true_clicks() -> None:
    judged = _judged()
    assert _value("calibration", judged) == pytest.approx(judged.probabilities.sum() / judged.labels.sum())


def test_groups_of_one_class_have_no_auc() -> None:
    areas = group_aucs(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 1, 1], np.int8), 3)
    assert areas[0] == 1.0
    assert np.isnan(areas[1:]).all()
    one_class = Judged(np.array([0, 1]), np.ones(2, np.int8), np.array([0.2, 0.4]))
    assert PROBABILITY_METRICS["auc"](one_class) is None
    assert PROBABILITY_METRICS["gauc"](one_class) is None


@pytest.mark.parametrize("name", list(PROBABILITY_METRICS))
def test_values_of_users_spread_as_the_metric_under_the_drawing_of_users(name: str) -> None:
    judged = _judged(n=3000)
    values = PROBABILITY_METRICS[name](judged)
    assert values is not None
    error = values.std(ddof=1) / np.sqrt(len(values))
    rng, draws = np.random.default_rng(1), []
    rows_of = [np.flatnonzero(judged.users == user) for user in range(judged.n_users)]
    for _ in range(400):
        drawn = rng.integers(judged.n_users, size=judged.n_users)
        rows = np.concatenate([rows_of[user] for user in drawn])
        users = np.repeat(np.arange(len(drawn)), [len(rows_of[user]) for user in drawn])
        draws.append(_value(name, Judged(users, judged.labels[rows], judged.probabilities[rows])))
    assert error == pytest.approx(np.std(draws), rel=0.2)
