"""The two-level bootstrap: users and seeds drawn again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmrec_bench.statistics.contrast import LEVEL
from mmrec_bench.statistics.scores import check
from mmrec_bench.types import DoubleArray

N_DRAWS = 1_999
"""Draws; the smallest p value is one over one more."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What a bootstrap found.

    Attributes:
        low: Lower end of the percentile interval of the difference.
        high: Upper end of it.
        p_value: Share of draws as far from the difference as zero is, that of the data counted among them.
    """

    low: float
    high: float
    p_value: float


def two_level_bootstrap(
    first: DoubleArray, second: DoubleArray, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> Bootstrap | None:
    """Return interval and p value of the difference of means; None where a group has one seed.

    Each draw takes users with replacement, the same for both groups, for they are paired, and seeds with replacement,
    of each group on its own, for they are not (Owen, https://doi.org/10.1214/07-AOAS122). With n seeds the drawn
    variance of seeds is ``(n - 1) / n`` of the true one, and no t-like term makes up for it: with few seeds that move
    the mean, the interval is too short. `contrast` is not, and is what verdicts stand on.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.
        rng: Where draws come from.
        n_draws: Their number.

    Raises:
        DataError: The groups cannot be compared, see `scores.check`.
    """
    check(first, second)
    if min(len(first), len(second)) < 2:
        return None
    n_users = first.shape[1]
    seeds = [rng.multinomial(len(g), np.full(len(g), 1 / len(g)), size=n_draws) / len(g) for g in (first, second)]
    drawn = np.empty(n_draws)
    stacked = np.concatenate([first, second])
    for row in range(n_draws):
        counts = np.bincount(rng.integers(0, n_users, size=n_users), minlength=n_users)
        means = stacked @ counts / n_users
        drawn[row] = seeds[0][row] @ means[: len(first)] - seeds[1][row] @ means[len(first) :]
    difference = first.mean() - second.mean()
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    far = int((np.abs(drawn - difference) >= abs(difference) * (1 - 1e-12)).sum())
    return Bootstrap(float(low), float(high), (far + 1) / (n_draws + 1))
