from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmrec_bench.evaluation.leakage import Comparison, Impact
from mmrec_bench.metrics.bootstrap import user_draws
from mmrec_bench.statistics.contrast import contrast
from tests.perf.lis_sizes import left_out


def _world(n: int = 600, n_users: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    users, labels = rng.integers(n_users, size=n), rng.integers(2, size=n).astype(np.int8)
    users[:n_users] = np.arange(n_users)
    scores = np.stack([labels * 0.3 + rng.random(n) * 0.7 for _ in range(2)]).astype(np.float32)
    return users, labels, scores


def test_differences_are_those_of_auc_seed_by_seed() -> None:
    users, labels, base = _world()
    better = base + 0.2 * labels.astype(np.float32)
    impact = Comparison(users, labels, base, user_draws(40, 300, 0)).of(better)
    for found, one, other in zip(impact.per_seed, better, base, strict=True):
        assert found == pytest.approx(roc_auc_score(labels, one) - roc_auc_score(labels, other), abs=1e-9)
    assert impact.gauc is not None
    low, high = impact.interval
    assert 0 < low < impact.mean < high
    assert impact.verdict(0.001) == "gain"
    assert impact.verdict(0.9) == "small gain"


def test_the_same_probabilities_differ_by_nothing() -> None:
    users, labels, base = _world()
    impact = Comparison(users, labels, base, user_draws(40, 50, 0)).of(base.copy())
    assert impact.per_seed == (0.0, 0.0)
    assert impact.interval == (0.0, 0.0)
    assert impact.verdict(0.001) == "none"


def _impact(center: float, spread: float) -> Impact:
    return Impact((center,), None, center + spread * np.random.default_rng(0).standard_normal((1, 2000)))


@pytest.mark.parametrize(
    ("center", "spread", "verdict"),
    [
        (0.0, 0.0001, "none"),
        (0.0, 0.01, "underpowered"),
        (-0.02, 0.001, "loss"),
        (-0.0005, 0.0001, "small loss"),
        (0.0005, 0.0001, "small gain"),
        (0.02, 0.001, "gain"),
    ],
)
def test_verdicts(center: float, spread: float, verdict: str) -> None:
    assert _impact(center, spread).verdict(0.001) == verdict


def test_the_detectable_effect_is_found_with_its_power() -> None:
    spread = 0.004
    effect = _impact(0.0, spread).detectable
    found = effect + spread * np.random.default_rng(1).standard_normal(20_000) > 1.96 * spread
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_ratios_to_a_bound_that_may_be_nothing_are_refused() -> None:
    half = _impact(0.01, 0.0001).ratio(_impact(0.02, 0.0001))
    assert half is not None
    assert half[0] == pytest.approx(0.5)
    assert half[1] < 0.5 < half[2]
    assert _impact(0.01, 0.0001).ratio(_impact(0.002, 0.01)) is None


def test_what_seeds_do_not_share_is_in_the_interval() -> None:
    users, labels, base = _world()
    one, draws = labels.astype(np.float32), user_draws(40, 400, 0)
    together = Comparison(users, labels, base, draws).of(base + 0.1 * one)
    apart = Comparison(users, labels, base, draws).of(base + np.array([[0.3], [-0.1]], np.float32) * one)
    assert min(apart.per_seed) < 0 < max(apart.per_seed)
    assert apart.interval[1] - apart.interval[0] > 3 * (together.interval[1] - together.interval[0])


@pytest.mark.parametrize("of_seeds", [0.0, 0.01, 0.05])
def test_a_true_zero_is_left_out_as_seldom_as_said(of_seeds: float) -> None:
    assert 0.01 < left_out(400, 3, of_seeds) < 0.07


def test_the_interval_of_gains_is_that_of_other_comparisons() -> None:
    rng = np.random.default_rng(4)
    gains = 0.1 * rng.standard_normal(400) + 0.05 * rng.standard_normal((5, 400)) + 0.02 * rng.standard_normal((5, 1))
    draws = rng.multinomial(400, np.full(400, 1 / 400), size=4000)
    low, high = Impact(tuple(gains.mean(axis=1)), None, gains @ draws.T / 400).interval
    wanted = contrast(gains, np.zeros((5, 400)))  # a second group that nothing moves leaves the spread of the first
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=0.002)


def test_ratios_vary_with_seeds_where_gains_do_not_vary_together() -> None:
    def of(per_seed: list[float]) -> Impact:
        return Impact(tuple(per_seed), None, np.array(per_seed)[:, None] + 1e-5 * np.sin(np.arange(100.0)))

    bound = of([0.05, 0.06, 0.07])
    together, apart = of([0.025, 0.03, 0.035]).ratio(bound), of([0.035, 0.03, 0.025]).ratio(bound)
    assert together is not None
    assert apart is not None
    assert together[0] == apart[0] == pytest.approx(0.5)
    assert together[2] - together[1] < 0.01 < 0.5 < apart[2] - apart[1]
