"""The difference of two groups of runs, with an interval over users and seeds together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mmrec_bench.types import DoubleArray

LEVEL = 0.95
"""Level of all intervals."""


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


def contrast(first: DoubleArray, second: DoubleArray) -> Contrast:
    """Return the difference of two groups of runs scored on the same users, in the same order.

    A score is ``mean + user + seed + residual``. Users are paired, for both groups rank for the same ones; seeds are
    not, for runs of two variants share no luck. With d the differences of users, averaged over seeds:

    - ``V_users = var(d) / U``: users as drawn from many. What a seed does to single users (the residuals) is in it;
    - ``V_seeds = sum over groups of var(mean score of each seed) / n``: residuals are in it as well;
    - ``V_residual = sum over groups of (mean square of the residuals) / (n U)``, which is taken out once.

    The interval is ``difference +- sqrt(t_users^2 V_users + t_seeds^2 max(V_seeds - V_residual, 0))``: each part has
    its own quantile of Student's t, ``t_users`` with U - 1 degrees of freedom, ``t_seeds`` with those of Welch. A
    single quantile of the sum would be too short with few seeds and many users.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.
    """
    users = first.mean(axis=0) - second.mean(axis=0)
    difference, n_users = float(users.mean()), len(users)
    if min(len(first), len(second), n_users) < 2:
        return Contrast(difference, None, None)
    of_users = users.var(ddof=1) / n_users
    of_seeds = np.array([group.mean(axis=1).var(ddof=1) / len(group) for group in (first, second)])
    common = max(float(of_seeds.sum() - _residual(first) - _residual(second)), 0.0)
    square = stats.t.ppf((1 + LEVEL) / 2, n_users - 1) ** 2 * of_users
    if common > 0:
        freedom = of_seeds.sum() ** 2 / (of_seeds**2 / [len(first) - 1, len(second) - 1]).sum()
        square += stats.t.ppf((1 + LEVEL) / 2, freedom) ** 2 * common
    half = float(np.sqrt(square))
    return Contrast(difference, difference - half, difference + half)


def over_users(scores: DoubleArray) -> tuple[float, float] | None:
    """Return the interval of a mean over users as drawn from many, for these very seeds; None for a single user.

    Args:
        scores: Scores, or differences of scores, float64 ``[n_users]``.
    """
    n_users = len(scores)
    if n_users < 2:
        return None
    half = float(stats.t.ppf((1 + LEVEL) / 2, n_users - 1) * scores.std(ddof=1) / np.sqrt(n_users))
    mean = float(scores.mean())
    return mean - half, mean + half


def largest_null_difference(scores: DoubleArray) -> float:
    """Return the largest difference of means that any two halves of runs show which differ in nothing but the seed.

    Args:
        scores: Mean score of each run, float64 ``[n]``, n at least 2; of an odd number the middle one is in no half.
    """
    half, ordered = len(scores) // 2, np.sort(scores)
    return float(ordered[-half:].mean() - ordered[:half].mean())


def _residual(group: DoubleArray) -> float:
    """Return the variance that residuals bring to the mean of a group ``[n, U]``."""
    n_seeds, n_users = group.shape
    residuals = group - group.mean(axis=1, keepdims=True) - group.mean(axis=0) + group.mean()
    return float((residuals**2).sum() / ((n_seeds - 1) * (n_users - 1)) / (n_seeds * n_users))
