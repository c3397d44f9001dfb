"""Adjusted p values, margins, ranks and power: known truth and formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mmrec_bench.errors import DataError
from mmrec_bench.statistics.contrast import contrast, p_value
from mmrec_bench.statistics.equivalence import equivalence
from mmrec_bench.statistics.families import adjusted
from mmrec_bench.statistics.power import Components, components
from mmrec_bench.statistics.ranks import critical_difference


def slow_holm(p: list[float]) -> list[float]:
    order, found, running = sorted(range(len(p)), key=p.__getitem__), [0.0] * len(p), 0.0
    for step, place in enumerate(order):
        running = max(running, (len(p) - step) * p[place])
        found[place] = min(running, 1.0)
    return found


def slow_benjamini_hochberg(p: list[float]) -> list[float]:
    order, found, running = sorted(range(len(p)), key=p.__getitem__), [0.0] * len(p), 1.0
    for step, place in reversed(list(enumerate(order))):
        running = min(running, len(p) / (step + 1) * p[place])
        found[place] = running
    return found


def test_adjusted_p_values_are_those_of_the_formulas() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 20):
        p = (rng.random(size) ** 3).tolist()
        assert adjusted(p, "holm") == pytest.approx(slow_holm(p))
        assert adjusted(p, "benjamini-hochberg") == pytest.approx(slow_benjamini_hochberg(p))
        library = stats.false_discovery_control(p, method="bh")
        assert adjusted(p, "benjamini-hochberg") == pytest.approx(library.tolist())


def test_a_test_that_could_not_be_made_stays_in_the_family() -> None:
    assert adjusted([0.01, None], "holm") == [pytest.approx(0.02), None]
    assert adjusted([], "holm") == []
    with pytest.raises(DataError, match=r"0\.\.1; got 1\.5"):
        adjusted([1.5], "holm")


def noisy(mean: float, sd: float, seeds: int, n_users: int, rng: np.random.Generator) -> np.ndarray:
    return mean + 0.1 * rng.standard_normal((seeds, n_users)) + sd * rng.standard_normal((seeds, 1))


def test_margins_tell_as_good_from_worse() -> None:
    rng = np.random.default_rng(0)
    base = noisy(0.5, 0.0, 5, 2000, rng)
    as_good = equivalence(noisy(0.5, 0.0, 5, 2000, rng), base, 0.05)
    worse = equivalence(noisy(0.44, 0.0, 5, 2000, rng), base, 0.05)
    better = equivalence(noisy(0.60, 0.0, 5, 2000, rng), base, 0.05)
    assert as_good.not_worse is not None
    assert as_good.equivalent is not None
    assert as_good.not_worse < 1e-3
    assert as_good.equivalent < 1e-3
    assert worse.not_worse is not None
    assert worse.not_worse > 0.99
    assert better.not_worse is not None
    assert better.not_worse < 1e-6
    assert better.equivalent is not None
    assert better.equivalent > 0.99


def test_two_one_sided_tests_are_the_interval_of_ninety_per_cent() -> None:
    """With a second group without any spread the margin is a number, and TOST is a look at an interval."""
    rng = np.random.default_rng(1)
    second = np.full((5, 80), 0.5)
    for mean in (0.48, 0.5, 0.51):
        first = noisy(mean, 0.0, 5, 1, rng) + 0.05 * rng.standard_normal((1, 80))
        found = equivalence(first, second, 0.05)
        below, above = p_value(first, second - 0.025, "greater"), p_value(second + 0.025, first, "greater")
        assert found.equivalent == pytest.approx(max(below or 0, above or 0))


def test_margins_of_falling_metrics_are_shares_of_their_size() -> None:
    rng = np.random.default_rng(0)
    base = -noisy(0.5, 0.0, 5, 2000, rng)
    slightly_behind = equivalence(-noisy(0.51, 0.0, 5, 2000, rng), base, 0.05)
    assert slightly_behind.not_worse is not None
    assert slightly_behind.not_worse < 1e-3
    far_behind = equivalence(-noisy(0.56, 0.0, 5, 2000, rng), base, 0.05)
    assert far_behind.not_worse is not None
    assert far_behind.not_worse > 0.99
    with pytest.raises(DataError, match="above 0 and below 1; got 0"):
        equivalence(base, base, 0.0)


# Demsar (2006), table 6: AUC of four versions of C4.5 on 14 data sets.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.973], [0.957, 0.978, 0.946, 0.970],
    ]
)  # fmt: skip


def test_ranks_and_critical_difference_are_those_of_demsars_example() -> None:
    found = critical_difference(DEMSAR)
    assert found.ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
    assert found.critical == pytest.approx(1.25, abs=0.005)
    assert found.cliques == ((3, 1, 2, 0),), "the paper: at 5 % no two are told apart"
    at_ten = critical_difference(DEMSAR, alpha=0.10)
    assert at_ten.critical == pytest.approx(1.12, abs=0.005)
    assert at_ten.cliques == ((3, 1, 2), (2, 0)), "the paper: at 10 % C4.5 is worse than the two that tune m"
    assert found.p_value < 0.05


@pytest.mark.parametrize(("n_systems", "quantile"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_quantiles_are_those_of_demsars_table(n_systems: int, quantile: float) -> None:
    scores = np.random.default_rng(0).random((6, n_systems))
    assert critical_difference(scores).critical == pytest.approx(
        quantile * (n_systems * (n_systems + 1) / 36) ** 0.5, rel=5e-4
    )


def test_systems_that_are_alike_share_one_bar_and_others_none() -> None:
    assert critical_difference(np.ones((5, 3))).p_value == 1.0
    assert critical_difference(np.ones((5, 3))).cliques == ((0, 1, 2),)
    apart = np.arange(3.0) + 0.1 * np.random.default_rng(0).random((200, 3))
    assert critical_difference(apart).cliques == ()
    with pytest.raises(DataError, match="three systems"):
        critical_difference(np.ones((5, 2)))


def test_components_are_those_the_data_was_made_of() -> None:
    rng, n_users = np.random.default_rng(0), 1000
    found = []
    for _ in range(100):
        users = 0.3 * rng.standard_normal(n_users)
        first = users + 0.02 * rng.standard_normal((5, 1)) + 0.1 * rng.standard_normal((5, n_users))
        second = 0.01 * rng.standard_normal((4, 1)) + 0.2 * rng.standard_normal((4, n_users))
        made = components(first, second)
        assert made is not None
        found.append((made.users, *made.seeds, made.residual))
    assert np.mean(found, axis=0) == pytest.approx((0.09, 0.0004, 0.0001, 0.05), rel=0.3)
    assert components(np.ones((1, 3)), np.ones((2, 3))) is None


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize(("seed_sd", "second_sd"), [(0.0, 0.0), (0.02, 0.02), (0.03, 0.0)])
def test_the_detectable_difference_is_found_about_as_often_as_it_says(
    n_seeds: int, seed_sd: float, second_sd: float
) -> None:
    rng, n_users, trials, found = np.random.default_rng(n_seeds), 200, 400, 0
    truth = Components(n_users, users=0.04, seeds=(seed_sd**2, second_sd**2), residual=2 * 0.01)
    gain = truth.detectable(n_seeds)
    for _ in range(trials):
        users = 0.2 * rng.standard_normal(n_users)
        first = (
            gain + users + seed_sd * rng.standard_normal((n_seeds, 1)) + 0.1 * rng.standard_normal((n_seeds, n_users))
        )
        second = second_sd * rng.standard_normal((n_seeds, 1)) + 0.1 * rng.standard_normal((n_seeds, n_users))
        low = contrast(first, second).low
        found += low is not None and low > 0
    assert 0.72 <= found / trials <= 0.93


def test_seeds_needed_are_the_fewest() -> None:
    truth = Components(5000, users=0.04, seeds=(5e-5, 5e-5), residual=0.05)
    gain = 0.01
    needed = truth.seeds_needed(gain)
    assert needed is not None
    assert truth.detectable(needed) <= gain < truth.detectable(needed - 1)
    assert truth.seeds_needed(1.0) == 2
    assert Components(50, users=0.04, seeds=(5e-5, 5e-5), residual=0.05).seeds_needed(gain) is None


def test_systems_that_differ_by_rounding_share_a_rank() -> None:
    scores = np.random.default_rng(0).random((200, 4))
    scores[:, 1] = scores[:, 0] * (1 + 2.0**-52)
    assert (scores[:, 0] != scores[:, 1]).any()
    ranks = critical_difference(scores).ranks
    assert ranks[0] == ranks[1]
    assert len(set(ranks)) == 3


def test_blocks_of_other_scales_are_ranked_each_for_itself() -> None:
    small, large = np.tile([0.1, 0.2, 0.3], (20, 1)), np.array([[1e10, 2e10, 3e10]])
    assert critical_difference(np.concatenate([small, large])).ranks == (3.0, 2.0, 1.0)
