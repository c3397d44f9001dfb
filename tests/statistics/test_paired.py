"""Paired tests: against scipy, against each other, and by data without any difference."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from mmrec_bench.errors import DataError
from mmrec_bench.statistics.bootstrap import two_level_bootstrap
from mmrec_bench.statistics.contrast import contrast, p_value
from mmrec_bench.statistics.effects import effect
from mmrec_bench.statistics.paired import randomisation, t_test, wilcoxon


def groups(shift: float, n_users: int = 60, seeds: int = 4, rng_seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rng_seed)
    users = rng.random(n_users)
    return users + shift + 0.2 * rng.random((seeds, n_users)), users + 0.2 * rng.random((seeds + 1, n_users))


@pytest.mark.parametrize("shift", [0.0, 0.02, -0.03])
def test_tests_of_users_are_those_of_scipy(shift: float) -> None:
    first, second = groups(shift)
    means = first.mean(axis=0), second.mean(axis=0)
    assert t_test(first, second) == pytest.approx(stats.ttest_rel(*means).pvalue)
    assert wilcoxon(first, second) == pytest.approx(stats.wilcoxon(*means, zero_method="pratt").pvalue)


@pytest.mark.parametrize("shift", [0.0, 0.05, -0.1])
def test_randomisation_is_the_share_of_all_tosses(shift: float) -> None:
    first, second = groups(shift, n_users=10)
    differences = first.mean(axis=0) - second.mean(axis=0)
    means = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=10)]
    exact = float(np.mean(np.array(means) >= abs(differences.sum()) - 1e-12))
    library = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert exact == pytest.approx(library.pvalue)
    found = randomisation(first, second, np.random.default_rng(1), n_draws=40_000)
    assert found == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 40_000) ** 0.5 + 1e-4)


def test_randomisation_does_not_hang_on_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = groups(0.0, n_users=16)
    whole = randomisation(first, second, np.random.default_rng(1), 500)
    monkeypatch.setattr("mmrec_bench.statistics.paired.BLOCK_CELLS", 16 * 8)  # whole words of the generator
    assert randomisation(first, second, np.random.default_rng(1), 500) == whole


def test_nothing_differs_and_everything_differs() -> None:
    same = np.full((5, 8), 0.5)
    rng = np.random.default_rng(0)
    assert t_test(same, same) == wilcoxon(same, same) == randomisation(same, same, rng) == p_value(same, same) == 1.0
    assert t_test(same + 0.25, same) == p_value(same + 0.25, same) == 0.0
    found = two_level_bootstrap(same, same, rng, 99)
    assert found is not None
    assert (found.low, found.high, found.p_value) == (0.0, 0.0, 1.0)
    assert two_level_bootstrap(same[:1], same, rng) is None


@pytest.mark.parametrize("shift", [0.0, 0.03])
@pytest.mark.parametrize("seed_sd", [0.0, 0.02])
def test_the_p_value_is_the_level_at_which_the_interval_ends_at_zero(shift: float, seed_sd: float) -> None:
    first, second = groups(shift)
    rng = np.random.default_rng(3)
    first, second = first + seed_sd * rng.standard_normal((4, 1)), second + seed_sd * rng.standard_normal((5, 1))
    found, p = contrast(first, second), p_value(first, second)
    assert found.low is not None
    assert found.high is not None
    assert p is not None
    assert (p < 0.05) == (not found.low <= 0 <= found.high)
    upper, lower = p_value(first, second, "greater"), p_value(second, first, "greater")
    assert upper is not None
    assert lower is not None
    assert upper + lower == pytest.approx(1.0)
    assert 2 * min(upper, lower) == pytest.approx(p)


def test_where_seeds_do_nothing_the_p_value_is_that_of_students_t() -> None:
    first, second = groups(0.02)
    first, second = np.repeat(first[:1], 3, axis=0), np.repeat(second[:1], 3, axis=0)
    assert p_value(first, second) == pytest.approx(t_test(first, second), rel=1e-6)


def test_where_users_do_nothing_the_p_value_is_that_of_welch() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal((5, 1)) + 1.5, 2 * rng.standard_normal((7, 1))
    wide = np.repeat(first, 9, axis=1), np.repeat(second, 9, axis=1)
    assert p_value(*wide) == pytest.approx(stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False).pvalue, rel=1e-6)


def test_the_bootstrap_is_that_of_scipy_where_seeds_do_nothing() -> None:
    first, second = groups(0.02, n_users=200)
    first, second = np.repeat(first[:1], 3, axis=0), np.repeat(second[:1], 3, axis=0)
    found = two_level_bootstrap(first, second, np.random.default_rng(0), 4000)
    library = stats.bootstrap((first[0] - second[0],), np.mean, method="percentile", n_resamples=4000, rng=1)
    assert found is not None
    width = library.confidence_interval.high - library.confidence_interval.low
    assert found.low == pytest.approx(library.confidence_interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(library.confidence_interval.high, abs=0.06 * width)


def test_the_bootstrap_draws_seeds_of_each_group_on_their_own() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((40, 1)) * np.ones(3), 2 * rng.standard_normal((40, 1)) * np.ones(3)
    found = two_level_bootstrap(first, second, rng, 4000)
    assert found is not None
    deviation = (first[:, 0].var() / 40 + second[:, 0].var() / 40) ** 0.5
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(deviation, rel=0.08)


def test_effects_against_sums_written_out() -> None:
    first = np.array([[0.0, 0.5, 1.0, 0.2], [0.0, 0.5, 0.0, 0.4]])
    second = np.array([[0.0, 0.1, 0.5, 0.3]])
    found = effect(first, second)
    differences = [0.0, 0.4, 0.0, 0.0]
    assert found.better == 0.25
    assert found.worse == 0.0, "0.2 and 0.4 are 0.3 in the mean, up to rounding"
    assert found.d_z == pytest.approx(np.mean(differences) / np.std(differences, ddof=1))
    wins = [0.5, 1, 1, 0, 0.5, 1, 0, 1]
    assert found.superiority == pytest.approx(np.mean(wins))
    assert effect(first, first).superiority == 0.5
    assert effect(first[:1] + 0.1, first[:1]).superiority == 1.0
    assert effect(second, second).d_z is None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), r"\(2, 3\), \(2, 4\)"),
        (np.ones(3), np.ones(3), "n_seeds, n_users"),
        (np.ones((2, 0)), np.ones((2, 0)), "n_seeds, n_users"),
        (np.array([[1.0, np.nan]]), np.ones((1, 2)), "1 of 2 scores of the first group"),
    ],
)
def test_scores_that_cannot_be_compared(first: np.ndarray, second: np.ndarray, message: str) -> None:
    for test in (t_test, wilcoxon, effect):
        with pytest.raises(DataError, match=message):
            test(first, second)
