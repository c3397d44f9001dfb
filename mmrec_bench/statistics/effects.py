"""How large a difference is, beside whether there is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmrec_bench.statistics.scores import user_differences
from mmrec_bench.types import DoubleArray


@dataclass(frozen=True, slots=True)
class Effect:
    """Sizes of a difference between two groups of runs.

    Attributes:
        d_z: Cohen's d of paired scores: mean over standard deviation of the differences of users, averaged over seeds;
            None for a single user, and where all users differ by the same.
        better: Share of users whom the first group serves better, averaged over seeds.
        worse: Share of users whom it serves worse; of the others both score the same.
        superiority: Probability that a run of the first group serves a user better than a run of the second, over all
            users and pairs of runs; ties count half.
    """

    d_z: float | None
    better: float
    worse: float
    superiority: float


def effect(first: DoubleArray, second: DoubleArray) -> Effect:
    """Return the sizes of a difference.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.

    Raises:
        DataError: The groups cannot be compared, see `scores.check`.
    """
    differences = user_differences(first, second)
    deviation = differences.std(ddof=1) if len(differences) > 1 else 0.0
    pairs = [0.5 * ((one > other).mean() + (one >= other).mean()) for one in first for other in second]
    return Effect(
        d_z=float(differences.mean() / deviation) if deviation > 0 else None,
        better=float((differences > 0).mean()),
        worse=float((differences < 0).mean()),
        superiority=float(np.mean(pairs)),
    )
