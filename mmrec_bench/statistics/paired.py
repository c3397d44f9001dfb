"""Paired tests over users, for these very seeds: what other seeds would bring is not in them.

Where seeds move the mean of a model, their p values are too small for a claim about the model; docs/statistics.md has
the measured sizes. For users and seeds together see `contrast` and `bootstrap`.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from mmrec_bench.statistics.scores import user_differences
from mmrec_bench.types import DoubleArray

N_DRAWS = 9_999
"""Draws of a randomisation; the smallest p value is one over one more."""

BLOCK_CELLS = 1 << 22
"""Signs held at once."""


def t_test(first: DoubleArray, second: DoubleArray) -> float:
    """Return the two-sided p value of Student's paired t test over users; 1 where no user differs.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.

    Raises:
        DataError: The groups cannot be compared, see `scores.check`.
    """
    differences = user_differences(first, second)
    if len(differences) < 2 or not differences.any():
        return 1.0
    if np.ptp(differences) == 0:
        return 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def wilcoxon(first: DoubleArray, second: DoubleArray) -> float:
    """Return the two-sided p value of Wilcoxon's signed ranks over users; 1 where no user differs.

    Users without a difference, which are many in recommendation, are ranked with the others, and then left out (Pratt,
    https://doi.org/10.1080/01621459.1959.10501526). It tests whether differences are symmetric about zero, and so may
    call means different which are the same, where differences are skew.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.

    Raises:
        DataError: The groups cannot be compared, see `scores.check`.
    """
    differences = user_differences(first, second)
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="pratt").pvalue)


def randomisation(
    first: DoubleArray, second: DoubleArray, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> float:  # fmt: skip
    """Return the two-sided p value of the paired randomisation test of means over users (Fisher).

    Where neither model is better, the sign of each user's difference is a toss: the p value is the share of tosses that
    move the mean as far from zero as it is, that of the data counted among them.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.
        rng: Where tosses come from.
        n_draws: Their number.

    Raises:
        DataError: The groups cannot be compared, see `scores.check`.
    """
    differences = user_differences(first, second)
    total = differences.sum()
    slack = 1e-12 * np.abs(differences).sum()  # sums in another order are the same toss
    block, found = max(1, BLOCK_CELLS // len(differences)), 0
    for start in range(0, n_draws, block):
        heads = rng.integers(0, 2, size=(min(block, n_draws - start), len(differences)), dtype=np.int8)
        found += int((np.abs(2 * (heads.astype(np.float64) @ differences) - total) >= abs(total) - slack).sum())
    return (found + 1) / (n_draws + 1)
