from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmrec_bench.metrics import bootstrap
from mmrec_bench.metrics.bootstrap import auc_draws, user_draws


@pytest.mark.parametrize("most", [0, 4096])
def test_draws_are_those_of_users_written_out(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "MOST_USERS", most)
    monkeypatch.setattr(bootstrap, "BLOCK_CELLS", 300)
    rng = np.random.default_rng(0)
    users, labels = rng.integers(9, size=200), rng.integers(2, size=200).astype(np.int8)
    scores = np.round(rng.random(200), 1)
    draws = user_draws(9, 20, seed=3)
    monkeypatch.setattr(bootstrap, "BLOCK_CELLS", 30)
    np.testing.assert_array_equal(user_draws(9, 20, seed=3), draws)
    assert (draws.sum(axis=1) == 9).all()
    found = auc_draws(users, labels, scores, draws)
    for draw, area in zip(draws, found, strict=True):
        rows = np.repeat(np.arange(200), draw[users])
        np.testing.assert_allclose(area, roc_auc_score(labels[rows], scores[rows]), atol=1e-12)


@pytest.mark.parametrize("most", [0, 4096])
def test_a_draw_of_one_class_has_no_auc(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "MOST_USERS", most)
    areas = auc_draws(np.array([0, 1]), np.array([0, 1], np.int8), np.array([0.1, 0.2]), np.array([[1, 1], [2, 0]]))
    assert areas[0] == 1.0
    assert np.isnan(areas[1])
