"""How many seeds a gain needs to be seen, from runs that are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mmrec_bench.statistics.contrast import residual_square
from mmrec_bench.statistics.scores import user_differences
from mmrec_bench.types import DoubleArray

MOST_SEEDS = 1_000
"""Numbers of seeds a side that are tried."""


@dataclass(frozen=True, slots=True)
class Components:
    """Variances behind a difference of two groups, per user and per seed.

    Attributes:
        n_users: Number of users.
        users: Of the differences of users, had each infinitely many seeds.
        seeds: Of the mean score of a run, of the first and of the second group.
        residual: Of what a seed does to a single user, both groups together.
    """

    n_users: int
    users: float
    seeds: tuple[float, float]
    residual: float

    def detectable(self, n_seeds: int, alpha: float = 0.05, power: float = 0.8) -> float:
        """Return the smallest difference of means that `contrast` finds with this power.

        Like the interval of `contrast`: ``sqrt((t_u + t'_u)^2 V_users + (t_s + t'_s)^2 V_seeds)``, with the quantiles
        of alpha / 2 and of the power, with U - 1 and with Welch's degrees of freedom. An approximation: the sum of
        quantiles stands for a non-central t.

        Args:
            n_seeds: Seeds a side, at least 2.
            alpha: Level of the two-sided test.
            power: Chance to find the difference.
        """
        of_users = (self.users + self.residual / n_seeds) / self.n_users
        square = reach(self.n_users - 1, alpha, power) ** 2 * of_users
        if (seeds := sum(self.seeds)) > 0:
            freedom = (n_seeds - 1) * seeds**2 / sum(one**2 for one in self.seeds)
            square += reach(freedom, alpha, power) ** 2 * seeds / n_seeds
        return float(np.sqrt(square))

    def seeds_needed(self, gain: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
        """Return the fewest seeds a side with which a gain is found; None where the users are too few for any.

        Args:
            gain: Difference of means, above 0.
            alpha: Level of the two-sided test.
            power: Chance to find it.
        """
        if self.detectable(MOST_SEEDS, alpha, power) > gain:
            return None
        low, high = 1, MOST_SEEDS  # more seeds never make the smallest difference larger
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.detectable(middle, alpha, power) <= gain else (middle, high)
        return high


def components(first: DoubleArray, second: DoubleArray) -> Components | None:
    """Return the variances behind a difference; None where a group has one seed or there is one user.

    The variance of seeds is known badly, and the number of seeds that follows with it: with five seeds a side that are
    alike (8 degrees of freedom) its 95 % interval reaches from 0.46 to 3.7 times the estimate.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.

    Raises:
        DataError: The groups cannot be compared, see `scores.check`.
    """
    differences = user_differences(first, second)
    n_users = len(differences)
    if min(len(first), len(second), n_users) < 2:
        return None
    residuals = [residual_square(group) for group in (first, second)]
    of_first, of_second = (
        max(float(group.mean(axis=1).var(ddof=1)) - residual / n_users, 0.0)
        for group, residual in zip((first, second), residuals, strict=True)
    )
    brought = residuals[0] / len(first) + residuals[1] / len(second)
    users = max(float(differences.var(ddof=1)) - brought, 0.0)
    return Components(n_users, users, (of_first, of_second), sum(residuals))


def reach(freedom: float, alpha: float, power: float) -> float:
    """Return how many standard errors large a difference is that a two-sided t test finds with this power.

    An approximation: the sum of two quantiles stands for one of a non-central t.

    Args:
        freedom: Degrees of freedom; infinite for the normal distribution.
        alpha: Level of the test.
        power: Chance to find the difference.
    """
    return float(stats.t.isf(alpha / 2, freedom) + stats.t.ppf(power, freedom))
