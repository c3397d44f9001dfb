"""The difference of two groups of runs, with an interval and a p value over users and seeds together."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from mmrec_bench.statistics.scores import ROUNDING, user_differences
from mmrec_bench.types import DoubleArray

LEVEL = 0.95
"""Level of all intervals."""

SMALLEST = -230.0
"""Logarithm of the smallest p value that is told apart from zero, 1e-100."""

Alternative: TypeAlias = Literal["two-sided", "greater"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference of means.

    Attributes:
        difference: Mean of the first group minus mean of the second.
        low: Lower end of the interval; None where a group has one seed or there is one user.
        high: Upper end of it.
    """

    difference: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """What a difference of means would vary by, with other users and other seeds.

    Attributes:
        users: Variance that users bring, what seeds do to single users included.
        seeds: Variance that seeds bring beyond that.
        users_freedom: Degrees of freedom of `users`.
        seeds_freedom: Degrees of freedom of `seeds`; infinite where it is zero.
    """

    users: float
    seeds: float
    users_freedom: float
    seeds_freedom: float

    def half_width(self, alpha: float) -> float:
        """Return half the width of the interval of level ``1 - alpha``."""
        parts = (self.users, self.users_freedom), (self.seeds, self.seeds_freedom)
        squares = [stats.t.isf(alpha / 2, freedom) ** 2 * variance for variance, freedom in parts if variance > 0]
        return float(np.sqrt(sum(squares)))


def spread(first: DoubleArray, second: DoubleArray) -> Spread | None:
    """Return the spread of a difference of means; None where a group has one seed or there is one user.

    A score is ``mean + user + seed + residual``. Users are paired, for both groups rank for the same ones; seeds are
    not, for runs of two variants share no luck. With d the differences of users, averaged over seeds:

    - ``V_users = var(d) / U``: users as drawn from many. What a seed does to single users (the residuals) is in it;
    - ``V_seeds = sum over groups of var(mean score of each seed) / n``: residuals are in it as well;
    - ``V_residual = sum over groups of (mean square of the residuals) / (n U)``, which is taken out once.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.
    """
    n_users = first.shape[1]
    if min(len(first), len(second), n_users) < 2:
        return None
    of_users = user_differences(first, second).var(ddof=1) / n_users
    of_seeds = np.array([_variance(group.mean(axis=1)) / len(group) for group in (first, second)])
    common = max(float(of_seeds.sum() - _residual(first) - _residual(second)), 0.0)
    freedom = np.inf
    if common > 0:
        freedom = of_seeds.sum() ** 2 / (of_seeds**2 / [len(first) - 1, len(second) - 1]).sum()
    return Spread(float(of_users), common, n_users - 1, float(freedom))


def contrast(first: DoubleArray, second: DoubleArray, alpha: float = 1 - LEVEL) -> Contrast:
    """Return the difference of two groups of runs scored on the same users, in the same order.

    The interval is ``difference +- sqrt(t_users^2 V_users + t_seeds^2 max(V_seeds - V_residual, 0))``, see `spread`:
    each part has its own quantile of Student's t, ``t_users`` with U - 1 degrees of freedom, ``t_seeds`` with those of
    Welch. A single quantile of the sum would be too short with few seeds and many users.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.
        alpha: One minus the level of the interval; a share of it for each of several intervals that hold together.
    """
    difference, found = difference_of(first, second), spread(first, second)
    if found is None:
        return Contrast(difference, None, None)
    half = found.half_width(alpha)
    return Contrast(difference, difference - half, difference + half)


def p_value(first: DoubleArray, second: DoubleArray, alternative: Alternative = "two-sided") -> float | None:
    """Return the p value that belongs to the interval of `contrast`; None where there is no interval.

    It is the alpha at which the interval of level ``1 - alpha`` ends at zero, and so below 0.05 exactly where the
    interval of 95 % leaves zero out.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.
        alternative: ``greater``: one-sided, small where the first group is better.
    """
    difference, found = difference_of(first, second), spread(first, second)
    if found is None:
        return None
    both = _two_sided(abs(difference), found)
    if alternative == "two-sided":
        return both
    return both / 2 if difference > 0 else 1 - both / 2


def difference_of(first: DoubleArray, second: DoubleArray) -> float:
    """Return mean of the first group minus mean of the second."""
    return float(user_differences(first, second).mean())


def _variance(means: DoubleArray) -> float:
    """Return the unbiased variance of the means of seeds; what is less than rounding is none."""
    found, rounding = float(means.var(ddof=1)), ROUNDING * float(np.abs(means).max())
    return found if found > rounding**2 else 0.0


def over_users(scores: DoubleArray, alpha: float = 1 - LEVEL) -> tuple[float, float] | None:
    """Return the interval of a mean over users as drawn from many, for these very seeds; None for a single user.

    Args:
        scores: Scores, or differences of scores, float64 ``[n_users]``.
        alpha: One minus the level of the interval.
    """
    n_users = len(scores)
    if n_users < 2:
        return None
    half = float(stats.t.isf(alpha / 2, n_users - 1) * scores.std(ddof=1) / np.sqrt(n_users))
    mean = float(scores.mean())
    return mean - half, mean + half


def largest_null_difference(scores: DoubleArray) -> float:
    """Return the largest difference of means that any two halves of runs show which differ in nothing but the seed.

    Args:
        scores: Mean score of each run, float64 ``[n]``, n at least 2; of an odd number the middle one is in no half.
    """
    half, ordered = len(scores) // 2, np.sort(scores)
    return float(ordered[-half:].mean() - ordered[:half].mean())


def residual_square(group: DoubleArray) -> float:
    """Return the mean square of what is left of a group ``[n, U]`` without its users' and its seeds' means."""
    n_seeds, n_users = group.shape
    residuals = group - group.mean(axis=1, keepdims=True) - group.mean(axis=0) + group.mean()
    return float((residuals**2).sum() / ((n_seeds - 1) * (n_users - 1)))


def _residual(group: DoubleArray) -> float:
    """Return the variance that residuals bring to the mean of a group ``[n, U]``."""
    return residual_square(group) / group.size


def _two_sided(distance: float, found: Spread) -> float:
    if distance == 0:
        return 1.0
    if found.half_width(exp(SMALLEST)) < distance:
        return 0.0
    return exp(brentq(lambda log_alpha: found.half_width(exp(log_alpha)) - distance, SMALLEST, 0.0, xtol=1e-10))
